"""What closed-form methods measure, and on which rows. Host code, NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jbc.centring import sums
from jbc.cohort import Cohort
from jbc.errors import InputError
from jbc.methods.base import On

MATRIX_BYTES = 2 << 30
# A direction whose variance is a smaller part of the largest one holds no digit of float32 to divide by.
RANK = 1e-10


def measured(cohort: Cohort, on: On) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to measure, in double precision, and their domains; a row of weight k is there k times.

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[1.0], [2.0], [3.0]], list("aab"), control=[1, 1, 1])
    >>> rows, domain = measured(cohort.reweight([2, 0, 1]), "controls")
    >>> rows[:, 0].tolist(), domain.tolist()  # of domain a, the cohort keeps the row 2 first
    ([2.0, 2.0, 3.0], [0, 0, 1])
    """
    times = _times(cohort, on)
    rows = np.repeat(np.asarray(cohort.x), times, axis=0).astype(np.float64)
    return rows, np.repeat(np.asarray(cohort.domain), times)


def _times(cohort: Cohort, on: On) -> np.ndarray:
    """Return how often each row counts."""
    return np.asarray(cohort.weight) * (np.asarray(cohort.control) if on == "controls" else 1)


def spread_of_all(cohort: Cohort) -> np.ndarray:
    """Return the standard deviations of the features over all rows: their scale where controls tell of none.

    Examples
    --------
    >>> spread_of_all(Cohort.from_arrays([[1.0], [3.0]], list("ab"))).tolist()
    [1.0]
    """
    x, weight = np.asarray(cohort.x), np.asarray(cohort.weight)[:, None]
    total, _ = sums(x, weight)
    _, squares = sums(x, weight, total / weight.sum())
    return np.sqrt(squares / weight.sum())


def two_controls(cohort: Cohort, on: On) -> None:
    """Refuse domains with fewer than two controls, where these are what is measured."""
    if on == "all":
        return
    counts = np.bincount(np.asarray(cohort.domain), _times(cohort, on), len(cohort.names.domains))
    few = [cohort.names.domains[i] for i in np.flatnonzero(counts < 2)]
    if few:
        raise InputError(
            "Domains with fewer than two control rows",
            which=few,
            why="Location and spread are measured on the controls.",
            fix='Mark their controls, or use on="all".',
            code="few-controls",
        )


def by_controls(on: On, what: str) -> None:
    """Refuse to take in a new domain by its controls, where known ones were measured on all rows."""
    if on == "all":
        raise InputError(
            f"{what} of the known domains were measured on all rows",
            why="Those of a new domain's controls are something else.",
            fix='Fit again with on="controls".',
            code="cannot-adapt",
        )


def matrices_fit(cohort: Cohort, count: int = 1) -> None:
    """Refuse so many features that matrices of all pairs of them do not fit into memory."""
    d = cohort.x.shape[1]
    needed = 8 * count * d**2
    if needed > MATRIX_BYTES:
        raise InputError(
            f"{d} features need {count} matrices of {needed / count / 2**30:.1f} GiB",
            why="Every feature is compared with every other one.",
            fix="Select features, or reduce them to principal components first.",
            code="too-many-features",
        )


def rank(covariance: np.ndarray) -> int:
    """Count the directions with a variance to divide by."""
    return int(np.linalg.matrix_rank(covariance, rtol=RANK, hermitian=True))


def no_inverse(what: str, which: Sequence[str] | None) -> InputError:
    """Make the error of covariances that cannot be inverted without regularisation."""
    return InputError(
        what,
        which=which,
        why="Without ridge, they would be divided by a spread of 0.",
        fix="Use ridge=1, or leave out repeated features and have more controls than features.",
        code="singular-covariance",
    )
