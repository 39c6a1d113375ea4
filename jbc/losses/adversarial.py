r"""What a generator and a discriminator are trained on.

A discriminator f scores rows x of the target and generated rows x'; the papers' D is its sigmoid. Both play for

===========  ================================================  =========================
objective    discriminator, to be small                        generator, to be small
===========  ================================================  =========================
logistic     :math:`-\log D(x) - \log(1 - D(x'))`              :math:`-\log D(x')`
squares      :math:`(f(x) - 1)^2 + f(x')^2`                    :math:`(f(x') - 1)^2`
hinge        :math:`\max(0, 1 - f(x)) + \max(0, 1 + f(x'))`    :math:`-f(x')`
wasserstein  :math:`f(x') - f(x)`                              :math:`-f(x')`
===========  ================================================  =========================

on average over rows. The generator of the first does not saturate (Goodfellow et al. 2014).

Rows may have weights, at least 0 and of any scale. Where all are 0, so is the result; and where those of one side
are, there is nothing to tell apart, and it is 0 as well.
"""

from __future__ import annotations

from typing import Literal

import chex
import jax
import jax.numpy as jnp
from jax import Array

from jbc.losses._weights import average, shares

Objective = Literal["logistic", "squares", "hinge", "wasserstein"]


def discriminator_loss(
    objective: Objective,
    real: Array,
    fake: Array,
    smoothing: float = 0.0,
    weight: tuple[Array, Array] | None = None,
) -> Array:
    r"""Return what the discriminator wants small, averaged over rows.

    Parameters
    ----------
    objective
        See above.
    real, fake
        Scores of target and generated rows, (..., m).
    smoothing
        The label of target rows is 1 less this much, for the logistic and the squared objective.
    weight
        Weights of target and generated rows, (..., m) each; None where all count the same.

    Examples
    --------
    >>> zero = jnp.zeros(3)
    >>> [round(float(discriminator_loss(o, zero, zero)), 3) for o in ("logistic", "squares", "hinge", "wasserstein")]
    [1.386, 1.0, 2.0, 0.0]
    """
    chex.assert_equal_shape([real, fake, *(weight or ())])
    own, other = (None, None) if weight is None else shares(*weight)
    if objective == "wasserstein":
        return average(fake, other) - average(real, own)
    if objective == "logistic":
        of_real = (1 - smoothing) * jax.nn.softplus(-real) + smoothing * jax.nn.softplus(real)
        of_fake = jax.nn.softplus(fake)
    elif objective == "squares":
        of_real, of_fake = jnp.square(real - (1 - smoothing)), jnp.square(fake)
    else:
        of_real, of_fake = jax.nn.relu(1 - real), jax.nn.relu(1 + fake)
    return average(of_real + of_fake) if weight is None else average(of_real, own) + average(of_fake, other)


def generator_loss(objective: Objective, fake: Array, weight: Array | None = None) -> Array:
    """Return what the generator wants small, averaged over rows; scores and weights are (..., m).

    Examples
    --------
    >>> round(float(generator_loss("logistic", jnp.zeros(3))), 3), float(generator_loss("hinge", jnp.ones(3)))
    (0.693, -1.0)
    >>> float(generator_loss("hinge", jnp.array([1.0, 5.0]), jnp.array([3.0, 1.0])))
    -2.0
    """
    share = _share(fake, weight)
    if objective == "logistic":
        return average(jax.nn.softplus(-fake), share)
    return average(jnp.square(fake - 1), share) if objective == "squares" else -average(fake, share)


def gradient_penalty(slope: Array, weight: Array | None = None) -> Array:
    r"""Return the mean of :math:`\max(0, \lVert \nabla f \rVert - 1)^2` over slopes (..., m, d) of the discriminator.

    Weights are (..., m).

    Examples
    --------
    >>> float(gradient_penalty(jnp.array([[3.0, 0.0], [0.5, 0.0]])))
    2.0
    >>> float(gradient_penalty(jnp.array([[3.0, 0.0], [0.5, 0.0]]), jnp.array([3.0, 1.0])))
    3.0
    """
    # Below 1 nothing is penalised, and the root's derivative at 0 is never asked for.
    length = jnp.sqrt(jnp.maximum(jnp.square(slope).sum(axis=-1), 1))
    return average(jnp.square(length - 1), _share(length, weight))


def accuracy(real: Array, fake: Array, weight: tuple[Array, Array] | None = None) -> Array:
    """Return the share of scores (..., m) that lie on their side of the mean of all: from about 0.5 to 1.

    Weights of target and generated rows are (..., m) each.

    Examples
    --------
    >>> float(accuracy(jnp.array([2.0, 3.0]), jnp.array([1.0, 4.0])))
    0.5
    >>> float(accuracy(jnp.array([2.0, 3.0]), jnp.array([1.0, 4.0]), (jnp.ones(2), jnp.array([1.0, 0.0]))))
    1.0
    """
    if weight is None:
        middle = (real.mean(axis=-1, keepdims=True) + fake.mean(axis=-1, keepdims=True)) / 2
        return ((real > middle).mean(axis=-1) + (fake < middle).mean(axis=-1)) / 2
    chex.assert_equal_shape([real, fake, *weight])
    own, other = shares(*weight)
    middle = ((average(real, own) + average(fake, other)) / 2)[..., None]
    return (average(real > middle, own) + average(fake < middle, other)) / 2


def _share(scores: Array, weight: Array | None) -> Array | None:
    """Return weights that have the shape of the scores as shares of their sum; None where there are none."""
    if weight is None:
        return None
    chex.assert_equal_shape([scores, weight])
    return shares(weight)[0]
