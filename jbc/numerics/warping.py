"""Dynamic time warping: which values of two sequences belong together, when both keep their order. NumPy."""

from __future__ import annotations

import numpy as np


def warp(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the positions in two sequences that belong together, from both first values to both last ones.

    The path of least cost

    .. math:: D_{ij} = \min(D_{i-1,j-1} + 2 c_{ij},\; D_{i-1,j} + c_{ij},\; D_{i,j-1} + c_{ij}),
              \qquad c_{ij} = |a_i - b_j|

    (Sakoe and Chiba's symmetric steps): no position is left out, and none goes back. Of paths of one cost, the one
    along which both move on.

    Parameters
    ----------
    a, b
        Sequences, (n,) and (m,): n m bytes and n + m steps are needed.

    References
    ----------
    Sakoe and Chiba, "Dynamic programming algorithm optimization for spoken word recognition", IEEE Transactions on
    Acoustics, Speech, and Signal Processing 26, 1978.

    Examples
    --------
    >>> [each.tolist() for each in warp(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0, 2.0]))]
    [[0, 0, 1, 2], [0, 1, 2, 3]]
    """
    n, m = len(a), len(b)
    step = np.zeros((n, m), np.int8)  # 0: both move on; 1: a does; 2: b does
    # Along an antidiagonal, i + j = k, all cells depend on the two before it alone: by i, with a border of infinity.
    before, last = np.full(n + 1, np.inf), np.full(n + 1, np.inf)
    for k in range(n + m - 1):
        i = np.arange(max(0, k - m + 1), min(n, k + 1))
        cost = np.abs(a[i] - b[k - i])
        ways = np.stack([before[i] + 2 * cost, last[i] + cost, last[i + 1] + cost])
        if k == 0:
            ways[0] = cost
        best = ways.argmin(axis=0)
        step[i, k - i] = best
        before, last = last, np.full(n + 1, np.inf)
        last[i + 1] = ways[best, np.arange(len(i))]
    return _path(step)


def _path(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the path that steps lead along, from its end back to its beginning."""
    i, j = step.shape[0] - 1, step.shape[1] - 1
    path = [(i, j)]
    while i or j:
        way = step[i, j]
        i, j = i - (way != 2), j - (way != 1)
        path.append((i, j))
    first, second = np.array(path[::-1]).T
    return first, second
