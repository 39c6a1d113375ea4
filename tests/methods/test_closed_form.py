"""Closed-form methods against SciPy and scikit-learn, in double precision, and rules for what cannot be measured."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest
from problems import assert_close, assert_same_bytes, no_compilation, refusal, run_python, vary
from scipy.linalg import fractional_matrix_power, sqrtm
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA, FactorAnalysis

import jbc
from jbc.cohort import Cohort
from jbc.errors import InputWarning
from jbc.methods.closed_form import Coral, Percentiles, Standardise, TypicalVariation
from jbc.methods.closed_form.rows import rank
from jbc.numerics.linalg import eigen, matmul_by_group
from jbc.train import fit

KEY = jax.random.key(0)
D = 5
ON_CONTROLS = (Standardise(on="controls"), TypicalVariation(), Coral(), Percentiles(factors=2))
every_method = pytest.mark.parametrize("method", ON_CONTROLS, ids=lambda m: type(m).__name__)


@pytest.fixture(scope="module")
def screen() -> dict[str, Any]:
    """Three plates with means and covariances of their own, and 20 controls each; treatments lie elsewhere."""
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(3):
        mix, offset = np.eye(D) + 0.5 * rng.normal(size=(D, D)), 3 * rng.normal(size=D)
        rows = rng.normal(size=(30, D))
        rows[20:] += 4 * rng.normal(size=D)
        parts.append((rows @ mix + offset) * np.array([1, 1, 1, 10, 0.1]))
    x = np.concatenate(parts).astype(np.float32)
    return {"x": x, "domain": np.repeat(list("abc"), 30), "control": np.tile(np.arange(30) < 20, 3)}


def cohort(screen: dict[str, Any]) -> Cohort:
    return Cohort.from_arrays(screen["x"], screen["domain"], control=screen["control"])


def transformed(method: Any, screen: dict[str, Any], output: str = "features") -> np.ndarray:
    model = jbc.Corrector(method, output=output).fit(**{"X" if k == "x" else k: v for k, v in screen.items()})
    return model.transform(screen["x"], domain=screen["domain"])


def parts(screen: dict[str, Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a plate, and its controls, in double precision."""
    x, here = screen["x"].astype(np.float64), screen["domain"] == name
    return x[here], x[here & screen["control"]]


def test_whitening_in_components_is_scikit_learns(screen):
    x = screen["x"].astype(np.float64)
    expected = PCA(whiten=True, svd_solver="full").fit(x[screen["control"]]).transform(x)
    found = transformed(TypicalVariation(ridge=0, scale=False, basis="components"), screen)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("ridge", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("scale", [True, False])
def test_whitening_in_features_is_the_inverse_root_of_the_covariance(screen, ridge, scale):
    x = screen["x"].astype(np.float64)
    controls = x[screen["control"]]
    unit = controls.std(axis=0, ddof=1) if scale else np.ones(D)
    inverse = np.linalg.inv(sqrtm(np.cov((controls / unit).T) + ridge * np.eye(D)))
    found = transformed(TypicalVariation(ridge=ridge, scale=scale), screen)
    np.testing.assert_allclose(found, (x - controls.mean(axis=0)) / unit @ inverse, atol=1e-4)


@pytest.mark.parametrize("basis", ["features", "components"])
@pytest.mark.parametrize("scale", [True, False])
def test_whitened_controls_have_mean_0_and_covariance_1(screen, scale, basis):
    found = transformed(TypicalVariation(ridge=0, scale=scale, basis=basis), screen)[screen["control"]]
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(found.T), np.eye(D), atol=1e-4)


def test_both_bases_have_the_same_distances_and_angles(screen):
    features, components = (
        transformed(TypicalVariation(basis=b), screen) for b in ("features", "components")
    )
    np.testing.assert_allclose(features @ features.T, components @ components.T, atol=1e-3)
    assert (np.diff(components[screen["control"]].var(axis=0)) < 0).all(), "the largest component comes first"


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("target", ["pooled", "identity"])
@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_coral_is_the_formula(screen, ridge, target, scale, centre):
    among = {name: np.cov(parts(screen, name)[1].T) for name in "abc"}
    means = {name: parts(screen, name)[1].mean(axis=0) * centre for name in "abc"}
    pooled = sum(among.values()) / 3  # as many controls on every plate
    unit = np.diag(np.sqrt(np.diag(pooled))) if scale else np.eye(D)
    down = np.linalg.inv(unit)
    common = np.eye(D) if target == "identity" else down @ pooled @ down
    found = transformed(Coral(ridge=ridge, scale=scale, target=target, centre=centre), screen)
    for name in "abc":
        own = down @ among[name] @ down + ridge * np.eye(D)
        matrix = down @ fractional_matrix_power(own, -0.5) @ sqrtm(common + ridge * np.eye(D)) @ unit
        expected = (parts(screen, name)[0] - means[name]) @ matrix + sum(means.values()) / 3
        np.testing.assert_allclose(found[screen["domain"] == name], expected, rtol=1e-4, atol=2e-4)


