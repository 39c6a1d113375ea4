"""The tables of joint calibration: tasks, judgement, summaries, and the page that is made from the rows."""

from __future__ import annotations

import json
import sys

import anndata
import jax
import numpy as np
import pandas as pd
import pytest
from problems import experiment
from sklearn import metrics
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import StandardScaler

import jbc
from jbc.cohort import Cohort, fold_weights
from jbc.data.simulate.plates import simulate_plates
from jbc.methods import rules
from jbc.methods.settings import Training
from jbc.train import fit


@pytest.fixture(scope="module")
def joint():
    return experiment("joint.run")


@pytest.fixture(scope="module")
def work():
    return experiment("joint.tasks")


@pytest.fixture(scope="module")
def page():
    return experiment("joint.page")


@pytest.fixture(scope="module")
def cohort(work):
    return work.cohort_of(simulate_plates(n_per_plate=60, n_features=6, n_plates=4).to_anndata())


def probabilities(cohort, *lead, seed=0):
    p = np.random.default_rng(seed).uniform(0.05, 0.95, (*lead, len(cohort.x)))
    return np.stack([1 - p, p], axis=-1)


def test_every_choice_of_sources_is_a_task_with_all_else_hidden(work, cohort):
    parts = work.make_tasks(cohort, 2)
    assert [work.short_name(*part.sources) for part in parts] == ["1+2", "1+3", "1+4", "2+3", "2+4", "3+4"]
    assert [work.short_name(*part.targets) for part in parts] == ["3+4", "2+4", "2+3", "1+4", "1+3", "1+2"]
    names = np.array(cohort.names.domains)[np.asarray(cohort.domain)]
    for part in parts:
        hidden = np.isin(names, part.targets)
        assert (part.cohort.label[hidden] == -1).all()
        assert (part.cohort.label[~hidden] == cohort.label[~hidden]).all()


def test_one_domain_is_its_rows(work, cohort):
    plate = work.one_domain(cohort, "plate 2")
    rows = np.asarray(cohort.domain) == 1
    assert plate.names.domains == ("plate 2",)
    assert sorted(map(tuple, plate.x)) == sorted(map(tuple, cohort.x[rows]))
    assert len(np.unique(plate.unit)) == 12
    for row, label in zip(plate.x, plate.label, strict=True):
        assert cohort.label[(cohort.x == row).all(axis=1)][0] == label


def test_rows_and_units_are_judged_as_by_scikit_learn(work, cohort):
    probability = probabilities(cohort)
    found = {(level, name): value for level, name, value in work.score_domain(cohort, "plate 3", probability)}
    rows = np.asarray(cohort.domain) == 2
    frame = pd.DataFrame({"p": probability[rows, 1], "y": cohort.label[rows], "unit": cohort.unit[rows]})
    units = frame.groupby("unit").agg({"p": "median", "y": "first"})
    assert len(units) == 12
    for level, table in (("sample", frame), ("unit", units)):
        guess = (table.p > 0.5).astype(int)
        expected = {
            "acc": metrics.accuracy_score(table.y, guess),
            "f_score": metrics.f1_score(table.y, guess),
            "auc": metrics.roc_auc_score(table.y, table.p),
            "auc_hard": metrics.balanced_accuracy_score(table.y, guess),
            "mcc": metrics.matthews_corrcoef(table.y, guess),
        }
        assert {name: found[level, name] for name in expected} == pytest.approx(expected)
    assert len(found) == 10


def test_only_the_rows_of_a_target_are_judged(work, cohort):
    parts = work.make_tasks(cohort, 2)[:1]
    right = np.eye(2)[cohort.label]
    wrong_elsewhere = np.where((np.asarray(cohort.domain) >= 2)[:, None], right, 1 - right)
    found = work.score(cohort, parts, wrong_elsewhere[None, None])
    assert {where: value.tolist() for where, value in found["sample", "acc"].items()} == {
        ("1+2", "3"): [1.0],
        ("1+2", "4"): [1.0],
    }


