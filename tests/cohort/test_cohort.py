"""The cohort: sorting, codes, unknown labels, twins, and weights that never split a unit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import assert_same_bytes, refusal, world

from jbc.cohort import Cohort, fold_weights

FIELDS = ("x", "observed", "domain", "treatment", "label", "control", "unit", "domains", "cells", "sources")
X = [[1.0], [2.0], [3.0], [4.0]]


def messy(seed: int = 0, n: int = 90):
    """Rows with ties: repeated values, some of them with other labels, controls and units."""
    rng = np.random.default_rng(seed)
    return {
        "x": rng.choice([0.0, 1.0, np.nan], size=(n, 2)),
        "domain": rng.choice(["b", "a", "c"], size=n),
        "label": rng.choice(["x", "y", ""], size=n),
        "treatment": rng.choice(["t2", "t1"], size=n),
        "control": rng.random(n) < 0.3,
        "unit": rng.integers(3, size=n),
    }


def build(table: dict, order=slice(None)) -> Cohort:
    given = {name: value[order] for name, value in table.items()}
    return Cohort.from_arrays(given.pop("x"), given.pop("domain"), **given)


def test_rows_are_sorted_by_domain_then_treatment_and_can_be_traced_back():
    table = messy()
    cohort = build(table)
    np.testing.assert_array_equal(cohort.x, np.nan_to_num(table["x"][cohort.row]))
    assert sorted(cohort.row) == list(range(90))
    names = cohort.names
    for code, known, written in (
        (cohort.domain, names.domains, table["domain"]),
        (cohort.treatment, names.treatments, table["treatment"]),
    ):
        assert list(known) == sorted(set(written))
        assert [known[i] for i in code] == written[cohort.row].tolist()
    assert [names.labels[i] if i >= 0 else "" for i in cohort.label] == table["label"][cohort.row].tolist()
    np.testing.assert_array_equal(cohort.control, table["control"][cohort.row])
    pairs = list(zip(cohort.domain, cohort.treatment, strict=True))
    assert pairs == sorted(pairs)


def test_groups_are_the_runs_of_the_codes():
    cohort = build(messy())
    for groups in (cohort.domains, cohort.cells):
        stop = groups.offset + groups.count
        assert groups.offset[0] == 0
        assert stop[-1] == 90
        np.testing.assert_array_equal(groups.offset[1:], stop[:-1])
        assert groups.capacity == groups.count.max()
        for g in range(len(groups.count)):
            rows = slice(groups.offset[g], stop[g])
            assert set(cohort.domain[rows].tolist()) == {int(groups.domain[g])}
            if groups is cohort.cells:
                assert set(cohort.treatment[rows].tolist()) == {int(groups.treatment[g])}
    assert set(cohort.domains.treatment) == {-1}
    assert len(cohort.cells.count) == 6


@given(seed=st.integers(0, 5), shuffle=st.integers(0, 1000))
def test_the_order_of_the_callers_rows_changes_nothing(seed, shuffle):
    table = messy(seed)
    order = np.random.default_rng(shuffle).permutation(90)
    here, there = build(table), build(table, order)
    for name in FIELDS:
        assert_same_bytes(getattr(here, name), getattr(there, name))


def test_rows_without_units_are_units_of_their_own_in_the_cohorts_order():
    drawn = world()
    order = np.random.default_rng(0).permutation(len(drawn.x))
    here = Cohort.from_arrays(drawn.x, drawn.domain)
    there = Cohort.from_arrays(drawn.x[order], drawn.domain[order])
    assert len(set(here.unit.tolist())) == len(drawn.x)
    np.testing.assert_array_equal(here.unit, there.unit)


@pytest.mark.parametrize(
    "blank", [-1, -1.0, None, np.nan, "", " ", "-1", pd.NA, pd.NaT, np.float32("nan"), np.int8(-1)]
)
@pytest.mark.parametrize("known", ["x", 1, 0, 2.5, True])
def test_every_way_to_write_an_unknown_label(blank, known):
    label = np.empty(4, object)
    label[:] = [blank, known, blank, known]
    cohort = Cohort.from_arrays(X, label=label)
    assert cohort.names.labels == (known,)
    assert dict(zip(cohort.row.tolist(), cohort.label.tolist(), strict=True)) == {0: -1, 1: 0, 2: -1, 3: 0}


@pytest.mark.parametrize(
    "label",
    [
        pd.Series(["x", None, "y", "x"], dtype="category"),
        pd.Series(["x", pd.NA, "y", "x"], dtype="string"),
        ["x", "", "y", "x"],
    ],
)
def test_labels_of_pandas(label):
    cohort = Cohort.from_arrays(pd.DataFrame(X), label=label)
    assert cohort.names.labels == ("x", "y")
    assert cohort.label[np.argsort(cohort.row)].tolist() == [0, -1, 1, 0]


def test_labels_of_pandas_integers_with_gaps():
    label = pd.Series([1, pd.NA, 0, 1], dtype="Int64")
    cohort = Cohort.from_arrays(X, label=label)
    assert cohort.names.labels == (0, 1)
    assert cohort.label[np.argsort(cohort.row)].tolist() == [1, -1, 0, 1]


def test_no_label_is_known():
    for label in (None, ["", None, np.nan, -1]):
        cohort = Cohort.from_arrays(X, label=label)
        assert (cohort.n_labels, cohort.names.labels, len(cohort.sources)) == (0, (), 0)


def test_labels_of_two_kinds_are_refused():
    with refusal("mixed-labels"):
        Cohort.from_arrays(X, label=np.array(["x", 1, "y", 2], object))


def test_whole_floats_are_written_as_integers():
    assert Cohort.from_arrays(X, [1.0, 2.0, 1.0, 2.5]).names.domains == ("1", "2", "2.5")


@pytest.mark.parametrize("twins", [("a", "a "), ("a b", "a  b"), ("1", "1.0"), ("1", "01"), ("x\t1", "x 1")])
def test_twin_domains_are_refused_by_name(twins):
    with refusal("twin-domains") as caught:
        Cohort.from_arrays(X, [twins[0], twins[1], "other", "other"])
    assert all(repr(twin) in str(caught.value) for twin in twins)


@pytest.mark.parametrize("different", [("a", "A"), ("a1", "a2"), ("1", "-2"), ("1", "1.5"), ("a", "ab")])
def test_different_domains_are_no_twins(different):
    names = Cohort.from_arrays(X, [*different, *different]).names.domains
    assert set(names) == set(different)


@pytest.mark.parametrize("blank", [None, np.nan, "", pd.NA])
def test_rows_without_a_domain_are_refused(blank):
    with refusal("missing-domain"):
        Cohort.from_arrays(X, np.array(["a", "a", blank, "b"], object))


def test_missing_values_become_a_mask():
    x = np.array([[1.0, np.nan], [2.0, 3.0], [np.nan, 4.0]])
    cohort = Cohort.from_arrays(x)
    assert cohort.observed is not None
    np.testing.assert_array_equal(cohort.observed, ~np.isnan(x)[cohort.row])
    assert np.isfinite(cohort.x).all()
    assert Cohort.from_arrays(X).observed is None


def test_names_do_not_travel_into_programs():
    here, there = build(messy()), build(messy())
    renamed = Cohort.from_arrays(X, ["a", "a", "b", "b"]).names
    assert here.without_names().names == there.without_names().names != renamed


def test_hide_makes_a_target():
    drawn = world()
    cohort = Cohort.from_arrays(drawn.x, drawn.domain, label=drawn.label)
    assert cohort.sources.tolist() == [0, 1, 2]
    task = cohort.mask_labels("domain 2")
    assert task.sources.tolist() == [0, 2]
    assert set(task.label[task.domain == 1]) == {-1}
    np.testing.assert_array_equal(task.label[task.domain != 1], cohort.label[cohort.domain != 1])
    assert cohort.sources.tolist() == [0, 1, 2], "the original is untouched"
    with refusal("unknown-domain") as caught:
        cohort.mask_labels("domain 4")
    assert "did you mean" in str(caught.value)


@pytest.mark.parametrize(
    "weight", [[1, 1], [1, 1, 1, -1], [1, 1, 1, 0.5], [1, 1, 0, 0], [3, 0, 1, 1], [[1]] * 4]
)
def test_reweight_refuses(weight):
    cohort = Cohort.from_arrays(X, ["a", "a", "b", "b"])
    with refusal("bad-weights"):
        cohort.weigh_rows(weight)


@pytest.mark.parametrize("weight", [[0, 0, 1, 1], [3, 0, 1, 0]])
def test_reweight_refuses_to_empty_a_treatment_or_to_outgrow_the_largest(weight):
    """Drawn by treatment, rows of another one would come in their place."""
    cohort = Cohort.from_arrays(X, ["a"] * 4, treatment=["t", "t", "u", "u"])
    with refusal("bad-weights") as caught:
        cohort.weigh_rows(weight)
    assert "'t in a'" in str(caught.value)


def test_reweight_keeps_all_else():
    cohort = Cohort.from_arrays(X, ["a", "a", "b", "b"])
    weighted = cohort.weigh_rows([0, 2, 1, 0])
    assert weighted.weight.tolist() == [0, 2, 1, 0]
    assert_same_bytes(weighted.weigh_rows(np.ones(4)), cohort)


# Every domain has its own units, or units are measured in several domains, as reference samples are.
designs = st.builds(
    lambda seed, n, domains, units, shared: _design(seed, n, domains, units, shared),
    seed=st.integers(0, 10**6),
    n=st.integers(12, 60),
    domains=st.integers(1, 4),
    units=st.integers(3, 12),
    shared=st.booleans(),
)


def _design(seed, n, domains, units, shared):
    rng = np.random.default_rng(seed)
    domain = np.sort(rng.integers(domains, size=n))
    unit = rng.integers(units, size=n)
    return unit if shared else unit + 100 * domain, domain


@given(design=designs, folds=st.integers(2, 5), seed=st.integers(0, 9))
def test_folds_never_split_a_unit_and_hold_out_every_row_once(design, folds, seed):
    unit, domain = design
    weight = fold_weights(unit, domain, folds, seed)
    assert weight.shape == (folds, len(unit))
    assert set(np.unique(weight)) <= {0, 1}
    np.testing.assert_array_equal((weight == 0).sum(axis=0), 1)
    fold = weight.argmin(axis=0)
    for each in np.unique(unit):
        assert len(set(fold[unit == each])) == 1, "a unit in two folds leaks"


@given(seed=st.integers(0, 99), folds=st.integers(2, 5))
def test_folds_are_balanced_within_domains(seed, folds):
    unit = np.repeat(np.arange(24), 2)
    domain = np.repeat([0, 0, 1, 2], 12)
    fold = fold_weights(unit, domain, folds, seed).argmin(axis=0)
    for code in range(3):
        held = [len(set(unit[(domain == code) & (fold == f)])) for f in range(folds)]
        assert max(held) - min(held) <= 1


def test_folds_depend_on_the_seed_alone():
    unit, domain = np.arange(40), np.repeat([0, 1], 20)
    assert_same_bytes(fold_weights(unit, domain, 4, 1), fold_weights(unit, domain, 4, 1))
    assert (fold_weights(unit, domain, 4, 1) != fold_weights(unit, domain, 4, 2)).any()
