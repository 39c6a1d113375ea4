"""The points that mechanisms are judged by: one per treatment and domain, checked and coded."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jbc.errors import InputError
from jbc.metrics._inputs import measurements, moved
from jbc.metrics.bootstrap import counts
from jbc.validation import checks

# From this distance of a table from the origin on, in units of its own size, angles would lose digits.
FAR = 100.0


class Points(NamedTuple):
    """Names of each point, (p,), sorted by treatment, then domain."""

    treatment: np.ndarray
    compound: np.ndarray
    mechanism: np.ndarray
    domain: np.ndarray


class Table(NamedTuple):
    """What is computed on: rows, the point of each, how often each counts, and codes of the points.

    Rows are float32, in a unit of their own, which no angle depends on. Those of a table that lies far from the
    origin are measured from ``origin``.
    """

    x: np.ndarray
    point: np.ndarray
    weight: np.ndarray
    compound: np.ndarray
    mechanism: np.ndarray
    domain: np.ndarray
    origin: np.ndarray | None


def gather(
    x: Any, treatment: Any, compound: Any, mechanism: Any, domain: Any, control: Any, weight: Any
) -> tuple[Table, Points]:
    """Leave out controls and rows of unknown mechanism, and tell the points of the others."""
    x = measurements(x, "The comparison of mechanisms")
    n = len(x)
    given = checks.one_per_row(mechanism, n, "mechanism")
    kept = ~checks.mask(control, n, "control") & ~np.array([checks.unknown(value) for value in given])
    times = counts(weight, n)[:, kept]
    if not kept.any():
        raise InputError(
            "No row is left: all are controls, or of unknown mechanism",
            why="Treatments are judged by the mechanisms of their neighbours.",
            fix="Pass treated rows with known mechanisms.",
            code="nothing-to-evaluate",
        )
    columns = {"treatment": treatment, "compound": compound, "mechanism": given}
    # A control may lack what only treatments have.
    filled = {what: np.where(kept, checks.one_per_row(v, n, what), "none") for what, v in columns.items()}
    coded = {what: checks.codes(values, n, what) for what, values in filled.items()}
    coded["domain"] = checks.domains(domain, n)
    names = {what: np.array(names)[code[kept]] for what, (names, code) in coded.items()}
    for what in ("compound", "mechanism"):
        _one_each(names["treatment"], names[what], what)
    cells = np.stack([coded["treatment"][1][kept], coded["domain"][1][kept]])
    _, first, point = np.unique(cells, axis=1, return_index=True, return_inverse=True)
    points = Points(**{what: values[first] for what, values in names.items()})
    codes = [np.unique(values, return_inverse=True)[1] for values in points[1:]]
    rows, origin = _near_zero(x[kept])
    return Table(rows, point.reshape(-1), times, codes[0], codes[1], codes[2], origin), points


def _near_zero(x: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return rows in single precision, and the origin that they are measured from, if not from 0.

    Both are divided by a power of 2, which changes no digit: squares then stay within the range of numbers.
    """
    largest = np.abs(x).max()
    x = x / np.exp2(np.floor(np.log2(largest))) if largest > 0 else x
    (around,) = moved(x)
    origin = x[0] - around[0]
    if np.square(origin).sum() > FAR**2 * np.square(around).sum(axis=1).mean():
        return around.astype(np.float32), origin.astype(np.float32)
    return x.astype(np.float32), None


def left_out(points: Points, what: str | None) -> np.ndarray:
    """Return which points stay, (1, p), or when each group in turn is left out, (groups, p)."""
    if what is None:
        return np.ones((1, len(points.treatment)), bool)
    group = getattr(points, what)
    return np.unique(group)[:, None] != group


def _one_each(treatment: np.ndarray, value: np.ndarray, what: str) -> None:
    """Refuse treatments with several compounds or mechanisms."""
    pairs = np.unique(np.stack([treatment, value]), axis=1)
    names, times = np.unique(pairs[0], return_counts=True)
    if (times > 1).any():
        raise InputError(
            f"Treatments with more than one {what}",
            which=names[times > 1].tolist(),
            why="A point is one treatment in one domain, and is judged by the mechanism of its compound.",
            fix=f"Name treatments so that each has a single {what}, such as compound @ concentration.",
            code="mixed-treatment",
        )
