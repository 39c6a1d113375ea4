"""Scores of the classes that rows of hidden domains are given, and their means over domains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from jbc.errors import InputError
from jbc.interfaces.new_domains import Predicted, Rows
from jbc.metrics import classification_report, unit_medians

Scoring = Literal["accuracy", "balanced_accuracy", "f_score", "mcc", "auc"]
METRICS = ("accuracy", "balanced_accuracy", "f_score", "mcc", "auc")


def scores_of(
    rows: Rows, new: np.ndarray, told: Predicted, about: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table about one way to classify hidden domains."""
    if told.data == "as measured" and "settings" in about:
        about = about | {"settings": None}
    known = new & (rows.label >= 0)
    probability = told.probability[known[new]]
    for name in np.unique(rows.domain[known]).tolist():
        some = rows.domain[known] == name
        levels = {"row": (rows.label[known][some], probability[some])}
        if rows.unit is not None:
            levels["unit"] = by_unit(rows.unit[known][some], *levels["row"])
        for level, (truth, each) in levels.items():
            if len(truth):
                named = {"domain": name, "data": told.data, "classifier": told.classifier, "level": level}
                yield named | {"number": len(truth)} | report(truth, each) | about


def by_unit(unit: np.ndarray, truth: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return one label and the median probabilities of every unit; nothing where a unit has rows of two classes."""
    names, first, code = np.unique(unit, return_index=True, return_inverse=True)
    if len(np.unique(np.stack([code, truth]), axis=1).T) > len(names):
        return truth[:0], probability[:0]
    return truth[first], unit_medians(probability, unit)[first]


def report(truth: np.ndarray, probability: np.ndarray) -> dict[str, float | None]:
    """Return all scores of probable classes, by codes; the AUC is None where the truth is of one class."""
    guess, classes = probability.argmax(axis=1), range(probability.shape[1])
    found = classification_report(truth, guess, probability=probability, classes=classes)
    recall = [(guess[truth == code] == code).mean() for code in np.unique(truth)]
    found["balanced_accuracy"] = float(np.mean(recall))
    return {name: found.get(name) for name in METRICS}


def value_of(scoring: Scoring, truth: np.ndarray, probability: np.ndarray) -> float:
    """Return one score by its name."""
    if scoring not in METRICS:
        raise InputError(
            f"Unknown scoring {scoring!r}",
            why="Settings are compared by one number.",
            fix=f"Use one of {', '.join(METRICS)}.",
            code="bad-setting",
        )
    value = report(truth, probability)[scoring] if len(truth) else None
    if value is None:
        raise InputError(
            f"Nothing to measure {scoring} by"
            if not len(truth)
            else "AUC of a hidden domain of a single class",
            why="It takes rows whose labels are known, and an AUC takes rows of two classes.",
            fix="Hide labelled domains only (jbc.model_selection.leave_one_domain_out), or use another scoring.",
            code="one-class",
        )
    return value


def means(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the means over hidden domains."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in table:
        groups.setdefault((row["data"], row["classifier"], row["level"]), []).append(row)
    found = []
    for each in groups.values():
        cells = {name: [row[name] for row in each] for name in METRICS}
        mean = {name: None if None in cell else float(np.mean(cell)) for name, cell in cells.items()}
        number = sum(row["number"] for row in each)
        about = {name: None for name in ("labelled", "settings") if name in each[0]}
        found.append(each[0] | {"domain": "all", "number": number} | mean | about)
    return found
