"""Runs that can be interrupted: checkpoints in a folder, and the way back to the last of them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jbc.cohort import Cohort
from jbc.errors import InputError
from jbc.methods.base import Method
from jbc.methods.registry import to_json
from jbc.train import checkpoint, hooks, processes
from jbc.train.loop import Options
from jbc.version import __version__


def describe_run(method: Method, cohort: Cohort, **options: Any) -> dict[str, Any]:
    """Return what decides the result of a run: version, method, data, and options such as steps and seed."""
    return {
        "jbc": __version__,
        "method": json.loads(json.dumps(to_json(method))),
        **options,
        "data": _digest(cohort),
    }


def _digest(cohort: Cohort) -> str:
    """Return a sum over everything in a cohort."""
    digest = hashlib.sha256(repr(cohort.names).encode())
    for leaf in jax.tree.leaves(cohort):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def same_run(before: Any, now: dict[str, Any]) -> None:
    """Refuse to go on with a run under another configuration or with other data."""
    before = before if isinstance(before, dict) else {}
    differing = [name for name in now if before.get(name) != now[name]]
    if differing:
        raise InputError(
            "The run was begun with another configuration, which differs in",
            which=differing,
            why="Going on would mix two models.",
            fix="Repeat the options of its beginning, or choose another folder.",
            code="other-run",
        )


@contextlib.contextmanager
def checkpointed(
    folder: Path, run: dict[str, Any], options: Options, every: int | None = None
) -> Iterator[tuple[Options, list[int]]]:
    """Yield options of the loop that save and go on, and a list that gets the signal that interrupts training.

    Parameters
    ----------
    folder
        Where the checkpoints are.
    run
        What :func:`describe_run` returned; checkpoints of another run are refused.
    options
        Options of the loop; their hooks are called before these.
    every
        Steps between checkpoints; None for every 30 seconds.
    """
    start = processes.all_max(checkpoint.latest(folder) or 0)

    def resume(tree: Any) -> tuple[int, Any] | None:
        if not start:
            return None
        saved, meta = checkpoint.read_step(folder, start, like=tree)
        same_run(meta.get("run"), run)
        return start, saved

    save = hooks.saving(folder, {"kind": "checkpoint", "run": run}, every=every)
    with contextlib.ExitStack() as stack:
        caught: list[int] = []
        added: list[Any] = [save]
        if threading.current_thread() is threading.main_thread():  # signals reach no other
            stop, caught = stack.enter_context(hooks.interruptible(lambda event: save(event, force=True)))
            added.append(stop)
        yield dataclasses.replace(options, hooks=(*options.hooks, *added), resume=resume), caught