def test_coral_gives_controls_of_all_domains_one_mean_and_covariance(screen):
    model = Coral(ridge=0)
    after = screen | {"x": transformed(model, screen)}
    first, *others = (parts(after, name)[1] for name in "abc")
    for other in others:
        np.testing.assert_allclose(other.mean(axis=0), first.mean(axis=0), atol=1e-3)
        np.testing.assert_allclose(np.corrcoef(other.T), np.corrcoef(first.T), atol=1e-4)
        np.testing.assert_allclose(other.std(axis=0), first.std(axis=0), rtol=1e-4)
    np.testing.assert_allclose(transformed(model, after), after["x"], atol=2e-3)  # nothing is left to do


def test_pooled_covariances_weigh_rows_not_domains(screen):
    small = {name: value[:40] for name, value in screen.items()}  # plate b has 10 rows, all of them controls
    first, second = (parts(small, name)[1] for name in "ab")
    centred = np.concatenate([first - first.mean(axis=0), second - second.mean(axis=0)])
    after = parts(small | {"x": transformed(Coral(ridge=0), small)}, "a")[1]
    np.testing.assert_allclose(np.cov(after.T), centred.T @ centred / (30 - 2), rtol=1e-4, atol=1e-4)


def test_coral_keeps_the_units_of_the_input(screen):
    """Other units of a feature change this feature's units, and nothing else."""
    units = np.array([1, 1e3, 1, 1e-2, 1], np.float32)
    found = transformed(Coral(), screen | {"x": screen["x"] * units})
    np.testing.assert_allclose(found / units, transformed(Coral(), screen), rtol=1e-3, atol=1e-3)


def test_percentiles_of_the_controls_become_0_and_1(screen):
    found = transformed(Percentiles(), screen)
    for name in "abc":
        rows, controls = parts(screen, name)
        low, high = np.percentile(controls, [1, 99], axis=0)
        here = screen["domain"] == name
        np.testing.assert_allclose(found[here], (rows - low) / (high - low), rtol=1e-4, atol=1e-5)
        ends = np.percentile(found[here & screen["control"]], [1, 99], axis=0)
        np.testing.assert_allclose(ends, [[0] * D, [1] * D], atol=1e-4)


@pytest.mark.parametrize("factors", [1, 2])
def test_factors_are_scikit_learns(screen, factors):
    x = transformed(Percentiles(), screen).astype(np.float64)
    by_domain = x[screen["control"]]
    expected = FactorAnalysis(factors, svd_method="lapack").fit(by_domain).transform(x)
    found = transformed(Percentiles(factors=factors), screen, "codes")
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, atol=1e-2)


def test_known_factors_are_found():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(400, 2))
    noise = rng.normal(size=(400, 12)) * rng.uniform(0.3, 2, size=12)
    x = truth @ rng.normal(size=(2, 12)) + noise
    screen = {"x": x.astype(np.float32), "domain": np.repeat(list("ab"), 200), "control": np.ones(400, bool)}
    found = transformed(Percentiles(factors=2), screen, "codes")
    first, second = CCA(2).fit_transform(found, truth)
    assert all(np.corrcoef(first[:, i], second[:, i])[0, 1] > 0.9 for i in range(2))


@pytest.mark.parametrize("factors", [4, 50])
def test_there_are_no_more_factors_than_directions(screen, factors):
    x = screen["x"].copy()
    x[:, 1], x[:, 2] = x[:, 0], 7
    found = transformed(Percentiles(factors=factors), screen | {"x": x}, "codes")
    assert np.isfinite(found).all()
    assert found.shape[1] == 3


