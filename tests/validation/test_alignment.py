"""pandas objects are paired with rows by their index, or refused; what most likely is no feature."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from problems import assert_same_bytes, refusal

import jbc
from jbc.errors import InputWarning
from jbc.validation.alignment import aligned
from jbc.validation.suspects import class_like, like_counts

RNG = np.random.default_rng(0)
ROWS = [f"r{i}" for i in range(60)]
TABLE = pd.DataFrame(RNG.normal(size=(60, 3)), index=ROWS, columns=["a", "b", "c"])
DOMAIN = pd.Series(np.repeat(["p", "q"], 30), index=ROWS)
LABEL = pd.Series(np.tile(["x", "y"], 30), index=ROWS)


def fitted(domain, label=LABEL, table=TABLE):
    return jbc.Corrector(jbc.Standardise()).fit(table, label, domain=domain)


def test_another_order_is_put_right():
    order = RNG.permutation(60)
    expected = fitted(DOMAIN)
    model = fitted(DOMAIN.iloc[order], LABEL.iloc[order[::-1]])
    assert_same_bytes(model.model_.fitted, expected.model_.fitted)
    out = model.transform(TABLE, domain=DOMAIN.iloc[order])
    assert_same_bytes(out, expected.transform(TABLE, domain=DOMAIN))
    far = model.out_of_support(TABLE, domain=DOMAIN.iloc[order])
    assert_same_bytes(far, expected.out_of_support(TABLE, domain=DOMAIN))


@pytest.mark.parametrize(
    "domain",
    [
        DOMAIN.set_axis([f"s{i}" for i in range(60)]),
        DOMAIN.reset_index(drop=True),
        DOMAIN.set_axis(["r0", *ROWS[:-1]]),
    ],
)
def test_other_rows_are_refused(domain):
    with refusal("other-index") as caught:
        fitted(domain)
    assert "The index of domain is not that of the table" in str(caught.value)
    with refusal("other-index"):
        fitted(DOMAIN).transform(TABLE, domain=domain)
    with refusal("other-index"):
        jbc.Cohort.from_arrays(TABLE, domain)


def test_arrays_have_no_index_and_two_series_need_one():
    x = TABLE.to_numpy()
    assert_same_bytes(fitted(DOMAIN, table=x).model_.fitted, fitted(DOMAIN.to_numpy()).model_.fitted)
    with refusal("other-index") as caught:
        fitted(DOMAIN.iloc[::-1], table=x)
    assert "is not that of the others" in str(caught.value)
    assert aligned(x, domain=list("ab")) == {"domain": ["a", "b"]}


def test_repeated_names_in_the_same_order_are_one_index():
    twice = ["r", *ROWS[1:-1], "r"]
    assert aligned(TABLE.set_axis(twice), y=DOMAIN.set_axis(twice))["y"].tolist() == DOMAIN.tolist()


def test_classes_and_ids_among_the_features_are_told():
    table = TABLE.assign(
        **{f"d{i}": RNG.normal(size=60) for i in range(8)}, board=np.arange(60), y=LABEL == "x"
    )
    with pytest.warns(InputWarning, match="taken for features: 'board', 'y'"):
        fitted(DOMAIN, table=table.astype(float))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(DOMAIN)


@pytest.mark.parametrize(
    ("column", "suspect"),
    [
        (np.arange(200) % 3, True),
        (np.arange(200), True),
        (np.repeat(np.arange(50), 4) + 1000, True),
        (RNG.permutation(200) * 37, False),
        (RNG.normal(size=200), False),
        (np.ones(200), False),
        (np.r_[np.nan, np.arange(199) % 2], True),
    ],
)
def test_what_a_column_of_codes_looks_like(column, suspect):
    x = np.column_stack([RNG.normal(size=(200, 9)), column])
    assert bool(class_like(x, [f"x{i}" for i in range(10)])) == suspect


def test_tables_of_whole_numbers_have_no_suspects():
    x = RNG.poisson(1.0, size=(200, 30)).astype(float)
    assert class_like(x, [f"g{i}" for i in range(30)]) == []


def test_counts_are_told_unless_the_method_takes_logarithms():
    counts = RNG.negative_binomial(0.5, 0.01, size=(60, 5)).astype(float)
    assert like_counts(counts)
    assert not like_counts(counts + 0.5)
    assert not like_counts(-counts)
    assert not like_counts(RNG.integers(0, 16, size=(60, 5)).astype(float))
    assert not like_counts(1000 + RNG.integers(0, 16, size=(60, 5)).astype(float))
    about = {"domain": DOMAIN.to_numpy()}
    with pytest.warns(InputWarning, match="as raw counts are"):
        jbc.Corrector(jbc.Standardise(), composition="assume-equal").fit(counts, **about)
