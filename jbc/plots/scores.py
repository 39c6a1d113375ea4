"""Distributions of scores."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jbc.plots import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def mmd_boxes(
    ax: Axes, groups: Mapping[str, Any], *, floor: Any = None, floor_name: str = "halves of\none domain"
) -> Axes:
    """Draw the MMD over random draws as one box per table, in the form of the papers.

    A box spans the quartiles, the line in it is the median, whiskers reach 1.5 quartile ranges, and what lies
    beyond is a dot. The median stands above.

    Parameters
    ----------
    ax
        Where to draw.
    groups
        Name → values, as :func:`jbc.metrics.mmd` returns them; drawn in the given order.
    floor
        Values of :func:`jbc.metrics.mmd_within`, of two halves of one domain; their median is drawn as a dashed line.
        A corrected pair of domains can lie below it: a correction gives domains a common mean and scale, and nothing
        does that for the halves of a domain, which hold different units.
    floor_name
        What stands at the line.

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
    boxes = ax.boxplot(
        values,
        widths=0.5,
        patch_artist=True,
        medianprops={"color": _style.INK, "linewidth": 0.8},
        flierprops={"marker": "o", "markersize": 2.5, "markerfacecolor": _style.MUTED, "markeredgewidth": 0},
    )
    for k, colour in enumerate(_style.colours(len(values))):
        boxes["boxes"][k].set(facecolor=colour, edgecolor=colour, linewidth=1.0)
        for line in (*boxes["whiskers"][2 * k : 2 * k + 2], *boxes["caps"][2 * k : 2 * k + 2]):
            line.set(color=colour, linewidth=1.0)
        if len(values[k]) and np.isfinite(values[k]).all():
            ax.annotate(
                f"{np.median(values[k]):.3f}",
                (k + 1, values[k].max()),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=_style.MUTED,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
            )
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
        _dashed(ax, float(np.median(floor)), floor_name)
    return ax


def _dashed(ax: Axes, level: float, name: str) -> None:
    """Draw a dashed line, and its name right of the axes."""
    ax.axhline(level, color=_style.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    ax.annotate(
        name,
        (1.0, level),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=_style.MUTED,
        annotation_clip=False,
        parse_math=False,
    )
