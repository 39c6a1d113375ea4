"""Tables 1 to 6 and Figures 4 to 8 of Tabak et al.: Wasserstein alignment as published, on BBBC021.

python experiments/wasserstein/published.py [--keep FOLDER] trains both published configurations and our default,
writes experiments/results/wasserstein_published.json with the printed numbers, and draws the figures to
docs/benchmarks/figures/. With --keep, trained maps are kept in a folder, and read from it the next time.
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

import jax
import numpy as np
import tyro

import jbc
from experiments._lib import program, published, results
from experiments.wasserstein import figures, screens, training
from jbc import metrics

Table = Literal["bbbc021", "bbbc021-189"]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What stands for embeddings of the paper: the wells and how they are prepared, and what print calls them."""

    name: str
    dataset: str
    start: str


PREPARED: dict[Table, Prepared] = {
    "bbbc021": Prepared("percentiles, factors", "BBBC021_engineered", "preprocessed"),
    "bbbc021-189": Prepared("TVN", "BBBC021_dnn", "tvn"),
}
FIGURES = Path(__file__).parents[2] / "docs" / "benchmarks" / "figures"
PRINTED = {"coral": "CORAL", "wdn_max_knn": "WDN, by neighbours", "wdn_max_silhouette": "WDN, by silhouette"}


@dataclasses.dataclass(frozen=True)
class Options:
    """Run Wasserstein alignment as published."""

    tables: tuple[Table, ...] = ("bbbc021", "bbbc021-189")
    seeds: int = 4  # of the minibatches and the critics
    slow_seeds: int = 2  # of the released program, and of wells with many features
    left_out: tuple[str, ...] = (
        "bbbc021-189/reference",
    )  # trainings not to run; this one takes more than an hour
    draws: int = 100  # of the bootstrap, with the first seed
    forests: int = 5  # folds and forests by which domains are named
    forests_by_step: int = 2  # the same, at every step of the figures
    keep: Path | None = None  # where trained maps are kept
    figures: Path = FIGURES  # where the figures go
    out: Path = results.RESULTS / "wasserstein_published.json"  # where the rows go


def main() -> None:
    """Make all tables and figures."""
    options = tyro.cli(Options)
    jax.config.update("jax_num_cpu_devices", training.LANES)
    # Rows of tables that are not asked for stay.
    rows = [row for row in results.read_from(options.out) if row["table"] not in options.tables]
    drawn = {}
    for table in options.tables:
        screen, plate = screens.load_wells(table)
        ready = screens.prepare(screen, plate)[PREPARED[table].name]
        each, drawn[PREPARED[table].name] = run(table, ready, options)
        rows += [*printed(table), *each]
    results.write(options.out, results.describe_run(options), rows)
    figures.draw(options.figures, drawn)


def run(table: Table, screen: screens.Screen, options: Options) -> tuple[list[dict], figures.Shown]:
    """Return the rows of a table, and what its figures show."""
    weight = metrics.bootstrap_weights(screen.treatment, screen.domain, draws=options.draws)
    simple = [
        screens.Corrected(PREPARED[table].name, [screen.x]),
        screens.correct("CORAL", screens.WHITE, screen),
    ]
    several = {one.name: [one] for one in simple} | trained(table, screen, options)
    rows, stopped, drawn, plain = [], [], {}, {}
    for name, seeds in several.items():
        plain[name] = [screens.score(one, screen) for one in seeds]
        drawn[name] = screens.score(seeds[0], screen, weight)
        each_rule = zip(*map(screens.stop_early, plain[name]), strict=True)
        for seeded, boot in zip(each_rule, screens.stop_early(drawn[name]), strict=True):
            rows += rows_of(table, seeded, boot, screen, options.forests)
            stopped.append((seeded[0], boot))
    seen = {name: by_step(drawn[name].found, screen, options.forests_by_step) for name in several}
    rows += [
        row for name, one in drawn.items() if one.without for row in step_rows(table, name, one, seen[name])
    ]
    return rows, figures.Shown(screen, drawn, stopped, seen)


