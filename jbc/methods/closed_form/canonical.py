"""Canonical vectors of two tables with the same features, and the alignment of their codes. Host code, NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse.linalg import svds

from jbc.numerics.warping import warp

# Singular values that are a smaller part of the largest one are rounding.
RANK = 1e-6
# From this size on, singular vectors are found by iterations.
LARGE = 1500
# Features that a metagene is chosen from, as in Seurat; and positions of a sequence that is warped, by rank.
CANDIDATES, LONGEST = 2000, 1000
# Percentiles nearer to each other, in parts of the range of a code, are taken for one.
TIED = 1e-4


class Vectors(NamedTuple):
    """What gives codes of rows of the sources and of the target, (d, k) each, and rows of codes, (k, d)."""

    source: np.ndarray
    target: np.ndarray
    back: np.ndarray


class Rows(NamedTuple):
    """Rows of a domain, their codes, and how often each counts."""

    z: np.ndarray
    code: np.ndarray
    weight: np.ndarray


def standard_rows(z: np.ndarray) -> np.ndarray:
    """Return rows of mean 0 and variance 1, each over its features; a constant row becomes 0.

    Examples
    --------
    >>> standard_rows(np.array([[1.0, 3.0], [5.0, 5.0]])).tolist()
    [[-1.0, 1.0], [0.0, 0.0]]
    """
    deviation = z.std(axis=1, keepdims=True)
    return (z - z.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, np.inf)


def canonical_vectors(
    x: np.ndarray, y: np.ndarray, weights: tuple[np.ndarray, np.ndarray], number: int
) -> Vectors:
    r"""Return canonical vectors of the rows of two tables, with the features in the place of samples.

    The singular value decomposition :math:`X Y^\top = U S V^\top` gives the vectors U and V; the loadings
    :math:`Y^\top V S^{-1}` and :math:`X^\top U S^{-1}` give them of rows: :math:`X Y^\top V S^{-1} = U`.

    Parameters
    ----------
    x, y
        Standardised rows, (n, d) and (m, d).
    weights
        How often each row counts, (n,) and (m,).
    number
        How many; those that the rows do not tell are 0. Codes have the mean square 1.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).normal(size=(2, 20, 3))
    >>> found = canonical_vectors(x, y, (np.ones(20), np.ones(20)), 3)
    >>> np.round(found.target.T @ y.T @ y @ found.target / 20, 6).diagonal().tolist()
    [1.0, 1.0, 1.0]
    """
    # Without the part of a decomposition that is as long as the table: X = Q R leaves R.
    x, y = (_shorter(np.sqrt(each)[:, None] * table) for each, table in zip(weights, (x, y), strict=True))
    u, size, vt = _largest(x @ y.T, number)
    kept = size > RANK * max(size[0], np.finfo(float).tiny)
    inverse = np.where(kept, 1 / np.where(kept, size, 1), 0)
    source, target = y.T @ vt.T * inverse, x.T @ u * inverse
    sign = np.sign(target[np.abs(target).argmax(axis=0), np.arange(len(size))])
    found = [
        np.pad(sign * side * np.sqrt(each.sum()), ((0, 0), (0, number - len(size))))
        for side, each in zip((source, target), weights, strict=True)
    ]
    return Vectors(*found, back=np.linalg.pinv(found[1], rcond=RANK))


def _shorter(table: np.ndarray) -> np.ndarray:
    """Return a table with the same products of columns, and no more rows than columns."""
    if len(table) <= table.shape[1]:
        return table
    short = np.linalg.qr(table, mode="r")
    assert isinstance(short, np.ndarray)
    return short


def _largest(cross: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the first parts of a singular value decomposition."""
    least = min(cross.shape)
    if least > LARGE and number < least // 4:
        u, size, vt = svds(cross, number, v0=np.ones(least))  # smallest first
        assert u is not None
        assert vt is not None
        return u[:, ::-1], size[::-1], vt[::-1]
    u, size, vt = np.linalg.svd(cross, full_matrices=False)
    return u[:, :number], size[:number], vt[:number]


