from __future__ import annotations

import hashlib
import http.server
import os
import re
import socket
import threading
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from jbc import datasets
from jbc.data import catalogue
from jbc.data.load import _runs
from jbc.errors import InputError

DATA = os.environ.get("JBC_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="JBC_DATA names no folder with the data sets")
PLATE = b"label,board,100.9,102\n" + b"1,7,0.5,-2\n" * 6 + b"0,7,1,2\n" * 5


@pytest.fixture
def server(tmp_path_factory):
    """Serve a folder, and tell which paths were asked for."""
    folder, asked = tmp_path_factory.mktemp("served"), []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()
        thread.join()


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Put one small data set at the given address into the catalogue, with an empty cache."""

    def register(url, content=PLATE):
        remote = catalogue.Remote("TINY/TINY_1.csv", url, hashlib.sha256(content).hexdigest())
        entry = catalogue.Entry("tiny", "A title", "spectra", "CC0", "Somebody", "Nothing", (remote,))
        monkeypatch.setattr(catalogue, "ENTRIES", (entry,))

    monkeypatch.setenv("JBC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JBC_DATA", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return register


def code_of(call, *args) -> str:
    with pytest.raises(InputError) as caught:
        call(*args)
    return caught.value.code


def test_every_entry_is_pinned_and_described():
    assert set(datasets.names()) >= {
        "mi",
        "chd",
        "cytof",
        "cytof-person1",
        "cytof-person2",
        "simulated-plates",
    }
    for name in datasets.names():
        described = datasets.describe(name)
        assert all(described[key] for key in ("name", "title", "licence", "citation", "notes"))
        files = catalogue.find(name).files
        assert described["source"].split() == [file.url for file in files]
        for file in files:
            assert re.fullmatch(
                r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/.+\.csv", file.url
            )
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
            assert "3month" not in file.path
    assert code_of(datasets.describe, "ml") == "unknown-dataset"
    assert code_of(datasets.load, "ml") == "unknown-dataset"


@needs_data
def test_checksums_are_those_of_the_collection():
    listed = {}
    for sums in ("SHA256SUMS", "SHA256SUMS.not-here"):
        for line in Path(DATA, sums).read_text().splitlines():
            sha256, path = line.split(maxsplit=1)
            listed[path.removeprefix("./")] = sha256
    for entry in catalogue.ENTRIES:
        for file in entry.files:
            assert listed[file.path] == file.sha256


@needs_data
def test_mi_is_what_pandas_reads():
    adata = datasets.load("mi")
    frames = [pd.read_csv(path, dtype=str) for path in datasets.fetch("mi")]
    frame = pd.concat(frames, ignore_index=True)
    assert adata.shape == (1330 + 1305 + 1345, 204)
    assert adata.X.dtype == np.float32
    np.testing.assert_array_equal(adata.X, frame.iloc[:, 2:].to_numpy(np.float64).astype(np.float32))
    assert adata.var_names.tolist() == list(frame.columns[2:])
    assert adata.obs["label"].tolist() == frame["label"].tolist()
    assert adata.obs["domain"].tolist() == [f"plate {board}" for board in frame["board"]]
    assert all(adata.obs[name].dtype == "category" for name in ("domain", "label", "unit"))


@needs_data
def test_units_of_mi_never_mix_labels_or_plates_and_are_consecutive():
    obs = datasets.load("mi").obs.astype(str).reset_index(drop=True)
    groups = obs.groupby("unit", sort=False)
    assert (groups["label"].nunique() == 1).all()
    assert (groups["domain"].nunique() == 1).all()
    assert groups.size().value_counts().to_dict() == {5: 795, 4: 1, 1: 1}
    rows = pd.Series(obs.index, index=obs.index).groupby(obs["unit"], sort=False)
    assert (rows.max() - rows.min() + 1 == groups.size()).all()
    plate = obs[obs["domain"] == "plate 3"].reset_index(drop=True)
    assert plate["unit"].tolist() == [f"plate 3-{row // 5}" for row in range(len(plate))]


def test_runs_start_anew_where_the_label_changes():
    label = np.array(list("aaaaaaa" + "bbbbb" + "a" + "bb"))
    assert _runs(label).tolist() == [0] * 5 + [1] * 2 + [2] * 5 + [3] + [4] * 2


@needs_data
@pytest.mark.parametrize(
    ("name", "persons"), [("cytof", "12"), ("cytof-person1", "1"), ("cytof-person2", "2")]
)
def test_cytof(name, persons):
    adata = datasets.load(name)
    cells = {"1": [(1858, 490), (1460, 405)], "2": [(4308, 523), (3530, 472)]}
    expected = [cells[person][day] for person in persons for day in (0, 1)]
    counts = adata.obs.groupby(["person", "domain"], observed=True)["label"].agg(
        rows="size", positive=lambda labels: (labels == "1").sum()
    )
    assert list(counts.itertuples(index=False, name=None)) == expected
    assert adata.obs["unit"].is_unique
    first = np.loadtxt(
        Path(DATA, f"CyTOF/Person{persons[0]}Day1_baseline.csv"), delimiter=",", dtype=np.float32
    )
    np.testing.assert_array_equal(adata.X[: len(first)], first)


@needs_data
def test_description_travels_with_the_data(tmp_path):
    adata = datasets.load("cytof-person1")
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert anndata.read_h5ad(tmp_path / "a.h5ad").uns["jbc_dataset"] == datasets.describe("cytof-person1")


def test_simulated_plates_have_an_answer():
    adata = datasets.load("simulated-plates")
    assert adata.shape == (900, 40)
    assert adata.layers["clean"].shape == (900, 40)
    assert adata.uns["jbc_dataset"] == datasets.describe("simulated-plates")
    assert datasets.fetch("simulated-plates") == []


def test_a_file_is_downloaded_once_and_then_used_offline(server, tiny, tmp_path):
    folder, address, asked = server
    (folder / "1.csv").write_bytes(PLATE)
    tiny(f"{address}/1.csv")
    adata = datasets.load("tiny")
    np.testing.assert_array_equal(adata.X, np.float32([[0.5, -2]] * 6 + [[1, 2]] * 5))
    assert adata.obs["unit"].tolist() == ["plate 7-0"] * 5 + ["plate 7-1"] + ["plate 7-2"] * 5
    assert datasets.fetch("tiny") == [tmp_path / "cache/data/TINY/TINY_1.csv"]
    assert asked == ["/1.csv"]
    tiny("http://127.0.0.1:9/1.csv")
    assert datasets.load("tiny").shape == (11, 2)


def test_a_damaged_cache_is_downloaded_again(server, tiny):
    folder, address, asked = server
    (folder / "1.csv").write_bytes(PLATE)
    tiny(f"{address}/1.csv")
    (path,) = datasets.fetch("tiny")
    path.write_bytes(PLATE[:-1])
    assert datasets.fetch("tiny")[0].read_bytes() == PLATE
    assert len(asked) == 2


def test_another_file_at_the_address_is_refused(server, tiny, tmp_path):
    folder, address, _ = server
    (folder / "1.csv").write_bytes(PLATE + b"1,7,1,1\n")
    tiny(f"{address}/1.csv")
    assert code_of(datasets.load, "tiny") == "checksum"
    assert not list((tmp_path / "cache").rglob("*.csv"))
    tiny(f"{address}/2.csv")
    with pytest.raises(InputError, match="404") as caught:
        datasets.load("tiny")
    assert caught.value.code == "download-failed"


def test_offline_says_where_to_put_the_file(tiny, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        tiny(f"http://127.0.0.1:{unused.getsockname()[1]}/1.csv")
        with pytest.raises(InputError, match=r"once, or put the file at '.*TINY_1\.csv'") as caught:
            datasets.load("tiny")
    assert caught.value.code == "offline"
    assert not list((tmp_path / "cache").rglob("*.csv"))


def test_a_cache_that_cannot_be_made_is_named(server, tiny, tmp_path):
    folder, address, _ = server
    (folder / "1.csv").write_bytes(PLATE)
    tiny(f"{address}/1.csv")
    (tmp_path / "cache").write_text("a file in the way")
    assert code_of(datasets.load, "tiny") == "unwritable"


def test_the_local_folder_comes_first_and_is_checked(tiny, tmp_path, monkeypatch):
    tiny("http://127.0.0.1:9/1.csv")
    path = tmp_path / "here/TINY/TINY_1.csv"
    path.parent.mkdir(parents=True)
    monkeypatch.setenv("JBC_DATA", str(tmp_path / "here"))
    path.write_bytes(PLATE)
    assert datasets.fetch("tiny") == [path]
    path.write_bytes(PLATE.replace(b"0.5", b"0.6", 1))
    expected, found = (hashlib.sha256(content).hexdigest() for content in (PLATE, path.read_bytes()))
    with pytest.raises(InputError, match=rf"(?s)expected {expected}, found {found}.*TINY_1\.csv") as caught:
        datasets.load("tiny")
    assert caught.value.code == "checksum"
