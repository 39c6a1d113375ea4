"""What the processes of one run tell each other; all of them call these functions, in the same order.

A process alone agrees with itself, at no cost.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from jbc.errors import InputError

T = TypeVar("T")


def leads() -> bool:
    """Tell whether this process writes the results."""
    return jax.process_index() == 0


def largest(number: int) -> int:
    """Return the largest of the numbers of all processes; of flags, whether any is raised.

    Examples
    --------
    >>> largest(3)
    3
    """
    return number if jax.process_count() == 1 else int(_gathered(np.int32(number)).max())


def whole(tree: T) -> T:
    """Bring the parts of arrays that other processes hold to this one.

    Examples
    --------
    >>> whole({"a": np.ones(2)})
    {'a': array([1., 1.])}
    """

    def gathered(leaf: Any) -> Any:
        apart = isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated)
        return multihost_utils.process_allgather(leaf, tiled=True) if apart else leaf

    return jax.tree.map(gathered, tree)


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
