r"""Mixtures of populations, with an effect of every domain. Host code, NumPy only.

A row of domain g is one of population k with probability :math:`\pi_{gk}`, and then

.. math:: y \sim t_\nu(\mu_k + b_g, \Sigma),

a heavy-tailed distribution around the mean of the population, shifted by the effect of the domain. Means and effects
have normal priors, and shares Dirichlet ones; all are fitted by variational Bayes, whose bound compares solutions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import linalg
from scipy.special import digamma, gammaln

TAILS = 4.0  # degrees of freedom ν
SPARSE = 0.5  # concentration of the prior of shares: a population that no row needs stays empty
STEPS = 60
TOLERANCE = 1e-4  # of the bound, per row
SWEEPS = 4
CANDIDATES = 800  # rows that k-means may start from
LEAST, MOST = 1e-6, 10.0  # variance of effects, in units of the variance of all rows


@dataclasses.dataclass(frozen=True)
class Mixture:
    """A fitted mixture.

    Attributes
    ----------
    mean, effect : (K, p), (D, p)
        Means of populations, and effects of domains, which are 0 on average over rows.
    covariance : (p, p)
        Covariance Σ around both.
    membership : (n, K)
        Probability that a row is of a population.
    bound : float
        Lower bound of the logarithm of the evidence.
    logarithm : (D, K)
        Expected logarithm of the shares of populations in domains.
    """

    mean: np.ndarray
    effect: np.ndarray
    covariance: np.ndarray
    membership: np.ndarray
    bound: float
    logarithm: np.ndarray


def whitening(covariance: np.ndarray) -> np.ndarray:
    """Return axes (p, p) in which rows with this covariance have the identity for theirs.

    Examples
    --------
    >>> np.abs(np.array([[4.0, 0.0], [0.0, 9.0]]) @ whitening(np.diag([4.0, 9.0])) ** 2).round(6).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    variance, axes = linalg.eigh(covariance)
    return axes / np.sqrt(np.maximum(variance, 1e-12 * max(float(variance[-1]), np.finfo(float).tiny)))


def memberships(mixture: Mixture, y: np.ndarray, domain: np.ndarray) -> np.ndarray:
    """Return the memberships of other rows of the same domains, (n, K)."""
    axes = whitening(mixture.covariance)
    away = _distances(y @ axes, domain, mixture.mean @ axes, mixture.effect @ axes)
    logs = _log_density(away, y.shape[1]) + mixture.logarithm[domain]
    r = np.exp(logs - logs.max(axis=1, keepdims=True))
    return r / r.sum(axis=1, keepdims=True)


