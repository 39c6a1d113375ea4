"""Centring and scaling of every domain."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jax import Array

from jbc import audit
from jbc.baselines.rows import On, two_controls
from jbc.cohort import Cohort
from jbc.linalg import location_and_spread
from jbc.methods.base import ClosedForm, Fitted


@dataclasses.dataclass(frozen=True)
class Standardise(ClosedForm):
    r"""Give every domain the same mean and spread, feature by feature.

    .. math:: x' = \bar\mu + \bar\sigma\,\frac{x - \mu_g}{\sigma_g}

    with mean and standard deviation of the row's domain g, and their averages over domains. The honest floor:
    a correction that is not better than this one is not worth its training.

    Parameters
    ----------
    scale
        Divide by the spread as well, or only shift.
    on
        Measure mean and spread on all rows of a domain, or on its controls only.

    Examples
    --------
    >>> from jbc.cohort import Cohort
    >>> cohort = Cohort.from_arrays([[0.0], [2.0], [10.0], [12.0]], ["a", "a", "b", "b"])
    >>> method = Standardise()
    >>> fitted = method.finish(None, cohort)
    >>> method.transform(fitted, jnp.array([[0.0], [10.0]]), jnp.array([0, 1])).tolist()
    [[5.0], [5.0]]
    """

    scale: bool = True
    on: On = "all"

    def check(self, cohort: Cohort) -> None:
        """Refuse domains that cannot be measured."""
        audit.enough_rows(cohort)
        two_controls(cohort, self.on)

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Measure mean and spread of every domain."""
        del state
        weight = jnp.asarray(cohort.weight)
        if self.on == "controls":
            weight = weight * jnp.asarray(cohort.control)
        groups = len(cohort.domains.count)
        mean, spread = location_and_spread(jnp.asarray(cohort.x), jnp.asarray(cohort.domain), weight, groups)
        return {"mean": mean, "spread": spread if self.scale else jnp.ones_like(spread)}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Shift and scale rows."""
        mean, spread = fitted["mean"], fitted["spread"]
        return (x - mean[domain]) / spread[domain] * spread.mean(axis=0) + mean.mean(axis=0)
