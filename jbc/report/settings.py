"""Settings in short: what differs from the defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any


def changed_settings(settings: Any) -> list[dict[str, Any]]:
    """Return the settings of a dataclass that are not the defaults, those of groups by their full names.

    Parameters
    ----------
    settings
        A frozen dataclass, such as a method.

    Examples
    --------
    >>> from jbc.methods.closed_form.standardise import Standardise
    >>> changed_settings(Standardise(scale=False))
    [{'setting': 'scale', 'value': 'no', 'default': 'yes'}]
    >>> changed_settings(Standardise())
    []
    """
    return [
        {"setting": name, "value": _written(value), "default": _written(default)}
        for name, value, default in _changed(settings, "")
    ]


def _changed(settings: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    for field in dataclasses.fields(settings):
        value, default = getattr(settings, field.name), _default(field)
        name = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value) and type(value) is type(default):
            yield from _between(value, default, f"{name}.")
        elif value != default:
            yield name, value, default


def _between(value: Any, default: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield what differs between two groups of settings: a method may have other defaults than its group."""
    for field in dataclasses.fields(value):
        one, other = getattr(value, field.name), getattr(default, field.name)
        if one != other:
            yield f"{prefix}{field.name}", one, other


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def _written(value: Any) -> str:
    """Write a value as people say it.

    Examples
    --------
    >>> _written(True), _written(None), _written((1, 2)), _written("")
    ('yes', 'none', '1, 2', 'none')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(_written, value)) or "none"
    return "none" if value is None or value == "" else str(value)
