"""Units, zeros and constant features: what a method says may not depend on them, and never goes wrong in silence."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from problems import CHUNK, hidden, refusal, world

import jbc
from jbc.cohort import Cohort
from jbc.cohort.row_order import order_rows
from jbc.errors import InputWarning
from jbc.methods.closed_form import QuantileMap, Standardise
from jbc.methods.inputs import Inputs
from jbc.methods.settings import AdversarialTraining, Training
from jbc.numerics.centring import FAR, find_offset

DRAWN = world()
X = DRAWN.x.astype(np.float64)
ABSENT = DRAWN.domain == "domain 1"


def z_scores(x: np.ndarray, domain: np.ndarray) -> np.ndarray:
    """Standardise every domain, in double precision."""
    out = np.empty(x.shape)
    for name in np.unique(domain):
        rows = x[domain == name].astype(np.float64)
        out[domain == name] = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    return out


def taxa(seed: int = 0, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Fractions of 20 taxa on three plates, of which the first lacks one."""
    rng = np.random.default_rng(seed)
    x, plate = rng.dirichlet(np.full(20, 3.0), size=3 * n), np.repeat(list("ABC"), n)
    x[plate == "A", 3] = 0
    return x, plate


@pytest.mark.parametrize("unit", [1.0, 1e-9, 1e9])
@pytest.mark.parametrize("method", [Standardise(), QuantileMap(), Standardise(scale=False)], ids=repr)
def test_a_feature_that_one_domain_lacks_keeps_its_spread_elsewhere(method, unit):
    x, plate = taxa()
    model = jbc.Corrector(method)
    if method == Standardise(scale=False):
        model.fit(unit * x, domain=plate)
    else:
        with pytest.warns(InputWarning, match=r"constant in the rows of a domain, 1: 'x3' in 'A'"):
            model.fit(unit * x, domain=plate)
    moved, there = model.transform(unit * x, domain=plate) / unit, plate != "A"
    assert moved[there, 3].std() == pytest.approx(x[there, 3].std(), rel=0.1)
    assert moved[:, 3].max() < 1.2 * x[:, 3].max()
    # Where it was never seen, a new value is shifted as zeros are, and not blown up.
    new = x[:1].copy()
    new[0, 3] = 0.2
    moved = model.transform(unit * np.vstack([x[:1], new]), domain=["A", "A"]) / unit
    assert moved[1, 3] - moved[0, 3] == pytest.approx(0.2, rel=1e-3)
    np.testing.assert_allclose(moved[1, :3], moved[0, :3])


@pytest.mark.parametrize("name", ["joint", "mmd", "adversarial", "editing", "wasserstein", "regularised"])
@pytest.mark.slow
def test_networks_are_not_blown_up_by_a_feature_that_one_domain_lacks(name):
    method = {
        "joint": jbc.JointCalibration(training=Training(rows=8)),
        "mmd": jbc.MMDResNet(blocks=1, width=8, training=Training(rows=40)),
        "adversarial": jbc.AdversarialCorrection(
            blocks=1, widths=(8,), critic=(8,), training=AdversarialTraining(rows=40)
        ),
        "editing": jbc.NeuronEditing(widths=(8, 4), training=Training(rows=40)),
        "wasserstein": jbc.DistanceAlignment(distance="gaussian", rows=40),
        "regularised": jbc.RegularisedAutoencoder(widths=(8, 4), training=Training(rows=30)),
    }[name]
    x = np.exp(X) * 1000
    x[ABSENT, 0] = 0
    x[:, 1] = 0  # measured nowhere
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        model = jbc.Corrector(method, steps=CHUNK).fit(x, hidden(DRAWN), domain=DRAWN.domain)
    moved = model.transform(x, domain=DRAWN.domain)
    assert moved[~ABSENT, 0].std() < 2 * x[~ABSENT, 0].std()
    new = np.vstack([x[ABSENT][:1]] * 3)
    new[1, 0] = new[2, 1] = 278_153.0
    moved = model.transform(new, domain=["domain 1"] * 3)
    assert np.abs(moved).max() < 10 * 278_153
    # What never varied has no scale: other features do not hear of it, and it is shifted at most.
    np.testing.assert_array_equal(moved[2, [0, 2, 3]], moved[0, [0, 2, 3]])
    assert moved[2, 1] == pytest.approx(278_153, rel=1e-3)


