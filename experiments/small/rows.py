"""How few rows of a domain are too few: what methods do to rows that they were not fitted to.

python experiments/small/rows.py [--seeds 3] fits to few rows of every domain of simulated worlds, corrects others,
writes experiments/results/small_rows.json and prints a table. --quick is for tests.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import tyro

import jbc
from experiments._lib import program, results
from experiments._lib.pages import table
from jbc.data import cache
from jbc.data.simulate.plates import World, simulate_shift
from jbc.methods.base import Method, Trainable

HELD = 100  # rows of every domain that no method is fitted to
METHODS: dict[str, Method] = {
    "centred": jbc.Standardise(scale=False),
    "Standardise": jbc.Standardise(),
    "Standardise, shrunken": jbc.Standardise(shrink=True),
    # The worlds are no intensities: there is nothing to take a logarithm of.
    "JointCalibration": jbc.JointCalibration(inputs=jbc.Inputs(log=False, level="keep")),
    "MMDResNet": jbc.MMDResNet(),
    "WassersteinAlignment": jbc.WassersteinAlignment(
        pretrain=100, training=jbc.AdversarialTraining(rows=32, updates=100)
    ),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Fit to few rows of every domain, and correct others."""

    rows: tuple[int, ...] = (4, 8, 16, 32, 64)  # rows of every domain that methods are fitted to
    shift: tuple[float, ...] = (0.5,)  # strength of the effect: shifts of twice as many deviations
    features: int = 50
    seeds: int = 3
    steps: int = 300  # of networks that are trained by epochs
    methods: tuple[str, ...] = tuple(METHODS)
    quick: bool = False
    out: Path = results.RESULTS / "small_rows.json"  # where the rows go


def error(x: np.ndarray, clean: np.ndarray) -> float:
    """Return what a linear map of every feature, one for all domains, leaves of the truth, in its deviations."""
    x, clean = (table - table.mean(axis=0) for table in (x.astype(float), clean.astype(float)))
    squares = np.square(clean).sum(axis=0)
    explained = np.square((x * clean).sum(axis=0)) / np.maximum(np.square(x).sum(axis=0), 1e-30)
    return float(np.sqrt(np.mean(np.maximum(1 - explained / squares, 0))))


def fitted_to(world: World, rows: int, seed: int) -> np.ndarray:
    """Return which rows methods are fitted to: so many of every domain, at random."""
    draw, chosen = np.random.default_rng(seed), np.zeros(len(world.x), bool)
    for name in np.unique(world.domain):
        chosen[draw.permutation(np.flatnonzero(world.domain == name))[:rows]] = True
    return chosen


def measure(name: str, options: Options, rows: int, shift: float, seed: int) -> float:
    """Return the error after a correction over that before, of rows that the method was not fitted to."""
    world = simulate_shift(
        seed, n_per_domain=rows + HELD, n_features=options.features, n_domains=3, shift=shift
    )
    few, method = fitted_to(world, rows, seed), METHODS[name]
    cohort = jbc.Cohort.from_arrays(world.x[few], world.domain[few], label=world.label[few])
    by_epochs = isinstance(method, Trainable) and name != "WassersteinAlignment"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jbc.InputWarning)
        model = jbc.fit(
            method,
            cohort,
            seed=seed,
            steps=options.steps if by_epochs else None,
            composition="assume-equal",
            verbose=False,
        )
    out = model.transform(world.x[~few], world.domain[~few])
    return error(out, world.clean[~few]) / error(world.x[~few], world.clean[~few])


def main() -> None:
    """Write the rows, and print them."""
    options = tyro.cli(Options)
    if options.quick:
        options = dataclasses.replace(options, rows=(4, 8), shift=(0.5,), seeds=1, steps=2, features=5)
    program.known(options.methods, METHODS, "--methods")
    cache.keep_compiled()
    rows = []
    for name in options.methods:
        for shift in options.shift:
            for number in options.rows:
                found = [measure(name, options, number, shift, seed) for seed in range(options.seeds)]
                rows.append(
                    {
                        "method": name,
                        "shift": shift,
                        "rows": number,
                        "mean": round(float(np.mean(found)), 3),
                        "worst": round(max(found), 3),
                        "seeds": options.seeds,
                    }
                )
                print(*rows[-1].values(), file=sys.stderr)
    results.write(options.out, results.describe_run(options), rows)
    shown = [
        [name, f"{shift:g}", *(f"{row['mean']:.2f} ({row['worst']:.2f})" for row in of)]
        for name in options.methods
        for shift in options.shift
        if (of := [row for row in rows if (row["method"], row["shift"]) == (name, shift)])
    ]
    print(table(["method", "shift", *(f"{number} rows" for number in options.rows)], shown))


if __name__ == "__main__":
    program.run(main)
