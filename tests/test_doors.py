"""Every way to fit checks the same things first; and what does not fit into memory is refused before it is tried."""

from __future__ import annotations

import warnings

import jax
import numpy as np
import pytest
from problems import CHUNK, JOINT, cohort, refusal, world

import jbc
from jbc.cohort import Cohort
from jbc.methods.closed_form import Standardise
from jbc.methods.inputs import Inputs
from jbc.methods.joint import JointCalibration
from jbc.methods.pairwise import PairwiseCalibration
from jbc.methods.settings import Training
from jbc.train import fit, fit_lanes
from jbc.train.lanes import predict_lanes
from jbc.validation import memory

KEY, KEYS = jax.random.key(0), jax.random.split(jax.random.key(0), 2)
DRAWN = world()
LONELY = np.where(np.arange(len(DRAWN.x)) == 0, "alone", DRAWN.domain)
EMPTY_ROW = np.where(np.arange(len(DRAWN.x))[:, None] == 5, np.nan, DRAWN.x)
CONFOUNDED = np.where(DRAWN.domain == "domain 1", "a", "b")

DOORS = {
    "Corrector": lambda method, table, **more: jbc.Corrector(method, **more).fit_cohort(table),
    "fit": lambda method, table, **more: fit(method, table, KEY, **more),
    "fit_lanes": lambda method, table, **more: fit_lanes(method, table, KEYS, **more),
    "fit_lanes of cohorts": lambda method, table, **more: fit_lanes(method, [cohort(), table], KEYS, **more),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("method", "table", "more", "code"),
    [
        (JOINT, lambda: Cohort.from_arrays(EMPTY_ROW, DRAWN.domain), {}, "empty-row"),
        (JOINT, lambda: Cohort.from_arrays(DRAWN.x, LONELY), {}, "tiny-domain"),
        (JOINT, lambda: Cohort.from_arrays(DRAWN.x, DRAWN.domain, label=CONFOUNDED), {}, "confounded"),
        (JointCalibration(dropout=2.0), cohort, {}, "bad-setting"),
        (JointCalibration(training=Training(rows=0)), cohort, {}, "bad-setting"),
        (JOINT, cohort, {"steps": 0}, "bad-setting"),
        (JOINT, cohort, {"steps": True}, "bad-setting"),
        (JOINT, cohort, {"steps": 1.5}, "bad-setting"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_every_door_refuses_the_same(door, method, table, more, code):
    with refusal(code):
        DOORS[door](method, table(), **more)


@pytest.mark.parametrize("door", ["Corrector", "fit"])
def test_closed_forms_are_checked_too(door):
    for table, code in ((EMPTY_ROW, "empty-row"), (DRAWN.x, "tiny-domain")):
        with refusal(code):
            DOORS[door](Standardise(), Cohort.from_arrays(table, LONELY))


def test_an_option_that_nothing_knows_is_an_error():
    with pytest.raises(TypeError, match="hoks"):
        fit(Standardise(), cohort(), KEY, **{"hoks": [1]})
    with pytest.raises(TypeError, match="hoks"):
        fit(JOINT, cohort(), KEY, **{"hoks": [1]})


@pytest.mark.parametrize("method", [JOINT, PairwiseCalibration(JOINT)], ids=["joint", "pairwise"])
@pytest.mark.slow
def test_lanes_predict_for_known_domains_only(method):
    table = cohort()
    found = fit_lanes(method, table, KEYS, steps=CHUNK, chunk=CHUNK).fitted
    assert np.isfinite(predict_lanes(method, found, table.x, table.domain)).all()
    for wrong in (3, 7, -1):
        domain = np.where(np.arange(len(table.x)) == 5, wrong, table.domain)
        with refusal("unknown-domain") as caught:
            predict_lanes(method, found, table.x, domain)
        assert f": {wrong}." in str(caught.value)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.slow
def test_what_does_not_fit_into_memory_is_refused_before_it_is_tried(door, monkeypatch):
    table = cohort()
    monkeypatch.setattr(memory, "available", lambda: 100_000)
    with refusal("too-large") as caught:
        DOORS[door](JOINT, table)
    for words in ("97.7 KiB are available", "'4 features'", "'3 domains'", "rows="):
        assert words in str(caught.value)
    monkeypatch.setattr(memory, "available", lambda: 1 << 30)
    assert DOORS[door](JOINT, table, steps=1) is not None


@pytest.mark.filterwarnings("ignore:Domains of fewer than 16 rows")
def test_wide_tables_are_refused_with_the_numbers():
    """20,000 features would take more than 100 GB, and the system would end the process without a word."""
    x = np.random.default_rng(0).normal(size=(30, 20_000)).astype(np.float32)
    table = Cohort.from_arrays(x, np.repeat(list("abc"), 10))
    with refusal("too-large") as caught:
        fit(JointCalibration(inputs=Inputs(subspace="none")), table, KEY)
    assert "'20000 features'" in str(caught.value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(Standardise(), table, KEY)