def test_a_warning_names_features_and_domains_and_counts_the_rest():
    x = X.copy()
    x[ABSENT, :2] = 0
    x[DRAWN.domain == "domain 2", 1:] = 5
    with pytest.warns(InputWarning) as caught:
        jbc.Corrector(Standardise(), composition="assume-equal").fit(x, domain=DRAWN.domain)
    (message,) = [str(each.message) for each in caught]
    for words in ("'x0' in 'domain 1'", "'x1' in 'domain 2'", "'x3' in 'domain 2'", "not measured there"):
        assert words in message
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # constant everywhere is no difference between domains
        corrector = jbc.Corrector(Standardise(), composition="assume-equal")
        corrector.fit(np.where(np.arange(4) == 1, 3.0, X), domain=DRAWN.domain)


def test_rounding_is_no_spread():
    """A value that arithmetic made in two ways differs in its last bits, and these carry nothing."""
    x, plate = taxa()
    noise = np.random.default_rng(1).normal(size=(plate == "A").sum())
    for level in (0.0, 0.3):
        x[plate == "A", 3] = level + 1e-9 * noise
        with pytest.warns(InputWarning, match="'x3' in 'A'"):
            model = jbc.Corrector(Standardise()).fit(x, domain=plate)
        moved = model.transform(x, domain=plate)
        assert moved[plate == "A", 3].std() < 1e-6


@pytest.mark.parametrize("offset", [1e7, 1e8, -1e10])
@pytest.mark.parametrize("log", [True, False])
@pytest.mark.slow
def test_an_offset_costs_no_digits(offset, log):
    plain = jbc.Corrector(
        jbc.JointCalibration(training=Training(rows=8), inputs=Inputs(log=False)), steps=CHUNK
    )
    moved = plain.fit(X, hidden(DRAWN), domain=DRAWN.domain).transform(X, domain=DRAWN.domain)
    model = jbc.Corrector(
        jbc.JointCalibration(training=Training(rows=8), inputs=Inputs(log=log)), steps=CHUNK
    )
    far = model.fit(X + offset, hidden(DRAWN), domain=DRAWN.domain).transform(X + offset, domain=DRAWN.domain)
    assert far.dtype == np.float64
    # The logarithm is straight so far from 0, but for a part of the offset.
    np.testing.assert_allclose(far - offset, moved, atol=1e-4 + (100 / abs(offset) if log else 0))
    np.testing.assert_allclose(
        model.predict_proba(X + offset, domain=DRAWN.domain),
        plain.predict_proba(X, domain=DRAWN.domain),
        atol=1e-3,
    )


def test_standardise_is_the_exact_z_score_wherever_the_table_lies():
    for offset in (0.0, 1e4, 1e8, 1e12):
        x = X + offset
        moved = jbc.Corrector(Standardise()).fit(x, domain=DRAWN.domain).transform(x, domain=DRAWN.domain)
        exact = z_scores(x, DRAWN.domain)
        for j in range(4):
            assert np.corrcoef(moved[:, j] - offset, exact[:, j])[0, 1] > 0.9999


def test_offsets_are_those_of_features_far_from_zero_and_survive_the_disk(tmp_path):
    x = X.copy()
    x[:, 2] += 1e8
    model = jbc.Corrector(Standardise()).fit(x, domain=DRAWN.domain)
    assert model.model_.offset is not None
    np.testing.assert_allclose(model.model_.offset, [0, 0, 1e8, 0], atol=FAR)
    again = jbc.load(model.save(tmp_path / "model"))
    expected = model.transform(x, domain=DRAWN.domain)
    np.testing.assert_array_equal(again.transform(x, domain=DRAWN.domain), expected)
    assert (
        jbc.load(jbc.Corrector(Standardise()).fit(X, domain=DRAWN.domain).save(tmp_path / "o")).offset is None
    )


