"""The figure of the page on composition: one world after several corrections, by domain and by population.

python experiments/composition/figures.py [--world cell-lines/leave-one-out] writes docs/benchmarks/figures/
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import tyro

from experiments._lib import program
from experiments._lib.figures import panels, save
from experiments.composition import scores
from experiments.composition.methods import ALL, correct
from experiments.composition.worlds import WORLDS
from jbc.data import cache

COLOURS = ("C0", "C1", "C2", "C3"), ("k", "#e69f00", "#56b4e9", "#009e73", "#cc79a7")
FIGURES = Path(__file__).parents[2] / "docs" / "benchmarks" / "figures"


@dataclasses.dataclass(frozen=True)
class Options:
    """Draw a world after several corrections."""

    world: str = "cell-lines/leave-one-out"
    methods: tuple[str, ...] = (
        "nothing",
        "z-score per domain",
        "Harmony",
        "Standardise",
        "WassersteinAlignment",
    )
    seed: int = 0
    out: Path = FIGURES


def main() -> None:
    """Write the figure."""
    options = tyro.cli(Options)
    program.known([options.world], WORLDS, "--world")
    program.known(options.methods, ALL, "--methods")
    cache.keep_compiled()
    world = WORLDS[options.world](options.seed)
    figure, axes = panels(2, len(options.methods), 2.4, 2.5, sharex="col", sharey="col")
    order = np.random.default_rng(0).permutation(len(world.x))
    for column, name in zip(axes.T, options.methods, strict=True):
        x = correct(name, world, options.seed).x
        assert x is not None
        found = scores.same_line(x, world.domain, world.line) | scores.mixing(x, world.domain, world.line)
        _, _, turned = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
        at = (x - x.mean(axis=0)) @ turned[:2].T
        for ax, kind, colours in zip(column, (world.domain, world.line), COLOURS, strict=True):
            for one, colour in zip(np.unique(kind), colours, strict=False):
                rows = order[kind[order] == one]
                ax.scatter(*at[rows].T, s=5, alpha=0.6, color=colour, linewidths=0, label=one)
            ax.set_xticks([])
            ax.set_yticks([])
        column[0].set_title(f"{name}\nlike {found['balanced']:.3f}, mixed {found['within']:.2f}", fontsize=9)
        column[1].set_xlabel("component 1", fontsize=8)
    for ax, what in zip(axes[:, 0], ("by domain", "by population"), strict=True):
        ax.set_ylabel(f"{what}\ncomponent 2", fontsize=8)
        ax.legend(fontsize=6, markerscale=2, loc="best")
    save(figure, options.out / f"composition_{options.world.partition('/')[2]}.png")


if __name__ == "__main__":
    program.run(main)
