"""A change of images, learned from some and made to others, in the form of neuron editing's Figure 2 and Table 1.

python experiments/neuron_editing/run_images.py [--seeds 3] [--figures FOLDER] learns to make digits 0 to 4 bold, or
slanted, does it to digits 5 to 9, compares with the true change, and writes experiments/results/image_editing.json
with the numbers in print. With --only, stored rows of other methods are kept.
With --images FOLDER --attributes FILE it learns the paper's change of faces: black hair to blond, from men to women.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

# Small decompositions wait longer for their threads than they compute.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import tyro

import jbc
from experiments._lib import program, results
from experiments._lib.figures import keep, panels
from experiments.neuron_editing import methods, names, page, printed
from experiments.neuron_editing.digits import digit_edits
from experiments.neuron_editing.images import read_images
from experiments.neuron_editing.methods import Task
from jbc import metrics, plots
from jbc.data import cache
from jbc.errors import InputError

FILTERS = (64, 128, 256)
FACES = {
    "source": {"Male": True, "Black_Hair": True},
    "target": {"Male": True, "Blond_Hair": True},
    "new": {"Male": False, "Black_Hair": True},
    "truth": {"Male": False, "Blond_Hair": True},
}
COLUMNS = 12  # images in a row of a picture
SHOWN = {
    "as measured": "original",
    names.TRUTH: "true change",
    names.DEFAULT: "neuron editing, ours",
    names.EDITING: "neuron editing, printed",
    names.ALONE: "single pixels",
    "constant shift of neurons": "constant shift",
    "principal components edited": "PCA editing",
    "regularised autoencoder": "regularised autoencoder",
    "GAN": "GAN",
    "ResnetGAN": "ResnetGAN",
    "CycleGAN": "CycleGAN",
}
"""Rows of a picture: the method, and what it is called there."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Learn a change from some images, and make it to others."""

    kinds: tuple[Literal["bold", "slanted"], ...] = ("bold", "slanted")
    seeds: int = 3  # of the split of the digits and of the training
    images: Path | None = None  # a folder of faces, instead of digits
    attributes: Path | None = None  # the table of their attributes
    size: int = 64  # height and width that faces are brought to
    limit: int = 5000  # faces of a group at most
    components: int = 50  # of the pixels, in which distances between groups of faces are measured
    steps: int | None = None  # stop the training of autoencoders there, to see whether everything runs
    slow_seeds: int = 1  # of these, for which networks that make rows anew are compared as well
    only: Literal["gans"] | None = None  # store the rows of these methods, and keep those of all others
    figures: Path | None = None  # where the pictures go
    out: Path = results.RESULTS / "image_editing.json"  # where the rows go


class Pictures(NamedTuple):
    """A task of images, and their shape."""

    task: Task
    shape: tuple[int, int, int]


def digits(kind: Literal["bold", "slanted"], seed: int) -> Pictures:
    """Return a task: learn from digits 0 to 4, apply to 5 to 9."""
    found = digit_edits(kind, seed)
    source, target, new = (found.x[found.role == role] for role in ("source", "target", "extrapolation"))
    return Pictures(
        Task(source, target, new, found.truth[found.role == "extrapolation"], paired=True), (8, 8, 1)
    )


def faces(options: Options) -> Pictures:
    """Return a task: learn from men, apply to women."""
    if options.images is None or options.attributes is None:
        raise InputError(
            "Faces need both --images FOLDER and --attributes FILE",
            why="They are a folder of images and a table of what is on them, and are not downloaded.",
            fix="Pass both, or leave out --images to edit digits.",
            code="missing-option",
        )
    folder, table = options.images, options.attributes
    parts = {
        name: read_images(folder, table, size=options.size, where=where, limit=options.limit).x
        for name, where in FACES.items()
    }
    return Pictures(Task(**parts, paired=False), (options.size, options.size, 3))


def tasks(options: Options) -> Iterator[tuple[str, int, Pictures]]:
    """Yield the tasks that are asked for, with their names and seeds."""
    for seed in range(options.seeds):
        if options.images is not None:
            yield "faces", seed, faces(options)
            continue
        for kind in options.kinds:
            yield kind, seed, digits(kind, seed)


def score(task: Task, x: np.ndarray, components: int) -> dict[str, float]:
    """Return scores of edited images: a Fréchet distance of pixels, or of components where there are many."""
    truth = task.truth
    if x.shape[1] > 100:
        centre = truth.mean(axis=0)
        basis = np.linalg.svd(truth - centre, full_matrices=False)[2][:components].T
        a, b = (x - centre) @ basis, (truth - centre) @ basis
    else:
        a, b = x, truth
    scores = {"frechet": float(metrics.frechet_distance(a, b))}
    if task.paired:
        scores["rmse"] = float(np.sqrt(np.square(x - truth).mean()))
    return scores


def versions(options: Options, shape: tuple[int, int, int], seed: int) -> list[methods.Version]:
    """Return what is compared; the slow methods for the first seeds only."""
    length = jbc.Training() if options.steps is None else jbc.Training(min_steps=1, max_steps=options.steps)
    found = [
        methods.shift,
        methods.edit_neurons(image=shape, widths=FILTERS, inputs=jbc.Inputs(scale="none"), training=length),
    ]
    return [*found, methods.regularise, methods.train_gans] if seed < options.slow_seeds else found


def draw(folder: Path, drawn: dict[str, dict[str, np.ndarray]], shape: tuple[int, int, int]) -> None:
    """Write a picture of some images of every task, and of what became of them."""
    shown = {
        name: {said: found[of][:COLUMNS] for of, said in SHOWN.items() if of in found}
        for name, found in drawn.items()
    }
    longest = max(map(len, shown.values()))
    figure, axes = panels(1, len(shown), 5.0, 0.4 * longest + 0.3)
    for ax, (name, groups) in zip(axes.flat, shown.items(), strict=True):
        plots.image_rows(ax, groups, shape)
        ax.set_title(name, fontsize=9, loc="left")
    keep(figure, folder / f"neuron_editing_{'faces' if 'faces' in drawn else 'digits'}.png")


def main() -> None:
    """Make the table."""
    options = tyro.cli(Options)
    cache.keep_compiled()
    rows, drawn = [], {}
    for name, seed, (task, shape) in tasks(options):
        print(name, seed, file=sys.stderr, flush=True)
        found = {method: x for version in versions(options, shape, seed) for method, x in version(task, seed)}
        found[names.TRUTH] = task.truth
        if seed == 0:
            drawn[name] = found
        for method, x in found.items():
            if options.only == "gans" and method not in names.GANS:
                continue
            scores = {key: round(value, 5) for key, value in score(task, x, options.components).items()}
            rows.append({"task": name, "seed": seed, "method": method} | scores)
    if options.figures is not None:
        draw(options.figures, drawn, shape)
    run = results.describe_run(options)
    if options.only is not None:
        run, rows = results.with_new(options.out, rows, "method", "task", "seed")
    rows = [row for row in rows if "published" not in row]
    results.write(options.out, run, rows + printed.rows("1"))
    print(page.image_table(rows))


if __name__ == "__main__":
    program.run(main)
