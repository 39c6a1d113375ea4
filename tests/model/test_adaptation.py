"""New domains from their controls alone: nothing else moves, too few are refused, and the report tells the truth."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest
from problems import assert_same_bytes, refusal, vary

import jbc
from jbc.cli.main import main
from jbc.cohort import Cohort
from jbc.data.simulate.screen import simulate_screen
from jbc.methods.base import Method
from jbc.methods.closed_form.combat import ComBat
from jbc.methods.closed_form.quantile_map import QuantileMap
from jbc.methods.closed_form.ratio_g import RatioG
from jbc.methods.closed_form.standardise import Standardise
from jbc.methods.distance_alignment import DistanceAlignment
from jbc.metrics import energy_distance
from jbc.model.adaptation import Adaptation, keep_controls
from jbc.model.support import how_far_outside, measure_support
from jbc.numerics.linalg import optimal_map

NEW = "domain 4"
ALIGNMENT = DistanceAlignment(distance="gaussian", rows=16, updates=60, learning_rate=0.02)
METHODS: dict[str, Method] = {
    "affine": ALIGNMENT,
    "residual": vary(ALIGNMENT, maps="residual", width=4),
    "shift": Standardise(scale=False, on="controls"),
    "shift and scale": Standardise(on="controls"),
    "quantiles": QuantileMap(percentiles=11, on="controls"),
    "shrunken": ComBat(on="controls"),
    "ratios": RatioG(),
}
affine_in_ci = pytest.mark.parametrize("name", ["residual", pytest.param("affine", marks=pytest.mark.slow)])
every_method = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "affine" else []) for name in METHODS]
)


@pytest.fixture(scope="module")
def screen():
    return simulate_screen(1, n_domains=4, n_treatments=8, n_controls=40, n_features=6, shared=1.0)


def fitted(method: Method, screen, known) -> jbc.Corrector:
    about = {"treatment": screen.treatment[known], "control": screen.control[known]}
    return jbc.Corrector(method).fit(screen.x[known], domain=screen.domain[known], **about)


def taken_in(model: jbc.Corrector, screen, rows) -> jbc.Corrector:
    return model.adapt(screen.x[rows], domain=screen.domain[rows], control=screen.control[rows])


@pytest.fixture(scope="module")
def models(screen):
    """Return a function that fits a method, once, to the first three domains, and adapts it to the fourth."""
    known = screen.domain != NEW

    @functools.cache
    def adapted(name: str):
        model = fitted(METHODS[name], screen, known)
        before = model.model_.fitted, model.transform(screen.x[known], domain=screen.domain[known])
        return taken_in(model, screen, ~known), *before

    return adapted


@every_method
@pytest.mark.slow
def test_nothing_else_moves(models, screen, name):
    model, before, corrected = models(name)
    known = screen.domain != NEW
    assert_same_bytes(model.transform(screen.x[known], domain=screen.domain[known]), corrected)
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(model.model_.fitted), strict=True):
        kept = new[: len(old)] if old.shape != new.shape else new
        assert_same_bytes(kept, old)
    assert model.domains_[-1] == NEW


@every_method
def test_controls_come_near_and_the_report_says_how_near(models, screen, name):
    model, told = models(name)[0], models(name)[0].adapted_[NEW]
    corrected, control = model.transform(screen.x, domain=screen.domain), screen.control
    new = screen.domain == NEW
    distances = [energy_distance(x[control & new], x[control & ~new]) for x in (screen.x, corrected)]
    assert distances[1] < 0.2 * distances[0]
    assert told.rows == 40
    assert 4 <= told.minimum <= 24
    assert told.low <= told.after <= told.high < 0.6 * told.before
    rows = [each.rows for each in told.curve]
    assert rows == [4, 6, 8, 12, 16, 24]  # three quarters of 40 controls at most, the others judge
    assert told.curve[-1].distance < told.curve[0].distance
    assert told.curve[-1].high < told.curve[-1].before
    treated = new & ~control
    away = [np.linalg.norm(x[treated] - screen.clean[treated]) for x in (screen.x, corrected)]
    assert away[1] < away[0] or name in ("shift and scale", "quantiles")


@pytest.mark.slow
def test_more_than_a_shift_is_learned_from_many_controls():
    screen = simulate_screen(1, n_domains=4, n_treatments=8, n_controls=100, n_features=6, shared=1.0)
    known = screen.domain != NEW
    away = {}
    for name in ("affine", "shift"):
        model = taken_in(fitted(METHODS[name], screen, known), screen, ~known)
        away[name] = model.adapted_[NEW].after
    assert away["affine"] < away["shift"]


@every_method
def test_without_controls_a_domain_is_an_average_one(models, screen, name):
    """What an average domain gets is what all would get if their tables were the means: nearly no change."""
    model = models(name)[0]
    more = model.resolved.adapt(model.model_.fitted, screen.x[:0], screen.x[:1])
    x = screen.x[:30]
    code = np.full(len(x), len(model.domains_))
    np.testing.assert_allclose(model.resolved.transform(more, x, code), x, atol=1e-4)


@pytest.mark.slow
def test_several_at_once_are_what_they_are_one_by_one(screen):
    known, late = np.isin(screen.domain, ["domain 1", "domain 2"]), ["domain 3", NEW]
    together, alone = (fitted(METHODS["shift"], screen, known) for _ in range(2))
    taken_in(together, screen, ~known)
    for name in late:
        taken_in(alone, screen, screen.domain == name)
    assert together.domains_ == alone.domains_ == ("domain 1", "domain 2", *late)
    assert together.adapted_ == alone.adapted_
    assert_same_bytes(together.model_.fitted, alone.model_.fitted)
    assert_same_bytes(together.model_.support, alone.model_.support)


def test_too_few_controls_are_refused_and_change_nothing(screen):
    known = screen.domain != NEW
    model = fitted(METHODS["quantiles"], screen, known)
    before, few = model.model_.fitted, np.flatnonzero(~known & screen.control)[:3]
    with refusal("few-controls") as caught:
        taken_in(model, screen, few)
    assert "3 control rows of domain 4, where " in str(caught.value)
    assert "remained" in str(caught.value)
    assert model.model_.fitted is before
    assert NEW not in model.domains_


def test_shrunken_deviations_need_few_controls(models):
    """Plain ones of 4 rows make some domains worse than they were."""
    assert models("shift and scale")[0].adapted_[NEW].minimum == 4


def test_domains_that_do_not_differ_need_more_controls_than_there_are(screen):
    same = simulate_screen(0, n_domains=4, n_treatments=8, n_controls=40, n_features=6, shared=1.0, batch=0.0)
    known = same.domain != NEW
    with refusal("few-controls") as caught:
        taken_in(fitted(METHODS["shift and scale"], same, known), same, ~known)
    assert "are too few" in str(caught.value)
    assert "is usual without" in str(caught.value)


def test_what_cannot_be_adapted_says_why(screen):
    known = screen.domain != NEW
    for method in (Standardise(), jbc.Coral()):
        with refusal("cannot-adapt"):
            taken_in(fitted(method, screen, known), screen, ~known)
    model = fitted(METHODS["shift"], screen, known)
    with refusal("known-domain"):
        taken_in(model, screen, known)
    model = jbc.Corrector(ALIGNMENT, steps=1).fit(
        screen.x[known], domain=screen.domain[known], treatment=screen.treatment[known]
    )
    with refusal("cannot-adapt") as caught:
        taken_in(model, screen, ~known)
    assert "Too few controls of known domains" in str(caught.value)


@affine_in_ci
def test_saved_models_remember(models, screen, name, tmp_path):
    model = models(name)[0]
    read = jbc.load(model.save(tmp_path / "model"))
    assert read.record.adapted == model.adapted_
    assert isinstance(read.record.adapted[NEW], Adaptation)
    assert_same_bytes(
        read.transform(screen.x, domain=screen.domain), model.transform(screen.x, domain=screen.domain)
    )
    assert_same_bytes(
        read.out_of_support(screen.x, domain=screen.domain),
        model.out_of_support(screen.x, domain=screen.domain),
    )


@affine_in_ci
def test_rows_far_from_the_fit_are_outside(models, screen, name):
    model = models(name)[0]
    outside = model.out_of_support(screen.x, domain=screen.domain)
    known = screen.domain != NEW
    assert 0.9 < (outside[known] < 1).mean() < 1
    assert np.median(outside[~known]) < 1  # its centre was found by its controls
    far = model.out_of_support(screen.x + 100, domain=screen.domain)
    assert (far > 10).all()


def test_controls_are_kept_by_domain_and_not_all(screen):
    cohort = Cohort.from_arrays(screen.x, screen.domain, control=screen.control)
    kept = keep_controls(cohort)
    assert np.bincount(kept.domain).tolist() == [40] * 4
    weight = np.ones(len(screen.x), int)
    weight[np.flatnonzero(np.asarray(cohort.control))[:5]] = 0
    assert np.bincount(keep_controls(cohort.weigh_rows(weight)).domain).tolist() == [35, 40, 40, 40]
    many = np.repeat(screen.x, 10, axis=0), np.repeat(screen.domain, 10)
    kept = keep_controls(Cohort.from_arrays(*many, control=np.full(len(many[0]), True)))
    assert np.bincount(kept.domain).tolist() == [128] * 4


def test_command_line(screen, tmp_path, capsys):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(screen.x, columns=[f"f{i}" for i in range(6)])
    frame = frame.assign(plate=screen.domain, drug=screen.treatment)
    new = frame["plate"] == NEW
    paths = {name: str(tmp_path / f"{name}.csv") for name in ("old", "new", "out", "controls")}
    frame[~new].to_csv(paths["old"], index=False)
    frame[new].to_csv(paths["new"], index=False)
    frame[new & screen.control].to_csv(paths["controls"], index=False)
    run, more = str(tmp_path / "run"), str(tmp_path / "more")
    keys = ["--batch-key", "plate", "--control", "drug == 'DMSO'"]
    assert main(["fit", "--data", paths["old"], *keys, "--out", run, "standardise", "--on", "controls"]) == 0
    assert main(["transform", run, "--data", paths["new"], "--out", paths["out"]]) == 2
    assert main(["adapt", run, "--data", paths["old"], "--out", more]) == 2
    assert not (tmp_path / "more").exists()
    assert main(["adapt", run, "--data", paths["controls"], paths["old"], "--out", more]) == 0
    assert "domain 4" in capsys.readouterr().out
    assert main(["transform", more, "--data", paths["new"], "--out", paths["out"], "--outside"]) == 0
    written = pd.read_csv(paths["out"])
    assert (written["jbc_outside"] < 2).all()
    features = [f"f{i}" for i in range(6)]
    expected = jbc.load(more).transform(frame.loc[new, features], domain=screen.domain[new])
    np.testing.assert_allclose(written[features], expected, rtol=1e-5)


def test_energy_distance_is_the_mean_over_pairs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 3)), rng.normal(size=(5, 3)) + 1
    between = np.mean([np.linalg.norm(x - y) for x in a for y in b])
    within = [np.sum([np.linalg.norm(x - y) for x in g for y in g]) / (len(g) * (len(g) - 1)) for g in (a, b)]
    assert energy_distance(a, b) == pytest.approx(2 * between - sum(within), rel=1e-5)
    draws = [energy_distance(*rng.normal(size=(2, 6, 3))) for _ in range(300)]
    assert abs(np.mean(draws)) < 3 * np.std(draws) / np.sqrt(300)
    with refusal("bad-shape"):
        energy_distance(a[:1], b)


def test_the_optimal_map_carries_one_covariance_to_the_other():
    rng = np.random.default_rng(0)
    a, b = (np.cov(rng.normal(size=(4, 50))) for _ in range(2))
    found = optimal_map(a, b, ridge=0.0)
    np.testing.assert_allclose(found @ a @ found.T, b, atol=1e-10)
    np.testing.assert_allclose(found, found.T, atol=1e-10)
    np.testing.assert_allclose(optimal_map(a, b, ridge=1e6), np.eye(4), atol=1e-5)


def test_how_far_outside_is_mahalanobis():
    rng = np.random.default_rng(0)
    shape = rng.normal(size=(3, 3))
    x = rng.normal(size=(4000, 3)) @ shape
    support = measure_support(x, np.zeros(len(x), int), 1)
    points = rng.normal(size=(5, 3)) * 3
    expected = np.sqrt(np.einsum("ni,ij,nj->n", points, np.linalg.inv(shape.T @ shape), points))
    found = how_far_outside(support, points, np.zeros(5, int))
    np.testing.assert_allclose(found / found[0], expected / expected[0], rtol=0.1)
    inside = how_far_outside(support, x, np.zeros(len(x), int)) < 1
    assert inside.mean() == pytest.approx(0.99, abs=0.01)


@pytest.mark.slow
def test_support_of_more_features_than_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 200))
    support = measure_support(x, np.repeat([0, 1], 20), 2)
    far = how_far_outside(support, np.stack([x[0], x[0] + 50]), np.array([0, 0]))
    assert far[0] < 1.5
    assert far[1] > 5
