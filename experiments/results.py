"""Where the rows of experiments go, and what they say about the run that gave them."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn")
SILENT = ("figures", "out", "tables")


def about(options: Any, *packages: str) -> dict[str, Any]:
    """Tell what rows come from: the options, the versions of these packages besides the usual ones, the machine."""
    import jax

    import jbc

    named = [*PACKAGES, *(name for name in packages if find_spec(name))]
    versions = {"python": platform.python_version(), "jbc": jbc.__version__}
    versions |= {name: importlib.metadata.version(name) for name in named}
    asked = {name: value for name, value in dataclasses.asdict(options).items() if name not in SILENT}
    return {"options": asked, "versions": versions, "backend": jax.default_backend(), "cores": os.cpu_count()}


def write(path: Path, told: dict[str, Any], rows: Sequence[dict]) -> None:
    """Write a row a line, so that a change of one number is a change of one line."""
    from jbc.data.io.atomic import atomic_path

    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        text = f'{{"about": {json.dumps(told, ensure_ascii=False, default=str)},\n"rows": [\n{lines}\n]}}\n'
        temporary.write_text(text, encoding="utf-8")


def apart(program: str, side: Sequence[Any], given: Any) -> dict[str, Any]:
    """Measure a side in a process of its own: a program of this folder, which answers to --side."""
    print(*side, file=sys.stderr)
    told = json.dumps([side, given], default=str)
    done = subprocess.run(
        [sys.executable, program, "--side", told], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def peak() -> float:
    """Return the largest memory that this process has had, in GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def grid(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write a table as Markdown."""
    align = "|:--|" + "--:|" * (len(head) - 1)
    return "\n".join(
        ["| " + " | ".join(head) + " |", align, *("| " + " | ".join(one) + " |" for one in lines)]
    )
