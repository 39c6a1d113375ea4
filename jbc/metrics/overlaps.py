"""What sets of features have in common."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jbc.errors import InputError


class Overlap(NamedTuple):
    """What S sets have in common.

    Attributes
    ----------
    member : (R, S) bool
        The R combinations of sets that occur: which sets the features of each are in, and in no others. Those of most
        sets come first.
    size : (R,) int
        Number of features of each combination.
    shared : (S, S) int
        Number of features in two sets; on the diagonal, the sizes of the sets.
    common : int
        Number of features in all sets.
    expected : float
        How many were in all of them on average, if sets of these sizes were drawn at random.

    Examples
    --------
    >>> overlap([[True, True, False], [True, False, False]]).member.tolist()
    [[True, True], [True, False]]
    """

    member: np.ndarray
    size: np.ndarray
    shared: np.ndarray
    common: int
    expected: float


def overlap(selected: Any) -> Overlap:
    """Count what sets have in common: every combination of sets, pairs, and all of them.

    Parameters
    ----------
    selected
        Which features are in which set, (S, d) bool, such as :attr:`Biomarkers.selected`.

    Returns
    -------
    Overlap

    Examples
    --------
    >>> found = overlap([[True, True, True, False], [False, True, True, False]])
    >>> found.common, found.expected, found.size.tolist()
    (2, 1.5, [2, 1])
    """
    selected = np.asarray(selected)
    if selected.ndim != 2 or 0 in selected.shape or selected.dtype.kind != "b":
        raise InputError(
            f"Sets of shape {selected.shape} and type {selected.dtype}",
            why="They tell of every feature which sets it is in.",
            fix="Pass booleans of shape (sets, features).",
            code="bad-shape",
        )
    rows, counts = np.unique(selected[:, selected.any(axis=0)].T, axis=0, return_counts=True)
    order = np.lexsort((-counts, -rows.sum(axis=1)))
    whole = selected.astype(np.int64)
    features = selected.shape[1]
    return Overlap(
        member=rows[order],
        size=counts[order],
        shared=whole @ whole.T,
        common=int(selected.all(axis=0).sum()),
        expected=float(features * np.prod(selected.mean(axis=1))),
    )
