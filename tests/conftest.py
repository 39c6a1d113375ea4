"""What every test file shares: a strict, repeatable environment, and the real data where they are at hand."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
sys.path.insert(0, str(Path(__file__).parent))  # for `problems`, which importlib mode would not find

# Examples are the same in every run, and a slow machine is no failure.
hypothesis.settings.register_profile("jbc", deadline=None, derandomize=True, max_examples=30, database=None)
hypothesis.settings.load_profile("jbc")


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the real data."""
    folder = os.environ.get("JBC_DATA")
    if not folder:
        pytest.skip("JBC_DATA is not set: this test needs the real data")
    return Path(folder)
