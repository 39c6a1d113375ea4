r"""Distances between the distributions of two groups of rows, for many pairs at once.

By Kantorovich and Rubinstein, the 1-Wasserstein distance is

.. math:: W(\nu, \nu') = \sup_{\lVert f \rVert_L \le 1} E_\nu f - E_{\nu'} f,

and a small network f, the critic, whose gradient is penalised where it is longer than 1, approximates the
supremum. A critic sees a row x only through its projection :math:`W_1^\top x` to a few dimensions, so everything
here starts from projections, (pairs, h, rows): interpolates of rows project to interpolates of projections, and
with u the gradient of the rest of the network by the projection,

.. math:: \lVert \nabla_x f \rVert^2 = u^\top (W_1^\top W_1)\, u,

so the penalty is exact, and nothing is differentiated twice through the features.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import Array

from jbc.losses.mmd import mmd2_between
from jbc.numerics.linalg import polar

Layer = dict[str, Array]
SMALL = 64


class Terms(NamedTuple):
    """What every pair contributes, (pairs,) each: the estimated distance, and the penalty of its critic."""

    gap: Array
    penalty: Array


def critic_terms(
    head: list[Layer], gram: Array, first: Array, second: Array, mix: Array, gamma: float
) -> Terms:
    r"""Return the gap of every critic between two groups, and the one-sided penalty of its gradient.

    .. math:: \overline{f(x)} - \overline{f(x')}, \qquad
              \gamma\,\overline{\max(0, \lVert \nabla f(\epsilon x + (1 - \epsilon) x') \rVert - 1)^2}

    Parameters
    ----------
    head
        The layers after the projection, ``{"w": (C, h, k), "b": (C, k)}`` each; softplus comes before them all.
    gram
        :math:`W_1^\top W_1` of every critic, (C, h, h).
    first, second
        Projections with their bias, (C, h, m).
    mix
        :math:`\epsilon` of every pair of rows, (C, m).
    gamma
        Weight of the penalty.

    Examples
    --------
    >>> head = [{"w": jnp.ones((1, 1, 1)), "b": jnp.zeros((1, 1))}]
    >>> zero, one = jnp.zeros((1, 1, 2)), jnp.ones((1, 1, 2))
    >>> terms = critic_terms(head, 16 * jnp.ones((1, 1, 1)), one, zero, jnp.ones((1, 2)), 1.0)
    >>> round(float(terms.gap[0]), 4), round(float(terms.penalty[0]), 4)  # sigmoid(1) · 4 = 2.9242
    (0.6201, 3.7027)
    """
    critics, h, m = first.shape
    chex.assert_shape(
        [gram, first, second, mix], [(critics, h, h), (critics, h, m), (critics, h, m), (critics, m)]
    )
    gap = (_value(head, first) - _value(head, second)).mean(axis=-1)
    mix = mix[:, None, :]
    slope = _slope(head, mix * first + (1 - mix) * second)
    length2 = (slope * _product(gram, slope)).sum(axis=1)
    # Below 1 nothing is penalised, and the root's derivative at 0 is never asked for.
    excess = jnp.sqrt(jnp.maximum(length2, 1)) - 1
    return Terms(gap, gamma * jnp.square(excess).mean(axis=-1))


def gaussian_terms(first: Array, second: Array) -> Array:
    r"""Return the squared 2-Wasserstein distance of the Gaussians that fit two groups of rows, (C, m, d) each.

    .. math:: \lVert \mu - \mu' \rVert^2 + \operatorname{tr} \Sigma + \operatorname{tr} \Sigma'
              - 2 \operatorname{tr} (\Sigma^{1/2} \Sigma' \Sigma^{1/2})^{1/2}

    The last trace is the nuclear norm of :math:`X X'^\top / m` with centred rows, whose derivative is its polar
    factor: matrix products are all that is needed.

    Examples
    --------
    >>> x = jax.random.normal(jax.random.key(0), (1, 50, 3))
    >>> round(float(gaussian_terms(x, x + 2.0)[0]), 3)
    12.0
    """
    chex.assert_rank([first, second], 3)
    chex.assert_equal_shape([first, second])
    m = first.shape[1]
    mean, other = first.mean(axis=1, keepdims=True), second.mean(axis=1, keepdims=True)
    first, second = first - mean, second - other
    inner = jnp.einsum("cid,cjd->cij", first, second, precision="highest") / m
    variance = (jnp.square(first).sum(axis=(1, 2)) + jnp.square(second).sum(axis=(1, 2))) / m
    nuclear = (jax.lax.stop_gradient(jax.vmap(polar)(inner)) * inner).sum(axis=(1, 2))
    return jnp.square(mean - other).sum(axis=(1, 2)) + variance - 2 * nuclear


def sliced_terms(key: Array, first: Array, second: Array, slices: int = 64) -> Array:
    r"""Return the sliced squared 2-Wasserstein distance of two groups of rows, (C, m, d) each.

    The mean over random directions :math:`\theta` of :math:`d\,\overline{(x_{(k)} - x'_{(k)})^2}` with projections
    :math:`x = \theta^\top X` in ascending order; the factor d makes a shift by v cost :math:`\lVert v \rVert^2`.

    Examples
    --------
    >>> x = jax.random.normal(jax.random.key(0), (1, 50, 3))
    >>> shifted = x + jnp.array([1.0, 0.0, 0.0])
    >>> round(float(sliced_terms(jax.random.key(1), x, shifted, slices=10_000)[0]), 1)
    1.0
    """
    chex.assert_equal_shape([first, second])  # rows are compared rank by rank
    d = first.shape[2]
    direction = jax.random.normal(key, (d, slices), first.dtype)
    direction = direction / jnp.linalg.norm(direction, axis=0)
    first, second = (jnp.sort(rows @ direction, axis=1) for rows in (first, second))
    return d * jnp.square(first - second).mean(axis=(1, 2))


def kernel_terms(
    first: Array,
    second: Array,
    bandwidths: Sequence[float],
    scale: float | None = None,
    *,
    unbiased: bool = True,
) -> Array:
    """Return the squared MMD of two groups of rows, (C, m, d) each; see :func:`jbc.losses.mmd.mmd2_between`."""
    chex.assert_rank([first, second], 3)
    chex.assert_equal_shape([first, second])

    def one(first: Array, second: Array) -> Array:
        return mmd2_between(first, second, bandwidths, scale, unbiased=unbiased)[0]

    return jax.vmap(one)(first, second)


def _value(head: list[Layer], a: Array) -> Array:
    """Return the critics' values, (C, m)."""
    for layer in head:
        a = _product(layer["w"].swapaxes(1, 2), jax.nn.softplus(a)) + layer["b"][:, :, None]
    return a[:, 0]


def _slope(head: list[Layer], a: Array) -> Array:
    """Return the derivative of the critics' values by their projections, (C, h, m)."""
    steep = []
    for layer in head:
        steep.append(jax.nn.sigmoid(a))
        a = _product(layer["w"].swapaxes(1, 2), jax.nn.softplus(a)) + layer["b"][:, :, None]
    back = jnp.ones_like(a)
    for layer, each in zip(reversed(head), reversed(steep), strict=True):
        back = _product(layer["w"], back) * each
    return back


def _product(w: Array, a: Array) -> Array:
    """Multiply small matrices (C, k, h) with columns (C, h, m).

    Products as small as those of a critic are written out, which one loop over memory computes. (A reduction over h
    would do as well, but jaxlib 0.10.2 compiles the mean of a difference of such sums to garbage on a CPU.)
    """
    _, k, h = w.shape
    if k * h > SMALL:
        return w @ a
    return functools.reduce(operator.add, (w[:, :, i, None] * a[:, None, i] for i in range(h)))
