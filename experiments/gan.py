"""Mass cytometry, day 1 moved onto day 2, in the form of the GAN paper's figures: distances, and what they cost.

python experiments/gan.py [--seeds 6] [--figures FOLDER] fits every method to one half of the cells of each day and
judges it by the other half, writes experiments/results/gan.json, prints a table, and draws Figures 2 and 3.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

# Small decompositions wait longer for their threads than they compute.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import gan_figures
import gan_page
import jax
import numpy as np
import results
import tyro
from anndata import AnnData

import jbc
from jbc import metrics
from jbc.cohort import Cohort, fold_weights
from jbc.data import cache
from jbc.methods import presets
from jbc.methods.base import Fitted, Method, Trainable
from jbc.model.inference import run
from jbc.train import fit, fit_lanes

SOURCE, TARGET = "day 1", "day 2"
DATA = ("cytof-person1", "cytof-person2")


@dataclasses.dataclass(frozen=True)
class Options:
    """Move the cells of one day onto those of another."""

    # Lanes are shared out evenly among the devices, so that even numbers of seeds are fast.

    seeds: int = 6  # halves of the cells, each with a training of its own
    slow_seeds: int = 2  # of published methods that take minutes
    rows: int = 256  # of each day in a draw, as in the paper
    draws: int = 100  # as in the paper
    cell_epochs: int = 500  # of the published joint calibration, which had 2000
    steps: int | None = None  # stop every training there, to see whether everything runs
    figures: Path | None = None  # where the figures go
    out: Path = results.RESULTS / "gan.json"  # where the rows go


class Version(NamedTuple):
    """A method, what is looked at of it, whether it reads intensities instead of logarithms and is slow, and what
    prepares the rows for it."""

    method: Method | None
    views: tuple[str, ...] = ("transform",)
    raw: bool = False
    slow: bool = False
    first: Method | None = None


class Judged(NamedTuple):
    """One version of the rows: its metrics, the MMD of every draw, and the rows in units of its own target rows."""

    values: dict[str, float]
    mmd: np.ndarray
    z: np.ndarray


def versions(cell_epochs: int) -> dict[str, Version]:
    """Return what is compared; all else than the direction and the logarithm, which is taken before, is as named."""
    joint, published = ("transform", "encode"), presets.joint("cytof", epochs=cell_epochs)
    return {
        "measured": Version(None),
        "Standardise": Version(jbc.Standardise()),
        "QuantileMap": Version(jbc.QuantileMap()),
        "MMD-ResNet": Version(jbc.MMDResNet(target=TARGET)),
        "MMD-ResNet, zeros filled in": Version(
            jbc.MMDResNet(target=TARGET), slow=True, first=jbc.DenoisingAutoencoder()
        ),
        "MMD-ResNet, as printed": Version(presets.mmd_resnet(log=False, target=TARGET), slow=True),
        "GAN": Version(jbc.AdversarialCorrection(target=TARGET)),
        "GAN, as printed": Version(presets.adversarial("paper", target=TARGET)),
        "GAN, as printed, averaged": Version(
            presets.adversarial("paper", decay=True, average=0.99, target=TARGET)
        ),
        "GAN of [5]": Version(presets.adversarial("gan", target=TARGET), slow=True),
        "ResnetGAN of [5]": Version(presets.adversarial("resnet-gan", target=TARGET), slow=True),
        "joint": Version(jbc.JointCalibration(log=False), joint),
        "joint, as printed": Version(published, joint, raw=True, slow=True),
        "joint, as printed, of logarithms": Version(published, joint, slow=True),
    }


def logarithms(adata: AnnData) -> Cohort:
    """Return log(1 + x) of the intensities, as cytometry is prepared for such methods."""
    obs = adata.obs
    return Cohort.from_arrays(
        np.log1p(np.asarray(adata.X)), obs["domain"].astype(str), label=obs["label"].astype(str)
    )


def halved(cohort: Cohort, seeds: int) -> np.ndarray:
    """Return a half of the cells of every day for each seed, as row weights (seeds, n)."""
    cells = np.arange(len(cohort.x))
    return np.stack([fold_weights(cells, cohort.domain, 2, seed)[0] for seed in range(seeds)])


def corrected(version: Version, cohort: Cohort, halves: np.ndarray, steps: int | None) -> list[np.ndarray]:
    """Fit to every half; return all rows, (seeds, n, d), for every view. The labels of day 2 are hidden."""
    x = np.asarray(cohort.x)
    if version.method is None:
        return [np.broadcast_to(x, (len(halves), *x.shape))]
    if version.first is not None:
        (prepared,) = corrected(Version(version.first), cohort, halves, steps)
        then = version._replace(first=None)
        each = [
            corrected(then, dataclasses.replace(cohort, x=x), half[None], steps)
            for x, half in zip(prepared, halves, strict=True)
        ]
        return [np.concatenate(views) for views in zip(*each, strict=True)]
    if version.raw:
        cohort = dataclasses.replace(cohort, x=np.expm1(x))
    hidden = cohort.hide(TARGET)
    fits = fitted(version.method, [hidden.reweight(half) for half in halves], steps)
    found = []
    for view in version.views:
        out = np.stack(
            [np.asarray(run(version.method, view, each, cohort.x, cohort.domain)) for each in fits]
        )
        logs = version.raw and view == "transform"
        found.append(np.sign(out) * np.log1p(np.abs(out)) if logs else out)
    return found


def fitted(method: Method, cohorts: Sequence[Cohort], steps: int | None) -> list[Fitted]:
    """Fit a method to every cohort, those with steps as lanes of one program."""
    keys = jax.random.split(jax.random.key(0), len(cohorts))
    if not isinstance(method, Trainable):
        return [fit(method, cohort, key).fitted for cohort, key in zip(cohorts, keys, strict=True)]
    lanes = jax.device_get(fit_lanes(method, cohorts, keys, steps=steps).fitted)
    return [jax.tree.map(lambda leaf, k=k: leaf[k], lanes) for k in range(len(cohorts))]


class Days(NamedTuple):
    """The rows of both days that were held out, and those that were seen; and all labels, for judging only."""

    source: np.ndarray
    target: np.ndarray
    seen_source: np.ndarray
    seen_target: np.ndarray
    label: np.ndarray


def days(cohort: Cohort, half: np.ndarray) -> Days:
    names, domain = cohort.names.domains, np.asarray(cohort.domain)
    source, target = (domain == names.index(day) for day in (SOURCE, TARGET))
    seen = np.asarray(half) > 0
    return Days(source & ~seen, target & ~seen, source & seen, target & seen, np.asarray(cohort.label))


def bandwidths(cohort: Cohort) -> np.ndarray:
    """Measure the kernels of a person once: on the cells of day 2, whose features have mean 0 and spread 1."""
    x = np.asarray(cohort.x)[np.asarray(cohort.domain) == cohort.names.domains.index(TARGET)]
    return metrics.bandwidth_ladder((x - x.mean(axis=0)) / spread_of(x))


def spread_of(x: np.ndarray) -> np.ndarray:
    return np.maximum(x.std(axis=0), 1e-6)


def judged(x: np.ndarray, at: Days, ladder: np.ndarray, seed: int, options: Options) -> Judged:
    """Judge rows in units of the target's rows that were seen, so that nothing is gained by shrinking both days."""
    z = (x - x[at.seen_target].mean(axis=0)) / spread_of(x[at.seen_target])
    draws = {"rows": options.rows, "draws": options.draws, "seed": seed, "bandwidths": ladder}
    apart = metrics.mmd(z[at.source], z[at.target], **draws)
    floor = metrics.mmd_within(z[at.target], **draws)
    spread = z[at.source].std(axis=0)
    there = told(z, at.label, at.seen_source, at.target)
    back = told(z, at.label, at.seen_target, at.source)
    values = {
        "MMD": apart.mean(),
        "MMD, seen": metrics.mmd(z[at.seen_source], z[at.seen_target], **draws).mean(),
        "floor": floor.mean(),
        "excess": 1000 * (np.square(apart).mean() - np.square(floor).mean()),
        "AUC within": within(z[at.source], at.label[at.source]),
        "AUC": there["auc"],
        "balanced": there["auc_hard"],
        "balanced, back": back["auc_hard"],
        "least spread": spread.min(),
        "largest spread": spread.max(),
    }
    return Judged({name: float(value) for name, value in values.items()}, apart, z)


