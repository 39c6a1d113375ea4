"""Rows through a fitted method: in compiled programs that equal methods share, block by block."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

from jbc.errors import InputError
from jbc.methods.base import Fitted, Method


@partial(jax.jit, static_argnums=(0, 1))
def apply(method: Method, name: str, fitted: Fitted, x: Any, domain: Any) -> Array:
    """Return what a function of a method, by its name, makes of rows, in a program that equal methods share."""
    return getattr(method, name)(fitted, x, domain)


def apply_in_blocks(
    method: Method, name: str, fitted: Fitted, x: np.ndarray, domain: np.ndarray, block: int
) -> np.ndarray:
    """Return what :func:`apply` does, block by block of a fixed shape: nothing recompiles, and memory is bounded."""
    fitted, out = jax.device_put(fitted), np.empty(0)
    for start in range(0, len(x), block):
        rows, code = x[start : start + block], domain[start : start + block]
        padding = block - len(rows)
        result = apply(method, name, fitted, np.pad(rows, ((0, padding), (0, 0))), np.pad(code, (0, padding)))
        if start == 0:
            out = np.empty((len(x), *result.shape[1:]), result.dtype)
        out[start : start + block] = np.asarray(result)[: len(rows)]
    return out


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
