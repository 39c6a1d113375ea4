"""Columns of text and Parquet files, parted into measurements, metadata and row ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jbc.data.io.files import MISSING, damaged, is_number, need_columns, need_unique
from jbc.data.io.room import TEXT, need_room
from jbc.errors import InputError, listing, warn

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ID_NAMES = ("", "unnamed: 0", "index", "id", "obs_names")
METADATA = "Metadata_"
# How cells begin that hold less than what can be detected, such as "<LOD" and "< 0.5".
BELOW = "<"
# Of every number, at the peak of reading Parquet, as measured: Arrow's while it decodes them, and ours.
COPIES = 3.5


@dataclass(frozen=True)
class Wanted:
    """Which columns are keys, features, or neither, and how numbers, and missing ones, are written in text."""

    keys: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    decimal: str = "."
    missing: tuple[str, ...] = ()
    below_detection: bool = False

    def lacks(self, cell: str) -> bool:
        """Return whether a cell of text stands for a missing value."""
        cell = cell.strip()
        return cell in MISSING or cell in self.missing or (self.below_detection and cell.startswith(BELOW))

    def check(self) -> None:
        """Refuse columns with two roles, and unknown decimal marks."""
        features = self.features or ()
        need_unique(features, "features", "duplicate-columns")
        need_unique([*set(self.keys), *features], "columns: both key and feature", "key-is-feature")
        need_unique([*set(self.exclude), *features], "columns: both excluded and feature", "key-is-feature")
        if self.decimal not in (".", ","):
            raise InputError(
                "An unknown decimal mark",
                which=[self.decimal],
                why="Numbers are read by it.",
                fix='Use decimal="." or decimal=",".',
                code="bad-option",
            )


def read_parquet(path: Path) -> pa.Table:
    """Read a Parquet file, with the index that pandas may have stored as the first column."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            need_room(path, _bytes(file), file.metadata.num_rows, len(file.schema_arrow))
            table = file.read()
        table.validate(full=True)
        index = _pandas_index(table)
    except (InputError, MemoryError):  # which are ValueErrors and Arrow's errors as well
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, AttributeError) as error:
        raise damaged(path, error) from error  # the last three are those of the index in the JSON of pandas
    if index is None:
        return table
    ids = table.column(index)
    return table.drop_columns([index]).add_column(0, "" if index.startswith("__index") else index, ids)


