"""The benchmark of joint calibration: PyTorch does the same as jbc and as the released program, and rows add up."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec

import numpy as np
import pytest
from problems import experiment, quick_run

from jbc.cohort import Cohort
from jbc.methods import presets
from jbc.methods.settings import Training

VARIANTS = ("released", "one call", "tuned")

# Neither the MMD nor the norm that the classifier begins with sees a common shift of all codes: what both give
# this bias is rounding, and Adam amplifies it.
NOISE = ("calibrator", "encoder.4.bias")


@pytest.fixture(scope="module")
def bench():
    return experiment("speed.joint")


@pytest.fixture(scope="module")
def program(torch):
    return experiment("speed.torch_joint")


@pytest.fixture(scope="module")
def golden(data):
    path = data.parent / "goldens" / "joint_multibatch_step.npz"
    if not path.is_file():
        pytest.skip("The goldens are not here: they lie beside the data")
    return np.load(path)


def players(nets):
    rebuilders = {f"reconstructor_{k}": net for k, net in enumerate(nets.reconstructors, start=1)}
    return {"calibrator": nets.calibrator, "discriminator": nets.classifier} | rebuilders


def stored(golden, at):
    return {key.removeprefix(at): golden[key] for key in golden if key.startswith(at)}


def put(torch, golden, prefix, nets):
    for name, net in players(nets).items():
        found = stored(golden, f"{prefix}/{name}/")
        net.load_state_dict({key: torch.tensor(value) for key, value in found.items()})


def assert_stored(golden, prefix, nets):
    for name, net in players(nets).items():
        expected = stored(golden, f"{prefix}/{name}/")
        for key, value in net.state_dict().items():
            if (name, key) != NOISE:
                scale = np.abs(expected[key]).max()
                np.testing.assert_allclose(
                    value.numpy(), expected[key], atol=5e-5 * scale, err_msg=f"{name} {key}"
                )


@pytest.mark.parametrize("variant", VARIANTS)
def test_steps_are_those_of_the_released_program(torch, program, golden, variant):
    nets, settings = program.Networks(204, sources=2, dropout=0.0), program.Settings()
    put(torch, golden, "init", nets)
    x = [torch.tensor(golden[f"x/{g}"]) for g in range(3)]
    labels = [torch.tensor(golden[f"y/{g}"]) for g in range(2)]
    optimiser = program.make_optimiser(nets, 1, settings, variant)

    told = program.step_a(nets, optimiser, x, labels, settings, variant)
    names = {"loss": "A/loss", "align": "A/mmd_sum_ordered_pairs", "classify": "A/ce_sum"}
    for ours, theirs in names.items():
        np.testing.assert_allclose(told[ours].item(), golden[theirs], rtol=1e-5)
    assert_stored(golden, "after_A", nets)

    # Step B starts from the stored parameters, with the moments of our step A.
    put(torch, golden, "after_A", nets)
    told = program.step_b(nets, optimiser, x, settings, variant)
    names = {"loss": "B/loss", "align": "B/mmd_sum_ordered_pairs", "rebuild": "B/mse_sum"}
    for ours, theirs in names.items():
        np.testing.assert_allclose(told[ours].item(), golden[theirs], rtol=1e-5)
    assert_stored(golden, "after_B", nets)

    put(torch, golden, "after_B", nets)
    nets.eval()
    with torch.no_grad():
        for g in range(3):
            z = nets.calibrator(x[g])
            np.testing.assert_allclose(z.numpy(), golden[f"eval/z/{g}"], atol=1e-5)
            np.testing.assert_allclose(nets.classifier(z).numpy(), golden[f"eval/p/{g}"], atol=1e-5)


def test_settings_are_those_of_the_preset(program):
    preset = presets.joint("mi", "reference")
    for field in dataclasses.fields(program.Settings):
        assert getattr(program.Settings(), field.name) == getattr(preset, field.name), field.name


@pytest.mark.parametrize("variant", VARIANTS)
def test_runs_are_as_long_as_those_of_jbc(torch, program, variant):
    """An epoch is a pass over the largest domain, and smaller ones begin anew."""
    rng = np.random.default_rng(0)
    sizes = [300, 130, 260]
    label = rng.integers(0, 2, sum(sizes))
    values = (rng.normal(size=(sum(sizes), 6)) + 3 * label[:, None]).astype(np.float32)
    cohort = Cohort.from_arrays(values, np.repeat(list("abc"), sizes), label=label)
    method = presets.joint("mi", "reference", training=Training(epochs=3))
    x, labels = torch.tensor(values).split(sizes), torch.tensor(label).split(sizes)

    settings = program.Settings(epochs=3)
    nets, history, updates = program.train(x, labels, sources=2, settings=settings, variant=variant)
    assert updates == 2 * method.steps(cohort) == 12
    assert len(history) == 3
    assert history[-1]["classify"] < history[0]["classify"]
    assert all(np.isfinite(list(row.values())).all() for row in history)
    assert int(nets.classifier.bn.num_batches_tracked) == 2 * updates // 2


def test_domains_are_drawn_without_replacement(torch, program):
    table = torch.arange(10)[:, None]
    drawn = list(program.ByIndex(table, table[:, 0], rows=3))
    assert [len(rows) for rows, _ in drawn] == [3, 3, 3]
    assert all((rows[:, 0] == codes).all() for rows, codes in drawn)
    assert len(set(torch.cat([codes for _, codes in drawn]).tolist())) == 9


@pytest.fixture
def turns(bench):
    """Three rounds: PyTorch took 40, 20 and 30 ms per update, jbc 2, 4 and 10 for eight models."""
    slow = [{"seconds": s, "updates": 100, "backend": "cpu"} for s in (4.0, 2.0, 3.0)]
    more = {"updates": 100, "updates of a model": 2000, "compilation": 5.0, "backend": "gpu"}
    fast = [{"seconds": s} | more for s in (0.2, 0.4, 1.0)]
    return {bench.Side("PyTorch", "released", 1): slow, bench.Side("jbc", "reference", 8): fast}


def test_rows_are_medians_with_ranges(bench, turns):
    torch_row, speed, models, compilation = bench.summary_rows(turns)
    assert torch_row["configuration"] == "reference"
    assert [torch_row[key] for key in ("value", "low", "high", "rounds")] == [30, 20, 40, 3]
    assert [speed[key] for key in ("value", "low", "high")] == [0.5, 0.25, 1.25]
    assert (speed["lanes"], speed["backend"]) == (8, "gpu")
    assert models["value"] == pytest.approx(1 / (2000 * 0.0005))
    assert (compilation["value"], compilation["unit"]) == (5, "s")


def test_ratios_are_of_medians_with_the_range_over_rounds(bench, turns):
    (ratio,) = bench.ratio_rows(turns)
    assert [ratio[key] for key in ("value", "low", "high")] == pytest.approx([30 / 0.5, 30 / 1.25, 40 / 0.25])
    speed_table = experiment("_lib.bench").speed_table
    assert speed_table([ratio]).splitlines()[-1] == (
        "| jbc against PyTorch as released | reference | 8 | gpu | 60 | 24–160 | times faster |"
    )


def test_without_torch_only_jax_is_measured(bench, monkeypatch, capsys):
    asked = []

    def answer(program, side, options):
        asked.append(side)
        told = {"seconds": 1.0, "updates": 10, "updates of a model": 20, "compilation": 1.0, "backend": "cpu"}
        return told | {"peak": 1.0, "lanes": 30}

    monkeypatch.setattr(bench, "find_spec", lambda name: None if name == "torch" else find_spec(name))
    monkeypatch.setattr(bench, "run_in_subprocess", answer)
    rows = bench.measure_all(bench.Options(rounds=2))
    assert capsys.readouterr().out.count("\n") == 1
    assert {side.program for side in asked} == {"jbc", "table"}
    assert len(asked) == 2 * 4 + 1
    assert not [row for row in rows if "PyTorch" in row["what"]]


@pytest.mark.slow
def test_quick_run(tmp_path):
    whats = quick_run("joint", tmp_path / "results" / "rows.json")
    assert len(set(whats)) == len(whats) == (11 if find_spec("torch") else 5)
    assert ("jbc, whole table, peak memory", "default", 3) in whats
