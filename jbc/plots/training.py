"""Curves of what training reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jbc.errors import InputError
from jbc.plots import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Beyond this number of points a line is a band of noise, and its running mean is what is read.
CROWDED = 200

History = Mapping[str, Any] | Sequence[Mapping[str, Any]]


def losses(ax: Axes, history: History, *, names: Sequence[str] | None = None, log: bool = False) -> Axes:
    """Draw every loss over the steps.

    Long curves are drawn faintly, with their running mean (over a fiftieth of the steps) on top.

    Parameters
    ----------
    ax
        Where to draw.
    history
        What training reported: ``corrector.history_`` or ``model.record.history``, one mapping per chunk of steps; or
        name → one value per entry. ``"step"`` holds the steps (without it, entries are counted).
    names
        What to draw; everything by default.
    log
        Logarithmic losses; values ≤ 0 are then not drawn.

    Returns
    -------
    Axes

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = losses(Figure().subplots(), {"step": [10, 20], "mmd": [0.5, 0.1]})
    >>> len(ax.lines)
    1
    >>> rows = [{"step": 10, "mmd": 0.5}, {"step": 20, "mmd": 0.1}]
    >>> losses(Figure().subplots(), rows).lines[0].get_xdata().tolist()
    [10, 20]
    """
    step, values = _curves(history, names)
    handles = [
        _curve(ax, step, each, colour)
        for each, colour in zip(values.values(), _style.colours(len(values)), strict=True)
    ]
    if log:
        ax.set_yscale("log", nonpositive="mask")
    _finished(ax)
    ax.set_ylabel("loss, logarithmic" if log else "loss", fontsize=9, color=_style.MUTED)
    _style.legend(ax, handles, list(values))
    return ax


def loss_panels(
    history: History, *, names: Sequence[str] | None = None, words: Mapping[str, str] | None = None
) -> np.ndarray:
    """Draw every loss in a panel of its own, because they have scales of their own.

    Parameters
    ----------
    history, names
        As in :func:`losses`.
    words
        Name → title of its panel; the name itself by default.

    Returns
    -------
    array of Axes
        One per loss; ``axes[0].figure`` is the figure.

    Examples
    --------
    >>> rows = [{"step": 10, "align": 0.5, "classify": 40.0}, {"step": 20, "align": 0.1, "classify": 2.0}]
    >>> [ax.get_title(loc="left") for ax in loss_panels(rows, words={"align": "alignment"})]
    ['alignment', 'classify']
    """
    from matplotlib.figure import Figure

    step, values = _curves(history, names)
    columns = min(len(values), 3)
    rows = -(-len(values) // columns)
    figure = Figure(figsize=(7.0, 2.1 * rows + 0.1), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for ax, (name, each), colour in zip(axes, values.items(), _style.colours(len(values)), strict=False):
        _curve(ax, step, each, colour)
        _finished(ax)
        title = _style.short((words or {}).get(name, name))
        ax.set_title(title, fontsize=9, color=_style.INK, loc="left", parse_math=False)
        if np.nanmin(each) >= 0:
            ax.set_ylim(bottom=0)  # so that noise about a level does not look like an ascent
    for ax in axes[len(values) :]:
        ax.remove()
    return axes[: len(values)]


def _curves(history: History, names: Sequence[str] | None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the steps, and the values of every loss by name; NaN where a chunk does not report it."""
    if isinstance(history, Mapping):
        found = {name: np.asarray(values, dtype=np.float64) for name, values in history.items()}
    else:
        every = dict.fromkeys(name for row in history for name in row)
        found = {name: np.array([row.get(name, np.nan) for row in history], np.float64) for name in every}
    step = found.pop("step", None)
    if lost := [name for name in names or [] if name not in found]:
        raise InputError(
            "The history holds no such values",
            which=lost,
            why=f"It holds {', '.join(found) or 'nothing'}.",
            fix="Name some of these, or leave names out.",
            code="missing-loss",
        )
    chosen = {name: found[name] for name in (found if names is None else names)}
    if not chosen:
        raise InputError(
            "There is no loss to draw",
            why="Methods in closed form have no training, hence no history.",
            fix="Draw the history of a trained method.",
            code="missing-loss",
        )
    return np.arange(len(next(iter(chosen.values())))) if step is None else step.astype(int), chosen


def _curve(ax: Axes, step: np.ndarray, values: np.ndarray, colour: Any) -> Any:
    """Draw one curve, or its running mean on top of it; return the line for the legend."""
    window = len(values) // 50 if len(values) > CROWDED else 1
    if window > 1:
        ax.plot(step, values, color=colour, linewidth=0.5, alpha=0.25)
        values = np.convolve(values, np.full(window, 1 / window), mode="valid")
        step = step[(window - 1) // 2 :][: len(values)]
    return ax.plot(step, values, color=colour, linewidth=1.5, solid_capstyle="round")[0]


def _finished(ax: Axes) -> None:
    _style.quiet(ax)
    ax.set_xlabel("step", fontsize=9, color=_style.MUTED)
    ax.margins(x=0.01)
