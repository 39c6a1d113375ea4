r"""Locations and scales of few rows, shrunk towards what other features and other domains say: empirical Bayes.

A deviation of two to four rows is nearly noise, and to divide by it does more harm than good. Features are compared
in units of their deviation within domains, s, and their locations relative to the average domain, m, so that no unit
and no zero matters (:math:`x \to a x + b` with a > 0 for every feature):

.. math:: z_{gf} = \frac{\mu_{gf} - m_f}{s_f}, \qquad u_{gf} = \frac{\sigma_{gf}^2}{s_f^2}.

- *Location.* Over the features f of a domain g, the z vary by what differs between features, and by the sampling of a
  mean. What is shared by all features of a row has no part in either. They shrink towards their mean over features
  by James and Stein's factor, :math:`(d - 3)\,v_g / \sum_f (z_{gf} - \bar z_g)^2`: 1 at most, and 0 for three
  features or fewer. v is the sampling variance, measured on the rows, and falls like 1/n; over an s with N degrees of
  freedom, it and all the z vary N / (N - 2) times as much.
- *Scale.* Over the features, the :math:`\log u` vary by what differs and by the sampling of a variance with
  :math:`\nu = n - 1` degrees of freedom, :math:`\psi'(\nu/2)`; about :math:`1 / 2\nu` for the logarithm of a
  deviation. What is left, of all domains together, gives the prior's degrees of freedom :math:`\nu_0`, and
  :math:`\tilde u = (\nu_0 u_0 + \nu u) / (\nu_0 + \nu)`: limma's variances, and ComBat's.
- *Scale of a domain as a whole.* The prior's location, which is :math:`\overline{\log u}` over features, is not exact
  either: features of few rows go up and down together. It shrinks towards its mean over domains, where its sampling
  variance is that of a single :math:`\log u` times the mean squared correlation of features within domains,
  measured on pairs of rows of different domains.

All prior variances are moments: where features or domains do differ, nothing is shrunk. All factors fall like 1/n, so
that many rows give their mean and (unbiased) deviation. Host code, NumPy only, in double precision.

References
----------
Johnson, Li and Rabinovic, Adjusting batch effects in microarray expression data using empirical Bayes methods,
Biostatistics 2007 (ComBat). Smyth, Linear models and empirical Bayes methods for assessing differential expression in
microarray experiments, Statistical Applications in Genetics and Molecular Biology 2004 (limma). Efron and Morris,
Stein's estimation rule and its competitors, JASA 1973.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import digamma, polygamma

from jbc.numerics.linalg import average_of_others, constant

ROWS = 1024  # which the correlation of features is measured on
LEAST, MOST = 1e-8, 1e6  # variances of logarithms: none at all, and so large that nothing is known of others

Common = dict[str, np.ndarray]
"""What domains have in common, which one more shrinks by.

