"""Surrogate variables: what rows vary by beside their classes, and which features vary by it.

Rows are samples here, (n, d), centred, and all that is decomposed has the size of the number of rows or of features,
whichever is less. Host code, in double precision.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy.linalg import eigh
from scipy.special import fdtrc

from jbc.numerics.local_fdr import local_fdr

Form = Literal["irw", "two-step"]
# The significance of a surrogate variable by permutation, and the local false discovery rate below which the two-step
# form takes a feature for affected: those of the released programs.
SIGNIFICANT, DISCOVERED = 0.1, 0.1
# Smaller parts of the largest singular value are rounding, as the square root of a product has it.
RANK = 1e-7


class Surrogates(NamedTuple):
    """Surrogate variables (n, k), the projection of centred rows on them, (d, k), and weights of features, (d,)."""

    variables: np.ndarray
    projection: np.ndarray
    weight: np.ndarray


def indicators(label: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of what is constant in every class and has the mean 0, (n, classes - 1).

    Examples
    --------
    >>> np.abs(indicators(np.array([4, 4, 7, 7]))).tolist()
    [[0.5], [0.5], [0.5], [0.5]]
    """
    member = (label[:, None] == np.unique(label)[1:]).astype(float)
    return np.linalg.qr(member - member.mean(axis=0))[0]


def without(basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return columns less their part in an orthonormal basis.

    Examples
    --------
    >>> without(np.array([[1.0], [0.0]]), np.array([[3.0], [4.0]])).tolist()
    [[0.0], [4.0]]
    """
    return x - basis @ (basis.T @ x)


def p_values(x: np.ndarray, full: np.ndarray, null: np.ndarray | None = None) -> np.ndarray:
    """Return the p-value of every column of centred rows in the F-test of two nested linear models, (d,).

    Parameters
    ----------
    x
        Centred rows, (n, d).
    full
        What the larger model has beside the null model and the intercept; centred columns, (n, a).
    null
        Orthonormal columns of the null model beside the intercept, (n, b); None has the intercept alone.

    Examples
    --------
    >>> rows = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.1, 1.0]])
    >>> p_values(rows - rows.mean(axis=0), np.array([[-1.0], [-1.0], [1.0], [1.0]])).round(3).tolist()
    [0.001, 1.0]
    """
    null = np.zeros((len(x), 0)) if null is None else null
    more, size, _ = np.linalg.svd(without(null, full), full_matrices=False)
    more = more[:, size > RANK * max(np.linalg.norm(full), np.finfo(float).tiny)]
    freedom = more.shape[1], len(x) - 1 - null.shape[1] - more.shape[1]
    if not freedom[0]:
        return np.ones(x.shape[1])
    explained = np.square(more.T @ x).sum(axis=0)
    total = np.square(x).sum(axis=0) - np.square(null.T @ x).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (explained / freedom[0]) / (np.maximum(total - explained, 0) / freedom[1])
    return np.where(explained > 0, fdtrc(*freedom, ratio), 1.0)


def count(x: np.ndarray, classes: np.ndarray, permutations: int) -> int:
    r"""Return how many surrogate variables are significant by permutation (Buja and Eyuboglu).

    The shares of variance of the principal components of the residuals, beside those of residuals whose features are
    permuted, each in its own way: a component counts where at most a tenth of the permutations have as large a share
    of their own, and all components before it count.

    Parameters
    ----------
    x
        Centred rows, (n, d).
    classes
        Basis of the classes (:func:`indicators`).
    permutations
        How many.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> label, noise = np.repeat([0, 1], 20), rng.normal(size=(40, 30))
    >>> hidden = np.outer(rng.normal(size=40), rng.normal(size=30))
    >>> [count(x - x.mean(axis=0), indicators(label), 20) for x in (noise, noise + hidden)]
    [0, 1]
    """
    rest = without(classes, x)
    most = min(len(x) - 1 - classes.shape[1], x.shape[1])
    found, rng = _shares(rest, most), np.random.default_rng(0)
    # The null needs few digits. By features, so that every one is shuffled where it lies.
    rest, basis = np.ascontiguousarray(rest.T, np.float32), classes.astype(np.float32)
    reached = np.zeros(most)
    for _ in range(permutations):
        shuffled = rng.permuted(rest, axis=1)
        shuffled -= (shuffled @ basis) @ basis.T
        reached += _shares(shuffled, most) >= found
    return int((np.maximum.accumulate(reached / permutations) <= SIGNIFICANT).sum())


def _shares(x: np.ndarray, most: int) -> np.ndarray:
    """Return the shares of variance of the principal components, largest first."""
    gram = x @ x.T if x.shape[0] < x.shape[1] else x.T @ x
    values = np.maximum(np.linalg.eigvalsh(gram.astype(np.float64))[::-1][:most], 0)
    return values / max(values.sum(), np.finfo(float).tiny)


def reweighted(x: np.ndarray, classes: np.ndarray, number: int, iterations: int) -> Surrogates:
    r"""Return surrogate variables by iteratively re-weighted singular value decompositions (irw).

    They begin as the first principal components of the residuals. Features are then weighted by the probability that
    they vary with the surrogate variables and not with the classes,

    .. math:: w_j = P(\gamma_j \ne 0)\, P(\beta_j = 0 \mid \gamma_j \ne 0),

    each one less a local false discovery rate, and the surrogate variables are the principal components of the
    weighted table.

    Parameters
    ----------
    x
        Centred rows, (n, d).
    classes
        Basis of the classes (:func:`indicators`).
    number
        How many.
    iterations
        How often the weights are estimated.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> label, hidden = np.repeat([0, 1], 20), rng.normal(size=40)
    >>> x = np.outer(hidden, np.arange(90) < 30) + 0.1 * rng.normal(size=(40, 90))
    >>> found = reweighted(x - x.mean(axis=0), indicators(label), 1, 5)
    >>> bool(abs(np.corrcoef(found.variables[:, 0], hidden)[0, 1]) > 0.99)
    True
    """
    weight = np.ones(x.shape[1])
    size, variables = components(without(classes, x), weight, number)
    for _ in range(iterations):
        basis = np.linalg.qr(variables)[0]
        apart = local_fdr(p_values(x, classes, basis))
        weight = (1 - local_fdr(p_values(x, variables))) * apart
        size, variables = components(x, weight, number)
        whole = size > RANK * max(size[0], np.finfo(float).tiny)
        size, variables = np.where(whole, size, 1), np.where(whole, variables, 0)
        if not whole.any():
            break  # no feature varies with the surrogate variables alone
    projection = np.square(weight)[:, None] * (x.T @ variables) / np.square(size)
    return Surrogates(variables, projection, weight)


def components(x: np.ndarray, weight: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest singular values of rows with weighted features, and their left singular vectors, (n, k).

    Examples
    --------
    >>> size, vectors = components(np.array([[1.0, 5.0], [-1.0, 5.0]]), np.array([1.0, 0.0]), 1)
    >>> size.round(3).tolist(), np.abs(vectors).round(3).ravel().tolist()
    ([1.414], [0.707, 0.707])
    """
    used = weight > 0
    weighted = x[:, used] * weight[used]
    tall = weighted.shape[1] < len(x)
    gram = weighted.T @ weighted if tall else weighted @ weighted.T
    most = min(number, len(gram))
    size, vectors = np.zeros(number), np.zeros((len(x), number))
    if most:
        values, axes = eigh(gram, subset_by_index=(len(gram) - most, len(gram) - 1))
        size[:most], axes = np.sqrt(np.maximum(values[::-1], 0)), axes[:, ::-1]
        vectors[:, :most] = weighted @ (axes / np.where(size[:most] > 0, size[:most], 1)) if tall else axes
    return size, vectors


