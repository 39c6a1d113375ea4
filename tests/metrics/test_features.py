"""Tests of features against SciPy, one by one, and against what chance does where nothing differs."""

from __future__ import annotations

import numpy as np
import pytest
from problems import refusal
from scipy import stats

from jbc import metrics

DOMAINS = ("plate 1", "plate 2")


def table(d: int = 8, units: int = 20, seed: int = 0):
    """Return rows of two plates, three replicates of a subject; the first two features differ between classes."""
    rng = np.random.default_rng(seed)
    label = np.tile(["case", "control"], units)
    subject = rng.normal(size=(2 * units, d)) + 2.0 * np.outer(label == "case", np.arange(d) < 2)
    rows = np.repeat(np.arange(2 * units), 3)
    x = subject[rows] + 0.2 * rng.normal(size=(len(rows), d))
    return x, label[rows], np.repeat(DOMAINS, 3 * units), rows


def means(x, unit):
    return np.stack([x[unit == each].mean(axis=0) for each in np.unique(unit)])


@pytest.mark.parametrize("test", ["rank-sum", "welch"])
def test_p_is_that_of_scipy_on_means_of_units(test):
    x, label, domain, unit = table()
    found = metrics.differential_features(x, label, domain, unit=unit, positive="case", test=test)
    assert found.domains == DOMAINS
    assert found.units.tolist() == [[10, 10], [10, 10]]
    for g, name in enumerate(DOMAINS):
        case, control = (means(*(each[(domain == name) & (label == kind)] for each in (x, unit)))
                         for kind in ("case", "control"))  # fmt: skip
        for j in range(x.shape[1]):
            a, b = case[:, j], control[:, j]
            theirs = (
                stats.mannwhitneyu(a, b) if test == "rank-sum" else stats.ttest_ind(a, b, equal_var=False)
            )
            assert found.p[g, j] == pytest.approx(theirs.pvalue, rel=1e-9)
        np.testing.assert_allclose(found.difference[g], case.mean(axis=0) - control.mean(axis=0), atol=1e-12)
    assert found.selected().tolist() == [[True] * 2 + [False] * 6] * 2


def test_q_is_the_step_up_procedure():
    x, label, domain, unit = table(d=30)
    found = metrics.differential_features(x, label, domain, unit=unit)
    for p, q in zip(found.p, found.q, strict=True):
        order = np.argsort(p)
        largest = [k for k in range(30) if p[order[k]] <= 0.2 * (k + 1) / 30]
        assert set(np.flatnonzero(q <= 0.2)) == set(order[: largest[-1] + 1])
    assert (found.selected(adjusted=False) >= found.selected()).all()


def test_rows_are_averaged_by_unit():
    x, label, domain, unit = table()
    once = metrics.differential_features(means(x, unit), label[::3], domain[::3])
    found = metrics.differential_features(x, label, domain, unit=unit)
    np.testing.assert_allclose(found.p, once.p, rtol=1e-9)
    rows = metrics.differential_features(x, label, domain)
    assert np.median(rows.p[:, :2]) < 1e-3 * np.median(found.p[:, :2])


def test_a_move_and_scale_of_features_changes_no_rank_test():
    """Nor does any other increasing function: what is common between plates is not improved by such a correction."""
    x, label, domain, _ = table()
    found = metrics.differential_features(x, label, domain)
    moved = np.where((domain == DOMAINS[0])[:, None], np.exp(x), 3 * x - 7)
    np.testing.assert_array_equal(metrics.differential_features(moved, label, domain).p, found.p)


def test_unknown_labels_and_other_classes():
    x, label, domain, unit = table()
    label = label.astype(object)
    label[domain == DOMAINS[1]] = None
    found = metrics.differential_features(x, label, domain, unit=unit, positive="case")
    some = domain == DOMAINS[0]
    alone = metrics.differential_features(x[some], label[some], unit=unit[some])
    assert found.domains == DOMAINS[:1]
    np.testing.assert_allclose(found.p, alone.p)
    np.testing.assert_allclose(found.difference, -alone.difference)  # the last class is "control"
    three = np.where(unit % 3 == 0, "other", label)
    with refusal("which-class") as caught:
        metrics.differential_features(x, three, domain)
    assert "'other'" in str(caught.value)
    assert metrics.differential_features(x[some], three[some], positive="other").units.tolist() == [[39, 21]]


