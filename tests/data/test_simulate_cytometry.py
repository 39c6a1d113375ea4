"""Simulated cytometry: what its batch effect and its drugs do, and what a function per marker can and cannot undo."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from jbc.data import simulate_drugs, simulate_spike_in
from jbc.data.simulate.drugs import BEZ, _under
from jbc.numerics import edits

PER_MARKER = ("gain", "offset", "saturation", "dimming")
ACROSS = ("spillover", "staining")
SMALL = {"control_cells": (1500, 1600), "sample_cells": (2000, 1700)}


def spike_in(seed=0, only=PER_MARKER + ACROSS, **options):
    strengths = {name: float(name in only) for name in PER_MARKER + ACROSS}
    return simulate_spike_in(seed, **{**SMALL, **strengths, **options})


def rows(world):
    """Tell the control and the sample of the source, and those of the target."""
    source = world.domain == "source"
    return source & world.control, source & ~world.control, ~source & world.control, ~source & ~world.control


def best_per_marker(x, truth):
    """Give every marker its true distribution: no increasing function per marker does better."""
    out = np.empty_like(x)
    for column in range(x.shape[1]):
        # Ties in the order of the truth, so that a function of the truth is matched to it without an error.
        out[np.lexsort((truth[:, column], x[:, column])), column] = np.sort(truth[:, column])
    return out


def edited(source, target, x):
    return np.asarray(edits.apply(edits.measure(jnp.asarray(source), jnp.asarray(target)), jnp.asarray(x)))


def test_without_any_strength_the_runs_measure_alike_and_the_truth_depends_on_the_seed_alone():
    without, world = spike_in(3, only=()), spike_in(3)
    np.testing.assert_array_equal(without.x, without.truth)
    np.testing.assert_array_equal(world.truth, without.truth)
    for again, first in zip(spike_in(3), world, strict=True):
        np.testing.assert_array_equal(again, first)
    assert (spike_in(4).truth != world.truth).mean() > 0.5
    target = world.domain == "target"
    np.testing.assert_array_equal(world.x[target], world.truth[target])
    changed = (world.x != world.truth)[~target].mean(axis=0)
    assert changed[1] == 0  # CCR6
    assert (np.delete(changed, 1) > 0.5).all()


def test_a_spike_in_has_the_promised_shape():
    world = spike_in(1, markers=9, types=5)
    assert world.x.shape == world.truth.shape == (6800, 9)
    assert world.x.dtype == world.truth.dtype == np.float32
    assert world.x.min() >= 0
    assert [int(group.sum()) for group in rows(world)] == [1500, 2000, 1600, 1700]
    assert (world.control == (world.material == "control")).all()
    assert set(world.material) == {"control", "sample"}
    assert world.features[:3] == ("IFNg", "CCR6", "marker 3")
    assert len(world.features) == 9
    assert set(world.label) == {f"type {number}" for number in range(1, 6)}


def test_the_numbers_of_cells_do_not_change_the_world():
    few, many = spike_in(only=("gain",)), spike_in(only=("gain",), control_cells=(400, 300))
    gains = [
        np.median(np.sinh(world.x[rows(world)[1]]) / np.sinh(world.truth[rows(world)[1]] + 1e-9), axis=0)
        for world in (few, many)
    ]
    np.testing.assert_allclose(gains[0][bright := gains[0] > 0], gains[1][bright], rtol=1e-4)
    assert bright.sum() > 20
    shares = [np.mean(world.label[rows(world)[3]] == "type 1") for world in (few, many)]
    assert shares[0] == pytest.approx(shares[1], abs=0.05)


@pytest.mark.parametrize("name", PER_MARKER + ACROSS)
def test_functions_per_marker_undo_what_they_are_said_to_undo(name):
    world = spike_in(only=(name,))
    source = world.domain == "source"
    x, truth = world.x[source], world.truth[source]
    assert np.abs(x - truth).mean() > 0.02
    left = np.abs(best_per_marker(x, truth) - truth).mean()
    assert left < 1e-5 if name in PER_MARKER else left > 0.02


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.slow
def test_percentiles_of_the_controls_undo_a_part_of_the_batch_effect_on_the_sample(seed):
    left = {}
    for parts in (PER_MARKER, PER_MARKER + ACROSS):
        world = spike_in(seed, only=parts, control_cells=(6000, 6000))
        control, sample, other, _ = rows(world)
        truth = world.truth[sample]
        corrected = edited(world.x[control], world.x[other], world.x[sample])
        left[parts] = np.abs(corrected - truth).mean() / np.abs(world.x[sample] - truth).mean()
    assert left[PER_MARKER] < 0.15
    assert left[PER_MARKER] + 0.1 < left[PER_MARKER + ACROSS] < 0.5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_controls_and_samples_differ_and_so_do_the_samples(seed):
    world = spike_in(seed)
    control, sample, other, target_sample = rows(world)
    everything = {f"type {number}" for number in range(1, 11)}
    in_control = set(world.label[control])
    assert in_control == set(world.label[other]) == {f"type {number}" for number in range(1, 7)}
    for rows_of in (sample, target_sample):
        assert set(world.label[rows_of]) == everything
        assert np.isin(world.label[rows_of], list(in_control), invert=True).mean() > 0.15
    means = [world.truth[group].mean(axis=0) for group in (control, sample, other, target_sample)]
    batch = np.abs(world.x[control].mean(axis=0) - means[0]).mean()
    assert np.abs(means[0] - means[2]).mean() < 0.1
    assert min(np.abs(means[2] - means[3]).mean(), np.abs(means[1] - means[3]).mean()) > max(0.2, 0.5 * batch)
    assert means[1][1] > means[3][1] + 0.5  # CCR6 is higher in the source's sample,
    for group, mean in ((control, means[0]), (sample, means[1])):
        assert world.x[group].mean(axis=0)[0] < mean[0] - 0.4  # and IFNg is measured too low in both


def test_markers_look_like_those_of_a_cytometer():
    truth = spike_in().truth
    assert 0.1 < (truth == 0).mean() < 0.4
    dark, bright = (truth < 0.5).mean(axis=0), (truth > 2).mean(axis=0)
    assert ((dark > 0.5) & (bright > 0.02)).mean() > 0.4
    assert (dark < 0.1).any()
    assert 4 < np.percentile(truth, 99.9) < 8
    assert np.abs(np.corrcoef(truth.T)[np.triu_indices(35, 1)]).max() > 0.5


def drugs(seed=0, **options):
    return simulate_drugs(seed, **{"cells": (1500, 1400, 1300, 1200), **options})


def test_drugs_have_the_promised_shape_and_depend_on_the_seed_alone():
    world = drugs(1, markers=7, types=3)
    assert world.x.shape == (5400, 7)
    assert world.truth.shape == (1400, 7)
    assert world.x.dtype == world.truth.dtype == np.float32
    names, first, counts = np.unique(world.condition, return_index=True, return_counts=True)
    assert names[np.argsort(first)].tolist() == ["basal", "Bez", "Das", "Bez+Das"]
    assert counts[np.argsort(first)].tolist() == [1500, 1400, 1300, 1200]
    assert world.features[:3] == ("p4EBP1", "pSTAT5", "marker 3")
    assert set(world.label) == {"type 1", "type 2", "type 3"}
    for again, same in zip(drugs(1, markers=7, types=3), world, strict=True):
        np.testing.assert_array_equal(again, same)
    assert (drugs(2, markers=7, types=3).x != world.x).mean() > 0.5


def test_drugs_without_an_effect_do_nothing():
    world = drugs(effect=0.0, interaction=1.0)
    np.testing.assert_array_equal(world.truth, world.x[world.condition == "Bez"])
    np.testing.assert_array_equal(drugs(effect=1.0).x[world.condition == "basal"], world.x[:1500])
    means = [world.x[world.condition == name].mean(axis=0) for name in ("basal", "Bez", "Das", "Bez+Das")]
    assert np.ptp(means, axis=0).max() < 0.3


def test_without_an_interaction_one_drug_acts_on_what_the_other_left():
    rng = np.random.default_rng(0)
    state, threshold = rng.normal(size=(50, 4)), rng.choice([0.0, 2.0], (50, 2))
    after_bez = _under("Bez", state, threshold, 1.0, 0.0)
    in_turn = _under("Das", after_bez, threshold, 1.0, 0.0)
    np.testing.assert_array_equal(_under("Bez+Das", state, threshold, 1.0, 0.0), in_turn)
    sum_of_both = after_bez + _under("Das", state, threshold, 1.0, 0.0) - state
    assert np.abs(in_turn - sum_of_both).max() > 0.1
    assert (_under("Bez+Das", state, threshold, 1.0, 1.0)[:, 0] < in_turn[:, 0]).all()
    # Among cells of one type a drug keeps the order of the activity it acts on.
    line = np.linspace(-5, 5, 500)[:, None] * np.eye(4)[BEZ.argmax()]
    moved = _under("Bez", line, np.zeros((500, 2)), 1.0, 0.0)[:, BEZ.argmax()]
    assert (np.diff(moved) > 0).all()


@pytest.mark.parametrize("interaction", [0.0, 1.0])
def test_the_truth_is_a_draw_of_what_both_drugs_do_and_the_interaction_shows_nowhere_else(interaction):
    world, plain = drugs(interaction=interaction), drugs()
    both = world.condition == "Bez+Das"
    np.testing.assert_array_equal(world.x[~both], plain.x[~both])
    bez = world.x[world.condition == "Bez"]
    quantiles = np.linspace(0, 100, 101)
    table, truth, single = (np.percentile(x, quantiles, axis=0) for x in (world.x[both], world.truth, bez))
    assert np.abs(truth - table).mean() < 0.6 * np.abs(single - table).mean()
    if interaction:
        assert world.truth[:, 0].mean() < plain.truth[:, 0].mean() - 0.1
        assert np.abs(world.x[both] - plain.x[both]).max() > 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_das_changes_a_part_of_the_markers_in_a_part_of_the_cells(seed):
    world = drugs(seed)
    change = world.truth - world.x[world.condition == "Bez"]
    assert (change[:, 1] == 0).all()  # pSTAT5
    assert (change[:, 0] <= 0).all()  # p4EBP1
    assert (change[:, 0] < -0.8).mean() > 0.1
    assert (change[:, 0] > -0.1).mean() > 0.1
    still = np.abs(change).max(axis=0) == 0
    assert 0.2 < still.mean() < 0.8
    assert change.mean(axis=0).max() > 0.02
