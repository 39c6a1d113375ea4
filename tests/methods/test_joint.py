"""Joint calibration: what its parts do, what the target may not tell, and the pairwise mode."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import (
    CHUNK,
    JOINT,
    TARGET,
    assert_close,
    assert_same_bytes,
    cohort,
    hidden,
    refusal,
    vary,
    world,
)
from scipy.special import softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from jbc import Cohort, Corrector, InputWarning, JointCalibration, PairwiseCalibration
from jbc.cohort.sampling import take
from jbc.data.simulate.plates import simulate_plates
from jbc.methods import presets
from jbc.methods.inputs import Inputs
from jbc.methods.settings import Training
from jbc.train import fit

KEY = jax.random.key(1)


def change(**fields) -> JointCalibration:
    """Another configuration, without dropout: its random numbers are a third of what is compiled."""
    return vary(JOINT, **({"dropout": 0.0} | fields))


def train(method, table, steps=CHUNK):
    return fit(method, table, KEY, steps=steps, chunk=CHUNK)


def minibatch(method, table):
    return take(table, method.draw.plan(KEY, table, 0, 1)[0], method.draw)


def differ(a, b) -> bool:
    return any(
        (np.asarray(x) != np.asarray(y)).any() for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True)
    )


@pytest.fixture(scope="module")
def table():
    return cohort()


@pytest.fixture(scope="module")
def joint_step():
    return jax.jit(JOINT.step)


# What the target may not tell


@pytest.mark.slow
def test_labels_of_the_target_change_nothing():
    drawn = world()
    target = drawn.domain == TARGET
    first = None
    for seed in range(3):
        label = drawn.label.copy()
        label[target] = np.random.default_rng(seed).permutation(label[target])
        task = Cohort.from_arrays(drawn.x, drawn.domain, label=label).mask_labels(TARGET)
        found = train(JOINT, task)
        first = first or found
        assert_same_bytes((found.fitted, found.state), (first.fitted, first.state))


@pytest.mark.slow
def test_without_alignment_the_target_has_no_influence_on_the_networks(table):
    """Nothing but the MMD, its own reconstructor and its own statistics look at the target."""
    method = change(align=0.0, rebuild="sources")
    target = table.domain == 2
    other = dataclasses.replace(
        table, x=np.where(target[:, None], -3 * table.x + 7, table.x).astype(np.float32)
    )
    here, there = train(method, table), train(method, other)
    for player in ("calibrator", "classifier", "reconstructors"):
        assert_same_bytes(getattr(here.state, player), getattr(there.state, player))
    tables = here.state.tables["location"], there.state.tables["location"]
    assert_same_bytes(*(location[:2] for location in tables))
    assert differ(*(location[2] for location in tables))
    assert not {"align", "kernel"} & set(here.history[-1])
    assert differ(train(JOINT, table).state.calibrator, train(JOINT, other).state.calibrator)


@pytest.mark.slow
def test_unlabelled_rows_of_a_source_train_all_but_the_classifier(table, joint_step):
    state, rows = train(JOINT, table).state, minibatch(JOINT, table)
    unlabelled = np.zeros(rows.label.shape, bool)
    unlabelled[0, ::2] = True
    rows = dataclasses.replace(rows, label=jnp.where(unlabelled, -1, rows.label))
    moved = dataclasses.replace(rows, x=jnp.where(unlabelled[..., None], rows.x + 1, rows.x))
    here, told = joint_step(KEY, state, rows)
    there, said = joint_step(KEY, state, moved)
    assert_same_bytes((here.classifier, told["classify"]), (there.classifier, said["classify"]))
    assert differ(here.calibrator.params, there.calibrator.params)
    assert differ(here.reconstructors.params, there.reconstructors.params)
    all_unknown = dataclasses.replace(rows, label=jnp.full_like(rows.label, -1))
    _, said = joint_step(KEY, state, all_unknown)
    assert float(said["classify"]) == 0


@pytest.mark.slow
def test_without_labels_there_is_no_classifier(table):
    drawn = world()
    model = Corrector(JOINT, steps=CHUNK).fit(drawn.x, domain=drawn.domain)
    assert model.classes_.size == 0
    assert "classifier" not in model.model_.fitted
    assert "classify" not in model.history_[-1]
    assert model.transform(drawn.x, domain=drawn.domain).shape == drawn.x.shape
    for call in (model.predict, model.predict_proba):
        with refusal("no-classifier"):
            call(drawn.x, domain=drawn.domain)


# What the parts do


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.slow
def test_untrained_and_unscaled_the_default_is_the_identity(table, log):
    """The residual networks start as the identity, and the logarithm is undone."""
    x = jnp.concatenate([table.x, jnp.array([[0.0, -3.0, 1e4, -2e5]])])
    domain = jnp.append(table.domain, 0)
    for rebuild in ("none", "all"):
        method = change(scale="none", log=log, rebuild=rebuild)
        fitted = method.finish(method.init(KEY, table), table)
        np.testing.assert_allclose(method.transform(fitted, x, domain), x, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("scale", ["domain", "pooled"])
@pytest.mark.slow
def test_untrained_codes_are_the_standardised_inputs(table, scale):
    method = change(scale=scale, log=False)
    fitted = method.finish(method.init(KEY, table), table)
    codes = np.asarray(method.encode(fitted, table.x, table.domain))
    groups = [table.domain == g for g in range(3)] if scale == "domain" else [slice(None)]
    for rows in groups:
        expected = StandardScaler().fit_transform(table.x[rows].astype(np.float64))
        np.testing.assert_allclose(codes[rows], expected, atol=1e-5)


@pytest.mark.parametrize(("rebuild", "networks"), [("sources", 2), ("all", 3), ("none", None)])
@pytest.mark.slow
def test_reconstructors_are_those_of_the_named_domains(table, rebuild, networks):
    method = change(rebuild=rebuild)
    state = method.init(KEY, table)
    fitted = method.finish(state, table)
    if networks is None:
        assert state.reconstructors is None
        assert "reconstructors" not in fitted
    else:
        kernels = fitted["reconstructors"]["params"]["Dense_0"]["kernel"]
        assert kernels.shape[0] == networks
        assert differ(kernels[0], kernels[1]), "each starts from draws of its own"
    assert state.rebuilt.tolist() == {"sources": [0, 1], "all": [0, 1, 2], "none": []}[rebuild]


@pytest.mark.slow
def test_corrected_rows_are_the_mean_over_the_reconstructors(table):
    run = train(JOINT, table)
    fitted, z = run.fitted, JOINT.encode(run.fitted, table.x, table.domain)
    outputs = []
    for g in range(3):
        one = jax.tree.map(lambda leaf, g=g: leaf[g : g + 1], fitted["reconstructors"])
        y = JOINT.transform(fitted | {"reconstructors": one}, table.x, table.domain)
        outputs.append(np.sign(y) * np.log1p(np.abs(y)))
    expected = np.mean(outputs, axis=0)
    found = np.asarray(JOINT.transform(fitted, table.x, table.domain))
    np.testing.assert_allclose(np.sign(found) * np.log1p(np.abs(found)), expected, atol=1e-5)
    assert z.shape == table.x.shape


@pytest.mark.parametrize("data", ["mi", "cytof"])
@pytest.mark.slow
def test_published_families_train_and_settle_their_statistics(table, data):
    """Statistics are each domain's own, or the running ones of training, which pool the domains."""
    method = presets.joint(data, training=Training(rows=8), inputs=Inputs(log=True))
    run = train(method, table)
    assert np.isfinite(run.history[-1]["loss"])
    assert differ(run.state.calibrator.running["DomainNorm_0"]["mean"], np.zeros(4))
    pooled = run.fitted["calibrator"]["statistics"]["DomainNorm_0"]
    for name in ("mean", "var"):
        expected = run.state.calibrator.running["DomainNorm_0"][name]
        np.testing.assert_array_equal(pooled[name], np.tile(expected, (3, 1)))
    own = vary(method, statistics="domain").finish(run.state, table)
    inputs = np.sign(table.x) * np.log1p(np.abs(table.x))
    for g in range(3):
        rows = inputs[table.domain == g]
        found = own["calibrator"]["statistics"]["DomainNorm_0"]
        np.testing.assert_allclose(found["mean"][g], rows.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(found["var"][g], rows.var(axis=0), rtol=1e-4)
    assert method.predict(run.fitted, table.x, table.domain).shape == (len(table.x), 2)
    if data == "cytof":
        # Two-batch networks normalise first, so with statistics of their own the domains' inputs agree.
        assert set(run.fitted["classifier"]["statistics"]) == set()


@pytest.mark.slow
def test_statistics_are_measured_on_rows_that_count(table):
    method = presets.joint("mi", statistics="domain", training=Training(rows=8))
    weight = np.where(np.arange(len(table.x)) % 3 == 0, 0, 1)
    state = method.init(KEY, table)
    found = method.finish(state, table.weigh_rows(weight))["calibrator"]["statistics"]["DomainNorm_0"]["mean"]
    for g in range(3):
        rows = (table.domain == g) & (weight == 1)
        np.testing.assert_allclose(found[g], table.x[rows].mean(axis=0), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_alternating_rounds_update_whom_they_should(table):
    """λ1 steps of calibrator and classifier, then λ2 of calibrator and reconstructors."""
    method = change(alternate=True, classify_rounds=4, rebuild_rounds=2)
    run = train(method, table)
    steps = {
        p: int(np.max(getattr(run.state, p).step)) for p in ("calibrator", "classifier", "reconstructors")
    }
    assert steps == {"calibrator": 6 * CHUNK, "classifier": 4 * CHUNK, "reconstructors": 2 * CHUNK}
    assert int(run.state.step) == CHUNK
    assert {"align", "classify", "rebuild", "kernel", "loss"} <= set(run.history[-1])


@pytest.mark.slow
def test_restart_forgets_the_moments_at_every_epoch(table):
    """Forty rows in minibatches of eight make an epoch of five steps."""
    counts = {}
    for restart in (False, True):
        state = train(vary(JOINT, restart=restart), table).state
        assert int(state.epoch) == 5
        counts[restart] = [
            int(np.max(getattr(state, p).opt_state[1].count)) for p in ("calibrator", "classifier")
        ]
    assert counts == {False: [10, 10], True: [5, 5]}


@pytest.mark.slow
def test_the_learning_rate_decays_by_epochs(table):
    """Adam's first update is the sign of the gradient times the rate, lr × decay^(epoch + 1)."""
    method = change(decay=0.5, weight_decay=0.0)
    started, rows, update = method.init(KEY, table), minibatch(method, table), jax.jit(method.step)
    for step, rate in ((0, 5e-4), (4, 5e-4), (5, 2.5e-4), (13, 1.25e-4)):
        state, _ = update(KEY, started.replace(step=jnp.int32(step)), rows)
        moved = jax.tree.map(jnp.subtract, state.calibrator.params, started.calibrator.params)
        largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(moved))
        np.testing.assert_allclose(largest, rate, rtol=1e-2)
        assert int(state.step) == step + 1


def test_the_length_of_training_is_in_epochs_but_bounded(table):
    assert change(epochs=7, min_steps=1).steps(table) == 35
    assert change(epochs=7, min_steps=50).steps(table) == 50
    assert change(epochs=7, max_steps=20).steps(table) == 20
    assert change(rows=512, min_steps=1).steps(table) == 40


# Saturated kernels


@pytest.mark.slow
def test_saturated_kernels_are_said():
    drawn = world()
    raw = change(log=False, scale="none", unit="fixed", bandwidths=(1.0, 2.0, 4.0, 8.0, 16.0))
    with pytest.warns(InputWarning, match="kernels are saturated") as caught:
        Corrector(raw, steps=CHUNK).fit(1000 * drawn.x, hidden(drawn), domain=drawn.domain)
    assert caught[0].filename == __file__, "the warning points at the caller"


def test_the_default_does_not_saturate():
    """Warnings are errors here, so that none comes is tested by going through."""
    drawn = world()
    model = Corrector(JOINT, steps=CHUNK).fit(1000 * drawn.x, hidden(drawn), domain=drawn.domain)
    assert 0.1 < model.history_[-1]["kernel"] < 0.9


def test_the_diagnosis_reads_the_kernel():
    assert "5.0e-04" in JOINT.diagnose({"kernel": 5e-4}, float)[0]
    assert JOINT.diagnose({"kernel": 0.3}, float) == []
    assert JOINT.diagnose({"loss": 0.3}, float) == []
    assert change(align=0.0).diagnose({"kernel": 0.0}, float) == []


# Classes


@pytest.mark.slow
def test_only_a_coupled_classifier_moves_the_calibrator(table):
    for coupled in (False, True):
        method = change(coupled=coupled, align=0.0, rebuild="none")
        state = method.init(KEY, table)
        after, _ = jax.jit(method.step)(KEY, state, minibatch(method, table))
        moved = jax.tree.map(jnp.subtract, after.calibrator.params, state.calibrator.params)
        # Weight decay moves the calibrator too, but not where its weights are zero.
        assert bool(jnp.any(moved["Dense_1"]["kernel"] != 0)) is coupled
        assert differ(after.classifier.params, state.classifier.params)


@pytest.mark.slow
def test_the_members_differ_and_are_averaged(table):
    method = change(members=3)
    fitted = train(method, table).fitted
    kernels = fitted["classifier"]["params"]["Dense_0"]["kernel"]
    assert kernels.shape[0] == 3
    assert differ(kernels[0], kernels[1])
    alone = [
        method.predict(
            fitted | {"classifier": jax.tree.map(lambda leaf, n=n: leaf[n : n + 1], fitted["classifier"])},
            table.x,
            table.domain,
        )
        for n in range(3)
    ]
    together = method.predict(fitted, table.x, table.domain)
    np.testing.assert_allclose(together, np.mean(alone, axis=0), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_inference_takes_the_averaged_weights(table):
    run = train(change(ema_decay=0.5, learning_rate=1e-2), table)
    player = run.state.classifier
    assert differ(player.ema_params, player.params)
    assert_same_bytes(run.fitted["classifier"]["params"], player.ema_params)
    plain = train(change(ema_decay=0.0), table)
    assert plain.state.classifier.ema_params is None
    assert_same_bytes(plain.fitted["classifier"]["params"], plain.state.classifier.params)


@pytest.mark.parametrize("seed", [2, 4])
def test_the_target_is_classified_where_a_classifier_of_raw_rows_fails(seed):
    drawn = world(seed)
    target = drawn.domain == TARGET
    raw = LinearDiscriminantAnalysis().fit(drawn.x[~target], drawn.label[~target])
    assert raw.score(drawn.x[target], drawn.label[target]) < 0.8
    model = Corrector(JOINT, steps=20 * CHUNK).fit(drawn.x, hidden(drawn), domain=drawn.domain)
    found = model.predict(drawn.x[target], domain=drawn.domain[target])
    assert (found == drawn.label[target]).mean() > 0.9


@pytest.mark.slow
def test_many_classes_have_a_softmax():
    drawn = simulate_plates(n_per_plate=45, n_features=12, n_plates=2, n_classes=3, effect=4.0, batch=0.5)
    label = np.where(drawn.domain == "plate 2", "", drawn.label)
    corrector = Corrector(JOINT, steps=20 * CHUNK, composition="assume-equal")
    model = corrector.fit(drawn.x, label, domain=drawn.domain)
    assert model.classes_.tolist() == ["class 0", "class 1", "class 2"]
    target = drawn.domain == "plate 2"
    probability = model.predict_proba(drawn.x, domain=drawn.domain)
    assert probability.shape == (90, 3)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)
    assert (model.predict(drawn.x, domain=drawn.domain)[target] == drawn.label[target]).mean() > 0.9


def test_codes_have_the_shape_of_the_rows(table):
    drawn = world()
    model = Corrector(JOINT, steps=CHUNK, output="codes").fit(drawn.x, hidden(drawn), domain=drawn.domain)
    codes = model.transform(drawn.x, domain=drawn.domain)
    assert_same_bytes(codes, model.encode(drawn.x, domain=drawn.domain))
    assert codes.shape == drawn.x.shape
    features = model.set_params(output="features").transform(drawn.x, domain=drawn.domain)
    assert differ(codes, features)


@pytest.mark.parametrize(
    ("code", "domain", "label"),
    [
        ("one-class", ["a", "a", "b", "b"], ["x", "x", "", ""]),
        ("confounded", ["a", "a", "b", "b"], ["x", "x", "y", "y"]),
        ("tiny-domain", ["a", "a", "b", "c"], ["x", "y", "", ""]),
    ],
)
def test_designs_that_tell_nothing_are_refused(code, domain, label):
    with refusal(code):
        Corrector(JOINT).fit([[1.0], [2.0], [3.0], [4.0]], label, domain=domain)


def test_a_kernel_matrix_that_cannot_fit_is_refused():
    x = np.random.default_rng(0).normal(size=(400, 2))
    with refusal("too-many-domains"):
        Corrector(change(rows=512)).fit(x, domain=np.arange(400) // 2)


# Pairs


def lane(tree, number):
    return jax.tree.map(lambda leaf: leaf[number], tree)


@pytest.mark.parametrize(
    ("sources", "groups", "expected"),
    [
        ([0, 1], 3, [[0, 2], [1, 2]]),
        ([1], 3, [[1, 0], [1, 2]]),
        ([0, 2], 4, [[0, 1], [0, 3], [2, 1], [2, 3]]),
        ([], 3, [[0, 1], [0, 2], [1, 2]]),
        ([0, 1, 2], 3, [[0, 1], [0, 2], [1, 2]]),
        ([0], 1, [[0, 0]]),
    ],
)
def test_pairs_are_a_source_and_a_target(sources, groups, expected):
    from jbc.methods.pairwise import _pairs

    domain = np.repeat(np.arange(groups), 2)
    label = np.where(np.isin(domain, sources), np.arange(len(domain)) % 2, -1)
    found = _pairs(Cohort.from_arrays(np.arange(len(domain), dtype=float)[:, None], domain, label=label))
    assert sorted(found.tolist()) == sorted(expected)


@pytest.mark.slow
def test_one_pair_alone_is_the_method_of_the_pair():
    drawn = world()
    two = drawn.domain != "domain 2"
    both = Cohort.from_arrays(drawn.x[two], drawn.domain[two], label=hidden(drawn)[two]).without_names()
    pair, rows = change(), minibatch(JOINT, both)
    pairs = PairwiseCalibration(pair)

    def everything(method, key, state):
        state, told = method.step(key, state, rows)
        fitted = method.finish(state, both)
        functions = method.transform, method.encode, lambda *a: jax.nn.softmax(method.predict(*a))
        return told, fitted, [function(fitted, both.x, both.domain) for function in functions]

    @jax.jit
    def compare(key):
        (own,) = jax.random.split(key, 1)  # every pair has a key of its own, made from the one that all share
        alone = everything(pair, own, pair.begin(own, both, jnp.arange(1), jnp.arange(2)))
        return alone, everything(pairs, key, pairs.init(key, both))

    (told, fitted, outputs), (said, found, answers) = compare(KEY)
    assert_close(said, told, rtol=1e-4, floor=0.1)
    assert_close(lane(found["members"], 0), fitted, rtol=1e-4)
    assert_close(answers, outputs, rtol=1e-4)
    np.testing.assert_array_equal(found["share"], [[1, 1]])


@pytest.mark.slow
def test_targets_get_the_mean_over_their_sources(table):
    method = PairwiseCalibration(JOINT)
    fitted = train(method, table).fitted
    members = [lane(fitted["members"], n) for n in range(2)]
    each = {
        name: [np.asarray(getattr(JOINT, name)(m, table.x, table.domain), np.float64) for m in members]
        for name in ("transform", "encode", "predict")
    }
    each["predict"] = [softmax(logits, axis=1) for logits in each["predict"]]
    assert np.abs(each["predict"][0] - each["predict"][1]).max() > 1e-3, "the pairs differ"
    for name, (first, second) in each.items():
        found = np.asarray(getattr(method, name)(fitted, table.x, table.domain), np.float64)
        found = np.exp(found) if name == "predict" else found
        # A row of a source is in one pair, one of the target in both.
        for g, expected in enumerate((first, second, (first + second) / 2)):
            rows = table.domain == g
            np.testing.assert_allclose(found[rows], expected[rows], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_hidden_domain_may_not_leave_a_single_class():
    """What counts is the labels that are left, not the names that were given."""
    table = Cohort.from_arrays(
        np.arange(16.0).reshape(8, 2), ["a"] * 4 + ["b"] * 4, label=["u"] * 4 + ["u", "v", "u", "v"]
    )
    JointCalibration().check(table)
    with refusal("one-class"):
        JointCalibration().check(table.mask_labels("b"))
