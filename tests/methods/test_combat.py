"""ComBat and limma against what programs in R, Python and Matlab gave, and the rules that are our own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import assert_same_bytes, refusal, vary
from scipy.stats import multivariate_normal

import jbc
from jbc.cohort import Cohort
from jbc.cohort.populations import apart
from jbc.errors import InputWarning
from jbc.methods.base import Method
from jbc.methods.closed_form import ComBat, LimmaRemoveBatch, Standardise
from jbc.numerics.posterior import posterior

# The program in Matlab stops its iterations earlier than the others do.
MATLAB = 2e-5


def least_squares(x: np.ndarray, domain: np.ndarray, covariates: np.ndarray) -> np.ndarray:
    """Return the effects of covariates (covariates, d), beside those of domains."""
    domains = (domain[:, None] == np.unique(domain)).astype(float)
    return np.linalg.lstsq(np.hstack([domains, covariates]), x, rcond=None)[0][domains.shape[1] :]


def corrected(
    method: Method, x: np.ndarray, domain: np.ndarray, kept: np.ndarray | None = None
) -> np.ndarray:
    """Correct rows whose covariates were taken out, and put these back."""
    effect = 0 if kept is None else kept @ least_squares(x, domain, kept)
    model = jbc.fit(method, Cohort.from_arrays(x - effect, domain), composition="assume-equal")
    return model.transform(x - effect, domain) + effect


def assert_equal_up_to(found: np.ndarray, expected: np.ndarray, x: np.ndarray, rtol: float = 1e-6) -> None:
    """Compare relative to the largest value of a feature, of which float32 holds seven digits."""
    assert (np.abs(found - expected).max(axis=0) / np.abs(x).max(axis=0)).max() < rtol


def table(path: Path) -> np.ndarray:
    """Read a table with a header, or without one."""
    header = path.read_text().lstrip()[0] not in "-0123456789"
    return np.loadtxt(path, delimiter=",", skiprows=int(header))


@pytest.fixture(scope="module")
def world(data) -> dict[str, Any]:
    """The rows that R was given, and what it gave."""
    folder = data.parent / "goldens" / "r"
    about = table(folder / "world_meta.csv")
    return {
        "folder": folder,
        "x": table(folder / "world.csv"),
        "domain": about[:, 0].astype(int).astype(str),
        "class": about[:, 1:2],
        "age": about[:, 2:],
    }


@pytest.mark.parametrize(
    ("name", "method", "kept"),
    [
        ("parametric", ComBat(), ()),
        ("parametric_class", ComBat(), ("class",)),
        ("parametric_class_age", ComBat(), ("class", "age")),
        ("nonparametric", ComBat(prior="nonparametric"), ()),
        ("mean_only", ComBat(mean_only=True), ()),
        ("ref_batch1", ComBat(reference="1"), ()),
    ],
)
def test_combat_is_that_of_sva(world, name, method, kept):
    covariates = np.hstack([world[each] for each in kept]) if kept else None
    found = corrected(method, world["x"], world["domain"], covariates)
    assert_equal_up_to(found, table(world["folder"] / f"combat_{name}.csv"), world["x"])


def test_limma_is_limma(world):
    x, domain, both = world["x"], world["domain"], np.hstack([world["class"], world["age"]])
    method = LimmaRemoveBatch()
    assert_equal_up_to(corrected(method, x, domain), table(world["folder"] / "limma_batch.csv"), x)
    found = corrected(method, x, domain, world["class"])
    assert_equal_up_to(found, table(world["folder"] / "limma_batch_keep_class.csv"), x)
    # A covariate that is removed: its effect is not put back.
    found = corrected(method, x, domain, both) - world["age"] * least_squares(x, domain, both)[1]
    assert_equal_up_to(found, table(world["folder"] / "limma_batch_age_keep_class.csv"), x)


def test_covariates_of_a_cohort_are_kept_as_in_r(world):
    """By the one mechanism that all methods share."""
    kept = {"class": world["class"][:, 0].astype(str)}
    both = kept | {"age": world["age"][:, 0]}

    def moved(method: Method, covariates: dict[str, np.ndarray]) -> np.ndarray:
        cohort = Cohort.from_arrays(world["x"], world["domain"], covariates=covariates)
        model = jbc.fit(method, cohort, composition="assume-equal")
        return model.transform(world["x"], world["domain"], covariates=covariates)

    for method, covariates, name in (
        (ComBat(), kept, "combat_parametric_class"),
        (ComBat(), both, "combat_parametric_class_age"),
        (LimmaRemoveBatch(), kept, "limma_batch_keep_class"),
    ):
        assert_equal_up_to(moved(method, covariates), table(world["folder"] / f"{name}.csv"), world["x"])
    # limma takes all of the effect of an age out, so that rows end where age 0 is; we end at the average age.
    gap = moved(LimmaRemoveBatch(remove=("age",)), both) - table(
        world["folder"] / "limma_batch_age_keep_class.csv"
    )
    assert_equal_up_to(gap, gap.mean(axis=0), world["x"])


def test_a_method_says_which_covariates_it_removes():
    assert LimmaRemoveBatch(remove=("operator",)).removes == ("operator",)
    assert ComBat().removes == LimmaRemoveBatch().removes == ()


def harmonization(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows that ComBatHarmonization is tested with, their domains, and their phenotype."""
    x = table(data / "ComBatHarmonization" / "testdata.csv").T
    return x, np.repeat(["1", "2"], 5), np.tile([1.0, 0.0], 5)[:, None]


