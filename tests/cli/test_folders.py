"""Folders of runs and models: nothing else is written into them, one process works in one, and a hang-up saves."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import QUICK, ROOT, refusal

import jbc
from jbc.cli import folders, launch
from jbc.cli.folders import LOCK, run_folder
from jbc.cli.main import main
from jbc.data import cache
from jbc.errors import InputError
from jbc.model.checkpoints import same_run
from jbc.train import checkpoint
from jbc.train.checkpoint import latest

ROWS, KEYS = 24, ("--batch-key", "plate")
posix = pytest.mark.skipif(os.name == "nt", reason="locks and signals of POSIX")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A table, and two finished runs on it."""
    folder, rng = tmp_path_factory.mktemp("folders"), np.random.default_rng(0)
    lines = [f"{row},P{row % 3}," + ",".join(map(repr, rng.normal(size=3).tolist())) for row in range(ROWS)]
    (folder / "good.csv").write_text("\n".join(["id,plate,m1,m2,m3", *lines]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "keep_compiled", lambda: None)
        for name in ("run", "other"):
            assert main(fit(folder, name)) == 0
    checkpoint.save_step(folder / "run" / "checkpoints", 10, {"a": np.ones(3)}, {})
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch) -> Path:
    """A copy of it, as the working folder, with links."""
    place = tmp_path / "here"
    shutil.copytree(made, place)
    (place / "link").symlink_to("run/model")
    (place / "deep").symlink_to("run/model/arrays")
    (place / "csv.csv").symlink_to("run/model/new.csv")
    monkeypatch.chdir(place)
    monkeypatch.setattr(cache, "keep_compiled", lambda: None)
    return place


def fit(folder: Path, out: str, *more: str) -> list[str]:
    return [
        "fit",
        "--data",
        str(folder / "good.csv"),
        *KEYS,
        "--out",
        str(folder / out),
        *more,
        "standardise",
    ]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


# Outputs that would damage what is there.

TABLES = [
    "run/model/new.csv",
    "run/model/leaves.json",
    "run/model",
    "run/model/arrays/new.csv",
    "run/model/arrays/deeper/new.csv",
    "run/../run/model/new.csv",
    "run/checkpoints/step_00000010/new.csv",
    "link/new.csv",
    "link",
    "deep/new.csv",
    "csv.csv",
    "run/run.json",
    "run/log.jsonl",
]


@pytest.mark.parametrize("out", TABLES)
@pytest.mark.parametrize(
    "command",
    [
        "transform run --data nothing.csv",
        "transform other/model --data nothing.csv",
        "predict run --data nothing.csv",
        "adapt run --data nothing.csv",
        "evaluate --data nothing.csv --batch-key plate",
    ],
)
def test_nothing_is_written_into_a_model(here, capsys, command, out):
    """That is found out first: the data are not even looked for."""
    before = contents(here)
    assert main([*command.split(), "--out", out]) == 2
    said = capsys.readouterr().err
    assert "The output would lie in the folder of a" in said
    assert out in said
    assert "Choose another --out" in said
    assert contents(here) == before


@pytest.mark.parametrize(
    "out", ["run/model/new", "run/new", "run/checkpoints/new", "link", "link/new", "run/a/b/c"]
)
@pytest.mark.parametrize("command", ["fit", "fit --resume", "demo"])
def test_no_run_begins_inside_of_another(here, capsys, command, out):
    before = contents(here)
    name, *more = command.split()
    words = (
        ["demo", "--out", out] if name == "demo" else ["fit", "--data", "no.csv", *KEYS, "--out", out, *more]
    )
    assert main(words if name == "demo" else [*words, "standardise"]) == 2
    assert "The output would lie in the folder of a" in capsys.readouterr().err
    assert contents(here) == before


@pytest.mark.parametrize("config", ["{}", "[]", "3", '{"name": "of something else"}'])
def test_a_file_called_run_json_makes_no_run(here, config):
    (here / "mine").mkdir()
    (here / "mine" / "run.json").write_text(config)
    assert main(fit(here, "mine/new")) == 0
    assert main(["transform", "run", "--data", "good.csv", "--out", "run/new.csv"]) == 0  # beside the model


@pytest.mark.parametrize("config", ["{", "[" * 100_000, ""])
def test_a_damaged_run_is_one(here, capsys, config):
    (here / "run" / "run.json").write_text(config)
    assert main(fit(here, "run/new")) == 2
    assert "The output would lie in the folder of a run" in capsys.readouterr().err


