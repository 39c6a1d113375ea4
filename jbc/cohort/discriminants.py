"""Directions along which known groups differ, and what domains show along them. Host code, NumPy only.

Classes may differ along directions in which little else does: no principal component shows them, and so no share of
them. Rows of known groups tell these directions, within their domains.
"""

from __future__ import annotations

import numpy as np

from jbc.numerics.linalg import principal_axes
from jbc.numerics.mixtures import whitening

FEWEST, MOST = 10, 5  # rows of a group that tell where it lies, and directions
AXES = 50  # principal components in which directions are looked for
RIDGE = 0.01  # of the mean variance within groups


def directions(z: np.ndarray, domain: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return directions along which known groups differ within domains, (d, k); without any, (d, 0).

    From every group but the last one to the middle of all, where rows vary within groups by 1.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> z, groups = draw.normal(size=(400, 3)), np.tile([0, 1], 200)
    >>> z[:, 2] += 3 * groups
    >>> directions(z, np.repeat([0, 1], 200), groups).round(1).ravel().tolist()
    [0.0, 0.1, -1.0]
    """
    known = groups >= 0
    codes, count = np.unique(groups[known], return_counts=True)
    codes = codes[count >= FEWEST]
    if len(codes) < 2 or not z.shape[1]:
        return np.zeros((z.shape[1], 0))
    known = np.isin(groups, codes)
    _, axes = principal_axes(z, min(AXES, max(int(known.sum()) // 5, 1)))
    y, where = (z @ axes)[known], domain[known]
    of, sums, rest = (
        np.searchsorted(codes, groups[known]),
        np.zeros((len(codes), axes.shape[1])),
        np.zeros_like(y),
    )
    for g in np.unique(where):
        mine = where == g
        means = {k: y[mine & (of == k)].mean(axis=0) for k in np.unique(of[mine])}
        middle = np.mean(list(means.values()), axis=0)
        for k, mean in means.items():
            rows = mine & (of == k)
            sums[k] += rows.sum() * (mean - middle)
            rest[rows] = y[rows] - mean
    centre = sums / np.bincount(of)[:, None]
    within = rest.T @ rest / len(rest)
    white = whitening(within + RIDGE * np.trace(within) / len(within) * np.eye(len(within)))
    found = white @ white.T @ (centre - centre.mean(axis=0))[:-1][:MOST].T
    found /= np.maximum(np.sqrt(np.einsum("ik,ij,jk->k", found, within, found)), 1e-12)
    return axes @ found


def scores(z: np.ndarray, domain: np.ndarray, groups: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return rows along directions that other units have told, (n, k); or (n, 0) where groups are not known.

    Directions fit the rows that they are found by too well, which would tell these from the rows of other domains.
    """
    half = np.random.default_rng(0).permutation(unit.max() + 1)[unit] % 2
    parts = [directions(z[half != one], domain[half != one], groups[half != one]) for one in (0, 1)]
    if parts[0].shape != parts[1].shape:
        return np.zeros((len(z), 0))
    return np.where((half == 0)[:, None], z @ parts[0], z @ parts[1])