def test_offsets_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5000, 3)) * [1, 1e-3, 1e5] + [1e4, 7, -1e9]
    names = ("a", "b", "c")
    found = find_offset(x, None, names)
    for _ in range(5):
        np.testing.assert_array_equal(find_offset(x[rng.permutation(len(x))], None, names), found)
    assert (np.abs(found - x.mean(axis=0)) <= x.std(axis=0)).all()
    holed = np.where(rng.random(x.shape) < 0.2, 0, x)
    np.testing.assert_allclose(find_offset(holed, holed != 0, names), found, rtol=1e-3)  # pyright: ignore[reportCallIssue]


def test_a_constant_has_no_offset_however_its_rows_are_summed():
    rng = np.random.default_rng(0)
    for n in range(20, 80):
        x = np.column_stack([np.full((n, 3), [0.1, 5e-6, 1234.567]), 1e5 + rng.normal(size=n)])
        for table in (x, np.asfortranarray(x)):
            found = find_offset(table, None, ("a", "b", "c", "d"))
            assert found is not None
            assert not found[:3].any()


def test_what_float32_cannot_square_is_refused():
    with refusal("too-small") as caught:
        Cohort.from_arrays(X * [1, 1e-30, 1, 1e-40], DRAWN.domain)
    assert "'x1', 'x3'" in str(caught.value)
    Cohort.from_arrays(X * [1, 0, 1, 1e-25], DRAWN.domain)


def test_masked_values_are_missing():
    masked = np.ma.array(X, mask=X > 2)
    cohort = Cohort.from_arrays(masked, DRAWN.domain)
    np.testing.assert_array_equal(cohort.observed, (X <= 2)[cohort.row])
    for table in (masked, masked.astype(np.float32), np.ma.array(np.rint(4 * X).astype(int), mask=X > 2)):
        model = jbc.Corrector(Standardise()).fit(table, domain=DRAWN.domain)
        found = model.transform(table, domain=DRAWN.domain)
        np.testing.assert_array_equal(np.isnan(found), X > 2)


def test_the_order_of_rows_is_a_matter_of_ranks():
    rng = np.random.default_rng(0)
    x = rng.choice([0.0, 1.0, 2.0], size=(500, 4))
    group, tie = rng.integers(5, size=500), rng.integers(3, size=500)
    order = order_rows((group,), x, tie)
    assert (np.diff(group[order]) >= 0).all()
    shuffle = rng.permutation(500)
    again = order_rows((group[shuffle],), x[shuffle], tie[shuffle])
    for values in (x, tie):
        np.testing.assert_array_equal(values[order], values[shuffle][again])
    for a, b in ((1e-9, 0.0), (1e9, 3.0), ([1, 2, 3, 4], [5, 6, 7, 8])):
        np.testing.assert_array_equal(order_rows((group,), x * a + b, tie), order)
    # A part of a group is a fair sample of it.
    first = order_rows((np.zeros(500, int),), np.arange(500.0)[:, None])[:100]
    assert abs(first.mean() - 249.5) < 3 * 500 / np.sqrt(12 * 100)


@pytest.mark.slow
def test_no_number_depends_on_the_unit_where_logarithms_are_taken():
    """In a unit so large that log(1 + x) is x, a logarithm changes nothing."""
    moved = []
    for log, unit in ((True, 1e-9), (False, 1.0)):
        model = jbc.Corrector(
            jbc.JointCalibration(training=Training(rows=8), inputs=Inputs(log=log)), steps=CHUNK
        )
        model.fit(unit * X, hidden(DRAWN), domain=DRAWN.domain)
        moved.append(model.transform(unit * X, domain=DRAWN.domain) / unit)
    np.testing.assert_allclose(*moved, atol=1e-4)


