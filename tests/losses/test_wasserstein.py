"""Distances between groups of rows, against SciPy, NumPy and differences in double precision."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from problems import OPTIMISED

from jbc.losses.mmd import median_distance, mmd2_matrix
from jbc.losses.wasserstein import critic_terms, gaussian_terms, kernel_terms, sliced_terms

KEY = jax.random.key(0)


@pytest.mark.slow
def test_gaussian_distance_is_that_of_sample_moments():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(30, 4)), rng.normal(size=(30, 4)) @ rng.normal(size=(4, 4)) + 1
    a, b = (np.cov(x.T, bias=True) for x in (first, second))
    root = scipy.linalg.sqrtm(a)
    cross = np.trace(np.real(scipy.linalg.sqrtm(root @ b @ root)))
    expected = (
        np.square(first.mean(axis=0) - second.mean(axis=0)).sum() + np.trace(a) + np.trace(b) - 2 * cross
    )
    given = jnp.asarray(first[None], jnp.float32), jnp.asarray(second[None], jnp.float32)
    np.testing.assert_allclose(gaussian_terms(*given)[0], expected, rtol=1e-4)
    # Its slope, by differences in double precision.
    slope = jax.grad(lambda x: gaussian_terms(x, given[1])[0])(given[0])[0]
    shift = np.zeros_like(first)
    shift[3, 1] = 1e-2
    with jax.enable_x64(True):
        wide = jnp.asarray(second[None])
        up, down = (float(gaussian_terms(jnp.asarray((first + s)[None]), wide)[0]) for s in (shift, -shift))
    np.testing.assert_allclose(slope[3, 1], (up - down) / 2e-2, rtol=2e-3)


def test_sliced_distance_in_one_dimension_is_exact():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=40), 2 * rng.normal(size=40) + 1
    expected = np.square(np.sort(first) - np.sort(second)).mean()
    given = (jnp.asarray(x[None, :, None], jnp.float32) for x in (first, second))
    np.testing.assert_allclose(sliced_terms(KEY, *given, slices=3)[0], expected, rtol=1e-5)
    assert scipy.stats.wasserstein_distance(first, second) ** 2 <= expected


@pytest.mark.slow
def test_kernel_distance_is_the_mmd_of_each_pair():
    z = jax.random.normal(KEY, (2, 3, 10, 4))
    found = kernel_terms(z[0], z[1], (0.5, 1.0))
    for c in range(3):
        both = z[:, c]
        expected = mmd2_matrix(both, (0.5, 1.0), median_distance(both), unbiased=True)[0][0, 1]
        np.testing.assert_allclose(found[c], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("critics", "h", "widths"), [(45, 2, ()), (45, 2, (2,)), (3, 8, (16,)), (900, 1, ())]
)
@pytest.mark.slow
def test_optimised_programs_say_the_same(critics, h, widths):
    """At the sizes of the paper, and fully optimised: jaxlib 0.10.2 has turned such sums into garbage."""
    rng, sizes = np.random.default_rng(0), (h, *widths, 1)
    head = [
        {"w": rng.normal(size=(critics, a, b)), "b": rng.normal(size=(critics, b))}
        for a, b in itertools.pairwise(sizes)
    ]
    first, second = rng.normal(size=(2, critics, h, 100))
    mix, basis = rng.random((critics, 100)), rng.normal(size=(critics, 20, h))
    gram = basis.swapaxes(1, 2) @ basis
    given = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (head, gram, first, second, mix))

    def terms(head, gram, first, second, mix):
        return tuple(critic_terms(head, gram, first, second, mix, 10.0))

    compiled = jax.jit(terms, compiler_options=OPTIMISED)(*given)

    def value(a):
        slopes = []
        for layer in head:
            slopes.append((1 / (1 + np.exp(-a)), layer["w"]))
            a = layer["w"].swapaxes(1, 2) @ np.logaddexp(0, a) + layer["b"][..., None]
        back = np.ones_like(a)
        for slope, w in reversed(slopes):
            back = (w @ back) * slope
        return a[:, 0], back

    mixed = mix[:, None] * first + (1 - mix[:, None]) * second
    slope = value(mixed)[1]
    length = np.sqrt(np.einsum("chm,chk,ckm->cm", slope, gram, slope))
    gap = (value(first)[0] - value(second)[0]).mean(axis=1)
    np.testing.assert_allclose(compiled[0], gap, atol=2e-5 * max(1, np.abs(gap).max()))
    penalty = 10 * np.square(np.maximum(length - 1, 0)).mean(axis=1)
    np.testing.assert_allclose(compiled[1], penalty, rtol=1e-4, atol=1e-4)