def two_step(x: np.ndarray, classes: np.ndarray, number: int) -> Surrogates:
    """Return surrogate variables by the algorithm of 2007, in two steps.

    Of every principal component of the residuals: which features vary with it; and which component of these features
    alone, not of their residuals, is most like it.

    Parameters
    ----------
    x
        Centred rows, (n, d).
    classes
        Basis of the classes (:func:`indicators`).
    number
        How many.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> label, hidden = np.repeat([0, 1], 20), rng.normal(size=40)
    >>> x = np.outer(hidden, np.arange(30) < 9) + 0.1 * rng.normal(size=(40, 30))
    >>> two_step(x - x.mean(axis=0), indicators(label), 1).weight.round().tolist()[5:12]
    [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """
    _, residual = components(without(classes, x), np.ones(x.shape[1]), number)
    variables, projection = np.zeros((len(x), number)), np.zeros((x.shape[1], number))
    affected = np.zeros(x.shape[1], bool)
    for k in range(number):
        chosen = local_fdr(p_values(x, residual[:, [k]])) < DISCOVERED
        if chosen.sum() < 2:
            continue  # a single feature tells of itself alone
        size, axes = components(x, chosen.astype(float), int(min(len(x) - 1, chosen.sum())))
        like = np.where(size > RANK * size[0], np.abs(axes.T @ residual[:, k]), -1)
        best = int(np.argmax(like))
        variables[:, k] = axes[:, best]
        projection[chosen, k] = x[:, chosen].T @ axes[:, best] / size[best] ** 2
        affected |= chosen
    return Surrogates(variables, projection, affected.astype(float))


def effects(x: np.ndarray, classes: np.ndarray, variables: np.ndarray) -> np.ndarray:
    """Return what surrogate variables do to every feature, given the classes, (k, d).

    Examples
    --------
    >>> hidden = np.array([[-1.0], [1.0], [-1.0], [1.0]]) / 2
    >>> effects(hidden @ [[3.0, 0.0]], indicators(np.array([0, 0, 1, 1])), hidden).round(6).tolist()
    [[3.0, 0.0]]
    """
    return np.linalg.lstsq(without(classes, variables), x, rcond=RANK)[0]
