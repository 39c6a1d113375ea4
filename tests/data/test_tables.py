from __future__ import annotations

import gzip
import os
import pickle
import stat
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from jbc.data import Table, atomic_path, densify, read_table, write_table
from jbc.errors import InputError, InputWarning

FORMATS = ["csv", "tsv", "csv.gz", "tsv.gz", "parquet", "h5ad"]
ODD = [
    "001",
    "NA",
    " a",
    "",
    "1e5",
    'q"uo"te',
    "comma,tab\tx",
    "two\nlines",
    "car\rriage",
    "é–漢",
    "None",
    "=1+1",
]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def odd_table(dtype, rows=12, columns=5, seed=0, named=True) -> Table:
    """Values over the whole range of floats, and metadata that careless readers change."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, np.iinfo(np.uint64).max, (rows, columns), dtype=np.uint64)
    x = bits.view(np.float64) if dtype == np.float64 else bits.astype(np.uint32).view(np.float32)
    x = np.where(np.isfinite(x), x, 0).astype(dtype)
    x[0, 0], x[1, 1], x[2, 2] = np.nan, np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
    index = pd.Index([f"0{row}" for row in range(rows)], name="id") if named else None
    obs = pd.DataFrame({"plate": np.resize(ODD, rows), "Metadata_n": ["07"] * rows}, index=index)
    obs.index = obs.index.astype(str).rename("id" if named else None)
    return Table(x, tuple(f"{100.9 + column:.1f}" for column in range(columns)), obs)


def code_of(call, *args, **options) -> str:
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    assert str(caught.value).count(". ") >= 1, "four parts make several sentences"
    return caught.value.code


# Reading


def test_text_cells_stay_as_they_are(tmp_path):
    path = write(tmp_path / "a.csv", "id,plate,x,Metadata_y,name\n001,NA, 1.5,7,None\n002, a,,08,\n")
    table = read_table(path, keys=["plate"])
    assert table.features == ("x",)
    assert table.obs.index.tolist() == ["001", "002"]
    assert table.obs.to_dict("list") == {
        "plate": ["NA", " a"],
        "Metadata_y": ["7", "08"],
        "name": ["None", ""],
    }
    np.testing.assert_array_equal(table.x, [[1.5], [np.nan]])
    assert table.source == (str(path),)


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "id", "obs_names"])
def test_first_column_with_the_name_of_an_index_holds_the_ids(tmp_path, name):
    table = read_table(write(tmp_path / "a.csv", f"{name},x\n7,1\n5,2\n"))
    assert (table.features, table.obs.index.tolist()) == (("x",), ["7", "5"])
    assert read_table(write(tmp_path / "b.csv", "x,id\n7,1\n5,2\n")).features == ("x", "id")
    assert read_table(tmp_path / "a.csv", keys=[name] if name else []).obs.shape == (2, bool(name))


def test_what_counts_as_a_number(tmp_path):
    missing = ["NA", "", "nan", "NaN", " NA "]
    cells = ["+2", "1e3", " 4.5 ", "1.", ".5", "-0", "inf", "-Infinity", "007", "1e400", "1e-400", "9" * 30]
    path = write(tmp_path / "a.csv", "k,x\n" + "".join(f"a,{cell}\n" for cell in missing + cells))
    expected = [np.nan] * len(missing) + [float(cell) for cell in cells]
    np.testing.assert_array_equal(read_table(path).x[:, 0], expected)
    for cell in ("1_0", "0x10", "1,5", "True", "-", "1 2"):
        assert read_table(write(path, f'x,y\n"{cell}",1\n')).features == ("y",)


def test_numbers_are_read_to_the_last_bit(tmp_path):
    values = np.random.default_rng(0).integers(0, 2**62, 20_000, dtype=np.uint64).view(np.float64)
    cells = [
        f"{value:.{digits}e}"
        for value, digits in zip(values, np.resize([3, 15, 16, 25], 20_000), strict=True)
    ]
    table = read_table(write(tmp_path / "a.csv", "x\n" + "\n".join(cells)))
    np.testing.assert_array_equal(table.x[:, 0], [float(cell) for cell in cells])


@pytest.mark.parametrize(
    "content",
    ["\ufeffid,x\n1,2\n", "id,x\r\n1,2\r\n", "id,x\r1,2\r", "\n\nid,x\n\n1,2\n\n", '"id","x"\n"1","2"'],
)
def test_dialects(tmp_path, content):
    table = read_table(write(tmp_path / "a.csv", content))
    assert (table.x.tolist(), table.features, table.obs.index.tolist()) == ([[2.0]], ("x",), ["1"])


def test_features_can_be_named(tmp_path):
    path = write(tmp_path / "a.csv", "a,b,c\n1,2,z\n")
    table = read_table(path, features=["b", "a"])
    assert (table.features, table.x.tolist(), list(table.obs)) == (("b", "a"), [[2.0, 1.0]], ["c"])
    assert read_table(path, features=["b"]).obs.to_dict("list") == {"a": ["1"], "c": ["z"]}


def test_parquet_types_decide(tmp_path):
    frame = pd.DataFrame(
        {"n": [1, 2], "s": ["01", None], "f": np.float32([1, 2]), "b": [True, False], "e": [None, 3]}
    )
    frame.to_parquet(tmp_path / "a.parquet", index=False)
    table = read_table(tmp_path / "a.parquet")
    assert table.features == ("n", "f", "e")
    assert table.obs["s"].tolist() == ["01", ""]
    np.testing.assert_array_equal(table.x, [[1, 1, np.nan], [2, 2, 3]])
    frame.set_index(pd.Index(["05", "06"], name="spot")).to_parquet(tmp_path / "b.parquet")
    assert read_table(tmp_path / "b.parquet").obs.index.tolist() == ["05", "06"]
    frame.set_index(pd.Index(["u", "v"])).to_parquet(tmp_path / "c.parquet")
    assert read_table(tmp_path / "c.parquet").obs.index.tolist() == ["u", "v"]


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "csr_array", "asarray"])
def test_h5ad(tmp_path, kind):
    dense = np.random.default_rng(0).poisson(0.5, (7, 4)).astype(np.float32)
    x = dense if kind == "asarray" else getattr(sp, kind)(dense)
    obs = pd.DataFrame({"day": [1, 2, 3, 4, 5, 6, 7], "c": pd.Categorical(["01", None] + 5 * ["NA"])})
    adata = AnnData(x, obs.set_index(pd.Index(list("abcdefg"))), pd.DataFrame(index=list("wxyz")))
    adata.write_h5ad(tmp_path / "a.h5ad")
    table = read_table(tmp_path / "a.h5ad", keys=["day"], features=["z", "w"])
    np.testing.assert_array_equal(table.x, dense[:, [3, 0]])
    assert table.obs.index.tolist() == list("abcdefg")
    assert table.obs["day"].tolist() == list("1234567")
    assert table.obs["c"].tolist() == ["01", ""] + 5 * ["NA"]


# Several files


def test_rows_follow_one_another_and_features_are_realigned(tmp_path):
    one = write(tmp_path / "one.csv", "id,a,b,plate\nu,1,2,01\n")
    two = write(tmp_path / "two.tsv", "id\tb\tplate\ta\twell\nv\t4\t02\t3\tA1\n")
    table = read_table([one, two], keys=["plate"])
    assert (table.features, table.x.tolist()) == (("a", "b"), [[1, 2], [3, 4]])
    assert table.obs.to_dict("list") == {"plate": ["01", "02"], "well": ["", "A1"]}
    assert (table.obs.index.tolist(), table.obs.index.name) == (["u", "v"], "id")
    assert table.source == (str(one), str(two))


@pytest.mark.parametrize(("header", "start"), [("", 0), ("", 1), ("Unnamed: 0", 0), (None, 0)])
def test_row_numbers_are_not_ids(tmp_path, header, start):
    lines = ["x"] + [str(row) for row in range(2)]
    if header is not None:
        lines = [f"{header},x"] + [f"{row},{row}" for row in range(start, start + 2)]
    files = [write(tmp_path / f"{name}.csv", "\n".join(lines)) for name in "ab"]
    assert read_table(files).obs.index.tolist() == [str(row) for row in range(start, start + 4)]


@pytest.mark.parametrize(
    ("second", "named"),
    [("a,c\n1,2\n", "b"), ("a,b,c\n1,2,3\n", "c"), ("a,b\n1,oops\n", "oops"), ("a\n1\n", "b")],
)
def test_feature_mismatch_names_file_and_column(tmp_path, second, named):
    files = [write(tmp_path / "first.csv", "a,b\n1,2\n"), write(tmp_path / "second.csv", second)]
    with pytest.raises(InputError, match=f"(?s)second.csv.*{named}") as caught:
        read_table(files)
    assert caught.value.code == "feature-mismatch"


# Refusals


MALFORMED = {
    "short row.csv": ("a,b\n1,2\n1\n", "ragged"),
    "long row.csv": ("a,b\n1,2,3\n", "ragged"),
    "cut in a row.csv": ("id,a,b\n1,2,3\n2,4", "ragged"),
    "open quote.csv": ('a,b\n1,"x\n2,3\n4,5\n', "damaged-file"),
    "latin.csv": (b"a,b\n1,\xe9\n", "undecodable"),
    "latin header.csv": (b"\xe9,b\n1,2\n", "undecodable"),
    "utf16.csv": ("a,b\n1,2\n".encode("utf-16"), "wrong-content"),
    "binary.csv": (bytes(range(256)), "wrong-content"),
    "columns twice.csv": ("a,b,a\n1,2,3\n", "duplicate-columns"),
    "ids twice.csv": ("id,a\n1,2\n1,3\n", "duplicate-ids"),
    "no name.csv": ("plate,b,\nx,2,\n", "unnamed-column"),
    "header only.csv": ("a,b\n", "no-rows"),
    "nothing.csv": ("", "empty-file"),
    "blank lines.csv": ("\n\n", "empty-file"),
    "no numbers.csv": ("a,b\nx,y\n", "no-features"),
    "decimal comma.tsv": ("a\tb\n1,5\t2,5\n", "no-features"),
    "semicolons.csv": ("a;b\n1;2\n", "wrong-separator"),
    "tabs.csv": ("a\tb\n1\t2\n", "wrong-separator"),
    "commas.tsv": ("a,b\n1,2\n", "wrong-separator"),
    "workbook.csv": (b"PK\x03\x04rest", "wrong-content"),
    "gzip.csv": (gzip.compress(b"a\n1\n"), "wrong-content"),
    "plain.csv.gz": (b"a\n1\n", "wrong-content"),
    "cut.csv.gz": (gzip.compress(b"a,b\n1,2\n" * 500)[:-9], "damaged-file"),
    "flipped.csv.gz": (gzip.compress(b"a,b\n1,2\n")[:-8] + b"\0" * 8, "damaged-file"),
    "plain.parquet": (b"a\n1\n", "wrong-content"),
    "cut.parquet": (b"PAR1\x15\x04", "damaged-file"),
    "plain.h5ad": (b"a\n1\n", "wrong-content"),
    "cut.h5ad": (b"\x89HDF\r\n\x1a\n", "damaged-file"),
    "table.xlsx": (b"PK\x03\x04", "unknown-format"),
    "table": (b"a\n1\n", "unknown-format"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files_are_refused(tmp_path, name):
    content, code = MALFORMED[name]
    path = write(tmp_path / name, content)
    with pytest.raises(InputError, match=name.split(".")[0] if code != "duplicate-ids" else "'1'") as caught:
        read_table(path)
    assert caught.value.code == code


@pytest.mark.parametrize("suffix", ["parquet", "h5ad"])
def test_a_file_cut_anywhere_is_refused(tmp_path, suffix):
    whole = tmp_path / f"whole.{suffix}"
    write_table(odd_table(np.float64, rows=200, columns=20), whole)
    content = whole.read_bytes()
    for size in np.linspace(16, len(content) - 1, 12).astype(int):
        assert code_of(read_table, write(tmp_path / f"cut.{suffix}", content[:size])) == "damaged-file"


# Not for h5ad: the HDF5 library itself may crash on a flipped bit, about once in a thousand flips.
@pytest.mark.parametrize("suffix", ["csv", "tsv.gz", "parquet"])
def test_flipped_bits_are_an_input_error_or_unseen_but_never_a_crash(tmp_path, suffix):
    rng = np.random.default_rng(0)
    path = tmp_path / f"a.{suffix}"
    write_table(odd_table(np.float64), path)
    content, codes = path.read_bytes(), []
    for _ in range(60):
        flipped = bytearray(content)
        flipped[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            try:
                read_table(path, keys=["plate"])
            except InputError as error:
                codes.append(error.code)
    assert len(codes) > 5
    if suffix.endswith(".gz"):
        assert len(codes) >= 57, "gzip has a checksum; its header has a few idle bits"


def test_missing_files_and_folders(tmp_path):
    write(tmp_path / "plate1.csv", "a\n1\n")
    with pytest.raises(InputError, match=r"Did you mean '.*plate1\.csv'") as caught:
        read_table(tmp_path / "plate_1.csv")
    assert caught.value.code == "missing-file"
    assert code_of(read_table, tmp_path / "no" / "plate.csv") == "missing-file"
    assert code_of(read_table, []) == "missing-file"
    assert code_of(read_table, tmp_path) == "not-a-file"
    assert code_of(read_table, [tmp_path / "plate1.csv", tmp_path / "." / "plate1.csv"]) == "duplicate-files"


@pytest.mark.parametrize("suffix", ["csv", "parquet", "h5ad"])
def test_missing_columns_name_the_closest(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    write_table(odd_table(np.float32), path)
    with pytest.raises(InputError, match=r"'Plate'.*closest: 'plate'") as caught:
        read_table(path, keys=["Plate"])
    assert caught.value.code == "missing-column"
    assert code_of(read_table, path, features=["100.9", "100.8"]) == "missing-column"
    assert code_of(read_table, path, features=["100.9", "100.9"]) == "duplicate-columns"
    assert code_of(read_table, path, features=["100.9"], keys=["100.9"]) == "key-is-feature"


def test_named_features_must_be_numbers(tmp_path):
    path = write(tmp_path / "a.csv", "a,b\n1,2\n<LOD,3\n5,1\n")
    with pytest.raises(InputError, match="'<LOD' in row 2") as caught:
        read_table(path, features=["a"])
    assert caught.value.code == "not-numeric"
    with pytest.warns(InputWarning, match="'<LOD' in row 2"):
        assert read_table(path).features == ("b",)


class Mine:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("suffix", ["pkl", "joblib", "pt", "npy", "npz", "csv", "parquet", "h5ad"])
def test_nothing_is_unpickled(tmp_path, suffix):
    path, marker = tmp_path / f"a.{suffix}", tmp_path / "marker"
    path.write_bytes(pickle.dumps(Mine(marker)))
    assert code_of(read_table, path) in ("unpickle-refused", "wrong-content")
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists(), "the payload works, so the test can fail"


def hdf5(tmp_path) -> Path:
    path = tmp_path / "a.h5ad"
    AnnData(np.eye(3, dtype=np.float32), uns={"deep": {"er": 1}}).write_h5ad(path)
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.full((3, 3), 7.0)
    return path


def replace_x_by_external_link(file, other):
    del file["X"]
    file["X"] = h5py.ExternalLink(other, "/x")


def add_deep_external_link(file, other):
    file["uns/deep/y"] = h5py.ExternalLink(other, "/x")


def replace_x_by_virtual_dataset(file, other):
    del file["X"]
    layout = h5py.VirtualLayout((3, 3), float)
    layout[:] = h5py.VirtualSource(other, "x", (3, 3))
    file.create_virtual_dataset("X", layout)


def replace_x_by_external_storage(file, other):
    del file["X"]
    file.create_dataset("X", (3, 3), float, external=[(other, 0, 72)])


@pytest.mark.parametrize(
    "attack",
    [
        replace_x_by_external_link,
        add_deep_external_link,
        replace_x_by_virtual_dataset,
        replace_x_by_external_storage,
    ],
)
def test_hdf5_that_leaves_the_file_is_refused(tmp_path, attack):
    path = hdf5(tmp_path)
    with h5py.File(path, "a") as file:
        attack(file, str(tmp_path / "secret.h5"))
    assert code_of(read_table, path) == "external-link"


def test_links_inside_an_hdf5_file_are_followed(tmp_path):
    path = hdf5(tmp_path)
    with h5py.File(path, "a") as file:
        file.move("X", "uns/matrix")
        file["X"] = h5py.SoftLink("/uns/matrix")
        file["uns/round"] = file["/"]
    np.testing.assert_array_equal(read_table(path).x, np.eye(3))


def test_hdf5_that_is_no_anndata_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file["X"] = np.eye(2)
    assert code_of(read_table, tmp_path / "a.h5ad") == "wrong-content"
    with h5py.File(tmp_path / "a.h5ad", "a") as file:
        file["obs"] = file["var"] = np.eye(2)
    assert code_of(read_table, tmp_path / "a.h5ad") == "wrong-content"
    path = hdf5(tmp_path)
    with h5py.File(path, "a") as file:
        del file["X"]
        file["X"] = np.array([[b"a", b"b"]] * 3)
    assert code_of(read_table, path) == "not-numeric"


def put(group, name, value):
    del group[name]
    group[name] = value


# How a file that something else has written can contradict itself: change, and whether X is sparse.
CONTRADICTIONS = {
    "fewer rows": (lambda file: put(file, "X", np.ones((5, 3))), False),
    "one row": (lambda file: put(file, "X", np.ones((1, 3))), False),
    "more rows": (lambda file: put(file, "X", np.ones((7, 3))), False),
    "fewer columns": (lambda file: put(file, "X", np.ones((6, 2))), False),
    "more columns": (lambda file: put(file, "X", np.ones((6, 4))), False),
    "turned": (lambda file: put(file, "X", np.ones((3, 6))), False),
    "fewer names": (lambda file: put(file["var"], "_index", ["a", "b"]), False),
    "more names": (lambda file: put(file["var"], "_index", list("abcd")), False),
    "an index of obs that breaks off": (lambda file: put(file["obs"], "_index", ["r0"]), False),
    "more sparse rows": (lambda file: file["X"].attrs.__setitem__("shape", [7, 3]), True),
    "fewer sparse rows": (lambda file: file["X"].attrs.__setitem__("shape", [5, 3]), True),
    "more sparse columns": (lambda file: file["X"].attrs.__setitem__("shape", [6, 4]), True),
    "fewer sparse columns": (lambda file: file["X"].attrs.__setitem__("shape", [6, 2]), True),
    "a column that is not there": (lambda file: file["X/indices"].__setitem__(0, 10**6), True),
    "a negative column": (lambda file: file["X/indices"].__setitem__(0, -1), True),
    "rows beyond the values": (lambda file: file["X/indptr"].__setitem__(6, 99), True),
    "rows that go back": (lambda file: file["X/indptr"].__setitem__(2, 0), True),
    "values that break off": (lambda file: put(file["X"], "data", np.ones(2)), True),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
@pytest.mark.parametrize("features", [None, ["a", "b"]])
def test_h5ad_files_that_contradict_themselves_are_refused(tmp_path, case, features):
    change, sparse = CONTRADICTIONS[case]
    x = np.arange(1.0, 19).reshape(6, 3)
    obs = pd.DataFrame({"plate": list("pqpqpq")}, index=[f"r{row}" for row in range(6)])
    path = tmp_path / "a.h5ad"
    AnnData(sp.csr_matrix(x) if sparse else x, obs, pd.DataFrame(index=list("abc"))).write_h5ad(path)
    assert read_table(path, features=features).x[:, 0].tolist() == x[:, 0].tolist()
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(InputError, match=r"a\.h5ad") as caught:
        read_table(path, features=features)
    assert caught.value.code in ("wrong-shape", "damaged-file", "missing-column")


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array, sp.lil_matrix])
def test_densify_in_chunks(kind, monkeypatch):
    matrix = sp.random(300, 40, 0.1, random_state=0)  # pyright: ignore[reportCallIssue]
    monkeypatch.setattr("jbc.validation.dense.CHUNK_BYTES", 1000)
    dense = densify(kind(matrix))
    assert dense.dtype == np.float32
    np.testing.assert_array_equal(dense, matrix.toarray().astype(np.float32))


def test_densify_refuses_what_does_not_fit():
    matrix = sp.csr_matrix((10**6, 10**6), dtype=np.float32)
    assert code_of(densify, matrix) == "too-large"
    assert code_of(densify, sp.eye(10, format="csr"), limit_bytes=399) == "too-large"
    assert densify(sp.eye(10, format="csr"), limit_bytes=400).shape == (10, 10)


# Writing


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("named", [True, False])
def test_round_trip(tmp_path, suffix, dtype, named):
    table, path = odd_table(dtype, named=named), tmp_path / f"a.{suffix}"
    write_table(table, path)
    back = read_table(path, keys=["plate"])
    np.testing.assert_array_equal(
        back.x.astype(dtype).view(f"u{dtype().itemsize}"), table.x.view(f"u{dtype().itemsize}")
    )
    assert back.features == table.features
    assert back.obs.index.tolist() == table.obs.index.tolist()
    assert back.obs.to_dict("list") == table.obs.to_dict("list")
    again = tmp_path / f"b.{suffix}"
    write_table(back, again)
    if suffix != "h5ad" and dtype == np.float64:
        assert again.read_bytes() == path.read_bytes()


def test_text_is_what_pandas_reads(tmp_path):
    table = odd_table(np.float64)
    write_table(table, tmp_path / "a.csv")
    frame = pd.read_csv(tmp_path / "a.csv", dtype=str, keep_default_na=False)
    np.testing.assert_array_equal(frame[list(table.features)].astype(float), table.x)
    assert frame["plate"].tolist() == table.obs["plate"].tolist()


def test_h5ad_is_what_anndata_reads(tmp_path):
    import anndata

    table = odd_table(np.float32)
    write_table(table, tmp_path / "a.h5ad")
    adata = anndata.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(adata.X, table.x)
    assert list(adata.var_names) == list(table.features)


def test_names_that_a_format_cannot_hold_are_refused(tmp_path):
    obs = pd.DataFrame({"x": ["a"], "m/z": ["b"]})
    table = Table(np.ones((1, 1)), ("x",), obs)
    assert code_of(write_table, table, tmp_path / "a.csv") == "duplicate-columns"
    assert code_of(write_table, table, tmp_path / "a.h5ad") == "unwritable-names"
    assert code_of(write_table, table, tmp_path / "a.txt") == "unknown-format"
    assert code_of(write_table, table, tmp_path / "a.pkl") == "unpickle-refused"
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="shape"):
        Table(np.ones((2, 1)), ("x",), obs)


FULL_DISK = """
    import resource, sys
    import numpy as np, pandas as pd
    from jbc.data import Table, write_table
    from jbc.errors import InputError
    x = np.random.default_rng(0).normal(size=(400, 30))
    table = Table(x, tuple(map(str, range(30))), pd.DataFrame({"plate": ["01"] * 400}))
    for path in sys.argv[1:]:
        for limit in (0, 1, 700, 4096, 30_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                write_table(table, path)
            except InputError as error:
                assert error.code == "unwritable" and error.__cause__.errno == 27, error
            else:
                raise SystemExit(f"{path} was written in spite of a limit of {limit} bytes")
"""


@pytest.mark.slow
def test_on_a_full_disk_the_old_file_stays_and_nothing_else(tmp_path):
    files = [tmp_path / f"a.{suffix}" for suffix in FORMATS]
    for file in files:
        file.write_bytes(b"old")
    script = textwrap.dedent(FULL_DISK)
    done = subprocess.run([sys.executable, "-c", script, *map(str, files)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {file.read_bytes() for file in files} == {b"old"}
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_the_replacement_keeps_mode_and_links(tmp_path):
    target, link = write(tmp_path / "target.csv", "old"), tmp_path / "link.csv"
    target.chmod(0o640)
    link.symlink_to(target)
    write_table(odd_table(np.float64), link)
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert read_table(target, keys=["plate"]).x.shape == (12, 5)
    fresh = tmp_path / "fresh.csv"
    mask = os.umask(0o027)
    try:
        write_table(odd_table(np.float64), fresh)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_whatever_goes_wrong_the_old_file_stays(tmp_path, error):
    path = write(tmp_path / "a.txt", "old")

    def interrupted():
        with atomic_path(path) as temporary:
            assert temporary.suffix == ".txt"
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_places_that_cannot_be_written(tmp_path):
    table = odd_table(np.float64)
    assert code_of(write_table, table, tmp_path / "no" / "a.csv") == "unwritable"
    (tmp_path / "folder.csv").mkdir()
    assert code_of(write_table, table, tmp_path / "folder.csv") == "unwritable"
    os.mkfifo(tmp_path / "pipe.csv")
    assert code_of(write_table, table, tmp_path / "pipe.csv") == "unwritable"
    assert stat.S_ISFIFO((tmp_path / "pipe.csv").stat().st_mode)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_write_protection_is_respected(tmp_path):
    path = write(tmp_path / "a.csv", "old")
    path.chmod(0o444)
    assert code_of(write_table, odd_table(np.float64), path) == "unwritable"
    assert path.read_text() == "old"
    path.chmod(0o000)
    assert code_of(read_table, path) == "unreadable"


def test_importing_is_light():
    heavy = ["pandas", "anndata", "pyarrow", "h5py", "pooch", "sklearn"]
    script = (
        f"import sys, jbc.data, jbc.data.datasets; print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_duplicate_names_in_anndata_warn_only_by_our_error(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = AnnData(np.eye(2), pd.DataFrame(index=["a", "a"]), pd.DataFrame(index=["x", "y"]))
        adata.write_h5ad(tmp_path / "a.h5ad")
        AnnData(np.eye(2), pd.DataFrame(index=["a", "b"]), pd.DataFrame(index=["x", "x"])).write_h5ad(
            tmp_path / "b.h5ad"
        )
    assert code_of(read_table, tmp_path / "a.h5ad") == "duplicate-ids"
    assert code_of(read_table, tmp_path / "b.h5ad") == "duplicate-columns"
