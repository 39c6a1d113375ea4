"""Reconstruction losses."""

from __future__ import annotations

from typing import Literal

import chex
import jax.numpy as jnp
from jax import Array


def mean_of_observed(values: Array, observed: Array | None, axis: int | tuple[int, ...]) -> Array:
    """Return the mean of values over some axes, of those that are observed; 0 where none is. None observes all.

    Examples
    --------
    >>> float(mean_of_observed(jnp.array([1.0, 5.0]), jnp.array([True, False]), 0))
    1.0
    """
    if observed is None:
        return values.mean(axis=axis)
    return jnp.where(observed, values, 0).sum(axis=axis) / jnp.maximum(observed.sum(axis=axis), 1)


def squared_error(
    output: Array,
    target: Array,
    *,
    observed: Array | None = None,
    features: Literal["mean", "sum"] = "mean",
    domains: Literal["mean", "sum"] = "mean",
) -> Array:
    r"""Return the squared error of reconstructed rows, :math:`\|x - \hat x\|^2`, averaged over rows.

    Parameters
    ----------
    output, target
        (K, m, d): m rows of each of K domains.
    observed
        Where values are observed, (K, m, d); others are left out. A sum over columns is the mean times their number.
    features, domains
        Reductions over columns and over domains.

    Examples
    --------
    >>> float(squared_error(jnp.ones((2, 3, 4)), jnp.zeros((2, 3, 4)), features="sum"))
    4.0
    """
    chex.assert_rank(output, 3)
    chex.assert_equal_shape([output, target])
    if observed is not None:
        each = mean_of_observed(jnp.square(output - target), observed, (1, 2))
        total = each.sum() * (output.shape[-1] if features == "sum" else 1)
        return total if domains == "sum" else total / max(len(output), 1)
    per_row = jnp.square(output - target).sum(axis=-1)
    if features == "mean":
        per_row = per_row / output.shape[-1]
    total = per_row.mean(axis=1).sum()
    return total if domains == "sum" else total / max(len(output), 1)
