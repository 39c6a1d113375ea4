"""``jbc fit``."""

from __future__ import annotations

import contextlib
import dataclasses
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from jbc.cli.arguments import FLAG, MANY, ONE, in_order
from jbc.cli.common import Column, Columns, Files, Reading, parse, role_columns
from jbc.cli.distributed import Scheduler, end_with_launcher, joined
from jbc.cli.folders import refuse_inside, run_folder
from jbc.cli.methods import CHOICES, IN_A_LINE, SETTINGS, written_out
from jbc.data.io.tables import read_table
from jbc.errors import InputError, listing
from jbc.interfaces import expression
from jbc.methods.prepare import Mixtures, prepare, refuse_options
from jbc.methods.summary import summarise

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from jbc.cohort import Cohort
    from jbc.model import Model

TIMING = ("seconds", "rows")
Choice = tyro.extras.subcommand_type_from_defaults(CHOICES, prefix_names=False, descriptions=IN_A_LINE)


@dataclasses.dataclass(frozen=True)
class Options:
    """Fit a method to tables; rows without a label are targets: they are corrected and later classified.

    METHOD may also come first. Features are the numeric columns that are neither keys, nor in --control, nor in
    --exclude, nor named Metadata_*; or what --features names.
    The run folder gets the configuration, a log, checkpoints, and the fitted model.
    """

    data: Files
    """Tables: .csv, .tsv (also .gz), .parquet, .h5ad or .fcs; rows of several follow one another.
    The events of an FCS file have its name in the column "sample"."""
    batch_key: Annotated[str, tyro.conf.arg(metavar="COLUMN")]
    """Column that names the batch of a row: plate, day, machine."""
    out: Path
    """Folder to make for the run."""
    method: Choice  # pyright: ignore[reportInvalidTypeForm]
    """What to fit: jbc methods helps to choose, jbc fit METHOD --help tells its settings."""
    labels_key: Column = None
    """Column that names the class; empty, NA, NaN, None or -1 where it is unknown."""
    treatment_key: Column = None
    """Column that names the condition that is repeated over batches."""
    unit_key: Column = None
    """Column that names the subject; replicates of one subject share it."""
    covariates: Annotated[tuple[str, ...], tyro.conf.arg(metavar="COLUMN...")] = ()
    """Columns with what differs between rows for reasons of its own, and must be kept, such as age: numbers, or
    levels where they are texts; C(COLUMN) takes numbers for levels."""
    order_key: Column = None
    """Column with the place of a row in the run: the number of its injection, or a time."""
    control: Annotated[str | None, tyro.conf.arg(metavar="EXPR")] = None
    """Rows of the same material in every batch, such as "Metadata_Compound == 'DMSO'": comparisons of columns with
    texts, numbers or lists (in), joined by and, or, not; a name of several words stands in backticks."""
    features: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="COLUMN...")] = None
    """Columns to use as features, in this order."""
    exclude: Annotated[tuple[str, ...], tyro.conf.arg(metavar="COLUMN...")] = ()
    """Columns of numbers that are no features: ids, positions, classes."""
    reading: Reading = Reading()
    steps: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Training steps; by default those that the method's settings ask for, such as --epochs within --min-steps and
    --max-steps, or --updates."""
    stop_early: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Stop when batches are least visible among replicates that are kept from training: a quarter of the treatments
    that batches share, or half of the controls. A method with a target stops when a tenth of the rows, that are kept
    from training, look most like it."""
    composition: Mixtures = "estimate"
    """Estimate which populations batches share, and align nothing else; or take them for the same mixture."""
    seed: int = 0
    """Same seed, data and versions: same model, to the last bit."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on from the last checkpoint of the run, or begin it."""
    save_every: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Steps between checkpoints; every 30 seconds by default."""
    distributed: Scheduler | None = None
    """Join the processes that this scheduler has started with the same command; jbc launch starts some itself."""

    def columns(self) -> Columns:
        """Return the names of the key columns."""
        keys = (self.batch_key, self.labels_key, self.treatment_key, self.unit_key, self.order_key)
        return Columns(*keys, covariates=self.covariates)


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    end_with_launcher()
    options = parse(Options, "fit", arguments, lambda given: in_order(given, _own(), SETTINGS))
    _positive(options)
    options = dataclasses.replace(options, method=written_out(options.method))
    refuse_inside(options.out, run=True)
    columns = options.columns()
    marking = [] if options.control is None else expression.names(options.control)
    keys = [*columns.given(), *marking]
    chosen = {"features": options.features, "exclude": options.exclude}
    table = read_table(options.data, keys=keys, **chosen, **options.reading.options())
    from jbc.cohort import Cohort

    groups = role_columns(table, columns, options.control)
    cohort = Cohort.from_arrays(table.x, features=table.features, **groups)
    with joined(options.distributed) as mesh:
        from jbc.model.checkpoints import describe_run
        from jbc.train import processes

        about = {name: getattr(options, name) for name in ("steps", "stop_early", "composition", "seed")}
        run = describe_run(options.method, cohort, **about)
        processes.refuse_differences(run)
        refuse_options(
            options.method, {"--stop-early": options.stop_early, "--save-every": options.save_every}
        )
        cohort = prepare(options.method, cohort, options.steps, options.composition)
        alone = run_folder(options.out, run, resume=options.resume)
        with alone if processes.is_first() else contextlib.nullcontext(False) as finished:
            if not processes.all_max(finished):
                if processes.is_first():
                    print(
                        summarise(options.method, cohort, word="batch", left_out=table.left_out), flush=True
                    )
                return _train(cohort, options, run, mesh)
        if finished:
            print(f"{options.out} is finished already; its model is in {options.out / 'model'}")
        return 0


def _own() -> dict[str, int]:
    """Return the command's own options, and how many values each takes."""
    fields = {name: kind for name, kind in typing.get_type_hints(Options).items() if name != "method"}
    fields |= typing.get_type_hints(Reading)
    takes = {
        name: FLAG if kind is bool else MANY if "tuple" in str(kind) else ONE for name, kind in fields.items()
    }
    return {f"--{name.replace('_', '-')}": count for name, count in takes.items()}


