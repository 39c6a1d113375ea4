"""Canonical correlation analysis of two tables with the same features, and the alignment of its codes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from problems import refusal

import jbc
from jbc.cohort import Cohort
from jbc.cohort.roles import TARGET
from jbc.errors import InputWarning
from jbc.methods.closed_form import CCA
from jbc.methods.closed_form.canonical import (
    Rows,
    canonical_vectors,
    metagene_map,
    midcorrelation,
    standard_rows,
)
from jbc.methods.settings import Route
from jbc.numerics.linalg import optimal_map
from jbc.numerics.warping import warp

FORMS = ("alignment", "percentiles", "plain")
every_form = pytest.mark.parametrize("form", FORMS)


def world(seed: int = 0, sizes: tuple[int, ...] = (70, 50), d: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Three factors behind many features, which every domain after the first measures in units of its own."""
    rng = np.random.default_rng(seed)
    loading, parts = rng.normal(size=(3, d)), []
    for g, n in enumerate(sizes):
        factors = rng.gamma(3.0, size=(n, 3))
        x = factors @ loading + 0.3 * rng.normal(size=(n, d))
        parts.append(x if g == 0 else x * np.exp(0.3 * rng.normal(size=d)) + 2 * rng.normal(size=d))
    return np.concatenate(parts), np.repeat([f"day {g}" for g in range(len(sizes))], sizes)


def fit(method: CCA, x: np.ndarray, domain: np.ndarray, **more: Any) -> jbc.Corrector:
    return jbc.Corrector(method, composition="assume-equal").fit(x, domain=domain, **more)


def standardised(x: np.ndarray) -> np.ndarray:
    return standard_rows((x - x.mean(axis=0)) / x.std(axis=0))


def test_canonical_vectors_are_those_of_the_cross_product():
    """The definition: singular vectors of X Yᵀ, which the loadings give of the rows again."""
    x, y = (standardised(part) for part in np.split(world()[0], [70]))
    u, size, vt = np.linalg.svd(x @ y.T)
    found = canonical_vectors(x, y, (np.ones(70), np.ones(50)), 4)
    for codes, expected in (
        (x @ found.source, u[:, :4] * np.sqrt(70)),
        (y @ found.target, vt[:4].T * np.sqrt(50)),
    ):
        np.testing.assert_allclose(np.abs((codes * expected).mean(axis=0)), 1, rtol=1e-9)
    together = np.diagonal((x @ found.source).T @ x @ y.T @ (y @ found.target)) / np.sqrt(70 * 50)
    np.testing.assert_allclose(together, size[:4], rtol=1e-9)
    np.testing.assert_allclose(found.target.T @ found.back.T, np.eye(4), atol=1e-9)


def test_long_and_wide_tables_have_the_same_vectors():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 6)), rng.normal(size=(200, 6))
    wide = [np.hstack([part, np.zeros((len(part), 400))]) for part in (x, y)]
    weights = np.ones(300), np.ones(200)
    long, other = (canonical_vectors(a, b, weights, 3) for a, b in ((x, y), wide))
    for a, b in zip(long, other, strict=True):
        whole = b[:6] if b.shape[0] > 3 else b[:, :6]
        np.testing.assert_allclose(np.abs(a), np.abs(whole), atol=1e-9)


def test_large_tables_are_decomposed_by_iterations(monkeypatch):
    x, y = (standardised(part) for part in np.split(world()[0], [70]))
    weights = np.ones(70), np.ones(50)
    expected = canonical_vectors(x, y, weights, 3)
    monkeypatch.setattr("jbc.methods.closed_form.canonical.LARGE", 20)
    for a, b in zip(canonical_vectors(x, y, weights, 3), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6 * np.abs(b).max())


def test_without_a_map_and_with_all_codes_it_is_the_map_of_least_cost():
    """Between second moments of standardised rows; of many features, whose rows are standardised alike."""
    rng = np.random.default_rng(1)
    x, y = (rng.normal(size=(400, 8)) @ rng.normal(size=(8, 8)) for _ in range(2))
    found = canonical_vectors(x, y, (np.ones(400), np.ones(400)), 8)
    moved = x + (x @ found.source - x @ found.target) @ found.back
    moments = x.T @ x / 400, y.T @ y / 400
    np.testing.assert_allclose(moved, x @ optimal_map(*moments, ridge=0.0), atol=1e-6)
    np.testing.assert_allclose(moved.T @ moved / 400, moments[1], atol=1e-6)


