"""The denoising autoencoder: zeros are filled in by what the rest of a row tells, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

import jbc
from jbc.methods.inputs import Inputs
from jbc.methods.settings import Training

METHOD = jbc.DenoisingAutoencoder(training=Training(ema_decay=0.9))


@pytest.fixture(scope="module")
def world():
    """Three kinds of cells in two domains, of which the machine loses signals, the weaker the more often."""
    rng = np.random.default_rng(0)
    kinds = rng.gamma(6.0, 1.0, size=(3, 12))
    truth = kinds[rng.integers(3, size=1200)] + rng.normal(scale=0.3, size=(1200, 12))
    truth = np.maximum(truth, 0.1).astype(np.float32)
    lost = rng.random(truth.shape) < 0.6 * np.exp(-truth / 4)
    x = np.where(lost, 0, truth).astype(np.float32)
    x[:, 11] = 0  # never measured
    return x, truth, np.repeat(["day 1", "day 2"], 600)


@pytest.fixture(scope="module")
def filled(world):
    x, _, day = world
    return jbc.Corrector(METHOD, steps=1000).fit(x, domain=day).transform(x, domain=day)


@pytest.mark.slow
def test_zeros_become_what_they_would_have_been(world, filled):
    x, truth, _ = world
    lost = (x == 0) & (np.arange(12) < 11)
    assert 0.05 < lost.mean() < 0.3
    means = np.where(x > 0, x, np.nan)
    with np.errstate(invalid="ignore"):
        means = np.nan_to_num(np.nanmean(means[:, :11], axis=0))
    error = np.abs(filled - truth)[lost].mean()
    assert error < 0.5 * np.abs(np.append(means, 0) - truth)[lost].mean()
    assert error < 0.2 * truth[lost].mean()


def test_what_was_measured_stays(world, filled):
    x, _, _ = world
    np.testing.assert_array_equal(filled[x != 0], x[x != 0])
    assert (filled >= 0).all()
    assert (filled[:, 11] == 0).all()


@pytest.mark.slow
def test_all_values_are_replaced_on_request(world):
    x, truth, day = world
    method = jbc.DenoisingAutoencoder(fill="all", inputs=Inputs(log=True), training=Training(ema_decay=0.9))
    out = jbc.Corrector(method, steps=1000).fit(x, domain=day).transform(x, domain=day)
    measured = x != 0
    assert not (out == x)[measured].any()
    assert np.abs(out - truth)[measured].mean() < 0.1 * truth[measured].mean()
    assert (out[:, 11] == 0).all()
