"""What was tried and rejected: every trial runs, uses what it may, and does what it says."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from problems import experiment
from scipy.stats import norm

from jbc.data.simulate.plates import simulate_plates


@pytest.fixture(scope="module")
def modules():
    return experiment("joint.rejected"), experiment("joint.tasks")


@pytest.fixture(scope="module")
def cohort(modules):
    return modules[1].cohort_of(simulate_plates(n_per_plate=40, n_features=5).to_anndata())


def small(trial):
    return dataclasses.replace(trial, rows=8, steps=6)


@pytest.mark.slow
def test_trials_learn_from_the_sources_alone(modules, cohort):
    """The labels of the target change nothing: shuffled ones give the same probabilities, whatever is tried."""
    rejected, work = modules
    everything = rejected.Trial(pseudo=0.5, entropy=0.3, consistent=3.0, align=1.0, mixed=True, confident=0.5)
    first = work.make_tasks(cohort, 2)[:1]
    target = np.asarray(cohort.domain) == 2
    label = np.array(cohort.label)
    label[target] = np.random.default_rng(0).permutation(label[target])
    tables = cohort, dataclasses.replace(cohort, label=label)
    here, there = (rejected.outputs(small(everything), table, first, 2) for table in tables)
    np.testing.assert_array_equal(here, there)
    assert here.shape == (1, 2, len(cohort.x), 2)
    assert np.isfinite(here).all()
    assert not np.array_equal(here[0, 0], here[0, 1]), "seeds differ"
    moved = dataclasses.replace(cohort, label=1 - cohort.label)
    assert not np.array_equal(here, rejected.outputs(small(everything), moved, first, 2))


@pytest.mark.slow
def test_inputs_are_standardised_in_every_plate(modules, cohort):
    rejected, _ = modules
    for inputs in ("ratio", "total", "log"):
        x = rejected.shaped(cohort, inputs)
        for g in range(3):
            np.testing.assert_allclose(x[cohort.domain == g].std(axis=0), 1, atol=1e-3)
    ranks = rejected.shaped(cohort, "rank")
    np.testing.assert_allclose(np.sort(ranks[cohort.domain == 0][:, 0]), norm.ppf((np.arange(40) + 0.5) / 40))
    assert rejected.shaped(cohort, "ratio and rank").shape == (len(cohort.x), 10)


def test_the_moved_threshold_finds_the_shares_of_the_target(modules, cohort):
    """Scores of two known populations, half of each in the sources, and 1 in 10 in the target."""
    rejected, work = modules
    part = work.make_tasks(cohort, 2)[0]
    rng = np.random.default_rng(0)
    domain = np.repeat([0, 1, 2], 4000)
    label = np.where(domain < 2, rng.random(12000) < 0.5, rng.random(12000) < 0.1).astype(int)
    table = dataclasses.replace(cohort, label=label, domain=domain)
    score = rng.normal(2 * label - 1, 1.5)
    positive = 1 / (1 + np.exp(-2 * score / 1.5**2))  # the true posterior where both are as frequent
    found = rejected.moved_threshold(table, part, np.stack([1 - positive, positive], axis=-1))
    target = domain == 2
    assert abs(found[target, 1].mean() - 0.1) < 0.02
    np.testing.assert_array_equal(found[~target, 1], positive[~target])
    before, after = (((p > 0.5) == label)[target].mean() for p in (positive, found[:, 1]))
    assert after > before + 0.05


def test_classes_that_lie_alike_are_aligned(modules):
    rejected, _ = modules
    rng = np.random.default_rng(0)
    classes = jnp.asarray(np.tile([0.0, 1.0], (3, 100)))
    logits = jnp.asarray(rng.normal(size=(3, 200)) + 4 * np.asarray(classes))
    shifted = logits + jnp.array([0.0, 0.0, 4.0])[:, None]
    assert abs(float(rejected._class_mmd(logits, classes))) < 0.05
    assert float(rejected._class_mmd(shifted, classes)) > 0.5
