"""Runs of rows that belong together: domains, treatments in domains, and treatments that domains share."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

PAIRS = 512


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["domain", "treatment", "offset", "count"],
    meta_fields=["capacity"],
)
@dataclasses.dataclass(frozen=True)
class Groups:
    """Runs of rows: the domains, or treatment × domain cells.

    Attributes
    ----------
    domain, treatment : (G,) int32
        Codes of each group; the treatment is -1 when a group is a whole domain.
    offset, count : (G,) int32
        First row and number of rows.
    capacity : int
        Rows of the largest group. Static, because permutations need a shape.
    """

    domain: Array
    treatment: Array
    offset: Array
    count: Array
    capacity: int


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["cells", "importance", "members", "slot"],
    meta_fields=["blocks"],
)
@dataclasses.dataclass(frozen=True)
class Shared:
    """The cells of the treatments that two domains or more have in common.

    They are sorted by the number of domains that a treatment occurs in, so that treatments which occur in
    equally many domains make a dense block: ragged designs need neither padding nor loops over pairs. Programs go
    through a large block in S batches of equally many treatments; what is left over is a block of its own.

    Attributes
    ----------
    cells : Groups
        The cells, block after block; in a block by treatment, then by domain.
    importance : (C,) float32
        What the treatment of each cell counts where treatments are averaged.
    blocks : tuple of (T, k)
        How many treatments occur in how many domains. Static.
    members : tuple of (S, D, C) int32
        For every batch of a block, the positions in it of the cells of each domain; -1 where a domain has fewer
        than C.
    slot : tuple of (S, T / S * k) int32
        For every batch of a block, where ``members`` holds each cell, among those of its domain.
    """

    cells: Groups
    importance: Array
    blocks: tuple[tuple[int, int], ...]
    members: tuple[Array, ...]
    slot: tuple[Array, ...]


def runs(domain: np.ndarray, treatment: np.ndarray) -> Groups:
    """Find the runs of equal codes in sorted rows.

    Examples
    --------
    >>> runs(np.array([0, 0, 1]), np.array([-1, -1, -1])).count.tolist()
    [2, 1]
    """
    change = np.flatnonzero((np.diff(domain) != 0) | (np.diff(treatment) != 0)) + 1
    offset = np.concatenate([[0], change]).astype(np.int32)
    count = np.diff(np.append(offset, len(domain))).astype(np.int32)
    return _groups(domain[offset], treatment[offset], offset, count)


def shared_treatments(cells: Groups) -> np.ndarray:
    """Return the codes of the treatments that occur in two domains or more.

    Examples
    --------
    >>> shared_treatments(runs(np.array([0, 0, 1, 1]), np.array([-1, 0, 0, 1]))).tolist()
    [0]
    """
    treatment = np.asarray(cells.treatment)
    return np.flatnonzero(np.bincount(treatment[treatment >= 0], minlength=1) > 1)


def find_shared(cells: Groups, domains: int, importance: np.ndarray | None = None) -> Shared:
    """Return the cells of the treatments that domains have in common.

    ``importance`` is what each treatment counts, (treatments,); 1 by default.

    Examples
    --------
    >>> cells = runs(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 2, 0]))
    >>> found = find_shared(cells, domains=3)  # treatment 0 is in all domains, the others are in one each
    >>> found.blocks, found.cells.domain.tolist(), found.members[0].tolist()
    (((1, 3),), [0, 1, 2], [[[0], [1], [2]]])
    """
    domain, treatment = np.asarray(cells.domain), np.asarray(cells.treatment)
    number = np.bincount(treatment[treatment >= 0], minlength=1)[treatment]
    which = np.flatnonzero(np.isin(treatment, shared_treatments(cells)))
    which = which[np.lexsort((domain[which], treatment[which], number[which]))]
    blocks, members, slot = [], [], []
    for k in np.unique(number[which]).tolist():
        inside = domain[which[number[which] == k]].reshape(-1, k)
        each = max(2 * PAIRS // k**2, 1)
        even = len(inside) // each * each
        for part in (inside[:even], inside[even:]):
            if len(part):
                size = min(each, len(part))
                table, where = _by_domain(part.reshape(-1, size * k), domains)
                blocks.append((len(part), k))
                members.append(table)
                slot.append(where)
    taken = (np.asarray(field)[which] for field in (domain, treatment, cells.offset, cells.count))
    counts: Any = np.ones(len(which)) if importance is None else importance[treatment[which]]
    return Shared(_groups(*taken), counts.astype(np.float32), tuple(blocks), tuple(members), tuple(slot))


def _by_domain(domain: np.ndarray, domains: int) -> tuple[np.ndarray, np.ndarray]:
    """List the positions of every domain in each batch (S, n), and the slot of each position in that list."""
    order = np.argsort(domain, axis=1, kind="stable")
    sorted_, position = np.take_along_axis(domain, order, axis=1), np.arange(domain.shape[1])
    begins = np.diff(sorted_, axis=1, prepend=-1) != 0
    slot = np.empty(domain.shape, np.int32)
    np.put_along_axis(slot, order, position - np.maximum.accumulate(begins * position, axis=1), axis=1)
    table = np.full((len(domain), domains, slot.max() + 1), -1, np.int32)
    table[np.arange(len(domain))[:, None], domain, slot] = position
    return table, slot


def _groups(domain: np.ndarray, treatment: np.ndarray, offset: np.ndarray, count: np.ndarray) -> Groups:
    return Groups(domain, treatment, offset, count, int(count.max(initial=0)))  # pyright: ignore[reportArgumentType]
