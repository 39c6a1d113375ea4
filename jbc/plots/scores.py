"""Distributions of scores."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jbc.plots import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def mmd_boxes(ax: Axes, groups: Mapping[str, Any], *, floor: Any = None) -> Axes:
    """Draw the MMD over random draws as one box per table, in the form of the papers.

    A box spans the quartiles, the line in it is the median, whiskers reach 1.5 quartile ranges, and what lies
    beyond is a dot.

    Parameters
    ----------
    ax
        Where to draw.
    groups
        Name → values, as :func:`jbc.metrics.mmd` returns them; drawn in the given order.
    floor
        Values of :func:`jbc.metrics.mmd_within`; their median is drawn as a dashed line.

    Returns
    -------
    Axes

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = mmd_boxes(Figure().subplots(), {"raw": [0.3, 0.4], "corrected": [0.1, 0.2]}, floor=[0.05])
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['raw', 'corrected']
    """
    values = [np.asarray(group, dtype=np.float64) for group in groups.values()]
    line = {"color": _style.INK, "linewidth": 1.0}
    boxes = ax.boxplot(
        values,
        widths=0.5,
        patch_artist=True,
        boxprops={"edgecolor": _style.INK, "linewidth": 1.0},
        whiskerprops=line,
        capprops=line,
        medianprops={"color": _style.INK, "linewidth": 1.6},
        flierprops={"marker": "o", "markersize": 2.5, "markerfacecolor": _style.MUTED, "markeredgewidth": 0},
    )
    for box, colour in zip(boxes["boxes"], _style.colours(len(values)), strict=True):
        box.set_facecolor(colour)
        box.set_alpha(0.75)
    _style.quiet(ax)
    width = max(8, 60 // max(len(groups), 1))
    ax.set_xticklabels(
        ["\n".join(textwrap.wrap(_style.short(name), width)) for name in groups],
        color=_style.INK,
        fontsize=9,
        parse_math=False,
    )
    ax.set_ylabel("MMD", fontsize=9, color=_style.MUTED)
    ax.set_ylim(bottom=0)
    if floor is not None:
        level = float(np.median(floor))
        ax.axhline(level, color=_style.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        ax.annotate(
            "within\none domain",
            (1.0, level),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=_style.MUTED,
            annotation_clip=False,
        )
    return ax
