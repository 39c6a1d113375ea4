"""Pages and verdicts at the command line: ``jbc demo``, ``jbc evaluate --report``, ``jbc report``."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

import jbc
from jbc.cli import demo_page, demo_world
from jbc.cli.common import Columns
from jbc.cli.main import main
from jbc.cli.scoring import hint_of_units
from jbc.data import cache, simulate_plates
from jbc.data.io.tables import Table

KEYS = ["--batch-key", "plate", "--unit-key", "subject"]


@pytest.fixture(scope="module", autouse=True)
def cache_is_left_alone():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "keep_compiled", lambda: None)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three plates in files, and a run of a method in closed form and one of a trained method."""
    out = tmp_path_factory.mktemp("report")
    world = simulate_plates(0, n_per_plate=60, n_features=8)
    frame = pd.DataFrame(world.x, columns=list(world.features))
    frame.insert(0, "truth", world.label)
    frame.insert(0, "label", np.where(world.domain == "plate 3", "", world.label))
    frame.insert(0, "subject", world.unit)
    frame.insert(0, "plate", world.domain)
    frame.to_csv(out / "plates.csv", index=False)
    fit = ["fit", "--data", str(out / "plates.csv"), *KEYS, "--labels-key", "label"]
    assert main([*fit, "--out", str(out / "plain"), "standardise"]) == 0
    assert (
        main([*fit, "--out", str(out / "joint"), "--steps", "4", "joint-calibration", "--members", "1"]) == 0
    )
    assert (
        main(
            ["transform", str(out / "plain"), "--data", str(out / "plates.csv"), "--out", str(out / "x.csv")]
        )
        == 0
    )
    return out


def run(folder, *words) -> int:
    return main([str(folder / word) if "." in word or word in ("plain", "joint") else word for word in words])


def test_evaluate_says_what_its_numbers_mean(folder, capsys):
    words = (
        "evaluate",
        "--data",
        "x.csv",
        "--before",
        "plates.csv",
        *KEYS,
        "--labels-key",
        "truth",
        "--out",
        "n.json",
    )
    assert run(folder, *words) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "reference: what the value would be without information" in shown
    rows = {(row["table"], row["label"]): row for row in json.loads((folder / "n.json").read_text())
            if row["metric"] == "domain_accuracy"}  # fmt: skip
    before, after = rows["before", None], rows["after", None]
    values = f"{before['value']:.3f} before, {after['reference']:.3f} by chance"
    said = f"a classifier names the right batch for {after['value']:.3f} of the rows left out ({values})."
    assert f"Batches were told apart before and no longer are: {said}" in shown
    assert "--unit-key" not in shown


def test_evaluate_names_the_column_that_looks_like_subjects(folder, capsys):
    assert (
        run(folder, "evaluate", "--data", "plates.csv", "--batch-key", "plate", "--labels-key", "truth") == 0
    )
    shown = " ".join(capsys.readouterr().out.split())
    assert "Column 'subject' looks like subjects: 36 values, 5.0 rows of each in a batch." in shown
    assert "pass --unit-key subject" in shown


@pytest.mark.parametrize(
    "column",
    [
        [f"well {k % 20}" for k in range(40)],  # each of them once in a batch
        [f"row {k}" for k in range(40)],
        ["case", "control"] * 20,
    ],
)
def test_columns_that_are_no_subjects(column):
    obs = pd.DataFrame({"batch": np.repeat(["a", "b"], 20), "column": column}, dtype=object)
    assert hint_of_units(Table(np.zeros((40, 1)), ("x",), obs), Columns("batch")) == ""


def test_evaluate_writes_a_page(folder, capsys):
    words = ("evaluate", "--data", "x.csv", "--before", "plates.csv", *KEYS, "--labels-key", "truth")
    assert run(folder, *words, "--report", "page.html") == 0
    assert capsys.readouterr().out.rstrip().endswith(str(folder / "page.html"))
    text = (folder / "page.html").read_text("utf-8")
    assert "Plates were told apart before and no longer are" in text
    assert "The correction is no better than standardising every plate" in text  # it is just that
    assert text.count("data:image/png") == 1
    for told in ("x.csv", "plates.csv", "column plate", f"jbc {jbc.__version__}"):
        assert told in text


