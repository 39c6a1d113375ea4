"""Mutual nearest neighbours against the formula in plain NumPy, and on worlds of known mixtures."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from problems import assert_same_bytes, refusal

import jbc
from jbc.cohort import Cohort
from jbc.errors import InputWarning
from jbc.methods.closed_form import MNN
from jbc.methods.settings import Route
from jbc.numerics import neighbours

D = 12


def world(
    seed: int = 0, sizes: tuple[int, ...] = (150, 120, 90), effect: float = 1.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four populations in other mixtures, the last in the first domain only; effects in directions of their own."""
    rng = np.random.default_rng(seed)
    domain = np.repeat(np.arange(len(sizes)), sizes)
    kind = np.where(domain == 0, rng.integers(4, size=len(domain)), rng.integers(3, size=len(domain)))
    x = 6 * np.eye(4, D)[kind] + 0.5 * rng.normal(size=(len(domain), D))
    shift = np.zeros((len(sizes), D))
    shift[1:, 4:] = effect * rng.choice([-1, 1], size=(len(sizes) - 1, D - 4))
    return (x + shift[domain]).astype(np.float32), domain, kind


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.square(a[:, None] - b[None]).sum(axis=-1)


def plain(x: np.ndarray, domain: np.ndarray, method: MNN, order: list[int]) -> np.ndarray:
    """Merge domains in this order, by the formula of the publication, in double precision."""
    x = x.astype(np.float64)
    mean, scale = (x.mean(axis=0), x.std(axis=0)) if method.scale else (0.0, 1.0)

    def seen(rows):
        z = (rows - mean) / scale
        return z / np.linalg.norm(z, axis=1, keepdims=True) if method.cosine else z

    moved, joined, k = x.copy(), domain == order[0], method.neighbours
    for g in order[1:]:
        here = domain == g
        own, target = seen(x[here]), seen(moved[joined])
        away = distances(own, target)
        near = away.argsort(axis=1).argsort(axis=1) < k
        mutual = near & (away.argsort(axis=0).argsort(axis=0) < k)
        anchor = mutual.any(axis=1)
        off = np.stack([moved[joined][row].mean(axis=0) for row in mutual[anchor]]) - x[here][anchor]
        points = own[anchor]
        kernel = np.exp(-distances(own, points) / method.sigma)
        if method.density:
            kernel = kernel / np.exp(-distances(points, points) / method.sigma).sum(axis=0)
        moved[here] = x[here] + kernel @ off / kernel.sum(axis=1, keepdims=True)
        joined |= here
    return moved


def fitted_on(method: MNN, x: np.ndarray, domain: np.ndarray) -> jbc.Corrector:
    return jbc.Corrector(method).fit(x, domain=domain)


def transformed(method: MNN, x: np.ndarray, domain: np.ndarray) -> np.ndarray:
    return fitted_on(method, x, domain).transform(x, domain=domain)


@pytest.mark.parametrize("density", [True, False])
@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("scale", [True, False])
def test_rows_move_by_the_formula(scale, cosine, density):
    x, domain, _ = world()
    method = MNN(sigma=0.3, neighbours=10, scale=scale, cosine=cosine, density=density)
    expected = plain(x, domain, method, [0, 1, 2])
    np.testing.assert_allclose(transformed(method, x, domain), expected, atol=2e-3)
    if scale and cosine and density:
        default = plain(x, domain, MNN(), [0, 1, 2])
        np.testing.assert_allclose(transformed(MNN(), x, domain), default, atol=2e-3)


@pytest.mark.parametrize("block", [8, 64])
def test_blocks_change_nothing(block, monkeypatch):
    x, domain, _ = world()
    expected = transformed(MNN(), x, domain)
    monkeypatch.setattr(neighbours, "BLOCK", block)
    monkeypatch.setattr(neighbours, "CHUNK", block)
    np.testing.assert_allclose(transformed(MNN(), x, domain), expected, atol=1e-4)


def test_domains_are_merged_by_size_or_as_named():
    x, domain, _ = world()
    names = np.array(["q", "p", "r"])[domain]
    by_size = transformed(MNN(), x, names)
    np.testing.assert_allclose(by_size, plain(x, domain, MNN(), [0, 1, 2]), atol=2e-3)
    named = MNN(route=Route(target="p", source=("r", "q")))
    found = transformed(named, x, names)
    np.testing.assert_allclose(found, plain(x, domain, named, [1, 2, 0]), atol=2e-3)
    assert_same_bytes(found[names == "p"], x[names == "p"])
    some = transformed(MNN(route=Route(target="p", source=("r",))), x, names)
    assert_same_bytes(some[names != "r"], x[names != "r"])
    assert np.abs(some[names == "r"] - x[names == "r"]).max() > 1
    assert fitted_on(named, x, names).model_.record.target == "p"


