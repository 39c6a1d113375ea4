"""The one error and the one warning that jbc raises about its input."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN = 5


def listing(items: Iterable[object]) -> str:
    """List at most five items and count the rest.

    Examples
    --------
    >>> listing(["a", "b"])
    "'a', 'b'"
    >>> listing(range(42))
    '0, 1, 2, 3, 4 and 37 more'
    """
    items = list(items)
    shown = ", ".join(repr(_plain(item)) for item in items[:SHOWN])
    rest = len(items) - SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown


def _plain(item: object) -> object:
    """Turn a NumPy scalar into the Python value, so that it prints as people write it."""
    return item.item() if hasattr(item, "item") and getattr(item, "ndim", None) == 0 else item  # pyright: ignore[reportAttributeAccessIssue]


def _message(what: str, which: Iterable[object] | None, why: str, fix: str) -> str:
    offenders = "" if which is None else f": {listing(which)}"
    return f"{what}{offenders}. {why} {fix}"


def closest(name: str, names: Iterable[str]) -> str | None:
    """Find the name that a typing error most likely meant.

    Examples
    --------
    >>> closest("plate", ["Plate", "well"])
    'Plate'
    >>> closest("plate", []) is None
    True
    """
    folded = {other.casefold(): other for other in reversed(list(names))}
    found = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    return folded[found[0]] if found else None


class InputError(ValueError):
    """Input that jbc cannot use, told in four parts.

    Parameters
    ----------
    what
        What is wrong, without a full stop.
    which
        The offenders; the message shows five and counts the rest.
    why
        Why it matters, one sentence.
    fix
        What to do, one sentence.
    code
        A stable kebab-case word for scripts.

    Examples
    --------
    >>> raise InputError(  # doctest: +ELLIPSIS
    ...     "Unknown domains at transform",
    ...     which=["plate 9"],
    ...     why="Every domain needs statistics that only training gives.",
    ...     fix="Train with these domains.",
    ...     code="unknown-domain",
    ... )
    Traceback (most recent call last):
        ...
    jbc.errors.InputError: Unknown domains at transform: ...
    """

    def __init__(
        self, what: str, *, which: Iterable[object] | None = None, why: str, fix: str, code: str
    ) -> None:
        super().__init__(_message(what, which, why, fix))
        self.what, self.why, self.fix, self.code = what, why, fix, code

    def __reduce__(self):
        return _rebuild, (self.args[0], self.what, self.why, self.fix, self.code)


def _rebuild(message: str, what: str, why: str, fix: str, code: str) -> InputError:
    error = InputError(what, why=why, fix=fix, code=code)
    error.args = (message,)
    return error


class InputWarning(UserWarning):
    """Input that jbc can use, with something the caller should know."""
