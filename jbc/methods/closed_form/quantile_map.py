"""Quantile maps: every feature of a domain gets the distribution that it has elsewhere."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.methods import preconditions
from jbc.methods.base import Adapts, Bounded, ClosedForm, Fitted
from jbc.methods.closed_form.rows import measured
from jbc.methods.constraints import Several
from jbc.methods.settings import On
from jbc.numerics.edits import Beyond, Edit, apply, outside
from jbc.numerics.linalg import average_of_others, by_group, constant_range


@dataclasses.dataclass(frozen=True)
class QuantileMap(ClosedForm, Adapts, Bounded):
    r"""Give every feature of every domain the same percentiles.

    .. math:: x' = \bar p_j + \frac{x - p_{gj}}{p_{g,j+1} - p_{gj}} (\bar p_{j+1} - \bar p_j)

    with the percentiles :math:`p_g` of the row's domain g, of which x lies between two neighbours, and their averages
    :math:`\bar p` over domains (:mod:`jbc.numerics.edits`). Features are mapped one by one, and their correlations
    are left to themselves. Where classes have other shares in other domains, this difference is removed too: measure
    on controls. A feature that is constant in a domain is only shifted there, by the difference of the medians.

    Parameters
    ----------
    percentiles
        How many are used, from the least value to the largest.
    beyond
        What happens to values outside the range that was measured: they are shifted as its end is, clipped to it, or
        go on with the slope at it; with ``"refuse"``, their rows are an error.
    on
        Measure on all rows of a domain, or on its controls only.

    References
    ----------
    Bolstad et al., A comparison of normalization methods for high density oligonucleotide array data, Bioinformatics
    2003. Van Gassen et al., CytoNorm: a normalization algorithm for cytometry data, Cytometry A 2020 (on controls).

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[0.0], [1.0], [4.0], [10.0], [20.0], [30.0]], list("aaabbb"))
    >>> method = QuantileMap(percentiles=3)
    >>> fitted = method.finish(None, cohort)
    >>> method.transform(fitted, jnp.array([[0.5], [15.0], [31.0]]), jnp.array([0, 1, 1])).tolist()
    [[7.75], [7.75], [18.0]]
    """

    percentiles: Several = 101
    beyond: Beyond | Literal["refuse"] = "shift"
    on: On = "all"

    def check(self, cohort: Cohort) -> None:
        """Refuse domains that cannot be measured."""
        preconditions.enough_rows(cohort)
        preconditions.two_controls(cohort, self.on)
        preconditions.warn_constant(cohort, controls=self.on == "controls")

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Measure the percentiles of every domain."""
        del state
        rows, domain = measured(cohort, self.on)
        knots = np.stack([self._knots(rows[domain == g]) for g in range(len(cohort.domains.count))])
        return {"knots": knots, "to": _average(knots)}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Map rows between the percentiles of their domain."""

        def one(own: Array, x: Array) -> Array:
            beyond = "shift" if self.beyond == "refuse" else self.beyond
            return apply(Edit(own, jnp.asarray(fitted["to"])), x, beyond)

        return by_group(one, fitted["knots"], x, domain)

    def out_of_range(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return how many values of every row lie outside the percentiles of its domain, (n,)."""
        return by_group(lambda own, x: outside(Edit(own, own), x), fitted["knots"], x, domain).sum(axis=1)

    @property
    def refuses_out_of_range(self) -> bool:
        """Whether rows with such values are refused."""
        return self.beyond == "refuse"

    def adapt(self, fitted: Fitted, controls: np.ndarray, reference: np.ndarray) -> Fitted:
        """Measure the percentiles of one more domain, where all were measured on their controls."""
        del reference
        preconditions.by_controls(self.on, "Percentiles")
        knots = self._knots(controls) if len(controls) else fitted["to"]
        return {"knots": np.append(fitted["knots"], knots[None], axis=0), "to": fitted["to"]}

    def _knots(self, rows: np.ndarray) -> np.ndarray:
        return np.percentile(rows, np.linspace(0, 100, self.percentiles), axis=0).astype(np.float32)


def _average(knots: np.ndarray) -> np.ndarray:
    """Average percentiles over domains, (domains, percentiles, d); those of a constant feature tell only where it is.

    Examples
    --------
    >>> _average(np.array([[[0.0], [2.0], [6.0]], [[4.0], [4.0], [4.0]]])).tolist()
    [[1.0], [3.0], [7.0]]
    """
    flat = constant_range(knots[:, 0], knots[:, -1])
    if flat.any():
        middle = np.median(knots, axis=1, keepdims=True)
        knots = middle + average_of_others(knots - middle, np.broadcast_to(flat[:, None], knots.shape))
    return knots.mean(axis=0)
