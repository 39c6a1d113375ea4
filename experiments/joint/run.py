"""The tables of the joint-calibration papers, and what each part of the default buys.

python experiments/joint/run.py [--tables mi pairs chd cytof sc-mixology ceilings ablations tried] [--seeds 10] trains
every table, all tasks and seeds of a method as lanes of one program, prints it beside the papers' numbers (where
published.csv lies in the folder papers beside JBC_DATA), and writes experiments/results/joint_<table>.json.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal, get_args

sys.path.insert(0, str(Path(__file__).parents[2]))

import jax
import numpy as np
import tyro

import jbc
from experiments._lib import program, results
from experiments.joint import ceilings, lanes, methods, page, rejected, tasks
from experiments.joint.tasks import Data, Task
from jbc.cohort import Cohort
from jbc.data import cache
from jbc.methods.rules import changed

TIMED = "mi", "default"
Table = Literal["mi", "pairs", "chd", "cytof", "sc-mixology", "ceilings", "ablations", "tried"]

MI = Data("mi", "MI", 2, ("1a", "1b"))
DATA: dict[Table, tuple[Data, ...]] = {
    "mi": (MI,),
    "pairs": (MI._replace(sources=1, tables=()),),
    "chd": (Data("chd", "CHD", 2, ("2a", "2b")),),
    "cytof": (
        Data("cytof-person1", "CyTOF_patient1", 1, ("2",)),
        Data("cytof-person2", "CyTOF_patient2", 1, ("2",)),
    ),
    "sc-mixology": (Data("sc-mixology", "", 4),),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Train the papers' tables."""

    # Lanes are shared out evenly among the devices, so that even numbers of seeds are fast.

    tables: tuple[Table, ...] = get_args(Table)
    seeds: int = 10
    ablation_seeds: int = 6
    cell_seeds: int = 4  # of sc-mixology, and of the published configurations on CHD and CyTOF
    ceiling_seeds: int = 3  # each with folds of its own
    cell_epochs: int = 500  # at most, of the published configurations on CyTOF, which had 2000
    methods: tuple[str, ...] = ("*",)  # patterns of names: rows of others that are stored stay
    steps: int | None = None  # stop every training there, to see whether everything runs
    out: Path = results.RESULTS  # where the rows go


def number_of_seeds(table: Table, method: str, options: Options) -> int:
    """Return for how many seeds a method is trained; slow ones have fewer."""
    slow = table == "sc-mixology" or (table in ("chd", "cytof") and not method.startswith("default"))
    return min(options.seeds, options.cell_seeds) if slow else options.seeds


def paper_table(table: Table, options: Options) -> list[dict]:
    """Return the rows of one table of the papers."""
    return [row for data in DATA[table] for row in compare(table, data, tasks.load(data.name), options)]


def compare(table: Table, data: Data, cohort: Cohort, options: Options) -> list[dict]:
    """Return rows that compare the methods with simple pipelines and with the papers, on one data set.

    Rows of methods that are not asked for are those that were stored before.
    """
    parts, named = tasks.make_tasks(cohort, data.sources), {"table": table, "dataset": data.name}
    stored = [
        row for row in results.read_from(options.out / f"joint_{table}.json") if row["dataset"] == data.name
    ]
    before = {row["method"]: tasks.pick(stored, method=row["method"]) for row in stored}
    rows = []
    for name, compared in methods.compared_methods(table, options.cell_epochs).items():
        if not asked(options, name):
            rows += before.get(name, [])
            continue
        seeds = number_of_seeds(table, name, options)
        timed = (table, name) == TIMED
        with cold_start() if timed else contextlib.nullcontext():
            scores, trained = lanes.train_and_score(compared, cohort, parts, seeds, options.steps)
        rows += tasks.summary_rows(scores, **named, method=name, steps=trained.steps)
        if timed:
            rows.append(tasks.table_row("seconds", trained.seconds, **named, method=name, seeds=seeds))
    if not asked(options, *tasks.PIPELINES):
        rows += [row for name in tasks.PIPELINES for row in before.get(name, [])]
    else:
        for name, probability in tasks.simple_pipelines(cohort, parts):
            rows += tasks.summary_rows(tasks.score(cohort, parts, probability), **named, method=name)
    rows.append(tasks.table_row("units per domain", tasks.units_per_domain(cohort), **named))
    return rows + tasks.published_rows(data, table)


def asked(options: Options, *names: str) -> bool:
    """Return whether the rows of any of these methods are asked for."""
    return any(fnmatch(name, pattern) for name in names for pattern in options.methods)


@contextlib.contextmanager
def cold_start() -> Iterator[None]:
    """Compile everything anew, so that a time is that of a first run."""
    from jax.experimental.compilation_cache import compilation_cache

    jax.clear_caches()
    for kept in (False, True):
        jax.config.update("jax_enable_compilation_cache", kept)
        compilation_cache.reset_cache()  # JAX looks at its settings only once
        if not kept:
            yield


def ceiling_rows(options: Options) -> list[dict]:
    """Return the rows of the ceilings of all data sets."""
    return [
        row
        for data in (MI, *DATA["cytof"])
        for row in ceilings.ceilings(data, options.ceiling_seeds, options.steps)
    ]


def ablations(options: Options) -> list[dict]:
    """Return the rows of all variants of the default, of which each differs in one thing."""
    cohort = tasks.load(MI.name)
    return [row for name in methods.ABLATIONS for row in train_variant(cohort, name, options)]


def train_variant(cohort: Cohort, name: str, options: Options) -> list[dict]:
    """Return the rows of one variant of the default."""
    method = changed(jbc.JointCalibration(), methods.ABLATIONS[name])

    def run(parts: Sequence[Task]) -> np.ndarray:
        cohorts = [part.cohort for part in parts]
        return lanes.train(method, cohorts, options.ablation_seeds, options.steps).probability

    return score_variant("ablations", name, cohort, run)


def rejected_trials(options: Options) -> list[dict]:
    """Return the rows of what did not become part of the default."""
    cohort = tasks.load(MI.name)

    @functools.cache
    def trained(name: str, sources: int) -> np.ndarray:
        trial = rejected.TRIALS[name]
        trial = dataclasses.replace(trial, steps=options.steps or trial.steps)
        parts = tasks.make_tasks(cohort, sources)
        return rejected.outputs(trial, cohort, parts, options.ablation_seeds)

    def run(name: str, parts: Sequence[Task]) -> np.ndarray:
        if name in rejected.TRIALS:
            return trained(name, len(parts[0].sources))
        plain = trained(rejected.PLAIN, len(parts[0].sources))
        return rejected.after(name, cohort, parts, plain)

    names = [*rejected.TRIALS, *rejected.AFTERWARDS]
    return [
        row for name in names for row in score_variant("tried", name, cohort, functools.partial(run, name))
    ]


def score_variant(
    table: str, name: str, cohort: Cohort, run: Callable[[Sequence[Task]], np.ndarray]
) -> list[dict]:
    """Return the rows of a variant: scored on the targets, and on one of the sources while its labels are hidden."""
    rows = []
    for score, sources in (("target", MI.sources), ("selection", MI.sources - 1)):
        parts = tasks.make_tasks(cohort, sources)
        scores = tasks.score(cohort, parts, run(parts))
        if score == "selection":
            scores = {key: selected(cells) for key, cells in scores.items()}
        rows += tasks.summary_rows(scores, table=table, dataset=MI.name, method=name, score=score)
    return [row for row in rows if row["level"] == "sample" and row["metric"] in ("acc", "auc")]


def selected(cells: dict[tuple[str, str], np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
    """Return, for every target, the mean score of its sources when each is hidden from the other."""
    names = sorted({name for where in cells for name in where})
    chosen = {
        target: [where for where in cells if target not in where] for target in sorted(names, reverse=True)
    }
    return {
        ("+".join(name for name in names if name != target), target): np.mean(
            [cells[w] for w in pairs], axis=0
        )
        for target, pairs in chosen.items()
    }


def main() -> None:
    """Train the tables that are asked for."""
    options = tyro.cli(Options)
    with contextlib.suppress(RuntimeError):  # a process that has begun to compute keeps its devices
        jax.config.update("jax_num_cpu_devices", os.cpu_count())
    cache.keep_compiled()
    special: dict[str, Callable[[Options], list[dict]]] = {
        "ceilings": ceiling_rows,
        "ablations": ablations,
        "tried": rejected_trials,
    }
    for table in options.tables:
        if table == "chd" and tasks.missing(table):
            print("The CHD plates are not below JBC_DATA: their tables are skipped, and never downloaded.")
            continue
        rows = special[table](options) if table in special else paper_table(table, options)
        results.write(options.out / f"joint_{table}.json", results.describe_run(options), rows)
        print(page.markdown(table, rows), flush=True)


if __name__ == "__main__":
    program.run(main)
