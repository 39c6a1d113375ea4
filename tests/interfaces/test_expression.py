from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jbc.errors import InputError
from jbc.interfaces.expression import controls, names, rows

FRAME = pd.DataFrame(
    {
        "drug": ["DMSO", "A", "B", "DMSO", "", "ä β"],
        "dose": [0.0, 1.5, -2.0, 0.0, 10.0, 1e-3],
        "well": ["A01", "A02", "B01", "001", "1", "B02"],
    }
)
TEXT = FRAME.astype(str)  # as tables hold it


def comparisons() -> st.SearchStrategy[str]:
    drugs = st.sampled_from(["'DMSO'", "'A'", "''", "'ä β'", '"none of them"'])
    wells = st.sampled_from(["'001'", "'1'", "'B02'"])
    doses = st.sampled_from(["0", "-2", "1.5", "1e-3", "10.0", "+7"])
    return st.one_of(
        st.tuples(st.just("drug"), st.sampled_from(["==", "!="]), drugs),
        st.tuples(st.just("well"), st.sampled_from(["==", "!="]), wells),
        st.tuples(st.just("dose"), st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), doses),
        st.tuples(
            st.just("drug"),
            st.sampled_from(["in", "not in"]),
            st.lists(drugs, min_size=1, max_size=3).map(lambda each: f"[{', '.join(each)}]"),
        ),
    ).map(" ".join)


def expressions() -> st.SearchStrategy[str]:
    return st.recursive(
        comparisons(),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
            inner.map(lambda p: f"not ({p})"),
        ),
        max_leaves=6,
    )


@given(expressions())
def test_rows_agree_with_pandas(expression):
    expected = FRAME.query(expression, engine="python").index
    marked = rows(expression, {name: TEXT[name] for name in TEXT.columns})
    assert marked.dtype == bool
    assert np.flatnonzero(marked).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("expression", "cells", "expected"),
    [
        ("c == '1'", ["1", "1.0", "01", " 1"], [1, 0, 0, 0]),
        ("c == 1", ["1", "1.0", "01", "one"], [1, 1, 1, 0]),
        ("c != 1", ["1", "one", "", None], [0, 1, 1, 1]),
        ("c < 5", ["", "nan", "-inf", "7"], [0, 0, 1, 0]),
        ("c == True", ["True", "true", "1", "yes"], [1, 1, 1, 0]),
        ("c == False", ["FALSE", "0", "0.0", ""], [1, 1, 1, 0]),
        ("c == True", [True, False, np.True_, None], [1, 0, 1, 0]),
        ("c in [1, 'x', True]", ["1.0", "x", "true", "X"], [1, 1, 1, 0]),
        ("c in []", ["", "a"], [0, 0]),
        ("c not in ('a',)", ["", "a"], [1, 0]),
        ("c == 'a\0'", ["a\0", "a"], None),
        (r"c == 'a\0'", ["a\0", "a"], [1, 0]),
        ("  c == '<script>'  ", ["<script>", "script"], [1, 0]),
        ("c == '../../x' or c == '🧪'", ["../../x", "🧪", "x"], [1, 1, 0]),
        ("c == '" + "n" * 300 + "'", ["n" * 300, "n" * 299], [1, 0]),
    ],
)
def test_cells_are_compared_as_they_are_written(expression, cells, expected):
    if expected is None:  # a NUL itself, not its escape
        with pytest.raises(InputError, match="cannot be parsed"):
            rows(expression, {"c": cells})
    else:
        assert rows(expression, {"c": cells}).tolist() == [bool(each) for each in expected]


def test_categories_and_any_column_name_that_is_a_word():
    frame = pd.DataFrame({"größe": pd.Categorical(["a", "b"]), "_1": [1, 2]})
    columns = {name: frame[name] for name in frame}
    assert rows("größe == 'a' and _1 == 1", columns).tolist() == [True, False]


SPACED = {"drug name": ["DMSO", "A", "`drug name`"], "m/z 1.5": ["1", "2", "3"], "drug": ["x", "y", "y"]}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("`drug name` == 'DMSO'", [1, 0, 0]),
        ("`m/z 1.5` >= 2 and not `drug name` in ['A']", [0, 0, 1]),
        ("`drug name` == '`drug name`' or `drug name` == \"it's `A`\"", [0, 0, 1]),
        ("`drug` == 'y' and `m/z 1.5` < 3 and `m/z 1.5` > 1", [0, 1, 0]),
        (r"`drug name` == '\'`A`' or drug == 'x'", [1, 0, 0]),
    ],
)
def test_a_name_of_several_words_stands_in_backticks(expression, expected):
    assert rows(expression, SPACED).tolist() == [bool(each) for each in expected]
    assert set(names(expression)) <= set(SPACED)


