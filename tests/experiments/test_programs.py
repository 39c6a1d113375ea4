"""How programs end: with one line and exit status 2 for what they cannot use, and never with a traceback."""

from __future__ import annotations

import dataclasses
import runpy
import subprocess
import sys
from pathlib import Path

import jax
import pooch
import pytest
from requests.exceptions import ConnectionError as Unreachable

from experiments._lib import bench, program
from jbc.data import cache

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
START = 'if __name__ == "__main__":'
PROGRAMS = sorted(
    path.relative_to(EXPERIMENTS).as_posix()
    for path in EXPERIMENTS.rglob("*.py")
    if START in path.read_text()
)
# What needs data that are downloaded, with options that ask for little else.
OF_DATA = (
    "joint/run.py --tables mi", "gan/run.py", "composition/run.py --tables cell-lines --methods Standardise",
    "wasserstein/run.py --tables bbbc021", "neuron_editing/run.py --tables cytonorm",
)  # fmt: skip
REFUSED = {
    "composition/run.py --methods Standardize": "Did you mean Standardise?",
    "composition/figures.py --world null/my": "Did you mean null/mi?",
    "neuron_editing/run_images.py --images .": "need both --images FOLDER and --attributes FILE",
}


@dataclasses.dataclass(frozen=True)
class Options:
    rounds: int = 1


@pytest.fixture
def ends(monkeypatch, tmp_path, capsys):
    """Return a function that runs a program here, offline and without data, and returns its status and lines."""
    assert jax.devices()  # a program may ask for more before JAX has begun to compute

    def unreachable(*arguments, **options):
        raise Unreachable("offline")

    monkeypatch.setattr(sys, "path", list(sys.path))  # a program puts the repository there
    monkeypatch.setenv("JBC_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("JBC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pooch, "retrieve", unreachable)
    monkeypatch.setattr(cache, "keep_compiled", lambda: None)

    def run(command: str) -> tuple[int, list[str]]:
        name, *options = command.split()
        monkeypatch.setattr(sys, "argv", [str(EXPERIMENTS / name), *options])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(EXPERIMENTS / name), run_name="__main__")
        assert isinstance(end.value.code, int)
        return end.value.code, capsys.readouterr().err.splitlines()

    return run


def test_every_program_was_found():
    assert len(PROGRAMS) >= 12
    assert {command.split()[0] for command in (*OF_DATA, *REFUSED)} <= set(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_unknown_option_is_named(ends, name):
    status, lines = ends(f"{name} --nothing-like-this")
    assert status == 2
    assert any("--nothing-like-this" in line for line in lines)


@pytest.mark.parametrize("command", OF_DATA)
def test_missing_data_are_one_line(ends, command):
    status, lines = ends(command)
    name, *_ = command.split()
    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"{name}: error: A data set cannot be downloaded")
    assert "JBC_DATA" in lines[0]


@pytest.mark.parametrize(("command", "said"), REFUSED.items())
def test_what_a_program_refuses_is_one_line(ends, command, said):
    status, lines = ends(command)
    assert status == 2
    assert len(lines) == 1
    assert said in lines[0]


def test_an_interrupted_program_says_so_by_its_status(monkeypatch):
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as end:
        program.run(interrupted)
    assert end.value.code == 130


@pytest.mark.parametrize(("code", "status"), [(2, 2), (-9, 137)])
def test_a_benchmark_ends_as_the_process_that_it_started(monkeypatch, capsys, code, status):
    done = subprocess.CompletedProcess([], code, stdout="")
    monkeypatch.setattr(bench.subprocess, "run", lambda *arguments, **options: done)
    with pytest.raises(SystemExit) as end:
        bench.run_in_subprocess("program.py", ("jbc",), Options())
    assert end.value.code == status
    assert ("Signal 9" in capsys.readouterr().err) == (code < 0)
