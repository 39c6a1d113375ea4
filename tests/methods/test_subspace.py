"""Wide tables: networks see a subspace of them, and results are features again."""

from __future__ import annotations

import dataclasses
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import assert_close, refusal

import jbc
from jbc.cohort import Cohort
from jbc.cohort.populations import describe
from jbc.cohort.subspace import find_basis
from jbc.errors import InputWarning
from jbc.methods.denoising_autoencoder import DenoisingAutoencoder
from jbc.methods.inputs import COMPONENTS, WIDE, Inputs, signed_logarithm
from jbc.methods.pairwise import PairwiseCalibration
from jbc.methods.prepare import prepare
from jbc.methods.registry import METHODS
from jbc.methods.settings import AdversarialTraining, Training
from jbc.methods.subspace import Projects, project
from jbc.model.support import how_far_outside, measure_support
from jbc.train import fit, fit_lanes

FEW = Inputs(subspace=4)
SHORT = AdversarialTraining(rows=8, updates=4)
SMALL = {
    "joint-calibration": jbc.JointCalibration(inputs=FEW, training=Training(rows=8)),
    "pairwise-calibration": PairwiseCalibration(jbc.JointCalibration(inputs=FEW, training=Training(rows=8))),
    "wasserstein-alignment": jbc.WassersteinAlignment(inputs=FEW, training=SHORT, pretrain=2),
    "distance-alignment": jbc.DistanceAlignment(inputs=FEW, rows=8),
    "mmd-resnet": jbc.MMDResNet(inputs=FEW, blocks=1, width=4, training=Training(rows=8)),
    "neuron-editing": jbc.NeuronEditing(inputs=FEW, widths=(4, 2), training=Training(rows=8)),
    "adversarial-correction": jbc.AdversarialCorrection(
        inputs=FEW, blocks=1, widths=(4,), critic=(4,), training=SHORT
    ),
    "regularised-autoencoder": jbc.RegularisedAutoencoder(
        inputs=FEW, widths=(4, 2), training=Training(rows=8)
    ),
    "component-editing": jbc.ComponentEditing(inputs=FEW, components=3),
}
# What compiles in a moment is examined every day, the others in CI.
SOON = ("distance-alignment", "mmd-resnet", "component-editing")
every_method = pytest.mark.parametrize("name", SMALL)
every_method_large_in_ci = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in SOON else [pytest.mark.slow]) for name in SMALL]
)
ROWS, FEATURES, DOMAINS = 36, 48, np.repeat(["a", "b", "c"], 12)


