"""How far rows lie outside of what a model was fitted to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jbc.numerics.linalg import eigen, typical_deviations

ROWS, AXES, INSIDE = 2048, 32, 0.99


class Support(NamedTuple):
    """Where the rows of every domain lie: their centres (D, d), and how rows vary about them in all domains.

    ``axes`` (d, r) are the directions of largest variance, of features in ``units`` (d,); ``rest`` is the mean
    variance of all others, and ``edge`` the distance within which 99 % of the rows lie.
    """

    centres: np.ndarray
    units: np.ndarray
    axes: np.ndarray
    variance: np.ndarray
    rest: np.ndarray
    edge: np.ndarray

    def extend(self, new: np.ndarray, controls: np.ndarray, domain: np.ndarray) -> Support:
        """Add a domain of which only controls were seen, whose centre is as far from these as in known domains."""
        away = (self.centres[domain] - controls).mean(axis=0)
        centre = new.mean(axis=0, dtype=np.float64) + away
        return self._replace(centres=np.append(self.centres, centre[None], axis=0))


def measure_support(x: Any, domain: Any, domains: int) -> Support:
    r"""Measure where the rows of every domain lie.

    At most 2048 rows are looked at. Every other one measures how rows vary, by the model of probabilistic principal
    components, and the rest the edge.

    Parameters
    ----------
    x, domain
        Rows (n, d), and the codes of their domains.
    domains
        Number of domains.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(400, 3))
    >>> support = measure_support(x, np.repeat([0, 1], 200), domains=2)
    >>> far = how_far_outside(support, np.array([[0.0, 0, 0], [9, 0, 0]]), np.array([0, 0]))
    >>> bool(far[0] < 1), bool(far[1] > 2)
    (True, True)
    """
    x, domain = np.asarray(x), np.asarray(domain)
    centres = _centres(x, domain, domains)
    taken = np.linspace(0, len(x) - 1, min(len(x), ROWS)).astype(int)
    # In single precision, as rows are measured: sums over them are not.
    rows = (x[taken] - centres.astype(np.float32)[domain[taken]]).astype(np.float32, copy=False)
    squares = np.einsum("ij,ij->j", rows, rows, dtype=np.float64) / len(rows)
    units = typical_deviations(squares, np.abs(centres).max(axis=0))
    rows /= units.astype(np.float32)
    among, others = (rows[::2], rows[1::2]) if len(rows) > 64 else (rows, rows)
    axes, variance, rest = _principal(among)
    bare = Support(centres, units, axes, variance, rest, np.ones(()))
    return bare._replace(edge=np.asarray(np.quantile(_distance(bare, others), INSIDE)))


def _centres(x: np.ndarray, domain: np.ndarray, domains: int) -> np.ndarray:
    """Return the mean of every domain, (domains, d); not the whole table at once in double precision."""
    if np.any(np.diff(domain) < 0):  # rows of a cohort are sorted
        order = np.argsort(domain, kind="stable")
        x, domain = x[order], domain[order]
    total, runs = np.zeros((domains, x.shape[1])), np.flatnonzero(np.diff(domain, prepend=-1))
    for start, end in zip(runs, np.append(runs[1:], len(x)), strict=True):
        total[domain[start]] = x[start:end].sum(axis=0, dtype=np.float64)
    return total / np.maximum(np.bincount(domain, minlength=domains), 1)[:, None]


def how_far_outside(support: Support, x: Any, domain: Any) -> np.ndarray:
    """Return how far every row lies from the centre of its domain, (n,), where 1 is the edge of what was seen."""
    rows = (np.asarray(x, np.float64) - support.centres[domain]) / support.units
    return _distance(support, rows) / support.edge


def _distance(support: Support, rows: np.ndarray) -> np.ndarray:
    """Return Mahalanobis' distance per feature."""
    along = rows @ support.axes.astype(rows.dtype)
    away = np.einsum("ij,ij->i", rows, rows) - np.square(along).sum(axis=1)
    squares = (np.square(along) / support.variance).sum(axis=1) + np.maximum(away, 0) / support.rest
    return np.sqrt(squares / rows.shape[1])


def _principal(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the directions of largest variance, their variances, and the mean variance of all others."""
    n, d = rows.shape
    r = min(AXES, d, max(n // 8, 1))
    # Of the smaller of the two products, which has the same eigenvalues.
    values, vectors = eigen((rows.T @ rows if d <= n else rows @ rows.T).astype(np.float64) / n)
    vectors = vectors[:, :r]
    if d > n:
        size = np.sqrt(np.maximum(n * values[:r], np.finfo(float).tiny))
        vectors = (rows.T @ (vectors / size).astype(rows.dtype)).astype(np.float64)
    floor = 1e-6 * max(values.sum() / d, np.finfo(np.float32).tiny)
    rest = values[r:].sum() / max(d - r, 1)
    return vectors, np.maximum(values[:r], floor), np.maximum(rest, floor)
