"""Whether a table fits into memory, estimated before it is read."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jbc.data.io.files import MISSING, is_number
from jbc.errors import InputError
from jbc.validation import memory

SAMPLE = 1 << 20
ROWS = 20  # of the sample, to see which columns hold text

# Bytes of memory at the peak of reading, as measured: per byte of a text file while it is parsed, and afterwards; per
# cell of it, for Arrow's offsets; per number, for two copies in double precision; and per text, for a Python object.
PARSED, KEPT, CELL, NUMBER, TEXT = 2.2, 1.2, 5, 16, 100


class Shape(NamedTuple):
    """What the beginning of a text file tells of the rest.

    Attributes
    ----------
    columns
        Number of columns.
    cells
        Cells per byte.
    texts
        Share of the columns that hold text.
    """

    columns: int
    cells: float
    texts: float

    @property
    def factor(self) -> float:
        """Bytes of memory that reading takes per byte of text."""
        late = KEPT + self.cells * (CELL + NUMBER * (1 - self.texts) + TEXT * self.texts)
        return max(PARSED + CELL * self.cells, late)

    def need_room(self, path: Path, size: int, left: int | None = None) -> None:
        """Refuse this number of bytes of such text if they would not fit into what is left of the memory."""
        rows = round(size * self.cells / max(self.columns, 1))
        need_room(path, size * self.factor, rows, self.columns, f"{memory.size(size)} of text, about ", left)


def shape(sample: bytes, delimiter: str, features: Sequence[str] | None = None) -> Shape:
    r"""Look at the beginning of a text file.

    Parameters
    ----------
    sample
        Its first bytes.
    delimiter
        What parts the columns.
    features
        Names of the columns that are read as numbers; None for all that hold numbers.

    Examples
    --------
    >>> shape(b"id,a,b,c\nr1,0,0,0\nr2,0,0,0\n", ",")
    Shape(columns=4, cells=0.44..., texts=0.25)
    """
    whole = sample[: sample.rfind(b"\n") + 1] or sample
    cells = (whole.count(delimiter.encode()) + whole.count(b"\n")) / max(len(whole), 1)
    rows = csv.reader(io.StringIO(whole.decode("utf-8-sig", "replace"), newline=""), delimiter=delimiter)
    try:
        header = next((row for row in rows if row), [])
        first = [row for row, _ in zip(rows, range(ROWS), strict=False) if len(row) == len(header)]
    except csv.Error:  # reading the whole file will report it
        return Shape(1, cells, 0.0)
    if features is None:
        texts = sum(not all(map(_may_be_number, column)) for column in zip(*first, strict=True))
    else:
        texts = len(set(header) - set(features))
    return Shape(len(header), cells, texts / max(len(header), 1))


def _may_be_number(cell: str) -> bool:
    return cell.strip() in MISSING or is_number(cell)


def need_room(
    path: Path, needed: float, rows: int, columns: int, what: str = "", left: int | None = None
) -> None:
    """Refuse a file that would take more memory to read than is left.

    Raises
    ------
    InputError
        With code ``too-large``.
    """
    left = memory.available() if left is None else left
    if needed > left:
        what = f"{what}{rows:,} rows × {columns:,} columns take about {memory.size(int(needed))} to read"
        raise too_large([str(path)], f"{what}, and there are {memory.size(left)}")


def too_large(which: Sequence[str], what: str) -> InputError:
    """Make the error of a table that does not fit."""
    return InputError(
        f"The table is too large for the memory that is available ({what})",
        which=which,
        why="A table is read as a whole, and the system ends a process that takes more than there is.",
        fix="Leave out columns and rows that are not needed, write text as Parquet or h5ad in single precision, or "
        "use a machine with more memory.",
        code="too-large",
    )
