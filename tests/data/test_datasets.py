from __future__ import annotations

import gzip
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
from sklearn.metrics.pairwise import cosine_similarity

from jbc.data import datasets
from jbc.data.datasets import catalogue
from jbc.data.datasets.load import _runs
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


@pytest.fixture
def mixture(monkeypatch, tmp_path):
    """Put two small files of counts below JBC_DATA: they share two genes, name their cells alike, and the files
    that tell about the cells list them in another order.
    """
    cells = '"cell_number","cell_line_demuxlet","demuxlet_cls"\n'
    contents = {
        "sc_dropseq.count": '"A","B","C"\n"G3",1,2,3\n"G2",4,5,6\n"G1",7,8,9\n',
        "sc_dropseq.metadata": cells + '"C",1,"c","SNG"\n"A",1,"a","DBL"\n"B",2,"b","SNG"\n',
        "sc_celseq2_5cl_p3.count": '"C","A"\n"G1",10,11\n"G4",12,13\n"G3",14,15\n',
        "sc_celseq2_5cl_p3.metadata": cells + '"A",1,"b","SNG"\n"C",1,"a","SNG"\n',
    }
    remotes = []
    for name, text in contents.items():
        path, packed = tmp_path / f"{name}.csv.gz", gzip.compress(text.encode())
        path.write_bytes(packed)
        remotes.append(catalogue.Remote(path.name, "http://127.0.0.1:9/", hashlib.sha256(packed).hexdigest()))
    entry = catalogue.Entry("mixture", "A title", "counts", "CC0", "Somebody", "Nothing", tuple(remotes))
    monkeypatch.setattr(catalogue, "ENTRIES", (entry,))
    monkeypatch.setenv("JBC_DATA", str(tmp_path))
    return tmp_path


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
        "cytof-person1-3month",
        "cytof-person2-3month",
        "pancreas",
        "cytonorm",
        "sc-mixology",
        "bbbc021",
        "bbbc021-189",
        "simulated-plates",
        "simulated-screen",
    }
    for name in datasets.names():
        described = datasets.describe(name)
        assert all(described[key] for key in ("name", "title", "licence", "citation", "notes"))
        files = catalogue.find(name).files
        assert described["source"].split() == list(dict.fromkeys(file.url for file in files))
        if name == "pancreas":
            assert not any(file.sha256 for file in files)  # nothing that cannot be verified is downloaded
            continue
        for file in files:
            assert re.fullmatch(
                r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/.+\.(fcs|csv(\.gz)?)", file.url
            )
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
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
        for file in filter(lambda file: file.sha256, entry.files):
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
    extent = rows.max().to_numpy() - rows.min().to_numpy() + 1
    assert (extent == groups.size().to_numpy()).all()
    plate = obs[obs["domain"] == "plate 3"].reset_index(drop=True)
    assert plate["unit"].tolist() == [f"plate 3-{row // 5}" for row in range(len(plate))]


def test_runs_start_anew_where_the_label_changes():
    label = np.array(list("aaaaaaa" + "bbbbb" + "a" + "bb"))
    assert _runs(label).tolist() == [0] * 5 + [1] * 2 + [2] * 5 + [3] + [4] * 2


BASELINE = {"1": [(1858, 490), (1460, 405)], "2": [(4308, 523), (3530, 472)]}
LATER = {"1": [(1911, 175), (1555, 132)], "2": [(2654, 86), (2014, 68)]}


@needs_data
@pytest.mark.parametrize(
    ("name", "persons", "cells", "files"),
    [
        ("cytof", "12", BASELINE, "CyTOF/Person{}Day1_baseline.csv"),
        ("cytof-person1", "1", BASELINE, "CyTOF/Person{}Day1_baseline.csv"),
        ("cytof-person2", "2", BASELINE, "CyTOF/Person{}Day1_baseline.csv"),
        ("cytof-person1-3month", "1", LATER, "CyTOF_3month/Person{}Day1_3month.csv"),
        ("cytof-person2-3month", "2", LATER, "CyTOF_3month/Person{}Day1_3month.csv"),
    ],
)
def test_cytof(name, persons, cells, files):
    adata = datasets.load(name)
    expected = [cells[person][day] for person in persons for day in (0, 1)]
    counts = adata.obs.groupby(["person", "domain"], observed=True)["label"].agg(
        rows="size", positive=lambda labels: (labels == "1").sum()
    )
    assert list(counts.itertuples(index=False, name=None)) == expected
    assert adata.obs["unit"].is_unique
    zeros = 100 * np.mean(adata[adata.obs["domain"] == "day 2"].X == 0)
    assert 37 < zeros < 42
    first = np.loadtxt(Path(DATA, files.format(persons[0])), delimiter=",", dtype=np.float32)
    np.testing.assert_array_equal(adata.X[: len(first)], first)


