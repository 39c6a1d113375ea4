"""Adversarial correction: objectives against NumPy, the turns of the players, what it corrects, when it warns."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import assert_same_bytes, refusal

import jbc
from jbc import presets
from jbc.cohort import Cohort
from jbc.data.simulate import simulate_shift
from jbc.draws import take
from jbc.errors import InputWarning
from jbc.losses import adversarial as losses
from jbc.losses.mmd import median_bandwidth, mmd2_matrix
from jbc.methods.adversarial import AdversarialCorrection
from jbc.noise import fractions
from jbc.train import fit

KEY = jax.random.key(0)
SMALL = AdversarialCorrection(
    blocks=1, widths=(4,), critic=(5, 3), rows=12, target="domain 1", updates=100, critic_steps=1
)
OBJECTIVES = ("logistic", "squares", "hinge", "wasserstein")


def shifted(shift: float = 1.0, n: int = 12, domains: int = 3) -> Cohort:
    drawn = simulate_shift(0, n_per_domain=n, n_features=4, n_domains=domains, shift=shift)
    return Cohort.from_arrays(drawn.x, drawn.domain)


def shaken(tree, spread=0.3):
    leaves, shape = jax.tree.flatten(tree)
    keys = jax.random.split(KEY, len(leaves))
    return jax.tree.unflatten(
        shape,
        [leaf + spread * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)],
    )


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(objective, real, fake, smoothing=0.0):
    """What discriminator and generator want small, as the papers write it."""
    if objective == "logistic":
        label = 1 - smoothing
        entropy = -label * np.log(sigmoid(real)) - (1 - label) * np.log(1 - sigmoid(real))
        return (entropy - np.log(1 - sigmoid(fake))).mean(), -np.log(sigmoid(fake)).mean()
    if objective == "squares":
        return ((real - 1 + smoothing) ** 2 + fake**2).mean(), ((fake - 1) ** 2).mean()
    if objective == "hinge":
        return (np.maximum(0, 1 - real) + np.maximum(0, 1 + fake)).mean(), -fake.mean()
    return fake.mean() - real.mean(), -fake.mean()


def scores(params, x, *, norm=False):
    """The discriminator in NumPy."""
    for number in range(2):
        x = x @ params[f"Dense_{number}"]["kernel"] + params[f"Dense_{number}"].get("bias", 0)
        if norm:
            own = params[f"DomainNorm_{number}"]
            x = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5) * own["scale"] + own["bias"]
        x = np.where(x > 0, x, 0.2 * x)
    return (x @ params["Dense_2"]["kernel"] + params["Dense_2"]["bias"])[:, 0]


def slopes(params, x, step=1e-6):
    """Derivatives of the scores by every feature, from differences."""
    shifts = step * np.eye(x.shape[1])
    return np.stack([(scores(params, x + s) - scores(params, x - s)) / (2 * step) for s in shifts], axis=1)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_objectives(objective):
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(2, 9))
    for smoothing in (0.0, 0.1):
        expected = by_hand(objective, real, fake, smoothing)
        found = losses.discriminate(objective, real, fake, smoothing), losses.deceive(objective, fake)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    best = jax.grad(lambda fake: losses.deceive(objective, fake).sum())(jnp.zeros(3))
    assert (best < 0).all()  # every generator climbs the scores


@pytest.mark.parametrize(
    ("objective", "norm"), [("logistic", False), ("wasserstein", False), ("squares", True)]
)
def test_a_step_is_that_of_numpy(objective, norm):
    method = dataclasses.replace(
        SMALL, objective=objective, norm=norm, gamma=0.0 if norm else 3.0, smoothing=0.1
    )
    aimed = method.aim(shifted()).nameless()
    state = jax.jit(method.init)(KEY, aimed)
    state = state.replace(critics=state.critics.replace(params=shaken(state.critics.params, 0.5)))
    rows = take(aimed, method.draw.plan(KEY, aimed, 0, 1)[0], method.draw)
    _, info = jax.jit(method.step)(KEY, state, rows)
    # The generators are the identity still, so what is generated are the standardised rows.
    x = np.asarray(rows.x, np.float64)
    z = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    mix, expected, penalties = np.asarray(fractions(KEY, z.shape[:2]))[..., None], [], []
    for g in (1, 2):
        own = jax.tree.map(lambda leaf, g=g: np.asarray(leaf[g], np.float64), state.critics.params)
        both = scores(own, np.concatenate([z[0], z[g]]), norm=norm)
        real, fake = both[:12], both[12:]
        found = np.mean([(real > both.mean()).mean(), (fake < both.mean()).mean()])
        expected.append((*by_hand(objective, real, fake, 0.1), found))
        steep = np.linalg.norm(slopes(own, mix[g] * z[0] + (1 - mix[g]) * z[g]), axis=1)
        penalties.append(np.maximum(steep - 1, 0) ** 2)
    told = [info["critic"], info["loss"], info["accuracy"]]
    means = np.array(expected).mean(axis=0)
    np.testing.assert_allclose(told, [*means[:2], np.max(expected, axis=0)[2]], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(info["kept"], 1.0, rtol=1e-5)
    if not norm:
        fake = jax.jit(method._steepness)(
            KEY, state.critics.params, jnp.broadcast_to(z[0], z.shape), jnp.asarray(z)
        )
        np.testing.assert_allclose(fake[1:], np.mean(penalties, axis=1), rtol=1e-3)
        assert float(fake[1:].max()) > 0.1


def test_generators_wait_for_their_turn():
    method = dataclasses.replace(SMALL, critic_steps=3)
    run = fit(method, shifted(), KEY, steps=8, chunk=1)
    assert (int(run.state.critics.step), int(run.state.maps.step)) == (8, 2)
    assert method.steps(shifted()) == 300
    ended = fit(dataclasses.replace(SMALL, updates=4), shifted(), KEY, steps=4, chunk=2)
    longer = fit(dataclasses.replace(SMALL, updates=4), shifted(), KEY, steps=8, chunk=2)
    assert_same_bytes(ended.state.maps.params, longer.state.maps.params)  # the rate has fallen to 0


def apart(rows, target):
    both = jnp.asarray(np.stack([rows, target]))
    mmd2, _ = mmd2_matrix(both, (1.0,), median_bandwidth(both[1:], 256), unbiased=True)
    return float(mmd2[0, 1])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_known_shift_is_undone(objective):
    """By the maps alone, from the identity; and without a warning, which would fail the test."""
    cohort = shifted(n=200)
    method = AdversarialCorrection(blocks=1, widths=(16,), critic=(16,), rows=100, updates=700, learning_rate=3e-3,
                                   critic_rate=3e-3, identity=0.03, scale="pooled", objective=objective,
                                   target="domain 1", source=("domain 2",))  # fmt: skip
    model = jbc.Corrector(method).fit_cohort(cohort)
    names = np.array(cohort.names.domains)[cohort.domain]
    out, parts = model.transform(cohort.x, domain=names), [cohort.domain == g for g in range(3)]
    x = np.asarray(cohort.x)
    assert apart(out[parts[1]], x[parts[0]]) < 0.05 * apart(x[parts[1]], x[parts[0]])
    assert_same_bytes(out[~parts[1]], x[~parts[1]])  # the target, and what is not named
    assert model.history_[-1]["kept"] > 0.7


def test_rows_without_a_batch_effect_stay():
    cohort = shifted(shift=0.0, n=100)
    method = dataclasses.replace(SMALL, scale="pooled", rows=50, updates=200, widths=(8,))
    fitted = fit(method, cohort, KEY, chunk=50).fitted
    x = jnp.asarray(cohort.x)
    out = method.transform(fitted, x, jnp.asarray(cohort.domain))
    assert np.linalg.norm(out - x) < 0.15 * np.linalg.norm(x - x.mean(axis=0))


def test_a_collapsed_map_is_warned_of():
    """A plain generator whose last layer has died makes one and the same row of all."""
    method = dataclasses.replace(SMALL, residual=False, learning_rate=0.0, critic_rate=0.0)

    def collapsed(tree):
        players = tree["state"].maps.params
        dead = {name: jax.tree.map(jnp.zeros_like, layer) for name, layer in players.items()}
        maps = tree["state"].maps.replace(params=players | {"Dense_1": dead["Dense_1"]})
        return 0, tree | {"state": tree["state"].replace(maps=maps)}

    run = fit(method, shifted(), KEY, steps=40, chunk=10, resume=collapsed)
    kept = [float(row["kept"]) for row in run.history]
    assert kept[0] < 1
    assert kept[-1] < 0.02
    (warning,) = method.review({"kept": kept[-1], "accuracy": 0.7})
    assert "collapsed" in warning
    assert "Raise identity" in warning
    assert method.review({"kept": 0.9, "accuracy": 0.7}) == []


def test_what_a_source_never_had_is_no_collapse():
    """A feature that is constant in a source keeps all of its spread, which is none."""
    drawn = simulate_shift(0, n_per_domain=12, n_features=4, n_domains=3)
    x = np.where((drawn.domain == "domain 2")[:, None] & (np.arange(4) == 1), 7.0, drawn.x)
    run = fit(SMALL, Cohort.from_arrays(x, drawn.domain), KEY, steps=20, chunk=10)
    assert run.history[-1]["kept"] > 0.5


def test_an_overpowering_discriminator_is_warned_of():
    method = dataclasses.replace(SMALL, scale="pooled", learning_rate=0.0, critic_rate=0.05, decay=False)
    cohort = shifted(shift=3.0)
    with pytest.warns(InputWarning, match="still tells 100% of the rows apart.*Train longer"):
        jbc.Corrector(method, steps=100).fit_cohort(cohort)


@pytest.mark.parametrize("changes", [{"norm": True}, {"objective": "wasserstein", "gamma": 0.0}], ids=str)
def test_settings_that_contradict_each_other_are_refused(changes):
    with refusal("bad-setting"):
        jbc.Corrector(dataclasses.replace(SMALL, **changes)).check(shifted())


def test_presets_hold_nothing_back():
    for kind in ("paper", "gan", "resnet-gan"):
        method = presets.adversarial(kind)
        assert (method.identity, method.gamma, method.smoothing, method.average) == (0, 0, 0, 0)
        assert (method.objective, method.norm, method.critic_rate) == ("logistic", True, 1e-3)
        jbc.Corrector(method).check(shifted())
    assert (presets.adversarial().rows, presets.adversarial().residual) == (256, True)
    plain = presets.adversarial("gan", widths=(6, 2), critic=(3,), rows=12)
    run = fit(plain, shifted(), KEY, steps=2, chunk=1)
    assert run.fitted["maps"]["params"]["Dense_2"]["kernel"].shape == (3, 2, 4)
    assert np.isfinite(run.history[-1]["loss"])
