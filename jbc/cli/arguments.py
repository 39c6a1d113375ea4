"""The order of arguments: the method of ``jbc fit`` may come first, last, or in between."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from jbc.errors import InputError, closest

# How many values an option takes.
FLAG, ONE, MANY = range(3)
LIKE = 0.7  # of what a typing error leaves of a name


def in_order(
    arguments: Sequence[str], own: Mapping[str, int], settings: Mapping[str, Collection[str]]
) -> list[str]:
    """Return arguments with the command's own options first, then the method, then the method's settings.

    Parameters
    ----------
    arguments
        As they were typed.
    own
        The command's options, and how many values each takes.
    settings
        The methods, and the options of each.

    Raises
    ------
    InputError
        Where a method should be and is none.

    Examples
    --------
    >>> in_order(["standardize", "--data", "a.csv", "--on", "controls"], {"--data": MANY}, {"standardise": ["--on"]})
    ['--data', 'a.csv', 'standardise', '--on', 'controls']
    """
    head: list[str] = []
    tail: list[str] = []
    method = None
    part, room = tail, ONE  # where values of the last option go, and how many it still takes
    strangers: list[str] = []
    for number, argument in enumerate(arguments):
        if argument.startswith("-") and not _number(argument):
            name = "--" + argument.split("=")[0].lstrip("-").replace("_", "-")
            part = head if name in own else tail
            room = MANY if part is tail else FLAG if "=" in argument else own[name]
            part.append(argument)
            continue
        found = known_as(argument, settings)
        if method is None and found and (room != ONE or number == 0):
            method, part, room = found, tail, MANY
            continue
        if room == FLAG or number == 0:
            strangers.append(argument)
        part.append(argument)
        room = FLAG if room == ONE else room
    if method is None:
        if "-h" in arguments or "--help" in arguments:
            return list(arguments)
        raise _no_method(strangers, settings)
    return [*head, method, *(_spelt(each, settings[method]) for each in tail)]


def known_as(name: str, names: Collection[str]) -> str | None:
    """Return the one of these names that is meant: as written, as a class, with underscores, or spelt as in America.

    Examples
    --------
    >>> [known_as(each, ["standardise"]) for each in ("Standardise", "standardize", "harmony")]
    ['standardise', 'standardise', None]
    """
    return name if name in names else next((each for each in names if _plain(each) == _plain(name)), None)


def _plain(name: str) -> str:
    """Return a name in lower case, without dashes, and in British spelling."""
    return re.sub(r"iz(?=e|ing|ation)", "is", re.sub("[-_]", "", name).lower())


def _spelt(argument: str, options: Collection[str]) -> str:
    """Return an option in the spelling in which there is one."""
    name, equals, value = argument.partition("=")
    if not name.startswith("--") or name in options:
        return argument
    return (known_as(name, options) or name) + equals + value


def _number(argument: str) -> bool:
    return re.fullmatch(r"-\.?\d.*", argument) is not None


def _no_method(strangers: Sequence[str], names: Collection[str]) -> InputError:
    close = next(filter(None, (closest(each, names, LIKE) for each in strangers)), None)
    plain = [name for name in names if not any(name.startswith(f"{other}-") for other in names)]
    return InputError(
        "Unknown method" if strangers else "No method is named",
        which=strangers or None,
        why="It says what is to be fitted.",
        fix=(f"Did you mean {close}?" if close else f"Expected one of {', '.join(plain)}.")
        + " jbc methods tells what each does.",
        code="unknown-method",
    )
