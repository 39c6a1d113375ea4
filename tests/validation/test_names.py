"""Names and labels: what says nothing, what is one name in two spellings, and what results may not replace."""

from __future__ import annotations

import json
import sys
import time
import unicodedata
import warnings
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from bad_inputs import FEATURES, GOOD, ROWS, csv, replaced
from hypothesis import given
from hypothesis import strategies as st
from problems import refusal

import jbc
import jbc.model as models
from jbc import Cohort, metrics
from jbc.cli.main import main
from jbc.data import Table, cache, write_table
from jbc.errors import InputError, InputWarning, closest, listing
from jbc.methods.settings import Training
from jbc.validation import checks
from jbc.validation.names import LETTERS, PLAIN, UNKNOWN, essence, read, unknown

X = [[1.0], [2.0], [3.0], [4.0]]
WORDS = [
    "NA",
    "N/A",
    "n/a",
    "#N/A",
    "<NA>",
    "None",
    "NULL",
    "null",
    "NaT",
    "nan",
    "NaN",
    "NAN",
    "-nan",
    " NaN ",
    "NA\t",
]
ONES = ["-1", "-1.0", "-1.00", " -1 ", "-1e0", "−1"]
HIDDEN = ["", " ", "\t\n", "\u200b", "\ufeff", "\u00a0"]
NAMES = ["Na", "na", "none", "None of these", "N.A.", "null hypothesis", "-1a", "1", "-10", "0", "A", "nano"]
GAP = "\u200b"

# Two spellings that a person reads as one name.
TWINS = [
    ("a", "a "),
    ("a b", "a\u00a0b"),
    ("a", f"a{GAP}"),
    ("a", "\ufeffa"),
    ("plate", "pl\u00adate"),
    ("a", "a\ufe0f"),
    ("a", "a\0"),
    ("é", "e\N{COMBINING ACUTE ACCENT}"),
    ("µM", "μM"),
    ("A1", "Ａ1"),
    ("1", "1.0"),
    ("1", "01"),
    ("1", "+1"),
    ("1000", "1e3"),
    ("0.5", ".50"),
    ("1.5e30", "15E29"),
    ("0", "-0"),
    ("-2", "−2"),
    ("1", "١"),
    (str(2**53), f"{2**53}.0"),
]
DIFFERENT = [
    ("a", "A"),
    ("yes", "yess"),
    ("1", "1_0"),
    ("10", "1_0"),
    (str(2**53), str(2**53 + 1)),
    ("0.1", "0.1000000000000000055511151231257827"),
    ("inf", "Infinity"),
    ("1", "-1x"),
    ("1e3", "1e4"),
    ("12-3", "123"),
    ("a b", "ab"),
]


@pytest.fixture(scope="module", autouse=True)
def cache_is_left_alone():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "keep_compiled", lambda: None)
        yield


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str, *more: str) -> int:
    return main([*line.split(), *more])


# What says nothing.


@pytest.mark.parametrize("word", sorted({*WORDS, *ONES, *HIDDEN, *UNKNOWN}))
def test_texts_that_say_nothing(word):
    assert unknown(word)
    assert unknown(np.str_(word))
    assert read([word, "a"]) == ({word}, [])


@pytest.mark.parametrize(
    "value", [None, np.nan, pd.NA, pd.NaT, np.datetime64("NaT", "s"), np.ma.masked, -1, -1.0, np.int8(-1)]
)
def test_values_that_say_nothing(value):
    assert unknown(value)


@pytest.mark.parametrize("value", [*NAMES, 0, 1, False, True, np.False_, 2.5, np.inf, -10])
def test_values_that_are_names(value):
    assert not unknown(value)


@given(text=st.text(max_size=6) | st.from_regex(r"[ +-]?[0-9nNaA._e-]{0,5} ?", fullmatch=True))
def test_one_name_and_many_names_are_read_alike(text):
    assert unknown(text) == bool(read([text, "\n"])[0] - {"\n"})
    assert essence(essence(text)) == essence(text)


def label(word: str) -> list[str]:
    return [word if d == "P3" else each for each, d in zip(GOOD.label, GOOD.domain, strict=True)]


@pytest.mark.parametrize("word", [*WORDS, "-1.0", "-1.00", GAP])
def test_words_for_unknown_labels_are_told_with_their_number(word):
    with pytest.warns(InputWarning) as caught:
        cohort = Cohort.from_arrays(GOOD.x, GOOD.domain, label=label(word))
    assert cohort.names.labels == ("A", "B")
    assert cohort.sources.tolist() == [0, 1]
    (told,) = map(str, (each.message for each in caught))
    assert told.startswith(f"8 labels are taken for unknown: {word!r} (8). ")
    assert told.count(". ") == 2
    assert told.endswith(".")


