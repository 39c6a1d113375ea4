"""What differs between rows for reasons of its own, and is kept: age, sex, tissue."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from jbc.errors import InputError
from jbc.validation import checks


class Term(NamedTuple):
    """One covariate: a number, or one of some levels.

    Attributes
    ----------
    name
        What it is called.
    levels
        Its levels, the first of which the others are compared with; none for a number.
    centre, spread
        What a number is measured from, and in.

    Examples
    --------
    >>> Term("sex", ("f", "m")).columns(np.array(["m", "f"], object)).tolist()
    [[1.0], [0.0]]
    """

    name: str
    levels: tuple[str, ...] = ()
    centre: float = 0.0
    spread: float = 1.0

    @property
    def width(self) -> int:
        """Number of its columns in the design."""
        return max(len(self.levels) - 1, 1)

    def columns(self, values: np.ndarray) -> np.ndarray:
        """Return its columns of the design, (n, width)."""
        if not self.levels:
            return (_numbers(self.name, values)[:, None] - self.centre) / self.spread
        names, code = checks.codes(values, len(values), f"covariate {self.name!r}")
        if lost := sorted(set(names) - set(self.levels)):
            raise InputError(
                f"Unknown levels of the covariate {self.name!r}",
                which=lost,
                why="Nothing is known of their effect, which has to be taken out before the correction.",
                fix=f"Use rows of {', '.join(map(repr, self.levels))}, or fit again with rows of the new levels.",
                code="unknown-level",
            )
        place = np.array([self.levels.index(name) for name in names])[code]
        return np.eye(len(self.levels))[place, 1:]


@partial(jax.tree_util.register_dataclass, data_fields=["design", "centre", "effect", "kept"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class Covariates:
    """The covariates of the rows of a cohort, and what they do to features, once that is estimated.

    Attributes
    ----------
    design : (n, p) float32
        Columns of numbers, and of levels other than the first (1 where a row is of it).
    centre : (p,) float32, optional
        Mean of the columns over rows.
    effect : (p, d) float32, optional
        What a column adds to a feature.
    kept : (p,) bool, optional
        Columns whose effect is put back after the correction.
    """

    design: Array
    centre: Array | None = None
    effect: Array | None = None
    kept: Array | None = None


def read_terms(given: Any, n: int) -> tuple[Term, ...]:
    """Return the covariates that columns hold: numbers, or levels where they are texts.

    Parameters
    ----------
    given
        Columns by name (a data frame or a mapping), one column, or an array of columns.
    n
        Number of rows.

    Examples
    --------
    >>> read_terms({"age": [30, 50], "sex": ["f", "m"]}, 2)
    (Term(name='age', ..., centre=40.0, spread=10.0), Term(name='sex', levels=('f', 'm'), ...))
    """
    terms = []
    for name, values in named_columns(given, n).items():
        if _is_number(values):
            found = _numbers(name, values)
            spread = float(found.std())
            same = spread <= 1e-12 * float(np.abs(found).max())
            terms.append(Term(name, (), float(found.mean()), spread))
        else:
            levels, _ = checks.codes(values, n, f"covariate {name!r}")
            same = len(levels) == 1
            terms.append(Term(name, levels))
        if same:
            raise InputError(
                "Covariates that are the same in all rows",
                which=[name],
                why="Nothing can be learned of their effect.",
                fix="Leave them out.",
                code="constant-covariate",
            )
    return tuple(terms)


def design(terms: Sequence[Term], given: Any, n: int) -> np.ndarray:
    """Return the columns of rows, (n, p), for covariates as they were read in the fit.

    Examples
    --------
    >>> terms = read_terms({"age": [30, 50], "sex": ["f", "m"]}, 2)
    >>> design(terms, {"sex": ["m"], "age": [40]}, 1).tolist()
    [[0.0, 1.0]]
    """
    if not terms and given is not None:
        raise InputError(
            "Covariates are given, and the fit had none",
            why="The model does not know their effects, and would leave them out without a word.",
            fix="Leave them out, or fit again with covariates=.",
            code="unknown-covariate",
        )
    if not terms:
        return np.zeros((n, 0))
    named = {} if given is None else named_columns(given, n)
    if len(named) == len(terms) and not _has_names(given):
        named = dict(zip((term.name for term in terms), named.values(), strict=True))
    if lost := [term.name for term in terms if term.name not in named]:
        raise InputError(
            "Covariates of the fit are missing",
            which=lost,
            why="Their effect is taken out before the correction, and put back after it.",
            fix="Pass covariates= with a value of each for every row (at the command line: columns of these names).",
            code="missing-covariate",
        )
    return np.concatenate([term.columns(named[term.name]) for term in terms], axis=1)


def _has_names(given: Any) -> bool:
    return isinstance(given, Mapping) or hasattr(given, "columns") or getattr(given, "name", None) is not None


def named_columns(given: Any, n: int) -> dict[str, np.ndarray]:
    """Return columns by name; those of an array are numbered.

    Examples
    --------
    >>> list(named_columns({"age": [30, 50]}, 2)), list(named_columns([[30, 1], [50, 2]], 2))
    (['age'], ['covariate0', 'covariate1'])
    """
    if hasattr(given, "columns"):
        columns = {str(name): given[name].to_numpy() for name in given.columns}
    elif isinstance(given, Mapping):
        columns = {str(name): np.asarray(values) for name, values in given.items()}
    else:
        table = np.asarray(given)
        table = table[:, None] if table.ndim == 1 else table
        name = getattr(given, "name", None)
        names = [str(name)] if name is not None else [f"covariate{j}" for j in range(table.shape[-1])]
        columns = dict(zip(names, table.T, strict=False)) if table.ndim == 2 else {"covariates": table}
    wrong = [f"{name}: shape {values.shape}" for name, values in columns.items() if values.shape != (n,)]
    if wrong or not columns:
        raise InputError(
            f"Covariates need one value for each of {n} rows",
            which=wrong or None,
            why="They tell about rows.",
            fix="Pass a data frame, a mapping of names to columns, or an array (rows × covariates).",
            code="bad-shape",
        )
    return columns


def _is_number(values: np.ndarray) -> bool:
    if values.dtype.kind in "iufb":
        return True
    if values.dtype.kind != "O":
        return False
    return all(isinstance(value, int | float | np.number | None) for value in values)


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        found = np.array([_number(value) for value in values])
    if len(rows := np.flatnonzero(~np.isfinite(found))):
        raise InputError(
            f"Rows without a usable value of the covariate {name!r} ({len(rows)} of {len(values)})",
            which=[f"row {row}: {values[row]!r}" for row in rows],
            why="Its effect on them cannot be taken out.",
            fix="Leave out these rows, leave out the covariate, or give them a typical value (pools: the mean).",
            code="missing-value",
        )
    return found


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan
