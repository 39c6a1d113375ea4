"""Rows of pandas objects belong together by their index, never by their position alone."""

from __future__ import annotations

from typing import Any

from jbc.errors import InputError


def aligned(x: Any, **given: Any) -> dict[str, Any]:
    """Return what is given for the rows of a table in the table's order, by the index of pandas.

    Parameters
    ----------
    x
        The table. Where it is no data frame, what is given must have one index throughout.
    given
        One value per row each, by name; what is no pandas object is taken by position, as it is.

    Raises
    ------
    InputError
        Where the indices are of different rows, or repeat names in different orders.

    Examples
    --------
    >>> import pandas as pd
    >>> x = pd.DataFrame({"a": [1.0, 2.0]}, index=["r1", "r2"])
    >>> aligned(x, domain=pd.Series(["monday", "tuesday"], index=["r2", "r1"]))["domain"].tolist()
    ['tuesday', 'monday']
    """
    indexed = {name: value for name, value in given.items() if hasattr(value, "iloc")}
    table = hasattr(x, "iloc")
    if not indexed:
        return given
    index = x.index if table else next(iter(indexed.values())).index
    for name, value in indexed.items():
        if len(value) != len(index) or value.index.equals(index):
            continue  # a wrong number of rows is refused where it is counted
        known, unique = set(index), index.is_unique and value.index.is_unique
        lost = [row for row in value.index if row not in known]
        if lost or not (unique and table):
            raise InputError(
                f"The index of {name} is not that of {'the table' if table else 'the others'}",
                which=lost or [row for row, other in zip(value.index, index, strict=True) if row != other],
                why="Rows of pandas objects are paired by their index; by position, they would be mixed up.",
                fix="Give them the same index, without repetitions, or pass .to_numpy() to pair them by position.",
                code="other-index",
            )
        given = given | {name: value.reindex(index)}
    return given
