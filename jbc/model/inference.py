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
def run(method: Method, name: str, fitted: Fitted, x: Any, domain: Any) -> Array:
    """Send rows through a function of a fitted method, by its name, in a program that equal methods share."""
    return getattr(method, name)(fitted, x, domain)


def run_blocks(
    method: Method, name: str, fitted: Fitted, x: np.ndarray, domain: np.ndarray, block: int
) -> np.ndarray:
    """Do the same with any number of rows, in blocks of a fixed shape: nothing recompiles, and memory is bounded."""
    fitted, out = jax.device_put(fitted), np.empty(0)
    for start in range(0, len(x), block):
        part, at = x[start : start + block], domain[start : start + block]
        padding = block - len(part)
        made = run(method, name, fitted, np.pad(part, ((0, padding), (0, 0))), np.pad(at, (0, padding)))
        if start == 0:
            out = np.empty((len(x), *made.shape[1:]), made.dtype)
        out[start : start + block] = np.asarray(made)[: len(part)]
    return out


def refuse_strays(counts: np.ndarray) -> None:
    """Refuse rows with values outside the range that was measured."""
    rows = np.flatnonzero(counts)
    if len(rows):
        raise InputError(
            f"{len(rows)} of {len(counts)} rows are outside the range that the method was measured on",
            which=rows,
            why="Where nothing was measured, a correction would be a guess.",
            fix="Fit on rows that reach as far, or let values beyond be shifted, clipped, or extrapolated linearly.",
            code="outside-range",
        )
