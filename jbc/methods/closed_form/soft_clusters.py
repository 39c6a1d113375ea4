r"""Soft k-means whose clusters are asked to hold all domains: the compiled programs of Harmony.

Rows are unit vectors :math:`u_i` with weights :math:`w_i`. With centres :math:`Y_k` of length 1, the weight
:math:`O_{gk}` that cluster k has of domain g, and the weight :math:`E_{gk}` that it would have if all clusters held
the same mixture of domains, row i of domain g is of cluster k to the part

.. math:: R_{ik} \propto \exp\left(\frac{2 u_i^\top Y_k - 2}{\sigma}\right)
          \left(\frac{E_{gk} + 1}{O_{gk} + 1}\right)^\theta.

A sweep goes over the rows block by block, and each block sees the clusters as the others have left them. Nothing of
the size rows × clusters outlives its block: a sweep keeps what every block adds to O, and the sums of which the next
centres are made.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

WINDOW = 3  # sweeps whose objectives are compared with those one sweep before
LLOYD = 25  # steps of k-means
SAMPLE = 64  # rows for every cluster, of which k-means sees no more


class Rows(NamedTuple):
    """Rows in parts of equal size, (parts, size, ...); padding weighs nothing."""

    unit: Array
    domain: Array
    weight: Array


class Clusters(NamedTuple):
    """Centres (K, p), what every block adds to the weights O, (blocks, D, K), and the objective of the last sweep."""

    centres: Array
    counts: Array
    objective: Array
    sweeps: Array


class Knobs(NamedTuple):
    """The parameters θ and σ, the share of every domain in all rows (D,), and the least relative fall to go on."""

    theta: Array
    sigma: Array
    share: Array
    tolerance: Array


def to_unit(z: Array) -> Array:
    """Return rows (..., p) divided by their length; a row of zeros has no direction, and stays."""
    return z / jnp.maximum(jnp.linalg.norm(z, axis=-1, keepdims=True), jnp.finfo(z.dtype).tiny)


def penalty(counts: Array, knobs: Knobs) -> Array:
    r"""Return :math:`\theta \log \frac{E + 1}{O + 1}`, (D, K), from the weights O."""
    expected = knobs.share[:, None] * counts.sum(axis=0)
    return knobs.theta * (jnp.log(expected + 1) - jnp.log(counts + 1))


def parts_of(unit: Array, centres: Array, offset: Array, sigma: Array) -> tuple[Array, Array]:
    """Return the parts R that clusters have of rows, (K, n), and the logarithm of what they were divided by, (n,).

    ``offset`` is the penalty of the domain of every row, (K, n) or (K, 1). Clusters come first: sums over the last
    axis, of a hundred numbers, are slow on a CPU.
    """
    cosine = jnp.einsum("kp,np->kn", centres, unit, precision="highest")
    logits = (2 * cosine - 2) / sigma + offset
    top = logits.max(axis=0)
    part = jnp.exp(logits - top)
    total = part.sum(axis=0)
    return part / total, top + jnp.log(total)


def _sweep(
    rows: Rows, order: Array, centres: Array, counts: Array, knobs: Knobs
) -> tuple[Array, Array, Array]:
    """Update all blocks in this order; return what they add to O, the sums of rows by cluster, and the objective."""
    domains = counts.shape[1]

    def block(carry: tuple[Array, ...], b: Array) -> tuple[tuple[Array, ...], None]:
        held, counts, sums, value = carry
        unit, here = rows.unit[b], jax.nn.one_hot(rows.domain[b], domains)
        held = held - counts[b]
        offset = penalty(held, knobs)
        part, level = parts_of(
            unit, centres, jnp.einsum("gk,ng->kn", offset, here, precision="highest"), knobs.sigma
        )
        part = part * rows.weight[b]
        both = jnp.matmul(part, jnp.concatenate([unit, here], axis=1), precision="highest")
        sums, mine = sums + both[:, : unit.shape[1]], both[:, unit.shape[1] :].T
        value = value + (mine * offset).sum() - (rows.weight[b] * level).sum()
        return (held + mine, counts.at[b].set(mine), sums, value), None

    start = (counts.sum(axis=0), counts, jnp.zeros_like(centres), jnp.zeros(()))
    (held, counts, sums, value), _ = jax.lax.scan(block, start, order)
    # Distances and entropy are what log R leaves without its penalty, which is taken as all blocks have left it.
    return counts, sums, knobs.sigma * (value - (held * penalty(held, knobs)).sum())


def begin(rows: Rows, orders: Any, centres: np.ndarray, knobs: Knobs) -> tuple[Clusters, Array]:
    """Return clusters without a penalty around these centres, and the sums of rows by cluster.

    By the program of all other sweeps. The objective is that with the penalty.
    """
    counts = np.zeros((len(rows.unit), len(knobs.share), len(centres)), np.float32)
    around = jnp.asarray(centres, jnp.float32)
    start = Clusters(around, jnp.asarray(counts), jnp.float32(0), jnp.int32(0))
    free = knobs._replace(theta=jnp.float32(0))
    found, sums = cluster(rows, orders, jnp.int32(1), start, around, free)
    held = np.asarray(found.counts, np.float64).sum(axis=0)
    expected = np.asarray(knobs.share)[:, None] * held.sum(axis=0)
    lacking = (held * np.log((held + 1) / (expected + 1))).sum()
    objective = float(found.objective) + float(knobs.sigma) * float(knobs.theta) * lacking
    return found._replace(objective=jnp.float32(objective)), sums


@jax.jit
def cluster(
    rows: Rows, orders: Any, most: Array, before: Clusters, sums: Array, knobs: Knobs
) -> tuple[Clusters, Array]:
    """Sweep over the rows until the objective hardly falls, or ``most`` times, in these orders (sweeps, blocks).

    Centres are made of the sums of rows by cluster; those of the last sweep are returned as well.
    """

    def go_on(state: tuple[Clusters, Array, Array]) -> Array:
        now, _, last = state
        old, new = last[:WINDOW].sum(), last[1:].sum()
        still = jnp.abs(old - new) >= knobs.tolerance * jnp.abs(old)
        return (now.sweeps < most) & ((now.sweeps <= WINDOW + 1) | still)

    def once(state: tuple[Clusters, Array, Array]) -> tuple[Clusters, Array, Array]:
        now, sums, last = state
        centres = to_unit(sums)
        counts, sums, value = _sweep(rows, orders[now.sweeps], centres, now.counts, knobs)
        last = jnp.append(last[1:], value)
        return Clusters(centres, counts, value, now.sweeps + 1), sums, last

    start = before._replace(sweeps=jnp.int32(0)), sums, jnp.full(WINDOW + 1, before.objective)
    now, sums, _ = jax.lax.while_loop(go_on, once, start)
    return now, sums


@jax.jit
def sum_by_domain(rows: Rows, z: Array, clusters: Clusters, knobs: Knobs) -> tuple[Array, Array, Array]:
    """Return the penalty, and of every domain and cluster the weight (D, K) and the sum of the rows ``z`` (D, K, p).

    Every part has rows of one domain here, and ``domain`` one number for each part.
    """
    offset = penalty(clusters.counts.sum(axis=0), knobs)

    def one(carry: tuple[Array, Array], part: tuple[Array, ...]) -> tuple[tuple[Array, Array], None]:
        weight, total = carry
        unit, g, count, rows = part
        share = parts_of(unit, clusters.centres, offset[g][:, None], knobs.sigma)[0] * count
        total = total.at[g].add(jnp.matmul(share, rows, precision="highest"))
        return (weight.at[g].add(share.sum(axis=1)), total), None

    zeros = jnp.zeros_like(offset), jnp.zeros((*offset.shape, z.shape[-1]))
    (weight, total), _ = jax.lax.scan(one, zeros, (*rows, z))
    return offset, weight, total


@jax.jit
def move(
    rows: Rows, z: Array, centres: Array, offset: Array, shift: Any, sigma: Array
) -> tuple[Array, Array]:
    """Return the directions of the rows ``z`` less their shifts (D, K, p), and the sums of these by cluster."""

    def one(sums: Array, part: tuple[Array, ...]) -> tuple[Array, Array]:
        unit, g, count, rows = part
        share, _ = parts_of(unit, centres, offset[g][:, None], sigma)
        unit = to_unit(rows - jnp.einsum("kn,kp->np", share, shift[g], precision="highest"))
        return sums + jnp.matmul(share * count, unit, precision="highest"), unit

    return jax.lax.scan(one, jnp.zeros_like(centres), (*rows, z))


@jax.jit
def take_rows(unit: Array, at: Any) -> Array:
    """Return rows of parts (parts, size, p) by their places, in other parts."""
    return unit.reshape(-1, unit.shape[-1])[at]


def first_centres(
    unit: np.ndarray, weight: np.ndarray, clusters: int, rng: np.random.Generator
) -> np.ndarray:
    """Return centres of length 1 by spherical k-means, from k-means++; on the host, of the first rows.

    Examples
    --------
    >>> unit = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, -1.0]])
    >>> sorted(first_centres(unit, np.ones(4), 3, np.random.default_rng(0)).round(6).tolist())
    [[0.0, -1.0], [0.0, 1.0], [1.0, 0.0]]
    """
    unit, weight = unit[: SAMPLE * clusters], weight[: SAMPLE * clusters]
    away, at = weight.astype(np.float64), []
    for _ in range(clusters):
        far = np.cumsum(away)
        at.append(min(int(np.searchsorted(far, rng.random() * far[-1], side="right")), len(unit) - 1))
        away = np.minimum(away, weight * np.maximum(1 - unit @ unit[at[-1]], 0))
    centres, nearest = unit[at], np.full(len(unit), -1)
    for _ in range(LLOYD):
        before, nearest = nearest, (unit @ centres.T).argmax(axis=1)
        if (before == nearest).all():
            break
        member = np.zeros((clusters, len(unit)), unit.dtype)
        member[nearest, np.arange(len(unit))] = weight
        found = member @ unit
        length = np.linalg.norm(found, axis=1, keepdims=True)
        centres = np.where(length > 0, found / np.where(length > 0, length, 1), centres)
    return centres
