"""Figures of the tables of screens: metrics along the training, bootstraps by method, and controls by domain."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import screens

from jbc import plots
from jbc.data.io.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES = {"NSC 1": "NSC, 1-NN", "NSCB 1": "NSCB, 1-NN", "silhouette": "silhouette"}
VIOLINS = {"NSC": range(1, 5), "NSCB": range(1, 5), "silhouette": ("",)}


def draw(
    folder: Path,
    name: str,
    screen: screens.Screen,
    drawn: Sequence[screens.Scores],
    judged: Sequence[tuple[screens.Judged, screens.Judged]],
) -> None:
    """Write the figures of one preparation: of the scores of its bootstrap, and of both kinds of judgement."""
    for kind, figure in {
        "steps": curves(drawn),
        "bootstrap": bootstraps(judged),
        "controls": controls(screen, drawn),
    }.items():
        save(figure, folder / f"{re.sub('[^a-z0-9]+', '-', name.lower())}_{kind}.png")


def save(figure: Figure, path: Path, dpi: int = 120, **options: Any) -> None:
    """Write a figure, whole or not at all, into a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi, **options)


def panels(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """Make a figure of so many panels of this mean size, and its axes, (rows, columns)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def one_legend(axes: np.ndarray) -> None:
    """Keep the legend of the panel in the upper right corner: all are alike."""
    for ax in axes.flat:
        if ax is not axes[0, -1]:
            ax.get_legend().remove()


def curves(drawn: Sequence[screens.Scores]) -> Figure:
    """Draw metrics against the step, a column for every training, beside the means of what has no steps."""
    trained = [one for one in drawn if one.without]
    figure, axes = panels(len(CURVES), len(trained), 4.4, 2.0, sharex="col", sharey="row")
    for column, one in zip(axes.T, trained, strict=True):
        for ax, (metric, label) in zip(column, CURVES.items(), strict=True):
            mean = {
                other.found.name: screens.averages(other.points)[metric].mean()
                for other in drawn
                if not other.without
            }
            each = {"ours": screens.averages(one.points)[metric]}
            plots.metric_curve(ax, one.found.steps, each, references=mean, ylabel=label)
            ax.label_outer()
        column[0].set_title(one.found.name, fontsize=10, loc="left")
    one_legend(axes)
    return figure


def bootstraps(judged: Sequence[tuple[screens.Judged, screens.Judged]]) -> Figure:
    """Draw the bootstrap of neighbours and silhouette, a violin a method; dots are the wells as they are."""
    figure, axes = panels(1, 3, 4.2, 3.0, width_ratios=(4, 4, 1.2))
    for ax, (metric, each) in zip(axes.flat, VIOLINS.items(), strict=True):
        plain, drawn = (
            {
                one.name.removeprefix("ours, "): np.stack(
                    [screens.averages(one.points)[f"{metric} {k}".strip()] for k in each], axis=-1
                )
                for one in side
            }
            for side in zip(*judged, strict=True)
        )
        names = [f"{k}-NN" if k else "" for k in each]
        plots.violins(ax, drawn, names=names, vanilla=plain)
        ax.set_title(
            f"{metric}; dots: without bootstrap" if metric == "NSC" else metric, fontsize=10, loc="left"
        )
    one_legend(axes)
    return figure


def controls(screen: screens.Screen, drawn: Sequence[screens.Scores]) -> Figure:
    """Draw the controls by domain after every method, at the end of its training."""
    figure, axes = panels(2, -(-len(drawn) // 2), 3.5, 3.2)
    for ax, one in zip(axes.flat, drawn, strict=False):
        last, corner = one.found.versions[-1], ax is axes[0, -1]
        plots.controls_pca(
            ax, last, screen.domain, control=screen.control, title=one.found.name, legend=corner
        )
    for ax in axes.flat[len(drawn) :]:
        ax.remove()
    return figure
