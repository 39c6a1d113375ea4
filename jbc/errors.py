"""The one error and the one warning that jbc raises about its input."""

from __future__ import annotations

import difflib
import sys
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence

SHOWN = 5


def listing(items: Iterable[object]) -> str:
    r"""List at most five items and count the rest; those that look the same are written with escapes.

    Examples
    --------
    >>> listing(["a", "b"])
    "'a', 'b'"
    >>> listing(range(42))
    '0, 1, 2, 3, 4 and 37 more'
    >>> print(listing(["é", "e\N{COMBINING ACUTE ACCENT}"]))
    '\xe9', 'e\u0301'
    """
    items = [_plain(item) for item in items]
    looks = Counter(map(_look, items[:SHOWN]))
    return enumeration(
        [ascii(item) if looks[_look(item)] > 1 else repr(item) for item in items[:SHOWN]], len(items)
    )


def enumeration(texts: Sequence[str], number: int | None = None) -> str:
    """Join at most five texts with commas and count the rest, of ``number`` in all."""
    rest = (len(texts) if number is None else number) - SHOWN
    shown = ", ".join(texts[:SHOWN])
    return f"{shown} and {rest} more" if rest > 0 else shown


def _look(item: object) -> str:
    """Write an item as it prints, whatever Unicode has more than one way to write."""
    return unicodedata.normalize("NFKC", repr(item))


def _plain(item: object) -> object:
    """Turn a NumPy scalar into the Python value, so that it prints as people write it."""
    return item.item() if hasattr(item, "item") and getattr(item, "ndim", None) == 0 else item  # pyright: ignore[reportAttributeAccessIssue]


def _message(what: str, which: Iterable[object] | None, why: str, fix: str) -> str:
    offenders = "" if which is None else f": {listing(which)}"
    return f"{what}{offenders}. {why} {fix}"


def closest(name: str, names: Iterable[str], least: float = 0.5) -> str | None:
    r"""Find the name that a typing error most likely meant.

    ``least`` is how alike they have to be, from 0 to 1. A name that looks like the given one, and is another one to a
    computer, prints with escapes. The given one is never found.

    Examples
    --------
    >>> closest("plate", ["Plate", "well"])
    'Plate'
    >>> closest("plate", []) is None
    True
    >>> print(closest("é", ["e\N{COMBINING ACUTE ACCENT}"]))
    e\u0301
    """
    others = [other for other in names if repr(other) != repr(name)]
    folded = {_fold(other): other for other in reversed(others)}
    found = difflib.get_close_matches(_fold(name), folded, n=1, cutoff=least)
    if not found:
        return None
    other = folded[found[0]]
    hidden = isinstance(other, str) and (_look(other) == _look(name) or not other.isprintable())
    return _Escaped(other) if hidden else other


def _fold(name: object) -> str:
    """Write a name so that typing errors count, and case and forms of Unicode do not."""
    return unicodedata.normalize("NFKC", str(name)).casefold()


class _Escaped(str):
    """A text that prints with escapes for all that is not ASCII, wherever it is inserted."""

    def __repr__(self) -> str:
        return ascii(str.__str__(self))

    def __str__(self) -> str:
        return repr(self)[1:-1]


class InputError(ValueError):
    """Input that jbc cannot use, in four parts.

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
    """Input that jbc can use, with something the caller should know.

    Examples
    --------
    >>> import warnings
    >>> import jbc
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     cohort = jbc.Cohort.from_arrays([[1.0, 0.0], [1.0, 2.0], [3.0, 1.0], [5.0, 4.0]], list("aabb"))
    ...     model = jbc.fit(jbc.Standardise(), cohort)
    >>> caught[0].category.__name__  # the first feature is constant in one domain
    'InputWarning'
    """


def warn(message: str) -> None:
    """Warn of the input, and point at the line outside of jbc that passed it."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "jbc":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, InputWarning, stacklevel=level)