def test_several_words_are_told_at_once():
    told = r"4 labels are taken for unknown: 'NA' \(1\), 'None' \(2\), 'nan' \(1\)"
    with pytest.warns(InputWarning, match=told) as caught:
        names, code = checks.labels(["NA", "A", "None", "", "nan", None, "None", -1], 8)
    assert (names, code.tolist()) == (("A",), [-1, 0, -1, -1, -1, -1, -1, -1])
    assert len(caught) == 1


@pytest.mark.parametrize("blank", ["", " ", "-1", None, np.nan, -1, pd.NA, -1.0])
def test_nothing_is_told_of_labels_that_were_left_out_on_purpose(blank):
    given = np.array([blank, "A", "B", blank], object)
    assert checks.labels(given, 4)[0] == ("A", "B")  # warnings are errors


@pytest.mark.parametrize("word", NAMES)
def test_names_that_look_like_nothing_are_classes(word):
    assert word in Cohort.from_arrays(X, label=[word, "z", "", "z"]).names.labels


def test_metrics_know_the_rule():
    for score in (metrics.accuracy, metrics.f_score, metrics.mcc, metrics.auc_hard):
        with refusal("unknown-labels"):
            score(["A", "NaN"], ["A", "A"])
        with refusal("unknown-labels"):
            score(["A", "A"], ["A", "-1.0"])
        with refusal("twin-labels"):
            score(["A", "B"], ["A", "B "])
    with pytest.warns(InputWarning, match="'NA'"):
        rows = metrics.evaluate(GOOD.x, GOOD.domain, label("NA"))
    assert rows == metrics.evaluate(GOOD.x, GOOD.domain, label(""))


@pytest.mark.parametrize("what", ["domain", "treatment", "unit"])
@pytest.mark.parametrize("word", [*WORDS, *ONES, *HIDDEN])
def test_groups_without_a_name_are_refused(what, word):
    given = {"domain": GOOD.domain} | {what: replaced(GOOD.domain, word)}
    with refusal(f"missing-{what}") as caught:
        Cohort.from_arrays(GOOD.x, **given)
    assert "counted from 0): 4. " in str(caught.value)
    if word.strip():
        assert f"and {word!r} stands for none" in str(caught.value)


@pytest.mark.parametrize("what", ["domain", "treatment", "unit"])
def test_names_that_look_like_nothing_are_groups(what):
    assert sorted(set(NAMES)) == list(checks.codes(NAMES, len(NAMES), what)[0])


# One name in two spellings.


@pytest.mark.parametrize("what", ["domain", "treatment", "unit", "label"])
@pytest.mark.parametrize("twins", TWINS)
def test_two_spellings_of_one_name_are_refused(twins, what):
    given = {"domain": ["P", "P", "Q", "Q"]} | {what: [*twins, "other", "other"]}
    with refusal(f"twin-{what}s") as caught:
        Cohort.from_arrays(X, **given)
    said = str(caught.value)
    spelled = {form(name) for name in twins for form in (repr, ascii) if form(name) in said}
    assert len(spelled) == 2, said
    assert len({unicodedata.normalize("NFKC", each) for each in spelled}) == 2, "they can be told apart"


@pytest.mark.parametrize("what", ["domain", "treatment", "unit", "label"])
@pytest.mark.parametrize("names", DIFFERENT)
def test_different_names_are_no_twins(names, what):
    given = {"domain": ["P", "P", "Q", "Q"]} | {what: [*names, *names]}
    Cohort.from_arrays(X, **given)


def test_labels_that_are_numbers_are_compared_as_numbers():
    cohort = Cohort.from_arrays(X, label=[1, 1.0, 2, np.float32(2)])
    assert cohort.names.labels == (1, 2)


def test_twins_in_different_places():
    model = jbc.Corrector(jbc.Standardise()).fit(GOOD.x, domain=GOOD.domain)
    with refusal("twin-domains"):
        model.transform(GOOD.x, domain=replaced(GOOD.domain, f"P2{GAP}"))
    with refusal("unknown-domain") as caught:
        model.transform(GOOD.x, domain=[f"{each}{GAP}" for each in GOOD.domain])
    assert r"'P1\u200b'" in str(caught.value)
    assert "did you mean 'P1'?" in str(caught.value)
    with refusal("twin-domains") as caught:
        checks.all_new(["P4", "P1 "], model.domains_)
    assert "'P1', 'P1 '" in str(caught.value)


