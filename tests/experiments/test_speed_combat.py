"""The benchmark of ComBat: both sides do the same, and it runs."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import numpy as np
import pytest
from problems import experiment, quick_run


@pytest.fixture(scope="module")
def bench():
    return experiment("speed.combat")


def test_domains_differ_by_location_and_scale_before_and_not_after(bench):
    options = bench.Options(rows=300, features=20, domains=3)
    x, domain = bench.draw(options)
    corrected = bench.correction(bench.Side("jbc", ""), options)()
    for table, far in ((x, True), (corrected, False)):
        means = [table[domain == g].mean(axis=0) for g in range(3)]
        assert (np.std(means, axis=0).mean() > 0.5) == far


def test_both_sides_do_the_same(bench):
    if not find_spec("inmoose"):
        pytest.skip("inmoose (the extra `bench`) is not installed")
    options = bench.Options(rows=300, features=20, domains=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # inmoose has some of its own
        ours, theirs = (bench.correction(bench.Side(name, ""), options)() for name in ("jbc", "inmoose"))
    np.testing.assert_allclose(ours, theirs, atol=0.05)


@pytest.mark.slow
def test_quick_run(tmp_path):
    whats = quick_run("combat", tmp_path / "rows.json")
    assert len(set(whats)) == len(whats) == (7 if find_spec("inmoose") else 3)
