"""Tables, written wholly or not at all."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jbc.data.io.atomic import atomic_path
from jbc.data.io.files import DELIMITERS, format_of, need_unique
from jbc.errors import InputError

if TYPE_CHECKING:
    from jbc.data.io.tables import Table


def write_table(table: Table, path: str | os.PathLike[str]) -> None:
    r"""Write a table that `read_table` reads back to the last bit.

    The old file, if there is one, is replaced only when the new one is whole; see `atomic_path`.

    Parameters
    ----------
    table
        What to write: the row ids if they have a name, the metadata, then the features.
    path
        The file; its extension decides the format, as for `read_table`.

    Raises
    ------
    InputError
        With code ``unwritable`` (nothing partial is left), ``unknown-format``, ``duplicate-columns`` or
        ``unwritable-names``.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> from jbc.data.io.tables import Table, read_table
    >>> table = Table(np.array([[0.1], [0.2]]), ("102",), pd.DataFrame({"plate": ["01", "NA"]}))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_table(table, Path(folder, "a.csv"))
    ...     Path(folder, "a.csv").read_text()
    'plate,102\n01,0.1\nNA,0.2\n'
    """
    path = Path(path)
    extension = format_of(path)
    if extension == ".h5ad":
        content = _h5ad(table)
    else:
        need_unique([name for name, _ in _text(table)] + list(table.features), "columns", "duplicate-columns")
        content = _parquet(table) if extension == ".parquet" else _lines(table, DELIMITERS[extension[:4]])
    with atomic_path(path) as temporary, temporary.open("wb") as raw:
        # No name and no time in the gzip header: equal tables give equal bytes.
        handle: Any = gzip.GzipFile("", "wb", 6, raw, mtime=0) if extension.endswith(".gz") else raw
        with handle:
            handle.writelines(content)


def refuse_taken(table: Table, added: Sequence[str], features: Sequence[str] = ()) -> None:
    """Refuse a table that has columns by the names of those that a command adds to it.

    Parameters
    ----------
    table
        What was read: its metadata and the name of its row ids are looked at.
    added
        The names of the columns that are to come.
    features
        The names of other columns that are written with them.

    Raises
    ------
    InputError
        With code ``taken-columns``.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from jbc.data.io.tables import Table
    >>> table = Table(np.ones((1, 1)), ("x",), pd.DataFrame({"predicted": ["A"]}))
    >>> refuse_taken(table, ["predicted"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    jbc.errors.InputError: The table has columns by the names of those that are added: 'predicted'. ...
    """
    present = {*table.obs.columns, table.obs.index.name, *features}
    taken = [name for name in added if name in present]
    if taken:
        raise InputError(
            "The table has columns by the names of those that are added",
            which=taken,
            why="What they hold would be lost, or taken for a result.",
            fix="Rename or drop these columns of the input.",
            code="taken-columns",
        )


def _text(table: Table) -> list[tuple[str, list[str]]]:
    """Return the columns of text: the row ids if they have a name, then the metadata."""
    index = table.obs.index
    ids = [] if index.name is None else [(str(index.name), [str(name) for name in index])]
    return ids + [(str(name), [str(cell) for cell in column]) for name, column in table.obs.items()]


def _lines(table: Table, delimiter: str) -> Iterator[bytes]:
    """Return the lines of a text file; floats have the fewest digits that read back as the same bits."""

    def quoted(cell: str) -> str:
        special = any(mark in cell for mark in (delimiter, '"', "\n", "\r"))
        return '"' + cell.replace('"', '""') + '"' if special else cell

    columns = _text(table)
    header = [quoted(name) for name in [name for name, _ in columns] + list(table.features)]
    cells = [[quoted(cell) for cell in column] for _, column in columns]
    yield (delimiter.join(header) + "\n").encode()
    for row, values in enumerate(table.x):
        text = [column[row] for column in cells]
        yield (delimiter.join([*text, *values.astype(str)]) + "\n").encode()


def _parquet(table: Table) -> list[memoryview]:
    import pyarrow as pa
    from pyarrow import parquet

    text, features = _text(table), list(table.features)
    columns = [pa.array(column, pa.string()) for _, column in text] + [
        pa.array(column) for column in table.x.T
    ]
    sink = pa.BufferOutputStream()
    cells = pa.Table.from_arrays(columns, [name for name, _ in text] + features)
    parquet.write_table(cells, sink, write_page_checksum=True)
    return [memoryview(sink.getvalue())]


def _h5ad(table: Table) -> list[memoryview]:
    """Return an h5ad file as bytes, because HDF5 itself cannot close a file for which the disk is too full."""
    import h5py
    import pandas as pd
    from anndata import AnnData
    from anndata.io import write_elem

    bad = [name for name in table.obs.columns if "/" in str(name) or name == "_index"]
    if bad:
        raise InputError(
            "An h5ad file cannot hold columns of these names",
            which=bad,
            why="HDF5 takes '/' as a path, and AnnData reserves '_index'.",
            fix="Rename the columns, or write Parquet.",
            code="unwritable-names",
        )
    obs = table.obs.set_axis(table.obs.index.astype(str), axis=0)
    var = pd.DataFrame(index=pd.Index(table.features, dtype=object))
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        write_elem(file, "/", AnnData(table.x, obs, var))
    return [memoryview(image.getvalue())]