def test_how_far_outside_rows_are_does_not_depend_on_the_unit():
    x = np.where(np.arange(4) == 1, 3.0, X)
    far = np.vstack([x[:5], x[:1] + np.array([0, 4, 0, 0]), x[:1] + 20])
    domain = DRAWN.domain[[0, 1, 2, 3, 4, 0, 0]]
    told = [
        jbc.Corrector(Standardise()).fit(a * x, domain=DRAWN.domain).out_of_support(a * far, domain=domain)
        for a in (1e-9, 1.0, 1e9)
    ]
    np.testing.assert_allclose(told[0], told[1], rtol=1e-4)
    np.testing.assert_allclose(told[2], told[1], rtol=1e-4)
    assert told[0][5] > told[0][0]
    assert told[0][6] > 2


def test_a_new_domain_without_spread_is_shifted():
    control = np.arange(len(X)) % 2 == 0
    method, rows = Standardise(on="controls"), np.random.default_rng(3).normal(size=(30, 4))
    rows[:, 0] = 7
    moved = []
    for unit in (1e-9, 1.0):
        model = jbc.Corrector(method).fit(unit * X, domain=DRAWN.domain, control=control)
        fitted = method.adapt(model.model_.fitted, (unit * rows).astype(np.float32), np.empty((0, 4)))
        new = (unit * np.vstack([rows[:1], rows[:1] + 1])).astype(np.float32)
        moved.append(np.asarray(method.transform(fitted, new, np.full(2, 3))) / unit)
    np.testing.assert_allclose(*moved, atol=1e-5)
    assert moved[0][1, 0] - moved[0][0, 0] == pytest.approx(1, rel=1e-4)


@pytest.mark.slow
def test_stopping_by_rows_takes_no_unit():
    seen = []
    for unit in (1e-9, 1.0):
        x = np.where(np.arange(4) == 1, 3.0, X) * unit
        model = jbc.Corrector(
            jbc.MMDResNet(blocks=1, width=8, training=Training(rows=40)),
            steps=2 * CHUNK,
            stopping="rows",
            random_state=0,
        )
        model.fit(x, domain=DRAWN.domain)
        seen.append(model.transform(x, domain=DRAWN.domain) / unit)
    np.testing.assert_allclose(*seen, atol=1e-4)


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("level", ["keep", "remove"])
@pytest.mark.slow
def test_what_a_domain_lacks_tells_nothing_of_it(log, level):
    """Neither where the other domains lie, nor how a value is read that was never seen in this one."""
    inputs = Inputs(log=log, level=level, scale="domain")
    x = np.exp(X) * 1000
    alone = inputs.of_cohort(Cohort.from_arrays(x[~ABSENT], DRAWN.domain[~ABSENT]))
    x[ABSENT, 0] = 0
    cohort = Cohort.from_arrays(x, DRAWN.domain)
    tables = inputs.of_cohort(cohort)
    if level == "keep":
        for name in ("location", "scale"):
            np.testing.assert_allclose(tables["to"][name][0], alone["to"][name][0], rtol=1e-5)
    z = inputs.apply(tables, cohort.x, cohort.domain)
    here = np.asarray(cohort.domain) == 0
    assert (z[here, 0] == 0).all()
    assert np.abs(z).max() < 10
    value = np.float32(np.median(x[~ABSENT, 0]))
    new = cohort.x[here][:1].copy()
    new[:, 0] = value
    z = inputs.apply(tables, new, np.zeros(1, int))
    back = inputs.restore(tables, z, new, np.zeros(1, int))
    assert np.abs(z).max() < 10
    assert value / 3 < float(back[0, 0]) < value * 3


@pytest.mark.parametrize("scale", ["pooled", "none"])
@pytest.mark.parametrize("offset", [0.0, 3e6])
@pytest.mark.parametrize("log", [True, False])
@pytest.mark.slow
def test_inputs_give_back_what_they_were_given(scale, offset, log):
    cohort = Cohort.from_arrays(X + offset, DRAWN.domain)
    inputs = Inputs(log=log, level="remove", scale=scale)
    tables = inputs.of_cohort(cohort)
    z = inputs.apply(tables, cohort.x, cohort.domain)
    back = inputs.restore(tables, z, cohort.x, cohort.domain)
    np.testing.assert_allclose(back, cohort.x, atol=1e-4)
