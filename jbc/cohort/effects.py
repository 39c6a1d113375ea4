"""Effects of domains, told apart from differences between populations. Host code, NumPy only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jbc.cohort.composition import APART
from jbc.numerics.mixtures import Mixture, fit_mixture, split, splits, two_way, whitening

FEWEST = 20  # rows for every population that is looked for
POPULATIONS = (2, 3, 4, 6, 8)
NEAR_TIE, LIKELY = 0.02, 0.3  # of the bound, per row: solutions of one number of populations, and of all
CELL, CELL_SHARE = 5, 0.02  # rows, and part of its domain, of a population that counts as being there
DISTINCT, SMALL = 0.6, 1.0
FREE, PARALLEL, LARGE = 3, 0.06, 2.5


def search(y: np.ndarray, domain: np.ndarray, groups: np.ndarray) -> tuple[Mixture, Mixture] | None:
    """Return the best mixture whose effects are told apart from its populations, and the same with equal shares.

    Numbers of populations go in the order of their bounds; for each, solutions whose bounds nearly tie. Groups that
    are known in several domains tell effects from populations before any estimate.
    """
    linked, found = told_by_groups(domain, groups), []
    for starts, allowed in _starts(y, domain, groups, linked):
        each = [(fit_mixture(y, domain, start, allowed), allowed) for start in starts]
        each.sort(key=lambda one: -one[0].bound)
        found.append([one for one in each if one[0].bound > each[0][0].bound - NEAR_TIE * len(y)])
    found.sort(key=lambda near: -near[0][0].bound)
    likely = [near for near in found if near[0][0].bound > found[0][0][0].bound - LIKELY * len(y)]
    ranked = [one for near in likely for one in near]
    tests = (small_effects, parallel_effects)
    told = ranked if linked else (one for test in tests for one in ranked if test(y, domain, one[0]))
    best, allowed = next(iter(told), (None, None))
    return best and (best, fit_mixture(y, domain, best.membership, allowed, tied=True))


def told_by_groups(domain: np.ndarray, groups: np.ndarray) -> bool:
    """Return whether known groups, two at least, occur in several domains: what they show is an effect."""
    pairs = {(g, k) for g, k in zip(domain.tolist(), groups.tolist(), strict=True) if k >= 0}
    several = {k for _, k in pairs if sum(other == k for _, other in pairs) > 1}
    return len(several) > 1


def _starts(
    y: np.ndarray, domain: np.ndarray, groups: np.ndarray, linked: bool
) -> Iterator[tuple[list[np.ndarray], np.ndarray | None]]:
    """Yield memberships to start from, and which are allowed, for every number of populations.

    Populations are looked for among rows as measured, centred, and scaled, among those of a finer mixture, and by
    shifts that bring every domain onto the populations of one.
    """
    parts = [y[domain == g] for g in range(domain.max() + 1)]
    mean, scale = (np.stack([f(own, axis=0) for own in parts]) for f in (np.mean, np.std))
    centred = y - mean[domain]
    scale = np.where(scale > 0, scale, 1)
    views = (y, centred, centred / scale[domain] * scale.mean(axis=0))
    codes = np.unique(groups[groups >= 0])
    if len(codes) > 1:
        for each in (1,) if linked else (1, 2, 3):
            allowed = np.repeat((groups[:, None] == codes) | (groups[:, None] < 0), each, axis=1)
            starts = [_from_groups(view, groups, codes, each, allowed) for view in views]
            centres = _centres(y, domain, starts[1], groups >= 0)
            yield [*starts, _matched(y, domain, centres, allowed)], allowed
        return
    numbers = [number for number in POPULATIONS if number * FEWEST <= len(y)]
    divided = [splits(view, numbers) for view in views]
    fine, largest = fit_mixture(y, domain, divided[0][-1]), max(parts, key=len)
    for at, number in enumerate(numbers):
        starts = [*(view[at] for view in divided), _merged(y, fine, number)]
        centres = _means(largest, split(largest, number).argmax(axis=1), number)
        yield [*starts, _matched(y, domain, centres, np.ones((len(y), number), bool))], None


def _merged(y: np.ndarray, fine: Mixture, number: int) -> np.ndarray:
    """Return memberships where the populations of a finer mixture are merged by Ward's criterion, as measured."""
    r = fine.membership[:, fine.membership.sum(axis=0) > 1]
    y = y @ whitening(fine.covariance)
    while r.shape[1] > number:
        count = r.sum(axis=0)
        mean = r.T @ y / count[:, None]
        cost = np.square(mean[:, None] - mean).sum(axis=2) / (1 / count[:, None] + 1 / count)
        i, j = np.unravel_index(np.where(np.eye(len(count)), np.inf, cost).argmin(), cost.shape)
        r = np.delete(np.where(np.arange(r.shape[1]) == i, (r[:, i] + r[:, j])[:, None], r), j, axis=1)
    return r


