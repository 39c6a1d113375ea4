"""What the settings of a method may be: their annotations, read as rules."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
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
            "Not a method",
            which=[method],
            why="Only the methods of jbc can be fitted.",
            fix="Pass an instance of one, such as jbc.JointCalibration().",
            code="not-a-method",
        )
    bad = [*(() if steps is None else _wrong("steps", Positive, steps)), *_meaningless(method)]
    for link in (*method.leading, method.last) if not bad else ():
        if link is not method:
            check(link)
    if bad:
        raise InputError(
            f"Settings of {type(method).__name__} out of range",
            which=bad,
            why="Training would fail, or do something else than it says.",
            fix="Leave them out for the defaults.",
            code="bad-setting",
        )


def changed(value: Any, changes: Mapping[str, Any]) -> Any:
    """Return a method, or a group of settings, with other settings, by their dotted names.

    Examples
    --------
    >>> from jbc.methods.settings import Training
    >>> changed(Training(rows=4, epochs=2), {"rows": 8})
    Training(rows=8, epochs=2, ...)
    """
    flat = {name: new for name, new in changes.items() if "." not in name}
    groups: dict[str, dict[str, Any]] = {}
    for name, new in changes.items():
        if "." in name:
            group, _, rest = name.partition(".")
            groups.setdefault(group, {})[rest] = new
    known = [name for name, _, _ in fields_of(value)]
    if lost := [name for name in (*flat, *groups) if name not in known]:
        raise InputError(
            f"Unknown settings of {type(value).__name__}",
            which=lost,
            why="They would change nothing.",
            fix=f"Its settings are {', '.join(known)}.",
            code="unknown-setting",
        )
    nested = {name: changed(flat.get(name, getattr(value, name)), more) for name, more in groups.items()}
    return dataclasses.replace(value, **(flat | nested))


def flattened(value: Any, within: str = "") -> dict[str, Any]:
    """Return all settings by their dotted names, groups included.

    Examples
    --------
    >>> from jbc.methods.settings import Kernel
    >>> flattened(Kernel((1.0,), "fixed", True))
    {'bandwidths': (1.0,), 'unit': 'fixed', 'unbiased': True}
    """
    found: dict[str, Any] = {}
    for name, _, setting in fields_of(value):
        found[within + name] = setting
        if dataclasses.is_dataclass(setting):
            found |= flattened(setting, f"{within}{name}.")
    return found


def check_seed(seed: Any) -> None:
    """Refuse what is no seed."""
    if not _whole(seed) or not 0 <= seed < 2**32:
        raise InputError(
            "Not a seed",
            which=[seed],
            why="A seed is a whole number from 0 to 2^32 - 1, and decides all that is random.",
            fix="Pass one, such as 0.",
            code="bad-seed",
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
    ('a tuple of strings', 'a number, or None')
    >>> rule(bool).holds(1), rule(int).holds(True), rule(float).holds(1)
    (False, False, True)
    """
    if annotation in PLAIN:
        return PLAIN[annotation]
    if dataclasses.is_dataclass(annotation):
        name = annotation.__name__  # pyright: ignore[reportAttributeAccessIssue]
        return Rule(f"a {name}", f"{name}s", lambda value: isinstance(value, annotation))  # pyright: ignore[reportArgumentType]
    compose = COMPOSED.get(typing.get_origin(annotation))
    if compose is None:
        raise TypeError(f"Settings cannot be {annotation}: jbc.methods.rules has no rule for it.")
    return compose(typing.get_args(annotation))


def _meaningless(method: Any, within: str = "") -> Iterator[str]:
    for name, annotation, value in fields_of(method):
        if dataclasses.is_dataclass(annotation) and isinstance(value, annotation):  # pyright: ignore[reportArgumentType]
            yield from _meaningless(value, f"{within}{name}.")
        else:
            yield from _wrong(within + name, annotation, value)


def fields_of(value: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, annotation and value of every field of a method, or of a group of settings."""
    hints = typing.get_type_hints(type(value), include_extras=True)
    for field in dataclasses.fields(value):
        yield field.name, hints[field.name], getattr(value, field.name)


def _wrong(name: str, annotation: Any, value: Any) -> Iterator[str]:
    """Return what is wrong with a setting, if anything is."""
    expected = rule(annotation)
    if not expected.holds(value):
        yield f"{name}={value!r} is not {expected.one}"
    elif not all(map(_representable, _leaves(value))):
        yield f"{name}={value!r} is no number of 32 bits"


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the entries of tuples, however nested, or a value that is no tuple."""
    if isinstance(value, tuple):
        for entry in value:
            yield from _leaves(entry)
    else:
        yield value


def _representable(value: Any) -> bool:
    """Return whether compiled programs can hold a number, or whether it is none."""
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
    str: Rule("a string", "strings", lambda value: isinstance(value, str)),
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


def _tuple(parts: tuple[Any, ...]) -> Rule:
    """Make the rule of tuples: entries of one kind, in any or in a fixed number; or one entry of each kind."""
    if len({*parts} - {...}) > 1:
        return _of_each(tuple(map(rule, parts)))
    entry, length = rule(parts[0]), None if parts[-1] is ... else len(parts)

    def holds(value: Any) -> bool:
        of_length = isinstance(value, tuple) and length in (None, len(value))
        return of_length and all(map(entry.holds, value))

    number = "" if length is None else f"{length} "
    return Rule(f"a tuple of {number}{entry.many}", f"tuples of {number}{entry.many}", holds)


def _of_each(entries: tuple[Rule, ...]) -> Rule:
    """Make the rule of tuples with one entry of each kind."""
    kinds = " and ".join(entry.one for entry in entries)

    def holds(value: Any) -> bool:
        of_length = isinstance(value, tuple) and len(value) == len(entries)
        return of_length and all(entry.holds(each) for entry, each in zip(entries, value, strict=True))

    return Rule(f"a tuple of {kinds}", f"tuples of {kinds}", holds)


def _either(parts: tuple[Any, ...]) -> Rule:
    """Make the rule of a union; the words of several literals are listed together."""
    literals = [part for part in parts if typing.get_origin(part) is Literal]
    rules = [rule(part) for part in parts if part not in literals]
    if literals:
        rules.insert(0, _words(tuple(word for part in literals for word in typing.get_args(part))))

    def holds(value: Any) -> bool:
        return any(each.holds(value) for each in rules)

    return Rule(", or ".join(each.one for each in rules), ", or ".join(each.many for each in rules), holds)


COMPOSED: dict[Any, Callable[[tuple[Any, ...]], Rule]] = {
    Literal: _words,
    Annotated: _limited,
    tuple: _tuple,
    typing.Union: _either,
    types.UnionType: _either,
}
