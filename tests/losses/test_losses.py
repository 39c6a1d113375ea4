"""Losses against double loops in double precision, scikit-learn, and finite differences."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import log_loss, pairwise_distances
from sklearn.metrics.pairwise import rbf_kernel

from jbc.losses import alignment, cross_entropy, kernel, median_distance, mmd2_matrix, squared_error

# Compiled whole, the many small operations cost one compilation a shape instead of one each.
matrix = jax.jit(mmd2_matrix, static_argnums=1, static_argnames="unbiased")
bandwidth = jax.jit(median_distance, static_argnames="rows")
entropy = jax.jit(cross_entropy, static_argnames=("rows", "domains"))
entropy_and_gradient = jax.jit(jax.value_and_grad(cross_entropy))
LADDERS = [(1.0,), (0.5, 1.0, 2.0, 4.0), (1.0, 2.0, 4.0, 8.0, 16.0), (0.7, 1.0, 3.0), (2.0, 0.5, 1.0, 3.0)]


def codes(groups: int = 3, m: int = 6, h: int = 4, seed: int = 0) -> np.ndarray:
    """Rows of several domains, each shifted a little, as float32 values in double precision."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(groups, m, h)) + 0.7 * np.arange(groups)[:, None, None]
    return z.astype(np.float32).astype(np.float64)


def mmd2_by_hand(a, b, bandwidths, scale=1.0, unbiased=False):
    """Sum the kernels pair by pair."""

    def k(x, y):
        return sum(np.exp(-np.sum((x - y) ** 2) / (2 * (scale * s) ** 2)) for s in bandwidths)

    def within(rows):
        pairs = [
            (i, j) for i, j in itertools.product(range(len(rows)), repeat=2) if not (unbiased and i == j)
        ]
        return np.mean([k(rows[i], rows[j]) for i, j in pairs])

    return within(a) + within(b) - 2 * np.mean([k(x, y) for x in a for y in b])


@pytest.mark.parametrize("bandwidths", LADDERS)
def test_ladder_equals_separate_exponentials(bandwidths):
    distance2 = np.concatenate([[0.0], np.logspace(-4, 3, 60)])
    expected = sum(np.exp(-distance2 / (2 * s**2)) for s in bandwidths)
    found = kernel(jnp.asarray(distance2, jnp.float32), bandwidths)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-37)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("bandwidths", LADDERS)
def test_mmd_of_every_pair_equals_the_double_loop(bandwidths, unbiased):
    z = codes()
    found, between = matrix(jnp.asarray(z, jnp.float32), bandwidths, 1.3, unbiased=unbiased)
    for p, q in itertools.permutations(range(3), 2):
        expected = mmd2_by_hand(z[p], z[q], bandwidths, 1.3, unbiased)
        np.testing.assert_allclose(found[p, q], expected, atol=3e-6 * len(bandwidths))
    np.testing.assert_array_equal(np.diag(found), 0)
    gammas = [1 / (2 * (1.3 * s) ** 2) for s in bandwidths]
    pairs = itertools.combinations(range(3), 2)
    kernels = [rbf_kernel(z[p], z[q], gamma).mean() for p, q in pairs for gamma in gammas]
    np.testing.assert_allclose(between, np.mean(kernels), rtol=1e-5)


def test_mmd_equals_scikit_learns_kernel():
    z = codes(groups=2, m=40, h=7)
    found, _ = matrix(jnp.asarray(z, jnp.float32), (2.0,))
    a, b, c = (rbf_kernel(z[p], z[q], gamma=1 / 8).mean() for p, q in ((0, 0), (1, 1), (0, 1)))
    np.testing.assert_allclose(found[0, 1], a + b - 2 * c, rtol=1e-4)


def test_unbiased_mmd_of_one_population_averages_to_zero():
    draws = np.random.default_rng(1).normal(size=(400, 2, 10, 3)).astype(np.float32)

    def pair(z, unbiased):
        return matrix(z, (1.0, 2.0), unbiased=unbiased)[0][0, 1]

    found = jax.jit(jax.vmap(lambda z: pair(z, True)))(draws)
    biased = jax.jit(jax.vmap(lambda z: pair(z, False)))(draws)
    error = float(found.std()) / np.sqrt(len(draws))
    assert abs(float(found.mean())) < 4 * error
    assert float(biased.mean()) > 10 * error
    assert float(biased.min()) > 0


@pytest.mark.parametrize("offset", [10.0, 300.0])
def test_mmd_does_not_see_a_common_offset(offset):
    """The distances come from a matrix product, in which large norms would swallow small differences."""
    z = codes()
    near, _ = matrix(jnp.asarray(z, jnp.float32), (1.0, 2.0), unbiased=True)
    far, _ = matrix(jnp.asarray(z + offset, jnp.float32), (1.0, 2.0), unbiased=True)
    np.testing.assert_allclose(far, near, atol=1e-4)


@pytest.mark.parametrize("unbiased", [False, True])
def test_gradient_of_the_mmd_equals_finite_differences(unbiased):
    z, bandwidths = codes(m=4, h=2), (0.5, 1.0, 3.0)

    def by_hand(z):
        pairs = itertools.permutations(range(3), 2)
        return np.mean([mmd2_by_hand(z[p], z[q], bandwidths, 1.0, unbiased) for p, q in pairs])

    def ours(z):
        return alignment(mmd2_matrix(z, bandwidths, unbiased=unbiased)[0])

    value, found = jax.jit(jax.value_and_grad(ours))(jnp.asarray(z, jnp.float32))
    np.testing.assert_allclose(value, by_hand(z), atol=1e-5)
    expected, step = np.zeros_like(z), 1e-5
    for at in np.ndindex(z.shape):
        up, down = z.copy(), z.copy()
        up[at], down[at] = up[at] + step, down[at] - step
        expected[at] = (by_hand(up) - by_hand(down)) / (2 * step)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_gradient_of_the_mmd_of_equal_rows_is_finite():
    gradient = jax.jit(jax.grad(lambda z: mmd2_matrix(z, (1.0,), median_distance(z))[0].sum()))
    assert np.isfinite(gradient(jnp.ones((2, 4, 3)))).all()


