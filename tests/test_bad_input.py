"""Bad input ends in one four-part error, at once, with nothing written; and what is not bad is handled as told.

The corpus is in `bad_inputs`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from bad_inputs import (
    AFTERWARDS,
    ARRAYS,
    COMMANDS,
    CSV,
    FILES,
    GOOD,
    MODELS,
    PLATE,
    ROWS,
    csv,
    furnish,
    words,
)
from bad_inputs import FEATURES as NAMES
from sklearn.exceptions import NotFittedError

import jbc
from jbc.cli.main import main
from jbc.data import cache
from jbc.errors import InputError, InputWarning
from jbc.methods.prepare import prepare
from jbc.methods.settings import Training

SECONDS = 5.0


@pytest.fixture(scope="module", autouse=True)
def cache_is_left_alone():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "keep_compiled", lambda: None)
        yield


@pytest.fixture(scope="module")
def model() -> jbc.Corrector:
    return jbc.Corrector(jbc.Standardise()).fit(GOOD.frame, domain=GOOD.domain)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory) -> Path:
    """A folder with good files, a finished run, and things that must not be lost."""
    folder = tmp_path_factory.mktemp("furnished")
    furnish(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert (
            main(words("fit --data good.csv --batch-key plate --features m1 m2 m3 --out run standardise"))
            == 0
        )
    shutil.copytree(folder / "run", folder / "damaged")
    (folder / "damaged" / "model" / "leaves.json").unlink()
    return folder


@pytest.fixture
def folder(furnished, tmp_path, monkeypatch) -> Path:
    """A copy of it, as the working folder."""
    place = tmp_path / "here"
    shutil.copytree(furnished, place, symlinks=True)
    monkeypatch.chdir(place)
    return place


def contents(folder: Path) -> dict[str, object]:
    """Everything below a folder, to the last byte."""
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(folder.rglob("*"))
    }


def refused(call: Callable[[], object], code: str, parts: tuple[str, ...]) -> None:
    """Check that a call raises the four-part error, soon."""
    begun = time.perf_counter()
    with pytest.raises(InputError) as caught:
        call()
    assert time.perf_counter() - begun < SECONDS
    error = caught.value
    assert error.code == code, error
    for part in parts:
        assert part in str(error)
    assert error.what
    assert not error.what.endswith(".")
    for sentence in (error.why, error.fix):
        assert re.fullmatch(r"(?s)[A-Z\d'\"].*[.?]", sentence), sentence
    assert len(str(error)) < 1500


def told(said: str, parts: tuple[str, ...]) -> None:
    """Check a message on standard error: our four parts, or the box of the parser."""
    assert "Traceback" not in said
    plain = " ".join(re.sub(r"[│╭╮╰╯─]+", " ", said).split())
    for part in parts:
        assert part in plain
    if said.startswith("jbc: error: "):
        assert len(re.findall(r"[.?](?=\s|$)", plain)) >= 2
    else:
        assert re.search(r"For full helptext, (run:?|see) jbc \w+", plain)


# Arrays, through the Python faces.


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_are_refused(case, folder):
    call, code, parts = ARRAYS[case]
    before = contents(folder)
    refused(call, code, parts)
    assert contents(folder) == before


@pytest.mark.parametrize("case", AFTERWARDS)
def test_a_fitted_model_refuses(case, model, folder):
    call, code, parts = AFTERWARDS[case]
    before = contents(folder)
    refused(lambda: call(model), code, parts)
    assert contents(folder) == before


@pytest.mark.parametrize("case", MODELS)
def test_damaged_models_are_refused(case, folder):
    change, code, parts = MODELS[case]
    saved = folder / "run" / "model"
    assert jbc.load(saved).names.domains == tuple(PLATE)
    change(saved)
    before = contents(folder)
    refused(lambda: jbc.load(saved), code, parts)
    assert contents(folder) == before
    assert not (folder / "boom").exists()


# What scikit-learn checks has the words that its users know.

WIDTHS = {
    "wrong width": (np.ones((ROWS, 2)), "X has 2 features, but Corrector is expecting 3 features"),
    "a renamed feature": (GOOD.frame.rename(columns={"m2": "n2"}), "unseen at fit time:\n- n2"),
    "another order": (GOOD.frame[["m2", "m1", "m3"]], "must be in the same order"),
    "a missing feature": (GOOD.frame[["m1", "m3"]], "seen at fit time, yet now missing:\n- m2"),
    "an extra feature": (GOOD.frame.assign(m4=1.0), "unseen at fit time:\n- m4"),
    "no rows": (GOOD.frame.iloc[:0], "Found array with 0 sample"),
    "one axis": (np.ones(3), "Expected 2D array, got 1D array instead"),
    "text": (GOOD.frame.assign(m2="x"), "could not convert string to float"),
}


@pytest.mark.parametrize("fresh", [True, False], ids=["fitted", "loaded"])
@pytest.mark.parametrize("case", WIDTHS)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_features_that_were_not_fitted_are_refused(case, model, folder, fresh):
    x, message = WIDTHS[case]
    model = model if fresh else jbc.Corrector.load(folder / "run" / "model")
    with pytest.raises(ValueError, match=re.escape(message)):
        model.transform(x, domain=GOOD.domain[: len(x)])


def test_a_model_that_is_not_fitted_says_so():
    with pytest.raises(NotFittedError):
        jbc.Corrector().transform(GOOD.x)
    with pytest.raises(NotFittedError):
        jbc.Corrector().save("nowhere")


# Files and words, through the command line.


@pytest.mark.parametrize("case", FILES)
def test_files_are_refused(case, folder, capsys):
    name, content, parts = FILES[case]
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    (folder / "secret.h5").write_bytes(b"")
    before = contents(folder)
    begun = time.perf_counter()
    status = main(["fit", "--data", name, "--batch-key", "plate", "--out", "new", "standardise"])
    assert time.perf_counter() - begun < SECONDS
    output = capsys.readouterr()
    assert (status, output.out) == (2, "")
    told(output.err, parts)
    assert contents(folder) == before


@pytest.mark.parametrize("case", COMMANDS)
def test_commands_are_refused(case, folder, capsys):
    line, parts = COMMANDS[case]
    before = contents(folder)
    begun = time.perf_counter()
    status = main(words(line))
    assert time.perf_counter() - begun < SECONDS
    output = capsys.readouterr()
    assert (status, output.out) == (2, "")
    told(output.err, parts)
    assert contents(folder) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", ["unknown option", "code for controls", "a missing folder for the output", "a damaged model"]
)
def test_commands_are_refused_in_a_process_of_their_own(case, folder, tmp_path):
    line, parts = COMMANDS[case]
    before = contents(folder)
    done = process(words(line), tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    told(done.stderr, parts)
    assert contents(folder) == before


def process(line: list[str], cache_folder: Path, first: str = "") -> subprocess.CompletedProcess[str]:
    script = f"{first}\nimport sys; from jbc.cli.main import main; sys.exit(main(sys.argv[1:]))"
    environment = os.environ | {"JBC_CACHE": str(cache_folder / "cache")}
    command = [sys.executable, "-c", script, *line]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


# Disks and permissions.


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("transform run --data good.csv --out old.csv", 300),
        ("transform run --data good.csv --out new.h5ad", 300),
        ("transform run --data good.csv --out new.parquet", 300),
        ("evaluate --data good.csv --batch-key plate --features m1 m2 m3 --out old.csv", 300),
        ("fit --data good.csv --batch-key plate --features m1 m2 m3 --out new standardise", 60),
        ("fit --data good.csv --batch-key plate --features m1 m2 m3 --out new standardise", 600),
    ],
)
def test_on_a_full_disk_the_old_file_is_intact_and_nothing_partial_stays(folder, tmp_path, line, size):
    before = contents(folder)
    full = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
    done = process(words(line), tmp_path, full)
    assert done.returncode == 2, done.stderr
    told(done.stderr, (words(line)[words(line).index("--out") + 1], "File too large"))
    assert contents(folder) == before


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder that not even root may write to")
@pytest.mark.parametrize("out", ["/sys/kernel/new.csv", "/sys/kernel/new"])
def test_a_folder_that_may_not_be_written_to(folder, capsys, out):
    line = (
        "transform run --data good.csv" if out.endswith("csv") else COMMANDS["no method"][0] + " standardise"
    )
    assert main([*words(line), "--out", out]) == 2
    told(capsys.readouterr().err, (out,))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folders_and_files(folder, capsys):
    (folder / "old.csv").chmod(0o444)
    (folder / "mine").chmod(0o555)
    before = contents(folder)
    for out in ("old.csv", "mine/new.csv"):
        assert main(words(f"transform run --data good.csv --out {out}")) == 2
        told(capsys.readouterr().err, (out,))
    (folder / "mine").chmod(0o755)
    assert contents(folder) == before


# What is not bad is handled as told.


def corrected(x: np.ndarray, domain: object, **settings: object) -> np.ndarray:
    corrector = jbc.Corrector(jbc.Standardise(**settings), composition="assume-equal")
    return corrector.fit_transform(x, domain=domain)


@pytest.mark.parametrize("constant", [0.0, 5.0, -1e6, 1e15])
def test_constant_features_stay_as_they_are(constant):
    x = GOOD.x.copy()
    x[:, 1] = constant
    np.testing.assert_allclose(corrected(x, GOOD.domain)[:, 1], constant, rtol=1e-6)


def test_a_feature_that_is_constant_in_one_domain_stays_finite():
    x = GOOD.x.copy()
    x[np.array(GOOD.domain) == "P1", 1] = 7.0
    with pytest.warns(InputWarning, match=r"'x1' in 'P1'"):
        out = corrected(x, GOOD.domain)
    assert np.isfinite(out).all()
    assert len(set(out[np.array(GOOD.domain) == "P1", 1].tolist())) == 1


def test_a_single_domain_is_left_alone():
    for domain in (None, ["P1"] * ROWS):
        with pytest.warns(InputWarning, match="All rows are of one domain"):
            out = corrected(GOOD.x, domain)
        np.testing.assert_allclose(out, GOOD.x, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Features that are constant")  # of two rows, to float32, here and there
@pytest.mark.slow
def test_ten_thousand_domains_are_corrected_in_closed_form():
    rng = np.random.default_rng(0)
    domain = np.repeat(np.arange(10_000), 2)
    begun = time.perf_counter()
    out = corrected(rng.normal(size=(20_000, 2)) + domain[:, None], [f"d{each}" for each in domain])
    assert time.perf_counter() - begun < SECONDS
    means = pd.DataFrame(out).groupby(domain).mean().to_numpy()
    np.testing.assert_allclose(means, np.broadcast_to(means.mean(axis=0), means.shape), rtol=1e-4)


def test_whole_floats_and_integers_are_the_same_domain():
    model = jbc.Corrector(jbc.Standardise()).fit(GOOD.x, domain=[1, 2, 3] * 8)
    assert model.domains_ == ("1", "2", "3")
    a, b = (model.transform(GOOD.x, domain=each * 8) for each in ([1.0, 2.0, 3.0], ["1", "2", "3"]))
    np.testing.assert_array_equal(a, b)


def test_zero_padded_names_stay_apart_from_nothing_else(folder, capsys):
    (folder / "padded.csv").write_text(csv(plate=["001", "002", "010"] * 8))
    assert (
        main(words("fit --data padded.csv --batch-key plate --features m1 m2 m3 --out new standardise")) == 0
    )
    assert jbc.load(folder / "new" / "model").names.domains == ("001", "002", "010")


def test_a_class_may_be_absent_from_a_source():
    label = ["A" if plate == "P1" else each for plate, each in zip(GOOD.domain, GOOD.label, strict=True)]
    cohort = jbc.Cohort.from_arrays(GOOD.x, GOOD.domain, label=label)
    prepare(jbc.JointCalibration(), cohort)
    assert cohort.names.labels == ("A", "B")
    assert cohort.sources.tolist() == [0, 1]


@pytest.fixture(scope="module")
def unlabelled() -> jbc.Corrector:
    """Joint calibration without any label."""
    method = jbc.JointCalibration(training=Training(rows=4))
    return jbc.Corrector(method, steps=2).fit(GOOD.frame, [""] * ROWS, domain=GOOD.domain)


@pytest.mark.slow
def test_without_labels_it_calibrates_but_does_not_predict(unlabelled, folder, capsys):
    assert np.isfinite(unlabelled.transform(GOOD.frame, domain=GOOD.domain)).all()
    assert np.isfinite(unlabelled.encode(GOOD.frame, domain=GOOD.domain)).all()
    for predict in (unlabelled.predict, unlabelled.predict_proba):
        refused(
            lambda call=predict: call(GOOD.frame, domain=GOOD.domain), "no-classifier", ("without any label",)
        )
    unlabelled.save("unlabelled")
    before = contents(folder)
    assert main(words("predict unlabelled --data good.csv --out new.csv --batch-key plate")) == 2
    told(capsys.readouterr().err, ("has no classifier",))
    assert contents(folder) == before


@pytest.mark.slow
def test_far_away_rows_stay_finite(unlabelled):
    x = GOOD.frame.copy()
    x.iloc[0] = [1e15, -1e15, 0.0]
    assert np.isfinite(unlabelled.transform(x, domain=GOOD.domain)).all()


def test_other_columns_of_a_table_are_no_matter_at_transform(folder):
    lines = CSV.splitlines()
    lines = [f"extra,{lines[0]}", *(f"{row},{line}" for row, line in enumerate(lines[1:]))]
    (folder / "wide.csv").write_text("\n".join(lines) + "\n")
    assert main(words("transform run --data wide.csv --out new.csv")) == 0
    assert main(words("transform run --data good.csv --out plain.csv")) == 0
    a, b = pd.read_csv("new.csv"), pd.read_csv("plain.csv")
    np.testing.assert_array_equal(a[list(NAMES)], b[list(NAMES)])


HOSTILE = [
    "<script>alert(1)</script>",
    "../../x",
    "/etc/passwd",
    "a\0b",
    "🧪",
    "n" * 300,
    "CON",
    "=1+1",
    "é\n\"'",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_odd_names_survive(name, folder, capsys):
    names = [name, "b", "c"]
    domain = [name if each == "P1" else each for each in GOOD.domain]
    frame = pd.DataFrame(GOOD.x, columns=names)
    model = jbc.Corrector(jbc.Standardise()).fit(frame, domain=domain)
    back = jbc.Corrector.load(model.save(folder / "new"))
    assert (back.model_.names.features, back.domains_) == (tuple(names), tuple(sorted({name, "P2", "P3"})))
    frame.assign(plate=domain).to_parquet(folder / "odd.parquet")
    assert main(words("transform new --data odd.parquet --batch-key plate --out out.parquet")) == 0
    out = pd.read_parquet(folder / "out.parquet")
    assert out["plate"].tolist() == domain
    np.testing.assert_array_equal(out[names], model.transform(frame, domain=domain))
    assert sorted(path.name for path in folder.parent.iterdir()) == ["here"]


# The scverse face.


def adata(**changes: object) -> anndata.AnnData:
    obs = pd.DataFrame({"plate": GOOD.domain, "class": GOOD.label}, index=[f"r{row}" for row in range(ROWS)])
    data = anndata.AnnData(GOOD.x.astype(np.float32), obs, pd.DataFrame(index=list(NAMES)))
    for field, value in changes.items():
        setattr(data, field, value)
    return data


def obs(**columns: object) -> pd.DataFrame:
    return adata().obs.assign(**columns)


INFINITE = np.where(np.arange(3) == 1, np.inf, GOOD.x)
ANNDATA = {
    "no such batch": (adata(), {"batch_key": "plat"}, "missing-column", ("'plat'", "'plate'")),
    "no such labels": (adata(), {"labels_key": "x"}, "missing-column", ("'x'",)),
    "no such unit": (adata(), {"unit_key": "x"}, "missing-column", ("'x'",)),
    "no such treatment": (adata(), {"treatment_key": "x"}, "missing-column", ("'x'",)),
    "no such layer": (adata(), {"layer": "counts"}, "missing-field", ("'counts'", ".layers")),
    "no such embedding": (adata(), {"use_rep": "X_pca"}, "missing-field", ("'X_pca'", ".obsm")),
    "two tables": (adata(), {"layer": "a", "use_rep": "b"}, "layer-and-rep", ("'a', 'b'",)),
    "infinity": (adata(X=INFINITE), {}, "not-finite", ("infinity",)),
    "a row without batch": (adata(obs=obs(plate=[None, *GOOD.domain[1:]])), {}, "missing-domain", ("0",)),
    "twin batches": (adata(obs=obs(plate=["P2 ", *GOOD.domain[1:]])), {}, "twin-domains", ("'P2 '",)),
    "code for controls": (
        adata(),
        {"control": "__import__('os').system('touch boom')"},
        "bad-expression",
        ("__import__",),
    ),
    "an unknown column for controls": (adata(), {"control": "drug == 'x'"}, "unknown-column", ("'drug'",)),
    "too few controls": (adata(), {"control": [True]}, "bad-length", ("control",)),
    "a word for a method": (adata(), {"method": "combat"}, "not-a-method", ("'combat'",)),
    "no measurements": (anndata.AnnData(obs=obs()), {}, "no-measurements", (".X",)),
}


@pytest.mark.parametrize("case", ANNDATA)
def test_annotated_data_are_refused_and_left_as_they_are(case, folder):
    data, options, code, parts = ANNDATA[case]
    method = options.get("method", jbc.Standardise())
    rest = {"batch_key": "plate"} | {name: value for name, value in options.items() if name != "method"}
    before, copy = contents(folder), data.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of anndata
        refused(lambda: jbc.correct(data, method, **rest), code, parts)
    assert contents(folder) == before
    for field in ("obs", "uns", "obsm", "layers"):
        assert list(getattr(data, field)) == list(getattr(copy, field))


def test_the_corpus_has_at_least_80_cases():
    corpus = [ARRAYS, AFTERWARDS, MODELS, FILES, COMMANDS, ANNDATA, WIDTHS]
    assert sum(map(len, corpus)) >= 80
    assert len(FILES) + len(COMMANDS) >= 80
