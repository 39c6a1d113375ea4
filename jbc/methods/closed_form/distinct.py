"""Rows without their repetitions, numbered in a way that neither units nor the places of rows and columns change."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BLOCK = 4096


class Distinct(NamedTuple):
    """Different rows of every domain.

    Attributes
    ----------
    at : (m,)
        Where the first of each is in the table.
    kind : (m,)
        A number of its values, which equal rows of other domains share.
    weight : (m,)
        How often it is there.
    kinds : int
        How many kinds there are.
    """

    at: np.ndarray
    kind: np.ndarray
    weight: np.ndarray
    kinds: int


def distinct_rows(x: np.ndarray, factor: np.ndarray, domain: np.ndarray, weight: np.ndarray) -> Distinct:
    """Merge equal rows of one domain, and leave out rows of weight 0.

    Kinds are numbered by the sums of their values times ``factor``, so that columns in another order, or in other
    units, are numbered in the same way.

    Parameters
    ----------
    x, domain, weight
        Rows (n, d), their domains, and how often each counts.
    factor
        What every feature is multiplied by before the sum, (d,): the inverse of its scale.

    Examples
    --------
    >>> x = np.array([[3.0], [1.0], [3.0], [3.0], [2.0]])
    >>> distinct_rows(x, np.ones(1), np.array([0, 0, 0, 1, 1]), np.array([1, 1, 2, 1, 0]))._asdict()
    {'at': array([1, 0, 3]), 'kind': array([0, 1, 1]), 'weight': array([1, 3, 1]), 'kinds': 2}
    """
    used = np.flatnonzero(weight)
    x, domain, weight = x[used], domain[used].astype(np.int64), weight[used]
    key = np.concatenate([(x[i : i + BLOCK] * factor).sum(axis=1) for i in range(0, len(x), BLOCK)])
    values, kind = np.unique(key, return_inverse=True)
    kinds = len(values)
    if kinds < len(x):  # some rows are equal, or only their sums are
        _, first, kind = np.unique(x, axis=0, return_index=True, return_inverse=True)
        kinds = len(first)
        rank = np.empty(kinds, np.intp)
        rank[np.argsort(key[first], kind="stable")] = np.arange(kinds)
        kind = rank[kind.ravel()]
    cell, first, member = np.unique(domain * kinds + kind, return_index=True, return_inverse=True)
    times = np.bincount(member.ravel(), weight, len(cell)).astype(np.int64)
    return Distinct(used[first], cell % kinds, times, kinds)
