"""One kind of table, read from CSV, TSV, Parquet, h5ad and FCS."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jbc.data.io.columns import METADATA, Wanted, offender, read_parquet, split
from jbc.data.io.delimited import read_delimited
from jbc.data.io.fcs import read_fcs
from jbc.data.io.files import check_file, is_number, need_columns, need_unique
from jbc.data.io.h5ad import read_h5ad
from jbc.data.io.room import too_large
from jbc.errors import InputError, listing, warn
from jbc.validation.suspects import class_like, of_class_like, repeated

if TYPE_CHECKING:
    import pandas as pd

NO_MEASUREMENT = ("time", "event_length")


@dataclass(frozen=True, eq=False)
class Table:
    """Measurements with what is known about their rows.

    Parameters
    ----------
    x
        The measurements, float32 or float64, shape (rows, features); NaN where one is missing.
    features
        The names of the columns of `x`.
    obs
        The other columns, as text, "" where a cell is empty. The index holds the row ids; its name is the
        name of the id column, or None when the rows are only numbered.
    source
        The files that the rows come from.
    left_out
        Columns that are no features, and why; but for the keys.

    Examples
    --------
    >>> import pandas as pd
    >>> table = Table(np.ones((2, 1)), ("CD3",), pd.DataFrame({"plate": ["1", "2"]}))
    >>> table.obs["plate"].tolist()
    ['1', '2']
    """

    x: np.ndarray
    features: tuple[str, ...]
    obs: pd.DataFrame
    source: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        if self.x.shape != (len(self.obs), len(self.features)):
            raise ValueError(
                f"x has shape {self.x.shape}, and there are {len(self.obs)} rows, {len(self.features)} features"
            )


def read_table(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    keys: Sequence[str] = (),
    features: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    arcsinh: float | None = None,
    sep: str | None = None,
    decimal: str = ".",
    missing: Sequence[str | float] = (),
    below_detection: bool = False,
) -> Table:
    r"""Read one file, or several whose rows follow one another.

    Features are the numeric columns, except the keys, those that are excluded, and those whose name starts with
    ``Metadata_``; a column is numeric when every cell that is not empty, ``NA`` or ``NaN`` is a number. A warning
    tells of features that look like classes or ids. All other columns are kept
    in `Table.obs` as they are written: ``001`` stays ``001`` and ``NA`` stays ``NA``. A first column named
    "", ``Unnamed: 0``, ``index``, ``id`` or ``obs_names`` holds the row ids. Numbers are read to the last
    bit. Of h5ad files, X and obs are read.

    An FCS file is one sample: its name without the extension is in the column ``sample``, and every channel is a
    feature (see `read_fcs` for their names), except those that measure no cell: Time and Event_length are left out,
    unless `features` names them.

    Parameters
    ----------
    paths
        Files ending in .csv, .tsv (both also with .gz), .parquet, .h5ad or .fcs. Their features must have the same
        names; a different order is put right.
    keys
        Columns that are not features even when they are numbers: domain, label, treatment, unit.
    features
        The features, in this order; None for the rule above.
    exclude
        Columns that are no features. Like keys they stay in `Table.obs`, but not those of h5ad and FCS files.
    arcsinh
        Cofactor c of the scale arcsinh(x / c) on which cytometry is compared, 5 for mass cytometry as a rule; None
        leaves the values as they are.
    sep
        What parts the columns of text files; None for a comma in .csv and a tab in .tsv.
    decimal
        Decimal mark of text files, ``"."`` or ``","``.
    missing
        What stands for a missing value, besides empty cells, ``NA`` and ``NaN``: numbers, such as 0 where a machine
        writes it for what it has not seen, in files of any kind; and words, in text files.
    below_detection
        Take cells of text files that begin with ``<``, such as ``<LOD`` and ``<0.5``, for missing values; else they
        make a column text.

    Returns
    -------
    Table
        The rows of all files, in order.

    Raises
    ------
    InputError
        When a file cannot be read, or does not fit to the others; see the error's ``code``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "plate.csv")
    ...     _ = file.write_text("plate,100.9,102\n01,0.5,2\n02,,4\n")
    ...     table = read_table(file, keys=["plate"])
    >>> table.features, list(table.obs["plate"])
    (('100.9', '102'), ['01', '02'])
    >>> table.x
    array([[0.5, 2. ],
           [nan, 4. ]])
    """
    files = [Path(paths)] if isinstance(paths, (str, os.PathLike)) else [Path(path) for path in paths]
    if not files:
        raise InputError(
            "No files were given",
            why="Without them there are no data.",
            fix="Name at least one.",
            code="missing-file",
        )
    need_unique([os.path.realpath(file) for file in files], "files", "duplicate-files")
    named = None if features is None else tuple(features)
    words = tuple(str(value).strip() for value in missing)
    wanted = Wanted(tuple(keys), named, tuple(exclude), decimal, words, below_detection)
    wanted.check()
    if arcsinh is not None and not 0 < arcsinh < np.inf:
        raise InputError(
            "The cofactor of arcsinh is not a positive number",
            which=[arcsinh],
            why="Values are divided by it.",
            fix="Pass 5 for mass cytometry, about 150 for fluorescence, or leave it out.",
            code="bad-option",
        )
    if sep is not None and len(sep) != 1:
        raise InputError(
            "A separator of columns is one character",
            which=[sep],
            why="Columns are parted by it.",
            fix='Pass sep=";" or the like, or leave it out.',
            code="bad-option",
        )
    try:
        table = _concatenate([_read_one(file, wanted, sep) for file in files])
    except MemoryError as error:  # what is known of a file before it is read is a guess
        raise too_large(list(map(str, files)), "it was used up while reading") from error
    if numbers := [float(word) for word in words if is_number(word)]:
        table = replace(table, x=_without(table.x, numbers))
    if features is None and (found := class_like(table.x, table.features)):
        warn(of_class_like(found, "name them as keys or by exclude="))
    for name in table.obs.columns.difference(list(keys)):
        if twice := repeated(table.obs[name].tolist()):
            warn(
                f"Values of {name!r} that rows share, though nearly every row has one of its own: {listing(twice)}. "
                "If they name samples, these are in the table more than once, and count as often."
            )
    if arcsinh is None:
        return table
    return replace(table, x=np.arcsinh(table.x / table.x.dtype.type(arcsinh)))


def _without(x: np.ndarray, numbers: Sequence[float]) -> np.ndarray:
    """Return measurements with NaN in the place of these numbers."""
    return np.where(np.isin(x, np.asarray(numbers, x.dtype)), np.nan, x).astype(x.dtype)


def _read_one(path: Path, wanted: Wanted, sep: str | None) -> Table:
    extension = check_file(path)
    left_out = dict.fromkeys(wanted.exclude, "excluded")
    if extension == ".h5ad":
        x, names, obs = _select(*read_h5ad(path), path, wanted)
    elif extension == ".fcs":
        x, names, obs = _sample(path)
        no_cell = [name for name in names if name.casefold() in NO_MEASUREMENT]
        if wanted.features is None:
            left_out |= dict.fromkeys(no_cell, "measures no cell")
            wanted = replace(wanted, exclude=(*wanted.exclude, *no_cell))
        x, names, obs = _select(x, names, obs, path, wanted)
    elif extension == ".parquet":
        x, names, obs = split(read_parquet(path), path, wanted, typed=True)
    else:
        x, names, obs = split(
            read_delimited(path, extension, wanted.features, sep), path, wanted, typed=False
        )
    for what, number in zip(("rows", "features"), x.shape, strict=True):
        if not number:
            raise InputError(
                f"'{path.name}' has no {what}",
                why="A table needs rows, and columns of numbers.",
                fix='Check the file; decimals have a point, unless decimal="," says otherwise.',
                code=f"no-{what}",
            )
    if wanted.features is None:
        others = [name for name in obs.columns if name not in wanted.keys and name not in left_out]
        left_out |= {name: "metadata" if name.startswith(METADATA) else "text" for name in others}
    return Table(x, tuple(names), obs, (str(path),), left_out)


def _sample(path: Path) -> tuple[np.ndarray, list[str], pd.DataFrame]:
    """Read an FCS file as a table whose rows tell their sample."""
    import pandas as pd

    events = read_fcs(path)
    index = pd.Index([str(row) for row in range(len(events.x))], dtype=object)
    return events.x, events.names, pd.DataFrame({"sample": path.stem}, index=index, dtype=object)


def _select(
    x: np.ndarray, names: list[str], obs: pd.DataFrame, path: Path, wanted: Wanted
) -> tuple[np.ndarray, Sequence[str], pd.DataFrame]:
    """Take the wanted features of an AnnData or FCS file, where the keys can only be columns of obs."""
    need_unique(names, f"features in '{path.name}'", "duplicate-columns")
    need_unique(list(obs.columns), f"columns of obs in '{path.name}'", "duplicate-columns")
    need_columns(wanted.keys, list(obs.columns), path)
    need_columns(wanted.exclude, [*names, *obs.columns], path)
    features = wanted.features
    if features is None:
        features = [name for name in names if name not in wanted.exclude]
        if len(features) == len(names):
            return x, names, obs
    need_columns(features, names, path)
    position = {name: column for column, name in enumerate(names)}
    return x[:, [position[name] for name in features]], features, obs


def _concatenate(tables: list[Table]) -> Table:
    """Put the rows of all tables below one another, in the feature order of the first."""
    import pandas as pd

    first = tables[0]
    x = first.x if len(tables) == 1 else np.concatenate([_aligned(table, first) for table in tables])
    columns = list(dict.fromkeys(name for table in tables for name in table.obs.columns))
    obs = pd.concat([table.obs.reindex(columns=columns, fill_value="") for table in tables])
    names = [table.obs.index.name for table in tables if table.obs.index.name is not None]
    ids: list[str] = obs.index.tolist()
    if all(_only_numbered(table.obs.index) for table in tables):
        start = int(ids[0])
        ids = [str(row) for row in range(start, start + len(ids))]
    obs.index = pd.Index(ids, dtype=object, name=names[0] if names else None)
    need_unique(ids, "row ids", "duplicate-ids")
    left_out = {name: why for table in tables for name, why in table.left_out.items()}
    return Table(x, first.features, obs, tuple(name for table in tables for name in table.source), left_out)


def _only_numbered(index: pd.Index) -> bool:
    """Whether ids are only the row numbers that pandas and R write: they start again in each file."""
    names = index.tolist()
    if index.name not in (None, "", "Unnamed: 0", "index") or names[0] not in ("0", "1"):
        return False
    return names == [str(row) for row in range(int(names[0]), int(names[0]) + len(names))]


def _aligned(table: Table, first: Table) -> np.ndarray:
    """Return the measurements of `table` in the feature order of `first`."""
    if table.features == first.features:
        return table.x
    position = {name: column for column, name in enumerate(table.features)}
    ours, theirs = Path(first.source[0]).name, Path(table.source[0]).name
    for lacking, having, of in ((theirs, ours, first), (ours, theirs, table)):
        other = table if of is first else first
        missing = [name for name in of.features if name not in set(other.features)]
        if missing:
            raise InputError(
                f"'{lacking}' lacks features of '{having}'",
                which=[offender(name, other.obs[name]) if name in other.obs else name for name in missing],
                why="A correction needs the same features in every file.",
                fix="Complete or drop these columns, or name the common features.",
                code="feature-mismatch",
            )
    return table.x[:, [position[name] for name in first.features]]
