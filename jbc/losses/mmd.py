r"""Maximum mean discrepancy with a ladder of Gaussian kernels.

For rows of two domains, and kernels :math:`k_\sigma(x, y) = \exp(-\|x - y\|^2 / 2\sigma^2)`,

.. math::

    \mathrm{MMD}^2_{pq} = \overline{k}_{pp} + \overline{k}_{qq} - 2\,\overline{k}_{pq}, \qquad
    k = \sum_\sigma k_\sigma,

where :math:`\overline{k}_{pq}` is the mean of the kernel over rows of domains p and q. All pairs of domains
come from one Gram matrix, and bandwidths in a ratio of two from one exponential: each kernel is the fourth
power of the next wider one.

Rows may have weights, a set for every domain that theirs is compared with. With w of sum 1, the means are
:math:`w_{pq}^\top K_{pp} w_{pq}`, :math:`w_{qp}^\top K_{qq} w_{qp}` and :math:`w_{pq}^\top K_{pq} w_{qp}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import chex
import jax
import jax.numpy as jnp
from jax import Array

from jbc.losses._kernels import exact, mean_kernels, weighted_kernels
from jbc.losses._weights import shares
from jbc.numerics.linalg import ROUNDING, squared_distances


def median_distance(z: Array, rows: int = 64) -> Array:
    """Return the median distance between rows of all domains: a scale for the bandwidths.

    Where half of the pairs coincide (zeros, replicates), it is the root of the mean squared distance of the others,
    and 1 where all rows are equal. So it has the unit of the rows.

    Parameters
    ----------
    z
        Rows, (G, m, h). No gradient flows through the result.
    rows
        Rows that are looked at, the same number from every domain: a median needs few, and sorting is expensive.

    Examples
    --------
    >>> float(median_distance(jnp.array([[[0.0], [3.0]], [[0.0], [3.0]]])))
    3.0
    >>> float(median_distance(jnp.array([[[0.0], [0.0]], [[0.0], [2.0**-30]]]))) == 2.0**-30
    True
    """
    chex.assert_rank(z, 3)
    each = max(rows // len(z), 2)
    some = jax.lax.stop_gradient(z[:, :each]).reshape(-1, z.shape[-1])
    upper = jnp.triu_indices(len(some), k=1)
    between = squared_distances(some, some)[upper]
    norm = jnp.square(some - some.mean(axis=0)).sum(axis=1)
    # Where rows coincide, a matrix product leaves a trace of rounding: a part of the norms of these.
    apart = between > ROUNDING * (norm[:, None] + norm)[upper]
    count = apart.sum()
    mean = jnp.where(apart, between, 0).sum() / jnp.maximum(count, 1)
    typical = jnp.where(2 * count > len(between), jnp.median(between), mean)
    return jnp.sqrt(jnp.where(count > 0, typical, 1))


def mmd2_matrix(
    z: Array,
    bandwidths: Sequence[float],
    scale: Array | float = 1.0,
    *,
    unbiased: bool = False,
    weight: Array | None = None,
) -> tuple[Array, Array]:
    r"""Return the squared MMD of every pair of domains, from one Gram matrix.

    Parameters
    ----------
    z
        Rows, (G, m, h): m rows of each of G domains.
    bandwidths, scale
        As in :func:`jbc.losses.kernel`.
    unbiased
        Leave out the pairs of a row with itself.
    weight
        Weights of rows, (G, G, m), at least 0 and of any scale: ``weight[p, q]`` are those of the rows of domain p
        where it is compared with q, and p = q is not looked at. None where all count the same. They get no gradient.

    Returns
    -------
    mmd2 : (G, G)
        The diagonal is 0. So is a pair of domains where the weights of one are all 0, and, unbiased, where one row
        has all the weight.
    between : ()
        Mean of a single kernel over rows of different domains: near 0 (or 1), the kernels see nothing. It is over all
        rows, whatever their weights.

    Examples
    --------
    >>> z = jnp.array([[[0.0], [0.0]], [[1.0], [1.0]]])
    >>> mmd2, _ = mmd2_matrix(z, (1.0,))
    >>> round(float(mmd2[0, 1]), 4)  # 2 - 2 exp(-1/2)
    0.7869

    With weights, only the row that is like the others counts:

    >>> weight = jnp.zeros((2, 2, 2)).at[0, 1].set(1.0).at[1, 0, 0].set(1.0)
    >>> mmd2, _ = mmd2_matrix(z.at[1, 0].set(0.0), (1.0,), weight=weight)
    >>> float(mmd2[0, 1])
    0.0
    """
    chex.assert_rank([z, scale], [3, 0])
    groups, m, _ = z.shape
    off = 1 - jnp.eye(groups)
    if weight is not None:
        chex.assert_shape(weight, (groups, groups, m))
        share = jnp.where(off[:, :, None] == 0, 0, shares(weight, weight.swapaxes(0, 1))[0])
        mmd2, mean = _weighted_mmd2(z, share, jnp.asarray(scale, z.dtype), tuple(bandwidths), unbiased)
    else:
        mean: Array = mean_kernels(z, jnp.asarray(scale, z.dtype), tuple(bandwidths))  # pyright: ignore[reportAssignmentType]
        within = jnp.diagonal(mean)
        if unbiased:
            # Every row's kernel with itself is exactly the number of kernels.
            within = (within * m - len(bandwidths)) / (m - 1)
        mmd2 = within[:, None] + within[None, :] - 2 * mean
    between = (mean * off).sum() / jnp.maximum(off.sum(), 1) / len(bandwidths)
    return mmd2 * off, between


def mmd2_to(
    z: Array,
    target: Array,
    bandwidths: Sequence[float],
    scale: Array | float | None = None,
    *,
    unbiased: bool = False,
    weight: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """Return the squared MMD of every domain from one target.

    Parameters
    ----------
    z, target
        Rows, (G, m, h) and (m, h); or (G, m, h) both, where the target looks another way to every domain.
    bandwidths, unbiased
        As in :func:`mmd2_matrix`.
    scale
        A common factor of all bandwidths; None for the median distance between rows of a domain and the target, those
        of weight 0 left out.
    weight
        Weights of the rows of every domain, and of the target's where it is compared with that domain: (G, m) each.

    Returns
    -------
    mmd2, between : (G,)
        As there.

    Examples
    --------
    >>> z = jnp.array([[[0.0], [0.0]], [[1.0], [1.0]]])
    >>> mmd2, _ = mmd2_to(z, z[1], (1.0,))
    >>> [round(float(value), 4) for value in mmd2]
    [0.7869, 0.0]
    """
    chex.assert_rank([z, target], [3, {2, 3}])
    if weight is not None:
        chex.assert_shape([*weight], z.shape[:2])

    def one(z: Array, target: Array, weight: tuple[Array, Array] | None) -> tuple[Array, Array]:
        return mmd2_between(z, target, bandwidths, scale, unbiased=unbiased, weight=weight)

    return jax.vmap(one, in_axes=(0, 0 if target.ndim == 3 else None, 0))(z, target, weight)


def mmd2_between(
    first: Array,
    second: Array,
    bandwidths: Sequence[float],
    scale: Array | float | None = None,
    *,
    unbiased: bool = False,
    weight: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """Return the squared MMD of two groups of rows, (m, h) each, and the mean kernel; see :func:`mmd2_to`.

    Weights are (m,) each.

    Examples
    --------
    >>> first, second = jnp.array([[0.0], [0.0]]), jnp.array([[0.0], [5.0]])
    >>> mmd2, _ = mmd2_between(first, second, (1.0,), 1.0, weight=(jnp.ones(2), jnp.array([1.0, 0.0])))
    >>> float(mmd2)
    0.0
    """
    chex.assert_rank([first, second], 2)
    chex.assert_equal_shape([first, second])
    both = jnp.stack([first, second])
    if weight is None:
        unit = median_distance(both) if scale is None else scale
        mmd2, between = mmd2_matrix(both, bandwidths, unit, unbiased=unbiased)
        return mmd2[0, 1], between
    chex.assert_shape([*weight], first.shape[:1])
    each = jnp.stack(weight)
    unit = _median_with_weight(both, each) if scale is None else scale
    pairs = jnp.broadcast_to(each[:, None], (2, *each.shape))
    mmd2, between = mmd2_matrix(both, bandwidths, unit, unbiased=unbiased, weight=pairs)
    return mmd2[0, 1], between


def _median_with_weight(z: Array, weight: Array) -> Array:
    """Return the :func:`median_distance` of rows (G, m, h) whose weight, (G, m), is not 0."""

    def counted(rows: Array, weight: Array) -> Array:
        # Over and over, in their order: shapes are fixed, and few distances are of a row from itself.
        order = jnp.argsort(weight == 0, stable=True)
        return rows[order[jnp.arange(len(rows)) % jnp.maximum((weight != 0).sum(), 1)]]

    unit = median_distance(jax.vmap(counted)(z, weight))
    # Where a group has no weight, its rows may be too large for any distance.
    return jnp.where((weight != 0).any(axis=1).all() | jnp.isfinite(unit), unit, 1)


def _weighted_mmd2(
    z: Array, share: Array, scale: Array, bandwidths: tuple[float, ...], unbiased: bool
) -> tuple[Array, Array]:
    """Return the squared MMD of every pair of domains by shares (G, G, m), and the mean kernel, (G, G) each."""
    sums: tuple[Array, ...] = weighted_kernels(z, share, scale, bandwidths)  # pyright: ignore[reportAssignmentType]
    apart, cross, mean = sums
    if not unbiased:
        # Every row's kernel with itself is exactly the number of kernels.
        within = apart + jnp.square(share).sum(axis=-1) * len(bandwidths)
        return within + within.T - 2 * cross, mean
    # 1 less the sum of squares, in which nothing cancels.
    others = (exact(share, 1 - jnp.eye(z.shape[1])) * share).sum(axis=-1)
    alone = others <= ROUNDING
    within = apart / jnp.where(alone, 1, others)
    return jnp.where(alone | alone.T, 0, within + within.T - 2 * cross), mean


def alignment(mmd2: Array, reduction: Literal["mean", "sum"] = "mean", share: Array | None = None) -> Array:
    """Reduce a matrix of squared MMDs: the mean over pairs, or the sum over ordered pairs.

    Parameters
    ----------
    mmd2
        Squared MMDs of all pairs of domains, (G, G), with a diagonal of 0.
    reduction
        The mean or the sum.
    share
        How much every pair counts, (G, G), symmetric and at least 0; None where all count 1. A mean over pairs that
        count nothing is 0.

    Examples
    --------
    >>> mmd2 = jnp.array([[0.0, 0.5], [0.5, 0.0]])
    >>> float(alignment(mmd2)), float(alignment(mmd2, "sum"))
    (0.5, 1.0)
    >>> float(alignment(mmd2, "sum", jnp.full((2, 2), 0.5)))
    0.5
    """
    groups = len(mmd2)
    chex.assert_shape(mmd2, (groups, groups))
    if share is not None:
        chex.assert_equal_shape([mmd2, share])
        total, pairs = (share * mmd2).sum(), (share * (1 - jnp.eye(groups))).sum()
        return total if reduction == "sum" else total / jnp.where(pairs == 0, 1, pairs)
    total = mmd2.sum()
    return total if reduction == "sum" else total / max(groups * (groups - 1), 1)
