"""All faces take what tells about rows, under the names of one table."""

from __future__ import annotations

import dataclasses
import inspect
import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from problems import world

import jbc
from jbc.cli import fit as command
from jbc.cohort.columns import COLUMNS
from jbc.cohort.covariates import Term

DRAWN = world()
N = len(DRAWN.x)
AGE = np.random.default_rng(0).normal(40, 10, N).round(2)
X = DRAWN.x + 0.1 * AGE[:, None]
SITE = np.where(np.random.default_rng(1).random(N) < 0.5, "1", "2")
COVARIATES = pd.DataFrame({"age": AGE, "site": SITE})
METHOD = jbc.Standardise()


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.cohort)
def test_every_face_takes_every_column(column):
    def takes(function) -> list[str]:
        return list(inspect.signature(function).parameters)

    assert column.cohort in takes(jbc.Cohort.from_arrays)
    assert ("y" if column.cohort == "label" else column.cohort) in takes(jbc.Corrector.fit)
    assert column.key in takes(jbc.correct)
    options = {"--" + field.name.replace("_", "-") for field in dataclasses.fields(command.Options)}
    assert column.flag in options
    if column.new_rows:
        for name in ("transform", "predict", "predict_proba", "encode", "out_of_support", "out_of_range"):
            assert column.cohort in takes(getattr(jbc.Model, name)), name
            assert column.cohort in takes(getattr(jbc.Corrector, name)), name


def test_no_face_takes_another_column():
    """What else they take is no column."""
    known = {column.cohort for column in COLUMNS}
    assert set(inspect.signature(jbc.Cohort.from_arrays).parameters) - known == {"x", "features"}
    assert set(inspect.signature(jbc.Corrector.fit).parameters) - known == {"self", "X", "y"}


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    """Return what the model itself gives."""
    cohort = jbc.Cohort.from_arrays(X, DRAWN.domain, covariates=COVARIATES, order=range(N))
    model = jbc.fit(METHOD, cohort)
    assert model.names.covariates[1] == Term("site", ("1", "2"))
    return model.transform(X, DRAWN.domain, covariates=COVARIATES)


def test_the_estimator_gives_what_the_model_gives(expected):
    groups = {"domain": DRAWN.domain, "covariates": COVARIATES, "order": np.arange(N)}
    np.testing.assert_array_equal(jbc.Corrector(METHOD).fit_transform(X, **groups), expected)
    corrector = jbc.Corrector(METHOD).fit(X, **groups)
    some = {name: values[:7] for name, values in groups.items()}
    np.testing.assert_array_equal(corrector.transform(X[:7], **some), expected[:7])


def test_annotated_data_give_what_the_model_gives(expected):
    obs = COVARIATES.assign(plate=DRAWN.domain, injection=np.arange(N)).set_index(
        pd.RangeIndex(N).astype(str)
    )
    adata = AnnData(X.copy(), obs=obs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keys = {"batch_key": "plate", "covariate_keys": ["age", "site"], "order_key": "injection"}
        jbc.correct(adata, METHOD, **keys)
    np.testing.assert_array_equal(adata.layers["jbc"], expected)
    assert adata.uns["jbc"]["covariates"] == ["age", "site"]
    assert adata.uns["jbc"]["columns"]["order"] == "injection"


def test_the_command_line_gives_what_the_model_gives(expected, tmp_path):
    from jbc.cli.main import main

    names = [f"x{i}" for i in range(X.shape[1])]
    table = pd.DataFrame(X, columns=names).assign(
        plate=DRAWN.domain, age=AGE, site=SITE, injection=np.arange(N)
    )
    data, run, out = tmp_path / "table.csv", tmp_path / "run", tmp_path / "out.csv"
    table.to_csv(data, index=False)
    keys = ["--batch-key", "plate", "--covariates", "age", "C(site)", "--order-key", "injection"]
    assert main(["fit", "--data", str(data), *keys, "--out", str(run), "standardise"]) == 0
    assert main(["transform", str(run), "--data", str(data), "--out", str(out)]) == 0
    np.testing.assert_allclose(pd.read_csv(out)[names], expected, rtol=1e-5, atol=1e-5)
    table.drop(columns="age").to_csv(data, index=False)
    assert main(["transform", str(run), "--data", str(data), "--out", str(out)]) == 2
