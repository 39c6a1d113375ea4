"""The README's figure: cells of one person on two days, before and after day 1 was moved onto day 2.

python experiments/gan/readme.py writes .readme/cells.png; only cells that were held out are drawn.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import tyro

import jbc
from experiments._lib import program
from experiments.gan.scores import TARGET

OUT = Path(__file__).parents[2] / ".readme/cells.png"
CELLS = {"0": "other", "1": "CD8"}


def main(out: Path = OUT, seed: int = 0) -> None:
    """Fit to one half of the cells, and draw the other half.

    Parameters
    ----------
    out
        File to write.
    seed
        Seed of the halves, of the training, and of the cells that are drawn.
    """
    data = jbc.datasets.load("cytof-person1")
    seen = np.random.default_rng(seed).permutation(data.n_obs) % 2 == 0
    x, day = np.arcsinh(data.X / 5), data.obs["domain"].to_numpy(str)
    corrector = jbc.Corrector(jbc.MMDResNet(route=jbc.Route(target=TARGET)), random_state=seed)
    corrected = corrector.fit(x[seen], domain=day[seen]).transform(x[~seen], domain=day[~seen])
    kind = data.obs["label"].astype(str).map(CELLS)[~seen]
    names = {"domain_name": "day", "label_name": "cells", "titles": ("as measured", "MMDResNet")}
    axes = jbc.plots.before_after(x[~seen], corrected, day[~seen], kind, seed=seed, **names)
    axes[0, 0].figure.savefig(out, dpi=130)


if __name__ == "__main__":
    program.run(tyro.cli, main)
