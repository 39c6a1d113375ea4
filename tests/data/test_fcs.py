"""FCS files, written here by FlowIO and published, through the table reader, the data sets and the command line."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import flowio
import numpy as np
import pandas as pd
import pytest
from bad_inputs import fcs as faultless

from jbc.cli.main import main
from jbc.data import cache, datasets, read_table
from jbc.data.io.fcs import read_fcs
from jbc.errors import InputError

EVENTS = np.random.default_rng(0).lognormal(3, 1, size=(30, 4)).astype(np.float32)
CHANNELS = ["Time", "Nd142Di", "Nd143Di", "Ir191Di"]
MARKERS = ["", "CD19", "CD45RA", "DNA1"]
CYTONORM = "CytoNorm_FCS/Gates_PTLG021_Unstim_Control_1.fcs"


def write(
    path: Path, events: np.ndarray = EVENTS, channels=CHANNELS, markers=MARKERS, **keywords: str
) -> Path:
    with path.open("wb") as handle:
        flowio.create_fcs(handle, events.ravel().tolist(), channels, markers, keywords or None)
    return path


def refused(call, *args: Any, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    return caught.value


def test_events_are_rows_and_the_file_is_the_sample(tmp_path):
    files = [write(tmp_path / "day 1.fcs"), write(tmp_path / "day.2.FCS", EVENTS + 1)]
    table = read_table(files, keys=["sample"], features=["CD19", "CD45RA"])
    assert table.features == ("CD19", "CD45RA")
    assert table.x.dtype == np.float32
    np.testing.assert_array_equal(table.x, np.concatenate([EVENTS, EVENTS + 1])[:, 1:3])
    assert table.obs["sample"].tolist() == ["day 1"] * 30 + ["day.2"] * 30
    assert table.obs.index.tolist() == [str(row) for row in range(60)]
    assert table.source == tuple(map(str, files))


def test_channels_that_measure_no_cell_are_left_out_unless_they_are_named(tmp_path):
    path = write(tmp_path / "a.fcs")
    table = read_table(path)
    assert table.features == ("CD19", "CD45RA", "DNA1")
    assert dict(table.left_out) == {"Time": "measures no cell", "sample": "text"}
    assert read_table(path, keys=["sample"]).left_out.keys() == {"Time"}
    assert read_table(path, features=["Time", "DNA1"]).features == ("Time", "DNA1")
    excluded = read_table(path, exclude=["DNA1"])
    assert excluded.features == ("CD19", "CD45RA")
    assert excluded.left_out["DNA1"] == "excluded"


def test_names_are_markers_then_channels(tmp_path):
    path = write(
        tmp_path / "a.fcs", channels=["FITC-A", "FITC-H", "PE-A", "PE-H"], markers=["CD4", "CD4", " ", "CD8"]
    )
    events = read_fcs(path)
    assert events.names == ["FITC-A", "FITC-H", "PE-A", "CD8"]
    assert events.channels == ["FITC-A", "FITC-H", "PE-A", "PE-H"]
    assert refused(read_table, path, features=["PE-H"]).code == "missing-column"
    error = refused(
        read_table, [path, write(tmp_path / "b.fcs", channels=["FITC-A", "FITC-H", "PE-A", "PE-H"])]
    )
    assert error.code == "feature-mismatch"


def test_gains_amplification_and_the_time_step_are_taken_out(tmp_path):
    keywords = {"p2g": "2.0", "timestep": "0.5"}
    np.testing.assert_allclose(
        read_fcs(write(tmp_path / "a.fcs", **keywords)).x, EVENTS * [0.5, 0.5, 1, 1], rtol=1e-6
    )


def test_arcsinh_is_taken_of_every_kind_of_table(tmp_path):
    path = write(tmp_path / "a.fcs")
    expected = np.arcsinh(EVENTS[:, 1:3] / np.float32(5))
    np.testing.assert_array_equal(read_table(path, features=["CD19", "CD45RA"], arcsinh=5).x, expected)
    (tmp_path / "a.csv").write_text("id,x\na,-10\nb,\n")
    np.testing.assert_array_equal(read_table(tmp_path / "a.csv", arcsinh=5).x, [[np.arcsinh(-2)], [np.nan]])
    for bad in (0, -5, np.nan, np.inf):
        assert refused(read_table, path, arcsinh=bad).code == "bad-option"


def test_an_fcs_file_without_events_is_refused(tmp_path):
    assert refused(read_table, write(tmp_path / "a.fcs", EVENTS[:0]), features=["CD19"]).code == "no-rows"


def test_files_that_are_cut_or_garbled_are_an_input_error_or_unseen_but_never_a_crash(tmp_path):
    whole, rng, path = faultless(), np.random.default_rng(0), tmp_path / "a.fcs"
    for stop in range(0, len(whole), 7):
        path.write_bytes(whole[:stop])
        assert refused(read_table, path).code in ("damaged-file", "empty-file", "wrong-content")
    for _ in range(300):
        content = bytearray(whole)
        content[rng.integers(6, len(whole) - 24 * 12)] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        with contextlib.suppress(InputError):
            read_table(path)


def test_without_flowio_the_extra_is_named(tmp_path):
    path = write(tmp_path / "a.fcs")
    code = (
        "import sys; sys.modules['flowio'] = None\n"
        "from jbc.data import read_table\n"
        f"try: read_table({str(path)!r})\n"
        "except Exception as error: print(error.code, error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout
    assert said.startswith("missing-package")
    assert "pip install 'jbc[fcs]'" in said


def test_the_command_line_fits_and_transforms_samples(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cache, "keep_compiled", lambda: None)
    monkeypatch.chdir(tmp_path)
    files = [str(write(tmp_path / f"day{day}.fcs", EVENTS * day).name) for day in (1, 2)]
    options = ["--batch-key", "sample", "--features", "CD19", "CD45RA", "--arcsinh", "5"]
    assert main(["fit", "--data", *files, *options, "--out", "run", "standardise"]) == 0
    # The scale is that of the fit, unless another is named.
    for name, more in (("same.csv", []), ("other.csv", ["--arcsinh", "150"])):
        assert main(["transform", "run", "--data", *files, "--out", name, *more]) == 0
    assert main(["evaluate", "--data", "same.csv", "--before", *files, *options]) == 0
    assert capsys.readouterr().err == ""
    same, other = (pd.read_csv(name) for name in ("same.csv", "other.csv"))
    assert list(same) == ["sample", "CD19", "CD45RA"]
    raw = np.concatenate([EVENTS, EVENTS * 2])[:, 1:3]
    # Standardising keeps the mean over all rows.
    np.testing.assert_allclose(same[["CD19", "CD45RA"]].mean(), np.arcsinh(raw / 5).mean(axis=0), rtol=1e-4)
    assert np.abs(same["CD19"] - other["CD19"]).min() > 0.1


def test_a_published_file_is_what_its_publishers_csv_says(data):
    events = read_fcs(data / CYTONORM)
    frame = pd.read_csv(data / "CytoNorm_FCS/cytonorm_controls.csv.gz")
    frame = frame[(frame["batch"] == "PTLG021") & (frame["control"] == 1)].drop(columns=["batch", "control"])
    np.testing.assert_allclose(events.x, frame, rtol=1e-5)
    assert [name.partition("|")[0] for name in frame] == events.channels
    assert [name.partition("|")[2] or name for name in frame] == events.names


def test_cytonorm_by_name(data):
    adata = datasets.load("cytonorm")
    frame = pd.read_csv(data / "CytoNorm_FCS/cytonorm_controls.csv.gz")
    assert adata.shape == (6000, 37)
    both = [f"{channel}|{marker}" for marker, channel in adata.var["channel"].items()]
    np.testing.assert_allclose(adata.X, np.arcsinh(frame[both].to_numpy() / 5), rtol=1e-4, atol=1e-6)  # pyright: ignore[reportCallIssue]
    assert adata.obs["domain"].tolist() == frame["batch"].tolist()
    assert adata.obs["treatment"].tolist() == [f"Control {number}" for number in frame["control"]]
    assert set(adata.obs["stimulation"]) == {"Unstim"}
    assert set(adata.obs["label"]) == {""}
    assert adata.obs["unit"].is_unique
    assert adata.obs["sample"].nunique() == 6
    assert adata.uns["arcsinh_cofactor"] == 5
    left_out = [name for name in frame.columns[2:] if name not in both]
    marked = [name.partition("|")[2] for name in left_out if "|" in name]
    assert (len(left_out), sum(re.fullmatch(r"BC\d", name) is not None for name in marked)) == (18, 6)
    assert [name for name in marked if not name.startswith("BC")] == ["DNA1", "DNA2", "beadDist"]