def test_features_without_a_range_borrow_it_from_the_other_domains(screen):
    x = screen["x"].copy()
    flat = (screen["domain"] == "b") & screen["control"]
    x[flat, 0], x[:, 1] = 2, 3
    with pytest.warns(InputWarning, match="constant in the controls of a domain, 1: 'x0' in 'b'"):
        found = transformed(Percentiles(), screen | {"x": x})
    ranges = [np.diff(np.percentile(parts(screen, name)[1][:, 0], [1, 99])) for name in "ac"]
    here = screen["domain"] == "b"
    np.testing.assert_allclose(found[here, 0], (x[here, 0] - 2) / np.mean(ranges), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[:, 1], 0, atol=1e-6)


@every_method
def test_only_controls_are_measured(screen, method):
    other = screen | {"x": np.where(screen["control"][:, None], screen["x"], 1e4).astype(np.float32)}
    clean, dirty = (fit(method, cohort(each), KEY).fitted for each in (screen, other))
    assert_same_bytes(clean, dirty)


@every_method
def test_weights_count_rows(screen, method):
    """A row of weight 0 has no influence on any bit, and one of weight k is as good as k copies."""
    table = cohort(screen)
    weight = np.tile([2, 0, 1, 0, 2], len(table.x) // 5)
    dirty = np.where((weight == 0)[:, None], 1e6, table.x).astype(np.float32)
    found = fit(method, table.weigh_rows(weight), KEY).fitted
    assert_same_bytes(fit(method, dataclasses.replace(table, x=dirty).weigh_rows(weight), KEY).fitted, found)
    names = np.array(table.names.domains)[table.domain]
    rows = (np.repeat(each, weight, axis=0) for each in (table.x, names, table.control))
    copies = Cohort.from_arrays(**dict(zip(("x", "domain", "control"), rows, strict=True)))
    assert_close(fit(method, copies, KEY).fitted, found, rtol=1e-6)
    assert any((np.asarray(a) != b).any() for a, b in zip(
        *(jax.tree.leaves(each) for each in (found, fit(method, table, KEY).fitted)), strict=True
    ))  # fmt: skip


@pytest.mark.parametrize("scale", [True, False])
def test_standardising_by_few_controls_is_no_worse_than_a_shift(scale):
    """Two controls a run: plain deviations make what was held out worse than it was."""
    rng = np.random.default_rng(0)
    run, held = np.repeat(np.arange(6), 12), np.tile(np.arange(12) >= 2, 6)
    x = rng.normal(size=(72, 200)) + rng.normal(size=(6, 200))[run]
    model = jbc.Corrector(Standardise(scale=scale, on="controls")).fit(x, domain=run, control=~held)
    found = model.transform(x, domain=run)[held].std(axis=0).mean()
    few = [x[(run == g) & ~held] for g in range(6)]
    at, deviation = (np.stack([each(part, axis=0) for part in few]) for each in (np.mean, np.std))
    shifted = x - at[run] + at.mean(axis=0)
    plain = (shifted - at.mean(axis=0)) / deviation[run] * deviation.mean(axis=0)
    assert found < 1.02 * shifted[held].std(axis=0).mean()
    assert found < 0.9 * x[held].std(axis=0).mean() < 0.5 * plain[held].std(axis=0).mean()


def test_standardising_by_many_controls_is_the_z_score(screen):
    many = {name: np.concatenate([value] * 40) for name, value in screen.items()}
    found = transformed(Standardise(on="controls"), many)[:90]
    at, deviation = (
        np.stack([each(parts(screen, name)[1], axis=0) for name in "abc"]) for each in (np.mean, np.std)
    )
    run = np.repeat(np.arange(3), 30)
    expected = (screen["x"] - at[run]) / deviation[run] * deviation.mean(axis=0) + at.mean(axis=0)
    np.testing.assert_allclose(found, expected, rtol=0.01, atol=0.01 * deviation.max())


@pytest.mark.parametrize(
    "method", [Standardise(on="controls"), Coral(), Percentiles()], ids=lambda m: type(m).__name__
)
def test_domains_with_too_few_controls_are_refused_by_name(screen, method):
    control = screen["control"] & ((screen["domain"] != "b") | (np.arange(90) == 30))
    with refusal("few-controls") as caught:
        transformed(method, screen | {"control": control})
    assert "'b'" in str(caught.value)
    assert "'a'" not in str(caught.value)
    table = cohort(screen)
    lost = np.asarray(table.control & (table.domain == 1)).nonzero()[0][1:]
    with refusal("few-controls"):
        method.check(table.weigh_rows(np.where(np.isin(np.arange(90), lost), 0, 1)))
    transformed(vary(method, on="all"), screen | {"control": np.zeros(90, bool)})


def test_one_map_needs_controls_in_some_domain_only(screen):
    transformed(TypicalVariation(), screen | {"control": screen["control"] & (screen["domain"] == "a")})
    with refusal("few-controls"):
        transformed(TypicalVariation(), screen | {"control": np.arange(90) == 30})


@pytest.mark.parametrize(
    "method", [TypicalVariation(ridge=0), Coral(ridge=0)], ids=lambda m: type(m).__name__
)
def test_controls_that_do_not_span_the_features_need_a_ridge(screen, method):
    constant, repeated, few = (
        screen["x"].copy(),
        screen["x"].copy(),
        screen["control"] & (np.arange(90) % 30 < 5),
    )
    constant[:, 2] = 1.5
    repeated[:, 2] = 3 * repeated[:, 1]
    cases = [screen | {"x": constant}, screen | {"x": repeated}]
    cases += [screen | {"control": few}] * isinstance(method, Coral)
    for case in cases:
        with refusal("singular-covariance") as caught:
            transformed(method, case)
        assert np.isfinite(transformed(vary(method, ridge=1.0), case)).all()
    if isinstance(method, Coral):
        assert "'a', 'b', 'c'" in str(caught.value)
    else:
        with pytest.raises(jbc.InputError, match="'x2'"):
            transformed(method, cases[0])


@pytest.mark.parametrize("method", [TypicalVariation(), Coral()], ids=lambda m: type(m).__name__)
def test_too_many_features_are_refused(method):
    x = np.random.default_rng(0).normal(size=(4, 20_000))
    with refusal("too-many-features"):
        jbc.Corrector(method).fit(x, domain=list("aabb"), control=[True] * 4)


def test_one_feature_is_a_table_too():
    x, domain = np.arange(12.0)[:, None] ** 2, np.repeat(list("ab"), 6)
    for method in ON_CONTROLS:
        assert np.isfinite(
            transformed(method, {"x": x, "domain": domain, "control": np.ones(12, bool)})
        ).all()


def test_eigenvectors_rebuild_the_matrix_and_have_a_sign():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(4, 6))
    values, vectors = eigen(half.T @ half)
    np.testing.assert_allclose((vectors * values) @ vectors.T, half.T @ half, atol=1e-12)
    assert (np.diff(values) <= 0).all()
    assert (values >= 0).all()
    assert (vectors[np.abs(vectors).argmax(axis=0), np.arange(6)] > 0).all()
    assert rank(half.T @ half) == 4