@every_form
def test_a_corrected_row_has_its_aligned_code_for_the_target(form):
    """What transform is about: read as a row of the target, up to the standardisation of what was changed."""
    x, domain = world()
    model = fit(CCA(form=form, codes=3, cautious=False), x, domain)
    fitted = model.model_.fitted
    z = (x - fitted["location"][(domain == "day 1").astype(int)]) / fitted["scale"][
        (domain == "day 1").astype(int)
    ]
    moved = (model.transform(x, domain=domain) - fitted["location"][0]) / fitted["scale"][0]
    deviation, centre = z.std(axis=1, keepdims=True), z.mean(axis=1, keepdims=True)
    codes = ((moved - centre) / deviation) @ fitted["target"]
    np.testing.assert_allclose(codes, model.encode(x, domain=domain), atol=1e-3)
    np.testing.assert_array_equal(
        model.transform(x, domain=domain)[domain == "day 0"], x[domain == "day 0"].astype(np.float32)
    )


@every_form
def test_factors_are_found_again_and_domains_meet(form):
    x, domain = world(sizes=(150, 120))
    model = fit(CCA(form=form, codes=3, cautious=False), x, domain)
    moved, codes = model.transform(x, domain=domain), model.encode(x, domain=domain)
    first = domain == "day 0"
    for table in (moved, codes):
        middle, spread = (each(table[first], axis=0) for each in (np.mean, np.std))
        other = table[~first]
        assert np.abs(other.mean(axis=0) - middle).max() < 0.4 * spread.max()
        assert np.abs(np.log(other.std(axis=0) / spread)).max() < 0.4
    # Rows keep their order within a domain along every code.
    fitted = model.model_.fitted
    z = ((x - fitted["location"][1]) / fitted["scale"][1])[~first]
    plain = standard_rows(z) @ fitted["source"]
    for k in range(3):
        assert (np.diff(codes[~first][np.argsort(plain[:, k]), k]) > -1e-4).all()


@every_form
def test_several_sources_have_one_space_of_codes(form):
    x, domain = world(sizes=(80, 60, 50))
    model = fit(
        CCA(form=form, codes=3, cautious=False, route=Route(target="day 0", source=("day 1",))), x, domain
    )
    moved = model.transform(x, domain=domain)
    stays = domain != "day 1"
    np.testing.assert_array_equal(moved[stays], x[stays].astype(np.float32))
    model = fit(CCA(form=form, codes=3, cautious=False, route=Route(target="day 0")), x, domain)
    codes = model.encode(x, domain=domain)
    assert codes.shape == (190, 3)
    for name in ("day 1", "day 2"):
        gap = np.abs(codes[domain == name].mean(axis=0) - codes[domain == "day 0"].mean(axis=0))
        assert gap.max() < 0.5


@every_form
@pytest.mark.parametrize("cautious", [True, False])
def test_units_zeros_and_order_do_not_matter(form, cautious):
    x, domain = world()
    method = CCA(form=form, codes=3, cautious=cautious)
    expected, rng = fit(method, x, domain).transform(x, domain=domain), np.random.default_rng(3)
    assert np.abs(expected - x).max() > 1
    unit, zero = 10.0 ** rng.integers(-6, 7, 30), rng.normal(size=30)
    table = x * unit + zero * unit
    found = fit(method, table, domain).transform(table, domain=domain)
    np.testing.assert_allclose(found / unit - zero, expected, atol=2e-3)
    columns, rows = rng.permutation(30), rng.permutation(120)
    found = fit(method, x[:, columns], domain).transform(x[:, columns], domain=domain)
    np.testing.assert_allclose(found, expected[:, columns], atol=2e-3)
    model = fit(method, x[rows], domain[rows])
    np.testing.assert_array_equal(model.transform(x, domain=domain), expected)


