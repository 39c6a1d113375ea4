"""ComBat, limma, ratios, covariates and chains where values are missing, against what they mean by feature."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from problems import CHUNK, JOINT, assert_same_bytes, refusal

import jbc
from jbc.cohort import Cohort
from jbc.errors import InputWarning
from jbc.methods.base import Method

NAN = float("nan")
DOMAINS = ("a", "b", "c")
plate = np.repeat(DOMAINS, [9, 14, 20])


def table(features: int = 25, share: float = 0.2) -> np.ndarray:
    """Draw rows whose domains differ in location and scale, with missing values, more of them in some features."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(len(plate), features))
    for number, name in enumerate(DOMAINS):
        rows = plate == name
        x[rows] = x[rows] * rng.uniform(0.5, 2, features) + number + rng.normal(size=features)
    x = x * rng.uniform(0.5, 3, features) + rng.normal(size=features)
    x[rng.random(x.shape) < share * np.linspace(0, 2, features)] = NAN
    return x


X = table()
LACKS = X.copy()
LACKS[plate == "b", 3] = NAN  # one domain has measured this feature nowhere
LACKS[np.flatnonzero(plate == "c")[1:], 7] = NAN  # and one has measured this one once


def fitted(method: Method, x: np.ndarray, domain: np.ndarray = plate, **beside) -> jbc.Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return jbc.fit(method, Cohort.from_arrays(x, domain, **beside), composition="assume-equal")


def corrected(method: Method, x: np.ndarray, domain: np.ndarray = plate, **beside) -> np.ndarray:
    told = {"covariates": beside["covariates"]} if "covariates" in beside else {}
    return fitted(method, x, domain, **beside).transform(x, domain, **told)


def assert_equal(found: np.ndarray, expected: np.ndarray, rtol: float = 1e-5) -> None:
    """Compare relative to the largest value of a feature."""
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert (np.nanmax(np.abs(found - expected), axis=0) / np.nanmax(np.abs(expected), axis=0)).max() < rtol


def combat_by_hand(
    x: np.ndarray, prior: str = "parametric", mean_only: bool = False, reference: str | None = None
) -> np.ndarray:
    """Return what ComBat means where values are missing: every sum is over what was observed of a feature."""
    seen = {name: [rows[~np.isnan(rows)] for rows in x[plate == name].T] for name in DOMAINS}
    size = {name: np.sum(plate == name) for name in DOMAINS}
    features, out = range(x.shape[1]), x.copy()
    centre, scale = np.zeros((2, x.shape[1]))
    for j in features:
        has = [name for name in DOMAINS if len(seen[name][j]) > 1]
        told = has if reference is None else [reference]
        centre[j] = np.average([seen[g][j].mean() for g in told], weights=[size[g] for g in told])
        away = np.concatenate([seen[g][j] - seen[g][j].mean() for g in told])
        scale[j] = np.sqrt(np.mean(away**2))
    for name in DOMAINS:
        if name == reference:
            continue
        used = [j for j in features if len(seen[name][j]) > 1]
        z = {j: (seen[name][j] - centre[j]) / scale[j] for j in used}
        mean = {j: z[j].mean() for j in used}
        variance = {j: 1.0 if mean_only else z[j].var(ddof=1) for j in used}
        means, variances = (np.array(list(each.values())) for each in (mean, variance))
        for j in used:
            if prior == "none":
                location, spread = mean[j], variance[j]
            elif prior == "nonparametric":
                others = [h for h in used if h != j]
                like = np.array(
                    [
                        -len(z[j]) / 2 * np.log(variance[h])
                        - np.sum((z[j] - mean[h]) ** 2) / (2 * variance[h])
                        for h in others
                    ]
                )
                like = np.exp(like - like.max())
                location, spread = (
                    np.average([of[h] for h in others], weights=like) for of in (mean, variance)
                )
            else:
                location, spread = by_parameters(z[j], means, variances, mean_only)
            rows = plate == name
            out[rows, j] = (x[rows, j] - centre[j] - scale[j] * location) / np.sqrt(spread) + centre[j]
    return out


def by_parameters(
    z: np.ndarray, means: np.ndarray, variances: np.ndarray, mean_only: bool
) -> tuple[float, float]:
    """Return posterior mean and variance of one feature, by the moments of those of all features."""
    centre, width, n = means.mean(), means.var(ddof=1), len(z)
    if mean_only:
        return (width * z.mean() + centre) / (width + 1), 1.0
    a = 2 + variances.mean() ** 2 / variances.var(ddof=1)
    b = (a - 1) * variances.mean()
    location, spread = z.mean(), z.var(ddof=1)
    for _ in range(500):
        location = (n * width * z.mean() + spread * centre) / (n * width + spread)
        spread = (b + 0.5 * np.sum((z - location) ** 2)) / (n / 2 + a - 1)
    return location, spread


