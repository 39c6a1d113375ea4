"""``jbc predict``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from jbc.cli.common import Column, Files, Reading, Run, open_run, parse, refuse_overwrite, rows_for
from jbc.data.io.tables import Table
from jbc.data.io.write import refuse_taken, write_table
from jbc.methods.base import Classifies, can
from jbc.methods.prepare import without
from jbc.validation import checks


@dataclasses.dataclass(frozen=True)
class Options:
    """Classify the rows of tables with a fitted model.

    The output has the columns of the input that are no features, "predicted", and "probability_…" for every class;
    the input may have no columns of these names.
    """

    run: Run
    """Folder of a run, or of a saved model."""
    data: Files
    """Tables with the features of the model, in any order."""
    out: Path
    """File to write: .csv, .tsv, .parquet or .h5ad."""
    batch_key: Column = None
    """Column that names the batch; the one of the fit by default."""
    reading: Reading = Reading()
    unit_key: Column = None
    """Give every row the median probability of its unit (replicates of one subject)."""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "predict", arguments)
    refuse_overwrite(options.data, options.out)
    model = open_run(options.run)
    if not can(model.method, Classifies):
        raise without(model.method.last, Classifies)
    table, roles = rows_for(model, options.data, options.batch_key, options.reading)
    names = tuple(f"probability_{each}" for each in model.names.labels)
    refuse_taken(table, ["predicted", *names])
    unit = None
    if options.unit_key is not None:
        if options.unit_key not in table.obs:
            raise checks.missing_column(options.unit_key, [str(name) for name in table.obs.columns])
        unit = table.obs[options.unit_key].to_numpy(dtype=object)
    probability = model.predict_proba(table.x, **roles, unit=unit)
    best = model.classes[probability.argmax(axis=1)]
    obs = table.obs.assign(predicted=[str(each) for each in best])
    write_table(Table(probability, names, obs, table.source), options.out)
    print(f"{len(probability)} rows classified: {options.out}")
    return 0
