"""The command line. This module answers ``jbc --help`` without importing anything heavy."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from jbc import __version__
from jbc.cli.wording import at_command_line
from jbc.errors import InputError, InputWarning, closest

COMMANDS = {
    "demo": "simulate three plates, correct them, and write a report",
    "methods": "tell which method to start with, and what each does",
    "fit": "fit a method to tables",
    "launch": "run one fit in several processes, each with devices of its own",
    "transform": "correct tables with a fitted model",
    "adapt": "take new batches into a fitted model by their controls",
    "predict": "classify the rows of tables with a fitted model",
    "evaluate": "score a table, before or after a correction",
    "report": "write a page about a fitted run",
    "data": "list and fetch public data sets",
    "doctor": "tell versions, devices and what may be wrong with them",
}

HELP = "\n".join(
    [
        "usage: jbc COMMAND [options]",
        "",
        "Batch correction in pure JAX: removes what differs between plates, days and machines, keeps the biology.",
        "",
        "commands:",
        *(f"  {name:<10} {text}" for name, text in COMMANDS.items()),
        "",
        "jbc COMMAND --help tells the options of a command; jbc --version the version.",
        "Exit status: 0 done, 2 bad input, 129, 130 or 143 interrupted after saving.",
    ]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP)
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"jbc {__version__}")
        return 0
    return guarded(lambda: _run(*arguments), spoken=at_command_line)


def guarded(run: Callable[[], int | None], name: str = "jbc", spoken: Callable[[str], str] = str) -> int:
    """Run a program, and return its exit status; what stops it is one line on the standard error.

    Parameters
    ----------
    run
        The program: returns its exit status, or None for 0.
    name
        Its name, with which the line begins.
    spoken
        What is made of messages, which speak of arguments in Python.

    Examples
    --------
    >>> guarded(lambda: None)
    0
    """
    try:
        with warnings.catch_warnings():
            _plain_warnings(name, spoken)
            status = run()
        sys.stdout.flush()
        return status or 0
    except SystemExit as error:  # tyro's, after --help (0) and after naming what it cannot parse (2)
        return int(error.code or 0)
    except InputError as error:
        print(f"{name}: error: {spoken(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        print(f"{name}: error: {_told(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(name: str, *arguments: str) -> int:
    if name not in COMMANDS:
        close = closest(name, COMMANDS)
        raise InputError(
            "Unknown command",
            which=[name],
            why=f"jbc knows {', '.join(COMMANDS)}.",
            fix=f"Did you mean jbc {close}?" if close else "See jbc --help.",
            code="unknown-command",
        )
    return importlib.import_module(f"jbc.cli.{name}").main(list(arguments))


def _plain_warnings(name: str, spoken: Callable[[str], str]) -> None:
    """Show our warnings as one line, and leave those about other people's code to their developers."""
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", InputWarning)

    def show(message: Any, category: Any, *rest: Any) -> None:
        del category, rest
        print(f"{name}: warning: {spoken(str(message))}", file=sys.stderr)

    warnings.showwarning = show  # pyright: ignore[reportAttributeAccessIssue]


def _told(error: OSError) -> InputError:
    return InputError(
        f"The system refused ({error.strerror or error})",
        which=[str(error.filename)] if error.filename else None,
        why="The command cannot go on without it.",
        fix="Check that it exists, that you may use it, and that the disk has space left.",
        code="system",
    )
