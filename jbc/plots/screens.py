"""Figures of screens: metrics along training, their bootstraps by method, and controls by domain."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jbc.plots import _style
from jbc.plots.coordinates import embed
from jbc.plots.embedding import _frame, scatter
from jbc.validation import checks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHED = (0, (5, 2.5))


def metric_curve(
    ax: Axes,
    step: Any,
    curves: Mapping[str, Any],
    *,
    references: Mapping[str, Any] | None = None,
    ylabel: str = "",
) -> Axes:
    """Draw a metric against the training step, beside what does not depend on it.

    A line is the mean over draws, and a band reaches one standard deviation to either side.

    Parameters
    ----------
    ax
        Where to draw.
    step
        Training steps, (S,).
    curves
        Name → values, (S,), or (S, draws) for a band. In the order of the training steps.
    references
        Name → a number, or (draws,) for a band: other methods, or the floor, as dashed horizontal lines.
    ylabel
        The metric.

    Returns
    -------
    Axes

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> curves = {"ours": [[0.6, 0.8], [0.8, 1.0]]}
    >>> ax = metric_curve(Figure().subplots(), [0, 100], curves, references={"TVN": [0.5, 0.6]})
    >>> [float(line.get_ydata()[0]) for line in ax.lines]
    [0.7, 0.55]
    """
    references = references or {}
    colours = _style.colours(len(curves) + len(references))
    step, handles = np.asarray(step), []
    for values, colour in zip(curves.values(), colours, strict=False):
        mean, sd = _mean_and_sd(np.asarray(values, dtype=np.float64).reshape(len(step), -1))
        marker = "o" if len(step) <= 30 else None
        handles += ax.plot(step, mean, color=colour, linewidth=1.6, marker=marker, markersize=3)
        if sd.any():
            ax.fill_between(step, mean - sd, mean + sd, color=colour, alpha=0.2, linewidth=0)
    for values, colour in zip(references.values(), colours[len(curves) :], strict=True):
        mean, sd = _mean_and_sd(np.asarray(values, dtype=np.float64).reshape(1, -1))
        handles.append(ax.axhline(mean[0], color=colour, linewidth=1.4, linestyle=DASHED))
        if sd.any():
            ax.axhspan(mean[0] - sd[0], mean[0] + sd[0], color=colour, alpha=0.12, linewidth=0, zorder=0)
    _style.quiet(ax)
    ax.set_xlabel("step", fontsize=9, color=_style.MUTED)
    _labelled(ax, ylabel)
    ax.margins(x=0.02)
    _style.legend(ax, handles, [*curves, *references])
    return ax


def violins(
    ax: Axes,
    groups: Mapping[str, Any],
    *,
    names: Sequence[object] = ("",),
    vanilla: Mapping[str, Any] | None = None,
    ylabel: str = "",
) -> Axes:
    """Draw the bootstrap distribution of metrics, one violin per metric and method.

    The lines in a violin are its quartiles: dashed the median, dotted the other two.

    Parameters
    ----------
    ax
        Where to draw.
    groups
        Method → values, (draws,), or (draws, K) for K metrics side by side, such as k = 1, 2, 3, 4.
    names
        The K metrics.
    vanilla
        Method → values without bootstrap, (K,), drawn as dots. A bootstrap sample has fewer different rows than
        the table, so its metric can lie beside that of the table.
    ylabel
        What is measured.

    Returns
    -------
    Axes

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> draws = np.random.default_rng(0).normal(size=(100, 2))
    >>> ax = violins(Figure().subplots(), {"TVN": draws, "ours": draws + 1}, names=("1-NN", "2-NN"))
    >>> [text.get_text() for text in ax.get_xticklabels()], len(ax.get_legend().get_texts())
    (['1-NN', '2-NN'], 2)
    """
    colours, width = _style.colours(len(groups)), 0.8 / max(len(groups), 1)
    handles = []
    for k, ((method, values), colour) in enumerate(zip(groups.items(), colours, strict=True)):
        values = np.asarray(values, dtype=np.float64).reshape(-1, len(names))
        places = np.arange(len(names)) + (k - (len(groups) - 1) / 2) * width
        bodies: Any = ax.violinplot(values, places, widths=0.9 * width, showextrema=False)["bodies"]
        for body, place, column in zip(bodies, places, values.T, strict=True):
            body.set(facecolor=colour, edgecolor=colour, alpha=0.75, linewidth=0.8)
            _quartiles(ax, body, place, column)
        handles.append(bodies[0])
        if vanilla is not None and method in vanilla:
            dots = np.broadcast_to(np.asarray(vanilla[method], dtype=np.float64).reshape(-1), len(names))
            ax.scatter(places, dots, s=14, color="white", edgecolors=_style.INK, linewidths=0.9, zorder=3)
    _style.quiet(ax)
    named = [k for k, name in enumerate(names) if str(name)]
    ax.set_xticks(named)
    ax.set_xticklabels(
        [_style.short(names[k]) for k in named], color=_style.INK, fontsize=9, parse_math=False
    )
    _labelled(ax, ylabel)
    _style.legend(ax, handles, list(groups))
    return ax


def controls_pca(
    ax: Axes,
    x: Any,
    domain: Any,
    *,
    control: Any = None,
    title: str = "",
    legend: bool = True,
    domain_name: str = "domain",
) -> Axes:
    """Draw the first two principal components of the controls, coloured by domain.

    The controls are the same material in every domain: what separates the colours is technical. A few points far
    out do not squeeze the others: they are drawn on the frame, and a note counts them.

    Parameters
    ----------
    ax
        Where to draw.
    x
        Measurements, corrected or not, (n, d).
    domain
        Domain of each row.
    control
        True for the rows to draw; all of them when it is left out. The components are theirs alone.
    title
        The method.
    legend
        Name the domains, right of the points.
    domain_name
        What domains are called in the figure.

    Returns
    -------
    Axes

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> x = np.random.default_rng(0).normal(size=(6, 3))
    >>> ax = controls_pca(Figure().subplots(), x, [1, 1, 1, 2, 2, 2], control=[True, True, False] * 2)
    >>> len(ax.collections[0].get_offsets())
    4
    """
    x = np.asarray(x)
    names, code = checks.domains(domain, len(x))
    shown = np.ones(len(x), bool) if control is None else checks.mask(control, len(x), "control")
    coords, (first, second) = embed(x[shown], "pca")
    low, high = _frame(coords)
    inside = np.clip(coords, low, high)
    scatter(
        ax, inside, code[shown], names, legend="right" if legend else None, title=_style.short(domain_name)
    )
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    ax.collections[0].set_clip_on(False)
    ax.set_xlabel(first, fontsize=8, color=_style.MUTED)
    ax.set_ylabel(second, fontsize=8, color=_style.MUTED)
    ax.set_title(_style.short(title), fontsize=10, color=_style.INK, loc="left", parse_math=False)
    if outside := int((inside != coords).any(axis=1).sum()):
        note = f"{outside} of {len(coords)} beyond the frame"
        ax.set_title(note, fontsize=7, color=_style.MUTED, loc="right")
    return ax


def _mean_and_sd(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both over draws; without draws, or with one, nothing deviates."""
    return values.mean(axis=1), values.std(axis=1, ddof=1 if values.shape[1] > 1 else 0)


def _quartiles(ax: Axes, body: Any, place: float, values: np.ndarray) -> None:
    """Draw the quartiles from edge to edge of a violin."""
    outline = body.get_paths()[0].vertices
    right = outline[outline[:, 0] >= place]
    right = right[np.argsort(right[:, 1], kind="stable")]
    for quantile, style in ((0.25, (0, (1, 1.5))), (0.5, (0, (3, 1.5))), (0.75, (0, (1, 1.5)))):
        height = np.quantile(values, quantile)
        half = np.interp(height, right[:, 1], right[:, 0]) - place
        ax.hlines(height, place - half, place + half, color=_style.INK, linewidth=1, linestyle=style)


def _labelled(ax: Axes, text: str) -> None:
    ax.set_ylabel(textwrap.fill(text, 36), fontsize=9, color=_style.MUTED, parse_math=False)
