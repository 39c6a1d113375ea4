"""What the published configurations of joint calibration need: each setting does what its paper or program does."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import JOINT, assert_close, cohort, refusal, vary
from scipy.special import log_softmax

from jbc import Cohort
from jbc.cohort.sampling import take
from jbc.losses import l1_matrix
from jbc.methods import presets
from jbc.methods.settings import Training
from jbc.nets import Classifier

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def table():
    return cohort()


def begin(method, table):
    """Return a state and a minibatch."""
    rows = take(table, method.draw.plan(KEY, table, 0, 1)[0], method.draw)
    return jax.jit(method.init)(KEY, table.without_names()), rows


def loss(method, state, rows, names, align=0.0):
    params = {name: getattr(state, name).params for name in names}
    x = method.inputs.apply(state.tables, rows.x, rows.domain[:, None])
    run = partial(method._loss, key=KEY, state=state, x=x, rows=rows, align=align)
    return run, params


def test_the_l1_norm_is_the_mean_over_pairs_of_rows():
    z = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    expected = [[np.abs(a - b).sum(axis=1).mean() for b in z] for a in z]
    np.testing.assert_allclose(l1_matrix(jnp.asarray(z)), expected, rtol=1e-6)
    ones = jnp.ones((3, 3, 5))
    np.testing.assert_allclose(l1_matrix(jnp.asarray(z), weight=ones), expected, rtol=1e-6)
    only = ones.at[0, 1].set(jnp.eye(5)[2])
    assert float(l1_matrix(jnp.asarray(z), weight=only)[0, 1]) == pytest.approx(np.abs(z[0] - z[1])[2].sum())


def test_aligned_by_the_l1_norm_codes_of_pairs_are_what_is_compared(table):
    method = vary(JOINT, discrepancy="l1", dropout=0.0)
    state, rows = begin(method, table)
    run, params = loss(method, state, rows, ["calibrator"], align=2.0)
    total, (info, _) = run(params)
    x = np.asarray(method.inputs.apply(state.tables, rows.x, rows.domain[:, None]))  # the codes, untrained
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = np.mean([np.abs(x[p] - x[q]).sum(axis=1).mean() for p, q in pairs])
    assert float(info["align"]) == pytest.approx(expected, rel=1e-5)
    assert float(total) == pytest.approx(2 * expected, rel=1e-5)
    assert "kernel" not in info


def test_the_alignment_weighs_differently_where_rows_are_rebuilt(table):
    method = vary(JOINT, alternate=True, align=3.0, align_rebuild=0.0, dropout=0.0)
    state, rows = begin(method, table)
    x = method.inputs.apply(state.tables, rows.x, rows.domain[:, None])
    update = jax.jit(partial(method._update, KEY, x=x, rows=rows, rate=1e-3), static_argnames="parts")
    _, first = update(state, parts=("classify",))
    _, second = update(state, parts=("rebuild",))
    assert float(first["loss"]) == pytest.approx(
        3 * float(first["align"]) + method.classify * float(first["classify"]), rel=1e-5
    )
    assert "align" not in second
    assert float(second["loss"]) == pytest.approx(method.reconstruct * float(second["rebuild"]), rel=1e-5)


def test_only_labels_of_the_last_source_train_the_classifier(table):
    method = vary(JOINT, labelled="last", dropout=0.0, coupled=True)
    state, rows = begin(method, table)
    assert len(state.sources) > 1

    def slope(label):
        run, params = loss(
            method, state, dataclasses.replace(rows, label=label), ["calibrator", "classifier"]
        )
        return jax.grad(lambda p: run(p)[0])(params)

    first, last = (rows.label.at[state.sources[at]].set(1 - rows.label[state.sources[at]]) for at in (0, -1))
    same, other = slope(first), slope(last)
    found = slope(rows.label)
    assert_close(same, found, 1e-5)
    assert (
        max(float(jnp.abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, (other, found)), strict=True))
        > 1e-3
    )


def test_a_player_without_a_loss_moves_by_its_moments_and_its_decay(table):
    """As Adam moves it by a gradient of zeros, to which the decay of its weights is added."""
    training = dataclasses.replace(JOINT.training, weight_decay=0.1, ema_decay=0.0)
    method = vary(JOINT, alternate=True, idle_moves=True, training=training)
    state, rows = begin(method, table)
    x = method.inputs.apply(state.tables, rows.x, rows.domain[:, None])
    update = jax.jit(partial(method._update, x=x, rows=rows, rate=1e-2), static_argnames="parts")
    first, _ = update(KEY, state, parts=("classify",))
    second, _ = update(KEY, first, parts=("rebuild",))

    adam = optax.adam(1e-2)
    held = first.classifier.params
    decayed = jax.tree.map(lambda p: 0.1 * p, held)
    (_, inner) = first.classifier.opt_state
    moved, _ = adam.update(decayed, (inner, optax.EmptyState()), held)
    assert_close(second.classifier.params, optax.apply_updates(held, moved), 1e-5)

    still = vary(method, idle_moves=False)
    again, _ = jax.jit(partial(still._update, x=x, rows=rows, rate=1e-2), static_argnames="parts")(
        KEY, first, parts=("rebuild",)
    )
    assert all(
        (a == b).all() for a, b in zip(*map(jax.tree.leaves, (again.classifier.params, held)), strict=True)
    )


def test_the_skip_of_the_printed_classifier_is_not_activated():
    x = jax.random.normal(KEY, (2, 6, 4))
    nets = {family: Classifier(family, 0.0, 2, 1) for family in ("multibatch", "multibatch-released")}
    params = nets["multibatch"].init(KEY, x)["params"]
    p = jax.tree.map(np.asarray, params)

    def leaky(a):
        return np.where(a > 0, a, 0.2 * a)

    def dense(a, layer):
        return a @ p[layer]["kernel"] + p[layer]["bias"]

    z = np.asarray(x)
    z = (z - z.mean(axis=1, keepdims=True)) / np.sqrt(z.var(axis=1, keepdims=True) + 1e-5)
    for family, skip in (("multibatch", z), ("multibatch-released", leaky(z))):
        h = leaky(skip + dense(leaky(dense(leaky(z), "Dense_1")), "Dense_0"))
        h = leaky(dense(leaky(dense(h, "Dense_2")), "Dense_3"))
        found, _ = nets[family].apply({"params": params}, x, train=True, mutable=["running"])
        np.testing.assert_allclose(found, dense(h, "Dense_4"), atol=1e-5)


def test_the_program_for_single_cells_takes_the_mean_entropy_of_its_last_source():
    rng = np.random.default_rng(0)
    x, domain = rng.normal(size=(90, 6)).astype(np.float32), np.repeat(list("abc"), 30)
    label = rng.integers(0, 4, 90).astype(str).astype(object)
    table = Cohort.from_arrays(x, domain, label=label).mask_labels("c")
    method = presets.joint("scrna", "reference", dropout=0.0, training=Training(rows=8))
    assert (method.rows_reduced, method.labelled, method.align, method.classify) == (
        "mean",
        "last",
        10.0,
        10.0,
    )
    state, rows = begin(method, table)
    run, params = loss(method, state, rows, ["calibrator", "classifier"], align=method.align)
    total, (info, _) = run(params)
    z, _ = state.calibrator.apply_fn(
        {"params": state.calibrator.params, "running": state.calibrator.running}, rows.x, mutable=["running"]
    )
    one = jax.tree.map(lambda leaf: leaf[0], state.classifier.params)
    logits, _ = state.classifier.apply_fn({"params": one}, z, mutable=["running"])
    last = int(state.sources[-1])
    each = log_softmax(np.asarray(logits[last], np.float64), axis=1)
    expected = -each[np.arange(8), np.asarray(rows.label[last])].mean()
    assert float(info["classify"]) == pytest.approx(expected, rel=1e-4)

    def mmd2(a, b):
        both = np.concatenate([a, b]).astype(np.float64)
        square = ((both[:, None] - both[None]) ** 2).sum(axis=-1)
        k = sum(np.exp(-square / (2 * s**2)) for s in (1, 2, 4, 8, 16))
        return k[:8, :8].mean() + k[8:, 8:].mean() - 2 * k[:8, 8:].mean()

    z = np.asarray(z)
    aligned = sum(mmd2(z[p], z[q]) for p in range(3) for q in range(3) if p != q)
    assert float(total) == pytest.approx(10 * aligned + 10 * expected, rel=1e-3)


def test_the_baseline_is_the_classifier_alone(table):
    method = presets.joint_baseline("mi", training=Training(rows=8))
    state, rows = begin(method, table)
    assert not jax.tree.leaves(state.calibrator.params)
    assert state.reconstructors is None
    state, info = jax.jit(method.step)(KEY, state, rows)
    assert set(info) == {"classify", "loss"}
    fitted = method.finish(state, table.without_names())
    np.testing.assert_array_equal(method.encode(fitted, table.x, table.domain), table.x)
    assert method.predict(fitted, table.x, table.domain).shape == (len(table.x), table.n_labels)


@pytest.mark.parametrize("changes", [{"align": 1.0}, {"reconstruct": 1.0}])
def test_without_a_calibrator_nothing_can_be_aligned_or_rebuilt(table, changes):
    method = presets.joint_baseline("mi", **changes)
    with refusal("bad-setting"):
        method.check(table)


@pytest.mark.parametrize("changes", [{"align_rebuild": 2.0}, {"idle_moves": True}])
def test_settings_of_turns_are_refused_where_none_are_taken(table, changes):
    with refusal("bad-setting"):
        vary(JOINT, **changes).check(table)
    vary(JOINT, alternate=True, **changes).check(table)


def test_printed_settings_of_the_baselines():
    found = {data: presets.joint_baseline(data).training for data in ("mi", "chd", "scrna", "within")}
    assert {data: (t.learning_rate, t.epochs) for data, t in found.items()} == {
        "mi": (1e-4, 100), "chd": (1e-4, 50), "scrna": (1e-5, 50), "within": (1e-3, 10),
    }  # fmt: skip
    assert found["within"].decay_epochs == 100
    assert all((t.rows, t.weight_decay) == (128, 5e-5) for t in found.values())
