"""Metrics against scikit-learn, against sums written out, and against worlds whose answer is known."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as theirs
from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel

from jbc import metrics
from jbc.errors import InputError, InputWarning
from jbc.metrics.domains import _folds
from jbc.metrics.evaluate import REST


def problem(classes: int, n: int = 200, ties: bool = False, seed: int = 0):
    """Draw a truth and probabilities that know something about it."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    y[:classes] = np.arange(classes)
    score = rng.dirichlet(np.ones(classes), size=n) + 0.4 * np.eye(classes)[y]
    probability = score / score.sum(axis=1, keepdims=True)
    if ties:
        probability = np.round(probability, 1)
        probability /= probability.sum(axis=1, keepdims=True)
    return y, probability


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("names", ["codes", "text"])
def test_agrees_with_scikit_learn(classes, ties, names):
    y, probability = problem(classes, ties=ties)
    predicted = probability.argmax(axis=1)
    if names == "text":
        text = np.array([f"class {k}" for k in range(classes)])
        y, predicted = text[y], text[predicted]
    average = "binary" if classes == 2 else "macro"
    positive = {"pos_label": np.unique(y)[-1]} if classes == 2 else {}
    expected = {
        "accuracy": theirs.accuracy_score(y, predicted),
        "f_score": theirs.f1_score(y, predicted, average=average, **positive),
        "mcc": theirs.matthews_corrcoef(y, predicted),
        "auc": theirs.roc_auc_score(y, probability[:, 1] if classes == 2 else probability, multi_class="ovr"),
        "auc_hard": np.mean([theirs.roc_auc_score(y == k, predicted == k) for k in np.unique(y)]),
    }
    assert metrics.classification_report(y, probability=probability) == pytest.approx(expected, rel=1e-12)
    if classes == 2:
        assert expected["auc_hard"] == pytest.approx(theirs.balanced_accuracy_score(y, predicted))


def test_confusion_matrices_are_those_of_scikit_learn():
    y, probability = problem(4)
    predicted = probability.argmax(axis=1)
    found = metrics.confusion_matrix(y, predicted)
    assert found.classes == (0, 1, 2, 3)
    np.testing.assert_array_equal(found.counts, theirs.confusion_matrix(y, predicted))
    np.testing.assert_allclose(found.recall, theirs.confusion_matrix(y, predicted, normalize="true"))
    named = metrics.confusion_matrix(y, predicted, classes=[3, 1, 0, 2, 7])
    np.testing.assert_array_equal(named.counts, theirs.confusion_matrix(y, predicted, labels=[3, 1, 0, 2, 7]))


def test_auc_by_counting_pairs():
    rng = np.random.default_rng(3)
    y, p = rng.integers(2, size=60), rng.integers(5, size=60) / 4
    pairs = [(a > b) + 0.5 * (a == b) for a in p[y == 1] for b in p[y == 0]]
    assert metrics.auc(y, p) == pytest.approx(np.mean(pairs), rel=1e-12)


def test_the_same_from_one_column_two_columns_and_a_series():
    y, probability = problem(2)
    one = metrics.classification_report(y, probability=probability[:, 1])
    assert one == metrics.classification_report(y, probability=probability)
    assert one == metrics.classification_report(pd.Series(y), probability=pd.DataFrame(probability))


def test_positive_class():
    y, guess = [0, 0, 0, 1, 1], [0, 0, 1, 1, 0]
    assert metrics.f_score(y, guess) == pytest.approx(0.5)
    assert metrics.f_score(y, guess, positive=0) == pytest.approx(2 / 3)
    assert metrics.f_score(y, guess, classes=[1, 0]) == pytest.approx(2 / 3)
    # Without the list of classes nothing tells that 0 is the negative one.
    assert metrics.f_score([0, 0], [0, 0]) == 1
    assert metrics.f_score([0, 0], [0, 0], classes=[0, 1]) == 0


