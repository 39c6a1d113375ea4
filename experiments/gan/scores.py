"""Scores of two days of cells: how far they are apart, and whether the label is still told."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jbc import metrics
from jbc.cohort import Cohort

SOURCE, TARGET = "day 1", "day 2"


class Scored(NamedTuple):
    """One version of the rows: its metrics, the MMD of every draw, and the rows in units of its own target rows."""

    values: dict[str, float]
    mmd: np.ndarray
    z: np.ndarray


class Days(NamedTuple):
    """The rows of both days that were held out, and those that were seen; and all labels, for judging only."""

    source: np.ndarray
    target: np.ndarray
    seen_source: np.ndarray
    seen_target: np.ndarray
    label: np.ndarray


def days(cohort: Cohort, half: np.ndarray) -> Days:
    """Return which rows are of which day, seen or held out."""
    names, domain = cohort.names.domains, np.asarray(cohort.domain)
    source, target = (domain == names.index(day) for day in (SOURCE, TARGET))
    seen = np.asarray(half) > 0
    return Days(source & ~seen, target & ~seen, source & seen, target & seen, np.asarray(cohort.label))


def bandwidths(cohort: Cohort) -> np.ndarray:
    """Return the kernels of a person, measured once on the cells of day 2, standardised."""
    x = np.asarray(cohort.x)[np.asarray(cohort.domain) == cohort.names.domains.index(TARGET)]
    return metrics.bandwidth_ladder((x - x.mean(axis=0)) / spread_of(x))


def spread_of(x: np.ndarray) -> np.ndarray:
    """Return the standard deviation of every feature, at least 1e-6."""
    return np.maximum(x.std(axis=0), 1e-6)


def score(x: np.ndarray, at: Days, ladder: np.ndarray, seed: int, rows: int, draws: int) -> Scored:
    """Return the scores of rows, in units of the seen target, so that nothing is gained by shrinking both days.

    ``rows`` of each day make one of the ``draws`` of the MMD.
    """
    z = (x - x[at.seen_target].mean(axis=0)) / spread_of(x[at.seen_target])
    drawn = {"rows": rows, "draws": draws, "seed": seed, "bandwidths": ladder}
    apart = metrics.mmd(z[at.source], z[at.target], **drawn)
    floor = metrics.mmd_within(z[at.target], **drawn)
    spread = z[at.source].std(axis=0)
    there = classify_across(z, at.label, at.seen_source, at.target)
    back = classify_across(z, at.label, at.seen_target, at.source)
    values = {
        "MMD": apart.mean(),
        "MMD, seen": metrics.mmd(z[at.seen_source], z[at.seen_target], **drawn).mean(),
        "floor": floor.mean(),
        "excess": 1000 * (np.square(apart).mean() - np.square(floor).mean()),
        "AUC within": classify_within(z[at.source], at.label[at.source]),
        "AUC": there["auc"],
        "balanced": there["auc_hard"],
        "balanced, back": back["auc_hard"],
        "least spread": spread.min(),
        "largest spread": spread.max(),
    }
    return Scored({name: float(value) for name, value in values.items()}, apart, z)


def classifier():
    """Return a logistic regression of standardised features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))


def classify_across(
    z: np.ndarray, label: np.ndarray, learned: np.ndarray, asked: np.ndarray
) -> dict[str, float]:
    """Return the scores of labels that are learned from some rows and predicted for others."""
    probability = classifier().fit(z[learned], label[learned]).predict_proba(z[asked])
    return metrics.classification_report(label[asked], probability=probability, classes=[0, 1])


def classify_within(z: np.ndarray, label: np.ndarray) -> float:
    """Return the AUC of the label, cross-validated over five folds."""
    from sklearn.model_selection import cross_val_predict

    return metrics.auc(label, cross_val_predict(classifier(), z, label, cv=5, method="predict_proba"))


def score_target(x: np.ndarray, at: Days, floor: float) -> dict[str, float]:
    """Return the scores of day 2 itself: the floor of the MMD, and what its own labels teach."""
    taught = classify_across(x, at.label, at.seen_target, at.target)
    return {
        "MMD": floor,
        "AUC within": classify_within(x[at.target], at.label[at.target]),
        "AUC": taught["auc"],
        "balanced": taught["auc_hard"],
    }
