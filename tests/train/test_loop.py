"""The loop, with a method small enough to compute by hand."""

from __future__ import annotations

import io
import json
import os
import signal
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import Walk, assert_close, assert_same_bytes, cohort, refusal

from jbc.methods.closed_form.standardise import Standardise
from jbc.train import Stopping, fit, interruptible, log_lines, progress
from jbc.train.checkpoint import latest, read_step, save_step
from jbc.train.loop import _divisor

KEY = jax.random.key(3)
WALK = Walk(noise=0.1)
STEPS = 12


@pytest.fixture(scope="module")
def table():
    return cohort()


@pytest.fixture(scope="module")
def straight(table):
    return fit(WALK, table, KEY, steps=STEPS, chunk=4)


def collect(events):
    """Make a hook that notes what it is told, with copies of the arrays."""

    def hook(event):
        events.append(event._replace(tree=jax.tree.map(np.array, event.tree)))

    return hook


def resumed(step, tree):
    """Make the ``resume`` option that goes on from a saved step."""
    return lambda like: (step, jax.tree.map(lambda old, new: jnp.array(new), like, tree))


@pytest.mark.slow
def test_the_loop_does_what_the_same_steps_do_one_by_one(table):
    """Draw, key and order of the steps, recomputed without the loop."""
    plan = np.asarray(WALK.draw.plan(jax.random.fold_in(KEY, 1), table, 0, STEPS))
    at = np.asarray(jax.random.normal(jax.random.fold_in(KEY, 0), (table.x.shape[1],)), np.float64)
    losses = []
    for step in range(STEPS):
        mean = table.x[plan[step]].astype(np.float64).mean(axis=(0, 1))
        losses.append(np.square(at - mean).sum())
        noise = jax.random.normal(jax.random.fold_in(jax.random.fold_in(KEY, 2), step), at.shape)
        at = at + 0.5 * (mean - at) + 0.1 * np.asarray(noise)
    run = fit(WALK, table, KEY, steps=STEPS, chunk=4)
    np.testing.assert_allclose(run.fitted["at"], at, rtol=1e-4)
    assert [row["step"] for row in run.history] == [4, 8, 12]
    means = np.reshape(losses, (3, 4)).mean(axis=1)
    np.testing.assert_allclose([row["loss"] for row in run.history], means, rtol=1e-4)
    assert (run.step, run.stopped) == (STEPS, False)


@pytest.mark.parametrize("chunk", [2, 5, 12, 100, None])
def test_the_size_of_a_chunk_changes_no_bit(table, straight, chunk):
    run = fit(WALK, table, KEY, steps=STEPS, chunk=chunk)
    assert_same_bytes(run.state, straight.state)
    assert_same_bytes(run.fitted, straight.fitted)
    assert run.history[-1]["step"] == STEPS


def test_chunks_of_one_step_agree_up_to_rounding(table, straight):
    """XLA removes a loop of one turn and may round its body otherwise."""
    run = fit(WALK, table, KEY, steps=STEPS, chunk=1)
    assert_close(run.fitted, straight.fitted, rtol=1e-5)
    assert [row["step"] for row in run.history] == list(range(1, STEPS + 1))


@pytest.mark.parametrize("steps", [1, 7, 12, 100, 211, 250, 300, 997, 1998, 2000, 20_000])
def test_chunks_are_neither_too_few_nor_too_long(steps):
    size = _divisor(steps)
    assert 1 <= size <= min(steps, 100)
    if steps >= 200:
        assert size >= 25 or 20 <= steps / size <= 80


def test_an_outside_plan_reproduces_the_drawn_run(table):
    walk = WALK
    plan = walk.draw.plan(jax.random.fold_in(KEY, 1), table, 0, STEPS)
    drawn = fit(walk, table, KEY, steps=STEPS, chunk=4)
    assert_same_bytes(fit(walk, table, KEY, steps=STEPS, chunk=4, plan=np.asarray(plan)).state, drawn.state)
    other = fit(walk, table, KEY, steps=STEPS, chunk=4, plan=np.asarray(plan)[::-1])
    assert (np.asarray(other.fitted["at"]) != np.asarray(drawn.fitted["at"])).any()


def test_hooks_are_told_every_chunk_in_turn(table, straight):
    events, order = [], []
    hooks = [collect(events), lambda event: order.append("first"), lambda event: order.append("second")]
    run = fit(WALK, table, KEY, steps=10, chunk=4, hooks=hooks)
    assert [event.step for event in events] == [4, 8, 10]
    assert {event.steps for event in events} == {10}
    # Three domains, eight rows of each, four steps (two in the last chunk).
    assert [event.rows for event in events] == [96, 96, 48]
    assert all(event.seconds > 0 for event in events)
    assert order == ["first", "second"] * 3
    assert [float(event.info["loss"]) for event in events] == [float(row["loss"]) for row in run.history]
    assert_same_bytes(events[-1].tree["state"], jax.tree.map(np.asarray, run.state))
    assert [row["loss"] for row in run.history][:2] == [row["loss"] for row in straight.history][:2]


