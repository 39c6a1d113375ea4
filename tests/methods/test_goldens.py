"""One step of the released programs, reproduced."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import OPTIMISED

from jbc.cohort import Cohort
from jbc.cohort.sampling import Rows
from jbc.methods import presets
from jbc.methods.inputs import Inputs
from jbc.methods.joint import JointCalibration
from jbc.methods.settings import Training

LAYERS = {
    "multibatch": {
        "calibrator": {
            "encoder.0": "DomainNorm_0",
            "encoder.1": "Dense_0",
            "encoder.4": "Dense_1",
        },
        "reconstructor": {"decoder.0": "Dense_0", "decoder.3": "Dense_1"},
        # The residual branch is written inside out, so linen numbers the outer layer first.
        "discriminator": {
            "bn": "DomainNorm_0",
            "fc1": "Dense_1",
            "fc2": "Dense_0",
            "fc3": "Dense_2",
            "fc4": "Dense_3",
            "fc5": "Dense_4",
        },
    },
    "twobatch": {
        "calibrator": {"encoder.0": "DomainNorm_0", "encoder.2": "Dense_1", "encoder.4": "Dense_0"},
        "reconstructor": {"decoder.0": "Dense_2", "decoder.2": "Dense_1", "decoder.4": "Dense_0"},
        "discriminator": {f"model.{2 * i}": f"Dense_{i}" for i in range(5)},
    },
}


@pytest.fixture(autouse=True)
def double_precision():
    """Compute in float64: a unit within 1e-6 of its kink would else decide by rounding which slope it has."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.fixture(scope="module")
def goldens():
    folder = os.environ.get("JBC_DATA")
    if not folder:
        pytest.skip("JBC_DATA is not set: the goldens lie beside the data")
    return Path(folder).parent / "goldens"


def read(path):
    """Read stored tensors, floating ones as float64."""
    return {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in np.load(path).items()}


def variables(golden, prefix, layers):
    """Translate the stored tensors below a prefix into linen's params and running statistics."""
    params, running = {}, {}
    for theirs, ours in layers.items():
        get = lambda leaf, at=f"{prefix}/{theirs}": golden.get(f"{at}.{leaf}")  # noqa: E731
        if ours.startswith("DomainNorm"):
            params[ours] = {"scale": get("weight"), "bias": get("bias")}
            running[ours] = {"mean": get("running_mean"), "var": get("running_var")}
        else:
            params[ours] = {"kernel": get("weight").T, "bias": get("bias")}
    return params, running


def load(golden, prefix, family, state):
    """Put the stored networks into a state."""
    layers = LAYERS[family]
    calibrator, running_c = variables(golden, f"{prefix}/calibrator", layers["calibrator"])
    classifier, running_d = variables(golden, f"{prefix}/discriminator", layers["discriminator"])
    classifier, running_d = jax.tree.map(lambda leaf: leaf[None], (classifier, running_d))  # one member
    both = [variables(golden, f"{prefix}/reconstructor_{k}", layers["reconstructor"])[0] for k in (1, 2)]
    return state.replace(
        calibrator=state.calibrator.replace(params=calibrator, running=running_c),
        classifier=state.classifier.replace(params=classifier, running=running_d or state.classifier.running),
        reconstructors=state.reconstructors.replace(params=jax.tree.map(lambda *a: np.stack(a), *both)),
    )


def rows_of(golden, domains):
    x = np.stack([golden[f"x/{g}"] for g in range(domains)])
    label = np.stack([golden.get(f"y/{g}", np.full(x.shape[1], -1)) for g in range(domains)]).astype(np.int32)
    label[2:] = -1
    code = jnp.arange(domains)
    return Rows(x=jnp.asarray(x), label=jnp.asarray(label), domain=code, observed=None)


def start(method, golden, domains, family):
    rows = rows_of(golden, domains)
    flat = np.concatenate(list(np.asarray(rows.x)))
    cohort = Cohort.from_arrays(
        flat, np.repeat(np.arange(domains), rows.x.shape[1]), label=np.asarray(rows.label).ravel()
    )
    state = load(golden, "init", family, jax.jit(method.init)(jax.random.key(0), cohort.without_names()))
    double = jax.tree.map(lambda a: jnp.float64(a) if jnp.issubdtype(a.dtype, jnp.floating) else a, state)
    return cohort, rows, double


# Neither the MMD nor the norm that the classifier begins with sees a common shift of all codes: what both give
# this bias is rounding. In step A that is its whole gradient, and Adam amplifies it.
NOISE = "['Dense_1']['bias']"


def assert_close(ours, theirs, rtol=1e-4, noise=None):
    """Compare trees within a tolerance relative to the largest entry of each leaf."""
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        at = jax.tree_util.keystr(path)
        if noise is None or not at.endswith(noise):
            assert np.abs(np.asarray(a) - b).max() <= rtol * np.abs(b).max(), at


def compare(golden, prefix, family, state, noise=None):
    expected = load(golden, prefix, family, state)
    for player in ("calibrator", "classifier", "reconstructors"):
        ours, theirs = getattr(state, player), getattr(expected, player)
        assert_close(ours.params, theirs.params, noise=noise if player == "calibrator" else None)
        assert_close(ours.running, theirs.running)