@given(names=st.lists(st.sampled_from([name for pair in (*TWINS, *DIFFERENT) for name in pair]), unique=True))
def test_twins_are_those_of_one_essence(names):
    groups: dict[str, list[str]] = {}
    for each in names:
        groups.setdefault(essence(each), []).append(each)
    expected = {each for group in groups.values() if len(group) > 1 for each in group}
    assert set(read(names)[1]) == expected


@given(names=st.lists(st.text("a \n1.0\r\u2028é-", max_size=3), unique=True))
def test_names_are_found_among_others_as_they_are_alone(names):
    assert read(names)[0] == {each for each in names if unknown(each)}
    assert set(read(names)[1]) == {
        each
        for each in names
        if not unknown(each) and any(other != each and essence(other) == essence(each) for other in names)
    }


def test_plain_names_are_written_as_they_are_read():
    letters = [chr(code) for code in range(sys.maxunicode + 1) if PLAIN.fullmatch(chr(code))]
    assert len(letters) > 30_000
    assert set("Zß9~") <= set(letters)
    assert [
        each for each in letters if essence(each) != each or essence(f"a{each}{each}") != f"a{each}{each}"
    ] == []
    assert not any(
        PLAIN.fullmatch(name) for name in ("-1", "01", "1.0", "1e3", "a ", "a  b", "é\u0301", GAP, "+1", ".5")
    )
    assert "-" in LETTERS  # ranges


@given(text=st.from_regex(r"[0-9eE+. -]{1,6}[aZ/é -]?[0-9e -]{0,3}", fullmatch=True))
def test_plain_names_with_digits_are_no_numbers_in_disguise(text):
    if PLAIN.fullmatch(text):
        assert essence(text) == text
        assert text.isdigit() or not _float(text)


def _float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def test_many_units_are_read_in_a_moment():
    names = [f"subject {i}" for i in np.random.default_rng(0).permutation(200_000)]
    begun = time.process_time()
    _, code = checks.codes(names, len(names), "unit")
    assert time.process_time() - begun < 5
    assert np.unique(code).size == len(names)
    with refusal("twin-units"):
        checks.codes([*names[1:], f"{names[5]} "], len(names), "unit")


# What a masked array hides is missing.


@pytest.mark.parametrize("fill", [-5, 0])
def test_masked_labels_are_unknown(fill):
    given = np.ma.array([1, fill, 0, 1], mask=[0, 1, 0, 0])  # pyright: ignore[reportCallIssue]
    cohort = Cohort.from_arrays(X, label=given)
    assert cohort.names.labels == (0, 1)
    assert cohort.label[np.argsort(cohort.row)].tolist() == [1, -1, 0, 1]
    assert Cohort.from_arrays(X, label=given.reshape(-1, 1)).names.labels == (0, 1)
    assert Cohort.from_arrays(X, label=list(given)).names.labels == (0, 1)
    text = np.ma.array(["x", "secret", "y", "x"], mask=[0, 1, 0, 0])  # pyright: ignore[reportCallIssue]
    assert Cohort.from_arrays(X, label=text).names.labels == ("x", "y")


@pytest.mark.parametrize("what", ["domain", "treatment", "unit"])
def test_masked_groups_are_refused(what):
    given = {what: np.ma.array(["a", "b", "a", "b"], mask=[0, 0, 1, 0])}  # pyright: ignore[reportCallIssue]
    with refusal(f"missing-{what}") as caught:
        Cohort.from_arrays(X, **given)
    assert "counted from 0): 2." in str(caught.value)


@pytest.mark.parametrize(
    "control",
    [
        np.ma.array([True, True, False, False], mask=[0, 1, 0, 0]),  # pyright: ignore[reportCallIssue]
        pd.array([True, None, False, False], dtype="boolean"),
        [True, None, False, False],
        [True, np.nan, False, False],
    ],
)
def test_a_control_that_is_not_known_is_refused(control):
    with refusal("bad-control"):
        Cohort.from_arrays(X, control=control)


def test_arrays_without_a_mask_are_as_they_are():
    given = np.ma.array(["a", "b", "a", "b"])
    assert Cohort.from_arrays(
        X, given, label=given, control=np.ma.array([True, False, True, False])
    ).names.domains == ("a", "b")


