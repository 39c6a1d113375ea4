"""Nearest rows, and averages over near rows, block by block: no table of all pairs is ever there."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.numerics.linalg import ROUNDING

BLOCK = 1024  # rows whose distances from all others are there at once
CHUNK = 256  # anchors that are looked at together
NOTHING = -1e30  # the logarithm of no weight, which float32 can add to


def distances_and_rounding(a: Array, b: Array) -> tuple[Array, Array]:
    """Return squared distances of rows, (n, m), and what float32 does not tell of them."""
    norm = jnp.square(a).sum(axis=1)[:, None] + jnp.square(b).sum(axis=1)
    inner = jnp.matmul(a, b.T, precision="highest")
    return jnp.maximum(norm - 2 * inner, 0), ROUNDING * norm


@partial(jax.jit, static_argnums=3)
def _nearest(rows: Array, others: Array, weight: Array, k: int) -> tuple[Array, Array, Array]:
    away, unsure = distances_and_rounding(rows, others)
    near, at = jax.lax.top_k(-jnp.where(weight > 0, away, jnp.inf), min(k, len(others)))
    own = weight[at]
    before = jnp.cumsum(own, axis=1) - own
    near = jnp.where(before < k, -near, jnp.inf)
    return near, at, jnp.take_along_axis(unsure, at, axis=1)


def nearest(
    rows: np.ndarray, others: np.ndarray, weight: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the nearest other rows, (n, k): squared distances, places, and how exact the distances are.

    A row of weight w counts as w neighbours; where fewer than k are left, the distance is infinite. Of rows that are
    equally near, the first are taken.

    Parameters
    ----------
    rows, others
        Rows (n, p) and (m, p).
    weight
        How often each of the others counts, (m,); 0 leaves it out.
    k
        Number of neighbours.

    Examples
    --------
    >>> near, at, _ = nearest(np.zeros((1, 1)), np.array([[3.0], [1.0], [2.0]]), np.array([1, 1, 1]), k=2)
    >>> near.tolist(), at.tolist()
    ([[1.0, 4.0]], [[1, 2]])
    """
    others, weight = jax.device_put((np.asarray(others, np.float32), np.asarray(weight, np.float32)))
    found = []
    for start in range(0, len(rows), BLOCK):
        part = np.asarray(rows[start : start + BLOCK], np.float32)
        block = _nearest(_padded(part), others, weight, k)
        found.append([np.asarray(each)[: len(part)] for each in block])
    near, at, unsure = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return near, at, unsure


def _padded(rows: np.ndarray) -> np.ndarray:
    """Return at most a block of rows, and rows of zeros: few sizes, so that little is compiled."""
    size = min(BLOCK, 1 << max(len(rows) - 1, 1).bit_length())
    return np.pad(rows, ((0, size - len(rows)), (0, 0)))


class Anchors(NamedTuple):
    """Points (chunks, size, p) with values (chunks, size, d) and the logarithms of weights, in chunks of one group.

    ``group`` (chunks,) tells which; every group has a chunk, if only of points that weigh nothing.
    """

    point: Any
    value: Any
    log_weight: Any
    group: Any


def in_chunks(groups: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Anchors:
    """Put the points, the values and the logarithms of weights of all groups into chunks.

    Examples
    --------
    >>> anchors = in_chunks([(np.ones((n, 2)), np.ones((n, 3)), np.zeros(n)) for n in (300, 0)])
    >>> anchors.point.shape, anchors.group.tolist()
    ((3, 256, 2), [0, 0, 1])
    """
    made: list[tuple[np.ndarray, ...]] = []
    for number, parts in enumerate(groups):
        count = max(-(-len(parts[0]) // CHUNK), 1)
        padding = count * CHUNK - len(parts[0])
        point, value = (np.pad(each, ((0, padding), (0, 0))) for each in parts[:2])
        logs = np.pad(parts[2], (0, padding), constant_values=NOTHING)
        for i in range(0, count * CHUNK, CHUNK):
            made.append((*(each[i : i + CHUNK] for each in (point, value, logs)), np.asarray(number)))
    point, value, logs, group = (np.stack(parts) for parts in zip(*made, strict=True))
    return Anchors(*(each.astype(np.float32) for each in (point, value, logs)), group=group.astype(np.int32))


def kernel_average(rows: Array, group: Array, anchors: Anchors, sigma: float) -> tuple[Array, Array]:
    r"""Return the average of the values of anchors by their nearness to each row, and the logarithm of the weights.

    .. math:: \frac{\sum_m w_m e^{-\|x - a_m\|^2 / \sigma} v_m}{\sum_m w_m e^{-\|x - a_m\|^2 / \sigma}},

    over the anchors of the group of the row. However far all of them are, the nearest count.

    Examples
    --------
    >>> anchors = in_chunks([(np.array([[0.0], [9.0]]), np.array([[1.0], [5.0]]), np.zeros(2))])
    >>> average, _ = kernel_average(jnp.array([[0.0], [4.5], [99.0]]), jnp.zeros(3, int), anchors, sigma=1.0)
    >>> average[:, 0].tolist()
    [1.0, 3.0, 5.0]
    """

    def look(carry: tuple[Array, ...], part: Anchors) -> tuple[tuple[Array, ...], None]:
        here = group == part.group

        def add() -> tuple[Array, ...]:
            top, total, summed = carry
            logs = part.log_weight - distances_and_rounding(rows, part.point)[0] / sigma
            highest = jnp.maximum(top, logs.max(axis=1))
            weight, kept = jnp.exp(logs - highest[:, None]), jnp.exp(top - highest)
            added = kept[:, None] * summed + jnp.matmul(weight, part.value, precision="highest")
            news = highest, kept * total + weight.sum(axis=1), added
            return tuple(
                jnp.where(here if new.ndim == 1 else here[:, None], new, old)
                for new, old in zip(news, carry, strict=True)
            )

        return jax.lax.cond(here.any(), add, lambda: carry), None

    n = len(rows)
    start = (jnp.full(n, -jnp.inf), jnp.zeros(n), jnp.zeros((n, anchors.value.shape[-1])))
    (top, total, summed), _ = jax.lax.scan(look, start, Anchors(*map(jnp.asarray, anchors)))
    return summed / total[:, None], top + jnp.log(total)


_compiled = jax.jit(kernel_average)


def average_of(
    rows: np.ndarray, point: np.ndarray, value: np.ndarray, log_weight: np.ndarray, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return :func:`kernel_average` of any number of rows, over one group of anchors; block by block.

    Examples
    --------
    >>> average, _ = average_of(np.zeros((2, 1)), np.zeros((1, 1)), np.ones((1, 3)), np.zeros(1), sigma=1.0)
    >>> average.tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    more = (CHUNK << max(-(-len(point) // CHUNK) - 1, 0).bit_length()) - len(point)
    point, value = (np.pad(each, ((0, more), (0, 0))) for each in (point, value))
    anchors = in_chunks([(point, value, np.pad(log_weight, (0, more), constant_values=NOTHING))])
    found = []
    for start in range(0, len(rows), BLOCK):
        part = np.asarray(rows[start : start + BLOCK], np.float32)
        full = _padded(part)
        block = _compiled(full, np.zeros(len(full), np.int32), anchors, np.float32(sigma))
        found.append([np.asarray(each)[: len(part)] for each in block])
    average, logs = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return average, logs
