"""Checks of what people pass in, and its translation into codes. Host code, NumPy only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jbc.errors import InputError, closest, enumeration, listing, warn
from jbc.validation.names import name, read, unknown

# Squares of larger values leave the range of float32.
LARGEST = 1e18
# How a label is left out on purpose: of these, nothing is said.
SILENT = ("", "-1")


def values(
    x: Any, features: Sequence[str] | None = None, *, new: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return measurements, as numbers of the precision they came in, and the mask of observed values.

    The mask is None when the table is complete; what is masked in a masked array is missing, as NaN is, and becomes
    0. Columns without a value are refused, except in new rows for a fitted model: few rows may miss a column.
    """
    x = unmasked(x)
    try:
        x = np.asarray(x, dtype=np.float64 if np.asarray(x).dtype == object else None)
    except (TypeError, ValueError) as error:
        raise InputError(
            "The measurements are not numbers",
            why=f"A method computes with every column ({error}).",
            fix="Pass numeric columns only; keep names and ids beside them.",
            code="not-numeric",
        ) from None
    if np.iscomplexobj(x) or x.dtype.kind not in "fiub":
        raise InputError(
            f"Complex data not supported, nor any other than real numbers (got {x.dtype})",
            why="A method computes with real numbers.",
            fix="Pass a numeric table.",
            code="not-numeric",
        )
    if x.ndim != 2 or 0 in x.shape:
        raise InputError(
            f"A table of rows × features is needed, got shape {x.shape}",
            why="Rows are samples and columns are features.",
            fix="Reshape to (n_samples, n_features), at least one of each.",
            code="bad-shape",
        )
    return _finite(x, feature_names(features, x.shape[1]), new)


