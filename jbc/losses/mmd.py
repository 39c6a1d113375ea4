r"""Maximum mean discrepancy with a ladder of Gaussian kernels.

For rows of two domains, and kernels :math:`k_\sigma(x, y) = \exp(-\|x - y\|^2 / 2\sigma^2)`,

.. math::

    \mathrm{MMD}^2_{pq} = \overline{k}_{pp} + \overline{k}_{qq} - 2\,\overline{k}_{pq}, \qquad
    k = \sum_\sigma k_\sigma,

where :math:`\overline{k}_{pq}` is the mean of the kernel over rows of domains p and q. All pairs of domains
come from one Gram matrix, and bandwidths in a ratio of two from one exponential: each kernel is the fourth
power of the next wider one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import chex
import jax
import jax.numpy as jnp
from jax import Array

from jbc.numerics.linalg import ROUNDING, squared_distances


def kernel(distance2: Array, bandwidths: Sequence[float], scale: Array | float = 1.0) -> Array:
    r"""Sum Gaussian kernels over a ladder of bandwidths.

    Parameters
    ----------
    distance2
        Squared distances, any shape.
    bandwidths
        The :math:`\sigma`, in ascending order.
    scale
        A common factor of all bandwidths.

    Examples
    --------
    >>> round(float(kernel(jnp.float32(2.0), (1.0, 2.0))), 4)  # e^-1 + e^-1/4
    1.1467
    """
    return _kernel_and_slope(distance2, bandwidths, scale)[0]


def _kernel_and_slope(
    distance2: Array, bandwidths: Sequence[float], scale: Array | float
) -> tuple[Array, Array]:
    """Return the sum of kernels, and its derivative by the squared distance."""
    ladder = sorted((float(b) for b in bandwidths), reverse=True)
    scaled = -0.5 / jnp.square(jnp.asarray(scale, distance2.dtype))
    out = slope = jnp.zeros_like(distance2)
    previous = last = None
    for sigma in ladder:
        if previous is not None and last == 2 * sigma:
            previous = jnp.square(jnp.square(previous))
        else:
            # Behind a barrier: the compiler would take the exponential anew for every power of it.
            previous = jax.lax.optimization_barrier(jnp.exp(distance2 * (scaled / sigma**2)))
        out, slope, last = out + previous, slope + previous * (scaled / sigma**2), sigma
    return out, slope


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
    z: Array, bandwidths: Sequence[float], scale: Array | float = 1.0, *, unbiased: bool = False
) -> tuple[Array, Array]:
    r"""Return the squared MMD of every pair of domains, from one Gram matrix.

    Parameters
    ----------
    z
        Rows, (G, m, h): m rows of each of G domains.
    bandwidths, scale
        As in :func:`kernel`.
    unbiased
        Leave out the pairs of a row with itself.

    Returns
    -------
    mmd2 : (G, G)
        The diagonal is 0.
    between : ()
        Mean of a single kernel over rows of different domains: near 0 (or 1), the kernels see nothing.

    Examples
    --------
    >>> z = jnp.array([[[0.0], [0.0]], [[1.0], [1.0]]])
    >>> mmd2, _ = mmd2_matrix(z, (1.0,))
    >>> round(float(mmd2[0, 1]), 4)  # 2 - 2 exp(-1/2)
    0.7869
    """
    chex.assert_rank([z, scale], [3, 0])
    groups, m, _ = z.shape
    mean: Array = _mean_kernels(z, jnp.asarray(scale, z.dtype), tuple(bandwidths))  # pyright: ignore[reportAssignmentType]
    within = jnp.diagonal(mean)
    if unbiased:
        # Every row's kernel with itself is exactly the number of kernels.
        within = (within * m - len(bandwidths)) / (m - 1)
    mmd2 = within[:, None] + within[None, :] - 2 * mean
    off = 1 - jnp.eye(groups)
    between = (mean * off).sum() / jnp.maximum(off.sum(), 1) / len(bandwidths)
    return mmd2 * off, between


def mmd2_to(
    z: Array,
    target: Array,
    bandwidths: Sequence[float],
    scale: float | None = None,
    *,
    unbiased: bool = False,
) -> tuple[Array, Array]:
    """Return the squared MMD of every domain from one target.

    Parameters
    ----------
    z, target
        Rows, (G, m, h) and (m, h).
    bandwidths, unbiased
        As in :func:`mmd2_matrix`.
    scale
        A common factor of all bandwidths; None for the median distance between rows of a domain and the target.

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
    chex.assert_rank([z, target], [3, 2])
    return jax.vmap(lambda z: mmd2_between(z, target, bandwidths, scale, unbiased=unbiased))(z)


def mmd2_between(
    first: Array,
    second: Array,
    bandwidths: Sequence[float],
    scale: float | None = None,
    *,
    unbiased: bool = False,
) -> tuple[Array, Array]:
    """Return the squared MMD of two groups of rows, (m, h) each, and the mean kernel; see :func:`mmd2_to`."""
    chex.assert_rank([first, second], 2)
    chex.assert_equal_shape([first, second])
    both = jnp.stack([first, second])
    unit = median_distance(both) if scale is None else scale
    mmd2, between = mmd2_matrix(both, bandwidths, unit, unbiased=unbiased)
    return mmd2[0, 1], between


exact = partial(jnp.matmul, precision="highest")


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _mean_kernels(z: Array, scale: Array, bandwidths: tuple[float, ...]) -> Array:
    """Return the mean kernel between rows of every pair of domains, (G, G).

    The derivative is written out: with both sides the same rows, it takes one matrix product instead of two,
    and no second exponential. Sums over rows are products with ones, twice as fast on a CPU.
    """
    return _mean_forward(z, scale, bandwidths)[0]


def _mean_forward(z: Array, scale: Array, bandwidths: tuple[float, ...]) -> tuple[Array, tuple[Array, ...]]:
    groups, m, h = z.shape
    flat = z.reshape(groups * m, h)
    values, slope = _kernel_and_slope(squared_distances(flat, flat), bandwidths, scale)
    member = jnp.repeat(jnp.eye(groups, dtype=z.dtype), m, axis=0) / m
    return exact(member.T, exact(values, member)), (flat, slope, scale)


def _mean_backward(
    bandwidths: tuple[float, ...], kept: tuple[Array, ...], grad: Array
) -> tuple[Array, Array]:
    flat, slope, scale = kept
    groups, m = len(grad), len(flat) // len(grad)
    both = (grad + grad.T) / m**2
    pull = (slope.reshape(groups, m, groups, m) * both[:, None, :, None]).reshape(slope.shape)
    moved = 2 * (exact(pull, jnp.ones((len(flat), 1))) * flat - exact(pull, flat))
    return moved.reshape(groups, m, -1), jnp.zeros_like(scale)


_mean_kernels.defvjp(_mean_forward, _mean_backward)


def alignment(mmd2: Array, reduction: Literal["mean", "sum"] = "mean") -> Array:
    """Reduce a matrix of squared MMDs: the mean over pairs, or the sum over ordered pairs.

    Examples
    --------
    >>> mmd2 = jnp.array([[0.0, 0.5], [0.5, 0.0]])
    >>> float(alignment(mmd2)), float(alignment(mmd2, "sum"))
    (0.5, 1.0)
    """
    total, groups = mmd2.sum(), len(mmd2)
    chex.assert_shape(mmd2, (groups, groups))
    return total if reduction == "sum" else total / max(groups * (groups - 1), 1)