def test_predictions_of_a_class_that_the_truth_lacks():
    y, guess = ["a", "a", "b", "b"], ["a", "c", "b", "b"]
    assert metrics.f_score(y, guess) == pytest.approx(np.mean([2 / 3, 1, 0]))
    # A class that occurs nowhere does not count.
    assert metrics.f_score(y, guess, classes=["a", "b", "c", "d"]) == metrics.f_score(y, guess)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert metrics.mcc(y, guess) == pytest.approx(theirs.matthews_corrcoef(y, guess))
    assert metrics.auc_hard(y, guess) == pytest.approx((0.75 + 1) / 2)


def test_auc_averages_over_the_classes_that_occur():
    y, probability = problem(3)
    keep = y != 2
    y, probability = y[keep], probability[keep]
    expected = np.mean([theirs.roc_auc_score(y == k, probability[:, k]) for k in (0, 1)])
    assert metrics.auc(y, probability, classes=[0, 1, 2]) == pytest.approx(expected)


def test_a_truth_with_one_class():
    report = metrics.classification_report([1, 1], probability=[0.7, 0.4], classes=[0, 1])
    assert report == {"accuracy": 0.5, "f_score": pytest.approx(2 / 3), "mcc": 0.0}
    with pytest.raises(InputError, match="single class: 1"):
        metrics.auc([1, 1], [0.7, 0.4], classes=[0, 1])
    with pytest.raises(InputError, match="single class"):
        metrics.auc_hard([1, 1], [1, 0])


@pytest.mark.parametrize("unknown", [-1, None, math.nan, "", pd.NA, np.float32("nan")])
def test_unknown_truth_is_refused(unknown):
    y = np.array([0, 1, unknown], dtype=object)
    for call in (metrics.accuracy, metrics.f_score, metrics.mcc, metrics.auc_hard):
        with pytest.raises(InputError, match=r"True labels that are unknown.*: 2"):
            call(y, [0, 1, 1])
        with pytest.raises(InputError, match=r"Predicted labels that are unknown.*: 2"):
            call([0, 1, 1], y)
    with pytest.raises(InputError, match="unknown"):
        metrics.auc(y, [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: metrics.accuracy([], []), "unknown-labels"),
        (lambda: metrics.accuracy([0, 1], [0]), "bad-length"),
        (lambda: metrics.accuracy(["0", "1"], [0, 1]), "mixed-labels"),
        (lambda: metrics.f_score([0, 1], [0, 2], classes=[0, 1]), "unknown-class"),
        (lambda: metrics.f_score([0, 1], [0, 1], positive="1"), "unknown-class"),
        (lambda: metrics.auc([0, 1], [[0.1, 0.2, 0.7]] * 2), "bad-probabilities"),
        (lambda: metrics.auc([0, 1], [0.1]), "bad-probabilities"),
        (lambda: metrics.auc([0, 1], [-3.0, 2.0]), "bad-probabilities"),
        (lambda: metrics.auc([0, 1], [0.1, math.nan]), "bad-probabilities"),
        (lambda: metrics.classification_report([0, 1]), "no-predictions"),
        (lambda: metrics.mmd([[1.0]], [[1.0, 2.0]]), "bad-width"),
        (lambda: metrics.mmd([[1.0]], [[math.nan]]), "empty-feature"),
        (lambda: metrics.mmd([[1.0], [2.0]], [[math.nan], [1.0]]), "missing-values"),
        (lambda: metrics.mmd([[1.0]], [[1.0]], bandwidths=[0.0]), "bad-bandwidths"),
        (lambda: metrics.mmd([[1.0]], [[1.0]], rows=0), "bad-draws"),
        (lambda: metrics.mmd_within([[1.0]]), "too-few-rows"),
        (lambda: metrics.mmd_within([[1.0], [2.0]], unit=[7, 7]), "too-few-rows"),
        (lambda: metrics.domain_accuracy([[1.0], [2.0]], ["a", "a"]), "too-few-rows"),
        (lambda: metrics.domain_accuracy([[1.0], [2.0], [3.0]], ["a", "a", "b"]), "too-few-rows"),
        (lambda: metrics.label_accuracy([[1.0], [2.0]], ["a", ""]), "missing-label"),
        (lambda: metrics.evaluate([[1.0], [2.0]], ["a", "a"]), "nothing-to-evaluate"),
        (lambda: metrics.evaluate([[1.0]], ["a"], [""], predicted=[1]), "nothing-to-evaluate"),
    ],
)  # fmt: skip
def test_bad_input(call, code):
    with pytest.raises(InputError) as error:
        call()
    assert error.value.code == code


