"""``jbc launch``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jbc.cli.common import parse
from jbc.cli.distributed import LOST, VARIABLE, Place
from jbc.errors import InputError

HANG_UP = getattr(signal, "SIGHUP", None)  # which Windows does not have
SIGNALS = [number for number in (signal.SIGINT, signal.SIGTERM, HANG_UP) if number is not None]
INTERRUPTED = tuple(128 + number for number in SIGNALS)
# A process that another one's end has pulled along: it says so, or its coordination service has aborted it.
PULLED = (LOST, -signal.SIGABRT)
POLL, SETTLE, GRACE = 0.05, 0.5, 2.0  # seconds
LAST_WORDS = 30  # lines


@dataclasses.dataclass(frozen=True)
class Options:
    """Run one fit in several processes of this machine: jbc launch --nproc N -- fit ...

    The critics of wasserstein-alignment are divided over the devices of all processes; all else is done by every one
    of them. Rank 0 writes the results. When a process fails, all end, and the first error is printed. An interrupt is
    passed on: all save, and the same command goes on with --resume, on any number of processes.
    """

    nproc: Annotated[int, tyro.conf.arg(metavar="N")]
    """Number of processes."""
    devices_per_process: Annotated[int, tyro.conf.arg(metavar="M")] = 1
    """GPUs of each process; or, without any, the parts that its CPU is divided into."""
    heartbeat: Annotated[int, tyro.conf.arg(metavar="SECONDS")] = 30
    """A process that is silent for so long counts as lost."""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    arguments = list(arguments)
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    options, command = parse(Options, "launch", arguments[:cut]), arguments[cut + 1 :]
    _possible(options, command)
    with tempfile.TemporaryDirectory() as folder, _signals() as caught:
        logs = [Path(folder, str(rank)) for rank in range(options.nproc)]
        children = _start(options, command, logs)
        try:
            return _wait(children, caught, logs)
        finally:
            _stop(children)


def _possible(options: Options, command: list[str]) -> None:
    counts = {"--nproc": options.nproc, "--devices-per-process": options.devices_per_process}
    bad = [name for name, count in (counts | {"--heartbeat": options.heartbeat}).items() if count < 1]
    if bad or command[:1] != ["fit"]:
        raise InputError(
            "Nothing that could be launched",
            which=bad or [" ".join(command[:1]) or "no command"],
            why="Whole numbers count from 1, and fit is the one command that several processes can share.",
            fix="Write jbc launch --nproc N -- fit ...",
            code="bad-launch",
        )


def _start(options: Options, command: list[str], logs: list[Path]) -> list[subprocess.Popen]:
    """Start the processes; only the first one says what it has to say at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    children = []
    for rank, log in enumerate(logs):
        place = Place(address, rank, options.nproc, options.heartbeat)
        with log.open("wb") as file:
            output = {} if rank == 0 else {"stdout": file, "stderr": subprocess.STDOUT}
            # In a session of its own, a child hears of Ctrl-C from here alone.
            child = subprocess.Popen(
                [sys.executable, "-m", "jbc", *command],
                env=os.environ | _devices(rank, options.devices_per_process) | {VARIABLE: json.dumps(place)},
                stdin=subprocess.PIPE,
                start_new_session=True,
                **output,
            )
        children.append(child)
    return children


def _devices(rank: int, number: int) -> dict[str, str]:
    """Return the environment in which a process finds devices of its own.

    Examples
    --------
    >>> _devices(rank=1, number=2)["JAX_CUDA_VISIBLE_DEVICES"]
    '2,3'
    """
    own = ",".join(map(str, range(rank * number, (rank + 1) * number)))
    return {
        "JAX_NUM_CPU_DEVICES": str(number),
        "JAX_CUDA_VISIBLE_DEVICES": own,
        "JAX_ROCM_VISIBLE_DEVICES": own,
    }


def _wait(children: list[subprocess.Popen], caught: list[int], logs: list[Path]) -> int:
    """Wait until all have ended well, or one has not; return the exit status."""
    interrupted = 0
    while True:
        ended = _ended(children)
        while caught:
            interrupted = caught.pop(0)
            for child in children:
                child.send_signal(interrupted)
        if any(status not in (0, *INTERRUPTED) for status in ended.values()):
            break
        if len(ended) == len(children):
            return max(ended.values())
        time.sleep(POLL)
    if interrupted:
        return 128 + interrupted
    time.sleep(SETTLE)
    return _blame(ended, _ended(children), logs)


def _blame(first: dict[int, int], later: dict[int, int], logs: list[Path]) -> int:
    """Print which process failed first, and what it said; return its exit status."""
    failed = {rank: status for rank, status in (first | later).items() if status not in (0, *INTERRUPTED)}
    real = {rank: status for rank, status in failed.items() if status not in PULLED}
    silent = [rank for rank in range(len(logs)) if rank not in first | later]
    if not real and silent:
        rank, status, how = silent[0], LOST, "no longer answers"
    else:
        # Those seen first come first; but what rank 0 has said of the same can be read already.
        rank, status = next(iter((real or failed).items()))
        rank = 0 if failed.get(0) == status else rank
        how = (
            f"was killed by {signal.Signals(-status).name}" if status < 0 else f"failed with status {status}"
        )
    words = logs[rank].read_text(errors="replace").splitlines()[-LAST_WORDS:]
    print(
        *words,
        f"jbc: error: rank {rank} of {len(logs)} {how}; all processes were stopped",
        sep="\n",
        file=sys.stderr,
    )
    return 128 - status if status < 0 else status


def _ended(children: list[subprocess.Popen]) -> dict[int, int]:
    """Return the exit status of every process that has ended."""
    found = {rank: child.poll() for rank, child in enumerate(children)}
    return {rank: status for rank, status in found.items() if status is not None}


def _stop(children: list[subprocess.Popen]) -> None:
    """End all processes: politely, and after a while by force."""
    until = time.monotonic() + GRACE
    for child in children:
        child.terminate()
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(until - time.monotonic(), 0))
        child.kill()
        child.wait()


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Note interrupts instead of being ended by them; ``nohup`` still lets the end of a terminal pass."""
    caught: list[int] = []
    heard = [n for n in SIGNALS if n != HANG_UP or signal.getsignal(n) != signal.SIG_IGN]
    before = {n: signal.signal(n, lambda n, _: caught.append(n)) for n in heard}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
