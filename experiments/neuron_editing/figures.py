"""Figures 4 and 5 of neuron editing, on CytoNorm and on simulated drugs, where the answer is known.

python experiments/neuron_editing/figures.py [--out FOLDER] trains the printed form and ours once for each, and writes
neuron_editing_biaxial.png, neuron_editing_pca.png and neuron_editing_medians.png to docs/benchmarks/figures/
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import tyro

import jbc
from experiments._lib import program
from experiments._lib.figures import keep, panels
from experiments.neuron_editing import methods, names
from experiments.neuron_editing.methods import Task
from experiments.neuron_editing.worlds import cytonorm, drugs
from jbc.data import cache

FIGURES = Path(__file__).parents[2] / "docs" / "benchmarks" / "figures"
EDITED = {names.EDITING: "edited, as printed", names.DEFAULT: "edited, ours"}
CELLS = 300  # in a panel
COLOURS = {
    "source": "#9ecae1",
    "target": "#fcae91",
    "new": "#08519c",
    "edited": "#a50f15",
    "truth": "#238b45",
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Draw what an edit does to cells whose target is not seen."""

    seed: int = 0  # of the simulated world, and of the training
    size: float = 0.2  # of the simulated world, relative to the paper's
    steps: int | None = None  # stop the training of autoencoders there, to see whether everything runs
    out: Path = FIGURES  # where the figures go


class World(NamedTuple):
    """A task, the names of its groups and features, the two features that are drawn, and the edited rows."""

    task: Task
    groups: Mapping[str, str]
    features: tuple[str, ...]
    axes: tuple[int, int]
    edited: dict[str, np.ndarray]


def chosen(task: Task) -> tuple[int, int]:
    """Return the feature that differs most between source and target, and one that hardly does but between samples.

    The truth is not looked at.
    """
    source, target, new = (np.median(x, axis=0) for x in (task.source, task.target, task.new))
    changed = np.abs(target - source)
    steady = changed <= np.median(changed)
    return int(np.argmax(changed)), int(np.argmax(np.where(steady, np.abs(new - source), -1)))


def worlds(options: Options) -> dict[str, World]:
    """Return both worlds, with the new rows as the printed form and ours edit them."""
    length = jbc.Training() if options.steps is None else jbc.Training(min_steps=1, max_steps=options.steps)
    runs, task = next(iter(cytonorm().items()))
    a, b, _ = runs.split(", ")
    markers = tuple(map(str, jbc.datasets.load("cytonorm").var_names))
    found = {
        "CytoNorm": (task, (f"control, {a}", f"control, {b}", f"sample, {a}", f"sample, {b}"), markers),
        "drugs": (
            drugs(options.seed, options.size, 0.0),
            ("basal", "Das", "Bez", "Bez+Das"),
            ("p4EBP1", "pSTAT5"),
        ),
    }
    out = {}
    for name, (task, groups, features) in found.items():
        print(name, file=sys.stderr, flush=True)
        edited = dict(methods.edit_neurons(training=length)(task, options.seed))
        at = chosen(task) if name == "CytoNorm" else (0, 1)
        called = dict(zip(("source", "target", "new", "truth"), groups, strict=True))
        out[name] = World(task, called, features, at, {key: edited[key] for key in EDITED})
    return out


def some(x: np.ndarray) -> np.ndarray:
    return x[np.random.default_rng(0).permutation(len(x))[:CELLS]]


def dots(ax: Any, x: np.ndarray, colour: str, label: str = "") -> None:
    ax.plot(*x.T, ".", color=colour, markersize=3, alpha=0.7, label=label, markeredgewidth=0)


def biaxial(folder: Path, found: Mapping[str, World]) -> None:
    """Draw two features of every group: what the edit learns from, what it makes, and the truth."""
    figure, axes = panels(len(found), 6, 1.55, 1.6, sharex="row", sharey="row")
    for row, (task, groups, features, (i, j), edited) in zip(axes, found.values(), strict=True):
        shown = {groups[name]: (getattr(task, name), COLOURS[name]) for name in ("source", "target", "new")}
        shown |= {said: (edited[method], COLOURS["edited"]) for method, said in EDITED.items()}
        shown[f"truth: {groups['truth']}"] = task.truth, COLOURS["truth"]
        for ax, (title, (x, colour)) in zip(row, shown.items(), strict=True):
            dots(ax, some(x)[:, [i, j]], colour)
            ax.axvline(np.median(x[:, i]), color="k", linewidth=0.6)
            ax.axhline(np.median(x[:, j]), color="k", linewidth=0.6)
            ax.set_title(title, fontsize=7, loc="left")
            ax.set_xlabel(features[i], fontsize=7)
            ax.tick_params(labelsize=6)
        row[0].set_ylabel(features[j], fontsize=7)
    keep(figure, folder / "neuron_editing_biaxial.png")


def components(folder: Path, found: Mapping[str, World]) -> None:
    """Draw controls, sample and edited sample on the components of all rows that were measured."""
    figure, axes = panels(len(found), 3, 2.9, 2.3, sharex="row", sharey="row")
    for row, (name, (task, groups, _, _, edited)) in zip(axes, found.items(), strict=True):
        table, _ = task.table
        centre = table.mean(axis=0)
        turned = np.linalg.svd(some(table) - centre, full_matrices=False)[2][:2].T
        shown = {said: edited[method] for method, said in EDITED.items()} | {groups["truth"]: task.truth}
        for ax, (title, x) in zip(row, shown.items(), strict=True):
            for part in ("source", "target", "new"):
                dots(ax, (some(getattr(task, part)) - centre) @ turned, COLOURS[part], groups[part])
            dots(ax, (some(x) - centre) @ turned, COLOURS["truth" if x is task.truth else "edited"], title)
            ax.set_title(title, fontsize=8, loc="left")
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, fontsize=8)
        row[-1].legend(fontsize=6, markerscale=3, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    keep(figure, folder / "neuron_editing_pca.png")


def medians(folder: Path, found: Mapping[str, World]) -> None:
    """Draw for every feature how much its median changes in the controls, in the edited sample, and in truth."""
    figure, axes = panels(len(found), 1, 8.5, 1.7)
    for ax, (name, (task, groups, _, _, edited)) in zip(axes.flat, found.items(), strict=True):
        before = np.median(task.new, axis=0)
        asked = np.median(task.target, axis=0) - np.median(task.source, axis=0)
        order, at = np.argsort(asked), np.arange(len(asked))
        ax.bar(at, asked[order], color="0.8", label="control")
        for (method, said), mark in zip(EDITED.items(), "x.", strict=True):
            done = np.median(edited[method], axis=0) - before
            ax.plot(at, done[order], mark, color=COLOURS["edited"], markersize=5, label=said)
        true = np.median(task.truth, axis=0) - before
        ax.plot(at, true[order], "_", color=COLOURS["truth"], markersize=7, label=f"truth: {groups['truth']}")
        ax.axhline(0, color="k", linewidth=0.5)
        ax.set_title(f"{name}: change of the median of every feature", fontsize=8, loc="left")
        ax.tick_params(labelsize=6, bottom=False, labelbottom=False)
        ax.legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    keep(figure, folder / "neuron_editing_medians.png")


def main() -> None:
    """Write the figures."""
    options = tyro.cli(Options)
    cache.keep_compiled()
    found = worlds(options)
    for draw in (biaxial, components, medians):
        draw(options.out, found)


if __name__ == "__main__":
    program.run(main)