def biased_mmd(a, b, sigmas):
    """The definition, with scikit-learn's kernel and one plain mean per block."""
    blocks = [[np.mean([rbf_kernel(u, v, 0.5 / s**2) for s in sigmas]) for v in (a, b)] for u in (a, b)]
    return math.sqrt(blocks[0][0] + blocks[1][1] - blocks[0][1] - blocks[1][0])


def test_mmd_is_the_definition():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 4)), rng.normal(size=(17, 4)) * 2
    sigmas = [0.5, 1.3, 4.0]
    # With fewer rows than asked for, every draw is the whole table.
    found = metrics.mmd(a, b, draws=2, bandwidths=sigmas)
    assert found == pytest.approx([biased_mmd(a, b, sigmas)] * 2, rel=1e-5)
    everything = np.concatenate([a, b])
    median = np.median(euclidean_distances(everything)[np.triu_indices(37, k=1)])
    assert metrics.median_bandwidth(everything) == pytest.approx(median, rel=1e-5)
    assert metrics.mmd(a, b, draws=1)[0] == pytest.approx(
        biased_mmd(a, b, median * np.array([0.25, 0.5, 1, 2, 4])), rel=1e-5
    )


def test_mmd_does_not_depend_on_an_offset_or_a_scale():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(40, 6)), rng.normal(size=(40, 6)) + 0.5
    plain = metrics.mmd(a, b, draws=3, rows=20)
    assert metrics.mmd(a * 1000 + 50_000, b * 1000 + 50_000, draws=3, rows=20) == pytest.approx(
        plain, abs=1e-3
    )


def test_mmd_draws():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(400, 3)), rng.normal(size=(300, 3))
    one = metrics.mmd(a, b, rows=50)
    assert one.shape == (30,)
    assert one.std() > 0
    assert np.array_equal(one, metrics.mmd(a, b, rows=50))
    assert not np.array_equal(one, metrics.mmd(a, b, rows=50, seed=1))
    assert np.isfinite(metrics.mmd(a[:1], b[:1])).all()


def test_mmd_of_nothing_different_meets_its_floor_and_a_shift_passes_it():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(800, 5)), rng.normal(size=(800, 5))
    sigmas = metrics.bandwidth_ladder(np.concatenate([a, b]))
    floor = metrics.mmd_within(a, rows=200, bandwidths=sigmas).mean()
    assert metrics.mmd(a, b, rows=200, bandwidths=sigmas).mean() == pytest.approx(floor, rel=0.1)
    assert metrics.mmd(a, b + 0.5, rows=200, bandwidths=sigmas).mean() > 2 * floor
    # In expectation a squared biased MMD of equal distributions is (2 / rows) (1 - mean kernel).
    kernel = np.mean([rbf_kernel(a, b, 0.5 / s**2).mean() for s in sigmas])
    assert floor == pytest.approx(math.sqrt(2 / 200 * (1 - kernel)), rel=0.1)


def test_floor_keeps_replicates_in_one_half():
    rng = np.random.default_rng(5)
    unit = np.repeat(np.arange(40), 5)
    a = rng.normal(size=(40, 3))[unit]
    split = metrics.mmd_within(a, rows=100).mean()
    whole = metrics.mmd_within(a, unit=unit, rows=100).mean()
    apart = metrics.mmd(a, rng.normal(size=(40, 3))[unit], rows=100).mean()
    assert split < 0.6 * whole
    assert whole > 0.8 * apart


