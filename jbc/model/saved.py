"""Whether what was read from a saved model is a model, before any of it is used.

Sums tell that files are as they were written, not that this version understands them: someone may have edited the
description and sealed it again, or another version may have written it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import jax
import numpy as np

from jbc.cohort.composition import Verdict
from jbc.cohort.covariates import Term
from jbc.errors import InputError
from jbc.methods.base import Classifies, Encodes, Method, can, goes_by_order
from jbc.methods.registry import from_json
from jbc.model.adaptation import Adaptation, Expected

LONGEST = 200  # characters of a foreign error message, or of a value
ROWS = 13  # that are traced: as many as hardly any array has of anything


class Rule(NamedTuple):
    """What a part of the description has to be, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _names(value: Any) -> bool:
    texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return texts and len(value) == len(set(value)) > 0


def _classes(value: Any) -> bool:
    if not isinstance(value, list) or not all(isinstance(each, (str, int, float)) for each in value):
        return False
    kinds = {"text" if isinstance(each, str) else isinstance(each, bool) for each in value}
    return len(kinds) <= 1 and len(value) == len(set(value))


def _history(value: Any) -> bool:
    rows = isinstance(value, list) and all(isinstance(row, dict) and _whole(row.get("step")) for row in value)
    return rows and all(_number(each) for row in value for each in row.values())


def _adapted(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_adaptation, value.values()))


def _adaptation(record: Any) -> bool:
    if not isinstance(record, dict) or set(record) != set(Adaptation._fields):
        return False
    curve, counts = record["curve"], (record["rows"], record["minimum"])
    numbers = [each for name, each in record.items() if name != "curve"]
    if not isinstance(curve, list) or not all(isinstance(each, dict) for each in curve):
        return False
    same = all(set(each) == set(Expected._fields) for each in curve)
    numbers += [number for each in curve for number in each.values()]
    return same and all(map(_number, numbers)) and all(map(_whole, counts))


def _terms(value: Any) -> bool:
    """Return whether these are covariates: numbers, or levels."""
    if not isinstance(value, list) or not all(isinstance(term, dict) for term in value):
        return False
    return all(
        term.keys() == set(Term._fields)
        and isinstance(term["name"], str)
        and (term["levels"] == [] or (_names(term["levels"]) and len(term["levels"]) > 1))
        and _number(term["centre"])
        and _number(term["spread"])
        and term["spread"] > 0
        for term in value
    )


def _order(value: Any) -> bool:
    pair = isinstance(value, list) and len(value) == 2 and all(map(_number, value))
    return value is None or (pair and value[1] > 0)


RULES = {
    "method": Rule("the name and the settings of a method", lambda value: isinstance(value, dict)),
    "features": Rule("a list of different texts", _names),
    "named": Rule("true or false", lambda value: isinstance(value, bool)),
    "domains": Rule("a list of different texts", _names),
    "classes": Rule("a list of different texts, or of different numbers", _classes),
    "steps": Rule("a whole number from 0", _whole),
    "stopped": Rule("true or false", lambda value: isinstance(value, bool)),
    "target": Rule("the name of a domain, or nothing", lambda value: isinstance(value, str)),
    "seed": Rule("a whole number from 0", _whole),
    "history": Rule("a list of steps with their numbers", _history),
    "notes": Rule("a table of names and values", lambda value: isinstance(value, dict)),
    "composition": Rule("a finding about the composition", lambda value: value in get_args(Verdict)),
    "adapted": Rule("the record of every adaptation", _adapted),
    "covariates": Rule("a list of covariates", _terms),
    "order": Rule("where a run starts and its unit, or nothing", _order),
}


# Shapes of the arrays beside those of the method.
ARRAYS: dict[str, tuple[str, ...]] = {
    "controls/x": ("rows", "features"),
    "controls/domain": ("rows",),
    "composition/shares": ("domains", "populations"),
    "composition/moves": ("domains",),
    "support/centres": ("domains", "features"),
    "support/units": ("features",),
    "support/axes": ("features", "axes"),
    "support/variance": ("axes",),
    "support/rest": (),
    "support/edge": (),
    "gaps/centres": ("domains", "features"),
    "gaps/alone": ("domains", "features"),
    "offset": ("features",),
}
# And of those that are there where the fit had covariates.
COVARIATES: dict[str, tuple[str, ...]] = {
    "covariates/effect": ("columns", "features"),
    "covariates/centre": ("columns",),
    "covariates/kept": ("columns",),
}


