r"""What domains share: populations, their shares in every domain, and whether effects of domains can be told.

Domains are described as one mixture of populations, with shares that differ by domain and an effect of every domain
(:mod:`jbc.numerics.mixtures`). Whatever makes domains alike then compares populations, not mixtures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.numerics.linalg import location_and_scale
from jbc.numerics.mixtures import two_way

Verdict = Literal["equal", "none", "shared", "unknown", "given"]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["membership", "shares", "solver", "moves"],
    meta_fields=["verdict"],
)
@dataclasses.dataclass(frozen=True)
class Composition:
    """Populations of a cohort.

    Attributes
    ----------
    membership : (n, K) float32
        Probability that a row is of a population, in the order of the cohort's rows.
    shares : (D, K) float32
        Shares of populations in every domain.
    solver : (D, D, K) float32
        What turns means of every population in every domain into effects of domains: the least squares of
        population + domain. All 0 where domains are left as they are.
    moves : (D,) bool
        Domains that are corrected; the others come out as they came in.
    verdict
        ``"none"``: no effect of domains was found. ``"shared"``: there are effects, and mixtures differ.
        ``"unknown"``: domains differ, and nothing tells effects from populations. ``"given"``: populations were
        passed in.
    """

    membership: Array
    shares: Array
    solver: Array
    moves: Array
    verdict: Verdict

    @property
    def overlap(self) -> Array:
        """The smaller of the shares of a population in two domains, (D, D, K)."""
        shares = jnp.asarray(self.shares)
        return jnp.minimum(shares[:, None], shares[None])

    def pair_weights(self, membership: Array, domain: Array) -> Array:
        """Return what rows of every group count when it is compared with another one, (G, G, m).

        A row counts by the part of its population that both domains have: rows of what one of them lacks count
        nothing.

        Parameters
        ----------
        membership
            Memberships of the rows, (G, m, K).
        domain
            Domain of every group, (G,).

        Examples
        --------
        >>> shares = jnp.array([[0.5, 0.5], [1.0, 0.0]])
        >>> held = Composition(jnp.eye(2), shares, jnp.zeros((2, 2, 2)), jnp.ones(2, bool), "shared")
        >>> held.pair_weights(jnp.eye(2)[None].repeat(2, axis=0), jnp.arange(2))[0, 1].tolist()
        [1.0, 0.0]
        """
        shares = jnp.asarray(self.shares)[domain]
        both = jnp.minimum(shares[:, None], shares[None])
        part = jnp.where(both > 0, both / jnp.maximum(shares[:, None], 1e-9), 0)
        return jnp.einsum("imk,ijk->ijm", membership, part, precision="highest")

    def location_and_scale(self, x: Array, domain: Array, weight: Array) -> tuple[Array, Array]:
        """Return location and scale of every domain, given the populations, (D, d) each.

        Scales come from variances within populations, and locations from their means, so that neither tells which
        populations a domain has.
        """
        own = jnp.zeros_like(domain)
        (centre,), (unit,) = (table[:1] for table in location_and_scale(x, own, weight, 1))
        z = (x - centre) / unit
        count, mean, variance = self._cells(z, domain, weight)
        solver = jnp.asarray(self.solver)
        within = (count[..., None] * variance).sum(axis=(0, 1)) / jnp.maximum(count.sum(), 1)
        # A few rows tell little about a variance: it shrinks towards that of all.
        variance = (count[..., None] * variance + SHRINK * within) / (count[..., None] + SHRINK)
        log = jnp.log(jnp.where(within > 0, variance, 1) / jnp.where(within > 0, within, 1))
        scale = jnp.exp(0.5 * jnp.einsum("dek,ekj->dj", solver, log, precision="highest"))
        effect = jnp.einsum("dek,ekj->dj", solver, mean / scale[:, None], precision="highest") * scale
        weight = jnp.asarray(weight, z.dtype)[:, None]
        rest = (z - effect[domain]) / scale[domain]
        level = (weight * rest).sum(axis=0) / weight.sum()
        around = jnp.sqrt((weight * jnp.square(rest - level)).sum(axis=0) / weight.sum())
        around = jnp.where(around > 0, around, 1)
        return centre + unit * (effect + scale * level), unit * scale * around

    def _cells(self, z: Array, domain: Array, weight: Array) -> tuple[Array, Array, Array]:
        """Return counts (D, K), means and variances (D, K, d) of every population in every domain."""
        domains, membership = len(self.moves), jnp.asarray(self.membership)

        def one(own: Array) -> tuple[Array, Array, Array]:
            own = (own * weight)[:, None]
            count = jax.ops.segment_sum(own, domain, domains)
            mean = jax.ops.segment_sum(own * z, domain, domains) / jnp.maximum(count, 1e-6)
            square = jax.ops.segment_sum(own * jnp.square(z - mean[domain]), domain, domains)
            return count[:, 0], mean, square / jnp.maximum(count, 1e-6)

        count, mean, variance = jax.lax.map(one, membership.T)
        return count.T, mean.swapaxes(0, 1), variance.swapaxes(0, 1)


SHRINK = 10.0
APART = (
    0.02  # variance of what populations add to the effect of a domain, in units of that within populations
)


def make(
    membership: np.ndarray, domain: np.ndarray, weight: np.ndarray, moves: np.ndarray, verdict: Verdict
) -> Composition:
    """Return the composition of rows with these memberships; on the host.

    Examples
    --------
    >>> held = make(np.eye(2)[[0, 0, 1, 0]], np.array([0, 0, 1, 1]), np.ones(4), np.array([True, True]), "given")
    >>> held.shares.tolist(), held.moves.tolist()
    ([[1.0, 0.0], [0.5, 0.5]], [True, True])
    """
    domains = len(moves)
    count = np.eye(domains)[domain].T @ (membership * weight[:, None])
    shares = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    shares = np.where(shares < RARE, 0, shares)
    shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-9)
    tables: Any = (membership, shares, _solver(np.where(shares > 0, count, 0), moves))
    return Composition(*(table.astype(np.float32) for table in tables), moves=moves, verdict=verdict)  # pyright: ignore[reportArgumentType]


RARE = 0.005


def _solver(count: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Return what turns means of cells (D, K) into effects of domains, (D, D, K)."""
    domains, k = count.shape
    if not moves.any():
        return np.zeros((domains, domains, k))
    # Means of large cells are not as exact as their counts say: populations differ a little between domains.
    exact = np.where(count > 0, 1 / (1 / np.maximum(count, 1e-9) + APART), 0)
    each = exact[:, :, None] * np.eye(domains * k).reshape(domains, k, -1)
    return two_way(exact, each)[1].reshape(domains, domains, k)


def alike(compositions: Sequence[Composition | None], domain: np.ndarray, domains: int) -> list[Composition]:
    """Return compositions of one shape, of the same rows: with empty populations, and with one where there was None.

    Examples
    --------
    >>> two = make(np.eye(2), np.array([0, 1]), np.ones(2), np.array([True, True]), "shared")
    >>> [each.shares.tolist() for each in alike([None, two], np.array([0, 1]), 2)]
    [[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]]
    """
    one = make(np.ones((len(domain), 1)), domain, np.ones(len(domain)), np.full(domains, True), "shared")
    whole = [one if held is None else held for held in compositions]
    most = max(held.shares.shape[1] for held in whole)

    def pad(table: Any) -> Any:
        return np.pad(table, [*[(0, 0)] * (table.ndim - 1), (0, most - table.shape[-1])])

    return [
        dataclasses.replace(
            held,
            membership=pad(held.membership),
            shares=pad(held.shares),
            solver=pad(held.solver),
            verdict="shared",
        )
        for held in whole
    ]
