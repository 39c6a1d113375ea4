"""A small language for marking rows: comparisons of columns, and nothing else.

Expressions come from command lines and from files, so they are parsed, never evaluated as code.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jbc.errors import InputError, closest, listing

# A text, which may hold backticks of its own, or a name between backticks.
QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?P<name>[^`]+)`""", re.DOTALL)
LONGEST = 120  # characters of an expression that a message repeats


def rows(expression: str, columns: Mapping[str, Any]) -> np.ndarray:
    """Return which rows fulfil an expression.

    The language has column names, text, numbers, True and False; ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``,
    ``in`` and ``not in`` a list; ``and``, ``or``, ``not`` and parentheses. A name that is no single word stands
    between backticks. Columns are compared as text with text, by value with numbers, and with True and False in
    either way: ``true`` and ``1`` are True.

    Parameters
    ----------
    expression
        Such as ``Metadata_Compound == 'DMSO' and dose < 2``.
    columns
        The columns by name, all of one length.

    Returns
    -------
    (n,) bool

    Examples
    --------
    >>> rows("drug in ['DMSO', 'water'] or dose == 0", {"drug": ["DMSO", "A", "B"], "dose": ["1", "0", "2"]})
    array([ True,  True, False])
    """
    try:
        return _truth(_parse(expression), columns, expression)
    except RecursionError:
        raise _refusal(expression, "it is nested too deeply") from None


def controls(expression: str, columns: Mapping[str, Any], *, alone: bool = False) -> np.ndarray:
    """Mark the rows that fulfil an expression as controls, or refuse one that marks no row or every row.

    Parameters
    ----------
    expression, columns
        As for `rows`.
    alone
        Whether there may be no other rows.

    Returns
    -------
    (n,) bool

    Raises
    ------
    InputError
        With code ``no-controls`` or ``all-controls``, and as for `rows`.

    Examples
    --------
    >>> controls("`drug name` == 'DMSO'", {"drug name": ["DMSO", "A", "B"]})
    array([ True, False, False])
    """
    marked = rows(expression, columns)
    if marked.any() and (alone or not marked.all()):
        return marked
    present = (
        f"{name!r} has {listing(dict.fromkeys(map(str, columns[name])))}" for name in names(expression)
    )
    raise InputError(
        f"{'Every' if marked.any() else 'No'} row fulfils the expression for controls {_short(expression)!r}",
        why="Controls are rows of the same material in every domain, among rows of other material.",
        fix=f"Check how the values are written: {'; '.join(present)}.",
        code="all-controls" if marked.any() else "no-controls",
    )


def names(expression: str) -> list[str]:
    """Return the columns that an expression looks at, or refuse what is not in the language.

    Examples
    --------
    >>> names("drug == 'DMSO' and not (dose < 2 or drug == 'A')")
    ['drug', 'dose']
    """
    empty = {node.id: () for node in ast.walk(_parse(expression)) if isinstance(node, ast.Name)}
    rows(expression, empty)
    return list(empty)


def _parse(expression: str) -> ast.expr:
    """Parse an expression; a name between backticks is a word of our own while Python reads it."""
    meant: dict[str, str] = {}

    def word(match: re.Match[str]) -> str:
        if match["name"] is None:
            return match[0]
        ours = f"jbc_quoted_{len(meant)}"
        meant[ours] = match["name"]
        return ours

    try:
        tree = ast.parse(QUOTED.sub(word, expression).strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _refusal(expression, "it cannot be parsed") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = meant.get(node.id, node.id)
    return tree


def _truth(node: ast.expr, columns: Mapping[str, Any], expression: str) -> np.ndarray:
    if isinstance(node, ast.BoolOp):
        parts = [_truth(value, columns, expression) for value in node.values]
        return (np.logical_and if isinstance(node.op, ast.And) else np.logical_or).reduce(parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ~_truth(node.operand, columns, expression)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.left, ast.Name):
        column = _column(node.left.id, columns)
        return _compare(column, node.ops[0], _literal(node.comparators[0], expression), expression)
    raise _refusal(expression, f"{_short(ast.unparse(node))!r} is no comparison of a column with a value")


def _compare(column: np.ndarray, operator: ast.cmpop, value: Any, expression: str) -> np.ndarray:
    if isinstance(operator, (ast.In, ast.NotIn)) and isinstance(value, list):
        inside = np.logical_or.reduce(
            [_equal(column, each) for each in value] or [np.zeros(len(column), bool)]
        )
        return inside if isinstance(operator, ast.In) else ~inside
    if isinstance(operator, (ast.Eq, ast.NotEq)) and not isinstance(value, list):
        same = _equal(column, value)
        return same if isinstance(operator, ast.Eq) else ~same
    order = {ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater, ast.GtE: np.greater_equal}
    if type(operator) in order and isinstance(value, float):
        return order[type(operator)](_numbers(column), value)
    raise _refusal(expression, "that comparison does not fit to that value")


def _equal(column: np.ndarray, value: Any) -> np.ndarray:
    if isinstance(value, float):
        return _numbers(column) == value
    if isinstance(value, bool):
        same = np.array([str(cell).strip().casefold() == str(value).casefold() for cell in column], bool)
        return same | (_numbers(column) == value)
    return np.array([str(cell) == value for cell in column], bool)


def _numbers(column: np.ndarray) -> np.ndarray:
    """Read a column as numbers; what is none compares as unequal to everything."""

    def number(cell: Any) -> float:
        try:
            return float(cell)
        except (TypeError, ValueError):
            return np.nan

    return np.array([number(cell) for cell in column])


def _literal(node: ast.expr, expression: str) -> Any:
    """Read a text, a number (as float), a truth value, or a list of these."""
    try:
        value = ast.literal_eval(node)
        return [_scalar(each) for each in value] if isinstance(value, (list, tuple)) else _scalar(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, OverflowError):
        raise _refusal(expression, f"{_short(ast.unparse(node))!r} is neither text nor a number") from None


def _scalar(value: Any) -> str | bool | float:
    if isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)):
        return float(value)
    raise TypeError


def _column(name: str, columns: Mapping[str, Any]) -> np.ndarray:
    if name not in columns:
        close = closest(name, columns)
        raise InputError(
            "Unknown column in an expression",
            which=[name],
            why="Rows are marked by the values of a column.",
            fix=f"Did you mean {close!r}?" if close else "Use a column of the table that is no feature.",
            code="unknown-column",
        )
    return np.asarray(columns[name], dtype=object)


def _refusal(expression: str, reason: str) -> InputError:
    return InputError(
        f"Cannot read the expression {_short(expression)!r}",
        why=f"Only comparisons of columns are allowed, and {reason}.",
        fix="Write for example: Metadata_Compound == 'DMSO' and dose < 2; names of several words in backticks.",
        code="bad-expression",
    )


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