def fit_mixture(
    y: np.ndarray,
    domain: np.ndarray,
    start: np.ndarray,
    allowed: np.ndarray | None = None,
    *,
    tied: bool = False,
) -> Mixture:
    """Fit a mixture to rows (n, p) of domains 0 to D - 1, from memberships to start with, (n, K).

    ``allowed`` (n, K) tells which populations a row may be of, None for all; ``tied`` gives all domains the same
    shares.

    Examples
    --------
    >>> y = np.array([[0.0], [0.2], [5.0], [5.2], [0.5], [0.7], [5.5], [5.7]])
    >>> start = np.eye(2)[[0, 0, 1, 1, 0, 0, 1, 1]]
    >>> found = fit_mixture(y, np.repeat([0, 1], 4), start)
    >>> found.effect.round(1).tolist(), found.membership.argmax(axis=1).tolist()
    ([[-0.2], [0.2]], [0, 0, 1, 1, 0, 0, 1, 1])
    """
    n, p = y.shape
    member = np.eye(domain.max() + 1)[domain]
    rows = [np.flatnonzero(own) for own in member.T]
    total = y.T @ y / n
    total = total + 1e-9 * np.trace(total) / p * np.eye(p)
    r, tail, prior, before = start, np.ones(n), 1.0, -np.inf
    mean, effect = two_way(member.T @ r, _sums(y, rows, r))
    covariance = _around(y, domain, r, mean, effect) + 1e-6 * total
    for step in range(STEPS):
        # In coordinates where Σ is the identity and the priors are diagonal, everything is elementwise.
        variance, axes = linalg.eigh(total, covariance)
        w, effect = y @ axes, effect @ axes
        weighted = r * tail[:, None]
        count, sums = member.T @ weighted, _sums(w, rows, weighted)
        for _ in range(SWEEPS):
            loose = 1 / (1 / variance + count.sum(axis=0)[:, None])
            mean = loose * (sums - count[..., None] * effect[:, None]).sum(axis=0)
            own = 1 / (1 / (prior * variance) + count.sum(axis=1)[:, None])
            effect = own * (sums - count[..., None] * mean).sum(axis=1)
            prior = float(np.clip(((effect**2 + own) / variance).mean(), LEAST, MOST))
            shift = member.sum(axis=0) @ effect / n
            mean, effect = mean + shift, effect - shift
        counts = member.T @ r
        counts = SPARSE + (counts.sum(axis=0, keepdims=True) if tied else counts)
        away = _distances(w, domain, mean, effect)
        logs = _log_density(away + loose.sum(axis=1) + own.sum(axis=1)[domain][:, None], p)
        shares = digamma(counts) - digamma(counts.sum(axis=1, keepdims=True))
        logs += shares[0 if tied else domain]
        if allowed is not None:
            logs = np.where(allowed, logs, -np.inf)
        top = logs.max(axis=1, keepdims=True)
        r = np.exp(logs - top)
        each = r.sum(axis=1, keepdims=True)
        r = r / each
        bound = float((top + np.log(each)).sum()) + n * np.linalg.slogdet(axes)[1]
        bound -= _normal(mean, loose, variance) + _normal(effect, own, prior * variance) + _dirichlet(counts)
        tail = (r * ((TAILS + p) / (TAILS + away))).sum(axis=1)
        back = np.linalg.inv(axes)
        mean, effect = mean @ back, effect @ back
        covariance = _around(y, domain, r * tail[:, None], mean, effect) + 1e-6 * total
        if step > 10 and abs(bound - before) < TOLERANCE * n:
            break
        before = bound
    return Mixture(
        mean, effect, covariance, r, bound, np.broadcast_to(shares, (len(effect), shares.shape[1]))
    )


def two_way(count: np.ndarray, sums: np.ndarray, ridge: float = 1e-3) -> tuple[np.ndarray, np.ndarray]:
    """Return means of populations (K, p) and effects of domains (D, p), from counts (D, K) and sums (D, K, p).

    The least squares of population + domain; see :func:`two_way_inverse`.

    Examples
    --------
    >>> count = np.array([[2.0, 2.0], [2.0, 0.0]])
    >>> sums = np.array([[[0.0], [8.0]], [[2.0], [0.0]]])  # means 0 and 4; 1
    >>> mean, effect = two_way(count, sums, 1e-9)
    >>> mean.round(2).ravel().tolist(), effect.round(2).ravel().tolist()
    ([0.33, 4.33], [-0.33, 0.67])
    """
    found = two_way_inverse(count, ridge) @ np.concatenate([sums.sum(axis=1), sums.sum(axis=0)])
    return found[len(count) :], found[: len(count)]


def two_way_inverse(count: np.ndarray, ridge: float = 1e-3) -> np.ndarray:
    """Return what turns sums of domains and of populations into effects and means, (D + K, D + K).

    Effects are 0 on average over rows. A ridge holds back those that nothing tells: a domain that shares no
    population has none.

    Examples
    --------
    >>> apart = two_way_inverse(np.array([[2.0, 0.0], [0.0, 2.0]])) @ np.array([[0.0], [8.0], [0.0], [8.0]])
    >>> apart.round(2).ravel().tolist()  # two effects, two means
    [0.0, 0.0, 0.0, 4.0]
    """
    domains, rows = len(count), count.sum(axis=0)
    normal = np.block([[np.diag(count.sum(axis=1)), count], [count.T, np.diag(rows)]])
    inverse = np.linalg.inv(normal + np.diag(np.concatenate([np.full(domains, ridge), rows == 0])))
    shift = count.sum(axis=1) @ inverse[:domains] / count.sum()
    return inverse + np.where(np.arange(len(inverse)) < domains, -1, 1)[:, None] * shift


