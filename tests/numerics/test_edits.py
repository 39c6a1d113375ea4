"""The percentile edit against NumPy, and what it promises: identity, order, ties, constant neurons, the ends."""

from __future__ import annotations

from functools import partial

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from jbc.numerics import edits
from jbc.numerics.edits import Edit, apply, measure, outside, weighted_percentiles

RULES = ("shift", "clip", "linear")
NUMBER = 11
measured = jax.jit(partial(measure, percentiles=NUMBER))
edited = {rule: jax.jit(partial(apply, beyond=rule)) for rule in RULES}
weighted = jax.jit(weighted_percentiles, static_argnames="number")

# One shape for all examples, so that each function is compiled once. Small whole numbers make ties, and single
# columns that are constant.
NEURONS = 4
numbers = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, width=32, allow_subnormal=False))


def rows(count: int) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float32, (count, NEURONS), elements=numbers)


def activations(count: int, seed: int = 0, shift: float = 0.0, scale: float = 1.0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(shift, scale, size=(count, NEURONS)), jnp.float32)


def column(*values: float) -> jax.Array:
    return jnp.array(values, jnp.float32)[:, None]


def bits(values) -> np.ndarray:
    return np.asarray(values, np.float32).view(np.uint32)


# Percentiles


@given(rows(20))
def test_percentiles_are_those_of_numpy(x):
    expected = np.percentile(x.astype(np.float64), np.linspace(0, 100, NUMBER), axis=0)
    found = np.asarray(weighted(x, number=NUMBER))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(x).max())
    np.testing.assert_array_equal(found[[0, -1]], [x.min(axis=0), x.max(axis=0)])
    assert (np.diff(found, axis=0) >= 0).all()


@given(rows(20), arrays(np.int32, 20, elements=st.integers(0, 3)).filter(lambda weight: weight.any()))
def test_a_weight_is_a_number_of_copies(x, weight):
    expected = np.percentile(
        np.repeat(x.astype(np.float64), weight, axis=0), np.linspace(0, 100, NUMBER), axis=0
    )
    found = weighted(x, weight, number=NUMBER)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(x).max())


def test_unit_weights_and_the_order_of_rows_change_no_bit():
    x, weight = activations(20).round(1), np.random.default_rng(1).integers(0, 3, 20)
    np.testing.assert_array_equal(weighted(x, number=NUMBER), weighted(x, np.ones(20, int), number=NUMBER))
    order = np.random.default_rng(2).permutation(20)
    found = weighted(x[order], weight[order], number=NUMBER)
    np.testing.assert_array_equal(found, weighted(x, weight, number=NUMBER))


def test_ranks_beyond_the_digits_of_floats():
    """The ranks of 30 million copies have more digits than a float32 has, and their products do not fit int32."""
    x = column(*range(7))
    copies = np.array([10_000_000, 3, 5_000_001, 0, 9_999_996, 1, 5_000_000])
    edges = np.cumsum(copies) - 1
    ranks = np.arange(1001) * (copies.sum() - 1) // 1000
    expected = np.searchsorted(edges, ranks)
    found = np.asarray(weighted(x, copies, number=1001))[:, 0]
    np.testing.assert_array_equal(np.floor(found), expected)


# What every edit promises


@pytest.mark.parametrize("rule", RULES)
@given(x=rows(20), values=rows(30))
@pytest.mark.slow
def test_equal_source_and_target_change_no_bit(rule, x, values):
    edit = measured(x, x)
    found = edited[rule](edit, values)
    if rule == "clip":
        values = np.clip(values, x.min(axis=0), x.max(axis=0))
    np.testing.assert_array_equal(bits(found), bits(values))


@pytest.mark.parametrize("rule", RULES)
@given(source=rows(20), target=rows(20), values=rows(30))
@pytest.mark.slow
def test_the_order_of_values_stays_and_nothing_is_nan(rule, source, target, values):
    edit = measured(source, target)
    ascending = np.sort(np.concatenate([values, source]), axis=0)
    found = np.asarray(edited[rule](edit, ascending))
    assert not np.isnan(found).any()
    assert (found[1:] >= found[:-1]).all()
    if rule != "linear":
        assert np.isfinite(found).all()


@given(source=rows(20), target=rows(20))
@pytest.mark.slow
def test_values_between_stay_between(source, target):
    """Also those at ties and of constant neurons: nothing inside the source's range leaves the target's."""
    found = np.asarray(edited["clip"](measured(source, target), source))
    low, high = target.min(axis=0), target.max(axis=0)
    assert ((found >= low) & (found <= high)).all()


@pytest.mark.slow
def test_percentiles_of_the_source_go_to_those_of_the_target():
    edit = measured(activations(40), activations(30, 1, 1000.0, 0.01))
    for rule in RULES:
        np.testing.assert_array_equal(edited[rule](edit, edit.source), edit.target)


