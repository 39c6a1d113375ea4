r"""Posterior means and variances of one domain, by a prior that its features give for each other: those of ComBat.

The features are in units of their deviation within domains. n rows of the domain have, of feature f, the mean
:math:`\hat\gamma_f` and the unbiased variance :math:`\hat\delta_f`.

- *Parametric.* :math:`\gamma_f \sim N(\bar\gamma, \tau^2)` and :math:`\delta_f \sim \mathrm{InverseGamma}(a, b)`,
  whose parameters are moments over the features. The posterior means depend on each other, and are found in turn:

  .. math::

      \gamma^*_f = \frac{n \tau^2 \hat\gamma_f + \delta^*_f \bar\gamma}{n \tau^2 + \delta^*_f}, \qquad
      \delta^*_f = \frac{b + \frac12 \sum_i (z_{if} - \gamma^*_f)^2}{n/2 + a - 1}.

- *Non-parametric.* The other features are the prior: the posterior means are averages of their
  :math:`(\hat\gamma_h, \hat\delta_h)`, weighted by the likelihood :math:`L_{fh}` that the rows have under them,

  .. math:: -2 \log L_{fh} = n \log \hat\delta_h + \frac{1}{\hat\delta_h} \sum_i (z_{if} - \hat\gamma_h)^2.

Host code, NumPy only, in double precision.

References
----------
Johnson, Li and Rabinovic, Adjusting batch effects in microarray expression data using empirical Bayes methods,
Biostatistics 2007.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Prior = Literal["parametric", "nonparametric", "none"]
"""What is known of a feature before its rows are seen; a distribution, the other features, or nothing."""

# As released: changes are relative to the last value, so that those of a negative one never count. What is left to
# go is a part of it; to go on until nothing changes moves the corrected values by some 1e-6 of the largest.
TOLERANCE = 1e-4
MOST = 1000  # iterations
BLOCK = 1 << 18  # likelihoods at a time


def posterior(
    prior: Prior,
    count: float | np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    *,
    mean_only: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the posterior means and variances of the features, (d,) each.

    A single feature has no others to learn a prior from, and keeps what was measured.

    Parameters
    ----------
    prior
        What features shrink by; ``"none"`` returns what was measured.
    count
        Number of rows; or of values of every feature, (d,), where some are missing.
    mean, variance
        What was measured, (d,) each; the variances are unbiased, and above 0.
    mean_only
        Take all variances for 1.

    Examples
    --------
    >>> mean, variance = np.array([0.9, 1.0, 1.4]), np.array([0.5, 1.0, 3.0])
    >>> [each.round(2).tolist() for each in posterior("parametric", 4, mean, variance)]
    [[1.06, 1.08, 1.14], [0.99, 1.15, 1.88]]
    >>> [each.round(2).tolist() for each in posterior("nonparametric", 4, mean, variance)]
    [[1.05, 1.02, 1.0], [1.27, 1.1, 0.99]]
    """
    ones = np.ones_like(variance)
    if prior == "none" or len(mean) < 2:
        return mean, ones if mean_only else variance
    if prior == "nonparametric":
        return _weighted(count, (count - 1) * variance, mean, ones if mean_only else variance)
    centre, width = mean.mean(), mean.var(ddof=1)
    if mean_only:  # as released: whatever the number of rows, as of a single one
        return (width * mean + centre) / (width + 1), ones
    return _in_turn(count, mean, variance, centre, width)


def _in_turn(
    count: float | np.ndarray, mean: np.ndarray, variance: np.ndarray, centre: np.floating, width: np.floating
) -> tuple[np.ndarray, np.ndarray]:
    """Return the posterior means of both, given the mean and the variance of the means over features."""
    level, among = variance.mean(), variance.var(ddof=1)
    trust = among / (among + level**2)  # 1 / (a - 1), with b = (a - 1) level; 0 where all variances are equal
    squares, old, scale = (count - 1) * variance, mean, variance
    for _ in range(MOST):
        new = (count * width * mean + scale * centre) / (count * width + scale)
        beside = squares + count * np.square(mean - new)
        wide = (0.5 * trust * beside + level) / (0.5 * trust * count + 1)
        settled = _settled(old, new) and _settled(scale, wide)
        old, scale = new, wide
        if settled:
            break
    return old, scale


def _settled(old: np.ndarray, new: np.ndarray) -> bool:
    """Return whether no positive value changed by more than a small part of itself."""
    return bool((np.where(old < 0, 0, np.abs(new - old)) <= TOLERANCE * np.abs(old)).all())


def _weighted(
    count: float | np.ndarray, squares: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the averages over all other features; ``squares`` are the sums of squares about the mean."""
    others = np.stack([np.ones_like(mean), mean, variance], axis=1)
    half = -0.5 / variance
    # All features have the same number of values, or each has its own.
    by_feature = isinstance(count, np.ndarray)
    shared, each = (1.0, count) if by_feature else (count, np.ones_like(mean))
    beside = np.stack([half, -0.5 * shared * np.log(variance)])
    found = np.empty((len(mean), 2))
    rows = max(BLOCK // len(mean), 1)
    for start in range(0, len(mean), rows):
        own = slice(start, start + rows)
        log = np.subtract.outer(mean[own], mean)
        np.square(log, out=log)
        log *= shared * half
        if by_feature:
            log *= each[own, None]
        log += np.stack([squares[own], each[own]], axis=1) @ beside
        here = np.arange(len(log))
        log[here, start + here] = -np.inf
        log -= log.max(axis=1, keepdims=True)
        total = np.exp(log, out=log) @ others
        found[own] = total[:, 1:] / total[:, :1]
    return found[:, 0], found[:, 1]
