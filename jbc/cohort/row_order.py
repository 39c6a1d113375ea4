"""The order in which a cohort keeps its rows: one that depends on their values alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def order_rows(groups: tuple[np.ndarray, ...], x: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Return the order of rows: by groups, and in each group shuffled, by a rule that only sees ranks of values.

    Rows are sorted by their first feature, equal ones by the second, and so on; then every group is shuffled in the
    same way at any time. So the order of the caller's rows does not matter, nor does the unit of a feature or its
    zero, since neither changes which of two values is larger. And the first rows of a group are a fair sample of it.

    Parameters
    ----------
    groups
        Codes that keep rows together, the most important first, (n,) each.
    x
        Measurements, (n, d), without NaN.
    others
        What decides between rows of equal measurements, (n,) each.

    Examples
    --------
    >>> x, group = np.array([[3.0], [1.0], [2.0], [9.0]]), np.array([0, 0, 0, 1])
    >>> order = order_rows((group,), x)
    >>> again = order_rows((group,), 10 * x + 7)
    >>> x[order, 0].tolist(), bool((order == again).all())
    ([3.0, 2.0, 1.0, 9.0], True)
    """
    order = _sorted(groups, (*x.T, *others))
    _, start, count = _runs([code[order] for code in groups])
    noise = np.random.default_rng(0).random(count.max(initial=0))
    place = np.arange(len(x)) - np.repeat(start, count)
    return order[np.lexsort((noise[place], np.repeat(np.arange(len(start)), count)))]


def _sorted(groups: tuple[np.ndarray, ...], keys: Iterable[np.ndarray]) -> np.ndarray:
    """Sort by all keys; of each, only what the ones before it leave undecided is looked at."""
    order = np.lexsort(groups[::-1])
    run, _, count = _runs([code[order] for code in groups])
    tied = np.flatnonzero(count[run] > 1)
    for key in keys:
        if not len(tied):
            break
        values = key[order[tied]]
        by = np.lexsort((values, run[tied]))
        order[tied] = order[tied][by]
        # Rows stay within their run, so the positions of a run are still its own.
        run[tied], _, count = _runs([run[tied], values[by]])
        tied = tied[count[run[tied]] > 1]
    return order


def _runs(keys: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the run of equal keys that each position is in, and where every run starts and how long it is."""
    change = np.ones(len(keys[0]), bool)
    change[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    start = np.flatnonzero(change)
    return np.cumsum(change) - 1, start, np.diff(np.append(start, len(change)))
