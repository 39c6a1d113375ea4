"""A new domain from its controls alone, on simulated screens: is it worth it, and with how many controls.

python experiments/adaptation.py [--worlds 5] fits to four domains of every screen, takes in the fifth by its
controls, writes experiments/results/adaptation.json and prints a table. Judged are the treatments of the fifth.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

# Small decompositions wait longer for their threads than they compute.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import results
import screens
import tyro

import jbc
from jbc import metrics
from jbc.data.simulate.screen import simulate_screen

NEW = "domain 5"
OURS = jbc.WassersteinAlignment(rows=24)
TEXT = """## A new domain from its controls alone

Simulated screens, half of whose treatments occur in all domains: fitted to four domains, the fifth is taken in
(`Corrector.adapt`) by so many control wells of it. For every treatment of it, is the nearest neighbour from another
compound and another domain of the same mechanism (NSCB)? *Needed* is the number of controls below which `adapt`
refuses, calibrated on the four. Mean ± standard deviation over those of five worlds in which it did not refuse; the
worlds of the rows differ."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Take in a new domain by more and more controls."""

    controls: tuple[int, ...] = (12, 24, 100)  # control wells of every domain
    worlds: int = 5  # simulated screens; the settings of ours were chosen on that of seed 0
    out: Path = results.RESULTS / "adaptation.json"  # where the rows go


def corrected(world: Any) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return the rows of all domains, and how many controls were needed, by how the new domain was taken in."""
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
    about = {"treatment": world.treatment[rows], "control": world.control[rows]}
    return jbc.Corrector(method).fit(world.x[rows], domain=world.domain[rows], **about)


def neighbours(x: np.ndarray, world: Any) -> float:
    """Score the treatments of the new domain by their nearest neighbours in others."""
    about = {name: getattr(world, name) for name in ("treatment", "compound", "domain", "control")}
    centred = x - x[world.control].mean(axis=0)
    told = metrics.mechanism_knn(centred, mechanism=world.label, k=(1,), across_domains=True, **about)
    return float(np.nanmean(told.each[told.points.domain == NEW, 0]))


def run(options: Options) -> list[dict]:
    """Take in the fifth domain of every world."""
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
                rows.append(screens.row(f"{controls} controls", name, metric, np.mean(each), np.array(each)))
    return rows


def markdown(rows: list[dict]) -> str:
    """Write a line for every number of controls."""
    names = list(dict.fromkeys(row["method"] for row in rows if row["metric"] == "NSCB 1"))
    adapting = list(dict.fromkeys(row["method"] for row in rows if row["metric"] == "needed"))
    found = {(row["table"], row["method"], row["metric"]): row for row in rows}
    lines = []
    for table in dict.fromkeys(row["table"] for row in rows):
        cells = [found[table, name, "NSCB 1"] for name in names]
        least = [found[table, name, "needed"]["mean"] for name in adapting]
        scores = [f"{c['mean']:.3f}" + (f" ± {c['sd']:.3f}" if c["draws"] > 1 else "") for c in cells]
        worlds = str(found[table, "ours", "NSCB 1"]["draws"])
        lines.append([table, worlds, *scores, *(f"{each:.0f}" for each in least)])
    return results.grid(["", "worlds", *names, *(f"needed: {name}" for name in adapting)], lines)


def main() -> None:
    """Make the table."""
    options = tyro.cli(Options)
    rows = run(options)
    results.write(options.out, results.about(options), rows)
    print(markdown(rows))


if __name__ == "__main__":
    main()
