"""``kill -9`` at any moment, then the same command with ``--resume``, ends in the bits of an undisturbed run."""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from problems import QUICK

from jbc.cli.main import main
from jbc.data import cache
from jbc.train.checkpoint import latest, read, read_step

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork, nor send these signals"),
]

KILLS, IN_A_SAVE, FROM_A_STEP = 16, 4, 12
CHUNK, CHUNKS = 13, 79  # primes, so that the loop takes chunks of 13 steps
STEPS = CHUNK * CHUNKS
LIMIT = 60.0  # seconds that nothing here should take

# Every command is a process of its own, forked off before JAX has done anything. Of the 3 s that a new
# interpreter takes to its first step, 2 s are imports, which would be repeated for each of some 30 commands.
NURSERY = """
import json, os, signal, sys
import jbc.interfaces.estimator, jbc.train.checkpoint, pandas, pyarrow.csv, rich.table
from jbc.cli.main import main
from jbc.cli import fit
import orbax.checkpoint

for line in sys.stdin:
    arguments, output = json.loads(line)
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests may run under nohup
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.exit(main(arguments))
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Nursery:
    """Runs one command at a time."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path):
        self.process, self.output, self.pid = process, output, 0

    def start(self, *arguments: object) -> None:
        line = json.dumps([list(map(str, arguments)), str(self.output)])
        self.process.stdin.write(line.encode() + b"\n")
        self.pid = int(self._line())

    def ended(self, wait: float = 0) -> bool:
        return bool(select.select([self.process.stdout], [], [], wait)[0])

    def status(self) -> int:
        if not self.ended(LIMIT):
            os.kill(self.pid, signal.SIGKILL)
            pytest.fail(f"the command does not end; it said: {self.said()}")
        return int(self._line())

    def run(self, *arguments: object) -> int:
        self.start(*arguments)
        return self.status()

    def said(self) -> str:
        return self.output.read_text()

    def _line(self) -> bytes:
        return self.process.stdout.readline()  # unbuffered, so that select sees what is left


class End(NamedTuple):
    """What a run comes to: a sum over the arrays of its model and of its last state, and its curves."""

    model: str
    state: str
    history: list[dict]
    steps: list[int]


def end(run: Path) -> End:
    fitted, meta = read(run / "model")
    state, _ = read_step(run / "checkpoints", latest(run / "checkpoints") or 0)
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    return End(digest(fitted), digest(state), meta["history"], steps)


def digest(tree: object) -> str:
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        total.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode() + array.tobytes())
    return total.hexdigest()


def fit(data: Path, out: Path, *, seed: int = 3, steps: int = STEPS, method: tuple = ("--rows", "8")) -> list:
    """The command; its steps are short, and it saves after every chunk."""
    keys = ["--batch-key", "plate", "--labels-key", "class"]
    train = ["--steps", str(steps), "--seed", str(seed), "--save-every", str(CHUNK), "--resume"]
    return ["fit", "--data", str(data), *keys, "--out", str(out), *train, "joint-calibration", *method]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def data(folder) -> Path:
    """Three plates of 40 rows and 6 features; the last has no labels."""
    rng = np.random.default_rng(0)
    lines = ["id,plate,class," + ",".join(f"m{i}" for i in range(6))]
    for plate in range(3):
        for row in range(40):
            x = np.exp(rng.normal(size=6) + 0.3 * plate + 0.5 * (row % 2))
            label = "" if plate == 2 else "AB"[row % 2]
            lines.append(f"{plate}-{row:02d},P{plate},{label}," + ",".join(map(repr, x.tolist())))
    path = folder / "plates.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def environment(folder) -> dict[str, str]:
    return os.environ | QUICK | {"JBC_CACHE": str(folder / "cache"), "JAX_PLATFORMS": "cpu"}


@pytest.fixture(scope="module")
def undisturbed(folder, data, environment) -> End:
    """A run from beginning to end in an interpreter of its own, which also fills the cache of programs."""
    script = "import sys; from jbc.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, *fit(data, folder / "undisturbed")]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=2 * LIMIT)
    return end(folder / "undisturbed")


@pytest.fixture(scope="module")
def nursery(folder, environment) -> Iterator[Nursery]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    with subprocess.Popen([sys.executable, "-c", NURSERY], env=environment, **pipes) as process:  # pyright: ignore[reportCallIssue]
        yield Nursery(process, folder / "output.txt")
        process.stdin.close()


# The moments to kill at: each is a condition that the parent looks at again and again.


def left_over(run: Path) -> set[Path]:
    """Folders that exist only while a save is under way."""
    return {path for place in (run, run / "checkpoints") for path in place.glob("*.tmp-*")}


def after(seconds: float) -> Callable[[], bool]:
    due = time.monotonic() + seconds
    return lambda: time.monotonic() >= due


def saved(run: Path, more: int) -> Callable[[], bool]:
    goal = (latest(run / "checkpoints") or 0) + more * CHUNK
    return lambda: (latest(run / "checkpoints") or 0) >= goal


def saving(run: Path, pattern: str) -> Callable[[], bool]:
    before = left_over(run)
    return lambda: any(path.match(pattern) for path in left_over(run) - before)


def moments(kind: str, run: Path, chance: random.Random) -> Iterator[Callable[[], bool]]:
    """Yield the conditions of one kill, to be waited for in turn."""
    if kind == "start":
        yield after(chance.uniform(0, 1))
    if kind in ("save", "anywhere"):
        yield saved(run, chance.randint(1, 3))
    if kind == "save":
        yield saving(run, "step_*")
    if kind == "anywhere":
        yield after(chance.uniform(0, 0.05))
    if kind == "model":
        yield saving(run, "model.*")


