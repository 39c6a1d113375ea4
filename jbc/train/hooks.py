"""Hooks of the loop: a log, checkpoints, interrupts. Plain functions that make plain functions."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jbc.errors import InputError
from jbc.train import checkpoint, processes
from jbc.train.loop import Event, Hook

HANG_UP = getattr(signal, "SIGHUP", None)  # which Windows does not have


def snapshots(keep: Callable[[Any], Any], taken: dict[int, Any]) -> Hook:
    """Keep what ``keep`` makes of the state after every chunk, by step, on the host.

    Examples
    --------
    >>> taken = {}
    >>> hook = snapshots(lambda state: state["at"], taken)
    >>> hook(Event(step=3, steps=9, rows=1, seconds=1.0, info={}, tree={"state": {"at": np.float32(2)}}))
    >>> taken
    {3: array(2., dtype=float32)}
    """

    def hook(event: Event) -> None:
        # A copy: the next chunk takes over the memory of the state.
        taken[event.step] = jax.tree.map(np.array, keep(event.tree["state"]))

    return hook


def read_log(path: Path, until: int) -> list[dict[str, Any]]:
    """Return the records of a log up to a step; the last line may have been cut short by a kill."""
    lines = path.read_bytes().splitlines(keepends=True) if until and path.exists() else []
    try:
        records = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return [record for record in records if record["step"] <= until]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            "A damaged log",
            which=[str(path)],
            why=f"It has to go on where it ended, and a line of it cannot be read ({error}).",
            fix="Repair or delete the line, or begin a new run.",
            code="damaged-log",
        ) from error


@contextlib.contextmanager
def log_lines(path: Path, start: int = 0) -> Iterator[Hook]:
    """Append one JSON line per chunk; of an older log, only the lines up to step ``start`` are kept.

    A resumed run therefore has every step once, in order. The older log is replaced in one go: a kill between
    emptying and filling it would lose its steps for ever.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, log_lines(Path(folder, "log.jsonl")) as hook:
    ...     hook(Event(step=1, steps=2, rows=8, seconds=0.5, info={"loss": np.float32(2)}, tree=None))
    ...     Path(folder, "log.jsonl").read_text().strip()
    '{"step": 1, "seconds": 0.5, "rows": 8, "loss": 2.0}'
    """
    fresh = path.with_name(f"{path.name}.tmp")
    fresh.write_text("".join(json.dumps(record) + "\n" for record in read_log(path, start)))
    fresh.replace(path)
    with path.open("a") as file:

        def hook(event: Event) -> None:
            means = {name: value.tolist() for name, value in event.info.items()}
            record = {"step": event.step, "seconds": round(event.seconds, 4), "rows": event.rows} | means
            file.write(json.dumps(record) + "\n")
            file.flush()

        yield hook


def saving(
    folder: Path, meta: dict[str, Any], *, every: int | None = None, seconds: float = 30.0, keep: int = 2
) -> Callable[..., None]:
    """Save a checkpoint at intervals of steps or of seconds, and always after the last step.

    Both are looked at between chunks, and neither changes a bit of the result. Several processes save
    together, each its shards.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     hook = saving(Path(folder), {"about": "a run"}, every=10)
    ...     for step in (5, 10, 15, 20):
    ...         hook(Event(step, steps=20, rows=1, seconds=1.0, info={}, tree={"state": np.zeros(2)}))
    ...     checkpoint.latest(Path(folder))
    20
    """
    last = {"step": None, "time": time.monotonic()}

    def hook(event: Event, force: bool = False) -> None:
        due = (
            time.monotonic() - last["time"] >= seconds
            if every is None
            else event.step // every > (last["step"] or 0) // every
        )
        due = processes.all_max(due or force or event.step == event.steps)
        if due and last["step"] != event.step:
            checkpoint.save_step(folder, event.step, event.tree, meta, keep=keep)
            last.update(step=event.step, time=time.monotonic())

    return hook


def interrupts() -> list[int]:
    """Return the signals that ask for an end: that of a closed terminal only where it was not ignored (``nohup``)."""
    usual: list[int] = [signal.SIGTERM, signal.SIGINT]
    return usual if HANG_UP is None or signal.getsignal(HANG_UP) == signal.SIG_IGN else [*usual, HANG_UP]


@contextlib.contextmanager
def interruptible(save: Callable[[Event], None]) -> Iterator[tuple[Hook, list[int]]]:
    """Turn SIGTERM, SIGINT and SIGHUP into a save and a stop after the running chunk.

    Yields the hook, and a list that holds the signal's number once one has come. A second SIGTERM or SIGINT ends the
    process at once, as usual; checkpoints stay whole whenever it comes. SIGHUP may come twice when a terminal is
    closed, once from its shell. Of several processes all stop after the same chunk, whichever of them the signal has
    reached.

    Examples
    --------
    >>> with interruptible(save=print) as (hook, caught):
    ...     hook(Event(step=1, steps=2, rows=1, seconds=1.0, info={}, tree=None)), caught
    (False, [])
    """
    caught: list[int] = []
    before = {number: signal.getsignal(number) for number in interrupts()}
    terminals = [number for number in (1, 2) if os.isatty(number)]

    def note(number: int, frame: Any) -> None:
        del frame
        if number == HANG_UP:
            _leave(terminals)
        elif caught:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        caught.append(number)

    def hook(event: Event) -> bool:
        if number := processes.all_max(caught[0] if caught else 0):
            caught[:1] = [number]
            save(event)
        return bool(number)

    for number in before:
        signal.signal(number, note)
    try:
        yield hook, caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(terminals: list[int]) -> None:
    """Let what would be written to terminals that are closed go nowhere: else it fails, and the save with it."""
    for number in terminals:
        if not os.isatty(number):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
