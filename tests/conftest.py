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
sys.path.insert(0, str(Path(__file__).parent))  # for `problems`, which importlib mode would not find

# Examples are the same in every run, and a slow machine is no failure.
hypothesis.settings.register_profile("jbc", deadline=None, derandomize=True, max_examples=30, database=None)
hypothesis.settings.load_profile("jbc")


@contextlib.contextmanager
def quick_compilation() -> Iterator[None]:
    """Compile without optimising, where much is compiled that runs for a moment: it takes half the time.

    Programs compiled in one way give other last bits than those compiled in the other, so none outlives a change.
    """
    import jax

    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
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
def data() -> Path:
    """Folder of the real data."""
    folder = os.environ.get("JBC_DATA")
    if not folder:
        pytest.skip("JBC_DATA is not set: this test needs the real data")
    return Path(folder)
