"""What is most likely not what it was passed for: classes and ids among the features, counts for measurements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from jbc.errors import listing

# A column of whole numbers is like a class with at most this many values, and like an id where they leave no gaps.
FEW = 20
# Where more of the features look like this, they are what was measured.
USUAL = 0.2
# Counts have many small values and a few large ones.
LARGE, STEEP = 50, 10
# Names of rows are different in nearly all of them.
UNIQUE = 0.95
ROWS = 2000


def class_like(x: np.ndarray, names: Sequence[str]) -> list[str]:
    """Return the names of columns that hold classes, ids or positions, as far as their numbers tell.

    Their values are whole, and few, or without gaps; and most of the other columns are not like that.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(100, 9))
    >>> x = np.column_stack([x, np.arange(100) % 3, np.arange(100)])
    >>> class_like(x, [*(f"g{i}" for i in range(9)), "y", "id"])
    ['y', 'id']
    """
    if len(x) < FEW:
        return []
    found = [name for name, column in zip(names, x.T, strict=True) if _coded(column)]
    return found if len(found) <= USUAL * len(names) else []


def of_class_like(names: Sequence[str], fix: str) -> str:
    """Return the warning of such columns among the features."""
    return (
        f"Columns of whole numbers, few or without gaps, are taken for features: {listing(names)}. If they were not "
        f"measured, they distort the correction: {fix}."
    )


def _coded(column: np.ndarray) -> bool:
    some = column[:: max(1, len(column) // ROWS)]
    if not _whole(some) or not _whole(column):
        return False
    values = np.unique(column[~np.isnan(column)])
    if len(values) < 2:
        return False
    without_gaps = values[-1] - values[0] < 2 * len(values)
    return len(values) <= min(FEW, len(column) // 4) or bool(without_gaps)


def _whole(values: np.ndarray) -> bool:
    with np.errstate(invalid="ignore"):
        return bool((np.isnan(values) | (values == np.rint(values))).all())


def repeated(names: Sequence[str]) -> list[str]:
    """Return the values that a column repeats, where nearly every row has one of its own.

    Examples
    --------
    >>> repeated([*map(str, range(50)), "7"]), repeated(["a", "b", "b"]), repeated(["a", "b"])
    (['7'], [], [])
    """
    filled = Counter(name for name in names if name)
    twice = [name for name, count in filled.items() if count > 1]
    return twice if filled.total() * UNIQUE <= len(filled) and len(filled) > FEW else []


def like_counts(x: np.ndarray) -> bool:
    """Return whether a table looks like raw counts: whole numbers from 0, most of them small, some large.

    Examples
    --------
    >>> counts = np.random.default_rng(0).negative_binomial(0.3, 0.01, size=(50, 20))
    >>> like_counts(counts), like_counts(np.log1p(counts))
    (True, False)
    """
    some = np.asarray(x)[:: max(1, len(x) // ROWS)]
    # Of nearly all other tables, the first rows tell.
    if not all(_whole(part) and part.min() >= 0 for part in (some[:FEW], some)):
        return False
    # The middle of the table is far below its largest values, as it is where effects multiply.
    return bool(some.max() >= max(LARGE, STEEP * np.median(some)))