def midcorrelation(code: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the biweight midcorrelation of a code (n,) with every column of a table (n, d), (d,).

    Where more than half of the values are one, it is the plain correlation with them.

    Examples
    --------
    >>> midcorrelation(np.arange(5.0), np.array([[0.0], [1.0], [2.0], [3.0], [400.0]])).round(2).tolist()
    [0.78]
    """
    own, other = _biweight(code[:, None]), _biweight(z)
    return (own.T @ other)[0]


def _biweight(x: np.ndarray) -> np.ndarray:
    """Return columns less their medians, weighted by how near they are to it, and of norm 1."""
    centred = x - np.median(x, axis=0)
    spread = 9 * np.median(np.abs(centred), axis=0)
    share = np.abs(centred) / np.where(spread > 0, spread, 1)
    weighted = np.where(share < 1, centred * np.square(1 - np.square(share)), 0)
    weighted = np.where(spread > 0, weighted, x - x.mean(axis=0))
    norm = np.linalg.norm(weighted, axis=0)
    return weighted / np.where(norm > 0, norm, np.inf)


def metagene_map(source: Rows, target: Rows, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes of a source in ascending order, and where dynamic time warping of metagenes takes them.

    A metagene is the sum of the features that the code is most correlated with in both domains, and in one direction,
    weighted by their loadings. Along the order of the code, that of the source is warped onto that of the target; a
    code goes to the mean code of the positions that belong to its own.

    Parameters
    ----------
    source, target
        Rows with one code, (n,).
    features
        Most features of a metagene.

    Examples
    --------
    >>> code = np.linspace(-1, 1, 40)
    >>> rows = Rows(np.outer(code, [1.0, 2.0]), code, np.ones(40))
    >>> own, moved = metagene_map(rows, rows._replace(code=code + 3), 2)
    >>> bool(np.allclose(moved, own + 3))
    True
    """
    source, target = _in_order(source), _in_order(target)
    metagenes = _metagenes(source, target, features)
    if metagenes is None:
        return source.code, source.code
    first, second = metagenes
    # The smallest difference of their middle percentiles is taken for a shift of all.
    middle = np.linspace(0.1, 0.9, 801)
    apart = np.quantile(first, middle) - np.quantile(second, middle)
    at, to = warp(first, second + apart[np.abs(apart).argmin()])
    moved = np.bincount(at, target.code[to]) / np.bincount(at)
    return source.code, moved


def without_ties(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where percentiles lie, and where they go, with one goal for those that nearly coincide, (percentiles,).

    A map that jumps, or nearly does, takes a row elsewhere by the rounding of its code.

    Examples
    --------
    >>> [each.tolist() for each in without_ties(np.array([0.0, 1.0, 1.0, 3.0]), np.array([0.0, 2.0, 4.0, 5.0]))]
    [[0.0, 1.0, 1.0, 3.0], [0.0, 3.0, 3.0, 5.0]]
    """
    run = np.cumsum(np.append(True, np.diff(source) > TIED * (source[-1] - source[0]))) - 1
    first, second = (np.bincount(run, each) / np.bincount(run) for each in (source, target))
    return first[run], second[run]


def _in_order(rows: Rows) -> Rows:
    """Return rows in the order of their code, each as often as it counts, or a part of them at equal ranks."""
    order = np.argsort(rows.code, kind="stable")
    order = np.repeat(order, rows.weight[order].astype(int))
    if len(order) > LONGEST:
        order = order[np.linspace(0, len(order) - 1, LONGEST).round().astype(int)]
    return Rows(rows.z[order], rows.code[order], np.ones(len(order)))


def _metagenes(source: Rows, target: Rows, features: int) -> list[np.ndarray] | None:
    """Return the metagenes of both along their codes, in units of their 95 % range; None where there are none."""
    sides = (source, target)
    loading = [side.z.T @ side.code for side in sides]
    least = np.min([_ranks(np.abs(each)) for each in loading], axis=0)
    chosen = np.sort(np.argsort(-least, kind="stable")[:CANDIDATES])
    like = [midcorrelation(side.code, side.z[:, chosen]) for side in sides]
    least = np.min([_ranks(np.abs(each)) for each in like], axis=0)
    least = np.where(like[0] * like[1] > 0, least, -1)
    best = np.argsort(-least, kind="stable")[:features]
    chosen = chosen[best[least[best] >= 0]]
    found = []
    for side, own in zip(sides, loading, strict=True):
        metagene = side.z[:, chosen] @ own[chosen]
        low, high = np.quantile(metagene, (0.025, 0.975))
        if not high > low:
            return None
        found.append((metagene - low) / (high - low))
    return found


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 0, equal values in their order."""
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks
