"""How values are printed in a table."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple


class Column(NamedTuple):
    """A formatted column: one text per row, and whether it is aligned as numbers."""

    cells: list[str]
    numeric: bool


def column(values: Sequence[Any]) -> Column:
    """Format the values of a column alike: numbers with the same decimals, missing ones empty.

    Examples
    --------
    >>> column([0.5, None, 12.3456])
    Column(cells=['0.500', '', '12.346'], numeric=True)
    >>> column(["raw", 3])
    Column(cells=['raw', '3'], numeric=False)
    """
    given = [value for value in values if value is not None]
    if not given or not all(_is_number(value) for value in given):
        return Column(["" if value is None else number(value) for value in values], False)
    form = _form([float(value) for value in given])
    if all(isinstance(value, numbers.Integral) for value in given):
        form = "d"
    return Column(["" if value is None else _write(value, form) for value in values], True)


def number(value: Any) -> str:
    """Format a single value; anything that is no number is printed as it is.

    Examples
    --------
    >>> number(0.93751), number(1200), number(1.5e-7), number("0.61 ± 0.02"), number(True)
    ('0.938', '1200', '1.5e-07', '0.61 ± 0.02', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not _is_number(value):
        return str(value)
    return _write(value, "d" if isinstance(value, numbers.Integral) else _form([float(value)]))


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _form(values: list[float]) -> str:
    """Choose three decimals, or three digits and a power where that would hide or drown the value."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    return ".3g" if sizes and (min(sizes) < 5e-4 or max(sizes) >= 1e6) else ".3f"


def _write(value: Any, form: str) -> str:
    """Write a number with a true minus sign; NaN is said in words."""
    if math.isnan(value):
        return "n/a"
    return format(int(value) if form == "d" else float(value), form).replace(
        "-", "\u2212", 1 if value < 0 else 0
    )
