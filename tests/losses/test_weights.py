"""Weights of rows: against repeated rows, double loops in double precision, and derivatives of plain definitions."""

from __future__ import annotations

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbc.losses import adversarial, alignment, mmd2_matrix
from jbc.losses.mmd import mmd2_between, mmd2_to
from jbc.losses.wasserstein import critic_terms, gaussian_terms, kernel_terms, sliced_terms

KEY = jax.random.key(0)
C, M, D = 2, 6, 3
BANDWIDTHS = (0.5, 1.0, 3.0)
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, C, M, D)).astype(np.float32)
Y += 0.5
# Whole numbers with the same sum on both sides: rows can be repeated instead. Some rows have none.
WHOLE = np.array([[3, 0, 1, 2, 0, 4], [1, 1, 1, 1, 5, 1]]), np.array([[0, 5, 2, 1, 1, 1], [4, 3, 0, 0, 1, 2]])
matrix = jax.jit(mmd2_matrix, static_argnums=1, static_argnames="unbiased")


def critics(a, b, weight=None, mix=0.3):
    """Return the gap alone: the penalty is over all rows."""
    h = 4
    keys = jax.random.split(jax.random.key(3), 3)
    features = jax.random.normal(keys[0], (a.shape[2], h))
    head = [{"w": jax.random.normal(keys[1], (len(a), h, 1)), "b": jnp.ones((len(a), 1))}]
    first, second = ((rows @ features).swapaxes(1, 2) for rows in (a, b))
    gram = jnp.broadcast_to(features.T @ features, (len(a), h, h))
    return critic_terms(head, gram, first, second, jnp.full(a.shape[:2], mix), 1.0, weight=weight).gap


def game(objective):
    def loss(a, b, weight=None):
        return adversarial.discriminator_loss(objective, a.sum(-1), b.sum(-1), 0.1, weight=weight)

    return loss


def generated(objective):
    def loss(a, b, weight=None):
        each = (None, None) if weight is None else weight
        losses = [
            adversarial.generator_loss(objective, x.sum(-1), w) for x, w in zip((a, b), each, strict=True)
        ]
        return losses[0] + losses[1]

    return loss


def penalties(a, b, weight=None):
    each = (None, None) if weight is None else weight
    losses = [adversarial.gradient_penalty(x, w) for x, w in zip((a, b), each, strict=True)]
    return losses[0] + losses[1]


# Two groups of rows (C, m, d) and weights (C, m) each; a number for every pair.
BETWEEN = {
    "MMD": lambda a, b, weight=None: kernel_terms(a, b, BANDWIDTHS, 1.3, unbiased=False, weight=weight),
    "Gaussian": gaussian_terms,
    "sliced": lambda a, b, weight=None: sliced_terms(KEY, a, b, 7, weight=weight),
    "critics": critics,
    "logistic": game("logistic"),
    "squares": game("squares"),
    "hinge": game("hinge"),
    "wasserstein": game("wasserstein"),
    "accuracy": lambda a, b, weight=None: adversarial.accuracy(a.sum(-1), b.sum(-1), weight),
    "logistic generator": generated("logistic"),
    "squares generator": generated("squares"),
    "hinge generator": generated("hinge"),
    "gradient penalty": penalties,
}
UNBIASED = {
    "unbiased MMD": lambda a, b, weight=None: kernel_terms(a, b, BANDWIDTHS, 1.3, weight=weight),
    "unbiased MMD by the median": lambda a, b, weight=None: kernel_terms(a, b, BANDWIDTHS, weight=weight),
}
ALL = BETWEEN | UNBIASED
# What compares nothing: both sides are averaged by themselves.
ALONE = {name for name in ALL if "generator" in name or "penalty" in name}


@functools.cache
def compiled(loss):
    def total(rows, weight):
        value = loss(*rows, weight)
        return value.sum(), value

    return jax.jit(jax.value_and_grad(total, has_aux=True))


def value_and_gradient(loss, a, b, weight=None):
    if weight is not None:  # of one type, for which the program is compiled once
        weight = tuple(np.asarray(each, np.float32) for each in weight)
    (_, value), gradient = compiled(loss)((a, b), weight)
    return value, gradient


def repeated(x, weight):
    return np.stack([np.repeat(rows, times, axis=0) for rows, times in zip(x, weight, strict=True)])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("scale", [1.0, 7.0])
