r"""The subspace in which networks see wide tables. Host code, NumPy only.

A network on 20,000 features has more weights than rows can tell, and more than memory holds. A thousand rows span a
thousand directions at most, and most of what they vary by lies along few of them.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import numpy as np
from jax import Array

from jbc.numerics.linalg import principal_axes

ROWS, VALUES = 2000, 40_000_000  # rows that components are computed of, and values
# A direction that varies by a smaller part of the largest one, or of a row, is rounding.
SLIGHT = 1e-3


@partial(jax.tree_util.register_dataclass, data_fields=["basis", "size", "codes"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class Subspace:
    """Directions of standardised features, and where the rows of a cohort lie along them.

    Attributes
    ----------
    basis : (d, k) float32
        Orthonormal directions, as columns; 0 where rows span fewer than k.
    size : () float32
        What all codes are divided by, so that they vary by 1 on average; or 1.
    codes : (n, k) float32
        Rows in the subspace, which networks are trained on.
    """

    basis: Array
    size: Array
    codes: Array


def find_basis(
    z: np.ndarray, domain: np.ndarray, weight: np.ndarray, means: np.ndarray, components: int, shifts: int
) -> np.ndarray:
    r"""Return directions between the means of domains, and then those in which rows vary most within domains.

    The former are all that a shift of a domain is: with D domains, D - 1 directions hold every shift exactly. The
    latter are the principal components of the rows less the mean of their domain, perpendicular to them, by the
    eigenvectors of the rows' products with each other, (n, n), and never by a matrix over pairs of features.

    Parameters
    ----------
    z, domain, weight
        Standardised rows (n, d), the codes of their domains, and how often each counts.
    means
        Means of the domains, (D, d), over all of their rows.
    components, shifts
        Number of components, and at most how many directions between means.

    Returns
    -------
    (d, components + shifts) float32
        Columns beyond what rows span are 0.

    Examples
    --------
    >>> z = np.array([[3.0, 0, 0], [1, 0, 0], [0, 9, 5], [0, 7, 5]])
    >>> means = np.array([[2.0, 0, 0], [0, 8, 5]])
    >>> basis = find_basis(z, np.array([0, 0, 1, 1]), np.ones(4, int), means, components=1, shifts=1)
    >>> basis.shape, bool(np.allclose(basis.T @ basis, np.eye(2), atol=1e-5))
    ((3, 2), True)
    >>> bool(np.allclose((means[0] - means[1]) @ basis @ basis.T, means[0] - means[1], atol=1e-5))
    True
    """
    rest = ((z - means[domain]) * np.sqrt(weight)[:, None]).astype(np.float32)
    typical = float(np.sqrt(np.einsum("ij,ij->", rest, rest, dtype=np.float64) / max(weight.sum(), 1)))
    between = _directions(means - means.mean(axis=0), shifts, SLIGHT * typical)
    rest -= (rest @ between) @ between.T
    within = _directions(rest, components, 0.0)
    found = np.hstack([between, within])
    # Once more, for what single precision left.
    kept = np.linalg.qr(found.astype(np.float64))[0] if found.shape[1] else found
    kept = kept * np.where(np.einsum("ij,ij->j", kept, found) < 0, -1, 1)
    return np.pad(kept, ((0, 0), (0, components + shifts - kept.shape[1]))).astype(np.float32)


def _directions(x: np.ndarray, most: int, least: float) -> np.ndarray:
    """Return the directions in which rows (n, d) vary most, (d, k), of those that are more than rounding.

    The sign of each is such that the row that lies farthest along it lies there in the positive.
    """
    size, axes = principal_axes(x, most)
    axes = axes[:, size > max(SLIGHT * size.max(initial=0), least)]
    along = x @ axes
    if not axes.shape[1]:
        return axes.astype(np.float32)
    farthest = np.take_along_axis(along, np.abs(along).argmax(axis=0)[None], axis=0)[0]
    return (axes * np.where(farthest < 0, -1, 1)).astype(np.float32)


def sample(weight: np.ndarray, d: int) -> np.ndarray:
    """Return the positions of the rows that components are computed of: all that count, or evenly many of them.

    Examples
    --------
    >>> sample(np.array([1, 0, 2]), d=5).tolist(), len(sample(np.ones(9000), d=100_000))
    ([0, 2], 400)
    """
    there = np.flatnonzero(weight)
    number = min(len(there), ROWS, max(VALUES // d, 1))
    return there[np.linspace(0, len(there) - 1, number).astype(int)]
