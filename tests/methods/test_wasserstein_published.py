"""Wasserstein alignment as published: its steps against NumPy, differences, and another program's numbers."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import assert_same_bytes, vary

from jbc.cohort import Cohort
from jbc.cohort.sampling import take
from jbc.methods import presets
from jbc.methods.settings import AdversarialTraining, build_optimiser
from jbc.numerics import noise

KEY = jax.random.key(0)
DOMAINS, ROWS, D = 3, 20, 5
PAIRS = ((0, 1), (0, 2), (1, 2))
# At rate 1, plain descent moves parameters by the slope.
DESCENT = AdversarialTraining(rows=ROWS, optimiser="sgd", critic_rate=1.0, map_rate=1.0)


def published(truth: presets.Truth, **changes):
    """A preset without pre-training, which descends by the slope itself."""
    return presets.wasserstein(truth, training=DESCENT, pretrain=0, **changes)


def begin(method, seed: int = 0, x=None):
    """A state whose parameters are away from their start, and a minibatch of all rows."""
    rng = np.random.default_rng(seed)
    if x is None:
        x = rng.normal(size=(DOMAINS, ROWS, D)) + rng.normal(size=(DOMAINS, 1, D))
    cohort = method.resolve(
        Cohort.from_arrays(x.reshape(DOMAINS * ROWS, -1), np.repeat(["0", "1", "2"], ROWS))
    )
    state = method.init(KEY, cohort)

    def shaken(player, size):
        leaves, tree = jax.tree.flatten(player.params)
        moved = [leaf + size * jnp.asarray(rng.normal(size=leaf.shape), jnp.float32) for leaf in leaves]
        return player.replace(params=jax.tree.unflatten(tree, moved))

    state = state.replace(maps=shaken(state.maps, 0.3), critics=shaken(state.critics, 1.0))
    plan = jnp.arange(DOMAINS * ROWS).reshape(DOMAINS, ROWS)
    return state, take(cohort, plan, method.draw)


def step(method, state, rows, turn: str):
    """The step of one player."""
    at = {"critics": 0, "maps": method.training.critic_steps}[turn]
    return jax.jit(method.step)(KEY, state.replace(step=jnp.int32(at), last=jnp.float32(1)), rows)


def value_and_slope(critic, z):
    """What a critic says about rows (m, d), and its derivative by them."""
    a = z @ critic["first"]["w"].T + critic["first"]["b"]
    steep = []
    for layer in critic["head"]:
        steep.append(1 / (1 + np.exp(-a)))
        a = np.logaddexp(0, a) @ layer["w"] + layer["b"]
    back = np.ones_like(a)
    for layer, each in zip(reversed(critic["head"]), reversed(steep), strict=True):
        back = (back @ layer["w"].T) * each
    return a[:, 0], back @ critic["first"]["w"]


def losses(maps, critics, x, mix, gamma=10.0):
    """Equations 7 to 10: gap and penalty of every pair, in double precision."""
    gaps, penalties = [], []
    moved = [
        rows @ matrix + shift for rows, matrix, shift in zip(x, maps["matrix"], maps["shift"], strict=True)
    ]
    for number, (i, j) in enumerate(PAIRS):
        critic = jax.tree.map(lambda leaf, n=number: leaf[n], critics)
        gaps.append(value_and_slope(critic, moved[i])[0].mean() - value_and_slope(critic, moved[j])[0].mean())
        between = mix[number][:, None] * moved[i] + (1 - mix[number][:, None]) * moved[j]
        length = np.linalg.norm(value_and_slope(critic, between)[1], axis=1)
        penalties.append(gamma * np.square(np.maximum(length - 1, 0)).mean())
    return np.array(gaps), np.array(penalties)


def slope_along(function, at, direction, h=1e-5):
    """The derivative of a function of a tree, by central differences."""
    up, down = (function(jax.tree.map(lambda a, d, s=s: a + s * h * d, at, direction)) for s in (1, -1))
    return (up - down) / (2 * h)


@pytest.mark.parametrize("turn", ["maps", "critics"])
@pytest.mark.parametrize(
    ("truth", "reverse"), [("paper", "loss"), ("reference", "loss"), ("reference", "gap")]
)
@pytest.mark.slow
def test_players_descend_on_the_loss_of_print(truth, reverse, turn):
    """Maps go down the mean over pairs of gap less penalty (5, 6, 11), critics go up it, each its own."""
    method = published(truth, reverse=reverse)
    state, rows = begin(method)
    after, info = step(method, state, rows, turn)
    double = jax.tree.map(
        lambda leaf: np.asarray(leaf, np.float64), (state.maps.params, state.critics.params)
    )
    maps, critics = double
    x, mix = np.asarray(rows.x, np.float64), np.asarray(noise.fractions(KEY, (3, ROWS)), np.float64)
    gap, penalty = losses(maps, critics, x, mix)
    assert penalty.mean() > 1
    np.testing.assert_allclose(info["distance"], gap.mean(), rtol=1e-4)
    np.testing.assert_allclose(info["penalty"], penalty.mean(), rtol=1e-4)

    def objective(params):
        given = (params, critics) if turn == "maps" else (maps, params)
        gap, penalty = losses(*given, x, mix)
        if turn == "critics":
            return (gap - penalty).sum()
        return -(gap - penalty if reverse == "loss" else gap).mean()

    before, moved = (state.maps, after.maps) if turn == "maps" else (state.critics, after.critics)
    went = jax.tree.map(lambda new, old: np.asarray(new, np.float64) - old, moved.params, before.params)
    rng = np.random.default_rng(1)
    for _ in range(5):
        way = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), went)
        along = sum(jax.tree.leaves(jax.tree.map(lambda a, b: (a * b).sum(), went, way)))
        expected = slope_along(objective, maps if turn == "maps" else critics, way)
        np.testing.assert_allclose(along, expected, rtol=2e-3, atol=2e-3)
    other = (state.critics, after.critics) if turn == "maps" else (state.maps, after.maps)
    assert_same_bytes(*(player.params for player in other))


@pytest.mark.parametrize("turn", ["maps", "critics"])
@pytest.mark.slow
def test_the_released_configuration_has_the_slopes_of_the_golden(data, monkeypatch, turn):
    """Its critics, d → 2 → 2 → 1, and both players' slopes; the golden is the mean over three pairs."""
    path = data.parent / "goldens" / "wasserstein_objective.npz"
    if not path.is_file():
        pytest.skip("The goldens are not here: they lie beside the data")
    golden = np.load(path)
    method = published("reference")
    state, rows = begin(method, x=golden["x"])
    rows = dataclasses.replace(rows, x=jnp.asarray(golden["x"]))
    critics = {
        "first": {"w": golden["W1"].swapaxes(1, 2), "b": golden["b1"]},
        "head": [
            {"w": golden["W2"], "b": golden["b2"]},
            {"w": golden["w3"][..., None], "b": golden["b3"][:, None]},
        ],
    }
    maps = {"matrix": golden["M"], "shift": golden["b"]}
    state = state.replace(
        maps=state.maps.replace(params=jax.tree.map(jnp.asarray, maps)),
        critics=state.critics.replace(params=jax.tree.map(jnp.asarray, critics)),
    )
    monkeypatch.setattr(noise, "fractions", lambda key, shape: jnp.asarray(golden["eps"][..., 0]))
    after, info = step(method, state, rows, turn)
    np.testing.assert_allclose(info["distance"], np.mean([golden[f"gap/{n}"] for n in range(3)]), rtol=1e-5)
    np.testing.assert_allclose(
        info["penalty"], np.mean([golden[f"penalty/{n}"] for n in range(3)]), rtol=1e-5
    )
    found = (
        {"M": -after.maps.params["matrix"] + maps["matrix"], "b": -after.maps.params["shift"] + maps["shift"]}
        if turn == "maps" else rise(after.critics.params, critics)
    )  # fmt: skip
    for name, slope in found.items():
        expected = golden[f"grad/{name}"]
        scale = max(np.abs(expected).max(), 1e-2)
        np.testing.assert_allclose(slope, expected, atol=3e-5 * scale, err_msg=name)


