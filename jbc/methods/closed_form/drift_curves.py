r"""Smooth curves along a run, of all features of a domain, shrunk towards constants. Host code, NumPy only.

How smooth a curve is, and how much of it is believed, is decided by cross-validation: every place of the run is
predicted from the others, by a constant and by the curves of all spans. One span is chosen for all features of a
domain, since a few controls cannot choose one for each. Of the curve, a part :math:`0 \le s_f \le 1` is kept,

.. math:: \hat y_f(t) = m_f + s_f\,(c_f(t) - \bar c_f),

where :math:`s_f` is what least squares over the predictions say of the feature, shrunk towards what they say of all
features together, the more the less the feature's own predictions tell (empirical Bayes). Where curves predict no
better than constants, by more than the standard error over places, what all features say is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jbc.methods.closed_form.drift_rows import Rows
from jbc.numerics.smoothing import (
    HUBER,
    huber,
    local_regression,
    robust_weights,
    scale,
)

# Places that a feature needs in a domain: for a line, for a curve.
LINE, CURVE = 3, 5
# More places are merged with their neighbours: a smooth curve needs no more, and all pairs of places are compared.
MOST = 150
SHARES = np.linspace(0, 1, 21)


class Run(NamedTuple):
    """What was measured along the run of one domain: places, the mean there, and the number of values, (p, d)."""

    place: np.ndarray
    mean: np.ndarray
    count: np.ndarray


def along(place: np.ndarray, rows: np.ndarray, there: np.ndarray, most: int = MOST) -> Run:
    """Return the means of the rows at every place, of which many are merged with their neighbours.

    Parameters
    ----------
    place, rows, there
        Places, (n,), measurements, (n, d), and 1 where these are known, else 0, (n, d).
    most
        Number of places.

    Examples
    --------
    >>> run = along(np.array([2.0, 1.0, 2.0]), np.array([[1.0], [5.0], [3.0]]), np.ones((3, 1)))
    >>> run.place.tolist(), run.mean[:, 0].tolist(), run.count[:, 0].tolist()
    ([1.0, 2.0], [5.0, 2.0], [1.0, 2.0])
    """
    places, at = np.unique(place, return_inverse=True)
    if len(places) > most:
        at = (np.arange(len(places)) * most // len(places))[at]
        places = np.bincount(at, place) / np.bincount(at)
    total, count = (np.zeros((len(places), rows.shape[1])) for _ in range(2))
    np.add.at(total, at, np.where(there > 0, rows, 0))
    np.add.at(count, at, there.astype(np.float64))
    return Run(places, np.divide(total, count, out=np.zeros_like(total), where=count > 0), count)


def shrunken_curves(run: Run, noise: np.ndarray, spans: Sequence[float], at: np.ndarray) -> np.ndarray:
    """Return the drift of all features at some places, less its mean over the run, (m, d).

    Parameters
    ----------
    run
        What was measured.
    noise
        Standard deviation of a single value about its curve, (d,); a feature where it is 0 has no drift.
    spans
        Shares of the places that the candidates reach to; a straight line is one of them anyway.
    at
        Places, (m,), between the first and the last one of the run.

    Examples
    --------
    >>> t = np.arange(9.0)
    >>> run = along(t, np.stack([t, 0 * t + 5], axis=1), np.ones((9, 2)))
    >>> shrunken_curves(run, np.array([0.1, 0.1]), (), t[[0, 8]]).round(2).tolist()
    [[-4.0, 0.0], [4.0, 0.0]]
    """
    found = np.zeros((len(at), run.mean.shape[1]))
    seen = (run.count > 0).sum(axis=0)
    for least, most, tried in ((LINE, CURVE - 1, ()), (CURVE, np.inf, spans)):
        some = np.flatnonzero((seen >= least) & (seen <= most) & (noise > 0))
        if len(some):
            part = Run(run.place, run.mean[:, some], run.count[:, some])
            found[:, some] = _shrunken(part, noise[some], (np.inf, *tried), at)
    return found


def _shrunken(run: Run, noise: np.ndarray, spans: Sequence[float], at: np.ndarray) -> np.ndarray:
    """Return the same for features that all have places enough."""
    best, least = None, np.inf
    for span in spans:
        counts = run.count * robust_weights(run.place, run.mean, run.count, noise, span)
        error, gain = _predictions(run, counts, noise, span)
        losses = [_loss(error - share * gain).sum() for share in SHARES]
        if min(losses) < least * (1 - 1e-9):
            least = min(losses)
            best = span, counts, error, gain, float(SHARES[int(np.argmin(losses))])
    if best is None:  # all is predicted without an error
        return np.zeros((len(at), len(noise)))
    span, counts, error, gain, share = best
    shares = _shares(error, gain, _convincing(error, gain, share))
    here, curve = (
        np.nan_to_num(local_regression(run.place, run.mean, places, span, weight=counts))
        for places in (run.place, at)
    )
    return shares * (curve - (counts * here).sum(axis=0) / counts.sum(axis=0))


def _predictions(
    run: Run, counts: np.ndarray, noise: np.ndarray, span: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors of predicting a place by the mean of the others, and what the curve adds to the prediction.

    Both in standard deviations of the mean of the values there; 0 where there is none.
    """
    rest = counts.sum(axis=0) - counts
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = ((counts * run.mean).sum(axis=0) - counts * run.mean) / rest
    curve = local_regression(run.place, run.mean, run.place, span, weight=counts, leave_out=True)
    known = (run.count > 0) & np.isfinite(mean) & np.isfinite(curve)
    unit = np.sqrt(run.count) / noise
    return tuple(np.where(known, unit * part, 0) for part in (run.mean - mean, curve - mean))  # pyright: ignore[reportReturnType]


