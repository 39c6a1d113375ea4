"""Sums of Gaussian kernels over the rows of domains, whose derivatives are written out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from jbc.numerics.linalg import squared_distances

exact = partial(jnp.matmul, precision="highest")


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


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def mean_kernels(z: Array, scale: Array, bandwidths: tuple[float, ...]) -> Array:
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


mean_kernels.defvjp(_mean_forward, _mean_backward)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def weighted_kernels(
    z: Array, share: Array, scale: Array, bandwidths: tuple[float, ...]
) -> tuple[Array, Array, Array]:
    """Return three sums of kernels for every pair of domains, (G, G) each.

    The first is over different rows of a domain, by their shares in the pair; the second over rows of both domains,
    by theirs; the third is the plain mean. The derivative is written out as that of :func:`mean_kernels`.
    """
    return _weighted_forward(z, share, scale, bandwidths)[0]


def _weighted_forward(
    z: Array, share: Array, scale: Array, bandwidths: tuple[float, ...]
) -> tuple[tuple[Array, Array, Array], tuple[Array, ...]]:
    groups, m, h = z.shape
    rows = z.reshape(groups * m, h)
    # Rows without weight may lie anywhere. So they do not move the centre, as in `squared_distances` they would, and
    # are brought there if their squares are too large for a number.
    counted = (share != 0).any(axis=1).reshape(-1, 1)
    rows = rows - jnp.where(counted, rows, 0).sum(axis=0) / jnp.maximum(counted.sum(), 1)
    norm = jnp.square(rows).sum(axis=1, keepdims=True)
    lost = ~counted & ~(norm < jnp.finfo(z.dtype).max / 8)
    rows, norm = jnp.where(lost, 0, rows), jnp.where(lost, 0, norm)
    distance2 = jnp.maximum(norm + norm.T - 2 * exact(rows, rows.T), 0)

    values, slope = _kernel_and_slope(distance2, bandwidths, scale)
    member = jnp.repeat(jnp.eye(groups, dtype=z.dtype), m, axis=0)
    mean = exact(member.T, exact(values, member)) / m**2
    values, each = values.reshape(groups, m, groups, m), jnp.arange(groups)
    weighted = (values * _of_pairs(share)).reshape(slope.shape)
    cross = exact(member.T, exact(weighted, member))
    within = values[each, :, each] * (1 - jnp.eye(m))
    apart = (exact(share, within) * share).sum(axis=-1)
    return (apart, cross, mean), (rows, slope, share, scale)


def _weighted_backward(
    bandwidths: tuple[float, ...], kept: tuple[Array, ...], grads: tuple[Array, Array, Array]
) -> tuple[Array, Array, Array]:
    rows, slope, share, scale = kept
    groups, _, m = share.shape
    apart, cross, mean = grads
    own = exact((2 * apart[:, :, None] * share).swapaxes(1, 2), share)
    both = (cross + cross.T)[:, None, :, None] * _of_pairs(share)
    both = both + ((mean + mean.T) / m**2)[:, None, :, None]
    both = both + jnp.eye(groups)[:, None, :, None] * own[:, :, None]
    pull = (slope.reshape(both.shape) * both).reshape(slope.shape)
    moved = 2 * (exact(pull, jnp.ones((len(rows), 1))) * rows - exact(pull, rows))
    return moved.reshape(groups, m, -1), jnp.zeros_like(share), jnp.zeros_like(scale)


weighted_kernels.defvjp(_weighted_forward, _weighted_backward)


def _of_pairs(share: Array) -> Array:
    """Return the product of the shares (G, G, m) of both rows of every pair of rows, (G, m, G, m)."""
    return share.swapaxes(1, 2)[:, :, :, None] * share.swapaxes(0, 1)[:, None]
