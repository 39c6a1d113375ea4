"""Figures of features: which of them sets have in common, and their values by class and domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jbc.errors import InputError
from jbc.plots import _style
from jbc.validation import checks

# Combinations of sets that are drawn.
COMBINATIONS = 20


def upset(groups: Mapping[str, Any], names: Sequence[object], *, ylabel: str = "features") -> np.ndarray:
    """Draw how many features are in which combination of sets: a Venn diagram for any number of sets.

    Every column is a combination of domains, marked by dots, and a bar counts the features that are selected in these
    domains and in no others. The first columns are what most domains have in common; of more than 20 combinations,
    the last ones are left out, and their number is told.

    Parameters
    ----------
    groups
        Condition, such as before and after a correction → which features are in which set, (S, d) bool.
    names
        The S sets, such as domains.
    ylabel
        What is counted.

    Returns
    -------
    (2,) array of Axes
        The bars, and the dots below them. ``axes[0].figure`` is the figure.

    Examples
    --------
    >>> before, after = [[True, True, False], [False, True, False]], [[True, True, False], [True, True, True]]
    >>> axes = upset({"before": before, "after": after}, ["plate 1", "plate 2"])
    >>> [int(bar.get_height()) for bar in axes[0].patches]  # in both, 1 alone, 2 alone; before, then after
    [1, 0, 1, 2, 1, 0]
    """
    found = {name: np.asarray(selected, bool) for name, selected in groups.items()}
    if not found or {each.shape[:-1] for each in found.values()} != {(len(names),)}:
        raise InputError(
            f"Sets of shape {[each.shape for each in found.values()]} for {len(names)} names",
            why="A line tells which features are in the set of that name.",
            fix="Pass booleans of shape (sets, features) for every condition.",
            code="bad-shape",
        )
    columns = np.unique(np.hstack([each[:, each.any(axis=0)] for each in found.values()]), axis=1).T
    counts = np.array(
        [[(column == each.T).all(axis=1).sum() for column in columns] for each in found.values()]
    )
    order = np.lexsort((-counts.sum(axis=0), -columns.sum(axis=1)))
    shown = order[:COMBINATIONS]
    bars, dots = _two_panels(len(shown), len(found), len(names))
    _bars(bars, counts[:, shown], list(found), ylabel)
    if len(order) > len(shown):
        note = f"{len(order) - len(shown)} more combinations"
        bars.set_title(note, fontsize=7, color=_style.MUTED, loc="right")
    _dots(dots, columns[shown], names)
    return np.array([bars, dots])


def feature_boxes(
    x: Any,
    label: Any,
    domain: Any,
    *,
    names: Sequence[object] | None = None,
    columns: int = 3,
    ylabel: str = "",
) -> np.ndarray:
    """Draw the values of a few features as boxes by domain and class, a panel each.

    A box spans the quartiles, the line in it is the median, and whiskers reach from the 5th to the 95th percentile.

    Parameters
    ----------
    x
        The chosen features, (n, K).
    label
        Class of each row; rows where it is unknown (-1, None, NaN or ``""``) are left out.
    domain
        Domain of each row.
    names
        The K features.
    columns
        Panels side by side.
    ylabel
        What the values are.

    Returns
    -------
    (K,) array of Axes

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(40, 2))
    >>> domain = np.repeat(["plate 1", "plate 2"], 20)
    >>> axes = feature_boxes(x, ["case", "control"] * 20, domain, names=["m/z 98", "m/z 112"])
    >>> axes[1].get_title(loc="left"), [text.get_text() for text in axes[1].get_xticklabels()]
    ('m/z 112', ['plate 1', 'plate 2'])
    """
    from matplotlib.figure import Figure

    values, _ = checks.values(x)
    classes, code = checks.labels(label, len(values))
    places, place = checks.domains(domain, len(values))
    names = checks.feature_names(None, values.shape[1]) if names is None else names
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(2.4 * columns + 0.8, 2.1 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).reshape(-1)
    cells = [[(code == k) & (place == g) for g in range(len(places))] for k in range(len(classes))]
    for number, (ax, name) in enumerate(zip(axes, names, strict=False)):
        handles = _boxes(ax, [[values[some, number] for some in each] for each in cells], places)
        ax.set_title(_style.short(name), fontsize=9, color=_style.INK, loc="left", parse_math=False)
        if number % columns == 0:
            ax.set_ylabel(ylabel, fontsize=9, color=_style.MUTED, parse_math=False)
        if number == min(columns, len(names)) - 1:
            _style.legend(ax, handles, classes)
    for ax in axes[len(names) :]:
        ax.remove()
    return axes[: len(names)]


def _two_panels(combinations: int, conditions: int, sets: int) -> Any:
    """Return axes for bars, and axes for dots below them."""
    from matplotlib.figure import Figure

    width = max(4.5, 1.6 + combinations * (0.28 + 0.14 * conditions))
    figure = Figure(figsize=(width, 2.4 + 0.24 * sets), layout="constrained")
    return figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 0.24 * sets))


def _bars(ax: Any, counts: np.ndarray, conditions: list[str], ylabel: str) -> None:
    """Draw the numbers of features, conditions side by side."""
    width, handles = 0.8 / len(counts), []
    for number, (values, colour) in enumerate(zip(counts, _style.colours(len(counts)), strict=True)):
        places = np.arange(len(values)) + (number - (len(counts) - 1) / 2) * width
        handles.append(ax.bar(places, values, 0.92 * width, color=colour))
        for place, value in zip(places, values, strict=True):
            ax.text(place, value, f"{value:,}", ha="center", va="bottom", fontsize=7, color=_style.MUTED)
    _style.quiet(ax)
    ax.tick_params(bottom=False, labelbottom=False)
    ax.set_ylabel(ylabel, fontsize=9, color=_style.MUTED, parse_math=False)
    if len(conditions) > 1:
        _style.legend(ax, handles, conditions)
    else:
        ax.set_title(_style.short(conditions[0]), fontsize=10, color=_style.INK, loc="left", parse_math=False)


def _dots(ax: Any, member: np.ndarray, names: Sequence[object]) -> None:
    """Mark which sets belong to a combination, the first set on top."""
    sets = np.arange(len(names))
    for place, within in enumerate(member):
        ax.scatter(np.full(len(sets), place), sets, s=22, color=_style.HAIRLINE, linewidths=0)
        ax.scatter(np.full(within.sum(), place), sets[within], s=26, color=_style.INK, linewidths=0, zorder=3)
        ends = sets[within][[0, -1]]
        ax.plot([place, place], ends, color=_style.INK, linewidth=1.4)
    ax.set_yticks(
        sets, [_style.short(name) for name in names], fontsize=8, color=_style.INK, parse_math=False
    )
    ax.set(ylim=(len(names) - 0.5, -0.5), xlim=(-0.6, max(len(member), 1) - 0.4))
    ax.tick_params(length=0, labelbottom=False)
    ax.spines[:].set_visible(False)


def _boxes(ax: Any, cells: list[list[np.ndarray]], places: Sequence[object]) -> list[Any]:
    """Draw boxes, a group a domain and in it one a class; return what a legend shows of the classes."""
    width, handles = 0.8 / max(len(cells), 1), []
    for number, (values, colour) in enumerate(zip(cells, _style.colours(len(cells), "class"), strict=True)):
        at = np.arange(len(places)) + (number - (len(cells) - 1) / 2) * width
        boxes = ax.boxplot(
            values,
            positions=at,
            widths=0.8 * width,
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            medianprops={"color": _style.INK, "linewidth": 0.8},
        )
        for box in boxes["boxes"]:
            box.set(facecolor=colour, edgecolor=colour, alpha=0.85)
        for line in (*boxes["whiskers"], *boxes["caps"]):
            line.set(color=colour, linewidth=0.9)
        handles.append(boxes["boxes"][0])
    _style.quiet(ax)
    texts = [_style.short(name) for name in places]
    ax.set_xticks(range(len(texts)), texts, fontsize=8, color=_style.INK, parse_math=False)
    return handles
