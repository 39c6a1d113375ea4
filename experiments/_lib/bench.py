"""Measuring speed: each program under test runs in a process of its own, and they take turns.

Nothing heavy is imported at the top: on Linux, a process begins with the peak memory of the process that starts it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from experiments._lib import results
from experiments._lib.pages import table


def main(
    options: type,
    side: type,
    measure: Callable[..., Any],
    bench: Callable[..., list[dict]],
    quick: dict[str, Any],
) -> None:
    """Run a benchmark from the command line, or measure one side where another process asks for it (--side).

    ``quick`` holds the options that replace the user's under --quick.
    """
    if sys.argv[1:2] == ["--side"]:
        one, given = json.loads(sys.argv[2])
        print(json.dumps(measure(side(*one), options(**given))))
        return
    chosen = tyro.cli(options)
    if chosen.quick:
        chosen = dataclasses.replace(chosen, **quick)
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5:
        print("Other programs are busy on this machine: the times will mean little.", file=sys.stderr)
    rows = bench(chosen)
    results.write(chosen.out, results.describe_run(chosen, "torch"), rows)
    print(speed_table(rows))


def run_in_subprocess(program: str, side: Sequence[Any], options: Any) -> dict[str, Any]:
    """Return what a benchmark (its file) measures of one side, in a process of its own."""
    print(*side, file=sys.stderr)
    given = json.dumps([side, dataclasses.asdict(options)], default=str)
    done = subprocess.run(
        [sys.executable, program, "--side", given], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:  # it has said why, but where a signal ended it
        if done.returncode < 0:
            print(f"Signal {-done.returncode} ended the process.", file=sys.stderr)
        sys.exit(done.returncode if done.returncode > 0 else 128 - done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


def interleave(sides: Sequence[Any], rounds: int, measure: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    """Measure every side once per round, so that a slow moment of the machine slows all of them.

    Returns the measurements of every side, one per round.
    """
    turns: dict[Any, list[Any]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            turns[side].append(measure(side))
    return turns


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that a call takes, and its result."""
    begun = time.perf_counter()
    outcome = run()
    return time.perf_counter() - begun, outcome


def pin_cpus(count: int) -> None:
    """Restrict this process to ``count`` cores, where the system allows it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def peak_memory() -> float:
    """Return the largest memory that this process has used, in GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def speed_row(what: str, side: Any, backend: str, values: list[float], unit: str, **changes: Any) -> dict:
    """Return a row: the median over rounds, and their range."""
    named = {"what": what, "configuration": side.configuration, "lanes": side.lanes, "backend": backend}
    found = {"value": statistics.median(values), "unit": unit, "low": min(values), "high": max(values)}
    return named | found | {"rounds": len(values)} | changes


def ratio_row(what: str, side: Any, backend: str, slow: list[float], fast: list[float]) -> dict:
    """Return a row of how many times faster one side is: the ratio of the medians, and its range over rounds."""
    each = [s / f for s, f in zip(slow, fast, strict=True)]
    value = statistics.median(slow) / statistics.median(fast)
    return speed_row(what, side, backend, each, "times faster", value=value)


def speed_table(rows: Sequence[dict]) -> str:
    """Return the rows of a benchmark as a Markdown table."""
    head = ["", "configuration", "lanes", "backend", "median", "range", ""]
    lines = [
        [
            *(str(row[name]) for name in ("what", "configuration", "lanes", "backend")),
            f"{row['value']:.3g}",
            f"{row['low']:.3g}–{row['high']:.3g}",
            row["unit"],
        ]
        for row in rows
    ]
    return table(head, lines)
