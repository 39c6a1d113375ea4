"""Randomness a byte a number: independent, of the right moments, and never the same for two keys."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from jbc.numerics.noise import dropout, jitter, random_bytes

KEY = jax.random.key(0)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5, 2)])
def test_shapes_that_are_no_multiple_of_four(shape):
    assert random_bytes(KEY, shape).shape == shape
    assert random_bytes(KEY, shape).dtype == jnp.uint8


def test_bytes_are_uniform_and_neighbours_independent():
    drawn = np.asarray(random_bytes(KEY, (400_000,)))
    assert chisquare(np.bincount(drawn, minlength=256)).pvalue > 1e-3
    for lag in (1, 2, 3, 4):
        assert abs(np.corrcoef(drawn[:-lag], drawn[lag:])[0, 1]) < 0.01


def test_keys_draw_different_bytes():
    one, other = (random_bytes(jax.random.key(n), (1000,)) for n in (0, 1))
    assert np.mean(np.asarray(one) == np.asarray(other)) < 0.05


def test_jitter_has_mean_0_and_variance_1():
    drawn = np.asarray(jitter(KEY, (500, 400)))
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.var() - 1) < 0.01


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(rate):
    x = jnp.ones((300, 300))
    out = np.asarray(dropout(KEY, x, rate))
    assert abs((out == 0).mean() - rate) < 0.01
    assert abs(out.mean() - 1) < 0.02