def test_summaries_over_seeds_sources_and_tasks(work):
    cells = {("1+2", "3"): [0.5, 0.7], ("1+2", "4"): [0.1, 0.3], ("2+4", "3"): [0.9, 0.7]}
    found = {("sample", "acc"): {where: np.array(values) for where, values in cells.items()}}
    rows = {(row["source"], row["target"]): row for row in work.summary_rows(found, method="ours", steps=7)}
    told = {where: (row["mean"], row["sd"]) for where, row in rows.items()}
    root = 2**0.5
    assert told == {
        ("1+2", "3"): (0.6, round(0.2 / root, 4)),
        ("1+2", "4"): (0.2, round(0.2 / root, 4)),
        ("2+4", "3"): (0.8, round(0.2 / root, 4)),
        ("1+2|2+4", "3"): (0.7, 0.0),
        ("all", "all"): (0.5333, round(0.2 / 3 / root, 4)),
    }
    assert all((row["method"], row["steps"], row["seeds"]) == ("ours", 7, 2) for row in rows.values())
    (single,) = work.summary_rows({("sample", "acc"): {("all", "all"): np.array([0.25])}})
    assert (single["mean"], single["sd"], single["seeds"]) == (0.25, None, 1)


def test_printed_numbers_are_read_where_they_are(work, tmp_path, capsys, monkeypatch):
    data = work.Data("mi", "MI", 2, ("1a",))
    monkeypatch.setenv("JBC_DATA", str(tmp_path / "data"))
    assert work.published_rows(data, "mi") == []
    assert "left out" in capsys.readouterr().out
    lines = [
        "paper,table,dataset,level,source,target,method,metric,statistic,value",
        "multibatch,1a,MI,sample,2+3,1,reconstruct_targets,auc,value,0.721",
        "multibatch,1a,MI,sample,1+3,2,reconstruct_targets,auc,value,0.600",
        "multibatch,1b,MI,sample,1+3,2,ours,acc,value,0.5",
        "multibatch,1a,CHD,sample,1+3,2,ours,acc,value,0.5",
        "multibatch,1a,MI,sample,2,2,crossvalidation,acc,value,0.9",
    ]
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "published.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = work.published_rows(data, "mi")
    assert [(row["source"], row["target"], row["published"]) for row in rows] == [
        ("2+3", "1", 0.721),
        ("1+3", "2", 0.6),
        ("all", "all", 0.6605),
    ]
    assert {(row["method"], row["metric"], row["mean"]) for row in rows} == {
        ("reconstruct targets (1a)", "auc_hard", None)
    }
    inside = work.published_rows(data, "ceilings", inside=True)
    assert [(row["target"], row["published"]) for row in inside] == [("2", 0.9), ("all", 0.9)]


def test_selection_asks_for_no_label_of_the_target(joint):
    cells = {
        ("1", "2"): 0.8,
        ("2", "1"): 0.6,
        ("1", "3"): 0.1,
        ("3", "1"): 0.3,
        ("2", "3"): 0.4,
        ("3", "2"): 0.0,
    }
    found = joint.selected({where: np.array([value]) for where, value in cells.items()})
    assert {where: value.item() for where, value in found.items()} == pytest.approx(
        {("1+2", "3"): 0.7, ("1+3", "2"): 0.2, ("2+3", "1"): 0.2}
    )


def test_ablations_change_what_the_default_has(joint):
    default = rules.flattened(jbc.JointCalibration())
    for name, changes in joint.methods.ABLATIONS.items():
        assert all(default[field] != value for field, value in changes.items()), name


def test_published_configurations_of_cytof_say_how_short_they_were(joint):
    methods = joint.methods.compared_methods
    found = methods("cytof", 500)
    short = ", 500 of 2000 epochs"
    assert list(found) == [
        "default", f"reference{short}", f"paper{short}", f"paper, Remove_R{short}", f"baseline network{short}"
    ]  # fmt: skip
    assert found[f"paper{short}"].method == jbc.presets.joint("cytof", training=Training(epochs=500))
    assert methods("cytof", 2000)["reference"].method == jbc.presets.joint("cytof", "reference")


