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
from jbc.numerics.mixtures import two_way_inverse

SHRINK = 10.0  # rows that the variance of all counts for, beside those of a population in a domain
APART = 0.02  # variance by which the effect of a domain differs between populations; 1 within them
RARE = 0.005  # a smaller share of a domain is none

Verdict = Literal["equal", "none", "shared", "unknown", "given"]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["membership", "shares", "count", "inverse", "moves"],
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
    count : (D, K) float32
        What the mean of a population in a domain counts: its rows, but with less and less of a difference.
    inverse : (D, D + K) float32
        What turns sums of domains and of populations into effects of domains
        (:func:`jbc.numerics.mixtures.two_way_inverse`). All 0 where domains are left as they are.
    moves : (D,) bool
        Domains that are corrected; the others come out as they came in.
    verdict
        ``"none"``: no effect of domains was found. ``"shared"``: there are effects, and mixtures differ.
        ``"unknown"``: domains differ, and nothing tells effects from populations. ``"given"``: populations were
        passed in.
    """

    membership: Array
    shares: Array
    count: Array
    inverse: Array
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
        >>> held = Composition(jnp.eye(2), shares, shares, jnp.zeros((2, 4)), jnp.ones(2, bool), "shared")
        >>> held.pair_weights(jnp.eye(2)[None].repeat(2, axis=0), jnp.arange(2))[0, 1].tolist()
        [1.0, 0.0]
        """
        shares, both = jnp.asarray(self.shares)[domain], self.overlap[domain[:, None], domain]
        part = jnp.where(both > 0, both / jnp.maximum(shares[:, None], 1e-9), 0)
        return jnp.einsum("imk,ijk->ijm", membership, part, precision="highest")

    def location_and_scale(self, x: Array, domain: Array, weight: Array) -> tuple[Array, Array]:
        """Return location and scale of every domain, given the populations, (D, d) each.

        Scales come from variances within populations, and locations from their means, so that neither tells which
        populations a domain has. Weights are those of rows, (n,), or of values, (n, d); a population without a value
        in a domain lies where the rows, which are filled in, have it.
        """
        centre, unit = (table[0] for table in location_and_scale(x, jnp.zeros_like(domain), weight, 1))
        z = (x - centre) / unit
        count, mean, variance = self._cells(z, domain, weight)
        whole = count.sum(axis=(0, 1)) if count.shape[2] > 1 else count.sum()
        within = (count * variance).sum(axis=(0, 1)) / jnp.maximum(whole, 1)
        # A few rows tell little about a variance: it shrinks towards that of all.
        variance = (count * variance + SHRINK * within) / (count + SHRINK)
        log = jnp.log(jnp.where(within > 0, variance, 1) / jnp.where(within > 0, within, 1))
        scale = jnp.exp(0.5 * self._effects(log))
        effect = self._effects(mean / scale[:, None]) * scale
        weight = jnp.asarray(weight, z.dtype)
        weight = weight if weight.ndim == 2 else weight[:, None]
        total = jnp.maximum(weight.sum(axis=0), 1) if weight.shape[1] > 1 else weight.sum()
        rest = (z - effect[domain]) / scale[domain]
        level = (weight * rest).sum(axis=0) / total
        around = jnp.sqrt((weight * jnp.square(rest - level)).sum(axis=0) / total)
        around = jnp.where(around > 0, around, 1)
        return centre + unit * (effect + scale * level), unit * scale * around

    def _effects(self, means: Array) -> Array:
        """Return effects of domains (D, d), from means of every population in every domain, (D, K, d)."""
        sums = jnp.asarray(self.count)[..., None] * means
        both = jnp.concatenate([sums.sum(axis=1), sums.sum(axis=0)])
        return jnp.matmul(jnp.asarray(self.inverse), both, precision="highest")

    def _cells(self, z: Array, domain: Array, weight: Array) -> tuple[Array, Array, Array]:
        """Return counts (D, K, 1 or d), means and variances (D, K, d) of every population in every domain."""
        domains, membership = len(self.moves), jnp.asarray(self.membership)
        weight = jnp.asarray(weight)

        def one(member: Array) -> tuple[Array, Array, Array]:
            own = (member * weight)[:, None] if weight.ndim == 1 else member[:, None] * weight
            count = jax.ops.segment_sum(own, domain, domains)
            mean = jax.ops.segment_sum(own * z, domain, domains) / jnp.maximum(count, 1e-6)
            square = jax.ops.segment_sum(own * jnp.square(z - mean[domain]), domain, domains)
            if weight.ndim == 2:
                every = member[:, None] * weight.max(axis=1, keepdims=True)
                rows = jax.ops.segment_sum(every, domain, domains)
                filled = jax.ops.segment_sum(every * z, domain, domains) / jnp.maximum(rows, 1e-6)
                mean = jnp.where(count > 1e-3, mean, filled)
            return count, mean, square / jnp.maximum(count, 1e-6)

        count, mean, variance = jax.lax.map(one, membership.T)
        return count.swapaxes(0, 1), mean.swapaxes(0, 1), variance.swapaxes(0, 1)


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
    rows = np.eye(domains)[domain].T @ (membership * weight[:, None])
    rows = np.where(rows < RARE * rows.sum(axis=1, keepdims=True), 0, rows)
    # Means of many rows are not as exact as their number says: effects differ a little between populations.
    count = np.where(rows > 0, 1 / (1 / np.maximum(rows, 1e-9) + APART), 0)
    inverse = two_way_inverse(count)[:domains] * moves.any()
    shares = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-9)
    tables: Any = (each.astype(np.float32) for each in (membership, shares, count, inverse))
    return Composition(*tables, moves=moves, verdict=verdict)  # pyright: ignore[reportArgumentType]


def alike(
    compositions: Sequence[Composition | None], domain: np.ndarray, weights: Sequence[np.ndarray]
) -> list[Composition]:
    """Return compositions of one shape, of the same rows: with empty populations, and with one where there was None.

    ``domain`` (n,) are the domains of the rows, and ``weights`` what these count in every composition, (n,) each.

    Examples
    --------
    >>> two = make(np.eye(2), np.array([0, 1]), np.ones(2), np.array([True, True]), "shared")
    >>> [each.shares.tolist() for each in alike([None, two], np.array([0, 1]), [np.ones(2)] * 2)]
    [[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]]
    """
    one, moves = np.ones((len(domain), 1)), np.full(domain.max() + 1, True)
    whole = [
        make(one, domain, weight, moves, "shared") if held is None else held
        for held, weight in zip(compositions, weights, strict=True)
    ]
    most = max(held.shares.shape[1] for held in whole)

    def padded(held: Composition) -> dict[str, Any]:
        more = (0, 0), (0, most - held.shares.shape[1])
        return {
            name: np.pad(getattr(held, name), more) for name in ("membership", "shares", "count", "inverse")
        }

    return [dataclasses.replace(held, verdict="shared", **padded(held)) for held in whole]
