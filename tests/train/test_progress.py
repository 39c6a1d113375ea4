"""Progress in a terminal, in a notebook, and where nothing can be redrawn; checkpoints of an interrupted fit."""

from __future__ import annotations

import signal
import sys
import types

import numpy as np
import pytest
from problems import Walk, assert_same_bytes, refusal, world

import jbc
from jbc.train import progress as shown
from jbc.train.loop import Event

progress = sys.modules["jbc.train.progress"]


def event(step: int, **info) -> Event:
    return Event(step=step, steps=40, rows=100, seconds=0.5, info=info, tree=None)


def test_lines_come_now_and_then_with_the_time_left(capsys, monkeypatch):
    clock = iter([0.0, 1.0, 4.0, 7.0, 8.0, 13.0])
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    with shown("walk") as hook:
        for step in (5, 10, 20, 25, 30):
            hook(event(step, loss=np.float32(0.25)))
    assert capsys.readouterr().err.splitlines() == [
        "walk: step 20 of 40, loss 0.25, 200 rows/s, 8 s left",
        "walk: step 30 of 40, loss 0.25, 200 rows/s, 5 s left",
    ]


def test_in_a_notebook_one_line_changes(capsys, monkeypatch):
    shell = types.SimpleNamespace(kernel=True)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    with shown("walk") as hook:
        hook(event(20))
        hook(event(40))
    out = capsys.readouterr().out
    assert out.startswith("\rwalk: compiling\rwalk: step 20 of 40, 200 rows/s")
    assert out.count("\r") == 3
    assert out.endswith("\n")


def test_in_a_terminal_there_is_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with shown("walk") as hook:
        hook(event(40, loss=np.float32(0.25)))
    assert "walk" in (told := capsys.readouterr().err)
    assert "40/40" in told


@pytest.fixture(scope="module")
def cohort():
    drawn = world()
    return jbc.Cohort.from_arrays(drawn.x, drawn.domain)


class Interrupt:
    """Press Ctrl-C after some steps, once."""

    def __init__(self, step: int):
        self.step = step

    def __call__(self, event: Event) -> None:
        if event.step >= self.step:
            self.step = sys.maxsize
            signal.raise_signal(signal.SIGINT)


METHOD = jbc.MMDResNet(width=4, blocks=1, route=jbc.Route(target="domain 1"), training=jbc.Training(rows=4))


def test_an_interrupted_fit_goes_on_to_the_same_bits(cohort, tmp_path):
    options = {"steps": 8, "chunk": 2, "verbose": False, "composition": "assume-equal"}
    expected = jbc.fit(METHOD, cohort, **options)
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt, match="interrupted after step 4, and saved in"):
        jbc.fit(METHOD, cohort, **options, checkpoints=folder, hooks=[Interrupt(4)])
    steps: list[int] = []
    hooks = [lambda event: steps.append(event.step)]
    model = jbc.fit(METHOD, cohort, **options, checkpoints=folder, hooks=hooks)
    assert steps == [6, 8]
    assert_same_bytes(model.fitted, expected.fitted)
    assert_same_bytes(jbc.fit(METHOD, cohort, **options, checkpoints=folder).fitted, expected.fitted)
    with refusal("other-run"):
        jbc.fit(METHOD, cohort, **options, seed=1, checkpoints=folder)


def test_checkpoints_of_a_closed_form_are_refused(cohort, tmp_path):
    with refusal("not-trained"):
        jbc.fit(jbc.Standardise(), cohort, checkpoints=tmp_path / "run", composition="assume-equal")
    assert not (tmp_path / "run").exists()


def test_without_a_folder_nothing_is_written(cohort, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jbc.Corrector(Walk(), steps=2, composition="assume-equal", verbose=False).fit_cohort(cohort)
    assert not list(tmp_path.iterdir())
