r"""The mean L1 norm of differences of rows, as the papers of joint calibration print their alignment."""

from __future__ import annotations

import chex
import jax.numpy as jnp
from jax import Array

from jbc.losses._weights import average, shares


def l1_matrix(z: Array, *, weight: Array | None = None) -> Array:
    r"""Return the mean L1 norm of the difference of two rows, for every pair of domains.

    .. math:: a_{pq} = \frac{1}{m} \sum_i \lVert z_{pi} - z_{qi} \rVert_1

    Rows are drawn at random, so the i-th rows of two domains are a random pair, and the value is not 0 where both
    domains have the same distribution: its minimum is where all rows are equal.

    Parameters
    ----------
    z
        Rows, (G, m, h): m rows of each of G domains.
    weight
        Weights of rows, (G, G, m), as in :func:`jbc.losses.mmd2_matrix`; a pair of rows counts as the product.

    Returns
    -------
    (G, G)
        The diagonal is 0.

    Examples
    --------
    >>> l1_matrix(jnp.array([[[0.0, 0.0]], [[1.0, -2.0]]])).tolist()
    [[0.0, 3.0], [3.0, 0.0]]
    """
    chex.assert_rank(z, 3)
    groups, m, _ = z.shape
    each = jnp.abs(z[:, None] - z[None]).sum(axis=-1)
    if weight is None:
        return average(each)
    chex.assert_shape(weight, (groups, groups, m))
    (share,) = shares(weight * weight.swapaxes(0, 1))
    return average(each, share)
