"""Principal components of a table, and the way back. Host code, NumPy only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jbc.numerics.centring import sums
from jbc.numerics.linalg import deviations, eigen, principal_axes

BLOCK = 4096


class Projection(NamedTuple):
    """How rows become components, and how components become rows.

    ``factor`` (d,) is the inverse of the scale of every feature, 0 for a constant one; ``project`` (d, p) are the
    directions times it, and ``restore`` (p, d) the directions times the scale.
    """

    mean: np.ndarray
    factor: np.ndarray
    project: np.ndarray
    restore: np.ndarray

    def codes(self, x: np.ndarray) -> np.ndarray:
        """Return the components of rows, (n, p) float32, never with the whole table in double precision."""
        parts = [x[i : i + BLOCK] - self.mean for i in range(0, len(x), BLOCK)]
        return np.concatenate([(part @ self.project).astype(np.float32) for part in parts])


def scaling(x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of every feature over weighted rows, and the inverse of its standard deviation.

    Examples
    --------
    >>> [part.tolist() for part in scaling(np.array([[1.0, 5.0], [5.0, 5.0]]), np.ones(2))]
    [[3.0, 5.0], [0.5, 0.0]]
    """
    counts, total = weight[:, None], weight.sum()
    mean = sums(x, counts)[0] / total
    shift, squares = sums(x, counts, mean)
    return mean + shift / total, 1 / deviations(squares / total, np.abs(mean), np.inf)


def principal_projection(x: np.ndarray, weight: np.ndarray, components: int, *, scale: bool) -> Projection:
    """Return the first principal components of weighted rows.

    The largest entry of every direction is positive: libraries of linear algebra differ in the signs.

    Parameters
    ----------
    x, weight
        Rows (n, d), and how often each counts.
    components
        How many, at most as many as there are features.
    scale
        Divide features by their standard deviation first. A constant feature is left out, scaled or not.

    Examples
    --------
    >>> found = principal_projection(np.array([[0.0, 7.0], [4.0, 7.0]]), np.ones(2), 5, scale=True)
    >>> found.codes(np.array([[6.0, 9.0]])).round(3).tolist(), found.restore.round(3).tolist()
    ([[2.0, 0.0]], [[2.0, 0.0], [0.0, 0.0]])
    """
    mean, factor = scaling(x, weight)
    if not scale:
        factor = (factor > 0).astype(float)
    back = np.where(factor > 0, 1 / np.where(factor > 0, factor, 1), 0)
    if len(x) < x.shape[1]:
        rows = (x - mean) * factor * np.sqrt(weight)[:, None]
        _, axes = principal_axes(rows, components)
        largest = np.abs(axes).argmax(axis=0)
        axes = axes * np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1, 1)
    else:
        gram = np.zeros((len(mean), len(mean)))
        for i in range(0, len(x), BLOCK):
            rows = (x[i : i + BLOCK] - mean) * factor
            gram += rows.T @ (rows * weight[i : i + BLOCK, None])
        axes = eigen(gram)[1][:, :components]
    return Projection(mean, factor, axes * factor[:, None], axes.T * back)
