"""The command line: what goes in comes out, and it is what the Python face gives, bit for bit."""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from problems import assert_same_bytes, vary
from sklearn.metrics import accuracy_score

import jbc
from jbc.cli import fit as fit_command
from jbc.cli.common import parse
from jbc.cli.main import COMMANDS, main
from jbc.data import cache
from jbc.methods import presets
from jbc.methods.inputs import Inputs
from jbc.methods.settings import Kernel, Training
from jbc.model import fitting
from jbc.train.checkpoint import latest, save_step
from jbc.train.hooks import log_lines, read_log
from jbc.train.loop import Event

ROWS, PLATES = 45, ("01", "2024-03-01", "p/3")
FEATURES = ("100.9", "<script>", "../../x", "m/z 512 é")
ODD = (
    "001",
    "NA",
    "1e5",
    " a",
    "=1+1",
    "🧪",
    'q"uo"te',
    "comma,tab\tx",
    "None",
    "two\nlines",
    "-1",
    "x" * 300,
)
FORMATS = ("csv", "tsv", "csv.gz", "parquet", "h5ad")


@pytest.fixture(scope="module", autouse=True)
def cache_is_left_alone():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "keep_compiled", lambda: None)
        yield


def seconds_of_children() -> float:
    """Processor time of all programs that were run so far: unlike the clock, it leaves out what runs beside."""
    spent = os.times()
    return spent.children_user + spent.children_system


def python(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)


