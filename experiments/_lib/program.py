"""How a program begins and ends: what it cannot use is one line and exit status 2, as at jbc's own command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from jbc.cli.main import guarded
from jbc.errors import InputError, closest, enumeration


def run(main: Callable[..., None], *arguments: Any) -> NoReturn:
    """Run the main function of the program that was called, and exit with its status."""
    folder, name = Path(sys.argv[0]).resolve().parts[-2:]
    sys.exit(guarded(partial(main, *arguments), f"{folder}/{name}"))


def known(names: Sequence[str], choices: Collection[str], option: str) -> None:
    """Refuse names that an option does not know.

    Examples
    --------
    >>> known(["Combat"], ["ComBat", "MNN"], "--methods")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    jbc.errors.InputError: --methods names what this program does not know: 'Combat'. It knows ComBat, MNN. ...
    """
    if unknown := [name for name in names if name not in choices]:
        close = closest(unknown[0], choices)
        raise InputError(
            f"{option} names what this program does not know",
            which=unknown,
            why=f"It knows {enumeration(list(choices))}.",
            fix=f"Did you mean {close}?" if close else "See --help.",
            code="unknown-name",
        )