def test_rows_meet_the_matrix_of_their_group():
    rng = np.random.default_rng(0)
    x, matrices, group = rng.normal(size=(7, 4)), rng.normal(size=(3, 4, 2)), rng.integers(3, size=7)
    found = jax.jit(matmul_by_group)(x, matrices, group)
    np.testing.assert_allclose(found, np.einsum("nd,ndk->nk", x, matrices[group]), atol=1e-5)


# Several decompositions in one compiled program can wait for each other for ever on two cores.
TRAP = """
import jax, numpy as np
from jbc.methods.closed_form import Coral, Percentiles, TypicalVariation
from jbc.cohort import Cohort
from jbc.train import fit

x = np.random.default_rng(0).normal(size=(160, 130)).astype(np.float32)
domain, control = np.arange(160) % 4, np.arange(160) % 8 < 4
for n in range(10):
    for method, width in ((Coral(), 130), (TypicalVariation(), 130), (Percentiles(factors=3), 40)):
        cohort = Cohort.from_arrays(x[:, :width], domain, control=control)
        fitted = fit(method, cohort, jax.random.key(n)).fitted
        jax.block_until_ready(jax.jit(method.transform)(fitted, cohort.x, cohort.domain))
print("through")
"""


@pytest.mark.parametrize(
    "method", [m for m in ON_CONTROLS if not isinstance(m, Standardise)], ids=lambda m: type(m).__name__
)
def test_decompositions_are_in_no_compiled_program(screen, method):
    with no_compilation():
        fit(method, cohort({name: value[:77] for name, value in screen.items()}), KEY)


@pytest.mark.slow
def test_many_decompositions_do_not_wait_for_each_other():
    """Fits and compiled transforms in turn, which fails by its time limit."""
    assert run_python(TRAP, timeout=150).strip() == "through"