Of every feature: the ``mean`` of the average domain, the ``scale`` within domains and its degrees of ``freedom``.
``noise``: the sampling variance of these means, in units of the scale. ``level`` and ``between``: mean and variance
over domains of the logarithm of a domain's variance; ``among``: its variance over features. ``overlap``: the mean
squared correlation of features.
"""


class _Measured(NamedTuple):
    """Numbers of rows of domains, (domains, 1), and their means, unbiased variances and what varies, (domains, d).

    Where values are missing (NaN), numbers are those of values, (domains, d).
    """

    count: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    varies: np.ndarray

    @property
    def freedom(self) -> np.ndarray:
        """The degrees of freedom of the variances."""
        return np.maximum(self.count - 1, 1)


def shrunken(rows: np.ndarray, domain: np.ndarray, domains: int) -> tuple[np.ndarray, np.ndarray, Common]:
    """Return the location and the scale of every domain, (domains, d), and what the domains have in common.

    A feature that is constant in a domain keeps its mean, and has the average scale of the other domains; one that
    varies nowhere has the scale 1.

    Parameters
    ----------
    rows, domain, domains
        Rows, (n, d), at least two of every domain; the codes of their domains, (n,), and how many there are.

    Examples
    --------
    >>> few, domain = np.random.default_rng(0).normal(size=(6, 500)), np.repeat([0, 1], 3)  # of one distribution
    >>> location, scale, _ = shrunken(few, domain, 2)
    >>> found = few[:3].mean(axis=0) - few[3:].mean(axis=0), few[:3].std(axis=0) / few[3:].std(axis=0)
    >>> [round(float(each.std()), 1) for each in (*found, location[0] - location[1], scale[0] / scale[1])]
    [0.8, 1.6, 0.0, 0.0]
    """
    parts = [rows[domain == g] for g in range(domains)]
    found = _measure(parts)
    total = (found.varies * found.freedom).sum(axis=0)
    scale = np.sqrt((found.varies * found.freedom * found.variance).sum(axis=0) / np.maximum(total, 1))
    scale = np.where(total > 0, scale, 1)
    within = _within(parts, found, scale)
    noise = _noise(within, found)
    common = {
        "mean": found.mean.mean(axis=0),
        "scale": scale,
        "freedom": total,
        "noise": noise.sum() / domains**2,
        "overlap": _overlap(within),
    }
    if found.count.shape[1] > 1:
        number = found.varies.sum(axis=0)
        common["whole"] = number == number.max()
    common |= _priors(*_logs(found, common, inside=True), common["overlap"])
    # The mean of all domains has a part of the noise of each.
    location = _location(found, common, (1 - 2 / domains) * noise + common["noise"])
    deviation = scale * _ratio(found, common, inside=True)
    deviation = average_of_others(deviation, ~found.varies)
    return location, np.where(found.varies.any(axis=0), deviation, 1), common


def shrunken_as(rows: np.ndarray, common: Common) -> tuple[np.ndarray, np.ndarray]:
    """Return the location and the scale of one more domain, (d,); the scale of a constant feature is NaN.

    Examples
    --------
    >>> few = np.random.default_rng(0).normal(size=(9, 500))
    >>> _, _, common = shrunken(few[:6], np.repeat([0, 1], 3), 2)
    >>> plain, shrunk = (few[6:].mean(axis=0), few[6:].std(axis=0)), shrunken_as(few[6:], common)
    >>> [round(float((at - common["mean"]).std()), 1) for at, _ in (plain, shrunk)]
    [0.7, 0.0]
    >>> [round(float((scale / common["scale"]).std()), 1) for _, scale in (plain, shrunk)]
    [0.7, 0.0]
    """
    found = _measure([rows])
    if len(rows) < 2:
        return found.mean[0], np.full(found.mean.shape[1], np.nan)
    noise = _noise(_within([rows], found, common["scale"]), found)
    location = _location(found, common, noise + common["noise"])
    deviation = np.where(found.varies, common["scale"] * _ratio(found, common, inside=False), np.nan)
    return location[0], deviation[0]


def _measure(parts: list[np.ndarray]) -> _Measured:
    if any(np.isnan(part).any() for part in parts):
        return _measure_observed(parts)
    count = np.array([[len(part)] for part in parts])
    mean = np.stack([part.mean(axis=0) for part in parts])
    squares = np.stack([np.square(part - part.mean(axis=0)).sum(axis=0) for part in parts])
    variance = squares / np.maximum(count - 1, 1)
    return _Measured(count, mean, variance, ~constant(np.sqrt(variance), mean))


def _measure_observed(parts: list[np.ndarray]) -> _Measured:
    """Measure rows with NaN where values are missing; every column of a domain has two values at least."""
    count = np.stack([(~np.isnan(part)).sum(axis=0) for part in parts])
    mean = np.stack([np.nanmean(part, axis=0) for part in parts])
    squares = np.stack(
        [np.nansum(np.square(part - own), axis=0) for part, own in zip(parts, mean, strict=True)]
    )
    variance = squares / np.maximum(count - 1, 1)
    return _Measured(count, mean, variance, ~constant(np.sqrt(variance), mean))


def _within(parts: list[np.ndarray], found: _Measured, scale: np.ndarray) -> list[np.ndarray]:
    """Return the rows of every domain less its mean, in units of the features; 0 where one is constant or missing."""
    return [np.nan_to_num((part - found.mean[g]) / scale * found.varies[g]) for g, part in enumerate(parts)]


def _noise(within: list[np.ndarray], found: _Measured) -> np.ndarray:
    """Return the mean sampling variance of the means of every domain, (domains, 1), less what features share."""
    number = np.maximum(found.varies.sum(axis=1), 1)
    if found.count.shape[1] > 1:
        each = found.freedom * found.count
        rest = [_less_shared(part) for part in within]
        return np.array(
            [[(np.square(part).sum(axis=0) / each[g]).sum() / number[g]] for g, part in enumerate(rest)]
        )
    own = [
        np.square(part - part.sum(axis=1, keepdims=True) / number[g] * found.varies[g]).sum() / number[g]
        for g, part in enumerate(within)
    ]
    return np.array(own)[:, None] / found.freedom / found.count


def _less_shared(part: np.ndarray) -> np.ndarray:
    """Return rows less the mean of what each has, which all of its features share; 0 where it has nothing."""
    has = part != 0
    return np.where(
        has, part - part.sum(axis=1, keepdims=True) / np.maximum(has.sum(axis=1, keepdims=True), 1), 0
    )


def _location(found: _Measured, common: Common, noise: np.ndarray) -> np.ndarray:
    """Shrink locations towards the mean over features of how far their domain lies from the average one."""
    shift, total = (found.mean - common["mean"]) / common["scale"], common["freedom"]
    # Far from a domain that lacks a feature, all others lie alike.
    everywhere = found.varies & (common["whole"] > 0 if "whole" in common else total == total.max())
    number = everywhere.sum(axis=1, keepdims=True)
    away = np.where(everywhere, shift - _average(shift, everywhere), 0)
    spread = np.square(away).sum(axis=1, keepdims=True)
    wider = _average(total / np.maximum(total - 2, 1), everywhere)
    factor = np.minimum(_share(np.maximum(number - 3, 0) * noise * wider, spread), 1)
    return found.mean - common["scale"] * factor * away


def _priors(logs: np.ndarray, sampling: np.ndarray, known: np.ndarray, overlap: np.ndarray) -> Common:
    """Return mean and variance of the levels of domains, and the variance of features about them."""
    number, some = known.sum(axis=1, keepdims=True), known.any(axis=1)
    own, error = _average(logs, known), _average(sampling, known)
    level = _mean(own[some])
    between = np.square(own[some] - level).sum() / max(some.sum() - 1, 1) - _mean(error[some]) * overlap
    # Of all domains together: that of one domain, of a few rows, is too uncertain. Those with more rows tell more.
    trust = _share(1.0, np.square(error))
    spread = np.square(np.where(known, logs - own, 0)).sum(axis=1, keepdims=True)
    freedom = np.maximum(number - 1, 0)
    left = _share(freedom.sum(), freedom.sum() - 2) * _share((trust * spread).sum(), (trust * freedom).sum())
    among = (
        left - _share((trust * freedom * error).sum(), (trust * freedom).sum()) if freedom.sum() > 2 else MOST
    )
    return {"level": level, "between": np.maximum(between, 0), "among": np.clip(among, LEAST, MOST)}


def _ratio(found: _Measured, common: Common, *, inside: bool) -> np.ndarray:
    """Return the shrunken deviations in units of the features; plain ones where nothing is known of others."""
    logs, sampling, known = _logs(found, common, inside=inside)
    own, error = _average(logs, known), _average(sampling, known) * common["overlap"]
    level = own - _share(error, error + common["between"]) * (own - common["level"])
    freedom = 2 * _trigamma_inverse(common["among"])
    prior = np.exp(level + digamma(freedom / 2) - np.log(freedom / 2))
    share = found.freedom / (found.freedom + freedom)
    plain = found.variance / common["scale"] ** 2
    shrunk = prior + share * (plain * np.exp(level - own) - prior)
    return np.sqrt(np.where(known, shrunk, plain))


def _logs(found: _Measured, common: Common, *, inside: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the logarithms of the variances in units of the features, their sampling variances, and which exist.

    Bias and sampling variance are those of the logarithm of a variance over another one: of the domains that it is
    a part of (``inside``), a beta variable, or of others, an F variable.
    """
    total = common["freedom"]
    known = found.varies & (total > (found.freedom if inside else 0))
    own, whole = found.freedom / 2, np.maximum(total, 1) / 2
    bias = digamma(own) - np.log(own) - digamma(whole) + np.log(whole)
    logs = np.log(np.where(known, found.variance, 1) / common["scale"] ** 2) - bias
    sampling = polygamma(1, own) + (-1 if inside else 1) * polygamma(1, whole)
    return logs, sampling, known


