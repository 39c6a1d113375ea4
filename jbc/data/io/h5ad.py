"""h5ad files, read without following any link out of the file."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jbc.data.io.files import damaged, wrong_content
from jbc.data.io.room import need_room
from jbc.errors import InputError
from jbc.validation.dense import densify

if TYPE_CHECKING:
    import h5py
    import pandas as pd


def read_h5ad(path: Path) -> tuple[np.ndarray, list[str], pd.DataFrame]:
    """Read ``X``, the names in ``var`` and ``obs`` as text; nothing else in the file is opened.

    Raises
    ------
    InputError
        With code ``external-link``, ``wrong-content``, ``damaged-file``, ``not-numeric``, ``wrong-shape`` or
        ``too-large``.
    """
    import h5py
    import pandas as pd
    from anndata.io import read_elem

    try:
        with h5py.File(path, "r") as file:
            _refuse_outside(file, path)
            for name in ("X", "obs", "var"):
                if name not in file:
                    raise wrong_content(path, f"it holds no '{name}', so it is not an AnnData file")
            _need_room(file["X"], path)
            read: Any = read_elem
            with warnings.catch_warnings():
                # AnnData warns of old encodings and repeated names; of these, what matters is checked by us.
                warnings.simplefilter("ignore")
                matrix, obs, var = (read(file[name]) for name in ("X", "obs", "var"))
                if hasattr(matrix, "toarray"):
                    # AnnData takes places of values as they are written, and SciPy follows them wherever they lead.
                    matrix.check_format(full_check=True)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # HDF5 and AnnData raise errors of many kinds about a damaged file
        raise damaged(path, error) from error
    if not (isinstance(obs, pd.DataFrame) and isinstance(var, pd.DataFrame)):
        raise wrong_content(path, "its 'obs' or 'var' is not a table, so it is not an AnnData file")
    x = _numbers(matrix, path)
    if x.shape != (len(obs), len(var)):
        raise InputError(
            f"X has {x.shape[0]} rows × {x.shape[1]} columns, obs has {len(obs)} rows, and var {len(var)}",
            which=[str(path)],
            why="Rows or columns of X would get the names of others.",
            fix="Write the file again, with a row of obs for every row of X and a row of var for every column.",
            code="wrong-shape",
        )
    return x, [str(name) for name in var.index], _text(obs)


def _need_room(matrix: Any, path: Path) -> None:
    """Refuse a dense matrix that does not fit; small files can hold large ones of equal values.

    Sparse ones are looked at when they become dense.
    """
    shape = getattr(matrix, "shape", None)
    if shape is not None and len(shape) == 2 and matrix.dtype.kind in "fiub":
        # Those that are no floats already are copied.
        width = matrix.dtype.itemsize + (0 if matrix.dtype in (np.float32, np.float64) else 8)
        need_room(path, width * math.prod(shape), *shape)


def _refuse_outside(file: h5py.File, path: Path) -> None:
    """Walk over every object and refuse those whose values lie in another file.

    Soft links need no check: they lead to a place in this file, which the walk reaches by its own link.
    """
    import h5py

    outside, seen, groups = [], set(), [file["/"]]
    while groups:
        group: Any = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                outside.append(f"{group.name.rstrip('/')}/{name} -> {link.filename}")
                continue
            item: Any = group.get(name) if isinstance(link, h5py.HardLink) else None
            if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
                outside.append(item.name)
            if isinstance(item, h5py.Group) and item not in seen:
                seen.add(item)  # hard links may go round in circles
                groups.append(item)
    if outside:
        raise InputError(
            f"'{path.name}' takes values from other files",
            which=outside,
            why="Following such links reads whatever file they name, unseen.",
            fix="Write the file again with the values inside, for example with AnnData.write_h5ad.",
            code="external-link",
        )


def _numbers(matrix: Any, path: Path) -> np.ndarray:
    """Return X as float32 or float64."""
    dense = densify(matrix) if hasattr(matrix, "toarray") else np.asarray(matrix)
    if dense.ndim != 2 or dense.dtype.kind not in "fiub":
        raise InputError(
            f"X in '{path.name}' is not a table of numbers (type {dense.dtype}, {dense.ndim} axes)",
            why="Only numbers can be corrected.",
            fix="Store the measurements as a two-dimensional array in X.",
            code="not-numeric",
        )
    return dense if dense.dtype == np.float32 else dense.astype(np.float64, copy=False)


def _text(obs: pd.DataFrame) -> pd.DataFrame:
    """Turn metadata into text, with "" where a value is missing."""
    import pandas as pd

    columns = {
        str(name): [
            "" if missing else str(value) for value, missing in zip(column, pd.isna(column), strict=True)
        ]
        for name, column in obs.items()
    }
    index = pd.Index([str(name) for name in obs.index], dtype=object, name=obs.index.name)
    return pd.DataFrame(columns, index=index, dtype=object)