def _bytes(file: Any) -> float:
    """Return what reading a Parquet file takes: small files can hold large tables of equal values."""
    import pyarrow as pa

    kinds = [field.type for field in file.schema_arrow]
    numbers = [kind for kind in kinds if pa.types.is_integer(kind) or pa.types.is_floating(kind)]
    widths = sum(kind.bit_width // 8 for kind in numbers)
    return file.metadata.num_rows * (COPIES * widths + TEXT * (len(kinds) - len(numbers)))


def _pandas_index(table: pa.Table) -> str | None:
    """Return the column that pandas made of the index of a frame, if it was a single one and not a range."""
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    return index[0] if len(index) == 1 and index[0] in table.column_names else None


def split(
    columns: pa.Table, path: Path, wanted: Wanted, *, typed: bool
) -> tuple[np.ndarray, list[str], pd.DataFrame]:
    """Part columns into the measurements, their names, and the metadata with the row ids as its index.

    With `typed` the types say which columns are numeric, else the cells do.
    """
    import pandas as pd

    keys, features = wanted.keys, wanted.features
    names: list[str] = columns.column_names
    need_unique(names, f"columns in '{path.name}'", "duplicate-columns")
    if "" in names[1:]:
        raise InputError(
            f"A column of '{path.name}' has no name",
            which=[f"column {names.index('', 1) + 1}"],
            why="It is open whether it is a feature.",
            fix="Name the column, or take the separator off the end of the lines.",
            code="unnamed-column",
        )
    need_columns([*keys, *(features or ()), *wanted.exclude], names, path)
    reserved = {*keys, *(features or ())}
    first = names[0] if names else None
    named = first is not None and (first.casefold() in ID_NAMES or first == _pandas_index(columns))
    has_ids = named and first not in reserved
    others = names[has_ids:]
    candidates = features
    if candidates is None:
        no_features = {*keys, *wanted.exclude}
        candidates = [name for name in others if name not in no_features and not name.startswith(METADATA)]
    found = {name: _numbers(columns[name], typed, wanted) for name in candidates}
    numbers = {name: values for name, values in found.items() if values is not None}
    text = {name: _strings(columns[name], name, path) for name in others if name not in numbers}
    refused = [name for name in found if name not in numbers]
    if features is not None and refused:
        raise _not_numeric(path, [offender(name, text[name], wanted) for name in refused])
    if not typed:
        _warn_nearly_numeric(path, {name: text[name] for name in refused}, wanted)
    single = all(values.dtype == np.float32 for values in numbers.values())
    x = np.empty((columns.num_rows, len(numbers)), np.float32 if single and numbers else np.float64)
    for column, values in enumerate(numbers.values()):
        x[:, column] = values
    ids = _strings(columns[0], names[0], path) if has_ids else [str(row) for row in range(columns.num_rows)]
    index = pd.Index(ids, dtype=object, name=first if has_ids else None)
    return x, list(numbers), pd.DataFrame(text, index=index, dtype=object)


def _numbers(column: pa.ChunkedArray, typed: bool, wanted: Wanted) -> np.ndarray | None:
    """Return a column as floats with NaN for missing cells, or None when it is not numeric."""
    import pyarrow as pa
    import pyarrow.compute

    compute: Any = (
        pyarrow.compute
    )  # its functions are made when it is imported, out of sight of type checkers
    kind = column.type
    if typed:
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            return None
    else:
        column = compute.utf8_trim_whitespace(column)
        empty = compute.is_in(column, pa.array([*MISSING, *wanted.missing]))
        if wanted.below_detection:
            empty = compute.or_(empty, compute.starts_with(column, pattern=BELOW))
        column = compute.if_else(empty, pa.scalar(None, pa.string()), column)
        if wanted.decimal != ".":
            if compute.any(compute.match_substring(column, ".")).as_py():
                return None  # it may part thousands
            column = compute.replace_substring(column, wanted.decimal, ".")
    try:
        single = pa.types.is_float32(kind)
        return compute.cast(column, pa.float32() if single else pa.float64(), safe=False).to_numpy()
    except pa.ArrowInvalid:
        return None


def _strings(column: pa.ChunkedArray, name: str, path: Path) -> list[str]:
    import pyarrow as pa
    from pyarrow import compute

    try:
        return compute.fill_null(compute.cast(column, pa.string()), "").to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"A column of '{path.name}' is neither numbers nor text (type {column.type})",
            which=[name],
            why="Nested and binary cells have no place in a table.",
            fix="Drop the column.",
            code="unsupported-column",
        ) from error


def offender(name: str, cells: Iterable[str], wanted: Wanted | None = None) -> str:
    """Return the first cell that keeps a column from being numeric."""
    lacks = (wanted or Wanted()).lacks
    for row, cell in enumerate(cells, start=1):
        if not lacks(cell) and not is_number(cell):
            return f"{name} ({cell!r} in row {row})"
    return name


def _not_numeric(path: Path, offenders: Sequence[str]) -> InputError:
    return InputError(
        f"Features in '{path.name}' are not numeric",
        which=offenders,
        why="Only numbers can be corrected.",
        fix="Leave cells without a measurement empty, or tell how they are marked (missing=); say "
        'below_detection=True if cells such as <LOD are missing. Decimals have a point, unless decimal="," says '
        "otherwise.",
        code="not-numeric",
    )


def _warn_nearly_numeric(path: Path, text: dict[str, list[str]], wanted: Wanted) -> None:
    """Warn of columns that a few cells such as '<LOD' keep from being features."""
    nearly = []
    for name, cells in text.items():
        filled = [cell for cell in cells if not wanted.lacks(cell)]
        if 2 * sum(map(is_number, filled)) > len(filled):
            nearly.append(offender(name, cells, wanted))
    if nearly:
        warn(
            f"Columns of '{path.name}' are read as metadata because of cells that are not numbers: "
            f"{listing(nearly)}. Empty these cells if the columns are features, or say that they are missing "
            "(below_detection=True for cells such as <LOD, missing= for others); if not, name them as keys or by "
            "exclude=."
        )
