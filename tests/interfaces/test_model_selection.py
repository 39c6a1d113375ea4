"""Cross-validation over domains: nothing leaks, the table is right, and scikit-learn's searches do the same."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from problems import CHUNK, JOINT, SHAPE, TARGET, refusal, world
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import (
    GridSearchCV,
    LeaveOneGroupOut,
    LeavePGroupsOut,
    LeavePOut,
    PredefinedSplit,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jbc import Cohort, Corrector, QuantileMap, Standardise
from jbc.data.simulate.plates import simulate_shift
from jbc.errors import InputWarning
from jbc.interfaces import model_selection
from jbc.interfaces.domain_scores import METRICS
from jbc.interfaces.model_selection import NewDomainClassifier, cross_validate, leave_one_domain_out
from jbc.metrics import classification_report

SCALED = {"method__scale": [True, False]}
METHODS = {"method": [Standardise(), QuantileMap()]}


@pytest.fixture(scope="module")
def drawn():
    return world()


@pytest.fixture
def standardise():
    return Corrector(Standardise(), composition="assume-equal")


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def about(table, domain=TARGET, data="corrected", level="row"):
    """Return the only row about a domain."""
    (row,) = [r for r in table if (r["domain"], r["data"], r["level"]) == (domain, data, level)]
    return row


def by_hand(x, y, known):
    """Return the classes that logistic regression gives the rows that are not known."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(x[known], y[known])
    return model.predict(x[~known]), model.predict_proba(x[~known])


def controls(drawn, number=16):
    """Return a mask of the first rows of every domain."""
    return np.concatenate(
        [np.arange((drawn.domain == name).sum()) < number for name in np.unique(drawn.domain)]
    )


@pytest.mark.parametrize("data", ["corrected", "as measured"])
def test_the_scores_are_those_of_a_fit_without_labels_of_the_domain(drawn, standardise, data):
    table = cross_validate(standardise, drawn.x, drawn.label, domain=drawn.domain)
    known = drawn.domain != TARGET
    x = standardise.fit_transform(drawn.x, domain=drawn.domain) if data == "corrected" else drawn.x
    guess, probability = by_hand(x, drawn.label, known)
    row, truth = about(table, data=data), drawn.label[~known]
    expected = classification_report(truth, guess, probability=probability, classes=["class 0", "class 1"])
    expected["balanced_accuracy"] = balanced_accuracy_score(truth, guess)
    assert {name: row[name] for name in METRICS} == pytest.approx({name: expected[name] for name in METRICS})
    assert row["labelled"] == ("domain 1", "domain 2")
    assert row["number"] == 40


def test_the_table_has_a_row_for_every_domain_and_their_mean(drawn, standardise):
    table = cross_validate(standardise, drawn.x, drawn.label, domain=drawn.domain, unit=drawn.unit)
    names = [*np.unique(drawn.domain), "all"]
    assert len(table) == len(names) * 2 * 2
    assert len({tuple(row) for row in table}) == 1
    assert all(row["classifier"] == "LogisticRegression" for row in table)
    each = [about(table, name)["accuracy"] for name in names]
    assert each[-1] == pytest.approx(np.mean(each[:-1]))
    assert about(table, level="unit")["number"] == len(np.unique(drawn.unit[drawn.domain == TARGET]))


def test_labels_of_a_hidden_domain_are_never_seen(drawn, standardise):
    """With its labels the other way around, a domain is told the same classes: what was right is wrong."""
    other = np.where(drawn.label == "class 0", "class 1", "class 0")
    turned = np.where(drawn.domain == TARGET, other, drawn.label)
    for corrector in (standardise, Corrector(JOINT, steps=CHUNK, verbose=False)):
        tables = [cross_validate(corrector, drawn.x, y, domain=drawn.domain) for y in (drawn.label, turned)]
        rows = [[row for row in table if row["domain"] == TARGET] for table in tables]
        for one, flipped in zip(*rows, strict=True):
            assert one["accuracy"] + flipped["accuracy"] == pytest.approx(1)
            assert one["auc"] + flipped["auc"] == pytest.approx(1)


