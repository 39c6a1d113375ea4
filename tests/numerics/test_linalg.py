"""Linear algebra against NumPy in double precision, and the trap that it is written around."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import run_python
from scipy import stats
from sklearn.metrics.pairwise import euclidean_distances

from jbc.numerics.linalg import moments, orthogonal, squared_distances


def test_squared_distances_are_scikit_learns():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(n, 5)).astype(np.float32) for n in (7, 4))
    expected = euclidean_distances(a.astype(np.float64), b.astype(np.float64), squared=True)
    np.testing.assert_allclose(squared_distances(a, b), expected, rtol=1e-5)
    assert float(squared_distances(a, a).min()) >= 0


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e4, 1e5])
@pytest.mark.parametrize("n", [60, 20_000])
def test_moments_keep_their_digits_under_large_offsets(offset, n):
    rng = np.random.default_rng(0)
    x = (offset + rng.normal(size=(n, 3))).astype(np.float32)
    group, weight = rng.integers(3, size=n), rng.integers(3, size=n)
    mean, variance = moments(jnp.asarray(x), jnp.asarray(group), jnp.asarray(weight), 4)
    for g in range(3):
        rows = np.repeat(x[group == g].astype(np.float64), weight[group == g], axis=0)
        np.testing.assert_allclose(mean[g], rows.mean(axis=0), atol=1e-3 + 1e-7 * offset)
        np.testing.assert_allclose(variance[g], rows.var(axis=0), rtol=1e-3)
    assert np.isfinite(variance[3]).all(), "an empty group must not divide by zero"


def test_moments_of_a_constant_are_exact():
    x = jnp.full((1000, 2), 1234.567, jnp.float32)
    mean, variance = moments(x, jnp.zeros(1000, jnp.int32), jnp.ones(1000), 1)
    np.testing.assert_allclose(mean, x[:1], rtol=1e-7)
    assert float(variance.max()) < 1e-7


@pytest.mark.parametrize("shape", [(1, 1), (1, 16), (16, 1), (8, 8), (20, 5), (5, 20), (300, 300), (300, 10)])
@pytest.mark.slow
def test_orthogonal_is_orthonormal(shape):
    q = np.asarray(orthogonal(jax.random.key(1), shape), np.float64)
    assert q.shape == shape
    small = q @ q.T if shape[0] < shape[1] else q.T @ q
    np.testing.assert_allclose(small, np.eye(min(shape)), atol=1e-5)


def test_orthogonal_is_uniform():
    """First coordinate, trace and determinant of Haar matrices have known distributions."""
    draws = jax.vmap(lambda key: orthogonal(key, (3, 3)))(jax.random.split(jax.random.key(0), 4000))
    draws = np.asarray(draws, np.float64)
    # A coordinate of a uniform point of the sphere in three dimensions is uniform (Archimedes).
    for row, column in ((0, 0), (2, 1)):
        assert stats.kstest(draws[:, row, column], stats.uniform(-1, 2).cdf).pvalue > 1e-3
    trace, sign = np.trace(draws, axis1=1, axis2=2), np.linalg.det(draws)
    assert abs(trace.mean()) < 0.08  # variance 1
    assert abs((trace**2).mean() - 1) < 0.12
    np.testing.assert_allclose(np.abs(sign), 1, atol=1e-4)
    assert abs(sign.mean()) < 0.08


# Of this size, three draws of linen's own orthogonal initialiser in four lanes hang on two cores.
TRAP = """
import jax, numpy as np
from jbc.cohort import Cohort
from jbc.numerics.linalg import orthogonal
from jbc.methods.joint import JointCalibration

keys = jax.random.split(jax.random.key(0), 4)
draws = jax.jit(jax.vmap(lambda key: [orthogonal(k, (260, 260)) for k in jax.random.split(key, 3)]))
jax.block_until_ready(draws(keys))
rows = np.random.default_rng(0).normal(size=(8, 260))
bare = Cohort.from_arrays(rows, np.arange(8) % 2).without_names()
init = jax.jit(jax.vmap(JointCalibration(family="twobatch").init, in_axes=(0, None)))
jax.block_until_ready(init(keys, bare))
print("through")
"""


@pytest.mark.slow
def test_many_orthogonal_draws_in_one_program_do_not_wait_for_each_other():
    """Several decompositions in one program can wait for each other for ever: this fails by its time limit."""
    assert run_python(TRAP, timeout=150).strip() == "through"
