"""What is going to be fitted to what: nothing essential is chosen in silence."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from problems import refusal

import jbc
from jbc.cohort import Cohort
from jbc.errors import InputWarning
from jbc.methods.prepare import prepare
from jbc.methods.settings import Route
from jbc.methods.summary import LISTED, summarise

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
DOMAIN = np.repeat(["p", "q", "r"], 20)


def told(method, word="domain", **given):
    cohort = prepare(method, Cohort.from_arrays(X, DOMAIN, **given), composition="assume-equal")
    return summarise(method, cohort, word=word)


def test_rows_labels_controls_and_units_of_every_domain():
    label = np.where(DOMAIN == "r", "", np.tile(["a", "b"], 30))
    text = told(jbc.JointCalibration(), label=label, control=np.arange(60) % 10 == 0, unit=np.arange(60) // 2)
    assert text.splitlines() == [
        "JointCalibration: 60 rows of 4 features (x0 to x3), 3 domains",
        "  p: 20 rows, 20 labelled, 2 controls, 10 units",
        "  q: 20 rows, 20 labelled, 2 controls, 10 units",
        "  r: 20 rows, 0 labelled, 2 controls, 10 units",
        "  to be classified, without labels: 'r'",
    ]
    assert "no labels: batches are aligned" in told(jbc.JointCalibration(), word="batch")


def test_the_target_is_told_and_kept():
    method = jbc.MMDResNet(training=jbc.Training(rows=8))
    assert "target: 'p', which has most rows, since none is named; moving: 'q', 'r'" in told(method)
    named = jbc.MMDResNet(training=jbc.Training(rows=8), route=Route(target="q"))
    assert "target: 'q', as named; moving: 'p', 'r'" in told(named)
    model = jbc.fit(named, Cohort.from_arrays(X, DOMAIN), steps=1, composition="assume-equal")
    assert model.record.target == "q"
    with refusal("unknown-domain") as caught:
        told(jbc.MMDResNet(route=Route(target="z")))
    assert "those of the table are 'p', 'q', 'r'" in str(caught.value)


def test_the_target_survives_saving(tmp_path):
    method = jbc.ComponentEditing(route=Route(target="q"))
    model = jbc.fit(method, Cohort.from_arrays(X, DOMAIN), composition="assume-equal")
    assert jbc.load(model.save(tmp_path / "model")).record.target == "q"
    assert jbc.Corrector.load(tmp_path / "model").target_ == "q"


def test_what_an_alignment_compares():
    treatment = np.tile(["A", "B", "C", "D"], 15)
    treatment[DOMAIN == "p"] = "A"
    text = told(jbc.DistanceAlignment(), treatment=treatment)
    assert "4 treatments that domains share, and that are compared: 'A', 'B', 'C', 'D'" in text
    assert "no treatments: all rows of domains are compared" in told(jbc.DistanceAlignment())


def test_many_domains_are_counted_and_constant_features_named():
    x = X.copy()
    x[:, 2] = 7
    cohort = Cohort.from_arrays(x, np.arange(60) // 3)
    text = summarise(jbc.Standardise(), cohort, left_out={"id": "text", "y": "excluded"})
    assert text.count(": 3 rows") == LISTED
    assert f"and {20 - LISTED} domains more, of 3 to 3 rows" in text
    assert "the same in all rows: 'x2'" in text
    assert "not among the features: excluded: 'y'; text: 'id'" in text


def test_it_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="jbc"):
        jbc.fit(jbc.Standardise(), Cohort.from_arrays(X, DOMAIN), composition="assume-equal")
    assert [record.message.split(":")[0] for record in caplog.records if record.name == "jbc"] == [
        "Standardise"
    ]


def test_a_single_domain_is_told():
    with pytest.warns(InputWarning, match=r"All rows are of one domain \('all'\)"):
        prepare(jbc.Standardise(), Cohort.from_arrays(X))
