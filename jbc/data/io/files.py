"""What a file is, before anything in it is trusted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jbc.errors import InputError, closest

DELIMITERS = {".csv": ",", ".tsv": "\t"}
FORMATS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".h5ad")
READ_ONLY = (".fcs",)
MISSING = ("", "NA")  # cells without a value
PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".npy", ".npz")
SIGNATURES = {
    b"PAR1\x15": "Parquet",
    b"\x89HDF": "HDF5",
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip (as Excel workbooks are)",
    b"\x93NUM": "NumPy",
    b"\x80": "pickle",
    b"FCS2.": "FCS",
    b"FCS3.": "FCS",
}
EXPECTED = {".parquet": "Parquet", ".h5ad": "HDF5", ".csv.gz": "gzip", ".tsv.gz": "gzip", ".fcs": "FCS"}


def format_of(path: Path, formats: tuple[str, ...] = FORMATS) -> str:
    """Return the extension that decides how `path` is read or written, such as ``".csv.gz"``.

    Raises
    ------
    InputError
        With code ``unpickle-refused`` or ``unknown-format``.
    """
    name = path.name.lower()
    if name.endswith(PICKLES):
        raise InputError(
            "This kind of file can run code when it is opened",
            which=[str(path)],
            why="jbc never unpickles anything.",
            fix="Save the table as Parquet, CSV or h5ad, for example with pandas.DataFrame.to_parquet.",
            code="unpickle-refused",
        )
    for extension in formats:
        if name.endswith(extension):
            return extension
    raise InputError(
        "Unknown file extension",
        which=[str(path)],
        why="The extension says how a table is read and written.",
        fix=f"Use one of {', '.join(formats)}.",
        code="unknown-format",
    )


def check_file(path: Path, formats: tuple[str, ...] = FORMATS + READ_ONLY) -> str:
    """Check that `path` is a readable file and holds what its extension says; give the extension.

    Raises
    ------
    InputError
        With code ``missing-file``, ``not-a-file``, ``unreadable``, ``empty-file`` or ``wrong-content``, or one
        of those of `format_of`.
    """
    if not os.path.exists(path):  # unlike Path.exists, False in a folder that may not be entered
        raise _missing(path)
    if not path.is_file():
        raise InputError(
            "A file is needed, and this is a folder or a device",
            which=[str(path)],
            why="Tables are read from regular files.",
            fix="Name the files one by one.",
            code="not-a-file",
        )
    extension = format_of(path, formats)
    try:
        with path.open("rb") as handle:
            head = handle.read(8)
    except OSError as error:
        raise InputError(
            f"Cannot read the file ({error.strerror})",
            which=[str(path)],
            why="Without it there are no data.",
            fix="Check the permissions of the file.",
            code="unreadable",
        ) from error
    if not head:
        raise empty(path)
    found = next((kind for start, kind in SIGNATURES.items() if head.startswith(start)), "text")
    if found != EXPECTED.get(extension, "text"):
        raise wrong_content(path, f"the content is {found}, which is not what '{extension}' says")
    return extension


def _missing(path: Path) -> InputError:
    folder = path.parent
    names = os.listdir(folder) if os.path.isdir(folder) and os.access(folder, os.R_OK) else []
    near = closest(path.name, names)
    return InputError(
        "There is no such file",
        which=[str(path)],
        why="Without it there are no data.",
        fix=f"Did you mean '{folder / near}'?" if near else "Check the folder and the name.",
        code="missing-file",
    )


def wrong_content(path: Path, what: str) -> InputError:
    """Return the error that a file is not what its extension says."""
    return InputError(
        f"Wrong file extension: {what}",
        which=[str(path)],
        why="Reading it as something else would give wrong numbers.",
        fix="Give the file the extension of what it holds, or convert it.",
        code="wrong-content",
    )


def empty(path: Path) -> InputError:
    """Return the error that there is nothing in a file."""
    return InputError(
        "The file is empty",
        which=[str(path)],
        why="A table needs a header and at least one row.",
        fix="Write or copy the file again.",
        code="empty-file",
    )


def missing_package(what: str, package: str, extra: str) -> InputError:
    """Make the error of a package that comes with an extra, and is not there."""
    return InputError(
        f"Reading {what} needs a package that is not installed",
        which=[package],
        why="It is an extra, because most tables come in other formats.",
        fix=f"Install it: pip install 'jbc[{extra}]'.",
        code="missing-package",
    )


def damaged(path: Path, detail: object) -> InputError:
    """Return the error that a file breaks off or does not decode."""
    first_line = str(detail).strip().split("\n")[0]
    return InputError(
        f"The file is damaged or breaks off ({first_line})",
        which=[str(path)],
        why="A part of the data is lost.",
        fix="Copy or download the file again.",
        code="damaged-file",
    )


def is_number(cell: str) -> bool:
    """Return whether the text of a cell is a number.

    Examples
    --------
    >>> is_number(" 1e5"), is_number("1_0"), is_number("<LOD")
    (True, False, False)
    """
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def need_unique(names: Sequence[str], what: str, code: str) -> None:
    """Refuse names that occur more than once."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(
            f"Duplicate {what}",
            which=repeated,
            why="It would be open which of them is meant.",
            fix="Make them unique, and check that the file has a header line."
            if code == "duplicate-columns"
            else "Make them unique.",
            code=code,
        )


def need_columns(wanted: Sequence[str], columns: Sequence[str], path: Path) -> None:
    """Refuse names that `path` has no column for, and say which existing ones come closest."""
    present = set(columns)
    missing = [name for name in wanted if name not in present]
    if not missing:
        return
    near = [name for name in (closest(name, columns) for name in missing) if name is not None]
    raise InputError(
        f"'{path.name}' has no such column{'s' if len(missing) > 1 else ''}",
        which=missing,
        why="They were named as keys or features.",
        fix=f"Name existing columns; the closest: {', '.join(repr(name) for name in near[:5])}."
        if near
        else f"Name existing columns; the first are {', '.join(repr(name) for name in columns[:5])}.",
        code="missing-column",
    )
