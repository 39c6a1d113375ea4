"""What is stored of the notebooks. Whether they run is asked by ``python notebooks/run.py --check``."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = (
    "critics_on_accelerators", "cytometry_editing", "diagnosis_across_plates", "quickstart", "screen_alignment",
)  # fmt: skip
BADGE = "https://colab.research.google.com/github/OWNER/jbc/blob/main/notebooks/{}.ipynb"
LARGEST, ALL = 600_000, 3_000_000
# A folder of some machine, but not the part of an address or of a path below it.
FOREIGN = re.compile(
    r"(?<![\w.:/~-])/(?:home|root|tmp|work|Users|usr|opt|mnt|content)\b|[A-Z]:\\\\|0x[0-9a-f]{8}"
)
REAL = ("cytometry_editing", "diagnosis_across_plates", "screen_alignment")


@pytest.fixture(scope="module")
def program() -> Any:
    """The program that runs notebooks."""
    spec = importlib.util.spec_from_file_location("notebooks_run", FOLDER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=NAMES)
def notebook(request: Any) -> dict[str, Any]:
    """A notebook, as it is stored."""
    read = json.loads((FOLDER / f"{request.param}.ipynb").read_text("utf-8"))
    return read | {"name": request.param}


def code(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def text(value: str | list[str]) -> str:
    """Return text that Jupyter stores as lines."""
    return value if isinstance(value, str) else "".join(value)


def printed(notebook: dict[str, Any]) -> list[tuple[str, str]]:
    """Return everything that the outputs say, with its kind."""
    found = []
    for output in (each for cell in code(notebook) for each in cell["outputs"]):
        if output["output_type"] == "stream":
            found.append((output["name"], text(output["text"])))
        for kind, value in output.get("data", {}).items():
            if kind.startswith("text/"):
                found.append((kind, text(value)))
    return found


def test_all_are_there():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == list(NAMES)


def test_first_cells(notebook):
    title, install, doctor = notebook["cells"][:3]
    assert title["cell_type"] == "markdown"
    assert text(title["source"]).startswith("# ")
    assert BADGE.format(notebook["name"]) in text(title["source"])
    guard, _, command = text(install["source"]).rpartition("\n")
    assert 'find_spec("jbc") is None' in guard
    assert re.fullmatch(r' {4}%pip install -q (jbc|"jbc\[fcs\]")', command)
    assert not install["outputs"]
    assert text(doctor["source"]) == "!jbc doctor"
    assert "jax" in text(doctor["outputs"][0]["text"])


def test_was_run_from_top_to_bottom(notebook):
    assert [cell["execution_count"] for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    outputs = [output for cell in code(notebook) for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)


def test_says_nothing_of_the_machine(notebook):
    for _, shown in printed(notebook):
        # Pictures inside a page are letters that mean nothing.
        found = FOREIGN.search(re.sub(r"data:image/png;base64,[\w+/=]*", "", shown))
        assert found is None, shown[max(found.start() - 100, 0) : found.end() + 100]
    assert set(notebook["metadata"]) == {"accelerator", "colab", "kernelspec", "language_info"}
    assert not [cell for cell in notebook["cells"] if cell["metadata"]]


def test_warns_of_nothing_but_the_data(notebook):
    said = [line for kind, shown in printed(notebook) if kind == "stderr" for line in shown.splitlines()]
    assert [line for line in said if line and not line.startswith("InputWarning: ")] == []


def test_is_small(notebook):
    assert (FOLDER / f"{notebook['name']}.ipynb").stat().st_size < LARGEST


def test_all_together_are_small():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.ipynb")) < ALL


@pytest.mark.parametrize("notebook", REAL, indirect=True)
def test_was_run_on_real_data(notebook):
    """Stand-ins serve those without a network; what is stored is of the published tables."""
    assert "except jbc.InputError" in "".join(text(cell["source"]) for cell in code(notebook))
    assert not [shown for _, shown in printed(notebook) if "cannot be downloaded" in shown]


def test_what_belongs_to_the_machine_is_taken_out(program):
    shown = "/home/me/x/jbc/errors.py:3: InputWarning: Few rows.\n  warn(message)\nkept in /home/me/x\n"
    assert program.plain(shown, {"/home/me": "~"}) == "InputWarning: Few rows.\nkept in ~/x\n"
    bar = "\rmmd-resnet: compiling\rmmd-resnet: step 20 of 40, loss 0.5, 9 rows/s\nMMD: 0.1\n"
    assert program.plain(bar, {}) == "MMD: 0.1\n"
    assert program.plain("MMDResNet: step 20 of 40, loss 0.5\n", {"": "nowhere"}) == ""


def test_unknown_names_are_refused(program):
    with pytest.raises(SystemExit, match=r"no notebook named other\.ipynb"):
        program.find(["quickstart", "other"])
    assert [path.stem for path in program.find([])] == list(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "limit", "fine"),
    [
        ("print(1 + 1)", 60, True),
        ("1 / 0", 60, False),
        ("import time; time.sleep(60)", 5, False),
        ("import os; os._exit(1)", 60, False),
    ],
    ids=["fine", "error", "late", "dead"],
)
@pytest.mark.filterwarnings("ignore")  # of Jupyter's own packages
def test_errors_and_late_ends_are_told(program, tmp_path, capsys, source, limit, fine):
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    path, cells = tmp_path / "small.ipynb", [nbformat.v4.new_code_cell(source)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    before = path.read_bytes()
    assert program.run(path, limit, keep=False) is fine
    assert path.read_bytes() == before
    told = capsys.readouterr()
    assert ("small: " in told.out) is fine
    assert ("small: " in told.err) is not fine
    if fine:
        assert program.run(path, limit, keep=True)
        assert text(code(json.loads(path.read_text("utf-8")))[0]["outputs"][0]["text"]) == "2\n"
