"""Harmony: clusters that hold all domains, and what domains differ by within each of them."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.errors import InputError
from jbc.methods import preconditions
from jbc.methods.base import ClosedForm, Encodes, Fitted
from jbc.methods.closed_form import soft_clusters
from jbc.methods.closed_form.distinct import Distinct, distinct_rows
from jbc.methods.closed_form.projection import principal_projection
from jbc.methods.closed_form.soft_clusters import Knobs, Rows, parts_of, to_unit
from jbc.methods.constraints import Count, NonNegative, Positive, PositiveFloat
from jbc.numerics.linalg import by_group

ROWS_PER_CLUSTER, MOST_CLUSTERS = 30, 100
LEAST_PART, LARGEST_PART = 32, 1024  # rows of one domain that are moved at once


@dataclasses.dataclass(frozen=True)
class Harmony(ClosedForm, Encodes):
    r"""Cluster rows so that every cluster holds all domains, and take out what domains differ by in each (Harmony).

    Rows z are principal components, or an embedding. Two steps alternate. Soft k-means on directions
    :math:`u = z' / \|z'\|` minimises, over centres Y of length 1 and the parts R of rows in clusters, which sum to 1,

    .. math:: \sum_{ik} R_{ik} (2 - 2 u_i^\top Y_k) + \sigma R_{ik} \log R_{ik}
              + \sigma\theta R_{ik} \log \frac{O_{g_i k} + 1}{E_{g_i k} + 1},

    where O is the weight that a cluster has of a domain, :math:`O_{gk} = \sum_{i \in g} R_{ik}`, and E what it would
    be if all clusters held the same mixture of domains. Then in every cluster, domains move towards each other,

    .. math:: z'_i = z_i - \sum_k R_{ik} W_{g_i k}, \qquad
              W_{gk} = \frac{O_{gk}}{O_{gk} + \lambda} (m_{gk} - \bar m_k),

    with the mean :math:`m_{gk}` of the rows of domain g by their parts in cluster k, and the average
    :math:`\bar m_k` of these by the weights :math:`O_{gk} \lambda / (O_{gk} + \lambda)`: the solution of a ridge
    regression on the domain, cluster by cluster.

    :meth:`encode` gives :math:`z'`, the corrected components or embedding, and :meth:`transform` the row with what
    its components were moved by, :math:`x + (z' - z) V^\top`: the rest of the row stays as it is. For an embedding,
    the two are the same. Rows go through the clusters of all iterations, those of the fit and new ones of known
    domains by the same formula; so rows of the fit come out as in the fit, up to rounding.

    Parameters
    ----------
    components
        Number of principal components, at most as many as there are features; None takes the table for an embedding
        already, as it is.
    scale
        Divide features by their standard deviation before components are taken. An embedding is never scaled.
    clusters
        Number of clusters; None has one for every 30 rows, at most 100.
    theta
        Weight θ of the penalty for clusters that lack domains; 0 is plain soft k-means.
    sigma
        Softness σ of the clusters: 0.1 divides the squared distances of directions, which are 0 to 4.
    ridge
        The regularisation λ: what few rows of a domain in a cluster say is shrunk.
    ridge_unit
        λ in ``"rows"``, or in units of the weight E that is ``"expected"`` of a domain in the cluster.
    blocks
        Number of random parts in which rows are assigned to clusters; each sees what the others are.
    iterations
        Largest number of iterations of both steps.
    sweeps
        Largest number of sweeps of k-means over the rows in each iteration.
    tolerance
        End when the objective falls by less than this part of it in an iteration.
    sweep_tolerance
        End the sweeps when the objective changes by less than this part of it over three sweeps.
    seed
        Decides what k-means begins with, and the blocks and their order. The seed of :func:`jbc.fit` is one of
        training, and changes nothing here.

    Notes
    -----
    Directions are what is clustered: rows are compared by the angle between them, seen from the mean of all rows, or
    from the zero of an embedding. Domains may hold other populations, where these point elsewhere. An effect that is
    larger than what populations differ by stays, in part. The composition of domains is not estimated: the clusters
    say what is compared with what. Missing values are refused: rows with the centre of their domain in their place
    lie between clusters, and the more so the more of them a domain has.

    The released program draws the blocks anew for every sweep; here they are drawn once, and come in random order. It
    corrects rows by the parts in clusters that the sweeps left; here all parts are taken once more, by the clusters
    after the last sweep, so that new rows can follow. It starts k-means ten times from all rows; here it starts once,
    from 64 rows for every cluster. The defaults are those of the publication's program; harmonypy 2 has
    ``ridge=0.2, ridge_unit="expected", sweeps=4, tolerance=1e-2, sweep_tolerance=1e-3``.

    References
    ----------
    Korsunsky et al., "Fast, sensitive and accurate integration of single-cell data with Harmony", Nature Methods 16,
    2019, doi:10.1038/s41592-019-0619-0.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> kind, effect = np.tile(np.arange(3), 100), np.repeat([[0.0, 0.0, 0.0], [1.0, -0.5, 0.5]], 150, axis=0)
    >>> x = 6 * np.eye(3)[kind] + effect + rng.normal(size=(300, 3))
    >>> cohort = Cohort.from_arrays(x, np.repeat(["a", "b"], 150))
    >>> fitted = Harmony().finish(None, cohort)
    >>> moved = Harmony().transform(fitted, cohort.x, cohort.domain)
    >>> [round(float(np.linalg.norm(z[:150].mean(axis=0) - z[150:].mean(axis=0))), 1) for z in (cohort.x, moved)]
    [1.2, 0.1]
    """

    components: Positive | None = 50
    scale: bool = True
    clusters: Positive | None = None
    theta: NonNegative = 2.0
    sigma: PositiveFloat = 0.1
    ridge: PositiveFloat = 1.0
    ridge_unit: Literal["rows", "expected"] = "rows"
    blocks: Positive = 20
    iterations: Positive = 10
    sweeps: Positive = 20
    tolerance: NonNegative = 1e-4
    sweep_tolerance: NonNegative = 1e-5
    seed: Count = 0

    def check(self, cohort: Cohort) -> None:
        """Refuse domains that cannot be measured, and tables that are too large."""
        preconditions.enough_rows(cohort)
        n, d = cohort.x.shape
        if self.components is not None and n >= d:
            preconditions.matrices_fit(cohort)
        width, domains = d if self.components is None else min(self.components, d), len(cohort.domains.count)
        shifts = 4 * self.iterations * domains * self.count(int(np.sum(cohort.weight))) * width
        if shifts > preconditions.MATRIX_BYTES:
            raise InputError(
                f"The shifts of {domains} domains in every cluster and iteration need {shifts / 2**30:.0f} GiB",
                why="Each has one for every component, and new rows go through all of them.",
                fix="Take fewer components, clusters, or iterations.",
                code="too-many-domains",
            )

    def compares_mixtures(self, cohort: Cohort) -> bool:
        """Return False: rows are compared within clusters, whatever else their domains hold."""
        del cohort
        return False

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Find the clusters and the shifts of every iteration; those that were not needed come first, as zeros."""
        del state
        x, domain, weight = (np.asarray(part) for part in (cohort.x, cohort.domain, cohort.weight))
        factor, maps, z = np.ones(x.shape[1]), {}, x
        if self.components is not None:
            held = principal_projection(x, weight, self.components, scale=self.scale)
            factor, z = held.factor, held.codes(x)
            maps = {"mean": held.mean, "project": held.project, "restore": held.restore}
        rows = distinct_rows(x, factor, domain, weight)
        levels = _fit(self, z[rows.at], domain[rows.at], rows, len(cohort.domains.count))
        unused = [tuple(map(np.zeros_like, levels[0]))] * (self.iterations - len(levels))
        centres, penalty, shift = (np.stack(part) for part in zip(*unused, *levels, strict=True))
        by_domain = {"penalty": np.swapaxes(penalty, 0, 1), "shift": np.swapaxes(shift, 0, 1)}
        fitted = {**maps, "centres": centres, **by_domain}
        return {name: np.asarray(value, np.float32) for name, value in fitted.items()}

    def encode(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return the corrected components, or the corrected embedding, (n, components)."""
        return self._corrected(fitted, self._codes(fitted, x), domain)

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Move rows as their components are moved."""
        before = self._codes(fitted, x)
        after = self._corrected(fitted, before, domain)
        if self.components is None:
            return after
        return x + jnp.matmul(after - before, fitted["restore"], precision="highest")

    def count(self, rows: int) -> int:
        """Return the number of clusters for this number of rows."""
        return self.clusters or min(max(round(rows / ROWS_PER_CLUSTER), 1), MOST_CLUSTERS)

    def _codes(self, fitted: Fitted, x: Array) -> Array:
        """Return the components of rows, or the rows of an embedding."""
        if self.components is None:
            return x
        return jnp.matmul(x - fitted["mean"], fitted["project"], precision="highest")

    def _corrected(self, fitted: Fitted, z: Array, domain: Array) -> Array:
        """Send components through all iterations."""

        def iterate(own: dict[str, Array], z: Array) -> Array:
            def once(moved: Array, level: tuple[Array, Array, Array]) -> tuple[Array, None]:
                centres, offset, shift = level

                def correct() -> Array:
                    part, _ = parts_of(to_unit(moved), centres, offset[:, None], jnp.float32(self.sigma))
                    return z - jnp.einsum("kn,kp->np", part, shift, precision="highest")

                return jax.lax.cond(shift.any(), correct, lambda: z), None

            return jax.lax.scan(once, z, (fitted["centres"], own["penalty"], own["shift"]))[0]

        own = {name: fitted[name] for name in ("penalty", "shift")}
        return by_group(iterate, own, z, domain)


class _Parts(NamedTuple):
    """Rows in parts of one size: which row each is (parts, size), and how often it counts; padding does not."""

    row: np.ndarray
    weight: np.ndarray


def _in_parts(part: np.ndarray, order: np.ndarray, weight: np.ndarray, parts: int, size: int = 0) -> _Parts:
    """Put rows, taken in an order, into parts of a size, or of that of the largest part."""
    part = part[order]
    count = np.bincount(part, minlength=parts)
    size = size or int(count.max())
    place = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    made = _Parts(np.zeros((parts, size), np.int32), np.zeros((parts, size), np.float32))
    made.row[part, place], made.weight[part, place] = order, weight[order]
    return made


class _Layout(NamedTuple):
    """Rows in random blocks; rows in parts of one domain; where those of the blocks are in these; shuffled rows."""

    blocks: _Parts
    own: _Parts
    domain_of_part: np.ndarray
    place: np.ndarray
    shuffled: np.ndarray


def _lay_out(
    domain: np.ndarray, rows: Distinct, domains: int, blocks: int, rng: np.random.Generator
) -> _Layout:
    """Draw the blocks: equal rows of several domains share one, so that domains with equal rows come out alike."""
    number = rng.permutation(rows.kinds)[rows.kind]
    block = number % blocks
    order = np.lexsort((number, block))
    size = int(np.clip(2 ** round(np.log2(len(domain) / domains / 4)), LEAST_PART, LARGEST_PART))
    own, of = _by_domain(domain, rows.weight, domains, size)
    place = np.zeros(len(domain), np.int32)
    place[own.row[own.weight > 0]] = np.flatnonzero(own.weight.ravel())
    mixed = _in_parts(block, order, rows.weight, blocks)
    return _Layout(mixed, own, of, place[mixed.row], order)


def _fit(
    method: Harmony, z: np.ndarray, domain: np.ndarray, rows: Distinct, domains: int
) -> list[tuple[np.ndarray, ...]]:
    """Return centres (K, p), penalty (D, K) and shift (D, K, p) of every iteration; rows are sorted by domain."""
    rng, total = np.random.default_rng(method.seed), int(rows.weight.sum())
    blocks = min(method.blocks, rows.kinds)
    layout = _lay_out(domain, rows, domains, blocks, rng)
    first = layout.shuffled
    unit = _unit(z)
    centres = soft_clusters.first_centres(unit[first], rows.weight[first], method.count(total), rng)
    share = np.bincount(domain, rows.weight, domains) / total
    numbers = (method.theta, method.sigma, share, method.sweep_tolerance)
    knobs = Knobs(*(jnp.asarray(each, jnp.float32) for each in numbers))
    tiles = Rows(*map(jnp.asarray, (unit[layout.own.row], layout.domain_of_part, layout.own.weight)))
    mixed = Rows(
        *map(jnp.asarray, (unit[layout.blocks.row], domain[layout.blocks.row], layout.blocks.weight))
    )
    held = jnp.asarray(z[layout.own.row])
    orders = np.tile(np.arange(blocks), (method.sweeps, 1))
    now, sums = soft_clusters.begin(mixed, orders, centres, knobs)
    levels: list[tuple[np.ndarray, ...]] = []
    for _ in range(method.iterations):
        before, orders = float(now.objective), rng.permuted(orders, axis=1)
        now, _ = soft_clusters.cluster(mixed, orders, jnp.int32(method.sweeps), now, sums, knobs)
        offset, *measured = soft_clusters.sum_by_domain(tiles, held, now, knobs)
        weight, summed = (np.asarray(part, np.float64) for part in measured)
        shift = _shifts(method, weight, summed, share)
        levels.append((np.asarray(now.centres), np.asarray(offset), shift))
        if before - float(now.objective) < method.tolerance * abs(before):
            break
        sums, moved = soft_clusters.move(tiles, held, now.centres, offset, shift, knobs.sigma)
        tiles = tiles._replace(unit=moved)
        mixed = mixed._replace(unit=soft_clusters.take_rows(moved, layout.place))
    return levels


def _by_domain(domain: np.ndarray, weight: np.ndarray, domains: int, size: int) -> tuple[_Parts, np.ndarray]:
    """Put rows, sorted by domain, into parts of one domain; return these, and the domain of each."""
    count = np.bincount(domain, minlength=domains)
    pieces = np.maximum(-(-count // size), 1)
    inside = np.arange(len(domain)) - np.repeat(np.cumsum(count) - count, count)
    part = (np.cumsum(pieces) - pieces)[domain] + inside // size
    parts = _in_parts(part, np.arange(len(domain)), weight, int(pieces.sum()), size)
    return parts, np.repeat(np.arange(domains, dtype=np.int32), pieces)


def _unit(z: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(z, axis=1, keepdims=True)
    return z / np.where(length > 0, length, 1)


def _shifts(method: Harmony, weight: np.ndarray, total: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return what every domain is off by in every cluster, (D, K, p): a ridge regression, solved by hand."""
    ridge = method.ridge
    if method.ridge_unit == "expected":
        ridge = method.ridge * share[:, None] * weight.sum(axis=0)
    tiny = np.finfo(np.float32).tiny
    mean = total / np.maximum(weight, tiny)[..., None]
    kept = weight / np.maximum(weight + ridge, tiny)
    trust = kept * ridge
    common = (trust[..., None] * mean).sum(axis=0) / np.maximum(trust.sum(axis=0), tiny)[:, None]
    return (kept[..., None] * (mean - common)).astype(np.float32)