def method_of(name: str) -> ComBat:
    """Read from the name of a file what made it; without empirical Bayes, there is no prior of either kind."""
    prior = "nonparametric" if "_nonparametric" in name else "parametric"
    return ComBat(
        prior="none" if "noeb" in name else prior,
        mean_only="meanonl" in name,
        reference="1" if "batchref" in name else None,
    )


def test_combat_is_that_of_combat_harmonization(data):
    x, domain, phenotype = harmonization(data)
    files = sorted((data / "ComBatHarmonization" / "outputData").glob("testdata_combat_*.csv"))
    assert len(files) == 71
    for path in files:
        kept = None if "unadjusted" in path.name else phenotype
        found = corrected(method_of(path.name), x, domain, kept)
        matlab = "_parametric" in path.name and "matlab" in path.name
        assert_equal_up_to(found, table(path).T, x, rtol=MATLAB if matlab else 1e-6)


@pytest.mark.parametrize("program", ["r", "python"])
def test_new_rows_of_known_domains_are_those_of_combat_harmonization(data, program):
    """Rows whose phenotype is unknown are taken for average ones."""
    x, domain, phenotype = harmonization(data)
    beta, new = least_squares(x, domain, phenotype), [0, 1, 5, 6]
    bare, average = x - phenotype @ beta, phenotype.mean() * beta
    model = jbc.fit(ComBat(), Cohort.from_arrays(bare, domain), composition="assume-equal")
    found = model.transform(x[new] - average, domain[new]) + average
    expected = table(data / "ComBatHarmonization" / "outputData" / f"training_test_scenario2_{program}.csv").T
    assert_equal_up_to(found, expected, x[new])


# Without files of other programs.


def shifted(rows: tuple[int, ...] = (6, 9, 14), features: int = 12, seed: int = 0) -> dict[str, Any]:
    """Rows of domains with a location and a scale of every feature."""
    rng = np.random.default_rng(seed)
    parts = [
        rng.normal(size=features) + rng.gamma(9, 1 / 9, features) * rng.normal(size=(n, features))
        for n in rows
    ]
    return {"x": np.concatenate(parts) * 3 + 50, "domain": np.repeat([*"abcdef"][: len(rows)], rows)}


def test_the_posterior_of_a_normal_and_an_inverse_gamma_prior_solves_its_equations():
    rng, n = np.random.default_rng(0), 25
    z = rng.normal(size=40) + rng.gamma(9, 1 / 9, 40) * rng.normal(size=(n, 40))
    mean, variance = z.mean(axis=0), z.var(axis=0, ddof=1)
    at, scale = posterior("parametric", n, mean, variance)
    a, b = 2 + variance.mean() ** 2 / variance.var(ddof=1), 0.0
    b = variance.mean() * (a - 1)
    wide = n * mean.var(ddof=1)
    np.testing.assert_allclose(at, (wide * mean + scale * mean.mean()) / (wide + scale), rtol=1e-3)
    np.testing.assert_allclose(scale, (b + 0.5 * np.square(z - at).sum(axis=0)) / (n / 2 + a - 1), rtol=1e-3)


@pytest.mark.parametrize("mean_only", [False, True])
def test_the_posterior_by_other_features_is_an_average_weighted_by_likelihoods(mean_only):
    rng, n, d = np.random.default_rng(1), 7, 30
    z = rng.normal(size=d) + rng.gamma(9, 1 / 9, d) * rng.normal(size=(n, d))
    mean, variance = z.mean(axis=0), z.var(axis=0, ddof=1)
    found = posterior("nonparametric", n, mean, variance, mean_only=mean_only)
    variance = np.ones(d) if mean_only else variance
    for f in range(d):
        others = [h for h in range(d) if h != f]
        like = np.array(
            [multivariate_normal(mean[h] * np.ones(n), variance[h] * np.eye(n)).pdf(z[:, f]) for h in others]
        )
        for values, prior in zip(found, (mean, variance), strict=True):
            assert values[f] == pytest.approx(like @ prior[others] / like.sum(), rel=1e-9)