def test_models_are_not_saved_into_models(here):
    model = jbc.load("run/model")
    before = contents(here)
    for place in ("run/model/new", "link/new", "run/model/arrays/new"):
        with refusal("output-in-model"):
            model.save(place)
        with refusal("output-in-model"):
            model.save(place, overwrite=True)
    assert contents(here) == before


@pytest.mark.parametrize("words", [["--out", ""], ["--out="]])
@pytest.mark.parametrize(
    "command",
    [
        "transform run --data good.csv",
        "predict run --data good.csv",
        "adapt run --data good.csv",
        "evaluate --data good.csv --batch-key plate",
        "fit --data good.csv --batch-key plate",
        "demo",
    ],
)
def test_an_output_without_a_name_is_refused(here, tmp_path, monkeypatch, capsys, command, words):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert main([*command.split(), *words]) == 2
    assert "--out names nothing" in capsys.readouterr().err
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("out", ["good.csv/new.csv", "good.csv/deeper/new.csv", "nowhere/new.csv"])
def test_an_output_below_a_file_or_nowhere_leaves_nothing(here, capsys, out):
    before = contents(here)
    for command in ("transform run --data good.csv", "evaluate --data good.csv --batch-key plate"):
        assert main([*command.split(), "--out", out]) == 2
        assert "jbc: error: Cannot write the file" in capsys.readouterr().err
    assert contents(here) == before