def _finite(x: np.ndarray, names: tuple[str, ...], new: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Refuse infinite and huge values, and turn NaN into a mask."""
    with np.errstate(invalid="ignore"):
        # False with a NaN. A table as it should be is not copied.
        if x.min() >= -LARGEST and x.max() <= LARGEST:
            return x, None
    missing = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
    with np.errstate(invalid="ignore"):
        huge = ~missing & ~(np.abs(x) <= LARGEST)
    if huge.any():
        raise InputError(
            f"Values that are infinity or larger than {LARGEST:g} in {int(huge.any(axis=1).sum())} rows, columns",
            which=[names[i] for i in np.flatnonzero(huge.any(axis=0))],
            why="Their squares leave the range of float32, and every result becomes NaN.",
            fix="Repair or remove them, or rescale the columns.",
            code="not-finite",
        )
    empty = missing.all(axis=0)
    if empty.any() and not new:
        raise InputError(
            "Columns without a single value (all NaN)",
            which=[names[i] for i in np.flatnonzero(empty)],
            why="Nothing can be learned about them.",
            fix="Remove these columns.",
            code="empty-feature",
        )
    if not missing.any():
        return x, None
    return np.where(missing, 0, x), ~missing


def unmasked(x: Any) -> Any:
    """Write NaN where a masked array hides a value; return anything else as it is.

    Examples
    --------
    >>> unmasked(np.ma.array([[1.0, 2.0]], mask=[[False, True]])).tolist()
    [[1.0, nan]]
    """
    if not isinstance(x, np.ma.MaskedArray):
        return x
    hidden = np.ma.getmaskarray(x)
    return np.where(hidden, np.nan, x.data) if hidden.any() else x.data


def columns_of(x: Any, features: Sequence[str] | None) -> Any:
    """Return the columns of a data frame by their names, or whatever else was passed as it is.

    ``features`` are the names, in the order that is wanted; None takes all columns as they come.

    Examples
    --------
    >>> import pandas as pd
    >>> columns_of(pd.DataFrame({"b": [1.0], "id": ["r"], "a": [2.0]}), ["a", "b"]).tolist()
    [[2.0, 1.0]]
    """
    if features is None or not hasattr(x, "columns"):
        return x
    names = [str(name) for name in x.columns]
    if lost := [name for name in features if name not in names]:
        raise InputError(
            "Columns that the model was fitted to are missing",
            which=lost,
            why="A model corrects the features that it has seen, which it knows by their names.",
            fix="Add these columns, or pass a plain array whose columns are in the order of the fit.",
            code="missing-feature",
        )
    if twice := sorted({name for name in features if names.count(name) > 1}):
        raise InputError(
            "Columns that occur twice",
            which=twice,
            why="Which of them is meant is not known.",
            fix="Leave one of each.",
            code="bad-feature-names",
        )
    return x.iloc[:, [names.index(name) for name in features]].to_numpy()


def as_many_columns(x: Any, features: Sequence[str]) -> None:
    """Refuse a table that does not have one column for every feature; what is no table, :func:`values` refuses."""
    shape = np.shape(x)
    if len(shape) == 2 and shape[1] != len(features):
        raise InputError(
            f"{shape[1]} columns, where the model was fitted to {len(features)} features",
            which=features,
            why="A model corrects the features that it has seen.",
            fix="Pass these columns, in this order.",
            code="wrong-features",
        )


def incomplete(observed: np.ndarray, names: Sequence[str], method: str) -> InputError:
    """Make the error of a method that does not honour missing values."""
    columns = np.flatnonzero(~observed.all(axis=0))
    return InputError(
        f"Input contains NaN: {int((~observed).sum())} missing values, in columns",
        which=[names[int(i)] for i in columns],
        why=f"{method} needs every value, and filling them in silently would be a guess.",
        fix="Impute them first, or remove these columns or rows.",
        code="missing-values",
    )


def feature_names(features: Sequence[str] | None, d: int) -> tuple[str, ...]:
    """Return the column names as strings, numbered when there are none."""
    if features is None:
        return tuple(f"x{i}" for i in range(d))
    names = tuple(str(name) for name in features)
    if len(names) != d or len(set(names)) != d:
        raise InputError(
            f"{len(names)} feature names ({len(set(names))} different) for {d} columns",
            which=sorted({name for name in names if names.count(name) > 1}) or None,
            why="Columns are recognised by their names.",
            fix="Give every column a name of its own.",
            code="bad-feature-names",
        )
    return names


def one_per_row(values: Any, n: int, what: str) -> np.ndarray:
    """Return one value per row as an object array, or refuse; None stands for what a masked array hides."""
    array = np.asarray(values, dtype=object)
    if isinstance(values, np.ma.MaskedArray):
        array = array.copy()
        array[np.ma.getmaskarray(values)] = None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (n,):
        raise InputError(
            f"{what} has shape {array.shape} for {n} rows (inconsistent numbers of samples)",
            why="Every row needs exactly one.",
            fix=f"Pass {n} values.",
            code="bad-length",
        )
    return array


def codes(given: Any, n: int, what: str, single: str = "all") -> tuple[tuple[str, ...], np.ndarray]:
    """Translate group names into codes in alphabetical order.

    When nothing is given, all rows are one group, or every row is one (``single="row"``). Refused are rows without a
    name, and names that a person would not tell apart: see :mod:`jbc.validation.names`.
    """
    if given is None:
        return ("all",), np.arange(n, dtype=np.int32) if single == "row" else np.zeros(n, np.int32)
    found = one_per_row(given, n, what).tolist()
    if set(map(type, found)) != {str}:
        _no_row_without(what, [i for i, value in enumerate(found) if unknown(value)], found)
        found = [name(value) for value in found]
    names = sorted(set(found))
    # Names are looked at once each: there are tables with a million units.
    lost, twins = read(names)
    if lost:
        _no_row_without(what, [i for i, value in enumerate(found) if value in lost], found)
    _refuse_twins(twins, what)
    place = {name: code for code, name in enumerate(names)}
    return tuple(names), np.fromiter(map(place.__getitem__, found), np.int32, n)


def _no_row_without(what: str, rows: list[int], given: list[Any]) -> None:
    """Refuse rows that belong to no group, as :func:`jbc.validation.names.unknown` tells."""
    if not rows:
        return
    words = sorted({given[i] for i in rows if isinstance(given[i], str) and given[i].strip()})
    raise InputError(
        f"Rows without a {what} (positions counted from 0)",
        which=rows,
        why=f"Every row belongs to one {what}"
        + (f", and {listing(words)} stands for none." if words else "."),
        fix=f"Fill in the {what} of these rows or leave the rows out"
        + (f"; where it is the name of a {what}, give it another one." if words else "."),
        code=f"missing-{what.split()[0]}",
    )


def _refuse_twins(twins: list[str], what: str) -> None:
    """Refuse names that :func:`jbc.validation.names.essence` cannot tell apart."""
    if twins:
        raise InputError(
            f"{what.capitalize()} names that differ only in blanks, in invisible characters, in the form of Unicode "
            "or in the way a number is written",
            which=twins,
            why=f"They are most likely one {what}, and would be taken for several.",
            fix=f"Write each {what} in one way.",
            code=f"twin-{what.split()[0]}s",
        )


def domains(given: Any, n: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Translate domain names into codes."""
    return codes(given, n, "domain")


def one_domain(given: Any, known: tuple[str, ...]) -> int:
    """Return the code of one domain, or refuse an unknown one with the closest known name."""
    if name(given) not in known:
        raise unknown_domains([name(given)], known)
    return known.index(name(given))


def known_domains(given: Any, n: int, known: tuple[str, ...]) -> np.ndarray:
    """Translate the domains of new rows into the codes of a fitted model."""
    if given is None and len(known) == 1:
        return np.zeros(n, np.int32)
    if given is None:
        raise InputError(
            f"No domain given, but the model knows {len(known)}",
            which=known,
            why="The correction of a row depends on its domain.",
            fix="Pass domain=, one value per row (through scikit-learn's searches and pipelines, it arrives after "
            "sklearn.set_config(enable_metadata_routing=True)).",
            code="missing-domain",
        )
    names, code = domains(given, n)
    if lost := [each for each in names if each not in known]:
        raise unknown_domains(lost, known, fitted=True)
    return np.array([known.index(each) for each in names], np.int32)[code]


def unknown_domains(lost: Sequence[str], known: Sequence[str], *, fitted: bool = False) -> InputError:
    """Make the error for domains that a table does not have, or that a fitted model has never seen."""
    close = closest(lost[0], known)
    there = f"those of the {'model' if fitted else 'table'} are {listing(known)}"
    hint = f"{there} (did you mean {close!r}?)" if close else there
    if fitted:
        why = "A domain's correction is learned from its own rows, and the model has seen none of these."
        fix = (
            f"Use a known one: {hint}; take new ones in by their controls (adapt); or fit again with their rows. "
            "Cross-validation that holds out domains is in jbc.model_selection; that of rows needs shuffled folds."
        )
    else:
        why, fix = "Only domains of the table can be named.", f"Use another name: {hint}."
    return InputError("Unknown domains", which=lost, why=why, fix=fix, code="unknown-domain")


def all_new(names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse to take in domains that a model knows."""
    if again := [name for name in names if name in known]:
        raise InputError(
            "Domains that the model knows already",
            which=again,
            why="What is fitted to a domain stays as it is.",
            fix="Pass rows of new domains only, under other names.",
            code="known-domain",
        )
    _refuse_twins(read({*names, *known})[1], "domain")


def missing_column(key: str, known: Sequence[str]) -> InputError:
    """Make the error for a column that a table does not have."""
    close = closest(key, known)
    hint = f"The table has {listing(known)}." if close is None else f"Did you mean {close!r}?"
    return InputError(
        "Could not find the column",
        which=[key],
        why="It says what belongs together.",
        fix=hint,
        code="missing-column",
    )


def labels(given: Any, n: int) -> tuple[tuple[Any, ...], np.ndarray]:
    """Translate labels into codes in sorted order; an unknown label (:func:`jbc.validation.names.unknown`) is -1."""
    code = np.full(n, -1, np.int32)
    if given is None:
        return (), code
    given = known_labels(given, n)
    known = np.array([value is not None for value in given], bool)
    if not known.any():
        return (), code
    try:
        classes, code[known] = np.unique(given[known], return_inverse=True)
    except TypeError:
        raise InputError(
            "Labels mix text and numbers",
            which=sorted({type(value).__name__ for value in given[known]}),
            why="Classes have to be compared with each other.",
            fix="Write all labels as text, or all as numbers.",
            code="mixed-labels",
        ) from None
    _refuse_twins(read({each for each in classes if isinstance(each, str)})[1], "label")
    return tuple(classes.tolist()), code


def known_labels(given: Any, n: int) -> np.ndarray:
    """Return labels with None for every unknown one, and tell which words were taken for unknown, and how often."""
    given = one_per_row(given, n, "y")
    found = given.tolist()
    empty = read({value for value in found if isinstance(value, str)})[0]
    lost = np.array([value in empty if isinstance(value, str) else unknown(value) for value in found], bool)
    reported = {word for word in empty if word.strip() not in SILENT}
    if reported:
        words = Counter(str(value) for value in found if isinstance(value, str) and value in reported)
        number, counts = words.total(), [f"{word!r} ({count})" for word, count in sorted(words.items())]
        warn(
            f"{number} label{'s are' if number > 1 else ' is'} taken for unknown: {enumeration(counts)}. "
            "Tables write missing values like this, and no class is made of them. "
            "Leave such cells empty if that is right, and give the class another name if it is not."
        )
    given = given.copy()
    given[lost] = None
    return given


def mask(given: Any, n: int, what: str) -> np.ndarray:
    """Return a boolean per row (all False when nothing is given)."""
    if given is None:
        return np.zeros(n, bool)
    array = one_per_row(given, n, what)
    if set(map(type, array.tolist())) == {bool}:
        return array.astype(bool)
    bad = [value for value in array if unknown(value) or value not in (True, False, 0, 1)]
    if bad:
        raise InputError(
            f"{what} must be true or false for every row, got",
            which=_distinct(bad),
            why="It marks rows of the same material in every domain.",
            fix="Pass booleans.",
            code=f"bad-{what}",
        )
    return array.astype(bool)


def _distinct(items: Iterable[Any]) -> list[Any]:
    """Return the items once each, in order of appearance, compared by how they print."""
    return list({repr(item): item for item in items}.values())
