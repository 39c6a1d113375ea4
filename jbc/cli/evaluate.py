"""``jbc evaluate``."""

from __future__ import annotations

import dataclasses
import functools
import json
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from jbc.cli.common import (
    Column,
    Columns,
    Files,
    Reading,
    parse,
    print_table,
    refuse_overwrite,
    role_columns,
)
from jbc.cli.scoring import hint_of_units, noun, of_table, origin, print_verdict, replicates, with_standard
from jbc.data.io.atomic import atomic_path
from jbc.data.io.tables import Table, read_table
from jbc.errors import InputError
from jbc.validation import checks


@dataclasses.dataclass(frozen=True)
class Options:
    """Judge a table: how visible its batches are, how far apart, and how good predictions in it are.

    With --before, both tables are scored with the same kernels, so that the numbers can be compared; --arcsinh is
    then of the table before, otherwise of --data.
    """

    data: Files
    """Tables to score."""
    batch_key: Annotated[str, tyro.conf.arg(metavar="COLUMN")]
    """Column that names the batch."""
    labels_key: Column = None
    """Column that names the class; empty, NA, NaN, None or -1 where it is unknown. Used for scores only."""
    unit_key: Column = None
    """Column that names the subject: replicates are never split over folds."""
    predicted_key: Column = None
    """Column with predicted classes."""
    before: Annotated[Files, tyro.conf.arg(metavar="FILE...", help_behavior_hint="")] = ()
    """The same rows before the correction."""
    features: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="COLUMN...")] = None
    """Columns to use as features; all columns of numbers that are no keys by default."""
    exclude: Annotated[tuple[str, ...], tyro.conf.arg(metavar="COLUMN...", help_behavior_hint="")] = ()
    """Columns of numbers that are no features: ids, positions, classes."""
    reading: Reading = Reading()
    seed: int = 0
    """Seed of the draws and folds."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the numbers as JSON."""
    report: Annotated[Path | None, tyro.conf.arg(metavar="PAGE")] = None
    """Write a page of pictures, and of the numbers with what they mean.
    With --before it also tells what standardising every batch would do."""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    begun = time.monotonic()
    options = parse(Options, "evaluate", arguments)
    for out in (options.out, options.report):
        refuse_overwrite([*options.data, *options.before], out)
    tables = _tables(options)
    after = tables[""] if "" in tables else tables["after"]
    columns = Columns(options.batch_key, options.labels_key, unit=options.unit_key)
    groups = role_columns(after, columns)
    rows = _scores(options, tables, columns)
    if options.out is not None:
        with atomic_path(options.out) as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n")
    print_table(rows, "evaluation")
    print_verdict(rows, groups)
    hint = hint_of_units(after, columns)
    if hint:
        print(f"\n{textwrap.fill(hint, 118)}")
    if options.report is not None:
        _write_page(options, tables, groups, rows, hint, begun)
        print(f"\n{options.report}")
    return 0


def _tables(options: Options) -> dict[str, Table]:
    """Read what is scored: "" → a table, or "before" and "after" → those."""
    plain = dataclasses.replace(options.reading, arcsinh=None)
    if not options.before:
        return {"": _read(options, options.data, options.reading)}
    tables = {
        "before": _read(options, options.before, options.reading),
        "after": _read(options, options.data, plain),
    }
    if list(tables["before"].obs.index) != list(tables["after"].obs.index):
        raise InputError(
            "The tables before and after have different rows",
            which=[f"{len(table.x)} rows {when}" for when, table in tables.items()],
            why="What changed can only be measured row by row.",
            fix="Pass the same rows in the same order.",
            code="different-rows",
        )
    return tables


def _read(options: Options, files: Sequence[Path], reading: Reading) -> Table:
    keys = [options.batch_key, options.labels_key, options.unit_key, options.predicted_key]
    chosen = {"keys": [key for key in keys if key], "features": options.features, "exclude": options.exclude}
    table = read_table(files, **chosen, **reading.options())
    _, observed = checks.values(table.x, table.features)
    if observed is not None:
        raise checks.incomplete(observed, table.features, "jbc evaluate")
    return table


def _scores(options: Options, tables: dict[str, Table], columns: Columns) -> list[dict[str, Any]]:
    """Score every table with the kernels of the first."""
    from jbc.metrics import bandwidth_ladder

    ladder = bandwidth_ladder(next(iter(tables.values())).x, seed=options.seed)
    # What is reported of labels is reported once, also where there are two tables.
    known = functools.cache(lambda given: checks.known_labels(given, len(given)))
    return [
        row
        for when, table in tables.items()
        for row in of_table(when, _judge(options, table, columns, ladder, known))
    ]


def _judge(
    options: Options,
    table: Table,
    columns: Columns,
    ladder: Any,
    known: Callable[[tuple[str, ...]], Any],
) -> list[dict[str, Any]]:
    from jbc.metrics import evaluate

    groups = role_columns(table, columns)
    predicted = None if options.predicted_key is None else table.obs[options.predicted_key].to_numpy(object)
    return evaluate(
        table.x,
        groups["domain"],
        None if groups["label"] is None else known(tuple(groups["label"])),
        groups["unit"],
        predicted=predicted,
        bandwidths=ladder,
        seed=options.seed,
    )


def _write_page(
    options: Options,
    tables: dict[str, Table],
    groups: dict[str, Any],
    rows: list[dict[str, Any]],
    hint: str,
    begun: float,
) -> None:
    """Write the page."""
    from jbc.report import Evaluation, write_evaluation

    assert options.report is not None
    drawn = {name: table.x for name, table in tables.items()}
    label = None if groups["label"] is None else checks.known_labels(groups["label"], len(groups["label"]))
    if options.before:
        rows = with_standard(rows, drawn, groups["domain"], label, groups["unit"], seed=options.seed)
    evaluation = Evaluation(
        rows,
        drawn,
        groups["domain"],
        label,
        replicates=replicates(groups),
        domain_name=noun(options.batch_key, "batch"),
        label_name=noun(options.labels_key, "class"),
    )
    files = {"Before": options.before, "Data": options.data}
    write_evaluation(
        options.report,
        evaluation,
        title="Before and after a correction" if options.before else "A table and its batches",
        caveat=hint,
        about=origin(files, options, begun),
    )
