"""Distributions of scores, and how classes are confused."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
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


def permutation_null(
    ax: Axes, null: Any, observed: float, *, p: float | None = None, xlabel: str = "accuracy"
) -> Axes:
    """Draw the scores of shuffled labels as a histogram, and that of the true ones as a line.

    Parameters
    ----------
    ax
        Where to draw.
    null, observed, p
        As :class:`jbc.metrics.PermutationTest` has them.
    xlabel
        What is measured.

    Returns
    -------
    Axes

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = permutation_null(Figure().subplots(), [0.4, 0.5, 0.5, 0.6], 0.9, p=0.2)
    >>> int(sum(bar.get_height() for bar in ax.patches)), ax.texts[0].get_text()
    (4, 'true labels: 0.900, p = 0.2')
    """
    null = np.asarray(null, dtype=np.float64)
    ax.hist(null, bins=min(20, max(len(null) // 4, 5)), color=_style.PALETTES["domain"][0], alpha=0.75)
    ax.axvline(observed, color=_style.PALETTES["domain"][5], linewidth=1.8)
    text = f"true labels: {observed:.3f}" + ("" if p is None else f", p = {p:.2g}")
    low, high = ax.get_xlim()
    right = observed > (low + high) / 2
    ax.annotate(
        text,
        (observed, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if right else 4, -4),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        fontsize=8,
        color=_style.INK,
    )
    _style.quiet(ax)
    ax.margins(y=0.18)
    ax.set_xlabel(xlabel, fontsize=9, color=_style.MUTED, parse_math=False)
    ax.set_ylabel("shuffles", fontsize=9, color=_style.MUTED)
    return ax


def confusion_matrix(ax: Axes, counts: Any, classes: Sequence[object], *, title: str = "") -> Axes:
    r"""Draw how many rows of every class are predicted as which: colours are shares of the true class.

    Parameters
    ----------
    ax
        Where to draw.
    counts, classes
        As :class:`jbc.metrics.ConfusionMatrix` has them.
    title
        The method.

    Returns
    -------
    Axes

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = confusion_matrix(Figure().subplots(), [[8, 2], [1, 9]], ["case", "control"])
    >>> [text.get_text() for text in ax.texts]
    ['8\n80 %', '2\n20 %', '1\n10 %', '9\n90 %']
    """
    counts = np.asarray(counts)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), value in np.ndenumerate(share):
        ink = "white" if value > 0.6 else _style.INK
        ax.text(
            j, i, f"{counts[i, j]:,}\n{100 * value:.0f} %", ha="center", va="center", fontsize=8, color=ink
        )
    names = [_style.short(name) for name in classes]
    ax.set_xticks(range(len(names)), names, parse_math=False, fontsize=8, color=_style.INK)
    ax.set_yticks(range(len(names)), names, parse_math=False, fontsize=8, color=_style.INK)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("predicted", fontsize=9, color=_style.MUTED)
    ax.set_ylabel("true", fontsize=9, color=_style.MUTED)
    ax.set_title(_style.short(title), fontsize=10, color=_style.INK, loc="left", parse_math=False)
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
