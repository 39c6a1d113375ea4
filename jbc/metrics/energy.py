"""The energy distance of two groups of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from jbc.metrics._inputs import two_groups


def energy_distance(a: Any, b: Any) -> float:
    r"""Return the energy distance of two groups of rows.

    .. math:: 2\,E\lVert x - y \rVert - E\lVert x - x' \rVert - E\lVert y - y' \rVert

    with means over pairs of different rows, which makes it unbiased: 0 on average for groups of one distribution,
    however few rows they have, and then often a little below. It has no width to choose, and does not saturate: a
    large shift costs twice its length.

    Parameters
    ----------
    a, b
        Measurements, (n, d) and (m, d), two rows or more each.

    Examples
    --------
    >>> a = np.array([[0.0], [1.0]])
    >>> energy_distance(a, a + 9.0)
    16.0

    References
    ----------
    Szekely and Rizzo, Energy statistics, Journal of Statistical Planning and Inference 2013.
    """
    a, b = two_groups(a, b, "The energy distance")
    return 2 * _mean(a, b) - _mean(a, a) - _mean(b, b)


def _mean(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean distance of the rows of two groups; of one group, that of its pairs of different rows."""
    centre = a.mean(axis=0)
    squares = np.square(a - centre).sum(axis=1)[:, None] + np.square(b - centre).sum(axis=1)
    squares -= 2 * (a - centre) @ (b - centre).T
    if a is b:
        np.fill_diagonal(squares, 0)
    pairs = len(a) * (len(b) - (a is b))
    return float(np.sqrt(np.maximum(squares, 0)).sum() / pairs)
