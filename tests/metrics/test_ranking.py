"""The ranking of variables: against adjusted R², against chance, and against SciPy's associations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from problems import refusal
from scipy.stats.contingency import association

from jbc import metrics


def adjusted(x, design):
    """Return the adjusted R² of redundancy analysis."""
    x, basis = x - x.mean(axis=0), np.column_stack([np.ones(len(x)), design])
    rest = x - basis @ np.linalg.lstsq(basis, x, rcond=None)[0]
    degrees = np.linalg.matrix_rank(basis) - 1
    return 1 - (rest**2).sum() / (x**2).sum() * (len(x) - 1) / (len(x) - 1 - degrees)


def by_name(found):
    return {each.name: each for each in found.variables}


def test_the_share_is_the_adjusted_r2_of_rows():
    rng = np.random.default_rng(0)
    plate, order = rng.permutation(np.repeat(list("abcd"), 30)), rng.normal(size=120)
    ranks = np.argsort(np.argsort(order)) / 120
    x = rng.normal(size=(120, 4)) + 0.5 * (plate == "b")[:, None] + np.outer(ranks, [0, 2, 0, -1])
    found = by_name(metrics.rank_variables(x, {"plate": plate, "order": order}, shuffles=600))
    assert (found["plate"].kind, found["plate"].levels) == ("categories", 4)
    assert (found["order"].kind, found["order"].levels) == ("numbers", 120)
    cubic = ranks[:, None] ** [1, 2, 3]
    assert found["plate"].share == pytest.approx(
        adjusted(x, pd.get_dummies(plate).to_numpy(float)), abs=0.004
    )
    assert found["order"].share == pytest.approx(adjusted(x, cubic), abs=0.004)


def test_components_are_those_of_a_picture():
    rng = np.random.default_rng(0)
    plate, sex = np.repeat(["a", "b"], 40), np.tile(["f", "m"], 40)
    x = 0.1 * rng.normal(size=(80, 5))
    x[:, 0] += 5 * (plate == "b")
    x[:, 1] += 2 * (sex == "m")
    found = metrics.rank_variables(x, {"sex": sex, "plate": plate})
    assert [each.name for each in found.variables] == ["plate", "sex"]
    shares = np.array([each.components[:2] for each in found.variables])
    np.testing.assert_allclose(shares, np.eye(2), atol=0.05)
    spread = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    np.testing.assert_allclose(found.component_share, (spread / spread.sum())[:3], rtol=1e-6)


def p_values(kind: str, unit: bool, tables: int = 200):
    """Return p values and shares of columns that mean nothing, where replicates of a subject are alike."""
    found = []
    for seed in range(tables):
        rng = np.random.default_rng(seed)
        owner = np.repeat(np.arange(24), 3)
        x = np.repeat(rng.normal(size=(24, 3)), 3, axis=0) + 0.2 * rng.normal(size=(72, 3))
        column = (
            rng.integers(4, size=24)[owner].astype(str)
            if kind == "categories"
            else rng.normal(size=24)[owner]
        )
        units = {"unit": owner} if unit else {}
        (each,) = metrics.rank_variables(x, {"column": column}, shuffles=19, seed=seed, **units).variables
        found.append((each.p, each.share))
    return np.array(found).T


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["categories", "numbers"])
def test_a_column_without_meaning_explains_nothing(kind):
    p, share = p_values(kind, unit=True)
    assert (p <= 0.1).mean() == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 200))
    assert share.mean() == pytest.approx(0, abs=4 * share.std() / np.sqrt(200))
    p, share = p_values(kind, unit=False)
    assert (p <= 0.1).mean() > 0.3  # rows of one subject are not independent
    assert share.mean() > 0.05


def test_many_levels_are_no_advantage():
    rng = np.random.default_rng(0)
    plate = np.repeat(["a", "b"], 60)
    x = rng.normal(size=(120, 3)) + (plate == "b")[:, None]
    noise = {f"noise {k}": rng.integers(40, size=120).astype(str) for k in range(40)}
    first, *others = metrics.rank_variables(x, noise | {"plate": plate}, shuffles=99).variables
    assert first.name == "plate"
    shares = [each.share for each in others]
    assert np.mean(shares) == pytest.approx(0, abs=4 * np.std(shares) / np.sqrt(40))
    one_hot = pd.get_dummies(noise["noise 0"]).to_numpy(float)
    fitted = one_hot @ np.linalg.lstsq(one_hot, x, rcond=None)[0]
    assert fitted.var(axis=0).sum() / x.var(axis=0).sum() > 0.25  # what is not adjusted


def test_rows_that_follow_one_another_in_a_run_are_shuffled_together():
    """Controls of one unit all over the run are not: their drift is seen."""
    rng = np.random.default_rng(0)
    order, x = np.arange(90.0), rng.normal(size=(90, 2))
    unit = np.where(np.arange(90) % 3 == 0, -7, np.arange(90) // 3).astype(str)  # every third is a control
    x[:, 0] += 0.05 * order
    (drift,) = metrics.rank_variables(x, {"order": order}, unit=unit).variables
    assert (drift.p, round(drift.share, 1)) == (0.005, 0.5)
    found = metrics.rank_variables(x, {"order": order}, unit=np.arange(90) // 45)
    assert found.left_out == {
        "order": "as many values as there are rows, or groups of rows that belong together"
    }


def test_confounded_columns_are_told():
    rng = np.random.default_rng(0)
    plate = rng.integers(6, size=150)
    table = pd.DataFrame(
        {
            "plate": pd.Categorical([f"p{k}" for k in plate]),
            "protocol": plate // 2,  # follows from the plate
            "order": 100 * plate + rng.random(150),
            "time": (1e6 * plate + 1e4 * rng.random(150)).astype("datetime64[s]"),
            "sex": rng.permutation(np.repeat(["f", "m"], 75)),
        }
    )
    found = metrics.rank_variables(rng.normal(size=(150, 3)), table, shuffles=9)
    pairs = {frozenset(pair[:2]): pair[2] for pair in found.confounded}
    assert pairs[frozenset({"plate", "protocol"})] == pytest.approx(1)
    assert pairs[frozenset({"plate", "order"})] > 0.98
    assert pairs[frozenset({"order", "time"})] > 0.95
    assert not any("sex" in pair for pair in pairs)
    counts = pd.crosstab(table.plate, table.sex).to_numpy()
    every = metrics.rank_variables(rng.normal(size=(150, 3)), table, shuffles=9, confounded=0).confounded
    values = {frozenset(pair[:2]): pair[2] for pair in every}
    assert values[frozenset({"plate", "sex"})] == pytest.approx(association(counts, method="cramer"))


def test_kinds_of_columns_and_unknown_values():
    rng = np.random.default_rng(0)
    age = rng.integers(20, 80, size=60).astype(float)
    age[:5] = np.nan
    table = {
        "age": age, "age group": age // 20, "day": np.arange(60) // 30, "one": ["u"] * 60,
        "row": np.arange(60), "number": np.arange(60) - 1, "name": [f"r{k}" for k in range(60)],
        "partly": ["a", "b", None] * 20,
    }  # fmt: skip
    found = metrics.rank_variables(rng.normal(size=(60, 2)), table, categories=["row"], shuffles=9)
    each = by_name(found)
    assert {name: (one.kind, one.rows) for name, one in each.items()} == {
        "age": ("numbers", 55), "age group": ("categories", 55), "day": ("categories", 60),
        "number": ("numbers", 60), "partly": ("categories", 40),
    }  # fmt: skip
    assert set(found.left_out) == {"one", "row", "name"}


def test_features_beyond_rows_and_rows_that_do_not_vary():
    rng = np.random.default_rng(0)
    plate = np.repeat(["a", "b"], 10)
    x = rng.normal(size=(20, 300)) + 0.5 * (plate == "b")[:, None]
    (wide,) = metrics.rank_variables(x, {"plate": plate}, shuffles=400).variables
    assert wide.share == pytest.approx(adjusted(x, (plate == "b")[:, None].astype(float)), abs=0.004)
    flat = metrics.rank_variables(np.ones((20, 2)), {"plate": plate})
    assert (flat.variables[0].share, flat.variables[0].p, flat.component_share.tolist()) == (0, 1, [0, 0])


def test_refusals():
    x = np.random.default_rng(0).normal(size=(6, 2))
    for table, options in (({}, {}), ({"plate": list("aabbcc")}, {"shuffles": 0})):
        with refusal("nothing-to-evaluate"):
            metrics.rank_variables(x, table, **options)
    with refusal("bad-length") as caught:
        metrics.rank_variables(x, {"plate": ["a", "b"]})
    assert "plate" in str(caught.value)
