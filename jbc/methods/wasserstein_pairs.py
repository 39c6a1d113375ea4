"""Maps of domains, critics of pairs, and how both meet: projections of rows to the few dimensions of a critic.

Treatments that occur in equally many domains are a dense block (see :class:`jbc.cohort.groups.Shared`), in which
cells are (T, k) and pairs (T, P); programs go through it by batches. Maps act on rows by domain, (D, rows, d); where
a map is affine and a critic narrow, the map is folded into the critic's first layer, x @ (M W), which is cheaper than
to move the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort.groups import Shared
from jbc.numerics.linalg import by_group, orthogonal
from jbc.numerics.sharding import shard_axis

Family = Literal["affine", "low-rank", "residual"]
Form = Literal["pairs", "barycentre"]
Params = Mapping[str, Any]


class Block(NamedTuple):
    """Treatments that occur in k domains each, in batches of t; where their cells and pairs are among all."""

    batches: int
    t: int
    k: int
    pairs: int
    cells: slice
    critics: slice
    domain: Array
    members: Array
    slot: Array


class Batch(NamedTuple):
    """Some treatments of a block: their number, the domain of each cell, and where domains have theirs.

    ``members`` (D, C) and ``slot`` (t * k,) are explained in :class:`jbc.cohort.groups.Shared`.
    """

    t: int
    k: int
    pairs: int
    domain: Array
    members: Array
    slot: Array


def blocks(shared: Shared, form: Form) -> Iterator[Block]:
    """Go through the blocks of the shared treatments."""
    cells = critics = 0
    for (total, k), members, slot in zip(shared.blocks, shared.members, shared.slot, strict=True):
        pairs, batches = pairs_of(k, form), len(members)
        own, seen = slice(cells, cells + total * k), slice(critics, critics + total * pairs)
        domain = jnp.asarray(shared.cells.domain)[own].reshape(batches, -1)
        yield Block(
            batches, total // batches, k, pairs, own, seen, domain, jnp.asarray(members), jnp.asarray(slot)
        )
        cells, critics = own.stop, seen.stop


def batchwise(
    function: Callable[[Any, Batch, Array, Any], tuple[Any, Any]],
    carry: Any,
    shared: Shared,
    form: Form,
    x: Array,
    own: Any,
) -> tuple[Any, Any]:
    """Call ``function(carry, batch, x, own) -> (carry, result)`` for every batch of treatments in turn.

    ``x`` (cells, m, d) and the tree ``own`` (pairs, ...) are those of the batch, and so are results, (pairs, ...),
    which are put together again. What is computed for one batch fits into the cache, where all would not, and takes
    no memory while others are computed.
    """
    found = []
    for block in blocks(shared, form):

        def one(carry: Any, of: tuple[Any, ...], block: Block = block) -> tuple[Any, Any]:
            where, rows, mine = of
            return function(carry, Batch(block.t, block.k, block.pairs, *where), rows, mine)

        def batched(leaf: Array, part: slice, block: Block = block) -> Array:
            return leaf[part].reshape(block.batches, -1, *leaf.shape[1:])

        of = (
            (block.domain, block.members, block.slot),
            batched(x, block.cells),
            jax.tree.map(lambda leaf, block=block: batched(leaf, block.critics, block), own),
        )
        if block.batches == 1:
            carry, out = one(carry, jax.tree.map(lambda leaf: leaf[0], of))
        else:
            carry, out = jax.lax.scan(one, carry, of)
            out = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), out)
        found.append(out)
    return carry, jax.tree.map(lambda *parts: jnp.concatenate(parts), *found)


class Side(NamedTuple):
    """One side of every pair: whether its rows are mapped, and where they are read.

    ``incident`` (k, s) names the pairs that a cell takes part in; ``cell`` and ``slot`` (P,) find the cell of a
    pair, and the pair in the list of its cell.
    """

    mapped: bool
    incident: np.ndarray
    cell: np.ndarray
    slot: np.ndarray


def sides(k: int, form: Form) -> tuple[Side, Side]:
    """Return both sides of the pairs among k cells: all i < j, or the original of any i with the mapped j.

    Examples
    --------
    >>> first, second = sides(3, "pairs")
    >>> first.cell.tolist(), second.cell.tolist()
    ([0, 0, 1], [1, 2, 2])
    """
    if form == "barycentre":
        number = np.arange(k * k).reshape(k, k)
        i, j = np.divmod(np.arange(k * k), k)
        return Side(False, number, i, j), Side(True, number.T, j, i)
    i, j = np.triu_indices(k, 1)
    number = np.zeros((k, k), np.int64)
    number[i, j] = number[j, i] = np.arange(len(i))
    others = np.array([[other for other in range(k) if other != one] for one in range(k)])
    incident = number[np.arange(k)[:, None], others]
    return Side(True, incident, i, j - 1), Side(True, incident, j, i)


def pairs_of(k: int, form: Form) -> int:
    """Return the number of pairs among k cells."""
    return k * k if form == "barycentre" else k * (k - 1) // 2


def make_maps(key: Array, family: Family, domains: int, d: int, width: int) -> Params:
    """Make one map per domain, each the identity."""
    shift = jnp.zeros((domains, d))
    if family == "affine":
        return {"matrix": jnp.tile(jnp.eye(d), (domains, 1, 1)), "shift": shift}
    draw = jax.vmap(lambda key: orthogonal(key, (d, width)))(jax.random.split(key, domains))
    params = {"down": draw, "up": jnp.zeros((domains, width, d)), "shift": shift}
    return params | ({"bias": jnp.zeros((domains, width))} if family == "residual" else {})


def move(maps: Params, x: Array) -> Array:
    """Map rows, (D, n, d), each with the map of its domain."""
    shift = maps["shift"][:, None]
    if "matrix" in maps:
        return x @ maps["matrix"] + shift
    inner = x @ maps["down"]
    if "bias" in maps:
        inner = jax.nn.softplus(inner + maps["bias"][:, None]) - jnp.log(2.0)
    return x + inner @ maps["up"] + shift


def fold(maps: Params, w: Array) -> Array:
    """Return the rows w Mᵀ for affine maps x M, (D, q, d): what sees x M through w sees x through w Mᵀ."""
    if "matrix" in maps:
        return w @ maps["matrix"].swapaxes(1, 2)
    return w + (w @ maps["up"].swapaxes(1, 2)) @ maps["down"].swapaxes(1, 2)


def extend(maps: Params, matrix: np.ndarray, shift: np.ndarray) -> dict[str, np.ndarray]:
    """Return the maps with one more, x M + b; maps that are not affine take the shift alone. On the host."""
    more = {name: np.zeros(leaf.shape[1:]) for name, leaf in maps.items()} | {"shift": shift}
    if "matrix" in maps:
        more["matrix"] = matrix
    return {n: np.append(leaf, more[n][None].astype(np.float32), axis=0) for n, leaf in maps.items()}


def move_rows(maps: Params, x: Array, domain: Array) -> Array:
    """Map rows (n, d) of mixed domains."""

    def one(own: Params, x: Array) -> Array:
        return move(jax.tree.map(lambda leaf: leaf[None], own), x[None])[0]

    return by_group(one, maps, x, domain)


def make_critics(key: Array, critics: int, d: int, widths: tuple[int, ...], start: str) -> Params:
    """Make critics d → widths → 1, stacked; their first layer is the identity cut off, or drawn.

    The first layers, (critics, h, d), hold features last, as rows do: products with rows read both along memory.
    """
    keys = jax.random.split(key, len(widths) + 1)
    sizes = (d, *widths, 1)

    def draw(key: Array, i: int) -> Array:
        shape = (critics, sizes[i], sizes[i + 1])
        if start == "identity":
            return jnp.broadcast_to(jnp.eye(*shape[1:]), shape)
        return jax.random.normal(key, shape) / np.sqrt(sizes[i])

    layers = [{"w": draw(each, i), "b": jnp.zeros((critics, sizes[i + 1]))} for i, each in enumerate(keys)]
    first = layers[0] | {"w": layers[0]["w"].swapaxes(1, 2)}
    return {"first": first, "head": layers[1:]}


def both_observed(observed: Array, shared: Shared, form: Form) -> Array:
    """Return where the rows of both sides of every pair, in the same places, have values, (pairs, m, d).

    From that of the rows of all cells, (cells, m, d). What compares the sides looks at these values alone: both have
    the same holes then, and what was filled in is no difference.
    """
    found = []
    for block in blocks(shared, form):
        own = observed[block.cells].reshape(-1, block.k, *observed.shape[1:])
        first, second = (own[:, side.cell] for side in sides(block.k, form))
        found.append((first & second).reshape(-1, *observed.shape[1:]))
    return jnp.concatenate(found)


def project(
    maps: Params, first: Params, x: Array, batch: Batch, form: Form, seen: Array | None = None
) -> tuple[Array, Array]:
    """Return what the critics of a batch see of both sides of every pair, (T * P, h, m) each.

    ``first`` holds the first layers of these critics, w (T * P, h, d) and b (T * P, h), and ``x`` the rows of the
    cells, (T * k, m, d).
    """
    if seen is not None:  # holes are those of a pair: no projection of a cell serves two of them
        left, right = (
            jnp.einsum("phd,pmd->phm", first["w"], rows) for rows in rows_of_pairs(maps, x, batch, form, seen)
        )
        return left + first["b"][..., None], right + first["b"][..., None]
    w = first["w"].reshape(batch.t, batch.pairs, *first["w"].shape[1:])
    both = sides(batch.k, form)
    # Pairs of mapped rows read both sides from one projection.
    reads = both if both[0].mapped != both[1].mapped else (both[0], None)
    views = [_seen(maps if side.mapped else None, w, x, batch, side.incident) for side in reads if side]
    shape = (batch.t * batch.pairs, w.shape[2], x.shape[1])
    where = [side.cell * side.incident.shape[1] + side.slot for side in both]
    if len(views) == 1:
        read = take_evenly(views[0], np.stack(where))
        found = read[:, 0], read[:, 1]
    else:
        found = tuple(take_evenly(one, at) for one, at in zip(views, where, strict=True))
    bias = first["b"][..., None]
    return found[0].reshape(shape) + bias, found[1].reshape(shape) + bias


def _seen(maps: Params | None, w: Array, x: Array, batch: Batch, incident: np.ndarray) -> Array:
    """Project the rows of every cell for every pair that it takes part in, (T, k * s, h, m)."""
    cells, m, d = x.shape
    s, h = incident.shape[1], w.shape[2]
    w, x = shard_axis(take_evenly(w, incident).reshape(cells, s * h, d)), shard_axis(x)
    shift = None
    if maps is not None and ("bias" in maps or s * h >= m):
        x = move_cells(maps, x, batch)
    elif maps is not None:
        shift = jnp.einsum("nd,nqd->nq", maps["shift"][batch.domain], w)
        w = on_domains(lambda rows: fold(maps, rows), w, batch)
    # Products that leave the rows first are faster than those that leave them last, even with the transposition,
    # which the barrier keeps the compiler from undoing.
    out = jax.lax.optimization_barrier(jnp.einsum("nqd,nmd->nmq", w, x)).swapaxes(1, 2)
    out = out if shift is None else out + shift[..., None]
    return out.reshape(batch.t, batch.k * s, h, m)


def take_evenly(x: Array, index: np.ndarray) -> Array:
    """Return ``x[:, index]``, where every position of the second axis is named equally often.

    The derivative is a gather too, instead of a scatter, which is slow on a CPU.

    Examples
    --------
    >>> x, index = jnp.array([[1.0, 2.0]]), np.array([[1, 0], [0, 1]])
    >>> take_evenly(x, index).tolist(), jax.grad(lambda x: take_evenly(x, index)[0, 0].sum())(x).tolist()
    ([[[2.0, 1.0], [1.0, 2.0]]], [[1.0, 1.0]])
    """
    back = np.argsort(index.ravel(), kind="stable").reshape(x.shape[1], -1)

    @jax.custom_vjp
    def take(x: Array) -> Array:
        return x[:, index]

    def pull(_: None, slope: Array) -> tuple[Array]:
        flat = slope.reshape(len(slope), index.size, *slope.shape[1 + index.ndim :])
        return (flat[:, back].sum(axis=2),)

    take.defvjp(lambda x: (take(x), None), pull)
    return take(x)


def rows_of_pairs(
    maps: Params, x: Array, batch: Batch, form: Form, seen: Array | None = None
) -> tuple[Array, Array]:
    """Return both sides of every pair of a batch as rows, (T * P, m, d) each; 0 where they are not ``seen``."""
    moved = move_cells(maps, x, batch)
    shape, flat = (batch.t, batch.k, *x.shape[1:]), (-1, *x.shape[1:])
    first, second = (
        (moved if side.mapped else x).reshape(shape)[:, side.cell].reshape(flat)
        for side in sides(batch.k, form)
    )
    if seen is not None:
        first, second = jnp.where(seen, first, 0), jnp.where(seen, second, 0)
    return first, second


def move_cells(maps: Params, x: Array, batch: Batch) -> Array:
    """Map the rows of the cells of a batch, (t * k, m, d)."""
    return on_domains(lambda rows: move(maps, rows), x, batch)


def on_domains(function: Callable[[Array], Array], cells: Array, batch: Batch) -> Array:
    """Apply a function of all domains, (D, n, d), to the vectors of cells, (cells, v, d)."""
    groups, c = batch.members.shape
    _, v, d = cells.shape
    rows = shard_axis(cells[batch.members].reshape(groups, c * v, d), axis=1)
    return function(rows).reshape(groups, c, v, d)[batch.domain, batch.slot]
