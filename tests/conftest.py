"""What every test file shares: a strict, repeatable environment, and the real data where they are at hand."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import tempfile
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


def compile_quickly() -> None:
    """Have JAX compile without optimising, here and in every process that a test starts: a third of the time.

    Most programs of a test run for a moment. With ``JBC_TEST_OPTIMISED=1`` they are compiled as for users: `.ci/run`
    does that for tests that compare with other programs.
    """
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    version = tuple(int(part) for part in importlib.metadata.version("jaxlib").split(".")[:2])
    # Newer compilers have no other emitters, and end the process at a flag that they do not know.
    if version < (0, 11):
        flags = os.environ.get("XLA_FLAGS", "")
        if "xla_cpu_use_fusion_emitters" not in flags:
            os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_use_fusion_emitters=false".strip()


def compile_once() -> str | None:
    """Have all processes of this run share what they compile, in a folder that goes with it."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:  # a folder of the user's, or of the process that started us
        return None
    folder = tempfile.mkdtemp(prefix="jbc-compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    return folder


# JAX reads these when it is imported, which no plugin of pytest has done so far.
if os.environ.get("JBC_TEST_OPTIMISED", "0") in ("", "0"):
    compile_quickly()
COMPILED = compile_once()


def pytest_unconfigure() -> None:
    if COMPILED is not None:
        shutil.rmtree(COMPILED, ignore_errors=True)


# Examples that compile for seconds: they run in CI, like all that is slow.
SLOW_EXAMPLES = {
    "jbc.interfaces.scverse.correct",
    "jbc.methods.adversarial.AdversarialCorrection",
    "jbc.methods.closed_form.component_editing.ComponentEditing",
    "jbc.methods.denoising_autoencoder.DenoisingAutoencoder",
    "jbc.methods.distance_alignment.DistanceAlignment",
    "jbc.methods.mmd_resnet.MMDResNet",
    "jbc.methods.neuron_editing.NeuronEditing",
    "jbc.methods.pairwise.PairwiseCalibration",
    "jbc.methods.regularised_autoencoder.RegularisedAutoencoder",
    "jbc.methods.wasserstein.WassersteinAlignment",
    "jbc.train.lanes.fit_lanes",
    "jbc.train.loop.fit",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.DoctestItem) and item.name in SLOW_EXAMPLES:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module", autouse=True)
def forget_compiled():
    """Free what a file has compiled: programs of the whole suite take more memory maps than Linux gives a process."""
    yield
    if jax := sys.modules.get("jax"):
        jax.clear_caches()


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
