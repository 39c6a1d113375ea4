"""Reconstruction losses."""

from __future__ import annotations

from typing import Literal

import chex
import jax.numpy as jnp
from jax import Array


def squared_error(
    output: Array,
    target: Array,
    *,
    features: Literal["mean", "sum"] = "mean",
    domains: Literal["mean", "sum"] = "mean",
) -> Array:
    r"""Return the squared error of reconstructed rows, :math:`\|x - \hat x\|^2`, averaged over rows.

    Parameters
    ----------
    output, target
        (K, m, d): m rows of each of K domains.
    features, domains
        Reductions over columns and over domains.

    Examples
    --------
    >>> float(squared_error(jnp.ones((2, 3, 4)), jnp.zeros((2, 3, 4)), features="sum"))
    4.0
    """
    chex.assert_rank(output, 3)
    chex.assert_equal_shape([output, target])
    per_row = jnp.square(output - target).sum(axis=-1)
    if features == "mean":
        per_row = per_row / output.shape[-1]
    total = per_row.mean(axis=1).sum()
    return total if domains == "sum" else total / max(len(output), 1)
