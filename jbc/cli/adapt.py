"""``jbc adapt``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from jbc.cli.common import Column, Files, Reading, Run, open_run, parse, print_table, rows_for
from jbc.cli.folders import refuse_inside
from jbc.errors import InputError
from jbc.interfaces import expression


@dataclasses.dataclass(frozen=True)
class Options:
    """Adapt a fitted model to new batches by their controls alone; what is fitted to the others stays as it is.

    Writes a new model, for jbc transform. Rows of batches that the model knows are not used, nor are rows that are no
    controls.
    """

    run: Run
    """Folder of a run, or of a saved model."""
    data: Files
    """Tables with the features of the model, in any order."""
    out: Path
    """Folder to make for the model that knows the new batches too."""
    control: Annotated[str | None, tyro.conf.arg(metavar="EXPR")] = None
    """Which rows are controls, as in jbc fit; the expression of the fit by default."""
    batch_key: Column = None
    """Column that names the batch; the one of the fit by default."""
    reading: Reading = Reading()


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "adapt", arguments)
    refuse_inside(options.out)
    model = open_run(options.run)
    control = options.control or model.record.notes.get("control")
    if control is None:
        raise InputError(
            "It is not known which rows are controls",
            why="A model adapts to new batches by rows of the same material as the controls of the fit.",
            fix="""Pass --control EXPR, such as --control "Metadata_Compound == 'DMSO'".""",
            code="missing-control",
        )
    keys = expression.names(control)
    table, roles = rows_for(model, options.data, options.batch_key, options.reading, keys)
    domain, covariates = roles["domain"], roles["covariates"]
    columns = {name: table.obs[name] for name in table.obs.columns}
    marked = expression.controls(control, columns, alone=True)
    new = (
        np.full(len(table.x), False) if domain is None else ~np.isin(domain.astype(str), model.names.domains)
    )
    if not new.any():
        raise InputError(
            "No row of a new batch",
            why="The model knows all batches of these tables.",
            fix="Pass the tables of new batches.",
            code="known-domain",
        )
    assert domain is not None
    if covariates is not None:
        covariates = {name: values[new] for name, values in covariates.items()}
    model = model.adapt(table.x[new], domain[new], control=marked[new], covariates=covariates)
    model.save(options.out)
    print_table(
        [
            {
                "batch": name,
                "controls": report.rows,
                "needed": report.minimum,
                "distance before": report.before,
            }
            | {"after": report.after, "from": report.low, "to": report.high}
            for name, report in model.record.adapted.items()
        ],
        "distance of the controls to those of the other batches",
    )
    print(f"model: {options.out}")
    return 0
