"""What ``jbc evaluate`` and ``jbc report`` share: verdicts, hints, and where numbers come from."""

from __future__ import annotations

import datetime
import re
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jbc import __version__
from jbc.cli.common import Columns
from jbc.data.io.tables import Table

# A column whose values have so many rows in a batch, on average, may name subjects; with fewer values it is a class.
REPLICATES, SUBJECTS = (1.5, 20.0), 6

REFERENCE = (
    "reference: what the value would be without information. For accuracies it is chance, always naming the largest "
    "batch or class; for mmd it is that of two halves of one batch."
)


def of_table(name: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return scores that say which table they are of, where it has a name."""
    return [({"table": name} if name else {}) | row for row in rows]


def noun(column: str | None, otherwise: str) -> str:
    """Return what the values of a column are called in a sentence, as far as its name is a word.

    Examples
    --------
    >>> noun("Metadata_Plate", "batch"), noun("assay_day", "batch"), noun("B.1", "batch"), noun(None, "class")
    ('plate', 'assay day', 'batch', 'class')
    """
    name = (column or "").removeprefix("Metadata_").replace("_", " ").lower()
    return name if re.fullmatch("[a-z][a-z ]{1,20}", name) else otherwise


def replicates(groups: Mapping[str, Any]) -> float:
    """Return the rows of one unit, on average.

    Examples
    --------
    >>> replicates({"unit": np.array(["a", "a", "b", "b"])}), replicates({"unit": None})
    (2.0, 1.0)
    """
    unit = groups["unit"]
    return 1.0 if unit is None else len(unit) / len(set(map(str, unit)))


def print_verdict(rows: Sequence[dict[str, Any]], groups: Mapping[str, Any]) -> None:
    """Print what the scores say, and what they are compared with."""
    from jbc.report import verdict

    for text in (REFERENCE, verdict(rows, replicates=replicates(groups)).text):
        print("\n" + textwrap.fill(text, 118))


def hint_of_units(table: Table, columns: Columns) -> str:
    """Return a hint where no unit is named and a column looks like subjects with replicates, or "".

    Examples
    --------
    >>> import pandas as pd
    >>> subject = [f"{batch}-{n}" for batch in "ab" for n in range(8) for _ in range(3)]
    >>> batch = [each[0] for each in subject]
    >>> obs = pd.DataFrame({"batch": batch, "subject": subject, "well": range(48)}, dtype=object)
    >>> hint_of_units(Table(np.zeros((48, 1)), ("x",), obs), Columns("batch"))[:60]
    "Column 'subject' looks like subjects: 16 values, 3.0 rows of"
    """
    if columns.unit is not None:
        return ""
    batch = table.obs[columns.batch].astype(str)
    found = {}
    for name in table.obs.columns:
        if name in columns.given():
            continue
        value = table.obs[name].astype(str)
        values = value.nunique()
        # Rows of one value in one batch: a well that is in every batch is not a replicate.
        rows = len(value) / len(set(zip(batch, value, strict=True)))
        if values >= SUBJECTS * batch.nunique() ** 0.5 and REPLICATES[0] <= rows <= REPLICATES[1]:
            found[name] = values, rows
    if not found:
        return ""
    name = max(found, key=lambda each: found[each][0])
    values, rows = found[name]
    return (
        f"Column {name!r} looks like subjects: {values} values, {rows:.1f} rows of each in a batch. If rows of one "
        f"subject are replicates, pass --unit-key {name}: otherwise some of them are learned from while others are "
        "tested, and batches and classes look more distinct than they are."
    )


def with_standard(
    rows: list[dict[str, Any]],
    tables: Mapping[str, np.ndarray],
    domain: Any,
    label: Any,
    unit: Any,
    *,
    seed: int,
) -> list[dict[str, Any]]:
    """Return scores with those of the table before, every batch of which is standardised."""
    from jbc.cohort import Cohort
    from jbc.methods.closed_form.standardise import Standardise
    from jbc.metrics import bandwidth_ladder, evaluate
    from jbc.model import fit
    from jbc.report.verdict import STANDARDISED

    before = tables["before"]
    plain = fit(Standardise(), Cohort.from_arrays(before, domain), composition="assume-equal")
    ladder = bandwidth_ladder(before, seed=seed)
    scaled = plain.transform(before, domain)
    return [
        *rows,
        *of_table(STANDARDISED, evaluate(scaled, domain, label, unit, bandwidths=ladder, seed=seed)),
    ]


def origin(files: Mapping[str, Sequence[Path]], options: Any, begun: float) -> dict[str, Any]:
    """Return where a page comes from: files, columns, seed, version, date and duration."""
    named = {name: ", ".join(path.name for path in paths) for name, paths in files.items() if paths}
    keys = {"Batches": "batch_key", "Classes": "labels_key", "Subjects": "unit_key"}
    columns = {what: getattr(options, key) for what, key in keys.items() if getattr(options, key)}
    return {
        **named,
        **{what: f"column {name}" for what, name in columns.items()},
        "Seed": str(options.seed),
        "Version": f"jbc {__version__}",
        "Date": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        "Duration": f"{time.monotonic() - begun:.0f} s",
    }
