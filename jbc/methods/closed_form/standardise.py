"""Centring and scaling of every domain."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.composition import Composition
from jbc.methods import preconditions
from jbc.methods.base import Adapts, ClosedForm, Fitted
from jbc.methods.closed_form.rows import measured
from jbc.methods.settings import On
from jbc.numerics.linalg import average_of_others, constant, lacking, location_and_scale, mean_and_deviation
from jbc.numerics.shrinkage import shrunken, shrunken_as


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
        Measure mean and standard deviation on all rows of a domain, or on its controls only. Controls are few, and a
        deviation of two to four rows is nearly noise: those of controls shrink towards what other features and
        domains say, the less the more controls there are.
    shrink
        Shrink those of all rows in the same way, for domains of few rows. In simulated worlds of 50 features and
        three domains (``experiments/small/rows.py``), 4 rows of each left 0.64 of the error of other rows, instead of
        0.92, and 64 rows 0.25 instead of 0.27. Where mixtures of domains differ, this changes nothing.

    Examples
    --------
    >>> from jbc.cohort import Cohort
    >>> cohort = Cohort.from_arrays([[0.0], [2.0], [10.0], [12.0]], ["a", "a", "b", "b"])
    >>> method = Standardise()
    >>> fitted = method.finish(None, cohort)
    >>> method.transform(fitted, jnp.array([[0.0], [10.0]]), jnp.array([0, 1])).tolist()
    [[5.0], [5.0]]
    """

    takes_missing: ClassVar[bool] = True

    scale: bool = True
    on: On = "all"
    shrink: bool = False

    def check(self, cohort: Cohort) -> None:
        """Refuse domains that cannot be measured."""
        preconditions.enough_rows(cohort)
        preconditions.two_controls(cohort, self.on)
        if self.scale:
            preconditions.warn_constant(cohort, controls=self.on == "controls")

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Measure mean and standard deviation of every domain."""
        del state
        groups, more = len(cohort.domains.count), {}
        if self.on == "controls" or (self.shrink and cohort.composition is None):
            mean, scale, common = shrunken(*measured(cohort, self.on), groups)
            mean, scale = mean.astype(np.float32), scale.astype(np.float32)
            if self.on == "controls":
                more = {"common": {name: np.asarray(table, np.float32) for name, table in common.items()}}
        else:
            rows = (jnp.asarray(part) for part in (cohort.x, cohort.domain, cohort.counts))
            mean, scale = _measure(*rows, groups, cohort.composition)
        tables = {"mean": mean, "scale": scale if self.scale else jnp.ones_like(scale)}
        return tables | {"to": {name: table.mean(axis=0) for name, table in tables.items()}} | more

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
            common = {name: np.asarray(table, np.float64) for name, table in fitted["common"].items()}
            more["mean"], scale = shrunken_as(controls.astype(np.float64), common)
            if self.scale:
                more["scale"] = np.where(np.isnan(scale), more["scale"], scale)
        added = {name: np.append(fitted[name], row[None], axis=0) for name, row in more.items()}
        return fitted | {name: table.astype(np.float32) for name, table in added.items()}


@partial(jax.jit, static_argnums=3)
def _measure(
    x: Array, domain: Array, weight: Array, groups: int, held: Composition | None
) -> tuple[Array, Array]:
    """Return mean and scale of every domain: given the populations, where mixtures differ."""
    mean, scale = location_and_scale(x, domain, weight, groups)
    if held is None:
        return mean, scale
    location, given = held.location_and_scale(x, domain, weight)
    _, deviation = mean_and_deviation(x, domain, weight, groups)
    known, lacks = ~constant(deviation, mean), lacking(weight, domain, groups)
    if lacks is not None:
        known, mean = known & ~lacks, jnp.where(lacks, average_of_others(location, lacks), mean)
    # What is constant in a domain tells neither there.
    return jnp.where(known, location, mean), jnp.where(known, given, scale)