# The command line, and every format of a file.


def write(path: Path, given: list, domain: list[str] = GOOD.domain) -> Path:
    """Write with pandas and AnnData; numbers are floats, as those of any column with a gap."""
    frame = GOOD.frame.assign(plate=domain, **{"class": given})
    if path.suffix == ".csv":
        frame.to_csv(path, index_label="id")
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        obs = frame[["plate", "class"]].set_axis([f"r{i}" for i in range(ROWS)], axis=0)
        anndata.AnnData(GOOD.x, obs, pd.DataFrame(index=list(FEATURES))).write_h5ad(path)
    return path


JOINT = (
    "--batch-key plate --labels-key class --features m1 m2 m3 --steps 2 --out new joint-calibration --rows 4"
)


@pytest.mark.parametrize("extension", ["csv", "parquet", "h5ad"])
@pytest.mark.slow
def test_floats_with_gaps_make_no_class(extension, folder, capsys):
    """The labels of plate 3 are -1, in a column that pandas made one of floats."""
    given = [
        -1.0 if d == "P3" else float(each == "B") for each, d in zip(GOOD.label, GOOD.domain, strict=True)
    ]
    path = write(folder / f"a.{extension}", given)
    assert run(f"fit --data {path.name} {JOINT}") == 0
    assert [float(each) for each in jbc.load("new/model").classes] == [0.0, 1.0]
    out = capsys.readouterr()
    assert "16 rows labelled, 8 unknown; classes: " in out.out
    if extension != "parquet":  # where such a cell is read as -1
        assert out.err.count("8 labels are taken for unknown: '-1.0' (8).") == 1


@pytest.mark.parametrize("word", ["NaN", "NA", "None"])
@pytest.mark.slow
def test_words_make_no_class_at_the_command_line(word, folder, capsys):
    (folder / "a.csv").write_text(csv(**{"class": label(word)}))
    assert run(f"fit --data a.csv {JOINT}") == 0
    out = capsys.readouterr()
    assert out.err.startswith(f"jbc: warning: 8 labels are taken for unknown: {word!r} (8). ")
    assert out.err.count("taken for unknown") == 1
    assert "16 rows labelled, 8 unknown; classes: 'A', 'B'" in out.out
    assert jbc.load("new/model").classes.tolist() == ["A", "B"]
    assert run("predict new --data a.csv --out b.csv") == 0
    assert set(pd.read_csv("b.csv")["predicted"]) <= {"A", "B"}
    line = "evaluate --data a.csv --before a.csv --batch-key plate --labels-key class --features m1 m2 m3"
    capsys.readouterr()
    assert run(f"{line} --out n.json") == 0
    assert capsys.readouterr().err.count("taken for unknown") == 1
    assert {row["label"] for row in json.loads(Path("n.json").read_text())} == {None, "A", "B"}


@pytest.mark.parametrize("word", ["NA", "nan", "None", "NULL", "-1.0"])
@pytest.mark.parametrize("key", ["batch", "treatment", "unit"])
def test_cells_without_a_name_are_refused_at_the_command_line(word, key, folder, capsys):
    columns = {"plate": GOOD.domain, "drug": GOOD.domain, "subject": GOOD.domain}
    column = dict(zip(("batch", "treatment", "unit"), columns, strict=True))[key]
    columns[column] = replaced(columns[column], word)
    (folder / "a.csv").write_text(csv(**columns))
    keys = "--batch-key plate --treatment-key drug --unit-key subject --features m1 m2 m3"
    assert run(f"fit --data a.csv {keys} --out new standardise") == 2
    assert f"Rows without a {key} (positions counted from 0): 4. " in capsys.readouterr().err
    assert not (folder / "new").exists()


# Columns that commands add.


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("model") / "model"
    method = jbc.JointCalibration(training=Training(rows=4))
    jbc.Corrector(method, steps=2).fit(GOOD.frame, GOOD.label, domain=GOOD.domain).save(place)
    return place


CODES = "transform {} --output codes"
ADDED = [
    ("predict {}", "predicted"),
    ("predict {}", "probability_A"),
    ("transform {} --outside", "jbc_outside"),
    (CODES, "jbc0"),
]


