r"""What becomes of singular vectors when one row is added to a table, without decomposing again.

The table has n rows less their mean, singular values s and right singular vectors U; the row y is less the same mean.
With the row added, and all rows less their new mean, the Gram matrix is

.. math:: U \operatorname{diag}(s^2)\, U^\top + \rho\, y y^\top, \qquad \rho = \frac{n}{n + 1}.

Every new eigenvalue :math:`\lambda_j` lies between :math:`s_j^2` and :math:`s_{j-1}^2`, and solves the secular
equation

.. math:: 1 + \rho \sum_i \frac{z_i^2}{s_i^2 - \lambda} = 0, \qquad z = U^\top y,

in which what no singular vector reaches of y has the pole 0. The entry of the added row in the left singular vector j
is then

.. math:: v_j = \frac{\operatorname{sign}(z_j)}{\sqrt{\lambda_j}\,\lVert q \rVert}, \qquad
          q_i = \frac{z_i}{s_i^2 - \lambda_j},

with the sign that makes the vector as like the old one as it can be. Compiled programs call no decomposition for it.

References
----------
Golub, "Some modified matrix eigenvalue problems", SIAM Review 15, 1973.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

# Halvings of the bracket of a root, on a logarithmic scale that begins at this part of the bracket.
HALVINGS, LEAST = 32, 1e-16
# Where a row lies farther out, in units of the largest singular value, squares leave the range of float32; its entry
# in the first vector has long been 1.
FAR = 1e15
TINY = np.finfo(np.float32).tiny


class Database(NamedTuple):
    """A decomposition that rows are added to, in units of its largest singular value.

    ``poles`` are the squared singular values and 0; ``apart`` the distances of all poles from each of the first ones,
    and ``gap`` those to the next larger one, -1 of the largest.
    """

    axes: Any
    poles: Any
    apart: Any
    gap: Any
    largest: Any
    share: Any


def freeze(size: np.ndarray, axes: np.ndarray, rows: int, number: int) -> Database:
    """Return what :func:`entries` needs; on the host.

    Parameters
    ----------
    size, axes
        Singular values, largest first, and right singular vectors (d, r), of a centred table.
    rows
        Number of its rows.
    number
        In how many singular vectors entries are sought.

    Examples
    --------
    >>> freeze(np.array([2.0, 1.0]), np.eye(2), rows=3, number=2).gap.tolist()
    [-1.0, 0.75]
    """
    largest = size[0] if size[0] > 0 else 1.0
    poles = np.append(np.square(size / largest), 0)
    gap = np.append(-1, poles[: number - 1] - poles[1:number])
    found = Database(axes, poles, poles - poles[:number, None], gap, largest, np.array(rows / (rows + 1)))
    return Database(*(np.asarray(part, np.float32) for part in found))


def entries(database: Database, y: Array) -> Array:
    """Return the entry of each row (n, d), less the mean of the table, in the singular vectors with it added, (n, k).

    Examples
    --------
    >>> table = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> database = freeze(np.sqrt([18.0, 2.0]), np.eye(2), rows=4, number=2)
    >>> entries(database, jnp.array([[3.0, 0.0], [0.0, 0.0]])).round(3).tolist()
    [[0.478..., 0.0], [0.0, 0.0]]
    >>> longer = np.vstack([table, [[3.0, 0.0]]])
    >>> float(abs(np.linalg.svd(longer - longer.mean(axis=0))[0][4, 0]).round(3))
    0.478
    """
    base = Database(*(jnp.asarray(part) for part in database))
    y = jnp.clip(y / base.largest, -FAR, FAR)
    z = jnp.matmul(y, base.axes, precision="highest")
    rest = jnp.maximum(jnp.square(y).sum(axis=1) - jnp.square(z).sum(axis=1), 0)
    square = jnp.concatenate([jnp.square(z), rest[:, None]], axis=1)
    number = len(base.apart)
    higher = jnp.concatenate([base.apart[:1], base.apart[:-1]])

    def one(at: tuple[Array, ...]) -> Array:
        lower, upper, gap, pole, own = at
        apart, step, up = _root(square, base.share, lower, upper, gap)
        q = square / jnp.square(_nonzero(apart - step[:, None]))
        root = jnp.maximum(pole + jnp.where(up, 0, gap) + step, 0)
        return jnp.where(own == 0, 0, jnp.sign(own) / jnp.sqrt(jnp.maximum(root * q.sum(axis=1), TINY)))

    vectors = (base.apart, higher, base.gap, base.poles[:number], z.T[:number])
    return jnp.clip(jax.lax.map(one, vectors), -1, 1).T


def _root(square: Array, share: Array, lower: Array, upper: Array, gap: Array) -> tuple[Array, Array, Array]:
    """Return the distances of all poles from an end of the bracket, the root from there, and whether it is the lower.

    Sought from the nearer end, so that no digit of a difference is lost: (n, r + 1), (n,), (n,).
    """
    highest = (
        gap < 0
    )  # no pole lies above the largest eigenvalue, which rises by the whole of the row at most
    width = jnp.where(highest, share * square.sum(axis=1), gap)

    def balance(apart: Array, step: Array) -> Array:
        return 1 + share * (square / _nonzero(apart - step[:, None])).sum(axis=1)

    up = highest | (balance(lower, width / 2) > 0)
    apart, longest = jnp.where(up[:, None], lower, upper), jnp.where(highest, width, width / 2)

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        near, far = ends
        middle = jnp.sqrt(near) * jnp.sqrt(far)
        # The balance rises from one end to the other: from below it is positive beyond the root, from above before.
        beyond = (balance(apart, jnp.where(up, middle, -middle)) > 0) == up
        return jnp.where(beyond, near, middle), jnp.where(beyond, middle, far)

    near, far = jax.lax.fori_loop(0, HALVINGS, halve, (longest * LEAST, longest))
    step = jnp.sqrt(near) * jnp.sqrt(far)
    return apart, jnp.where(up, step, -step), up


def _nonzero(x: Array) -> Array:
    return jnp.where(x == 0, TINY, x)
