"""Distances, moments and orthogonal matrices.

Decompositions are not called inside compiled programs: two LAPACK calls in one program can wait for each
other's worker for ever on a machine with two cores.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.numerics.observed import covariance_of_observed

# Smaller parts of a value are rounding in float32.
ROUNDING = 1e-6


def squared_distances(a: Array, b: Array) -> Array:
    r"""Return :math:`\|a_i - b_j\|^2` for all rows, by one matrix product, and never below 0.

    Both are centred first, which changes no distance: large norms would swallow small differences.

    Examples
    --------
    >>> squared_distances(jnp.array([[0.0, 0.0]]), jnp.array([[3.0, 4.0]])).tolist()
    [[25.0]]
    """
    centre = jax.lax.stop_gradient(b.mean(axis=0))
    a, b = a - centre, b - centre
    inner = jnp.matmul(a, b.T, precision="highest")
    norm_a, norm_b = jnp.square(a).sum(axis=1), jnp.square(b).sum(axis=1)
    return jnp.maximum(norm_a[:, None] + norm_b[None, :] - 2 * inner, 0)


def moments(x: Array, group: Array, weight: Array, groups: int) -> tuple[Array, Array]:
    """Return the weighted mean and (biased) variance of the rows of every group, (groups, d) each.

    Sums of many large numbers round, so the mean is corrected by the mean of what it leaves, and subtracted
    before squaring: large offsets lose no digits, and a constant feature has the variance 0. Weights are those of
    rows, (n,), or of values, (n, d), where some are missing; without any weight, both are 0.

    Examples
    --------
    >>> mean, variance = moments(jnp.array([[1.0], [3.0], [9.0]]), jnp.array([0, 0, 1]), jnp.ones(3), 2)
    >>> mean[:, 0].tolist(), variance[:, 0].tolist()
    ([2.0, 9.0], [1.0, 0.0])
    """
    weight = _of_values(jnp.asarray(weight, x.dtype))
    total = jnp.maximum(jax.ops.segment_sum(weight, group, groups), 1)

    def average(values: Array) -> Array:
        return jax.ops.segment_sum(values * weight, group, groups) / total

    mean = average(x)
    mean = mean + average(x - mean[group])
    return mean, average(jnp.square(x - mean[group]))


def _of_values(weight: Array) -> Array:
    """Return weights of rows, (n,), as a column; those of values, (n, d), as they are."""
    return weight if weight.ndim == 2 else weight[:, None]


def lacking(weight: Array, group: Array, groups: int) -> Array | None:
    """Return which groups have no value of a feature, (groups, d), by weights of values; None by weights of rows.

    Examples
    --------
    >>> lacking(jnp.array([[1, 0], [1, 1]]), jnp.array([0, 1]), 2).tolist()
    [[False, True], [False, False]]
    """
    weight = jnp.asarray(weight)
    return None if weight.ndim == 1 else jax.ops.segment_sum(weight, group, groups) == 0


def mean_and_deviation(x: Array, group: Array, weight: Array, groups: int) -> tuple[Array, Array]:
    """Return the weighted mean and (biased) standard deviation of the rows of every group, (groups, d) each.

    Computed in a unit near the largest value of each feature, a power of two that costs no digit, so that no square
    leaves the range of float32.

    Examples
    --------
    >>> _, deviation = mean_and_deviation(jnp.array([[1e22], [3e22]]), jnp.zeros(2, int), jnp.ones(2), 1)
    >>> f"{float(deviation[0, 0]):.3g}"
    '1e+22'
    """
    _, exponent = jnp.frexp(jnp.abs(x).max(axis=0))
    mean, variance = moments(jnp.ldexp(x, -exponent), group, weight, groups)
    return jnp.ldexp(mean, exponent), jnp.ldexp(jnp.sqrt(variance), exponent)


def mean_of_rows(x: Array) -> Array:
    """Return the mean of every column of (..., m, d), as (..., 1, d), by a matrix product.

    On a CPU, the compiler's own sums over rows take longer than all other work of a small network.

    Examples
    --------
    >>> mean_of_rows(jnp.array([[1.0, 2.0], [3.0, 6.0]])).tolist()
    [[2.0, 4.0]]
    """
    ones = jnp.ones((*x.shape[:-2], 1, x.shape[-2]), x.dtype)
    return jnp.matmul(ones, x, precision="highest") / x.shape[-2]


def location_and_scale(x: Array, group: Array, weight: Array, groups: int) -> tuple[Array, Array]:
    """Return the mean of every group, and the standard deviation to divide by, (groups, d) each.

    Where a feature is constant in a group, its scale there is unknown: it gets the average deviation of the other
    groups, so that it is scaled as it is on average. A feature that varies in no group is divided by 1. Where no
    value of a group has any weight, its mean is the average of the other groups as well.

    Examples
    --------
    >>> x = jnp.array([[1.0, 0.0, 5.0], [3.0, 0.0, 5.0], [1.0, 2.0, 5.0], [3.0, 6.0, 5.0]])
    >>> _, scale = location_and_scale(x, jnp.array([0, 0, 1, 1]), jnp.ones(4), 2)
    >>> scale.tolist()
    [[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]]
    """
    mean, scale = mean_and_deviation(x, group, weight, groups)
    flat, lacks = constant(scale, mean), lacking(weight, group, groups)
    if lacks is not None:
        flat, mean = flat | lacks, average_of_others(mean, lacks)
    return mean, jnp.where(flat.all(axis=0), 1, average_of_others(scale, flat))


def constant(scale: Any, centre: Any) -> Any:
    """Return where features are constant up to rounding, (groups, d); NumPy or JAX.

    Constant is what varies by less than a millionth of its centre, or of what it varies by in another group. No
    threshold has a unit.

    Parameters
    ----------
    scale
        Any measure of scale in the unit of the data: standard deviations, ranges; (groups, d).
    centre
        Where the values lie, which float32 rounds; (groups, d).

    Examples
    --------
    >>> constant(np.array([[2.0, 0.0], [0.0, 1e-9]]), np.ones((2, 2))).tolist()
    [[False, True], [True, True]]
    """
    xp = np if isinstance(scale, np.ndarray) else jnp
    return scale <= ROUNDING * xp.maximum(xp.abs(centre), scale.max(axis=0))


def constant_range(low: Any, high: Any) -> Any:
    """Return where features are constant up to rounding, by their least and largest values, (groups, d) each.

    Examples
    --------
    >>> constant_range(np.array([[5.0], [0.0]]), np.array([[5.0], [2.0]])).tolist()
    [[True], [False]]
    """
    xp = np if isinstance(low, np.ndarray) else jnp
    return constant(high - low, xp.maximum(xp.abs(low), xp.abs(high)))


def average_of_others(table: Any, lacking: Any) -> Any:
    """Give groups that lack a feature the average of those that have it, if any do; (groups, d), NumPy or JAX.

    Examples
    --------
    >>> average_of_others(np.array([[2.0, 7.0], [4.0, 8.0], [0.0, 9.0]]), np.array([[0, 1], [0, 1], [1, 1]])).tolist()
    [[2.0, 7.0], [4.0, 8.0], [3.0, 9.0]]
    """
    xp = np if isinstance(table, np.ndarray) else jnp
    has = ~xp.asarray(lacking, bool)
    others = xp.where(has, table, 0).sum(axis=0) / xp.maximum(has.sum(axis=0), 1)
    return xp.where(has | ~has.any(axis=0), table, others)


def orthogonal(key: Array, shape: tuple[int, int], dtype: jnp.dtype = jnp.float32) -> Array:
    r"""Draw a matrix with orthonormal rows or columns, uniformly (Haar), without LAPACK.

    The polar factor of a Gaussian matrix is uniform, and matrix products alone find it, so the draw can be
    compiled and vmapped.

    Examples
    --------
    >>> q = orthogonal(jax.random.key(0), (5, 3))
    >>> bool(jnp.allclose(q.T @ q, jnp.eye(3), atol=1e-5))
    True
    """
    rows, columns = shape
    x = polar(jax.random.normal(key, (max(shape), min(shape)), dtype))
    return x if rows >= columns else x.T


def polar(x: Array) -> Array:
    r"""Return the nearest matrix with orthonormal columns (the polar factor), without LAPACK.

    Newton's iteration :math:`X \leftarrow \tfrac32 X - \tfrac12 X X^\top X` finds it with matrix products alone.

    Examples
    --------
    >>> polar(jnp.array([[3.0, 0.0], [0.0, 0.5]])).round(4).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    matmul = partial(jnp.matmul, precision="highest")
    # The iteration converges from singular values below √3. A power of the Gram matrix bounds the largest one
    # better than its norm does, and the closer the bound, the fewer iterations.
    x = x / jnp.maximum(jnp.abs(x).max(), jnp.finfo(x.dtype).tiny)
    gram = matmul(x.T, x)
    bound = jnp.linalg.norm(matmul(gram, gram)) ** 0.25
    x = x / jnp.maximum(bound, jnp.finfo(x.dtype).tiny)

    def newton(_: Array, x: Array) -> Array:
        return 1.5 * x - 0.5 * matmul(x, matmul(x.T, x))

    return jax.lax.fori_loop(0, 48, newton, x)


