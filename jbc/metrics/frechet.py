"""The Fréchet distance of two groups of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from jbc.metrics._inputs import two_groups


def frechet_distance(a: Any, b: Any) -> float:
    r"""Return the squared Fréchet distance of two groups of rows, each taken for a Gaussian.

    .. math:: \lVert \mu_a - \mu_b \rVert^2
              + \operatorname{tr}\bigl(\Sigma_a + \Sigma_b - 2 (\Sigma_a^{1/2} \Sigma_b \Sigma_a^{1/2})^{1/2}\bigr)

    which is also the squared Wasserstein-2 distance of the Gaussians. Of features of an Inception network it is the
    Fréchet Inception distance (FID). It is biased: groups of one distribution have a distance above 0, which falls as
    1 / rows; compare values only at equal numbers of rows.

    The trace of the last term is the sum of the singular values of :math:`R_a R_b^\top` with triangular factors
    :math:`\Sigma = R^\top R` of the rows. No covariance is multiplied out and no root is taken, so that singular
    covariances, and fewer rows than columns, cost no accuracy.

    Parameters
    ----------
    a, b
        Features, (n, d) and (m, d), two rows or more each.

    Examples
    --------
    >>> a = np.array([[0.0], [1.0]])
    >>> round(frechet_distance(a, a + 9.0), 6), round(frechet_distance(a, 3 * a - 1.0), 6)  # 9 ** 2; 2 ** 2 / 2
    (81.0, 2.0)

    References
    ----------
    Dowson and Landau, The Fréchet distance between multivariate normal distributions, Journal of Multivariate
    Analysis 1982. Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium,
    NeurIPS 2017.
    """
    a, b = two_groups(a, b, "The Fréchet distance")
    factor_a, factor_b = _factor(a), _factor(b)
    shared = np.linalg.svd(factor_a @ factor_b.T, compute_uv=False).sum()
    squares = np.square(factor_a).sum() + np.square(factor_b).sum() - 2 * shared
    return float(np.square(a.mean(axis=0) - b.mean(axis=0)).sum() + max(squares, 0.0))


def _factor(x: np.ndarray) -> np.ndarray:
    """Return R of the covariance R.T @ R of rows."""
    return np.asarray(np.linalg.qr((x - x.mean(axis=0)) / np.sqrt(len(x) - 1), mode="r"))
