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

from jbc.losses._weights import average, shares
from jbc.losses.mmd import mmd2_between
from jbc.numerics.linalg import polar

Layer = dict[str, Array]
Weight = tuple[Array, Array]
SMALL = 64


class Terms(NamedTuple):
    """What every pair contributes, (pairs,) each: the estimated distance, and the penalty of its critic."""

    gap: Array
    penalty: Array


def critic_terms(
    head: list[Layer],
    gram: Array,
    first: Array,
    second: Array,
    mix: Array,
    gamma: float,
    weight: Weight | None = None,
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
    weight
        Weights of the rows of both groups, (C, m) each, for the gap. The penalty is over all rows, as the gradient
        must not be long anywhere; but a pair without any weight on one side has neither gap nor penalty.

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
    if weight is None:
        gap = (_value(head, first) - _value(head, second)).mean(axis=-1)
    else:
        chex.assert_shape([*weight], (critics, m))
        own, other = shares(*weight)
        gap = average(_value(head, first), own) - average(_value(head, second), other)
    mix = mix[:, None, :]
    slope = _slope(head, mix * first + (1 - mix) * second)
    length2 = (slope * _product(gram, slope)).sum(axis=1)
    # Below 1 nothing is penalised, and the root's derivative at 0 is never asked for.
    excess = jnp.sqrt(jnp.maximum(length2, 1)) - 1
    penalty = gamma * jnp.square(excess).mean(axis=-1)
    return Terms(gap, penalty if weight is None else jnp.where(shares(*weight)[0].any(axis=-1), penalty, 0))


def gaussian_terms(first: Array, second: Array, weight: Weight | None = None) -> Array:
    r"""Return the squared 2-Wasserstein distance of the Gaussians that fit two groups of rows, (C, m, d) each.

    .. math:: \lVert \mu - \mu' \rVert^2 + \operatorname{tr} \Sigma + \operatorname{tr} \Sigma'
              - 2 \operatorname{tr} (\Sigma^{1/2} \Sigma' \Sigma^{1/2})^{1/2}

    The last trace is the nuclear norm of :math:`X X'^\top / m` with centred rows, whose derivative is its polar
    factor: matrix products are all that is needed. With weights, (C, m) each, means and covariances are weighted; the
    distance is 0 where one group has none.

    Examples
    --------
    >>> x = jax.random.normal(jax.random.key(0), (1, 50, 3))
    >>> round(float(gaussian_terms(x, x + 2.0)[0]), 3)
    12.0
    >>> weight = jnp.ones((1, 50)).at[0, 0].set(0.0)
    >>> round(float(gaussian_terms(x.at[0, 0].set(100.0), x + 2.0, (weight, weight))[0]), 3)
    12.0
    """
    chex.assert_rank([first, second], 3)
    chex.assert_equal_shape([first, second])
    m = first.shape[1]
    if weight is None:
        mean, other = first.mean(axis=1, keepdims=True), second.mean(axis=1, keepdims=True)
        first, second = first - mean, second - other
    else:
        chex.assert_shape([*weight], first.shape[:2])
        (first, mean), (second, other) = map(_centred, (first, second), shares(*weight))
    inner = jnp.einsum("cid,cjd->cij", first, second, precision="highest") / m
    variance = (jnp.square(first).sum(axis=(1, 2)) + jnp.square(second).sum(axis=(1, 2))) / m
    nuclear = (jax.lax.stop_gradient(jax.vmap(polar)(inner)) * inner).sum(axis=(1, 2))
    return jnp.square(mean - other).sum(axis=(1, 2)) + variance - 2 * nuclear


def sliced_terms(
    key: Array, first: Array, second: Array, slices: int = 64, weight: Weight | None = None
) -> Array:
    r"""Return the sliced squared 2-Wasserstein distance of two groups of rows, (C, m, d) each.

    The mean over random directions :math:`\theta` of :math:`d\,\overline{(x_{(k)} - x'_{(k)})^2}` with projections
    :math:`x = \theta^\top X` in ascending order; the factor d makes a shift by v cost :math:`\lVert v \rVert^2`.
    With weights, (C, m) each, the squared difference of both quantile functions is integrated exactly; the distance
    is 0 where one group has none.

    Examples
    --------
    >>> x = jax.random.normal(jax.random.key(0), (1, 50, 3))
    >>> shifted = x + jnp.array([1.0, 0.0, 0.0])
    >>> round(float(sliced_terms(jax.random.key(1), x, shifted, slices=10_000)[0]), 1)
    1.0
    >>> near, far = jnp.array([[[0.0], [0.0]]]), jnp.array([[[0.0], [2.0]]])
    >>> float(sliced_terms(jax.random.key(1), near, far, weight=(jnp.ones((1, 2)), jnp.array([[3.0, 1.0]])))[0])
    1.0
    """
    chex.assert_equal_shape([first, second])  # rows are compared rank by rank
    d = first.shape[2]
    direction = jax.random.normal(key, (d, slices), first.dtype)
    direction = direction / jnp.linalg.norm(direction, axis=0)
    first, second = first @ direction, second @ direction
    if weight is not None:
        chex.assert_shape([*weight], first.shape[:2])
        return d * _quantile_distance2(first, second, *shares(*weight)).mean(axis=-1)
    first, second = jnp.sort(first, axis=1), jnp.sort(second, axis=1)
    return d * jnp.square(first - second).mean(axis=(1, 2))


def kernel_terms(
    first: Array,
    second: Array,
    bandwidths: Sequence[float],
    scale: float | None = None,
    *,
    unbiased: bool = True,
    weight: Weight | None = None,
) -> Array:
    """Return the squared MMD of two groups of rows, (C, m, d) each; see :func:`jbc.losses.mmd.mmd2_between`.

    Weights are (C, m) each.

    Examples
    --------
    >>> x = jnp.array([[[0.0], [0.0], [5.0]]])
    >>> weight = jnp.array([[1.0, 1.0, 0.0]])
    >>> float(kernel_terms(x, jnp.zeros((1, 3, 1)), (1.0,), 1.0, weight=(weight, jnp.ones((1, 3))))[0])
    0.0
    """
    chex.assert_rank([first, second], 3)
    chex.assert_equal_shape([first, second])

    if weight is not None:
        chex.assert_shape([*weight], first.shape[:2])

    def one(first: Array, second: Array, weight: Weight | None) -> Array:
        return mmd2_between(first, second, bandwidths, scale, unbiased=unbiased, weight=weight)[0]

    return jax.vmap(one)(first, second, weight)


def _centred(rows: Array, share: Array) -> tuple[Array, Array]:
    """Return rows (C, m, d) less their mean by shares (C, m), and the mean, (C, 1, d).

    Each row is multiplied by a root, such that plain means of products are means by shares.
    """
    mean = jnp.einsum("ci,cid->cd", share, rows, precision="highest")[:, None]
    return (rows - mean) * jnp.sqrt(share * share.shape[1])[:, :, None], mean


def _quantile_distance2(first: Array, second: Array, own: Array, other: Array) -> Array:
    """Return the squared 2-Wasserstein distance of values (C, m, slices) with shares (C, m), (C, slices).

    Both quantile functions are steps, which end where the cumulative shares of one of them do.
    """
    m, slices = first.shape[1:]

    def steps(values: Array, share: Array) -> tuple[Array, Array]:
        share = jnp.broadcast_to(share[:, :, None], values.shape)
        # Sums of shares round, and leave a trace to rows without any: these are put where it costs nothing.
        middle = jax.lax.stop_gradient((share * values).sum(axis=1, keepdims=True))
        values, share = jax.lax.sort((jnp.where(share == 0, middle, values), share), dimension=1, num_keys=1)
        level = share.cumsum(axis=1)
        return values, level / jnp.where(level[:, -1:] == 0, 1, level[:, -1:])

    (first, end), (second, end_other) = steps(first, own), steps(second, other)
    side = jnp.broadcast_to(jnp.repeat(jnp.arange(2), m)[:, None], (len(first), 2 * m, slices))
    level, side = jax.lax.sort((jnp.concatenate([end, end_other], axis=1), side), dimension=1, num_keys=1)
    ended = side.cumsum(axis=1) - side  # steps of the second that lie before
    at = jnp.arange(2 * m)[:, None] - ended, ended
    x, y = (
        jnp.take_along_axis(values, jnp.minimum(index, m - 1), axis=1)
        for values, index in zip((first, second), at, strict=True)
    )
    return (jnp.diff(level, axis=1, prepend=0) * jnp.square(x - y)).sum(axis=1)


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