@pytest.mark.parametrize("where", [0, 1])
def test_a_hook_that_returns_true_stops_after_all_hooks_were_told(table, where):
    told = []
    hooks = [lambda event: told.append(event.step), lambda event: told.append(-event.step)]
    hooks.insert(where, lambda event: event.step == 8)
    run = fit(WALK, table, KEY, steps=STEPS, chunk=4, hooks=hooks)
    assert told == [4, -4, 8, -8]
    assert (run.step, run.stopped) == (8, True)


def test_the_state_is_donated(table):
    """A chunk reuses the memory of the state before it, so that a model is in memory once."""
    trees = []
    fit(WALK, table, KEY, steps=8, chunk=4, hooks=[lambda event: trees.append(event.tree)])
    first, last = (jax.tree.leaves(tree["state"]) for tree in trees)
    assert all(leaf.is_deleted() for leaf in first)
    assert not any(leaf.is_deleted() for leaf in last)


def test_stop_and_resume_ends_in_the_same_bits(table, straight):
    events = []
    fit(WALK, table, KEY, steps=8, chunk=4, hooks=[collect(events)])
    run = fit(WALK, table, KEY, steps=STEPS, chunk=4, resume=resumed(8, events[-1].tree))
    assert_same_bytes(run.state, straight.state)
    assert [row["step"] for row in run.history] == [12]
    again = fit(WALK, table, KEY, steps=STEPS, chunk=4, resume=lambda like: None)
    assert_same_bytes(again.state, straight.state)


def test_resuming_a_finished_run_changes_nothing(table, straight):
    tree = {"state": jax.tree.map(np.asarray, straight.state), "best": None}
    run = fit(WALK, table, KEY, steps=STEPS, chunk=4, resume=resumed(STEPS, tree))
    assert_same_bytes(run.fitted, straight.fitted)
    assert (run.step, run.history) == (STEPS, [])


def script(*scores):
    """Make a score that says these numbers in turn; the loop asks once before training, for the shape."""
    answers = iter([scores[0], *scores])
    return lambda fitted, validation: next(answers)


@pytest.mark.parametrize(
    ("scores", "patience", "rise", "stops", "best"),
    [
        ((0.0, 1.0, 3.0, 2.0, 2.0, 9.0), 2, 0.0, 10, 6),
        ((0.0, 1.0, 3.0, 2.0, 4.0, 5.0), 2, 0.0, 12, 12),
        ((5.0, 1.0, 1.0, 1.0, 1.0, 1.0), 3, 0.0, 8, 2),
        ((1.0, 1.4, 1.8, 2.2, 2.6, 3.0), 2, 0.5, 12, 10),  # only every second rise from the best counts
        ((1.0, 1.0, 1.0, 1.0, 1.0, 1.0), 1, 0.0, 4, 2),  # the same again is no rise
        ((float("nan"), 1.0, 0.0, 0.0, 0.0, 0.0), 2, 0.0, 8, 4),
    ],
)
def test_early_stopping_keeps_the_best_state(table, scores, patience, rise, stops, best):
    stopping = Stopping(script(*scores), patience=patience, rise=rise)
    run = fit(WALK, table, KEY, steps=STEPS, chunk=2, stopping=stopping)
    assert (run.step, run.stopped) == (stops, stops < STEPS)
    assert_same_bytes(run.fitted, fit(WALK, table, KEY, steps=best, chunk=2).fitted)
    assert_same_bytes(run.state, fit(WALK, table, KEY, steps=stops, chunk=2).state)


def test_the_score_sees_the_fitted_model_and_the_validation(table):
    seen = []

    def score(fitted, validation):
        seen.append((set(fitted), validation))
        return -float(jnp.abs(fitted["at"]).sum())

    fit(WALK, table, KEY, steps=4, chunk=2, stopping=Stopping(score, validation="rows", patience=9))
    assert seen == [({"at"}, "rows")] * 3


def test_early_stopping_resumes_with_its_patience(table):
    scores, events = (0.0, 3.0, 2.0, 2.0, 2.0, 9.0), []
    straight = fit(WALK, table, KEY, steps=STEPS, chunk=2, stopping=Stopping(script(*scores), patience=3))
    assert straight.step == 10
    stopping = Stopping(script(*scores), patience=3)
    fit(WALK, table, KEY, steps=6, chunk=2, stopping=stopping, hooks=[collect(events)])
    for at in (1, 2):
        run = fit(
            WALK, table, KEY, steps=STEPS, chunk=2,
            stopping=Stopping(script(*scores[at + 1 :]), patience=3),
            resume=resumed(events[at].step, events[at].tree),
        )  # fmt: skip
        assert (run.step, run.stopped) == (10, True)
        assert_same_bytes(run.fitted, straight.fitted)
        assert_same_bytes(run.state, straight.state)


