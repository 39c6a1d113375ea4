"""Several processes: they train what one trains, end together, and leave what one would leave."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint
import pytest
from jax._src.clusters import ClusterEnv
from problems import QUICK, ROOT, refusal

from jbc.cli import launch
from jbc.cli.distributed import DETECTED, LOST, VARIABLE, Place
from jbc.cli.main import main
from jbc.data import cache
from jbc.train import checkpoint
from jbc.train.leaves import by_path, key_bits

LIMIT, HEARTBEAT, STEPS, CHUNK = 120, 10, 120, 10
two = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Four plates of six treatments, ten rows each."""
    folder, rng = tmp_path_factory.mktemp("launch"), np.random.default_rng(0)
    lines = ["id,plate,drug," + ",".join(f"m{i}" for i in range(6))]
    for row in range(240):
        plate, drug = row // 60, row // 10 % 6
        x = rng.normal(size=6) + 0.3 * plate + 0.2 * drug
        lines.append(f"{row},P{plate},T{drug}," + ",".join(map(repr, x.tolist())))
    (folder / "plates.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def environment(folder) -> dict[str, str]:
    place = {"JBC_CACHE": str(folder / "cache"), "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    return os.environ | QUICK | place


def fit(folder: Path, out: str, *, seed: int = 3) -> list[str]:
    keys = ["--data", str(folder / "plates.csv"), "--batch-key", "plate", "--treatment-key", "drug"]
    train = ["--steps", str(STEPS), "--seed", str(seed), "--save-every", str(CHUNK), "--resume"]
    method = ["wasserstein-alignment", "--rows", "8", "--pretrain", "10"]
    return ["fit", *keys, "--out", str(folder / out), *train, *method]


def launched(processes: int, devices: int) -> list[str]:
    counts = ["--nproc", str(processes), "--devices-per-process", str(devices)]
    return ["launch", *counts, "--heartbeat", str(HEARTBEAT), "--"]


@contextlib.contextmanager
def running(arguments: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-m", "jbc", *arguments], env=environment, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()  # and what it has launched ends with it


def run(arguments: list[str], environment: dict[str, str]) -> tuple[int, str]:
    with running(arguments, environment) as process:
        out, said = process.communicate(timeout=LIMIT)
        return process.returncode, out + said


def children(pid: int) -> list[int]:
    """Processes that a process has started, in this order."""
    table = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    pairs = [tuple(map(int, line.split())) for line in table.splitlines()]
    return sorted(own for own, parent in pairs if parent == pid)


def until(condition, limit: float = LIMIT) -> float:
    """Wait for a condition; return the seconds that took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < limit
        time.sleep(0.02)
    return time.monotonic() - begun


def saved(run: Path) -> int:
    return checkpoint.latest(run / "checkpoints") or 0


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def losses(run: Path) -> list[float]:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(CHUNK, STEPS + 1, CHUNK))
    return [row["loss"] for row in rows]


def files(run: Path) -> set[str]:
    """Everything in a run but its arrays, which lie in one file or in many."""
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    return {name for name in names if "/arrays" not in name}


def writers(run: Path) -> set[str]:
    """Who has written a part of the last checkpoint. Orbax alone opens it, with the names and bits that we read."""
    step = run / "checkpoints" / f"step_{STEPS:08d}"
    with orbax.checkpoint.StandardCheckpointer() as alone:
        found = alone.restore(step / "arrays")
    found, ours = (by_path(tree)[0] for tree in (found, checkpoint.read(step)[0]))
    arrays = {path: leaf for path, leaf in found.items() if isinstance(leaf, np.ndarray)}
    assert set(arrays) == {path for path, leaf in ours.items() if getattr(leaf, "size", 0)}
    assert all(leaf.tobytes() == np.asarray(key_bits(ours[path])).tobytes() for path, leaf in arrays.items())
    return {path.parent.name for path in (step / "arrays").glob("ocdbt.process_*/d")}


@pytest.fixture(scope="module")
def straight(folder, environment) -> list[float]:
    """The losses of one process with one device, which a scheduler's variables do not change."""
    slurm = dict.fromkeys(("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_LOCALID"), "1")
    more = {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_NODES": "2"}
    status, said = run(fit(folder, "one"), environment | slurm | more)
    assert status == 0, said
    return losses(folder / "one")


class TestTwoProcesses:
    pytestmark = two

    def test_they_train_what_one_trains_and_the_first_writes(self, folder, environment, straight):
        for name, shape in {"two": (2, 2), "four": (1, 4)}.items():
            status, said = run([*launched(*shape), *fit(folder, name)], environment)
            assert status == 0, said
            assert said.count("model: ") == 1
            np.testing.assert_allclose(losses(folder / name), straight, atol=1e-5)
            assert files(folder / name) == files(folder / "one")
            assert writers(folder / name) == {f"ocdbt.process_{rank}" for rank in range(shape[0])}
        assert {path.name for path in folder.iterdir()} == {"plates.csv", "cache", "one", "two", "four"}

    def test_a_run_goes_on_whatever_ends_it_and_on_any_number_of_processes(
        self, folder, environment, straight, monkeypatch, capsys
    ):
        command, out = fit(folder, "moved"), folder / "moved"
        # A process is killed: all end, and it is named.
        with running([*launched(2, 2), *command], environment) as parent:
            until(lambda: saved(out))
            ranks = children(parent.pid)
            os.kill(ranks[1], signal.SIGKILL)
            seconds = until(lambda: parent.poll() is not None)
            said = parent.communicate()[1]
        assert seconds < HEARTBEAT + 5
        assert parent.returncode == 128 + signal.SIGKILL
        assert (
            said.splitlines()[-1]
            == "jbc: error: rank 1 of 2 was killed by SIGKILL; all processes were stopped"
        )
        assert not any(map(alive, ranks))
        # A signal reaches one of them: all save after the same chunk.
        before = saved(out)
        with running([*launched(2, 2), *command], environment) as parent:
            until(lambda: saved(out) > before)
            os.kill(children(parent.pid)[1], signal.SIGTERM)
            told, said = parent.communicate(timeout=LIMIT)
        assert parent.returncode == 128 + signal.SIGTERM, said
        assert f"interrupted after step {saved(out)}, and saved" in told
        # One process goes on for two chunks.
        last, save = saved(out) + 2 * CHUNK, checkpoint.save_step

        def interrupted(folder, step, *rest, **options):
            save(folder, step, *rest, **options)
            if step == last:
                os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.setattr(checkpoint, "save_step", interrupted)
        monkeypatch.setattr(cache, "keep_compiled", lambda: None)
        assert main(command) == 128 + signal.SIGTERM
        assert saved(out) == last < STEPS
        # Two end it.
        status, said = run([*launched(2, 2), *command], environment)
        assert status == 0, said
        np.testing.assert_allclose(losses(out), straight, atol=1e-5)
        assert files(out) == files(folder / "one")

    def test_an_interrupt_of_the_launcher_and_its_end_reach_all(self, folder, environment):
        with running([*launched(2, 1), *fit(folder, "stopped")], environment) as parent:
            until(lambda: saved(folder / "stopped"))
            parent.send_signal(signal.SIGINT)
            told, said = parent.communicate(timeout=LIMIT)
        assert parent.returncode == 128 + signal.SIGINT, said
        assert "and saved; go on with --resume" in told
        with running([*launched(2, 1), *fit(folder, "left")], environment) as parent:
            until(lambda: saved(folder / "left"))
            ranks = children(parent.pid)
            parent.kill()
            until(lambda: not any(map(alive, ranks)), limit=5)
        assert len(ranks) == 2

    def test_different_configurations_are_refused(self, folder, environment):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        with contextlib.ExitStack() as stack:
            ranks = []
            for rank in (0, 1):
                own = environment | {VARIABLE: json.dumps(Place(address, rank, 2, HEARTBEAT))}
                command = [sys.executable, "-m", "jbc", *fit(folder, "different", seed=rank)]
                pipes = {
                    "stdin": subprocess.PIPE,
                    "stdout": subprocess.PIPE,
                    "stderr": subprocess.PIPE,
                    "text": True,
                }
                ranks.append(stack.enter_context(subprocess.Popen(command, env=own, **pipes)))
            # Their input stays open: its end would be that of a launcher.
            assert [each.wait(timeout=LIMIT) for each in ranks] == [2, 2]
            said = [each.stderr.read() for each in ranks]
        assert all("Processes of one run differ from rank 0: 'rank 1: seed'." in each for each in said)
        assert not (folder / "different").exists()

    def test_the_first_error_is_told_once(self, folder, environment):
        command = fit(folder, "nothing")
        command[command.index("--batch-key") + 1] = "no such column"
        status, said = run([*launched(2, 1), *command], environment)
        assert status == 2
        assert "no such column" in said
        assert "failed with status 2; all processes were stopped" in said.splitlines()[-1]

    def test_a_scheduler_that_is_not_there(self, folder, environment):
        status, said = run(
            [*fit(folder, "slurm")[:-5], "--distributed", "slurm", *fit(folder, "slurm")[-5:]], environment
        )
        assert status == 2
        assert "jbc: error: The other processes of the run are not found: 'slurm'." in said
        assert not (folder / "slurm").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nproc", "2"],
        ["--nproc", "2", "--", "predict"],
        ["--nproc", "0", "--", "fit"],
        ["--nproc", "2", "--heartbeat", "0", "--", "fit"],
    ],
)
def test_what_cannot_be_launched(arguments):
    with refusal("bad-launch"):
        launch.main(arguments)


@pytest.mark.parametrize(
    ("first", "later", "status", "told"),
    [
        ({1: -9}, {0: LOST}, 137, "rank 1 of 3 was killed by SIGKILL"),
        ({0: LOST}, {2: 1}, 1, "rank 2 of 3 failed with status 1"),
        ({0: -6, 1: LOST}, {2: 2}, 2, "rank 2 of 3 failed with status 2"),
        ({1: 2}, {0: 2}, 2, "rank 0 of 3 failed with status 2"),
        ({0: LOST, 1: LOST}, {}, LOST, "rank 2 of 3 no longer answers"),
    ],
)
def test_the_first_real_failure_is_blamed(tmp_path, capsys, first, later, status, told):
    logs = [tmp_path / str(rank) for rank in range(3)]
    for rank, log in enumerate(logs):
        log.write_text(f"words of {rank}\n")
    assert launch._blame(first, first | later, logs) == status
    said = capsys.readouterr().err
    assert told in said
    assert said.startswith(f"words of {told.split()[1]}\n")


def test_jax_knows_the_schedulers_by_our_names():
    known = {env.name: env.__name__ for env in reversed(ClusterEnv._cluster_types)}
    assert [known[name] for name in DETECTED.values()] == ["SlurmCluster", "OmpiCluster", "K8sCluster"]
    assert jax.process_count() == 1
