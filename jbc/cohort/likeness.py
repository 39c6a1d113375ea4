"""Whether domains can be told apart: as measured, or once each is centred and scaled. Host code, NumPy only."""

from __future__ import annotations

import numpy as np

from jbc.cohort.discriminants import scores
from jbc.numerics.linalg import principal_axes

FAR = 5.0  # deviations from the mean, beyond which values are cut
SLIGHT_SHIFT, SLIGHT_SCALE, SLIGHT_SHAPE = 0.1, 0.15, 0.005
CHANCES, CLEAR = 20, 3.0  # random domains, and deviations beyond what these show


def same_shape(x: np.ndarray, domain: np.ndarray, unit: np.ndarray, groups: np.ndarray) -> bool:
    """Return whether domains cannot be told apart once their features are centred and scaled.

    By covariances and third moments along principal axes, and along the directions in which known groups differ,
    beside what random domains of the same sizes give, of whole units. Groups that are not known have the code -1.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> one, two = draw.normal(size=(200, 2)), draw.normal(size=(200, 2)) + 9
    >>> same_shape(np.concatenate([one, two]), np.repeat([0, 1], 200), np.arange(400), np.full(400, -1))
    True
    >>> two[:20] -= 6
    >>> same_shape(np.concatenate([one, two]), np.repeat([0, 1], 200), np.arange(400), np.full(400, -1))
    False
    """
    z = _standardised(x, domain)
    if not z.shape[1]:
        return True
    told = _standardised(scores(z, domain, groups, unit), domain)
    # Few rows tell little about many covariances.
    size, axes = principal_axes(z, min(10, max(len(z) // (8 * (int(domain.max()) + 1)), 2)))
    kept = int((size > 1e-6 * size[0]).sum())
    z = z @ (axes[:, :kept] / size[:kept]) * np.sqrt(len(z))
    first, draw = np.unique(unit, return_index=True)[1], np.random.default_rng(0)
    mixed = [draw.permutation(domain[first])[unit] for _ in range(CHANCES)]
    # What few axes show, many hide among what they show by chance.
    views = [z[:, : min(3, kept)], z[:, :kept], told]
    return all(_like_chance(view, domain, mixed) for view in views if view.shape[1])


def _like_chance(z: np.ndarray, domain: np.ndarray, mixed: list[np.ndarray]) -> bool:
    """Return whether domains are no farther apart than random ones, or only slightly."""
    chance = [_shape_distance(z, each) for each in mixed]
    beyond = _shape_distance(z, domain) - np.mean(chance)
    return bool(beyond < max(CLEAR * np.std(chance), SLIGHT_SHAPE * z.shape[1]))


def _standardised(x: np.ndarray, domain: np.ndarray) -> np.ndarray:
    """Return the features that vary in every domain, centred and scaled there, without far values."""
    parts = [x[domain == g].astype(float) for g in range(domain.max() + 1)]
    mean, scale = (np.stack([f(own, axis=0) for own in parts]) for f in (np.mean, np.std))
    varies = (scale > 1e-6 * np.abs(mean)).all(axis=0) & (scale > 0).all(axis=0)
    return np.clip((x[:, varies] - mean[domain][:, varies]) / scale[domain][:, varies], -FAR, FAR)


def _shape_distance(z: np.ndarray, domain: np.ndarray) -> float:
    """Return how far the covariances and third moments of domains are from those of all, per row."""
    total, n, p = 0.0, len(z), z.shape[1]
    whole = np.cov(z.T, bias=True).reshape(p, p) + 1e-6 * np.eye(p)
    skew = (z**3).mean(axis=0)
    for g in range(domain.max() + 1):
        own = z[domain == g]
        if len(own) > p:
            covariance = np.cov(own.T, bias=True).reshape(p, p) + 1e-6 * np.eye(p)
            total += len(own) / n * (np.linalg.slogdet(whole)[1] - np.linalg.slogdet(covariance)[1]) / 2
        total += len(own) / n * np.square((own**3).mean(axis=0) - skew).sum() / 30
    return total


def differ(y: np.ndarray, domain: np.ndarray, unit: np.ndarray) -> bool:
    """Return whether the means or the scales of domains differ by more than chance, and by more than slightly.

    Examples
    --------
    >>> y, domain = np.random.default_rng(0).normal(size=(400, 2)), np.repeat([0, 1], 200)
    >>> differ(y, domain, np.arange(400)), differ(y + 2 * domain[:, None], domain, np.arange(400))
    (False, True)
    """
    shift, variance, within = _moments(y, domain)
    chance = (_effective(unit, domain)[:, None] ** -1.0).mean() * 2
    with np.errstate(divide="ignore"):  # scales of a feature that only some domains lack differ without bound
        apart = np.log(np.where(within > 0, variance, 1) / np.where(within > 0, within, 1)) / 2
    scales = np.square(apart).mean(axis=0)
    doubt = 1 + 3 * np.sqrt(2 / max(y.shape[1] * (len(variance) - 1), 1))
    return bool(
        shift.mean() > max(SLIGHT_SHIFT**2, chance / 2 * doubt)
        or scales.mean() > max(SLIGHT_SCALE**2, chance * doubt)
    )


def distance(y: np.ndarray, domain: np.ndarray) -> float:
    """Return how far domains lie from their middle, in deviations of rows within them.

    Examples
    --------
    >>> y, domain = np.random.default_rng(0).normal(size=(4000, 2)), np.repeat([0, 1], 2000)
    >>> round(distance(y + 8 * domain[:, None], domain), 1)
    5.7
    """
    return float(np.sqrt(_moments(y, domain)[0].sum()))


def _moments(y: np.ndarray, domain: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean squared shifts in units of the variance within domains, variances (D, p), and their mean."""
    parts = [y[domain == g] for g in range(domain.max() + 1)]
    mean, variance = (np.stack([f(own, axis=0) for own in parts]) for f in (np.mean, np.var))
    within = variance.mean(axis=0)
    shift = np.square(mean - mean.mean(axis=0)).mean(axis=0) / np.where(within > 0, within, 1)
    return shift, variance, within


def _effective(unit: np.ndarray, domain: np.ndarray) -> np.ndarray:
    """Return the number of independent rows of every domain: that of its units."""
    return np.array([len(np.unique(unit[domain == g])) for g in range(domain.max() + 1)])