@pytest.mark.parametrize(
    ("x", "expected"), [(np.zeros((10, 2)), 1.0), (np.r_[np.zeros((9, 2)), [[3e5, 4e5]]], 5e5)]
)
def test_median_bandwidth_is_positive_on_coinciding_rows(x, expected):
    assert metrics.median_bandwidth(x) == pytest.approx(expected)
    assert np.isfinite(metrics.mmd(x, x, rows=5)).all()


def test_mmd_within_one_day_is_as_small_as_the_papers_print(data):
    days = [np.loadtxt(data / "CyTOF" / f"Person1Day{k}_baseline.csv", delimiter=",") for k in (1, 2)]
    sigmas = metrics.bandwidth_ladder(np.concatenate(days))
    between = metrics.mmd(*days, draws=5, bandwidths=sigmas).mean()
    within = metrics.mmd_within(days[0], draws=5, bandwidths=sigmas).mean()
    # Table 1 of the two-batch paper: 0.067 after calibration, near the in-batch value; the raw one is larger.
    assert 0.03 < within < 0.067 < between


def shifted(n=60, d=4, shift=5.0, seed=0):
    rng = np.random.default_rng(seed)
    domain = np.repeat(["a", "b"], n)
    return rng.normal(size=(2 * n, d)) + shift * (domain == "b")[:, None], domain


def test_domain_accuracy_of_a_shift_and_of_nothing():
    assert metrics.domain_accuracy(*shifted()) == (1.0, 0.5)
    accuracy, chance = metrics.domain_accuracy(*shifted(n=300, shift=0.0))
    assert chance == 0.5
    # Binomial: 600 rows, four standard deviations.
    assert abs(accuracy - 0.5) < 4 * math.sqrt(0.25 / 600)


def test_domain_accuracy_is_not_fooled_by_replicates():
    # Every unit has its own random place: replicates in the training folds would give its domain away.
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(60), 10)
    domain = np.where(unit < 30, "a", "b")
    x = rng.normal(size=(60, 100))[unit] + 0.01 * rng.normal(size=(600, 100))
    assert metrics.domain_accuracy(x, domain).accuracy > 0.9
    assert metrics.domain_accuracy(x, domain, unit=unit).accuracy < 0.7


def test_folds_split_no_unit_and_share_every_domain():
    rng = np.random.default_rng(0)
    unit = rng.permutation(np.repeat(np.arange(50), 3))
    code = (unit % 3).astype(np.int32)
    fold = _folds(code, unit, 5, rng)
    assert all(len(set(fold[unit == u])) == 1 for u in range(50))
    counts = np.array([[len(set(unit[(fold == f) & (code == k)])) for f in range(5)] for k in range(3)])
    assert counts.max(axis=1).tolist() == [4, 4, 4]
    assert counts.min() >= 3


@pytest.mark.parametrize("folds", [2, 5])
def test_units_measured_in_both_domains(folds):
    x, domain = shifted(n=2)
    assert 0 <= metrics.domain_accuracy(x, domain, unit=["u", "v", "u", "v"], folds=folds).accuracy <= 1
    assert 0 <= metrics.domain_accuracy(x, domain, unit=["u", "v", "u", "w"], folds=folds).accuracy <= 1


def test_domain_accuracy_limits_its_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 2))
    domain = np.repeat(["a", "b"], [490, 10])
    assert metrics.domain_accuracy(x, domain).chance == 0.98
    assert metrics.domain_accuracy(x, domain, rows=30).chance == 0.75


