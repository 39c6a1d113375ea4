"""Figures of the GAN paper: MMD before and after as boxes, and both days on the components of what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments._lib.figures import panels, save
from jbc import plots
from jbc.cohort import Cohort

SHOWN = {
    "measured": "measured",
    "Standardise": "z-score by day",
    "QuantileMap": "quantile map",
    "MMD-ResNet": "MMD-ResNet",
    "GAN": "GAN",
    "GAN, as printed": "GAN, as printed",
    "joint: decoded": "joint",
}
CELLS = 1500  # in a panel


def boxes(folder: Path, found: Mapping[str, Mapping[str, list[Any]]]) -> None:
    """Draw the MMD of every draw and seed, a panel a person."""
    figure, axes = panels(1, len(found), 6.0, 3.2, sharey=True)
    for ax, (name, methods) in zip(axes.flat, found.items(), strict=True):
        groups = {said: np.concatenate([each.mmd for each in methods[of]]) for of, said in SHOWN.items()}
        floor = [each.values["floor"] for each in methods["measured"]]
        plots.mmd_boxes(ax, groups, floor=floor)
        ax.set_title(person(name), fontsize=10, loc="left")
    axes[0, -1].set_ylabel("")
    save(figure, folder / "gan_mmd.png")


def pictures(folder: Path, name: str, found: Mapping[str, list[Any]], cohort: Cohort, at: Any) -> None:
    """Draw cells that were held out, of the first seed, by day and label, on the components of the measured ones."""
    held_out = np.flatnonzero(at.source | at.target)
    some = np.random.default_rng(0).permutation(held_out)[:CELLS]
    measured = found["measured"][0].z[some].astype(np.float64)
    centre = measured.mean(axis=0)
    _, _, loadings = np.linalg.svd(measured - centre, full_matrices=False)
    near, far = np.quantile((measured - centre) @ loadings[:2].T, [0.005, 0.995], axis=0)
    low, high = near - 0.15 * (far - near), far + 0.15 * (far - near)
    figure, axes = panels(2, len(SHOWN), 2.2, 2.3)
    for column, (of, said) in zip(axes.T, SHOWN.items(), strict=True):
        coords = (found[of][0].z[some] - centre) @ loadings[:2].T
        inside = np.clip(coords, low, high)
        place = "right" if column[0] is axes[0, -1] else None
        days, labels = np.asarray(cohort.domain)[some], at.label[some]
        plots.scatter(column[0], inside, days, cohort.names.domains, legend=place)
        plots.scatter(column[1], inside, labels, ("other", "CD8"), palette="class", legend=place)
        for ax in column:
            ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
            ax.collections[0].set_clip_on(False)
        column[0].set_title(said, fontsize=10, loc="left")
        if outside := int((inside != coords).any(axis=1).sum()):
            column[1].set_xlabel(f"{outside} of {len(some)} beyond the frame", fontsize=8)
    figure.suptitle(person(name), fontsize=11, x=0.01, ha="left")
    save(figure, folder / f"gan_pca_{name}.png")


def person(name: str) -> str:
    return name.replace("cytof-person", "Person ")
