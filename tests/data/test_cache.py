from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pooch
import pytest

from jbc.data import cache

# Every program counts here, however fast it compiles; what JAX tells of its cache goes to standard output.
SCRIPT = """
import jax, jax.monitoring, jax.numpy as jnp
from jbc.data import cache

told = set()
jax.monitoring.register_event_listener(lambda event, **_: told.add(event.rsplit("/", 1)[-1]))
cache.keep_compiled()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
x = jnp.linspace(0, 1, 9).reshape(3, 3)
print(jax.jit(lambda x: (jnp.sin(x) @ x).sum())(x).item().hex(), *sorted(told & {"cache_hits", "cache_misses"}))
"""


def run(folder: Path, script: str = SCRIPT) -> list[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}  # conftest's
    environment = ours | {"JBC_CACHE": str(folder), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> tuple[Path, str]:
    """A cache that one process has filled, and what that process computed."""
    folder = tmp_path_factory.mktemp("cache")
    value, *told = run(folder)
    assert told == ["cache_misses"]
    return folder, value


@pytest.mark.slow
def test_a_second_process_compiles_nothing(filled):
    folder, value = filled
    assert run(folder) == [value, "cache_hits"]
    assert list((folder / "xla").glob("*lambda*-cache"))


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:40] + b"x" * 40 + b[80:]]
)
@pytest.mark.slow
def test_damaged_programs_are_compiled_anew(filled, tmp_path, damage):
    folder, value = filled
    (tmp_path / "xla").mkdir()
    for path in (folder / "xla").glob("*-cache"):
        (tmp_path / "xla" / path.name).write_bytes(damage(path.read_bytes()))
    assert run(tmp_path) == [value, "cache_misses"]


@pytest.mark.slow
def test_without_a_place_everything_works_uncached(filled, tmp_path):
    (tmp_path / "file").touch()
    assert run(tmp_path / "file")[0] == filled[1]
    assert run(tmp_path / "file" / "below")[0] == filled[1]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_the_library_leaves_the_configuration_of_jax_alone(tmp_path):
    script = """
import jax, jbc
jbc.Corrector(jbc.Standardise()).fit_transform([[1.0], [2.0], [3.0], [5.0]], domain=list("aabb"))
print(jax.config.jax_compilation_cache_dir)
"""
    assert run(tmp_path, script) == ["None"]
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_the_one_that_the_environment_names_or_the_user_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("JBC_CACHE", str(tmp_path))
    assert cache.folder() == tmp_path
    monkeypatch.setenv("JBC_CACHE", "~/x")
    assert cache.folder() == Path.home() / "x"
    for unset in (lambda: monkeypatch.setenv("JBC_CACHE", ""), lambda: monkeypatch.delenv("JBC_CACHE")):
        unset()
        assert cache.folder() == Path(pooch.os_cache("jbc"))
