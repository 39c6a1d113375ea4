"""Rows through a fitted method: in compiled programs that equal methods share, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

from jbc.errors import InputError
from jbc.methods.base import Fitted, Method, goes_by_order

# Rows in a block of a compiled program: of small tables, and of others. Larger ones leave the processor's cache.
BLOCKS = (1024, 4096)
# The same of wide tables, of more features.
WIDE, WIDE_BLOCK = 2000, 64


@partial(jax.jit, static_argnums=(0, 1))
def apply(method: Method, name: str, fitted: Fitted, *rows: Any) -> Array:
    """Return what a function of a method, by its name, makes of rows, in a program that equal methods share.

    Rows are measurements, domains, and, for a method that goes by them, places in the run.
    """
    return getattr(method, name)(fitted, *rows)


def apply_in_blocks(
    method: Method, name: str, fitted: Fitted, rows: Sequence[np.ndarray], block: int | None = None
) -> np.ndarray:
    """Return what :func:`apply` does, block by block of a fixed shape: nothing recompiles, and memory is bounded."""
    fitted, out, n = jax.device_put(fitted), np.empty(0), len(rows[0])
    wide, small = rows[0].shape[1] > WIDE, n <= BLOCKS[0]
    block = block or (WIDE_BLOCK if wide else BLOCKS[0] if small else BLOCKS[1])
    for start in range(0, n, block):
        taken = [part[start : start + block] for part in rows]
        padding = block - len(taken[0])
        padded = (np.pad(part, ((0, padding), *[(0, 0)] * (part.ndim - 1))) for part in taken)
        result = apply(method, name, fitted, *padded)
        if start == 0:
            out = np.empty((n, *result.shape[1:]), result.dtype)
        out[start : start + block] = np.asarray(result)[: len(taken[0])]
    return out


def rows_of(method: Method, x: np.ndarray, domain: np.ndarray, order: np.ndarray | None) -> list[np.ndarray]:
    """Return what the functions of a method take of rows.

    Raises
    ------
    InputError
        Where a method goes by the order of the run, and it is not known.
    """
    if not goes_by_order(method):
        return [x, domain]
    if order is None:
        raise InputError(
            f"{type(method).__name__} needs the order in which rows were measured",
            why="It corrects what drifts along a run.",
            fix="Pass order= (order_key=, or --order-key at the command line): the number of the injection, or a "
            "time, of every row.",
            code="missing-order",
        )
    return [x, domain, order]


def refuse_out_of_range(counts: np.ndarray) -> None:
    """Refuse rows with values outside the range that was measured, by their number in every row."""
    rows = np.flatnonzero(counts)
    if len(rows):
        raise InputError(
            f"{len(rows)} of {len(counts)} rows are outside the range that the method was measured on",
            which=rows,
            why="Where nothing was measured, a correction would be a guess.",
            fix="Fit on rows that reach as far, or let values beyond be shifted, clipped, or extrapolated linearly.",
            code="outside-range",
        )