def test_likelihoods_too_small_for_a_computer_are_compared_all_the_same():
    """Of 20,000 rows, all are 0; the released program returns NaN."""
    rng = np.random.default_rng(0)
    mean, variance = rng.normal(size=50), rng.gamma(9, 1 / 9, 50)
    at, scale = posterior("nonparametric", 20_000, mean, variance)
    for found, prior in ((at, mean), (scale, variance)):
        assert np.isfinite(found).all()
        assert (prior.min() <= found).all()
        assert (found <= prior.max()).all()


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    mean, variance = rng.normal(size=53), rng.gamma(9, 1 / 9, 53)
    whole = posterior("nonparametric", 9, mean, variance)
    monkeypatch.setattr("jbc.numerics.posterior.BLOCK", 53 * 7)
    np.testing.assert_allclose(posterior("nonparametric", 9, mean, variance), whole, rtol=1e-12)


def test_without_a_prior_mean_and_variance_are_those_of_the_domain():
    drawn = shifted()
    x, domain = drawn["x"], drawn["domain"]
    found = corrected(ComBat(prior="none"), x, domain)
    within = np.concatenate([x[domain == g] - x[domain == g].mean(axis=0) for g in "abc"])
    for g in "abc":
        rows = found[domain == g]
        np.testing.assert_allclose(rows.mean(axis=0), x.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(rows.var(axis=0, ddof=1), np.square(within).mean(axis=0), rtol=1e-4)


def test_many_rows_hardly_shrink():
    drawn = shifted(rows=(4000, 6000))
    found, plain = (corrected(m, drawn["x"], drawn["domain"]) for m in (ComBat(), ComBat(prior="none")))
    np.testing.assert_allclose(found, plain, atol=0.02 * drawn["x"].std())


def test_a_reference_stays_to_the_last_bit_and_others_go_there():
    drawn = shifted(rows=(60, 70, 80))
    x, domain = drawn["x"].astype(np.float32), drawn["domain"]
    found = corrected(ComBat(reference="b", prior="none"), x, domain)
    assert_same_bytes(found[domain == "b"], x[domain == "b"])
    for g in "ac":
        np.testing.assert_allclose(found[domain == g].mean(axis=0), x[domain == "b"].mean(axis=0), rtol=1e-5)
    model = jbc.fit(ComBat(reference="b"), Cohort.from_arrays(x, domain), composition="assume-equal")
    assert model.record.target == "b"
    with refusal("unknown-domain"):
        corrected(ComBat(reference="z"), x, domain)


def test_mean_only_leaves_deviations():
    drawn = shifted()
    x, domain = drawn["x"], drawn["domain"]
    for prior in ("parametric", "nonparametric", "none"):
        moved = corrected(ComBat(prior=prior, mean_only=True), x, domain) - x
        for g in "abc":
            np.testing.assert_allclose(
                moved[domain == g], moved[domain == g][:1].repeat((domain == g).sum(), 0), atol=1e-4
            )


def test_a_domain_of_one_row_needs_mean_only():
    drawn = shifted(rows=(6, 9, 1))
    with refusal("tiny-domain") as caught:
        corrected(ComBat(), **drawn)
    assert "'c'" in str(caught.value)
    assert "mean_only=True" in str(caught.value)
    for prior in ("parametric", "nonparametric", "none"):
        found = corrected(ComBat(prior=prior, mean_only=True), **drawn)
        assert np.isfinite(found).all()
        away = [np.abs(rows[-1] - rows[:-1].mean(axis=0)).mean() for rows in (drawn["x"], found)]
        assert away[1] < away[0]


@pytest.mark.parametrize("prior", ["parametric", "nonparametric", "none"])
@pytest.mark.parametrize("reference", [None, "a", "b"])
def test_a_constant_feature_is_shifted_where_it_is_constant_and_tells_others_nothing(prior, reference):
    drawn = shifted(rows=(20, 30, 40))
    x, domain = drawn["x"].copy(), drawn["domain"]
    method = ComBat(prior=prior, reference=reference)
    alone = corrected(method, np.delete(x, 3, axis=1), domain)
    x[domain == "a", 3], x[:, 5] = 7.0, 1.25
    with pytest.warns(InputWarning, match=r"constant in the rows of a domain, 1: 'x3' in 'a'"):
        found = corrected(method, x, domain)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[:, 5], 1.25)
    goal = {None: x[:, 3].mean(), "a": 7.0, "b": x[domain == "b", 3].mean()}[reference]
    np.testing.assert_allclose(found[domain == "a", 3], goal, rtol=1e-5)
    # In domain a, all other features are corrected as if it were not there.
    others = np.delete(np.arange(12), [3, 5])
    bare = corrected(method, x[:, others], domain)
    np.testing.assert_allclose(found[np.ix_(domain == "a", others)], bare[domain == "a"], rtol=1e-5)
    assert alone.shape == (90, 11)
    if reference == "a":  # which does not tell its scale
        for g in "bc":
            rows = found[domain == g, 3]
            np.testing.assert_allclose(
                rows - rows.mean(), x[domain == g, 3] - x[domain == g, 3].mean(), atol=1e-4
            )
    else:
        assert found[domain == "b", 3].std() == pytest.approx(x[domain == "b", 3].std(), rel=0.5)


