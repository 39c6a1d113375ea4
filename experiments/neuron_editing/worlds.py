"""The tasks on cytometry: two reference samples in three runs, a simulated spike-in, and simulated drugs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

import jbc
from experiments.neuron_editing.methods import Task
from jbc.data.simulate.cytometry import simulate_spike_in
from jbc.data.simulate.drugs import simulate_drugs


def cytonorm() -> dict[str, Task]:
    """Return tasks: learn from one reference sample of two runs, and predict the other one; all ordered pairs."""
    adata = jbc.datasets.load("cytonorm")
    x, run, sample = np.asarray(adata.X), adata.obs["domain"].to_numpy(), adata.obs["treatment"].to_numpy()
    cells = {(r, s): x[(run == r) & (sample == s)] for r in np.unique(run) for s in np.unique(sample)}
    return {
        f"{a}, {b}, {known}": Task(
            cells[a, known], cells[b, known], cells[a, new], cells[b, new], paired=False
        )
        for a, b in itertools.permutations(np.unique(run), 2)
        for known, new in itertools.permutations(np.unique(sample))
    }


def spike_in(seed: int, size: float) -> Task:
    """Return a task: learn from the spike-in, which both runs measured, and correct the sample of one."""
    counts = {"control_cells": (18919, 22802), "sample_cells": (94556, 55594)}
    world = simulate_spike_in(seed, **{name: _scaled(cells, size) for name, cells in counts.items()})  # pyright: ignore[reportArgumentType]
    control, source = world.control, world.domain == "source"
    new = source & ~control
    return Task(
        world.x[source & control], world.x[~source & control], world.x[new], world.truth[new], paired=True
    )


def drugs(seed: int, size: float, interaction: float) -> Task:
    """Return a task: learn what one drug does to cells, and do it to cells that have had another."""
    world = simulate_drugs(seed, cells=_scaled((19925, 20078, 19843, 19764), size), interaction=interaction)  # pyright: ignore[reportArgumentType]
    source, target, new = (world.x[world.condition == name] for name in ("basal", "Das", "Bez"))
    return Task(source, target, new, world.truth, paired=True)


def _scaled(cells: Sequence[int], size: float) -> tuple[int, ...]:
    return tuple(max(int(size * count), 50) for count in cells)
