"""The experiment on screens: what it stops by, what it prints."""

from __future__ import annotations

import numpy as np
import pytest
from problems import experiment

from jbc import WassersteinAlignment, metrics
from jbc.data.simulate_screen import simulate_screen

pytestmark = pytest.mark.usefixtures("quick_file")


@pytest.fixture(scope="module")
def work():
    return experiment("wasserstein")


@pytest.fixture(scope="module")
def screen(work):
    world = simulate_screen(
        0, n_domains=3, n_treatments=24, n_replicates=3, n_controls=8, n_mechanisms=4, n_features=8
    )
    about = world.domain, world.treatment, world.compound, world.label, world.control
    return work.Screen(world.x.astype(np.float64), *about)


def test_a_compound_is_scored_at_the_step_that_is_best_for_the_others(work, screen):
    """Of noise and the rows themselves, every compound is scored on the rows: the others are better there."""
    noise = np.random.default_rng(0).normal(size=screen.x.shape)
    found = work.Corrected("x", [noise, screen.x, noise[::-1]])
    told = {each["method"]: each for each in work.mechanisms(found, screen, None)}
    x = work.centred(screen.x, screen)
    for name, far in (("NSC", False), ("NSCB", True)):
        expected = metrics.mechanism_knn(x, across_domains=far, **screen.about).score
        for rule in ("x, by neighbours", "x, by silhouette"):
            assert told[rule]["step"] == 1
            np.testing.assert_allclose(
                [work.averages(told[rule])[f"{name} {k}"] for k in range(1, 5)], expected
            )


def test_bootstraps_stop_by_themselves(work, screen):
    draws = metrics.bootstrap_weights(screen.treatment, screen.domain, draws=3)
    found = work.Corrected("x", [screen.x, 0.9 * screen.x + 1])
    for told in work.mechanisms(found, screen, draws):
        values = work.averages(told)
        assert {each.shape for each in values.values()} == {(3,)}
        assert len(values) == 9


def test_trainings_begin_with_the_rows_as_they_were(work, screen):
    method = WassersteinAlignment(rows=4, distance="gaussian", updates=20)
    found = work.aligned("ours", method, screen, 2, shared=True)
    assert len(found.versions) == 3
    np.testing.assert_array_equal(found.versions[0], screen.x)
    moved = [np.linalg.norm(x - screen.x) for x in found.versions]
    assert 0 == moved[0] < moved[1] < moved[2]
    assert len(work.last(found).versions) == 1


def test_a_line_holds_the_value_and_the_spread(work):
    told = {"method": "ours", "step": 3.0}
    rows = [work.row("bbbc021", told, "NSC 1", 0.9, np.array([0.7, 0.9]))]
    assert work.markdown(rows).splitlines()[-1] == "| ours | 0.900; 0.800 ± 0.141 |"
    rows = [work.row("screen", told, "NSC 1", 0.8, np.array([0.7, 0.9]))]
    assert work.markdown(rows).splitlines()[-1] == "| ours | 0.800 ± 0.141 |"