def test_evaluate_writes_a_page_of_a_single_table(folder):
    assert (
        run(folder, "evaluate", "--data", "plates.csv", "--batch-key", "plate", "--report", "one.html") == 0
    )
    text = (folder / "one.html").read_text("utf-8")
    assert "Plates are told apart: a classifier names the right plate" in text
    assert "looks like subjects" in text


def test_evaluate_never_replaces_a_table_by_its_page(folder, capsys):
    before = (folder / "x.csv").read_bytes()
    assert run(folder, "evaluate", "--data", "x.csv", "--batch-key", "plate", "--report", "x.csv") == 2
    assert "The output would replace an input" in capsys.readouterr().err
    assert (folder / "x.csv").read_bytes() == before


def test_the_page_of_a_run(folder):
    words = ("report", "joint", "--data", "plates.csv", "--labels-key", "truth", "--out", "run.html")
    assert run(folder, *words) == 0
    text = (folder / "run.html").read_text("utf-8")
    assert "JointCalibration: joint" in text
    assert "JointCalibration was fitted to 3 batches. Composition: " in text
    assert re.search(r">members</td><td[^>]*>1</td><td[^>]*>4</td>", text)
    assert re.search(r">plate 2</td><td[^>]*>60</td>", text)
    assert re.search(r">4 steps in \d+ s<", text)
    assert "Plates " in text
    assert text.count("data:image/png") == 2


@pytest.mark.parametrize("where", ["plain", "plain/model"])
def test_the_page_of_a_run_without_tables(folder, where):
    assert main(["report", str(folder / where), "--out", str(folder / "bare.html")]) == 0
    text = (folder / "bare.html").read_text("utf-8")
    assert "Standardise was fitted to 3 batches." in text
    assert "none: the method is in closed form" in text
    assert "All settings are the defaults of Standardise." in text
    assert "data:image/png" not in text


def test_a_page_is_not_written_into_a_model(folder, capsys):
    assert main(["report", str(folder / "plain"), "--out", str(folder / "plain" / "model" / "x.html")]) == 2
    assert "would lie in the folder of a saved model" in capsys.readouterr().err


def test_help_is_plain(capsys):
    for command in ("evaluate", "report"):
        assert main([command, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "{None}" not in shown
        assert "(default: )" not in shown
    assert "--report PAGE" in shown or "--out PAGE" in shown


def test_the_verdict_of_the_demonstration_is_that_of_its_table():
    row = {"AUC": 1.0, "MCC": 1.0}
    tones = {}
    for name, after in (("better", 0.99), ("same", 0.81), ("worse", 0.6)):
        found = demo_page.verdict([row | {"accuracy": share} for share in (0.5, 0.8, after)])
        assert (
            f"0.500 of its rows as measured, 0.800 after standardising every plate, and {after:.3f}"
            in found.text
        )
        tones[name] = found.tone
        assert ("no better than standardising" in found.text) == (name == "same")
    assert tones == {"better": "good", "same": "plain", "worse": "caution"}


@pytest.mark.slow
def test_the_demonstration_goes_on(tmp_path, monkeypatch, capsys):
    """What it says to do next can be done with the files that it wrote."""
    monkeypatch.chdir(tmp_path)
    said = []
    rows = demo_world.run(tmp_path, steps=4, say=said.append)
    assert said == ["compiling and training", "scoring", "drawing"]
    text = (tmp_path / "report.html").read_text("utf-8")
    for name in demo_page.FILES:
        assert f'href="./{name}"' in text
        assert (tmp_path / name).exists()
    for name, value in list(rows[2].items())[1:]:
        assert name in text
        assert f">{value:.3f}<" in text
    for command in demo_page.next_commands(tmp_path):
        words = command.split()[1:]
        assert command in text.replace("&#39;", "'")
        assert main([*words, "--steps", "4"] if words[0] == "fit" else words) == 0
    assert {"run", "classes.csv", "run.html"} <= {path.name for path in tmp_path.iterdir()}