def _centres(y: np.ndarray, domain: np.ndarray, member: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return means of populations, without effects of domains, from rows whose populations are known."""
    where = np.eye(domain.max() + 1)[domain[known]]
    sums = np.stack([(member[known] * own[:, None]).T @ y[known] for own in where.T])
    return two_way(where.T @ member[known], sums)[0]


def _matched(y: np.ndarray, domain: np.ndarray, centres: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return memberships of rows, where every domain is shifted so that it lies best on the centres of populations.

    Tried are all shifts that bring one of its groups onto one of the centres.
    """
    parts = [y[domain == g] for g in range(domain.max() + 1)]
    groups = [split(own, len(centres)).argmax(axis=1) for own in parts]
    means = [_means(own, group, len(centres)) for own, group in zip(parts, groups, strict=True)]
    # In deviations within groups, so that axes along which populations differ by little count as well.
    rest = np.concatenate([own - mean[group] for own, mean, group in zip(parts, means, groups, strict=True)])
    axes = whitening(rest.T @ rest / len(y) + 1e-6 * np.diag(y.var(axis=0)))
    goals, member = centres @ axes, np.zeros((len(y), len(centres)))
    for g, (own, mean) in enumerate(zip(parts, means, strict=True)):
        own, may, best = own @ axes, allowed[domain == g], (np.inf, np.zeros(len(own), int))
        for shift in (mean[:, None] @ axes - goals).reshape(-1, y.shape[1]):
            there = goals + shift
            away = np.where(may, np.square(there).sum(axis=1) - 2 * own @ there.T, np.inf)
            cost = float(away.min(axis=1).sum())
            best = (cost, away.argmin(axis=1)) if cost < best[0] else best
        member[domain == g] = np.eye(len(centres))[best[1]]
    return member


def _means(y: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Return the mean of every group; of one without rows, that of all."""
    parts = [y[group == k] for k in range(groups)]
    return np.stack([(own if len(own) else y).mean(axis=0) for own in parts])


def _from_groups(
    y: np.ndarray, groups: np.ndarray, codes: np.ndarray, each: int, allowed: np.ndarray
) -> np.ndarray:
    """Return memberships to start from where groups are known: the nearest of ``each`` populations of a group."""
    parts = [y[groups == code] for code in codes]
    mean = np.concatenate([_means(own, split(own, each).argmax(axis=1), each) for own in parts])
    away = np.square(mean).sum(axis=1) - 2 * y @ mean.T
    return np.eye(len(mean))[np.where(allowed, away, np.inf).argmin(axis=1)]


def small_effects(y: np.ndarray, domain: np.ndarray, mixture: Mixture) -> bool:
    """Return whether effects are so small that populations are recognised by where they lie.

    So that most of what domains share is clearly nearer to its own population in other domains than to any other one.
    """
    cells = _means_of_cells(y, domain, mixture)
    effect, between, _, _ = _two_way_table(*cells)
    return effect < SMALL * between and _nearest_is_own(*cells)


def parallel_effects(y: np.ndarray, domain: np.ndarray, mixture: Mixture) -> bool:
    """Return whether several populations show the same effects, not much larger than what populations differ by."""
    cells = _means_of_cells(y, domain, mixture)
    effect, between, residual, free = _two_way_table(*cells)
    most = (len(np.unique(cells[0])) - 1) * (len(np.unique(cells[1])) - 1)
    return free >= max(FREE, most / 3) and residual < PARALLEL and effect < LARGE * between


def _means_of_cells(
    y: np.ndarray, domain: np.ndarray, mixture: Mixture
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return domain, population, number of rows and mean of what is found where, in deviations within populations."""
    r = mixture.membership
    count = np.eye(domain.max() + 1)[domain].T @ r
    there = count >= np.maximum(CELL, CELL_SHARE * count.sum(axis=1, keepdims=True))
    place, kind = np.nonzero(there)
    mean, within = [], 0.0
    for g, k in zip(place, kind, strict=True):
        own = r[:, k] * (domain == g)
        mean.append(own @ y / own.sum())
        rest = y - mean[-1]
        within = within + (rest * own[:, None]).T @ rest
    within = within / count[there].sum()
    axes = whitening(within + 1e-6 * np.trace(within) / len(within) * np.eye(len(within)))
    return place, kind, count[there], np.stack(mean) @ axes


def _two_way_table(
    place: np.ndarray, kind: np.ndarray, count: np.ndarray, mean: np.ndarray
) -> tuple[float, float, float, int]:
    """Return the mean squares of effects, of populations, and of what is left (in units of all), and its freedom."""
    g, k = (np.unique(code, return_inverse=True)[1] for code in (place, kind))
    design = np.hstack([np.eye(k.max() + 1)[k], np.eye(g.max() + 1)[g]])
    weight = np.sqrt(1 / (1 / count + APART))[:, None]
    found = np.linalg.pinv(design * weight) @ (mean * weight)
    rest = mean - design @ found
    free = len(mean) - int(np.linalg.matrix_rank(design))
    noise = (mean.shape[1] / count).mean()
    total = np.square(mean - mean.mean(axis=0)).sum() / max(len(mean) - 1, 1)
    left = max(np.square(rest).sum() / free - noise, 0) / total if free else np.inf
    kinds, places = found[: k.max() + 1], found[k.max() + 1 :]
    between, effect = (
        np.square(part - part.mean(axis=0)).sum() / max(len(part) - 1, 1) for part in (kinds, places)
    )
    return float(effect), float(between), float(left), free


def _nearest_is_own(place: np.ndarray, kind: np.ndarray, count: np.ndarray, mean: np.ndarray) -> bool:
    """Return whether, in every domain, most of what it shares has its own population for the nearest elsewhere.

    By a distance that is clearly the smallest: no more than 0.6 of that to the nearest other population elsewhere.
    """
    square = np.square(mean[:, None] - mean).sum(axis=2) - mean.shape[1] * (1 / count[:, None] + 1 / count)
    away = np.sqrt(np.maximum(square, 0))
    elsewhere, same = place[:, None] != place, kind[:, None] == kind
    own = np.where(elsewhere & same, away, np.inf).min(axis=1)
    other = np.where(elsewhere & ~same, away, np.inf).min(axis=1)
    shared = np.isfinite(own)
    clear = shared & np.isfinite(other) & (own <= DISTINCT * other)
    return all(
        (count * clear)[place == g].sum() > 0.5 * (count * shared)[place == g].sum() > 0
        for g in np.unique(place)
    )
