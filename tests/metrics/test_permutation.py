"""Shuffled labels keep what they must, and p values are uniform where labels mean nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from problems import refusal
from scipy import stats

from jbc import metrics


def design(seed: int = 0):
    """Return labels, domains and units: three replicates of 24 subjects, some of which are in both domains."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.repeat(["case", "control"], 12))
    home = np.repeat(["a", "b"], 12)
    label, domain, unit = (np.repeat(each, 3) for each in (label, home, np.arange(24)))
    domain[[1, 4, 40, 43]] = ["b", "b", "a", "a"]  # subjects 0, 1, 13 and 14 are in both
    return label, domain, unit


def test_a_shuffle_keeps_units_and_the_classes_of_domains():
    label, domain, unit = design()
    shuffled = metrics.shuffle_labels(label, domain=domain, unit=unit, shuffles=50)
    home = {each: "".join(sorted(set(domain[unit == each]))) for each in np.unique(unit)}
    homes = np.array([home[each] for each in unit])
    for each in shuffled:
        assert all(len(set(each[unit == one])) == 1 for one in home)
        assert pd.crosstab(homes, each).equals(pd.crosstab(homes, label))
    assert len({tuple(each) for each in shuffled}) > 40


def test_unknown_labels_stay_where_they_are_and_names_stay_as_they_are():
    label = np.array([0, 1, -1, 1, 0, -1, 0, 1])
    shuffled = metrics.shuffle_labels(label, shuffles=30)
    assert shuffled.dtype == label.dtype
    assert ((shuffled == -1) == (label == -1)).all()
    assert (np.sort(shuffled, axis=1) == np.sort(label)).all()


def test_every_order_is_equally_likely():
    shuffled = metrics.shuffle_labels(["u", "v", "w"], shuffles=3000)
    _, counts = np.unique(shuffled, axis=0, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 0.001


def test_p_agrees_with_scipy():
    rng = np.random.default_rng(0)
    label = np.repeat(["u", "v"], 15)
    x = rng.normal(size=30) + 0.6 * (label == "v")

    def score(y):
        return x[y == "v"].mean() - x[y == "u"].mean()

    found = metrics.permutation_test(score, label, shuffles=4000)
    theirs = stats.permutation_test(
        (x[label == "v"], x[label == "u"]), lambda a, b: a.mean() - b.mean(), n_resamples=4000,
        alternative="greater", rng=np.random.default_rng(1),
    )  # fmt: skip
    assert found.observed == pytest.approx(theirs.statistic)
    assert found.p == pytest.approx(theirs.pvalue, abs=4 * np.sqrt(2 * theirs.pvalue / 4000))


def share_below(level: float, unit: bool) -> float:
    """Return how often p is at most a level where labels mean nothing, but replicates of a subject are alike."""
    hits = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        owner = np.repeat(np.arange(16), 4)
        x = np.repeat(rng.normal(size=16), 4) + 0.1 * rng.normal(size=64)
        label = np.repeat(rng.permutation(16) < 8, 4)

        def score(y, x=x):
            return abs(x[y].mean() - x[~y].mean())

        units = {"unit": owner} if unit else {}
        hits.append(metrics.permutation_test(score, label, shuffles=19, seed=seed, **units).p <= level)
    return float(np.mean(hits))


def test_p_is_uniform_where_labels_mean_nothing():
    error = 4 * np.sqrt(0.1 * 0.9 / 300)
    assert share_below(0.1, unit=True) == pytest.approx(0.1, abs=error)
    assert share_below(0.1, unit=False) > 0.3  # rows of one subject are not independent


def test_ties_count_against_the_true_labels():
    assert metrics.PermutationTest(0.1 + 0.2, np.array([0.3, 0.2, 0.1])).p == 0.5
    assert metrics.PermutationTest(0.5, np.array([0.5] * 9)).p == 1.0
    assert metrics.PermutationTest(0.5, np.array([0.4] * 99)).p == 0.01


def test_refusals():
    with refusal("mixed-units") as caught:
        metrics.shuffle_labels(["u", "v", "u", "u"], unit=["s", "s", "t", "t"])
    assert "'s'" in str(caught.value)
    for options in ({"domain": ["a", "b"]}, {"unit": ["s", "t"], "domain": ["a", "b"]}, {"shuffles": 0}):
        with refusal("nothing-to-shuffle"):
            metrics.shuffle_labels(["u", "v"], **options)
    with refusal("nothing-to-shuffle"):
        metrics.shuffle_labels([None, -1])
    with refusal("bad-score"):
        metrics.permutation_test(lambda y: np.nan, ["u", "v"])
