"""The Fréchet distance against a root of the product of covariances, and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from jbc.errors import InputError
from jbc.metrics import frechet_distance


def features(rng, rows, columns, mean=0.0):
    return (mean + rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns))).astype(np.float32)


def test_agrees_with_the_root_of_the_product():
    rng = np.random.default_rng(0)
    a, b = features(rng, 40, 6), features(rng, 70, 6, mean=0.5)
    covariances = [np.cov(x.astype(np.float64).T) for x in (a, b)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    gap = a.astype(np.float64).mean(axis=0) - b.astype(np.float64).mean(axis=0)
    expected = gap @ gap + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_of_covariances_with_the_same_axes_it_compares_standard_deviations():
    rng = np.random.default_rng(1)
    corners = np.array([[s, t] for s in (-1.0, 1.0) for t in (-1.0, 1.0)])
    turn = np.linalg.qr(rng.normal(size=(2, 2))).Q
    a, b = corners * [3.0, 0.5] @ turn, corners * [1.0, 2.0] @ turn + [4.0, -1.0]
    deviation = np.sqrt(4 / 3)  # of -1, -1, 1, 1
    expected = 17 + deviation**2 * ((3 - 1) ** 2 + (0.5 - 2) ** 2)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_singular_covariances_cost_no_accuracy():
    """Roots of rounding errors would add up to about 1e-8 times the columns times the scale."""
    rng = np.random.default_rng(2)
    a = features(rng, 5, 60) * np.float32(100)
    assert frechet_distance(a, a) < 1e-9 * a.var()
    assert frechet_distance(a, a[::-1] + np.float32(0)) < 1e-9 * a.var()
    constant = np.ones((4, 60), np.float32)
    assert frechet_distance(constant, constant + 1) == pytest.approx(60)
    spread = np.cov(a.astype(np.float64).T).trace()
    gap = np.square(a.astype(np.float64).mean(axis=0) - 1).sum()
    assert frechet_distance(a, constant) == pytest.approx(gap + spread, rel=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "code"),
    [
        ([[1.0]], [[1.0], [2.0]], "bad-shape"),
        ([[1.0], [2.0]], [[1.0, 2.0]] * 2, "bad-shape"),
        ([[1.0], [np.nan]], [[1.0], [2.0]], "missing-values"),
    ],
)
def test_refuses_what_has_no_covariance(a, b, code):
    with pytest.raises(InputError) as caught:
        frechet_distance(a, b)
    assert caught.value.code == code
