"""Ceilings: domains cross-validated by rows, as in the papers, and by units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from experiments.joint import lanes, methods, tasks
from experiments.joint.tasks import Data, Scores, Task
from jbc.cohort import Cohort, fold_weights
from jbc.methods.base import Trainable

FOLDS = 10


def ceilings(data: Data, seeds: int, steps: int | None) -> list[dict]:
    """Return the rows of the ceilings of one data set."""
    cohort = tasks.load(data.name)
    scores: dict[str, Scores] = {}
    for name in cohort.names.domains:
        plate = tasks.one_domain(cohort, name)
        units = {"rows": np.arange(len(plate.x)), "units": plate.unit}
        if len(np.unique(plate.unit)) == len(plate.x):
            del units["units"]
        for what, unit in units.items():
            folds = [fold_weights(unit, plate.domain, FOLDS, seed) for seed in range(seeds)]
            probabilities = {
                f"{method}, folds of {what}": held_out(plate, folds, trained, steps)
                for method, trained in methods.inside(data.name).items()
            }
            probabilities[f"raw + gradient boosting, folds of {what}"] = held_out_trees(plate, folds)
            for label, probability in probabilities.items():
                part = Task((name,), (name,), plate)
                for key, cells in tasks.score(plate, [part], probability[None]).items():
                    scores.setdefault(label, {}).setdefault(key, {}).update(cells)
    rows = [
        row
        for label in sorted(scores, key=lambda label: label.endswith("units"))
        for row in tasks.summary_rows(scores[label], table="ceilings", dataset=data.name, method=label)
    ]
    return rows + tasks.published_rows(data, "ceilings", inside=True)


def held_out(plate: Cohort, folds: Sequence[np.ndarray], method: Trainable, steps: int | None) -> np.ndarray:
    """Return probabilities of every row by the lane that did not see it, (seeds, rows, classes)."""
    weights = np.concatenate(folds)
    trained = lanes.train(method, [plate.weigh_rows(weight) for weight in weights], 1, steps)
    probability = trained.probability.reshape(len(folds), FOLDS, len(plate.x), -1)
    return (probability * (1 - np.stack(folds))[..., None]).sum(axis=1)


def held_out_trees(plate: Cohort, folds: Sequence[np.ndarray]) -> np.ndarray:
    """Return probabilities of every row by boosted trees that did not see it, (seeds, rows, classes)."""
    model, x = tasks.classifiers()["gradient boosting"], np.asarray(plate.x)
    probability = np.zeros((len(folds), len(x), plate.n_labels))
    with threadpool_limits(1):
        for number, weight in ((number, weight) for number, each in enumerate(folds) for weight in each):
            fitted = model.fit(x[weight > 0], plate.label[weight > 0])
            probability[number, weight == 0] = fitted.predict_proba(x[weight == 0])
    return probability
