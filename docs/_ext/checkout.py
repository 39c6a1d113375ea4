"""What the pages take from elsewhere in the checkout: notebooks with their outputs, the benchmarks, the changelog."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

# Pages that begin with a file of the checkout, and what its links become.
BORROWED = {"benchmarks": "BENCHMARKS.md", "changelog": "CHANGELOG.md"}
LINKS = {"](docs/": "](", "[experiments/](experiments/README.md)": "`experiments/README.md`"}
# The order of the notebooks; others follow by name.
FIRST = ("quickstart",)
# A picture that would be fetched.
BADGE = "colab-badge.svg"
INTRODUCTION = """# Tutorials

Notebooks with their outputs, as they were last run.

"""


def copy_notebooks(app: Sphinx) -> None:
    """Copy the notebooks of the checkout into the sources, with a page that names them."""
    there, here = Path(app.srcdir).parent / "notebooks", Path(app.srcdir) / "notebooks"
    here.mkdir(exist_ok=True)
    found = sorted(there.glob("*.ipynb"), key=lambda path: (path.stem not in FIRST, path.stem))
    for stale in {path.name for path in here.iterdir()} - {path.name for path in found} - {"index.md"}:
        (here / stale).unlink()
    for path in found:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            cell["source"] = [line for line in _lines(cell["source"]) if BADGE not in line]
        # Lines such as "!jbc doctor" are no Python.
        notebook["metadata"].setdefault("language_info", {"name": "python"})["pygments_lexer"] = "ipython3"
        _write(here / path.name, json.dumps(notebook))
    listed = "\n".join(path.stem for path in found)
    _write(here / "index.md", f"{INTRODUCTION}```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n")


def _lines(source: str | list[str]) -> list[str]:
    """Return the lines of a cell, which may be stored as one text."""
    return "".join(source).splitlines(keepends=True)


def _write(path: Path, text: str) -> None:
    """Write a file unless it is there already, so that its page is not built again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def borrow(app: Sphinx, page: str, source: list[str]) -> None:
    """Put a file of the checkout in front of a page."""
    if page not in BORROWED:
        return
    path = Path(app.srcdir).parent / BORROWED[page]
    app.env.note_dependency(path)
    text = path.read_text(encoding="utf-8")
    for old, new in LINKS.items():
        text = text.replace(old, new)
    source[0] = f"{text}\n{source[0]}"


def setup(app: Sphinx) -> dict[str, Any]:
    """Copy before anything is read."""
    app.connect("builder-inited", copy_notebooks, priority=1)
    app.connect("source-read", borrow)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
