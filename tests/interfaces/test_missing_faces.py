"""Missing values in files, at the command line, in scikit-learn and in AnnData."""

from __future__ import annotations

import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
from problems import refusal, world
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import jbc
from jbc.cli.main import main
from jbc.data.io.tables import read_table
from jbc.errors import InputWarning

DRAWN = world()
HOLES = np.random.default_rng(0).random(DRAWN.x.shape) < 0.1
HOLES[HOLES.all(axis=1), 0] = False
NAMES = ["tin", "zinc", "iron", "lead"]
TABLE = "plate,tin,zinc\na,0,1.5\na,2.5,<LOD\nb,-9,< 0.5\nb,1.5,n.d.\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "peaks.csv"
    path.write_text(TABLE)
    return path


def test_what_stands_for_a_missing_value_is_declared(file):
    table = read_table(file, keys=["plate"], missing=[0, "-9.0", "n.d."], below_detection=True)
    expected = [[np.nan, 1.5], [2.5, np.nan], [np.nan, np.nan], [1.5, np.nan]]
    np.testing.assert_array_equal(table.x, expected)
    assert table.features == ("tin", "zinc")


def test_nothing_is_guessed(file):
    table = read_table(file, keys=["plate"])
    assert table.features == ("tin",)
    assert table.x[:, 0].tolist() == [0, 2.5, -9, 1.5]
    with refusal("not-numeric") as caught:
        read_table(file, keys=["plate"], features=["tin", "zinc"])
    assert "below_detection=True" in str(caught.value)
    with refusal("not-numeric") as caught:  # what is below detection is told, another mark is not
        read_table(file, keys=["plate"], features=["tin", "zinc"], below_detection=True)
    assert "'n.d.'" in str(caught.value)


def test_the_scale_is_taken_after_missing_values(file):
    table = read_table(file, keys=["plate"], missing=[0], arcsinh=5)
    assert np.isnan(table.x[0, 0])


@pytest.fixture
def files(tmp_path):
    x = np.where(HOLES, 0, DRAWN.x.round(4) + 20)
    frame = pd.DataFrame(x, columns=NAMES).astype(object)
    frame.iloc[5, 1] = "<LOD"
    frame.insert(0, "plate", DRAWN.domain)
    frame.to_csv(tmp_path / "data.csv", index=False)
    missing = HOLES.copy()
    missing[5, 1] = True
    return tmp_path, missing


def test_the_command_line_keeps_missing_values_missing(files):
    folder, missing = files
    given = [
        "--data",
        f"{folder / 'data.csv'}",
        "--batch-key",
        "plate",
        "--missing",
        "0",
        "--below-detection",
    ]
    assert main(["fit", "standardise", *given, "--out", f"{folder / 'run'}"]) == 0
    for fill in ([], ["--fill", "centre"]):
        out = folder / f"out{len(fill)}.csv"
        # The marks are those of the fit.
        assert main(["transform", f"{folder / 'run'}", "--data", given[1], "--out", f"{out}", *fill]) == 0
        found = pd.read_csv(out)[NAMES].to_numpy()
        np.testing.assert_array_equal(np.isnan(found), missing & (not fill))
    notes = jbc.load(folder / "run" / "model").record.notes
    assert (notes["missing"], notes["below_detection"]) == (["0"], True)


def test_the_corrector_takes_nan_in_a_pipeline():
    x = np.where(HOLES, np.nan, DRAWN.x)
    found = jbc.Corrector(jbc.Standardise()).fit_transform(x, domain=DRAWN.domain)
    np.testing.assert_array_equal(np.isnan(found), HOLES)
    filled = jbc.Corrector(jbc.Standardise(), fill="centre").fit_transform(x, domain=DRAWN.domain)
    assert np.isfinite(filled).all()
    assert np.array_equal(filled[~HOLES], found[~HOLES])
    pipeline = make_pipeline(jbc.Corrector(jbc.Standardise()), StandardScaler())
    scaled = pipeline.fit_transform(x, corrector__domain=DRAWN.domain)
    np.testing.assert_array_equal(np.isnan(scaled), HOLES)
    assert jbc.Corrector(jbc.Standardise()).__sklearn_tags__().input_tags.allow_nan


@pytest.mark.parametrize("fill", [None, "centre"])
def test_annotated_data_take_nan(fill):
    obs = pd.DataFrame({"plate": DRAWN.domain}, index=[f"row {i}" for i in range(len(HOLES))])
    data = anndata.AnnData(np.where(HOLES, np.nan, DRAWN.x), obs=obs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        warnings.simplefilter("ignore", UserWarning)
        jbc.correct(data, jbc.Standardise(), batch_key="plate", metrics=True, fill=fill)
    np.testing.assert_array_equal(np.isnan(data.layers["jbc"]), HOLES & (fill is None))
    assert "NaN" in data.uns["jbc"]["unjudged"]
