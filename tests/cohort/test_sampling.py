"""Index plans: every row once a pass, weights, resuming, and the rows that they name."""

from __future__ import annotations

import dataclasses
from collections import Counter
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from jbc.cohort import Cohort
from jbc.cohort.groups import find_shared
from jbc.cohort.sampling import Draw, _order, take

KEY = jax.random.key(7)


@partial(jax.jit, static_argnums=(0, 4))
def _plan(draw, key, cohort, start, steps):
    return draw.plan(key, cohort, start, steps)


def plan(draw: Draw, cohort: Cohort, start: int, steps: int, key=KEY) -> np.ndarray:
    return np.asarray(_plan(draw, key, cohort.without_names(), start, steps))


def sized(*counts: int, treatment=None) -> Cohort:
    """Domains of these sizes; the value of a row is its number."""
    domain = np.repeat(np.arange(len(counts)), counts)
    return Cohort.from_arrays(np.arange(len(domain), dtype=float)[:, None], domain, treatment=treatment)


def members(cohort: Cohort, g: int, groups: str = "domains") -> set[int]:
    table = getattr(cohort, groups)
    return set(range(table.offset[g], table.offset[g] + table.count[g]))


def test_every_row_comes_exactly_once_in_every_pass():
    cohort, found = sized(24, 24), plan(Draw(rows=8), sized(24, 24), 0, 12)
    assert found.shape == (12, 2, 8)
    for g in range(2):
        passes = found[:, g].reshape(4, 24)
        for rows in passes:
            assert set(rows.tolist()) == members(cohort, g)
        assert len({tuple(rows) for rows in passes.tolist()}) == 4, "each pass is shuffled anew"
    assert (found[:, 0] != found[:, 1] - 24).any(), "each domain has an order of its own"


def test_the_last_partial_minibatch_is_dropped():
    found = plan(Draw(rows=8), sized(20), 0, 40)[:, 0]
    for one, two in zip(found[::2], found[1::2], strict=True):
        assert len({*one.tolist(), *two.tolist()}) == 16
    assert set(found.ravel().tolist()) == set(range(20)), "over the passes all rows are seen"


def test_smaller_domains_start_their_next_pass_earlier():
    cohort = sized(24, 8, 17)
    found = plan(Draw(rows=8), cohort, 0, 6)
    for g in range(3):
        assert set(found[:, g].ravel().tolist()) <= members(cohort, g)
    assert all(set(rows.tolist()) == members(cohort, 1) for rows in found[:, 1])
    for at in (0, 2, 4):
        assert len(set(found[at : at + 2, 2].ravel().tolist())) == 16


def test_domains_smaller_than_a_minibatch_repeat_their_rows_evenly():
    found = plan(Draw(rows=8), sized(24, 3), 0, 5)[:, 1]
    for rows in found:
        assert sorted(Counter(rows.tolist()).values()) == [2, 3, 3]


def test_an_epoch_is_a_pass_over_the_largest_group():
    assert int(Draw(rows=8).epoch(sized(30, 9))) == 3
    assert int(Draw(rows=64).epoch(sized(30, 9))) == 1


def test_weights_say_how_often_a_row_is_drawn():
    cohort = sized(12, 12)
    weight = np.array([0, 2, 1] * 4 + [1] * 6 + [0] * 6)
    found = plan(Draw(rows=6), cohort.weigh_rows(weight), 0, 400)
    counts = np.bincount(found.ravel(), minlength=24)
    assert (counts[weight == 0] == 0).all()
    # 12 = 2 × 6: a pass over the first domain is two steps, and each row comes as often as it weighs.
    for rows in found[:, 0].reshape(200, 12):
        np.testing.assert_array_equal(np.bincount(rows, minlength=12), weight[:12])
    for rows in (slice(0, 12), slice(12, 24)):
        kept = weight[rows] > 0
        expected = 2400 * weight[rows][kept] / weight[rows].sum()
        assert stats.chisquare(counts[rows][kept], expected).pvalue > 1e-3


@given(start=st.integers(0, 24), steps=st.sampled_from([1, 7]), rows=st.sampled_from([3, 8]))
@pytest.mark.slow
def test_a_plan_continues_where_another_stops(start, steps, rows):
    cohort, draw = sized(20, 7, 2), Draw(rows=rows)
    whole = plan(draw, cohort, 0, 31)
    np.testing.assert_array_equal(plan(draw, cohort, start, steps), whole[start : start + steps])


def test_the_key_decides():
    draw, cohort = Draw(rows=8), sized(20, 7)
    np.testing.assert_array_equal(plan(draw, cohort, 0, 5), plan(draw, cohort, 0, 5))
    assert (plan(draw, cohort, 0, 5) != plan(draw, cohort, 0, 5, jax.random.key(8))).any()


def shared(cohort: Cohort) -> Cohort:
    """The cohort with what its domains share, as a method that compares treatments has it."""
    return dataclasses.replace(cohort, shared=find_shared(cohort.cells, len(cohort.domains.count)))


def test_cells_of_treatments_that_domains_share():
    treatment = np.array(["a"] * 6 + ["b"] * 6 + ["a"] * 4 + ["c"] * 8)
    cohort = shared(sized(12, 12, treatment=treatment))
    assert len(cohort.cells.count) == 4
    found = plan(Draw(by="shared", rows=4), cohort, 0, 10)
    assert found.shape == (10, 2, 4)
    for g in range(2):
        assert set(np.asarray(cohort.treatment)[found[:, g]].ravel().tolist()) == {0}
        assert set(np.asarray(cohort.domain)[found[:, g]].ravel().tolist()) == {g}


@pytest.mark.parametrize("by", ["domain", "shared"])
def test_rows_are_what_the_plan_names(by):
    rng = np.random.default_rng(0)
    n = 24
    cohort = Cohort.from_arrays(
        np.where(rng.random((n, 3)) < 0.1, np.nan, rng.normal(size=(n, 3))),
        np.repeat(["p", "q"], 12),
        label=rng.choice(["x", "y", ""], n),
        treatment=np.tile(["t", "u"], 12),
        control=rng.random(n) < 0.5,
    )
    cohort, draw = shared(cohort), Draw(by=by, rows=5)
    index = plan(draw, cohort, 0, 1)[0]
    rows = take(cohort, jnp.asarray(index), draw)
    for name in ("x", "label", "observed"):
        np.testing.assert_array_equal(getattr(rows, name), getattr(cohort, name)[index])
    np.testing.assert_array_equal(np.broadcast_to(rows.domain[:, None], index.shape), cohort.domain[index])


@pytest.mark.parametrize("n", [1, 200, 257, 600])
def test_words_are_sorted_as_their_noise(n):
    """Ties keep their order, and the positions behind a group come last, whether one word holds all or not."""
    noise = np.random.default_rng(0).integers(0, 2**23, n).astype(np.float32) / 2**23
    noise[::7] = noise[0]
    noise[n - n // 5 :] = 1.0
    np.testing.assert_array_equal(_order(jnp.asarray(noise)), np.argsort(noise, kind="stable"))