def understood(folder: Path, tree: Any, meta: dict[str, Any]) -> Method:
    """Check all parts of a saved model, and return its method.

    Parameters
    ----------
    folder
        Where it was read, for messages.
    tree, meta
        What :func:`jbc.train.checkpoint.read` returned.

    Raises
    ------
    InputError
        ``not-a-model``: it is something else, or a part of its description is missing. ``damaged-model``: a part,
        which the message names, is not what it has to be, or does not fit to the others. And what is wrong with the
        settings of the method, if it is these.
    """
    kind, lost = meta.get("kind", "unknown"), [f"no {name}" for name in RULES if name not in meta]
    if kind != "model" or lost:
        raise InputError(
            f"{folder} holds no model",
            which=[kind] if kind != "model" else lost,
            why="Only a finished model can transform and predict.",
            fix="Finish the training (--resume), then load its model folder.",
            code="not-a-model",
        )
    _refuse(folder, "MANIFEST.json", _strange(meta))
    try:
        method = from_json(meta["method"])
    except InputError as error:
        error.args = (f"'{folder / 'MANIFEST.json'}': {error.args[0]}",)
        raise
    _refuse(folder, "MANIFEST.json", _contradictions(meta))
    sizes = {name: len(meta[name]) for name in ("domains", "features", "classes")}
    terms = [Term(**term) for term in meta["covariates"]]
    beside = {"columns": sum(term.width for term in terms)} if terms else {}
    _refuse(folder, "leaves.json", _misfits(tree, sizes | beside))
    _refuse(folder, "leaves.json", _outputs(method, tree["fitted"], sizes))
    return method


def _strange(meta: dict[str, Any]) -> Iterator[str]:
    """Yield parts of the description that are of another kind."""
    for name, rule in RULES.items():
        if not rule.holds(meta[name]):
            yield f"{name} is {_shown(meta[name])}, where {rule.words} is needed"


def _contradictions(meta: dict[str, Any]) -> Iterator[str]:
    """Yield parts of the description that other parts rule out."""
    if unknown := [name for name in meta["adapted"] if name not in meta["domains"]]:
        yield f"adapted tells of {_shown(unknown)}, and domains does not"
    if meta["target"] and meta["target"] not in meta["domains"]:
        yield f"target is {_shown(meta['target'])}, which domains does not tell of"


def _misfits(tree: Any, sizes: dict[str, int]) -> Iterator[str]:
    """Yield arrays that are missing, or of another shape than the names in the description ask for."""
    tree = tree if isinstance(tree, dict) else {}
    if not isinstance(tree.get("fitted"), dict):
        yield "fitted is not there"
    known = dict(sizes)
    for path, axes in (ARRAYS | (COVARIATES if "columns" in sizes else {})).items():
        array: Any = tree
        for key in path.split("/"):
            array = array.get(key) if isinstance(array, dict) else None
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            yield f"{path} is not there" if array is None else f"{path} is no array of numbers"
            continue
        # What no name tells, the first array with such an axis does.
        known = dict(zip(axes, array.shape, strict=False)) | known
        expected = tuple(known[axis] for axis in axes if axis in known)
        if array.shape != expected:
            count = f"{sizes['domains']} domains and {sizes['features']} features"
            yield f"{path} has shape {array.shape}, where {count} need {expected}"
        elif path == "controls/domain" and not np.isin(array, np.arange(sizes["domains"])).all():
            yield f"{path} counts more than {sizes['domains']} domains"


def _outputs(method: Method, fitted: Any, sizes: dict[str, int]) -> Iterator[str]:
    """Yield functions of the method that cannot be computed from what is fitted, or give another shape.

    Nothing is run: to trace a function is enough to meet every array that is missing or has another shape.
    """
    rows = [
        jax.ShapeDtypeStruct((ROWS, sizes["features"]), np.float32),
        jax.ShapeDtypeStruct((ROWS,), np.int32),
    ]
    if goes_by_order(method):
        rows.append(jax.ShapeDtypeStruct((ROWS,), np.float32))
    for path, leaf in jax.tree_util.tree_leaves_with_path(fitted, is_leaf=lambda node: node is None):
        if leaf is None:  # which JAX takes for no array at all, and some layers for one that they do without
            yield f"fitted{jax.tree_util.keystr(path)} is not there"
    wanted = {"transform": "features"}
    if can(method, Classifies) and sizes["classes"]:
        wanted["predict"] = "classes"
    if can(method, Encodes):
        wanted["encode"] = "codes"
    for name, axis in wanted.items():
        found = _shape(getattr(method, name), fitted, rows)
        if isinstance(found, str):
            yield f"fitted does not fit {type(method).__name__}, whose function {name} fails with {found}"
        elif found != (ROWS, sizes.get(axis, found[-1] if found else 0)):
            yield f"fitted gives shape {found} for {ROWS} rows by {name}, with {sizes.get(axis, 'some')} {axis}"


def _shape(function: Callable[..., Any], fitted: Any, rows: Any) -> tuple[int, ...] | str:
    """Return the shape of what a function gives, or why it gives nothing."""
    try:
        return jax.eval_shape(function, fitted, *rows).shape
    except Exception as error:  # noqa: BLE001  # whatever a method's own code meets in arrays of another shape
        return f"{type(error).__name__}: {_shown(error)}"


def _refuse(folder: Path, file: str, faults: Iterator[str]) -> None:
    if found := list(faults):
        raise InputError(
            f"The model cannot be used because of what '{folder / file}' tells of it",
            which=found,
            why="Its sums are right: it was edited and sealed again, or another version of jbc has written it.",
            fix="Restore the folder from a copy, load it with the version that wrote it, or fit and save again.",
            code="damaged-model",
        )


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, Exception) else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
