"""How fast critics train: jbc beside double differentiation in JAX, and a plain PyTorch loop over the critics.

python experiments/speed/wasserstein.py [--rounds 5] writes experiments/results/bench_wasserstein.json and prints a
table. Every side trains all critics of a screen on minibatches of 100 rows a cell, each side in turn in a process of
its own. The losses are the same: critics of two hidden units, one-sided penalty, RMSProp. PyTorch comes with the
extra `bench`.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from experiments._lib import program
from experiments._lib.bench import interleave, main, peak_memory, ratio_row, run_in_subprocess, speed_row
from experiments._lib.results import RESULTS

BACKEND = "cpu"
DOMAINS = 10
ROWS, GAMMA, RATE = 100, 10.0, 1e-4


@dataclasses.dataclass(frozen=True)
class Options:
    """Compare the speed of training critics."""

    rounds: int = 5  # times that every side has its turn
    steps: int = 100  # of a timed run; a tenth of them for PyTorch and the largest screen
    large: bool = True  # also 1,000 treatments × 10 domains
    schedule: bool = True  # also the whole training of the released code, 355,000 steps
    quick: bool = False  # see whether everything runs; the numbers mean nothing
    out: Path = RESULTS / "bench_wasserstein.json"  # where the rows go


class Side(NamedTuple):
    """What is measured: a program, on so many treatments in ten domains, with so many features."""

    program: Literal["jbc", "double differentiation", "PyTorch loop", "memory", "schedule"]
    treatments: int
    features: int

    @property
    def configuration(self) -> str:
        """What is written about it."""
        return f"{self.treatments} × {DOMAINS}, d = {self.features}"

    @property
    def lanes(self) -> int:
        """How many critics there are: one for every treatment and pair of domains."""
        return self.treatments * DOMAINS * (DOMAINS - 1) // 2


SIDES = [
    Side("jbc", 1, 50),
    Side("jbc", 1, 192),
    Side("jbc", 20, 192),
    Side("double differentiation", 1, 50),
    Side("double differentiation", 1, 192),
    Side("double differentiation", 20, 192),
    Side("PyTorch loop", 1, 192),
]
LARGE = Side("jbc", 1000, 192)
QUICK: dict[str, Any] = {"rounds": 1, "steps": 2, "large": False, "schedule": False}


def screen(side: Side):
    """Make a screen in which every treatment is in every domain."""
    import numpy as np

    from jbc.cohort import Cohort

    rng = np.random.default_rng(0)
    cells = side.treatments * DOMAINS
    treatment, domain = (np.repeat(code.ravel(), ROWS) for code in np.indices((side.treatments, DOMAINS)))
    x = rng.standard_normal((cells * ROWS, side.features), dtype=np.float32)
    return Cohort.from_arrays(x, domain.astype(str), treatment=treatment.astype(str))


def measure_jbc(side: Side, steps: int) -> float:
    """Train the critics by the method itself."""
    import jax

    from jbc.methods import presets
    from jbc.train import fit

    cohort, method, marks = screen(side), presets.wasserstein("paper"), []
    fit(method, cohort, jax.random.key(0), steps=2 * steps, chunk=steps, hooks=[marks.append])
    # The second chunk of a run is training alone: no compilation, no drawing of networks.
    return marks[-1].seconds / steps


def measure_memory(side: Side) -> dict[str, float]:
    """Ask the compiler how much memory the training takes beside the screen, and what it cannot do without."""
    import jax

    from jbc.methods import presets
    from jbc.train.loop import steps_of

    cohort, method, key = screen(side).without_names(), presets.wasserstein("paper"), jax.random.key(0)
    state = jax.eval_shape(method.init, key, cohort)
    program = jax.jit(steps_of, static_argnums=(0, 1), donate_argnums=3)
    told = program.lower(method, 10, key, state, cohort, 0, None).compile().memory_analysis()
    taken = told.argument_size_in_bytes + told.temp_size_in_bytes - cohort.x.nbytes
    critics = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state.critics))
    return {
        "GB": taken / 1e9,
        "least": (critics + cohort.x.nbytes) / 1e9,
    }  # a minibatch is as large as the screen


def measure_schedule(side: Side) -> float:
    """Train as the released code does, compilation included; return seconds."""
    import jax

    from jbc.methods import presets
    from jbc.train import fit

    cohort = screen(side)
    began = time.perf_counter()
    fit(presets.wasserstein("reference"), cohort, jax.random.key(0))
    return time.perf_counter() - began


def measure_double(side: Side, steps: int) -> float:
    """Train the critics pair by pair on rows gathered for every pair, the penalty by a gradient of gradients."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    rng = np.random.default_rng(0)
    i, j = np.triu_indices(DOMAINS, 1)
    shape = (side.treatments, DOMAINS, ROWS, side.features)
    x = jnp.asarray(rng.standard_normal(shape, dtype=np.float32))
    count, d = side.treatments * len(i), side.features
    params = {
        "w": jnp.asarray(rng.normal(size=(count, d, 2)) / d**0.5, jnp.float32),
        "b": jnp.zeros((count, 2)),
        "v": jnp.asarray(rng.normal(size=(count, 2)), jnp.float32),
    }
    tx = optax.rmsprop(RATE)

    def critic(own: Any, row: Any) -> Any:
        return jax.nn.softplus(row @ own["w"] + own["b"]) @ own["v"]

    def objective(own: Any, first: Any, second: Any, mix: Any) -> Any:
        gap = critic(own, first).mean() - critic(own, second).mean()
        between = mix[:, None] * first + (1 - mix[:, None]) * second
        slope = jax.vmap(jax.grad(critic, argnums=1), in_axes=(None, 0))(own, between)
        length = jnp.sqrt(jnp.maximum(jnp.square(slope).sum(axis=1), 1))
        return GAMMA * jnp.square(length - 1).mean() - gap

    def step(carry: Any, key: Any) -> tuple[Any, None]:
        params, state = carry
        order = jax.random.randint(key, (*shape[:2], ROWS), 0, ROWS)
        drawn = jnp.take_along_axis(x, order[..., None], axis=2)
        first, second = (drawn[:, side].reshape(count, ROWS, d) for side in (i, j))
        mix = jax.random.uniform(key, (count, ROWS))

        def total(params: Any) -> Any:
            return jax.vmap(objective)(params, first, second, mix).sum()

        updates, state = tx.update(jax.grad(total)(params), state)
        return (optax.apply_updates(params, updates), state), None

    run = jax.jit(lambda carry, key: jax.lax.scan(step, carry, jax.random.split(key, steps))[0])
    carry = jax.block_until_ready(run((params, tx.init(params)), jax.random.key(0)))
    began = time.perf_counter()
    jax.block_until_ready(run(carry, jax.random.key(1)))
    return (time.perf_counter() - began) / steps