def test_spectra_have_the_comparators_of_their_paper(joint):
    found = joint.methods.compared_methods("chd", 500)
    assert found["paper"].method == jbc.presets.joint("chd")
    assert found["paper, Recon_T"].method == jbc.presets.joint("chd", rebuild="all")
    assert found["baseline network"][:2] == (jbc.presets.joint_baseline("chd"), "pooled sources")
    assert {name for name, each in found.items() if each.composition == "estimate"} == {
        "default", "default, pairwise"
    }  # fmt: skip
    assert {name for name, each in found.items() if each.given == "one source"} == {
        f"pairwise, {joint.methods.PAIR_EPOCHS} of 2000 epochs"
    }


def test_pooled_rows_are_those_of_the_sources(work, cohort):
    part = work.make_task(cohort, ["plate 2", "plate 4"])
    one = work.pooled(cohort, part)
    np.testing.assert_array_equal(one.x, cohort.x[one.row])
    assert one.names.domains == ("all",)
    source = np.isin(np.asarray(cohort.domain), [1, 3])[one.row]
    np.testing.assert_array_equal(np.asarray(one.weight) > 0, source)
    np.testing.assert_array_equal(one.label, np.where(source, cohort.label[one.row], -1))


@pytest.mark.slow
def test_probabilities_of_pooled_rows_come_back_in_the_order_of_the_cohort(joint, work, cohort):
    parts = work.make_tasks(cohort, 2)[:2]
    compared = joint.methods.Compared(
        jbc.presets.joint_baseline("mi", training=Training(rows=8)), "pooled sources"
    )
    _, trained = joint.lanes.train_and_score(compared, cohort, parts, 1, 3)
    one = work.pooled(cohort, parts[1])
    key = jax.random.split(jax.random.key(0), 1)[0]
    alone = fit(compared.method, one, key, steps=3)
    logits = compared.method.predict(alone.fitted, cohort.x, np.zeros(len(cohort.x), np.int32))
    np.testing.assert_allclose(trained.probability[1, 0], jax.nn.softmax(logits), atol=1e-4)


def test_rows_of_methods_that_are_not_asked_for_stay(joint, work, cohort, monkeypatch, tmp_path):
    data = work.Data("mi", "", 2)
    stored = [
        work.row(table="mi", dataset="mi", method=name, mean=0.5) for name in ("paper", work.PIPELINES[0])
    ]
    joint.results.write(tmp_path / "joint_mi.json", {}, stored)
    chosen = {name: joint.methods.Compared(None) for name in ("paper", "reference", "new")}
    monkeypatch.setattr(joint.methods, "compared_methods", lambda *given: chosen)
    score = {("sample", "acc"): {("1+2", "3"): np.array([0.25])}}
    monkeypatch.setattr(
        joint.lanes, "train_and_score", lambda *given: (score, joint.lanes.Trained(np.zeros(0), 1, 0.0))
    )
    options = joint.Options(methods=("new",), out=tmp_path)
    rows = joint.compare("mi", data, cohort, options)
    assert [(row["method"], row["mean"]) for row in rows if row["level"] is None] == [
        ("paper", 0.5), (work.PIPELINES[0], 0.5)
    ]  # fmt: skip
    assert {row["method"] for row in rows if row["mean"] == 0.25} == {"new"}