def test_a_method_that_classifies_is_compared_with_a_classifier_of_its_rows(drawn):
    corrector = Corrector(JOINT, steps=CHUNK, verbose=False)
    table = cross_validate(corrector, drawn.x, drawn.label, domain=drawn.domain)
    rows = [row for row in table if row["domain"] == TARGET]
    assert [(row["data"], row["classifier"]) for row in rows] == [
        ("corrected", "JointCalibration"),
        ("corrected", "LogisticRegression"),
        ("as measured", "LogisticRegression"),
    ]
    y = np.where(drawn.domain == TARGET, "", drawn.label)
    fitted = clone(corrector).fit(drawn.x, y, domain=drawn.domain)
    guess = fitted.predict(drawn.x, domain=drawn.domain)
    assert rows[0]["accuracy"] == pytest.approx((guess == drawn.label)[drawn.domain == TARGET].mean())
    assert not hasattr(corrector, "model_")


def test_a_classifier_may_be_given(drawn):
    corrector = Corrector(JOINT, steps=CHUNK, verbose=False, output="codes")
    classifier = LinearDiscriminantAnalysis()
    table = cross_validate(corrector, drawn.x, drawn.label, domain=drawn.domain, classifier=classifier)
    assert {row["classifier"] for row in table} == {"LinearDiscriminantAnalysis"}
    assert len(table) == 4 * 2


def test_replicates_of_a_hidden_unit_are_hidden_in_other_domains(drawn, standardise):
    """One subject on two plates: its label there would tell its class here."""
    unit = np.arange(len(drawn.x)).astype(str)
    here, there = (np.flatnonzero(drawn.domain == name)[:5] for name in (TARGET, "domain 1"))
    unit[here] = unit[there]
    label = drawn.label.copy()
    label[there] = label[here]
    with pytest.warns(InputWarning, match="labels of 5 rows of other domains are hidden"):
        told = cross_validate(standardise, drawn.x, label, domain=drawn.domain, unit=unit)
    without = label.astype(object)
    without[there] = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        expected = cross_validate(standardise, drawn.x, without, domain=drawn.domain)
    assert about(told)["auc"] == about(expected)["auc"]


def test_units_of_two_classes_are_not_scored(drawn, standardise):
    unit = np.array([f"{name} {i // 2}" for name in np.unique(drawn.domain) for i in range(40)])
    label = np.tile(["class 0", "class 1"], 60)
    table = cross_validate(standardise, drawn.x, label, domain=drawn.domain, unit=unit)
    assert {row["level"] for row in table} == {"row"}


def test_settings_are_chosen_without_the_labels_that_are_scored(drawn, standardise):
    rng = np.random.default_rng(0)
    shuffled = drawn.label.copy()
    target = drawn.domain == TARGET
    shuffled[target] = rng.permutation(shuffled[target])
    tables = [
        cross_validate(standardise, drawn.x, y, domain=drawn.domain, param_grid=METHODS, scoring="auc")
        for y in (drawn.label, shuffled)
    ]
    chosen = [about(table)["settings"] for table in tables]
    assert chosen[0] == chosen[1]
    scores = {}
    for method in METHODS["method"]:
        y = np.where(target, "", drawn.label)
        inner = cross_validate(standardise.set_params(method=method), drawn.x, y, domain=drawn.domain)
        scores[method] = about(inner, "all")["auc"]
    assert chosen[0]["method"] == max(scores, key=scores.__getitem__)
    assert about(tables[0], data="as measured")["settings"] is None
    assert about(tables[0], "all")["settings"] is None


def test_a_grid_reaches_the_settings_of_a_method(drawn, standardise):
    table = cross_validate(standardise, drawn.x, drawn.label, domain=drawn.domain, param_grid=SCALED)
    assert about(table)["settings"] in ({"method__scale": True}, {"method__scale": False})


def test_a_hidden_domain_can_be_adapted_to_by_its_controls():
    far = simulate_shift(0, shift=4.0, **SHAPE | {"n_domains": 4})
    control, corrector = controls(far), Corrector(Standardise(on="controls"), composition="assume-equal")
    given = {"domain": far.domain, "control": control, "how": "adapt", "cv": PredefinedSplit([-1, -1, 0, -1])}
    table = cross_validate(corrector, far.x, far.label, **given)
    old = far.domain != TARGET
    model = clone(corrector).fit(far.x[old], far.label[old], domain=far.domain[old], control=control[old])
    model.adapt(far.x[~old], domain=far.domain[~old], control=control[~old])
    guess, _ = by_hand(model.transform(far.x, domain=far.domain), far.label, old)
    assert about(table)["accuracy"] == pytest.approx((guess == far.label[~old]).mean())
    grid = {"method": [Standardise(on="controls"), Standardise(on="controls", scale=False)]}
    chosen = about(cross_validate(corrector, far.x, far.label, **given, param_grid=grid))["settings"]
    assert chosen["method"] in grid["method"]


