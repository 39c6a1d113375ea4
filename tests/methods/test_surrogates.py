"""Surrogate variable analysis against the program sva, and against its definition in plain NumPy."""

from __future__ import annotations

import dataclasses
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import gap_of_means, refusal
from scipy import stats

import jbc
from jbc.cohort import Cohort
from jbc.errors import InputWarning
from jbc.methods.closed_form import SVA, FrozenSVA
from jbc.methods.closed_form.surrogate_variables import count, indicators, p_values
from jbc.numerics import added_row, local_fdr


class Hidden:
    """Two classes in two domains whose difference many features share; the labels of some rows are unknown."""

    def __init__(self, seed: int = 0, shift: float = 1.5, n: int = 60, d: int = 60, unknown: float = 0.0):
        rng = np.random.default_rng(seed)
        self.domain = np.repeat(["a", "b"], n // 2)
        self.label = rng.choice(["case", "control"], n)
        self.affected = np.arange(d) >= d // 2
        self.x = rng.normal(size=(n, d)) + 2.0 * np.outer(self.label == "case", np.arange(d) < d // 4)
        self.x += shift * np.outer(self.domain == "b", self.affected * rng.normal(size=d))
        self.given = np.where(rng.random(n) < unknown, "", self.label)

    def fit(self, method: Any, x: np.ndarray | None = None) -> jbc.Corrector:
        return jbc.Corrector(method).fit(self.x if x is None else x, self.given, domain=self.domain)

    def corrected(self, method: Any, x: np.ndarray | None = None) -> np.ndarray:
        x = self.x if x is None else x
        return self.fit(method, x).transform(x, domain=self.domain)


@pytest.fixture(scope="module")
def goldens():
    """What the program sva gives for 60 rows, of which batch 3 has no labels."""
    if not os.environ.get("JBC_DATA"):
        pytest.skip("JBC_DATA is not set: the goldens lie beside the data")
    folder = Path(os.environ["JBC_DATA"]).parent / "goldens" / "r"
    names = (
        "world",
        "world_meta",
        "sva_surrogates_nsv2",
        "fsva_exact_train",
        "fsva_exact_new",
        "fsva_fast_new",
    )
    return {name: np.loadtxt(folder / f"{name}.csv", delimiter=",", skiprows=1) for name in names}


def released(goldens: dict[str, np.ndarray], method: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return corrected rows, surrogate variables, and which rows are new."""
    x, batch = goldens["world"], goldens["world_meta"][:, 0].astype(int).astype(str)
    label = np.where(batch == "3", "", goldens["world_meta"][:, 1].astype(int).astype(str))
    model = jbc.Corrector(method).fit(x, label, domain=batch)
    return model.transform(x, domain=batch), model.encode(x, domain=batch), batch == "3"


def test_surrogates_are_those_of_the_program_sva(goldens):
    moved, codes, new = released(goldens, SVA(surrogates=2, scale=False))
    theirs = goldens["sva_surrogates_nsv2"]
    signs = np.sign((codes[~new] * theirs).sum(axis=0))
    np.testing.assert_allclose(codes[~new] * signs, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(moved[~new], goldens["fsva_exact_train"], rtol=1e-5)


@pytest.mark.parametrize(("form", "name"), [("exact", "fsva_exact_new"), ("released", "fsva_fast_new")])
def test_new_rows_are_those_of_the_program_sva(goldens, form, name):
    moved, _, new = released(goldens, FrozenSVA(surrogates=2, form=form, scale=False))
    np.testing.assert_allclose(moved[new], goldens[name], rtol=1e-5)
    if form == "released":  # rows of the database are projected
        np.testing.assert_allclose(moved[~new], goldens["fsva_exact_train"], rtol=1e-5)


def plain_p(x: np.ndarray, full: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return the p-values of F-tests, model by model as in a textbook; rows are samples."""
    rss = []
    for model in (full, null):
        rest = x - model @ np.linalg.lstsq(model, x, rcond=None)[0]
        rss.append(np.square(rest).sum(axis=0))
    a, b = full.shape[1] - null.shape[1], len(x) - full.shape[1]
    return stats.f.sf((rss[1] - rss[0]) / a / (rss[0] / b), a, b)


def test_f_tests_are_a_textbooks():
    world = Hidden()
    ones, member = np.ones((60, 1)), (world.label == "case").astype(float)[:, None]
    extra = np.random.default_rng(1).normal(size=(60, 2))
    x, classes = world.x - world.x.mean(axis=0), indicators(world.label)
    basis = np.linalg.qr(extra - extra.mean(axis=0))[0]
    found = p_values(x, classes, basis)
    np.testing.assert_allclose(
        found, plain_p(world.x, np.hstack([ones, extra, member]), np.hstack([ones, extra])), rtol=1e-8
    )
    np.testing.assert_allclose(
        p_values(x, basis), plain_p(world.x, np.hstack([ones, extra]), ones), rtol=1e-8
    )


def test_two_steps_are_those_of_the_paper():
    world = Hidden(d=240)
    x = world.x - world.x.mean(axis=0)
    member = np.stack([world.label == name for name in ("case", "control")], axis=1).astype(float)
    rest = x - member @ np.linalg.lstsq(member, x, rcond=None)[0]
    residual = np.linalg.svd(rest)[0][:, 0]
    ones = np.ones((60, 1))
    chosen = local_fdr.local_fdr(plain_p(x, np.column_stack([ones, residual]), ones)) < 0.1
    assert 60 <= chosen.sum() < 200
    vectors = np.linalg.svd(x[:, chosen], full_matrices=False)[0]
    best = vectors[:, np.argmax(np.abs(vectors.T @ residual)[:59])]
    design = np.column_stack([member, best])
    expected = world.x - np.outer(best, np.linalg.lstsq(design, world.x, rcond=None)[0][2])
    found = world.corrected(SVA(surrogates=1, form="two-step", scale=False))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("d", [20, 90])
def test_an_added_row_is_decomposed_with_the_others(scale, d):
    """The exact form, against a decomposition of the database with every new row, far ones among them."""
    world = Hidden(d=d, unknown=0.3)
    model = world.fit(FrozenSVA(surrogates=3, scale=scale))
    fitted, known = model.model_.fitted, world.given != ""
    database = world.x[known] * np.asarray(fitted["weight"], np.float64)
    assert (fitted["weight"] > 0).sum() > 5
    rng = np.random.default_rng(1)
    rows = world.x[:12] * np.array([1, 1, 1, 1, 0, 3, 10, 1e2, 1e4, -1e6, 1, 1])[:, None]
    rows[10] = world.x[known].mean(axis=0)
    rows[11] += 30 * rng.normal(size=d)
    found = model.encode(rows, domain=["a"] * 12)
    own = world.fit(SVA(surrogates=3, scale=scale)).encode(world.x[known], domain=world.domain[known])
    for row, code in zip(rows, found, strict=True):
        table = np.vstack([database, row * np.asarray(fitted["weight"], np.float64)])
        vectors = np.linalg.svd(table - table.mean(axis=0), full_matrices=False)[0][:, :3]
        signs = np.sign([np.corrcoef(vectors[:-1, j], own[:, j])[0, 1] for j in range(3)])
        np.testing.assert_allclose(code, vectors[-1] * signs, atol=2e-5)


def test_a_row_with_no_part_in_a_vector_has_the_entry_0():
    size, axes = np.array([3.0, 2.0, 1.0]), np.eye(4)[:, :3]
    database = added_row.freeze(size, axes, rows=10, number=3)
    found = added_row.entries(
        database, np.float32([[0, 0, 0, 0], [5, 0, 0, 1], [0, 1e30, 0, 0], [0, 0, 0, 9]])
    )
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(np.asarray(found)[[0, 3]], 0)
    assert found[1, 0] > 0.5
    assert found[2, 1] == pytest.approx(0, abs=1e-6) or found[2, 1] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "method", [SVA(), FrozenSVA(), SVA(form="two-step"), FrozenSVA(form="fast")], ids=repr
)
@pytest.mark.parametrize("unknown", [0.0, 0.3])
def test_what_features_share_is_removed_and_classes_stay(method, unknown):
    """The batch effect is found without its name, by few rows as by all; what classes differ by stays."""
    world = Hidden(unknown=unknown)
    moved = world.corrected(method)
    assert gap_of_means(world.x, world.domain) > 5
    assert gap_of_means(moved, world.domain) < 2.2  # by chance, √(60 · 2 / 30) = 2

    def difference(x: np.ndarray) -> np.ndarray:
        return x[world.label == "case"].mean(axis=0) - x[world.label == "control"].mean(axis=0)

    assert np.abs(difference(moved) - difference(world.x))[:30].max() < 0.3


@pytest.mark.parametrize("method", [SVA(), FrozenSVA(), SVA(form="two-step")], ids=repr)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_world_without_anything_shared_is_left_alone(method, seed):
    world = Hidden(seed, shift=0.0)
    with pytest.warns(InputWarning, match="No surrogate variable is significant"):
        np.testing.assert_array_equal(world.corrected(method), world.x.astype(np.float32))


@pytest.mark.parametrize("method", [SVA(surrogates=1), FrozenSVA(surrogates=1)], ids=repr)
def test_where_no_feature_has_a_weight_nothing_is_removed(method):
    """R then removes singular vectors of a table of zeros."""
    rng, label = np.random.default_rng(0), np.repeat(["a", "b"], 20)
    x = np.where(label == "a", 3, 0)[:, None] + rng.normal(size=(40, 10))
    with pytest.warns(InputWarning, match="No feature varies with surrogate variables"):
        moved = jbc.Corrector(method).fit(x, label).transform(x)
    np.testing.assert_array_equal(moved, x.astype(np.float32))


@pytest.mark.parametrize("number", [0, 1, 2, 4])
def test_the_number_of_surrogates_is_found_by_permutation(number):
    rng = np.random.default_rng(number)
    label = rng.integers(0, 3, 80)
    x = rng.normal(size=(80, 150)) + 1.5 * rng.normal(size=(80, number)) @ rng.normal(size=(number, 150))
    assert count(x - x.mean(axis=0), indicators(label), 20) == number


@pytest.mark.parametrize("method", [SVA(), FrozenSVA(), FrozenSVA(surrogates=2, form="fast")], ids=repr)
def test_units_and_zeros_do_not_matter(method):
    world = Hidden(unknown=0.2)
    rng = np.random.default_rng(5)
    unit, zero = 10.0 ** rng.integers(-6, 7, 60), rng.normal(size=60)
    expected, found = world.corrected(method), world.corrected(method, world.x * unit + zero * unit)
    assert np.abs(expected - world.x).max() > 1
    np.testing.assert_allclose(found / unit - zero, expected, atol=1e-3)


@pytest.mark.parametrize("method", [SVA(), FrozenSVA()], ids=repr)
def test_features_and_rows_in_another_order(method):
    world, rng = Hidden(unknown=0.2), np.random.default_rng(2)
    expected, order, rows = world.corrected(method), rng.permutation(60), rng.permutation(60)
    np.testing.assert_allclose(world.corrected(method, world.x[:, order]), expected[:, order], atol=1e-4)
    model = jbc.Corrector(method).fit(world.x[rows], world.given[rows], domain=world.domain[rows])
    np.testing.assert_array_equal(model.transform(world.x, domain=world.domain), expected)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("form", ["irw", "two-step", "exact", "fast", "released"])
def test_features_that_are_constant_in_every_class_stay(form, scale):
    """R makes NaN of them, and of all others with them."""
    world = Hidden(unknown=0.2)
    method = (SVA if form in ("irw", "two-step") else FrozenSVA)(surrogates=1, form=form, scale=scale)
    x = np.column_stack([world.x, np.full(60, 3.0), np.where(world.label == "case", 5.0, -1e3)])
    moved = world.corrected(method, x)
    assert np.isfinite(moved).all()
    np.testing.assert_array_equal(moved[:, 60:], x[:, 60:].astype(np.float32))
    np.testing.assert_allclose(moved[:, :60], world.corrected(method), atol=1e-5)


def test_rows_without_a_label_are_not_fitted():
    world = Hidden(unknown=0.3)
    known, far = world.given != "", world.x.copy()
    far[~known] += 100.0
    for method in (SVA(surrogates=2), FrozenSVA(surrogates=2)):
        expected = world.corrected(method)
        np.testing.assert_allclose(world.corrected(method, far)[known], expected[known], atol=1e-5)


def test_surrogates_of_new_rows_are_bounded_by_those_of_the_fit():
    world = Hidden()
    model = world.fit(SVA(surrogates=2))
    seen = model.encode(world.x, domain=world.domain)
    new = model.encode(1e6 * world.x, domain=world.domain)
    assert (new >= seen.min(axis=0) - 1e-6).all()
    assert (new <= seen.max(axis=0) + 1e-6).all()


def test_what_cannot_be_estimated_is_refused():
    world = Hidden()
    for method in (SVA(), FrozenSVA()):
        with refusal("no-labels"):
            jbc.Corrector(method).fit(world.x, domain=world.domain)
        with refusal("one-class") as caught:
            jbc.Corrector(method).fit(world.x, np.full(60, "case"), domain=world.domain)
        assert "'case'" in str(caught.value)
        with refusal("too-few-features") as caught:
            jbc.Corrector(method).fit(world.x[:, :1], world.label, domain=world.domain)
        assert "'1 features that vary within classes'" in str(caught.value)
        with refusal("too-few-features"):
            more = dataclasses.replace(method, surrogates=3)
            jbc.Corrector(more).fit(world.x[:, :3], world.label, domain=world.domain)
        with refusal("too-few-rows") as caught:
            label = np.where(np.arange(60) < 3, ["x", "x", "y"] * 20, "")
            jbc.Corrector(method).fit(world.x, label, domain=world.domain)
        assert "'3 labelled rows of 2 classes'" in str(caught.value)
        label = np.where(np.arange(60) < 4, ["x", "x", "y", "y"] * 15, "")
        moved = jbc.Corrector(dataclasses.replace(method, surrogates=1)).fit(
            world.x, label, domain=world.domain
        )
        assert np.isfinite(moved.transform(world.x, domain=world.domain)).all()


def test_no_domain_is_needed_and_none_is_warned_of():
    world = Hidden()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = jbc.Corrector(SVA()).fit(world.x, world.label).transform(world.x)
    np.testing.assert_allclose(found, world.corrected(SVA()), atol=1e-4)


def test_rows_of_weight_0_are_left_out():
    world = Hidden()
    table = Cohort.from_arrays(world.x, world.domain, label=world.label)
    keep = np.arange(60) % 3 > 0
    whole = jbc.fit(SVA(surrogates=1), table.weigh_rows(keep[np.asarray(table.row)]))
    part = jbc.fit(
        SVA(surrogates=1), Cohort.from_arrays(world.x[keep], world.domain[keep], label=world.label[keep])
    )
    for name, leaf in part.fitted.items():
        np.testing.assert_allclose(whole.fitted[name], leaf, atol=1e-4 * np.abs(leaf).max())


def test_local_false_discovery_rates_tell_null_features_from_others():
    rng = np.random.default_rng(0)
    p = np.append(rng.uniform(size=900), rng.beta(0.05, 5, size=100))
    rate = local_fdr.local_fdr(p)
    assert ((rate >= 0) & (rate <= 1)).all()
    assert (np.diff(rate[np.argsort(p)]) >= 0).all()
    assert rate[900:].mean() < 0.5
    assert rate[:900].mean() > 0.9
    twice = local_fdr.local_fdr(np.append(p, p))
    np.testing.assert_array_equal(twice[:1000], twice[1000:])
    for few in (np.array([0.3]), np.full(5, 0.2), np.array([0.0, 1.0]), np.zeros(3)):
        assert np.isfinite(local_fdr.local_fdr(few)).all()


def test_the_kernel_density_is_a_sum_of_kernels():
    x = np.random.default_rng(0).normal(size=50)
    grid, density = local_fdr.kernel_density(x)
    quarters = np.subtract(*np.percentile(x, (75, 25))) / 1.34
    width = 1.5 * 0.9 * min(x.std(ddof=1), quarters) * 50**-0.2
    assert grid[0] == pytest.approx(x.min() - 3 * width)
    plain = stats.norm.pdf(grid[:, None], x, width).mean(axis=1)
    np.testing.assert_allclose(density, plain, atol=2e-3 * plain.max())
