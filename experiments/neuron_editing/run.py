"""Extrapolation in cytometry, in the form of neuron editing's Tables 2 and 3, and against the truth.

python experiments/neuron_editing/run.py [--tables cytonorm spike-in drugs] [--only gans] [--seeds 3] writes
experiments/results/neuron_editing_<table>.json with the numbers in print, and prints the tables. With --only, stored
rows of other methods are kept.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

# Small decompositions wait longer for their threads than they compute.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import tyro
from scipy.stats import wasserstein_distance

import jbc
from experiments._lib import program, results
from experiments.neuron_editing import methods, names, page, printed
from experiments.neuron_editing.methods import Task
from experiments.neuron_editing.worlds import cytonorm, drugs, spike_in
from jbc import metrics
from jbc.data import cache

Table = Literal["cytonorm", "spike-in", "drugs"]
PULLS = (0.25, 0.5)
PRINTED: dict[Table, tuple[str, ...]] = {"cytonorm": ("2",), "spike-in": (), "drugs": ("3",)}
"""The tables of the paper whose numbers are stored beside."""
MMD_ROWS = 500


@dataclasses.dataclass(frozen=True)
class Options:
    """Learn a change from a source and a target, and apply it to other cells."""

    tables: tuple[Table, ...] = ("cytonorm", "spike-in", "drugs")
    seeds: int = 3  # trainings of a task of real data, or simulated worlds
    size: float = 1.0  # of the simulated worlds, relative to the paper's
    steps: int | None = None  # stop the training of autoencoders there, to see whether everything runs
    slow_seeds: int = 1  # of these, for which networks that make rows anew are compared as well
    only: Literal["gans"] | None = None  # compare these methods, and keep the stored rows of all others
    out: Path = results.RESULTS  # where the rows go


def tasks(table: Table, options: Options) -> Iterator[tuple[str, int, Task]]:
    """Yield the tasks of a table, with the seed of a training."""
    if table == "cytonorm":
        for (name, task), seed in itertools.product(cytonorm().items(), range(options.seeds)):
            yield name, seed, task
    for seed in range(options.seeds):
        if table == "spike-in":
            yield "spike-in", seed, spike_in(seed, options.size)
        if table == "drugs":
            for interaction in (0.0, 1.0):
                yield f"interaction {interaction:g}", seed, drugs(seed, options.size, interaction)


def score(task: Task, x: np.ndarray) -> dict[str, float]:
    """Return scores of corrected rows: distances from the truth, and correlations as in the paper."""
    ladder = metrics.bandwidth_ladder(task.truth)
    # The squared MMD with the sum of the kernels, as a loss has it; metrics.mmd is the root, with their mean.
    roots = metrics.mmd(x, task.truth, rows=MMD_ROWS, draws=3, bandwidths=ladder)
    asked = np.median(task.target, axis=0) - np.median(task.source, axis=0)
    done = np.median(x, axis=0) - np.median(task.new, axis=0)
    scores = {
        "w1": float(np.mean([wasserstein_distance(*each) for each in zip(x.T, task.truth.T, strict=True)])),
        "mmd2": float(np.square(roots).mean() * len(ladder)),
        "r medians": _correlation(asked, done),
    }
    for name, centre in (("means", np.mean), ("variances", np.var)):
        scores[f"r {name}"] = _correlation(centre(x, axis=0), centre(task.truth, axis=0))
    change = (each.mean(axis=0) - task.new.mean(axis=0) for each in (x, task.truth))
    scores["r change"] = _correlation(*change)
    if task.paired:
        scores["cell"] = float(np.abs(x - task.truth).mean())
    return scores


def halves(task: Task) -> tuple[Task, np.ndarray]:
    """Return one half of the true rows as a task, and the other: as near as rows of one distribution are."""
    order = np.random.default_rng(0).permutation(len(task.truth))
    half = len(order) // 2
    return task._replace(truth=task.truth[order[half:]]), task.truth[order[:half]]


def versions(options: Options, table: Table, seed: int) -> list[methods.Version]:
    """Return what is compared; the slow methods for the first seeds only."""
    length = jbc.Training() if options.steps is None else jbc.Training(min_steps=1, max_steps=options.steps)
    slow = seed < options.slow_seeds
    if options.only == "gans":
        return [methods.train_gans] if slow else []
    found = [methods.shift, methods.edit_neurons(PULLS if table == "cytonorm" else (), training=length)]
    return [*found, methods.regularise, methods.train_gans] if slow else found


def rows_of(table: Table, options: Options) -> list[dict]:
    """Return the rows of a table: every task corrected by every method, and scored."""
    rows = []
    for name, seed, task in tasks(table, options):
        print(table, name, seed, file=sys.stderr, flush=True)
        corrected = [pair for version in versions(options, table, seed) for pair in version(task, seed)]
        scores = {method: score(task, x) for method, x in corrected}
        if options.only is None:
            scores[names.TRUTH] = score(task, task.truth) if task.paired else score(*halves(task))
        rows += [
            {"task": name, "seed": seed, "method": method}
            | {key: round(value, 5) for key, value in each.items()}
            for method, each in scores.items()
        ]
    return rows


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return the correlation, or 0 where one side does not vary."""
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


def main() -> None:
    """Make the tables that are asked for."""
    options = tyro.cli(Options)
    cache.keep_compiled()
    for table in options.tables:
        path, run, rows = (
            options.out / f"neuron_editing_{table}.json",
            results.describe_run(options),
            rows_of(table, options),
        )
        if options.only is not None:
            run, rows = results.with_new(path, rows, "method", "task", "seed")
        results.write(
            path, run, [row for row in rows if "published" not in row] + printed.rows(*PRINTED[table])
        )
        print(page.markdown(table, rows), flush=True)


if __name__ == "__main__":
    program.run(main)
