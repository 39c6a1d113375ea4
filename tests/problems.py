"""Small worlds, a method whose answers are known by hand, and comparisons that several test files share."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbc
from jbc.cohort import Cohort
from jbc.cohort.sampling import Draw, Rows
from jbc.data.simulate.plates import World, simulate_shift
from jbc.errors import InputError
from jbc.methods import rules
from jbc.methods.base import Fitted, Info, Trainable
from jbc.methods.joint import JointCalibration
from jbc.methods.settings import Training

ROOT = Path(jbc.__file__).parents[1]
EXPERIMENTS = Path(__file__).parents[1] / "experiments"

# One shape for nearly all tests, so that they share compiled programs: 3 domains × 40 rows × 4 features.
SHAPE: dict[str, int] = {"n_per_domain": 40, "n_features": 4, "n_domains": 3}
TARGET = "domain 3"
JOINT = JointCalibration(training=Training(rows=8))
CHUNK = 10


# How conftest has programs compiled, for a process of its own; and for one program, as it is compiled for users: with
# these options a test finds what the compiler does wrong for them.
QUICK = {
    "JAX_DISABLE_MOST_OPTIMIZATIONS": os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS", "0"),
    "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
}
OPTIMISED = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    **({"xla_cpu_use_fusion_emitters": True} if "fusion_emitters" in QUICK["XLA_FLAGS"] else {}),
}


def experiment(name: str) -> Any:
    """Import a file of the folder experiments, such as "joint.run"."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXPERIMENTS.parent)
        return importlib.import_module(f"experiments.{name}")


def quick_run(name: str, out: Path) -> list[tuple[str, str, int]]:
    """Run a benchmark of the folder speed quickly, its sides in processes of their own; tell what its rows are about.

    They name neither path nor machine.
    """
    done = subprocess.run(
        [sys.executable, EXPERIMENTS / "speed" / f"{name}.py", "--quick", "--out", out],
        env=os.environ | QUICK | {"PYTHONPATH": str(EXPERIMENTS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    text = out.read_text(encoding="utf-8")
    rows = json.loads(text)["rows"]
    assert all(0 < row["low"] <= row["value"] <= row["high"] for row in rows)
    assert str(EXPERIMENTS.parent) not in text
    assert len([line for line in done.stdout.splitlines() if line.startswith("| ")]) == 1 + len(rows)
    return [(row["what"], row["configuration"], row["lanes"]) for row in rows]


def world(seed: int = 0, shift: float = 1.0) -> World:
    """Two classes in three domains, of which all but the first are shifted and scaled."""
    return simulate_shift(seed, shift=shift, **SHAPE)


def hidden(world: World, domain: str = TARGET) -> np.ndarray:
    """Labels as text, unknown in one domain."""
    return np.where(world.domain == domain, "", world.label)


def cohort(seed: int = 0, shift: float = 1.0) -> Cohort:
    """The world as a cohort with two sources and one target."""
    drawn = world(seed, shift)
    return Cohort.from_arrays(drawn.x, drawn.domain, label=hidden(drawn))


class WalkState(flax.struct.PyTreeNode):
    """Where the walk is."""

    at: jax.Array
    step: jax.Array


@dataclasses.dataclass(frozen=True)
class Walk(Trainable):
    """Walk towards the mean of the minibatch, with noise; small enough to compute by hand.

    The loss is the squared distance to that mean, times ``growth`` to the number of steps.
    """

    rate: float = 0.5
    noise: float = 0.0
    growth: float = 1.0
    rows: int = 8

    @property
    def draw(self) -> Draw:
        return Draw(rows=self.rows)

    def steps(self, cohort: Cohort) -> int:
        del cohort
        return 12

    def init(self, key: jax.Array, cohort: Cohort) -> WalkState:
        return WalkState(at=jax.random.normal(key, (cohort.x.shape[1],)), step=jnp.int32(0))

    def step(self, key: jax.Array, state: WalkState, rows: Rows) -> tuple[WalkState, Info]:
        mean = rows.x.mean(axis=(0, 1))
        loss = jnp.square(state.at - mean).sum() * self.growth**state.step
        at = state.at + self.rate * (mean - state.at) + self.noise * jax.random.normal(key, mean.shape)
        return WalkState(at=at, step=state.step + 1), {"loss": loss}

    def finish(self, state: WalkState, cohort: Cohort) -> Fitted:
        del cohort
        return {"at": state.at}

    def transform(self, fitted: Fitted, x: jax.Array, domain: jax.Array) -> jax.Array:
        del domain
        return x - fitted["at"]


_COMPILED: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **__: _COMPILED.append(event) if event.endswith("backend_compile_duration") else None
)


@contextlib.contextmanager
def no_compilation() -> Iterator[None]:
    """Fail when anything at all is compiled, be it a program of ours or a single operation."""
    before = len(_COMPILED)
    yield
    assert len(_COMPILED) == before, f"{len(_COMPILED) - before} compilations"


@contextlib.contextmanager
def refusal(code: str) -> Iterator[pytest.ExceptionInfo[InputError]]:
    """Expect an InputError with this code."""
    with pytest.raises(InputError) as caught:
        yield caught
    assert caught.value.code == code


def assert_same_bytes(a: Any, b: Any) -> None:
    """Compare two trees leaf by leaf, to the last bit."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, left), right in zip(jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True):
        left, right = np.asarray(left), np.asarray(right)
        assert left.dtype == right.dtype, jax.tree_util.keystr(path)
        assert left.tobytes() == right.tobytes(), jax.tree_util.keystr(path)


def assert_close(a: Any, b: Any, rtol: float, floor: float = 1e-3) -> None:
    """Compare two trees of numbers, relative to the largest entry of each leaf, or to ``floor``."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, left), right in zip(jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True):
        left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
        assert left.shape == right.shape, jax.tree_util.keystr(path)
        gap = np.abs(left - right).max(initial=0)
        assert gap <= rtol * max(np.abs(right).max(initial=0), floor), (jax.tree_util.keystr(path), gap)


def gap_of_means(x: np.ndarray, domain: np.ndarray) -> float:
    """Largest distance between the means of two domains, in units of the spread within domains."""
    names = np.unique(domain)
    means = np.array([x[domain == name].mean(axis=0) for name in names])
    spread = np.sqrt(np.mean([x[domain == name].var(axis=0) for name in names]))
    return float(np.linalg.norm(means[:, None] - means[None], axis=-1).max() / spread)


def run_python(code: str, timeout: float, **environment: str) -> str:
    """Run a program in a fresh interpreter that sees this very jbc; return what it prints."""
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"} | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def vary(method: Any, **changes: Any) -> Any:
    """Return a method with other settings, by their own names, whatever group they are in."""
    dotted = {name.rpartition(".")[2]: name for name in reversed(rules.flattened(method))}
    return rules.changed(method, {dotted.get(name, name): value for name, value in changes.items()})
