"""Lanes: seeds, folds and tasks in one program, on one device and on four."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import jax
import numpy as np
import pytest
from problems import (
    CHUNK,
    JOINT,
    QUICK,
    Walk,
    assert_close,
    assert_same_bytes,
    cohort,
    refusal,
    run_python,
    world,
)

from jbc.cohort import Cohort, fold_weights
from jbc.methods.closed_form.standardise import Standardise
from jbc.train import Stopping, fit, fit_lanes, predict_lanes, stack

KEYS = jax.random.split(jax.random.key(5), 3)


def lane(tree, number):
    return jax.tree.map(lambda leaf: leaf[number], tree)


@pytest.fixture(scope="module")
def labelled():
    drawn = world()
    return Cohort.from_arrays(drawn.x, drawn.domain, label=drawn.label)


@pytest.fixture(scope="module")
def tasks(labelled):
    return [labelled.mask_labels(name) for name in labelled.names.domains]


@pytest.fixture(scope="module")
def task_run(tasks):
    return fit_lanes(JOINT, tasks, KEYS, steps=CHUNK, chunk=CHUNK)


def corrupted(cohort: Cohort, rows: np.ndarray) -> Cohort:
    """Give some rows other values, in place: sorting them anew would be another matter."""
    return dataclasses.replace(cohort, x=np.where(rows[:, None], 1e6, cohort.x).astype(np.float32))


@pytest.mark.slow
def test_seeds_are_lanes():
    table = cohort()
    run = fit_lanes(Walk(noise=0.1), table, KEYS, steps=12, chunk=4)
    for number, key in enumerate(KEYS):
        alone = fit(Walk(noise=0.1), table, key, steps=12, chunk=4)
        assert_close(lane(run.fitted, number), alone.fitted, rtol=1e-4, floor=0.1)
        for row, other in zip(run.history, alone.history, strict=True):
            assert row["step"] == other["step"]
            np.testing.assert_allclose(row["loss"][number], other["loss"], rtol=1e-4)
    assert len(set(np.asarray(run.fitted["at"])[:, 0].tolist())) == 3


@pytest.mark.slow
def test_tasks_are_lanes(tasks, task_run):
    """One program trains on every choice of the target, and each lane equals its fit alone."""
    for number, task in enumerate(tasks):
        alone = fit(JOINT, task, KEYS[number], steps=CHUNK, chunk=CHUNK)
        assert_close(lane(task_run.fitted, number), alone.fitted, rtol=1e-4, floor=0.1)
    logits = predict_lanes(JOINT, task_run.fitted, tasks[0].x, tasks[0].domain)
    assert logits.shape == (3, len(tasks[0].x), 2)
    expected = [JOINT.predict(lane(task_run.fitted, n), tasks[0].x, tasks[0].domain) for n in range(3)]
    np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.slow
def test_the_hidden_labels_of_a_task_are_not_seen(labelled, task_run):
    """Other labels in the target of a lane change no bit of this lane."""
    swapped = [
        dataclasses.replace(labelled, label=np.where(labelled.domain == g, 1 - labelled.label, labelled.label))
        .mask_labels(name)
        for g, name in enumerate(labelled.names.domains)
    ]  # fmt: skip
    run = fit_lanes(JOINT, swapped, KEYS, steps=CHUNK, chunk=CHUNK)
    assert_same_bytes(run.fitted, task_run.fitted)


@pytest.mark.parametrize("method", [JOINT, Standardise(), Walk()], ids=lambda m: type(m).__name__)
@pytest.mark.slow
def test_held_out_rows_have_no_influence(method):
    """Not one bit of a fold's model depends on the values of the rows that it holds out."""
    table = cohort()
    for weight in fold_weights(table.unit, table.domain, folds=4)[:1]:
        fold = table.weigh_rows(weight)
        options = {} if isinstance(method, Standardise) else {"steps": 8, "chunk": 4}
        clean = fit(method, fold, KEYS[0], **options).fitted
        dirty = fit(method, corrupted(fold, weight == 0), KEYS[0], **options).fitted
        assert_same_bytes(dirty, clean)
        spoilt = fit(method, corrupted(table, weight == 0), KEYS[0], **options).fitted
        assert any(
            (np.asarray(a) != b).any() for a, b in zip(*map(jax.tree.leaves, (spoilt, clean)), strict=True)
        )


@pytest.mark.slow
def test_folds_are_lanes():
    table = cohort()
    weights = fold_weights(table.unit, table.domain, folds=3)
    folds = [table.weigh_rows(weight) for weight in weights]
    equal: Any = {"steps": CHUNK, "chunk": CHUNK, "composition": "assume-equal"}
    run = fit_lanes(JOINT, folds, KEYS, **equal)
    dirty = [corrupted(table, weights[0] == 0).weigh_rows(weight) for weight in weights]
    spoilt = fit_lanes(JOINT, dirty, KEYS, **equal)
    assert_same_bytes(lane(spoilt.fitted, 0), lane(run.fitted, 0))
    for number in (1, 2):
        pairs = zip(*(jax.tree.leaves(lane(r.fitted, number)) for r in (spoilt, run)), strict=True)
        assert any((np.asarray(a) != b).any() for a, b in pairs)
    alone = fit(JOINT, folds[1], KEYS[1], steps=CHUNK, chunk=CHUNK)
    assert_close(lane(run.fitted, 1), alone.fitted, rtol=1e-4, floor=0.1)


