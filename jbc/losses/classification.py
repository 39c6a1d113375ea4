"""Classification losses on logits."""

from __future__ import annotations

from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax
from jax import Array


def cross_entropy(
    logits: Array,
    label: Array,
    *,
    smoothing: float = 0.0,
    rows: Literal["mean", "sum"] = "mean",
    domains: Literal["mean", "sum"] = "mean",
) -> Array:
    r"""Return the cross-entropy of rows whose label is known.

    .. math:: \ell = -\sum_k \sum_i \log p_{k i}(y_{k i})

    over domains k and rows i, each sum a mean where the reduction says so. One logit means two classes and a
    sigmoid, several a softmax.

    Parameters
    ----------
    logits
        (K, m, 1) or (K, m, classes).
    label
        (K, m) codes; rows of code -1 do not count.
    smoothing
        Probability that the target leaves to all classes alike, ε: the target of class c is
        (1 - ε) [c = y] + ε / classes.
    rows, domains
        Reductions.

    Examples
    --------
    >>> logits, label = jnp.zeros((1, 3, 1)), jnp.array([[0, 1, -1]])
    >>> round(float(cross_entropy(logits, label)), 4)  # log 2
    0.6931
    """
    chex.assert_rank(logits, 3)
    chex.assert_shape(label, logits.shape[:2])
    known = label >= 0
    if logits.shape[-1] == 1:
        target = (1 - smoothing) * (label == 1) + smoothing / 2
        each = optax.sigmoid_binary_cross_entropy(logits[..., 0], target)
    else:
        target = optax.smooth_labels(jax.nn.one_hot(label, logits.shape[-1]), smoothing)
        each = optax.softmax_cross_entropy(logits, target)
    per_domain = jnp.where(known, each, 0).sum(axis=1)
    if rows == "mean":
        per_domain = per_domain / jnp.maximum(known.sum(axis=1), 1)
    total = per_domain.sum()
    return total if domains == "sum" else total / max(len(label), 1)
