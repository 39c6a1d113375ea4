"""How minibatches are drawn from a cohort: index plans, and the rows they name."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.groups import Groups


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["x", "label", "domain", "observed", "weight", "codes"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class Rows:
    """One minibatch: m rows of each of G groups.

    Attributes
    ----------
    x : (G, m, d)
        Measurements.
    label : (G, m)
        Label codes, -1 where unknown.
    domain : (G,)
        Domain of every group.
    observed : (G, m, d), optional
        False where a value is missing.
    weight : (G, G, m), optional
        What rows of the first group count when they are compared with the second
        (:meth:`jbc.cohort.composition.Composition.pair_weights`); None where all rows count alike.
    codes : (G, m, k), optional
        The rows in the subspace of a wide table (:mod:`jbc.cohort.subspace`); None where networks see features.
    """

    x: Array
    label: Array
    domain: Array
    observed: Array | None
    weight: Array | None = None
    codes: Array | None = None

    @property
    def overlap(self) -> Array | None:
        """The mean weight of the rows of two groups, (G, G), from 0 to 1; what they share."""
        return None if self.weight is None else (self.weight + self.weight.swapaxes(0, 1)).mean(axis=-1) / 2

    def of(self, groups: Array) -> Rows:
        """Return the rows of some of the groups."""
        weight = None if self.weight is None else self.weight[groups][:, groups]
        rest = dataclasses.replace(self, weight=None)
        return dataclasses.replace(jax.tree.map(lambda leaf: leaf[groups], rest), weight=weight)


@dataclasses.dataclass(frozen=True)
class Draw:
    """A way to draw minibatches.

    Drawing is a pure function of a key and a step number, so that a run resumes without any iterator state.
    By epochs, every group is shuffled anew for each of its passes and the last partial minibatch is dropped;
    smaller groups start their next pass earlier, and groups smaller than a minibatch repeat rows.

    Attributes
    ----------
    by
        Draw from every domain, or from the treatment × domain cells of treatments that domains share.
    rows
        Rows per group and step.
    """

    by: Literal["domain", "shared"] = "domain"
    rows: int = 128

    def groups(self, cohort: Cohort) -> Groups:
        """Return the groups that this draw takes rows from."""
        if self.by == "domain":
            return cohort.domains
        assert cohort.shared is not None, "prepare() finds what domains share"
        return cohort.shared.cells

    def epoch(self, cohort: Cohort) -> Array:
        """Return the number of steps in one pass over the largest group."""
        _, total = _weights(cohort, self.groups(cohort))
        return jnp.maximum(total.max() // self.rows, 1)

    def steps(self, cohort: Cohort, epochs: int, least: int, most: int) -> int:
        """Return the steps of ``epochs`` passes over the largest group, or the number that bounds them."""
        return min(max(epochs * int(self.epoch(cohort)), least), most)

    def plan(self, key: Array, cohort: Cohort, start: Array | int, steps: int) -> Array:
        """Draw the row indices of several steps.

        Parameters
        ----------
        key
            Key of the run; the same key and step always draw the same rows.
        cohort
            Where rows come from; rows of weight 0 are never drawn, rows of weight k count k times.
        start, steps
            First step, and how many.

        Returns
        -------
        (steps, G, m) int32
            Indices into the rows of the cohort.

        Examples
        --------
        >>> cohort = Cohort.from_arrays([[1.0], [2.0], [3.0]], ["a", "a", "b"])
        >>> plan = Draw(rows=2).plan(jax.random.key(0), cohort, start=0, steps=1)
        >>> sorted(plan[0, 0].tolist()), plan[0, 1].tolist()
        ([0, 1], [2, 2])
        """
        groups = self.groups(cohort)
        cumulative, total = _weights(cohort, groups)
        place = _by_epochs(key, total, groups.capacity, self.rows, start, steps)
        # A place counts rows by weight; the row that holds it is found in the running sum of weights.
        before = jnp.concatenate([jnp.zeros(1, cumulative.dtype), cumulative])[jnp.asarray(groups.offset)]
        index = jnp.searchsorted(cumulative, place + before[:, None], side="right", method="scan_unrolled")
        return index.astype(jnp.int32)


def take(cohort: Cohort, index: Array, draw: Draw) -> Rows:
    """Gather the rows of one step, ``index`` (G, m), on the device."""
    # Cells of treatments are one population each, and need no weights.
    domain, weight = jnp.asarray(draw.groups(cohort).domain), None
    if cohort.composition is not None and len(domain) == len(cohort.domains.count):
        member = jnp.asarray(cohort.composition.membership)[index]
        weight = cohort.composition.pair_weights(member, domain)
    # In a subspace, networks see components of the rows as they are filled in.
    observed = cohort.observed if cohort.subspace is None else None
    return Rows(
        x=jnp.asarray(cohort.x)[index],
        label=jnp.asarray(cohort.label)[index],
        domain=domain,
        observed=None if observed is None else jnp.asarray(observed)[index],
        weight=weight,
        codes=None if cohort.subspace is None else jnp.asarray(cohort.subspace.codes)[index],
    )


def _weights(cohort: Cohort, groups: Groups) -> tuple[Array, Array]:
    """Return the running sum of row weights, and the total weight of every group."""
    cumulative = jnp.cumsum(jnp.asarray(cohort.weight))
    edge = jnp.concatenate([jnp.zeros(1, cumulative.dtype), cumulative])
    offset, count = jnp.asarray(groups.offset), jnp.asarray(groups.count)
    return cumulative, edge[offset + count] - edge[offset]


def _by_epochs(key: Array, total: Array, capacity: int, m: int, start: Array | int, steps: int) -> Array:
    per_pass = jnp.maximum(total // m, 1)

    def shuffle(group: Array, number: Array, size: Array) -> Array:
        noise = jax.random.uniform(jax.random.fold_in(jax.random.fold_in(key, group), number), (capacity,))
        return _order(jnp.where(jnp.arange(capacity) < size, noise, 1.0))

    def shuffle_all(number: Array) -> Array:
        return jax.vmap(shuffle)(jnp.arange(len(total)), number, total)

    def one(carry: tuple[Array, Array], step: Array) -> tuple[tuple[Array, Array], Array]:
        number = step // per_pass
        # Sorting is expensive, so a permutation is carried along until some group begins a new pass.
        order = jax.lax.cond(jnp.any(number != carry[0]), lambda: shuffle_all(number), lambda: carry[1])
        slot = ((step % per_pass)[:, None] * m + jnp.arange(m)) % jnp.maximum(total, 1)[:, None]
        return (number, order), jnp.take_along_axis(order, slot, axis=1)

    first = jnp.full(len(total), -1), jnp.zeros((len(total), capacity), jnp.int32)
    return jax.lax.scan(one, first, start + jnp.arange(steps))[1]


def _order(noise: Array) -> Array:
    """Return ``argsort(noise)`` of multiples of 2⁻²³ from 0 to 1, as uniform draws are.

    Sorting words is several times as fast as sorting positions by noise. Where noise and position do not fit into one
    word, the lower digits of the noise are sorted first, and then the higher ones.
    """
    places = max((len(noise) - 1).bit_length(), 1)
    if places > 20:
        return jnp.argsort(noise)
    words, at = (noise * 2**23).astype(jnp.uint32), jnp.arange(len(noise), dtype=jnp.uint32)
    low = 32 - places

    def sort(digits: Array) -> Array:
        return jnp.sort(digits << places | at) & (2**places - 1)

    order = sort(words & (2**low - 1))
    if low < 24:
        order = order[sort(words[order] >> low)]
    return order.astype(jnp.int32)
