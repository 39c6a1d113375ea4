"""``jbc doctor``."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

from jbc import __version__
from jbc.cli.common import init_jax, parse
from jbc.data import cache
from jbc.errors import InputError

PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "chex", "numpy", "anndata", "pandas", "scikit-learn",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Options:
    """Show versions, devices and settings, and diagnose problems."""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    parse(Options, "doctor", arguments)
    print(f"jbc {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print(", ".join(f"{name} {_version(name)}" for name in PACKAGES))
    advice = []
    try:
        devices = init_jax()
    except InputError as error:
        devices, advice = [], [str(error)]
    print(f"devices: {', '.join(f'{d.platform} {d.device_kind}' for d in devices) or 'none'}")
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"processors: {threads}; XLA_FLAGS: {os.environ.get('XLA_FLAGS') or 'none'}")
    data = os.environ.get("JBC_DATA")
    print(f"cache: {cache.folder()} ({_state(cache.folder())}); JBC_DATA: {data or 'not set'}")
    advice += _advice({d.platform for d in devices}, data)
    for line in advice:
        print(f"! {line}")
    print("nothing to complain about" if not advice else f"things to look at: {len(advice)}")
    return 0


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _state(folder: Path) -> str:
    """Return whether a folder can be written to, or made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return "writable" if folder.is_dir() and os.access(folder, os.W_OK) else "not writable"


def _advice(platforms: set[str], data: str | None) -> list[str]:
    advice = []
    if platforms == {"cpu"} and (shutil.which("nvidia-smi") or Path("/proc/driver/nvidia").exists()):
        advice.append(
            "There is an NVIDIA GPU, but jax sees only the CPU: its CUDA plugin is missing or made for another "
            f"version of jax ({_version('jax')}). Install jbc[cuda12] or jbc[cuda13], then restart."
        )
    if _version("jax") != _version("jaxlib"):
        advice.append("jax and jaxlib have different versions. Install the same version of both.")
    if data and not Path(data).is_dir():
        advice.append("JBC_DATA is no folder. Point it at the data, or unset it.")
    if _state(cache.folder()) == "not writable":
        advice.append("The cache folder is not writable: every run compiles anew. Set JBC_CACHE.")
    return advice
