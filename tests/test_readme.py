"""The README does what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from problems import experiment, run_python

from jbc.cli import demo_world as demo

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROSE = " ".join(README.split())


@pytest.fixture(scope="module")
def plates():
    return experiment("joint.plates")


@pytest.mark.slow
def test_code_blocks_run():
    """In a process of their own, compiled as for users: quickly compiled programs of this size run for minutes."""
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) >= 4
    checks = """
target = world.domain == "plate 3"
assert (classes == world.label)[target].mean() > 0.9
assert corrected.shape == world.x.shape
assert logits.shape == (8, 900, 2)
assert set(adata.obs) >= {"jbc_label", "jbc_probability"}
print("all right")
"""
    done = run_python(
        "\n".join([*blocks, checks]), timeout=900, JAX_DISABLE_MOST_OPTIMIZATIONS="0", XLA_FLAGS=""
    )
    assert done.splitlines()[-1] == "all right"


def test_two_commands_and_no_more():
    commands = re.search(r"## Set-up\n(.*?)\n## ", README, flags=re.DOTALL)
    assert commands is not None
    lines = re.findall(r"^    (.+)$", commands[1], flags=re.MULTILINE)
    assert lines == ["pip install . && jbc demo", "pip install '.[test]' && pytest"]


def test_the_table_is_the_result_of_its_command(plates):
    rows = json.loads(plates.RESULTS.read_text(encoding="utf-8"))
    assert len({row["seed"] for row in rows}) == 10
    assert plates.table(rows) in README


def test_the_line_of_screens_is_the_result_of_its_command():
    results = experiment("_lib.results")
    rows = results.read("wasserstein_screen")["rows"]
    found = {row["method"]: row for row in rows if row["metric"] == "NSCB 1"}
    chosen = ("measured", "centred on controls", "CORAL on controls", "ours, controls alone",
              "ours, all shared treatments", "without the effect of the domains (the truth)")  # fmt: skip
    cells = [f"{found[name]['mean']:.3f} ± {found[name]['sd']:.3f}" for name in chosen]
    assert f"| {' | '.join(cells)} |" in README
    wells = results.read("wasserstein_bbbc021")["rows"]
    tvn, *stopped = (
        {row["metric"]: row["value"] for row in wells if row["method"] == method and row["metric"][0] == "N"}
        for method in ("TVN", "TVN, ours, critics, by neighbours", "TVN, ours, Gaussian, by neighbours")
    )
    assert f"{tvn['NSC 1']:.3f}, and {tvn['NSCB 1']:.3f} across weeks" in PROSE
    assert stopped == [tvn, tvn]  # not trained at all
    plates = results.read("wasserstein_bbbc021-plates")["rows"]
    shared = {(row["method"], row["metric"]): row["value"] for row in plates}
    ends = [
        " and ".join(
            f"{shared[f'TVN, ours, all shared, by {rule}', name]:.3f}" for name in ("NSC 1", "NSCB 1")
        )
        for rule in ("neighbours", "silhouette")
    ]
    assert f"gives {ends[0]}, or {ends[1]} where the silhouette" in PROSE


def test_the_line_of_new_batches_is_the_result_of_its_command():
    results = experiment("_lib.results")
    rows = results.read("adaptation")["rows"]
    found = {row["method"]: row for row in rows if (row["table"], row["metric"]) == ("24 controls", "NSCB 1")}
    ours, left, centred, together = (
        f"{found[name]['mean']:.3f} ± {found[name]['sd']:.3f}"
        for name in (
            "ours",
            "ours, the new one as measured",
            "centred on controls",
            "ours, fitted to all five",
        )
    )
    assert f"right for {ours} of the fifth" in PROSE
    assert f"as it is, for {left}; centred on controls, {centred}; fitted together" in PROSE
    assert f"{together} (`python experiments/wasserstein/adaptation.py`)" in PROSE


def test_the_diagnosis_of_screens_is_the_result_of_its_command():
    results = experiment("_lib.results")
    rows = results.read("wasserstein_diagnosis")["rows"]
    found = {(row["method"], row["metric"]): row["mean"] for row in rows}
    moved, agree = (found["TVN, ours, critics", metric] for metric in ("moved", "halves agree"))
    shared = found["simulated screen, ours, all shared treatments", "halves agree"]
    assert f"by {moved:.2f} of their length, in directions of cosine {agree:.2f} (" in PROSE
    assert f"(simulated, by all shared treatments: {shared:.2f})" in PROSE


@pytest.mark.slow
def test_the_demonstration_gives_the_stored_result(plates, tmp_path):
    stored = json.loads(plates.RESULTS.read_text(encoding="utf-8"))
    fresh = demo.run(tmp_path)
    for row, old in zip(fresh, stored, strict=False):
        assert row["table"] == old["table"]
        for name, value in row.items():
            if name != "table":
                assert value == pytest.approx(old[name], abs=0.03), (name, row)
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
