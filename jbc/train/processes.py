"""What the processes of one run tell each other; all of them call these functions, in the same order.

A process alone agrees with itself, at no cost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from jbc.errors import InputError

T = TypeVar("T")
LONGEST = 1000  # characters of an error message that the others receive


def is_first() -> bool:
    """Return whether this process writes the results."""
    return jax.process_index() == 0


def all_max(number: int) -> int:
    """Return the largest of the numbers of all processes; of flags, whether any is raised.

    Examples
    --------
    >>> all_max(3)
    3
    """
    return number if jax.process_count() == 1 else int(_gathered(np.int32(number)).max())


def in_first(action: Callable[[], T]) -> T:
    """Let the first process do something that the others wait for.

    Returns
    -------
    T
        In all processes what it returned in the first, which has to be something that JSON can tell.

    Raises
    ------
    InputError
        ``failed-first``: it failed in the first process, where the error itself is raised.

    Examples
    --------
    >>> in_first(lambda: "model.tmp-1")
    'model.tmp-1'
    """
    if jax.process_count() == 1:
        return action()
    result = error = None
    if is_first():
        try:
            result = action()
        except Exception as caught:  # noqa: BLE001  # raised below, once the others know
            error = caught
    message = json.dumps([None if error is None else str(error)[:LONGEST], result]).encode()
    length = all_max(len(message))
    failed, result = json.loads(_gathered(np.frombuffer(message.ljust(length), np.uint8))[0].tobytes())
    if error is not None:
        raise error
    if failed is not None:
        raise InputError(
            "The first process of the run has failed",
            which=["rank 0"],
            why=f"It said: {failed.rstrip('.')}.",
            fix="Mend that, then start all again.",
            code="failed-first",
        )
    return result


def refuse_differences(record: dict[str, Any]) -> None:
    """Refuse to begin when the processes are about to compute different things.

    Examples
    --------
    >>> refuse_differences({"seed": 0, "steps": 100})
    """
    sums = [hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest() for value in record.values()]
    table = _gathered(np.frombuffer(b"".join(sums), np.uint8).reshape(len(sums), -1))
    differ = (table != table[0]).any(axis=2)
    if differ.any():
        names = np.array(list(record))
        raise InputError(
            "Processes of one run differ from rank 0",
            which=[f"rank {rank}: {', '.join(names[row])}" for rank, row in enumerate(differ) if row.any()],
            why="They train one model, each a part of it.",
            fix="Start all with the same command, on the same data.",
            code="different-processes",
        )


def _gathered(value: Any) -> np.ndarray:
    return np.asarray(multihost_utils.process_allgather(value))