def _overlap(within: list[np.ndarray]) -> np.ndarray:
    """Return the mean squared correlation of features, by the products of rows of different domains."""
    most = max(ROWS // len(within), 1)
    some = [part[:most] for part in within[:ROWS]]
    rows, domain = np.concatenate(some), np.repeat(np.arange(len(some)), [len(part) for part in some])
    length, others = np.square(rows).sum(axis=1), domain[:, None] != domain
    pairs = np.square(rows @ rows.T)[others].sum()
    return np.clip(_share(pairs, np.outer(length, length)[others].sum()), 1 / rows.shape[1], 1)


def _average(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return the average over the features of every domain, (domains, 1); 0 of none."""
    number = np.maximum(where.sum(axis=1, keepdims=True), 1)
    return np.where(where, values, 0).sum(axis=1, keepdims=True) / number


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean, 0 of none."""
    return np.asarray(values.sum() / max(len(values), 1))


def _share(part: Any, whole: Any) -> np.ndarray:
    """Return a quotient, 0 where nothing is divided."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), 0)


def _trigamma_inverse(values: np.ndarray) -> np.ndarray:
    """Return where the trigamma function has these values, by Newton's method on its reciprocal.

    Examples
    --------
    >>> polygamma(1, _trigamma_inverse(np.array([1e-8, 0.1, 5.0]))).round(8).tolist()
    [1e-08, 0.1, 5.0]
    """
    x = 0.5 + 1 / values
    for _ in range(20):
        trigamma = polygamma(1, x)
        x = x + trigamma * (1 - trigamma / values) / polygamma(2, x)
    return x
