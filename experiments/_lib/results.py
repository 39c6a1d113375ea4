"""Rows of results: where they are stored, and what they record about the run that made them."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn")
NOT_RECORDED = ("figures", "keep", "methods", "out", "tables")  # options that do not change a row


def describe_run(options: Any, *packages: str) -> dict[str, Any]:
    """Return the options, the date, the machine, and the versions of the usual and of these packages."""
    import jax

    import jbc

    named = [*PACKAGES, *(name for name in packages if find_spec(name))]
    versions = {"python": platform.python_version(), "jbc": jbc.__version__}
    versions |= {name: importlib.metadata.version(name) for name in named}
    chosen = {name: value for name, value in dataclasses.asdict(options).items() if name not in NOT_RECORDED}
    return {
        "options": chosen,
        "versions": versions,
        "backend": jax.default_backend(),
        "cores": os.cpu_count(),
        "cpu": cpu_model(),
        "date": datetime.date.today().isoformat(),
    }


def cpu_model() -> str:
    """Return the name of the processor, or "" where the system does not tell."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def write(path: Path, run: dict[str, Any], rows: Sequence[dict]) -> None:
    """Write one row per line, so that a changed number is a changed line."""
    from jbc.data.io.atomic import atomic_path

    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        text = f'{{"about": {json.dumps(run, ensure_ascii=False, default=str)},\n"rows": [\n{lines}\n]}}\n'
        temporary.write_text(text, encoding="utf-8")


def read(name: str) -> dict[str, Any]:
    """Return the stored run of this name: its description ("about") and its rows ("rows")."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def read_from(path: Path) -> list[dict]:
    """Return the rows that are stored in a file; none where there is no file."""
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []


def stored(name: str) -> bool:
    """Return whether rows of this name are stored."""
    return (RESULTS / f"{name}.json").is_file()


def with_new(path: Path, rows: Sequence[dict], *keys: str) -> tuple[dict[str, Any], list[dict]]:
    """Return what a file holds: its description, and its rows with new ones in the place of those with equal keys."""
    held = json.loads(path.read_text(encoding="utf-8"))
    fresh = {tuple(row.get(key) for key in keys): row for row in rows}
    kept = [fresh.pop(tuple(row.get(key) for key in keys), row) for row in held["rows"]]
    return held["about"], kept + list(fresh.values())
