"""What training takes of the memory, estimated before anything is compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.errors import InputError
from jbc.validation import memory

# Copies of a minibatch: rows, what the networks make of them, and their gradients. Peaks that were measured (trained
# methods, 800 to 50,000 features), less 200 MB for the compiler, lie between 0.5 and 1.3 times the estimate.
COPIES = 6


def refuse_too_large(init: Callable[..., Any], key: Array, cohort: Cohort, rows: int, *, best: bool) -> None:
    """Refuse a fit whose state and step need more memory than there is.

    A step holds the state, the new values of one lane of it, and some copies of a minibatch.

    Parameters
    ----------
    init
        Makes the state from the key and the cohort; here it is only traced.
    key, cohort
        Its arguments; of lanes, one key each.
    rows
        Rows in the minibatch of a step.
    best
        Whether a copy of the best state is kept.
    """
    lanes, side_by_side = max(np.size(key), 1), jax.default_backend() != "cpu"
    # A compiled function that is traced by itself keeps the trace for its call; inside another it would not go.
    traced = (
        partial(init.func.eval_shape, *init.args)
        if isinstance(init, partial)
        else partial(jax.eval_shape, init)
    )
    state = _bytes(traced(key, cohort))
    step = COPIES * 4 * rows * cohort.width // (1 if side_by_side else lanes)
    needed = state + (state if side_by_side else state // lanes) + best * state + step
    left = _left()
    if needed > left:
        raise InputError(
            f"Training needs about {memory.size(needed)} of memory, and {memory.size(left)} are available",
            which=[
                f"{cohort.x.shape[-1]} features",
                f"{len(cohort.domains.count)} domains",
                *([f"{lanes} fits at once"] if lanes > 1 else []),
                f"{memory.size(state)} of networks with what their optimiser keeps",
                f"{memory.size(step)} for the rows of a step",
            ],
            why="The system would kill the process without an error message.",
            fix="Select features, such as the most variable ones, or let networks see principal components "
            "(inputs=Inputs(subspace=50)); or take narrower networks, fewer rows a step (rows=), or a method in "
            "closed form.",
            code="too-large",
        )


def _left() -> int:
    """Return the memory that is left: of the accelerator, where one is in use."""
    stats = jax.local_devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return memory.available()


def _bytes(tree: Any) -> int:
    """Add up the bytes of arrays, of which only the shapes are known."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