def rise(new, old):
    """How far critics went up the mean over three pairs, by the golden's names: each goes up its own term of it."""
    went = jax.tree.map(lambda a, b: (np.asarray(a) - b) / len(PAIRS), new, old)
    head = went["head"]
    return {
        "W1": went["first"]["w"].swapaxes(1, 2), "b1": went["first"]["b"], "W2": head[0]["w"], "b2": head[0]["b"],
        "w3": head[1]["w"][..., 0], "b3": head[1]["b"][:, 0],
    }  # fmt: skip


@pytest.mark.slow
def test_which_steps_of_the_maps_are_left_out():
    """Never in print; in the program, by the loss of the step before, which may be that of other rows."""
    paper, reference = published("paper"), published("reference")
    for method, last, gap, moves in [
        (paper, -1.0, -1, True),
        (reference, -1.0, 1, False), (reference, 0.0, 1, False), (reference, 1.0, -1, True),
        (vary(reference, skip="gap"), -1.0, 1, True), (vary(reference, skip="gap"), 1.0, -1, False),
    ]:  # fmt: skip
        state, rows = begin(method)
        # The sign of the last layer is that of the gap.
        info = step(method, state, rows, "critics")[1]
        *head, final = state.critics.params["head"]
        sign = gap * jnp.sign(info["distance"])
        head = [*head, jax.tree.map(lambda leaf, sign=sign: sign * leaf, final)]
        params = {"first": state.critics.params["first"], "head": head}
        at = jnp.int32(method.training.critic_steps)
        state = state.replace(critics=state.critics.replace(params=params), step=at, last=jnp.float32(last))
        after, info = jax.jit(method.step)(KEY, state, rows)
        assert float(jnp.sign(info["distance"])) == gap
        assert (float(info["moved"]), float(info["transforms"])) == (moves, 1)
        assert moves != bool(jnp.array_equal(after.maps.params["matrix"], state.maps.params["matrix"]))
        np.testing.assert_allclose(after.last, info["distance"] - info["penalty"], rtol=1e-6)


