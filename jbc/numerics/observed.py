"""Moments of what is observed, where values are missing (NaN). Host code, NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mean_of_observed(rows: np.ndarray) -> np.ndarray:
    """Return the mean of what every column has; NaN where it has nothing.

    Examples
    --------
    >>> mean_of_observed(np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])).tolist()
    [2.0, nan]
    """
    seen = ~np.isnan(rows)
    if seen.all():
        return rows.mean(axis=0)
    count = seen.sum(axis=0)
    return np.where(count > 0, np.where(seen, rows, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def percentiles_of_observed(rows: np.ndarray, which: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return percentiles of what every column has, which is one value at least.

    Examples
    --------
    >>> percentiles_of_observed(np.array([[1.0], [3.0], [np.nan]]), (0, 50)).ravel().tolist()
    [1.0, 2.0]
    """
    find = np.nanpercentile if np.isnan(rows).any() else np.percentile
    return find(rows, which, axis=0)


def covariance_of_observed(rows: np.ndarray) -> np.ndarray:
    """Return the unbiased covariance of rows (n, d), each of its entries from the rows that have both features.

    Features that fewer than two rows have in common have the covariance 0. What comes of this need not be a
    covariance, and is made one by :func:`nearest_covariance`.

    Examples
    --------
    >>> covariance_of_observed(np.array([[0.0, 1.0], [2.0, 3.0], [4.0, np.nan]])).tolist()
    [[4.0, 2.0], [2.0, 2.0]]
    """
    seen = ~np.isnan(rows)
    away = np.where(seen, rows, 0)
    away = np.where(seen, rows - away.sum(axis=0) / np.maximum(seen.sum(axis=0), 1), 0)
    freedom = both_observed(seen) - 1
    return nearest_covariance(np.where(freedom > 0, away.T @ away / np.maximum(freedom, 1), 0))


def both_observed(seen: np.ndarray) -> np.ndarray:
    """Return how many rows have a value of two features, (d, d), by which values are there, (n, d).

    Examples
    --------
    >>> both_observed(np.array([[True, True], [True, False]])).tolist()
    [[2.0, 1.0], [1.0, 1.0]]
    """
    return seen.T.astype(np.float64) @ seen


def nearest_covariance(table: np.ndarray) -> np.ndarray:
    """Return a table of variances and covariances made positive semi-definite; its variances stay as they are.

    Negative eigenvalues of the correlations become 0: covariances of different rows need not fit to each other.

    Examples
    --------
    >>> nearest_covariance(np.array([[1.0, 2.0], [2.0, 1.0]])).round(6).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    scale = np.sqrt(np.diag(table))
    unit = np.where(scale > 0, scale, 1)
    values, vectors = np.linalg.eigh(table / np.outer(unit, unit))
    if values[0] >= 0:
        return table
    found = (vectors * np.maximum(values, 0)) @ vectors.T
    size = np.sqrt(np.diag(found))
    back = scale / np.where(size > 0, size, 1)
    return found * np.outer(back, back)
