"""Early stopping without looking at the held out, against loops written by hand."""

from __future__ import annotations

import jax
import numpy as np
from problems import Walk, assert_same_bytes, cohort, experiment, refusal

from jbc.train import fit, snapshots

nested_stopping = experiment("wasserstein.stopping").nested_stopping


def test_every_point_is_scored_at_the_step_that_is_best_without_it():
    rng = np.random.default_rng(0)
    score, each, group = rng.random((6, 2, 4)), rng.random((6, 2, 9)), rng.integers(4, size=9)
    score[2, 0, 1] = np.nan
    held_out, step = nested_stopping(score, each, group)
    for draw in range(2):
        for point in range(9):
            best = max(range(6), key=lambda s: np.nan_to_num(score[s, draw, group[point]], nan=-1))
            assert step[draw, group[point]] == best
            assert held_out[draw, point] == each[best, draw, point]


def test_the_held_out_have_no_say():
    rng = np.random.default_rng(0)
    score, each, group = rng.random((6, 3)), rng.random((6, 5)), np.array([0, 0, 1, 2, 2])
    swapped = each.copy()
    swapped[:, group == 1] = rng.random((6, 1))
    assert (nested_stopping(score, swapped, group)[1] == nested_stopping(score, each, group)[1]).all()


def test_other_shapes_are_refused():
    with refusal("bad-shape"):
        nested_stopping(np.zeros((3, 2)), np.zeros((4, 5)), np.zeros(5, int))


def test_snapshots_are_the_states_of_shorter_runs():
    taken, method, table = {}, Walk(noise=0.1), cohort()
    fit(method, table, jax.random.key(0), steps=8, chunk=2, hooks=[snapshots(lambda state: state.at, taken)])
    assert sorted(taken) == [2, 4, 6, 8]
    for step, at in taken.items():
        shorter = fit(method, table, jax.random.key(0), steps=step, chunk=2)
        assert_same_bytes(at, np.asarray(shorter.fitted["at"]))