def _loss(error: np.ndarray) -> np.ndarray:
    """Return Huber's loss, to which no outlier adds more than its size."""
    size, k = np.abs(error), 2 * HUBER
    return np.where(size <= k, size**2 / 2, k * size - k**2 / 2)


def _convincing(error: np.ndarray, gain: np.ndarray, share: float) -> float:
    """Return the share, or 0 where places do not agree that it predicts better than nothing."""
    better = (_loss(error) - _loss(error - share * gain)).sum(axis=1)
    return share if better.sum() > better.std() * np.sqrt(len(better)) else 0.0


def _shares(error: np.ndarray, gain: np.ndarray, common: float) -> np.ndarray:
    """Return the share of every feature, (d,), shrunk towards the one that they have in common."""
    counts = huber(error - common * gain, 2 * HUBER)
    told, weight = (counts * gain * error).sum(axis=0), (counts * gain**2).sum(axis=0)
    total = weight.sum()
    if total <= 0:
        return np.zeros(len(weight))
    # What the shares of features vary by beyond the noise of each, 1 / weight, in proportion to what these tell.
    left = np.square(told - common * weight)
    among = max((left.sum() - total) / np.square(weight).sum(), 0.0)
    shares = (common + among * told) / (1 + among * weight)
    return np.clip(shares, 0, 1)


class Curves(NamedTuple):
    """Curves of all domains.

    Attributes
    ----------
    start, width
        Place of the first control of a domain, and how far from it the last one is, (D,).
    drifting
        Number of features that have a curve there, (D,).
    points
        Curves at points as far from each other, (D, K, d).
    """

    start: np.ndarray
    width: np.ndarray
    drifting: np.ndarray
    points: np.ndarray

    @classmethod
    def flat(cls, domains: int, points: int, features: int) -> Curves:
        """Return no drift anywhere."""
        start, width, drifting = np.zeros((3, domains))
        return cls(start, width, drifting, np.zeros((domains, points, features)))

    def at(self, domain: int, place: np.ndarray) -> np.ndarray:
        """Return the curves of a domain at some places, (n, d)."""
        points = self.points[domain]
        if len(points) == 1:
            return np.broadcast_to(points, (len(place), points.shape[1]))
        width = self.width[domain] if self.width[domain] > 0 else 1.0
        share = np.clip((place - self.start[domain]) / width, 0, 1) * (len(points) - 1)
        before = np.minimum(share.astype(int), len(points) - 2)
        return points[before] + (share - before)[:, None] * (points[before + 1] - points[before])

    def draw(self, rows: Rows, domains: np.ndarray, spans: Sequence[float]) -> np.ndarray:
        """Draw the curves of some domains through rows, and return the noise of features in all of these, (d,)."""
        runs = {g: along(*rows.of(g)) for g in domains}
        steps, known = zip(*map(_steps, runs.values()), strict=True)
        noise = scale(np.concatenate(steps), np.concatenate(known))
        for g, run in runs.items():
            self.start[g], self.width[g] = run.place[0], np.ptp(run.place)
            at = np.linspace(run.place[0], run.place[-1], self.points.shape[1])
            self.points[g] = shrunken_curves(run, noise, spans, at)
            self.drifting[g] = (np.ptp(self.points[g], axis=0) > 0).sum()
        return noise


def _steps(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return differences of neighbours, in deviations of a single value, and where they are known; (p - 1, d)."""
    known = (run.count[1:] > 0) & (run.count[:-1] > 0)
    inverse = [1 / np.where(part > 0, part, 1) for part in (run.count[1:], run.count[:-1])]
    return np.diff(run.mean, axis=0) / np.sqrt(inverse[0] + inverse[1]), known
