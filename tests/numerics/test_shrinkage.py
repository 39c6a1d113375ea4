"""Shrinkage: exact at its ends, blind to units, of use where rows are few and of no harm where they are many."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import polygamma

from jbc.numerics import shrinkage
from jbc.numerics.shrinkage import shrunken, shrunken_as


def draw(
    domains: int,
    rows: int,
    d: int,
    *,
    shift: float = 0.0,
    scale: float = 0.0,
    shared: float = 0.0,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of domains with locations and log scales of every feature's own, and what all features of a row share."""
    rng = np.random.default_rng(seed)
    location, logs = shift * rng.normal(size=(domains, d)), scale * rng.normal(size=(domains, d))
    domain = np.repeat(np.arange(domains), rows)
    noise = rng.normal(size=(len(domain), d)) + shared * rng.normal(size=(len(domain), 1))
    return location[domain] + np.exp(logs[domain]) * noise, domain, location, logs


def plain(x: np.ndarray, domain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    parts = [x[domain == g] for g in range(domain.max() + 1)]
    return np.stack([part.mean(axis=0) for part in parts]), np.stack(
        [part.std(axis=0, ddof=1) for part in parts]
    )


def error(found: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square, of what differs between domains."""
    away = found - truth
    return float(np.sqrt(np.square(away - away.mean(axis=0)).mean()))


@pytest.mark.parametrize("shared", [0.0, 1.0])
@pytest.mark.parametrize(("shift", "scale"), [(0, 0), (2, 0), (1, 0.5)])
@pytest.mark.parametrize(("domains", "rows", "d"), [(2, 2, 200), (8, 3, 200), (6, 3, 8)])
def test_few_rows_are_nearer_to_the_truth(domains, rows, d, shift, scale, shared):
    errors = []
    for seed in range(10):
        x, domain, location, logs = draw(domains, rows, d, shift=shift, scale=scale, shared=shared, seed=seed)
        (at, width), (own, deviation) = shrunken(x, domain, domains)[:2], plain(x, domain)
        errors.append(
            [
                error(at, location),
                error(own, location),
                error(np.log(width), logs),
                error(np.log(deviation), logs),
            ]
        )
    at, own, width, deviation = np.mean(errors, axis=0)
    assert at < 1.02 * own
    assert width < 0.7 * deviation
    if not shift and not shared and rows > 2 and d > 8:
        assert at < 0.25 * own


def test_many_rows_have_their_own_mean_and_deviation():
    """What is shrunk falls like 1/n."""
    away = []
    for rows in (30, 300, 3000):
        x, domain, _, _ = draw(3, rows, 50, shift=1.0, scale=0.3)
        (at, width), (own, deviation) = shrunken(x, domain, 3)[:2], plain(x, domain)
        away.append(
            [np.sqrt(np.square(at - own).mean()), np.sqrt(np.square(np.log(width / deviation)).mean())]
        )
    away = np.array(away)
    assert (away[0] < 0.1).all()
    assert (away[1:] < 0.2 * away[:-1]).all()
    assert (away[2] < 2e-3).all()


def test_units_and_zeros_do_not_matter():
    x, domain, _, _ = draw(4, 3, 30, shift=1.0, scale=0.5)
    unit, zero = 10.0 ** np.arange(-15, 15), np.linspace(-2, 3, 30) * 10.0 ** np.arange(-15, 15)
    (at, width, common), (moved, wider, other) = (shrunken(y, domain, 4) for y in (x, unit * x + zero))
    np.testing.assert_allclose((moved - zero) / unit, at, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(wider / unit, width, rtol=1e-6)
    new = x[:3] + 1
    (at, width), (moved, wider) = shrunken_as(new, common), shrunken_as(unit * new + zero, other)
    np.testing.assert_allclose((moved - zero) / unit, at, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(wider / unit, width, rtol=1e-6)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_three_features_tell_nothing_of_each_other(d):
    x, domain, _, _ = draw(5, 4, d)
    at, width, _ = shrunken(x, domain, 5)
    np.testing.assert_allclose(at, plain(x, domain)[0])
    assert np.isfinite(width).all()


def test_constant_features_keep_their_mean_and_have_the_scale_of_others():
    x, domain, _, _ = draw(3, 4, 40)
    x[domain == 0, 0], x[:, 1] = 7, 5
    at, width, common = shrunken(x, domain, 3)
    assert at[0, 0] == pytest.approx(7)
    assert width[0, 0] == pytest.approx(width[1:, 0].mean())
    assert width[:, 1].tolist() == [1, 1, 1]
    rest, thinner, _ = shrunken(x[:, 2:], domain, 3)
    np.testing.assert_allclose(at[1:, 2:], rest[1:], atol=0.1)  # one feature more of forty
    np.testing.assert_allclose(width[1:, 2:], thinner[1:], rtol=0.1)
    new = x[:4] + 1
    at, width = shrunken_as(new, common)
    assert at[:2].tolist() == pytest.approx([8, 6])
    assert np.isnan(width[:2]).all()
    assert np.isfinite(width[2:]).all()
    at, width = shrunken_as(new[:1], common)
    np.testing.assert_array_equal(at, new[0])
    assert np.isnan(width).all()


def test_one_domain_and_domains_without_variation_are_plain():
    x, domain, _, _ = draw(1, 5, 10)
    at, width, _ = shrunken(x, domain, 1)
    np.testing.assert_allclose(at, plain(x, domain)[0])
    np.testing.assert_allclose(width, plain(x, domain)[1])
    at, width, _ = shrunken(np.repeat([[1.0, 2.0], [3.0, 5.0]], 2, axis=0), np.array([0, 0, 1, 1]), 2)
    assert at.tolist() == [[1, 2], [3, 5]]
    assert width.tolist() == [[1, 1], [1, 1]]


def test_a_new_domain_shrinks_as_known_ones_do():
    x, domain, location, logs = draw(9, 3, 300, shift=0.5, scale=0.2)
    _, _, common = shrunken(x[domain < 8], domain[domain < 8], 8)
    at, width = shrunken_as(x[domain == 8], common)
    own, deviation = (each[8] for each in plain(x, domain))
    true = location[8] - location[:8].mean(axis=0)
    assert np.std(at - common["mean"] - true) < np.std(own - common["mean"] - true)
    found, rough = (np.log(each / common["scale"]) for each in (width, deviation))
    assert np.std(found - logs[8]) < 0.6 * np.std(rough - logs[8])


@pytest.mark.parametrize("shared", [0.0, 1.0, 3.0])
def test_the_correlation_of_features_is_found_on_few_rows(shared):
    expected = (shared**2 / (1 + shared**2)) ** 2
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 500)) + shared * rng.normal(size=(60, 1))
    parts = [part - part.mean(axis=0) for part in np.split(rows, 30)]
    # Of two rows, the part that features share is known to be none, or much: it varies as they do.
    assert shrinkage._overlap(parts) == pytest.approx(expected, abs=0.15)


def test_trigamma_is_inverted():
    x = np.geomspace(0.05, 1e8, 50)
    np.testing.assert_allclose(shrinkage._trigamma_inverse(polygamma(1, x)), x, rtol=1e-6)
