"""Wasserstein alignment on BBBC021, in the form of the paper's tables, and on a screen that repeats its treatments.

python experiments/wasserstein.py [--tables bbbc021 screen ...] [--figures FOLDER] writes
experiments/results/wasserstein_<table>.json, prints the tables, and draws the paper's figures from the same scores.
On BBBC021 ours stops early by leave-one-compound-out: the step at which a compound is scored is chosen by the others.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

# Small decompositions wait longer for their threads than they compute.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import results
import screens
import tyro
from wasserstein_diagnosis import diagnosis
from wasserstein_figures import draw
from wasserstein_page import markdown

import jbc
from jbc import metrics

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
    figures: Path | None = None  # where the figures of BBBC021 go
    out: Path = results.RESULTS  # where the rows go


def bbbc021(table: Table, options: Options) -> list[dict]:
    """Correct two preparations of the wells, by week or by plate; they are judged by week."""
    screen, plate = screens.wells("bbbc021-189" if table == "bbbc021-189" else "bbbc021")
    rows = []
    for name, ready in screens.prepared(screen, plate).items():
        by_plate = table == "bbbc021-plates"
        seen = ready._replace(domain=plate) if by_plate else ready
        found = [
            screens.Corrected(name, [ready.x]),
            screens.corrected("CORAL", screens.WHITE, seen),
            screens.corrected("centred", screens.CENTRE, seen),
            screens.corrected("z-score", screens.ZSCORE, seen),
        ]
        if by_plate:
            # A treatment has one well on each of the two or three plates that share it, all of one week.
            few = dataclasses.replace(screens.CLOSED, rows=6, updates=60)
            found += [
                screens.aligned("ours, controls", few, seen, options.points, shared=False),
                screens.aligned("ours, all shared", few, seen, options.points, shared=True),
            ]
        else:
            found += [
                screens.aligned("ours, critics", screens.CRITICS, seen, options.points, shared=True),
                screens.aligned("ours, Gaussian", screens.CLOSED, seen, options.points, shared=True),
            ]
        rows += compared(table, name, found, ready, options)
    return rows


def compared(
    table: Table, name: str, found: Sequence[screens.Corrected], screen: screens.Screen, options: Options
) -> list[dict]:
    """Judge every version as it is, and by a bootstrap of the wells of every treatment and domain."""
    weight = metrics.bootstrap_weights(screen.treatment, screen.domain, draws=options.draws)
    plain, drawn = ([screens.scored(one, screen, each) for one in found] for each in (None, weight))
    pairs = [
        pair for two in zip(plain, drawn, strict=True) for pair in zip(*map(screens.judged, two), strict=True)
    ]
    if options.figures is not None:
        draw(options.figures, f"{table} {name}", screen, drawn, pairs)
    rows = []
    for vanilla, bootstrap in pairs:
        method = name if vanilla.name == name else f"{name}, {vanilla.name}"
        value, each = screens.averages(vanilla.points), screens.averages(bootstrap.points)
        seen = screens.visibility(screens.centred(vanilla.x, screen), screen, options.forests)
        value |= {metric: accuracy.mean() for metric, accuracy in seen.items()}
        each |= seen
        rows += [
            screens.row(table, method, metric, value[metric], each[metric], vanilla.step) for metric in value
        ]
    return rows


def worlds(options: Options) -> list[dict]:
    """Correct simulated screens, by their controls alone and by all treatments that they repeat."""
    ours = jbc.WassersteinAlignment(rows=24)
    pairs = dataclasses.replace(ours, form="pairs")
    told: dict[tuple[str, str], list[float]] = {}
    for seed in range(1, options.worlds + 1):
        screen, clean = screens.simulated(seed)
        found = [
            screens.Corrected("without the effect of the domains (the truth)", [clean]),
            screens.Corrected("measured", [screen.x]),
            screens.corrected("centred on controls", screens.CENTRE, screen),
            screens.corrected("z-score on controls", screens.ZSCORE, screen),
            screens.corrected("CORAL on controls", jbc.Coral(), screen),
            screens.last(screens.aligned("ours, controls alone", ours, screen, 1, shared=False)),
            screens.last(screens.aligned("ours, all shared treatments", ours, screen, 1, shared=True)),
            screens.last(
                screens.aligned(
                    "ours, as in print (pairs), all shared treatments", pairs, screen, 1, shared=True
                )
            ),
        ]
        truth = screens.centred(clean, screen)
        for one in found:
            x = screens.centred(one.versions[0], screen)
            seen = metrics.domain_accuracy_by_treatment(x, screen.domain, screen.treatment).accuracy
            values = screens.averages(screens.judged(screens.scored(one, screen))[0].points) | {
                "domain, logistic regression": seen,
                "distance from the truth": np.linalg.norm(x - truth) / np.linalg.norm(truth),
            }
            for metric, value in values.items():
                told.setdefault((one.name, metric), []).append(float(value))
    return [
        screens.row("screen", name, metric, np.mean(each), np.array(each))
        for (name, metric), each in told.items()
    ]


def main() -> None:
    """Make the tables that are asked for."""
    options = tyro.cli(Options)
    for table in options.tables:
        if table == "screen":
            rows = worlds(options)
        elif table == "diagnosis":
            rows = diagnosis(options.splits)
        else:
            rows = bbbc021(table, options)
        results.write(options.out / f"wasserstein_{table}.json", results.about(options), rows)
        print(markdown(rows), flush=True)


if __name__ == "__main__":
    main()