class World:
    """Three plates in no order, of which the last has no labels; ids and metadata that careless tools change."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        plate = rng.permutation(np.arange(ROWS) % 3)
        label = np.arange(ROWS) % 2
        self.x = np.exp(rng.normal(size=(ROWS, 4)) + 0.3 * plate[:, None] + label[:, None])
        self.obs = {
            "plate": [PLATES[each] for each in plate],
            "class": ["" if p == 2 else "AB"[y] for p, y in zip(plate, label, strict=True)],
            "truth": ["AB"[y] for y in label],
            "Metadata_odd": [ODD[row % len(ODD)] for row in range(ROWS)],
            "Metadata_number": [f"{row:04d}" for row in range(ROWS)],
        }
        self.ids = [f"{ROWS - row:03d}" for row in range(ROWS)]

    def write(self, path: Path, rows: slice = slice(None)) -> Path:
        """Write with the tools that people use, not with ours."""
        frame = pd.DataFrame(self.obs, index=pd.Index(self.ids, name="id")).iloc[rows]
        values = pd.DataFrame(self.x, columns=list(FEATURES), index=pd.Index(self.ids, name="id")).iloc[rows]
        if path.suffix == ".h5ad":
            obs = frame.rename_axis(index=None)
            anndata.AnnData(values.to_numpy(), obs, pd.DataFrame(index=list(FEATURES))).write_h5ad(path)
        elif path.suffix == ".parquet":
            pd.concat([frame, values], axis=1).to_parquet(path)
        else:
            separator = "\t" if ".tsv" in path.name else ","
            pd.concat([frame, values], axis=1).to_csv(path, sep=separator)
        return path


def read(path: Path) -> tuple[list[str], dict[str, list[str]], dict[str, np.ndarray]]:
    """Ids, columns of text and columns of numbers of a file, read with the tools that people use."""
    if path.suffix == ".h5ad":
        data = anndata.read_h5ad(path)
        text = {str(name): data.obs[name].astype(str).tolist() for name in data.obs}
        return list(data.obs_names), text, dict(zip(data.var_names, data.X.T, strict=True))
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
    else:
        separator = "\t" if ".tsv" in path.name else ","
        frame = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)
    names = [*World().obs, "predicted"]
    text = {name: frame[name].tolist() for name in names if name in frame}
    numbers = {name: frame[name].to_numpy(np.float64) for name in frame if name not in [*text, "id"]}
    return frame["id"].tolist(), text, numbers


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cli")


KEYS = ("--batch-key", "plate", "--labels-key", "class", "--features", *FEATURES)
SMALL = jbc.JointCalibration(rebuild="sources", training=Training(rows=8))


def fit(out: Path, *data: Path, seed: int = 7, steps: int = 4) -> int:
    options = ["--out", out, "--steps", steps, "--seed", seed]
    method = ["joint-calibration", "--rows", 8, "--rebuild", "sources"]
    return run("fit", "--data", *data, *KEYS, *options, *method)


def run(*arguments: object) -> int:
    return main([str(each) for each in arguments])


@pytest.fixture(scope="module")
def model(world, folder) -> Path:
    """A run of joint calibration on the CSV file."""
    assert fit(folder / "run", world.write(folder / "plates.csv")) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def corrector(world) -> jbc.Corrector:
    """The same by the Python face."""
    frame = pd.DataFrame(world.x, columns=list(FEATURES))
    return jbc.Corrector(SMALL, steps=4, random_state=7).fit(
        frame, world.obs["class"], domain=world.obs["plate"]
    )


def expected(corrector: jbc.Corrector, world: World, name: str) -> np.ndarray:
    frame = pd.DataFrame(world.x, columns=list(FEATURES))
    return getattr(corrector, name)(frame, domain=world.obs["plate"])


# What goes in comes out.


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.slow
def test_transform_keeps_rows_ids_and_metadata_and_equals_the_python_face(
    world, model, corrector, tmp_path, extension
):
    data, out = world.write(tmp_path / f"in.{extension}"), tmp_path / f"out.{extension}"
    assert run("transform", model, "--data", data, "--out", out) == 0
    ids, text, numbers = read(out)
    assert ids == world.ids
    assert text == world.obs
    assert tuple(numbers) == FEATURES
    found = np.stack(list(numbers.values()), axis=1).astype(np.float32)
    assert found.tobytes() == expected(corrector, world, "transform").tobytes()


@pytest.mark.parametrize("extension", FORMATS)
def test_predict_keeps_rows_ids_and_metadata_and_equals_the_python_face(
    world, model, corrector, tmp_path, extension
):
    data, out = world.write(tmp_path / f"in.{extension}"), tmp_path / f"out.{extension}"
    assert run("predict", model, "--data", data, "--out", out) == 0
    ids, text, numbers = read(out)
    assert ids == world.ids
    assert text.pop("predicted") == expected(corrector, world, "predict").tolist()
    assert text == world.obs
    assert tuple(numbers) == ("probability_A", "probability_B")
    found = np.stack(list(numbers.values()), axis=1).astype(np.float32)
    assert found.tobytes() == expected(corrector, world, "predict_proba").tobytes()


@pytest.mark.parametrize("extension", FORMATS)
def test_every_format_gives_the_same_run_and_the_same_judgement(world, model, tmp_path, extension):
    data, told = world.write(tmp_path / f"in.{extension}"), tmp_path / "numbers.json"
    assert run("fit", "--data", data, *KEYS, "--out", tmp_path / "run", "standardise") == 0
    config, reference = (json.loads((each / "run.json").read_text()) for each in (tmp_path / "run", model))
    assert config["data"] == reference["data"]  # a sum over values, names and groups
    assert run("evaluate", "--data", data, *KEYS, "--out", told) == 0
    rows = jbc.metrics.evaluate(world.x, world.obs["plate"], world.obs["class"])
    assert json.loads(told.read_text()) == json.loads(json.dumps(rows))


def test_text_files_keep_metadata_byte_for_byte(world, model, tmp_path):
    data, out = world.write(tmp_path / "in.csv"), tmp_path / "out.csv"
    assert run("transform", model, "--data", data, "--out", out) == 0
    before, after = (path.read_bytes().decode() for path in (data, out))
    for row, (old, new) in enumerate(zip(*(csv_rows(text) for text in (before, after)), strict=True)):
        assert old[: 1 + len(world.obs)] == new[: 1 + len(world.obs)], row
    assert all(quoted in after for quoted in ('"q""uo""te"', '"comma,tab\tx"', '"two\nlines"', "🧪", "=1+1"))


def csv_rows(text: str) -> list[list[str]]:
    return list(csv.reader(text.splitlines(keepends=True)))


def test_several_files_are_one_table(world, model, folder, tmp_path):
    parts = [world.write(tmp_path / "a.csv", slice(0, 20)), world.write(tmp_path / "b.tsv", slice(20, None))]
    runs = [tmp_path / "parts", tmp_path / "whole"]
    assert run("fit", "--data", *parts, *KEYS, "--out", runs[0], "standardise") == 0
    assert run("fit", "--data", folder / "plates.csv", *KEYS, "--out", runs[1], "standardise") == 0
    assert (runs[0] / "run.json").read_bytes() == (runs[1] / "run.json").read_bytes()
    for command in ("transform", "predict"):
        outs = [tmp_path / f"{command}-{name}.csv" for name in ("parts", "whole")]
        assert run(command, model, "--data", *parts, "--out", outs[0]) == 0
        assert run(command, model, "--data", folder / "plates.csv", "--out", outs[1]) == 0
        assert outs[0].read_bytes() == outs[1].read_bytes()


def test_the_model_folder_serves_as_well_as_its_run(world, model, corrector, tmp_path):
    data, outs = model.parent / "plates.csv", [tmp_path / "a.csv", tmp_path / "b.csv"]
    for place, out in zip((model, model / "model"), outs, strict=True):
        assert run("transform", place, "--data", data, "--out", out, "--batch-key", "plate") == 0
    assert outs[0].read_bytes() == outs[1].read_bytes()
    frame = pd.DataFrame(world.x, columns=list(FEATURES))
    reloaded = jbc.load(model / "model").transform(frame, domain=world.obs["plate"])
    assert reloaded.tobytes() == expected(corrector, world, "transform").tobytes()


def test_features_in_another_order_are_put_right(world, model, tmp_path):
    frame = pd.read_csv(model.parent / "plates.csv", dtype=str, keep_default_na=False)
    frame[[*frame.columns[::-1]]].to_csv(tmp_path / "reversed.csv", index=False)
    outs = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    assert run("transform", model, "--data", model.parent / "plates.csv", "--out", outs[0]) == 0
    assert run("transform", model, "--data", tmp_path / "reversed.csv", "--out", outs[1]) == 0
    a, b = (pd.read_parquet(path) for path in outs)
    pd.testing.assert_frame_equal(a[list(FEATURES)], b[list(FEATURES)], check_exact=True)


def test_codes(world, model, corrector, tmp_path):
    out = tmp_path / "codes.parquet"
    data = model.parent / "plates.csv"
    assert run("transform", model, "--data", data, "--out", out, "--output", "codes") == 0
    codes = pd.read_parquet(out)[[f"jbc{i}" for i in range(4)]].to_numpy(np.float32)
    assert codes.tobytes() == expected(corrector, world, "encode").tobytes()


def test_units_share_their_prediction(world, model, corrector, tmp_path):
    frame = pd.read_csv(model.parent / "plates.csv", dtype=str, keep_default_na=False)
    unit = [f"s{row % 9}" for row in range(ROWS)]
    frame.assign(Metadata_subject=unit).to_csv(tmp_path / "in.csv", index=False)
    out = tmp_path / "out.csv"
    assert (
        run("predict", model, "--data", tmp_path / "in.csv", "--out", out, "--unit-key", "Metadata_subject")
        == 0
    )
    found = pd.read_csv(out, index_col="id")
    probability = pd.DataFrame(expected(corrector, world, "predict_proba"))
    medians = probability.groupby(unit).transform("median")
    medians = medians.div(medians.sum(axis=1), axis=0)
    np.testing.assert_allclose(found[["probability_A", "probability_B"]], medians, rtol=1e-6)
    assert found["predicted"].tolist() == ["AB"[each] for each in medians.to_numpy().argmax(axis=1)]


@pytest.mark.slow
def test_evaluate_judges_before_and_after(world, model, tmp_path, capsys):
    data, out, told = model.parent / "plates.csv", tmp_path / "out.csv", tmp_path / "numbers.json"
    assert run("transform", model, "--data", data, "--out", out) == 0
    keys = ["--batch-key", "plate", "--labels-key", "truth", "--features", *FEATURES]
    assert run("evaluate", "--data", out, "--before", data, *keys, "--out", told) == 0
    rows = json.loads(told.read_text())
    table = pd.DataFrame(rows)
    assert set(table["table"]) == {"before", "after"}
    assert np.isfinite(table["value"].to_numpy(float)).all()
    assert (table["table"] == "before").sum() == (table["table"] == "after").sum()
    shown = capsys.readouterr().out
    assert "evaluation" in shown
    assert all(metric in shown for metric in set(table["metric"]))
    again = tmp_path / "again.json"
    assert run("evaluate", "--data", out, "--before", data, *keys, "--out", again) == 0
    assert again.read_bytes() == told.read_bytes()


def test_evaluate_counts_right_predictions_as_scikit_learn_does(world, model, tmp_path):
    out, told = tmp_path / "predicted.csv", tmp_path / "numbers.json"
    assert run("predict", model, "--data", model.parent / "plates.csv", "--out", out) == 0
    keys = ["--batch-key", "plate", "--labels-key", "truth", "--predicted-key", "predicted"]
    assert run("evaluate", "--data", out, *keys, "--out", told) == 0
    rows = [row for row in json.loads(told.read_text()) if row["metric"] == "accuracy"]
    frame = pd.read_csv(out, dtype=str)
    for plate in PLATES:
        mine = frame[frame["plate"] == plate]
        found = [row["value"] for row in rows if row["domain"] == plate]
        assert found == [pytest.approx(accuracy_score(mine["truth"], mine["predicted"]))]


# The run.


def test_a_run_folder_tells_what_was_done(world, model, corrector):
    log = [json.loads(line) for line in (model / "log.jsonl").read_text().splitlines()]
    config = json.loads((model / "run.json").read_text())
    loaded = jbc.load(model / "model")
    assert [row["step"] for row in log] == [4]
    assert log[0]["loss"] == loaded.record.history[0]["loss"] == corrector.history_[0]["loss"]
    assert (config["steps"], config["seed"]) == (4, 7)
    assert config["method"] == {"name": "joint-calibration"} | {"fields": config["method"]["fields"]}
    assert loaded.method == SMALL
    assert loaded.record.notes["columns"] == {
        "batch": "plate",
        "labels": "class",
        "treatment": None,
        "unit": None,
        "order": None,
        "covariates": [],
    }
    assert not list(model.rglob("*.tmp*"))


def test_the_seed_decides(world, model, tmp_path):
    data = model.parent / "plates.csv"
    assert fit(tmp_path / "same", data) == 0
    assert fit(tmp_path / "other", data, seed=8) == 0
    sums = [predicted(place) for place in (model, tmp_path / "same", tmp_path / "other")]
    assert sums[0] == sums[1] != sums[2]


def predicted(run_folder: Path) -> bytes:
    world = World()
    frame = pd.DataFrame(world.x, columns=list(FEATURES))
    return jbc.load(run_folder / "model").predict_proba(frame, domain=world.obs["plate"]).tobytes()


@pytest.mark.parametrize("late", [True, False])
def test_a_new_run_that_fails_leaves_its_checkpoints_or_nothing(model, tmp_path, monkeypatch, capsys, late):
    def fail(*_: object) -> None:
        if late:
            save_step(tmp_path / "runs" / "new" / "checkpoints", 2, {"a": np.ones(2)}, {})
        raise jbc.InputError("Training diverged", why="It does.", fix="Do not.", code="diverged")

    monkeypatch.setattr(fitting, "fit_prepared", fail)
    assert fit(tmp_path / "runs" / "new", model.parent / "plates.csv") == 2
    assert "Training diverged" in capsys.readouterr().err
    assert (tmp_path / "runs" / "new").exists() == late
    assert latest(tmp_path / "runs" / "new" / "checkpoints") == (2 if late else None)


@pytest.mark.parametrize("resume", [["--resume"], []])
def test_what_a_kill_left_of_the_first_moment_is_no_hindrance(model, tmp_path, resume):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".jbc-0123456789abcdef.json").write_text("{")
    data = model.parent / "plates.csv"
    assert run("fit", "--data", data, *KEYS, "--out", tmp_path / "run", *resume, "standardise") == 0
    assert jbc.load(tmp_path / "run" / "model").names.domains == tuple(sorted(PLATES))


@pytest.mark.slow
def test_features_are_the_numeric_columns_that_are_neither_keys_nor_metadata(world, tmp_path):
    lines = ["id,plate,dose,Metadata_x,a,note,b"]
    lines += [f"{row:03d},{row % 2},{row % 3},{row},{row}.5,n{row},{row * row}" for row in range(12)]
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    common = ["fit", "--data", tmp_path / "in.csv", "--batch-key", "plate"]
    asked = {
        "rule": ([], ("dose", "a", "b")),
        "key": (["--treatment-key", "dose"], ("a", "b")),
        "control": (["--control", "dose == 0 or note == 'n3'"], ("a", "b")),
        "named": (["--features", "b", "Metadata_x"], ("b", "Metadata_x")),
    }
    for name, (options, features) in asked.items():
        assert run(*common, "--out", tmp_path / name, *options, "standardise") == 0
        assert jbc.load(tmp_path / name / "model").names.features == features


def test_controls_are_marked_by_an_expression(world, tmp_path):
    data = world.write(tmp_path / "in.csv")
    expression = "Metadata_number < 30 and not (truth == 'A' and Metadata_odd in ['001', 'NA'])"
    keys = ["--batch-key", "plate", "--features", *FEATURES, "--control", expression]
    assert (
        run("fit", "--data", data, *keys, "--out", tmp_path / "run", "standardise", "--on", "controls") == 0
    )
    marked = [
        row < 30 and not (world.obs["truth"][row] == "A" and world.obs["Metadata_odd"][row] in ("001", "NA"))
        for row in range(ROWS)
    ]
    frame = pd.DataFrame(world.x, columns=list(FEATURES))
    face = jbc.Corrector(jbc.Standardise(on="controls")).fit(frame, domain=world.obs["plate"], control=marked)
    assert_same_bytes(jbc.load(tmp_path / "run" / "model").fitted, face.model_.fitted)


@pytest.mark.parametrize("extension", ["csv", "parquet", "h5ad"])
def test_profiles_in_the_style_of_pycytominer(tmp_path, monkeypatch, extension):
    """Treatments and controls reach the method, and none of the columns named Metadata_… is a feature."""
    rng, n = np.random.default_rng(0), 24
    obs = pd.DataFrame(
        {
            "Metadata_Plate": np.repeat(["BR1", "BR2"], n // 2),
            "Metadata_Well": [f"{row % 12 + 1:02d}" for row in range(n)],
            "Metadata_Site": np.arange(n),
            "Metadata_Compound": np.tile(["DMSO", "taxol", "DMSO", "AZ-J"], n // 4),
            "Metadata_Concentration": np.tile([0.0, 0.3, 0.0, 1e-3], n // 4),
        },
        index=[f"r{row}" for row in range(n)],
    )
    obs["Metadata_Treatment"] = [f"{c} @ {d:g}" for c, d in obs.iloc[:, -2:].itertuples(index=False)]
    x = pd.DataFrame(rng.normal(size=(n, 2)), obs.index, ["Cells_AreaShape_Area", "Nuclei_Texture_3"])
    path = tmp_path / f"profiles.{extension}"
    if extension == "h5ad":
        anndata.AnnData(x, obs).write_h5ad(path)
    else:
        frame = pd.concat([obs, x], axis="columns")
        frame.to_csv(path, index=False) if extension == "csv" else frame.to_parquet(path, index=False)
    cohorts, fit_prepared = [], fitting.fit_prepared

    def kept(method, cohort, *options):
        cohorts.append(cohort)
        return fit_prepared(method, cohort, *options)

    monkeypatch.setattr(fitting, "fit_prepared", kept)
    keys = ["--batch-key", "Metadata_Plate", "--treatment-key", "Metadata_Treatment"]
    marking = ["--control", "Metadata_Compound == 'DMSO' and Metadata_Concentration <= 0"]
    assert run("fit", "--data", path, *keys, *marking, "--out", tmp_path / "run", "standardise") == 0
    (cohort,) = cohorts
    assert cohort.names.features == tuple(x)
    assert cohort.names.treatments == ("AZ-J @ 0.001", "DMSO @ 0", "taxol @ 0.3")
    order = np.asarray(cohort.row)
    np.testing.assert_array_equal(cohort.x, x.to_numpy(np.float32)[order])
    treatment = np.array(cohort.names.treatments)[np.asarray(cohort.treatment)]
    assert treatment.tolist() == obs["Metadata_Treatment"].iloc[order].tolist()
    assert np.asarray(cohort.control).tolist() == (treatment == "DMSO @ 0").tolist()


@pytest.mark.parametrize(
    ("control", "parts"),
    [
        ("Metadata_odd == 'dmso'", ("No row", "'Metadata_odd' has '001', 'NA'")),
        ("Metadata_number >= 0", ("Every row", "among rows of other material")),
        ("Metadata_od == '001'", ("Metadata_od", "Metadata_odd")),
        ("Metadata_odd = '001'", ("cannot be parsed", "Write for example")),
    ],
)
def test_controls_that_cannot_be_told_are_refused_and_nothing_is_written(
    world, tmp_path, capsys, control, parts
):
    data, out = world.write(tmp_path / "in.csv"), tmp_path / "run"
    assert run("fit", "--data", data, *KEYS, "--control", control, "--out", out, "standardise") == 2
    told = capsys.readouterr().err
    assert all(part in told for part in parts)
    assert not out.exists()


@pytest.mark.parametrize("name", presets.PUBLISHED)
def test_published_settings_are_methods(name):
    words, published = ["--data", "a.csv", "--batch-key", "p", "--out", "o"], presets.PUBLISHED[name]
    options = parse(fit_command.Options, "fit", [*words, name, "--rows", "7"])
    assert options.method == vary(published, rows=7)


def test_every_setting_of_a_method_is_an_option():
    words = ["--data", "a", "b", "--batch-key", "p", "--out", "o", "pairwise-calibration"]
    changed = ["--bandwidths", "1", "2", "--no-log", "--scale", "none", "--align", "0"]
    options = parse(fit_command.Options, "fit", words + changed)
    pair = jbc.JointCalibration(
        align=0.0, kernel=Kernel(bandwidths=(1.0, 2.0)), inputs=Inputs(log=False, scale="none")
    )
    assert options.method == jbc.PairwiseCalibration(pair)
    assert options.data == (Path("a"), Path("b"))


# The log of a run that is resumed.

LINES = "".join(
    json.dumps({"step": step, "seconds": 0.1, "rows": 8, "loss": 1 / step}) + "\n" for step in (2, 4, 6)
)


def test_a_resumed_log_has_every_step_once(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(LINES + '{"step": 8, "sec')
    with log_lines(path, start=4) as hook:
        hook(Event(step=6, steps=6, rows=8, seconds=0.1, info={"loss": np.float32(0.5)}, tree=None))
    assert [row["step"] for row in read_log(path, 100)] == [2, 4, 6]
    assert path.read_text().startswith(LINES[: LINES.index('{"step": 6')])
    with log_lines(path):
        assert path.read_text() == ""


def test_a_log_is_whole_when_its_takeover_dies(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    path.write_text(LINES)
    for killed in ("write_text", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, killed, die)
            with pytest.raises(KeyboardInterrupt), log_lines(path, start=6):
                pass
        assert path.read_text() == LINES


def die(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("line", ["{", "[]", "3", '{"loss": 1}', '{"step": "x"}', '{"step": null}', "\udcff"])
def test_a_damaged_log_is_named(tmp_path, line):
    path = tmp_path / "log.jsonl"
    path.write_bytes(f"{line}\n{LINES}".encode(errors="surrogateescape"))
    with pytest.raises(jbc.InputError, match=r"damaged log.*log.jsonl") as caught:
        read_log(path, 6)
    assert caught.value.code == "damaged-log"


# Help, and the other commands.


def test_help_answers_at_once_and_imports_nothing_heavy():
    script = (
        "import sys; from jbc.cli.main import main; status = main(['--help']); "
        "print(*{'jax', 'numpy', 'tyro', 'pandas', 'sklearn'} & set(sys.modules), file=sys.stderr); sys.exit(status)"
    )
    begun = seconds_of_children()
    done = python(script)
    assert seconds_of_children() - begun < 1.5
    assert done.returncode == 0
    assert done.stderr.strip() == ""
    assert all(f"  {command} " in done.stdout for command in COMMANDS)


@pytest.mark.slow
def test_importing_jbc_costs_next_to_nothing():
    def seconds(script: str) -> float:
        begun = seconds_of_children()
        assert python(script).returncode == 0
        return seconds_of_children() - begun

    pairs = [(seconds("import jax"), seconds("import jax, jbc")) for _ in range(3)]
    alone, both = map(statistics.median, zip(*pairs, strict=True))
    assert both - alone < 0.3
    heavy = "{'jax', 'anndata', 'matplotlib', 'sklearn', 'orbax', 'pandas'}"
    done = python(f"import sys, jbc, jbc.errors; print(*{heavy} & set(sys.modules))")
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("words", [["--version"], ["-V"]])
def test_version(words, capsys):
    assert main(words) == 0
    assert capsys.readouterr().out == f"jbc {jbc.__version__}\n"


def test_no_command_is_a_question_for_help(capsys):
    assert main([]) == main(["-h"]) == main(["help"]) == 0
    assert capsys.readouterr().out.count("usage: jbc COMMAND") == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["demo"], ["--out", "--seed"]),
        (["fit"], ["--batch-key", "--resume", "--control", "standardise", "joint-calibration-mi-paper"]),
        (["fit", "standardise"], ["--on", "{all,controls}"]),
        (["fit", "joint-calibration"], ["--rows", "--bandwidths", "Rows of every domain in a minibatch"]),
        (["transform"], ["RUN", "--output", "{features,codes}"]),
        (["predict"], ["RUN", "--unit-key"]),
        (["evaluate"], ["--before", "--predicted-key"]),
        (["data"], ["list", "fetch"]),
        (["data", "fetch"], ["NAME"]),
        (["doctor"], ["versions"]),
    ],
)
def test_help_of_every_command(words, told, capsys):
    assert main([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: jbc {words[0]}")
    assert all(each in shown for each in told)


def test_data_list_names_every_data_set(capsys):
    assert main(["data", "list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in jbc.datasets.names())
    assert "licence" in shown


def test_data_fetch_of_a_simulated_world_needs_no_network(capsys):
    assert main(["data", "fetch", "simulated-plates"]) == 0
    shown = capsys.readouterr().out
    assert "licence: " in shown
    assert "cite: " in shown


def test_data_fetch_offline_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JBC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JBC_DATA", raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert main(["data", "fetch", "mi"]) == 2
    said = capsys.readouterr().err
    assert "cannot be downloaded, because its address cannot be reached" in said
    assert str(tmp_path / "cache") in said
    assert [path for path in (tmp_path).rglob("*") if path.is_file()] == []


def test_data_fetch_takes_files_that_are_there(data, capsys):
    assert main(["data", "fetch", "mi"]) == 0
    shown = capsys.readouterr().out
    assert all(str(data / "MI" / f"MI_{plate}.csv") in shown for plate in (1, 2, 3))


def test_doctor_finds_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("JBC_CACHE", str(tmp_path))
    monkeypatch.delenv("JBC_DATA", raising=False)
    monkeypatch.setenv("PATH", "")
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert f"numpy {np.__version__}" in shown
    assert f"cache: {tmp_path} (writable)" in shown
    assert "devices: " in shown
    if not Path("/proc/driver/nvidia").exists():
        assert "nothing to complain about" in shown


def test_doctor_names_what_is_wrong(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("JBC_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("JBC_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "! JBC_DATA is no folder" in shown
    assert "! The cache folder is not writable" in shown
    if "devices: cpu" in shown:
        assert "! There is an NVIDIA GPU, but jax sees only the CPU" in shown


@pytest.mark.slow
def test_without_a_device_commands_say_so_and_write_nothing(world, tmp_path):
    data = world.write(tmp_path / "in.csv")
    script = "import sys; from jbc.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = [
        "fit",
        "--data",
        str(data),
        "--batch-key",
        "plate",
        "--out",
        str(tmp_path / "run"),
        "standardise",
    ]
    done = python(script, *words, JAX_PLATFORMS="nonsense", JBC_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 2
    assert "finds no device" in done.stderr
    assert "JAX_PLATFORMS=nonsense" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
    done = python(script, "doctor", JAX_PLATFORMS="nonsense", JBC_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0
    assert "! JAX finds no device" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="there are no such pipes")
@pytest.mark.parametrize("words", [["data", "list"], ["fit", "--help"], ["doctor"]])
@pytest.mark.slow
def test_a_reader_that_has_gone_is_no_error(words):
    script = f"import sys; from jbc.cli.main import main; sys.exit(main({words}))"
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=write_end, stderr=subprocess.PIPE, timeout=60
    )
    os.close(write_end)
    assert done.stderr == b""
    assert done.returncode in (1, 141)  # 1 where rich has noticed first