def test_settings_of_an_adapted_method_are_chosen_before_the_new_domain_is_there(drawn, monkeypatch):
    fits = []
    monkeypatch.setattr(
        model_selection, "_choose", lambda model, grid, rows: (model, fits.append(rows) or {})
    )
    given = {"domain": drawn.domain, "control": controls(drawn), "how": "adapt", "param_grid": SCALED}
    with refusal("few-controls"):
        cross_validate(Corrector(Standardise(on="controls")), drawn.x, drawn.label, **given)
    assert np.unique(fits[0].domain).tolist() == ["domain 2", "domain 3"]


@pytest.mark.parametrize("cv", [LeavePOut(2), LeavePGroupsOut(2)], ids=lambda cv: type(cv).__name__)
def test_a_splitter_deals_out_domains(drawn, standardise, cv):
    table = cross_validate(standardise, drawn.x, drawn.label, domain=drawn.domain, cv=cv)
    rows = [row for row in table if row["data"] == "corrected" and row["domain"] != "all"]
    assert sorted((row["domain"], *row["labelled"]) for row in rows) == [
        (f"domain {i}", f"domain {j}") for i in (1, 2, 3) for j in (1, 2, 3) if i != j
    ]


def test_a_domain_without_labels_takes_part_and_is_not_scored(drawn, standardise, monkeypatch):
    y, fits, fit = np.where(drawn.domain == TARGET, "", drawn.label), [], Corrector.fit_cohort
    monkeypatch.setattr(
        Corrector, "fit_cohort", lambda self, cohort: fits.append(cohort) or fit(self, cohort)
    )
    table = cross_validate(standardise, drawn.x, y, domain=drawn.domain)
    assert {row["domain"] for row in table} == {"domain 1", "domain 2", "all"}
    assert [cohort.names.domains for cohort in fits] == [("domain 1", "domain 2", TARGET)] * 2
    assert [cohort.sources.tolist() for cohort in fits] == [[1], [0]]


def test_a_class_of_one_domain_alone_is_always_told_wrong(drawn, standardise):
    y = np.where((drawn.domain == TARGET) & (drawn.label == "class 1"), "rare", drawn.label)
    row = about(cross_validate(standardise, drawn.x, y, domain=drawn.domain))
    of_rare = (y == "rare").sum() / 40
    assert row["accuracy"] <= 1 - of_rare
    assert row["auc"] is not None


def test_a_domain_of_one_class_has_no_auc(drawn, standardise):
    y = np.where((drawn.domain == TARGET) & (drawn.label == "class 1"), "", drawn.label)
    table = cross_validate(standardise, drawn.x, y, domain=drawn.domain)
    assert about(table)["auc"] is None
    assert about(table, "all")["auc"] is None
    assert about(table, "domain 1")["auc"] is not None


def test_pandas_objects_are_paired_by_their_index(drawn, standardise):
    frame = pd.DataFrame(drawn.x, columns=[f"peak {i}" for i in range(4)])
    order = np.random.default_rng(0).permutation(len(frame))
    y, domain = pd.Series(drawn.label)[order], pd.Series(drawn.domain)[order]
    found = cross_validate(standardise, frame, y, domain=domain)
    expected = cross_validate(standardise, drawn.x, drawn.label, domain=drawn.domain)
    assert found == expected


def test_leave_one_group_out_of_scikit_learn_is_the_same(drawn, standardise, routing):
    scores = cross_val_score(
        NewDomainClassifier(standardise),
        drawn.x,
        drawn.label,
        cv=LeaveOneGroupOut(),
        params={"domain": drawn.domain, "groups": drawn.domain},
    )
    table = cross_validate(standardise, drawn.x, drawn.label, domain=drawn.domain)
    assert scores.tolist() == pytest.approx([about(table, f"domain {i}")["accuracy"] for i in (1, 2, 3)])


