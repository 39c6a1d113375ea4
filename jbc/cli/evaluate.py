"""``jbc evaluate``."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jbc.cli.common import (
    Cofactor,
    Column,
    Columns,
    Files,
    parse,
    print_table,
    refuse_overwrite,
    role_columns,
)
from jbc.data.io.atomic import atomic_path
from jbc.data.io.tables import Table, read_table
from jbc.errors import InputError
from jbc.validation import checks


@dataclasses.dataclass(frozen=True)
class Options:
    """Judge a table: how visible its batches are, how far apart, and how good predictions in it are.

    With --before, both tables are scored with the same kernels, so that the numbers can be compared.
    """

    data: Files
    """Tables to score."""
    batch_key: str
    """Column that names the batch."""
    labels_key: Column = None
    """Column that names the class; empty, NA, NaN, None or -1 where it is unknown. Used for scores only."""
    unit_key: Column = None
    """Column that names the subject: replicates are never split over folds."""
    predicted_key: Column = None
    """Column with predicted classes."""
    before: Files = ()
    """The same rows before the correction."""
    features: tuple[str, ...] | None = None
    """Columns to use as features."""
    arcsinh: Cofactor = None
    """Take arcsinh(value / COFACTOR) of what was measured: of --before where it is given, else of --data."""
    seed: int = 0
    """Seed of the draws and folds."""
    out: Path | None = None
    """Write the numbers as JSON."""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "evaluate", arguments)
    refuse_overwrite([*options.data, *options.before], options.out)
    from jbc.metrics import bandwidth_ladder

    after = _read(options, options.data, None if options.before else options.arcsinh)
    tables = {"": after}
    if options.before:
        tables = {"before": _read(options, options.before, options.arcsinh), "after": after}
        if list(tables["before"].obs.index) != list(after.obs.index):
            raise InputError(
                "The tables before and after have different rows",
                which=[f"{len(table.x)} rows {when}" for when, table in tables.items()],
                why="What changed can only be measured row by row.",
                fix="Pass the same rows in the same order.",
                code="different-rows",
            )
    ladder = bandwidth_ladder(next(iter(tables.values())).x, seed=options.seed)
    # What is reported of labels is reported once, also where there are two tables.
    known = functools.cache(lambda given: checks.known_labels(given, len(given)))
    rows = [
        ({"table": when} if when else {}) | row
        for when, table in tables.items()
        for row in _judge(options, table, ladder, known)
    ]
    if options.out is not None:
        with atomic_path(options.out) as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n")
    print_table(rows, "evaluation")
    return 0


def _read(options: Options, files: Sequence[Path], arcsinh: float | None) -> Table:
    keys = [options.batch_key, options.labels_key, options.unit_key, options.predicted_key]
    keys = [key for key in keys if key]
    table = read_table(files, keys=keys, features=options.features, arcsinh=arcsinh)
    _, observed = checks.values(table.x, table.features)
    if observed is not None:
        raise checks.incomplete(observed, table.features, "jbc evaluate")
    return table


def _judge(
    options: Options, table: Table, ladder: Any, known: Callable[[tuple[str, ...]], Any]
) -> list[dict[str, Any]]:
    from jbc.metrics import evaluate

    groups = role_columns(table, Columns(options.batch_key, options.labels_key, unit=options.unit_key))
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
