"""CSV and TSV, read as text and byte for byte."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from jbc.data.files import DELIMITERS, damaged, empty, wrong_content
from jbc.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

# The longest row that can be read: Arrow refuses rows that are longer than a block.
BLOCK_BYTES = 1 << 26


def read_delimited(path: Path, extension: str) -> pa.Table:
    """Read every cell of a text file as a string; quotes are taken off and nothing else is changed.

    Raises
    ------
    InputError
        With code ``empty-file``, ``damaged-file``, ``wrong-content``, ``undecodable`` or ``ragged``.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow

    delimiter = DELIMITERS[extension.removesuffix(".gz")]
    content = _content(path, compressed=extension.endswith(".gz"))
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


def _content(path: Path, compressed: bool) -> bytes:
    content = path.read_bytes()
    if not compressed:
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise damaged(path, error) from error


def _header(path: Path, content: bytes, delimiter: str) -> list[str]:
    """Give the first row, after looking for a quote that never closes (Arrow would swallow the rest)."""
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
        raise wrong_content(path, f"the columns are separated by {others[0]!r} instead of {delimiter!r}")
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
