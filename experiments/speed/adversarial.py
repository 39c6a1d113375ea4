"""How fast adversarial correction and neuron editing train beside plain PyTorch, and how fast a table is edited.

python experiments/speed/adversarial.py [--rounds 5] writes experiments/results/bench_adversarial.json and prints a
table. Every side has its turn in a process of its own. PyTorch comes with `pip install "jbc[bench]"`; without it only
jbc is measured.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from experiments._lib import program
from experiments._lib.bench import (
    interleave,
    main,
    peak_memory,
    pin_cpus,
    ratio_row,
    run_in_subprocess,
    speed_row,
    timed,
)
from experiments._lib.results import RESULTS

Program = Literal["PyTorch", "PyTorch, tuned", "jbc", "editing", "products"]
TORCH: dict[Program, bool] = {"PyTorch": False, "PyTorch, tuned": True}
# Two days of one person in the papers' mass cytometry; three samples of neuron editing.
SIZES = {"GAN": ((4308, 3530), 25), "autoencoder": ((20_000, 20_000, 20_000), 35)}
WIDTHS = {"paper": (35, 500, 250, 50, 250, 500, 35), "default": (35, 100, 50, 10, 50, 100, 35)}
BACKEND = "cpu"
ROWS = 300  # of all domains in a minibatch of the autoencoder


@dataclasses.dataclass(frozen=True)
class Options:
    """Compare the speed of jbc and PyTorch."""

    rounds: int = 3  # times that every side has its turn
    steps: int = 400  # of a timed run of the GAN; a quarter of them for the autoencoder
    lanes: int = 16  # seeds that jbc trains at once
    rows: int = 1_000_000  # that are edited
    cores: int = 2  # cores that either side may use; jbc makes a device of each, for lanes
    quick: bool = False  # see whether everything runs; the numbers mean nothing
    out: Path = RESULTS / "bench_adversarial.json"  # where the rows go


QUICK: dict[str, Any] = {"rounds": 1, "steps": 4, "lanes": 2, "rows": 5000, "cores": 1}


class Side(NamedTuple):
    """What is measured: a program that trains a model, an edit of a table, or the speed of matrix products."""

    program: Program
    configuration: str
    lanes: int


def draw(model: str) -> list[Any]:
    """Return random rows of every domain."""
    import numpy as np

    rng, (sizes, d) = np.random.default_rng(0), SIZES[model]
    return [rng.standard_normal((size, d), dtype=np.float32) + 0.3 * g for g, size in enumerate(sizes)]


def method_of(model: str):
    """Return the method that trains a model."""
    import jbc
    from jbc.methods import presets

    if model == "GAN":
        return presets.adversarial("paper", inputs=jbc.Inputs(log=False), route=jbc.Route("1", ("0",)))
    route = jbc.Route("1", ("0",), ("2",))
    return jbc.NeuronEditing(route=route) if model == "default" else presets.neuron_editing(route=route)


def cohort_of(tables: list[Any]):
    """Return tables, one a domain, as a cohort."""
    import numpy as np

    import jbc

    names = np.repeat([str(g) for g in range(len(tables))], [len(x) for x in tables])
    return jbc.Cohort.from_arrays(np.concatenate(tables), names)


def measure_torch(side: Side, steps: int, options: Options) -> dict[str, float]:
    """Train in PyTorch, with as many threads as are fastest: milliseconds of a step."""
    import torch

    from experiments.speed import torch_adversarial as program

    torch.manual_seed(0)
    name, tuned = side.configuration, TORCH[side.program]
    tables = [torch.tensor(x) for x in draw(name)]
    model = {"GAN": program.Gan, "autoencoder": program.Coder}[name](SIZES[name][1], tuned=tuned)
    streams = [program.minibatches(x, model.rows, tuned=tuned) for x in tables]

    def train(steps: int, threads: int) -> float:
        torch.set_num_threads(threads)
        return timed(lambda: program.train(model, streams, steps))[0]

    some = max(steps // 20, 1)
    train(some, 1)  # what only the first steps do
    threads = min(range(1, options.cores + 1), key=lambda threads: train(some, threads))
    return {"ms": 1000 * train(steps, threads) / steps, "threads": threads}


def measure_jbc(side: Side, steps: int, options: Options) -> dict[str, float]:
    """Train in two chunks: what the first takes more than the second is compilation."""
    import jax

    from jbc.train import fit, fit_lanes

    jax.config.update("jax_enable_compilation_cache", False)
    if side.lanes > 1:
        jax.config.update("jax_num_cpu_devices", options.cores)
    method, cohort = method_of(side.configuration), cohort_of(draw(side.configuration))
    key, marks = jax.random.key(0), []
    given: dict[str, Any] = {"steps": 2 * steps, "chunk": steps, "hooks": [marks.append]}
    if side.lanes == 1:
        fit(method, cohort, key, **given)
    else:
        fit_lanes(method, cohort, jax.random.split(key, side.lanes), **given)
    first, second = (mark.seconds for mark in marks)
    return {"ms": 1000 * second / steps / side.lanes, "s": first - second}


def measure_editing(side: Side, options: Options) -> dict[str, float]:
    """Edit a table, by a method that has hardly been trained: that changes the numbers, not the speed."""
    import numpy as np

    import jbc
    from jbc.methods.inference import BLOCKS

    fitted = jbc.Corrector(method_of(side.configuration), steps=5).fit_cohort(cohort_of(draw("autoencoder")))
    x = np.random.default_rng(1).standard_normal((options.rows, SIZES["autoencoder"][1]), dtype=np.float32)
    domain = np.full(len(x), "2")
    some = max(BLOCKS) + 1
    fitted.transform(x[:some], domain=domain[:some])
    begun = time.perf_counter()
    out = fitted.transform(x, domain=domain)
    seconds = time.perf_counter() - begun
    assert np.isfinite(out).all()
    return {"rows": len(x) / seconds, "GB": peak_memory() - x.nbytes / 1e9}


def measure_products() -> dict[str, float]:
    """Return the speed of products of matrices as large as those of the widest layers, GFLOP/s."""
    import jax
    import jax.numpy as jnp

    multiply = jax.jit(jnp.matmul)
    rows, weights = jnp.ones((2048, 500)), jnp.ones((500, 250))
    best = 0.0
    for _ in range(20):
        seconds, _ = timed(lambda: [multiply(rows, weights).block_until_ready() for _ in range(10)])
        best = max(best, 10 * 2 * 2048 * 500 * 250 / seconds / 1e9)
    return {"GFLOP/s": best}


def measure(side: Side, options: Options) -> dict[str, float]:
    """Return what is measured of one side, in this process."""
    pin_cpus(options.cores)
    steps = options.steps if side.configuration == "GAN" else max(options.steps // 4, 1)
    if side.program == "products":
        return measure_products()
    if side.program == "editing":
        return measure_editing(side, options)
    return (measure_jbc if side.program == "jbc" else measure_torch)(side, steps, options)


def summary_rows(turns: dict[Side, list[dict[str, float]]]) -> list[dict]:
    """Return rows of what every side took, and of how many times faster jbc is."""
    rows = []
    for side, told in turns.items():
        if side.program == "editing":
            rows.append(speed_row("editing", side, BACKEND, [one["rows"] for one in told], "rows per second"))
            rows.append(speed_row("editing, memory", side, BACKEND, [one["GB"] for one in told], "GB"))
        elif side.program == "products":
            rows += products([one["GFLOP/s"] for one in told])
        else:
            rows.append(
                speed_row(side.program, side, BACKEND, [one["ms"] for one in told], "ms per step and model")
            )
        if side.program == "jbc":
            rows.append(speed_row("jbc, compilation", side, BACKEND, [one["s"] for one in told], "s"))
    for ours in (side for side in turns if side.program == "jbc"):
        for theirs in (
            side for side in turns if side.program in TORCH and side.configuration == ours.configuration
        ):
            slow, fast = ([one["ms"] for one in turns[side]] for side in (theirs, ours))
            rows.append(ratio_row(f"jbc against {theirs.program}", ours, BACKEND, slow, fast))
    return rows


def products(speeds: list[float]) -> list[dict]:
    """Return rows of what matrix products take alone: a step has the forward ones, and twice as many backward."""
    once, small = (2 * sum(a * b for a, b in itertools.pairwise(widths)) for widths in WIDTHS.values())
    back = 3 * once - 2 * SIZES["autoencoder"][1] * WIDTHS["paper"][1]  # no derivative by the inputs
    # The default decodes twice, what was edited and what was not.
    paper, default = (Side("products", name, 0) for name in ("paper", "default"))
    return [
        speed_row("products", Side("products", "2048 × 500 × 250", 1), BACKEND, speeds, "GFLOP/s"),
        speed_row("products alone", Side("products", "autoencoder", 1), BACKEND,
                  [ROWS * back / s / 1e6 for s in speeds], "ms per step and model"),
        speed_row("products alone, editing", paper, BACKEND, [1e9 * s / once for s in speeds], "rows per second"),
        speed_row("products alone, editing", default, BACKEND, [1e9 * s / (1.5 * small) for s in speeds],
            "rows per second"),
    ]  # fmt: skip


def measure_all(options: Options) -> list[dict]:
    """Measure everything, and return the rows."""
    sides = [Side("jbc", model, lanes) for model in SIZES for lanes in (1, options.lanes)]
    sides += [Side("products", "", 0), Side("editing", "paper", 0), Side("editing", "default", 0)]
    if find_spec("torch"):
        sides = [Side(program, model, 1) for model in SIZES for program in TORCH] + sides
    else:
        print("PyTorch is not installed (the extra `bench` has it): only jbc is measured.")
    return summary_rows(
        interleave(sides, options.rounds, lambda side: run_in_subprocess(__file__, side, options))
    )


if __name__ == "__main__":
    program.run(main, Options, Side, measure, measure_all, QUICK)
