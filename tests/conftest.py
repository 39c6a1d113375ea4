"""What every test file shares: a strict, repeatable environment, and the real data where they are at hand."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
# Beside other work, threads that wait by spinning take minutes for what takes a second.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
sys.path.insert(0, str(Path(__file__).parent))  # for `problems`, which importlib mode would not find

# Examples are the same in every run, and a slow machine is no failure.
hypothesis.settings.register_profile("jbc", deadline=None, derandomize=True, max_examples=30, database=None)
hypothesis.settings.load_profile("jbc")


@contextlib.contextmanager
def quick_compilation() -> Iterator[None]:
    """Compile without optimising, where much is compiled that runs for a moment: a quarter of the time.

    Programs compiled in one way give other last bits than those compiled in the other, so none outlives a change.
    """
    import jax
    from jax._src import compiler
    from problems import EMITTERS

    ours = compiler.get_compile_options

    def options(*arguments, **more):
        made = ours(*arguments, **more)
        made.env_option_overrides = [*EMITTERS.items(), *made.env_option_overrides]
        return made

    before = jax.config.read("jax_disable_most_optimizations")
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "get_compile_options", options)
        yield
    jax.config.update("jax_disable_most_optimizations", before)
    jax.clear_caches()


@pytest.fixture
def quick():
    """Compile quickly for one test."""
    with quick_compilation():
        yield


@pytest.fixture(scope="module")
def quick_file():
    """Compile quickly for the tests of one file."""
    with quick_compilation():
        yield


@pytest.fixture(scope="session")
def torch():
    """PyTorch, where it is installed."""
    found = pytest.importorskip("torch", reason="PyTorch is not installed: it comes with the extra `bench`")
    found.set_num_threads(1)  # with more, it crawls when tests run side by side
    return found


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the real data."""
    folder = os.environ.get("JBC_DATA")
    if not folder:
        pytest.skip("JBC_DATA is not set: this test needs the real data")
    return Path(folder)
