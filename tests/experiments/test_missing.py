"""The experiment on missing values: what is removed, what fills it, and that it runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from problems import experiment


@pytest.fixture(scope="module")
def work():
    return experiment("missing.run")


@pytest.fixture(scope="module")
def data(work):
    return work.load(quick=True)


@pytest.mark.parametrize("pattern", ["random", "low", "plate"])
def test_a_share_of_the_values_is_removed_and_others_stay(work, data, pattern):
    x = work.removed(data, pattern, 0.2, 0)
    lost = np.isnan(x)
    assert lost.mean() == pytest.approx(0.2, abs=0.01)
    np.testing.assert_array_equal(x[~lost], data.x.astype(float)[~lost])
    small = data.x < np.quantile(data.x, 0.3, axis=0)
    assert (small[lost].mean() > 0.8) == (pattern == "low")
    of_plates = [lost[data.plate == name].mean(axis=0) for name in np.unique(data.plate)]
    if pattern != "low":  # plates differ in what is small
        assert (np.ptp(of_plates, axis=0).mean() > 0.15) == (pattern == "plate")


@pytest.mark.parametrize("way", ["mean", "half of the minimum", "nearest rows"])
def test_gaps_are_filled_and_nothing_else_changes(work, data, way):
    holed = work.removed(data, "random", 0.2, 0)
    x, gap = work.filled(holed, way), np.isnan(holed)
    np.testing.assert_allclose(x[~gap], holed[~gap], rtol=1e-9)
    if way == "nearest rows":
        one = np.corrcoef(np.log1p(x[gap]), np.log1p(data.x[gap]))[0, 1]
        assert one > 0.5
    else:
        column = np.nanmean(holed, axis=0) if way == "mean" else np.nanmin(holed, axis=0) / 2
        np.testing.assert_allclose(x[gap], np.broadcast_to(column, x.shape)[gap])


def test_what_is_the_same_is_not_away(work, data):
    assert work.away(data.x, data.x) == 0
    assert work.away(np.where(data.x > 0, 2 * data.x, 0), data.x) > 0.1


@pytest.mark.slow
def test_it_runs(work, tmp_path, monkeypatch):
    out = tmp_path / "rows.json"
    argv = ["run.py", "--quick", "--patterns", "random", "--ways", "as they are", "mean", "--out", str(out)]
    monkeypatch.setattr("sys.argv", argv)
    work.main()
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert [(row["pattern"], row["way"]) for row in rows] == [
        ("none", "complete"),
        ("random", "as they are"),
        ("random", "mean"),
    ]
    assert all(0 < row["accuracy"] <= 1 for row in rows)
