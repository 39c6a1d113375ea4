"""``jbc fit``."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from jbc import __version__
from jbc.cli.common import Cofactor, Column, Columns, Files, parse, print_table, role_columns
from jbc.cli.distributed import Scheduler, end_with_launcher, joined
from jbc.cli.folders import refuse_inside, run_folder, same_run
from jbc.data.io.tables import read_table
from jbc.errors import InputError, listing
from jbc.interfaces import expression
from jbc.methods import presets
from jbc.methods.prepare import Mixtures, prepare, refuse_options
from jbc.methods.registry import METHODS, to_json

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from jbc.cohort import Cohort
    from jbc.model import Model

CHOICES = {name: cls() for name, cls in METHODS.items()} | presets.PUBLISHED
TIMING = ("seconds", "rows")
Choice = tyro.extras.subcommand_type_from_defaults(CHOICES, prefix_names=False)


@dataclasses.dataclass(frozen=True)
class Options:
    """Fit a method to tables; rows without a label are targets: they are corrected and later classified.

    Features are the numeric columns that are neither keys, nor in --control, nor named Metadata_*; or what
    --features names.
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
    """What to fit; jbc fit METHOD --help tells its settings. Those whose names go on (-paper) are published."""
    labels_key: Column = None
    """Column that names the class; empty, NA, NaN, None or -1 where it is unknown."""
    treatment_key: Column = None
    """Column that names the condition that is repeated over batches."""
    unit_key: Column = None
    """Column that names the subject; replicates of one subject share it."""
    control: Annotated[str | None, tyro.conf.arg(metavar="EXPR")] = None
    """Rows of the same material in every batch, such as "Metadata_Compound == 'DMSO'": comparisons of columns with
    texts, numbers or lists (in), joined by and, or, not; a name of several words stands in backticks."""
    features: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="COLUMN...")] = None
    """Columns to use as features, in this order."""
    arcsinh: Cofactor = None
    """Fit to arcsinh(value / COFACTOR), 5 for mass cytometry as a rule; transform and predict then do the same."""
    steps: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Training steps; the method's own number by default."""
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
        return Columns(self.batch_key, self.labels_key, self.treatment_key, self.unit_key)


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    end_with_launcher()
    options = parse(Options, "fit", arguments)
    _positive(options)
    refuse_inside(options.out, run=True)
    columns = options.columns()
    marking = [] if options.control is None else expression.names(options.control)
    keys = [*columns.given(), *marking]
    table = read_table(options.data, keys=keys, features=options.features, arcsinh=options.arcsinh)
    from jbc.cohort import Cohort

    groups = role_columns(table, columns, options.control)
    cohort = Cohort.from_arrays(table.x, features=table.features, **groups)
    run = _describe(options, cohort)
    with joined(options.distributed) as mesh:
        from jbc.train import processes

        processes.refuse_differences(run)
        refuse_options(
            options.method, {"--stop-early": options.stop_early, "--save-every": options.save_every}
        )
        cohort = prepare(options.method, cohort, options.steps, options.composition)
        alone = run_folder(options.out, run, resume=options.resume)
        with alone if processes.is_first() else contextlib.nullcontext(False) as finished:
            if not processes.all_max(finished):
                return _train(cohort, options, run, mesh)
        if finished:
            print(f"{options.out} is finished already; its model is in {options.out / 'model'}")
        return 0


def _train(cohort: Cohort, options: Options, run: dict[str, Any], mesh: Mesh | None) -> int:
    """Train, with everything that hangs on the loop; save the model at the end."""
    from jbc.methods.base import Trainable
    from jbc.model.criteria import default_criterion
    from jbc.model.fitting import fit_prepared
    from jbc.train import Options as LoopOptions
    from jbc.train import checkpoint, hooks, processes

    steps, path, first = options.out / "checkpoints", options.out / "log.jsonl", processes.is_first()
    start = processes.all_max(checkpoint.latest(steps) or 0)
    earlier = hooks.read_log(path, start)

    def resume(tree: Any) -> tuple[int, Any] | None:
        if not start:
            return None
        saved, meta = checkpoint.read_step(steps, start, like=tree)
        same_run(meta.get("run"), run)
        return start, saved

    save = hooks.saving(steps, {"kind": "checkpoint", "run": run}, every=options.save_every)
    with contextlib.ExitStack() as stack:
        shown = [hooks.log_lines(path, start), hooks.progress(run["method"]["name"])] if first else []
        shown = [stack.enter_context(each) for each in shown]
        stop, caught = stack.enter_context(hooks.interruptible(lambda event: save(event, force=True)))
        loop = LoopOptions()
        if isinstance(options.method, Trainable):
            loop = LoopOptions(hooks=(*shown, save, stop), resume=resume, mesh=mesh)
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
    notes = {
        "columns": dataclasses.asdict(options.columns()),
        "control": options.control,
        "arcsinh": options.arcsinh,
        "run": run,
    }
    record = dataclasses.replace(record, history=[*before, *record.history], notes=notes)
    model = dataclasses.replace(model, record=record)
    model.save(options.out / "model", overwrite=True)
    _report(model, cohort, options)
    return 0


def _report(model: Model, cohort: Cohort, options: Options) -> None:
    """Print what was fitted, to what."""
    from jbc.cohort.composition_words import IN_WORDS

    label = np.asarray(cohort.label)
    lost = None if options.labels_key is None else label < 0
    rows = [
        {
            "batch": name,
            "rows": int(count),
            "labelled": int((label[np.asarray(cohort.domain) == code] >= 0).sum()),
            "unknown": None if lost is None else int(lost[np.asarray(cohort.domain) == code].sum()),
        }
        for code, (name, count) in enumerate(
            zip(cohort.names.domains, np.asarray(cohort.domains.count), strict=True)
        )
    ]
    print_table(rows, f"{model.record.steps} steps, {cohort.x.shape[1]} features")
    if lost is not None:
        classes = listing(cohort.names.labels) or "none"
        print(f"labels: {int((~lost).sum())} rows labelled, {int(lost.sum())} unknown; classes: {classes}")
    print(f"composition: {IN_WORDS[model.composition.verdict]}")
    print(f"model: {options.out / 'model'}")


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


def _describe(options: Options, cohort: Cohort) -> dict[str, Any]:
    """Return what decides the result of a run."""
    return {
        "jbc": __version__,
        "method": json.loads(json.dumps(to_json(options.method))),
        "steps": options.steps,
        "stop_early": options.stop_early,
        "composition": options.composition,
        "seed": options.seed,
        "data": _digest(cohort),
    }


def _digest(cohort: Cohort) -> str:
    """Return a sum over everything in a cohort."""
    import jax

    digest = hashlib.sha256(repr(cohort.names).encode())
    for leaf in jax.tree.leaves(cohort):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