def test_a_search_over_settings_by_hidden_domains(drawn, standardise, routing):
    y = np.where(drawn.domain == TARGET, "", drawn.label)
    cv = leave_one_domain_out(drawn.domain, y)
    grid = {"corrector__method": METHODS["method"], "corrector__method__on": ["all"]}
    search = GridSearchCV(NewDomainClassifier(standardise, scoring="auc"), grid, cv=cv, error_score="raise")
    search.fit(drawn.x, y, domain=drawn.domain, unit=drawn.unit)
    expected = [
        about(cross_validate(standardise.set_params(method=method), drawn.x, y, domain=drawn.domain), "all")[
            "auc"
        ]
        for method in METHODS["method"]
    ]
    assert search.cv_results_["mean_test_score"] == pytest.approx(expected)
    target = drawn.domain == TARGET
    guess = search.best_estimator_.predict(
        drawn.x[target], domain=np.repeat("new", 40), unit=drawn.unit[target]
    )
    assert (guess == drawn.label[target]).mean() > 0.8


def test_splits_train_on_every_other_row_and_test_on_labelled_ones():
    splits = leave_one_domain_out(["a", "b", "b", "c", "a"], ["x", "x", None, None, "y"])
    assert [(train.tolist(), test.tolist()) for train, test in splits] == [
        ([1, 2, 3], [0, 4]),
        ([0, 3, 4], [1]),
    ]


def test_a_search_over_shuffled_rows_needs_nothing_else(drawn, routing):
    """Settings of a method in a pipeline, and of a corrector that classifies."""
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    pipeline = make_pipeline(Corrector(Standardise()), LogisticRegression())
    grid = {"corrector__method__scale": [True, False], "logisticregression__C": [0.1, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=cv, error_score="raise").fit(
        drawn.x, drawn.label, domain=drawn.domain
    )
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert set(search.best_params_) == set(grid)
    every = np.arange(len(drawn.x))
    corrector = Corrector(JOINT, steps=CHUNK, verbose=False)
    search = GridSearchCV(
        corrector, {"method__training__rows": [8]}, cv=[(every, every)], error_score="raise"
    )
    search.fit(drawn.x, drawn.label, domain=drawn.domain)
    guess = search.best_estimator_.predict(drawn.x, domain=drawn.domain)
    assert search.best_score_ == pytest.approx((guess == drawn.label).mean())
    half = np.where(every < 60, drawn.label, None)
    assert search.score(drawn.x, half, domain=drawn.domain) == pytest.approx(
        (guess == drawn.label)[:60].mean()
    )


def test_a_fold_of_a_whole_domain_says_what_to_do(drawn, routing):
    order = np.argsort(drawn.domain, kind="stable")
    pipeline = make_pipeline(Corrector(Standardise()), LogisticRegression())
    x, y, domain = drawn.x[order], drawn.label[order], drawn.domain[order]
    with refusal("unknown-domain") as caught:
        cross_val_score(
            pipeline,
            x,
            y,
            cv=LeaveOneGroupOut(),
            error_score="raise",
            params={"domain": domain, "groups": domain},
        )
    assert "jbc.model_selection" in str(caught.value)


def test_without_routing_the_error_says_how_a_domain_arrives(drawn, standardise):
    search = GridSearchCV(
        standardise, SCALED, scoring=lambda m, x, y: m.transform(x).mean(), error_score="raise"
    )
    with refusal("missing-domain") as caught:
        search.fit(drawn.x, drawn.label, domain=drawn.domain)
    assert "enable_metadata_routing" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("few-domains", {"y": lambda w: np.where(w.domain == "domain 1", w.label, "")}),
        ("few-domains", {"y": lambda w: np.where(w.domain == TARGET, "", w.label), "param_grid": SCALED}),
        ("one-class", {"y": lambda w: np.where(w.domain == TARGET, w.label, "class 0")}),
        ("bad-setting", {"how": "inductive"}),
        ("bad-setting", {"scoring": "r2", "param_grid": SCALED}),
        ("no-controls", {"how": "adapt"}),
        ("no-corrector", {"corrector": Standardise()}),
    ],
)
def test_what_cannot_be_cross_validated_is_refused(drawn, standardise, code, changes):
    given = {"corrector": standardise, "y": drawn.label, "domain": drawn.domain} | {
        name: value(drawn) if callable(value) else value for name, value in changes.items()
    }
    with refusal(code):
        cross_validate(given.pop("corrector"), drawn.x, given.pop("y"), **given)


