"""How the composition of a cohort is estimated. Host code, NumPy only.

Effects of domains and differences between populations look alike: a table of two domains without anything in common
is also one of two domains with a large effect. So effects are believed only where something tells them apart from
populations (:mod:`jbc.cohort.effects`), and domains are left as they are where nothing does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from jbc.cohort import composition
from jbc.cohort.cohort import Cohort
from jbc.cohort.composition import Composition
from jbc.cohort.composition_words import of_few
from jbc.cohort.discriminants import directions
from jbc.cohort.effects import search, told_by_groups
from jbc.cohort.groups import shared_treatments
from jbc.cohort.likeness import FAR, SLIGHT_SHIFT, differ, distance, same_shape
from jbc.errors import warn
from jbc.numerics.linalg import principal_axes
from jbc.numerics.mixtures import memberships, whitening

FEWEST, MOST = 20, 100  # rows of a domain that tell something of its mixture, and domains
LEAST, FEW, APART = (
    5,
    50,
    2.0,
)  # rows that tell a scale, rows that tell little, and deviations between domains then
SAMPLE, VALUES = 2500, 4_000_000  # rows that are looked at, and values
AXES = 15  # principal components
BLOCK = 1 << 16  # rows whose memberships are computed at a time
UNEQUAL = 20.0  # evidence for shares that differ by domain, in nats
SLIGHT_SHARE, SLIGHT_GROUP = 0.05, 0.1  # differences of shares: of estimated populations, and of known groups


def describe(cohort: Cohort, seen: Callable[[np.ndarray], np.ndarray] = np.asarray) -> Composition | None:
    """Return the composition of a cohort, or None where its domains hold the same mixture as far as one can tell.

    Parameters
    ----------
    cohort
        Its rows, of which those of weight k count k times. Treatments that domains share, two or more, are known
        populations, or else labels.
    seen
        What a method compares of rows: their logarithms, say.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> one, two = draw.normal(size=(100, 2)), draw.normal(size=(100, 2)) + 9
    >>> x = np.concatenate([one, two[:10], one[:20] + 0.5, two + 0.5])
    >>> found = describe(Cohort.from_arrays(x, ["a"] * 110 + ["b"] * 120))
    >>> found.verdict, np.sort(100 * found.shares, axis=1).round().tolist()
    ('shared', [[9.0, 91.0], [17.0, 83.0]])
    """
    weight, where = np.asarray(cohort.weight), np.asarray(cohort.domain)
    counts = np.bincount(np.repeat(where, weight), minlength=len(cohort.domains.count))
    if len(counts) < 2 or counts.min() < LEAST:
        return None
    few = counts.min() < FEWEST
    if len(counts) > MOST:
        if not few:
            warn(
                f"{len(counts)} domains: what they share is not estimated for more than {MOST}, and they are taken "
                'for the same mixture. If that is by design, say composition="assume-equal"; if not, name '
                "populations by Cohort.with_populations."
            )
        return None
    chosen = np.repeat(np.arange(len(weight)), weight)[_sample(counts, cohort.x.shape[1])]
    rows, domain, groups = seen(np.asarray(cohort.x)[chosen]), where[chosen], known_groups(cohort)[chosen]
    unit = np.unique(np.asarray(cohort.unit)[chosen], return_inverse=True)[1]
    space = Space.of(rows, domain, groups)
    y = space.scores(rows, domain)
    if not y.shape[1]:  # nothing varies
        return None
    if few or (equal_groups(groups, domain) and same_shape(rows, domain, unit, groups)):
        if counts.min() < FEW and not told_by_groups(domain, groups):
            _warn_if_far_apart(rows, domain, y, counts)
        return None if few or differ(y, domain, unit) else alone(cohort)
    found = search(y, domain, groups)
    if found is None:
        return apart(cohort)
    mixture, tied = found
    slight = np.sqrt(np.square(mixture.effect @ whitening(mixture.covariance)).mean()) < SLIGHT_SHIFT
    evidence = (mixture.bound - tied.bound) * len(np.unique(unit)) / len(unit)
    if evidence < UNEQUAL or _variation(_shares(mixture.membership, domain)) < SLIGHT_SHARE:
        return alone(cohort) if slight else None
    starts = range(0, len(where), BLOCK)
    blocks = ((seen(np.asarray(cohort.x)[at : at + BLOCK]), where[at : at + BLOCK]) for at in starts)
    membership = np.concatenate([memberships(mixture, space.scores(*block), block[1]) for block in blocks])
    moves = np.full(len(counts), not slight)
    return composition.make(membership, where, weight, moves, "none" if slight else "shared")


def _sample(counts: np.ndarray, features: int) -> np.ndarray:
    """Return positions of rows to look at: of all domains alike, evenly over their rows."""
    each = max(min(SAMPLE, VALUES // features) // len(counts), 2 * FEWEST)
    ends = np.cumsum(counts)
    parts = [np.linspace(end - n, end - 1, min(n, each)).round() for n, end in zip(counts, ends, strict=True)]
    return np.concatenate(parts).astype(int)


@dataclasses.dataclass(frozen=True)
class Space:
    """Principal components of features in units of their scale within domains, without far values.

    And directions beside them along which known groups differ.
    """

    features: np.ndarray
    median: np.ndarray
    unit: np.ndarray
    axes: np.ndarray
    centre: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, domain: np.ndarray, groups: np.ndarray) -> Space:
        """Measure the space of rows."""
        rows = [x[domain == g].astype(float) for g in range(domain.max() + 1)]
        median = np.stack([np.median(own, axis=0) for own in rows])
        unit = np.sqrt(np.mean([own.var(axis=0) for own in rows], axis=0))
        features = np.flatnonzero(unit > 1e-6 * np.abs(x - median.mean(axis=0)).max(axis=0, initial=0))
        empty = np.zeros((len(features), 0))
        space = cls(features, median[:, features], unit[features], empty, np.zeros(len(features)))
        z = space.values(x, domain)
        centre = z.mean(axis=0)
        size, axes = principal_axes(z - centre, min(AXES, max(len(x) // FEWEST, 2)))
        axes = axes[:, size > 1e-6 * size[:1]]
        told = directions(z, domain, groups)
        more, beyond, _ = np.linalg.svd(told - axes @ (axes.T @ told), full_matrices=False)
        more = more[:, beyond > 0.1 * np.linalg.norm(told, axis=0).max(initial=0)]
        return dataclasses.replace(space, axes=np.hstack([axes, more]), centre=centre)

    def scores(self, x: np.ndarray, domain: np.ndarray) -> np.ndarray:
        """Return the components of rows, (n, p)."""
        return (self.values(x, domain) - self.centre) @ self.axes

    def values(self, x: np.ndarray, domain: np.ndarray) -> np.ndarray:
        """Return the features of rows in units of their scale, far values cut."""
        level = (self.median - self.median.mean(axis=0)) / self.unit
        near = (x[:, self.features] - self.median[domain]) / self.unit
        return np.clip(near, -FAR, FAR) + level[domain]


def known_groups(cohort: Cohort) -> np.ndarray:
    """Return codes of what is known to be the same in several domains, (n,): treatments, or else labels; or -1.

    Examples
    --------
    >>> known_groups(Cohort.from_arrays([[0.0], [1.0], [2.0]], list("abc"), label=["x", "y", ""])).tolist()
    [0, 1, -1]
    """
    treatment, shared = np.asarray(cohort.treatment), shared_treatments(cohort.cells)
    if len(shared) > 1:  # a single one, such as the controls, tells effects from nothing
        return np.where(np.isin(treatment, shared), treatment, -1)
    return np.asarray(cohort.label)


def _warn_if_far_apart(x: np.ndarray, domain: np.ndarray, y: np.ndarray, counts: np.ndarray) -> None:
    """Warn of domains of few rows that lie apart, and by more than random ones do along the axes of so few rows."""
    far, draw, unknown = distance(y, domain), np.random.default_rng(0), np.full(len(x), -1)
    mixed = (draw.permutation(domain) for _ in range(3))
    if far > APART and all(far > 1.5 * distance(Space.of(x, g, unknown).scores(x, g), g) for g in mixed):
        warn(of_few(counts, far))


def _shares(membership: np.ndarray, domain: np.ndarray) -> np.ndarray:
    count = np.eye(domain.max() + 1)[domain].T @ membership
    return count / count.sum(axis=1, keepdims=True)


def _variation(shares: np.ndarray) -> float:
    """Return the largest total variation distance of the shares of a domain from the average ones."""
    return float(0.5 * np.abs(shares - shares.mean(axis=0)).sum(axis=1).max())


def equal_groups(groups: np.ndarray, domain: np.ndarray) -> bool:
    """Return whether the domains in which groups are known have about the same shares of them."""
    known = groups >= 0
    if not known.any():
        return True
    place, codes = (np.unique(code[known], return_inverse=True)[1] for code in (domain, groups))
    return _variation(_shares(np.eye(codes.max() + 1)[codes], place)) < SLIGHT_GROUP


def alone(cohort: Cohort) -> Composition:
    """Return the composition of a cohort without any effect of domains, whose mixtures are the same."""
    n, domains = len(cohort.domain), len(cohort.domains.count)
    moves = np.zeros(domains, bool)
    return composition.make(
        np.ones((n, 1)), np.asarray(cohort.domain), np.asarray(cohort.weight), moves, "none"
    )


def apart(cohort: Cohort) -> Composition:
    """Return the composition of domains of which nothing tells what they share: nothing, then."""
    where, moves = np.asarray(cohort.domain), np.zeros(len(cohort.domains.count), bool)
    return composition.make(np.eye(len(moves))[where], where, np.asarray(cohort.weight), moves, "unknown")
