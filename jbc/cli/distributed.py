"""How a command joins the other processes of its run, and how it leaves when something goes wrong."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

from jbc.cli.common import init_jax
from jbc.errors import InputError

if TYPE_CHECKING:
    from jax.sharding import Mesh

Scheduler = Literal["slurm", "ompi", "k8s"]
# The names that jax.distributed knows them by.
DETECTED = {"slurm": "slurm", "ompi": "ompi", "k8s": ""}
VARIABLE = "JBC_LAUNCH"
LOST = 75
"""Exit status of a process that ends because another one is gone."""


class Place(NamedTuple):
    """What ``jbc launch`` tells a process, in an environment variable that nothing else sets."""

    address: str
    rank: int
    processes: int
    heartbeat: int


def end_with_launcher() -> None:
    """End this process when the one that launched it ends: the launcher holds the other side of its input."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(LOST)

    if VARIABLE in os.environ:
        threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def joined(scheduler: Scheduler | None) -> Iterator[Mesh | None]:
    """Join the processes of a launcher, or of a scheduler if one is named; yield the mesh of all their devices.

    Otherwise there is nothing to join, and no mesh.
    """
    given = os.environ.pop(VARIABLE, None)
    if given is None and scheduler is None:
        init_jax()
        yield None
        return
    import jax

    from jbc.numerics.sharding import mesh_of

    _join(Place(*json.loads(given)) if given else None, scheduler)
    try:
        yield mesh_of(init_jax())
    except BaseException as error:
        if jax.process_count() > 1:
            _leave(error)
        raise


def _join(place: Place | None, scheduler: Scheduler | None) -> None:
    """Let JAX find the other processes, if there are any."""
    import jax

    if place is None:
        options: dict[str, Any] = {"cluster_detection_method": DETECTED[str(scheduler)]}
    elif place.processes == 1:
        return
    else:
        options = {
            "coordinator_address": place.address,
            "coordinator_bind_address": place.address,
            "num_processes": place.processes,
            "process_id": place.rank,
            "cluster_detection_method": "deactivate",
            "heartbeat_timeout_seconds": place.heartbeat,
        }
    try:
        jax.distributed.initialize(**options)
    except (ValueError, LookupError, AttributeError, RuntimeError) as error:
        raise InputError(
            "The other processes of the run are not found",
            which=[scheduler or "launch"],
            why=f"JAX said: {error!r}.",
            fix="Let the scheduler start this command, or use jbc launch on a single machine.",
            code="not-distributed",
        ) from error
    # XLA has taken SIGTERM, for a purpose of its own.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


def _leave(error: BaseException) -> None:
    """Let this process end at once after an error.

    The usual end waits for all other processes, which may wait for this one in the middle of a step. A process
    that only noticed the end of another one says so by its exit status.
    """
    import jax

    status = 2 if isinstance(error, InputError | OSError) else 1
    if isinstance(error, KeyboardInterrupt):
        status = 128 + signal.SIGINT
    lost = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error)
    atexit.register(_exit, LOST if lost else status)
    if lost:
        print(
            f"jbc: rank {jax.process_index()} lost another one ({str(error).splitlines()[0]})",
            file=sys.stderr,
        )
        raise SystemExit(LOST) from error


def _exit(status: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