def test_a_run_that_had_stopped_is_not_trained_on_when_resumed(table):
    """A kill between the last checkpoint and the saved model must not change the model."""
    events = []
    stopping = Stopping(script(1.0, 0.0, 0.0, 0.0, 0.0, 0.0), patience=2)
    straight = fit(WALK, table, KEY, steps=STEPS, chunk=2, stopping=stopping, hooks=[collect(events)])
    assert straight.step == 6
    again = Stopping(lambda fitted, validation: 9.0, patience=2)
    run = fit(
        WALK, table, KEY, steps=STEPS, chunk=2, stopping=again, resume=resumed(6, events[-1].tree)
    )  # fmt: skip
    assert (run.step, run.stopped) == (6, True)
    assert_same_bytes((run.fitted, run.state), (straight.fitted, straight.state))


def test_divergence_is_an_error_that_says_when(table):
    events = []
    with refusal("diverged") as caught:
        fit(Walk(growth=1e20), table, KEY, steps=STEPS, chunk=2, hooks=[collect(events)])
    assert "before step 4" in str(caught.value)
    assert [event.step for event in events] == [2], "nothing of a diverged chunk is saved or logged"


def test_closed_forms_need_no_loop(table):
    run = fit(Standardise(), table, KEY)
    assert (run.state, run.step, run.history, run.stopped) == (None, 0, [], False)
    assert set(run.fitted) == {"mean", "scale", "to"}


def test_the_log_of_a_resumed_run_has_every_step_once(table, tmp_path, straight):
    path, tree = tmp_path / "log.jsonl", {}

    def save(event):
        if event.step == 8:  # the kill comes after step 10 was logged and while step 12 is written
            tree["at 8"] = jax.tree.map(np.array, event.tree)
        return event.step == 10

    with log_lines(path) as log:
        fit(WALK, table, KEY, steps=STEPS, chunk=2, hooks=[log, save])
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [2, 4, 6, 8, 10]
    path.write_text(path.read_text() + '{"step": 12, "los')
    with log_lines(path, start=8) as log:
        run = fit(WALK, table, KEY, steps=STEPS, chunk=2, hooks=[log], resume=resumed(8, tree["at 8"]))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    assert_same_bytes(run.state, straight.state)
    whole = fit(WALK, table, KEY, steps=STEPS, chunk=2)
    assert [line["loss"] for line in lines] == [float(row["loss"]) for row in whole.history]
    with log_lines(path):
        pass
    assert path.read_text() == "", "a new run begins a new log"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_silent_without_a_terminal(table, capsys):
    with progress() as hook:
        fit(WALK, table, KEY, steps=STEPS, chunk=4, hooks=[hook])
    told = capsys.readouterr()
    assert told.out == told.err == ""


def test_progress_tells_loss_and_speed_on_a_terminal(table, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress("three plates") as hook:
        fit(WALK, table, KEY, steps=STEPS, chunk=4, hooks=[hook])
    told = sys.stderr.getvalue()
    assert all(part in told for part in ("three plates", "12/12", "loss", "rows/s"))


INTERRUPTS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]


@pytest.fixture
def handlers():
    """The usual handlers: whoever starts the tests may have had some signals ignored."""
    usual = {
        number: signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        for number in INTERRUPTS
    }
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield usual
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", INTERRUPTS)
def test_an_interrupt_saves_and_stops_after_the_running_chunk(table, tmp_path, straight, handlers, number):
    def save(event):
        save_step(tmp_path, event.step, event.tree, {})

    def interrupt(event):
        if event.step == 4:
            os.kill(os.getpid(), number)

    with interruptible(save) as (hook, caught):
        run = fit(WALK, table, KEY, steps=STEPS, chunk=4, hooks=[interrupt, hook])
    assert {each: signal.getsignal(each) for each in INTERRUPTS} == handlers
    assert (run.step, run.stopped, caught) == (4, True, [number])
    assert latest(tmp_path) == 4
    run = fit(
        WALK, table, KEY, steps=STEPS, chunk=4, resume=lambda like: (4, read_step(tmp_path, 4, like)[0])
    )
    assert_same_bytes(run.state, straight.state)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="terminals of POSIX")
def test_the_end_of_a_terminal_may_be_told_twice_or_be_ignored(handlers):
    del handlers
    with interruptible(lambda event: None) as (_, caught):
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGHUP)
        assert caught == [signal.SIGHUP] * 3
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interruptible(lambda event: None) as (_, caught):
        os.kill(os.getpid(), signal.SIGHUP)
        assert caught == []
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
