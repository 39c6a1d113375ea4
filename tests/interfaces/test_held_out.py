"""Controls that a correction has not seen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from problems import refusal

import jbc
from jbc.data import simulate_run
from jbc.interfaces.model_selection import hold_out_controls
from jbc.metrics import rsd

RUN = simulate_run(0, n_per_domain=60, n_features=8)
GIVEN = {"domain": RUN.domain, "control": RUN.control, "order": RUN.order}
POOL = np.asarray(RUN.control)


def test_every_control_is_corrected_by_others():
    """What is wrong with a control does not reach its own correction."""
    levels = jbc.Standardise(scale=False, on="controls")
    rows, held = hold_out_controls(levels, RUN.x, **GIVEN)
    assert rows.tolist() == np.flatnonzero(POOL).tolist()
    wrong = RUN.x.copy()
    wrong[rows[4]] += 1e4
    moved = hold_out_controls(levels, wrong, **GIVEN)[1]
    np.testing.assert_allclose(moved[4] - held[4], 1e4, rtol=1e-4)
    assert (np.abs(np.delete(moved - held, 4, axis=0)).max(axis=1) > 1).any()


def test_held_out_controls_are_judged_harder():
    method = jbc.Drift(form="ratio")
    rows, held = hold_out_controls(method, RUN.x, **GIVEN)
    model = jbc.fit(method, jbc.Cohort.from_arrays(RUN.x, **GIVEN))
    seen = model.transform(RUN.x, RUN.domain, order=RUN.order)[rows]
    before, after, flattered = (float(np.median(rsd(part))) for part in (RUN.x[rows], held, seen))
    assert flattered < after < 0.6 * before


def test_without_an_order_and_from_data_frames():
    frame = pd.DataFrame(RUN.x)
    method = jbc.Drift(spans=())
    one = hold_out_controls(method, frame, RUN.domain, control=RUN.control)
    other = hold_out_controls(method, RUN.x, RUN.domain, control=RUN.control)
    np.testing.assert_array_equal(one[1], other[1])
    with refusal("missing-order"):
        hold_out_controls(jbc.Drift(), RUN.x, RUN.domain, control=RUN.control)


@pytest.mark.parametrize("control", [np.zeros(180, bool), np.arange(180) % 60 == 0])
def test_what_cannot_be_held_out_is_refused(control):
    with refusal("few-controls"):
        hold_out_controls(jbc.Standardise(), RUN.x, RUN.domain, control=control)
