"""The order in which rows were measured: injections of a run, or times."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jbc.errors import InputError

# Places in a run that float32 still tells apart, to a sixteenth of one.
MOST = 1e6


class RunOrder(NamedTuple):
    """How places in the run were given: a place is so many ``unit`` after ``start``.

    Examples
    --------
    >>> RunOrder(100.0, 1.0).places(["101", "103.5"], 2).tolist()
    [1.0, 3.5]
    """

    start: float
    unit: float

    def places(self, given: Any, n: int) -> np.ndarray:
        """Return the places of rows, (n,) float32."""
        return ((numbers(given, n) - self.start) / self.unit).astype(np.float32)


def find_order(given: Any, n: int) -> RunOrder:
    """Return where a run starts, and its unit: what was given counts, unless float32 could not tell its steps apart.

    Examples
    --------
    >>> find_order([3, 1, 2], 3)
    RunOrder(start=1.0, unit=1.0)
    >>> find_order(np.array(["2024-01-01", "2024-01-02"], "datetime64[s]"), 2).places(["2024-01-01T12:00"], 1)
    array([43200.], dtype=float32)
    """
    found = numbers(given, n)
    return RunOrder(float(found.min()), max(float(np.ptp(found)) / MOST, 1.0))


def numbers(given: Any, n: int) -> np.ndarray:
    """Return places in a run as numbers: numbers as they are, times in seconds; texts may be of either.

    Raises
    ------
    InputError
        Where a row has none, or one that is neither.

    Examples
    --------
    >>> numbers(["1", "2.5"], 2).tolist(), numbers(["1970-01-01 00:00:10"], 1).tolist()
    ([1.0, 2.5], [10.0])
    """
    values = np.asarray(given)
    if values.shape != (n,):
        raise InputError(
            f"order has shape {values.shape}, where {n} rows need one value each",
            why="It tells when each row was measured.",
            fix="Pass one number or time per row.",
            code="bad-shape",
        )
    found = _numbers(values)
    if lost := np.flatnonzero(~np.isfinite(found)).tolist():
        raise InputError(
            f"Rows whose place in the run is not known (order, {len(lost)} of {n})",
            which=[f"row {row}: {values[row]!r}" for row in lost],
            why="What drifts along a run is corrected by it.",
            fix="Give every row a number, or a time such as 2024-01-31 13:45.",
            code="bad-order",
        )
    return found


def _numbers(values: np.ndarray) -> np.ndarray:
    """Return numbers; NaN where there is none."""
    if values.dtype.kind in "iufb":
        return values.astype(np.float64)
    if values.dtype.kind == "M":
        return _seconds(values)
    return np.array([_one(value) for value in values], np.float64)


def _one(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        pass
    try:
        return float(_seconds(np.array([value], "datetime64[ms]"))[0])
    except (TypeError, ValueError):
        return np.nan


def _seconds(times: np.ndarray) -> np.ndarray:
    milliseconds = times.astype("datetime64[ms]")
    return np.where(np.isnat(milliseconds), np.nan, milliseconds.astype(np.int64) / 1000)