def test_roles_are_given_for_old_and_new_rows(drawn, standardise):
    model = NewDomainClassifier(standardise).fit(drawn.x, drawn.label, domain=drawn.domain, unit=drawn.unit)
    with refusal("different-roles"):
        model.predict(drawn.x, domain=drawn.domain)


def test_an_auc_needs_two_classes_in_the_hidden_rows(drawn, standardise):
    model = NewDomainClassifier(standardise, scoring="auc").fit(drawn.x, drawn.label, domain=drawn.domain)
    one = drawn.label == "class 0"
    with refusal("one-class"):
        model.score(drawn.x[one], drawn.label[one], domain=np.repeat("new", one.sum()))
    with refusal("one-class"):
        model.score(drawn.x, [None] * len(drawn.x), domain=np.repeat("new", len(drawn.x)))


def test_rows_are_those_that_a_cohort_has(drawn):
    """The correction of hidden domains is that of a cohort with masked labels."""
    model = Corrector(JOINT, steps=CHUNK, verbose=False)
    cohort = Cohort.from_arrays(drawn.x, drawn.domain, label=drawn.label).mask_labels(TARGET)
    expected = clone(model).fit_cohort(cohort).predict_proba(drawn.x, domain=drawn.domain)
    new = drawn.domain == TARGET
    estimator = NewDomainClassifier(model).fit(drawn.x[~new], drawn.label[~new], domain=drawn.domain[~new])
    found = estimator.predict_proba(drawn.x[new], domain=drawn.domain[new])
    assert found == pytest.approx(expected[new], abs=1e-5)


def test_covariates_and_order_come_along():
    """What is classified is corrected as by the correction itself, with the covariates of the same rows."""
    rng, n = np.random.default_rng(0), 150
    domain = np.repeat(["a", "b", "c"], n // 3)
    age = rng.normal(np.repeat([30.0, 40.0, 50.0], n // 3), 5)
    sex = np.where(rng.random(n) < 0.5, "f", "m")
    label = np.where(rng.random(n) < 0.5, "p", "q")
    slopes = 0.3 * np.array([1, -1, 1, -1])
    x = rng.normal(size=(n, 4)) + (label == "p")[:, None] + np.outer(age, slopes)
    x += np.repeat([0.0, 3, -3], n // 3)[:, None]
    covariates = pd.DataFrame({"sex": sex, "age": age})
    beside = {"covariates": covariates, "order": np.arange(n)}
    corrector, new = Corrector(Standardise(), composition="assume-equal"), domain == "c"
    corrected = clone(corrector).fit_transform(x, domain=domain, **beside)
    blind = clone(corrector).fit_transform(x, domain=domain)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    told = pipeline.fit(corrected[~new], label[~new]).predict_proba(corrected[new])
    assert not np.allclose(told, pipeline.fit(blind[~new], label[~new]).predict_proba(blind[new]), atol=0.05)

    known = {"covariates": covariates[~new], "order": np.arange(n)[~new]}
    asked = {"domain": domain[new], "covariates": covariates[new], "order": np.arange(n)[new]}
    one = NewDomainClassifier(corrector).fit(x[~new], label[~new], domain=domain[~new], **known)
    np.testing.assert_allclose(one.predict_proba(x[new], **asked), told, atol=1e-3)
    accuracy = np.mean(pipeline.classes_[told.argmax(axis=1)] == label[new])
    rows = cross_validate(corrector, x, label, domain=domain, **beside)
    scores = [row["accuracy"] for row in rows if row["domain"] == "c" and row["data"] == "corrected"]
    assert scores == [pytest.approx(accuracy)]
    found = model_selection.permutation_test_score(
        corrector, x, label, domain=domain, hidden="c", shuffles=3, **beside
    )
    assert found.observed == pytest.approx(accuracy)
    for covariates in (None, {"height": age[new], "sex": sex[new]}):
        with refusal("different-roles"):
            one.predict(x[new], **asked | {"covariates": covariates})


def test_covariates_come_along_in_lanes():
    drawn = world()
    found = model_selection.permutation_test_score(
        Corrector(JOINT, steps=CHUNK, verbose=False),
        drawn.x,
        drawn.label,
        domain=drawn.domain,
        hidden=TARGET,
        covariates={"age": np.random.default_rng(0).normal(size=len(drawn.x))},
        shuffles=2,
    )
    assert 0 <= found.observed <= 1