@pytest.mark.parametrize("call", ["open", "fsync", "replace", "write"])
@pytest.mark.parametrize("out", ["new.csv", "good.tsv", "new.parquet", "new.h5ad", "new.csv.gz"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(here, monkeypatch, capsys, call, out):
    (here / "good.tsv").write_text("precious\n")
    before = contents(here)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if call == "write":
            patch.setattr(Path, "open", full)
        else:
            patch.setattr(f"jbc.data.io.atomic.os.{call}", full)
        with (
            pytest.raises(InputError, match="No space left on device") as caught,
            jbc.data.atomic_path(out) as path,
        ):
            path.open("wb").close()
    assert caught.value.code == "unwritable"
    assert contents(here) == before


# One process at a time.

RUN = {"method": {"name": "standardise"}, "data": "sum"}


def open_folder(out: Path, resume: bool = True) -> contextlib.AbstractContextManager[bool]:
    return run_folder(out, RUN, resume=resume)


@posix
@pytest.mark.parametrize("resume", [True, False])
def test_two_at_once_are_refused_and_the_first_goes_on(tmp_path, resume):
    out = tmp_path / "new" / "run"
    with open_folder(out) as finished:
        assert not finished
        before = contents(out)
        with refusal("run-in-use" if resume else "output-exists"), open_folder(out, resume):
            pass
        assert contents(out) == before
    assert [path.name for path in out.iterdir()] == ["run.json"]
    with open_folder(out):
        pass


@posix
def test_both_may_be_at_the_very_beginning(tmp_path, monkeypatch):
    """One sees no folder, and is then overtaken by another: it removes nothing of the other's."""
    out = tmp_path / "run"
    alone = folders._alone

    def overtaken(place):
        with open_folder(place):
            (place / "precious").touch()
        return alone(place)

    monkeypatch.setattr(
        folders, "_alone", lambda place: (monkeypatch.setattr(folders, "_alone", alone), overtaken(place))[1]
    )
    with refusal("output-exists"), open_folder(out, resume=False):
        pass
    assert sorted(path.name for path in out.iterdir()) == ["precious", "run.json"]


HOLDER = """
import sys
from pathlib import Path
from jbc.cli.folders import run_folder
with run_folder(Path(sys.argv[1]), {"method": {"name": "standardise"}, "data": "sum"}, resume=True):
    print("in", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def holding(out: Path) -> Iterator[subprocess.Popen]:
    """Work in a run folder in another process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command, pipe = [sys.executable, "-c", HOLDER, str(out)], subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "in\n"
        try:
            yield process
        finally:
            process.kill()


@posix
def test_the_lock_ends_with_a_killed_process(tmp_path):
    out = tmp_path / "run"
    with holding(out) as process:
        with refusal("run-in-use"), open_folder(out):
            pass
        process.kill()
        process.wait()
        assert (out / LOCK).exists()  # what it leaves is in nobody's way
        with open_folder(out):
            pass
    assert [path.name for path in out.iterdir()] == ["run.json"]


@posix
def test_a_second_fit_says_that_the_folder_is_in_use(here, capsys):
    shutil.rmtree(here / "run" / "model")
    with holding(here / "fresh"):
        config = json.loads((here / "run" / "run.json").read_text())
        (here / "fresh" / "run.json").write_text(json.dumps(config))
        before = contents(here)
        assert main(fit(here, "fresh", "--resume")) == 2
        said = capsys.readouterr().err
        assert "Another process is working in this run folder" in said
        assert str(here / "fresh") in said
        assert contents(here) == before
    assert main(fit(here, "fresh", "--resume")) == 0
    assert {path.name for path in (here / "fresh").iterdir()} == {"run.json", "log.jsonl", "model"} | (
        {"checkpoints"} if (here / "fresh" / "checkpoints").exists() else set()
    )


@posix
def test_a_file_system_without_locks_is_worked_on_nevertheless(tmp_path, monkeypatch):
    import fcntl

    def unsupported(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with open_folder(tmp_path / "run") as finished:
        assert not finished
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]


def test_a_failing_new_run_leaves_no_folder_and_a_lock_is_no_content(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(InputError), open_folder(out):
        raise InputError("No", why="No.", fix="No.", code="no")
    assert not out.exists()
    out.mkdir()
    (out / LOCK).touch()
    with open_folder(out, resume=False):
        pass
    assert [path.name for path in out.iterdir()] == ["run.json"]


def test_a_finished_run_is_left_alone(here, capsys):
    before = {path: path.stat().st_mtime_ns for path in [here / "run", *(here / "run").rglob("*")]}
    assert main(fit(here, "run", "--resume")) == 0
    assert "finished already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in [here / "run", *(here / "run").rglob("*")]} == before


# Checkpoints that belong to something else.


@pytest.mark.parametrize("meta", [{}, {"run": None}, {"run": []}, {"run": "x"}, {"run": {}}])
def test_a_checkpoint_without_its_configuration_is_not_gone_on_with(meta):
    with refusal("other-run"):
        same_run(meta.get("run"), RUN)


# The end of a terminal.


@posix
def test_launched_runs_hear_of_the_end_of_a_terminal_unless_it_is_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with launch._signals() as caught:
            os.kill(os.getpid(), signal.SIGHUP)
            assert caught == [signal.SIGHUP]
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with launch._signals() as caught:
            os.kill(os.getpid(), signal.SIGHUP)
            assert caught == []
    finally:
        signal.signal(signal.SIGHUP, before)
    assert 129 in launch.INTERRUPTED


PROGRAM = """
import signal, sys
if sys.argv[1] == "terminal":
    import fcntl, termios
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # standard input is the terminal of this session
signal.signal(signal.SIGHUP, signal.SIG_DFL if sys.argv[1] == "terminal" else signal.SIG_IGN)
from jbc.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


@contextlib.contextmanager
def training(how: str, folder: Path, **streams: Any) -> Iterator[subprocess.Popen]:
    """Train for long in a session of its own."""
    lines = (folder / "good.csv").read_text().splitlines()
    rows = [f"{line},{'AB'[row // 3 % 2] if row % 3 < 2 else ''}" for row, line in enumerate(lines[1:])]
    (folder / "labelled.csv").write_text("\n".join([f"{lines[0]},class", *rows]) + "\n")
    keys = ["--data", "labelled.csv", *KEYS, "--labels-key", "class", "--out", "long"]
    train = ["--steps", "100000", "--save-every", "100000", "joint-calibration", "--rows", "8"]
    environment = os.environ | QUICK | {"JBC_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, how, "fit", *keys, *train]
    with subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


def trained(folder: Path) -> int:
    """Size of the log: how far the training has come."""
    log = folder / "long" / "log.jsonl"
    return log.stat().st_size if log.exists() else 0


@posix
@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 3])
def test_a_closed_terminal_saves(here, times):
    """Writing to it fails from then on, and its shell may send a signal of its own."""
    master, slave = os.openpty()
    with training("terminal", here, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        until, shown = time.monotonic() + 120, b""
        while not trained(here):
            assert time.monotonic() < until, shown
            if select.select([master], [], [], 0.05)[0]:
                shown += os.read(master, 1 << 16)
        os.close(master)  # which sends a signal
        for _ in range(times - 1):
            os.kill(process.pid, signal.SIGHUP)
        assert process.wait(timeout=60) == 129
    assert latest(here / "long" / "checkpoints")
    assert {path.name for path in (here / "long").iterdir()} == {"run.json", "log.jsonl", "checkpoints"}


@posix
@pytest.mark.slow
def test_under_nohup_the_end_of_a_terminal_is_ignored(here):
    with training("nohup", here, stdout=subprocess.DEVNULL) as process:
        until, size = time.monotonic() + 120, 0
        for number in (signal.SIGHUP, signal.SIGTERM):
            while trained(here) == size:
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
            os.kill(process.pid, number)
            time.sleep(0.2)
            size = trained(here)
        assert process.wait(timeout=60) == 143
