"""``jbc demo``."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from jbc.cli.common import parse, print_table
from jbc.cli.folders import refuse_inside
from jbc.data import cache
from jbc.errors import InputError


@dataclasses.dataclass(frozen=True)
class Options:
    """Simulate three plates of two classes, hide the labels of one, correct it, classify it, write a report.

    Nothing is downloaded. The folder gets tables, figures, metrics, the model, and report.html.
    """

    out: Path = Path("jbc-demo")
    """Folder to make."""
    seed: int = 0
    """Seed of the world and of the training."""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "demo", arguments)
    refuse_inside(options.out, run=True)
    if options.out.exists():
        raise InputError(
            "The output folder exists already",
            which=[str(options.out)],
            why="The demonstration never overwrites anything.",
            fix="Remove it, or choose another one with --out.",
            code="output-exists",
        )
    begun = time.monotonic()
    cache.keep_compiled()
    from jbc.cli import demo_page
    from jbc.cli import demo_world as demo

    options.out.mkdir(parents=True)
    try:
        rows = demo.run(options.out, seed=options.seed, say=_say)
    except BaseException:
        shutil.rmtree(options.out, ignore_errors=True)
        raise
    print_table(rows, f"before and after; accuracy, AUC and MCC on {demo.TARGET}")
    print(f"\n{demo_page.verdict(rows).text}")
    print(f"\nLook at {options.out / 'report.html'} ({time.monotonic() - begun:.0f} s). What to do next:")
    for command in demo_page.next_commands(options.out):
        print(f"  {command}")
    return 0


def _say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)
