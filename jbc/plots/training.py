"""Curves of what training reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jbc.plots import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Beyond this number of points a line is a band of noise, and its running mean is what is read.
CROWDED = 200


def losses(ax: Axes, history: Mapping[str, Any], *, log: bool = False) -> Axes:
    """Draw every loss over the steps.

    Long curves are drawn faintly, with their running mean (over a fiftieth of the steps) on top.

    Parameters
    ----------
    ax
        Where to draw.
    history
        Name → one value per entry; ``"step"`` holds the steps (without it, entries are counted).
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
    """
    names = [name for name in history if name != "step"]
    handles = []
    for name, colour in zip(names, _style.colours(len(names)), strict=True):
        values = np.asarray(history[name], dtype=np.float64)
        step = np.asarray(history.get("step", np.arange(len(values))))
        window = len(values) // 50 if len(values) > CROWDED else 1
        if window > 1:
            ax.plot(step, values, color=colour, linewidth=0.5, alpha=0.25)
            values = np.convolve(values, np.full(window, 1 / window), mode="valid")
            step = step[(window - 1) // 2 :][: len(values)]
        handles += ax.plot(step, values, color=colour, linewidth=1.5, solid_capstyle="round")
    if log:
        ax.set_yscale("log", nonpositive="mask")
    _style.quiet(ax)
    ax.set_xlabel("step", fontsize=9, color=_style.MUTED)
    ax.margins(x=0.01)
    _style.legend(ax, handles, names)
    return ax
