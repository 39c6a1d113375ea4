"""Figures 2 and 3 of the GAN paper: both days of every pair on two components, and their MMD as boxes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments._lib.figures import keep, panels
from experiments.gan.names import pair
from jbc import plots
from jbc.cohort import Cohort

PICTURED = {"measured": "measured", "GAN, as printed": "GAN, as printed", "GAN": "GAN, ours"}
BOXED = PICTURED | {"MMD-ResNet": "MMD-ResNet"}
CELLS = 400  # in a panel


class Drawn(NamedTuple):
    """What is drawn of a pair of days: the scores of every method and seed, and the cells that were held out."""

    scores: Mapping[str, list[Any]]
    cohort: Cohort
    at: Any  # of the first seed


def boxes(folder: Path, drawn: Mapping[str, Drawn]) -> None:
    """Draw the MMD of every draw and seed, a panel a pair."""
    figure, axes = panels(-(-len(drawn) // 2), min(len(drawn), 2), 4.2, 2.1, sharey=True)
    for ax, (name, (scores, _, _)) in zip(axes.flat, drawn.items(), strict=True):
        groups = {said: np.concatenate([each.mmd for each in scores[of]]) for of, said in BOXED.items()}
        plots.mmd_boxes(ax, groups, floor=[each.values["floor"] for each in scores["measured"]])
        ax.set_title(pair(name), fontsize=9, loc="left", pad=12)
        ax.tick_params(axis="x", labelrotation=0, labelsize=7)
    keep(figure, folder / "gan_mmd.png")


def pictures(folder: Path, drawn: Mapping[str, Drawn]) -> None:
    """Draw held-out cells of the first seed by day, a column a pair, on the components of the measured ones."""
    figure, axes = panels(len(PICTURED), len(drawn), 2.1, 1.9)
    for column, (name, (scores, cohort, at)) in zip(axes.T, drawn.items(), strict=True):
        held_out = np.flatnonzero(at.source | at.target)
        some = np.random.default_rng(0).permutation(held_out)[:CELLS]
        measured = scores["measured"][0].z[some].astype(np.float64)
        centre = measured.mean(axis=0)
        _, _, loadings = np.linalg.svd(measured - centre, full_matrices=False)
        near, far = np.quantile((measured - centre) @ loadings[:2].T, [0.005, 0.995], axis=0)
        low, high = near - 0.15 * (far - near), far + 0.15 * (far - near)
        for ax, (of, said) in zip(column, PICTURED.items(), strict=True):
            coords = (scores[of][0].z[some] - centre) @ loadings[:2].T
            inside = np.clip(coords, low, high)
            last = "right" if ax is axes[0, -1] else None
            plots.scatter(ax, inside, np.asarray(cohort.domain)[some], cohort.names.domains, legend=last)
            ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
            beyond = int((inside != coords).any(axis=1).sum())
            ax.set_xlabel(f"{beyond} of {len(some)} beyond" if beyond else "", fontsize=7)
            if ax is column[0]:
                ax.set_title(pair(name), fontsize=9, loc="left")
            if column[0] is axes[0, 0]:
                ax.set_ylabel(said, fontsize=9)
    keep(figure, folder / "gan_pca.png")
