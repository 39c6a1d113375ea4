"""Mass cytometry, day 1 moved onto day 2, in the form of the GAN paper's figures: distances, and what they cost.

python experiments/gan/run.py [--pairs cytof-person1] [--methods GAN] [--seeds 6] [--figures FOLDER] fits methods to
one half of the cells of each day and scores them by the other half, writes experiments/results/gan.json, prints a
table, and draws Figures 2 and 3. The four pairs, with the methods of the figures, go to --out gan_pairs.json.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

# Small decompositions wait longer for their threads than they compute.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))

import jax
import numpy as np
import tyro
from anndata import AnnData

import jbc
from experiments._lib import program, results
from experiments.gan import figures, page
from experiments.gan.figures import Drawn
from experiments.gan.names import PAIRS
from experiments.gan.scores import TARGET, Scored, bandwidths, days, score, score_target
from jbc.cohort import Cohort, fold_weights
from jbc.data import cache
from jbc.methods import presets
from jbc.methods.base import Fitted, Method, Trainable
from jbc.methods.inference import apply
from jbc.methods.inputs import Inputs
from jbc.methods.prepare import Mixtures
from jbc.methods.rules import changed
from jbc.methods.settings import Route, Training
from jbc.train import fit, fit_lanes


@dataclasses.dataclass(frozen=True)
class Options:
    """Move the cells of one day onto those of another."""

    # Lanes are shared out evenly among the devices, so that even numbers of seeds are fast.

    pairs: tuple[str, ...] = PAIRS[:2]  # of days
    methods: tuple[str, ...] = ()  # that are compared; by default all
    seeds: int = 6  # halves of the cells, each with a training of its own
    slow_seeds: int = 2  # of published methods that take minutes
    rows: int = 256  # of each day in a draw, as in the paper
    draws: int = 100  # as in the paper
    cell_epochs: int = 500  # of the published joint calibration, which had 2000
    steps: int | None = None  # stop every training there, to see whether everything runs
    figures: Path | None = None  # where the figures go
    out: Path = results.RESULTS / "gan.json"  # where the rows go


class Version(NamedTuple):
    """A method, what is looked at of it, whether it reads intensities instead of logarithms, whether it is slow, what
    prepares the rows for it, and whether mixtures of the days are estimated: what is published does not."""

    method: Method | None
    views: tuple[str, ...] = ("transform",)
    raw: bool = False
    slow: bool = False
    first: Method | None = None
    composition: Mixtures = "estimate"


def versions(cell_epochs: int) -> dict[str, Version]:
    """Return what is compared; all else than the direction and the logarithm, which is taken before, is as named."""
    joint, published = ("transform", "encode"), presets.joint("cytof", training=Training(epochs=cell_epochs))
    equal: dict[str, Any] = {"composition": "assume-equal"}
    printed = presets.adversarial("paper", inputs=Inputs(log=False), route=Route(target=TARGET))
    return {
        "measured": Version(None),
        "Standardise": Version(jbc.Standardise()),
        "QuantileMap": Version(jbc.QuantileMap()),
        "MMD-ResNet": Version(jbc.MMDResNet(route=Route(target=TARGET))),
        "MMD-ResNet, zeros filled in": Version(
            jbc.MMDResNet(route=Route(target=TARGET)), slow=True, first=jbc.DenoisingAutoencoder()
        ),
        "MMD-ResNet, as printed": Version(
            presets.mmd_resnet(inputs=Inputs(log=False), route=Route(target=TARGET)), slow=True, **equal
        ),
        "GAN": Version(jbc.AdversarialCorrection(route=Route(target=TARGET))),
        "GAN, as printed": Version(printed, **equal),
        "GAN, as printed, zeros filled in": Version(
            printed, slow=True, first=jbc.DenoisingAutoencoder(), **equal
        ),
        "GAN, as printed, averaged": Version(
            changed(printed, {"training.linear_decay": True, "training.ema_decay": 0.99}), **equal
        ),
        "joint": Version(jbc.JointCalibration(inputs=Inputs(log=False)), joint),
        "joint, as printed": Version(published, joint, raw=True, slow=True, **equal),
        "joint, as printed, of logarithms": Version(published, joint, slow=True, **equal),
    }


def logarithms(adata: AnnData) -> Cohort:
    """Return log(1 + x) of the intensities, as cytometry is prepared for such methods."""
    obs = adata.obs
    return Cohort.from_arrays(
        np.log1p(np.asarray(adata.X)), obs["domain"].astype(str), label=obs["label"].astype(str)
    )


def random_halves(cohort: Cohort, seeds: int) -> np.ndarray:
    """Return a half of the cells of every day for each seed, as row weights (seeds, n)."""
    cells = np.arange(len(cohort.x))
    return np.stack([fold_weights(cells, cohort.domain, 2, seed)[0] for seed in range(seeds)])


def correct(version: Version, cohort: Cohort, halves: np.ndarray, steps: int | None) -> list[np.ndarray]:
    """Fit to every half; return all rows, (seeds, n, d), for every view. The labels of day 2 are hidden."""
    x = np.asarray(cohort.x)
    if version.method is None:
        return [np.broadcast_to(x, (len(halves), *x.shape))]
    if version.first is not None:
        (prepared,) = correct(Version(version.first), cohort, halves, steps)
        then = version._replace(first=None)
        each = [
            correct(then, dataclasses.replace(cohort, x=x), half[None], steps)
            for x, half in zip(prepared, halves, strict=True)
        ]
        return [np.concatenate(views) for views in zip(*each, strict=True)]
    if version.raw:
        cohort = dataclasses.replace(cohort, x=np.expm1(x))
    hidden = cohort.mask_labels(TARGET)
    cohorts = [hidden.weigh_rows(half) for half in halves]
    fits = fit_all(version.method, cohorts, steps, version.composition)
    found = []
    for view in version.views:
        out = np.stack(
            [np.asarray(apply(version.method, view, each, cohort.x, cohort.domain)) for each in fits]
        )
        logs = version.raw and view == "transform"
        found.append(np.sign(out) * np.log1p(np.abs(out)) if logs else out)
    return found


def fit_all(
    method: Method, cohorts: Sequence[Cohort], steps: int | None, composition: Mixtures = "estimate"
) -> list[Fitted]:
    """Return a method fitted to every cohort; those that are trained are lanes of one program."""
    keys = jax.random.split(jax.random.key(0), len(cohorts))
    if not isinstance(method, Trainable):
        pairs = zip(cohorts, keys, strict=True)
        return [fit(method, cohort, key, composition=composition).fitted for cohort, key in pairs]
    lanes = fit_lanes(method, cohorts, keys, steps=steps, composition=composition)
    lanes = jax.device_get(lanes.fitted)
    return [jax.tree.map(lambda leaf, k=k: leaf[k], lanes) for k in range(len(cohorts))]


def compare(name: str, cohort: Cohort, options: Options) -> tuple[list[dict], dict[str, list[Scored]]]:
    """Compare versions of one pair of days; return the rows, and all scores, a list over seeds."""
    ladder, found = bandwidths(cohort), {}
    for label, version in versions(options.cell_epochs).items():
        if label not in (*options.methods, "measured") and options.methods:
            continue
        halves = random_halves(
            cohort, min(options.seeds, options.slow_seeds) if version.slow else options.seeds
        )
        began = time.perf_counter()
        for view, tables in zip(version.views, correct(version, cohort, halves, options.steps), strict=True):
            called = label if len(version.views) == 1 else f"{label}: {page.VIEWS[view]}"
            found[called] = [
                score(x, days(cohort, half), ladder, seed, options.rows, options.draws)
                for seed, (x, half) in enumerate(zip(tables, halves, strict=True))
            ]
        print(f"{name}, {label}: {time.perf_counter() - began:.0f} s", flush=True)
    best = [
        score_target(np.asarray(cohort.x), days(cohort, half), each.values["floor"])
        for half, each in zip(random_halves(cohort, options.seeds), found["measured"], strict=True)
    ]
    values = {called: [each.values for each in one] for called, one in found.items()}
    return list(summary_rows(name, values | {page.ITSELF: best})), found


def summary_rows(dataset: str, found: dict[str, list[dict[str, float]]]) -> Iterator[dict]:
    """Yield the rows: means and deviations over seeds."""
    for method, seeds in found.items():
        for metric in seeds[0]:
            each = np.array([values[metric] for values in seeds])
            yield {
                "dataset": dataset, "method": method, "metric": metric, "mean": round(float(each.mean()), 4),
                "sd": round(float(each.std(ddof=1)), 4) if len(each) > 1 else None, "seeds": len(each),
            }  # fmt: skip


def main() -> None:
    """Compare the pairs that are asked for."""
    options = tyro.cli(Options)
    program.known(options.pairs, PAIRS, "--pairs")
    program.known(options.methods, versions(1), "--methods")
    with contextlib.suppress(RuntimeError):  # a process that has begun to compute keeps its devices
        jax.config.update("jax_num_cpu_devices", os.cpu_count())
    cache.keep_compiled()
    rows, drawn = [], {}
    for name in options.pairs:
        cohort = logarithms(jbc.datasets.load(name))
        more, scores = compare(name, cohort, options)
        rows += more
        drawn[name] = Drawn(scores, cohort, days(cohort, random_halves(cohort, 1)[0]))
        results.write(options.out, results.describe_run(options), rows)
    if options.figures is not None:
        figures.pictures(options.figures, drawn)
        figures.boxes(options.figures, drawn)
    print(page.markdown(rows), flush=True)


if __name__ == "__main__":
    program.run(main)
