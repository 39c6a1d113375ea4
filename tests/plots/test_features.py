"""Figures of features, permutations and confusion: what is drawn is what was counted, and any name is harmless."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from problems import refusal

from jbc import metrics, plots

NAMES = ["plain", "$\\frac", "_hidden", "a" * 300, "nul\x00", "<script>"]


def axes():
    return Figure(layout="constrained").subplots()


def png(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=40)
    return buffer.getvalue()


def ticks(axis) -> list[str]:
    return [text.get_text() for text in axis.get_ticklabels()]


def test_upset_counts_what_is_in_these_sets_and_no_others():
    rng = np.random.default_rng(0)
    before, after = rng.random((3, 80)) < 0.3, rng.random((3, 80)) < 0.6
    bars, dots = plots.upset({"before": before, "after": after}, ["p1", "p2", "p3"])
    lines = [sorted(line.get_ydata()) for line in dots.lines]
    heights = np.array([bar.get_height() for bar in bars.patches]).reshape(2, -1)
    for selected, counted in zip((before, after), heights, strict=True):
        found = metrics.overlap(selected)
        expected = {tuple(member): size for member, size in zip(found.member, found.size, strict=True)}
        for place, count in enumerate(counted):
            shown = dots.collections[2 * place + 1].get_offsets()[:, 1].astype(int)
            member = np.isin(np.arange(3), shown)
            assert lines[place] == [shown.min(), shown.max()]
            assert expected.pop(tuple(member), 0) == count
        assert not expected
    assert ticks(dots.yaxis) == ["p1", "p2", "p3"]
    assert [text.get_text() for text in bars.get_legend().get_texts()] == ["before", "after"]
    sizes = [len(dots.collections[2 * k + 1].get_offsets()) for k in range(heights.shape[1])]
    assert sizes == sorted(sizes, reverse=True)


def test_upset_of_many_sets_leaves_some_out_and_says_so():
    rng = np.random.default_rng(0)
    selected = rng.random((6, 500)) < 0.4
    bars, _ = plots.upset({"measured": selected}, NAMES)
    assert len(bars.patches) == 20
    assert bars.get_title(loc="right") == f"{len(metrics.overlap(selected).size) - 20} more combinations"
    assert png(bars.figure)
    assert png(plots.upset({"none": np.zeros((2, 5), bool)}, ["a", "b"])[0].figure)


def test_boxes_show_the_quartiles_of_every_class_and_domain():
    rng = np.random.default_rng(0)
    label = np.array(["case", "control", None] * 40, dtype=object)
    domain, x = np.repeat(["p1", "p2"], 60), rng.normal(size=(120, 4))
    found = plots.feature_boxes(x, label, domain, names=NAMES[:4], columns=3)
    assert [ax.get_title(loc="left") for ax in found[:2]] == NAMES[:2]
    assert ticks(found[0].xaxis) == ["p1", "p2"]
    for j, ax in enumerate(found):
        assert len(ax.patches) == 4
        for k, (kind, name) in enumerate((a, b) for a in ("case", "control") for b in ("p1", "p2")):
            drawn = ax.patches[k].get_path().vertices[:, 1]
            values = x[(label == kind) & (domain == name), j]
            assert (drawn.min(), drawn.max()) == pytest.approx(tuple(np.quantile(values, [0.25, 0.75])))
    assert [text.get_text() for text in found[2].get_legend().get_texts()] == ["case", "control"]
    assert len(found[0].figure.axes) == 4
    assert png(found[0].figure)


def test_a_permutation_test_is_a_histogram_and_a_line():
    null = np.random.default_rng(0).normal(0.5, 0.05, size=100)
    for observed in (0.9, 0.1):
        ax = plots.permutation_null(axes(), null, observed, p=0.01, xlabel="$a")
        assert sum(bar.get_height() for bar in ax.patches) == 100
        assert list(ax.lines[0].get_xdata()) == [observed, observed]
        assert ax.texts[0].get_text() == f"true labels: {observed:.3f}, p = 0.01"
        assert ax.texts[0].get_horizontalalignment() == ("right" if observed == 0.9 else "left")
        assert png(ax.figure)


def test_a_confusion_matrix_has_true_classes_down_and_shares_as_colours():
    y, predicted = ["a"] * 4 + ["b"], ["a", "a", "a", "b", "b"]
    found = metrics.confusion_matrix(y, predicted, classes=["a", "b", "_c"])
    ax = plots.confusion_matrix(axes(), found.counts, found.classes, title="$\\frac")
    np.testing.assert_allclose(np.asarray(ax.images[0].get_array()), np.nan_to_num(found.recall))
    texts = {(text.get_position()): text.get_text() for text in ax.texts}
    assert texts[1, 0] == "1\n25 %"  # of a, predicted as b: the second column of the first line
    assert ticks(ax.yaxis) == ticks(ax.xaxis) == ["a", "b", "_c"]
    assert np.isnan(found.recall[2]).all()
    assert png(ax.figure)


def test_several_tables_share_axes_and_a_legend():
    rng = np.random.default_rng(0)
    x, domain, label = (
        rng.normal(size=(50, 4)),
        np.repeat(["p1", "p2"], 25),
        np.array(["u", None] * 25, dtype=object),
    )
    tables = {"measured": x, NAMES[1]: x + 3, "shrunk": 0.1 * x}
    found = plots.side_by_side(tables, domain, label, kind="pca", domain_name="plate")
    assert found.shape == (2, 3)
    assert [ax.get_title(loc="left") for ax in found[0]] == list(tables)
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in found.ravel()}) == 1
    spread = [np.ptp(ax.collections[0].get_offsets(), axis=0).max() for ax in found[0]]
    assert spread[2] == pytest.approx(0.1 * spread[0])
    assert [ax.get_legend() is not None for ax in found[0]] == [False, False, True]
    assert png(found[0, 0].figure)
    apart = plots.side_by_side(tables, domain, kind="pca", common=False)
    assert apart.shape == (1, 3)
    assert len({ax.get_xlim() for ax in apart[0]}) == 3


def test_refusals():
    x, domain = np.ones((4, 2)), ["a", "b"] * 2
    with refusal("bad-shape") as caught:
        plots.side_by_side({"one": x, "other": x[:, :1]}, domain, kind="pca")
    assert "other: (4, 1)" in str(caught.value)
    for groups in (
        {},
        {"one": np.ones((3, 4), bool)},
        {"one": np.ones((2, 4), bool), "other": np.ones(4, bool)},
    ):
        with refusal("bad-shape"):
            plots.upset(groups, ["a", "b"])