def split(y: np.ndarray, populations: int) -> np.ndarray:
    """Divide rows into groups by k-means; return memberships (n, K).

    Examples
    --------
    >>> split(np.array([[0.0], [5.0], [0.1], [9.0]]), 3).argmax(axis=1).tolist()
    [1, 0, 1, 2]
    """
    return splits(y, [populations])[0]


def splits(y: np.ndarray, numbers: Sequence[int]) -> list[np.ndarray]:
    """Divide rows into these numbers of groups; see :func:`split`.

    K-means starts from rows that lower the distances most, one after the other: nothing is drawn, and the sign of a
    feature does not matter.
    """
    candidates = y[:: max(len(y) // CANDIDATES, 1)]
    norm = np.square(y).sum(axis=1)
    away = np.maximum(norm[:, None] + np.square(candidates).sum(axis=1) - 2 * y @ candidates.T, 0)
    nearest = away.max(axis=1)
    centres: list[int] = []
    for _ in range(min(max(numbers), len(candidates))):
        # Rounding must not choose between rows that do equally well.
        left = np.minimum(nearest[:, None], away).sum(axis=0)
        centres.append(int(np.flatnonzero(left <= left.min() + 1e-9 * nearest.sum())[0]))
        nearest = np.minimum(nearest, away[:, centres[-1]])
    return [np.eye(number)[_k_means(y, candidates[centres[:number]])] for number in numbers]


def _k_means(y: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the group of every row, after some steps of k-means from these means."""
    group = np.full(len(y), -1)
    for _ in range(20):
        before, group = group, (np.square(mean).sum(axis=1) - 2 * y @ mean.T).argmin(axis=1)
        if (before == group).all():
            break
        mean = np.stack(
            [y[group == k].mean(axis=0) if (group == k).any() else mean[k] for k in range(len(mean))]
        )
    return group


def _sums(y: np.ndarray, rows: list[np.ndarray], r: np.ndarray) -> np.ndarray:
    """Return sums over the rows of every domain, by population, (D, K, p)."""
    return np.stack([r[own].T @ y[own] for own in rows])


def _around(
    y: np.ndarray, domain: np.ndarray, r: np.ndarray, mean: np.ndarray, effect: np.ndarray
) -> np.ndarray:
    """Return the covariance of rows around their population in their domain, and a little of its diagonal."""
    rest, count = y - effect[domain], r.sum(axis=0)
    cross = mean.T @ (r.T @ rest)
    found = (rest * r.sum(axis=1)[:, None]).T @ rest - cross - cross.T + (mean.T * count) @ mean
    return (found + 10 / len(y) * np.diag(np.diag(found))) / (len(y) + 10)


def _distances(w: np.ndarray, domain: np.ndarray, mean: np.ndarray, effect: np.ndarray) -> np.ndarray:
    """Return squared distances of rows from every population, shifted as their domain is, (n, K)."""
    rest = w - effect[domain]
    square = np.square(rest).sum(axis=1)[:, None] - 2 * rest @ mean.T + np.square(mean).sum(axis=1)
    return np.maximum(square, 0)


def _log_density(square: np.ndarray, p: int) -> np.ndarray:
    constant = gammaln((TAILS + p) / 2) - gammaln(TAILS / 2) - p / 2 * np.log(TAILS * np.pi)
    return constant - (TAILS + p) / 2 * np.log1p(square / TAILS)


def _normal(mean: np.ndarray, variance: np.ndarray, prior: np.ndarray) -> float:
    """Return the divergence of normal distributions from a prior around 0."""
    return float(0.5 * ((variance + mean**2) / prior - 1 - np.log(variance / prior)).sum())


def _dirichlet(counts: np.ndarray) -> float:
    """Return the divergence of the shares of every domain from their prior."""
    total, k = counts.sum(axis=1), counts.shape[1]
    apart = (counts - SPARSE) * (digamma(counts) - digamma(total)[:, None])
    prior = gammaln(k * SPARSE) - k * gammaln(SPARSE)
    return float((gammaln(total) - gammaln(counts).sum(axis=1) - prior + apart.sum(axis=1)).sum())
