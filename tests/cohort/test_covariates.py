"""Covariates: read by name, estimated within domains, taken out before a correction and put back after it."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator

import jax
import numpy as np
import pandas as pd
import pytest
from problems import refusal

import jbc
from jbc.cohort import Cohort
from jbc.cohort.covariate_effects import take_out
from jbc.cohort.covariates import design, read_terms
from jbc.methods.base import Method
from jbc.methods.settings import Training
from jbc.train import fit_lanes

DRAWS = np.random.default_rng(0)
N, D = 120, 4
SITE = np.repeat(["a", "b", "c"], N // 3)
AGE = DRAWS.normal(np.repeat([30.0, 45.0, 60.0], N // 3), 8)  # sites differ by age
SEX = np.where(DRAWS.random(N) < 0.4, "m", "f")
SLOPES = np.array([0.1, -0.2, 0.0, 0.05])
X = (
    AGE[:, None] * SLOPES
    + (SEX == "m")[:, None]
    + DRAWS.normal(size=(N, D))
    + np.repeat([0, 3, -2], N // 3)[:, None]
)
TABLE = pd.DataFrame({"age": AGE, "sex": SEX})


@contextlib.contextmanager
def refused(code: str, said: str = "") -> Iterator[None]:
    """Expect a refusal that says something."""
    with refusal(code) as caught:
        yield
    assert said in str(caught.value)


def cohort(x=X, **more) -> Cohort:
    return Cohort.from_arrays(x, SITE, **{"covariates": TABLE} | more)


def least_squares(x, rows=slice(None)) -> np.ndarray:
    """Return the slopes of age and sex beside one mean per site, by NumPy."""
    columns = [*(name == SITE for name in "abc"), AGE, SEX == "m"]
    full = np.stack(columns, axis=1).astype(float)[rows]
    return np.linalg.lstsq(full, x[rows], rcond=None)[0][3:]


@pytest.mark.parametrize(
    "given",
    [
        TABLE,
        {"age": AGE, "sex": SEX},
        {"age": AGE.tolist(), "sex": SEX.tolist()},
        pd.DataFrame({"age": AGE, "sex": pd.Categorical(SEX)}),
        pd.DataFrame({"age": AGE.astype(object), "sex": SEX}),
    ],
)
def test_numbers_are_numbers_and_texts_are_levels(given):
    age, sex = read_terms(given, N)
    assert (age.name, age.levels, sex.name, sex.levels) == ("age", (), "sex", ("f", "m"))
    table = design((age, sex), given, N)
    np.testing.assert_allclose(table[:, 0], (AGE - AGE.mean()) / AGE.std())
    np.testing.assert_array_equal(table[:, 1], SEX == "m")


def test_an_array_has_columns_without_names():
    terms = read_terms(AGE, N)
    assert [term.name for term in terms] == ["covariate0"]
    np.testing.assert_allclose(design(terms, AGE[:3, None], 3)[:, 0], (AGE[:3] - AGE.mean()) / AGE.std())


def test_a_series_is_paired_by_its_index():
    x = pd.DataFrame(X, index=[f"r{i}" for i in range(N)])
    shuffled = TABLE.set_index(x.index).sample(frac=1, random_state=0)
    one = Cohort.from_arrays(x, pd.Series(SITE, x.index), covariates=shuffled)
    np.testing.assert_array_equal(one.covariates.design, cohort().covariates.design)


def test_the_effect_is_that_of_least_squares_beside_the_domains():
    table = cohort()
    led = take_out(table)
    age, sex = np.asarray(led.covariates.effect)
    expected = least_squares(X)
    np.testing.assert_allclose(age / AGE.std(), expected[0], atol=1e-5)
    np.testing.assert_allclose(sex, expected[1], atol=1e-5)
    order = np.asarray(table.row)
    rest = X[order] - (AGE[order] - AGE.mean())[:, None] * expected[0]
    rest -= ((SEX[order] == "m") - (SEX == "m").mean())[:, None] * expected[1]
    offset = 0 if table.offset is None else table.offset
    np.testing.assert_allclose(np.asarray(led.x) + offset, rest, atol=1e-4)


def test_where_values_are_missing_the_effect_is_that_of_the_observed_ones():
    holes = np.random.default_rng(1).random(X.shape) < 0.2
    holes[:, 0] = False
    led = take_out(cohort(np.where(holes, np.nan, X)))
    for j in range(D):
        expected = least_squares(X[:, j : j + 1], ~holes[:, j])[:, 0]
        found = np.asarray(led.covariates.effect)[:, j] / [AGE.std(), 1]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not np.asarray(led.x)[~np.asarray(led.observed)].any()


def test_a_row_of_weight_two_is_there_twice():
    table = cohort()
    weight = np.tile([0, 1, 2, 1], N // 4)
    twice = np.repeat(np.asarray(table.row), weight)
    again = Cohort.from_arrays(X[twice], SITE[twice], covariates=TABLE.iloc[twice].reset_index(drop=True))
    one, other = take_out(table.weigh_rows(weight)), take_out(again)
    units = [[AGE.std()], [1]], [[AGE[twice].std()], [1]]  # each in units of its own table
    found = [
        np.asarray(each.covariates.effect) / unit for each, unit in zip((one, other), units, strict=True)
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


CORRECTIONS: dict[str, tuple[Method, int | None]] = {
    "standardise": (jbc.Standardise(), None),
    "quantile-map": (jbc.QuantileMap(), None),
    "coral": (jbc.Coral(on="all"), None),
    "chain": (jbc.Chain(jbc.Standardise(scale=False), jbc.QuantileMap()), None),
    "mmd-resnet": (jbc.MMDResNet(blocks=1, width=8, training=Training(rows=40)), 100),
    "joint-calibration": (jbc.JointCalibration(training=Training(rows=40)), 100),
}


def sites(seed: int) -> tuple[np.ndarray, np.ndarray, pd.DataFrame, np.ndarray]:
    """Return rows of sites whose people are of other ages, with their slopes."""
    rng, n = np.random.default_rng(seed), 600
    site = np.repeat(["a", "b", "c"], n // 3)
    age = rng.normal(np.repeat([30.0, 45.0, 60.0], n // 3), 8)
    slopes = np.linspace(-0.1, 0.1, 6)
    effect = rng.normal(size=(3, 6)) * 2
    x = age[:, None] * slopes + np.repeat(effect, n // 3, axis=0) + rng.normal(size=(n, 6))
    return x, site, pd.DataFrame({"age": age}), slopes


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (m[1] is not None)) for n, m in CORRECTIONS.items()]
)
def test_slopes_are_kept_where_sites_are_of_other_ages(name):
    """Within 10 % of the largest; age that is not named is taken for an effect of the site, and is lost in part."""
    method, steps = CORRECTIONS[name]
    x, site, covariates, slopes = sites(0)

    def slopes_of(rows: np.ndarray) -> np.ndarray:
        age = covariates["age"].to_numpy()
        return np.polyfit(age, rows, 1)[0]

    kept = jbc.fit(
        method, Cohort.from_arrays(x, site, covariates=covariates), steps=steps, composition="assume-equal"
    )
    lost = jbc.fit(method, Cohort.from_arrays(x, site), steps=steps, composition="assume-equal")
    with_age = slopes_of(kept.transform(x, site, covariates=covariates))
    without = slopes_of(lost.transform(x, site))
    largest = np.abs(slopes).max()
    assert np.abs(with_age - slopes).max() < 0.1 * largest
    assert np.abs(without - slopes).max() > 0.4 * largest


def test_what_a_method_removes_is_not_put_back(monkeypatch):
    monkeypatch.setattr(jbc.Standardise, "removes", ("sex",))
    model = jbc.fit(jbc.Standardise(scale=False), cohort(), composition="assume-equal")
    moved = model.transform(X, SITE, covariates=TABLE)
    moved = moved - (AGE - AGE.mean())[:, None] * SLOPES
    men, women = moved[SEX == "m"].mean(axis=0), moved[SEX == "f"].mean(axis=0)
    assert np.abs(men - women).max() < 0.5  # 1 as measured
    with refusal("missing-covariate"):
        jbc.fit(jbc.Standardise(), Cohort.from_arrays(X, SITE))
    with refusal("missing-covariate"):
        jbc.fit(jbc.Standardise(), cohort(covariates=TABLE[["age"]]))


def test_a_saved_model_knows_its_covariates(tmp_path):
    model = jbc.fit(jbc.Standardise(), cohort(), composition="assume-equal")
    loaded = jbc.load(model.save(tmp_path / "model"))
    assert loaded.names.covariates == model.names.covariates
    np.testing.assert_array_equal(
        loaded.transform(X, SITE, covariates=TABLE), model.transform(X, SITE, covariates=TABLE)
    )
    one = loaded.transform(X[:1], SITE[:1], covariates={"sex": SEX[:1], "age": AGE[:1]})
    np.testing.assert_array_equal(one, model.transform(X, SITE, covariates=TABLE)[:1])
    with refused("missing-covariate", "'age', 'sex'"):
        loaded.transform(X, SITE)
    with refused("unknown-level", "'x'"):
        loaded.transform(X[:1], SITE[:1], covariates={"age": [30.0], "sex": ["x"]})


@pytest.mark.parametrize("part", ["covariates", "order"])
def test_a_forged_description_is_refused(tmp_path, part):
    from jbc.train import checkpoint

    folder = jbc.fit(jbc.Standardise(), cohort(), composition="assume-equal").save(tmp_path / "model")
    tree, meta = checkpoint.read(folder)
    meta = json.loads(json.dumps(meta)) | {part: [{"name": 3}]}
    checkpoint.write(tmp_path / "forged", tree, meta)
    with refused("damaged-model", part):
        jbc.load(tmp_path / "forged")


def test_controls_of_new_domains_come_with_their_covariates():
    control = np.arange(N) % 2 == 0
    method = jbc.Standardise(on="controls")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = jbc.fit(method, cohort(control=control))
        new = AGE[:30, None] * SLOPES + 7 + DRAWS.normal(size=(30, D))
        young = {"age": AGE[:30], "sex": ["f"] * 30}
        adapted = model.adapt(new, np.full(30, "d"), covariates=young)
    moved = adapted.transform(new, np.full(30, "d"), covariates=young)
    assert np.abs(np.polyfit(AGE[:30], moved, 1)[0] - SLOPES).max() < 0.1
    with refusal("missing-covariate"):
        model.adapt(new, np.full(30, "d"))


@pytest.mark.parametrize(
    ("covariates", "code", "said"),
    [
        ({"site": SITE}, "confounded", "'site'"),
        ({"age": AGE, "older": 2 * AGE + 1}, "confounded", "'older'"),
        ({"age": np.repeat([1.0, 2.0, 3.0], N // 3)}, "confounded", "'age'"),
        ({"level": np.where(np.arange(N) < N // 3, "only in a", SEX)}, "confounded", "'level'"),
        ({"age": np.ones(N)}, "constant-covariate", "'age'"),
        ({"age": np.where(np.arange(N) == 3, np.nan, AGE)}, "missing-value", "row 3"),
        ({"sex": np.where(np.arange(N) == 3, "", SEX)}, "missing-covariate", "3"),
        ({"age": AGE[:5]}, "bad-shape", "age"),
        (np.zeros((2, 3, 4)), "bad-shape", "covariates"),
        ({"id": [f"row {i}" for i in range(N)]}, "confounded", "'id'"),
    ],
)
def test_what_cannot_be_estimated_is_refused_by_name(covariates, code, said):
    with refused(code, said):
        jbc.fit(jbc.Standardise(), cohort(covariates=covariates))


def test_too_few_rows_are_refused():
    x, site = np.arange(8.0).reshape(4, 2), ["a", "a", "b", "b"]
    with refusal("too-few-rows"):
        jbc.fit(
            jbc.Standardise(),
            Cohort.from_arrays(x, site, covariates={"u": [1.0, 2, 1, 3], "v": [1.0, 1, 2, 5]}),
        )


def test_folds_are_lanes_with_effects_of_their_own():
    from problems import JOINT

    table = cohort(label=np.where(SEX == "m", "p", "q"))
    folds = [table.weigh_rows(np.arange(N) % 3 != fold) for fold in range(2)]
    keys = jax.random.split(jax.random.key(0), 2)
    run = fit_lanes(JOINT, folds, keys, steps=2, composition="assume-equal")
    assert np.isfinite(run.history[-1]["loss"]).all()


def test_covariates_that_the_fit_did_not_have_are_refused():
    model = jbc.fit(jbc.Standardise(), Cohort.from_arrays(X, SITE), composition="assume-equal")
    with refused("unknown-covariate", "the fit had none"):
        model.transform(X, SITE, covariates=TABLE)