@pytest.mark.parametrize("extension", ["csv", "parquet", "h5ad"])
@pytest.mark.parametrize(("command", "column"), ADDED)
def test_columns_of_users_are_not_replaced(command, column, extension, model, folder, capsys, monkeypatch):
    (folder / "a.csv").write_text(csv(**{column: ["mine"] * ROWS}))
    (folder / "good.csv").write_text(csv())

    def computed(*_):
        raise AssertionError("nothing is computed")

    line = f"{command.format(model)} --batch-key plate"
    assert run(f"{line} --data good.csv --out fine.{extension}") == 0
    with monkeypatch.context() as patch:
        patch.setattr(jbc.Model, "_apply", computed)
        assert run(f"{line} --data a.csv --out b.{extension}") == 2
    said = capsys.readouterr().err
    assert f"the names of those that are added: {column!r}. " in said
    assert "Rename or drop" in said
    assert not (folder / f"b.{extension}").exists()


def test_other_columns_keep_their_names(model, folder):
    """Each command minds what itself adds; a column of predictions is passed on by a correction."""
    (folder / "a.csv").write_text(csv(predicted=["mine"] * ROWS, probability_A=["0.5"] * ROWS))
    assert run(f"transform {model} --batch-key plate --data a.csv --out b.csv --outside") == 0
    assert set(pd.read_csv("b.csv")["predicted"]) == {"mine"}
    (folder / "c.csv").write_text(csv(jbc_outside=["mine"] * ROWS))
    assert run(f"predict {model} --batch-key plate --data c.csv --out d.csv") == 0
    assert set(pd.read_csv("d.csv")["jbc_outside"]) == {"mine"}


def test_ids_and_features_count_as_columns(model, folder, capsys):
    table = GOOD.frame.assign(plate=GOOD.domain).set_index(
        pd.Index([f"r{row}" for row in range(ROWS)], name="predicted")
    )
    table.to_parquet("a.parquet")
    assert run(f"predict {model} --batch-key plate --data a.parquet --out b.csv") == 2
    assert "'predicted'" in capsys.readouterr().err
    frame = GOOD.frame.rename(columns={"m3": "jbc_outside"})
    jbc.Corrector(jbc.Standardise()).fit(frame, domain=GOOD.domain).save("odd")
    names = np.array(GOOD.domain, object)
    write_table(Table(GOOD.x, tuple(frame), pd.DataFrame({"plate": names})), "c.csv")
    assert run("transform odd --batch-key plate --data c.csv --out d.csv") == 0
    assert run("transform odd --batch-key plate --data c.csv --out e.csv --outside") == 2
    assert "'jbc_outside'" in capsys.readouterr().err


# The scverse face.


def annotated(**columns: object) -> anndata.AnnData:
    obs = pd.DataFrame(
        {"plate": GOOD.domain, "class": GOOD.label} | columns, index=[f"r{row}" for row in range(ROWS)]
    )
    return anndata.AnnData(GOOD.x.astype(np.float32), obs, pd.DataFrame(index=list(FEATURES)))


SMALL = jbc.JointCalibration(training=Training(rows=4))


def test_annotated_data_tell_of_words_once():
    data = annotated(**{"class": label("NaN")})
    with pytest.warns(InputWarning) as caught:
        jbc.correct(data, SMALL, batch_key="plate", labels_key="class", steps=2, metrics=True)
    assert ["taken for unknown: 'NaN' (8)" in str(each.message) for each in caught] == [True]
    assert list(data.obs["jbc_label"].cat.categories) == ["A", "B"]
    assert set(data.uns["jbc"]["metrics"]["label"]) <= {"", "A", "B"}


def fields(data: anndata.AnnData) -> dict[str, object]:
    homes = {name: getattr(data, name) for name in ("obs", "obsm", "layers", "uns")}
    return {f"{home}: {name}": each[name] for home, each in homes.items() for name in each}


@pytest.mark.parametrize(
    ("field", "name"),
    [("obs", "jbc_label"), ("obs", "jbc_probability"), ("obsm", "X_jbc"), ("layers", "jbc"), ("uns", "jbc")],
)
def test_fields_of_users_are_not_replaced(field, name):
    mine = {"obs": ["mine"] * ROWS, "uns": {"method": "mine"}}.get(field, np.zeros((ROWS, 3)))
    data = annotated()
    getattr(data, field)[name] = mine
    before = fields(data)
    with refusal("taken-fields") as caught:
        jbc.correct(data, SMALL, batch_key="plate", labels_key="class", steps=2)
    assert f"'{field}: {name}'" in str(caught.value)
    after = fields(data)
    assert all(after[key] is value or np.array_equal(after[key], value) for key, value in before.items())
    assert len(after) == len(before)
    jbc.correct(data, SMALL, batch_key="plate", labels_key="class", steps=2, key_added="X_other")
    assert "other" in data.layers


