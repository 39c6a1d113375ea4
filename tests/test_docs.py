"""The pages of the documentation: every public name is on them, with an example, and their code runs."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from problems import run_python

import jbc

DOCS = Path(__file__).parent.parent / "docs"
# Modules whose names are for users; the first is the package itself.
PUBLIC = (
    "jbc", "jbc.cohort", "jbc.data", "jbc.data.datasets", "jbc.interfaces.model_selection", "jbc.losses",
    "jbc.methods.presets", "jbc.metrics", "jbc.model", "jbc.nets", "jbc.plots", "jbc.report", "jbc.train",
)  # fmt: skip
# What users call these modules.
SHOWN = {
    "jbc.data.datasets": "jbc.datasets",
    "jbc.interfaces.model_selection": "jbc.model_selection",
    "jbc.methods.presets": "jbc.presets",
}
# Modules, which have a page of their names, and aliases of types, which have no docstring.
PAGES = ("datasets", "metrics", "model_selection", "plots", "presets")
PYTHON = r"^```python\n(.*?)^```"
SHELL = r"^```shell\n(.*?)^```"


def names_of(module: str) -> list[str]:
    """Return the public names of a module."""
    found = importlib.import_module(module)
    if module == "jbc":
        return [name for name in jbc.__all__ if name not in PAGES]
    named = getattr(found, "__all__", None)
    return named or [
        name
        for name, value in vars(found).items()
        if inspect.isfunction(value) and value.__module__ == module and not name.startswith("_")
    ]


PUBLIC_NAMES = {
    f"{SHOWN.get(module, module)}.{name}": getattr(importlib.import_module(module), name)
    for module in PUBLIC
    for name in names_of(module)
}


def entries() -> list[str]:
    """Return what the pages of the reference list."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md"))
    return re.findall(r"^    (jbc\.[\w.]+)$", text, flags=re.MULTILINE)


def documented() -> list[Any]:
    """Return the objects that the reference lists, by any of their names."""
    return [find(name) for name in entries()]


def find(path: str) -> Any:
    """Return the object of a dotted name."""
    parts = path.split(".")
    found = jbc
    for number, part in enumerate(parts[1:], start=2):
        found = getattr(found, part, None) or importlib.import_module(".".join(parts[:number]))
    return found


def pages(pattern: str) -> list[str]:
    """Return the pages that are written by hand and have blocks of a kind."""
    found = [
        path for path in DOCS.rglob("*.md") if "_build" not in path.parts and "notebooks" not in path.parts
    ]
    return sorted(str(path.relative_to(DOCS)) for path in found if blocks(path, pattern))


def blocks(path: Path, pattern: str) -> list[str]:
    """Return the blocks of a page."""
    return re.findall(pattern, path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def test_every_public_name_is_on_a_page():
    known = {id(each) for each in documented()}
    lost = [name for name, value in PUBLIC_NAMES.items() if id(value) not in known]
    assert not lost, f"docs/api lists no {', '.join(lost)}"


def test_pages_list_what_there_is_and_nothing_twice():
    assert all(each is not None for each in documented())
    assert len(entries()) == len(set(entries()))


def test_every_public_name_has_an_example():
    own = {
        name: value
        for name, value in PUBLIC_NAMES.items()
        if inspect.isclass(value) or inspect.isroutine(value)
    }
    lost = [name for name, value in own.items() if ">>>" not in (value.__doc__ or "")]
    assert not lost, f"no example in the docstrings of {', '.join(lost)}"


def test_links_between_pages_lead_somewhere():
    for path in DOCS.rglob("*.md"):
        if "_build" in path.parts or "notebooks" in path.parts or path.parent.name == "benchmarks":
            continue
        for link in re.findall(r"\]\(([\w/.]+\.md)(?:#[\w-]+)?\)", path.read_text(encoding="utf-8")):
            generated = link.endswith("notebooks/index.md")
            assert generated or (path.parent / link).is_file(), f"{path.name} links to {link}"


@pytest.mark.slow
@pytest.mark.parametrize("page", pages(PYTHON))
def test_python_of_a_page_runs(page):
    """Compiled as for users; every page in a process of its own."""
    code = "\n".join(blocks(DOCS / page, PYTHON))
    run_python(
        f"import matplotlib\nmatplotlib.use('agg')\n{code}",
        timeout=300,
        JAX_DISABLE_MOST_OPTIMIZATIONS="0",
        XLA_FLAGS="",
        PYTHONWARNINGS="error::UserWarning",  # what a page shows warns of nothing
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", pages(SHELL))
def test_shell_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{Path('/usr/bin')}:{Path('/bin')}")
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))
    done = subprocess.run(
        ["bash", "-euc", "\n".join(blocks(DOCS / page, SHELL))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.name for path in tmp_path.iterdir()} >= {"corrected.csv", "predictions.csv", "numbers.json"}
