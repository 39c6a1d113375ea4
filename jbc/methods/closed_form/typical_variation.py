"""Typical variation normalisation: the controls of all domains are whitened."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.errors import InputError
from jbc.methods import preconditions
from jbc.methods.base import ClosedForm, Fitted
from jbc.methods.closed_form.rows import measured, no_inverse, rank, spread_of_all
from jbc.methods.constraints import NonNegative
from jbc.methods.settings import On
from jbc.numerics.linalg import ROUNDING, covariance, deviations, eigen
from jbc.numerics.observed import mean_of_observed


@dataclasses.dataclass(frozen=True)
class TypicalVariation(ClosedForm):
    r"""Whiten the controls: what varies among them is shrunk, what does not is enlarged (TVN, sphering).

    .. math:: x' = (x - \mu)\, D^{-1} V (\Lambda + \lambda I)^{-1/2} \;[V^\top]

    with the mean :math:`\mu` and the scale :math:`D` of the controls of all domains, and
    :math:`V \Lambda V^\top` the covariance of :math:`(x - \mu) D^{-1}` over them. With :math:`\lambda = 0` the
    transformed controls have mean 0 and covariance I.

    One map serves all domains. It does not align them, and its output is not in the units of the input.

    Parameters
    ----------
    ridge
        The regularisation :math:`\lambda`. 0 whitens entirely, and needs more controls than features.
    scale
        Divide by the scale of every feature first (D), or not (D = I). A feature that is constant on the
        controls has the scale of all rows; one that is constant there too has none, and becomes 0.
    basis
        ``"features"`` rotates back (ZCA), so that every column stays as close as it can to the feature it is
        named after; ``"components"`` leaves the principal components of the controls, largest first. Distances and
        angles are the same in both.
    on
        Measure on the controls, or on all rows.

    Notes
    -----
    Where values are missing, the covariance of two features is over the rows that have both.

    The defaults follow the sphering of pycytominer with standardised features. The publication whitens entirely,
    in the basis of the components: ``TypicalVariation(ridge=0, scale=False, basis="components")``.

    References
    ----------
    Ando, McLean and Berndl, "Improving phenotypic measurements in high-content imaging screens", bioRxiv 161422,
    2017.

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[0.0], [2.0], [4.0], [9.0]], list("aabb"), control=[1, 1, 1, 0])
    >>> method = TypicalVariation(ridge=0)
    >>> fitted = method.finish(None, cohort)
    >>> method.transform(fitted, jnp.array([[0.0], [4.0], [9.0]]), jnp.array([0, 1, 1])).tolist()
    [[-1.0], [1.0], [3.5]]
    """

    takes_missing: ClassVar[bool] = True

    keeps_units: ClassVar[bool] = False

    ridge: NonNegative = 1.0
    scale: bool = True
    basis: Literal["features", "components"] = "features"
    on: On = "controls"

    def check(self, cohort: Cohort) -> None:
        """Refuse controls that cannot be whitened."""
        preconditions.enough_rows(cohort)
        preconditions.matrices_fit(cohort)
        rows, _ = measured(cohort, self.on)
        if len(rows) < 2:
            raise InputError(
                f"{len(rows)} control rows in all domains together",
                why="The variation among controls is what is whitened.",
                fix='Mark the controls, or use on="all".',
                code="few-controls",
            )
        if self.ridge == 0 and rank(self._moments(cohort)[2]) < rows.shape[1]:
            flat = np.ptp(rows, axis=0) == 0
            raise no_inverse(
                f"{len(rows)} controls do not vary in all directions of {rows.shape[1]} features",
                [cohort.names.features[i] for i in np.flatnonzero(flat)] or None,
            )

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Whiten the controls."""
        del state
        mean, unit, among = self._moments(cohort)
        values, vectors = eigen(among)
        white = vectors / np.sqrt(values + self.ridge)
        if self.basis == "features":
            white = white @ vectors.T
        return {"mean": mean.astype(np.float32), "map": (white / unit[:, None]).astype(np.float32)}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Apply the one map."""
        del domain
        return jnp.matmul(x - fitted["mean"], fitted["map"], precision="highest")

    def _moments(self, cohort: Cohort) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the mean and the scale, and the covariance after division by the scale."""
        rows, _ = measured(cohort, self.on, lacked=False)
        among, mean = covariance(rows), mean_of_observed(rows)
        # Without a value among these rows, those of all rows tell where a feature lies.
        mean = np.where(np.isnan(mean), np.asarray(cohort.x).mean(axis=0), mean)
        unit = np.ones_like(mean)
        if self.scale:
            everywhere = spread_of_all(cohort)
            size = np.maximum(np.abs(mean), everywhere)
            unit = deviations(
                np.diag(among), size, np.where(everywhere > ROUNDING * size, everywhere, np.inf)
            )
        return mean, unit, among / np.outer(unit, unit)
