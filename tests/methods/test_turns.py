"""Whose turn a step is, against loops, and updates that are repeated."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbc.methods.turns import repeat, whose_turn


def in_turn(turns: tuple[int, ...], before: int, steps: int) -> list[int]:
    """Say it as a loop would be played."""
    order = [0] * before
    while len(order) < steps:
        for player, number in enumerate(turns):
            order += [player] * number
    return order[:steps]


@pytest.mark.parametrize("before", [0, 1, 5])
@pytest.mark.parametrize("turns", [(1,), (4, 1), (1, 50), (2, 1, 3), (0, 1), (2, 0, 1)], ids=str)
def test_players_take_turns(turns, before):
    """One with no steps in a turn has none but those before the first."""
    steps = jnp.arange(120)
    found = jax.jit(lambda step: whose_turn(step, turns, before=before))(steps)
    assert found.tolist() == in_turn(turns, before, 120)
    assert [int(whose_turn(jnp.int32(step), turns, before=before)) for step in (0, 3, 119)] == [
        in_turn(turns, before, 120)[step] for step in (0, 3, 119)
    ]


def test_turns_of_many_steps_do_not_overflow():
    assert int(whose_turn(jnp.int32(2**31 - 1), (4, 1), before=2)) == (2**31 - 3) % 5 // 4


def test_updates_are_repeated_with_keys_of_their_own():
    """And the report is that of the last one."""

    def update(key, state):
        drawn = jax.random.normal(key, (2,))
        return {"sum": state["sum"] + drawn, "count": state["count"] + 1}, {"drawn": drawn.sum()}

    key, start = jax.random.key(3), {"sum": jnp.zeros(2), "count": jnp.int32(0)}
    state, info = jax.jit(lambda key, state: repeat(update, key, state, 4))(key, start)
    draws = [np.asarray(jax.random.normal(each, (2,))) for each in jax.random.split(key, 4)]
    assert int(state["count"]) == 4
    np.testing.assert_allclose(state["sum"], np.sum(draws, axis=0), rtol=1e-5)
    np.testing.assert_allclose(info["drawn"], draws[-1].sum(), rtol=1e-5)
    assert len(np.unique(np.round(draws, 6))) == 8