def principal(x: Array, weight: Array, components: int) -> Array:
    """Return the directions in which weighted rows of mean 0 vary most, as columns, without LAPACK.

    Weights are those of rows, (n,), or of values, (n, d): then a covariance is over rows that have both values.

    Products with the covariance, and Gram and Schmidt's orthogonalisation, turn any directions into these. Where two
    have nearly the same variance, which of their rotations comes out means nothing.

    Examples
    --------
    >>> principal(jnp.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), jnp.ones(4), 1).round(4).tolist()
    [[1.0], [0.0]]
    """
    matmul = partial(jnp.matmul, precision="highest")
    if weight.ndim == 1:
        covariance = matmul(x.T, x * weight[:, None]) / weight.sum()
    else:
        seen = jnp.where(weight > 0, x, 0)
        both = matmul((weight > 0).T.astype(x.dtype), weight.astype(x.dtype))
        covariance = matmul(seen.T, seen * weight) / jnp.maximum(both, 1)

    def straighten(j: Array, q: Array) -> Array:
        before = q * (jnp.arange(components) < j)
        column = q[:, j]
        for _ in range(2):  # once more, for what rounding left
            column = column - matmul(before, matmul(before.T, column))
        return q.at[:, j].set(column / jnp.maximum(jnp.linalg.norm(column), jnp.finfo(x.dtype).tiny))

    def turn(_: Array, q: Array) -> Array:
        # The added part keeps directions without any variance alive.
        return jax.lax.fori_loop(0, components, straighten, matmul(covariance, q) + 1e-6 * q)

    start = orthogonal(jax.random.key(0), (x.shape[1], components))
    found = jax.lax.fori_loop(0, 100, turn, start)
    largest = jnp.take_along_axis(found, jnp.abs(found).argmax(axis=0)[None], axis=0)
    return found * jnp.where(largest < 0, -1, 1)


