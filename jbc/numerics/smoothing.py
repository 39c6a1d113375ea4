r"""Robust local regression of many series at once: LOESS of degree 1, on the host, in double precision.

A series is measured at places t; all series share them, and each has weights of its own. Near a place :math:`t_0`,
the line that fits best counts a value by a kernel of its distance and by its weight,

.. math:: \min_{a, b} \sum_j K\Bigl(\frac{|t_j - t_0|}{h}\Bigr)\, w_j\, (y_j - a - b\,(t_j - t_0))^2, \qquad
          K(u) = (1 - |u|^3)_+^3,

and the curve at :math:`t_0` is a. The bandwidth h reaches to the farthest of a share of the places (``span``); spans
above 1 multiply what reaches to all, and an infinite one is the straight line through all values. Kernels depend on
places only, so that the sums of all series are matrix products.

References
----------
Cleveland, Robust locally weighted regression and smoothing scatterplots, JASA 1979. Hampel et al.,
Robust Statistics: The Approach Based on Influence Functions, Wiley 1986.
"""

from __future__ import annotations

import numpy as np

# In standard deviations: where Huber's weights begin to fall; and Hampel's, and where these are 0. The last two are
# so far out that values without outliers have their mean, however few they are.
HUBER, BEND, END = 1.345, 3.0, 9.0
# The median of absolute differences from the median of normal values, as a standard deviation.
NORMAL = 1.4826
# Places that a local line needs: two decide it, and the farthest one of them has no weight.
LEAST = 4


def local_regression(
    places: np.ndarray,
    values: np.ndarray,
    at: np.ndarray,
    span: float,
    *,
    weight: np.ndarray | None = None,
    leave_out: bool = False,
) -> np.ndarray:
    """Return the local lines of all series at some places, (m, d).

    Parameters
    ----------
    places, values
        Where the series were measured, (n,), and what, (n, d).
    at
        Where to evaluate them, (m,).
    span
        The share of places that a bandwidth reaches to; infinite for straight lines.
    weight
        How much each value counts, (n, d); 0 where one is missing.
    leave_out
        Leave out the i-th place where the curve is evaluated at it: ``at`` are the places then.

    Returns
    -------
    (m, d)
        NaN where no value counts. Where only one place does, its value.

    Examples
    --------
    >>> t = np.arange(6.0)
    >>> local_regression(t, 2 * t[:, None] + 1, np.array([2.5]), 0.8).round(6).tolist()
    [[6.0]]
    """
    kernel = _kernel(places, at, span, leave_out)
    counted = np.ones(values.shape) if weight is None else weight
    away = places[None, :] - at[:, None]
    size = np.maximum(np.abs(away).max(), np.finfo(float).tiny)
    away = away / size
    zeroth, first, second = ((kernel * away**power) @ counted for power in range(3))
    level, moment = ((kernel * away**power) @ (counted * values) for power in range(2))
    # The variance of the places that count, as a part of their mean square: of a single one, rounding is left.
    determinant = zeroth * second - first**2
    lines = determinant > 1e-9 * zeroth * second
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = level / zeroth
        line = (second * level - first * moment) / determinant
    return np.where(zeroth > 1e-12 * counted.max(axis=0, initial=0), np.where(lines, line, mean), np.nan)


def _kernel(places: np.ndarray, at: np.ndarray, span: float, leave_out: bool) -> np.ndarray:
    """Return the weights of the places where the curve is evaluated, (m, n)."""
    distance = np.abs(at[:, None] - places[None, :]).astype(np.float64)
    if leave_out:
        np.fill_diagonal(distance, np.inf)
    known = len(places) - leave_out
    if np.isinf(span):
        return np.isfinite(distance).astype(np.float64)
    reach = min(max(int(np.ceil(min(span, 1.0) * known)), LEAST), known)
    bandwidth = np.sort(distance, axis=1)[:, reach - 1 : reach] * max(span, 1.0)
    bandwidth = np.maximum(bandwidth * (1 + 1e-6), np.finfo(float).tiny)
    return np.maximum(1 - np.minimum(distance / bandwidth, 1) ** 3, 0) ** 3


def hampel(z: np.ndarray) -> np.ndarray:
    """Return Hampel's weights of standardised residuals: 1 up to 3, and from there falling to 0 at 9.

    Examples
    --------
    >>> hampel(np.array([0.0, -3.0, 6.0, 9.0])).tolist()
    [1.0, 1.0, 0.25, 0.0]
    """
    size = np.maximum(np.abs(z), BEND)
    return BEND / size * np.clip((END - size) / (END - BEND), 0, 1)


