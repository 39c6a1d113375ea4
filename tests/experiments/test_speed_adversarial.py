"""The benchmark of adversarial correction and neuron editing: PyTorch does the same as jbc, and rows add up."""

from __future__ import annotations

from importlib.util import find_spec

import jax
import numpy as np
import pytest
from problems import experiment, quick_run

from jbc.cohort import Cohort
from jbc.cohort.sampling import take
from jbc.methods import presets
from jbc.methods.settings import AdversarialTraining, Route, Training

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def bench():
    return experiment("speed.adversarial")


@pytest.fixture(scope="module")
def program(torch):
    return experiment("speed.torch_adversarial")


def stepped(method, domains, d, player):
    """The state before and after one step on small tables, its report, and what the networks see.

    A player begins with random weights: small ones would hide its gradients.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40 * domains, d)).astype(np.float32)
    aimed = method.resolve(Cohort.from_arrays(x, np.repeat(list("abc")[:domains], 40))).without_names()
    state = jax.jit(method.init)(KEY, aimed)
    own = getattr(state, player)
    drawn = jax.tree.map(lambda leaf: leaf + 0.2 * rng.normal(size=leaf.shape).astype(np.float32), own.params)
    state = state.replace(**{player: own.replace(params=drawn)})
    rows = take(aimed, method.draw.plan(KEY, aimed, 0, 1)[0], method.draw)
    after, info = jax.jit(method.step)(KEY, state, rows)
    return state, after, info, np.array(method.inputs.apply(state.tables, rows.x, rows.domain[:, None]))


def put(torch, net, layers):
    """Give a network the weights of layers, in their order."""
    modules = [one for one in net.modules() if isinstance(one, (torch.nn.Linear, torch.nn.BatchNorm1d))]
    for module, layer in zip(modules, layers, strict=True):
        named = {"weight": layer["kernel"].T if "kernel" in layer else layer["scale"]}
        named |= {"bias": layer["bias"]} if "bias" in layer else {}
        assert {name for name, _ in module.named_parameters()} == set(named)
        for name, value in named.items():
            getattr(module, name).data = torch.tensor(np.array(value))


def assert_gradients(torch, net, layers):
    """After one step, the first moments of Adam are a tenth of the gradients."""
    modules = [one for one in net.modules() if isinstance(one, (torch.nn.Linear, torch.nn.BatchNorm1d))]
    for module, layer in zip(modules, layers, strict=True):
        found = module.weight.grad.numpy()
        wanted = 10 * np.asarray(layer["kernel"].T if "kernel" in layer else layer["scale"])
        assert np.abs(wanted).max() > 1e-4
        np.testing.assert_allclose(found, wanted, atol=2e-3 * np.abs(wanted).max())


def layers_of(params, kinds, g):
    counts = dict.fromkeys(kinds, -1)
    for kind in kinds:
        counts[kind] += 1
        yield jax.tree.map(lambda leaf: leaf[g], params[f"{kind}_{counts[kind]}"])


def test_the_gan_is_that_of_the_preset(torch, program):
    method = presets.adversarial(
        "paper", route=Route(target="b", source=("a",)), training=AdversarialTraining(rows=16)
    )
    state, after, info, z = stepped(method, 2, 25, "maps")
    game, kinds = program.Gan(25, tuned=False), {"maps": ["DomainNorm", "Dense"] * 6}
    kinds["critics"] = ["Dense", "DomainNorm", "Dense", "DomainNorm", "Dense"]
    nets = {"maps": game.generator, "critics": game.discriminator}
    for name, net in nets.items():
        put(torch, net, layers_of(getattr(state, name).params, kinds[name], 0))
    critic, loss = game.step(*map(torch.tensor, z))
    np.testing.assert_allclose(critic, info["critic"], rtol=1e-4)
    moments = layers_of(after.maps.opt_state.mu, kinds["maps"], 0)
    assert_gradients(torch, game.generator, moments)
    assert loss != pytest.approx(
        float(info["loss"]), rel=1e-6
    )  # ours is looked at before the discriminator moves


def test_the_autoencoder_is_that_of_the_preset(torch, program):
    method = presets.neuron_editing(
        route=Route(target="b", source=("a",), extrapolate=("c",)), training=Training(rows=16)
    )
    assert (method.widths, method.learning_rate) == (program.WIDTHS, program.RATE)
    state, after, info, z = stepped(method, 3, 35, "autoencoder")
    coder, names = program.Coder(35, tuned=True), [f"layers_{i}" for i in range(6)]
    put(torch, coder.net, [state.autoencoder.params[name] for name in names])
    np.testing.assert_allclose(coder.step(*map(torch.tensor, z)), info["loss"], rtol=1e-5)
    assert_gradients(torch, coder.net, [after.autoencoder.opt_state.mu[name] for name in names])


@pytest.mark.parametrize("tuned", [False, True])
def test_domains_are_drawn_without_replacement(torch, program, tuned):
    table = torch.arange(10.0)[:, None]
    stream = program.minibatches(table, 3, tuned=tuned)
    drawn = torch.cat([next(stream) for _ in range(3)])[:, 0].tolist()
    assert len(set(drawn)) == 9
    assert len(next(stream)) == 3


def test_settings_are_those_of_the_presets(bench):
    gan, coder = bench.method_of("GAN"), bench.method_of("autoencoder")
    assert (gan.training.rows, gan.widths, gan.blocks, gan.critic, gan.training.critic_steps) == (
        256,
        (25,),
        3,
        (64, 64),
        1,
    )
    for name, method in (("paper", coder), ("default", bench.method_of("default"))):
        assert (35, *method.widths, *method.widths[-2::-1], 35) == bench.WIDTHS[name]
    assert 3 * coder.training.rows == bench.ROWS
    assert coder.training.ema_decay == 0


def test_rows_are_medians_and_ratios_of_medians(bench):
    """PyTorch took 40, 20 and 30 ms a step, jbc 2, 4 and 10 for each of 16 models."""
    turns = {
        bench.Side("PyTorch", "GAN", 1): [{"ms": ms} for ms in (40.0, 20.0, 30.0)],
        bench.Side("jbc", "GAN", 16): [{"ms": ms, "s": 5.0} for ms in (2.0, 4.0, 10.0)],
        bench.Side("editing", "paper", 0): [{"rows": 1e5, "GB": 1.0}] * 3,
        bench.Side("products", "", 0): [{"GFLOP/s": 100.0}] * 3,
    }
    rows = {(row["what"], row["configuration"]): row for row in bench.summary_rows(turns)}
    assert rows["PyTorch", "GAN"]["value"] == 30
    ratio = rows["jbc against PyTorch", "GAN"]
    np.testing.assert_allclose([ratio[name] for name in ("value", "low", "high")], [30 / 4, 3, 20])
    assert ratio["lanes"] == 16
    once = 2 * (35 * 500 + 500 * 250 + 250 * 50) * 2
    assert rows["products alone, editing", "paper"]["value"] == pytest.approx(1e11 / once)
    step = 1000 * 300 * (3 * once - 2 * 35 * 500) / 1e11
    assert rows["products alone", "autoencoder"]["value"] == pytest.approx(step)


@pytest.mark.slow
def test_quick_run(tmp_path):
    whats = quick_run("adversarial", tmp_path / "rows.json")
    assert len(set(whats)) == len(whats) == (28 if find_spec("torch") else 16)