def by_group(function: Callable[[Any, Array], Array], own: Any, x: Array, group: Array) -> Array:
    r"""Return :math:`f_{g_i}(x_i)`: a function of rows (n, d), with what each group has of its own in a stacked tree.

    All rows go through the function of every group that has some, one after the other: what a group has, once per
    row, would be large.

    Examples
    --------
    >>> by_group(lambda shift, x: x + shift, jnp.array([1.0, 2.0]), jnp.zeros((2, 1)), jnp.array([1, 0])).tolist()
    [[2.0], [1.0]]
    """
    own = jax.tree.map(jnp.asarray, own)

    def one(out: Array, at: tuple[Any, Array]) -> tuple[Array, None]:
        mine, g = at
        here = (group == g)[:, None]
        return jax.lax.cond(here.any(), lambda: jnp.where(here, function(mine, x), out), lambda: out), None

    made = jax.eval_shape(function, jax.tree.map(lambda leaf: leaf[0], own), x)
    empty = jnp.zeros(made.shape, made.dtype)
    return jax.lax.scan(one, empty, (own, jnp.arange(len(jax.tree.leaves(own)[0]))))[0]


def matmul_by_group(x: Array, matrices: Array, group: Array) -> Array:
    r"""Return :math:`x_i M_{g_i}`: rows (n, d) times the matrix of their group, (groups, d, k).

    Examples
    --------
    >>> matmul_by_group(jnp.ones((2, 1)), jnp.array([[[2.0]], [[3.0]]]), jnp.array([1, 0])).tolist()
    [[3.0], [2.0]]
    """
    return by_group(lambda matrix, x: jnp.matmul(x, matrix, precision="highest"), matrices, x, group)


