"""Maps of domains, critics of pairs, and how both meet: projections of rows to the few dimensions of a critic.

Treatments that occur in equally many domains are a dense block (see :class:`jbc.groups.Shared`), in which cells are
(T, k) and pairs (T, P). Maps act on rows by domain, (D, rows, d); where a map is affine and a critic narrow, the map
is folded into the critic's first layer, x @ (M W), which is cheaper than to move the rows.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.groups import Shared
from jbc.linalg import orthogonal

Family = Literal["affine", "low-rank", "residual"]
Form = Literal["pairs", "barycentre"]
Params = dict[str, Any]


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
    """Return M W for affine maps M and the columns W of every domain, (D, d, q)."""
    if "matrix" in maps:
        return maps["matrix"] @ w
    return w + maps["down"] @ (maps["up"] @ w)


def move_rows(maps: Params, x: Array, domain: Array) -> Array:
    """Map rows (n, d) of mixed domains; domains take turns, since a matrix for every row would be large."""

    def one(out: Array, at: tuple[Params, Array]) -> tuple[Array, None]:
        own, code = at
        moved = move(jax.tree.map(lambda leaf: leaf[None], own), x[None])[0]
        return jnp.where((domain == code)[:, None], moved, out), None

    return jax.lax.scan(one, x, (maps, jnp.arange(len(maps["shift"]))))[0]


def make_critics(key: Array, critics: int, d: int, widths: tuple[int, ...], start: str) -> Params:
    """Make critics d → widths → 1, stacked; their first layer is the identity cut off, or drawn."""
    keys = jax.random.split(key, len(widths) + 1)
    sizes = (d, *widths, 1)

    def draw(key: Array, i: int) -> Array:
        shape = (critics, sizes[i], sizes[i + 1])
        if start == "identity":
            return jnp.broadcast_to(jnp.eye(*shape[1:]), shape)
        return jax.random.normal(key, shape) / np.sqrt(sizes[i])

    layers = [{"w": draw(each, i), "b": jnp.zeros((critics, sizes[i + 1]))} for i, each in enumerate(keys)]
    return {"first": layers[0], "head": layers[1:]}


def project(
    maps: Params, first: Params, x: Array, domain: Array, tables: Any, form: Form
) -> tuple[Array, Array]:
    """Return what the critics of one block see of both sides of every pair, (T, P, h, m) each.

    Parameters
    ----------
    maps
        The maps.
    first
        First layers of the critics of this block: w (T, P, d, h) and b (T, P, h).
    x, domain
        Rows of the cells, (T, k, m, d), and their domains, (T, k).
    tables
        The positions of every domain's cells in the block, and each cell's place there.
    form
        Which pairs there are.
    """
    bias = first["b"][..., None]
    both = sides(x.shape[1], form)
    seen = [
        _seen(maps if side.mapped else None, first["w"], x, domain, tables, side) for side in _distinct(both)
    ]
    a, b = seen if len(seen) == 2 else seen * 2
    return a[:, both[0].cell, both[0].slot] + bias, b[:, both[1].cell, both[1].slot] + bias


def _distinct(both: tuple[Side, Side]) -> tuple[Side, ...]:
    return both if both[0].mapped != both[1].mapped else both[:1]


def _seen(maps: Params | None, w: Array, x: Array, domain: Array, tables: Any, side: Side) -> Array:
    """Project the rows of every cell for every pair that it takes part in, (T, k, s, h, m)."""
    t, k, m, d = x.shape
    s, h = side.incident.shape[1], w.shape[-1]
    w = w[:, side.incident].swapaxes(2, 3).reshape(t * k, d, s * h)
    x = x.reshape(t * k, m, d)
    shift = None
    if maps is not None:
        domain = domain.reshape(-1)
        if "bias" in maps or s * h >= m:
            x = on_domains(lambda rows: move(maps, rows), x, domain, tables)
        else:
            shift = jnp.einsum("nd,ndq->nq", maps["shift"][domain], w)
            w = on_domains(
                lambda columns: fold(maps, columns), w.swapaxes(1, 2), domain, tables, columns=True
            )
    out = jnp.einsum("ndq,nmd->nqm", w, x)
    out = out if shift is None else out + shift[..., None]
    return out.reshape(t, k, s, h, m)


def mapped_pairs(maps: Params, x: Array, domain: Array, tables: Any, form: Form) -> tuple[Array, Array]:
    """Return both sides of every pair of one block as rows, (T, P, m, d) each."""
    t, k, m, d = x.shape
    rows = x.reshape(t * k, m, d)
    moved = on_domains(lambda rows: move(maps, rows), rows, domain, tables).reshape(x.shape)
    if form == "barycentre":
        i, j = np.divmod(np.arange(k * k), k)
        return x[:, i], moved[:, j]
    i, j = np.triu_indices(k, 1)
    return moved[:, i], moved[:, j]


def move_cells(maps: Params, x: Array, shared: Shared) -> Array:
    """Map the rows of all shared cells, (G, m, d)."""
    out, start = [], 0
    for (t, k), *tables in zip(shared.blocks, shared.members, shared.place, strict=True):
        part = slice(start, start + t * k)
        out.append(on_domains(lambda rows: move(maps, rows), x[part], shared.cells.domain[part], tables))
        start += t * k
    return jnp.concatenate(out)


def on_domains(function: Any, cells: Array, domain: Array, tables: Any, *, columns: bool = False) -> Array:
    """Apply a function of all domains, (D, n, d), to the vectors of cells, (cells, v, d), side by side.

    With ``columns``, the function takes and the result holds (…, d, n) instead.
    """
    members, place = tables
    groups, c = members.shape
    _, v, d = cells.shape
    rows = cells[members].reshape(groups, c * v, d)
    if columns:
        out = function(rows.swapaxes(1, 2)).reshape(groups, d, c, v)
        return out[domain, :, place]
    return function(rows).reshape(groups, c, v, d)[domain, place]
