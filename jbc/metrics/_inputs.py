"""What people pass in, checked: measurements, and truth and predictions made into classes, codes and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jbc.errors import InputError
from jbc.validation import checks


def measurements(x: Any, reader: str) -> np.ndarray:
    """Return a complete table in double precision; refuse missing values on behalf of its reader."""
    x, observed = checks.values(x)
    if observed is not None:
        raise checks.incomplete(observed, checks.feature_names(None, x.shape[1]), reader)
    return np.asarray(x, dtype=np.float64)


def moved(*tables: np.ndarray) -> list[np.ndarray]:
    """Take the same numbers off the rows of all tables, such that what is left is small, and keeps its digits.

    A median of about a hundred rows is taken off every feature. Differences of rows stay as they are, and a constant
    feature becomes 0, where a mean would leave the rounding of its sum.

    Examples
    --------
    >>> moved(np.array([[1e8, 0.1], [1e8 + 1, 0.1], [1e8 + 2, 0.1]]))[0].tolist()
    [[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]
    """
    some = np.concatenate([x[:: max(1, len(x) // 100)] for x in tables])
    middle = np.median(some, axis=0)
    return [x - middle for x in tables]


def two_groups(a: Any, b: Any, reader: str) -> tuple[np.ndarray, np.ndarray]:
    """Return two complete tables with the same columns and two rows or more each, moved together (:func:`moved`)."""
    a, b = (measurements(x, reader) for x in (a, b))
    if len(a) < 2 or len(b) < 2 or a.shape[1] != b.shape[1]:
        raise InputError(
            f"Groups of shape {a.shape} and {b.shape}",
            why=f"{reader} compares rows within and between the groups.",
            fix="Pass two rows or more of each, with the same columns.",
            code="bad-shape",
        )
    a, b = moved(a, b)
    return a, b


def confusion(
    y: Any, predicted: Any, classes: Sequence[Any] | None = None
) -> tuple[Sequence[Any], np.ndarray]:
    """Count rows by true and predicted class."""
    y = known(y, "True labels")
    predicted = known(checks.one_per_row(predicted, len(y), "predicted"), "Predicted labels")
    names = classes_in(np.concatenate([y, predicted])) if classes is None else classes
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (positions(names, y), positions(names, predicted)), 1)
    return names, counts


def known(labels: Any, what: str) -> np.ndarray:
    """Return labels as an object array; refuse unknown ones."""
    labels = checks.one_per_row(labels, len(labels), what)
    bad = [i for i, label in enumerate(labels) if checks.unknown(label)]
    if bad or not len(labels):
        raise InputError(
            f"{what} that are unknown (positions counted from 0)" if bad else f"{what}: not a single row",
            which=bad or None,
            why="A prediction can be right or wrong only where the class is known.",
            fix="Leave out the rows whose label is unknown.",
            code="unknown-labels",
        )
    return labels


def classes_in(labels: np.ndarray) -> Sequence[Any]:
    """Return the sorted classes that occur."""
    return checks.labels(labels, len(labels))[0]


def positions(names: Sequence[Any], labels: Any) -> np.ndarray:
    """Translate labels into positions in a list of classes."""
    position = {name: i for i, name in enumerate(names)}
    strange = list(dict.fromkeys(label for label in labels if label not in position))
    if strange:
        raise InputError(
            "Labels that are not among the classes",
            which=strange,
            why="Their rows could be neither right nor wrong.",
            fix="Pass all classes, written as in the labels (1 is not '1').",
            code="unknown-class",
        )
    return np.array([position[label] for label in labels])


def probabilities(
    y: Any, probability: Any, classes: Sequence[Any] | None
) -> tuple[Sequence[Any], np.ndarray, np.ndarray]:
    """Return the classes, the code of every row, and probabilities of all classes, (n, K)."""
    y = known(y, "True labels")
    names = classes_in(y) if classes is None else classes
    columns = np.asarray(probability, dtype=np.float64)
    if columns.ndim == 1 or columns.shape[1:] == (1,):
        columns = np.stack([1 - columns.reshape(-1), columns.reshape(-1)], axis=1)
    if columns.shape != (len(y), len(names)):
        raise InputError(
            f"Probabilities of shape {np.shape(probability)} for {len(y)} rows and {len(names)} classes",
            why="Every row needs a probability of each class, or that of the positive one of two.",
            fix="Pass classes= in the order of the columns when some of them do not occur in the truth.",
            code="bad-probabilities",
        )
    if not ((columns >= -1e-6) & (columns <= 1 + 1e-6)).all():
        raise InputError(
            "Probabilities that are not between 0 and 1",
            why="Logits and scores have another threshold than 1/2, and NaN has no rank.",
            fix="Pass the output of predict_proba.",
            code="bad-probabilities",
        )
    return names, positions(names, y), columns
