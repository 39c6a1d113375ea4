"""BENCHMARKS.md and docs/benchmarks: made from the stored rows, readable, and true to them."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest
from problems import EXPERIMENTS, experiment

ROOT = EXPERIMENTS.parent
pages, results, build = (experiment(name) for name in ("_lib.pages", "_lib.results", "build_pages"))
DOCUMENTS = {path.relative_to(ROOT).as_posix(): text for path, text in build.documents().items()}
EXAMPLES = sorted(path for path in EXPERIMENTS.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_pages_are_what_the_generator_makes(name):
    assert (ROOT / name).read_text(encoding="utf-8") == DOCUMENTS[name], "run experiments/build_pages.py"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_tables_are_narrow_and_links_lead_somewhere(name):
    text = DOCUMENTS[name]
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.count("|") <= 9, f"more than eight columns: {line}"
            assert ";" not in line
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / name).parent.joinpath(link).exists(), link


def test_the_overview_fits_on_two_screens():
    assert DOCUMENTS["BENCHMARKS.md"].count("\n") <= 80


def test_every_command_of_a_page_names_a_script():
    for text in DOCUMENTS.values():
        for script in re.findall(r"python (experiments/\S+\.py)", text):
            assert (ROOT / script).is_file(), script


def test_rows_name_no_path():
    for path in results.RESULTS.glob("joint_*.json"):
        assert "/" not in path.read_text(encoding="utf-8"), path.name


def test_the_table_of_the_readme_is_made_from_the_rows():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert experiment("joint.page").readme_table() in readme


def test_the_best_family_is_named_with_its_lead():
    lines = [
        pages.Line("a", {"first": 0.5, "second": 0.71}),
        pages.Line("b", {"first": 0.5004, "second": 0.5, "third": None}),
        pages.Line("c", {"first": 3.0, "second": 1.0}, lower=True, digits=1),
    ]
    assert pages.overview("score", lines).splitlines() == [
        "| score | first | second | third | best |",
        "|:--|--:|--:|--:|--:|",
        "| a | 0.500 | **0.710** |  | second, by 0.210 |",
        "| b | **0.500** | **0.500** |  | first and second |",
        "| c | 3.0 | **1.0** |  | second, by 2.0 |",
    ]


def test_runs_are_described_once(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    run = {"versions": {"jbc": "1"}, "backend": "cpu", "cores": 2, "cpu": "a CPU", "options": {"seeds": 3}}
    for name, date in (("x_a", "2026-01-02"), ("x_b", "2026-01-05")):
        results.write(tmp_path / f"{name}.json", run | {"date": date}, [{"value": 1}])
    sources = [pages.Source("x_a", "x/run.py", "a"), pages.Source("x_b", "x/run.py", "b")]
    assert pages.provenance([*sources, pages.Source("x_c", "x/run.py", "c")]) == (
        "## How these numbers were made\n\n    python experiments/x/run.py --tables a b --seeds 3\n\n"
        "Stored 2026-01-02 to 2026-01-05. Run on cpu, 2 cores (a CPU), jbc 1."
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.relative_to(EXPERIMENTS).as_posix())
def test_examples_in_docstrings(path: Path):
    module = experiment(".".join(path.relative_to(EXPERIMENTS).with_suffix("").parts))
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def test_the_list_of_experiments_names_scripts_and_pages_that_exist():
    text = (EXPERIMENTS / "README.md").read_text(encoding="utf-8")
    scripts = set(re.findall(r"\| `(\w+/\w+\.py)", text))
    assert all((EXPERIMENTS / script).is_file() for script in scripts)
    runnable = [path for path in EXPERIMENTS.glob("*/*.py") if "__main__" in path.read_text(encoding="utf-8")]
    assert scripts == {path.relative_to(EXPERIMENTS).as_posix() for path in runnable}
    assert all((EXPERIMENTS / link).exists() for link in re.findall(r"\]\(([^)]+)\)", text))
