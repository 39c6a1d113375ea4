"""Percentiles of the controls of every plate, and the factors behind the features."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.methods import preconditions
from jbc.methods.base import ClosedForm, Encodes, Fitted
from jbc.methods.closed_form.rows import RANK, measured, spread_of_all
from jbc.methods.constraints import Positive
from jbc.methods.missing import lacking
from jbc.methods.settings import On
from jbc.numerics.linalg import ROUNDING, average_of_others, constant_range, covariance, eigen
from jbc.numerics.observed import mean_of_observed, percentiles_of_observed

LOW, HIGH = 1, 99


@dataclasses.dataclass(frozen=True)
class Percentiles(ClosedForm, Encodes):
    r"""Put the 1st and the 99th percentile of every domain's controls to 0 and 1, then find common factors.

    .. math:: x'_j = \frac{x_j - q_{1,gj}}{q_{99,gj} - q_{1,gj}}, \qquad
              z = (x' - \bar x')\, \Psi^{-1} W^\top (I + W \Psi^{-1} W^\top)^{-1}

    with the percentiles q of feature j over the controls of the row's domain g. :meth:`transform` gives
    :math:`x'`, whose unit is the range of the controls, and :meth:`encode` the expected factors z of the model
    :math:`x' \sim N(\bar x' + zW, \Psi)`, fitted to the controls of all domains by maximum likelihood.

    The domains should be plates: everything that a domain's controls share is removed.

    Parameters
    ----------
    factors
        Number of factors, at most as many as there are directions in which the rows vary.
    on
        Measure on the controls, or on all rows.

    Notes
    -----
    The publications do not say of which rows the factors are. Those of the controls find the mechanisms of BBBC021
    better than those of all rows, as the whitening of controls does.

    Where values are missing, the factors are those of the covariances of rows that have both of two features.

    A feature that is constant on the controls of one domain has no range there, and gets its average range in
    the other domains; where it has none, the standard deviation of all rows is its unit. A feature that is constant
    in all rows becomes 0.

    References
    ----------
    Ljosa et al., "Comparison of methods for image-based profiling of cellular morphological responses to
    small-molecule treatment", Journal of Biomolecular Screening 18, 2013.

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[0.0], [100.0], [10.0], [210.0]], list("aabb"), control=[True] * 4)
    >>> method = Percentiles()
    >>> fitted = method.finish(None, cohort)
    >>> method.transform(fitted, jnp.array([[50.0], [110.0]]), jnp.array([0, 1])).tolist()
    [[0.5], [0.5]]
    """

    takes_missing: ClassVar[bool] = True

    keeps_units: ClassVar[bool] = False

    factors: Positive = 50
    on: On = "controls"

    def check(self, cohort: Cohort) -> None:
        """Refuse domains that cannot be measured."""
        preconditions.enough_rows(cohort)
        preconditions.two_controls(cohort, self.on)
        preconditions.warn_constant(cohort, controls=self.on == "controls")

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Measure the percentiles, and analyse the factors."""
        del state
        rows, domain = measured(cohort, self.on)
        ends = [
            percentiles_of_observed(rows[domain == g], (LOW, HIGH)) for g in range(len(cohort.domains.count))
        ]
        low, high = np.stack(ends, axis=1)
        flat = constant_range(low, high)
        low = average_of_others(low, lacking(cohort))
        everywhere = spread_of_all(cohort)
        unknown = np.where(everywhere > ROUNDING * np.abs(low).max(axis=0), everywhere, np.inf)
        width = np.where(flat.all(axis=0), unknown, average_of_others(high - low, flat))
        mean, encoder = _factors((rows - low[domain]) / width[domain], self.factors)
        fitted = {"low": low, "range": width, "mean": mean, "encoder": encoder}
        return {name: value.astype(np.float32) for name, value in fitted.items()}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Measure rows in the ranges of the controls of their domains."""
        return (x - fitted["low"][domain]) / fitted["range"][domain]

    def encode(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return the factors, (n, factors)."""
        x = self.transform(fitted, x, domain) - fitted["mean"]
        return jnp.matmul(x, fitted["encoder"], precision="highest")


def _factors(x: np.ndarray, factors: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the rows, and the matrix (d, factors) that gives the factors of what is left."""
    from sklearn.decomposition import FactorAnalysis

    mean = mean_of_observed(x)
    if np.isnan(x).any():
        # Rows of mean 0 with the covariance of what is observed, which is all that the factors depend on.
        values, vectors = eigen(covariance(x))
        root = (vectors * np.sqrt(values * len(values))) @ vectors.T
        x = mean + np.concatenate([root, -root])
    directions = np.linalg.matrix_rank(x - x.mean(axis=0), rtol=np.sqrt(RANK))
    if not directions:
        return mean, np.zeros((x.shape[1], 1))
    # The approximate decomposition, which is the default, ends before the maximum.
    model = FactorAnalysis(min(factors, directions), svd_method="lapack").fit(x)
    weighted = model.components_ / model.noise_variance_
    inner = np.eye(len(weighted)) + weighted @ model.components_.T
    return model.mean_, np.linalg.solve(inner, weighted).T
