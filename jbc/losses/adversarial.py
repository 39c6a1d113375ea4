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
"""

from __future__ import annotations

from typing import Literal

import chex
import jax
import jax.numpy as jnp
from jax import Array

Objective = Literal["logistic", "squares", "hinge", "wasserstein"]


def discriminator_loss(objective: Objective, real: Array, fake: Array, smoothing: float = 0.0) -> Array:
    r"""Return what the discriminator wants small, averaged over rows.

    Parameters
    ----------
    objective
        See above.
    real, fake
        Scores of target and generated rows, (..., m).
    smoothing
        The label of target rows is 1 less this much, for the logistic and the squared objective.

    Examples
    --------
    >>> zero = jnp.zeros(3)
    >>> [round(float(discriminator_loss(o, zero, zero)), 3) for o in ("logistic", "squares", "hinge", "wasserstein")]
    [1.386, 1.0, 2.0, 0.0]
    """
    chex.assert_equal_shape([real, fake])
    if objective == "logistic":
        each = (1 - smoothing) * jax.nn.softplus(-real) + smoothing * jax.nn.softplus(real)
        return (each + jax.nn.softplus(fake)).mean(axis=-1)
    if objective == "squares":
        return (jnp.square(real - (1 - smoothing)) + jnp.square(fake)).mean(axis=-1)
    if objective == "hinge":
        return (jax.nn.relu(1 - real) + jax.nn.relu(1 + fake)).mean(axis=-1)
    return fake.mean(axis=-1) - real.mean(axis=-1)


def generator_loss(objective: Objective, fake: Array) -> Array:
    """Return what the generator wants small, averaged over rows.

    Examples
    --------
    >>> round(float(generator_loss("logistic", jnp.zeros(3))), 3), float(generator_loss("hinge", jnp.ones(3)))
    (0.693, -1.0)
    """
    if objective == "logistic":
        return jax.nn.softplus(-fake).mean(axis=-1)
    return jnp.square(fake - 1).mean(axis=-1) if objective == "squares" else -fake.mean(axis=-1)


def gradient_penalty(slope: Array) -> Array:
    r"""Return the mean of :math:`\max(0, \lVert \nabla f \rVert - 1)^2` over slopes (..., m, d) of the discriminator.

    Examples
    --------
    >>> float(gradient_penalty(jnp.array([[3.0, 0.0], [0.5, 0.0]])))
    2.0
    """
    # Below 1 nothing is penalised, and the root's derivative at 0 is never asked for.
    length = jnp.sqrt(jnp.maximum(jnp.square(slope).sum(axis=-1), 1))
    return jnp.square(length - 1).mean(axis=-1)


def accuracy(real: Array, fake: Array) -> Array:
    """Return the share of scores (..., m) that lie on their side of the mean of all: from about 0.5 to 1.

    Examples
    --------
    >>> float(accuracy(jnp.array([2.0, 3.0]), jnp.array([1.0, 4.0])))
    0.5
    """
    middle = (real.mean(axis=-1, keepdims=True) + fake.mean(axis=-1, keepdims=True)) / 2
    return ((real > middle).mean(axis=-1) + (fake < middle).mean(axis=-1)) / 2
