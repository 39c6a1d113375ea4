"""Relative standard deviations and dispersion ratios, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from problems import refusal

from jbc.metrics import d_ratio, rsd

RNG = np.random.default_rng(0)
X = np.exp(RNG.normal(3, 0.3, size=(40, 4)))
POOL = np.arange(40) % 4 == 0


def test_rsd_is_what_numpy_says():
    np.testing.assert_allclose(rsd(X), X.std(axis=0, ddof=1) / X.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(rsd(X * [1e-9, 1, 2, 1e9]), rsd(X), rtol=1e-6)


def test_rsd_of_logarithms_is_that_of_what_has_them():
    drawn = RNG.normal(5, 0.3, size=(200_000, 1))
    assert rsd(drawn, log=True)[0] == pytest.approx(rsd(np.exp(drawn))[0], rel=0.01)


def test_what_is_missing_does_not_count():
    holed = X.copy()
    holed[3:7, 0] = np.nan
    holed[1:, 1] = np.nan
    holed[:, 2] = 0
    found = rsd(holed)
    assert found[0] == pytest.approx(rsd(np.delete(X[:, :1], slice(3, 7), axis=0))[0])
    assert np.isnan(found[1:3]).all()
    ratio = d_ratio(holed, POOL)
    assert np.isnan(ratio[1:3]).all()
    known = [part[~np.isnan(part)] for part in (holed[POOL, 0], holed[~POOL, 0])]
    pool, samples = (np.median(np.abs(part - np.median(part))) for part in known)
    assert ratio[0] == pytest.approx(pool / samples, rel=1e-6)


def test_nothing_is_relative_to_a_mean_that_is_not_positive():
    with refusal("not-positive") as caught:
        rsd(np.log(X) - 5)
    assert "log=True" in str(caught.value)


def test_d_ratio_is_what_numpy_says():
    found = d_ratio(X, POOL, robust=False)
    np.testing.assert_allclose(found, X[POOL].std(axis=0, ddof=1) / X[~POOL].std(axis=0, ddof=1), rtol=1e-6)
    some = ~POOL & (np.arange(40) > 20)
    chosen = d_ratio(X, POOL, sample=some, robust=False)
    np.testing.assert_allclose(chosen, X[POOL].std(axis=0, ddof=1) / X[some].std(axis=0, ddof=1), rtol=1e-6)
    np.testing.assert_allclose(d_ratio(X * 1e-9 + 5, POOL), d_ratio(X, POOL), rtol=1e-3)


def test_d_ratio_without_variance():
    x = np.where(POOL[:, None], X[:, :2] * [1, 0], 3.0)
    assert d_ratio(x, POOL)[0] == np.inf
    assert np.isnan(d_ratio(x, POOL)[1])
    with refusal("few-controls"):
        d_ratio(X, np.zeros(40, bool))
    with refusal("few-controls"):
        d_ratio(X, np.ones(40, bool))


@pytest.mark.parametrize("unit", [1e-9, 7.3, 1e9])
def test_the_unit_does_not_matter_nor_does_the_order_of_rows(unit):
    rng = np.random.default_rng(0)
    x, control = np.exp(0.3 * rng.normal(size=(60, 4))), np.arange(60) % 3 == 0
    order = rng.permutation(60)
    np.testing.assert_allclose(rsd(unit * x[order]), rsd(x), rtol=1e-9)
    np.testing.assert_allclose(
        d_ratio(unit * x[order] + unit, control[order]), d_ratio(x, control), rtol=1e-6
    )