def huber(z: np.ndarray, k: float = HUBER) -> np.ndarray:
    """Return Huber's weights of standardised residuals: 1 up to k, and k over their size beyond.

    Examples
    --------
    >>> huber(np.array([0.5, -2.69])).tolist()
    [1.0, 0.5]
    """
    return k / np.maximum(np.abs(z), k)


def robust_weights(
    places: np.ndarray, values: np.ndarray, weight: np.ndarray, noise: np.ndarray, span: float
) -> np.ndarray:
    """Return how much every value counts for its local line, (n, d): outliers less, and wild ones nothing.

    A value is compared with the curve through the others. Those far from the median of their neighbours count less
    from the start, so that they do not make outliers of these. A series that would keep fewer than three values
    stays with this start.

    Parameters
    ----------
    places, values, weight, span
        As for :func:`local_regression`.
    noise
        Standard deviation of the values of weight 1 about their curve, (d,); where it is 0, all count in full.

    Examples
    --------
    >>> t = np.arange(8.0)
    >>> y = np.where(t == 3, 50.0, t)[:, None]
    >>> robust_weights(t, y, np.ones((8, 1)), np.ones(1), np.inf)[:, 0].round(1).tolist()
    [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    """
    identity = local_regression(places, np.eye(len(places)), places, span, leave_out=True)
    stretch = np.sqrt(1 + np.square(np.nan_to_num(identity)).sum(axis=1))[:, None]
    scale = stretch * np.where(noise > 0, noise, 1) / np.sqrt(np.maximum(weight, 1e-300))
    start = np.where(weight > 0, huber((values - _neighbours(values, weight)) / scale), 0)
    counts = start
    for _ in range(4):
        left = values - local_regression(places, values, places, span, weight=weight * counts, leave_out=True)
        counts = np.where(weight > 0, hampel(np.nan_to_num(left / scale)), 0)
    few = (counts > 0.1).sum(axis=0) < 3
    return np.where(noise <= 0, weight > 0, np.where(few, start, counts))


def _neighbours(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the median of the neighbours of every value, (n, d): of five, and itself where there is none."""
    n = len(values)
    first = np.clip(np.arange(n) - 2, 0, max(n - 6, 0))
    near = np.minimum(first[:, None] + np.arange(6), n - 1)
    other = (near != np.arange(n)[:, None]) & (np.diff(near, axis=1, prepend=-1) > 0)
    known = other[:, :, None] & (weight[near] > 0)
    none = ~known.any(axis=1)
    gathered = np.where(known, values[near], np.nan)
    gathered[:, 0][none] = values[none]
    return np.nanmedian(gathered, axis=1)


def median(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the median of the values of every column that are there (of weight above 0), (d,); 0 where none is.

    Examples
    --------
    >>> median(np.array([[1.0, 9.0], [2.0, 9.0]]), np.array([[1, 0], [0, 0]])).tolist()
    [1.0, 0.0]
    """
    if not len(values):
        return np.zeros(values.shape[1])
    kept = np.where(weight > 0, values, np.nan)
    kept[:, ~(weight > 0).any(axis=0)] = 0
    return np.nanmedian(kept, axis=0)


def scale(left: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the standard deviation of residuals, (d,), by their median; by their squares where that is 0.

    Examples
    --------
    >>> left = np.array([[-1.0, 0.0], [1.0, 0.0], [9.0, 3.0]])
    >>> scale(left, np.ones((3, 2))).round(2).tolist()
    [1.48, 1.73]
    """
    number = (weight > 0).sum(axis=0)
    squares = np.where(weight > 0, left, 0) ** 2
    middle = NORMAL * median(np.abs(left), weight)
    return np.where(middle > 0, middle, np.sqrt(squares.sum(axis=0) / np.maximum(number, 1)))


def robust_location(values: np.ndarray, weight: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the middle of every column by Hampel's weights, (d,): the mean, but for outliers; NaN without values.

    Parameters
    ----------
    values, weight
        Rows, (n, d), and 1 where a value counts, 0 where it is missing.
    noise
        Standard deviation of the values, (d,); where it is 0, all count in full.

    Examples
    --------
    >>> rows = np.array([[1.0], [2.0], [3.0], [1000.0]])
    >>> robust_location(rows, np.ones((4, 1)), np.ones(1)).round(6).tolist()
    [2.0]
    """
    middle, there = median(values, weight), weight > 0
    for _ in range(10):
        left = np.where(there, values - middle, 0)
        counts = there * np.where(noise > 0, hampel(left / np.where(noise > 0, noise, 1)), 1)
        total = counts.sum(axis=0)
        middle = middle + (counts * left).sum(axis=0) / np.where(total > 0, total, 1)
    return np.where(there.any(axis=0), middle, np.nan)
