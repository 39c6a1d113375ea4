"""The main job, shown on a world with a known answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
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
    raw = np.log(world.x)
    groups = {"label": _given(world), "unit": world.unit, "features": world.features}
    cohort = Cohort.from_arrays(world.x, world.domain, **groups)
    model = fit(JointCalibration(), cohort, seed=seed, steps=steps, hooks=hooks)
    # The plain z-score per plate, which takes all plates for the same mixture.
    plain = fit(Standardise(), Cohort.from_arrays(raw, world.domain), composition="assume-equal")
    scaled = plain.transform(raw, world.domain)
    corrected = np.log(np.maximum(model.transform(world.x, world.domain), 1e-3))
    outcomes = [
        Outcome("measured", raw, _classify(raw, world)),
        Outcome("standardised", scaled, _classify(scaled, world)),
        Outcome("joint calibration", corrected, model.predict_proba(world.x, world.domain)),
    ]
    return world, outcomes, model, [_judge(outcome, raw, world) for outcome in outcomes]


def run(out: Path, **options: Any) -> list[dict[str, Any]]:
    """Write everything about :func:`compare` into an existing folder; return its table."""
    world, outcomes, model, rows = compare(**options)
    _write(out, world, model, rows)
    _picture(out, world, outcomes, model, rows)
    return rows


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


def _judge(outcome: Outcome, raw: np.ndarray, world: World) -> dict[str, Any]:
    """Judge one outcome: the hidden classes, the plates that are left, the truth that is kept."""
    from jbc import metrics

    target, classes = world.domain == TARGET, np.unique(world.label).tolist()
    report = metrics.classification_report(
        world.label[target], probability=outcome.probability[target], classes=classes
    )
    ladder = metrics.bandwidth_ladder(raw)
    distance = metrics.mmd(
        outcome.x[world.domain == "plate 1"], outcome.x[target], rows=150, bandwidths=ladder
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


def _picture(
    out: Path, world: World, outcomes: Sequence[Outcome], model: Model, rows: list[dict[str, Any]]
) -> None:
    """Draw the figures, and put everything on one page."""
    from jbc.report import write_report

    figures = _figures(world, outcomes, model)
    for name, (_, figure) in figures.items():
        with atomic_path(out / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=150)
    before, plain, after = (row["accuracy"] for row in rows)
    write_report(
        out / "report.html",
        title="Three plates, corrected",
        summary=f"The labels of {TARGET} were hidden. {before:.0%} of its rows are classified rightly as measured, "
        f"{plain:.0%} after standardising every plate, {after:.0%} after joint calibration.",
        highlights=[
            (f"Accuracy on {TARGET}", after, f"{before:.3f} as measured"),
            (
                "Plates told apart",
                rows[2]["plates told apart"],
                f"{rows[0]['plates told apart']:.3f} as measured",
            ),
            (
                "Agreement with truth",
                rows[2]["agreement with truth"],
                f"{rows[0]['agreement with truth']:.3f} as measured",
            ),
        ],
        tone="good" if after >= max(before, plain) else "caution",
        tables=[(f"Before and after; accuracy, AUC and MCC on {TARGET}", rows)],
        figures=list(figures.values()),
        notes=[
            "The world is simulated, so the values without any plate effect are known: agreement with truth is the "
            "mean correlation of a feature with itself in the world without plates.",
            f"{model.method}, {model.record.steps} steps, seed {model.record.seed}.",
            "The plain tables are classified by logistic regression, trained on plates 1 and 2.",
        ],
    )


def _figures(world: World, outcomes: Sequence[Outcome], model: Model) -> dict[str, tuple[str, Any]]:
    from jbc import metrics, plots

    raw, corrected = outcomes[0].x, outcomes[2].x
    history = {
        name: [row[name] for row in model.record.history] for name in ("step", "align", "classify", "rebuild")
    }
    curves = plots.losses(plots.axes(), history, log=True)
    ladder, first, target = metrics.bandwidth_ladder(raw), world.domain == "plate 1", world.domain == TARGET
    draws = {
        outcome.name: metrics.mmd(outcome.x[first], outcome.x[target], rows=150, bandwidths=ladder)
        for outcome in outcomes
    }
    floor = metrics.mmd_within(raw[first], rows=150, unit=world.unit[first], bandwidths=ladder)
    boxes = plots.mmd_boxes(plots.axes(), draws, floor=floor)
    map_of = partial(plots.before_after, raw, corrected, world.domain, world.label)
    return {
        "pca": (
            "Principal components before and after, coloured by plate and by true class",
            map_of(kind="pca"),
        ),
        "tsne": (
            "t-SNE before and after, coloured by plate and by true class",
            map_of(kind="tsne", rows=450),
        ),
        "mmd": (
            "MMD between plates 1 and 3, 30 draws of 150 rows; the line is the MMD within plate 1",
            boxes.figure,
        ),
        "losses": ("Losses of the training", curves.figure),
    }
