"""What missing values cost a classifier of hidden plates: by jbc as they are, and after imputation.

python experiments/missing/run.py [--seeds 3] removes values of three plates of mass spectra (MI), hides the labels of
each plate in turn, trains JointCalibration, writes experiments/results/missing.json and prints a table. --quick is
for tests, on a small world.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Literal, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import tyro

import jbc
from experiments._lib import program, results
from experiments.missing import page
from jbc.data import cache, simulate_plates
from jbc.metrics import accuracy

Pattern = Literal["random", "low", "plate"]
Way = Literal["as they are", "mean", "half of the minimum", "nearest rows"]
NEIGHBOURS = 5


@dataclasses.dataclass(frozen=True)
class Options:
    """Remove values, train, and classify hidden plates."""

    patterns: tuple[Pattern, ...] = ("random", "low", "plate")  # which values are removed
    shares: tuple[float, ...] = (0.05, 0.2, 0.5)  # of all values
    ways: tuple[Way, ...] = ("as they are", "mean", "half of the minimum", "nearest rows")
    seeds: int = 3
    steps: int | None = None  # of the training
    quick: bool = False
    out: Path = results.RESULTS / "missing.json"  # where the rows go


class Data(NamedTuple):
    """Intensities, and what is known of the rows."""

    x: np.ndarray
    plate: np.ndarray
    label: np.ndarray
    unit: np.ndarray


def load(quick: bool) -> Data:
    """Return the plates."""
    if quick:
        world = simulate_plates(seed=0)
        return Data(world.x, world.domain, world.label, world.unit)
    adata = jbc.datasets.load("mi")
    of = (adata.obs[name].astype(str).to_numpy() for name in ("domain", "label", "unit"))
    return Data(np.asarray(adata.X), *of)


def removed(data: Data, pattern: Pattern, share: float, seed: int) -> np.ndarray:
    """Return the measurements with this share of the values removed: of all, of small ones, or by plate.

    Small ones: what is below a limit that is drawn around a quantile of its feature, as of a detector. By plate: of
    every feature, all values of a plate count thrice what others do.
    """
    rng, x = np.random.default_rng(seed), data.x.astype(np.float64)
    if pattern == "low":
        rank = x.argsort(axis=0).argsort(axis=0) / len(x)
        urge = rank + 0.1 * rng.normal(size=x.shape)
    else:
        urge = rng.random(x.shape)
        if pattern == "plate":
            names, code = np.unique(data.plate, return_inverse=True)
            more = rng.integers(len(names), size=x.shape[1])
            urge = np.where(code[:, None] == more, urge / 3, urge)
    lost = urge < np.quantile(urge, share)
    lost[lost.all(axis=1), 0] = False  # a row without any value tells nothing
    return np.where(lost, np.nan, x)


def filled(x: np.ndarray, way: Way) -> np.ndarray:
    """Return rows without gaps: what people do before a correction that takes none."""
    from sklearn.impute import KNNImputer

    if way == "as they are":
        return x
    if way == "nearest rows":
        logs = np.log1p(np.maximum(x, 0))
        return np.expm1(KNNImputer(n_neighbors=NEIGHBOURS).fit_transform(logs))
    column = np.nanmean(x, axis=0) if way == "mean" else np.nanmin(x, axis=0) / 2
    return np.where(np.isnan(x), column, x)


def score(data: Data, x: np.ndarray, target: str, seed: int, steps: int | None) -> tuple[float, np.ndarray]:
    """Return the accuracy on a plate whose labels are hidden, and the corrected rows."""
    hidden = data.plate == target
    label = np.where(hidden, "", data.label)
    cohort = jbc.Cohort.from_arrays(x, data.plate, label=label, unit=data.unit)
    model = jbc.fit(jbc.JointCalibration(), cohort, seed=seed, steps=steps, verbose=False)
    guess = model.predict(x[hidden], data.plate[hidden])
    return accuracy(data.label[hidden], guess), model.transform(x, data.plate)


def away(corrected: np.ndarray, complete: np.ndarray) -> float:
    """Return how far corrected rows are from the complete result where values are kept, in its deviations.

    Of logarithms, the median over features.
    """
    one, other = (np.log1p(np.maximum(table, 0)) for table in (corrected, complete))
    square = np.nanmean(np.square(one - other), axis=0)
    return float(np.median(np.sqrt(square) / np.maximum(other.std(axis=0), 1e-12)))


def compare(data: Data, options: Options) -> list[dict]:
    """Return a row for every pattern, share, and way."""
    plates, rows = np.unique(data.plate).tolist(), []
    pairs = [(target, seed) for seed in range(options.seeds) for target in plates]
    whole = {pair: score(data, data.x, *pair, options.steps) for pair in pairs}

    def add_row(pattern: str, share: float, way: str, found: list[tuple[float, float]]) -> None:
        right = np.array([one for one, _ in found]).reshape(options.seeds, len(plates)).mean(axis=1)
        sd = round(float(right.std(ddof=1)), 4) if options.seeds > 1 else None
        row = {"pattern": pattern, "share": share, "way": way, "accuracy": round(float(right.mean()), 4)}
        apart = round(float(np.mean([distance for _, distance in found])), 4)
        rows.append(row | {"sd": sd, "away": apart, "seeds": options.seeds})
        print(rows[-1], file=sys.stderr, flush=True)

    add_row("none", 0.0, "complete", [(right, 0.0) for right, _ in whole.values()])
    for pattern in options.patterns:
        for share in options.shares:
            holed = [removed(data, pattern, share, seed) for seed in range(options.seeds)]
            for way in options.ways:
                given, found = [filled(x, way) for x in holed], []
                for target, seed in pairs:
                    right, corrected = score(data, given[seed], target, seed, options.steps)
                    kept = np.where(np.isnan(holed[seed]), np.nan, corrected)
                    found.append((right, away(kept, whole[target, seed][1])))
                add_row(pattern, share, way, found)
    return rows


def main() -> None:
    """Compare all ways."""
    options = tyro.cli(Options)
    cache.keep_compiled()
    if options.quick:
        options = dataclasses.replace(options, seeds=1, shares=(0.2,), steps=10)
    rows = compare(load(options.quick), options)
    results.write(options.out, results.describe_run(options), rows)
    print(page.markdown(rows), flush=True)


if __name__ == "__main__":
    program.run(main)