@pytest.mark.parametrize("x", [X, LACKS], ids=["holes", "lacking"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"prior": "nonparametric"},
        {"prior": "none"},
        {"mean_only": True},
        {"mean_only": True, "prior": "nonparametric"},
        {"reference": "a"},
    ],
    ids=str,
)
def test_combat_counts_what_was_observed_of_every_feature(x, settings):
    # Posterior means are found in turn, and end as released: a little before they settle.
    rtol = 1e-5 if settings.get("prior") or settings.get("mean_only") else 1e-4
    assert_equal(corrected(jbc.ComBat(**settings), x), combat_by_hand(x, **settings), rtol)


def limma_by_hand(x: np.ndarray, z: np.ndarray | None = None) -> np.ndarray:
    """Return least squares of every feature over the rows that have it; effects of domains add up to 0."""
    out = x.copy()
    for j in range(x.shape[1]):
        has = [name for name in DOMAINS if np.sum(~np.isnan(x[plate == name, j])) > 1]
        rows = ~np.isnan(x[:, j]) & np.isin(plate, has)
        design = np.hstack([plate[:, None] == has, np.zeros((len(x), 0)) if z is None else z]).astype(float)
        effect = np.linalg.lstsq(design[rows], x[rows, j], rcond=None)[0][: len(has)]
        out[rows, j] -= design[rows, : len(has)] @ (effect - effect.mean())
    return out


@pytest.mark.parametrize("x", [X, LACKS], ids=["holes", "lacking"])
def test_limma_is_least_squares_over_the_rows_that_have_a_feature(x):
    assert_equal(corrected(jbc.LimmaRemoveBatch(), x), limma_by_hand(x))


def test_covariates_are_found_over_the_rows_that_have_a_feature():
    """By the one mechanism of all methods: before the method is fitted, and in one model with domains, as limma's."""
    rng = np.random.default_rng(1)
    age, drug = rng.normal(50, 10, len(X)), np.tile(["no", "yes"], len(X))[: len(X)]
    z = np.stack([age, drug == "yes"], axis=1)
    effect = np.stack([rng.normal(0, 0.1, X.shape[1]), rng.normal(0, 3, X.shape[1])])
    x, covariates = LACKS + z @ effect, {"age": age, "drug": drug}
    assert_equal(corrected(jbc.LimmaRemoveBatch(), x, covariates=covariates), limma_by_hand(x, z))
    slopes = np.zeros_like(effect)
    for j in range(x.shape[1]):
        has = [name for name in DOMAINS if np.sum(~np.isnan(x[plate == name, j])) > 1]
        rows = ~np.isnan(x[:, j]) & np.isin(plate, has)
        design = np.hstack([plate[:, None] == has, z]).astype(float)
        slopes[:, j] = np.linalg.lstsq(design[rows], x[rows, j], rcond=None)[0][len(has) :]
    beside = (z - z.mean(axis=0)) @ slopes
    expected = combat_by_hand(x - beside) + beside
    assert_equal(corrected(jbc.ComBat(), x, covariates=covariates), expected, 1e-4)


def test_a_row_alone_is_still_a_domain_where_locations_are_what_is_removed():
    """A value that is missing elsewhere does not change what one row tells."""
    x, domain = table(share=0), np.append(plate[:-1], "d")
    holed = x.copy()
    holed[0, 0] = NAN
    whole, found = (corrected(jbc.ComBat(mean_only=True), each, domain) for each in (x, holed))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(holed))
    assert np.nanmax(np.abs(found - whole)[:, 1:]) < 0.01 * whole.std()
    assert np.abs(whole - x)[-1].max() > 0.1
    with refusal("tiny-domain"):
        fitted(jbc.ComBat(), holed, domain)


def test_one_control_of_a_domain_is_a_reference():
    x = np.exp(table(share=0))
    control = np.isin(np.arange(len(x)), [0, 10, 30])
    for form in ("log", "ratio"):
        method = jbc.RatioG(form=form)
        whole = corrected(method, x, control=control)
        holed = x.copy()
        holed[~control] = np.where(np.isnan(X[~control]), NAN, holed[~control])
        assert_equal(corrected(method, holed, control=control), np.where(np.isnan(holed), NAN, whole))


