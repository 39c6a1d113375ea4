"""Harmony against plain NumPy, the stored output of its published program, and worlds of known mixtures."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from problems import assert_same_bytes, refusal

import jbc
from jbc.cohort import Cohort
from jbc.methods.closed_form import Harmony, soft_clusters
from jbc.methods.closed_form.harmony import _in_parts, _shifts
from jbc.methods.closed_form.projection import principal_projection
from jbc.methods.closed_form.soft_clusters import Knobs, Rows

D, KINDS = 6, 4


def mixture(seed: int = 0, n: int = 600, effect: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four populations, of which the last is in the first domain only, in two domains of other mixtures."""
    rng = np.random.default_rng(seed)
    domain = np.repeat([0, 1], [n // 2, n - n // 2])
    shares = np.array([[0.2, 0.2, 0.3, 0.3], [0.1, 0.4, 0.5, 0.0]])
    kind = np.array([rng.choice(KINDS, p=shares[g]) for g in domain])
    x = 5 * np.eye(KINDS, D)[kind] + rng.normal(size=(n, D)) * 0.7
    return x + effect * domain[:, None] * rng.normal(size=D), domain, kind


def gap(x: np.ndarray, domain: np.ndarray, kind: np.ndarray, which: int) -> float:
    """Distance between the means of one population in the two domains."""
    first, second = (x[(domain == g) & (kind == which)].mean(axis=0) for g in (0, 1))
    return float(np.linalg.norm(first - second))


def fitted_on(method: Harmony, x: np.ndarray, domain: np.ndarray) -> jbc.Corrector:
    return jbc.Corrector(method).fit(x, domain=domain)


def unit(z: np.ndarray) -> np.ndarray:
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def plain_sweeps(u, domain, weight, blocks, orders, centres, theta, sigma, tolerance):
    """Soft k-means with the penalty of the publication, with R in one table, in double precision."""
    groups = domain.max() + 1
    here = np.eye(groups)[domain] * weight[:, None]
    share = here.sum(axis=0) / weight.sum()

    def logits(centres):
        return -2 * (1 - u @ centres.T) / sigma

    def objective(part, centres):
        held, expected = part.T @ here, np.outer(weight @ part, share)
        cross = theta * np.log((held + 1) / (expected + 1))[:, domain].T
        entropy = np.log(np.maximum(part, 1e-300))
        return (weight[:, None] * part * (2 * (1 - u @ centres.T) + sigma * entropy + sigma * cross)).sum()

    part = np.exp(logits(centres))
    part /= part.sum(axis=1, keepdims=True)
    values = [objective(part, centres)] * 4
    for sweep, order in enumerate(orders):
        centres = unit((weight[:, None] * part).T @ u)
        for b in order:
            rest = blocks != b
            held, expected = part[rest].T @ here[rest], np.outer(weight[rest] @ part[rest], share)
            new = np.exp(logits(centres)[~rest]) * ((expected + 1) / (held + 1))[:, domain[~rest]].T ** theta
            part[~rest] = new / new.sum(axis=1, keepdims=True)
        values.append(objective(part, centres))
        if sweep > 3 and abs(sum(values[-4:-1]) - sum(values[-3:])) < tolerance * abs(sum(values[-4:-1])):
            break
    return part, centres, values[-1], len(values) - 4, values[0]


@pytest.mark.parametrize("theta", [0.0, 2.0])
@pytest.mark.parametrize("tolerance", [0.0, 1e-3])
def test_sweeps_are_what_numpy_says(theta, tolerance):
    rng = np.random.default_rng(0)
    x, domain, _ = mixture(n=200)
    u, weight, blocks = unit(x), rng.integers(1, 4, 200), rng.permutation(200) % 7
    orders = np.stack([rng.permutation(7) for _ in range(12)])
    start = unit(u[rng.permutation(200)[:5]])
    part, centres, value, sweeps, begun = plain_sweeps(
        u, domain, weight, blocks, orders, start, theta, 0.2, tolerance
    )
    places = _in_parts(blocks, np.argsort(blocks, kind="stable"), weight, 7)
    rows = Rows(
        *(jnp.asarray(each) for each in (u.astype(np.float32)[places.row], domain[places.row], places.weight))
    )
    share = np.bincount(domain, weight) / weight.sum()
    knobs = Knobs(*(jnp.float32(each) for each in (theta, 0.2, share, tolerance)))
    first, sums = soft_clusters.begin(rows, orders, start, knobs)
    found, _ = soft_clusters.cluster(rows, orders, jnp.int32(len(orders)), first, sums, knobs)
    assert float(first.objective) == pytest.approx(begun, rel=1e-4)
    assert int(found.sweeps) == sweeps
    np.testing.assert_allclose(found.centres, centres, atol=1e-4)
    held = part.T @ (np.eye(2)[domain] * weight[:, None])
    np.testing.assert_allclose(found.counts.sum(axis=0), held.T, atol=1e-2)
    assert float(found.objective) == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("ridge_unit", ["rows", "expected"])
def test_shifts_are_those_of_a_ridge_regression(ridge_unit):
    rng = np.random.default_rng(0)
    domain, part, z = rng.integers(3, size=90), rng.dirichlet(np.ones(4), size=90), rng.normal(size=(90, 5))
    here, method = np.eye(3)[domain], Harmony(ridge=0.7, ridge_unit=ridge_unit)
    weight, total = here.T @ part, np.einsum("ig,ik,ip->gkp", here, part, z)
    found = _shifts(method, weight, total, here.mean(axis=0))
    for k in range(4):
        design = np.c_[np.ones(90), here]
        ridge = np.full(3, 0.7) * (weight[:, k].sum() * here.mean(axis=0) if ridge_unit == "expected" else 1)
        normal = design.T @ (design * part[:, [k]]) + np.diag([0, *ridge])
        expected = np.linalg.solve(normal, design.T @ (z * part[:, [k]]))[1:]
        np.testing.assert_allclose(found[:, k], expected, atol=1e-5)


def test_rows_go_through_all_iterations():
    x, domain, _ = mixture()
    model = fitted_on(Harmony(), x, domain)
    fitted = {name: np.asarray(value, np.float64) for name, value in model.model_.fitted.items()}
    z = (x - fitted["mean"]) @ fitted["project"]
    moved = z
    for centres, offset, shift in zip(
        fitted["centres"], *(np.swapaxes(fitted[name], 0, 1) for name in ("penalty", "shift")), strict=True
    ):
        logits = -2 * (1 - unit(moved) @ centres.T) / 0.1 + offset[domain]
        part = np.exp(logits - logits.max(axis=1, keepdims=True))
        part /= part.sum(axis=1, keepdims=True)
        moved = z - np.einsum("ik,ikp->ip", part, shift[domain])
    np.testing.assert_allclose(model.encode(x, domain=domain), moved, atol=1e-4)
    np.testing.assert_allclose(
        model.transform(x, domain=domain), x + (moved - z) @ fitted["restore"], atol=1e-4
    )


def test_what_is_not_in_the_components_stays():
    x, domain, _ = mixture()
    model = fitted_on(Harmony(components=2, scale=False), x, domain)
    change = model.transform(x, domain=domain) - x
    axes = np.linalg.svd(x - x.mean(axis=0))[2]
    assert np.abs(change @ axes[2:].T).max() < 1e-4
    assert np.abs(change @ axes[:2].T).max() > 0.5
    codes = model.encode(x, domain=domain)
    before = (x - x.mean(axis=0)) @ axes[:2].T
    sign = np.sign((codes * before).sum(axis=0))
    np.testing.assert_allclose(change @ axes[:2].T, codes * sign - before, atol=1e-4)


def test_an_embedding_is_taken_as_it_is():
    """All components of unscaled features are a rotation, of which directions know nothing."""
    x, domain, _ = mixture()
    x = x - x.mean(axis=0)
    rotated = fitted_on(Harmony(components=D, scale=False), x, domain).transform(x, domain=domain)
    model = fitted_on(Harmony(components=None), x, domain)
    moved = model.transform(x, domain=domain)
    np.testing.assert_allclose(moved, rotated, atol=2e-3)
    assert_same_bytes(moved, model.encode(x, domain=domain))
    assert sorted(model.model_.fitted) == ["centres", "penalty", "shift"]


@pytest.mark.parametrize("seed", [0, 1])
def test_shared_populations_meet_and_another_one_is_left_alone(seed):
    x, domain, kind = mixture(seed)
    model = fitted_on(Harmony(), x, domain)
    moved = model.transform(x, domain=domain)
    for which in range(3):
        assert gap(moved, domain, kind, which) < 0.3 * gap(x, domain, kind, which)
    means = np.stack([moved[kind == k].mean(axis=0) for k in range(KINDS)])
    apart = np.linalg.norm(means[:3] - means[3], axis=1).min()
    assert apart > 0.8 * np.linalg.norm(5 * np.eye(KINDS)[0] - 5 * np.eye(KINDS)[1])
    assert model.model_.composition.moves.all(), "no composition is estimated"


def test_the_seed_of_the_method_decides():
    x, domain, _ = mixture()
    first, again, other = (fitted_on(Harmony(seed=s), x, domain).model_.fitted for s in (0, 0, 1))
    assert_same_bytes(first, again)
    assert any((first[name] != other[name]).any() for name in first)
    of_fit = jbc.fit(Harmony(), Cohort.from_arrays(x, domain), seed=5).fitted
    assert_same_bytes(of_fit, first)


def test_iterations_that_were_not_needed_come_first_and_shift_nothing():
    x, domain, _ = mixture()
    method = Harmony(tolerance=0.5)
    fitted = fitted_on(method, x, domain).model_.fitted
    used = np.abs(fitted["shift"]).sum(axis=(0, 2, 3)) > 0
    assert used.tolist() == [False] * 9 + [True]
    short = fitted_on(dataclasses.replace(method, iterations=1), x, domain)
    assert_same_bytes(
        short.transform(x, domain=domain), fitted_on(method, x, domain).transform(x, domain=domain)
    )


def test_a_ridge_and_no_penalty_are_limits():
    """A large ridge moves nothing; one cluster shifts domains to the average of their means."""
    x, domain, _ = mixture()
    moved = fitted_on(Harmony(ridge=1e9), x, domain).transform(x, domain=domain)
    np.testing.assert_allclose(moved, x, atol=1e-4)
    moved = fitted_on(Harmony(clusters=1, ridge=1e-4), x, domain).transform(x, domain=domain)
    first, second = (moved[domain == g].mean(axis=0) for g in (0, 1))
    np.testing.assert_allclose(first, second, atol=1e-3)


@pytest.mark.parametrize("d", [1, 3, 40])
@pytest.mark.parametrize("clusters", [None, 1, 50])
@pytest.mark.parametrize("components", [None, 50])
def test_small_wide_and_narrow_tables_are_corrected(d, clusters, components):
    rng = np.random.default_rng(0)
    domain = np.repeat(list("abc"), [2, 4, 9])
    x = rng.normal(size=(15, d)) + (domain == "c")[:, None]
    model = fitted_on(Harmony(components=components, clusters=clusters), x, domain)
    moved = model.transform(x, domain=domain)
    assert np.isfinite(moved).all()
    assert moved.std() < 2 * x.std()
    assert np.isfinite(model.transform(np.zeros((1, d)), domain=["a"])).all()


def test_constant_tables_and_rows_without_a_direction_stay_in_place():
    domain = np.repeat(list("ab"), 5)
    for components in (None, 50):
        model = fitted_on(Harmony(components=components), np.zeros((10, 3)), domain)
        assert_same_bytes(model.transform(np.zeros((10, 3)), domain=domain), np.zeros((10, 3), np.float32))
    model = fitted_on(Harmony(), np.full((10, 3), 7.0), domain)
    new = np.array([[7.0, 9.0, 7.0]], np.float32)
    assert_same_bytes(model.transform(new, domain=["a"]), new)


@pytest.mark.parametrize("components", [None, 3])
def test_weights_count_rows(components):
    """A row of weight 0 has no influence on any bit, and one of weight k is as good as k copies."""
    x, domain, _ = mixture(n=200)
    method, table = Harmony(components=components), Cohort.from_arrays(x, domain)
    weight = np.tile([2, 0, 1, 1, 0], 40)
    dirty = np.where((weight == 0)[:, None], 1e3, table.x).astype(np.float32)
    found = method.finish(None, table.weigh_rows(weight))
    assert_same_bytes(method.finish(None, dataclasses.replace(table, x=dirty).weigh_rows(weight)), found)
    copies = Cohort.from_arrays(np.repeat(table.x, weight, axis=0), np.repeat(table.domain, weight))
    expected = method.finish(None, copies)
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-3)


def test_more_shifts_than_fit_into_memory_are_refused():
    x, domain, _ = mixture(n=60)
    wide = np.tile(x, (1, 200))
    with refusal("too-many-domains"):
        fitted_on(Harmony(components=None, clusters=50_000, iterations=100), wide, domain)


def test_principal_components_are_scikit_learns():
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(0)
    for shape in ((50, 8), (8, 50)):
        x = rng.normal(size=shape) * np.linspace(1, 3, shape[1])
        z = (x - x.mean(axis=0)) / x.std(axis=0)
        expected = PCA(5, svd_solver="full").fit(z).transform(z)
        held = principal_projection(x, np.ones(len(x)), 5, scale=True)
        found = held.codes(x)
        signs = np.sign((found * expected).sum(axis=0))
        np.testing.assert_allclose(found * signs, expected, atol=1e-4)
        np.testing.assert_allclose(held.restore @ held.project, np.eye(5), atol=1e-6)


def test_settings_that_mean_nothing_are_refused():
    x, domain, _ = mixture(n=40)
    for method in (Harmony(ridge=0.0), Harmony(sigma=0.0), Harmony(components=0), Harmony(seed=-1)):
        with refusal("bad-setting"):
            fitted_on(method, x, domain)


@pytest.mark.parametrize("seed", [0, 1])
def test_blood_cells_come_out_as_stored(data, seed):
    """The stored output is one run of a random start; runs of the published program differ as much from it."""
    folder = data / "harmonypy_pbmc3500"
    x, expected, meta = (
        pd.read_csv(folder / f"pbmc_3500_{name}.tsv.gz", sep="\t")
        for name in ("pcs", "pcs_harmonized", "meta")
    )
    model = fitted_on(Harmony(components=None, seed=seed), x.to_numpy(), meta["donor"].to_numpy())
    found = model.encode(x.to_numpy(), domain=meta["donor"].to_numpy())
    close = [np.corrcoef(a, b)[0, 1] for a, b in zip(found.T, expected.to_numpy().T, strict=True)]
    assert min(close) > 0.997
    assert np.mean(close) > 0.999
    off = np.sqrt(np.square(found - expected.to_numpy()).mean())
    assert off < 0.13 * np.sqrt(np.square(x.to_numpy() - expected.to_numpy()).mean())


def test_blood_cells_come_out_as_from_harmonypy(data):
    """Both are told the same; harmonypy 2 has other blocks, and draws other starts."""
    run = pytest.importorskip("harmonypy", reason="harmonypy comes with the extra `bench`").run_harmony
    folder = data / "harmonypy_pbmc3500"
    x, meta = (pd.read_csv(folder / f"pbmc_3500_{name}.tsv.gz", sep="\t") for name in ("pcs", "meta"))
    settings = {
        "theta": 2,
        "lamb": 1,
        "max_iter_kmeans": 20,
        "epsilon_cluster": 1e-5,
        "epsilon_harmony": 1e-4,
    }
    theirs = run(x.to_numpy(), meta, ["donor"], verbose=False, **settings).Z_corr
    model = fitted_on(Harmony(components=None), x.to_numpy(), meta["donor"].to_numpy())
    found = model.encode(x.to_numpy(), domain=meta["donor"].to_numpy())
    close = [np.corrcoef(a, b)[0, 1] for a, b in zip(found.T, theirs.reshape(found.shape).T, strict=True)]
    assert min(close) > 0.995