def test_features_that_vary_alike_give_a_prior_without_width():
    """Equal variances and equal means of all features: nothing is divided by 0."""
    z = np.random.default_rng(0).normal(size=(12, 1))
    x = np.concatenate([z, 2 * z + 1]) * np.ones(5)
    domain = np.repeat(["a", "b"], 12)
    for prior in ("parametric", "nonparametric"):
        found = corrected(ComBat(prior=prior), x, domain)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found[:12], found[12:], rtol=1e-4, atol=1e-4)


def test_one_domain_stays_as_it_is():
    drawn = shifted(rows=(8,))
    with pytest.warns(InputWarning, match="All rows are of one domain"):
        assert_same_bytes(corrected(ComBat(), **drawn), drawn["x"].astype(np.float32))


@pytest.mark.parametrize(
    "method", [ComBat(), ComBat(prior="nonparametric"), ComBat(mean_only=True), LimmaRemoveBatch()]
)
def test_weights_repeat_rows(method):
    drawn = shifted()
    times = np.random.default_rng(0).integers(1, 4, len(drawn["x"]))
    repeated = Cohort.from_arrays(*(np.repeat(part, times, axis=0) for part in drawn.values()))
    alone = Cohort.from_arrays(*drawn.values())
    weighted = dataclasses.replace(alone, weight=times[np.asarray(alone.row)].astype(np.int32))
    left = weighted.domain == 1
    dropped = dataclasses.replace(alone, weight=np.where(left & (np.cumsum(left) > 4), 0, 1).astype(np.int32))
    first = np.flatnonzero(dropped.weight > 0)
    few = Cohort.from_arrays(np.asarray(alone.x)[first], np.array([*"abc"])[np.asarray(alone.domain)[first]])
    for one, two in ((repeated, weighted), (few, dropped)):
        for name, expected in method.finish(None, one).items():
            np.testing.assert_allclose(method.finish(None, two)[name], expected, rtol=1e-4, atol=1e-4)


# Controls, and domains that come in later.


