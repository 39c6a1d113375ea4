"""How much each row counts where groups of rows are compared."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array


def shares(*weights: Array) -> tuple[Array, ...]:
    """Return the weights (..., m) of groups that are compared, divided by their sums.

    Where all weights of one group are 0, there is nothing to compare, and those of the others become 0 as well. No
    gradient flows to weights.

    Examples
    --------
    >>> one, other = shares(jnp.array([[1.0, 3.0], [1.0, 1.0]]), jnp.array([[2.0, 2.0], [0.0, 0.0]]))
    >>> one.tolist(), other.tolist()
    ([[0.25, 0.75], [0.0, 0.0]], [[0.5, 0.5], [0.0, 0.0]])
    """
    weights = jax.lax.stop_gradient(weights)
    totals = [weight.sum(axis=-1, keepdims=True) for weight in weights]
    nothing = sum(total == 0 for total in totals) > 0
    return tuple(
        jnp.where(nothing, 0, weight / jnp.where(total == 0, 1, total))
        for weight, total in zip(weights, totals, strict=True)
    )


def average(values: Array, share: Array | None = None) -> Array:
    """Return the mean of values (..., m), or their sum by shares: 0 where no row has any.

    Examples
    --------
    >>> values = jnp.array([1.0, 5.0])
    >>> float(average(values)), float(average(values, jnp.array([0.75, 0.25]))), float(average(values, jnp.zeros(2)))
    (3.0, 2.0, 0.0)
    """
    if share is None:
        return values.mean(axis=-1)
    return (jnp.where(share == 0, 0, values) * share).sum(axis=-1)
