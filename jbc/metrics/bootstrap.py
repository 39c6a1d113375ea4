"""Bootstrap samples as counts: how often each row is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from jbc.errors import InputError
from jbc.validation import checks


def bootstrap_weights(*group: Any, draws: int = 100, seed: int = 0) -> np.ndarray:
    """Draw bootstrap samples: every group's rows, as many as it has, with replacement.

    The publication resamples the cells of each well. Where a well is a single row (profiles), that would draw
    every row once: resample the wells of each treatment in each domain instead, ``bootstrap_weights(treatment,
    domain)``. A group of g rows varies by g - 1 of g parts only, so with three replicates the standard
    deviation of a mean is 18 % too small.

    Parameters
    ----------
    *group
        Names, one per row: rows that agree in all of them are drawn from each other.
    draws
        Number of samples.
    seed
        Seed of the draws.

    Returns
    -------
    (draws, n) int64
        What the metrics take as ``weight``. The counts of a group add up to its rows, so that no group
        vanishes.

    Examples
    --------
    >>> weight = bootstrap_weights(["a", "a", "a", "b"], draws=4)
    >>> weight.sum(axis=1).tolist(), weight[:, 3].tolist()
    ([4, 4, 4, 4], [1, 1, 1, 1])

    References
    ----------
    Efron (1979), Bootstrap methods: another look at the jackknife.
    """
    if draws < 1 or not group:
        raise InputError(
            f"{draws} draws within {len(group)} columns of groups",
            why="A bootstrap draws rows from their own group.",
            fix="Pass at least one column, and a positive number of draws; the publication's is 100.",
            code="bad-draws",
        )
    columns = [checks.codes(each, len(group[0]), "group")[1] for each in group]
    _, code = np.unique(np.stack(columns), axis=1, return_inverse=True)
    size = np.bincount(code.reshape(-1))
    if size.max() == 1:
        raise InputError(
            f"{len(size)} groups of a single row each",
            why="Every bootstrap sample would be the table itself, and every deviation 0.",
            fix="Resample within larger groups, such as treatment and domain.",
            code="too-few-rows",
        )
    rng = np.random.default_rng(seed)
    member = np.argsort(code.reshape(-1), kind="stable")
    weight = np.empty((draws, len(member)), np.int64)
    for rows in np.unique(size):
        # All groups of one size at once.
        columns = member[np.repeat(size == rows, size)].reshape(-1, rows)
        weight[:, columns] = rng.multinomial(rows, np.full(rows, 1 / rows), (draws, len(columns)))
    return weight


def counts(weight: Any, n: int) -> np.ndarray:
    """Check how often each row counts, and return (draws, n); once when nothing is said."""
    times = np.ones(n, np.int64) if weight is None else np.asarray(weight)
    shaped = times.ndim in (1, 2) and times.shape[-1] == n and times.size > 0 and times.dtype.kind in "iubf"
    if not (shaped and np.isfinite(times).all() and (times >= 0).all() and (times == np.round(times)).all()):
        raise InputError(
            f"weight of shape {times.shape} and type {times.dtype} for {n} rows",
            why="It tells how often each row counts: 0, 1, 2 and so on.",
            fix="Pass counts of shape (n,) or (draws, n), as bootstrap_weights makes them.",
            code="bad-weight",
        )
    return np.atleast_2d(times).astype(np.int64)
