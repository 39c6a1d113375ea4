"""What every method does with missing values."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import jax
import numpy as np
import pytest
from problems import CHUNK, assert_same_bytes, hidden, refusal, vary, world
from test_contract import CONFIGURATIONS as ALL
from test_contract import LARGE, PREPARATIONS, over, unfitted

import jbc
from jbc.cohort import Cohort
from jbc.errors import InputWarning
from jbc.methods.base import Directed, Encodes, Method, Trainable
from jbc.methods.editing import EditsLayers
from jbc.methods.inputs import Inputs
from jbc.methods.missing import complete, fill, lacking
from jbc.methods.prepare import prepare
from jbc.train import fit_lanes

# Others refuse tables with missing values by name, which tests/test_contract.py examines.
CONFIGURATIONS = {name: method for name, method in ALL.items() if method.takes_missing}
every_method, every_method_large_in_ci = over(CONFIGURATIONS), over(CONFIGURATIONS, slow=LARGE)
DRAWN = world()
NAN = float("nan")


def holes(share: float, seed: int = 0, where: Any = True) -> np.ndarray:
    """Mark values at random, never all of a row."""
    mask = (np.random.default_rng(seed).random(DRAWN.x.shape) < share) & where
    mask[mask.all(axis=1), 0] = False
    return mask


def holed(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, np.nan, DRAWN.x)


HOLES = holes(0.2)
# One domain has measured the second feature nowhere, and another one once.
ABSENT = np.zeros(DRAWN.x.shape, bool)
ABSENT[DRAWN.domain == "domain 2", 1] = True
ABSENT[np.flatnonzero(DRAWN.domain == "domain 3")[1:], 2] = True


def fitted(method: Method, x: np.ndarray) -> jbc.Corrector:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return unfitted(method).fit(x, hidden(DRAWN), domain=DRAWN.domain)


def corrected(method: Method, x: np.ndarray) -> np.ndarray:
    return fitted(method, x).transform(x, domain=DRAWN.domain)


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean(np.square(x))))


@pytest.fixture(scope="module")
def whole() -> dict[str, np.ndarray]:
    """Correct the complete table by each method."""
    return {name: corrected(method, DRAWN.x) for name, method in CONFIGURATIONS.items()}


@pytest.fixture(scope="module")
def models() -> dict[str, jbc.Corrector]:
    """Fit each method to a table with a fifth of the values missing."""
    return {name: fitted(method, holed(HOLES)) for name, method in CONFIGURATIONS.items()}


def name_of(method: Method) -> str:
    return next(name for name, each in CONFIGURATIONS.items() if each is method)


@every_method
def test_missing_stays_missing_and_the_rest_is_corrected_as_in_the_complete_table(method, whole, models):
    """Of 40 rows of a domain, a fifth less tell a mean and a scale; maps that follow percentiles follow the noise."""
    expected, model = whole[name_of(method)], models[name_of(method)]
    found = model.transform(holed(HOLES), domain=DRAWN.domain)
    np.testing.assert_array_equal(np.isnan(found), HOLES)
    assert found.dtype == np.float32
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(model.model_.fitted))
    assert rms(found - expected) < 0.35 * expected.std()
    moved = rms(DRAWN.x - expected)
    if not isinstance(method, PREPARATIONS) and moved > 0.5 * expected.std():
        assert rms(found - expected) < 0.5 * moved


@every_method
def test_what_has_no_holes_can_be_corrected_by_a_model_that_has_seen_some(method, models):
    model = models[name_of(method)]
    found = model.transform(DRAWN.x, domain=DRAWN.domain)
    assert np.isfinite(found).all()
    some = model.transform(holed(HOLES), domain=DRAWN.domain)
    rows = ~HOLES.any(axis=1)
    assert_same_bytes(found[rows], some[rows])  # a row is corrected alone


@every_method
def test_centres_can_be_filled_in(method, models):
    model, x = models[name_of(method)].model_, holed(HOLES)
    found, plain = model.transform(x, DRAWN.domain, fill="centre"), model.transform(x, DRAWN.domain)
    assert np.isfinite(found).all()
    assert_same_bytes(found[~HOLES], plain[~HOLES])
    if method.keeps_units:
        low, high = np.nanmin(plain, axis=0), np.nanmax(plain, axis=0)
        assert ((found >= low - 1) & (found <= high + 1)).mean() > 0.95
    with refusal("bad-setting"):
        model.transform(x, DRAWN.domain, fill="zero")  # pyright: ignore[reportArgumentType]
    assert np.isfinite(model.out_of_support(x, DRAWN.domain)).all()
    if isinstance(method, Encodes):
        assert np.isfinite(model.encode(x, DRAWN.domain)).all()


@every_method_large_in_ci
def test_one_missing_value_changes_little(method, whole):
    mask = np.zeros(DRAWN.x.shape, bool)
    mask[7, 2] = True
    expected, found = whole[name_of(method)], corrected(method, holed(mask))
    np.testing.assert_array_equal(np.isnan(found), mask)
    assert rms(found - expected) < 0.15 * expected.std()


@every_method
def test_a_domain_that_lacks_a_feature_is_left_alone_there_and_said(method):
    x = holed(ABSENT)
    with pytest.warns(InputWarning, match="fewer than two observed values") as caught:
        model = unfitted(method).fit(x, hidden(DRAWN), domain=DRAWN.domain)
    text = next(str(each.message) for each in caught if "fewer than two" in str(each.message))
    assert "'x1' in 'domain 2'" in text
    assert "'x2' in 'domain 3'" in text
    found = model.transform(x, domain=DRAWN.domain)
    np.testing.assert_array_equal(np.isnan(found), ABSENT)
    # Whatever new rows have there comes out as it came in.
    full = model.transform(DRAWN.x, domain=DRAWN.domain)
    assert np.isfinite(full).all()
    if method.keeps_units:
        assert_same_bytes(full[ABSENT], DRAWN.x[ABSENT])
    alone = model.model_.gaps.alone > 0
    assert alone[1, 1]
    assert alone[2, 2]
    if isinstance(method, Directed):
        return
    # The others are corrected for it as they are without that domain.
    others = DRAWN.domain == "domain 1"
    assert rms(found[others]) < 3 * rms(DRAWN.x)
    assert not alone[0].any()


@every_method
@pytest.mark.slow
def test_the_order_of_rows_does_not_matter(method, models):
    order = np.random.default_rng(0).permutation(len(DRAWN.x))
    x, domain, label = holed(HOLES)[order], DRAWN.domain[order], hidden(DRAWN)[order]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        shuffled = unfitted(method).fit(x, label, domain=domain)
    assert_same_bytes(shuffled.model_.fitted, models[name_of(method)].model_.fitted)


@every_method
@pytest.mark.slow
def test_repeated_rows_are_rows_of_more_weight(method):
    if isinstance(method, Trainable):
        pytest.skip("minibatches of other rows are drawn")
    if isinstance(method, EditsLayers):
        pytest.skip("a row is put beside another row of the target, and leaves out what that one lacks")
    if isinstance(method, Directed):
        method = vary(method, target="domain 1")
    x, domain = holed(HOLES), DRAWN.domain
    times = np.random.default_rng(0).integers(1, 4, len(x))
    repeated = Cohort.from_arrays(np.repeat(x, times, axis=0), np.repeat(domain, times))
    alone = Cohort.from_arrays(x, domain)
    weighted = dataclasses.replace(alone, weight=times[np.asarray(alone.row)].astype(np.int32))
    found, expected = (
        jbc.Corrector(method).fit_cohort(table).transform(DRAWN.x, domain=domain)
        for table in (repeated, weighted)
    )
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


@every_method
@pytest.mark.slow
def test_the_unit_and_the_zero_of_a_feature_do_not_matter(method):
    from test_contract import without_logarithm

    method, mask = without_logarithm(method), HOLES
    expected = corrected(method, holed(mask))
    unit, offset = np.array([1e-3, 10.0, 1e4, 1.0]), np.array([0.0, 3.0, -1e5, 50.0])
    found = corrected(method, unit * holed(mask).astype(np.float64) + offset)
    if method.keeps_units:
        found = (found - offset) / unit
    np.testing.assert_allclose(found, expected, atol=float(3e-3 * np.nanstd(expected)))


@every_method
def test_models_with_gaps_survive_disk(method, models, tmp_path):
    model, x = models[name_of(method)], holed(HOLES)
    model.save(tmp_path / "model")
    copy = jbc.load(tmp_path / "model")
    assert_same_bytes(copy.transform(x, DRAWN.domain), model.transform(x, domain=DRAWN.domain))
    assert_same_bytes(copy.gaps, model.model_.gaps)


def test_a_complete_table_is_not_touched():
    cohort = Cohort.from_arrays(DRAWN.x, DRAWN.domain)
    assert complete(jbc.Standardise(), cohort) is cohort
    assert cohort.counts is cohort.weight


def test_means_and_deviations_are_those_of_what_is_observed():
    """By hand: the mean and deviation of a domain, and their averages over the domains that have a feature."""
    both = HOLES | ABSENT
    both[both.all(axis=1), 0] = False
    x, domain = holed(both), DRAWN.domain
    names = np.unique(domain)
    seen = np.ma.masked_invalid(x)
    mean, scale = (
        np.stack([f(seen[domain == g], axis=0).filled(0) for g in names]) for f in (np.ma.mean, np.ma.std)
    )
    alone = np.array([[False, False, False, False], [False, True, False, False], [False, False, True, False]])
    scale[alone] = 1
    to = [np.where(alone, 0, table).sum(axis=0) / (~alone).sum(axis=0) for table in (mean, scale)]
    code = np.searchsorted(names, domain)
    expected = (x - mean[code]) / scale[code] * to[1] + to[0]
    expected = np.where(alone[code], x, expected)
    np.testing.assert_allclose(corrected(jbc.Standardise(), x), expected, atol=1e-5)


@pytest.mark.parametrize(
    "method", [jbc.Standardise(on="controls"), jbc.Coral(), jbc.Percentiles(), jbc.TypicalVariation()]
)
def test_controls_are_what_counts_where_they_are_measured(method):
    """Fewer than two observed controls are too few, however many other values there are."""
    control = np.tile([True, True, True, False], len(DRAWN.x) // 4)
    x = holed(HOLES)
    x[control & (DRAWN.domain == "domain 1"), 3] = np.nan
    x[~control & (DRAWN.domain == "domain 1"), 3] = 1.0
    cohort = Cohort.from_arrays(x, DRAWN.domain, control=control)
    with pytest.warns(InputWarning, match="'x3' in 'domain 1'"):
        model = jbc.fit(method, cohort)
    assert model.gaps.alone[0].tolist() == [0, 0, 0, 1]
    assert np.isfinite(model.transform(x, DRAWN.domain, fill="centre")).all()


def test_what_the_target_lacks_moves_nowhere():
    x = DRAWN.x.copy()
    x[DRAWN.domain == "domain 1", 0] = np.nan
    method = jbc.QuantileMap(target="domain 1")
    with pytest.warns(InputWarning, match="'x0' in 'domain 1'"):
        model = jbc.Corrector(method).fit(x, domain=DRAWN.domain)
    found = model.transform(x, domain=DRAWN.domain)
    assert_same_bytes(found[:, 0], x[:, 0])
    assert rms((found - x)[:, 1:]) > 0.1


def test_the_fill_of_logarithms_is_the_centre_of_logarithms():
    x = np.exp(np.random.default_rng(0).normal(3, 1, size=(60, 3)))
    x[5:20, 0] = np.nan
    method = jbc.JointCalibration(inputs=Inputs(log=True, level="keep", scale="domain"))
    cohort = complete(method, Cohort.from_arrays(x, ["a"] * 60))
    missing = ~np.asarray(cohort.observed)
    np.testing.assert_allclose(cohort.x[missing], np.expm1(np.nanmean(np.log1p(x[:, 0]))), rtol=1e-5)


def test_a_bright_row_is_filled_brightly():
    """Where the level of a row is taken out, what the network sees of a missing value is 0, not less material."""
    rng = np.random.default_rng(0)
    bright = rng.normal(0, 1, size=(80, 1))
    x = bright + np.arange(5.0)
    method = jbc.JointCalibration(inputs=Inputs(log=False, level="remove", scale="domain"))
    mask = rng.random(x.shape) < 0.2
    mask[:, 0] = False
    table = Cohort.from_arrays(np.where(mask, np.nan, x), ["a"] * 80)
    found = np.asarray(complete(method, table).x)
    away = found - x[np.asarray(table.row)]
    assert np.abs(away).max() < 0.6  # by what the means over observed rows are off
    assert np.abs(away).max() < 0.2 * np.ptp(bright)
    plain = vary(method, level="keep")
    assert np.abs(np.asarray(complete(plain, table).x) - x[np.asarray(table.row)]).max() > 1.5


def test_a_population_has_a_centre_of_its_own():
    population = np.tile([0, 1], 30)
    x = np.stack([10.0 * population, np.arange(60.0)], axis=1) + np.random.default_rng(0).normal(size=(60, 2))
    holes = np.zeros(x.shape, bool)
    holes[::7, 0] = True
    cohort = Cohort.from_arrays(np.where(holes, np.nan, x), np.repeat(["a", "b"], 30))
    found = complete(jbc.Standardise(), cohort.with_populations(population))
    missing = ~np.asarray(found.observed)[:, 0]
    expected = 10.0 * population[np.asarray(cohort.row)][missing]
    np.testing.assert_allclose(np.asarray(found.x)[missing, 0], expected, atol=1)
    without = complete(jbc.Standardise(), cohort)
    np.testing.assert_allclose(np.asarray(without.x)[missing, 0], 5, atol=2)


def test_rows_and_features_without_any_value_are_refused():
    x = DRAWN.x.copy()
    x[3] = np.nan
    with refusal("empty-row") as caught:
        prepare(jbc.Standardise(), Cohort.from_arrays(x, DRAWN.domain))
    assert ": 3." in str(caught.value)
    with refusal("empty-feature"):
        Cohort.from_arrays(DRAWN.x * [1, NAN, 1, 1], DRAWN.domain)


def test_new_domains_need_complete_controls():
    cohort = Cohort.from_arrays(DRAWN.x, DRAWN.domain, control=np.ones(len(DRAWN.x), bool))
    model = jbc.fit(jbc.Standardise(on="controls"), cohort)
    with refusal("missing-values"):
        model.adapt(holed(HOLES)[:30], ["new"] * 30)
    more = model.adapt(DRAWN.x[:30], ["new"] * 30)
    assert np.isnan(more.transform([[1.0, NAN, 1.0, 1.0]], ["new"])).tolist() == [[False, True, False, False]]


@pytest.mark.slow
def test_lanes_of_other_weights_fill_in_their_own_centres():
    table = Cohort.from_arrays(holed(HOLES), DRAWN.domain, label=hidden(DRAWN))
    weight = np.ones(len(DRAWN.x), int)
    weight[::5] = 0
    lanes = [table, table.weigh_rows(weight)]
    method, keys = CONFIGURATIONS["mmd-resnet"], jax.random.split(jax.random.key(0), 2)
    found = fit_lanes(method, lanes, keys, steps=CHUNK, chunk=CHUNK).fitted
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    other = Cohort.from_arrays(holed(holes(0.2, seed=1)) + 1, DRAWN.domain, label=hidden(DRAWN))
    with refusal("different-lanes"):
        fit_lanes(method, [table, other], keys, steps=CHUNK, chunk=CHUNK)


def test_fill_puts_the_centre_where_nothing_was_observed():
    x, seen = np.zeros((2, 2), np.float32), np.array([[True, False], [True, True]])
    assert fill(jbc.Standardise(), x, seen, np.full((2, 2), 3.0)).tolist() == [[0, 3], [0, 0]]
    assert not lacking(Cohort.from_arrays(DRAWN.x, DRAWN.domain)).any()


@pytest.mark.parametrize("share", [(0.2, 0.2), (0.0, 0.4)])
@pytest.mark.parametrize("shares", [([0.4, 0.3, 0.3], [0.4, 0.3, 0.3]), ([0.6, 0.3, 0.1], [0.1, 0.4, 0.5])])
def test_populations_are_found_in_spite_of_holes(shares, share):
    """Equal mixtures are equal, though one domain has more holes, and others are told apart."""
    rng = np.random.default_rng(0)
    middle, each = 2 * rng.normal(size=(3, 12)), 300
    population = np.concatenate([rng.choice(3, each, p=own) for own in shares])
    domain = np.repeat([0, 1], each)
    x = middle[population] + rng.normal(size=(2 * each, 12)) + domain[:, None] * rng.normal(size=12)
    x[rng.random(x.shape) < np.asarray(share)[domain][:, None]] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        found = prepare(jbc.Standardise(), Cohort.from_arrays(x, domain.astype(str))).composition
    if shares[0] == shares[1]:
        assert found is None
        return
    assert found is not None
    assert found.verdict == "shared"
    np.testing.assert_allclose(
        np.sort(found.shares[:, np.asarray(found.shares).max(axis=0) > 0.05], axis=1),
        np.sort(shares, axis=1),
        atol=0.1,
    )
