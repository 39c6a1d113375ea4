"""The README does what it says."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from problems import experiment, run_python

from jbc.cli import demo_world as demo
from jbc.cli.main import main
from jbc.cli.methods import GUIDE
from jbc.methods.registry import METHODS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (.+)$", README, flags=re.MULTILINE)
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.slow
def test_code_blocks_run():
    """Each by itself, in a process compiled as for users: quickly compiled programs of this size run for minutes."""
    checks = {
        "corrector.predict": "assert (classes == world.label)[hidden].mean() > 0.9\n"
        "assert corrected.shape == world.x.shape",
        "make_pipeline": "assert pipeline.score(world.x, world.label, domain=world.domain) > 0.9",
        "jbc.correct": "assert set(adata.obs) >= {'jbc_label', 'jbc_probability'}",
    }
    found = {part: [block for block in BLOCKS if part in block] for part in checks}
    assert [len(blocks) for blocks in found.values()] == [1, 1, 1] == [1] * len(BLOCKS)
    parts = [f"exec({blocks[0] + checks[part]!r}, {{}})" for part, blocks in found.items()]
    done = run_python(
        "\n".join([*parts, "print('all right')"]),
        timeout=900,
        JAX_DISABLE_MOST_OPTIMIZATIONS="0",
        XLA_FLAGS="",
    )
    assert re.search(r"^right on plate 3: [01]\.\d{3}$", done, flags=re.MULTILINE)
    assert done.splitlines()[-1] == "all right"


def test_two_commands_and_no_more():
    commands = re.search(r"## Set-up\n(.*?)\n## ", README, flags=re.DOTALL)
    assert commands is not None
    lines = re.findall(r"^    (.+)$", commands[1], flags=re.MULTILINE)
    assert lines == ["pip install . && jbc demo", "pip install '.[test]' && pytest"]


def test_links_lead_somewhere():
    links = [link for link in re.findall(r"(?:\]\(|src=\")([^)\"]+)", README) if "://" not in link]
    assert len(links) > 5
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_table_of_methods_is_that_of_the_command():
    rows = [line.strip("| ").split(" | ") for line in README.splitlines() if line.startswith("| ")]
    shown = {row[0]: row[1:] for row in rows if len(row) == 3}
    for table, names, remark in GUIDE:
        methods, known = shown[in_python(table)]
        assert re.findall(r"`(\w+)", methods) == [METHODS[name].__name__ for name in names]
        assert known == in_python(remark).replace("standardise", "`Standardise`").rsplit("; ", 1)[-1], table


def in_python(text: str) -> str:
    return re.sub(r"batch(es)?", lambda found: "domains" if found[1] else "domain", text)


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    (folder / "jbc-demo").mkdir()
    return folder, demo.run(folder / "jbc-demo")


@pytest.mark.slow
def test_the_demonstration_gives_the_stored_result(demonstration):
    folder, fresh = demonstration
    stored = json.loads(experiment("joint.plates").RESULTS.read_text(encoding="utf-8"))
    for row, old in zip(fresh, stored, strict=False):
        assert row["table"] == old["table"]
        for name, value in row.items():
            if name != "table":
                assert value == pytest.approx(old[name], abs=0.03), (name, row)
    files = {path.name for path in (folder / "jbc-demo").iterdir()}
    assert files >= {
        "report.html",
        "measured.csv",
        "corrected.csv",
        "predictions.csv",
        "metrics.json",
        "model",
        "pca.png",
        "mmd.png",
        "losses.png",
    }


@pytest.mark.slow
def test_the_commands_run_on_the_files_of_the_demonstration(demonstration, monkeypatch, capsys):
    monkeypatch.chdir(demonstration[0])
    lines = [shlex.split(line) for line in COMMANDS if line.startswith("jbc ")]
    assert [line[1] for line in lines] == ["fit", "transform", "predict", "report"]
    assert [main([*line[1:], *(["--steps", "20"] if line[1] == "fit" else [])]) for line in lines] == [0] * 4
    assert "to be classified, without labels: 'plate 3'" in capsys.readouterr().out
    assert all(Path(line[line.index("--out") + 1]).exists() for line in lines)