def screen(seed: int = 0) -> dict[str, Any]:
    """Four plates of 30 rows, of which 12 are controls; treated rows lie elsewhere."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(120, 25))
    control = np.tile(np.arange(30) < 12, 4)
    base[~control] += rng.normal(size=25) * 3
    plate = np.repeat([*"abcd"], 30)
    away, scale = 2 * rng.normal(size=(4, 25)), rng.gamma(16, 1 / 16, (4, 25))
    code = np.repeat(np.arange(4), 30)
    return {"x": base * scale[code] + away[code], "domain": plate, "control": control, "clean": base}


@pytest.mark.parametrize("prior", ["parametric", "nonparametric", "none"])
@pytest.mark.parametrize("reference", [None, "b"])
def test_a_new_domain_comes_in_by_its_controls(prior, reference):
    drawn, method = screen(), ComBat(prior=prior, on="controls", reference=reference)
    known, control = drawn["domain"] != "d", drawn["control"]
    table = {name: drawn[name][known] for name in ("x", "domain", "control")}
    model = jbc.fit(method, Cohort.from_arrays(**table))
    new = drawn["x"][~known]
    fitted = method.adapt(model.fitted, new[control[~known]].astype(np.float32), np.empty((0, 25)))
    for name in ("factor", "shift"):
        assert fitted[name].dtype == np.float32
        assert_same_bytes(fitted[name][:3], model.fitted[name])
    moved = np.asarray(method.transform(fitted, new.astype(np.float32), np.full(30, 3)))
    to = model.transform(drawn["x"][known & control], drawn["domain"][known & control])
    before, after = (np.abs(x[:12].mean(axis=0) - to.mean(axis=0)).mean() for x in (new, moved))
    assert after < 0.35 * before
    # As if it had been there from the start, but for what all domains have in common.
    whole = jbc.fit(method, Cohort.from_arrays(**{name: drawn[name] for name in table}))
    if reference:
        np.testing.assert_allclose(moved, whole.transform(new, ["d"] * 30), atol=1e-4)
    nothing = method.adapt(model.fitted, new[:0].astype(np.float32), np.empty((0, 25)))
    assert not nothing["factor"][3].any()
    assert not nothing["shift"][3].any()
    one = method.adapt(model.fitted, new[:1].astype(np.float32), np.empty((0, 25)))
    assert not one["factor"][3].any()
    assert np.isfinite(one["shift"]).all()


def test_a_new_domain_with_constant_features_is_shifted_there():
    drawn, method = screen(), ComBat(on="controls")
    x = drawn["x"].copy()
    x[:, 4] = 3.0
    known = drawn["domain"] != "d"
    cohort = Cohort.from_arrays(x[known], drawn["domain"][known], control=drawn["control"][known])
    rows = x[~known].astype(np.float32)
    rows[:, 2], rows[:, 4] = 7, rows[:, 5]
    fitted = method.adapt(method.finish(None, cohort), rows, np.empty((0, 25)))
    moved = np.asarray(method.transform(fitted, rows, np.full(30, 3)))
    np.testing.assert_allclose(moved[:, 2], fitted["common"]["mean"][2], rtol=1e-5)
    np.testing.assert_allclose(moved[:, 4] - moved[:, 4].mean(), rows[:, 4] - rows[:, 4].mean(), atol=1e-5)
    assert moved[:, 4].mean() == pytest.approx(3, abs=1e-5)
    with refusal("cannot-adapt"):
        ComBat().adapt(ComBat().finish(None, cohort), rows, np.empty((0, 25)))


def test_controls_are_asked_for_by_name():
    drawn = screen()
    cohort = Cohort.from_arrays(
        drawn["x"], drawn["domain"], control=drawn["control"] & (drawn["domain"] != "c")
    )
    with refusal("few-controls") as caught:
        jbc.fit(ComBat(on="controls"), cohort)
    assert "'c'" in str(caught.value)


def mixed() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two domains of two populations far apart, of which one has nine in ten and the other one in ten."""
    rng = np.random.default_rng(0)
    kind = np.concatenate([np.arange(100) < 90, np.arange(100) < 10]).astype(int)
    domain = np.repeat(["a", "b"], 100)
    effect = rng.normal(size=20)
    x = rng.normal(size=(200, 20)) + 8 * kind[:, None] + (domain == "b")[:, None] * effect
    return x, domain, kind


@pytest.mark.parametrize("method", [ComBat(), ComBat(prior="none", mean_only=True), LimmaRemoveBatch()])
def test_populations_come_together_where_mixtures_differ(method):
    x, domain, kind = mixed()
    table = Cohort.from_arrays(x, domain)
    gaps = []
    for cohort, composition in ((table.with_populations(kind), "estimate"), (table, "assume-equal")):
        moved = jbc.fit(method, cohort, composition=composition).transform(x, domain)
        gaps.append(
            max(
                np.abs(
                    moved[(domain == "a") & (kind == k)].mean(axis=0)
                    - moved[(domain == "b") & (kind == k)].mean(axis=0)
                ).mean()
                for k in (0, 1)
            )
        )
    assert gaps[0] < 0.5
    assert gaps[1] > 4


@pytest.mark.parametrize("method", [ComBat(), ComBat(prior="nonparametric"), LimmaRemoveBatch()])
def test_domains_that_share_nothing_stay_as_they_are(method):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(60, 5)), rng.normal(size=(60, 5)) @ np.diag([1, 5, 0.2, 1, 3]) + 6])
    domain = np.repeat(["a", "b"], 60)
    cohort = Cohort.from_arrays(x, domain)
    model = jbc.fit(method, dataclasses.replace(cohort, composition=apart(cohort)))
    assert model.composition.verdict == "unknown"
    assert all(np.isfinite(table).all() for table in model.fitted.values())
    assert_same_bytes(model.transform(x, domain), x.astype(np.float32))


def test_more_than_a_few_rows_make_it_a_z_score():
    drawn = shifted(rows=(500, 500))
    found = corrected(ComBat(prior="none"), **drawn)
    plain = corrected(Standardise(), **drawn)
    for x in (found, plain):
        assert np.abs(x[:500].mean(axis=0) - x[500:].mean(axis=0)).max() < 1e-3
    assert vary(ComBat(), prior="none") == ComBat(prior="none")
