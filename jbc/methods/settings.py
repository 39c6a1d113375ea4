"""What the hyper-parameters of a method may be: their annotations, read as rules."""

from __future__ import annotations

import dataclasses
import math
import numbers
import typing
from collections.abc import Iterator
from typing import Any, Literal

from jbc.errors import InputError
from jbc.methods.base import Method

RATES = ("dropout", "smoothing", "average")
COUNT = "a whole number from 1"


def check(method: Any, steps: Any = None) -> None:
    """Refuse settings that mean nothing: unknown words, counts below 1, negative or infinite numbers.

    Examples
    --------
    >>> from jbc.baselines.standardise import Standardise
    >>> check(Standardise(on="wells"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    jbc.errors.InputError: Settings of Standardise out of range: "on='wells' is not one of all, controls". ...
    """
    if not isinstance(method, Method):
        raise InputError(
            "This is no method",
            which=[method],
            why="Only the methods of jbc can be fitted.",
            fix="Pass an instance of one, such as jbc.JointCalibration().",
            code="not-a-method",
        )
    bad = [f"steps={steps!r} is not {COUNT}"] if steps is not None and not _count(steps) else []
    bad += _meaningless(method)
    if bad:
        raise InputError(
            f"Settings of {type(method).__name__} out of range",
            which=bad,
            why="Training would fail, or do something else than it says.",
            fix="Leave them out for the defaults.",
            code="bad-setting",
        )


def _meaningless(method: Any) -> Iterator[str]:
    hints = typing.get_type_hints(type(method))
    for field in dataclasses.fields(method):
        name, hint, value = field.name, hints[field.name], getattr(method, field.name)
        if dataclasses.is_dataclass(value):
            yield from _meaningless(value)
        elif expected := _expected(name, hint, value):
            yield f"{name}={value!r} is not {expected}"


def _expected(name: str, hint: Any, value: Any) -> str | None:
    """Say what a setting has to be, unless it is."""
    if typing.get_origin(hint) is Literal:
        words = typing.get_args(hint)
        return None if value in words else f"one of {', '.join(words)}"
    if hint is int:
        return None if _count(value) else COUNT
    if hint is float:
        good = _number(value) and (value < 1 or name not in RATES)
        return None if good else "a number from 0" + (" to below 1" if name in RATES else "")
    if hint is str:
        return None if isinstance(value, str) else "a text"
    if hint == tuple[str, ...]:
        good = isinstance(value, tuple) and all(isinstance(each, str) for each in value)
        return None if good else "a tuple of texts"
    if typing.get_origin(hint) is tuple:
        good = isinstance(value, tuple) and value and all(_number(each) and each > 0 for each in value)
        return None if good else "one or more numbers above 0"
    return None


def _count(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and int(value) >= 1


def _number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and 0 <= float(value) < math.inf