def classifier():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))


def told(z: np.ndarray, label: np.ndarray, learned: np.ndarray, asked: np.ndarray) -> dict[str, float]:
    """Learn the label from some rows, and tell it of others."""
    probability = classifier().fit(z[learned], label[learned]).predict_proba(z[asked])
    return metrics.classification_report(label[asked], probability=probability, classes=[0, 1])


def within(z: np.ndarray, label: np.ndarray) -> float:
    """Cross-validate the label, five folds."""
    from sklearn.model_selection import cross_val_predict

    return metrics.auc(label, cross_val_predict(classifier(), z, label, cv=5, method="predict_proba"))


def itself(x: np.ndarray, at: Days, floor: float) -> dict[str, float]:
    """Judge day 2 by itself: the floor of the MMD, and what its own labels would teach."""
    taught = told(x, at.label, at.seen_target, at.target)
    return {
        "MMD": floor,
        "AUC within": within(x[at.target], at.label[at.target]),
        "AUC": taught["auc"],
        "balanced": taught["auc_hard"],
    }


def compared(name: str, cohort: Cohort, options: Options) -> tuple[list[dict], dict[str, list[Judged]]]:
    """Compare all versions of one person; return the rows, and all that was judged, a list over seeds."""
    ladder, found = bandwidths(cohort), {}
    for label, version in versions(options.cell_epochs).items():
        halves = halved(cohort, min(options.seeds, options.slow_seeds) if version.slow else options.seeds)
        began = time.perf_counter()
        for view, tables in zip(
            version.views, corrected(version, cohort, halves, options.steps), strict=True
        ):
            called = label if len(version.views) == 1 else f"{label}: {gan_page.VIEWS[view]}"
            found[called] = [
                judged(x, days(cohort, half), ladder, seed, options)
                for seed, (x, half) in enumerate(zip(tables, halves, strict=True))
            ]
        print(f"{name}, {label}: {time.perf_counter() - began:.0f} s", flush=True)
    best = [
        itself(np.asarray(cohort.x), days(cohort, half), each.values["floor"])
        for half, each in zip(halved(cohort, options.seeds), found["measured"], strict=True)
    ]
    values = {called: [each.values for each in one] for called, one in found.items()}
    return list(rows_of(name, values | {gan_page.ITSELF: best})), found


