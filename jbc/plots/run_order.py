"""Figures of a run: what was measured, one row after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jbc.errors import InputError
from jbc.plots import _style
from jbc.validation import checks


def run_order(
    values: Mapping[str, Any],
    order: Any,
    domain: Any = None,
    *,
    control: Any = None,
    curve: Mapping[str, Any] | None = None,
    name: str = "",
    log: bool = False,
    order_name: str = "place in the run",
) -> np.ndarray:
    """Draw the values of a feature along the run, before and after a correction, a panel each.

    Rows are coloured by domain; controls are drawn in front of the others, with a dark edge. Both panels have one
    scale.

    Parameters
    ----------
    values
        Condition, such as ``"as measured"`` and ``"corrected"`` → values of the feature, (n,). Missing ones (NaN) are
        left out.
    order
        Place of each row in the run: numbers.
    domain
        Domain of each row.
    control
        True for controls.
    curve
        Condition → the curve that was fitted, at every row, (n,): for a ratio, what a value of the usual level would
        be measured as there.
    name
        The feature.
    log
        Whether the axis of the values is logarithmic.
    order_name
        What the order is.

    Returns
    -------
    (K,) array of Axes
        One for every condition, the first one on top. ``axes[0].figure`` is the figure.

    Examples
    --------
    >>> t = np.arange(20)
    >>> axes = run_order({"as measured": 1 + 0.1 * t, "corrected": np.ones(20)}, t, control=t % 5 == 0, name="m/z 98")
    >>> [ax.get_title(loc="left") for ax in axes]
    ['m/z 98: as measured', 'm/z 98: corrected']
    """
    from matplotlib.figure import Figure

    found = {str(key): np.asarray(each, np.float64) for key, each in values.items()}
    place = np.asarray(order, np.float64)
    if not found or {each.shape for each in found.values()} != {(len(place),)}:
        raise InputError(
            f"Values of shape {[each.shape for each in found.values()]} for {len(place)} places in the run",
            why="Every row is a point: its place, and what was measured there.",
            fix="Pass one column of the table for every condition, and the order of the same rows.",
            code="bad-shape",
        )
    places, code = checks.domains(domain, len(place))
    marked = checks.mask(control, len(place), "control")
    figure = Figure(figsize=(7.5, 0.6 + 2.1 * len(found)), layout="constrained")
    axes = figure.subplots(len(found), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    curves = curve or {}
    for ax, (condition, each) in zip(axes, found.items(), strict=True):
        _points(ax, place, each, code, len(places), marked)
        if condition in curves:
            _curve(ax, place, np.asarray(curves[condition], np.float64), code)
        if log:
            ax.set_yscale("log")
        title = f"{_style.short(name)}: {condition}" if name else condition
        ax.set_title(title, fontsize=9, color=_style.INK, loc="left", parse_math=False)
        _style.quiet(ax)
    axes[-1].set_xlabel(order_name, fontsize=9, color=_style.MUTED, parse_math=False)
    _style.legend(axes[0], *_legend(places, bool(marked.any()), any(key in curves for key in found)))
    return axes


def _points(
    ax: Any, place: np.ndarray, values: np.ndarray, code: np.ndarray, domains: int, control: np.ndarray
) -> None:
    """Draw rows and controls of all domains."""
    for g, colour in enumerate(_style.colours(domains)):
        rows, pool = (code == g) & ~control, (code == g) & control
        ax.scatter(place[rows], values[rows], s=9, color=colour, alpha=0.45, linewidths=0)
        ax.scatter(
            place[pool], values[pool], s=26, color=colour, edgecolors=_style.INK, linewidths=0.9, zorder=3
        )


def _curve(ax: Any, place: np.ndarray, curve: np.ndarray, code: np.ndarray) -> None:
    """Draw a curve for every domain."""
    for g in np.unique(code):
        rows = np.flatnonzero(code == g)
        rows = rows[np.argsort(place[rows], kind="stable")]
        ax.plot(place[rows], curve[rows], color=_style.INK, linewidth=1.3, zorder=2)


def _legend(places: Sequence[object], controls: bool, curve: bool) -> tuple[list[Any], list[object]]:
    """Return what the legend shows, and the names."""
    from matplotlib.lines import Line2D

    def dot(colour: Any, size: float, edge: str) -> Line2D:
        return Line2D([], [], linestyle="", marker="o", color=colour, markersize=size, markeredgecolor=edge)

    shown: list[Any] = [dot(colour, 4, "none") for colour in _style.colours(len(places))]
    named = list(places)
    if controls:
        shown.append(dot("white", 6, _style.INK))
        named.append("controls")
    if curve:
        shown.append(Line2D([], [], color=_style.INK, linewidth=1.3))
        named.append("curve")
    return shown, named
