"""Compiled kernels: every draw and every group that is left out is a lane of one program."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from jbc.numerics.linalg import moments, squared_distances

# Distances that are held at a time: a block of points against all others, in every lane that leaves some out.
AT_ONCE = 2**22


@partial(jax.jit, static_argnames=("k", "across_domains", "possible"))
def knn(
    x: Array,
    point: Array,
    weight: Array,
    kept: Array,
    compound: Array,
    mechanism: Array,
    domain: Array,
    origin: Array | None,
    *,
    k: tuple[int, ...],
    across_domains: bool,
    possible: bool = False,
    members: Array | None = None,
) -> Array:
    """Return the share of each point's nearest neighbours that have its mechanism, and how many these are.

    Both are (draws, L, p, K), stacked on the axis before the last. Neighbours at the same distance as the last that
    counts share its place. The share is NaN where no question is asked. Where ``possible`` is true, no more
    neighbours count than there are of the mechanism.
    """
    ks = jnp.array(k)

    def judge(i: Array, distance: Array, present: Array) -> Array:
        eligible = present & (compound != compound[i])
        if across_domains:
            eligible &= domain != domain[i]
        same = mechanism == mechanism[i]
        distance = jnp.where(eligible, distance, jnp.inf)
        nearest = -jax.lax.top_k(-distance, min(max(k), len(distance)))[0]
        limit = (eligible & same if possible else eligible).sum()
        found = jnp.minimum(ks, limit)[:, None]
        reach = nearest[found - 1]
        nearer, tied = distance < reach, distance == reach
        last = (found[:, 0] - nearer.sum(axis=1)) * (tied & same).sum(axis=1) / tied.sum(axis=1)
        share = ((nearer & same).sum(axis=1) + last) / found[:, 0]
        asked = present[i] & (eligible & same).any()
        return jnp.where(asked, jnp.stack([share, found[:, 0]]), jnp.array([[jnp.nan], [0.0]]))

    return _lanes(judge, x, point, weight, kept, origin, members)


@partial(jax.jit, static_argnames=("mechanisms",))
def silhouette(
    x: Array,
    point: Array,
    weight: Array,
    kept: Array,
    mechanism: Array,
    origin: Array | None,
    *,
    mechanisms: int,
    members: Array | None = None,
) -> Array:
    """Return the silhouette of each point, (draws, L, p); NaN where a point is left out."""
    member = jax.nn.one_hot(mechanism, mechanisms)

    def judge(i: Array, distance: Array, present: Array) -> Array:
        own = jnp.arange(mechanisms) == mechanism[i]
        total = jnp.matmul(jnp.where(present, distance, 0), member, precision="highest")
        count = jnp.matmul(present.astype(x.dtype), member, precision="highest")
        alone = (own * count).sum() <= 1
        within = (own * total / jnp.maximum(count - 1, 1)).sum()
        between = jnp.where(own | (count == 0), jnp.inf, total / jnp.maximum(count, 1)).min()
        largest = jnp.maximum(within, between)
        score = jnp.where(alone | (largest == 0), 0, (between - within) / jnp.where(largest == 0, 1, largest))
        return jnp.where(present[i] & jnp.isfinite(between), score, jnp.nan)

    return _lanes(judge, x, point, weight, kept, origin, members)


def _lanes(
    judge: Callable[[Array, Array, Array], Array],
    x: Array,
    point: Array,
    weight: Array,
    kept: Array,
    origin: Array | None,
    members: Array | None,
) -> Array:
    """Judge every point in every draw, once for every row of ``kept``; medians where members are given."""
    lanes, points = kept.shape
    block = max(1, min(points, AT_ONCE // (lanes * points)))
    middle = (lambda w: moments(x, point, w, points)[0]) if members is None else _median(x, members)

    def draw(weight: Array) -> Array:
        present = jax.ops.segment_max(weight, point, points) > 0
        direction, nowhere = _directions(middle(weight), origin)

        def ask(i: Array) -> Array:
            # 1 - cos, without the digits that a product close to 1 loses; 1 where a point has no direction.
            half = squared_distances(direction[i][None], direction)[0] / 2
            distance = half + 0.5 * nowhere + 0.5 * nowhere[i]
            distance = jnp.where(jnp.arange(points) == i, 0, distance)
            return jax.vmap(lambda some: judge(i, distance, some & present))(kept)

        return jnp.moveaxis(jax.lax.map(ask, jnp.arange(points), batch_size=block), 0, 1)

    return jax.lax.map(draw, weight)


def _directions(points: Array, origin: Array | None) -> tuple[Array, Array]:
    """Return points divided by their length, up to a common shift, and which of them are 0 and have no direction.

    Of points o + e that are given by e, far from the origin o, the shift is that of o itself, so that small angles
    between them keep their digits.

    Examples
    --------
    >>> _directions(jnp.array([[0.0, 4.0]]), None)[0].tolist()
    [[0.0, 1.0]]
    >>> e = jnp.array([[0.0, 1.0], [0.0, 3.0]])  # their directions are (1, 1e-8) and (1, 3e-8)
    >>> bool(jnp.allclose(1e8 * _directions(e, jnp.array([1e8, 0.0]))[0][:, 1], jnp.array([1.0, 3.0])))
    True
    """
    if origin is None:
        norm = jnp.linalg.norm(points, axis=1)
        return points / jnp.where(norm == 0, 1, norm)[:, None], norm == 0
    far = jnp.linalg.norm(origin)
    points, unit = points / far, origin / far
    # The squared length of a point, in units of that of o, is 1 + more.
    more = 2 * jnp.matmul(points, unit, precision="highest") + jnp.square(points).sum(axis=1)
    nowhere = more <= -1
    shorter = jnp.expm1(-0.5 * jnp.log1p(jnp.where(nowhere, 0, more)))[:, None]
    return jnp.where(nowhere[:, None], -unit, points * (1 + shorter) + unit * shorter), nowhere


def _median(x: Array, members: Array) -> Callable[[Array], Array]:
    """Sort the rows of every point once, and return the median as a function of how often each row counts."""
    values = jnp.take(x, members, axis=0, mode="clip")
    order = jnp.argsort(values, axis=1)
    values = jnp.take_along_axis(values, order, axis=1)

    def median(weight: Array) -> Array:
        # Places that no row fills are beyond the last row, and count 0 times.
        times = jnp.take(weight, members, mode="fill", fill_value=0)
        passed = jnp.cumsum(jnp.take_along_axis(times[:, :, None], order, axis=1), axis=1)
        half = passed[:, -1:] / 2
        ends = jnp.stack([(passed < half).sum(axis=1), (passed <= half).sum(axis=1)], axis=1)
        return jnp.take_along_axis(values, jnp.minimum(ends, members.shape[1] - 1), axis=1).mean(axis=1)

    return median