@pytest.mark.slow
def test_every_lane_keeps_its_own_best_state():
    table, steps = cohort(), 10
    scores = iter([[0, 0, 0], [3, 0, 0], [1, 1, 0], [1, 2, 0], [9, 3, 0], [9, 4, 0]])
    stopping = Stopping(lambda fitted, validation: np.array(next(scores), float), patience=2)
    run = fit_lanes(Walk(noise=0.1), table, KEYS, steps=steps, chunk=2, stopping=stopping)
    # The first lane runs out of patience at step 6, and its 9 comes too late; the last one never rises from 0.
    assert (run.step, run.stopped) == (steps, False)
    for number, best in enumerate((2, 10, 2)):
        expected = fit_lanes(Walk(noise=0.1), table, KEYS, steps=best, chunk=2).fitted
        assert_same_bytes(lane(run.fitted, number), lane(expected, number))


def test_lanes_stop_when_all_have_run_out_of_patience():
    scores = iter([[0, 0, 0], [3, 0, 0], [1, 1, 0], [1, 1, 0], [9, 1, 9], [9, 1, 9]])
    stopping = Stopping(lambda fitted, validation: np.array(next(scores), float), patience=2)
    run = fit_lanes(Walk(), cohort(), KEYS, steps=20, chunk=2, stopping=stopping)
    assert (run.step, run.stopped) == (8, True)


def test_one_diverging_lane_does_not_end_the_others():
    table = cohort()
    far = jax.tree.map(lambda leaf: leaf, fit_lanes(Walk(), table, KEYS, steps=2, chunk=2).state)
    far = dataclasses.replace(far, at=far.at.at[1].set(np.nan))
    resume = lambda like: (2, {"state": far, "best": None})  # noqa: E731
    run = fit_lanes(Walk(), table, KEYS, steps=4, chunk=2, resume=resume)
    assert np.isnan(run.history[-1]["loss"]).tolist() == [False, True, False]


def test_stack_shares_what_is_equal(labelled, tasks):
    shared, varying = stack([labelled, labelled])
    assert varying == ()
    assert_same_bytes(shared, labelled)
    stacked, varying = stack(tasks)
    assert varying == ("label", "sources")
    assert stacked.sources.tolist() == [[1, 2], [0, 2], [0, 1]]
    assert stacked.x.shape == labelled.x.shape


def test_stack_refuses_other_tables(labelled):
    drawn = world()
    others = {
        "rows": Cohort.from_arrays(drawn.x + 1, drawn.domain, label=drawn.label),
        "fewer rows": Cohort.from_arrays(drawn.x[1:], drawn.domain[1:], label=drawn.label[1:]),
        "classes": Cohort.from_arrays(
            drawn.x, drawn.domain, label=np.char.replace(drawn.label, "class", "kind")
        ),
        "controls": Cohort.from_arrays(
            drawn.x, drawn.domain, label=drawn.label, control=drawn.label == "class 0"
        ),
    }
    for name, other in others.items():
        with refusal("different-lanes"):
            stack([labelled, other])
            pytest.fail(f"other {name} were accepted")


def test_stack_refuses_tasks_with_other_numbers_of_sources(labelled):
    with refusal("different-lanes") as caught:
        stack([labelled, labelled.mask_labels("domain 1")])
    assert "2, 3" in str(caught.value)


def test_every_cohort_needs_a_key(tasks):
    with refusal("different-lanes"):
        fit_lanes(JOINT, tasks, KEYS[:2], steps=1)


FOUR = "--xla_force_host_platform_device_count=4"
DEVICES = """
import dataclasses, json
import jax, numpy as np
from problems import CHUNK, JOINT, Walk, cohort
from jbc.train import fit_lanes, predict_lanes

method = dataclasses.replace(JOINT, dropout=0.0)
table, devices = cohort(), jax.local_devices()

def run(method, lanes, **options):
    keys = jax.random.split(jax.random.key(5), lanes)
    return fit_lanes(method, table, keys, steps=CHUNK, chunk=CHUNK, **options)

def restored(tree):
    return 0, jax.tree.map(lambda leaf: jax.numpy.array(np.asarray(leaf)), tree)

def spread(run):
    return sorted({len(leaf.sharding.device_set) for leaf in jax.tree.leaves((run.fitted, run.state))})

def logits(run):
    return predict_lanes(method, run.fitted, table.x, table.domain)

four = run(method, 4)
told = [len(devices), spread(four), spread(run(Walk(), 6)), spread(run(Walk(), 5))]
told.append(spread(run(Walk(), 4, resume=restored)))
many = logits(four)
jax.local_devices = lambda: devices[:1]
one = run(method, 4)
print(json.dumps([*told, spread(one), float(abs(np.asarray(many) - np.asarray(logits(one))).max())]))
"""


@pytest.mark.slow
def test_lanes_spread_over_four_devices():
    told = run_python(DEVICES, timeout=150, **QUICK | {"XLA_FLAGS": f"{FOUR} {QUICK['XLA_FLAGS']}"})
    devices, four, six, five, again, one, gap = json.loads(told)
    assert devices == 4
    assert four == [4], "every array of the result lies on four devices"
    assert six == [3], "six lanes divide over three"
    assert five == [1], "five lanes divide over one only"
    assert again == [4], "a resumed run spreads again"
    assert one == [1]
    assert gap < 1e-5