@every_form
def test_equal_domains_are_left_alone(form):
    """By the composition, whatever features share; or, where that is not asked, as sampling alone explains it."""
    rng, domain = np.random.default_rng(0), np.repeat(["a", "b"], 60)
    noise = rng.normal(size=(120, 20))
    shared = rng.normal(size=(120, 3)) @ rng.normal(size=(3, 20)) + 0.3 * noise
    for x, model in (
        (shared, jbc.Corrector(CCA(form=form)).fit(shared, domain=domain)),
        (noise, fit(CCA(form=form), noise, domain)),
    ):
        np.testing.assert_array_equal(model.transform(x, domain=domain), x.astype(np.float32))
    moved = fit(CCA(form=form, cautious=False), noise, domain).transform(noise, domain=domain)
    assert np.linalg.norm(moved - noise) > 0


@every_form
def test_features_that_one_domain_lacks_are_only_shifted(form):
    x, domain = world()
    other = np.where(domain == "day 1", 4.0, 7.0 + np.random.default_rng(0).normal(size=120))
    wide = np.column_stack([x, np.full(120, 5.0), other])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        method = CCA(form=form, codes=3, cautious=False)
        moved = fit(method, wide, domain).transform(wide, domain=domain)
    expected = fit(method, x, domain).transform(x, domain=domain)
    np.testing.assert_allclose(moved[:, :30], expected, atol=1e-4)
    np.testing.assert_array_equal(moved[:, 30], 5)
    first = domain == "day 0"
    np.testing.assert_allclose(moved[~first, 31], other[first].mean(), rtol=1e-5)
    np.testing.assert_array_equal(moved[first, 31], other[first].astype(np.float32))


@every_form
def test_rows_that_nothing_like_was_seen_of_are_shifted(form):
    x, domain = world()
    model = fit(CCA(form=form, codes=3, cautious=False), x, domain)
    new = np.vstack([x[100:102] * 1e4, np.zeros((1, 30)), np.full((1, 30), 1e6)])
    moved = model.transform(new, domain=["day 1"] * 4)
    assert np.isfinite(moved).all()
    assert (np.abs(moved).max(axis=1) < 50 * (np.abs(new).max(axis=1) + 10)).all()


def test_populations_that_only_one_domain_has_are_not_aligned():
    """Where mixtures differ, a map of all rows would take one population for another."""
    rng = np.random.default_rng(0)
    centres = 3 * rng.normal(size=(2, 20))
    kind = np.concatenate([np.repeat([0, 1], [60, 60]), np.repeat([0, 1], [100, 4])])
    domain = np.repeat(["a", "b"], [120, 104])
    x = centres[kind] + 0.5 * rng.normal(size=(224, 20)) + np.where(domain == "b", 1.5, 0)[:, None]
    cohort = Cohort.from_arrays(x, domain).with_populations(np.where(kind == 0, "x", "y"))
    method = CCA(form="plain", codes=5, cautious=False, route=Route(target="a"))
    moved = jbc.fit(method, cohort).transform(x, domain=domain)
    there = (domain == "b") & (kind == 0)
    assert np.abs(moved[there].mean(axis=0) - x[(domain == "a") & (kind == 0)].mean(axis=0)).max() < 0.6


def test_what_cannot_be_measured_is_refused():
    x, domain = world()
    with refusal("too-few-features") as caught:
        fit(CCA(), x[:, :1], domain)
    assert "'x0'" in str(caught.value)
    with refusal("no-source"):
        fit(CCA(), x, np.full(120, "a"))
    with refusal("bad-setting"):
        fit(CCA(route=Route(extrapolate=("day 1",))), *world(sizes=(20, 20, 20)))
    with refusal("tiny-domain"):
        fit(CCA(), x, np.append(domain[:-1], "alone"))
    two = fit(CCA(cautious=False), x[:, :2], domain).transform(x[:, :2], domain=domain)
    assert np.isfinite(two).all()


def test_the_target_is_the_largest_domain_or_the_one_that_is_named():
    x, domain = world()
    for name, method in (("day 0", CCA()), ("day 1", CCA(route=Route(target="day 1")))):
        cohort = method.resolve(Cohort.from_arrays(x, domain))
        assert cohort.names.domains[int(np.argmax(np.asarray(cohort.role) == TARGET))] == name


