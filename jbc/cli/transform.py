"""``jbc transform``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jbc.cli.common import Column, Files, Reading, Run, open_run, parse, refuse_overwrite, rows_for
from jbc.data.io.tables import Table
from jbc.data.io.write import refuse_taken, write_table


@dataclasses.dataclass(frozen=True)
class Options:
    """Correct tables with a fitted model; rows stay in their order, other columns as they are."""

    run: Run
    """Folder of a run, or of a saved model."""
    data: Files
    """Tables with the features of the model, in any order."""
    out: Path
    """File to write: .csv, .tsv, .parquet or .h5ad."""
    batch_key: Column = None
    """Column that names the batch; the one of the fit by default."""
    reading: Reading = Reading()
    output: Literal["features", "codes"] = "features"
    """Corrected features, or latent codes."""
    fill: Literal["centre"] | None = None
    """What to write where a value is missing: nothing by default, or what becomes of the centre of its batch."""
    outside: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Add a column "jbc_outside", which the tables may not have yet: how far a row is from the centre of its batch; 1
    holds 99 % of the fit's rows."""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "transform", arguments)
    refuse_overwrite(options.data, options.out)
    model = open_run(options.run)
    table, roles = rows_for(model, options.data, options.batch_key, options.reading)
    encoded = options.output == "codes"
    names = model.code_names() if encoded else model.names.features
    kept, added = ((), names) if encoded else (names, ())
    refuse_taken(table, [*added, "jbc_outside"] if options.outside else added, features=kept)
    corrected = (
        model.encode(table.x, **roles) if encoded else model.transform(table.x, **roles, fill=options.fill)
    )
    obs = table.obs
    if options.outside:
        obs = obs.assign(jbc_outside=model.out_of_support(table.x, **roles))
    write_table(Table(corrected, names, obs, table.source), options.out)
    print(f"{len(corrected)} rows corrected: {options.out}")
    return 0
