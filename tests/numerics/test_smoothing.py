"""Local regression against least squares, one place and one series at a time; and robust statistics."""

from __future__ import annotations

import numpy as np
import pytest

from jbc.numerics.smoothing import (
    hampel,
    huber,
    local_regression,
    median,
    robust_location,
    robust_weights,
    scale,
)

RNG = np.random.default_rng(0)
T = np.sort(RNG.choice(100, 17, replace=False)).astype(float)
Y = RNG.normal(size=(17, 3)) + 0.1 * T[:, None]
W = RNG.integers(0, 3, size=Y.shape).astype(float)


def one(t: np.ndarray, y: np.ndarray, at: float, span: float, weight: np.ndarray, skip: int | None) -> float:
    """Return one value of one curve, by the definition."""
    distance = np.abs(t - at)
    keep = np.arange(len(t)) != (-1 if skip is None else skip)
    reach = max(int(np.ceil(min(span, 1) * keep.sum())), 4)
    bandwidth = np.sort(distance[keep])[reach - 1] * max(span, 1) if np.isfinite(span) else np.inf
    kernel = np.maximum(1 - (distance / bandwidth) ** 3, 0) ** 3
    root = np.sqrt(kernel * weight * keep)
    design = np.stack([np.ones(len(t)), t - at], axis=1)
    return np.linalg.lstsq(root[:, None] * design, root * y, rcond=None)[0][0]


@pytest.mark.parametrize("span", [0.5, 0.8, 1.0, 2.0, np.inf])
def test_it_is_least_squares_at_every_place(span):
    at = np.array([0.0, 30.5, 99.0])
    found = local_regression(T, Y, at, span, weight=W)
    expected = [[one(T, Y[:, f], a, span, W[:, f], None) for f in range(3)] for a in at]
    np.testing.assert_allclose(found, expected, atol=2e-4)
    left_out = local_regression(T, Y, T, span, weight=W, leave_out=True)
    expected = [[one(T, Y[:, f], a, span, W[:, f], i) for f in range(3)] for i, a in enumerate(T)]
    np.testing.assert_allclose(left_out, expected, atol=2e-4)


def test_a_value_that_is_left_out_is_not_used():
    moved = Y.copy()
    moved[5] += 1000
    for weight in (None, W):
        before, after = (local_regression(T, y, T, 0.6, weight=weight, leave_out=True)[5] for y in (Y, moved))
        np.testing.assert_allclose(before, after)


def test_units_of_places_and_values_do_not_matter():
    found = local_regression(T * 1e7 + 3, Y * [1e-9, 1, 1e9] + 5, T * 1e7 + 3, 0.7, weight=W)
    expected = local_regression(T, Y, T, 0.7, weight=W) * [1e-9, 1, 1e9] + 5
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_where_few_values_count_there_is_no_line():
    weight = np.zeros((17, 3))
    weight[3, 1], weight[3:5, 2] = 1, 1
    found = local_regression(T, Y, T[3:4], np.inf, weight=weight)
    assert np.isnan(found[0, 0])
    np.testing.assert_allclose(found[0, 1:], Y[3, 1:])


def test_an_outlier_does_not_move_a_curve():
    t = np.linspace(0, 10, 21)
    y = np.sin(t / 3)[:, None] + 0.05 * np.random.default_rng(1).normal(size=(21, 4))
    wrong = y.copy()
    wrong[[4, 9, 0, 20], range(4)] += 30
    noise, ones = np.full(4, 0.05), np.ones(y.shape)
    counts = robust_weights(t, wrong, ones, noise, 0.5)
    assert (counts[[4, 9, 0, 20], range(4)] == 0).all()
    assert (np.delete(counts, [0, 4, 9, 20], axis=0) > 0.2).mean() > 0.9
    curve = local_regression(t, wrong, t[2:-2], 0.5, weight=counts)
    assert np.abs(curve - np.sin(t[2:-2] / 3)[:, None]).max() < 0.12
    assert (robust_weights(t, wrong, ones, np.zeros(4), 0.5) == 1).all()


def test_location_is_the_mean_but_for_outliers():
    rows = RNG.normal([3, -5], size=(40, 2))
    ones, deviation = np.ones((40, 2)), np.ones(2)
    np.testing.assert_allclose(robust_location(rows, ones, deviation), rows.mean(axis=0), atol=0.05)
    wrong = rows.copy()
    wrong[:5] = 1e6
    np.testing.assert_allclose(robust_location(wrong, ones, deviation), rows[5:].mean(axis=0), atol=0.05)
    holed = np.where(np.arange(40)[:, None] < 5, 0, ones)
    np.testing.assert_allclose(
        robust_location(wrong, holed, deviation), robust_location(rows[5:], ones[5:], deviation)
    )
    assert np.isnan(robust_location(rows, np.zeros((40, 2)), deviation)).all()


def test_scale_and_median_skip_what_is_missing():
    values = np.array([[1.0, 99.0], [3.0, 2.0], [99.0, 4.0]])
    there = np.array([[1, 0], [1, 1], [0, 1]])
    assert median(values, there).tolist() == [2, 3]
    assert median(values[:0], there[:0]).tolist() == [0, 0]
    assert scale(np.zeros((3, 2)), there).tolist() == [0, 0]
    normal = RNG.normal(0, 7, size=(4000, 1))
    assert scale(normal, np.ones_like(normal))[0] == pytest.approx(7, rel=0.05)


def test_weights_fall():
    z = np.linspace(-10, 10, 101)
    for function in (hampel, huber):
        weight = function(z)
        assert weight.max() == 1
        assert (np.diff(weight[50:]) <= 0).all()
        np.testing.assert_allclose(weight, weight[::-1])
