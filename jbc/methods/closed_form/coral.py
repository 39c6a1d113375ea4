"""CORAL: the covariances of all domains are aligned."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.methods import preconditions
from jbc.methods.base import ClosedForm, Fitted
from jbc.methods.closed_form.rows import given_populations, measured, no_inverse, rank, spread_of_all
from jbc.methods.constraints import NonNegative
from jbc.methods.missing import lacking
from jbc.methods.settings import On
from jbc.numerics.linalg import (
    average_of_others,
    covariance,
    deviations,
    eigen,
    matmul_by_group,
)
from jbc.numerics.observed import both_observed, mean_of_observed, nearest_covariance


@dataclasses.dataclass(frozen=True)
class Coral(ClosedForm):
    r"""Give the controls of every domain the same covariance, by one affine map per domain (CORAL).

    .. math:: x' = \bar\mu + (x - \mu_g)\, D^{-1} R_g^{-1/2} R^{1/2} D,
              \qquad R_g = C_g + \eta I, \quad R = C + \eta I

    with the mean :math:`\mu_g` of the controls of the row's domain g, its average :math:`\bar\mu` over domains, the
    covariance :math:`C_g` of the controls divided by D, their scale within domains, and a common covariance C.

    Parameters
    ----------
    ridge
        The regularisation :math:`\eta`. Directions that vary less than this are hardly aligned.
    scale
        Divide by the scale of every feature, and multiply by it afterwards, or not (D = I): features that were
        whitened have their units already. A feature that is constant on the controls is not divided.
    target
        The common covariance: ``"pooled"`` within the domains, or the ``"identity"``, which leaves no correlation.
    centre
        Align the means as well, or leave them out of the formula (:math:`\mu_g = \bar\mu = 0`).
    on
        Measure on the controls, or on all rows.

    Notes
    -----
    Where values are missing, the covariance of two features is over the rows that have both. A feature that a domain
    lacks has its usual variance there, and no covariance with others.

    The publications' form is ``Coral(scale=False, target="identity", centre=False)``, of features that were
    whitened before (:class:`~jbc.methods.closed_form.typical_variation.TypicalVariation`).

    References
    ----------
    Sun, Feng and Saenko, "Return of frustratingly easy domain adaptation", AAAI 2016. Ando, McLean and Berndl,
    "Improving phenotypic measurements in high-content imaging screens", bioRxiv 161422, 2017.

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[0.0], [1.0], [2.0], [10.0], [20.0], [30.0]], list("aaabbb"))
    >>> method = Coral(ridge=0, on="all")
    >>> fitted = method.finish(None, cohort)
    >>> method.transform(fitted, np.array([[1.0], [20.0]]), np.array([0, 1])).tolist()
    [[10.5], [10.5]]
    """

    takes_missing: ClassVar[bool] = True

    ridge: NonNegative = 1.0
    scale: bool = True
    target: Literal["pooled", "identity"] = "pooled"
    centre: bool = True
    on: On = "controls"

    def check(self, cohort: Cohort) -> None:
        """Refuse domains that cannot be measured."""
        preconditions.enough_rows(cohort)
        preconditions.matrices_fit(cohort, len(cohort.domains.count))
        preconditions.two_controls(cohort, self.on)
        if self.ridge == 0:
            _, _, among, _ = self._moments(cohort)
            flat = [cohort.names.domains[i] for i, each in enumerate(among) if rank(each) < len(each)]
            if flat:
                raise no_inverse("Domains whose controls do not vary in all directions", flat)

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Find the map of every domain."""
        del state
        mean, unit, among, pooled = self._moments(cohort)
        root = self._power(np.eye(len(unit)) if self.target == "identity" else pooled, 0.5)
        maps = np.stack([self._power(each, -0.5) @ root for each in among]) * (unit / unit[:, None])
        if not self.centre:
            mean = np.zeros_like(mean)
        fitted = {"mean": mean, "location": mean.mean(axis=0), "map": maps}
        return {name: value.astype(np.float32) for name, value in fitted.items()}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Apply the map of every row's domain."""
        return matmul_by_group(x - fitted["mean"][domain], fitted["map"], domain) + fitted["location"]

    def _moments(self, cohort: Cohort) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the means, the scale, and the covariances after division by it: of every domain, and pooled."""
        rows, domain = measured(cohort, self.on, lacked=False)
        parts = [rows[domain == g] for g in range(len(cohort.domains.count))]
        freedom = np.array([len(part) - 1 for part in parts])
        mean = np.stack([mean_of_observed(part) for part in parts])
        if cohort.composition is not None and self.on == "all":
            mean, parts = given_populations(cohort, rows, domain)
        among = np.stack([covariance(part) for part in parts])
        pooled = np.tensordot(freedom / freedom.sum(), among, 1)
        if cohort.observed is not None:
            mean, among, pooled = _over_observed(cohort, mean, among, parts)
        unit = np.ones(len(pooled))
        if self.scale:
            # A feature that is constant on the controls has no covariance, whatever it is divided by.
            largest = np.maximum(np.abs(mean).max(axis=0), spread_of_all(cohort))
            unit = deviations(np.diag(pooled), largest, np.where(largest > 0, largest, 1))
        units = np.outer(unit, unit)
        return mean, unit, among / units, pooled / units

    def _power(self, among: np.ndarray, exponent: float) -> np.ndarray:
        """Raise a regularised covariance to a power."""
        values, vectors = eigen(among)
        return (vectors * (values + self.ridge) ** exponent) @ vectors.T


def _over_observed(
    cohort: Cohort, mean: np.ndarray, among: np.ndarray, parts: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means and covariances of domains, and the pooled covariance, where values are missing."""
    lacks = lacking(cohort)
    mean = np.where(np.isnan(mean), np.asarray(cohort.x)[np.asarray(cohort.domains.offset)], mean)
    freedom = np.stack([np.maximum(both_observed(~np.isnan(part)) - 1, 0) for part in parts])
    pooled = nearest_covariance((freedom * among).sum(axis=0) / np.maximum(freedom.sum(axis=0), 1))
    usual = np.stack([np.diag(np.diag(pooled))] * len(among))
    either = lacks[:, :, None] | lacks[:, None, :]
    return average_of_others(mean, lacks), np.where(either, usual, among), pooled