def test_constant_features_do_not_differ():
    x, label, domain, unit = table()
    x[:, 0] = 0.1
    for test in ("rank-sum", "welch"):
        found = metrics.differential_features(x, label, domain, unit=unit, test=test)
        assert (found.p[:, 0] == 1).all()
        assert np.isfinite(found.q).all()
        assert not metrics.biomarkers(x, label, domain, unit=unit, test=test, draws=3).frequency[:, 0].any()


def test_few_units_are_tested_exactly_and_ties_stay_ties():
    """A feature with ties does not cost the others their exact test, and means of equal replicates are equal."""
    rng = np.random.default_rng(0)
    label, x = np.repeat(["u", "v"], 6), rng.normal(size=(12, 3))
    x[:, 1] = [0.1, 0.1, 0.7, 0.1, 0.3, 0.1, 0.7, 0.7, 0.1, 0.9, 0.9, 0.7]
    times = rng.integers(1, 8, size=12)
    rows = np.repeat(np.arange(12), times)
    found = metrics.differential_features(x[rows], label[rows], unit=rows)
    expected = [stats.mannwhitneyu(x[label == "v", j], x[label == "u", j]).pvalue for j in range(3)]
    np.testing.assert_allclose(found.p[0], expected, rtol=1e-12)


def test_false_discoveries_are_controlled_where_nothing_differs():
    rng = np.random.default_rng(1)
    tables = 200
    label, domain = np.tile(["u", "v"], 20 * tables), np.repeat([f"{k:03d}" for k in range(tables)], 40)
    found = metrics.differential_features(rng.normal(size=(40 * tables, 25)), label, domain)
    any_found = found.selected().any(axis=1).mean()
    assert any_found <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / tables)
    assert found.selected(adjusted=False).mean() == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 5000))


@pytest.mark.slow
def test_what_the_docstring_says_of_bootstrap_samples_without_any_effect():
    rng = np.random.default_rng(0)
    label = np.repeat(["u", "v"], 60)
    found = metrics.biomarkers(rng.normal(size=(120, 6000)), label, test="welch", draws=40)
    assert found.frequency.mean() == pytest.approx(0.166, abs=0.02)
    assert found.selected.mean() < 0.004
    assert found.p[found.selected].max() < 0.01


def test_biomarkers_of_a_rule_of_ones_own():
    x, label, domain, unit = table()
    seen = []

    def select(rows, case):
        seen.append((rows.shape, int(case.sum())))
        return np.abs(rows[case].mean(axis=0) - rows[~case].mean(axis=0)) > 1

    found = metrics.biomarkers(x, label, domain, unit=unit, select=select, draws=20)
    assert found.selected.tolist() == [[True] * 2 + [False] * 6] * 2
    assert set(seen) == {((20, 8), 10)}  # units, and as many of either class as there are
    assert len(seen) == 40
    np.testing.assert_array_equal(found.p, metrics.differential_features(x, label, domain, unit=unit).p)


def test_refusals():
    x, label, domain, unit = table()
    with refusal("bad-setting"):
        metrics.differential_features(x, label, domain, test="t")
    with refusal("mixed-units"):
        metrics.differential_features(x, np.roll(label, 1), domain, unit=unit)
    with refusal("unknown-class"):
        metrics.differential_features(x, label, domain, positive="cases")
    with refusal("nothing-to-evaluate"):
        metrics.differential_features(x[:6], label[:6], unit=unit[:6])
    with refusal("missing-values"):
        metrics.differential_features(np.where(x > 2, np.nan, x), label, domain)
    for bad in (np.ones(3, bool), np.ones((2, 3)), np.ones((2, 0), bool)):
        with refusal("bad-shape"):
            metrics.overlap(bad)


def test_overlap_counts_like_sets():
    rng = np.random.default_rng(0)
    selected = rng.random((4, 60)) < 0.4
    found = metrics.overlap(selected)
    sets = [set(np.flatnonzero(each)) for each in selected]
    assert found.common == len(set.intersection(*sets))
    assert found.shared.tolist() == [[len(a & b) for b in sets] for a in sets]
    for member, size in zip(found.member, found.size, strict=True):
        inside = set.intersection(*(one for one, within in zip(sets, member, strict=True) if within))
        outside = set().union(*(one for one, within in zip(sets, member, strict=True) if not within))
        assert size == len(inside - outside) > 0
    assert found.size.sum() == len(set().union(*sets))
    drawn = [metrics.overlap(rng.permuted(selected, axis=1)).common for _ in range(2000)]
    assert found.expected == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(2000))


def test_sets_without_any_feature():
    found = metrics.overlap(np.zeros((2, 3), bool))
    assert (found.common, found.expected, found.member.shape, found.size.tolist()) == (0, 0.0, (0, 2), [])
