"""How fast joint calibration trains: jbc beside a plain PyTorch program, in turns, each in a process of its own.

python experiments/speed/joint.py [--rounds 5] [--lanes 1 8] writes experiments/results/bench_joint.json and prints a
table. PyTorch comes with `pip install "jbc[bench]"`; without it only the JAX side is measured.

What is counted is one update of the optimiser. In the reference configuration a minibatch of every domain makes two
of them, step A and step B, on either side; in the default configuration it makes one. Both sides train for the same
number of epochs, timed from the table in memory to the trained networks, by then with jbc's programs compiled.
Compilation is what the first run of a process takes more than its second.
"""

from __future__ import annotations

import dataclasses
import sys
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

TORCH = {
    "released": "PyTorch as released",
    "one call": "PyTorch, cross-entropy in one call",
    "tuned": "PyTorch, tuned",
}
Configuration = Literal["reference", "paper", "default"]
PER_UPDATE = "ms per update and model"


@dataclasses.dataclass(frozen=True)
class Options:
    """Compare the speed of jbc and PyTorch."""

    rounds: int = 3  # times that every side has its turn
    epochs: int = 50  # length of a timed run
    # of jbc; PyTorch knows only the reference
    configurations: tuple[Configuration, ...] = ("reference", "default")
    lanes: tuple[int, ...] = (1, 8)  # numbers of seeds that jbc trains at once; on an accelerator, 1 32 256
    cores: int = 2  # cores that either side may use; jbc makes a device of each, for lanes
    threads: int = 2  # threads of PyTorch
    seeds: int = 10  # seeds of the whole table, for each hidden domain
    table: bool = True  # also train the whole table once, and look at its memory
    data: str = "mi"  # name of a data set
    quick: bool = False  # see whether everything runs, on a small world; the numbers mean nothing
    out: Path = RESULTS / "bench_joint.json"  # where the rows go


QUICK: dict[str, Any] = {
    "rounds": 1, "epochs": 1, "configurations": ("reference",), "lanes": (2,), "threads": 1, "seeds": 1,
    "data": "simulated-plates",
}  # fmt: skip


class Side(NamedTuple):
    """What is measured: a variant of the PyTorch program, a configuration of jbc, or the whole table of one."""

    program: Literal["PyTorch", "jbc", "table"]
    configuration: Any
    lanes: int


def load(data: str):
    """Return a data set as a cohort."""
    import jbc

    adata = jbc.datasets.load(data)
    return jbc.Cohort.from_arrays(adata.X, adata.obs["domain"], label=adata.obs["label"])


def method_of(configuration: Configuration):
    """Return the method of a configuration."""
    import jbc

    if configuration == "default":
        return jbc.JointCalibration()
    # Players without a loss stand still in the PyTorch that it is compared with.
    return jbc.presets.joint("mi", configuration, idle_moves=False)


def measure_torch(side: Side, options: Options) -> dict[str, Any]:
    """Train one seed in PyTorch, the last domain being the target."""
    import torch

    from experiments.speed import torch_joint

    torch.set_num_threads(options.threads)
    cohort = load(options.data)
    starts = [int(offset) for offset in cohort.domains.offset[1:]]
    x = torch.tensor(cohort.x).tensor_split(starts)
    labels = torch.tensor(cohort.label).tensor_split(starts)

    def train(epochs: int) -> int:
        settings = torch_joint.Settings(epochs=epochs)
        return torch_joint.train(
            x, labels, sources=len(x) - 1, settings=settings, variant=side.configuration
        )[2]

    train(1)  # neither side pays for what only a first run does
    seconds, updates = timed(lambda: train(options.epochs))
    return {"seconds": seconds, "updates": updates, "backend": "cpu"}


def measure_jax(side: Side, options: Options) -> dict[str, Any]:
    """Train seeds in jbc, the last domain being the target: once to compile, once for the time."""
    import jax

    from jbc.methods.rules import changed
    from jbc.train import fit, fit_lanes

    cohort, whole = load(options.data), method_of(side.configuration)
    cohort = cohort.mask_labels(cohort.names.domains[-1])
    method = changed(whole, {"training.epochs": options.epochs})
    per_step = method.classify_rounds + method.rebuild_rounds if method.alternate else 1

    def train(seed: int):
        key = jax.random.key(seed)
        if side.lanes == 1:
            return jax.block_until_ready(fit(method, cohort, key).fitted)
        return jax.block_until_ready(fit_lanes(method, cohort, jax.random.split(key, side.lanes)).fitted)

    first, _ = timed(lambda: train(0))
    seconds, _ = timed(lambda: train(1))
    return {
        "seconds": seconds,
        "compilation": first - seconds,
        "updates": per_step * method.steps(cohort),
        "updates of a model": per_step * whole.steps(cohort),
        "backend": jax.default_backend(),
    }