def test_mmd_in_lanes_equals_the_mmd_of_each():
    z = jnp.stack([jnp.asarray(codes(seed=s), jnp.float32) for s in range(3)])
    lanes = jax.jit(jax.vmap(lambda z: mmd2_matrix(z, (1.0, 2.0))[0]))(z)
    np.testing.assert_allclose(lanes, [matrix(each, (1.0, 2.0))[0] for each in z], atol=1e-6)


def test_alignment_reduces_ordered_pairs():
    mmd2 = np.array([[0, 1, 2], [1, 0, 4], [2, 4, 0]], np.float32)
    assert float(alignment(mmd2)) == pytest.approx(7 / 3)
    assert float(alignment(mmd2, "sum")) == 14
    assert float(alignment(np.zeros((1, 1), np.float32))) == 0


def test_median_bandwidth_is_the_median_distance():
    z = codes(groups=3, m=10)
    flat = z.reshape(-1, z.shape[-1])
    expected = np.median(pairwise_distances(flat)[np.triu_indices(len(flat), 1)])
    np.testing.assert_allclose(bandwidth(jnp.asarray(z, jnp.float32)), expected, rtol=1e-5)
    few = z[:, :4].reshape(-1, z.shape[-1])
    expected = np.median(pairwise_distances(few)[np.triu_indices(len(few), 1)])
    np.testing.assert_allclose(bandwidth(jnp.asarray(z, jnp.float32), rows=13), expected, rtol=1e-5)


def test_median_bandwidth_carries_no_gradient_and_is_never_zero():
    z = jnp.asarray(codes(), jnp.float32)
    assert not np.any(jax.jit(jax.grad(median_distance))(z))
    assert float(bandwidth(jnp.zeros((2, 5, 3)))) > 0


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("rows", ["mean", "sum"])
@pytest.mark.parametrize("domains", ["mean", "sum"])
def test_cross_entropy_is_scikit_learns_log_loss(classes, rows, domains):
    rng = np.random.default_rng(0)
    outputs = 1 if classes == 2 else classes
    logits = rng.normal(scale=3, size=(3, 12, outputs)).astype(np.float32)
    label = rng.integers(classes, size=(3, 12))
    unknown = rng.random((3, 12)) < 0.3
    each = []
    for domain in range(3):
        known = ~unknown[domain]
        scores = logits[domain, known].astype(np.float64)
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1) if outputs == 1 else scores
        probability = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        mean = log_loss(label[domain, known], probability, labels=np.arange(classes))
        each.append(mean * (known.sum() if rows == "sum" else 1))
    expected = np.sum(each) if domains == "sum" else np.mean(each)
    label = np.where(unknown, -1, label)
    np.testing.assert_allclose(entropy(logits, label, rows=rows, domains=domains), expected, rtol=1e-5)


@pytest.mark.parametrize("classes", [2, 4])
def test_smoothed_targets_leave_their_share_to_all_classes(classes):
    rng = np.random.default_rng(0)
    logits, label = rng.normal(size=(1, 9, 1 if classes == 2 else classes)), rng.integers(0, classes, (1, 9))
    full = np.concatenate([0 * logits, logits], axis=-1) if classes == 2 else logits
    log_p = full - np.log(np.exp(full).sum(axis=-1, keepdims=True))
    target = 0.8 * np.eye(classes)[label] + 0.2 / classes
    found = cross_entropy(jnp.asarray(logits, jnp.float32), jnp.asarray(label), smoothing=0.2)
    np.testing.assert_allclose(found, -(target * log_p).sum(axis=-1).mean(), rtol=1e-5)


@pytest.mark.parametrize("outputs", [1, 3])
def test_unknown_labels_change_neither_the_loss_nor_its_gradient(outputs):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 8, outputs)).astype(np.float32)
    label = np.array([[0, 1, -1, -1, 1, 0, -1, 1], [-1] * 8])
    other = np.where((label == -1)[..., None], 1e3, logits).astype(np.float32)
    value, gradient = entropy_and_gradient(jnp.asarray(logits), label)
    np.testing.assert_allclose(value, entropy(other, label), rtol=1e-6)
    assert not np.any(np.asarray(gradient)[label == -1])
    assert np.all(np.asarray(gradient)[label >= 0] != 0)


@pytest.mark.parametrize("outputs", [1, 3])
def test_cross_entropy_of_certain_mistakes_is_finite(outputs):
    logits = jnp.full((1, 2, outputs), 1e4).at[..., 0].set(-1e4)
    value, gradient = entropy_and_gradient(logits, jnp.array([[0, 1]]))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("features", ["mean", "sum"])
@pytest.mark.parametrize("domains", ["mean", "sum"])
def test_squared_error_is_numpys(features, domains):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 5, 4))
    per_domain = np.square(a - b).sum(axis=(1, 2)) / 5 / (4 if features == "mean" else 1)
    expected = per_domain.sum() if domains == "sum" else per_domain.mean()
    np.testing.assert_allclose(squared_error(a, b, features=features, domains=domains), expected, rtol=1e-5)
