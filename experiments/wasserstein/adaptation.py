"""A new domain from its controls alone, on simulated screens, with more and more controls.

python experiments/wasserstein/adaptation.py [--worlds 5] fits to four domains of every screen, adapts to the fifth by
its controls, writes experiments/results/adaptation.json and prints a table. The treatments of the fifth are scored.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

# Small decompositions wait longer for their threads than they compute.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import tyro

import jbc
from experiments._lib import program, results
from experiments.wasserstein import page, screens
from jbc import metrics
from jbc.data.simulate.screen import simulate_screen
from jbc.methods.settings import AdversarialTraining

NEW = "domain 5"
# At one rate, as in print.
OURS = jbc.WassersteinAlignment(fan_in_rate=False, training=AdversarialTraining(rows=24, updates=800))


@dataclasses.dataclass(frozen=True)
class Options:
    """Adapt to a new domain by its controls, for several numbers of controls."""

    controls: tuple[int, ...] = (12, 24, 100)  # control wells of every domain
    worlds: int = 5  # simulated screens; the settings of ours were chosen on that of seed 0
    out: Path = results.RESULTS / "adaptation.json"  # where the rows go


def corrected(world: Any) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return the rows of all domains by how the new one was treated, and how many controls a method needs."""
    known, tables, needed = world.domain != NEW, {"measured": world.x}, {}
    for name, method in {"centred on controls": screens.CENTRE, "ours": OURS}.items():
        model = fitted(method, world, known)
        if name == "ours":
            old = model.transform(world.x[known], domain=world.domain[known])
            tables["ours, the new one as measured"] = np.concatenate([old, world.x[~known]])
        model.adapt(world.x[~known], domain=world.domain[~known], control=world.control[~known])
        needed[name] = model.adapted_[NEW].minimum
        tables[name] = model.transform(world.x, domain=world.domain)
    everyone = np.full(len(known), True)
    tables["ours, fitted to all five"] = fitted(OURS, world, everyone).transform(world.x, domain=world.domain)
    return tables | {"the truth": world.clean}, needed


def fitted(method: Any, world: Any, rows: np.ndarray) -> jbc.Corrector:
    """Return a method fitted to some rows."""
    about = {"treatment": world.treatment[rows], "control": world.control[rows]}
    return jbc.Corrector(method).fit(world.x[rows], domain=world.domain[rows], **about)


def neighbours(x: np.ndarray, world: Any) -> float:
    """Return the share of treatments of the new domain whose nearest neighbour has the same mechanism."""
    about = {name: getattr(world, name) for name in ("treatment", "compound", "domain", "control")}
    centred = x - x[world.control].mean(axis=0)
    told = metrics.mechanism_knn(centred, mechanism=world.label, k=(1,), across_domains=True, **about)
    return float(np.nanmean(told.each[told.points.domain == NEW, 0]))


def run(options: Options) -> list[dict]:
    """Return the rows: the fifth domain of every world is the new one."""
    rows = []
    for controls in options.controls:
        scores: dict[str, list[float]] = {}
        least: dict[str, list[float]] = {}
        for seed in range(1, options.worlds + 1):
            world = simulate_screen(seed, n_controls=controls)
            try:
                tables, needed = corrected(world)
            except jbc.InputError as error:
                print(f"{controls} controls, world {seed}: {error}")
                continue
            for name, x in tables.items():
                scores.setdefault(name, []).append(neighbours(np.asarray(x, np.float64), world))
            for name, number in needed.items():
                least.setdefault(name, []).append(number)
        for metric, found in {"NSCB 1": scores, "needed": least}.items():
            for name, each in found.items():
                rows.append(
                    screens.screen_row(f"{controls} controls", name, metric, np.mean(each), np.array(each))
                )
    return rows


def main() -> None:
    """Make the table."""
    options = tyro.cli(Options)
    rows = run(options)
    results.write(options.out, results.describe_run(options), rows)
    print(page.adaptation_table(rows))


if __name__ == "__main__":
    program.run(main)
