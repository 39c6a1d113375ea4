"""The experiment on screens: what it stops by, what it prints and draws, and its diagnosis."""

from __future__ import annotations

import numpy as np
import pytest
from problems import experiment

from jbc import Standardise, metrics
from jbc.data.simulate.screen import simulate_screen
from jbc.methods.distance_alignment import DistanceAlignment


@pytest.fixture(scope="module")
def work():
    return experiment("wasserstein.screens")


@pytest.fixture(scope="module")
def page():
    return experiment("wasserstein.page")


@pytest.fixture(scope="module")
def why():
    return experiment("wasserstein.diagnosis")


@pytest.fixture(scope="module")
def screen(work):
    world = simulate_screen(
        0, n_domains=3, n_treatments=24, n_replicates=3, n_controls=8, n_mechanisms=4, n_features=8
    )
    about = world.domain, world.treatment, world.compound, world.label, world.control
    return work.Screen(world.x.astype(np.float64), *about)


@pytest.mark.slow
def test_a_compound_is_scored_at_the_step_that_is_best_for_the_others(work, screen):
    """Of noise and the rows themselves, every compound is scored on the rows: the others are better there."""
    noise = np.random.default_rng(0).normal(size=screen.x.shape)
    found = work.Corrected("x", [noise, screen.x, noise[::-1]], (0, 7, 14))
    told = {each.name: each for each in work.stop_early(work.score(found, screen))}
    x = work.centre_on_controls(screen.x, screen)
    for name, far in (("NSC", False), ("NSCB", True)):
        expected = metrics.mechanism_knn(x, across_domains=far, **screen.about).score
        for rule in ("x, by neighbours", "x, by silhouette"):
            assert told[rule].step == 7
            assert told[rule].x is screen.x
            values = work.mean_over_points(told[rule].points)
            np.testing.assert_allclose([values[f"{name} {k}"] for k in range(1, 5)], expected)
            pooled = metrics.mechanism_knn(x, across_domains=far, count="possible", **screen.about).score
            np.testing.assert_allclose([values[f"{name} {k}, possible"] for k in range(1, 5)], pooled)


@pytest.mark.slow
def test_bootstraps_stop_by_themselves(work, screen):
    draws = metrics.bootstrap_weights(screen.treatment, screen.domain, draws=3)
    found = work.Corrected("x", [screen.x, 0.9 * screen.x + 1], (0, 1))
    for told in work.stop_early(work.score(found, screen, draws)):
        values = work.mean_over_points(told.points)
        assert {each.shape for each in values.values()} == {(3,)}
        assert len(values) == 17


@pytest.mark.slow
def test_trainings_begin_with_the_rows_as_they_were(work, screen):
    method = DistanceAlignment(rows=4, distance="gaussian", updates=20)
    found = work.align("ours", method, screen, 2, shared=True)
    assert found.steps == (0, 10, 20)
    np.testing.assert_array_equal(found.versions[0], screen.x)
    moved = [np.linalg.norm(x - screen.x) for x in found.versions]
    assert 0 == moved[0] < moved[1] < moved[2]
    assert work.last_version(found) == ("ours", found.versions[2:], (20,))


def test_a_line_holds_the_value_and_the_spread(work, page):
    rows = [work.screen_row("bbbc021", "ours", "NSC 1", 0.9, np.array([0.7, 0.9]), 3)]
    rows += [
        work.screen_row("bbbc021", "TVN", name, 0.8, np.array([0.7, 0.9])) for name in ("NSC 1", "NSC 2")
    ]
    columns = {"NSC 1": "NSC 1", "NSC 2": "NSC 2"}
    assert page.methods_table(rows, columns, "value", step=True).splitlines()[2:] == [
        "| ours | 3 | 0.900 |  |",
        "| TVN |  | 0.800 | 0.800 |",
    ]
    assert page.methods_table(rows, columns, "mean", spread=["NSC 1"]).splitlines()[2:] == [
        "| ours | 0.800 ± 0.141 |  |",
        "| TVN | 0.800 ± 0.141 | 0.800 |",
    ]
    assert page.conclusions(rows) == ""


@pytest.mark.slow
def test_a_table_has_every_method_by_every_rule(work, screen, monkeypatch):
    program = experiment("wasserstein.run")
    monkeypatch.setattr(work, "domain_visibility", lambda *given: {"domain, floor": np.array([0.5])})
    trained = work.Corrected("ours, critics", [screen.x, 0.9 * screen.x + 1], (0, 5))
    found = [work.Corrected("TVN", [screen.x]), work.correct("centred", work.CENTRE, screen), trained]
    options = program.Options(draws=3, forests=1)
    rows = program.compare("bbbc021", "TVN", found, screen, options)
    methods = {"TVN", "TVN, centred", *(f"TVN, ours, critics, {rule}" for rule in work.STOPPED)}
    assert {row["method"] for row in rows} == methods
    assert len(rows) == 4 * 18


def test_halves_are_of_every_treatment_and_domain(why, screen):
    half = why.halves(screen, 0)
    for treatment in np.unique(screen.treatment):
        for domain in np.unique(screen.domain):
            cell = half[(screen.treatment == treatment) & (screen.domain == domain)]
            assert cell.sum() == len(cell) // 2
    assert (half != why.halves(screen, 1)).any()


def test_what_lies_between_domains_is_estimated_without_bias(work, why):
    rng = np.random.default_rng(0)
    domain = np.repeat(["a", "b", "c", "d"], 2000)
    known = np.full(len(domain), "x")
    x = rng.normal(size=(len(domain), 3))
    wells = work.Screen(x, domain, known, known, known, np.ones(len(domain), bool))
    assert abs(why.between(wells, x, wells.control)) < 1e-3
    apart = x + np.repeat([0, 0, 1, 1], 2000)[:, None] * np.sqrt(3)  # variance 1 between four domains
    assert why.between(wells, apart, wells.control) == pytest.approx(0.5, abs=0.02)


@pytest.mark.slow
def test_maps_of_both_halves_agree_about_a_shift_and_not_about_noise(why, screen):
    x = np.where((screen.domain == "domain 1")[:, None], screen.x + 5, screen.x)
    shifted, half = screen._replace(x=x), why.halves(screen, 0)
    method = Standardise(scale=False, on="controls")
    both = [why.fitted_on(method, shifted, seen, shared=False) for seen in (half, ~half)]
    *lengths, agree = (value for each in why.movement(shifted, *both) for value in each.values())
    assert min(lengths) > 0.3
    assert agree > 0.9
    noise = [x + each for each in np.random.default_rng(0).normal(size=(2, *x.shape))]
    assert abs(why.movement(shifted, *noise)[-1]["halves agree"]) < 0.2
    told = why.effect(shifted, both[0], half)
    assert (
        told["between domains, seen"] < 0 < told["between domains, held out"] < why.between(shifted, x, half)
    )


def test_a_week_that_hints_at_the_mechanism_is_told(why, work, page):
    compound = np.array(["a", "b", "c", "d"])
    mechanism, week = np.array(["u", "u", "v", "u"]), np.array(["1", "1", "2", "2"])
    x = np.eye(4)
    told = why.design(work.Screen(x, week, compound, compound, mechanism, np.zeros(4, bool)))
    assert told == {page.SAME_WEEK: 0.5, page.OTHER_WEEK: 0.5}
    rows = [
        work.screen_row("diagnosis", "BBBC021", name, share, np.array([share]))
        for name, share in told.items()
    ]
    assert "in 50.0% of pairs" in page.conclusions(rows)
