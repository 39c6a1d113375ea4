"""Why aligning the controls does not help BBBC021: maps fitted on one half of the wells, judged on the other."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

import jbc
from experiments.wasserstein import screens
from experiments.wasserstein.page import AGREE, HELD_OUT, MOVED, OTHER_WEEK, SAME_WEEK, SEEN
from jbc import metrics
from jbc.methods.base import Method
from jbc.methods.settings import AdversarialTraining

UPDATES = 100  # Moderate: longer training moves the treatments even further.


def diagnosis(splits: int) -> list[dict]:
    """Return rows about every method fitted on either half of the wells: what the two maps do to all wells."""
    screen, plate = screens.load_wells("bbbc021")
    ready = screens.prepare(screen, plate)
    told = defaultdict(list, {("BBBC021", name): [share] for name, share in design(screen).items()})
    for seed in range(1, splits + 1):
        for name, screen, method, shared in cases(ready, seed):
            half = halves(screen, seed)
            both = [(seen, fitted_on(method, screen, seen, shared=shared)) for seen in (half, ~half)]
            values = [effect(screen, x, seen) for seen, x in both]
            if method is not None:
                values += movement(screen, *(x for _, x in both))
            for each in values:
                for metric, value in each.items():
                    told[name, metric].append(value)
    return [
        screens.screen_row("diagnosis", name, metric, np.mean(each), np.array(each))
        for (name, metric), each in told.items()
    ]


def cases(
    ready: dict[str, screens.Screen], seed: int
) -> Iterator[tuple[str, screens.Screen, Method | None, bool]]:
    """Yield screens, what they are corrected by, and whether all shared treatments take part."""
    training = AdversarialTraining(updates=UPDATES).over(screens.CRITICS.training)
    critics = dataclasses.replace(screens.CRITICS, training=training)
    closed = dataclasses.replace(screens.CLOSED, updates=UPDATES)
    # At one rate, as in print.
    ours = jbc.WassersteinAlignment(fan_in_rate=False, training=AdversarialTraining(rows=24, updates=800))
    for name, screen in ready.items():
        yield name, screen, None, False
        yield f"{name}, CORAL", screen, screens.WHITE, False
        yield f"{name}, centred", screen, screens.CENTRE, False
        yield f"{name}, z-score", screen, screens.ZSCORE, False
        yield f"{name}, ours, critics", screen, critics, False
        yield f"{name}, ours, Gaussian", screen, closed, False
    name, screen = "simulated screen", screens.simulate(seed)[0]
    yield name, screen, None, False
    yield f"{name}, centred", screen, screens.CENTRE, False
    yield f"{name}, ours, controls alone", screen, ours, False
    yield f"{name}, ours, all shared treatments", screen, ours, True


def halves(screen: screens.Screen, seed: int) -> np.ndarray:
    """Return a mask of one half of the wells of every treatment and domain."""
    rng, chosen = np.random.default_rng(seed), np.zeros(len(screen.x), bool)
    names = np.char.add(np.char.add(screen.treatment.astype(str), "\t"), screen.domain.astype(str))
    for name in np.unique(names):
        rows = rng.permutation(np.flatnonzero(names == name))
        chosen[rows[: len(rows) // 2]] = True
    return chosen


def fitted_on(method: Method | None, screen: screens.Screen, seen: np.ndarray, *, shared: bool) -> np.ndarray:
    """Return all rows, corrected by maps that were fitted to some of them."""
    if method is None:
        return screen.x
    part = screens.Screen(*(each[seen] for each in screen))
    treatment = part.treatment if shared else None
    model = jbc.Corrector(method, random_state=0)
    model.fit(part.x, domain=part.domain, treatment=treatment, control=part.control)
    return np.asarray(model.transform(screen.x, domain=screen.domain), np.float64)


def effect(screen: screens.Screen, x: np.ndarray, seen: np.ndarray) -> dict[str, float]:
    """Return what is left between domains, and how often the nearest neighbour has the same mechanism."""
    found = {SEEN: between(screen, x, seen), HELD_OUT: between(screen, x, ~seen)}
    for name, far in screens.NEIGHBOURS.items():
        told = metrics.mechanism_knn(
            screens.centre_on_controls(x, screen), **screen.about, across_domains=far, k=(1,)
        )
        found[f"{name} 1"] = float(told.score[0])
    return found


def between(screen: screens.Screen, x: np.ndarray, rows: np.ndarray) -> float:
    """Return an unbiased estimate of the share of the variance of controls that lies between domains."""
    parts = [x[rows & screen.control & (screen.domain == domain)] for domain in np.unique(screen.domain)]
    within = np.array([part.var(axis=0, ddof=1).sum() for part in parts])
    error = np.mean(within / [len(part) for part in parts])
    among = np.var([part.mean(axis=0) for part in parts], axis=0, ddof=1).sum() - error
    return float(among / (among + within.mean()))


def movement(screen: screens.Screen, *corrected: np.ndarray) -> list[dict[str, float]]:
    """Return how far two corrections move the treatments, and the cosine between their displacements."""
    before, one, two = (
        screens.centre_on_controls(x, screen)[~screen.control]
        for x in (screen.x, *(x - screen.x for x in corrected))
    )
    lengths = [float(np.linalg.norm(each) / np.linalg.norm(before)) for each in (one, two)]
    cosine = float((one * two).sum() / (np.linalg.norm(one) * np.linalg.norm(two)))
    return [*({MOVED: length} for length in lengths), {AGREE: cosine}]


def design(screen: screens.Screen) -> dict[str, float]:
    """Return how often two compounds have the same mechanism, within a week and between weeks."""
    points = metrics.mechanism_silhouette(screen.x, **screen.about).points
    compound, mechanism, week = (
        np.equal.outer(each, each) for each in (points.compound, points.mechanism, points.domain)
    )
    return {
        SAME_WEEK: float(mechanism[~compound & week].mean()),
        OTHER_WEEK: float(mechanism[~compound & ~week].mean()),
    }