def test_cells_are_joined_by_name_and_genes_intersected(mixture):
    adata = datasets.load("mixture")
    assert adata.var_names.tolist() == ["G1", "G3"]
    np.testing.assert_array_equal(adata.X, np.float32([[7, 1], [8, 2], [9, 3], [10, 14], [11, 15]]))
    told = {name: adata.obs[name].tolist() for name in adata.obs}
    assert told == {
        "domain": ["Drop-seq"] * 3 + ["CEL-seq2 plate 3"] * 2,
        "label": ["a", "b", "c", "a", "b"],
        "unit": ["Drop-seq-A", "Drop-seq-B", "Drop-seq-C", "CEL-seq2 plate 3-C", "CEL-seq2 plate 3-A"],
        "protocol": ["Drop-seq"] * 3 + ["CEL-seq2"] * 2,
        "doublet": [True, False, False, False, False],
        "two_cells": [False, True, False, False, False],
    }


def test_another_file_of_counts_is_refused(mixture):
    path = mixture / "sc_dropseq.count.csv.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"4,5,6", b"4,5,7")))
    assert code_of(datasets.load, "mixture") == "checksum"


def test_files_without_a_checksum_are_placed_by_hand(monkeypatch, tmp_path):
    """Nothing is downloaded; the message says what is missing, where it belongs and where it comes from."""
    monkeypatch.setenv("JBC_DATA", str(tmp_path))
    with pytest.raises(InputError) as caught:
        datasets.load("pancreas")
    assert caught.value.code == "not-placed"
    said = str(caught.value)
    assert all(
        part in said
        for part in ("'pancreas/GSE81076.count.csv.gz'", "checksum", str(tmp_path), "E-MTAB-5061")
    )
    cells = {"GSE81076": "AB", "GSE86469": "CD", "E-MTAB-5061": "E"}
    (tmp_path / "pancreas").mkdir()
    for accession, names in cells.items():
        values = pd.DataFrame({cell: [1, 2, 3] for cell in names}, index=["INS", accession, "GCG"])
        types = pd.DataFrame({"label": [f"type {cell}" for cell in names]}, index=list(names)).iloc[::-1]
        for part, table in (("count", values), ("metadata", types)):
            table.to_csv(tmp_path / f"pancreas/{accession}.{part}.csv.gz")
    adata = datasets.load("pancreas")
    assert adata.var_names.tolist() == ["GCG", "INS"]
    assert adata.obs["domain"].tolist() == ["CEL-seq"] * 2 + ["Fluidigm C1"] * 2 + ["Smart-seq2"]
    assert adata.obs["label"].tolist() == [f"type {cell}" for cell in "ABCDE"]
    np.testing.assert_array_equal(adata.X, np.tile([3, 1], (5, 1)))
    types.drop(index="E").to_csv(tmp_path / "pancreas/E-MTAB-5061.metadata.csv.gz")
    assert code_of(datasets.load, "pancreas") == "cells-unknown"


MIXOLOGY = {
    "sc_celseq2": ("CEL-seq2", {"H1975": 112, "H2228": 81, "HCC827": 81}),
    "sc_dropseq": ("Drop-seq", {"H1975": 86, "H2228": 69, "HCC827": 70}),
    "sc_celseq2_5cl_p1": (
        "CEL-seq2 plate 1",
        {"A549": 103, "H1975": 50, "H2228": 50, "H838": 51, "HCC827": 43},
    ),
    "sc_celseq2_5cl_p2": (
        "CEL-seq2 plate 2",
        {"A549": 107, "H1975": 44, "H2228": 44, "H838": 71, "HCC827": 41},
    ),
    "sc_celseq2_5cl_p3": (
        "CEL-seq2 plate 3",
        {"A549": 118, "H1975": 35, "H2228": 41, "H838": 75, "HCC827": 36},
    ),
}


@pytest.fixture(scope="module")
def mixology():
    return datasets.load("sc-mixology")


def about_cells(stem: str) -> pd.DataFrame:
    return pd.read_csv(Path(DATA, f"sc_mixology/{stem}.metadata.csv.gz"), index_col=0)


