"""Figures of the tables of screens: metrics along the training, bootstraps by method, and controls by domain."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments._lib.figures import panels, save
from experiments.wasserstein import screens
from jbc import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES = {"NSC 1": "NSC, 1-NN", "NSCB 1": "NSCB, 1-NN", "silhouette": "silhouette"}
VIOLINS = {"NSC": range(1, 5), "NSCB": range(1, 5), "silhouette": ("",)}


def draw(
    folder: Path,
    name: str,
    screen: screens.Screen,
    drawn: Sequence[screens.Scores],
    stopped: Sequence[tuple[screens.Stopped, screens.Stopped]],
) -> None:
    """Write the figures of one preparation: scores by step, the bootstrap by method, and controls by domain."""
    for kind, figure in {
        "steps": curves(drawn),
        "bootstrap": bootstraps(stopped),
        "controls": controls(screen, drawn),
    }.items():
        save(figure, folder / f"{re.sub('[^a-z0-9]+', '-', name.lower())}_{kind}.png")


def keep_one_legend(axes: np.ndarray) -> None:
    """Keep the legend of the panel in the upper right corner: all are alike."""
    for ax in axes.flat:
        if ax is not axes[0, -1]:
            ax.get_legend().remove()


def curves(drawn: Sequence[screens.Scores]) -> Figure:
    """Return a figure of metrics by step, a column for every training, with the means of what has no steps."""
    trained = [one for one in drawn if one.without]
    figure, axes = panels(len(CURVES), len(trained), 4.4, 2.0, sharex="col", sharey="row")
    for column, one in zip(axes.T, trained, strict=True):
        for ax, (metric, label) in zip(column, CURVES.items(), strict=True):
            mean = {
                other.found.name: screens.mean_over_points(other.points)[metric].mean()
                for other in drawn
                if not other.without
            }
            each = {"ours": screens.mean_over_points(one.points)[metric]}
            plots.metric_curve(ax, one.found.steps, each, references=mean, ylabel=label)
            ax.label_outer()
        column[0].set_title(one.found.name, fontsize=10, loc="left")
    keep_one_legend(axes)
    return figure


def bootstraps(stopped: Sequence[tuple[screens.Stopped, screens.Stopped]]) -> Figure:
    """Return a figure of the bootstrap of neighbours and silhouette by method; dots are the wells as they are."""
    figure, axes = panels(1, 3, 4.2, 3.0, width_ratios=(4, 4, 1.2))
    for ax, (metric, each) in zip(axes.flat, VIOLINS.items(), strict=True):
        plain, drawn = (
            {
                one.name.removeprefix("ours, "): np.stack(
                    [screens.mean_over_points(one.points)[f"{metric} {k}".strip()] for k in each], axis=-1
                )
                for one in side
            }
            for side in zip(*stopped, strict=True)
        )
        names = [f"{k}-NN" if k else "" for k in each]
        plots.violins(ax, drawn, names=names, vanilla=plain)
        ax.set_title(
            f"{metric}; dots: without bootstrap" if metric == "NSC" else metric, fontsize=10, loc="left"
        )
    keep_one_legend(axes)
    return figure


def controls(screen: screens.Screen, drawn: Sequence[screens.Scores]) -> Figure:
    """Return a figure of the controls by domain after every method, at the end of its training."""
    figure, axes = panels(2, -(-len(drawn) // 2), 3.5, 3.2)
    for ax, one in zip(axes.flat, drawn, strict=False):
        last, corner = one.found.versions[-1], ax is axes[0, -1]
        plots.controls_pca(
            ax, last, screen.domain, control=screen.control, title=one.found.name, legend=corner
        )
    for ax in axes.flat[len(drawn) :]:
        ax.remove()
    return figure
