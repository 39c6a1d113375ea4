"""The permutation test of a correction: lanes are single fits, and nothing of the hidden domain is used."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from problems import JOINT, TARGET, refusal, world
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jbc import Cohort, Corrector, Standardise
from jbc.interfaces.model_selection import cross_validate, permutation_test_score
from jbc.metrics import accuracy, shuffle_labels
from jbc.train import fit_lanes, predict_lanes

STEPS, SHUFFLES = 10, 4


@pytest.fixture(scope="module")
def drawn():
    return world()


@pytest.fixture
def joint():
    return Corrector(JOINT, steps=STEPS, verbose=False, random_state=3)


@pytest.fixture
def standardise():
    return Corrector(Standardise(), composition="assume-equal")


def orders(drawn, **options):
    """Return the true labels and the shuffled ones, unknown in the hidden domain."""
    seen = np.where(drawn.domain == TARGET, "", drawn.label)
    return [seen, *shuffle_labels(seen, domain=drawn.domain, shuffles=SHUFFLES, **options)]


@pytest.mark.slow
def test_every_lane_is_a_fit_of_its_own(drawn, joint):
    found = permutation_test_score(
        joint, drawn.x, drawn.label, domain=drawn.domain, hidden=TARGET, shuffles=SHUFFLES, seed=5
    )
    keys = jax.random.split(jax.random.key(3), 1 + SHUFFLES)
    scores = []
    for key, label in zip(keys, orders(drawn, seed=5), strict=True):
        cohort = Cohort.from_arrays(drawn.x, drawn.domain, label=label)
        run = fit_lanes(JOINT, cohort, key[None], steps=STEPS)
        guess = np.asarray(predict_lanes(JOINT, run.fitted, cohort.x, cohort.domain)[0]).argmax(axis=1)
        told = np.empty(len(guess), object)
        told[cohort.row] = np.array(cohort.names.labels)[guess]
        scores.append(accuracy(drawn.label[drawn.domain == TARGET], told[drawn.domain == TARGET]))
    assert [found.observed, *found.null] == pytest.approx(scores)
    assert len(set(scores)) > 2


def test_a_closed_form_is_fitted_and_classified_anew(drawn, standardise):
    options = {"domain": drawn.domain, "hidden": TARGET, "shuffles": SHUFFLES}
    found = permutation_test_score(standardise, drawn.x, drawn.label, **options)
    x, new = standardise.fit_transform(drawn.x, domain=drawn.domain), drawn.domain == TARGET
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    expected = [
        accuracy(drawn.label[new], model.fit(x[~new], y[~new]).predict(x[new])) for y in orders(drawn)
    ]
    assert [found.observed, *found.null] == pytest.approx(expected)
    rows = cross_validate(standardise, drawn.x, drawn.label, domain=drawn.domain)
    assert found.observed == next(row["accuracy"] for row in rows if row["domain"] == TARGET)


@pytest.mark.slow
@pytest.mark.parametrize("given", [None, LinearDiscriminantAnalysis()])
def test_labels_of_the_hidden_domain_are_never_seen(drawn, joint, given):
    """With its labels the other way around, what was right is wrong."""
    other = np.where(drawn.label == "class 0", "class 1", "class 0")
    turned = np.where(drawn.domain == TARGET, other, drawn.label)
    one, flipped = (
        permutation_test_score(
            joint, drawn.x, y, domain=drawn.domain, hidden=TARGET, shuffles=2, classifier=given
        )
        for y in (drawn.label, turned)
    )
    np.testing.assert_allclose([one.observed, *one.null], 1 - np.array([flipped.observed, *flipped.null]))


def test_scores_by_unit_and_by_other_names(drawn, standardise):
    unit = np.char.add(drawn.label, (np.arange(len(drawn.x)) // 8).astype(str))
    unit = np.char.add(drawn.domain, unit)
    given = {"domain": drawn.domain, "unit": unit}
    rows = cross_validate(standardise, drawn.x, drawn.label, **given)
    for level in ("row", "unit"):
        found = permutation_test_score(
            standardise, drawn.x, drawn.label, hidden=TARGET, shuffles=2, level=level, scoring="auc", **given
        )
        about = [row for row in rows if (row["domain"], row["level"]) == (TARGET, level)]
        assert found.observed == pytest.approx(about[0]["auc"])


def test_a_class_of_the_hidden_domain_alone_is_never_told(drawn, joint):
    label = drawn.label.astype(object)
    label[np.flatnonzero(drawn.domain == TARGET)[:10]] = "a class before all others"
    label[np.flatnonzero(drawn.domain == TARGET)[10:20]] = None
    options = {"domain": drawn.domain, "hidden": TARGET, "shuffles": 2}
    found = permutation_test_score(joint, drawn.x, label, **options)
    assert 0 < found.observed <= 2 / 3  # a third of the known rows cannot be right


def test_refusals(drawn, standardise):
    given = {"domain": drawn.domain, "shuffles": 2}
    with refusal("unknown-domain"):
        permutation_test_score(standardise, drawn.x, drawn.label, hidden="domain 4", **given)
    for level in ("unit", "rows"):
        with refusal("bad-setting"):
            permutation_test_score(standardise, drawn.x, drawn.label, hidden=TARGET, level=level, **given)
    with refusal("nothing-to-shuffle"):
        label = np.where(drawn.domain == "domain 1", "class 0", "class 1")
        permutation_test_score(standardise, drawn.x, label, hidden=TARGET, **given)