@needs_data
@pytest.mark.parametrize("stem", MIXOLOGY)
@pytest.mark.slow
def test_sc_mixology_is_what_pandas_reads(mixology, stem):
    domain, lines = MIXOLOGY[stem]
    rows = (mixology.obs["domain"] == domain).to_numpy()
    x, obs = mixology.X[rows], mixology.obs[rows]
    counts = pd.read_csv(Path(DATA, f"sc_mixology/{stem}.count.csv.gz"), index_col=0)
    np.testing.assert_array_equal(x, counts.loc[mixology.var_names].to_numpy().T)
    cells = obs["unit"].str.removeprefix(f"{domain}-").tolist()
    assert cells == counts.columns.tolist()
    about = about_cells(stem)
    assert sorted(cells) == sorted(about.index)
    about = about.loc[cells]
    assert obs["label"].tolist() == about["cell_line_demuxlet"].tolist()
    assert obs["label"].value_counts().loc[lambda count: count > 0].to_dict() == lines
    assert obs["doublet"].tolist() == (about["demuxlet_cls"] == "DBL").tolist()
    wells = about.get("cell_number", pd.Series(1, about.index))
    assert obs["two_cells"].tolist() == (wells == 2).tolist()
    # The publishers counted each cell's molecules over all genes: a cell that met another's row would stand out.
    kept = x.sum(axis=1) / about["total_count_per_cell"]
    assert kept.between(0.89, 1).all()


@needs_data
def test_sc_mixology_is_what_its_notes_say(mixology):
    obs, notes = mixology.obs, datasets.describe("sc-mixology")["notes"]
    assert mixology.shape == (274 + 225 + 297 + 307 + 305, 11533)
    assert mixology.X.dtype == np.float32
    assert mixology.X.flags.c_contiguous
    assert mixology.var_names.is_monotonic_increasing
    assert mixology.var_names.is_unique
    assert mixology.var_names.str.startswith("ENSG").all()
    assert obs["unit"].is_unique
    assert obs["domain"].unique().tolist() == [domain for domain, _ in MIXOLOGY.values()]
    assert obs.groupby("protocol", observed=True).size().to_dict() == {"CEL-seq2": 1183, "Drop-seq": 225}
    assert all(obs[name].dtype == "category" for name in ("domain", "label", "unit", "protocol"))
    assert obs["two_cells"].sum() == 116
    doublets = obs.groupby("domain", observed=True)["doublet"].mean()
    assert (round(100 * doublets.min()), round(100 * doublets.max())) == (7, 47)
    older = pd.concat([about_cells(stem) for stem in ("sc_celseq2", "sc_dropseq")])
    parted = older[older["cell_line"] != older["cell_line_demuxlet"]]
    assert parted["demuxlet_cls"].tolist() == ["DBL"] * 8
    assert all(fact in notes for fact in ("11533", "116 wells", "7 to 47 %", "8 doublets"))


@pytest.fixture(scope="module")
def screens():
    return {name: datasets.load(name) for name in ("bbbc021", "bbbc021-189")}


@needs_data
def test_wells_of_bbbc021_are_joined_to_what_they_hold(screens):
    """The 189 features were joined by their publishers, from the same three files: an independent answer."""
    obs = screens["bbbc021"].obs.set_index("unit")
    theirs = pd.read_csv(datasets.fetch("bbbc021-189")[0], dtype={"Metadata_Concentration": float})
    theirs.index = pd.Index(theirs["Metadata_Plate"] + "-" + theirs["Metadata_Well"])
    theirs = theirs.loc[obs.index]
    for ours, name in (("compound", "Compound"), ("concentration", "Concentration"), ("plate", "Plate")):
        assert obs[ours].tolist() == theirs[f"Metadata_{name}"].tolist()
    assert obs["label"].tolist() == theirs["Metadata_moa"].replace("DMSO", "").tolist()
    assert obs["control"].tolist() == (theirs["Metadata_Compound"] == "DMSO").tolist()
    assert obs["domain"].tolist() == theirs["Metadata_Plate"].str.extract(r"^(Week\d+)_")[0].tolist()