def measure_torch(side: Side, steps: int) -> float:
    """Train the critics one after the other, each with an optimiser of its own."""
    import itertools

    import torch
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(2)
    x = torch.randn(side.treatments, DOMAINS, ROWS, side.features)
    pairs = list(itertools.product(range(side.treatments), itertools.combinations(range(DOMAINS), 2)))
    critics = [nn.Sequential(nn.Linear(side.features, 2), nn.Softplus(), nn.Linear(2, 1)) for _ in pairs]
    optimisers = [torch.optim.RMSprop(critic.parameters(), lr=RATE) for critic in critics]

    def train(steps: int) -> None:
        for _ in range(steps):
            for (t, (i, j)), critic, optimiser in zip(pairs, critics, optimisers, strict=True):
                first, second = (x[t, g][torch.randint(ROWS, (ROWS,))] for g in (i, j))
                gap = critic(first).mean() - critic(second).mean()
                mix = torch.rand(ROWS, 1)
                between = (mix * first + (1 - mix) * second).requires_grad_(True)
                (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
                penalty = GAMMA * torch.clamp(slope.norm(dim=1) - 1, min=0).square().mean()
                optimiser.zero_grad()
                (penalty - gap).backward()
                optimiser.step()

    train(1)
    began = time.perf_counter()
    train(steps)
    return (time.perf_counter() - began) / steps


MEASURES = {
    "jbc": measure_jbc,
    "double differentiation": measure_double,
    "PyTorch loop": measure_torch,
}


def measure(side: Side, options: Options) -> dict[str, float]:
    """Return what is measured of one side, in this process: milliseconds of a step, and the peak of memory in GB."""
    if side.program == "memory":
        return measure_memory(side)
    if side.program == "schedule":
        return {"s": measure_schedule(side)}
    few = side.program == "PyTorch loop" or side == LARGE
    steps = max(options.steps // 10, 1) if few else options.steps
    return {"ms": 1000 * MEASURES[side.program](side, steps), "GB": peak_memory()}


def measure_all(options: Options) -> list[dict]:
    """Measure everything, and return the rows."""

    def ask(side: Side) -> dict[str, float]:
        return run_in_subprocess(__file__, side, options)

    sides = [side for side in SIDES if side.program != "PyTorch loop" or find_spec("torch")]
    turns = interleave(sides, options.rounds, lambda side: ask(side)["ms"])
    rows = [speed_row(side.program, side, BACKEND, times, "ms per step") for side, times in turns.items()]
    for side, times in turns.items():
        if side.program != "jbc":
            ours = turns[side._replace(program="jbc")]
            rows.append(ratio_row(f"jbc against {side.program}", side, BACKEND, times, ours))
    if options.large:
        speed, memory = ask(LARGE), ask(LARGE._replace(program="memory"))
        rows += [
            speed_row("jbc", LARGE, BACKEND, [speed["ms"]], "ms per step"),
            speed_row("jbc, peak of the process", LARGE, BACKEND, [speed["GB"]], "GB"),
            speed_row("jbc, memory beside the screen", LARGE, BACKEND, [memory["GB"]], "GB"),
            speed_row("critics, their moments, a minibatch", LARGE, BACKEND, [memory["least"]], "GB"),
        ]
    if options.schedule:
        side = Side("schedule", 1, 50)
        name = "jbc, all 355,000 steps of the released code"
        rows.append(speed_row(name, side, BACKEND, [ask(side)["s"]], "s"))
    return rows


if __name__ == "__main__":
    program.run(main, Options, Side, measure, measure_all, QUICK)