def test_ratios_divide_by_the_geometric_mean_of_what_was_observed():
    x = np.exp(LACKS)
    mean = np.stack([_mean(LACKS[plate == name]) for name in DOMAINS])
    lacks = np.isnan(mean)
    to = np.nanmean(mean, axis=0)
    moved = np.where(lacks, 0, to - mean)[np.searchsorted(DOMAINS, plate)]
    assert_equal(corrected(jbc.RatioG(form="ratio", on="all"), x), np.exp(LACKS + moved), 1e-4)


def _mean(rows: np.ndarray) -> np.ndarray:
    """Return the mean of what was observed, of two values at least."""
    count = np.sum(~np.isnan(rows), axis=0)
    return np.where(count > 1, np.nansum(rows, axis=0) / np.maximum(count, 1), NAN)


def test_what_stands_for_a_missing_reference_needs_no_logarithm():
    """Rows that are no controls may be 0 or below, and their centre stands where a control is missing."""
    rng = np.random.default_rng(0)
    x = rng.normal(-50, 1, (20, 2))
    control, domain = np.tile([True, False], 10), np.repeat(["a", "b"], 10)
    x[control] = np.exp(rng.normal(size=(10, 2)))
    x[0, 0] = NAN
    found = corrected(jbc.RatioG(form="ratio"), x, domain, control=control)
    mean = np.stack([_mean(np.log(x[control & (domain == g)])) for g in ("a", "b")])
    factor = np.exp(mean.mean(axis=0) - mean)[(domain == "b").astype(int)]
    assert_equal(found, x * factor)


@pytest.mark.parametrize("last", [jbc.QuantileMap(), jbc.Coral(on="all"), jbc.LimmaRemoveBatch()])
@pytest.mark.parametrize("first", [jbc.ComBat(), jbc.Standardise(on="controls")])
def test_a_chain_is_its_methods_one_after_the_other(first, last):
    """What is missing for the first one is missing for the last; what it leaves alone, the last one may correct."""
    control = np.tile([True, False, True], len(X))[: len(X)]
    x = LACKS.copy()
    x[control & (plate == "a"), 5] = NAN  # of its controls, this one has nothing
    one = corrected(first, x, control=control)
    np.testing.assert_array_equal(np.isnan(one), np.isnan(x))
    expected = corrected(last, one, control=control)
    model = fitted(jbc.Chain(first, last), x, control=control)
    assert_equal(model.transform(x, plate), expected, 1e-4)
    alone = model.gaps.alone > 0
    assert alone[1, 3]
    assert not alone[0].any()
    filled = model.transform(x, plate, fill="centre")
    assert np.isfinite(filled).all()
    assert_same_bytes(filled[~np.isnan(x)], model.transform(x, plate)[~np.isnan(x)])


def test_a_chain_names_its_method_that_takes_no_missing_values():
    with refusal("missing-values") as caught:
        fitted(jbc.Chain(jbc.ComBat(), jbc.Harmony(components=None)), X)
    assert "Harmony" in str(caught.value)
    model = fitted(jbc.Chain(jbc.ComBat(), jbc.LimmaRemoveBatch()), table(share=0))
    assert_same_bytes(np.isnan(model.transform(X, plate)), np.isnan(X))


def test_a_chain_of_one_takes_what_its_method_takes():
    method = jbc.QuantileMap()
    assert_same_bytes(corrected(jbc.Chain(method), LACKS), corrected(method, LACKS))


def test_a_chain_with_a_network_takes_missing_values(tmp_path):
    """The network reads what the method before it made of the others, as it does without missing values."""
    label = np.tile(["case", "control"], len(X))[: len(X)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        cohort = Cohort.from_arrays(LACKS, plate, label=label)
        model = jbc.fit(jbc.Chain(jbc.ComBat(), JOINT), cohort, steps=CHUNK, composition="assume-equal")
    found = model.transform(LACKS, plate)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(LACKS))
    full = model.transform(np.nan_to_num(LACKS), plate)
    assert_same_bytes(full[plate == "b", 3], np.nan_to_num(LACKS)[plate == "b", 3].astype(np.float32))
    for name in ("encode", "predict_proba"):
        assert np.isfinite(getattr(model, name)(LACKS, plate)).all()
    copy = jbc.load(model.save(tmp_path / "model"))
    assert_same_bytes(copy.transform(LACKS, plate), found)
