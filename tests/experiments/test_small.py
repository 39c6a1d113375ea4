"""The experiment on few rows: its measure, and a quick run."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from problems import EXPERIMENTS, QUICK, experiment


@pytest.fixture(scope="module")
def work():
    return experiment("small.rows")


def test_the_error_is_what_no_line_explains(work):
    """Units do not matter, noise of one deviation leaves the root of one half."""
    draw = np.random.default_rng(0)
    clean = draw.normal(size=(20_000, 2))
    assert work.error(3 * clean + 7, clean) == pytest.approx(0, abs=1e-6)
    assert work.error(clean + draw.normal(size=clean.shape), clean) == pytest.approx(0.5**0.5, abs=0.01)
    assert work.error(draw.normal(size=clean.shape), clean) == pytest.approx(1, abs=0.01)


def test_rows_of_the_fit_are_not_those_that_are_scored(work):
    world = work.simulate_shift(0, n_per_domain=20, n_domains=3)
    few = work.fitted_to(world, 4, seed=1)
    assert np.unique(world.domain[few], return_counts=True)[1].tolist() == [4, 4, 4]


def test_centring_helps_the_more_the_more_rows_there_are(work):
    found = [work.measure("centred", work.Options(), rows, 0.5, seed=0) for rows in (4, 32)]
    assert found[1] < found[0] < 1


@pytest.mark.slow
def test_a_quick_run_writes_and_prints(tmp_path):
    out = tmp_path / "rows.json"
    done = subprocess.run(
        [sys.executable, EXPERIMENTS / "small" / "rows.py", "--quick", "--out", out],
        env=os.environ | QUICK | {"PYTHONPATH": str(EXPERIMENTS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())["rows"]
    assert {row["rows"] for row in rows} == {4, 8}
    assert "| centred |" in done.stdout