def test_quantile_map_gives_all_domains_the_average_distribution():
    rng = np.random.default_rng(0)
    x, domain = rng.gamma(2.0, size=(400, 3)), np.repeat(["a", "b"], 200)
    x[200:] = 3 * np.sqrt(x[200:]) + 5
    model = jbc.Corrector(jbc.QuantileMap()).fit(x, domain=domain)
    found = model.transform(x, domain=domain)
    knots = [np.percentile(each, np.arange(101), axis=0) for each in (x[:200], x[200:])]
    expected = [np.interp(x[i, 0], knots[i // 200][:, 0], np.mean(knots, axis=0)[:, 0]) for i in (0, 300)]
    np.testing.assert_allclose(found[[0, 300], 0], expected, rtol=1e-5)
    quarters = [np.percentile(each, [0, 25, 50, 75, 100], axis=0) for each in (found[:200], found[200:])]
    np.testing.assert_allclose(*quarters, rtol=5e-3)
    assert (np.argsort(found[:200, 0]) == np.argsort(x[:200, 0])).all()


def test_quantile_map_on_controls_leaves_the_shares_of_classes():
    """A tenth of the cells is positive in one run, half of them in the other: the controls know what is technical."""
    rng = np.random.default_rng(0)
    control, domain = np.tile([True, False], 400), np.repeat(["a", "b"], 400)
    share = np.where(domain == "a", 0.1, 0.5)
    positive = np.where(control, np.arange(800) // 2 % 10 < 3, rng.random(800) < share)
    clean = rng.normal(size=800) + 12 * positive
    x = np.where(domain == "a", clean, 2 * clean + 1)[:, None]
    found = {}
    for on in ("all", "controls"):
        model = jbc.Corrector(jbc.QuantileMap(on=on)).fit(x, domain=domain, control=control)
        corrected = model.transform(x, domain=domain)[:, 0]
        between = (corrected.min() + corrected.max()) / 2
        found[on] = [(corrected[~control & (domain == g)] > between).mean() for g in "ab"]
    shares = [positive[~control & (domain == g)].mean() for g in "ab"]
    assert found["controls"] == pytest.approx(shares, abs=0.02)
    assert abs(found["all"][0] - shares[0]) > 0.1


def inflated(shares: tuple[float, float], d: int = 3, n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Two runs with other shares of zeros, and other values where they are positive."""
    rng = np.random.default_rng(0)
    parts = [
        np.where(rng.random((n, d)) < share, 0.0, scale * rng.gamma(2.0, size=(n, d)) + 0.1)
        for share, scale in zip(shares, (1.0, 3.0), strict=True)
    ]
    return np.concatenate(parts), np.repeat(["a", "b"], n)


@pytest.mark.parametrize("shares", [(0.4, 0.2), (0.2, 0.4), (0.3, 0.3), (0.6, 0.03)])
def test_quantile_map_to_a_target_keeps_zeros(shares):
    x, domain = inflated(shares)
    model = jbc.Corrector(jbc.QuantileMap(target="b")).fit(x, domain=domain)
    found = model.transform(x, domain=domain)
    assert_same_bytes(found[domain == "b"], x[domain == "b"].astype(np.float32))
    moved, was = found[domain == "a"], x[domain == "a"]
    np.testing.assert_array_equal(moved == 0, was == 0)
    levels = np.arange(5, 100, 10)
    for j in range(x.shape[1]):
        own, goal = (each[each > 0] for each in (moved[:, j], x[domain == "b", j]))
        # The share of an atom is known to half a percentile, which shows where values begin.
        np.testing.assert_allclose(
            *(np.percentile(each, levels) for each in (own, goal)), rtol=0.03, atol=0.2
        )
        assert (np.argsort(moved[:, j], kind="stable") == np.argsort(was[:, j], kind="stable")).all()


@pytest.mark.parametrize("ties", ["keep", "rank"])
def test_quantile_map_with_a_target_takes_no_unit_and_no_zero(ties):
    x, domain = inflated((0.4, 0.2))
    x[:, 1] = np.where(np.abs(x[:, 1] - 2) < 0.5, 2, x[:, 1])  # an atom inside
    x[:, 2] = np.minimum(x[:, 2], 2)  # and one at each end
    unit, zero = np.array([1e-6, 1.0, 1e5]), np.array([3e-6, -20.0, 7e5])
    method = jbc.QuantileMap(target="b", ties=ties)
    expected, found = (
        jbc.Corrector(method).fit(table, domain=domain).transform(table, domain=domain)
        for table in (x, unit * x + zero)
    )
    np.testing.assert_allclose((found - zero) / unit, expected, atol=1e-4)
    if ties == "keep":
        here = domain == "a"
        for j, atom in ((0, 0), (2, 0), (2, 2)):
            np.testing.assert_array_equal(expected[here, j] == atom, x[here, j] == atom)


def test_quantile_map_to_a_target_is_interpolation_where_nothing_is_tied():
    x = np.random.default_rng(0).gamma(2.0, size=(600, 2))
    domain = np.repeat(["a", "b", "c"], 200)
    x[domain == "a"] = 3 * np.sqrt(x[domain == "a"]) + 5
    for ties in ("keep", "rank"):
        model = jbc.Corrector(jbc.QuantileMap(target="b", ties=ties)).fit(x, domain=domain)
        found = model.transform(x, domain=domain)
        knots = {name: np.percentile(x[domain == name], np.arange(101), axis=0) for name in "abc"}
        for name in "ac":
            rows = x[domain == name, 0]
            expected = np.interp(rows, knots[name][:, 0], knots["b"][:, 0])
            np.testing.assert_allclose(found[domain == name, 0], expected, rtol=1e-5)


def test_counts_are_mapped_though_all_are_tied():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.poisson(mean, size=(1000, 1)) for mean in (4.0, 9.0)]).astype(float)
    domain = np.repeat(["a", "b"], 1000)
    found = jbc.Corrector(jbc.QuantileMap(target="b")).fit(x, domain=domain).transform(x, domain=domain)
    assert found[:1000].mean() == pytest.approx(9, abs=0.3)


def test_a_new_domain_is_mapped_to_the_target():
    x, domain = inflated((0.4, 0.2))
    method = jbc.QuantileMap(target="b", on="controls")
    model = jbc.Corrector(method).fit(x, domain=domain, control=np.full(len(x), True))
    rows = x[domain == "a"].astype(np.float32)
    more = method.adapt(model.model_.fitted, rows, rows)
    found = method.transform(more, rows, np.full(len(rows), 2))
    np.testing.assert_allclose(found, model.transform(rows, domain=["a"] * len(rows)), rtol=1e-6)
    average = method.adapt(model.model_.fitted, rows[:0], rows)
    assert_same_bytes(np.asarray(method.transform(average, rows, np.full(len(rows), 2))), rows)


def test_a_quantile_map_needs_a_target_that_exists():
    x, domain = inflated((0.4, 0.2), n=10)
    with refusal("unknown-domain") as caught:
        jbc.Corrector(jbc.QuantileMap(target="c")).fit(x, domain=domain)
    assert "'c'" in str(caught.value)
    with refusal("no-source"):
        jbc.Corrector(jbc.QuantileMap(target="a")).fit(x, domain=["a"] * 20)


def test_a_feature_that_the_target_lacks_keeps_its_scale():
    x, domain = inflated((0.4, 0.2))
    x[domain == "b", 0] = 0
    with pytest.warns(InputWarning, match="constant"):
        model = jbc.Corrector(jbc.QuantileMap(target="b")).fit(x, domain=domain)
    found = model.transform(x, domain=domain)
    assert found[domain == "a", 0].std() == pytest.approx(x[domain == "a", 0].std(), rel=1e-3)


def test_quantile_map_needs_two_percentiles():
    with refusal("bad-setting"):
        jbc.Corrector(jbc.QuantileMap(percentiles=1)).fit(np.eye(4), domain=list("aabb"))


def test_shrunken_moments_of_many_rows_are_those_of_the_rows():
    """And of few rows without any effect of domains, they are the same everywhere."""
    draw = np.random.default_rng(0)
    effect = draw.normal(size=(2, 8))
    for rows, limit in ((20_000, 5e-3), (2000, 0.05)):
        domain = np.repeat([0, 1], rows)
        x = draw.normal(size=(2 * rows, 8)) * np.exp(0.3 * effect[domain]) + effect[domain]
        cohort = Cohort.from_arrays(x, domain.astype(str))
        plain, shrunk = (Standardise(shrink=shrink).finish(None, cohort) for shrink in (False, True))
        for name in ("mean", "scale"):
            np.testing.assert_allclose(shrunk[name], plain[name], atol=limit)
    few = Cohort.from_arrays(draw.normal(size=(8, 500)), list("aaaabbbb"))
    plain, shrunk = (Standardise(shrink=shrink).finish(None, few) for shrink in (False, True))
    assert np.ptp(shrunk["scale"], axis=0).max() < 0.1 * np.ptp(np.asarray(plain["scale"]), axis=0).max()
    assert "common" not in shrunk
