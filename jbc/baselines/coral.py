"""CORAL: the covariances of all domains are aligned."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import numpy as np
from jax import Array

from jbc import audit
from jbc.baselines.rows import On, covariance, measured, no_inverse, rank, two_controls
from jbc.cohort import Cohort
from jbc.linalg import eigen, matmul_by_group
from jbc.methods.base import ClosedForm, Fitted


@dataclasses.dataclass(frozen=True)
class Coral(ClosedForm):
    r"""Give the controls of every domain the same covariance, by one affine map per domain (CORAL).

    .. math:: x' = \bar\mu + (x - \mu_g)\, R_g^{-1/2} R^{1/2}, \qquad R_g = C_g + \eta I, \quad R = C + \eta I

    with mean :math:`\mu_g` and covariance :math:`C_g` of the controls of the row's domain g, the average
    :math:`\bar\mu` of the means over domains, and a common covariance C.

    Parameters
    ----------
    ridge
        The regularisation :math:`\eta`, in squared units of the features: 1 fits features of unit spread. Domains
        differ in the strength of what is below it as they did before.
    target
        The common covariance: ``"pooled"`` within the domains, which stays in the units of the input, or the
        ``"identity"``.
    centre
        Align the means as well, or leave them out of the formula (:math:`\mu_g = \bar\mu = 0`).
    on
        Measure on the controls, or on all rows.

    Notes
    -----
    The publications' form is ``Coral(target="identity", centre=False)``, with :math:`\eta = 1` on features that
    were whitened before (:class:`~jbc.baselines.tvn.TypicalVariation`).

    References
    ----------
    Sun, Feng and Saenko, "Return of frustratingly easy domain adaptation", AAAI 2016. Ando, McLean and Berndl,
    "Improving phenotypic measurements in high-content imaging screens", bioRxiv 161422, 2017.

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[0.0], [1.0], [2.0], [10.0], [20.0], [30.0]], list("aaabbb"))
    >>> method = Coral(ridge=0, target="identity", on="all")
    >>> fitted = method.finish(None, cohort)
    >>> method.transform(fitted, np.array([[0.0], [10.0]]), np.array([0, 1])).tolist()
    [[9.5], [9.5]]
    """

    compiled: ClassVar[bool] = False

    ridge: float = 1.0
    target: Literal["pooled", "identity"] = "pooled"
    centre: bool = True
    on: On = "controls"

    def check(self, cohort: Cohort) -> None:
        """Refuse domains that cannot be measured."""
        audit.enough_rows(cohort)
        two_controls(cohort, self.on)
        if self.ridge == 0:
            _, _, among = self._moments(cohort)
            flat = [cohort.names.domains[i] for i, each in enumerate(among) if rank(each) < len(each)]
            if flat:
                raise no_inverse("Domains whose controls do not vary in all directions", flat)

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Find the map of every domain."""
        del state
        count, mean, among = self._moments(cohort)
        d = among.shape[-1]
        pooled = np.tensordot((count - 1) / (count - 1).sum(), among, 1)
        root = self._power(np.eye(d) if self.target == "identity" else pooled, 0.5)
        maps = np.stack([self._power(each, -0.5) @ root for each in among])
        if not self.centre:
            mean = np.zeros_like(mean)
        fitted = {"mean": mean, "location": mean.mean(axis=0), "map": maps}
        return {name: value.astype(np.float32) for name, value in fitted.items()}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Apply the map of every row's domain."""
        return matmul_by_group(x - fitted["mean"][domain], fitted["map"], domain) + fitted["location"]

    def _moments(self, cohort: Cohort) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the number of rows, mean and covariance of every domain."""
        rows, domain = measured(cohort, self.on)
        parts = [rows[domain == g] for g in range(len(cohort.domains.count))]
        count, mean, among = zip(
            *((len(part), part.mean(axis=0), covariance(part)) for part in parts), strict=True
        )
        return np.array(count), np.stack(mean), np.stack(among)

    def _power(self, among: np.ndarray, exponent: float) -> np.ndarray:
        """Raise a regularised covariance to a power."""
        values, vectors = eigen(among)
        return (vectors * (values + self.ridge) ** exponent) @ vectors.T
