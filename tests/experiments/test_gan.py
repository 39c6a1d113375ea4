"""The experiment on two days of cells: what it fits to, what it judges, and that distance is not all it looks at."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from problems import experiment

import jbc
from jbc.cohort import Cohort
from jbc.data.simulate.plates import simulate_shift
from jbc.methods.inputs import Inputs
from jbc.methods.settings import Training


@pytest.fixture(scope="module")
def work():
    return experiment("gan.run")


@pytest.fixture(scope="module")
def options(work):
    return work.Options(seeds=2, rows=60, draws=5, steps=2)


def two_days(*, swapped: bool = False) -> Cohort:
    world = simulate_shift(0, n_per_domain=240, n_features=4)
    day = np.where(world.domain == "domain 1", "day 1", "day 2")
    label = np.where(world.label == "class 0", 0, 1)
    return Cohort.from_arrays(world.x, day, label=np.where(swapped & (day == "day 2"), 1 - label, label))


@pytest.fixture(scope="module")
def cohort():
    return two_days()


def judge(work, options, cohort, x):
    at = work.days(cohort, work.random_halves(cohort, 1)[0])
    return work.score(x, at, work.bandwidths(cohort), 0, options.rows, options.draws).values


def test_halves_are_of_every_day_and_disjoint(work, cohort):
    halves = work.random_halves(cohort, 3)
    assert (halves[0] != halves[1]).any()
    for half in halves:
        at = work.days(cohort, half)
        assert [rows.sum() for rows in at[:4]] == [120] * 4
        assert (np.sum(at[:4], axis=0) == 1).all()


@pytest.mark.slow
def test_a_preparation_comes_first(work, cohort):
    halves = work.random_halves(cohort, 2)
    first, then = work.Version(jbc.Standardise()), work.Version(jbc.QuantileMap())
    (found,) = work.correct(then._replace(first=first.method), cohort, halves, None)
    for x, half in zip(found, halves, strict=True):
        ((once,),) = work.correct(first, cohort, half[None], None)
        ((twice,),) = work.correct(then, dataclasses.replace(cohort, x=once), half[None], None)
        np.testing.assert_array_equal(x, twice)


@pytest.mark.slow
def test_nothing_is_fitted_to_cells_that_are_held_out_or_to_labels_of_day_2(work, cohort):
    halves, other = work.random_halves(cohort, 2), two_days(swapped=True)
    joint = work.Version(jbc.JointCalibration(members=1, training=Training(rows=8), inputs=Inputs(log=False)))
    told = work.correct(joint, cohort, halves, 2)[0]
    np.testing.assert_array_equal(told, work.correct(joint, other, halves, 2)[0])
    shift = work.Version(jbc.Standardise())
    for half, x in zip(halves, work.correct(shift, cohort, halves, None)[0], strict=True):
        at = work.days(cohort, half)
        np.testing.assert_allclose(x[at.seen_source].mean(axis=0), x[at.seen_target].mean(axis=0), atol=1e-4)
        assert np.abs(x[at.source].mean(axis=0) - x[at.target].mean(axis=0)).max() > 0.01


def test_a_small_distance_can_cost_the_label(work, options, cohort):
    """Cells of day 1 that are replaced by any of day 2 have no distance from these, and no label."""
    x = np.asarray(cohort.x)
    at = work.days(cohort, work.random_halves(cohort, 1)[0])
    before = judge(work, options, cohort, x)
    lost = x.copy()
    for source, target in ((at.source, at.target), (at.seen_source, at.seen_target)):
        lost[source] = np.random.default_rng(0).permutation(x[target])
    after = judge(work, options, cohort, lost)
    assert before["excess"] > 100 > 10 > after["excess"]
    assert before["AUC within"] > 0.9 > 0.7 > after["AUC within"]
    best = work.score_target(x, at, before["floor"])
    assert best["balanced"] > 0.85 > 0.7 > after["balanced"]


def test_nothing_is_gained_by_shrinking_both_days(work, options, cohort):
    whole, small = (judge(work, options, cohort, scale * np.asarray(cohort.x)) for scale in (1.0, 0.01))
    assert whole == pytest.approx(small, rel=1e-4)


def test_published_methods_are_compared_as_they_are(work):
    found = work.versions(500)
    assert found["joint, as printed"].method == jbc.presets.joint("cytof", training=Training(epochs=500))
    assert found["joint, as printed"].raw
    directed = [v.method for v in found.values() if hasattr(v.method, "route")]
    assert len(directed) == 7
    assert {method.route.target for method in directed} == {"day 2"}
    assert not any(method.inputs.log for method in directed)


@pytest.mark.slow
def test_table_and_figures_come_from_the_same_cells(work, options, cohort, tmp_path, monkeypatch):
    joint = jbc.JointCalibration(members=1, training=Training(rows=8), inputs=Inputs(log=False))
    few = {
        "measured": work.Version(None),
        "Standardise": work.Version(jbc.Standardise()),
        "joint": work.Version(joint, ("transform", "encode"), raw=True, slow=True),
    }
    monkeypatch.setattr(work, "versions", lambda *given: few)
    shown = {"measured": "measured", "joint: decoded": "joint"}
    for panels in ("PICTURED", "BOXED"):
        monkeypatch.setattr(work.figures, panels, shown)
    rows, found = work.compare("cytof-person1", cohort, options)
    assert set(found) == {"measured", "Standardise", "joint: decoded", "joint: codes"}
    table = {(row["method"], row["metric"]): row for row in rows}
    assert table["Standardise", "MMD"]["mean"] < 0.7 * table["measured", "MMD"]["mean"]
    assert table["joint: codes", "MMD"]["seeds"] == 2
    values = [each.values["AUC"] for each in found["measured"]]
    assert table["measured", "AUC"]["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-4)
    line = next(line for line in work.page.markdown(rows).splitlines() if line.startswith("| day 2 itself"))
    assert f"{table['day 2 itself', 'MMD']['mean']:.3f} ± " in line

    drawn = work.Drawn(found, cohort, work.days(cohort, work.random_halves(cohort, 1)[0]))
    work.figures.pictures(tmp_path, {"cytof-person1": drawn})
    work.figures.boxes(tmp_path, {"cytof-person1": drawn})
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(files) == {"gan_pca.png", "gan_mmd.png"}
    assert all(each.startswith(b"\x89PNG") for each in files.values())


def test_what_is_said_follows_from_the_numbers(work):
    left = {"measured": 70.0, "Standardise": 2.0, "GAN, as printed": 20.0, "GAN": 1.0}
    found = {method: [{"excess": value, "AUC within": 0.9}] for method, value in left.items()}
    said = work.page.conclusions(list(work.summary_rows("cytof-person1", found)))
    assert said.startswith("- Person 1: of 70.0 above the floor, `Standardise` leaves 2.00, our GAN 1.00")
    assert "*GAN* the least" in said