def trained(table: Table, screen: screens.Screen, options: Options) -> dict[str, list[screens.Corrected]]:
    """Return the rows of every seed by method: as published, after some steps, and by our default at its end."""
    found: dict[str, list[screens.Corrected]] = {}
    wide = screen.x.shape[1] > 100
    for truth in training.TURNS:
        if f"{table}/{truth}" in options.left_out:
            continue
        seeds = options.slow_seeds if wide or truth == "reference" else options.seeds
        file = None if options.keep is None else options.keep / f"{table}_{truth}.npz"
        taken = training.train(truth, screen, seeds, file)
        found[truth] = [
            screens.Corrected(truth, training.corrected(truth, screen, taken, seed), (0, *taken))
            for seed in range(training.seeds_of(taken))
        ]
    found["default"] = [
        screens.last_version(
            screens.align("default", jbc.WassersteinAlignment(), screen, 1, shared=True, seed=seed)
        )
        for seed in range(options.slow_seeds if wide else options.seeds)
    ]
    return found


def rows_of(
    table: Table,
    seeds: Sequence[screens.Stopped],
    drawn: screens.Stopped,
    screen: screens.Screen,
    forests: int,
) -> list[dict]:
    """Return the rows of one method: the wells as they are, over seeds, and the bootstrap of the first seed."""
    value = [screens.mean_over_points(one.points) for one in seeds]
    seen = [
        screens.domain_visibility(screens.centre_on_controls(one.x, screen), screen, forests) for one in seeds
    ]
    boot = screens.mean_over_points(drawn.points) | seen[0]
    out = []
    for metric, each in boot.items():
        many = np.array([one[metric] if metric in one else told[metric].mean()
                         for one, told in zip(value, seen, strict=True)])  # fmt: skip
        row = screens.screen_row(table, seeds[0].name, metric, many.mean(), each, seeds[0].step)
        spread = round(float(many.std(ddof=1)), 4) if len(many) > 1 else None
        out.append(row | {"seeds": len(many), "seed_sd": spread})
    return out


def by_step(found: screens.Corrected, screen: screens.Screen, forests: int) -> list[dict[str, np.ndarray]]:
    """Return how well classifiers name the domain, at every step."""
    return [
        screens.domain_visibility(screens.centre_on_controls(x, screen), screen, forests)
        for x in found.versions
    ]


def step_rows(
    table: Table, name: str, scores: screens.Scores, seen: Sequence[dict[str, np.ndarray]]
) -> list[dict]:
    """Return means and deviations of all metrics at every step, over the bootstrap or the forests."""
    told = screens.mean_over_points(scores.points)
    out = []
    for number, step in enumerate(scores.found.steps):
        each = {metric: values[number] for metric, values in told.items()} | seen[number]
        out += [
            screens.screen_row(table, f"{name}, by step", metric, values.mean(), values, step)
            for metric, values in each.items()
        ]
    return out


def printed(table: Table) -> list[dict]:
    """Return the printed numbers, a row for every method and metric; nothing where they are not at hand."""
    kind, found = PREPARED[table], {}
    for line in published.read("wasserstein"):
        if line["dataset"] == kind.dataset:
            method = {kind.start: kind.name, **PRINTED}[line["method"]]
            metric, scale = metric_of(line["metric"])
            key = method, metric, line["table"]
            found.setdefault(key, {})[line["statistic"]] = round(float(line["value"]) * scale, 4)
    return [
        {"table": table, "method": method, "metric": metric, "printed_in": where, "published": told.get("value"),
         "published_mean": told.get("mean"), "published_sd": told.get("std")}
        for (method, metric, where), told in found.items()
    ]  # fmt: skip


def metric_of(name: str) -> tuple[str, float]:
    """Return what a printed metric is called here, and what brings it to our scale.

    Examples
    --------
    >>> metric_of("nsc_nsb_3nn_pct"), metric_of("nsc_1nn_pct"), metric_of("silhouette")
    (('NSCB 3, possible', 0.01), ('NSC 1, possible', 0.01), ('silhouette', 1.0))
    """
    if name == "silhouette":
        return name, 1.0
    if name.startswith("batch_"):
        return f"domain, {name.removeprefix('batch_').removesuffix('_pct').replace('_', ' ')}", 0.01
    kind, k = name.removesuffix("nn_pct").rsplit("_", 1)
    kind = {"nsc": "NSC", "nsc_nsb": "NSCB"}[kind]
    return f"{kind} {k}, {screens.POSSIBLE}", 0.01


if __name__ == "__main__":
    program.run(main)