def test_inside_it_is_the_interpolation_of_numpy():
    source, target, values = activations(200), activations(300, 1, 5.0, 3.0), activations(500, 2)
    edit = measured(source, target)
    found = np.asarray(edited["clip"](edit, values))
    for j in range(NEURONS):
        expected = np.interp(values[:, j], edit.source[:, j], edit.target[:, j])
        np.testing.assert_allclose(found[:, j], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_the_edited_source_has_the_targets_distribution():
    source, target = np.exp(activations(2000)), activations(3000, 1, -2.0, 0.5)
    found = apply(measure(source, target), source)
    deciles = np.arange(10, 100, 10)
    np.testing.assert_allclose(
        np.percentile(found, deciles, axis=0), np.percentile(target, deciles, axis=0), atol=0.01
    )


# Ends, ties, constants

KNOTS = Edit(column(0, 1, 3), column(10, 14, 15))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("shift", [8, 10, 15, 17]), ("clip", [10, 10, 15, 15]), ("linear", [2, 10, 15, 16])],
)
@pytest.mark.slow
def test_beyond_the_ends(rule, expected):
    values = column(-2, 0, 3, 5)
    np.testing.assert_array_equal(apply(KNOTS, values, rule)[:, 0], expected)
    assert outside(KNOTS, values)[:, 0].tolist() == [True, False, False, True]


@pytest.mark.slow
def test_an_end_without_a_width_is_shifted_even_where_others_go_on():
    edit = Edit(column(0, 0, 2, 2), column(10, 11, 15, 17))
    np.testing.assert_array_equal(apply(edit, column(-1, 3), "linear")[:, 0], [9, 18])


@pytest.mark.slow
def test_ties_go_to_the_middle_rank():
    edit = Edit(column(0, 0, 0, 2, 2, 3), column(1, 2, 9, 10, 14, 16))
    values = column(0, 1, 2, 2.5, 3)
    np.testing.assert_array_equal(apply(edit, values)[:, 0], [2, 9.5, 12, 15, 16])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.slow
def test_constant_neurons(rule):
    constant, spread = column(4, 4, 4), column(0, 1, 9)
    values = column(3, 4, 6)
    beyond = [1, 1, 1] if rule == "clip" else [0, 1, 3]
    np.testing.assert_array_equal(apply(Edit(constant, spread), values, rule)[:, 0], beyond)
    np.testing.assert_array_equal(apply(Edit(spread, constant), spread, rule)[:, 0], [4, 4, 4])
    both = apply(Edit(constant, constant + 2), values, rule)[:, 0]
    np.testing.assert_array_equal(both, [6, 6, 6] if rule == "clip" else [5, 6, 8])


def test_rounding_is_not_blown_up_into_a_signal():
    noisy = 5 + column(-1e-6, 0, 1e-6)
    found = np.asarray(apply(Edit(noisy, column(0, 1, 100)), noisy))[:, 0]
    np.testing.assert_allclose(found, 1, atol=2e-6)


@pytest.mark.slow
def test_a_constant_shift_is_the_difference_of_the_means():
    source, target, values = activations(20), activations(30, 1, 7.0, 3.0), activations(10, 2)
    weight = np.arange(20) % 3
    edit = measure(source, target, source_weight=weight, constant_shift=True)
    shift = target.mean(axis=0) - np.average(source, axis=0, weights=weight)
    np.testing.assert_allclose(apply(edit, values), values + shift, rtol=1e-5, atol=1e-5)


# Programs


def test_many_rows_are_edited_as_few_are():
    edit = measured(activations(40), activations(30, 1, 2.0))
    values = activations(edits.ROWS + 5, 2)
    whole = np.asarray(edited["shift"](edit, values))
    np.testing.assert_array_equal(whole[:30], edited["shift"](edit, values[:30]))
    np.testing.assert_array_equal(whole[-30:], edited["shift"](edit, values[-30:]))


@pytest.mark.slow
def test_folds_and_edits_are_lanes():
    source, target, values = activations(20), activations(20, 1, 3.0), activations(30, 2)
    weights = np.random.default_rng(3).integers(0, 3, (2, 20))

    def run(weight, source, target):
        edit = measure(source, target, NUMBER, source_weight=weight, target_weight=weight)
        return apply(edit, values)

    lanes = jax.jit(jax.vmap(run, in_axes=(0, None, None)))(weights, source, target)
    for weight, lane in zip(weights, lanes, strict=True):
        copies = np.repeat(source, weight, axis=0), np.repeat(target, weight, axis=0)
        np.testing.assert_allclose(lane, apply(measure(*copies, NUMBER), values), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.slow
def test_gradients_are_finite_and_are_the_slopes(rule):
    edit = Edit(
        jnp.concatenate([KNOTS.source, column(0, 0, 1), column(4, 4, 4)], axis=1),
        jnp.concatenate([KNOTS.target, column(1, 2, 3), column(1, 2, 3)], axis=1),
    )
    values = jnp.array([[-1.0, 0.0, 3.0], [0.5, 0.5, 4.0], [2.0, 2.0, 5.0]])
    gradient, by_edit = jax.grad(lambda v, e: apply(e, v, rule).sum(), argnums=(0, 1))(values, edit)
    assert np.isfinite(gradient).all()
    assert all(np.isfinite(knots).all() for knots in by_edit)
    np.testing.assert_allclose(gradient[1:, 0], [4.0, 0.5])