@needs_data
@pytest.mark.parametrize(("name", "features"), [("bbbc021", 516), ("bbbc021-189", 189)])
def test_bbbc021_is_what_pandas_reads(screens, name, features):
    adata = screens[name]
    frame = pd.read_csv(datasets.fetch(name)[0], dtype=str)
    values = frame[[column for column in frame if "Metadata_" not in column]]
    assert adata.shape == (632, features)
    assert adata.var_names.tolist() == list(values)
    np.testing.assert_array_equal(adata.X, values.to_numpy(np.float64).astype(np.float32))
    wells = frame.iloc[:, 0].str.cat(frame.iloc[:, 1], sep="-")
    assert adata.obs["unit"].tolist() == wells.tolist()


@needs_data
@pytest.mark.parametrize("name", ["bbbc021", "bbbc021-189"])
def test_bbbc021_is_what_its_notes_say(screens, name):
    obs, notes = screens[name].obs, datasets.describe(name)["notes"]
    assert obs.drop(columns=["concentration", "control"]).dtypes.eq("category").all()
    assert obs["control"].dtype == bool
    assert obs["unit"].is_unique
    assert obs["domain"].nunique() == 10
    control, treated = obs[obs["control"]], obs[~obs["control"]].astype({"concentration": str})
    assert len(control) == 330
    assert set(control["treatment"]) == {"DMSO"}
    assert set(control["label"]) == {""}
    assert control.groupby("plate", observed=True).size().tolist() == [6] * 55
    assert [treated[column].nunique() for column in ("treatment", "compound", "label")] == [103, 38, 12]
    assert treated["treatment"].str.fullmatch(r"\S.* @ (0\.00)?[0-9.]+").all()
    plates = treated.groupby("treatment", observed=True)["plate"].nunique()
    assert (plates.min(), plates.max()) == (2, 3)
    assert (treated.groupby("compound", observed=True)["domain"].nunique() == 1).all()
    weeks = treated.groupby("label", observed=True)["domain"].nunique()
    assert weeks.index[weeks == 1].tolist() == ["Cholesterol-lowering", "Kinase inhibitors"]
    alone = treated[treated["label"].isin(["Cholesterol-lowering", "Kinase inhibitors"])]
    assert alone["treatment"].nunique() == 11
    assert all(fact in notes for fact in ("632 wells", "330 wells", "103 treatments", "11 treatments"))


@needs_data
def test_nearest_neighbours_in_bbbc021_have_the_known_accuracy(screens):
    """Medians of treatments, scaled on the controls, 1-NN by cosine: 0.864 without the compound itself, and 0.685
    without its week as well. They were computed from the same files by other means.
    """
    adata = screens["bbbc021"]
    x = adata.to_df().astype(np.float64).filter(regex="^(?!.*Center)")
    control = adata.obs["control"]
    scaled = ((x - x[control].mean()) / x[control].std())[~control]
    wells = adata.obs[~control].astype({"treatment": str})
    medians = scaled.groupby(wells["treatment"]).median()
    held = wells.drop_duplicates("treatment").set_index("treatment").loc[medians.index].astype(str)
    compound, week, label = (held[name].to_numpy() for name in ("compound", "domain", "label"))
    similarity = cosine_similarity(medians)
    accuracies = []
    for eligible in (compound[:, None] != compound, week[:, None] != week):
        possible = ((label[:, None] == label) & eligible).any(axis=1)
        nearest = np.where(eligible, similarity, -2).argmax(axis=1)
        accuracies.append(round(float((label[nearest] == label)[possible].mean()), 3))
    assert possible.sum() == 103 - 11
    assert accuracies == [0.864, 0.685]


@needs_data
def test_positions_in_the_image_are_named_as_such(screens):
    names = screens["bbbc021"].var_names
    assert names.str.contains("Location|Center").sum() == 40
    assert screens["bbbc021-189"].var_names.str.contains("Location|Center").sum() == 2
    assert datasets.describe("bbbc021")["notes"].count("40 features") == 1
    spread = screens["bbbc021"].to_df().astype(np.float64).std()
    assert (f"{spread.min():.4f}", round(spread.max(), -2)) == ("0.0004", 1400)


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


def test_the_simulated_screen_is_what_its_description_says(tmp_path):
    adata = datasets.load("simulated-screen")
    assert adata.shape == adata.layers["clean"].shape == (984, 32)
    assert set(adata.obs["label"][adata.obs["control"]]) == {""}
    weeks = adata.obs[~adata.obs["control"]].groupby("treatment", observed=True)["domain"].nunique()
    assert weeks.value_counts().to_dict() == {1: 24, 5: 24}
    adata.write_h5ad(tmp_path / "screen.h5ad")


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
