"""What the networks see, and the way back."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import zscore

from jbc.methods.inputs import MANY, Inputs

DOMAIN = np.repeat([0, 1, 2], 20)


def rows(features=MANY):
    rng = np.random.default_rng(0)
    return (rng.gamma(2.0, 100.0, (60, features)) * (1 + DOMAIN[:, None])).astype(np.float32)


def run(inputs, x):
    tables = inputs.measure(jnp.asarray(x), jnp.asarray(DOMAIN), jnp.ones(len(x)), 3)
    return tables, np.asarray(inputs.apply(tables, x, DOMAIN))


@pytest.mark.slow
def test_log_ratios_are_standardised_per_domain():
    x = rows()
    ratio = np.log1p(x.astype(np.float64))
    ratio -= ratio.mean(axis=1, keepdims=True)
    expected = np.concatenate([np.asarray(zscore(ratio[g == DOMAIN], axis=0)) for g in range(3)])
    np.testing.assert_allclose(run(Inputs(True, "auto", "domain"), x)[1], expected, atol=2e-4)


@pytest.mark.parametrize(("features", "removed"), [(MANY - 1, False), (MANY, True)])
def test_the_level_is_removed_where_there_are_many_features(features, removed):
    x = rows(features)
    found = run(Inputs(True, "auto", "none"), x)[1]
    np.testing.assert_array_equal(found, run(Inputs(True, "remove" if removed else "keep", "none"), x)[1])
    assert bool(np.abs(found.mean(axis=1)).max() < 1e-5) is removed


@pytest.mark.slow
def test_what_a_row_weighs_does_not_matter():
    """Large counts, so that 1 + x is nearly x; scaled rows of one domain give the same inputs."""
    x, scale = 1e4 * rows(), np.random.default_rng(1).uniform(0.2, 5, (60, 1)).astype(np.float32)
    inputs = Inputs(True, "remove", "domain")
    np.testing.assert_allclose(run(inputs, scale * x)[1], run(inputs, x)[1], atol=2e-2)


@pytest.mark.parametrize("scale", ["domain", "pooled", "none"])
@pytest.mark.parametrize("level", ["keep", "remove"])
@pytest.mark.parametrize("log", [True, False])
def test_restored_rows_lie_in_one_average_domain(log, level, scale):
    x = rows()
    inputs = Inputs(log, level, scale)
    tables, z = run(inputs, x)
    out = np.asarray(inputs.restore(tables, z, x, DOMAIN))
    if scale == "domain":
        shaped = np.log1p(out) if log else out
        means = [shaped[g == DOMAIN].mean(axis=0) for g in range(3)]
        np.testing.assert_allclose(means[1], means[0], rtol=1e-3)
        np.testing.assert_allclose(means[2], means[0], rtol=1e-3)
    else:
        np.testing.assert_allclose(out, x, rtol=1e-3)


@pytest.mark.slow
def test_rows_that_do_not_count_are_not_measured():
    x, weight = jnp.asarray(rows()), np.arange(60) % 2
    inputs = Inputs(True, "remove", "domain")
    tables = inputs.measure(x, jnp.asarray(DOMAIN), jnp.asarray(weight), 3)
    some = inputs.measure(x[weight == 1], jnp.asarray(DOMAIN[weight == 1]), jnp.ones(30), 3)
    for table, other in zip(jax.tree.leaves(tables), jax.tree.leaves(some), strict=True):
        np.testing.assert_allclose(table, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", ["domain", "pooled", "none"])
def test_one_more_domain_is_read_as_an_average_one_and_moves_no_other(scale):
    x, inputs = jnp.asarray(rows()), Inputs(False, "keep", scale)
    tables = inputs.measure(x, jnp.asarray(DOMAIN), jnp.ones(len(x)), 3)
    more = inputs.extend(tables)
    for at in (DOMAIN, np.full(len(x), 3)):
        z = inputs.apply(more, x, at)
        if at is DOMAIN:
            np.testing.assert_array_equal(z, inputs.apply(tables, x, at))
            np.testing.assert_array_equal(inputs.restore(more, z, x, at), inputs.restore(tables, z, x, at))
        else:
            np.testing.assert_allclose(inputs.restore(more, z, x, at), x, rtol=1e-4, atol=1e-3)
