"""Drift along a run: against worlds whose drift is known; and what the conformance suite asks, with places."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from problems import assert_same_bytes, no_compilation, refusal

import jbc
from jbc.cohort import Cohort
from jbc.data import simulate_run
from jbc.errors import InputWarning
from jbc.methods.closed_form.drift_curves import along, shrunken_curves
from jbc.methods.prepare import prepare

RUN = simulate_run(0, n_per_domain=60, n_features=12)
POOL = np.asarray(RUN.control)
LOG = np.log(RUN.x.astype(np.float64))
RATIO, DIFFERENCE = jbc.Drift(form="ratio"), jbc.Drift()


def cohort(x: np.ndarray = LOG, rows: np.ndarray | slice = slice(None), **more) -> Cohort:
    given = {"control": POOL, "order": RUN.order} | more
    given = {name: value[rows] for name, value in given.items() if value is not None}
    return Cohort.from_arrays(x[rows], RUN.domain[rows], **given)


def corrected(method: jbc.Drift = DIFFERENCE, x: np.ndarray = LOG, **more) -> np.ndarray:
    return jbc.fit(method, cohort(x, **more)).transform(x, RUN.domain, order=more.get("order", RUN.order))


def error(moved: np.ndarray) -> float:
    """Return how far log intensities of samples are off, up to what a feature has everywhere."""
    off = (moved - np.log(RUN.clean))[~POOL]
    return float(np.sqrt(np.square(off - np.median(off, axis=0)).mean()))


def test_drift_is_taken_out():
    levels = error(corrected(jbc.Drift(spans=())))
    assert error(LOG) > 0.28
    assert 0.2 < levels < 0.22
    assert error(corrected()) < 0.155  # the noise itself is 0.14, with its outliers
    ratio = np.log(corrected(RATIO, RUN.x))
    np.testing.assert_allclose(ratio, corrected(), atol=1e-3)


def test_all_rows_take_the_place_of_controls():
    """They are many, though biology is four times the noise."""
    drawn = simulate_run(1, n_per_domain=200, n_features=12, drift=1.0)
    x = np.log(drawn.x)
    model = jbc.fit(
        DIFFERENCE, Cohort.from_arrays(x, drawn.domain, order=drawn.order), composition="assume-equal"
    )
    moved = model.transform(x, drawn.domain, order=drawn.order)
    before, after = (
        np.square(part - np.log(drawn.clean) - np.median(part - np.log(drawn.clean), axis=0)).mean()
        for part in (x, moved)
    )
    assert after < 0.3 * before


def test_no_drift_moves_nearly_nothing():
    """Less than the error of a mean, in a domain with n controls: 1 / √n of the noise."""
    still = simulate_run(2, n_per_domain=60, n_features=30, drift=0, batch=0, outliers=0)
    x = np.log(still.x)
    model = jbc.fit(DIFFERENCE, Cohort.from_arrays(x, still.domain, control=still.control, order=still.order))
    moved = model.transform(x, still.domain, order=still.order) - x
    assert np.sqrt(np.square(moved).mean()) < 0.1 / np.sqrt(10)


def test_a_run_without_noise_is_level_afterwards():
    t = np.arange(40.0)
    x = np.stack([3 + 0.2 * t, 5 + np.sin(t / 10), np.full(40, 7.0)], axis=1)
    x += 1e-3 * np.random.default_rng(0).normal(size=x.shape) * [1, 1, 0]
    run = {"domain": ["a"] * 40, "order": t}
    moved = jbc.fit(DIFFERENCE, Cohort.from_arrays(x, control=t % 3 == 0, **run)).transform(x, **run)
    assert np.ptp(moved[:, 0]) < 0.02
    assert np.ptp(moved[:, 1]) < 0.15
    np.testing.assert_array_equal(moved[:, 2], np.float32(7))


def test_an_outlier_among_the_controls_moves_nothing():
    wrong = LOG.copy()
    some = np.flatnonzero(POOL)[[3, 14]]
    wrong[some] += 20
    kept = np.setdiff1d(np.arange(len(LOG)), some)
    assert np.abs(corrected(x=wrong) - corrected())[kept].max() < 0.25


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_few_controls_tell_less(number):
    control = np.zeros(len(LOG), bool)
    for name in np.unique(RUN.domain):
        here = np.flatnonzero(RUN.domain == name)
        control[here[np.linspace(0, len(here) - 1, number).round().astype(int)]] = True
    model = jbc.fit(DIFFERENCE, cohort(control=control))
    curved = np.ptp(model.fitted["points"], axis=1)
    assert (curved > 0).any() == (number >= 3)
    if number in (3, 4):  # lines
        assert np.abs(np.diff(model.fitted["points"], n=2, axis=1)).max() < 1e-5
    assert (model.fitted["drifting"] == (curved > 0).sum(axis=1)).all()
    assert np.isfinite(model.transform(LOG, RUN.domain, order=RUN.order)).all()


def test_a_domain_without_controls_is_told_and_corrected_by_its_rows():
    control = POOL & (RUN.domain != "batch 2")
    with pytest.warns(InputWarning, match="Domains without controls: 'batch 2'"):
        model = jbc.fit(DIFFERENCE, cohort(control=control))
    moved, here = model.transform(LOG, RUN.domain, order=RUN.order), RUN.domain == "batch 2"
    level = [np.median((moved - np.log(RUN.clean))[~POOL & side], axis=0) for side in (here, ~here)]
    assert np.abs(level[0] - level[1]).max() < 0.35  # medians of 50 samples that vary by 0.45 each
    others = jbc.fit(DIFFERENCE, cohort(rows=~here, control=control)).transform(
        LOG[~here], RUN.domain[~here], order=RUN.order[~here]
    )
    assert (
        np.abs(np.diff(moved[~here] - others, axis=0)[:20]).max() < 1e-4
    )  # their own curves are what they were


def test_rows_beyond_the_controls_are_told_counted_and_refused():
    control = POOL & ~np.isin(RUN.order, (0, 59))
    with pytest.warns(InputWarning, match="after its last one, 10: 10 in 'batch 1'"):
        model = jbc.fit(DIFFERENCE, cohort(control=control))
    moved = model.transform(LOG, RUN.domain, order=RUN.order) - LOG
    np.testing.assert_allclose(moved[:7], np.broadcast_to(moved[7], (7, 12)), atol=1e-5)
    beyond = model.out_of_range(LOG, RUN.domain, order=RUN.order)
    assert set(np.flatnonzero(beyond)) == {*range(7), 57, 58, 59}
    assert beyond.max() <= 12
    strict = jbc.fit(jbc.Drift(beyond="refuse"), cohort(control=control))
    with refusal("outside-range"):
        strict.transform(LOG, RUN.domain, order=RUN.order)
    strict.transform(LOG[7:57], RUN.domain[7:57], order=RUN.order[7:57])


def test_the_order_is_asked_for():
    with refusal("missing-order"):
        jbc.fit(DIFFERENCE, cohort(order=None))
    model = jbc.fit(DIFFERENCE, cohort())
    with refusal("missing-order"):
        model.transform(LOG, RUN.domain)
    levels = jbc.fit(jbc.Drift(spans=()), cohort(order=None))
    assert levels.transform(LOG, RUN.domain).shape == LOG.shape


def test_domains_can_be_left_to_another_method():
    chain = jbc.Chain(jbc.Drift(between=False), jbc.Standardise(scale=False, on="controls"))
    moved = corrected(chain)
    both = corrected()
    assert error(moved) < 1.05 * error(both)
    alone = corrected(jbc.Drift(between=False))
    for name in np.unique(RUN.domain):
        here = POOL & (RUN.domain == name)
        assert np.abs(np.median(alone[here], axis=0) - np.median(LOG[here], axis=0)).max() < 0.15


@pytest.mark.parametrize("method", [DIFFERENCE, RATIO], ids=["difference", "ratio"])
def test_units_do_not_matter(method):
    ratio = method is RATIO
    x = RUN.x.astype(np.float64) if ratio else LOG
    expected = corrected(method, x)
    unit = np.resize([1e-9, 1e-3, 1e4, 1e9], 12)
    for offset in (0,) if ratio else (0, 1e6 * unit):
        found = corrected(method, unit * x + offset)
        close = 2e-4 * expected.std(axis=0).max() + 0 * expected
        assert (np.abs((found - offset) / unit - expected) < close).all()


def test_a_feature_far_from_0_has_ratios_of_its_own():
    """What is taken off before float32 belongs to the ratio."""
    x = RUN.x.astype(np.float64)
    x[:, 3] = 1e6 + x[:, 3]
    model = jbc.fit(RATIO, cohort(x))
    assert model.offset is not None
    moved = model.transform(x, RUN.domain, order=RUN.order)
    logarithms = corrected(x=np.where(np.arange(12) == 3, 1e6 * np.log(x), np.log(x)))
    np.testing.assert_allclose(1e6 * np.log(moved[:, 3]), logarithms[:, 3], atol=1.0)


def test_orders_units_and_starts_do_not_matter():
    for order in (RUN.order * 60.0 + 1.7e9, RUN.order / 1000):
        np.testing.assert_allclose(corrected(order=order), corrected(), atol=2e-3)


def test_the_order_of_rows_and_columns_does_not_matter():
    rows, columns = np.random.default_rng(0).permutation(len(LOG)), np.random.default_rng(1).permutation(12)
    expected = jbc.fit(DIFFERENCE, cohort())
    shuffled = jbc.fit(DIFFERENCE, cohort(rows=rows))
    assert_same_bytes(shuffled.fitted, expected.fitted)
    moved = corrected(x=LOG[:, columns])
    np.testing.assert_allclose(moved, corrected()[:, columns], atol=1e-4)


def test_repeated_rows_are_rows_of_more_weight():
    times = np.random.default_rng(0).integers(1, 4, len(LOG))
    repeated = cohort(rows=np.repeat(np.arange(len(LOG)), times))
    alone = cohort()
    weighted = dataclasses.replace(alone, weight=times[np.asarray(alone.row)].astype(np.int32))
    found, expected = (
        jbc.fit(DIFFERENCE, table).transform(LOG, RUN.domain, order=RUN.order)
        for table in (weighted, repeated)
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("method", [DIFFERENCE, RATIO], ids=["difference", "ratio"])
def test_it_survives_the_disk_and_compiles_once(method, tmp_path):
    x = RUN.x if method is RATIO else LOG
    model = jbc.fit(method, cohort(x))
    expected = model.transform(x, RUN.domain, order=RUN.order)
    loaded = jbc.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.transform(x, RUN.domain, order=RUN.order), expected)
    some = slice(50, 70)
    np.testing.assert_array_equal(
        model.transform(x[some], RUN.domain[some], order=RUN.order[some]), expected[some]
    )
    with no_compilation():
        jbc.fit(method, cohort(x[::-1].copy())).transform(x, RUN.domain, order=RUN.order)
    table = prepare(method, cohort(x))
    fitted, rows = method.finish(None, table), (table.x, table.domain, table.order)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(fitted))
    np.testing.assert_allclose(
        jax.jit(method.transform)(fitted, *rows), method.transform(fitted, *rows), rtol=1e-5
    )


def test_zeros_take_no_part_in_ratios():
    x = RUN.x.copy()
    x[::5, 0] = 0
    x[RUN.domain == "batch 2", 1] = 0
    with pytest.warns(InputWarning, match=r"no control tells of in a domain: 'x1' in 'batch 2'"):
        moved = corrected(RATIO, x)
    assert (moved[x == 0] == 0).all()
    assert np.isfinite(moved).all()
    known = x[:, 0] > 0
    np.testing.assert_allclose(np.log(moved[known, 0]), np.log(corrected(RATIO, RUN.x)[known, 0]), atol=0.2)


def test_ratios_of_what_is_negative_are_refused():
    with refusal("not-positive") as caught:
        jbc.fit(RATIO, cohort(LOG - 20))
    assert "'x0'" in str(caught.value)
    jbc.fit(RATIO, cohort(np.where(RUN.order[:, None] % 9 == 0, -1, RUN.x)))


def test_rows_at_one_place_are_one_level():
    flat = corrected(order=np.zeros(len(LOG)))
    np.testing.assert_allclose(flat, corrected(jbc.Drift(spans=())), atol=1e-4)


def test_populations_that_come_and_go_are_no_drift():
    """Cases first, then healthy ones, without drift: where they are known, they are not taken for it."""
    rng, at = np.random.default_rng(0), np.tile(np.arange(60), 2)
    domain = np.repeat(["a", "b"], 60)
    case = at < np.where(domain == "a", 40, 20)
    x = rng.normal(size=(120, 5)) + 4 * case[:, None]
    table = Cohort.from_arrays(x, domain, order=np.arange(120)).with_populations(case.astype(str))
    moved = jbc.fit(DIFFERENCE, table).transform(x, domain, order=np.arange(120)) - x
    assert np.sqrt(np.square(moved).mean()) < 0.2
    assert np.abs(moved[case].mean(axis=0) - moved[~case].mean(axis=0)).max() < 0.2


@pytest.mark.parametrize("n", [3, 6, 12, 400])
@pytest.mark.parametrize("d", [1, 40])
def test_curves_are_within_what_was_measured(n, d):
    rng = np.random.default_rng(n + d)
    t = np.sort(rng.uniform(0, 100, n))
    y = rng.normal(size=(n, d)).cumsum(axis=0)
    there = (rng.random((n, d)) < 0.8).astype(float)
    run = along(t, y * there, there)
    assert len(run.place) <= 150
    curve = shrunken_curves(run, np.ones(d), (0.4, 0.8, 1.5), np.linspace(run.place[0], run.place[-1], 9))
    assert np.isfinite(curve).all()
    assert (np.abs(curve) <= 2 * np.ptp(y, axis=0)).all()


@pytest.mark.parametrize("method", [DIFFERENCE, RATIO], ids=["difference", "ratio"])
def test_what_is_missing_takes_no_part(method):
    """Feature by feature: one that few controls have gets a line or a level, and others what they had."""
    x = RUN.x if method is RATIO else LOG
    holes = np.random.default_rng(0).random(x.shape) < 0.1
    holes[:, 0] = False
    few = np.flatnonzero(POOL & (RUN.domain == "batch 1"))
    holes[few[2:], 1] = True  # two controls are left
    holed = np.where(holes, np.nan, x)
    model = jbc.fit(method, cohort(holed))
    moved = model.transform(holed, RUN.domain, order=RUN.order)
    np.testing.assert_array_equal(np.isnan(moved), holes)
    assert np.ptp(model.fitted["points"][0], axis=0)[1] == 0
    both = [np.log(part) if method is RATIO else part for part in (moved, corrected(method, x))]
    assert np.sqrt(np.nanmean(np.square(both[0] - both[1]))) < 0.06
    assert np.nanmax(np.abs(both[0] - both[1])[:, 0]) < 0.1


def test_a_feature_that_no_control_has_is_left_alone_there():
    holed = np.where((RUN.domain == "batch 2")[:, None] & POOL[:, None] & (np.arange(12) == 4), np.nan, LOG)
    with pytest.warns(InputWarning, match=r"no control tells of in a domain: 'x4' in 'batch 2'"):
        model = jbc.fit(DIFFERENCE, cohort(holed))
    moved, here = model.transform(LOG, RUN.domain, order=RUN.order), RUN.domain == "batch 2"
    np.testing.assert_array_equal(moved[here, 4], LOG[here, 4].astype(np.float32))
    assert np.abs(moved - LOG)[here, 5].max() > 0