def drawn(seed: int = 0) -> np.ndarray:
    """Draw rows that vary along five directions and a little everywhere, in three domains that are apart."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(ROWS, 5)) @ draw.normal(size=(5, FEATURES)) + 0.3 * draw.normal(
        size=(ROWS, FEATURES)
    )
    return x + 20 + np.repeat(2 * draw.normal(size=(3, FEATURES)), 12, axis=0)


def cohort(x: np.ndarray | None = None) -> Cohort:
    return Cohort.from_arrays(drawn() if x is None else x, DOMAINS, label=np.tile(["x", "y"], ROWS // 2))


def fitted(name: str, x: np.ndarray | None = None, **options) -> jbc.Model:
    steps = None if name == "component-editing" else 3
    return jbc.fit(SMALL[name], cohort(x), steps=steps, composition="assume-equal", verbose=False, **options)


def test_all_methods_whose_networks_see_inputs_can_see_a_subspace():
    assert {name for name, cls in METHODS.items() if issubclass(cls, Projects)} == set(SMALL)


@every_method_large_in_ci
def test_results_are_features_again_and_models_survive_disk(name, tmp_path):
    x, model = drawn(), fitted(name)
    out = model.transform(x, DOMAINS)
    assert out.shape == x.shape
    assert np.isfinite(out).all()
    leaves = {leaf.shape for leaf in jax.tree.leaves(model.fitted) if np.ndim(leaf) > 1}
    assert not [shape for shape in leaves if shape[-2:] == (FEATURES, FEATURES)]
    again = jbc.load(model.save(tmp_path / "model")).transform(x, DOMAINS)
    np.testing.assert_array_equal(again, out)


@every_method
def test_what_lies_outside_the_subspace_is_only_standardised(name):
    """Less their projection, corrected rows are what no network has seen."""
    method, table = SMALL[name], prepare(SMALL[name], cohort(), composition="assume-equal")
    inputs, x, domain = method.inputs, jnp.asarray(table.x), jnp.asarray(table.domain)
    tables = jax.jit(method.tables)(table.without_names())
    plain = {key: value for key, value in tables.items() if key not in ("basis", "size")}
    z, basis = inputs.features(tables, x, domain), np.asarray(tables["basis"])
    same = inputs.restore(tables, inputs.apply(tables, x, domain), x, domain)
    np.testing.assert_allclose(same, inputs.restore(plain, z, x, domain), rtol=1e-5)
    anything = jnp.asarray(np.random.default_rng(1).normal(size=(ROWS, basis.shape[1])).astype(np.float32))
    before, after = (
        inputs.restore(tables, each, x, domain) for each in (z @ basis / tables["size"], anything)
    )
    if inputs.log:
        before, after = signed_logarithm(before), signed_logarithm(after)
    change = np.asarray((after - before) / tables["to"]["scale"])
    np.testing.assert_allclose(change, change @ basis @ basis.T, atol=1e-3)


@pytest.mark.parametrize("scale", ["pooled", "none"])
def test_every_shift_of_a_domain_lies_in_the_subspace(scale):
    method = jbc.DistanceAlignment(inputs=Inputs(scale=scale, subspace=2))
    table = prepare(method, cohort(), composition="assume-equal")
    assert table.width == 4
    tables = jax.jit(method.tables)(table.without_names())
    basis = np.asarray(tables["basis"])
    z = np.asarray(method.inputs.features(tables, jnp.asarray(table.x), jnp.asarray(table.domain)))
    means = np.stack([z[np.asarray(table.domain) == g].mean(axis=0) for g in range(3)])
    shifts = means - means.mean(axis=0)
    np.testing.assert_allclose(shifts @ basis @ basis.T, shifts, atol=1e-4 * np.abs(shifts).max())
    codes = np.asarray(table.subspace.codes)
    np.testing.assert_allclose(
        np.asarray(method.inputs.apply(tables, jnp.asarray(table.x), jnp.asarray(table.domain))),
        codes,
        atol=1e-4 * np.abs(codes).max(),
    )


def test_components_are_those_of_a_decomposition():
    method = jbc.MMDResNet(inputs=Inputs(subspace=3))
    table = project(method, method.resolve(cohort()))
    z = np.asarray(
        method.inputs.features(method.tables(table), jnp.asarray(table.x), jnp.asarray(table.domain)),
        float,
    )
    axes = np.linalg.svd(z - z.mean(axis=0))[2][:3]
    np.testing.assert_allclose(np.abs(axes @ np.asarray(table.subspace.basis)), np.eye(3), atol=1e-3)
    assert np.square(np.asarray(table.subspace.codes)).mean() == pytest.approx(1, abs=1e-4)


def test_weights_equal_repeated_rows():
    draw = np.random.default_rng(0)
    z, domain, weight = draw.normal(size=(8, 20)), np.repeat([0, 1], 4), np.array([1, 2, 0, 1, 3, 1, 1, 1])
    means = np.stack([np.average(z[domain == g], axis=0, weights=weight[domain == g]) for g in (0, 1)])
    again = np.repeat(np.arange(8), weight)
    found = find_basis(z, domain, weight, means, 2, 1)
    repeated = find_basis(z[again], domain[again], np.ones(len(again), int), means, 2, 1)
    np.testing.assert_allclose(found @ found.T, repeated @ repeated.T, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mmd-resnet", "distance-alignment"])
def test_units_of_features_change_nothing(name):
    x, factor = drawn(), np.exp(np.random.default_rng(2).normal(size=FEATURES))
    plain, other = (
        fitted(name).transform(x, DOMAINS),
        fitted(name, factor * x + 3).transform(factor * x + 3, DOMAINS),
    )
    np.testing.assert_allclose((other - 3) / factor, plain, atol=5e-3 * x.std())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["joint-calibration", "pairwise-calibration", "distance-alignment"])
def test_lanes_equal_single_runs(name):
    keys, method = jax.random.split(jax.random.key(0), 2), SMALL[name]
    lanes = fit_lanes(method, cohort(), keys, steps=2, composition="assume-equal")
    alone = fit(method, cohort(), keys[1], steps=2, composition="assume-equal")
    assert_close(jax.tree.map(lambda leaf: leaf[1], lanes.fitted), alone.fitted, rtol=3e-4, floor=0.1)


@pytest.mark.slow
def test_lanes_of_other_rows_have_a_subspace_each():
    method, table = SMALL["mmd-resnet"], cohort()
    weights = [np.ones(ROWS, int), np.tile([1, 1, 0], ROWS // 3)]
    lanes = [table.weigh_rows(weight) for weight in weights]
    both = fit_lanes(
        method, lanes, jax.random.split(jax.random.key(0), 2), steps=2, composition="assume-equal"
    )
    for number, lane in enumerate(lanes):
        alone = project(method, method.resolve(lane))
        found = np.asarray(both.fitted["inputs"]["basis"][number])
        np.testing.assert_allclose(found, np.asarray(alone.subspace.basis), atol=1e-6)


def test_new_domains_are_adapted_to_in_the_subspace():
    draw = np.random.default_rng(5)
    world = draw.normal(size=(200, 5)) @ draw.normal(size=(5, FEATURES)) + 0.3 * draw.normal(
        size=(200, FEATURES)
    )
    domain = np.repeat(["a", "b", "c", "d"], 50)
    x = world + np.repeat(2 * draw.normal(size=(4, FEATURES)), 50, axis=0)
    known = domain != "d"
    table = Cohort.from_arrays(x[known], domain[known], control=np.full(150, 1))
    method = jbc.DistanceAlignment(inputs=Inputs(subspace=8), updates=200)
    with pytest.warns(InputWarning, match="Only controls"):
        model = jbc.fit(method, table, composition="assume-equal")
    more = model.adapt(x[~known], domain[~known])
    report = more.record.adapted["d"]
    assert report.after < 0.6 * report.before
    assert more.transform(x[~known], domain[~known]).shape == (50, FEATURES)


def test_wide_tables_say_how_many_components_are_seen():
    x = np.random.default_rng(0).normal(size=(80, WIDE + 1)).astype(np.float32)
    method = jbc.MMDResNet(training=Training(rows=8))
    with pytest.warns(InputWarning, match=f"see {COMPONENTS} principal components"):
        table = prepare(method, Cohort.from_arrays(x, np.repeat(["a", "b"], 40)), composition="assume-equal")
    assert table.width == COMPONENTS
    narrow = Cohort.from_arrays(x[:, :WIDE], np.repeat(["a", "b"], 40))
    assert prepare(method, narrow, composition="assume-equal").width == WIDE
    every = dataclasses.replace(method, inputs=Inputs(subspace="none"))
    wide = Cohort.from_arrays(x, np.repeat(["a", "b"], 40))
    assert prepare(every, wide, composition="assume-equal").width == WIDE + 1


def test_as_many_components_as_features_are_the_features():
    method = jbc.MMDResNet(inputs=Inputs(subspace=99), training=Training(rows=8))
    table = Cohort.from_arrays(drawn()[:, :9], DOMAINS)
    assert prepare(method, table, composition="assume-equal").subspace is None


def test_few_rows_span_few_components():
    x = np.repeat(np.random.default_rng(0).normal(size=(3, 40)), 2, axis=0)
    method = jbc.MMDResNet(inputs=Inputs(subspace=5), training=Training(rows=4))
    model = jbc.fit(method, Cohort.from_arrays(x, list("aaabbb")), steps=2)
    assert np.isfinite(model.transform(x, list("aaabbb"))).all()
    assert (model.fitted["inputs"]["basis"] == 0).all(axis=0).any()


@pytest.mark.parametrize(
    "method",
    [
        DenoisingAutoencoder(inputs=FEW),
        jbc.NeuronEditing(inputs=FEW, image=(6, 8, 1)),
        jbc.RegularisedAutoencoder(inputs=FEW, image=(6, 8, 1)),
    ],
    ids=lambda method: type(method).__name__,
)
def test_methods_that_need_features_refuse_components(method):
    with refusal("bad-setting"):
        prepare(method, cohort(), composition="assume-equal")


def test_nothing_on_a_wide_table_takes_a_matrix_over_pairs_of_features():
    """Of 8,000 features, one would take 512 MB."""
    d, draw = 8000, np.random.default_rng(0)
    x = draw.normal(size=(60, d)).astype(np.float32)
    table = Cohort.from_arrays(x, np.repeat(["a", "b"], 30))
    tracemalloc.start()
    try:
        describe(table)
        support = measure_support(np.asarray(table.x), np.asarray(table.domain), 2)
        far = how_far_outside(support, np.asarray(table.x), np.asarray(table.domain))
        project(SMALL["mmd-resnet"], SMALL["mmd-resnet"].resolve(table))
        assert tracemalloc.get_traced_memory()[1] < 150 << 20
    finally:
        tracemalloc.stop()
    assert np.isfinite(far).all()


def test_few_rows_of_a_wide_table_are_corrected_as_many_are():
    """They go through programs of another block."""
    d, draw = WIDE + 1, np.random.default_rng(0)
    x, domain = draw.normal(size=(80, d)).astype(np.float32), np.repeat(["a", "b"], 40)
    model = jbc.fit(jbc.Standardise(), Cohort.from_arrays(x, domain))
    np.testing.assert_allclose(
        model.transform(x[:3], domain[:3]), model.transform(x, domain)[:3], rtol=1e-5, atol=1e-6
    )