def measure_table(side: Side, options: Options) -> dict[str, Any]:
    """Train every choice of the target with every seed, as lanes of one program, and classify all rows."""
    import jax

    from experiments.joint.lanes import train

    cohort, method = load(options.data), method_of(side.configuration)
    steps = options.epochs if options.quick else None
    tasks = [cohort.mask_labels(name) for name in cohort.names.domains]
    seconds, _ = timed(lambda: train(method, tasks, options.seeds, steps))
    lanes = len(tasks) * options.seeds
    return {"seconds": seconds, "peak": peak_memory(), "lanes": lanes, "backend": jax.default_backend()}


def measure(side: Side, options: Options) -> dict[str, Any]:
    """Return what is measured of one side, in this process."""
    pin_cpus(options.cores)
    if side.program == "PyTorch":
        return measure_torch(side, options)
    import jax

    jax.config.update("jax_enable_compilation_cache", False)
    jax.config.update("jax_num_cpu_devices", options.cores)
    return (measure_jax if side.program == "jbc" else measure_table)(side, options)


def milliseconds(turns: list[dict[str, Any]], lanes: int) -> list[float]:
    """Return the milliseconds of an update and model, for every turn."""
    return [1000 * told["seconds"] / told["updates"] / lanes for told in turns]


def summary_rows(turns: dict[Side, list[dict[str, Any]]]) -> list[dict]:
    """Return rows of what every side took."""
    rows = []
    for side, told in turns.items():
        each, backend = milliseconds(told, side.lanes), told[0]["backend"]
        if side.program == "PyTorch":
            rows.append(
                speed_row(
                    TORCH[side.configuration], side, backend, each, PER_UPDATE, configuration="reference"
                )
            )
            continue
        models = [1000 / (ms * one["updates of a model"]) for ms, one in zip(each, told, strict=True)]
        rows += [
            speed_row("jbc", side, backend, each, PER_UPDATE),
            speed_row("jbc, whole models", side, backend, models, "models per second"),
            speed_row("jbc, compilation", side, backend, [one["compilation"] for one in told], "s"),
        ]
    return rows


def ratio_rows(turns: dict[Side, list[dict[str, Any]]]) -> list[dict]:
    """Return rows of how many times faster jbc is on the same run."""
    rows = []
    for ours in (side for side in turns if (side.program, side.configuration) == ("jbc", "reference")):
        for theirs in (side for side in turns if side.program == "PyTorch"):
            slow, fast = milliseconds(turns[theirs], 1), milliseconds(turns[ours], ours.lanes)
            what, backend = f"jbc against {TORCH[theirs.configuration]}", turns[ours][0]["backend"]
            rows.append(ratio_row(what, ours, backend, slow, fast))
    return rows


def table_rows(options: Options) -> list[dict]:
    """Return rows of training the whole table in the default configuration."""
    found = run_in_subprocess(__file__, Side("table", "default", 0), options)
    side = Side("jbc", "default", found["lanes"])
    return [
        speed_row("jbc, whole table with compilation", side, found["backend"], [found["seconds"]], "s"),
        speed_row("jbc, whole table, peak memory", side, found["backend"], [found["peak"]], "GB"),
    ]


def measure_all(options: Options) -> list[dict]:
    """Measure everything, and return the rows."""
    sides = [Side("jbc", name, lanes) for name in options.configurations for lanes in options.lanes]
    if find_spec("torch"):
        sides = [Side("PyTorch", variant, 1) for variant in TORCH] + sides
    else:
        print("PyTorch is not installed (the extra `bench` has it): only the JAX side is measured.")
    turns = interleave(sides, options.rounds, lambda side: run_in_subprocess(__file__, side, options))
    return summary_rows(turns) + ratio_rows(turns) + (table_rows(options) if options.table else [])


if __name__ == "__main__":
    program.run(main, Options, Side, measure, measure_all, QUICK)