def test_names_that_mean_nothing_are_refused():
    x, domain, _ = world()
    for route, code in (
        (Route(target="nine"), "unknown-domain"),
        (Route(source=("nine",)), "unknown-domain"),
        (Route(source=("1", "1")), "two-roles"),
        (Route(extrapolate=("2",)), "bad-setting"),
    ):
        with refusal(code):
            fitted_on(MNN(route=route), x, domain)
    with refusal("no-source"):
        fitted_on(MNN(), x, np.zeros(len(x)))


@pytest.mark.parametrize("seed", [0, 1])
def test_shared_populations_meet_and_others_are_left_alone(seed):
    x, domain, kind = world(seed)
    moved = transformed(MNN(), x, domain)
    for which in range(3):
        own = x[(kind == which) & (domain == 0)].mean(axis=0)
        before, after = (
            [np.linalg.norm(z[(kind == which) & (domain == g)].mean(axis=0) - own) for g in (1, 2)]
            for z in (x, moved)
        )
        assert max(after) < 0.3 * min(before)
    assert_same_bytes(moved[domain == 0], x[domain == 0])
    classes = np.stack([moved[(kind == k) & (domain > 0)].mean(axis=0) for k in range(3)])
    assert (distances(classes, 6 * np.eye(4, D)).argmin(axis=1) == [0, 1, 2]).all()


def test_domains_that_share_too_little_stay_and_are_named():
    rng = np.random.default_rng(0)
    domain = np.repeat(["a", "b", "c"], 1000)
    centres = {"a": np.eye(6)[:3], "b": np.eye(6)[:3], "c": np.eye(6)[3:]}
    x = np.concatenate([20 * centres[g][rng.integers(3, size=1000)] for g in "abc"]) + rng.normal(
        size=(3000, 6)
    )
    method = MNN(neighbours=5, least_shared=0.1)
    with pytest.warns(
        InputWarning, match=r"less than 10% of the rows have mutual neighbours in the target, 1: 'c'"
    ):
        model = fitted_on(method, x, domain)
    moved = model.transform(x, domain=domain)
    assert_same_bytes(moved[domain == "c"], x[domain == "c"].astype(np.float32))
    others = fitted_on(method, x[domain != "c"], domain[domain != "c"])
    assert np.isfinite(others.transform(x[domain != "c"], domain=domain[domain != "c"])).all()
    assert np.abs(moved[domain == "b"] - x[domain == "b"]).max() > 0.1


@pytest.mark.parametrize(
    "kind", ["constant", "absent", "rare", "zeros", "wide", "counts", "far", "shifted constant"]
)
@pytest.mark.parametrize("d", [1, 3])
def test_awkward_tables_stay_within_bounds(kind, d):
    """Finite, no larger than the differences of rows allow, and whatever the units of the features are."""
    from test_fuzz import column

    rng = np.random.default_rng(0)
    domain = np.repeat(list("abc"), [4, 30, 20])
    x = np.stack([column(rng, kind, domain), *rng.normal(size=(d - 1, len(domain)))], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        model = fitted_on(MNN(), x, domain)
        moved = model.transform(x, domain=domain)
        units = 10.0 ** np.arange(d) * 1e-3
        other = fitted_on(MNN(), x * units, domain).transform(x * units, domain=domain) / units
    assert np.isfinite(moved).all()
    size = np.ptp(x, axis=0)
    assert (np.abs(moved - x) <= 2 * size + 1e-4 * np.abs(x)).all()
    np.testing.assert_allclose(other, moved, atol=1e-3 * max(size.max(), 1e-6) + 1e-5 * np.abs(x).max())
    new = np.full((1, d), 100 * np.abs(x).max() + 1)
    assert (np.abs(model.transform(new, domain=["a"]) - new) <= 2 * size + 1e-4 * np.abs(new)).all()


def test_weights_count_rows():
    """A row of weight 0 has no influence on any bit, and one of weight k is as good as k copies."""
    x, domain, _ = world()
    method = MNN(route=Route(target="0"))
    table = method.resolve(Cohort.from_arrays(x, domain))
    weight = np.tile([2, 0, 1, 1, 0], len(x) // 5)
    dirty = np.where((weight == 0)[:, None], 1e3, table.x).astype(np.float32)
    found = method.finish(None, table.weigh_rows(weight))
    assert_same_bytes(method.finish(None, dataclasses.replace(table, x=dirty).weigh_rows(weight)), found)
    copies = Cohort.from_arrays(np.repeat(table.x, weight, axis=0), np.repeat(table.domain, weight))
    expected = method.finish(None, method.resolve(copies))
    first, second = (method.transform(fitted, table.x, table.domain) for fitted in (found, expected))
    np.testing.assert_allclose(first, second, atol=1e-3)
