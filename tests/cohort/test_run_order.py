"""The order of a run: numbers and times, read once, and asked again of new rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from problems import refusal

import jbc
from jbc.cohort import Cohort
from jbc.cohort.run_order import find_order, numbers

X, PLATE = np.arange(12.0).reshape(6, 2), list("aaabbb")


def test_numbers_keep_their_differences():
    cohort = Cohort.from_arrays(X, PLATE, order=[11, 13, 12, 1, 2, 3])
    places = np.empty(6)
    places[np.asarray(cohort.row)] = cohort.order
    assert places.tolist() == [10, 12, 11, 0, 1, 2]
    assert cohort.names.order == (1.0, 1.0)


@pytest.mark.parametrize(
    "given",
    [
        ["2024-01-01 00:00:01", "2024-01-01 00:00:00"],
        np.array(["2024-01-01T00:00:01", "2024-01-01T00:00:00"], "datetime64[ns]"),
        pd.to_datetime(["2024-01-01 00:00:01", "2024-01-01 00:00:00"]).to_numpy(),
        [pd.Timestamp("2024-01-01 00:00:01"), pd.Timestamp("2024-01-01 00:00:00")],
        [1.0, 0.0],
        ["1", "0"],
    ],
    ids=["texts", "datetime64", "pandas", "timestamps", "numbers", "texts of numbers"],
)
def test_times_are_seconds(given):
    found = numbers(given, 2)
    assert found[0] - found[1] == 1
    np.testing.assert_array_equal(find_order(given, 2).places(given, 2), [1, 0])


def test_years_of_seconds_are_still_told_apart():
    """Float32 holds no second in a year; a step of the run is then a little longer."""
    when = 1.7e9 + np.arange(0, 3 * 10**7, 60)
    places = find_order(when, len(when)).places(when, len(when))
    assert (np.diff(places) > 0).all()


@pytest.mark.parametrize("lost", [np.nan, None, "", "soon", pd.NaT])
def test_a_row_without_a_place_is_refused(lost):
    with refusal("bad-order") as caught:
        Cohort.from_arrays(X, PLATE, order=[1, 2, lost, 4, 5, 6])
    assert "row 2" in str(caught.value)
    with refusal("bad-shape"):
        Cohort.from_arrays(X, PLATE, order=[1, 2])


def test_the_order_says_nothing_to_methods_that_do_not_ask_for_it(tmp_path):
    plain = jbc.fit(jbc.Standardise(), Cohort.from_arrays(X, PLATE), composition="assume-equal")
    cohort = Cohort.from_arrays(X, PLATE, order=range(6))
    model = jbc.load(jbc.fit(jbc.Standardise(), cohort, composition="assume-equal").save(tmp_path / "model"))
    assert model.names.order == cohort.names.order
    for given in ({}, {"order": range(6)}):
        np.testing.assert_array_equal(model.transform(X, PLATE, **given), plain.transform(X, PLATE))
