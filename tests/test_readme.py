"""The README does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
import pytest
import sklearn

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_code_blocks_run():
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) >= 4
    space: dict = {}
    try:
        for block in blocks:
            exec(compile(block, "README.md", "exec"), space)
    finally:
        sklearn.set_config(enable_metadata_routing=False)
    target = space["world"].domain == "plate 3"
    assert (space["classes"] == space["world"].label)[target].mean() > 0.9
    assert space["corrected"].shape == space["world"].x.shape
    assert space["logits"].shape == (8, 900, 2)
    assert set(space["adata"].obs) >= {"jbc_label", "jbc_probability"}


def test_two_commands_and_no_more():
    commands = re.search(r"## Set-up\n(.*?)\n## ", README, flags=re.DOTALL)
    assert commands is not None
    lines = re.findall(r"^    (.+)$", commands[1], flags=re.MULTILINE)
    assert lines == ["pip install . && jbc demo", "pip install '.[test]' && pytest"]


@pytest.mark.slow
def test_the_table_is_what_the_demo_prints(tmp_path):
    matplotlib.use("Agg")
    from jbc import demo

    rows = demo.run(tmp_path)
    table = [line.strip("| ").split(" | ") for line in README.splitlines() if line.startswith("| ")]
    header = next(i for i, line in enumerate(table) if line[0] == "table")
    assert table[header] == list(rows[0])
    for printed, row in zip(table[header + 1 : header + 4], rows, strict=True):
        assert printed[0] == row["table"]
        for text, value in zip(printed[1:], list(row.values())[1:], strict=True):
            assert float(text) == pytest.approx(value, abs=0.03), (printed[0], text, value)
    files = {path.name for path in tmp_path.iterdir()}
    assert files >= {
        "report.html",
        "measured.csv",
        "corrected.csv",
        "predictions.csv",
        "metrics.json",
        "model",
    }
    assert files >= {"pca.png", "tsne.png", "mmd.png", "losses.png"}