@pytest.mark.slow
def test_results_of_an_earlier_call_are_replaced(tmp_path):
    data = annotated()
    for steps in (1, 2):
        jbc.correct(data, SMALL, batch_key="plate", labels_key="class", steps=steps)
        assert data.uns["jbc"]["steps"] == steps
        data.write_h5ad(tmp_path / "a.h5ad")
        data = anndata.read_h5ad(tmp_path / "a.h5ad")
    # No labels, no classes: a column of that name is no matter then.
    data = annotated(jbc_label=["mine"] * ROWS)
    jbc.correct(data, SMALL, batch_key="plate", steps=1)
    assert set(data.obs["jbc_label"]) == {"mine"}


HUGE = np.where(np.arange(3) == 1, np.inf, GOOD.x)


@pytest.mark.parametrize(
    ("embedding", "options", "name"),
    [
        (None, {}, "m2"),
        (HUGE, {"use_rep": "X_pca"}, "X_pca1"),
        (pd.DataFrame(HUGE, columns=["u", "v", "w"], index=annotated().obs_names), {"use_rep": "X_pca"}, "v"),
    ],
)
def test_annotated_columns_are_told_by_their_names(embedding, options, name):
    data = annotated()
    if embedding is None:
        data.X = HUGE.astype(np.float32)
    else:
        data.obsm["X_pca"] = embedding
    with refusal("not-finite") as caught:
        jbc.correct(data, jbc.Standardise(), batch_key="plate", **options)
    assert f"columns: {name!r}. " in str(caught.value)


def test_a_model_of_annotated_data_knows_their_names(monkeypatch):
    cohorts = []
    fit = models.fit

    def kept(method, cohort, **options):
        cohorts.append(cohort)
        return fit(method, cohort, **options)

    monkeypatch.setattr(models, "fit", kept)
    data = annotated()
    data.layers["counts"] = data.X.copy()
    jbc.correct(data, jbc.Standardise(), batch_key="plate", layer="counts")
    data.var_names = ["CD3", "CD4", "CD3"]
    jbc.correct(data, jbc.Standardise(), batch_key="plate")
    told = [cohort.names.features for cohort in cohorts]
    assert told == [FEATURES, ("CD3 (column 0)", "CD4", "CD3 (column 2)")]


# Suggestions.


def test_a_column_that_is_a_number_is_told_from_its_text():
    data = annotated()
    data.obs[3] = GOOD.domain
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with refusal("missing-column") as caught:
            jbc.correct(data, jbc.Standardise(), batch_key="3")
    assert "column: '3'. " in str(caught.value)
    assert "Did you mean 3?" in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("plate", f"plate{GAP}"),
        (f"plate{GAP}", "plate"),
        ("é", "e\N{COMBINING ACUTE ACCENT}"),
        ("e\N{COMBINING ACUTE ACCENT}", "é"),
        ("µM", "μM"),
        ("Plate", "Ｐｌａｔｅ"),
        ("plate 1", "plate\u00a01"),
        ("3", 3),
        (3, "3"),
    ],
)
def test_suggestions_can_be_told_from_what_was_given(asked, there):
    for error in (checks.missing_column(asked, ["z", there]), checks.unknown_domains([asked], ("z", there))):
        said = unicodedata.normalize("NFKC", str(error))
        assert "id you mean" in said
        suggested = said[said.index("mean ") + 5 : said.index("?", said.index("mean "))]
        assert suggested != unicodedata.normalize("NFKC", listing([asked]))
        assert suggested in (repr(there), ascii(there))


def test_what_was_given_is_never_suggested():
    assert closest("P1", ["P1"]) is None
    assert closest("P1", ["P1", "P2"]) == "P2"
    assert "mean" not in str(checks.missing_column("plate", ["plate"]))
    found = closest("plate", [f"plate{GAP}"])
    assert (found, f"{found}", repr(found)) == (f"plate{GAP}", r"plate\u200b", r"'plate\u200b'")


def test_names_that_look_alike_are_listed_with_escapes():
    assert listing(["é", "e\N{COMBINING ACUTE ACCENT}", "ü"]) == r"'\xe9', 'e\u0301', 'ü'"
    error = InputError("Twins", which=["µ", "μ"], why="", fix="", code="")
    assert r"'\xb5', '\u03bc'" in str(error)