def test_equal_weights_are_no_weights(name, scale):
    weight = (np.full((C, M), scale, np.float32),) * 2
    found, expected = value_and_gradient(ALL[name], X, Y, weight), value_and_gradient(ALL[name], X, Y)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5), found, expected)


@pytest.mark.parametrize("name", BETWEEN)
def test_whole_weights_are_repeated_rows(name):
    loss = BETWEEN[name]
    value, gradient = value_and_gradient(loss, X, Y, WHOLE)
    long = repeated(X, WHOLE[0]), repeated(Y, WHOLE[1])
    expected, slopes = value_and_gradient(loss, *long)
    np.testing.assert_allclose(value, expected, atol=1e-5, rtol=1e-5)
    for weight, found, slope in zip(WHOLE, gradient, slopes, strict=True):
        for c in range(C):
            summed = np.zeros((M, D))
            np.add.at(summed, np.repeat(np.arange(M), weight[c]), np.asarray(slope)[c])
            # Sorted the other way, equal projections share their slope in another way, but not in sum.
            np.testing.assert_allclose(found[c], summed, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [3.0, 1e6, 1e17])
def test_rows_without_weight_change_nothing(name, size):
    noise = [size * np.random.default_rng(s).normal(size=X.shape).astype(np.float32) for s in range(2)]
    a, b = (np.where(w[:, :, None] == 0, n, x) for w, n, x in zip(WHOLE, noise, (X, Y), strict=True))
    found = value_and_gradient(ALL[name], a, b, WHOLE)
    expected = value_and_gradient(ALL[name], X, Y, WHOLE)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5), found, expected)
    for weight, gradient in zip(WHOLE, found[1], strict=True):
        assert not np.any(np.asarray(gradient)[weight == 0])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("empty", [(0,), (1,), (0, 1)])
def test_where_a_side_has_no_weight_there_is_no_loss(name, empty):
    weight = [w.astype(np.float32) for w in WHOLE]
    for side in range(2) if name in ALONE else empty:
        weight[side][0] = 0
    value, gradient = value_and_gradient(ALL[name], X, Y, tuple(weight))
    expected, _ = value_and_gradient(ALL[name], X, Y, WHOLE)
    assert value[0] == 0
    np.testing.assert_allclose(value[1], expected[1], rtol=1e-5)
    for each in gradient:
        np.testing.assert_array_equal(np.asarray(each)[0], 0)
        assert np.isfinite(each).all()


def test_a_pair_without_weight_has_no_penalty():
    head = [{"w": 9 * jnp.ones((C, D, 1)), "b": jnp.zeros((C, 1))}]
    gram = jnp.broadcast_to(jnp.eye(D), (C, D, D))
    some = np.array([[0] * M, [1] * M], np.float32)

    mix = jnp.full((C, M), 0.3)

    @jax.jit
    def penalty(head, weight):
        return critic_terms(head, gram, X.swapaxes(1, 2), Y.swapaxes(1, 2), mix, 2.0, weight).penalty

    plain, found = penalty(head, None), penalty(head, (some, np.ones((C, M), np.float32)))
    assert found[0] == 0
    assert found[1] == plain[1] > 0
    slope = jax.grad(lambda head: penalty(head, (some, some)).sum())(head)[0]["w"]
    assert not np.any(slope[0])
    assert np.any(slope[1])


# The accuracy has no slope, and that of the median is left out.
@pytest.mark.parametrize("name", sorted(ALL.keys() - {"accuracy", "unbiased MMD by the median"}))
def test_gradients_with_weights_equal_finite_differences(name):
    weight = tuple(np.random.default_rng(5).random((2, C, M)).astype(np.float32))

    def loss(a, b):
        return value_and_gradient(ALL[name], a, b, weight)[0].sum()

    _, gradient = value_and_gradient(ALL[name], X, Y, weight)
    rng = np.random.default_rng(6)
    for _ in range(3):
        along = rng.normal(size=(2, *X.shape)).astype(np.float32) / 10
        step = 0.02
        up, down = (loss(X + s * along[0], Y + s * along[1]) for s in (step, -step))
        expected = (up - down) / (2 * step)
        found = (gradient[0] * along[0]).sum() + (gradient[1] * along[1]).sum()
        np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0.01)


