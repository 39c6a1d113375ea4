"""Wasserstein alignment with settings of ours, on BBBC021 and on a screen that repeats its treatments.

python experiments/wasserstein/run.py [--tables bbbc021 screen ...] writes
experiments/results/wasserstein_<table>.json and prints the tables.
On BBBC021 ours stops early by leave-one-compound-out: the step at which a compound is scored is chosen by the others.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

# Small decompositions wait longer for their threads than they compute.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import tyro

import jbc
from experiments._lib import program, results
from experiments.wasserstein import page, screens
from experiments.wasserstein.diagnosis import diagnosis
from jbc import metrics
from jbc.methods.settings import AdversarialTraining

Table = Literal["bbbc021", "bbbc021-189", "bbbc021-plates", "diagnosis", "screen"]


@dataclasses.dataclass(frozen=True)
class Options:
    """Compare corrections of screens."""

    tables: tuple[Table, ...] = ("bbbc021", "bbbc021-189", "bbbc021-plates", "diagnosis", "screen")
    draws: int = 100  # of the bootstrap
    forests: int = 5  # draws for which classifiers look at the domains; a random forest takes a second
    worlds: int = 5  # simulated screens; the settings were chosen on another one
    points: int = 10  # snapshots of a training, from which its end is chosen
    splits: int = 3  # of the controls into halves
    out: Path = results.RESULTS  # where the rows go


def bbbc021(table: Table, options: Options) -> list[dict]:
    """Return rows of two preparations of the wells, corrected by week or by plate and scored by week."""
    screen, plate = screens.load_wells("bbbc021-189" if table == "bbbc021-189" else "bbbc021")
    rows = []
    for name, ready in screens.prepare(screen, plate).items():
        by_plate = table == "bbbc021-plates"
        seen = ready._replace(domain=plate) if by_plate else ready
        found = [
            screens.Corrected(name, [ready.x]),
            screens.correct("CORAL", screens.WHITE, seen),
            screens.correct("centred", screens.CENTRE, seen),
            screens.correct("z-score", screens.ZSCORE, seen),
        ]
        if by_plate:
            # A treatment has one well on each of the two or three plates that share it, all of one week.
            few = dataclasses.replace(screens.CLOSED, rows=6, updates=60)
            found += [
                screens.align("ours, controls", few, seen, options.points, shared=False),
                screens.align("ours, all shared", few, seen, options.points, shared=True),
            ]
        else:
            found += [
                screens.align("ours, critics", screens.CRITICS, seen, options.points, shared=True),
                screens.align("ours, Gaussian", screens.CLOSED, seen, options.points, shared=True),
            ]
        rows += compare(table, name, found, ready, options)
    return rows


def compare(
    table: Table, name: str, found: Sequence[screens.Corrected], screen: screens.Screen, options: Options
) -> list[dict]:
    """Return rows of every version: the wells as they are, and a bootstrap of those of every treatment and domain."""
    weight = metrics.bootstrap_weights(screen.treatment, screen.domain, draws=options.draws)
    plain, drawn = ([screens.score(one, screen, each) for one in found] for each in (None, weight))
    pairs = [
        pair
        for two in zip(plain, drawn, strict=True)
        for pair in zip(*map(screens.stop_early, two), strict=True)
    ]
    rows = []
    for vanilla, bootstrap in pairs:
        method = name if vanilla.name == name else f"{name}, {vanilla.name}"
        value, each = screens.mean_over_points(vanilla.points), screens.mean_over_points(bootstrap.points)
        seen = screens.domain_visibility(
            screens.centre_on_controls(vanilla.x, screen), screen, options.forests
        )
        value |= {metric: accuracy.mean() for metric, accuracy in seen.items()}
        each |= seen
        rows += [
            screens.screen_row(table, method, metric, value[metric], each[metric], vanilla.step)
            for metric in value
        ]
    return rows


def simulated_screens(options: Options) -> list[dict]:
    """Return rows of simulated screens, aligned by their controls alone and by all treatments that they repeat."""
    ours = jbc.WassersteinAlignment(training=AdversarialTraining(rows=24))
    pairs = dataclasses.replace(ours, form="pairs")
    told: dict[tuple[str, str], list[float]] = {}
    for seed in range(1, options.worlds + 1):
        screen, clean = screens.simulate(seed)
        found = [
            screens.Corrected("without the effect of the domains (the truth)", [clean]),
            screens.Corrected("measured", [screen.x]),
            screens.correct("centred on controls", screens.CENTRE, screen),
            screens.correct("z-score on controls", screens.ZSCORE, screen),
            screens.correct("CORAL on controls", jbc.Coral(), screen),
            screens.last_version(screens.align("ours, controls alone", ours, screen, 1, shared=False)),
            screens.last_version(screens.align("ours, all shared treatments", ours, screen, 1, shared=True)),
            screens.last_version(
                screens.align("ours, loss over pairs, all shared treatments", pairs, screen, 1, shared=True)
            ),
        ]
        truth = screens.centre_on_controls(clean, screen)
        for one in found:
            x = screens.centre_on_controls(one.versions[0], screen)
            seen = metrics.domain_accuracy_by_treatment(x, screen.domain, screen.treatment).accuracy
            values = screens.mean_over_points(screens.stop_early(screens.score(one, screen))[0].points) | {
                "domain, logistic regression": seen,
                "distance from the truth": np.linalg.norm(x - truth) / np.linalg.norm(truth),
            }
            for metric, value in values.items():
                told.setdefault((one.name, metric), []).append(float(value))
    return [
        screens.screen_row("screen", name, metric, np.mean(each), np.array(each))
        for (name, metric), each in told.items()
    ]


def main() -> None:
    """Make the tables that are asked for."""
    options = tyro.cli(Options)
    for table in options.tables:
        if table == "screen":
            rows = simulated_screens(options)
        elif table == "diagnosis":
            rows = diagnosis(options.splits)
        else:
            rows = bbbc021(table, options)
        results.write(options.out / f"wasserstein_{table}.json", results.describe_run(options), rows)
        print(page.markdown(rows), flush=True)


if __name__ == "__main__":
    program.run(main)
