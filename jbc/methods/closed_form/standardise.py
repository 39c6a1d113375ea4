"""Centring and scaling of every domain."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.methods import preconditions
from jbc.methods.base import Adapts, ClosedForm, Fitted
from jbc.methods.settings import On
from jbc.numerics.linalg import deviations, location_and_scale


@dataclasses.dataclass(frozen=True)
class Standardise(ClosedForm, Adapts):
    r"""Give every domain the same mean and standard deviation, feature by feature.

    .. math:: x' = \bar\mu + \bar\sigma\,\frac{x - \mu_g}{\sigma_g}

    with mean and standard deviation of the row's domain g, and their averages over domains. The honest floor:
    a correction that is not better than this one is not worth its training. A feature that is constant in a domain
    has no scale there: its values are only shifted, and other domains ignore it.

    Parameters
    ----------
    scale
        Divide by the scale as well, or only shift.
    on
        Measure mean and standard deviation on all rows of a domain, or on its controls only.

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
        preconditions.enough_rows(cohort)
        preconditions.two_controls(cohort, self.on)
        if self.scale:
            preconditions.warn_constant(cohort, controls=self.on == "controls")

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Measure mean and standard deviation of every domain."""
        del state
        weight = jnp.asarray(cohort.weight)
        if self.on == "controls":
            weight = weight * jnp.asarray(cohort.control)
        groups = len(cohort.domains.count)
        rows = jnp.asarray(cohort.x), jnp.asarray(cohort.domain), weight
        mean, scale = _measure(*rows, groups)
        tables = {"mean": mean, "scale": scale if self.scale else jnp.ones_like(scale)}
        return tables | {"to": {name: table.mean(axis=0) for name, table in tables.items()}}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Shift and scale rows."""
        to = fitted["to"]
        return (x - fitted["mean"][domain]) / fitted["scale"][domain] * to["scale"] + to["mean"]

    def adapt(self, fitted: Fitted, controls: np.ndarray, reference: np.ndarray) -> Fitted:
        """Measure mean and standard deviation of one more domain, where all were measured on their controls."""
        del reference
        preconditions.by_controls(self.on, "Mean and scale")
        more = dict(fitted["to"])
        if len(controls):
            more["mean"] = controls.mean(axis=0)
        if len(controls) and self.scale:
            size = np.maximum(np.abs(more["mean"]), more["scale"])
            more["scale"] = deviations(controls.var(axis=0, dtype=np.float64), size, more["scale"])
        added = {name: np.append(fitted[name], row[None], axis=0) for name, row in more.items()}
        return {name: table.astype(np.float32) for name, table in added.items()} | {"to": fitted["to"]}


_measure = jax.jit(location_and_scale, static_argnums=3)
