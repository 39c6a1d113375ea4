"""Early stopping without any biology: what is kept from training, the score, and that it finds the right moment."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest
from problems import assert_same_bytes, refusal, vary

import jbc
from jbc.cli.main import main
from jbc.cohort import Cohort
from jbc.cohort.groups import shared_treatments
from jbc.data.simulate.plates import simulate_shift
from jbc.data.simulate.screen import simulate_screen
from jbc.methods.distance_alignment import DistanceAlignment
from jbc.methods.mmd_resnet import MMDResNet
from jbc.methods.prepare import prepare
from jbc.methods.settings import AdversarialTraining, Route, Training
from jbc.methods.wasserstein import WassersteinAlignment
from jbc.metrics import bandwidth_ladder, domain_share, mmd
from jbc.model.criteria import by_replicates, by_rows
from jbc.train import fit

KEY = jax.random.key(0)
METHOD = DistanceAlignment(distance="gaussian", form="pairs", rows=12, updates=300, learning_rate=0.02)


@pytest.fixture(scope="module")
def world():
    return simulate_screen(0, n_domains=3, n_treatments=16, n_controls=12, n_features=5, shared=0.75)


@pytest.fixture(scope="module")
def cohort(world):
    table = Cohort.from_arrays(world.x, world.domain, treatment=world.treatment, control=world.control)
    return prepare(METHOD, table)


def test_a_quarter_of_the_replicated_treatments_is_kept_from_training(cohort):
    seen, stopping = by_replicates(METHOD, cohort)
    assert [len(shared_treatments(each.cells)) for each in (cohort, seen)] == [13, 10]
    x, domain, treatment = stopping.validation
    hidden = np.unique(treatment[treatment >= 0])
    assert len(hidden) == 3
    assert not np.isin(hidden, shared_treatments(seen.cells)).any()
    assert cohort.names.treatments.index("DMSO") not in hidden
    drawn = np.unique(np.asarray(METHOD.draw.plan(KEY, prepare(METHOD, seen), 0, 40)))
    assert not np.isin(np.asarray(cohort.treatment)[drawn], hidden).any()
    assert x.shape == (len(domain), 5)


def test_with_controls_alone_half_of_their_units_are_kept(world):
    unit = [f"{domain}, pair {i // 2}" for i, domain in enumerate(world.domain)]
    cohort = Cohort.from_arrays(world.x, world.domain, control=world.control, unit=unit)
    seen, stopping = by_replicates(METHOD, cohort)
    out = np.asarray(seen.weight) == 0
    assert np.asarray(cohort.control)[out].all()
    units = np.asarray(cohort.unit)
    assert not np.isin(units[out], units[~out & np.asarray(cohort.control)]).any()
    assert 0.3 < out.sum() / np.asarray(cohort.control).sum() < 0.7
    known = stopping.validation[2] >= 0
    assert known.sum() == out.sum()
    assert (~known).sum() == (~world.control).sum()  # the others tell how much varies in all


@pytest.mark.slow
def test_what_is_kept_decides_nothing_but_the_end(cohort):
    """Other measurements of the rows that are kept change no bit of the model of a given step."""
    seen, _ = by_replicates(METHOD, cohort)
    x = np.array(seen.x)
    hidden = (np.asarray(cohort.treatment) >= 0) & (np.asarray(seen.treatment) < 0)
    x[hidden] += 100
    other = dataclasses.replace(seen, x=x)
    method = vary(METHOD, scale="none")
    runs = [fit(method, each, KEY, steps=20, chunk=10) for each in (seen, other)]
    assert hidden.any()
    assert_same_bytes(runs[0].fitted, runs[1].fitted)


@pytest.mark.slow
def test_it_stops_where_the_hidden_replicates_are_nearest(world):
    """Mapped rows that are compared with mapped rows go astray in the end: stopping in time is better than never."""
    about = {"domain": world.domain, "treatment": world.treatment, "control": world.control}
    method = WassersteinAlignment(
        form="pairs",
        pretrain=200,
        fan_in_rate=False,
        training=AdversarialTraining(rows=12, updates=400, linear_decay=False),
    )
    models = {how: jbc.Corrector(method, stopping=how).fit(world.x, **about) for how in (None, "replicates")}
    shares = {
        how: domain_share(model.transform(world.x, domain=world.domain), world.domain, world.treatment)
        for how, model in models.items()
    }
    measured = domain_share(world.x, world.domain, world.treatment)
    assert models["replicates"].stopped_
    assert shares["replicates"] < 0.7 * measured
    assert shares["replicates"] < shares[None]


def test_the_share_of_domains():
    rng = np.random.default_rng(0)
    domain, treatment = np.repeat(["a", "b", "c"], 200), np.tile(["u", "v"], 300)
    x = rng.normal(size=(600, 4)) + 3 * (treatment == "v")[:, None]
    shift = rng.normal(size=(3, 4))
    moved = x + np.repeat(shift, 200, axis=0)
    expected = shift.var(axis=0).sum() / moved.var(axis=0).sum()
    assert domain_share(moved, domain, treatment) == pytest.approx(expected, abs=0.03)
    assert domain_share(7 * moved - 5, domain, treatment) == pytest.approx(
        domain_share(moved, domain, treatment)
    )
    draws = [domain_share(rng.normal(size=(60, 4)), domain[::10], treatment[::10]) for _ in range(200)]
    assert abs(np.mean(draws)) < 3 * np.std(draws) / np.sqrt(200)
    unknown = np.where(treatment == "v", "", treatment)
    assert 0 < domain_share(moved, domain, unknown) < 1
    with refusal("nothing-to-evaluate"):
        domain_share(x, domain, domain)


def test_without_replicates_there_is_nothing_to_stop_by(world):
    with refusal("nothing-shared"):
        by_replicates(METHOD, Cohort.from_arrays(world.x, world.domain, treatment=world.domain))


@pytest.mark.slow
def test_command_line(world, tmp_path):
    frame = pd.DataFrame(world.x, columns=[f"f{i}" for i in range(5)])
    path, run = str(tmp_path / "screen.csv"), tmp_path / "run"
    frame.assign(plate=world.domain, drug=world.treatment).to_csv(path, index=False)
    keys = ["--batch-key", "plate", "--treatment-key", "drug", "--control", "drug == 'DMSO'"]
    method = ["distance-alignment", "--distance", "gaussian", "--rows", "12", "--updates", "20"]
    begin = ["fit", "--data", path, *keys, "--out", str(run)]
    assert main([*begin, "--stop-early", *method]) == 0
    assert main([*begin, "--resume", *method]) == 2  # another run: without the early stop
    model = jbc.load(run / "model")
    about = {"domain": world.domain, "treatment": world.treatment, "control": world.control}
    same = vary(METHOD, form="barycentre", updates=20, learning_rate=2e-2)
    expected = jbc.Corrector(same, stopping="replicates").fit(frame, **about)
    assert_same_bytes(model.fitted, expected.model_.fitted)


MOVER = MMDResNet(route=Route(target="domain 1", source=("domain 2",)), training=Training(rows=20))


@pytest.fixture(scope="module")
def plain():
    return simulate_shift(0, n_per_domain=60, n_features=4, n_domains=3, shift=2.0)


def test_a_tenth_of_the_rows_of_source_and_target_is_kept(plain):
    unit = [f"{domain}, pair {i // 2}" for i, domain in enumerate(plain.domain)]
    cohort = Cohort.from_arrays(plain.x, plain.domain, unit=unit)
    seen, stopping = by_rows(MOVER, cohort)
    out = np.asarray(seen.weight) == 0
    domain, units = np.asarray(cohort.domain), np.asarray(cohort.unit)
    assert np.bincount(domain[out]).tolist() == [6, 6]  # the third domain stays: it has nothing to tell
    assert not np.isin(units[out], units[~out]).any()
    x, of, spread, target, _ = stopping.validation
    assert (of == 1).all()
    for told, g in ((x, 1), (target * spread, 0)):
        np.testing.assert_allclose(
            np.sort(told, axis=0), np.sort(np.asarray(cohort.x)[out & (domain == g)], axis=0), rtol=1e-5
        )
    drawn = np.unique(np.asarray(MOVER.draw.plan(KEY, seen, 0, 40)))
    assert not out[drawn].any()


@pytest.mark.slow
def test_the_score_is_how_far_hidden_rows_are_from_the_target(plain):
    slow = vary(MOVER, scale="pooled", learning_rate=1e-2)
    seen, stopping = by_rows(slow, Cohort.from_arrays(plain.x, plain.domain))
    x, _, spread, target, _ = stopping.validation
    models = [fit(slow, seen, KEY, steps=steps).fitted for steps in (1, 200)]
    begun, moved = [stopping.score(model, stopping.validation) for model in models]
    measured = mmd(x / spread, target, draws=1, bandwidths=bandwidth_ladder(target))[0]
    assert begun == pytest.approx(-measured, abs=0.05)
    assert moved > 0.7 * begun


@pytest.mark.slow
def test_a_map_that_arrived_is_stopped(plain):
    model = jbc.Corrector(MOVER, stopping="rows", steps=4000).fit(plain.x, domain=plain.domain)
    assert model.stopped_
    assert model.n_steps_ < 4000


def test_ways_to_stop_that_there_are_not(plain):
    cohort = Cohort.from_arrays(plain.x, plain.domain)
    with refusal("no-target"):
        by_rows(METHOD, cohort)
    with refusal("too-few-rows"):
        by_rows(MOVER, Cohort.from_arrays(plain.x[51:], plain.domain[51:]))
    with refusal("bad-setting"):
        jbc.Corrector(MOVER, stopping="row").fit(plain.x, domain=plain.domain)
