"""Ratios to the geometric means of reference rows against NumPy, and what has none."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from problems import assert_same_bytes, refusal

import jbc
from jbc.cohort import Cohort
from jbc.cohort.populations import apart
from jbc.errors import InputWarning
from jbc.methods.closed_form import RatioG, Standardise
from jbc.methods.prepare import prepare


def plates(seed: int = 0, controls: int = 5) -> dict[str, Any]:
    """Intensities of three plates whose features are multiplied by something on each, with some controls."""
    rng = np.random.default_rng(seed)
    truth = np.exp(rng.normal(size=(60, 6)) + 3)
    control = np.tile(np.arange(20) < controls, 3)
    truth[control] = np.exp(0.1 * rng.normal(size=(control.sum(), 6)) + 3)
    plate = np.repeat(["a", "b", "c"], 20)
    factor = np.exp(rng.normal(size=(3, 6)))
    return {"x": truth * factor.repeat(20, axis=0), "domain": plate, "control": control}


def geometric(rows: np.ndarray) -> np.ndarray:
    return np.exp(np.log(rows).mean(axis=0))


def expected(x: np.ndarray, domain: np.ndarray, control: np.ndarray, on: str) -> np.ndarray:
    """Return rows over the reference of their plate, times the geometric mean of the references."""
    used = control | (on == "all")
    reference = np.stack([geometric(x[used & (domain == name)]) for name in "abc"])
    return x / reference[np.unique(domain, return_inverse=True)[1]] * geometric(reference)


@pytest.mark.parametrize("on", ["all", "controls"])
def test_both_forms_are_what_numpy_says(on):
    drawn = plates()
    truth = expected(**drawn, on=on)
    model = jbc.fit(RatioG(form="ratio", on=on), Cohort.from_arrays(**drawn), composition="assume-equal")
    np.testing.assert_allclose(model.transform(drawn["x"], drawn["domain"]), truth, rtol=1e-5)
    logs = drawn | {"x": np.log(drawn["x"])}
    model = jbc.fit(RatioG(on=on), Cohort.from_arrays(**logs), composition="assume-equal")
    np.testing.assert_allclose(model.transform(logs["x"], drawn["domain"]), np.log(truth), atol=1e-5)
    plain = jbc.fit(Standardise(scale=False), Cohort.from_arrays(**logs), composition="assume-equal")
    if on == "all":
        np.testing.assert_allclose(plain.transform(logs["x"], drawn["domain"]), np.log(truth), atol=1e-5)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_ratios_do_not_depend_on_the_unit(unit):
    drawn = plates()
    model = jbc.fit(RatioG(form="ratio"), Cohort.from_arrays(**drawn | {"x": unit * drawn["x"]}))
    moved = model.transform(unit * drawn["x"], drawn["domain"]) / unit
    np.testing.assert_allclose(moved, expected(**drawn, on="controls"), rtol=1e-5)


def test_ratios_of_values_far_from_zero_keep_their_digits():
    drawn = plates()
    x = 1e6 + 100 * np.random.default_rng(1).normal(size=(60, 6))
    x *= 1 + 1e-5 * np.arange(3).repeat(20)[:, None]
    cohort = Cohort.from_arrays(x, drawn["domain"], control=drawn["control"])
    assert cohort.offset is not None
    model = jbc.fit(RatioG(form="ratio"), cohort)
    truth = expected(x, drawn["domain"], drawn["control"], "controls")
    np.testing.assert_allclose(model.transform(x, drawn["domain"]) - x, truth - x, atol=1e-3)
    fitted = model.method.adapt(model.fitted, np.asarray(cohort.x)[40:], np.empty((0, 6)))  # pyright: ignore[reportAttributeAccessIssue]
    away = geometric(np.asarray(cohort.x, np.float64)[40:] + cohort.offset) / geometric(
        np.stack([geometric(x[drawn["control"] & (drawn["domain"] == name)]) for name in "abc"])
    )
    np.testing.assert_allclose(fitted["factor"][3], 1 / away - 1, rtol=1e-3, atol=1e-9)


def test_values_without_a_logarithm_are_refused_by_name_among_the_references_only():
    drawn = plates()
    x = drawn["x"].copy()
    x[~drawn["control"], 1] = 0
    moved = jbc.fit(RatioG(form="ratio"), Cohort.from_arrays(**drawn | {"x": x})).transform(
        x, drawn["domain"]
    )
    assert not moved[~drawn["control"], 1].any()
    with refusal("not-positive") as caught:
        jbc.fit(RatioG(form="ratio", on="all"), Cohort.from_arrays(**drawn | {"x": x}))
    assert "'x1'" in str(caught.value)
    x[0, 4] = -1
    with refusal("not-positive") as caught:
        jbc.fit(RatioG(form="ratio"), Cohort.from_arrays(**drawn | {"x": x}, features=[*"uvwxyz"]))
    assert "'y'" in str(caught.value)
    assert "'v'" not in str(caught.value)
    far = 1e6 + np.random.default_rng(0).normal(size=(60, 6))
    far[3] = -1e6
    with refusal("not-positive"):
        jbc.fit(RatioG(form="ratio"), Cohort.from_arrays(**drawn | {"x": far}))


def test_one_control_is_a_reference_and_none_is_not():
    drawn = plates(controls=1)
    cohort = Cohort.from_arrays(**drawn)
    moved = jbc.fit(RatioG(form="ratio"), cohort).transform(drawn["x"], drawn["domain"])
    np.testing.assert_allclose(moved, expected(**drawn, on="controls"), rtol=1e-5)
    lost = drawn["control"] & (drawn["domain"] != "b")
    with refusal("few-controls") as caught:
        jbc.fit(RatioG(), Cohort.from_arrays(**drawn | {"control": lost}))
    assert "'b'" in str(caught.value)
    assert "'a'" not in str(caught.value)


def test_without_any_controls_all_rows_are_the_reference_with_a_warning():
    drawn = plates()
    bare = Cohort.from_arrays(drawn["x"], drawn["domain"])
    with pytest.warns(InputWarning, match="No row is marked as a control"):
        model = jbc.fit(RatioG(form="ratio"), bare, composition="assume-equal")
    truth = expected(**drawn, on="all")
    np.testing.assert_allclose(model.transform(drawn["x"], drawn["domain"]), truth, rtol=1e-5)
    assert RatioG().compares_mixtures(bare)
    assert not RatioG().compares_mixtures(Cohort.from_arrays(**drawn))
    with refusal("cannot-adapt"):
        RatioG().adapt(model.fitted, drawn["x"][:4].astype(np.float32), np.empty((0, 6)))


def test_covariates_are_kept_by_logarithms_only():
    drawn = plates()
    dose = np.tile([0.0, 1.0, 1.0], 20)
    logs = np.log(drawn["x"]) + dose[:, None]
    with refusal("bad-setting") as caught:
        jbc.fit(RatioG(form="ratio"), Cohort.from_arrays(**drawn, covariates={"dose": dose}))
    assert "'dose'" in str(caught.value)
    model = jbc.fit(RatioG(), Cohort.from_arrays(**drawn | {"x": logs}, covariates={"dose": dose}))
    moved = model.transform(logs, drawn["domain"], covariates={"dose": dose})
    design = np.column_stack([*(drawn["domain"] == name for name in "abc"), dose]).astype(float)
    effect = np.outer(dose, np.linalg.lstsq(design, logs, rcond=None)[0][-1])
    bare = drawn | {"x": np.exp(logs - effect)}
    np.testing.assert_allclose(moved, np.log(expected(**bare, on="controls")) + effect, atol=1e-5)


@pytest.mark.parametrize("form", ["log", "ratio"])
def test_a_new_domain_comes_in_by_its_controls(form):
    drawn, method = plates(), RatioG(form=form)
    known, control = drawn["domain"] != "c", drawn["control"]
    x = drawn["x"] if form == "ratio" else np.log(drawn["x"])
    model = jbc.fit(method, Cohort.from_arrays(x[known], drawn["domain"][known], control=control[known]))
    new = x[~known].astype(np.float32)
    fitted = method.adapt(model.fitted, new[:5], np.empty((0, 6)))
    for name, table in model.fitted.items():
        assert_same_bytes(fitted[name][: len(table)], table)
        assert fitted[name].dtype == np.float32
    moved = np.asarray(method.transform(fitted, new, np.full(20, 2)))
    there = model.transform(x[known & control], drawn["domain"][known & control])
    average = geometric if form == "ratio" else lambda rows: rows.mean(axis=0)
    np.testing.assert_allclose(average(moved[:5]), average(there), rtol=1e-4)
    nothing = method.adapt(model.fitted, new[:0], np.empty((0, 6)))
    np.testing.assert_array_equal(method.transform(nothing, new, np.full(20, 2)), new)
    if form == "ratio":
        with refusal("not-positive"):
            method.adapt(model.fitted, -new[:5], np.empty((0, 6)))


def test_counts_are_divided_without_a_warning():
    rng, drawn = np.random.default_rng(0), plates()
    counts = rng.poisson(rng.gamma(0.5, 100, (60, 6))) + 1.0
    cohort = Cohort.from_arrays(**drawn | {"x": counts})
    jbc.fit(RatioG(form="ratio"), cohort)  # warnings are errors in tests
    with pytest.warns(InputWarning, match="whole numbers"):
        jbc.fit(RatioG(), cohort)


def test_mixtures_are_compared_by_logarithms():
    """Two populations whose shares differ, on plates that are multiplied."""
    rng = np.random.default_rng(0)
    kind = np.concatenate([np.arange(200) < 150, np.arange(200) < 50]).astype(int)
    plate = np.repeat(["a", "b"], 200)
    logs = 0.3 * rng.normal(size=(400, 5)) + 3 * kind[:, None] * np.array([1, -1, 1, 1, 0])
    logs += (plate == "b")[:, None] * np.array([0.5, 0.2, -0.4, 0.3, 0.6])
    table = Cohort.from_arrays(np.exp(logs), plate)
    method = RatioG(form="ratio", on="all")
    with pytest.warns(InputWarning, match="mixtures"):
        ready = prepare(method, table)
    assert ready.composition is not None
    assert ready.composition.verdict == "shared"
    member = np.asarray(ready.composition.membership).argmax(axis=1)
    assert abs(np.corrcoef(member, kind[np.asarray(table.row)])[0, 1]) > 0.99
    for cohort in (ready, table.with_populations(kind)):
        moved = np.log(jbc.fit(method, cohort).transform(np.exp(logs), plate))
        for k in (0, 1):
            gap = np.subtract(*(moved[(plate == g) & (kind == k)].mean(axis=0) for g in "ab"))
            assert np.abs(gap).max() < 0.15
    alone = jbc.fit(method, Cohort.from_arrays(np.exp(logs), plate, label=kind), composition="assume-equal")
    assert np.abs(np.log(alone.transform(np.exp(logs), plate)) - moved).max() > 0.5


@pytest.mark.parametrize("form", ["log", "ratio"])
def test_plates_that_share_nothing_stay_as_they_are(form):
    drawn = plates()
    cohort = Cohort.from_arrays(drawn["x"], drawn["domain"])
    model = jbc.fit(RatioG(form=form, on="all"), dataclasses.replace(cohort, composition=apart(cohort)))
    assert_same_bytes(model.transform(drawn["x"], drawn["domain"]), drawn["x"].astype(np.float32))
