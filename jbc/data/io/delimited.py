"""CSV and TSV, read as text and byte for byte."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from jbc.data.io.files import DELIMITERS, damaged, empty, wrong_content
from jbc.data.io.room import SAMPLE, shape
from jbc.errors import InputError
from jbc.validation import memory

if TYPE_CHECKING:
    import pyarrow as pa

# The longest row that can be read: Arrow refuses rows that are longer than a block.
BLOCK_BYTES = 1 << 26
CHUNK = 1 << 20  # bytes that are unpacked at once
PIECE = 1 << 13  # bytes that are read of a packed file at once


def read_delimited(
    path: Path, extension: str, features: Sequence[str] | None = None, sep: str | None = None
) -> pa.Table:
    """Read every cell of a text file as a string; quotes are taken off and nothing else is changed.

    How much memory that takes depends on which columns are `features`, if they were named: others stay text.

    Raises
    ------
    InputError
        With code ``empty-file``, ``damaged-file``, ``wrong-content``, ``undecodable``, ``ragged`` or ``too-large``.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow

    delimiter = sep or DELIMITERS[extension.removesuffix(".gz")]
    content = (_unpacked if extension.endswith(".gz") else _plain)(path, delimiter, features)
    if b"\0" in content:
        raise wrong_content(path, "the content is binary or UTF-16, not UTF-8 text")
    try:
        header = _header(path, content, delimiter)
        # The header is read as the first row: Arrow would infer types for names that it does not expect.
        names = [str(number) for number in range(len(header))]
        table = arrow.read_csv(
            pa.BufferReader(content),
            read_options=arrow.ReadOptions(column_names=names, use_threads=False, block_size=BLOCK_BYTES),
            parse_options=arrow.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except (UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise _unreadable(path, error) from error
    except csv.Error as error:
        raise damaged(path, error) from error
    return table.slice(1).rename_columns([column[0].as_py() for column in table.columns])


def _plain(path: Path, delimiter: str, features: Sequence[str] | None) -> bytes:
    """Read a file, if the table in it fits into memory."""
    with path.open("rb") as file:
        found = shape(file.read(SAMPLE), delimiter, features)
    found.need_room(path, path.stat().st_size)
    return path.read_bytes()


def _unpacked(path: Path, delimiter: str, features: Sequence[str] | None) -> bytes:
    """Unpack a file, if the table in it fits into memory.

    A small file may unpack to a very large one. One that would not fit is given up as soon as so much of it is
    unpacked, and how large the whole is is guessed from the share of the file that this has taken.
    """
    content, left = io.BytesIO(), memory.available()
    try:
        with path.open("rb") as raw, gzip.GzipFile(fileobj=_Pieces(raw)) as file:  # pyright: ignore[reportArgumentType]
            part = file.read(SAMPLE)
            found = shape(part, delimiter, features)
            while part:
                content.write(part)
                if content.tell() * found.factor > left:
                    guess = content.tell() * path.stat().st_size // raw.tell()
                    found.need_room(path, max(guess, content.tell()), left)
                part = file.read(CHUNK)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise damaged(path, error) from error
    return content.getvalue()


class _Pieces:
    """A binary file that is read in small pieces.

    Newer Pythons read compressed files 128 KiB ahead, which of a small one is nearly all: its position would then not
    tell how much of it has been unpacked.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most a piece."""
        return self.file.read(PIECE if size < 0 else min(size, PIECE))


def _header(path: Path, content: bytes, delimiter: str) -> list[str]:
    """Return the first row, after looking for a quote that never closes (Arrow would swallow the rest)."""
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    rows = csv.reader(lines, delimiter=delimiter, strict=content.count(b'"') % 2 == 1)
    header = next((row for row in rows if row), [])
    if rows.dialect.strict:
        for _ in rows:
            pass
    if not header:
        raise empty(path)
    others = [mark for mark in ",;\t" if mark != delimiter and len(header) == 1 and mark in header[0]]
    if others:
        raise InputError(
            f"The columns of '{path.name}' are separated by {others[0]!r} instead of {delimiter!r}",
            why="It would be read as a table of a single column.",
            fix=f'Pass sep="{others[0]}"'
            + (', and decimal="," where numbers have a decimal comma.' if others[0] == ";" else "."),
            code="wrong-separator",
        )
    return header


def _unreadable(path: Path, error: Exception) -> InputError:
    detail = str(error).split("\n")[0]
    if isinstance(error, UnicodeDecodeError) or "UTF8" in detail:
        return InputError(
            f"'{path.name}' is not UTF-8 text ({detail})",
            why="Names would be garbled.",
            fix="Save the file with the encoding UTF-8.",
            code="undecodable",
        )
    return InputError(
        f"'{path.name}' has rows of unequal length ({detail})",
        why="It is open which column a cell belongs to; the file may break off here.",
        fix="Copy the file again, or put cells that hold the separator in quotes.",
        code="ragged",
    )
