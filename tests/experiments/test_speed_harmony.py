"""The benchmark of Harmony: both sides are told the same, and rows add up."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from problems import experiment, quick_run

import jbc


@pytest.fixture(scope="module")
def bench():
    return experiment("speed.harmony")


def test_both_sides_are_told_the_same(bench):
    theirs, ours = bench.SETTINGS["as published"]
    method = jbc.Harmony(components=None, **ours)
    assert (method.theta, method.ridge, method.sweeps) == tuple(
        theirs[name] for name in ("theta", "lamb", "max_iter_kmeans")
    )
    assert method.sweep_tolerance == theirs["epsilon_cluster"]
    assert method.tolerance == theirs["epsilon_harmony"]


def test_rows_are_medians_and_ratios_of_medians(bench):
    turns = {
        bench.Side("harmonypy", "harmonypy 2"): [{"s": s} for s in (4.0, 2.0, 3.0)],
        bench.Side("jbc", "harmonypy 2"): [
            {"s": s, "encode": 1.0, "compilation": 5.0} for s in (1.0, 2.0, 3.0)
        ],
    }
    rows = {row["what"]: row for row in bench.summary_rows(turns)}
    assert rows["harmonypy"]["value"] == 3
    ratio = rows["jbc against harmonypy"]
    np.testing.assert_allclose([ratio[name] for name in ("value", "low", "high")], [3 / 2, 1, 4])
    assert rows["jbc, fit and encode, against harmonypy"]["value"] == 1


@pytest.mark.slow
def test_quick_run(tmp_path):
    whats = quick_run("harmony", tmp_path / "rows.json")
    assert len(set(whats)) == len(whats) == (12 if find_spec("harmonypy") else 6)
