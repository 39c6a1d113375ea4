"""Verdicts say what the scores say, with the numbers of the tables; pages hold them."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from jbc import metrics
from jbc.data import simulate_plates
from jbc.methods.closed_form.standardise import Standardise
from jbc.methods.joint import JointCalibration
from jbc.methods.settings import Kernel, Training
from jbc.report import Evaluation, scores, verdict, write_evaluation, write_run
from jbc.report.settings import changed_settings


def row(metric, table, value, *, reference=0.5, label=None, rows=400, domain="all", other=None):
    return {"table": table, "metric": metric, "domain": domain, "other": other, "label": label, "value": value,
            "sd": None, "reference": reference, "rows": rows}  # fmt: skip


def domains(**values):
    return [row("domain_accuracy", table, value) for table, value in values.items()]


def classes(**values):
    return [row("label_accuracy", table, value) for table, value in values.items()]


@pytest.mark.parametrize(
    ("before", "after", "said", "tone"),
    [
        (1.0, 0.51, "were told apart before and no longer are", "good"),
        (1.0, 0.7, "are told apart less than before, but still are", "caution"),
        (0.7, 0.71, "are told apart as well as before", "caution"),
        (0.7, 0.9, "are told apart better than before", "caution"),
        (0.51, 0.49, "were not told apart before, and are not now", "plain"),
        (0.51, 0.9, "were not told apart before, but are now", "caution"),
    ],
)
def test_verdicts_on_domains(before, after, said, tone):
    found = verdict(domains(before=before, after=after), domain_name="plate")
    assert found.text.startswith(
        f"Plates {said}: a classifier names the right plate for {after:.3f} of the rows"
    )
    assert f"({before:.3f} before, 0.500 by chance)" in found.text
    assert found.tone == tone


@pytest.mark.parametrize(
    ("before", "after", "said", "tone"),
    [
        (0.8, 0.95, "told apart better than before", "good"),
        (0.8, 0.82, "told apart as well as before", "good"),
        (0.9, 0.6, "told apart worse than before", "caution"),
        (0.5, 0.51, "not told apart, before or after", "good"),
    ],
)
def test_verdicts_on_classes(before, after, said, tone):
    found = verdict(domains(before=1.0, after=0.5) + classes(before=before, after=after))
    assert f"Classes are {said}: {after:.3f} ({before:.3f} before, 0.500 by chance)." in found.text
    assert found.tone == tone


@pytest.mark.parametrize(
    ("standard", "kept", "said", "tone"),
    [
        (0.5, 0.8, "no better than", "good"),
        (0.9, 0.8, "better than", "good"),
        (0.5, 0.99, "worse than", "caution"),
    ],
)
def test_verdicts_beside_standardising(standard, kept, said, tone):
    rows = domains(before=1.0, after=0.5, standardised=standard)
    rows += classes(before=0.8, after=0.8, standardised=kept)
    found = verdict(rows)
    numbers = f"(batches {standard:.3f}, classes {kept:.3f})"
    assert found.text.endswith(f"The correction is {said} standardising every batch {numbers}.")
    assert found.tone == tone


def test_what_is_below_chance_counts_as_chance():
    found = verdict(domains(before=1.0, after=0.1, standardised=0.3))
    assert "A value below chance counts as chance" in found.text
    assert "The correction is no better than standardising" in found.text
    assert "below chance" not in verdict(domains(before=1.0, after=0.49)).text


def test_replicates_make_the_same_difference_less_certain():
    rows = domains(**{"": 0.57})
    assert verdict(rows).text.startswith("Batches are told apart: ")
    assert verdict(rows, replicates=10).text.startswith("Batches are not told apart: ")


def test_mixtures_are_told_from_effects():
    overall, inside = row("domain_accuracy", "", 0.8), row("domain_accuracy", "", 0.5, label="case")
    found = verdict([overall, inside])
    assert found.text.startswith("Batches are not told apart: ")
    assert found.text.endswith("Within classes they are not: batches hold classes in other shares, no more.")
    # An effect that is seen only within a class is said with the number of this class.
    hidden = [row("domain_accuracy", "", 0.2), row("domain_accuracy", "", 0.9, label="case")]
    assert "among rows of class 'case', a classifier names the right batch for 0.900" in verdict(hidden).text


def test_scores_are_means_over_pairs_and_of_all_domains():
    pairs = [row("mmd", "", value, domain="a", other=other) for value, other in ((0.1, "b"), (0.3, "c"))]
    each = [
        row("accuracy", "", value, reference=None, domain=name) for value, name in ((0.2, "a"), (0.8, "all"))
    ]
    found = {score.metric: score for score in scores(pairs + each)}
    assert found["mmd"].values == {"": pytest.approx(0.2)}
    assert found["accuracy"].values == {"": 0.8}
    assert found["accuracy"].reference == {"": None}
    assert verdict(each).text == "Only predictions were scored."


def test_settings_that_differ():
    method = JointCalibration(
        members=2, kernel=Kernel(unit="fixed"), training=Training(rows=64), coupled=True
    )
    found = {each["setting"]: (each["value"], each["default"]) for each in changed_settings(method)}
    assert found == {"members": ("2", "4"), "coupled": ("yes", "no"), "kernel.unit": ("fixed", "median"),
                     "training.rows": ("64", "128")}  # fmt: skip
    assert changed_settings(dataclasses.replace(method)) == changed_settings(method)


@pytest.fixture(scope="module")
def evaluation():
    world = simulate_plates(0, n_per_plate=60)
    raw = np.log(world.x)
    after = np.concatenate([raw[world.domain == name] - raw[world.domain == name].mean(axis=0)
                            for name in np.unique(world.domain)])  # fmt: skip
    tables = {"before": raw, "after": after}
    ladder = metrics.bandwidth_ladder(raw)
    known = world.domain, world.label, world.unit
    rows = [{"table": name} | each for name, x in tables.items()
            for each in metrics.evaluate(x, *known, bandwidths=ladder)]  # fmt: skip
    return Evaluation(rows, tables, world.domain, world.label, replicates=5.0, domain_name="plate")


def test_the_page_of_an_evaluation(evaluation, tmp_path):
    text = write_evaluation(
        tmp_path / "page.html", evaluation, title="Plates", about={"Version": "jbc 0"}
    ).read_text("utf-8")
    for score in scores(evaluation.rows):
        for value in score.values.values():
            assert f">{value:.3f}<" in text
    assert evaluation.verdict().text.split(":")[0] in text
    assert text.count('<tr class="meaning">') == len(scores(evaluation.rows))
    assert text.count("data:image/png") == 1
    assert "jbc 0" in text


def test_the_page_of_a_single_table(evaluation, tmp_path):
    rows = [
        {k: v for k, v in each.items() if k != "table"}
        for each in evaluation.rows
        if each["table"] == "before"
    ]
    single = dataclasses.replace(evaluation, rows=rows, tables={"": evaluation.tables["before"]}, label=None)
    text = write_evaluation(tmp_path / "page.html", single, title="Plates").read_text("utf-8")
    assert "Plates are told apart: a classifier" in text
    assert "Colours of plates should mix." in text


def test_the_page_of_a_run(evaluation, tmp_path):
    history = [{"step": k, "loss": 3.0, "align": 1 / k, "classify": 2.0, "kernel": 0.5} for k in (1, 2, 3)]
    domains = [{"plate": name, "rows": 60} for name in ("plate 1", "plate 2")]
    text = write_run(
        tmp_path / "page.html",
        title="A run",
        method=JointCalibration(members=2),
        composition="batches hold the same mixture",
        domains=domains,
        history=history,
        evaluation=evaluation,
    ).read_text("utf-8")
    assert "JointCalibration was fitted to 2 batches. Composition: batches hold the same mixture." in text
    assert re.search(r">members</td><td[^>]*>2</td><td[^>]*>4</td>", text)
    assert "align: how far apart" in text
    assert "what training descends on" not in text  # its parts are shown
    assert text.count("data:image/png") == 2


def test_the_page_of_a_method_in_closed_form(tmp_path):
    text = write_run(
        tmp_path / "page.html", title="A run", method=Standardise(), composition="", domains=[{"batch": "a"}]
    ).read_text("utf-8")
    assert "All settings are the defaults of Standardise." in text
    assert "data:image/png" not in text