def killed(nursery: Nursery, command: list, waits: Iterator[Callable[[], bool]]) -> bool:
    """Start a command and kill it after it has met all conditions; tell whether that was before its end."""
    nursery.start(*command)
    deadline = after(LIMIT)
    for condition in waits:
        while not condition() and not nursery.ended(0.0005):
            assert not deadline(), nursery.said()
    if not nursery.ended():
        os.kill(nursery.pid, signal.SIGKILL)
    status = nursery.status()
    assert status in (0, -signal.SIGKILL), nursery.said()
    return status == -signal.SIGKILL


def test_killed_and_resumed_runs_end_in_the_same_bits(folder, data, nursery, undisturbed):
    chance = random.Random(0)
    kinds = ["start"] + chance.sample(["save"] * 8 + ["anywhere"] * 5, 13) + ["model"] * 2
    runs, starts, in_a_save = 1, [], 0
    while kinds:
        run = folder / f"killed-{runs}"
        start, before = latest(run / "checkpoints") or 0, left_over(run)
        if killed(nursery, fit(data, run), moments(kinds[0], run, chance)):
            kinds.pop(0)
            starts.append(start)
            in_a_save += bool(left_over(run) - before)
        else:  # it was faster than the kill
            assert end(run) == undisturbed
            runs += 1
    run = folder / f"killed-{runs}"
    assert nursery.run(*fit(data, run)) == 0, nursery.said()
    assert end(run) == undisturbed
    assert undisturbed.steps == list(range(CHUNK, STEPS + 1, CHUNK))
    assert left_over(run) == set()
    assert len(starts) == KILLS
    assert in_a_save >= IN_A_SAVE
    assert sum(start > 0 for start in starts) >= FROM_A_STEP


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_an_interrupt_saves_and_the_resumed_run_ends_in_the_same_bits(
    folder, data, nursery, undisturbed, number, status
):
    run = folder / f"interrupted-{status}"
    nursery.start(*fit(data, run))
    condition = saved(run, 2)
    while not condition() and not nursery.ended(0.0005):
        pass
    os.kill(nursery.pid, number)
    assert nursery.status() == status, nursery.said()
    step = latest(run / "checkpoints") or 0
    assert f"interrupted after step {step}" in nursery.said()
    assert 0 < step < STEPS
    assert not (run / "model").exists()
    assert nursery.run(*fit(data, run)) == 0, nursery.said()
    assert end(run) == undisturbed


@pytest.fixture(scope="module")
def halfway(folder, data, nursery) -> Path:
    """A run that was killed after a few saves; tests work on copies."""
    run = folder / "halfway"
    while not killed(nursery, fit(data, run), iter([saved(run, 3)])):
        shutil.rmtree(run)
    return run


@pytest.mark.parametrize("file", ["MANIFEST.json", "MANIFEST.sha256", "leaves.json", "arrays"])
def test_a_flipped_byte_in_the_newest_checkpoint_is_named(folder, data, nursery, halfway, tmp_path, file):
    run = Path(shutil.copytree(halfway, tmp_path / "run"))
    newest = run / "checkpoints" / f"step_{latest(run / 'checkpoints'):08d}"
    place = newest / file
    if place.is_dir():
        place = max(
            (path for path in place.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
        )
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)
    before = sorted((newest.parent).rglob("*"))
    assert nursery.run(*fit(data, run)) == 2
    said = nursery.said()
    named = "MANIFEST.json" if place.name == "MANIFEST.sha256" else place.name
    assert named in said
    assert newest.name in said
    assert "delete it to go on" in said
    assert "Traceback" not in said
    assert sorted((newest.parent).rglob("*")) == before


def test_without_the_damaged_step_the_run_goes_on_from_the_one_before(
    data, nursery, halfway, tmp_path, undisturbed
):
    run = Path(shutil.copytree(halfway, tmp_path / "run"))
    shutil.rmtree(run / "checkpoints" / f"step_{latest(run / 'checkpoints'):08d}")
    assert nursery.run(*fit(data, run)) == 0, nursery.said()
    assert end(run) == undisturbed


# What follows ends before any training, so that it runs in this process.


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"seed": 4}, "'seed'"),
        ({"steps": STEPS + 1}, "'steps'"),
        ({"method": ("--rows", "9")}, "'method'"),
        ({"method": ("--rows", "8", "--align", "2")}, "'method'"),
        ({"data": "another"}, "'data'"),
        ({"seed": 4, "data": "another"}, "'seed', 'data'"),
    ],
)
def test_a_run_is_not_resumed_under_other_options(
    data, halfway, tmp_path, change, field, capsys, monkeypatch
):
    monkeypatch.setattr(cache, "keep_compiled", lambda: None)
    if "data" in change:
        change = change | {"data": tmp_path / "another.csv"}
        change["data"].write_text(data.read_text().replace("P0", "P00"))
    before = {path: path.stat().st_mtime_ns for path in halfway.rglob("*")}
    command = fit(**({"data": data, "out": halfway} | change))
    assert main(command) == 2
    said = capsys.readouterr().err
    assert f"differs in: {field}." in said
    assert {path: path.stat().st_mtime_ns for path in halfway.rglob("*")} == before


def test_a_finished_run_says_so(folder, data, undisturbed, capsys, monkeypatch):
    monkeypatch.setattr(cache, "keep_compiled", lambda: None)
    run = folder / "undisturbed"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert main(fit(data, run)) == 0
    assert "finished already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
