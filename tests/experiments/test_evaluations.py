"""The papers' evaluations: domains are corrected without their labels, and rows, figures and page agree."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from problems import experiment

from jbc import metrics
from jbc.data.simulate.plates import simulate_plates


@pytest.fixture(scope="module")
def evaluations():
    return experiment("joint.evaluations")


@pytest.fixture(scope="module")
def cohort():
    world = simulate_plates(n_per_plate=60, n_features=6, replicates=3)
    label = np.where(world.label == "class 0", "0", "1")
    return experiment("joint.tasks").cohort_of(type(world)(**(vars(world) | {"label": label})).to_anndata())


def test_a_feature_is_counted_once_a_domain(evaluations, cohort):
    x = np.asarray(cohort.x) + (0 if cohort.offset is None else cohort.offset)
    tables = evaluations.Tables(cohort, {"measured": x}, np.full((len(x), 2), 0.5))
    found = evaluations.selected(tables, draws=5)
    rows = list(evaluations.overlap_rows("mi", tables, found))
    assert [row["rule"] for row in rows] == ["spectra", "p", "q", "biomarkers"]
    domain = np.array(cohort.names.domains)[np.asarray(cohort.domain)]
    tested = metrics.differential_features(x, cohort.label, domain, unit=cohort.unit)
    assert rows[2]["selected"] == (tested.q <= 0.05).sum(axis=1).tolist()
    assert rows[2]["common"] == int((tested.q <= 0.05).all(axis=0).sum())
    assert (rows[0]["domains"], rows[0]["features"]) == (["1", "2", "3"], 6)


def test_confusion_is_that_of_the_hidden_domain(evaluations, cohort):
    truth = np.eye(2)[np.asarray(cohort.label)]
    wrong = np.where(np.asarray(cohort.domain)[:, None] == 2, truth[:, ::-1], truth)
    rows = list(evaluations.confusion_rows("mi", evaluations.Tables(cohort, {}, wrong)))
    assert [(row["source"], row["target"], row["level"]) for row in rows[::2]] == [
        ("2+3", "1", "sample"), ("1+3", "2", "sample"), ("1+2", "3", "sample"),
    ]  # fmt: skip
    for row in rows:
        right = np.trace(row["counts"])
        assert right == (0 if row["target"] == "3" else np.sum(row["counts"]))
        assert np.sum(row["counts"]) == (60 if row["level"] == "sample" else 20)


@pytest.mark.slow
def test_a_domain_is_corrected_without_its_labels(evaluations, cohort):
    """With the labels of one domain the other way around, its corrected rows are the same."""
    label = np.where(np.asarray(cohort.domain) == 0, 1 - cohort.label, cohort.label).astype(np.int32)
    tables = [
        evaluations.corrected(each, steps=4) for each in (cohort, dataclasses.replace(cohort, label=label))
    ]
    own = np.asarray(cohort.domain) == 0
    np.testing.assert_array_equal(tables[0].x["joint"][own], tables[1].x["joint"][own])
    np.testing.assert_array_equal(tables[0].probability[own], tables[1].probability[own])
    assert not np.array_equal(tables[0].probability[~own], tables[1].probability[~own])


@pytest.mark.slow
def test_everything_runs_and_the_page_tells_the_rows(evaluations, cohort, monkeypatch, tmp_path, capsys):
    class Peaks:
        var_names = np.array([f"{100 + k}.5" for k in range(6)])

    monkeypatch.setattr(evaluations.tasks, "load", lambda name: cohort)
    monkeypatch.setattr(evaluations.tasks, "missing", lambda name: True)
    monkeypatch.setattr(evaluations.jbc.datasets, "load", lambda name: Peaks)
    monkeypatch.setattr(evaluations.cache, "keep_compiled", lambda: None)
    options = evaluations.Options(shuffles=4, draws=3, steps=4, figures=tmp_path, out=tmp_path / "rows.json")
    monkeypatch.setattr(evaluations.tyro, "cli", lambda _: options)
    evaluations.main()
    stored = json.loads(options.out.read_text(encoding="utf-8"))
    assert stored["about"]["options"] == {"shuffles": 4, "draws": 3, "steps": 4}
    names = {path.name for path in tmp_path.glob("*.png")}
    assert names == {f"joint_{name}.png" for name in ("permutation", "overlap", "biomarkers", "confusion")}
    page = evaluations.markdown(stored["rows"])
    assert capsys.readouterr().out.endswith(page + "\n")
    assert all(f"(figures/{name})" in page for name in names)
    assert "MI, biomarkers, z-score by plate" in page
    (test,) = (row for row in stored["rows"] if row["table"] == "permutation")
    assert f"{test['observed']:.3f} with the true labels" in page