def least_cost(a: np.ndarray, b: np.ndarray) -> float:
    """Return the least cost of all paths, one by one: only for short sequences."""
    cells = np.abs(a[:, None] - b)

    def cost(i: int, j: int) -> float:
        if i == 0 and j == 0:
            return cells[0, 0]
        ways = []
        if i and j:
            ways.append(cost(i - 1, j - 1) + 2 * cells[i, j])
        if i:
            ways.append(cost(i - 1, j) + cells[i, j])
        if j:
            ways.append(cost(i, j - 1) + cells[i, j])
        return min(ways)

    return cost(len(a) - 1, len(b) - 1)


@pytest.mark.parametrize("seed", range(5))
def test_warping_is_the_path_of_least_cost(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=rng.integers(1, 7)), rng.normal(size=rng.integers(1, 7))
    i, j = warp(a, b)
    assert (i[0], j[0], i[-1], j[-1]) == (0, 0, len(a) - 1, len(b) - 1)
    steps = np.stack([np.diff(i), np.diff(j)])
    assert ((steps >= 0) & (steps <= 1)).all()
    assert (steps.sum(axis=0) > 0).all()
    cost = np.abs(a[i] - b[j]) * np.append(1, steps.sum(axis=0))
    assert cost.sum() == pytest.approx(least_cost(a, b))


def test_warping_undoes_a_change_of_pace():
    time = np.linspace(0, 1, 200)
    i, j = warp(np.sin(6 * time), np.sin(6 * time**2))
    assert np.abs(time[i] - time[j] ** 2).max() < 0.05
    assert set(i) == set(j) == set(range(200))


def test_metagenes_align_codes_that_other_mixtures_have():
    """One curve of features along a code, which one domain has more of at one end: percentiles would move it."""
    rng = np.random.default_rng(0)
    few, many = np.sort(rng.beta(1, 3, 150)), np.sort(rng.beta(3, 1, 200))
    sides = [
        Rows(np.outer(t, np.linspace(1, 2, 20)) + 0.02 * rng.normal(size=(len(t), 20)), t, np.ones(len(t)))
        for t in (few, many)
    ]
    own, moved = metagene_map(sides[0], sides[1], 10)
    np.testing.assert_array_equal(own, few)
    assert (np.diff(moved) >= 0).all()
    inner = slice(15, -15)
    percentiles = np.quantile(many, np.linspace(0, 1, 150))
    assert np.abs(moved - few)[inner].mean() < np.abs(percentiles - few)[inner].mean()


def test_midcorrelation_is_a_textbooks():
    rng = np.random.default_rng(0)
    code, z = rng.normal(size=50), rng.normal(size=(50, 4))
    z[:, 1] += 3 * code
    z[3, 2] = 1e3
    z[:, 3] = np.where(rng.random(50) < 0.8, 0, z[:, 3])  # its median deviation is 0

    def weighted(x: np.ndarray) -> np.ndarray:
        middle = np.median(x)
        u = (x - middle) / (9 * np.median(np.abs(x - middle)))
        a = (x - middle) * (1 - u**2) ** 2 * (np.abs(u) < 1)
        return a / np.sqrt(a @ a)

    found = midcorrelation(code, z)
    for k in range(3):
        assert found[k] == pytest.approx(weighted(code) @ weighted(z[:, k]))
    rest = z[:, 3] - z[:, 3].mean()
    assert found[3] == pytest.approx(weighted(code) @ rest / np.linalg.norm(rest))
    assert midcorrelation(code, np.ones((50, 1))).tolist() == [0]


@pytest.mark.parametrize("features", [1, 5])
def test_metagenes_of_few_features_and_long_tables(features, monkeypatch):
    monkeypatch.setattr("jbc.methods.closed_form.canonical.LONGEST", 30)
    x, domain = world()
    moved = fit(CCA(features=features, codes=3, cautious=False), x, domain).transform(x, domain=domain)
    assert np.isfinite(moved).all()
    assert np.abs(moved[domain == "day 1"].mean(axis=0) - x[domain == "day 0"].mean(axis=0)).max() < 1