def test_evaluate_tells_batch_effect_from_biology():
    rng = np.random.default_rng(0)
    domain, label = np.repeat(["a", "b", "c"], 80), np.tile([0, 1], 120)
    clean = rng.normal(size=(240, 4)) + 4 * label[:, None] * np.array([1, 0, 0, 0])
    offset = np.array([{"a": 0, "b": 8, "c": 16}[each] for each in domain])[:, None] * np.array([0, 1, 0, 0])
    sigmas = metrics.bandwidth_ladder(clean)
    keys = ["metric", "domain", "other", "label", "value", "sd", "reference", "rows"]
    found = {}
    for name, x in (("clean", clean), ("shifted", clean + offset), ("collapsed", np.zeros_like(clean))):
        rows = metrics.evaluate(x, domain, label, draws=3, bandwidths=sigmas)
        assert [list(row) for row in rows] == [keys] * 7
        found[name] = rows
    table = pd.DataFrame(found["clean"])
    assert table["metric"].tolist() == ["domain_accuracy"] * 3 + ["label_accuracy"] + ["mmd"] * 3
    assert table["label"][:4].tolist() == pytest.approx([math.nan, 0, 1, math.nan], nan_ok=True)
    assert (table["domain"] + table["other"].fillna(""))[3:].tolist() == ["all", "ab", "ac", "bc"]
    assert all(row["value"] > 0.9 for row in found["shifted"][:3])
    assert all(row["value"] < 0.5 for row in found["clean"][:3])
    assert found["clean"][3]["value"] > 0.9
    assert found["collapsed"][3]["value"] <= 0.5
    for clean_row, shifted_row in zip(found["clean"][4:], found["shifted"][4:], strict=True):
        assert clean_row["value"] == pytest.approx(clean_row["reference"], rel=0.25)
        assert shifted_row["value"] > 2 * shifted_row["reference"]
        assert clean_row["rows"] == 40
        assert clean_row["sd"] > 0


def test_evaluate_judges_predictions_where_labels_are_known():
    y, probability = problem(3, n=90)
    label = np.array([f"class {k}" for k in y], dtype=object)
    domain = np.repeat(["a", "b", "c"], 30)
    label[domain == "b"] = None
    label[:5] = ""
    x = np.random.default_rng(0).normal(size=(90, 3))
    rows = metrics.evaluate(x, domain, label, probability=probability, draws=1)
    scores = [row for row in rows if row["metric"] == "auc"]
    assert [(row["domain"], row["rows"]) for row in scores] == [("a", 25), ("c", 30), ("all", 55)]
    known = (domain != "b") & (np.arange(90) >= 5)
    expected = theirs.roc_auc_score(y[known], probability[known], multi_class="ovr")
    assert scores[-1]["value"] == pytest.approx(expected)
    only = metrics.evaluate(x[:30], domain[:30], label[:30], predicted=label[:30])
    assert {row["metric"]: row["value"] for row in only}["accuracy"] == 1.0


def test_evaluate_leaves_domains_of_one_unit_out_and_says_so():
    x = np.random.default_rng(0).normal(size=(21, 2))
    domain = ["plate 1"] * 10 + ["plate 2"] * 10 + ["plate 9"]
    with pytest.warns(InputWarning, match="not scored: 'plate 9'") as caught:
        found = metrics.evaluate(x, domain, draws=2)
    assert caught[0].filename == __file__
    assert found == metrics.evaluate(
        x[:20], domain[:20], draws=2, bandwidths=metrics.bandwidth_ladder(x[:20])
    )
    with pytest.raises(InputError, match="Fewer than two domains have two units"):
        metrics.evaluate(x[:20], domain[:20], unit=domain[:20])


def test_evaluate_of_many_domains_compares_each_with_the_rest():
    x = np.random.default_rng(0).normal(size=(66, 2))
    rows = metrics.evaluate(x, np.repeat(np.arange(11), 6), draws=2)
    assert [row["other"] for row in rows if row["metric"] == "mmd"] == [REST] * 11


def test_auc_of_probabilities_that_round_to_one():
    rest = np.array([1e-20, 1e-25, 1e-22, 1e-30])
    assert (1 - rest == 1).all()
    assert metrics.auc([0, 1, 0, 1], np.stack([rest, 1 - rest], axis=1)) == 1
