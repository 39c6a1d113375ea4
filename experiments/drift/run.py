"""Drift along a run: held-out controls of MTBLS79 and of simulated runs, and how far samples are from the truth.

python experiments/drift/run.py [--seeds 10] [--methods Drift] [--quick] leaves out a fifth of the controls of every
batch at a time, fits to all other injections, and writes experiments/results/drift.json. MTBLS79 lies below JBC_DATA.
"""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import tyro

import jbc
from experiments._lib import program, results
from experiments.drift import page, worlds
from experiments.drift.methods import Version, versions
from experiments.drift.worlds import Measured
from jbc.cohort import Cohort
from jbc.data import cache
from jbc.errors import InputWarning
from jbc.interfaces.model_selection import hold_out_controls


@dataclasses.dataclass(frozen=True)
class Options:
    """Correct runs, and look at controls that were held out."""

    methods: tuple[str, ...] = ()  # that are compared; by default all
    seeds: int = 10  # simulated runs
    features: int = 100  # of a simulated run
    folds: int = 5  # of the controls of every batch
    quick: bool = False  # two small simulated runs, to see whether everything runs
    out: Path = results.RESULTS / "drift.json"  # where the rows go


def corrected(version: Version, run: Measured, folds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the controls, each corrected by a fit that has not seen it; and all rows by a fit to all of them."""
    if version.method is None:
        return run.x[run.control], run.x
    x = np.log(run.x) if version.log else run.x
    rows = {"control": None if version.blind else run.control, "order": run.order}
    fitted = ~run.control if version.blind else np.full(len(x), True)
    some = {name: None if each is None else each[fitted] for name, each in rows.items()}
    model = jbc.fit(
        version.method, Cohort.from_arrays(x[fitted], run.domain[fitted], **some), composition="assume-equal"
    )
    every = model.transform(x, run.domain, order=run.order)
    held = every[run.control]
    if not version.blind:
        given = {"control": run.control, "order": run.order, "folds": folds}
        held = hold_out_controls(version.method, x, run.domain, **given, composition="assume-equal")[1]
    return (np.exp(held), np.exp(every)) if version.log else (held, every)


def scores(held: np.ndarray, every: np.ndarray, run: Measured) -> dict[str, float]:
    """Return medians over features: of the RSD of held-out controls, and of their D-ratio; and what is left."""
    rsd = jbc.metrics.rsd(held)
    samples = every[~run.control]
    marked = np.arange(len(held) + len(samples)) < len(held)
    ratio = jbc.metrics.d_ratio(np.vstack([held, samples]), marked)
    found = {
        "RSD": 100 * np.median(rsd),
        "RSD < 20 %": 100 * (rsd < 0.2).mean(),
        "D-ratio": 100 * np.median(ratio),
    }
    if run.clean is not None:
        left = np.log(np.maximum(samples, 1e-3)) - np.log(run.clean[~run.control])
        left -= np.median(left, axis=0)
        found["error"] = np.sqrt(np.median(np.square(left), axis=0)).mean()
    return {name: float(value) for name, value in found.items()}


def compare(dataset: str, runs: Sequence[Measured], options: Options) -> list[dict]:
    """Return a row for every method and score."""
    rows = []
    for name, version in versions().items():
        if options.methods and name not in options.methods:
            continue
        with warnings.catch_warnings():
            # They tell of rows beyond the controls, once for every fit.
            warnings.simplefilter("ignore", InputWarning)
            each = [scores(*corrected(version, run, options.folds), run) for run in runs]
        for metric in each[0]:
            values = [one[metric] for one in each]
            sd = round(float(np.std(values, ddof=1)), 4) if len(values) > 1 else None
            row = {
                "dataset": dataset,
                "method": name,
                "metric": metric,
                "mean": round(float(np.mean(values)), 4),
            }
            rows.append(row | {"sd": sd, "seeds": len(values)})
    return rows


def main() -> None:
    """Compare on all runs."""
    options = tyro.cli(Options)
    program.known(options.methods, list(versions()), "--methods")
    cache.keep_compiled()
    if options.quick:
        options = dataclasses.replace(options, seeds=2, features=20)
    rows = []
    if options.quick or worlds.found():
        rows += [] if options.quick else compare("mtbls79", [worlds.mtbls79()], options)
    else:
        print("MTBLS79 is not below JBC_DATA: it is skipped, and never downloaded.")
    runs = [worlds.simulated(seed, options.features) for seed in range(options.seeds)]
    rows += compare("simulated", runs, options)
    results.write(options.out, results.describe_run(options), rows)
    print(page.markdown(rows), flush=True)


if __name__ == "__main__":
    program.run(main)
