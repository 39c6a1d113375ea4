"""The main job, shown on a world with a known answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jbc.cohort import Cohort
from jbc.data.io.atomic import atomic_path
from jbc.data.io.tables import Table
from jbc.data.io.write import write_table
from jbc.data.simulate.plates import World, simulate_plates
from jbc.methods.closed_form.standardise import Standardise
from jbc.methods.joint import JointCalibration
from jbc.model import Model, fit

TARGET = "plate 3"


class Outcome(NamedTuple):
    """One way to correct the world: its table, and what it says about the target's classes."""

    name: str
    x: np.ndarray
    probability: np.ndarray


def compare(
    seed: int = 0, *, steps: int | None = None, hooks: Sequence[Any] = ()
) -> tuple[World, list[Outcome], Model, list[dict[str, Any]]]:
    """Simulate three plates, hide the labels of the last, and correct them in three ways.

    Parameters
    ----------
    seed
        Seed of the world and of the training.
    steps
        Training steps; the method's own number by default.
    hooks
        Hooks of the loop.

    Returns
    -------
    tuple
        The world, the outcomes, the fitted model, and the table: one row per outcome.
    """
    world = simulate_plates(seed)
    model = _train(world, seed, steps, hooks, verbose=False)
    outcomes = _correct(world, model)
    return world, outcomes, model, _judge_all(world, outcomes, measure_distances(world, outcomes))


def run(
    out: Path, *, seed: int = 0, steps: int | None = None, say: Callable[[str], None] | None = None
) -> list[dict[str, Any]]:
    """Write everything about :func:`compare` into an existing folder; return its table.

    Parameters
    ----------
    out
        The folder.
    seed, steps
        As in :func:`compare`.
    say
        Called with what is going on, as it begins.
    """
    from jbc.cli import demo_page

    begun, say = time.monotonic(), say or (lambda what: None)
    say("compiling and training")
    world = simulate_plates(seed)
    model = _train(world, seed, steps)
    say("scoring")
    outcomes = _correct(world, model)
    distances = measure_distances(world, outcomes)
    rows = _judge_all(world, outcomes, distances)
    _write(out, world, model, rows)
    say("drawing")
    demo_page.write(out, world, outcomes, model, rows, distances, begun)
    return rows


def _train(
    world: World, seed: int, steps: int | None, hooks: Sequence[Any] = (), *, verbose: bool = True
) -> Model:
    groups = {"label": _given(world), "unit": world.unit, "features": world.features}
    cohort = Cohort.from_arrays(world.x, world.domain, **groups)
    return fit(JointCalibration(), cohort, seed=seed, steps=steps, hooks=hooks, verbose=verbose)


def _correct(world: World, model: Model) -> list[Outcome]:
    """Return the world as measured, standardised, and corrected by the model, all as logarithms."""
    raw = np.log(world.x)
    # The plain z-score per plate, which takes all plates for the same mixture.
    plain = fit(Standardise(), Cohort.from_arrays(raw, world.domain), composition="assume-equal")
    scaled = plain.transform(raw, world.domain)
    corrected = np.log(np.maximum(model.transform(world.x, world.domain), 1e-3))
    return [
        Outcome("measured", raw, _classify(raw, world)),
        Outcome("standardised", scaled, _classify(scaled, world)),
        Outcome("joint calibration", corrected, model.predict_proba(world.x, world.domain)),
    ]


def _judge_all(
    world: World, outcomes: Sequence[Outcome], distances: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Return the table: one row per outcome."""
    return [_judge(outcome, world, distances[outcome.name]) for outcome in outcomes]


def measure_distances(world: World, outcomes: Sequence[Outcome]) -> dict[str, np.ndarray]:
    """Return the MMDs between the first plate and the last, over random draws."""
    from jbc import metrics

    ladder = metrics.bandwidth_ladder(outcomes[0].x)
    first, target = world.domain == "plate 1", world.domain == TARGET
    return {
        outcome.name: metrics.mmd(outcome.x[first], outcome.x[target], rows=150, bandwidths=ladder)
        for outcome in outcomes
    }


def _given(world: World) -> np.ndarray:
    """Return the labels without those of the target."""
    return np.where(world.domain == TARGET, "", world.label)


def _classify(x: np.ndarray, world: World) -> np.ndarray:
    """Return the probabilities of a plain classifier trained on the labelled plates."""
    from scipy.special import expit
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = world.domain != TARGET
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    odds = classifier.fit(x[known], world.label[known]).decision_function(x)
    # Both probabilities from the odds: 1 - p would be 0 where p rounds to 1, and the rows could not be ranked.
    return expit(np.stack([-odds, odds], axis=1))


def _judge(outcome: Outcome, world: World, distance: np.ndarray) -> dict[str, Any]:
    """Judge one outcome: the hidden classes, the plates that are left, the truth that is kept."""
    from jbc import metrics

    target, classes = world.domain == TARGET, np.unique(world.label).tolist()
    report = metrics.classification_report(
        world.label[target], probability=outcome.probability[target], classes=classes
    )
    seen = metrics.domain_accuracy(outcome.x, world.domain, unit=world.unit)
    return {
        "table": outcome.name,
        "accuracy": report["accuracy"],
        "AUC": report["auc"],
        "MCC": report["mcc"],
        "plates told apart": seen.accuracy,
        "MMD 1–3": float(distance.mean()),
        "agreement with truth": _agreement(outcome.x, np.log(world.clean)),
    }


def _agreement(x: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean correlation of a feature with itself in the world without plates."""
    a, b = x - x.mean(axis=0), truth - truth.mean(axis=0)
    return float(((a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))).mean())


def _write(out: Path, world: World, model: Model, rows: list[dict[str, Any]]) -> None:
    import pandas as pd

    columns = {"plate": world.domain, "subject": world.unit, "label": _given(world), "truth": world.label}
    obs = pd.DataFrame(columns)
    corrected = model.transform(world.x, world.domain)
    probability = model.predict_proba(world.x, world.domain)
    predicted = obs.assign(predicted=model.classes[probability.argmax(axis=1)])
    names = tuple(f"probability_{each}" for each in model.names.labels)
    write_table(Table(world.x, world.features, obs), out / "measured.csv")
    write_table(Table(corrected, world.features, obs), out / "corrected.csv")
    write_table(Table(probability, names, predicted), out / "predictions.csv")
    with atomic_path(out / "metrics.json") as temporary:
        temporary.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    model.with_notes({"columns": {"batch": "plate"}}).save(out / "model")