def gradients(method, state, rows, parts):
    names = ["calibrator"] + [p for p in ("classifier", "reconstructors") if p in parts]
    params = {n: getattr(state, n).params for n in names}
    given = {"key": jax.random.key(0), "state": state, "x": rows.x, "rows": rows, "align": method.align}
    loss = partial(method._loss, **given)
    (_, (info, _)), grads = jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=OPTIMISED)(
        params
    )
    return info, grads


def expected_gradients(golden, prefix, family, names):
    layers = LAYERS[family]
    out = {}
    for name in names:
        if name == "reconstructors":
            both = [
                variables(golden, f"{prefix}/reconstructor_{k}", layers["reconstructor"])[0] for k in (1, 2)
            ]
            out[name] = jax.tree.map(lambda *a: np.stack(a), *both)
        else:
            theirs = "discriminator" if name == "classifier" else name
            out[name] = variables(golden, f"{prefix}/{theirs}", layers[theirs])[0]
    return out


@pytest.mark.slow
def test_manybatch_step(goldens):
    golden = read(goldens / "joint_multibatch_step.npz")
    # Made by a PyTorch in which players without a loss stand still.
    still = {"restart": False, "idle_moves": False}
    method = presets.joint("mi", "reference", dropout=0.0, inputs=Inputs(log=False), **still)
    cohort, rows, first = start(method, golden, 3, "multibatch")
    update = jax.jit(
        partial(method._update, jax.random.key(0), x=rows.x, rows=rows, rate=1e-3 * 0.9 ** (1 / 10_000)),
        static_argnames="parts",
    )

    info, grads = gradients(method, first, rows, ("classifier",))
    np.testing.assert_allclose(info["classify"], golden["A/ce_sum"], rtol=1e-5)
    np.testing.assert_allclose(info["align"], golden["A/mmd_sum_ordered_pairs"], rtol=1e-4)
    np.testing.assert_allclose(info["loss"], golden["A/loss"], rtol=1e-5)
    expected = expected_gradients(golden, "A/grad", "multibatch", ["calibrator", "classifier"])
    assert_close(grads, expected, noise="['calibrator']" + NOISE)
    assert np.abs(grads["calibrator"]["Dense_1"]["bias"]).max() < 1e-5
    after_a, _ = update(first, parts=("classify",))
    compare(golden, "after_A", "multibatch", after_a, noise=NOISE)

    # Step B starts from the stored parameters, with the moments of our step A.
    state = load(golden, "after_A", "multibatch", after_a)
    info, grads = gradients(method, state, rows, ("reconstructors",))
    np.testing.assert_allclose(info["rebuild"], golden["B/mse_sum"], rtol=1e-5)
    np.testing.assert_allclose(info["align"], golden["B/mmd_sum_ordered_pairs"], rtol=1e-4)
    np.testing.assert_allclose(info["loss"], golden["B/loss"], rtol=1e-4)
    expected = expected_gradients(golden, "B/grad", "multibatch", ["calibrator", "reconstructors"])
    assert_close(grads, expected, noise="['calibrator']" + NOISE)
    bias = [tree["calibrator"]["Dense_1"]["bias"] for tree in (grads, expected)]
    np.testing.assert_allclose(*bias, atol=1e-6)
    state, _ = update(state, parts=("rebuild",))
    compare(golden, "after_B", "multibatch", state, noise=NOISE)

    # One whole step is A, then B.
    whole, info = jax.jit(method.step, compiler_options=OPTIMISED)(jax.random.key(0), first, rows)
    parts, told = update(after_a, parts=("rebuild",))
    np.testing.assert_allclose(info["loss"], told["loss"], rtol=1e-4)
    assert_close(whole.classifier.params, parts.classifier.params)

    fitted = method.finish(load(golden, "after_B", "multibatch", state), cohort.without_names())
    for g in range(3):
        x, domain = rows.x[g], jnp.full(32, g)
        np.testing.assert_allclose(method.encode(fitted, x, domain), golden[f"eval/z/{g}"], atol=1e-4)
        probability = jax.nn.softmax(method.predict(fitted, x, domain))[:, 1:]
        np.testing.assert_allclose(probability, golden[f"eval/p/{g}"], atol=1e-4)


@pytest.mark.slow
def test_twobatch_step(goldens):
    golden = read(goldens / "joint_twobatch_step.npz")
    method = presets.joint(
        "cytof", "reference", restart=False, inputs=Inputs(log=False), training=Training(decay=1.0)
    )
    _, rows, state = start(method, golden, 2, "twobatch")
    state = state.replace(sources=state.sources[:1])
    assert method.rebuild == "all"

    info, grads = gradients(method, state, rows, ("classifier", "reconstructors"))
    for ours, theirs in (("rebuild", "mse_sum"), ("classify", "ce_sum"), ("loss", "loss")):
        np.testing.assert_allclose(info[ours], golden[theirs], rtol=1e-5)
    np.testing.assert_allclose(info["align"], golden["mmd2"], rtol=1e-4)
    assert_close(
        grads, expected_gradients(golden, "grad", "twobatch", ["calibrator", "classifier", "reconstructors"])
    )
    state, _ = jax.jit(method.step, compiler_options=OPTIMISED)(jax.random.key(0), state, rows)
    compare(golden, "after", "twobatch", state)


def test_reference_presets_are_hashable_methods():
    for data in presets.JOINT:
        for truth in ("paper", "reference"):
            assert isinstance(hash(presets.joint(data, truth)), int)
            assert isinstance(presets.joint(data, truth), JointCalibration)
