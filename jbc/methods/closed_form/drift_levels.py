r"""Levels of domains by a few controls each: robust, and shrunk towards what other features say. NumPy only.

The mean of four controls is off by half of their noise. Features are compared in units of their deviation within
domains, s, and their levels relative to the average domain,

.. math:: z_{gf} = \frac{m_{gf} - \bar m_f}{s_f},

which shrink towards their mean over the features of the domain by James and Stein's factor,
:math:`(d - 3)\,v_g / \sum_f (z_{gf} - \bar z_g)^2`, as those of
:class:`~jbc.methods.closed_form.standardise.Standardise` do (:mod:`jbc.numerics.shrinkage`): by 1 at most, and by 0
for three features or fewer. The sampling variance v is measured on the controls, less what all features of a row
share.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jbc.methods.closed_form.drift_curves import Curves
from jbc.methods.closed_form.drift_rows import Rows
from jbc.numerics.linalg import ROUNDING
from jbc.numerics.smoothing import median, robust_location, scale


class _Part(NamedTuple):
    """Rows of a domain less its curve, (n, d), and where they are known."""

    y: np.ndarray
    there: np.ndarray


def levels(
    rows: Rows, domains: np.ndarray, curves: Curves, noise: np.ndarray | float, *, shrink: bool
) -> np.ndarray:
    """Return the robust means of rows less the curves, of some domains, (G, d); NaN where nothing was measured.

    Outliers are told by the scale that a feature has in all of these domains, which is not below its noise along the
    run: a handful of controls tells of no scale.
    """
    parts, left, known = [], [], []
    for g in domains:
        place, y, there = rows.of(g)
        part = _Part(y - curves.at(g, place), there)
        parts.append(part)
        n = len(y)
        # About a median of their own, few values lie closer than about the true one.
        left.append((part.y - median(part.y, part.there)) * (n / (n - 0.8)))
        known.append(there if n > 1 else np.zeros_like(there))
    size = np.maximum(scale(np.concatenate(left), np.concatenate(known)), noise)
    level = np.stack([robust_location(part.y, part.there, size) for part in parts])
    return _shrunken(level, parts, size) if shrink else level


def _shrunken(level: np.ndarray, parts: list[_Part], size: np.ndarray) -> np.ndarray:
    """Return the levels of domains, shrunk as above."""
    count = np.stack([part.there.sum(axis=0) for part in parts])
    varies = size > ROUNDING * np.abs(level).max(axis=0, initial=0)
    some = np.flatnonzero((count > 0).all(axis=0) & varies)
    if len(some) < 4 or len(parts) < 2:
        return level
    level, own = level.copy(), np.zeros(len(parts))
    freedom = np.maximum((count[:, some] - 1).sum(axis=0), 1)
    # Values beyond the bend count no more than those at it.
    within = [
        np.clip((part.y - here)[:, some] / size[some], -3, 3) * part.there[:, some]
        for part, here in zip(parts, level, strict=True)
    ]
    unit = np.sqrt(sum(np.square(part).sum(axis=0) for part in within) / freedom)
    unit = np.where(unit > 0, unit, 1)
    for g, part in enumerate(within):
        alone = part / unit
        alone = alone - alone.mean(axis=1, keepdims=True)
        total = np.maximum(count[g, some] - 1, 1) * count[g, some]
        own[g] = (np.square(alone).sum(axis=0) / total).mean() if len(alone) > 1 else np.nan
    # A domain with one control has no noise of its own: it takes that of the others, for its number of controls.
    per_row = np.nanmean(own * count[:, some].mean(axis=1)) if np.isfinite(own).any() else 0.0
    own = np.where(np.isnan(own), per_row, own)
    noise = (1 - 2 / len(parts)) * own + own.sum() / len(parts) ** 2
    z = (level[:, some] - level[:, some].mean(axis=0)) / (size[some] * unit)
    away = z - z.mean(axis=1, keepdims=True)
    total = np.square(away).sum(axis=1)
    factor = np.minimum((len(some) - 3) * noise / np.where(total > 0, total, np.inf), 1)
    level[:, some] -= size[some] * unit * factor[:, None] * away
    return level
