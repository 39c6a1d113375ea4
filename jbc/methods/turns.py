"""Players that take turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from jbc.methods.base import Info

S = TypeVar("S")


def whose_turn(step: Array, turns: Sequence[int], *, before: int = 0) -> Array:
    """Return whose turn a step is: each player trains for its number of steps, then the next one; the cycle repeats.

    Parameters
    ----------
    step
        Number of the step.
    turns
        Number of steps in the turn of every player.
    before
        Number of steps before the first turn, which are the first player's.

    Examples
    --------
    >>> [int(whose_turn(step, (2, 1), before=1)) for step in range(8)]
    [0, 0, 0, 1, 0, 0, 1, 0]
    """
    ends = [sum(turns[: player + 1]) for player in range(len(turns))]
    at = (step - before) % ends[-1]
    player = sum((at >= end for end in ends[:-1]), start=jnp.int32(0))
    return jnp.where(step < before, 0, player)


def repeat(update: Callable[[Array, S], tuple[S, Info]], key: Array, state: S, rounds: int) -> tuple[S, Info]:
    """Return the state after several updates on one minibatch, and the report of the last one."""

    def one(state: S, key: Array) -> tuple[S, Info]:
        return update(key, state)

    state, infos = jax.lax.scan(one, state, jax.random.split(key, rounds))
    return state, jax.tree.map(lambda leaf: leaf[-1], infos)
