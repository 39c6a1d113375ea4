"""Folds of units, as weights of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

ArrayLike = Any


def fold_weights(unit: ArrayLike, domain: ArrayLike, folds: int, seed: int = 0) -> np.ndarray:
    """Split units into folds, balanced within every domain, as row weights.

    Replicates of one unit are never split, not even over domains; such a unit is dealt in its first domain.

    Parameters
    ----------
    unit, domain
        Codes of each row.
    folds
        Number of folds.
    seed
        Seed of the split.

    Returns
    -------
    (folds, n) int32
        1 where a row trains, 0 where it is held out.

    Examples
    --------
    >>> w = fold_weights([0, 0, 1, 2, 3, 3], [0, 0, 0, 1, 1, 1], folds=2)
    >>> w.sum(axis=0).tolist()
    [1, 1, 1, 1, 1, 1]
    """
    unit, domain = np.asarray(unit), np.asarray(domain)
    rng = np.random.default_rng(seed)
    _, first, index = np.unique(unit, return_index=True, return_inverse=True)
    fold, home = np.empty(len(first), np.int32), domain[first]
    for code in np.unique(home):
        members = np.flatnonzero(home == code)
        fold[members] = rng.permutation(len(members)) % folds
    return (fold[index] != np.arange(folds)[:, None]).astype(np.int32)
