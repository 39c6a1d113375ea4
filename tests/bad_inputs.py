"""Malformed inputs by name: what people, and a few malicious ones, give to a program that reads tables."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from problems import vary

import jbc
from jbc.methods.prepare import prepare
from jbc.methods.settings import Training
from jbc.train.checkpoint import write

FEATURES = ("m1", "m2", "m3")
ROWS = 24
PLATE = ["P1", "P2", "P3"]
LABELS = ["A", "B"]


class World(NamedTuple):
    """A small table without fault."""

    x: np.ndarray
    domain: list[str]
    label: list[str]
    frame: pd.DataFrame


def world() -> World:
    x = np.random.default_rng(0).normal(size=(ROWS, 3)).round(4)
    domain = [PLATE[row % 3] for row in range(ROWS)]
    label = ["" if row % 3 == 2 else LABELS[row // 3 % 2] for row in range(ROWS)]
    return World(x, domain, label, pd.DataFrame(x, columns=list(FEATURES)))


GOOD = world()


def csv(separator: str = ",", **columns: list[Any]) -> str:
    """The table without fault as text; columns can be added or replaced."""
    ids = [f"{row:03d}" for row in range(ROWS)]
    cells = {"id": ids, "plate": GOOD.domain, "class": GOOD.label}
    cells |= {name: list(map(repr, GOOD.x[:, i].tolist())) for i, name in enumerate(FEATURES)} | columns
    lines = [separator.join(cells)] + [
        separator.join(map(str, row)) for row in zip(*cells.values(), strict=True)
    ]
    return "\n".join(lines) + "\n"


CSV = csv()


# What runs code when it is unpickled.


class Bomb:
    """Makes a file called ``boom`` when it is unpickled."""

    def __reduce__(self):
        return open, ("boom", "w")


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


BOMB = pickle.dumps(Bomb())
NPY = npy(np.array([Bomb()], dtype=object))


# Bytes of files.


def parquet(**changes: Any) -> bytes:
    file = io.BytesIO()
    GOOD.frame.assign(plate=GOOD.domain, **changes).to_parquet(file)
    return file.getvalue()


def h5(fill: Callable[[h5py.File], Any]) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as handle:
        fill(handle)
    return file.getvalue()


def h5ad(change: Callable[[h5py.File], Any] = lambda file: None) -> bytes:
    import anndata
    from anndata.io import write_elem

    def fill(file: h5py.File) -> None:
        index = [f"{row:03d}" for row in range(ROWS)]
        obs = pd.DataFrame({"plate": GOOD.domain}, index=index)
        write_elem(file, "/", anndata.AnnData(GOOD.x, obs, pd.DataFrame(index=list(FEATURES))))
        change(file)

    return h5(fill)


def fcs(names: tuple[str, ...] = FEATURES, markers: tuple[str, ...] | None = None) -> bytes:
    import flowio

    file = io.BytesIO()
    flowio.create_fcs(file, GOOD.x.ravel().tolist(), list(names), markers and list(markers))
    return file.getvalue()


def external(file: h5py.File) -> None:
    del file["X"]
    file["X"] = h5py.ExternalLink("secret.h5", "X")


def virtual(file: h5py.File) -> None:
    del file["X"]
    layout = h5py.VirtualLayout(shape=(ROWS, 3), dtype="f8")
    layout[:] = h5py.VirtualSource("secret.h5", "X", shape=(ROWS, 3))
    file.create_virtual_dataset("X", layout)


def raw_external(file: h5py.File) -> None:
    del file["X"]
    file.create_dataset("X", (ROWS, 3), "f8", external=[("secret.bin", 0, h5py.h5f.UNLIMITED)])


def text_in_x(file: h5py.File) -> None:
    del file["X"]
    file["X"] = np.full((ROWS, 3), b"a")


def short_x(file: h5py.File) -> None:
    del file["X"]
    file["X"] = GOOD.x[:-1]


def wide_x(file: h5py.File) -> None:
    del file["X"]
    file["X"] = np.ones((ROWS, 4))


def stray_x(file: h5py.File) -> None:
    from anndata.io import write_elem

    del file["X"]
    write_elem(file, "X", sp.csr_matrix(GOOD.x))
    file["X/indices"][0] = 10**6


def no_obs(file: h5py.File) -> None:
    del file["obs"]


def workbook() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return file.getvalue()


def garbled(content: bytes, start: float = 0.3, end: float = 0.7) -> bytes:
    a, b = int(len(content) * start), int(len(content) * end)
    return content[:a] + bytes(byte ^ 0x5A for byte in content[a:b]) + content[b:]


def ragged(text: str) -> str:
    lines = text.splitlines()
    return "\n".join([*lines[:9], lines[9] + ",1,2", *lines[10:]])


# name: (file, content, what the message says). Each is given to `jbc fit ... standardise`.
FILES: dict[str, tuple[str, str | bytes, tuple[str, ...]]] = {
    "empty file": ("bad.csv", "", ("empty", "bad.csv")),
    "empty parquet": ("bad.parquet", b"", ("empty", "bad.parquet")),
    "empty h5ad": ("bad.h5ad", b"", ("empty", "bad.h5ad")),
    "blank lines only": ("bad.csv", "\n\n\n", ("empty", "bad.csv")),
    "header only": ("bad.csv", CSV.splitlines()[0] + "\n", ("bad.csv", "no rows")),
    "no header": ("bad.csv", CSV.split("\n", 1)[1], ("bad.csv", "plate")),
    "no features": ("bad.csv", "id,plate,note\n1,a,x\n2,b,y\n", ("bad.csv", "no features")),
    "decimal commas": ("bad.tsv", csv("\t").replace(".", ","), ("bad.tsv", "no features")),
    "semicolons": ("bad.csv", csv(";"), ("bad.csv", "';'")),
    "commas in a tsv": ("bad.tsv", CSV, ("bad.tsv", "','")),
    "a quote that never closes": ("bad.csv", CSV.replace("P2", '"P2', 1), ("bad.csv", "damaged")),
    "ragged rows": ("bad.csv", ragged(CSV), ("bad.csv", "unequal length")),
    "breaks off in a row": ("bad.csv", CSV[: CSV.rindex(",") - 8], ("bad.csv", "unequal length")),
    "NUL bytes in text": ("bad.csv", CSV.replace("P2", "P\0", 1), ("bad.csv", "binary or UTF-16")),
    "UTF-16": ("bad.csv", CSV.encode("utf-16"), ("bad.csv", "UTF-16")),
    "Latin-1": ("bad.csv", CSV.replace("plate", "plät").encode("latin-1"), ("bad.csv", "UTF-8")),
    "an unnamed column": ("bad.csv", CSV.replace("\n", ",\n"), ("bad.csv", "no name", "column 7")),
    "duplicate columns": ("bad.csv", CSV.replace("m2", "m1", 1), ("Duplicate", "'m1'")),
    "duplicate ids": ("bad.csv", CSV.replace("007,", "003,"), ("Duplicate row ids", "'003'")),
    "no batch column": ("bad.csv", CSV.replace("plate", "Plate"), ("'plate'", "closest: 'Plate'")),
    "a row without batch": ("bad.csv", CSV.replace(",P2,", ",,", 1), ("without a batch", "1")),
    "blank twins": ("bad.csv", CSV.replace(",P2,", ",P2 ,", 1), ("'P2', 'P2 '",)),
    "numeric twins": ("bad.csv", csv(plate=["1", "01", "1.0"] * 8), ("'01', '1', '1.0'",)),
    "exponent twins": ("bad.csv", csv(plate=["1000", "1e3", "x"] * 8), ("'1000', '1e3'",)),
    "one row in a batch": ("bad.csv", CSV.replace(",P1,", ",P9,", 1), ("single row", "'P9'")),
    "infinity": ("bad.csv", csv(m2=["inf"] + ["1"] * 23), ("infinity", "'m2'")),
    "minus infinity": ("bad.csv", csv(m2=["-Infinity"] + ["1"] * 23), ("infinity", "'m2'")),
    "1e38": ("bad.csv", csv(m3=["1e38"] + ["1"] * 23), ("larger than 1e+18", "'m3'")),
    "1e999": ("bad.csv", csv(m3=["1e999"] + ["1"] * 23), ("infinity", "'m3'")),
    "a row without values": (
        "bad.csv",
        csv(m1=["NA"] + ["1"] * 23, m2=[""] + ["1"] * 23, m3=["nan"] + ["1"] * 23),
        ("without a single value", ": 0."),
    ),
    "a column without values": ("bad.csv", csv(m1=["NA"] * 24), ("without a single value", "'m1'")),
    "a picture": ("bad.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ("bad.csv",)),
    "a workbook": ("bad.csv", workbook(), ("bad.csv", "zip (as Excel workbooks are)")),
    "an Excel extension": ("bad.xlsx", workbook(), ("bad.xlsx", "Unknown file extension")),
    "no extension": ("bad", CSV, ("bad", "Unknown file extension")),
    "text called parquet": ("bad.parquet", CSV, ("bad.parquet", "the content is text")),
    "text called h5ad": ("bad.h5ad", CSV, ("bad.h5ad", "the content is text")),
    "parquet called csv": ("bad.csv", parquet(), ("bad.csv", "Parquet")),
    "HDF5 called csv": ("bad.csv", h5ad(), ("bad.csv", "HDF5")),
    "truncated parquet": ("bad.parquet", parquet()[:-100], ("bad.parquet", "damaged")),
    "garbled parquet": ("bad.parquet", garbled(parquet()), ("bad.parquet", "damaged")),
    "nested parquet": ("bad.parquet", parquet(note=[[1, 2]] * 24), ("bad.parquet", "'note'")),
    "truncated h5ad": ("bad.h5ad", h5ad()[: len(h5ad()) // 2], ("bad.h5ad", "damaged")),
    "head of an h5ad": ("bad.h5ad", h5ad()[:64], ("bad.h5ad", "damaged")),
    "HDF5 that is no AnnData": ("bad.h5ad", h5(lambda f: f.create_group("a")), ("bad.h5ad", "no 'X'")),
    "h5ad without obs": ("bad.h5ad", h5ad(no_obs), ("bad.h5ad", "no 'obs'")),
    "h5ad with text in X": ("bad.h5ad", h5ad(text_in_x), ("bad.h5ad", "not a table of numbers")),
    "h5ad with a row of obs too many": (
        "bad.h5ad",
        h5ad(short_x),
        ("bad.h5ad", "X has 23 rows", "obs has 24"),
    ),
    "h5ad with a column of X too many": ("bad.h5ad", h5ad(wide_x), ("bad.h5ad", "4 columns", "var 3")),
    "h5ad with values in columns that are not there": ("bad.h5ad", h5ad(stray_x), ("bad.h5ad", "damaged")),
    "external link": ("bad.h5ad", h5ad(external), ("bad.h5ad", "/X -> secret.h5", "from other files")),
    "virtual data set": ("bad.h5ad", h5ad(virtual), ("bad.h5ad", "'/X'", "from other files")),
    "external raw data": ("bad.h5ad", h5ad(raw_external), ("bad.h5ad", "'/X'", "from other files")),
    "empty FCS": ("bad.fcs", b"", ("empty", "bad.fcs")),
    "text called FCS": ("bad.fcs", CSV, ("bad.fcs", "the content is text")),
    "FCS called csv": ("bad.csv", fcs(), ("bad.csv", "FCS")),
    "head of an FCS file": ("bad.fcs", fcs()[:300], ("bad.fcs", "damaged")),
    "FCS without its last byte": ("bad.fcs", fcs()[:-1], ("bad.fcs", "damaged")),
    "FCS with fewer events than announced": (
        "bad.fcs",
        fcs().replace(b"$TOT/24/", b"$TOT/25/"),
        ("bad.fcs", "announces 25 events and holds 24"),
    ),
    "FCS of histograms": ("bad.fcs", fcs().replace(b"$MODE/L/", b"$MODE/U/"), ("bad.fcs", "$MODE is U")),
    "FCS without $TOT": ("bad.fcs", fcs().replace(b"$TOT/", b"$TOP/"), ("bad.fcs", "keyword $TOT")),
    "FCS in an odd order of bytes": (
        "bad.fcs",
        fcs().replace(b"1,2,3,4", b"3,4,1,2"),
        ("bad.fcs", "byte order"),
    ),
    "FCS with several data sets": (
        "bad.fcs",
        fcs().replace(b"$NEXTDATA/0/", b"$NEXTDATA/9/"),
        ("bad.fcs", "several data sets"),
    ),
    "FCS channels of one name": (
        "bad.fcs",
        fcs(("m1", "m2", "m1")),
        ("bad.fcs", "Duplicate channels", "'m1'"),
    ),
    "an FCS channel without name": ("bad.fcs", fcs(("m1", " ", "m3")), ("bad.fcs", "no name", "'channel 2'")),
    "FCS without the batch": ("bad.fcs", fcs(), ("bad.fcs", "'plate'", "'sample'")),
    "truncated gzip": ("bad.csv.gz", gzip.compress(CSV.encode())[:-20], ("bad.csv.gz", "damaged")),
    "garbled gzip": ("bad.csv.gz", garbled(gzip.compress(CSV.encode())), ("bad.csv.gz", "damaged")),
    "text called gzip": ("bad.csv.gz", CSV, ("bad.csv.gz", "the content is text")),
    "gzip called csv": ("bad.csv", gzip.compress(CSV.encode()), ("bad.csv", "gzip")),
    "pickle": ("bad.pkl", BOMB, ("bad.pkl", "never unpickles")),
    "pickle called csv": ("bad.csv", BOMB, ("bad.csv", "pickle")),
    "pickle called h5ad": ("bad.h5ad", BOMB, ("bad.h5ad", "pickle")),
    "joblib": ("bad.joblib", BOMB, ("bad.joblib", "never unpickles")),
    "object npy": ("bad.npy", NPY, ("bad.npy", "never unpickles")),
    "object npy called csv": ("bad.csv", NPY, ("bad.csv", "NumPy")),
}

FIT = "fit --data good.csv --batch-key plate --out new"
JOINT = f"{FIT} --labels-key class"
CODE = "__import__('os').system('touch boom')"

# name: (words, what the message says). The folder holds good.csv, other.csv, old.csv and a finished run.
COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "unknown command": ("fitt --data good.csv", ("'fitt'", "Did you mean jbc fit?")),
    "unknown option": (f"{FIT} --stepz 3 standardise", ("--stepz", "--steps")),
    "unknown option of a method": (f"{FIT} standardise --onn all", ("--onn", "jbc fit --help")),
    "unknown method": (f"{FIT} dendrogram", ("dendrogram", "joint-calibration")),
    "no method": (FIT, ("Expected one of", "standardise")),
    "no batch key": ("fit --data good.csv --out new standardise", ("--batch-key", "jbc fit --help")),
    "no value": (f"{FIT} --steps standardise", ("Expected one of", "standardise")),
    "a word for a number": (f"{FIT} --steps many standardise", ("--steps", "many")),
    "an unknown choice": (f"{FIT} standardise --on wells", ("wells", "controls")),
    "no steps": (f"{FIT} --steps 0 standardise", ("'--steps'", "Steps count from 1")),
    "negative steps": (f"{FIT} --steps -3 standardise", ("'--steps'",)),
    "no steps between checkpoints": (f"{FIT} --save-every 0 standardise", ("'--save-every'",)),
    "a negative seed": (f"{FIT} --seed -1 standardise", ("'--seed'",)),
    "a huge seed": (f"{FIT} --seed 99999999999 standardise", ("'--seed'",)),
    "no rows in a minibatch": (f"{JOINT} joint-calibration --rows 0", ("rows=0", "whole number from 1")),
    "everything dropped": (f"{JOINT} joint-calibration --dropout 1", ("dropout=1", "to below 1")),
    "a negative rate": (f"{JOINT} joint-calibration --learning-rate -1", ("learning_rate=-1",)),
    "a weight that is no number": (f"{JOINT} joint-calibration --align nan", ("align=nan",)),
    "a kernel of width 0": (f"{JOINT} joint-calibration --bandwidths 1 0", ("bandwidths=(1.0, 0.0)",)),
    "too much memory": (f"{JOINT} joint-calibration --rows 99999", ("GiB", "Draw fewer rows")),
    "no files": ("fit --data --batch-key plate --out new standardise", ("No files",)),
    "a file that is not there": (FIT.replace("good", "goood") + " standardise", ("goood.csv", "'good.csv'")),
    "a folder for a file": (FIT.replace("good.csv", "run") + " standardise", ("'run'", "folder")),
    "a file twice": (FIT.replace("good.csv", "good.csv ./good.csv") + " standardise", ("Duplicate files",)),
    "files of other features": (
        FIT.replace("good.csv", "good.csv other.csv") + " --features m1 m2 m3 standardise",
        ("other.csv", "'m2'"),
    ),
    "a cofactor of 0": (f"{FIT} --arcsinh 0 standardise", ("cofactor", "0.0", "positive")),
    "an infinite cofactor": (f"{FIT} --arcsinh inf standardise", ("cofactor", "inf")),
    "an FCS file for the output": ("transform run --data good.csv --out new.fcs", ("new.fcs", "Use one of")),
    "a feature that is not there": (f"{FIT} --features m1 m9 standardise", ("'m9'", "closest: 'm3'")),
    "a feature twice": (f"{FIT} --features m1 m1 standardise", ("'m1'", "Duplicate features")),
    "a feature that is text": (f"{FIT} --features m1 class standardise", ("not numeric", "class")),
    "a key as feature": (f"{FIT} --features plate m1 standardise", ("'plate'", "both key and feature")),
    "classes confounded with batches": (
        f"{JOINT.replace('class', 'plate')} joint-calibration",
        ("confounded",),
    ),
    "a class alone": (f"{JOINT.replace('class', 'one')} joint-calibration", ("Only one class", "'A'")),
    "code for controls": (f'{FIT} --control "{CODE}" standardise', ("__import__", "Only comparisons")),
    "an attribute for controls": (f'{FIT} --control "plate.__class__ == 1" standardise', ("__class__",)),
    "a call for controls": (f"{FIT} --control \"plate == open('boom','w')\" standardise", ("open",)),
    "a lambda for controls": (f'{FIT} --control "(lambda: 1)()" standardise', ("lambda",)),
    "half an expression": (f'{FIT} --control "plate == \'P1" standardise', ("cannot be parsed",)),
    "an unknown column for controls": (
        f"{FIT} --control \"plat == 'P1'\" standardise",
        ("'plat'", "'plate'"),
    ),
    "controls of no row": (f"{FIT} --control \"plate == 'P9'\" standardise", ("No row fulfils", "P9")),
    "controls of one batch": (
        f"{FIT} --control \"plate == 'P1'\" standardise --on controls",
        ("fewer than two control rows", "'P2', 'P3'"),
    ),
    "a run that exists": (
        FIT.replace("new", "run") + " standardise",
        ("'run'", "exists already", "--resume"),
    ),
    "a folder that is no run": (FIT.replace("new", "mine") + " --resume standardise", ("'mine'", "--out")),
    "a file for a run": (FIT.replace("new", "old.csv") + " standardise", ("'old.csv'", "exists already")),
    "a run under a file": (FIT.replace("new", "old.csv/new") + " standardise", ("old.csv",)),
    "a run with a damaged configuration": (
        FIT.replace("new", "broken") + " --resume standardise",
        ("run.json",),
    ),
    "a run to resume with other data": (
        FIT.replace("new", "run") + " --features m1 m2 --resume standardise",
        ("'data'",),
    ),
    "a model that is not there": (
        "transform nowhere --data good.csv --out new.csv",
        ("nowhere", "no checkpoint"),
    ),
    "a file for a model": ("transform good.csv --data good.csv --out new.csv", ("good.csv",)),
    "a run without an end": (
        "transform unfinished --data good.csv --out new.csv",
        ("no model yet", "--resume"),
    ),
    "a damaged model": ("transform damaged --data good.csv --out new.csv", ("Damaged files", "leaves.json")),
    "a table of another batch": (
        "transform run --data strange.csv --out new.csv",
        ("'P7'", "Unknown batches"),
    ),
    "a table without a feature": ("transform run --data other.csv --out new.csv", ("other.csv", "'m2'")),
    "a table without the batch": (
        "transform run --data good.csv --out new.csv --batch-key plat",
        ("'plat'", "closest: 'plate'"),
    ),
    "codes of a method without": (
        "transform run --data good.csv --out new.csv --output codes",
        ("no latent codes",),
    ),
    "an unknown output": ("transform run --data good.csv --out new.csv --output x", ("codes", "features")),
    "classes of a method without": ("predict run --data good.csv --out new.csv", ("does not classify",)),
    "a missing folder for the output": ("transform run --data good.csv --out no/new.csv", ("no/new.csv",)),
    "a folder for the output": (
        "transform run --data good.csv --out mine.csv",
        ("mine.csv", "not a regular"),
    ),
    "a device for the output": (
        "transform run --data good.csv --out zero.csv",
        ("zero.csv", "not a regular"),
    ),
    "an unknown extension of the output": ("transform run --data good.csv --out new.xls", ("new.xls",)),
    "a pickle for the output": ("transform run --data good.csv --out new.pkl", ("new.pkl", "unpickles")),
    "a file in a model for the output": (
        "transform run --data good.csv --out run/model/new.csv",
        ("'run/model/new.csv in ", "damage it"),
    ),
    "a run inside of a run": (FIT.replace("new", "run/new") + " standardise", ("run/new", "folder of a run")),
    "an output without a name": ('transform run --data good.csv --out ""', ("--out names nothing", "set")),
    "an input for the output": (
        "transform run --data good.csv --out mine/../good.csv",
        ("replace an input",),
    ),
    "a link to an input for the output": ("transform run --data good.csv --out link.csv", ("link.csv",)),
    "an input for the numbers": (
        "evaluate --data good.csv --before strange.csv --batch-key plate --out strange.csv",
        ("'strange.csv'", "replace an input"),
    ),
    "missing values to judge": (
        "evaluate --data holes.csv --batch-key plate --features m1 m2 m3",
        ("'m2'",),
    ),
    "other rows before": (
        "evaluate --data good.csv --before strange.csv --batch-key plate --features m1 m2 m3",
        ("different rows", "26 rows before", "24 rows after"),
    ),
    "a missing column of predictions": (
        "evaluate --data good.csv --batch-key plate --predicted-key guess",
        ("'guess'",),
    ),
    "an unknown data set": ("data fetch chdd", ("'chdd'", "simulated-plates")),
}


def words(text: str) -> list[str]:
    return shlex.split(text)


def furnish(folder: Path) -> None:
    """Make the folder that the commands run in, around a finished run."""
    (folder / "good.csv").write_text(csv(one=["A" if each else "" for each in GOOD.label]))
    (folder / "other.csv").write_text(CSV.replace("m2", "n2"))
    (folder / "strange.csv").write_text(CSV + "098,P7,,1,2,3\n099,P7,,3,2,1\n")
    (folder / "old.csv").write_text("precious\n")
    (folder / "mine").mkdir()
    (folder / "mine" / "notes.txt").write_text("precious\n")
    (folder / "mine.csv").mkdir()
    (folder / "holes.csv").write_text(csv(m2=["", *range(23)]))
    os.symlink("good.csv", folder / "link.csv")
    os.symlink("/dev/null", folder / "zero.csv")
    for name, content in (("broken", "{"), ("unfinished", "{}")):
        (folder / name).mkdir()
        (folder / name / "run.json").write_text(content)


# Arrays: name: (call, code, what the message says).


def cohort(**changes: Any) -> jbc.Cohort:
    given = {"x": GOOD.x, "domain": GOOD.domain, "label": GOOD.label} | changes
    return jbc.Cohort.from_arrays(given.pop("x"), given.pop("domain"), **given)


def cell(value: Any, dtype: Any = np.float64) -> np.ndarray:
    x = GOOD.x.astype(dtype)
    x[4, 1] = value
    return x


def row(value: Any, dtype: Any = np.float64) -> np.ndarray:
    x = GOOD.x.astype(dtype)
    x[4] = value
    return x


def replaced(values: list[str], value: Any, row: int = 4) -> list[Any]:
    return [value if i == row else each for i, each in enumerate(values)]


def joint(**changes: Any) -> jbc.JointCalibration:
    return vary(jbc.JointCalibration(), **changes)


ARRAYS: dict[str, tuple[Callable[[], Any], str, tuple[str, ...]]] = {
    "one axis": (lambda: cohort(x=np.ones(24)), "bad-shape", ("(24,)",)),
    "three axes": (lambda: cohort(x=np.ones((24, 2, 2))), "bad-shape", ("(24, 2, 2)",)),
    "no axes": (lambda: cohort(x=3.0), "bad-shape", ("()",)),
    "no rows": (lambda: cohort(x=np.ones((0, 3)), domain=[], label=[]), "bad-shape", ("(0, 3)",)),
    "no columns": (lambda: cohort(x=np.ones((24, 0))), "bad-shape", ("(24, 0)",)),
    "ragged lists": (lambda: cohort(x=[[1.0, 2.0], [3.0]]), "not-numeric", ("inhomogeneous",)),
    "words": (lambda: cohort(x=[["a", "b"]] * 24), "not-numeric", ("real numbers",)),
    "words among numbers": (lambda: cohort(x=cell("<LOD", object)), "not-numeric", ("<LOD",)),
    "complex numbers": (lambda: cohort(x=cell(1j, complex)), "not-numeric", ("complex128",)),
    "times": (lambda: cohort(x=np.zeros((24, 3), "datetime64[s]")), "not-numeric", ("datetime64",)),
    "a sparse matrix": (lambda: cohort(x=sp.csr_matrix(GOOD.x)), "not-numeric", ("numeric",)),
    "infinity": (lambda: cohort(x=cell(np.inf)), "not-finite", ("'x1'", "1 rows")),
    "minus infinity": (lambda: cohort(x=cell(-np.inf)), "not-finite", ("'x1'",)),
    "1e38": (lambda: cohort(x=cell(1e38)), "not-finite", ("'x1'",)),
    "1e300": (lambda: cohort(x=cell(1e300)), "not-finite", ("'x1'",)),
    "a row of NaN": (lambda: prepare(joint(), cohort(x=row(np.nan))), "empty-row", ("NaN", ": 4.")),
    "a row of None": (lambda: prepare(joint(), cohort(x=row(None, object))), "empty-row", (": 4.",)),
    "NaN only": (lambda: cohort(x=GOOD.x * [1, np.nan, np.nan]), "empty-feature", ("'x1', 'x2'",)),
    "too few names": (lambda: cohort(features=["a", "b"]), "bad-feature-names", ("2 feature names",)),
    "repeated names": (lambda: cohort(features=["a", "b", "a"]), "bad-feature-names", ("'a'",)),
    "too few domains": (lambda: cohort(domain=GOOD.domain[1:]), "bad-length", ("domain", "24 rows")),
    "two domains a row": (lambda: cohort(domain=[["a", "b"]] * 24), "bad-length", ("(24, 2)",)),
    "one domain for all": (lambda: cohort(domain="P1"), "bad-length", ("domain",)),
    "too many labels": (lambda: cohort(label=[*GOOD.label, "A"]), "bad-length", ("y has shape (25,)",)),
    "a domain of None": (lambda: cohort(domain=replaced(GOOD.domain, None)), "missing-domain", (": 4.",)),
    "a domain of NaN": (lambda: cohort(domain=replaced(GOOD.domain, np.nan)), "missing-domain", (": 4.",)),
    "a domain of pandas' NA": (
        lambda: cohort(domain=replaced(GOOD.domain, pd.NA)),
        "missing-domain",
        (": 4.",),
    ),
    "an empty domain": (lambda: cohort(domain=replaced(GOOD.domain, " ")), "missing-domain", (": 4.",)),
    "no domain at all": (lambda: cohort(domain=[""] * 24), "missing-domain", ("and 19 more",)),
    "blank twins": (
        lambda: cohort(domain=replaced(GOOD.domain, "P2\t")),
        "twin-domains",
        ("'P2'", r"'P2\t'"),
    ),
    "numbers and their text": (
        lambda: cohort(domain=[7, "7.00", "8"] * 8),
        "twin-domains",
        ("'7'", "'7.00'"),
    ),
    "a unit of None": (lambda: cohort(unit=replaced(GOOD.domain, None)), "missing-unit", (": 4.",)),
    "a treatment of NaN": (
        lambda: cohort(treatment=replaced(GOOD.domain, np.nan)),
        "missing-treatment",
        (": 4.",),
    ),
    "controls in words": (lambda: cohort(control=["yes"] * 24), "bad-control", ("'yes'",)),
    "too few controls": (lambda: cohort(control=[True]), "bad-length", ("control",)),
    "text and numbers as labels": (lambda: cohort(label=["A", 1, 2] * 8), "mixed-labels", ("'int', 'str'",)),
    "one row in a domain": (
        lambda: prepare(joint(), cohort(domain=replaced(GOOD.domain, "P9"))),
        "tiny-domain",
        ("'P9'",),
    ),
    "ten thousand domains": (
        lambda: prepare(joint(), cohort(x=np.ones((20_000, 1)), domain=np.arange(20_000) // 2, label=None)),
        "too-many-domains",
        ("10000 domains", "GiB"),
    ),
    "one class": (lambda: prepare(joint(), cohort(label=["A", "", ""] * 8)), "one-class", ("'A'",)),
    "classes confounded with domains": (
        lambda: prepare(joint(), cohort(label=["A", "B", ""] * 8)),
        "confounded",
        ("P1 is A", "P2 is B"),
    ),
    "an unknown word": (
        lambda: prepare(joint(scale="batch"), cohort()),
        "bad-setting",
        ("'batch'", "pooled"),
    ),
    "a count of 0": (lambda: prepare(joint(epochs=0), cohort()), "bad-setting", ("epochs=0",)),
    "half a count": (lambda: prepare(joint(rows=1.5), cohort()), "bad-setting", ("rows=1.5",)),
    "a rate of 1": (lambda: prepare(joint(dropout=1.0), cohort()), "bad-setting", ("dropout=1.0",)),
    "an infinite weight": (lambda: prepare(joint(align=np.inf), cohort()), "bad-setting", ("align=inf",)),
    "no kernels": (lambda: prepare(joint(bandwidths=()), cohort()), "bad-setting", ("bandwidths=()",)),
    "a list of kernels": (lambda: prepare(joint(bandwidths=[1.0]), cohort()), "bad-setting", ("[1.0]",)),
    "a setting of a pair": (
        lambda: prepare(jbc.PairwiseCalibration(jbc.JointCalibration(training=Training(rows=-1))), cohort()),
        "bad-setting",
        ("rows=-1", "PairwiseCalibration"),
    ),
    "a name for a method": (lambda: jbc.Corrector("combat").fit(GOOD.x), "not-a-method", ("'combat'",)),
    "a class for a method": (
        lambda: jbc.Corrector(jbc.Standardise).fit(GOOD.x),
        "not-a-method",
        ("instance",),
    ),
    "no steps": (lambda: jbc.Corrector(steps=0).fit(GOOD.x), "bad-setting", ("steps=0",)),
    "an unknown output": (
        lambda: jbc.Corrector(jbc.Standardise(), output="latent").fit(GOOD.x),
        "bad-output",
        ("'latent'",),
    ),
    "codes of a method without": (
        lambda: jbc.Corrector(jbc.Standardise(), output="codes").fit(GOOD.x),
        "bad-output",
        ("Standardise",),
    ),
    "no controls": (
        lambda: jbc.Corrector(jbc.Standardise(on="controls")).fit(GOOD.x, domain=GOOD.domain),
        "few-controls",
        ("'P1', 'P2', 'P3'",),
    ),
    "a model that is not there": (lambda: jbc.load("nowhere"), "no-checkpoint", ("nowhere",)),
    "an unknown data set": (lambda: jbc.datasets.load("chdd"), "unknown-dataset", ("'chdd'", "chd")),
}

# What a fitted model is given: name: (call, code, what the message says).
AFTERWARDS: dict[str, tuple[Callable[[jbc.Corrector], Any], str, tuple[str, ...]]] = {
    "an unknown domain": (
        lambda model: model.transform(GOOD.frame, domain=replaced(GOOD.domain, "P 1")),
        "unknown-domain",
        ("'P 1'", "did you mean 'P1'?"),
    ),
    "unknown domains only": (
        lambda model: model.transform(GOOD.frame, domain=list(range(24))),
        "unknown-domain",
        ("and 19 more",),
    ),
    "no domain": (lambda model: model.transform(GOOD.frame), "missing-domain", ("'P1', 'P2', 'P3'",)),
    "too few domains": (lambda model: model.transform(GOOD.frame, domain=["P1"]), "bad-length", ("24 rows",)),
    "a domain of None": (
        lambda model: model.transform(GOOD.frame, domain=replaced(GOOD.domain, None)),
        "missing-domain",
        (": 4.",),
    ),
    "an unknown fill": (
        lambda model: model.model_.transform(GOOD.frame, GOOD.domain, fill="zero"),  # pyright: ignore[reportArgumentType]
        "bad-setting",
        ("'zero'",),
    ),
    "infinity": (
        lambda model: model.transform(GOOD.frame.replace(GOOD.x[4, 1], np.inf), domain=GOOD.domain),
        "not-finite",
        ("'m2'",),
    ),
    "a folder that is taken": (lambda model: model.save("mine"), "exists", ("mine",)),
    "a folder under a file": (lambda model: model.save("old.csv/model"), "unwritable", ("old.csv/model",)),
    "a folder to overwrite that jbc has not made": (
        lambda model: model.save("mine", overwrite=True),
        "exists",
        ("mine", "only to what jbc has saved"),
    ),
}


# Damage to a saved model: name: (change of the folder, code, what the message says).


def damage(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return apply


def largest(folder: Path) -> Path:
    files = [path for path in (folder / "arrays").rglob("*") if path.is_file()]
    return max(files, key=lambda path: (path.stat().st_size, path.name))


def flip_largest(folder: Path) -> None:
    place = largest(folder)
    place.write_bytes(garbled(place.read_bytes(), 0.5, 0.51))


def cut_largest(folder: Path) -> None:
    os.truncate(largest(folder), 3)


def link_out(folder: Path) -> None:
    (folder / "leaves.json").rename(folder.parent / "elsewhere.json")
    (folder / "leaves.json").symlink_to("../elsewhere.json")


def resealed(change: Callable[[dict], None]) -> Callable[[Path], None]:
    """Change the manifest and put its sum right, as a newer version or a forger would."""

    def apply(folder: Path) -> None:
        import hashlib
        import json

        content = json.loads((folder / "MANIFEST.json").read_text())
        change(content)
        data = json.dumps(content).encode()
        (folder / "MANIFEST.json").write_bytes(data)
        (folder / "MANIFEST.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  MANIFEST.json\n")

    return apply


def unknown_setting(content: dict) -> None:
    content["meta"]["method"]["fields"]["robust"] = True


def unknown_method(content: dict) -> None:
    content["meta"]["method"]["name"] = "standardize"


def senseless_setting(content: dict) -> None:
    content["meta"]["method"]["fields"]["on"] = "wells"


def checkpoint(folder: Path) -> None:
    write(folder, {"a": np.ones(2)}, {"kind": "checkpoint"}, overwrite=True)


CORRUPT = "corrupt-checkpoint"
MODELS: dict[str, tuple[Callable[[Path], Any], str, tuple[str, ...]]] = {
    "flipped bits": (flip_largest, CORRUPT, ("arrays/",)),
    "a truncated file": (cut_largest, CORRUPT, ("3 bytes",)),
    "a lost file": (lambda folder: (folder / "leaves.json").unlink(), CORRUPT, ("leaves.json (missing)",)),
    "a file too many": (lambda folder: (folder / "x.py").touch(), CORRUPT, ("x.py (not in the manifest)",)),
    "a link out of the folder": (link_out, CORRUPT, ("leaves.json (not a plain file)",)),
    "a changed name": (
        damage("MANIFEST.json", lambda b: b.replace(b'"P2"', b'"P9"')),
        CORRUPT,
        ("MANIFEST",),
    ),
    "an emptied manifest": (damage("MANIFEST.json", lambda b: b""), CORRUPT, ("MANIFEST.json",)),
    "a lost manifest": (lambda folder: (folder / "MANIFEST.json").unlink(), CORRUPT, ("MANIFEST.json",)),
    "a pickle among the arrays": (
        lambda folder: (folder / "arrays" / "x.pkl").write_bytes(BOMB),
        CORRUPT,
        ("x.pkl",),
    ),
    "a newer schema": (resealed(lambda content: content.update(schema=99)), "newer-schema", ("schema 99",)),
    "a manifest that is none": (resealed(lambda content: content.pop("files")), CORRUPT, ("not a manifest",)),
    "a forged manifest": (
        resealed(lambda content: content["files"].update({"../old.csv": {"size": 1, "sha256": ""}})),
        CORRUPT,
        ("../old.csv (missing)",),
    ),
    "an unknown setting": (resealed(unknown_setting), "unknown-setting", ("'robust'", "Standardise")),
    "a senseless setting": (resealed(senseless_setting), "bad-setting", ("'wells'",)),
    "an unknown method": (resealed(unknown_method), "unknown-method", ("'standardize'", "standardise")),
    "a lost part of the description": (
        resealed(lambda content: content["meta"].pop("domains")),
        "not-a-model",
        ("domains",),
    ),
    "features that are none": (
        resealed(lambda content: content["meta"].update(features=None)),
        "damaged-model",
        ("MANIFEST.json", "features is None"),
    ),
    "fewer domains than arrays": (
        resealed(lambda content: content["meta"]["domains"].pop()),
        "damaged-model",
        ("leaves.json", "support/centres", "2 domains"),
    ),
    "a lost setting": (
        resealed(lambda content: content["meta"]["method"]["fields"].pop("on")),
        "missing-setting",
        ("MANIFEST.json", "'on'"),
    ),
    "a checkpoint for a model": (checkpoint, "not-a-model", ("'checkpoint'",)),
}