def test_chd_is_skipped_without_asking_for_it(joint, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("JBC_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("jbc.data.datasets.load", lambda name: pytest.fail(f"{name} was asked for"))
    monkeypatch.setattr(joint.cache, "keep_compiled", lambda: None)
    monkeypatch.setattr(sys, "argv", ["run.py", "--tables", "chd", "--out", str(tmp_path / "results")])
    joint.main()
    assert "skipped" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*"))


def test_single_cells_of_three_lines_and_their_most_variable_genes(work, monkeypatch):
    monkeypatch.setattr(work, "GENES", 2)
    counts = np.array([[1, 0, 9, 0], [0, 1, 9, 0], [5, 0, 5, 0], [1, 1, 8, 0], [3, 1, 6, 0]], np.float32)
    obs = {
        "domain": list("aabbb"),
        "label": ["H1975", "HCC827", "A549", "H2228", "H2228"],
        "unit": list("12345"),
        "doublet": [False, False, False, True, False],
        "two_cells": [False] * 5,
    }
    adata = anndata.AnnData(counts, pd.DataFrame(obs, index=list("12345")))
    found = work.cell_lines(adata)
    assert found.obs_names.tolist() == ["1", "2", "5"]
    np.testing.assert_allclose(found.X, [[1000, 0], [0, 1000], [3000, 1000]])


@pytest.mark.slow
def test_pipelines_see_domains_standardised_and_no_label_of_a_target(work, cohort):
    seen = work.representations(cohort)
    for name in ("z-score per domain", "our inputs"):  # of six features the default keeps the level
        for code in range(4):
            rows = np.asarray(cohort.domain) == code
            expected = StandardScaler().fit_transform(np.log1p(cohort.x[rows]))
            np.testing.assert_allclose(seen[name][rows], expected, atol=2e-3)
    part = work.make_task(cohort, ["plate 1", "plate 2"])
    told = dict(work.simple_pipelines(cohort, [part]))
    assert tuple(told) == work.PIPELINES
    for probability in told.values():
        assert probability.shape == (1, 1, 240, 2)
        np.testing.assert_allclose(probability.sum(axis=-1), 1)
    other = np.where(np.asarray(cohort.domain) >= 2, 1 - cohort.label, cohort.label)
    label = np.array(cohort.names.labels, dtype=object)[other]
    domain = np.array(cohort.names.domains)[np.asarray(cohort.domain)]
    swapped = Cohort.from_arrays(cohort.x, domain, label=label)
    again = dict(work.simple_pipelines(swapped, [work.make_task(swapped, ["plate 1", "plate 2"])]))
    order = np.lexsort(np.asarray(cohort.x).T), np.lexsort(np.asarray(swapped.x).T)
    name = "our inputs + logistic regression"
    np.testing.assert_allclose(told[name][0, 0][order[0]], again[name][0, 0][order[1]], atol=1e-5)


@pytest.mark.slow
def test_held_out_rows_are_told_by_the_lane_that_did_not_see_them(joint, work, cohort, monkeypatch):
    plate = work.one_domain(cohort, "plate 1")
    folds = [fold_weights(plate.unit, plate.domain, joint.ceilings.FOLDS, seed) for seed in range(2)]

    def lanes(method, cohorts, seeds, steps):
        seen = np.stack([each.weight for each in cohorts]).astype(float)
        return joint.lanes.Trained(np.stack([seen, 1 - seen], axis=-1)[:, None], 0, 0.0)

    monkeypatch.setattr(joint.lanes, "train", lanes)
    told = joint.ceilings.held_out(plate, folds, jbc.JointCalibration(), None)
    np.testing.assert_array_equal(told, np.broadcast_to([0.0, 1.0], (2, 60, 2)))
    trees = joint.ceilings.held_out_trees(plate, folds)
    out = folds[1][3] == 0
    model = HistGradientBoostingClassifier(random_state=0).fit(plate.x[~out], plate.label[~out])
    np.testing.assert_allclose(trees[1, out], model.predict_proba(plate.x[out]))


@pytest.mark.slow
def test_a_table_of_a_simulated_world(joint, work, page, cohort, monkeypatch, tmp_path):
    """Tasks and seeds are the lanes that they are said to be, and the rows become a table."""
    method = jbc.JointCalibration(members=1, training=Training(rows=8))
    parts = work.make_tasks(cohort, 2)
    trained = joint.lanes.train(method, [part.cohort for part in parts], 2, 3)
    assert trained.probability.shape == (6, 2, 240, 2)
    assert trained.steps == 3
    key = jax.random.split(jax.random.key(0), 2)[1]
    alone = fit(method, parts[4].cohort, key, steps=3)
    expected = jax.nn.softmax(method.predict(alone.fitted, cohort.x, cohort.domain))
    np.testing.assert_allclose(trained.probability[4, 1], expected, atol=1e-4)

    compared = {"default": joint.methods.Compared(method)}
    monkeypatch.setattr(joint.methods, "compared_methods", lambda *given: compared)
    monkeypatch.setattr(joint.lanes, "train", lambda *given: trained)
    options = joint.Options(seeds=2, steps=3, out=tmp_path)
    data = work.Data("chd", "CHD", 2, ("2a", "2b"))
    monkeypatch.setenv("JBC_DATA", str(tmp_path / "data"))
    rows = joint.compare("chd", data, cohort, options)
    path = tmp_path / "joint_chd.json"
    joint.results.write(path, joint.results.describe_run(options), rows)
    text = path.read_text(encoding="utf-8")
    assert json.loads(text)["rows"] == rows
    assert str(tmp_path) not in text
    lines = page.markdown("chd", rows).splitlines()
    assert lines[0] == "| accuracy on | target 3 | target 4 | target 2 | target 1 | average | seeds |"
    table = [line.split(" | ") for line in lines[: lines.index("")] if line.startswith("| ")]
    assert [cells[0] for cells in table[1:]] == [
        "| default",
        *(f"| {name}" for name in dict(work.simple_pipelines(cohort, []))),
    ]
    acc = page.pick(rows, method="default", metric="acc", level="sample", target="3")
    merged = next(row for row in acc if "|" in row["source"])
    assert table[1][1] == f"{merged['mean']:.3f} ± {merged['sd']:.3f}"


def test_numbers_in_print_stand_in_italics(page, work):
    ours = [
        work.row(method="default", source="1", target="2", level="sample", metric="acc", mean=0.5, seeds=1)
    ]
    theirs = [
        work.row(method="ours (1a)", source="1", target="2", level="sample", metric="acc", published=0.6)
    ]
    assert page.comparison(ours + theirs).splitlines()[2:] == [
        "| default | 0.500 |  | 1 |",
        "| *ours (1a)* | 0.600 |  |  |",
    ]


@pytest.mark.parametrize(
    ("rival", "said"), [(0.7, "0.100 above the default's"), (0.5, "*default* has the highest")]
)
def test_what_is_said_follows_from_the_numbers(page, work, rival, said):
    where = {"source": "all", "target": "all", "level": "sample", "metric": "acc"}
    rows = [
        work.row(method=name, mean=value, **where) for name, value in (("default", 0.6), ("other", rival))
    ]
    rows.append(work.table_row("units per domain", 96.0))
    (text,) = page.conclusions(rows)
    assert said in text
    assert "about 96 units" in text
    assert "error of 0.050" in text


def test_every_choice_of_sources_is_a_line(page, work):
    found = {("1", "2"): 0.5, ("1", "3"): 0.6, ("2", "3"): 0.7}
    score = {("sample", "acc"): {where: np.array([value]) for where, value in found.items()}}
    printed = work.row(
        method="ours (2b)", source="1", target="3", level="sample", metric="acc", published=0.9
    )
    rows = [*work.summary_rows(score, method="default"), printed]
    assert page.every_task(rows, ["default", "ours (2b)"]).splitlines() == [
        "| accuracy | default | *ours (2b)* |",
        "|:--|--:|--:|",
        "| 1 → 2 | 0.500 |  |",
        "| 1 → 3 | 0.600 | 0.900 |",
        "| 2 → 3 | 0.700 |  |",
    ]
