"""What the settings of a method may be: their annotations, read as rules."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from jbc.errors import InputError
from jbc.methods.base import Method
from jbc.methods.constraints import Positive

# What compiled programs hold: counters of 32 bits, and numbers of single precision, of which smaller ones become 0.
MOST = 2**31 - 1
LARGEST, LEAST = (float(end) for end in (np.finfo(np.float32).max, np.finfo(np.float32).tiny))


class Rule(NamedTuple):
    """What values of an annotation are: how one and several of them are called, and whether a value is one."""

    one: str
    many: str
    holds: Callable[[Any], bool]


def check(method: Any, steps: Any = None) -> None:
    """Refuse settings that mean nothing: unknown words, other types, numbers out of their range.

    Examples
    --------
    >>> from jbc.methods.closed_form.standardise import Standardise
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
    bad = [*(() if steps is None else _wrong("steps", Positive, steps)), *_meaningless(method)]
    if bad:
        raise InputError(
            f"Settings of {type(method).__name__} out of range",
            which=bad,
            why="Training would fail, or do something else than it says.",
            fix="Leave them out for the defaults.",
            code="bad-setting",
        )


def rule(annotation: Any) -> Rule:
    """Return the rule of an annotation.

    Raises
    ------
    TypeError
        For an annotation without a rule: one has to be written before a setting can have it.

    Examples
    --------
    >>> rule(tuple[str, ...]).one, rule(float | None).one
    ('a tuple of texts', 'a number, or None')
    >>> rule(bool).holds(1), rule(int).holds(True), rule(float).holds(1)
    (False, False, True)
    """
    if annotation in PLAIN:
        return PLAIN[annotation]
    if dataclasses.is_dataclass(annotation):
        name = annotation.__name__  # pyright: ignore[reportAttributeAccessIssue]
        return Rule(f"a {name}", f"{name}s", lambda value: isinstance(value, annotation))  # pyright: ignore[reportArgumentType]
    made = COMPOSED.get(typing.get_origin(annotation), lambda _: None)(typing.get_args(annotation))
    if made is None:
        raise TypeError(f"Settings cannot be {annotation}: jbc.methods.settings has no rule for it.")
    return made


def _meaningless(method: Any, within: str = "") -> Iterator[str]:
    hints = typing.get_type_hints(type(method), include_extras=True)
    for field in dataclasses.fields(method):
        name, value = within + field.name, getattr(method, field.name)
        if dataclasses.is_dataclass(value) and isinstance(value, hints[field.name]):
            yield from _meaningless(value, f"{name}.")
        else:
            yield from _wrong(name, hints[field.name], value)


def _wrong(name: str, annotation: Any, value: Any) -> Iterator[str]:
    """Say what is wrong with a setting, if anything is."""
    expected = rule(annotation)
    if not expected.holds(value):
        yield f"{name}={value!r} is not {expected.one}"
    elif not all(map(_representable, value if isinstance(value, tuple) else (value,))):
        yield f"{name}={value!r} is no number of 32 bits"


def _representable(value: Any) -> bool:
    """Tell whether compiled programs can hold a number, or whether it is none."""
    if not PLAIN[float].holds(value):
        return True
    return abs(value) <= MOST if PLAIN[int].holds(value) else value == 0 or LEAST <= abs(value) <= LARGEST


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _finite(value: Any) -> bool:
    return _whole(value) or (isinstance(value, float | np.floating) and math.isfinite(value))


PLAIN: dict[Any, Rule] = {
    bool: Rule("True or False", "booleans", lambda value: isinstance(value, bool | np.bool_)),
    int: Rule("a whole number", "whole numbers", _whole),
    float: Rule("a number", "numbers", _finite),
    str: Rule("a text", "texts", lambda value: isinstance(value, str)),
    type(None): Rule("None", "None", lambda value: value is None),
}


def _words(words: tuple[Any, ...]) -> Rule:
    said = ", ".join(map(str, words))

    def holds(value: Any) -> bool:
        return any(isinstance(value, type(word)) and value == word for word in words)

    return Rule(f"one of {said}", f"words out of {said}", holds)


def _limited(parts: tuple[Any, ...]) -> Rule:
    one, many, holds = rule(parts[0])
    limits = parts[1:]
    said = "".join(f" {limit.said}" for limit in limits)

    def within(value: Any) -> bool:
        return holds(value) and all(limit.kept(value) for limit in limits)

    return Rule(one + said, many + said, within)


def _tuple(parts: tuple[Any, ...]) -> Rule | None:
    """Make the rule of tuples of one kind of entries, of any length or of a fixed one."""
    entry, length = rule(parts[0]), None if parts[-1] is ... else len(parts)
    if len({*parts} - {...}) > 1:
        return None

    def holds(value: Any) -> bool:
        of_length = isinstance(value, tuple) and length in (None, len(value))
        return of_length and all(map(entry.holds, value))

    number = "" if length is None else f"{length} "
    return Rule(f"a tuple of {number}{entry.many}", f"tuples of {number}{entry.many}", holds)


def _either(parts: tuple[Any, ...]) -> Rule:
    """Make the rule of a union; the words of several literals are listed together."""
    literals = [part for part in parts if typing.get_origin(part) is Literal]
    rules = [rule(part) for part in parts if part not in literals]
    if literals:
        rules.insert(0, _words(tuple(word for part in literals for word in typing.get_args(part))))

    def holds(value: Any) -> bool:
        return any(each.holds(value) for each in rules)

    return Rule(", or ".join(each.one for each in rules), ", or ".join(each.many for each in rules), holds)


COMPOSED: dict[Any, Callable[[tuple[Any, ...]], Rule | None]] = {
    Literal: _words,
    Annotated: _limited,
    tuple: _tuple,
    typing.Union: _either,
    types.UnionType: _either,
}
