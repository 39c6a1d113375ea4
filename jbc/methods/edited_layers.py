"""How rows go through an autoencoder of which some layers are edited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.nets import Autoencoder
from jbc.numerics import edits
from jbc.numerics.edits import Beyond, Edit
from jbc.numerics.linalg import by_group, moments

BLOCK = 8192  # rows that go through the network at once: wide layers of many would not fit into memory
PARTS = 256  # of the weight of a row, which is a whole number
WHOLE = 2**30  # a sum of weights that int32 holds

Change = Callable[[int, Array], Array]
"""Edits the activations of a layer, by its number."""

LayerEdits = Mapping[str, Mapping[str, Array]]
"""What is kept of edits: their fields, by the number of the layer, as a text."""


class Weighted(NamedTuple):
    """Rows, how often each counts, in whole numbers, and where values are missing, which have values.

    ``both`` (n, d) has values where another row of the other side, its partner, has them too.
    """

    rows: Array
    weight: Array
    seen: Array | None = None
    both: Array | None = None

    @property
    def counts(self) -> Array:
        """How often each row counts, (n,), or each value, (n, d)."""
        return self.weight if self.seen is None else self.weight[:, None] * self.seen

    def alike(self, rows: Array) -> Array:
        """Return these rows with holes as those of the other side, and in them the centre of what is left.

        So both sides have as many holes, and what a network makes of holes is no difference between them.
        """
        if self.both is None:
            return rows
        counts = self.weight[:, None] * self.both
        mean, _ = moments(rows, jnp.zeros(len(rows), jnp.int32), counts, 1)
        centre = jnp.where(counts.sum(axis=0) > 0, mean[0], rows)
        return jnp.where(self.both, rows, centre)

    def noise(self, unit: Array, units: int) -> Array:
        r"""Return the squared standard error of the mean of every column, where units are independent, not rows.

        It is the variance over the effective number of rows,
        :math:`(\sum_i w_i)^2 / \sum_u (\sum_{i \in u} w_i)^2`: replicate rows of one unit count as one.

        Parameters
        ----------
        unit, units
            The code of the unit of every row, and how many codes there are.

        Examples
        --------
        >>> four = Weighted(jnp.array([[0.0], [0.0], [2.0], [2.0]]), jnp.ones(4, int))
        >>> four.noise(jnp.arange(4), 4).tolist(), four.noise(jnp.array([0, 0, 1, 1]), 2).tolist()
        ([0.25], [0.5])
        """
        counts = self.counts
        _, variance = moments(self.rows, jnp.zeros(len(self.rows), jnp.int32), counts, 1)
        share = counts / jnp.maximum(counts.sum(axis=0), 1)
        return variance[0] * jnp.square(jax.ops.segment_sum(share, unit, units)).sum(axis=0)


Measure = Callable[[Weighted, Weighted], Edit]
"""Measures an edit from a source to a target."""


class EditedAutoencoder(NamedTuple):
    """An autoencoder, its weights, and the layers that are edited, in ascending order.

    With ``residual``, rows are what they were and what the edits change; without, what the network makes of them.
    """

    net: Autoencoder
    params: Any
    layers: tuple[int, ...]
    residual: bool

    @property
    def hidden(self) -> tuple[int, ...]:
        """The layers inside the network that are edited."""
        return tuple(layer for layer in self.layers if 0 < layer < self.net.depth)

    def run(self, h: Array, first: int, last: int) -> Array:
        """Run the layers from ``first`` to ``last``."""
        if first == last:
            return h

        def some(h: Array) -> Array:
            return self.net.apply({"params": self.params}, h, first, last)  # pyright: ignore[reportReturnType]

        if len(h) <= BLOCK:
            return some(h)
        return jax.lax.map(lambda row: some(row[None])[0], h, batch_size=BLOCK)

    def reach(self, h: Array, change: Change, last: int, at: int = 0) -> Array:
        """Go from the layer ``at`` to the layer ``last``, where these and the hidden ones between are edited."""
        for layer in self.hidden:
            if layer <= last:
                h, at = change(layer, self.run(h, at, layer)), layer
        return self.run(h, at, last)

    def edited(self, z: Array, change: Change) -> Array:
        """Return edited rows."""
        z, depth = self.before(z, change), self.net.depth
        if self.hidden:
            first = self.hidden[0]
            h = self.run(z, 0, first)
            out = self.reach(h, change, depth, first)
            z = z + (out - self.run(h, first, depth)) if self.residual else out
        return change(depth, z) if depth in self.layers else z

    def before(self, z: Array, change: Change) -> Array:
        """Return rows as they enter the network."""
        return change(0, z) if 0 in self.layers else z

    def measure(self, source: Weighted, target: Weighted, measure: Measure, rule: Beyond) -> dict[str, Edit]:
        """Measure the edits of all layers, each on the source as those before it left it."""
        found: dict[str, Edit] = {}
        alike = target.alike(target.rows)

        def change(layer: int, own: Array) -> Array:
            ends = layer in (0, self.net.depth)
            seen = {0: source.seen, self.net.depth: source.both}.get(layer)
            goal = target.rows if ends else self.run(alike, 0, layer)
            one = source._replace(rows=own, seen=seen)
            edit = measure(one, target._replace(rows=goal, seen=target.seen if ends else None))
            if ends:
                edit = edits.keep_scale(edit)
            found[str(layer)] = edit
            edited = edits.apply(edit, own, rule)
            return source.alike(edited) if layer == 0 else edited

        self.edited(source.rows if 0 in self.layers else source.alike(source.rows), change)
        return found


def by_domain(tables: LayerEdits, domain: Array, rule: Beyond) -> Change:
    """Edit every row as its domain wants it."""

    def change(layer: int, h: Array) -> Array:
        return by_group(lambda own, h: edits.apply(Edit(**own), h, rule), tables[str(layer)], h, domain)

    return change


def count_outside(
    autoencoder: EditedAutoencoder, tables: LayerEdits, z: Array, domain: Array, rule: Beyond
) -> Array:
    """Count the values of every row that lie outside the range that its edits were measured on, (n,)."""
    counts = jnp.zeros(len(z), jnp.int32)
    edit = by_domain(tables, domain, rule)

    def change(layer: int, h: Array) -> Array:
        nonlocal counts
        outside = by_group(lambda own, h: edits.outside(Edit(**own), h), tables[str(layer)], h, domain)
        counts += outside.sum(axis=1)
        return edit(layer, h)

    autoencoder.edited(z, change)
    return counts


def partners(offset: Array, count: Array, domain: Array | int, rows: int) -> Array:
    """Return the positions of rows of a domain, as many as asked for, beside which those of another one are put.

    Examples
    --------
    >>> partners(jnp.array([0, 2]), jnp.array([2, 3]), 1, 4).tolist()
    [3, 4, 2, 3]
    """
    # Rows are shuffled in every domain alike: of one place, both are of one rank, of neighbouring places of any.
    return offset[domain] + (jnp.arange(rows) + 1) % jnp.maximum(count[domain], 1)


def shared_rows(
    cohort: Cohort, source: tuple[Array, Array], target: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    """Let rows of a source and of the target count by what both domains have of their population.

    Takes the code and the weights (capacity,) of both, of the rows of the domain and padding. Returns both weights,
    and whether the two domains share nothing, in which case weights are left as they are.
    """
    held, found = cohort.composition, []
    if held is None:
        return source[1], target[1], jnp.array(False)
    offset, member = jnp.asarray(cohort.domains.offset), jnp.asarray(held.membership)
    at = jnp.arange(cohort.domains.capacity)
    pair = jnp.stack([source[0], target[0]])
    rows = member[jnp.minimum(offset[pair][:, None] + at, len(member) - 1)]
    part = held.pair_weights(rows, pair)
    for (_, weight), share in zip((source, target), (part[0, 1], part[1, 0]), strict=True):
        found.append(weight * jnp.round(PARTS * share).astype(jnp.int32))
    nothing = (found[0].sum() == 0) | (found[1].sum() == 0)
    return jnp.where(nothing, source[1], found[0]), jnp.where(nothing, target[1], found[1]), nothing


def balance(weight: Array, kind: Array, other: Array, other_kind: Array, kinds: int) -> tuple[Array, Array]:
    """Let every kind of rows weigh the same in a source and in a target, and nothing where one of them lacks it.

    Examples
    --------
    >>> own, other = balance(jnp.ones(3, int), jnp.array([0, 0, 1]), jnp.ones(1, int), jnp.array([0]), kinds=2)
    >>> (own > 0).tolist(), bool(own.sum() == other.sum())
    ([True, True, False], True)
    """
    sides = (weight, kind), (other, other_kind)
    counts = [jax.ops.segment_sum(own, code, kinds) for own, code in sides]
    both = jnp.minimum(*counts) > 0
    each = [jnp.where(both, WHOLE // kinds // jnp.maximum(count, 1), 0) for count in counts]
    return weight * each[0][kind], other * each[1][other_kind]