def eigen(symmetric: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues, largest first and never below 0, and eigenvectors as columns; on the host, with NumPy.

    The largest entry of every vector is positive: libraries of linear algebra differ in the signs.

    Examples
    --------
    >>> values, vectors = eigen(np.array([[2.0, 0.0], [0.0, 3.0]]))
    >>> values.tolist(), vectors.tolist()
    ([3.0, 2.0], [[0.0, 1.0], [1.0, 0.0]])
    """
    values, vectors = np.linalg.eigh(symmetric)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    return values, vectors * np.sign(vectors[largest, np.arange(len(values))])


def covariance(rows: np.ndarray) -> np.ndarray:
    """Return the unbiased covariance of rows (n, d), on the host; NaN is a missing value.

    Examples
    --------
    >>> covariance(np.array([[0.0, 1.0], [2.0, 3.0], [4.0, np.nan]])).tolist()
    [[4.0, 2.0], [2.0, 2.0]]
    """
    return covariance_of_observed(rows) if np.isnan(rows).any() else np.atleast_2d(np.cov(rows, rowvar=False))


def deviations(variance: np.ndarray, size: np.ndarray, otherwise: np.ndarray | float) -> np.ndarray:
    """Return the standard deviations to divide by, on the host.

    ``otherwise`` is what a feature gets that is constant up to the rounding of values of this size.

    Examples
    --------
    >>> deviations(np.array([4.0, 1e-20]), np.array([1.0, 1.0]), 3.0).tolist()
    [2.0, 3.0]
    """
    deviation = np.sqrt(variance)
    return np.where(deviation > ROUNDING * size, deviation, otherwise)


def typical_deviations(variance: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the standard deviations to divide by; a constant feature gets the median of those of the others.

    Examples
    --------
    >>> typical_deviations(np.array([4.0, 0.0, 16.0]), np.zeros(3)).tolist()
    [2.0, 3.0, 4.0]
    """
    deviation = deviations(variance, size, np.nan)
    return np.where(
        np.isnan(deviation), np.nanmedian(deviation) if np.isfinite(deviation).any() else 1, deviation
    )


def optimal_map(a: np.ndarray, b: np.ndarray, ridge: float) -> np.ndarray:
    r"""Return the symmetric matrix that carries a Gaussian of covariance A to one of covariance B at least cost.

    .. math:: A^{-1/2} (A^{1/2} B A^{1/2})^{1/2} A^{-1/2}

    with the ridge added to both diagonals: directions in which both vary less than it are left as they are. On the
    host, with NumPy.

    Examples
    --------
    >>> optimal_map(np.diag([1.0, 4.0]), np.diag([9.0, 4.0]), ridge=0.0).round(6).tolist()
    [[3.0, 0.0], [0.0, 1.0]]
    """
    eye = ridge * np.eye(len(a))
    values, vectors = eigen(a + eye)
    root, inverse = (vectors * values**power @ vectors.T for power in (0.5, -0.5))
    values, vectors = eigen(root @ (b + eye) @ root)
    return inverse @ (vectors * np.sqrt(values) @ vectors.T) @ inverse


def principal_axes(x: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest singular values of centred rows (n, d), and their right singular vectors, (d, k); NumPy.

    By the eigenvectors of the smaller of the two products with itself: a fraction of the time of a decomposition.

    Examples
    --------
    >>> size, axes = principal_axes(np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), 1)
    >>> size.round(3).tolist(), np.abs(axes).round(3).ravel().tolist()
    ([4.243], [1.0, 0.0])
    """
    wide = x.shape[1] > x.shape[0]
    values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    size, vectors = np.sqrt(np.maximum(values[::-1][:most], 0)), vectors[:, ::-1][:, :most]
    if wide:
        vectors = x.T @ (vectors / np.where(size > 0, size, 1))
    return size, vectors
