"""Figures 4 to 8 of the paper: scores along the training, bootstraps by method, and controls by domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from experiments._lib.figures import keep, panels
from experiments.wasserstein import screens, training
from jbc import plots
from jbc.methods import presets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLASSIFIERS = {"domain, logistic regression": "logistic regression", "domain, random forest": "random forest"}
SHORT = {"by neighbours": "neighbours", "by silhouette": "silhouette"}


class Shown(NamedTuple):
    """What is shown of wells that are prepared in one way.

    ``drawn`` has the bootstrap scores of every version, ``stopped`` pairs of the wells as they are and the bootstrap
    by method and stopping rule, and ``seen`` the accuracies of classifiers of every version.
    """

    screen: screens.Screen
    drawn: dict[str, screens.Scores]
    stopped: Sequence[tuple[screens.Stopped, screens.Stopped]]
    seen: dict[str, list[dict[str, np.ndarray]]]


def draw(folder: Path, shown: Mapping[str, Shown]) -> None:
    """Write all figures, small."""
    for name, figure in {
        "knn": neighbours(shown),
        "bootstrap": bootstraps(shown),
        "silhouette": silhouettes(shown),
        "domain": domains(shown),
        "pca": controls(shown),
    }.items():
        keep(figure, folder / f"wasserstein_{name}.png")


def trainings(shown: Mapping[str, Shown]) -> list[tuple[str, presets.Truth]]:
    """Return preparations and configurations that were trained with snapshots."""
    return [(name, method) for name, one in shown.items() for method in training.TURNS if method in one.drawn]


def curve(
    ax: Axes,
    shown: Mapping[str, Shown],
    part: tuple[str, presets.Truth],
    label: str,
    curves: dict,
    beside: dict,
) -> None:
    """Draw metrics by updates of the maps, on a logarithmic axis that begins with 0, beside what has no steps."""
    name, method = part
    updates = training.updates(method, shown[name].drawn[method].found.steps)
    plots.metric_curve(ax, updates, curves, references=renamed(beside, name), ylabel=label)
    ax.set_xscale("symlog", linthresh=max(updates[1], 1))
    ax.set_xlabel("updates of the maps", fontsize=9)
    ax.set_title(f"{name}: {method}", fontsize=9, loc="left")


def neighbours(shown: Mapping[str, Shown]) -> Figure:
    """Return Figure 4: NSC and NSCB of 1 to 4 neighbours along the training, mean and deviation of the bootstrap."""
    parts = trainings(shown)
    figure, axes = panels(len(parts), 2, 4.4, 1.9, sharex="row")
    for row, (name, method) in zip(axes, parts, strict=True):
        told = screens.mean_over_points(shown[name].drawn[method].points)
        for ax, kind in zip(row, screens.NEIGHBOURS, strict=True):
            each = {f"k = {k}": told[f"{kind} {k}, {screens.POSSIBLE}"] for k in range(1, 5)}
            curve(ax, shown, (name, method), kind, each, {})
    return keep_one_legend(figure, axes)


def silhouettes(shown: Mapping[str, Shown]) -> Figure:
    """Return Figure 6: the silhouette along the training, beside methods without steps."""
    parts = trainings(shown)
    figure, axes = panels(-(-len(parts) // 2), 2, 4.4, 2.2)
    for ax, (name, method) in zip(axes.flat, parts, strict=False):
        scores = shown[name].drawn
        told = {other: screens.mean_over_points(one.points)["silhouette"] for other, one in scores.items()}
        beside = {other: told[other][0] for other, one in scores.items() if not one.without}
        curve(ax, shown, (name, method), "silhouette", {"as published": told[method]}, beside)
    remove_empty(axes)
    return keep_one_legend(figure, axes)


def domains(shown: Mapping[str, Shown]) -> Figure:
    """Return Figure 7: how well two classifiers name the domain of a control along the training."""
    parts = trainings(shown)
    figure, axes = panels(len(parts), 2, 4.4, 1.9, sharex="row")
    for row, (name, method) in zip(axes, parts, strict=True):
        one = shown[name]
        for ax, (metric, label) in zip(row, CLASSIFIERS.items(), strict=True):
            each = {"as published": [told[metric] for told in one.seen[method]]}
            beside = {
                other: told[0][metric] for other, told in one.seen.items() if not one.drawn[other].without
            }
            beside |= {"N(0, 1)": one.seen[method][0]["domain, floor"]}
            curve(ax, shown, (name, method), label, each, beside)
    return keep_one_legend(figure, axes)


def bootstraps(shown: Mapping[str, Shown]) -> Figure:
    """Return Figure 5: the bootstrap of 1 to 4 neighbours by method; dots are the wells as they are."""
    figure, axes = panels(len(shown), 2, 6.2, 2.6)
    for row, (name, one) in zip(axes, shown.items(), strict=True):
        for ax, kind in zip(row, screens.NEIGHBOURS, strict=True):
            plain, drawn = (
                renamed({each.name: scores(each, kind) for each in side}, name)
                for side in zip(*one.stopped, strict=True)
            )
            plots.violins(ax, drawn, names=[f"{k}-NN" for k in range(1, 5)], vanilla=plain)
            ax.set_title(f"{name}: {kind}", fontsize=9, loc="left")
            if ax is not row[-1]:  # methods, and so colours, differ by row
                ax.get_legend().remove()
    return figure


def scores(one: screens.Stopped, kind: str) -> np.ndarray:
    """Return the scores of 1 to 4 neighbours, ([draws,] 4)."""
    told = screens.mean_over_points(one.points)
    return np.stack([told[f"{kind} {k}, {screens.POSSIBLE}"] for k in range(1, 5)], axis=-1)


def controls(shown: Mapping[str, Shown]) -> Figure:
    """Return Figure 8: principal components of the controls by domain, at the end of every training."""
    figure, axes = panels(len(shown), max(len(one.drawn) for one in shown.values()), 2.5, 2.4)
    for row, one in zip(axes, shown.values(), strict=True):
        for ax, (method, scored) in zip(row, one.drawn.items(), strict=False):
            last, corner = scored.found.versions[-1], ax is axes[0, -1]
            plots.controls_pca(
                ax, last, one.screen.domain, control=one.screen.control, title=method, legend=corner
            )
    remove_empty(axes)
    return figure


def remove_empty(axes: np.ndarray) -> None:
    """Remove panels in which nothing was drawn."""
    for ax in axes.flat:
        if not ax.has_data():
            ax.remove()


def renamed(told: dict, name: str) -> dict:
    """Return the same with the wells as prepared under that name, and short names of stopping rules."""

    def short(method: str) -> str:
        for long, brief in SHORT.items():
            method = method.replace(long, brief)
        return "as prepared" if method == name else method

    return {short(method): value for method, value in told.items()}


def keep_one_legend(figure: Figure, axes: np.ndarray) -> Figure:
    """Keep the legend of the panel in the upper right corner: all are alike."""
    for ax in axes.flat:
        if ax is not axes[0, -1] and ax.get_legend() is not None:
            ax.get_legend().remove()
    return figure
