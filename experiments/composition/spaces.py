"""The space that a table is scored in, and neighbours in it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

COMPONENTS = 50


class Space(NamedTuple):
    """Standardised features that vary, turned onto principal components where there are too many."""

    varies: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    basis: np.ndarray

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Return rows in this space."""
        return (np.asarray(x, np.float64)[:, self.varies] - self.mean) / self.scale @ self.basis


def measure(x: np.ndarray, components: int = COMPONENTS) -> Space:
    """Return the space of a table, of all domains together and of no more dimensions than asked for."""
    x = np.asarray(x, np.float64)
    scale = x.std(axis=0)
    varies = scale > 1e-9 * np.maximum(1, np.abs(x).max(axis=0))
    centre, scale = x[:, varies].mean(axis=0), scale[varies]
    basis = np.eye(len(scale))
    if len(scale) > components:
        with threadpool_limits(1):
            basis = np.linalg.svd((x[:, varies] - centre) / scale, full_matrices=False)[2][:components].T
    return Space(varies, centre, scale, basis)


def space(x: np.ndarray, components: int = COMPONENTS) -> np.ndarray:
    """Return standardised features, or their first principal components where there are more than these."""
    return measure(x, components).apply(x)


def points(x: np.ndarray) -> np.ndarray:
    """Return what is scored: the table as it is, or its components where it has many columns."""
    return np.asarray(x, np.float64) if x.shape[1] <= COMPONENTS else space(x)


def nearest(x: np.ndarray, of: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return distances and positions of the k nearest of the rows ``x``, or of all if these are fewer."""
    from sklearn.neighbors import NearestNeighbors

    with threadpool_limits(1):
        return NearestNeighbors(n_neighbors=min(k, len(x))).fit(x).kneighbors(of)
