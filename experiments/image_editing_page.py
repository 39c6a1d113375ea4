"""What BENCHMARKS.md says about edited images: a table from stored rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from editors import ALONE, DEFAULT, EDITING
from results import grid

TRUTH = "the truth"
SHOWN = {
    "as measured": "original",
    TRUTH: "true change",
    DEFAULT: "neuron editing, ours",
    EDITING: "neuron editing, printed",
    ALONE: "single pixels",
    "constant shift of neurons": "constant shift",
    "principal components edited": "PCA editing",
    "regularised autoencoder": "regularised autoencoder",
    "GAN": "GAN",
    "ResnetGAN": "ResnetGAN",
    "CycleGAN": "CycleGAN",
}
"""What pictures show, and what it is called there."""

TEXT = """### Digits made bold, and slanted, in the form of Table 1 and Figure 2

8 × 8 pixels. The change is learned from digits 0 to 4, half of them as they are and half changed by a known
transform, and made to digits 5 to 9, whose true change is known. Networks for images have 64, 128 and 256 filters of
size 4 at every second pixel; GANs and the autoencoder with an MMD have the dense layers of the paper's other
experiments. *Fréchet distance* is that between Gaussians fitted to the pixels (there is no Inception network here),
*pixel error* the root of the mean square against the true change of the same image. `--figures FOLDER` draws them
side by side; `--images FOLDER --attributes FILE` is the paper's change of faces, for those who have CelebA.

By the distance between distributions ours is the nearest, pixel by pixel the percentile edit of single pixels is. The
published form comes behind both. The GANs, which were trained as those above, come near none of these, on so few
images."""
METRICS = {"frechet": "Fréchet distance", "rmse": "pixel error"}


def markdown(rows: Sequence[dict]) -> str:
    """Write the table: means and standard deviations over seeds, for every change."""
    tasks = dict.fromkeys(row["task"] for row in rows)
    columns = [(task, metric) for task in tasks for metric in METRICS if metric in rows[0]]
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        each = [
            np.array([row[metric] for row in rows if (row["method"], row["task"]) == (method, task)])
            for task, metric in columns
        ]
        cells = [
            f"{values.mean():.3f}" + (f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else "")
            for values in each
        ]
        name = f"**{method}**" if method in (EDITING, DEFAULT) else method
        lines.append([name, *cells])
    return grid(["", *(f"{task}: {METRICS[metric]}" for task, metric in columns)], lines)