def _train(cohort: Cohort, options: Options, run: dict[str, Any], mesh: Mesh | None) -> int:
    """Train, with everything that hangs on the loop; save the model at the end."""
    from jbc.methods.base import Trainable, can
    from jbc.model.checkpoints import checkpointed
    from jbc.model.criteria import default_criterion
    from jbc.model.fitting import fit_prepared
    from jbc.train import Options as LoopOptions
    from jbc.train import checkpoint, hooks, processes, progress

    steps, path, first = options.out / "checkpoints", options.out / "log.jsonl", processes.is_first()
    start = processes.all_max(checkpoint.latest(steps) or 0)
    earlier = hooks.read_log(path, start)
    with contextlib.ExitStack() as stack:
        loop, caught = LoopOptions(mesh=mesh), []
        trained = can(options.method, Trainable)
        shown = [hooks.log_lines(path, start)] if first else []
        shown += [progress(run["method"]["name"])] if first and trained else []
        told = tuple(stack.enter_context(each) for each in shown)
        if trained:
            loop = dataclasses.replace(loop, hooks=told)
            loop, caught = stack.enter_context(checkpointed(steps, run, loop, options.save_every))
        stopping = default_criterion(options.method) if options.stop_early else None
        model = fit_prepared(options.method, cohort, options.seed, options.steps, stopping, loop)
    record = model.record
    if caught and record.stopped:
        if first:
            print(f"interrupted after step {record.steps}, and saved; go on with --resume")
        return 128 + caught[0]
    if not first:
        return 0
    # The history of a run that was resumed is as long as that of one that ran through.
    before = [{name: value for name, value in row.items() if name not in TIMING} for row in earlier]
    notes = {"columns": dataclasses.asdict(options.columns()), "control": options.control, "run": run}
    notes |= dataclasses.asdict(options.reading)
    notes["rows"] = dict(zip(cohort.names.domains, np.asarray(cohort.domains.count).tolist(), strict=True))
    record = dataclasses.replace(record, history=[*before, *record.history], notes=notes)
    model = dataclasses.replace(model, record=record)
    model.save(options.out / "model", overwrite=True)
    _report(model, cohort, options)
    return 0


def _report(model: Model, cohort: Cohort, options: Options) -> None:
    """Print what came of it."""
    from jbc.cohort.composition_words import IN_WORDS

    label = np.asarray(cohort.label)
    if options.labels_key is not None:
        known, classes = int((label >= 0).sum()), listing(cohort.names.labels) or "none"
        print(f"labels: {known} rows labelled, {len(label) - known} unknown; classes: {classes}")
    print(f"composition: {IN_WORDS[model.composition.verdict]}")
    steps = f"{model.record.steps} steps; " if model.record.steps else ""
    print(f"{steps}model: {options.out / 'model'}")


def _positive(options: Options) -> None:
    counts = {"--steps": options.steps, "--save-every": options.save_every}
    bad = [name for name, count in counts.items() if count is not None and count < 1]
    if options.seed < 0 or options.seed >= 2**32:
        bad.append("--seed")
    if bad:
        raise InputError(
            "Options out of range",
            which=bad,
            why="Steps count from 1, and a seed is a whole number from 0 to 2^32 - 1.",
            fix="Leave them out for the defaults.",
            code="bad-option",
        )