def test_an_unknown_name_in_backticks_is_told_as_it_was_written():
    with pytest.raises(InputError, match=r"'drug nam'.*Did you mean 'drug name'") as caught:
        rows("`drug nam` == 'A'", SPACED)
    assert caught.value.code == "unknown-column"
    with pytest.raises(InputError, match="'drug name' is no comparison"):
        rows("`drug name`", SPACED)


def test_controls_are_some_rows_and_not_all():
    assert controls("dose == 0", {"dose": TEXT["dose"]}).tolist() == [1, 0, 0, 1, 0, 0]
    for expression, code, parts in (
        ("drug == 'dmso'", "no-controls", ("No row", "drug == 'dmso'", "'drug' has 'DMSO', 'A'")),
        ("drug != 'dmso' or dose < 2", "all-controls", ("Every row", "'DMSO', 'A'", "'dose' has '0.0'")),
    ):
        with pytest.raises(InputError) as caught:
            controls(expression, {name: TEXT[name] for name in TEXT})
        assert caught.value.code == code
        assert all(part in str(caught.value) for part in parts)


CODE = [
    "__import__('os').system('touch {marker}')",
    "open('{marker}', 'w')",
    "[open('{marker}', 'w') for _ in [1]] == 1",
    "(lambda: open('{marker}', 'w'))()",
    "drug == open('{marker}', 'w')",
    "drug == __import__('pathlib').Path('{marker}').touch()",
    "drug in [open('{marker}', 'w')]",
    "drug.__class__ == 'x'",
    "drug == drug.__class__",
    "().__class__.__mro__[1].__subclasses__() == 1",
    "drug['x'] == 1",
    'drug == f\'{{open("{marker}", "w")}}\'',
    "(drug := open('{marker}', 'w')) == 1",
    "drug == 'x' if open('{marker}', 'w') else 1",
    "@drug == 1",
    "`drug`('{marker}') == 1",
    "drug == `open`('{marker}', 'w')",
    "``open('{marker}', 'w') == 1",
    "exec(\"open('{marker}', 'w')\")",
    "drug == 'a'; open('{marker}', 'w')",
    "import os",
]
NOT_IN_THE_LANGUAGE = [
    "",
    "drug",
    "'DMSO' == drug",
    "drug == dose",
    "0 < dose < 2",
    "dose + 1 == 2",
    "dose in 'DMSO'",
    "dose == [1]",
    "drug < 'A'",
    "dose < True",
    "drug is None",
    "drug == None",
    "drug == b'x'",
    "drug == 1j",
    "drug == {'a'}",
    "drug in [['a']]",
    "drug = 'A'",
    "drug == 'A",
    "drug & dose",
    "dose == " + "9" * 400,
    "dose == " + "9" * 5000,
    "not " * 2000 + "drug == 'A'",
    "(" * 5000 + "drug == 'A'" + ")" * 5000,
    "drug == " + "-" * 3000 + "1",
    "drug == " + "[" * 90 + "]" * 90,
]


@pytest.mark.parametrize("expression", CODE + NOT_IN_THE_LANGUAGE)
@pytest.mark.parametrize("function", [names, lambda e: rows(e, {name: TEXT[name] for name in TEXT})])
def test_nothing_else_is_read_and_nothing_is_run(expression, function, tmp_path):
    marker = tmp_path / "marker"
    with pytest.raises(InputError, match="Cannot read the expression") as caught:
        function(expression.replace("{marker}", str(marker)).replace("{{", "{").replace("}}", "}"))
    assert caught.value.code == "bad-expression"
    assert len(str(caught.value)) < 700
    assert not marker.exists()


def test_an_unknown_column_is_named_with_the_closest_known_one():
    with pytest.raises(InputError, match=r"'durg'.*Did you mean 'drug'") as caught:
        rows("dose == 1 and durg == 'A'", {name: TEXT[name] for name in TEXT})
    assert caught.value.code == "unknown-column"


def test_names_come_once_each():
    assert sorted(names("b == 1 or (a in ['x'] and not b < 2) or c == True")) == ["a", "b", "c"]


def test_reading_an_expression_imports_no_heavy_library():
    heavy = "jax", "pandas", "tyro", "sklearn"
    script = f"import sys, jbc.interfaces.expression as _; print(*sorted({set(heavy)} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
