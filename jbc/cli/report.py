"""``jbc report``."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from jbc.cli.common import Column, Files, Reading, Run, open_run, parse, refuse_overwrite, rows_for
from jbc.cli.scoring import noun, of_table, origin, replicates, with_standard
from jbc.data.io.tables import Table
from jbc.errors import InputError
from jbc.validation import checks

if TYPE_CHECKING:
    from jbc.model import Model
    from jbc.report import Evaluation


@dataclasses.dataclass(frozen=True)
class Options:
    """Write the page of a fitted run: method, settings, batches, composition, losses of the training.

    With --data, these tables are corrected, and scored before and after; pictures show them. Where the method takes
    logarithms, scores and pictures are of logarithms.
    """

    run: Run
    """Folder of a run, or of a saved model."""
    out: Annotated[Path, tyro.conf.arg(metavar="PAGE")]
    """Page to write, an HTML file."""
    data: Annotated[Files, tyro.conf.arg(metavar="FILE...", help_behavior_hint="")] = ()
    """Tables with the features of the model, in any order."""
    batch_key: Column = None
    """Column that names the batch; the one of the fit by default."""
    labels_key: Column = None
    """Column that names the class, used for scores and pictures only; the one of the fit by default."""
    unit_key: Column = None
    """Column that names the subject; the one of the fit by default."""
    reading: Reading = Reading()
    seed: int = 0
    """Seed of the draws and folds of scores."""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    begun = time.monotonic()
    options = parse(Options, "report", arguments)
    refuse_overwrite(options.data, options.out)
    model = open_run(options.run)
    options = _filled(options, model.record.notes.get("columns", {}))
    evaluation, counts = None, model.record.notes.get("rows", {})
    if options.data:
        table, roles, groups = _read(model, options)
        tables = {"before": table.x, "after": model.transform(table.x, **roles)}
        evaluation = _evaluate(model, tables, groups, options)
        counts = dict(zip(*np.unique(groups["domain"].astype(str), return_counts=True), strict=True))
    _write(model, options, evaluation, counts, begun)
    print(options.out)
    return 0


def _filled(options: Options, columns: dict[str, str | None]) -> Options:
    """Return the options, with columns that are left out as in the fit."""
    names = {"batch_key": "batch", "labels_key": "labels", "unit_key": "unit"}
    found = {option: getattr(options, option) or columns.get(name) for option, name in names.items()}
    return dataclasses.replace(options, **found)


def _read(model: Model, options: Options) -> tuple[Table, dict[str, Any], dict[str, Any]]:
    """Read the tables, what the model asks of their rows, and what is known of them."""
    keys = [key for key in (options.labels_key, options.unit_key) if key]
    table, roles = rows_for(model, options.data, options.batch_key, options.reading, keys)
    if roles["domain"] is None:
        raise InputError(
            "This model knows a single batch",
            which=model.names.domains,
            why="Scores compare batches.",
            fix="Leave --data out, or fit to tables of several batches.",
            code="nothing-to-evaluate",
        )
    label, unit = (None if key is None else table.obs[key].to_numpy(object) for key in
                   (options.labels_key, options.unit_key))  # fmt: skip
    if label is not None:
        label = checks.known_labels(label, len(label))
    return table, roles, {"domain": roles["domain"], "label": label, "unit": unit}


def _evaluate(
    model: Model, tables: dict[str, np.ndarray], groups: dict[str, Any], options: Options
) -> Evaluation:
    """Score the tables before and after the correction, and beside plain standardising."""
    import jax.numpy as jnp

    from jbc.methods.inputs import signed_logarithm
    from jbc.metrics import bandwidth_ladder, evaluate
    from jbc.report import Evaluation

    logarithms = getattr(getattr(model.method.last, "inputs", None), "log", False)
    if logarithms:
        tables = {name: np.asarray(signed_logarithm(jnp.asarray(x))) for name, x in tables.items()}
    ladder, known = bandwidth_ladder(tables["before"], seed=options.seed), tuple(groups.values())
    rows = [
        row
        for name, x in tables.items()
        for row in of_table(name, evaluate(x, *known, bandwidths=ladder, seed=options.seed))
    ]
    return Evaluation(
        with_standard(rows, tables, *known, seed=options.seed),
        tables,
        groups["domain"],
        groups["label"],
        replicates=replicates(groups),
        domain_name=noun(options.batch_key, "batch"),
        label_name=noun(options.labels_key, "class"),
    )


def _write(
    model: Model, options: Options, evaluation: Evaluation | None, counts: dict[str, int], begun: float
) -> None:
    """Write the page."""
    from jbc.cohort.composition_words import IN_WORDS
    from jbc.report import write_run

    record = model.record
    run = record.notes.get("run", {})
    about = {"Run": options.run.name or str(options.run), "Training": _training(options.run, record.steps)}
    about |= {
        "Seed of the training": str(record.seed),
        "Fitted by": f"jbc {run['jbc']}" if "jbc" in run else None,
    }
    about |= origin({"Data": options.data}, options, begun)
    about |= {"Seed": str(options.seed) if options.data else None}
    notes = ["Training was stopped before its last step."] if record.stopped else []
    if not options.data:
        notes.append(
            "With --data FILE..., this page also has scores and pictures of tables before and after."
        )
    write_run(
        options.out,
        title=f"{type(model.method).__name__}: {options.run.name or options.run}",
        method=model.method,
        composition=IN_WORDS[model.composition.verdict],
        domains=[
            {
                noun(options.batch_key, "batch"): name,
                "rows": None if name not in counts else int(counts[name]),
                "is corrected": bool(moves),
                "added later": True if name in record.adapted else None,
            }
            for name, moves in zip(model.names.domains, model.composition.moves, strict=True)
        ],
        history=record.history,
        evaluation=evaluation,
        notes=notes,
        about={name: value for name, value in about.items() if value is not None},
    )


def _training(run: Path, steps: int) -> str:
    """Say how long the training was; the log of a run tells the seconds."""
    if not steps:
        return "none: the method is in closed form"
    try:
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        return f"{steps} steps in {sum(line['seconds'] for line in lines):.0f} s"
    except (OSError, ValueError, KeyError, TypeError):  # a saved model has no log
        return f"{steps} steps"
