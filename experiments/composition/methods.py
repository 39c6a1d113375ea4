"""What corrects a world: nothing, Harmony, and methods of jbc with their defaults."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import jbc
from experiments.composition import scores
from experiments.composition.spaces import measure, space
from experiments.composition.tables import World
from jbc.cohort import Cohort
from jbc.methods.base import Classifies, Method, Trainable
from jbc.methods.prepare import Mixtures, prepare

COMPONENTS = 30  # that Harmony is given


class Corrected(NamedTuple):
    """A corrected table: what is scored, how far rows moved, and what the method tells besides.

    ``moved`` is measured in the features, and ``moved_30`` in the first 30 components of the uncorrected table, where
    Harmony can be compared. ``predicted`` are classes by the method's own classifier, ``clusters`` (n, k) Harmony's
    soft clusters, ``verdict`` what the fit found the domains to share. Where the method refused, ``refused`` says why
    and there is no table.
    """

    x: np.ndarray | None = None
    moved: float = np.nan
    moved_30: float = np.nan
    predicted: np.ndarray | None = None
    clusters: np.ndarray | None = None
    verdict: str = ""
    refused: str = ""
    warned: tuple[str, ...] = ()
    seconds: float = 0.0


def nothing(world: World, seed: int, steps: int | None) -> Corrected:
    """Return the rows as they are."""
    del seed, steps
    return Corrected(space(world.x), 0.0, 0.0)


def components(world: World, seed: int, steps: int | None) -> Corrected:
    """Return what Harmony is given."""
    del seed, steps
    return Corrected(space(world.x, COMPONENTS), 0.0, 0.0)


def harmony(world: World, seed: int, steps: int | None) -> Corrected:
    """Return principal components after Harmony with its defaults, and its soft clusters."""
    del steps
    from harmonypy import run_harmony

    before = space(world.x, COMPONENTS)
    done = run_harmony(before, {"domain": world.domain}, "domain", verbose=False, random_state=seed, ncores=1)
    x, clusters = (
        part if len(part) == len(before) else part.T for part in map(np.asarray, (done.Z_corr, done.R))
    )
    return Corrected(x, moved_30=scores.moved(before, x, world.domain), clusters=clusters)


def fitted(
    method: Method,
    world: World,
    seed: int,
    steps: int | None,
    *,
    labels: bool = True,
    mixtures: Mixtures = "estimate",
) -> Corrected:
    """Return the rows after a method of jbc.

    Where a fit finds that no domain moves, rows come out as they came in, and what has no classifier is not trained.
    """
    cohort = Cohort.from_arrays(world.x, world.domain, label=world.label if labels else None, unit=world.unit)
    cohort = prepare(method, cohort, composition=mixtures)
    if cohort.composition is not None and not np.any(cohort.composition.moves):
        steps = steps if isinstance(method, Classifies) else 1
    steps = steps if isinstance(method, Trainable) else None
    model = jbc.fit(method, cohort, seed=seed, steps=steps, composition=mixtures)
    x = model.transform(world.x, world.domain)
    frame = measure(world.x, COMPONENTS)
    classifies = isinstance(method, Classifies) and bool(model.names.labels)
    return Corrected(
        space(x),
        scores.moved(world.x, x, world.domain),
        scores.moved(frame.apply(world.x), frame.apply(x), world.domain),
        model.predict(world.x, world.domain, unit=world.unit) if classifies else None,
        verdict=model.composition.verdict,
    )


def of(method: Method, **options: Any) -> Callable[[World, int, int | None], Corrected]:
    return lambda world, seed, steps: fitted(method, world, seed, steps, **options)


UNLOGGED = jbc.JointCalibration(inputs=jbc.Inputs(log=False))
METHODS: dict[str, Callable[[World, int, int | None], Corrected]] = {
    "nothing": nothing,
    "Harmony": harmony,
    "z-score per domain": of(jbc.Standardise(), mixtures="assume-equal"),
    "Standardise": of(jbc.Standardise()),
    "QuantileMap": of(jbc.QuantileMap()),
    "JointCalibration": of(jbc.JointCalibration()),
    "MMDResNet": of(jbc.MMDResNet()),
    "AdversarialCorrection": of(jbc.AdversarialCorrection()),
    "NeuronEditing": of(jbc.NeuronEditing()),
    "WassersteinAlignment": of(jbc.WassersteinAlignment()),
    "DistanceAlignment": of(jbc.DistanceAlignment()),
}
# The worlds are logarithms already, of which the default of joint calibration takes another one; none has controls,
# on which the default of Coral measures.
VARIANTS = {
    "nothing, 30 components": components,
    "Coral, all rows": of(jbc.Coral(on="all")),
    "JointCalibration, no log": of(UNLOGGED),
    "JointCalibration, no labels": of(jbc.JointCalibration(), labels=False),
    "JointCalibration, no log, no labels": of(UNLOGGED, labels=False),
}
ALL = METHODS | VARIANTS


def correct(name: str, world: World, seed: int = 0, steps: int | None = None) -> Corrected:
    """Correct a world by name; what jbc refuses or warns of is part of the result."""
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", jbc.InputWarning)
        try:
            done = ALL[name](world, seed, steps)
        except jbc.InputError as error:
            done = Corrected(refused=str(error))
    warned = dict.fromkeys(
        str(each.message) for each in caught if issubclass(each.category, jbc.InputWarning)
    )
    return done._replace(warned=tuple(warned), seconds=time.perf_counter() - began)
