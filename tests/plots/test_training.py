"""Curves of training: what is drawn is what was reported, on scales that tell something."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

import jbc
from jbc import plots
from jbc.data import simulate_plates
from jbc.errors import InputError


def axes():
    return Figure(layout="constrained").subplots()


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_losses_are_the_history():
    history = {"step": [5, 10, 15], "mmd": [3.0, 2.0, 1.0], "reconstruction": [1.0, np.nan, 0.5]}
    ax = plots.losses(axes(), history, log=True)
    assert [line.get_xdata().tolist() for line in ax.lines] == [[5, 10, 15]] * 2
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), history["reconstruction"])
    assert legend(ax) == ["mmd", "reconstruction"]
    assert ax.get_yscale() == "log"
    assert ax.get_ylabel() == "loss, logarithmic"
    plain = plots.losses(axes(), {"a": [1, 2]})
    assert (plain.get_yscale(), plain.get_ylabel()) == ("linear", "loss")


def test_losses_of_a_corrector():
    world = simulate_plates(0, n_per_plate=40)
    corrector = jbc.Corrector(jbc.JointCalibration(), steps=20).fit(world.x, world.label, domain=world.domain)
    ax = plots.losses(axes(), corrector.history_, names=["align", "classify"])
    assert legend(ax) == ["align", "classify"]
    for line, name in zip(ax.lines, ("align", "classify"), strict=True):
        assert line.get_xdata().tolist() == [row["step"] for row in corrector.history_]
        np.testing.assert_array_equal(line.get_ydata(), [row[name] for row in corrector.history_])


def test_every_loss_has_a_panel_and_a_scale_of_its_own():
    history = [
        {"step": 5, "align": 0.01, "critic": -3.0, "late": 1.0},
        {"step": 9, "align": 0.02, "critic": 2.0},
    ]
    panels = plots.loss_panels(history, words={"critic": "loss of the critics"})
    assert [ax.get_title(loc="left") for ax in panels] == ["align", "loss of the critics", "late"]
    np.testing.assert_array_equal(panels[2].lines[0].get_ydata(), [1.0, np.nan])
    assert panels[0].get_ylim()[0] == 0
    assert panels[1].get_ylim()[0] < -3
    assert len({ax.figure for ax in panels}) == 1
    assert len(plots.loss_panels(history, names=["critic"])) == 1


@pytest.mark.parametrize(
    ("history", "names"), [([{"step": 1, "a": 2.0}], ["b"]), ([], None), ({"step": [1]}, None)]
)
def test_losses_that_are_not_there(history, names):
    with pytest.raises(InputError) as error:
        plots.losses(axes(), history, names=names)
    assert error.value.code == "missing-loss"


def test_long_losses_have_a_running_mean_in_its_place():
    step = np.arange(0, 1000, 2)
    ax = plots.losses(axes(), {"step": step, "loss": step + np.tile([5.0, -5.0], 250)})
    faint, mean = ax.lines
    assert len(faint.get_xdata()) == 500
    # A straight line in noise of period two, averaged over ten points, is the line half a step later.
    np.testing.assert_allclose(np.asarray(mean.get_ydata()), np.asarray(mean.get_xdata()) + 1, atol=1e-9)