def rows_of(dataset: str, found: dict[str, list[dict[str, float]]]) -> Iterator[dict]:
    """Summarise over seeds."""
    for method, seeds in found.items():
        for metric in seeds[0]:
            each = np.array([values[metric] for values in seeds])
            yield {
                "dataset": dataset, "method": method, "metric": metric, "mean": round(float(each.mean()), 4),
                "sd": round(float(each.std(ddof=1)), 4) if len(each) > 1 else None, "seeds": len(each),
            }  # fmt: skip


def main() -> None:
    """Compare both persons."""
    options = tyro.cli(Options)
    with contextlib.suppress(RuntimeError):  # a process that has begun to compute keeps its devices
        jax.config.update("jax_num_cpu_devices", os.cpu_count())
    cache.keep_compiled()
    rows, drawn = [], {}
    for name in DATA:
        cohort = logarithms(jbc.datasets.load(name))
        more, drawn[name] = compared(name, cohort, options)
        rows += more
        if options.figures is not None:
            gan_figures.pictures(
                options.figures, name, drawn[name], cohort, days(cohort, halved(cohort, 1)[0])
            )
    if options.figures is not None:
        gan_figures.boxes(options.figures, drawn)
    results.write(options.out, results.about(options), rows)
    print(gan_page.markdown(rows), flush=True)


if __name__ == "__main__":
    main()