def test_rmsprop_of_tensorflow_starts_from_one():
    """The first step is the rate times about the slope, where that of the usual one has the length of the rate."""
    slope = np.array([1e-3, 0.5, 4.0], np.float32)
    first, usual = (
        optimiser.update(slope, optimiser.init(slope))[0]
        for optimiser in (build_optimiser("rmsprop-tf"), build_optimiser("rmsprop"))
    )
    np.testing.assert_allclose(np.asarray(first), slope / np.sqrt(0.9 + 0.1 * slope**2 + 1e-10), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(usual), slope / np.sqrt(0.1 * slope**2 + 1e-8), rtol=1e-5)


def test_presets():
    paper, reference = presets.wasserstein("paper"), presets.wasserstein("reference")
    assert (paper.training.critic_steps, paper.map_steps, paper.critic) == (1, 50, (2,))
    assert (reference.training.critic_steps, reference.map_steps, reference.critic) == (49, 1, (2, 2))
    assert (paper.skip, reference.skip) == ("never", "last-loss")
    for method in (paper, reference):
        assert (method.training.optimiser, method.training.linear_decay) == ("rmsprop-tf", False)
        assert (method.reverse, method.form, method.fan_in_rate) == ("loss", "pairs", False)
    cohort = Cohort.from_arrays(np.eye(4), list("aabb"))
    assert (paper.steps(cohort), reference.steps(cohort)) == (105_202, 355_000)
