"""The experiment on drift: what laboratories do is done as told, and scores know the truth."""

from __future__ import annotations

import numpy as np
import pytest
from problems import experiment


@pytest.fixture(scope="module")
def work():
    return experiment("drift.run")


@pytest.fixture(scope="module")
def run(work):
    return work.worlds.simulated(0, 6)


def test_the_median_is_that_of_the_controls(work, run):
    version = work.versions()["QC median"]
    held, every = work.corrected(version, run, 5)
    assert held.shape == (run.control.sum(), 6)
    levels = [np.median(every[run.control & (run.domain == name)], axis=0) for name in np.unique(run.domain)]
    np.testing.assert_allclose(levels[1:], [levels[0]] * 2, rtol=1e-4)


def test_a_plain_curve_is_level_afterwards(work, run):
    t = run.order % 100
    smooth = run._replace(x=np.exp(3 + 0.01 * t)[:, None] * np.ones(6))
    _, every = work.corrected(work.versions()["QC-LOESS, plain"], smooth, 5)
    assert np.ptp(np.log(every)) < 0.05


def test_the_truth_has_no_error_and_drift_is_better_than_nothing(work, run):
    perfect = work.scores(run.clean[run.control], run.clean, run)
    assert perfect["error"] < 1e-6
    assert perfect["RSD"] < 1e-4
    names = ("measured", "Drift", "Drift, no controls")
    found = {name: work.scores(*work.corrected(work.versions()[name], run, 5), run) for name in names}
    assert found["Drift"]["error"] < found["Drift, no controls"]["error"] < found["measured"]["error"]


def test_every_method_has_a_row_for_every_score(work, run):
    options = work.Options(methods=("measured", "QC median"), folds=3)
    rows = work.compare("simulated", [run, work.worlds.simulated(1, 6)], options)
    assert len(rows) == 2 * 4
    table = work.page.markdown(rows)
    assert table.count("\n|") == 4
    assert "±" in table
