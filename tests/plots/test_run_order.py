"""Figures of runs and plates: what is where."""

from __future__ import annotations

import numpy as np
import pytest
from problems import refusal

from jbc.plots import plate_map, run_order
from jbc.plots.plates import wells

T = np.arange(30)
PLATE = np.repeat(["$a$", "_b", "c"], 10)
WELLS = [f"{row}{column}" for row in "ABCDEFGH" for column in range(1, 13)]


def test_a_run_has_a_panel_for_every_condition():
    control = T % 5 == 0
    values = {"before": 2.0 + T, "after": np.full(30, 2.0)}
    axes = run_order(values, T, PLATE, control=control, curve={"before": 2.0 + T}, name="$x$", log=True)
    assert [ax.get_title(loc="left") for ax in axes] == ["$x$: before", "$x$: after"]
    assert axes[0].get_yscale() == "log"
    assert axes[0].get_ylim() == axes[1].get_ylim()
    assert len(axes[0].lines) == 3
    assert not axes[1].lines
    points = np.vstack([part.get_offsets() for part in axes[0].collections])
    np.testing.assert_array_equal(points[np.argsort(points[:, 0])], np.stack([T, 2 + T], axis=1))
    names = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert names == ["$a$", "_b", "c", "controls", "curve"]
    axes[0].figure.canvas.draw()


def test_missing_values_are_left_out_and_shapes_are_checked():
    values = np.where(T == 3, np.nan, T)
    run_order({"before": values}, T)[0].figure.canvas.draw()
    for wrong in ({}, {"before": T, "after": T[:5]}):
        with refusal("bad-shape"):
            run_order(wrong, T)


def test_a_map_shows_every_well_in_its_place():
    values = np.arange(96.0)
    values[5] = np.nan
    axes = plate_map(values, WELLS, control=values == 7, name="m/z 98")
    shown = np.asarray(axes[0].images[0].get_array().filled(np.nan))
    np.testing.assert_array_equal(shown.reshape(-1), values)
    assert axes[0].collections[0].get_offsets().tolist() == [[7, 0]]
    axes[0].figure.canvas.draw()


def test_plates_have_one_scale_and_repeated_wells_their_median():
    axes = plate_map([1.0, 3.0, 11.0, 8.0], ["A1", "a01", "A1", "P24"], ["x", "x", "x", "y"])
    assert [ax.get_title(loc="left") for ax in axes] == ["x", "y"]
    first, second = (ax.images[0] for ax in axes)
    assert first.get_array().shape == (16, 24)
    assert first.get_array()[0, 0] == 3
    assert first.get_clim() == second.get_clim()
    plate_map([np.nan], ["A1"])[0].figure.canvas.draw()


@pytest.mark.parametrize("name", ["", "7", "A", "A0", "A49", "AG1", "ABC1", "A-", None, 3.5])
def test_what_is_no_well_is_refused(name):
    with refusal("bad-well"):
        wells(["A1", name], 2)


def test_values_are_one_column():
    with refusal("bad-shape"):
        plate_map(np.ones((2, 2)), ["A1", "A2"])
