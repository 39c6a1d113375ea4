"""Sparse matrices as dense ones, when they fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from jbc.errors import InputError
from jbc.validation import memory

CHUNK_BYTES = 1 << 24


def densify(x: Any, *, limit_bytes: int | None = None) -> np.ndarray:
    r"""Turn a sparse matrix into one float32 array, chunk by chunk.

    Needs :math:`4 n d` bytes for n rows and d columns, and one chunk of 16 MiB more at a time.

    Parameters
    ----------
    x
        A SciPy sparse matrix or array. Anything else is returned as it is.
    limit_bytes
        The memory that may be used; None for what the system says is available.

    Returns
    -------
    numpy.ndarray
        The same values, float32, of the same shape.

    Raises
    ------
    InputError
        With code ``too-large`` when the dense array does not fit.

    Examples
    --------
    >>> from scipy.sparse import eye
    >>> densify(eye(2, format="csr"))
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    if not hasattr(x, "tocsr"):
        return x
    rows, columns = x.shape
    needed = 4 * rows * columns
    limit = memory.available() if limit_bytes is None else limit_bytes
    if needed > limit:
        raise InputError(
            f"A dense table of {rows:,} rows and {columns:,} columns needs {memory.size(needed)}, "
            f"and {memory.size(limit)} are available",
            why="Correction fills the zeros, so a sparse table cannot stay sparse.",
            fix="Select features or rows first, for example the highly variable genes or principal components.",
            code="too-large",
        )
    dense = np.empty((rows, columns), np.float32)
    # Columns of a CSC matrix are rows of its transpose, a CSR matrix that shares its memory.
    source, target = (x.T, dense.T) if x.format == "csc" else (x.tocsr(), dense)
    step = max(1, CHUNK_BYTES // (4 * max(1, source.shape[1])))
    for start in range(0, source.shape[0], step):
        target[start : start + step] = source[start : start + step].toarray()
    return dense
