"""The list of all numbers in print: every one is in exactly one class, and stands beside ours at most once."""

from __future__ import annotations

from collections import Counter

import pytest
from problems import experiment

work, reader, results, printed, side = (
    experiment(name)
    for name in (
        "published",
        "_lib.published",
        "_lib.results",
        "neuron_editing.printed",
        "neuron_editing.print_page",
    )
)
TOTALS = {"multibatch": 241, "twobatch": 240, "wasserstein": 234, "neuron_editing": 34}


def test_every_number_in_print_is_counted_once():
    rows = results.read("published")["rows"]
    assert sum(row["cells"] for row in rows) == 749
    for paper, total in TOTALS.items():
        assert sum(row["cells"] for row in rows if row["paper"] == paper) == total
    assert {row["class"] for row in rows} <= set(work.CLASSES)
    assert len({tuple(list(row.values())[:4]) for row in rows}) == len(rows)


@pytest.mark.skipif(not reader.table().is_file(), reason="published.csv is not at hand")
def test_the_stored_counts_are_those_of_the_file():
    cells = reader.read(*TOTALS)
    assert Counter(cell["paper"] for cell in cells) == TOTALS
    keys = [tuple(cell.values())[:-1] for cell in cells]
    assert len(set(keys)) == len(keys) == 749
    assert work.count(cells) == results.read("published")["rows"], "run experiments/published.py"


def cell(value, table="1a", paper="multibatch", dataset="MI"):
    return {"paper": paper, "table": table, "dataset": dataset, "value": value}


def test_a_stored_number_stands_for_one_cell():
    stored = {place.stored: Counter() for place in (*work.PLACES.values(), work.JOINT)}
    stored["joint_*"] = Counter({("1a", 0.876): 1})
    stored["wasserstein_*"] = Counter({("1", 0.93): 1})
    cells = [
        cell("0.876"),
        cell("0.876"),
        cell("0.876", table="1b"),
        cell("0.876", dataset="pancreas"),
        cell("93", "1", "wasserstein", "BBBC021_engineered"),
        cell("93", "4", "wasserstein", "BBBC021_dnn"),
        cell("0.9", "4", "twobatch", "MALDI_SLE"),
    ]
    expected = [
        work.BESIDE, work.NOT_RUN, work.NOT_RUN, work.NOT_HERE, work.OTHER, work.EMBEDDINGS, work.PRIVATE
    ]  # fmt: skip
    assert work.classify(cells, stored) == expected
    assert stored["joint_*"]["1a", 0.876] == 1  # what was passed is as it was


def test_the_page_adds_up():
    rows = [
        {"paper": "multibatch", "table": "1a", "dataset": "MI", "class": work.BESIDE, "cells": 30},
        {"paper": "multibatch", "table": "1a", "dataset": "MI", "class": work.NOT_RUN, "cells": 6},
    ]
    text = work.markdown(rows)
    assert "| Joint calibration, many batches | 1a | MI | 36 | 30 |  | not run yet: 6 |" in text
    assert f"| {work.BESIDE} | 30 |" in text


@pytest.mark.skipif(not reader.table().is_file(), reason="published.csv is not at hand")
def test_neuron_editing_has_its_numbers_beside_ours():
    rows = printed.rows("2")
    told = {row["method"]: row["published"] for row in rows}
    assert (told["neuron editing, as printed"], told["limma"], len(told)) == (0.96275, 0.5431, 10)
    (fid,) = (row for row in printed.rows("1") if row["method"] == "GAN")
    assert (fid["published"], fid["published_sd"]) == (282.26, 13.32)
    assert printed.rows() == []


def test_a_number_in_print_is_in_italics_and_a_method_that_was_not_run_has_no_other():
    ours = [{"task": "t", "seed": seed, "method": "GAN", "r medians": 0.5 + seed / 10} for seed in (0, 1)]
    both = [
        {"printed_in": "2", "method": method, "metric": "r medians", "published": 0.25, "published_sd": None}
        for method in ("GAN", "MNN")
    ]
    stored = {"neuron_editing_cytonorm": ours + both, "neuron_editing_spike-in": ours[:1]}
    lines = side.table("2", stored).splitlines()
    assert "| GAN | *0.250* | 0.550 | 0.500 |" in lines
    assert "| MNN | *0.250* |  |  |" in lines
    assert side.measured(ours + both) == ours