def test_sliced_distance_of_any_weights_is_the_integral_of_squared_differences_of_quantiles():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 1, M, 1)).astype(np.float32)
    weights = np.array([3, 1, 0, 2, 5, 1]), np.array([1, 1, 2, 0, 0, 3])
    whole = math.lcm(*(int(w.sum()) for w in weights))
    a, b = (
        np.sort(np.repeat(v[0, :, 0], w * (whole // w.sum()))) for v, w in zip((x, y), weights, strict=True)
    )
    found = sliced_terms(KEY, x, y, 2, weight=tuple(w[None] for w in weights))
    np.testing.assert_allclose(found, np.square(a.astype(float) - b).mean(), rtol=1e-5)


def mmd2_by_hand(a, b, u, v, unbiased, scale=1.3):
    def k(x, y):
        return sum(np.exp(-np.sum((x - y) ** 2) / (2 * (scale * s) ** 2)) for s in BANDWIDTHS)

    def within(rows, w):
        pairs = [(i, j) for i, j in np.ndindex(len(rows), len(rows)) if not (unbiased and i == j)]
        return np.average([k(rows[i], rows[j]) for i, j in pairs], weights=[w[i] * w[j] for i, j in pairs])

    pairs = list(np.ndindex(len(a), len(b)))
    across = np.average([k(a[i], b[j]) for i, j in pairs], weights=[u[i] * v[j] for i, j in pairs])
    return within(a, u) + within(b, v) - 2 * across


def domains(m=5, h=2):
    rng = np.random.default_rng(1)
    z = (rng.normal(size=(3, m, h)) + 0.7 * np.arange(3)[:, None, None]).astype(np.float32)
    weight = (rng.random((3, 3, m)) * 4 + 0.1).astype(np.float32)
    weight[0, 1, 2] = weight[2, 0, :3] = 0
    return z.astype(float), weight.astype(float)


@pytest.mark.parametrize("unbiased", [False, True])
def test_weighted_mmd_of_every_pair_and_its_gradient_equal_the_double_loop(unbiased):
    z, weight = domains()
    pairs = list(itertools.permutations(range(3), 2))
    share = np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 0.5], [2.0, 0.5, 0.0]])

    def by_hand(z):
        each = [mmd2_by_hand(z[p], z[q], weight[p, q], weight[q, p], unbiased) for p, q in pairs]
        return np.average(each, weights=[share[pair] for pair in pairs]), each

    def ours(z):
        mmd2, between = mmd2_matrix(
            z, BANDWIDTHS, 1.3, unbiased=unbiased, weight=jnp.asarray(weight, jnp.float32)
        )
        return alignment(mmd2, share=jnp.asarray(share, jnp.float32)), (mmd2, between)

    (value, (mmd2, between)), found = jax.jit(jax.value_and_grad(ours, has_aux=True))(
        jnp.asarray(z, jnp.float32)
    )
    np.testing.assert_allclose(value, by_hand(z)[0], atol=1e-5)
    np.testing.assert_allclose([mmd2[pair] for pair in pairs], by_hand(z)[1], atol=1e-5)
    np.testing.assert_array_equal(np.diag(mmd2), 0)
    np.testing.assert_allclose(between, matrix(jnp.asarray(z, jnp.float32), BANDWIDTHS, 1.3)[1], rtol=1e-5)
    expected, step = np.zeros_like(z), 1e-5
    for at in np.ndindex(z.shape):
        up, down = z.copy(), z.copy()
        up[at], down[at] = up[at] + step, down[at] - step
        expected[at] = (by_hand(up)[0] - by_hand(down)[0]) / (2 * step)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_the_mean_kernel_has_the_same_gradient_with_weights():
    z, weight = (jnp.asarray(each, jnp.float32) for each in domains())
    found, expected = (
        jax.jit(jax.grad(lambda z: mmd2_matrix(z, BANDWIDTHS, weight=w)[1]))(z)  # noqa: B023
        for w in (weight, None)
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("unbiased", [False, True])
def test_weights_get_no_gradient_and_those_of_a_domain_with_itself_are_not_looked_at(unbiased):
    z, weight = (jnp.asarray(each, jnp.float32) for each in domains())
    slope = jax.grad(lambda w: matrix(z, BANDWIDTHS, unbiased=unbiased, weight=w)[0].sum())(weight)
    assert not np.any(slope)
    diagonal = jnp.where(jnp.eye(3)[:, :, None] == 1, jnp.nan, weight)
    found, expected = (matrix(z, BANDWIDTHS, unbiased=unbiased, weight=w)[0] for w in (diagonal, weight))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("offset", [10.0, 300.0])
def test_weighted_mmd_does_not_see_a_common_offset(unbiased, offset):
    z, weight = (jnp.asarray(each, jnp.float32) for each in domains())
    near, far = (matrix(rows, BANDWIDTHS, unbiased=unbiased, weight=weight)[0] for rows in (z, z + offset))
    np.testing.assert_allclose(far, near, atol=1e-4)


@pytest.mark.parametrize("rest", [0.0, 1e-9, 1e-3])
def test_unbiased_mmd_where_one_row_has_all_the_weight(rest):
    """There is no pair of different rows: no loss. With a little more, it is what the double loop says."""
    z, weight = domains()
    weight[0, 1] = [1, rest, 0, 0, 0]

    def ours(z):
        mmd2 = mmd2_matrix(z, BANDWIDTHS, 1.3, unbiased=True, weight=jnp.asarray(weight, jnp.float32))[0]
        return mmd2[0, 1], mmd2

    (value, mmd2), gradient = jax.jit(jax.value_and_grad(ours, has_aux=True))(jnp.asarray(z, jnp.float32))
    expected = mmd2_by_hand(z[0], z[1], weight[0, 1], weight[1, 0], True) if rest > 1e-6 else 0
    np.testing.assert_allclose(value, expected, atol=1e-5)
    assert np.isfinite(gradient).all()
    assert np.any(gradient) == (rest > 1e-6)
    others = mmd2_by_hand(z[1], z[2], weight[1, 2], weight[2, 1], True)
    np.testing.assert_allclose(mmd2[1, 2], others, atol=1e-5)


def test_weights_that_are_not_numbers_are_not_passed_over():
    z, weight = (jnp.asarray(each, jnp.float32) for each in domains())
    for unbiased in (False, True):
        mmd2 = matrix(z, BANDWIDTHS, unbiased=unbiased, weight=weight.at[0, 1, 0].set(jnp.nan))[0]
        assert np.isnan(mmd2[0, 1])


@pytest.mark.parametrize("scale", [None, 1.3])
def test_mmd_to_a_target_is_that_of_each_pair(scale):
    own, target = (w.astype(np.float32) for w in WHOLE)
    for unbiased in (False, True):
        to, between = (
            jax.jit(functools.partial(f, bandwidths=(1.0,), scale=scale, unbiased=unbiased))
            for f in (mmd2_to, mmd2_between)
        )
        found = to(X, Y[0], weight=(own, target))
        each = [between(x, Y[0], weight=(u, v)) for x, u, v in zip(X, own, target, strict=True)]
        np.testing.assert_allclose(found, np.transpose(each), atol=1e-6)


def test_weighted_mmd_in_lanes_equals_the_mmd_of_each():
    z, weight = (jnp.asarray(each, jnp.float32) for each in domains())
    z, weight = jnp.stack([z, z + z**2]), jnp.stack([weight, weight[::-1]])
    lanes = jax.jit(jax.vmap(lambda z, w: mmd2_matrix(z, BANDWIDTHS, weight=w)[0]))(z, weight)
    each = [matrix(*lane, weight=w)[0] for *lane, w in zip(z, [BANDWIDTHS] * 2, weight, strict=True)]
    np.testing.assert_allclose(lanes, each, atol=1e-6)


def test_alignment_weighs_the_pairs():
    mmd2 = np.array([[0, 1, 2], [1, 0, 4], [2, 4, 0]], np.float32)
    share = np.array([[9, 1, 0], [1, 9, 3], [0, 3, 9]], np.float32)
    assert float(alignment(mmd2, share=share)) == pytest.approx((1 + 12) / 4)
    assert float(alignment(mmd2, "sum", share)) == 26
    assert float(alignment(mmd2, share=np.ones_like(share))) == pytest.approx(float(alignment(mmd2)))
    for share in (np.zeros((3, 3), np.float32), np.eye(3, dtype=np.float32)):
        assert float(alignment(mmd2, share=share)) == 0
        assert np.isfinite(jax.grad(lambda m: alignment(m, share=share))(mmd2)).all()  # noqa: B023
