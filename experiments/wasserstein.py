"""Wasserstein alignment on BBBC021, in the form of the paper's tables, and on a screen that repeats its treatments.

python experiments/wasserstein.py [--tables bbbc021 screen] writes experiments/results/wasserstein_<table>.json and
prints the tables. On BBBC021 ours stops early by leave-one-compound-out: the step at which a compound is scored is
chosen by the others. Cells hold the value of the wells as they are; mean ± sd over draws of the bootstrap.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

# Small decompositions wait longer for their threads than they compute.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import numpy as np
import results
import tyro

import jbc
from jbc import metrics
from jbc.cohort import Cohort
from jbc.data.simulate_screen import simulate_screen
from jbc.methods.base import Method
from jbc.train import fit, snapshots

Table = Literal["bbbc021", "screen"]
NEIGHBOURS = ("NSC", "NSCB")
STOPPED = ("by neighbours", "by silhouette")


@dataclasses.dataclass(frozen=True)
class Options:
    """Compare corrections of screens."""

    tables: tuple[Table, ...] = ("bbbc021", "screen")
    draws: int = 100  # of the bootstrap
    forests: int = 10  # draws for which a random forest looks at the domains, which takes a second each
    worlds: int = 5  # simulated screens; the settings were chosen on another one
    points: int = 20  # snapshots of a training, from which its end is chosen
    out: Path = results.RESULTS  # where the rows go


class Screen(NamedTuple):
    """A screen: its rows, and what is known about them."""

    x: np.ndarray
    domain: np.ndarray
    treatment: np.ndarray
    compound: np.ndarray
    mechanism: np.ndarray
    control: np.ndarray

    @property
    def about(self) -> dict[str, np.ndarray]:
        """What metrics of mechanisms ask for."""
        names = ("treatment", "compound", "mechanism", "domain", "control")
        return {name: getattr(self, name) for name in names}

    def cohort(self, *, shared: bool = True) -> Cohort:
        """Align the controls, or all treatments that are shared."""
        treatment = self.treatment if shared else None
        return Cohort.from_arrays(self.x, self.domain, treatment=treatment, control=self.control)


class Corrected(NamedTuple):
    """Several versions of the rows, of which an early stop chooses; the one of a method without steps."""

    name: str
    versions: list[np.ndarray]


def corrected(
    name: str, method: Method, screen: Screen, *, domain: Any = None, encode: bool = False
) -> Corrected:
    """Fit a method in closed form."""
    domain = screen.domain if domain is None else domain
    model = jbc.Corrector(method).fit(screen.x, domain=domain, control=screen.control)
    x = (model.encode if encode else model.transform)(screen.x, domain=domain)
    return Corrected(name, [np.asarray(x, np.float64)])


def aligned(
    name: str, method: jbc.WassersteinAlignment, screen: Screen, points: int, *, shared: bool
) -> Corrected:
    """Train, and correct the rows by the maps of several steps; the first version is as it was."""
    cohort, taken = screen.cohort(shared=shared), {}
    keep = jax.jit(functools.partial(method.finish, cohort=cohort.nameless()))
    steps = method.steps(cohort)
    fit(method, cohort, jax.random.key(0), chunk=steps // points, hooks=[snapshots(keep, taken)])
    code = np.searchsorted(np.array(cohort.names.domains), screen.domain)
    transform = jax.jit(method.transform)
    x = screen.x.astype(np.float32)
    versions = [np.asarray(transform(fitted, x, code), np.float64) for fitted in taken.values()]
    return Corrected(name, [screen.x, *versions])


def centred(x: np.ndarray, screen: Screen) -> np.ndarray:
    """Put the controls at the origin, from which cosines are measured."""
    return x - x[screen.control].mean(axis=0)


def mechanisms(found: Corrected, screen: Screen, weight: np.ndarray | None) -> list[dict[str, Any]]:
    """Score the neighbours and the silhouette of every draw; stop early where there is a choice."""
    scores: dict[str, list[np.ndarray]] = {name: [] for name in (*NEIGHBOURS, "silhouette")}
    chosen: dict[str, list[np.ndarray]] = {name: [] for name in STOPPED}
    for x in found.versions:
        ask = functools.partial(_ask, centred(x, screen), screen, weight)
        neighbours = [ask(metrics.mechanism_knn, across_domains=far) for far in (False, True)]
        for name, told in zip(NEIGHBOURS, neighbours, strict=True):
            scores[name].append(np.moveaxis(told.each, -1, 0))
        scores["silhouette"].append(ask(metrics.mechanism_silhouette).each)
        if len(found.versions) > 1:
            left = [
                ask(metrics.mechanism_knn, across_domains=far, leave_out="compound").score.mean(axis=-1)
                for far in (False, True)
            ]
            chosen[STOPPED[0]].append(sum(left))
            chosen[STOPPED[1]].append(ask(metrics.mechanism_silhouette, leave_out="compound").score)
    group = np.unique(neighbours[0].points.compound, return_inverse=True)[1]
    stacked = {name: np.stack(each) for name, each in scores.items()}
    if len(found.versions) == 1:
        return [{"method": found.name, "step": 0.0} | {name: each[0] for name, each in stacked.items()}]
    out = []
    for rule, each in chosen.items():
        score, told = np.stack(each), {}
        for name, points in stacked.items():
            wide = np.broadcast_to(score[:, None], (len(score), points.shape[1], *score.shape[1:]))
            told[name], step = metrics.nested_stopping(
                wide if points.ndim > score.ndim else score, points, group
            )
        out.append({"method": f"{found.name}, {rule}", "step": float(np.median(step))} | told)
    return out


def _ask(x: np.ndarray, screen: Screen, weight: np.ndarray | None, metric: Any, **options: Any) -> Any:
    return metric(x, **screen.about, weight=weight, **options)


def averages(told: dict[str, Any]) -> dict[str, np.ndarray]:
    """Average over points: by name of the metric, one number a draw."""
    found = {f"{name} {k + 1}": np.nanmean(told[name][k], axis=-1) for name in NEIGHBOURS for k in range(4)}
    return found | {"silhouette": np.nanmean(told["silhouette"], axis=-1)}


def visibility(x: np.ndarray, screen: Screen, options: Options) -> dict[str, np.ndarray]:
    """Tell how well classifiers name the domain of a row, within every treatment of two domains or more."""
    look = functools.partial(metrics.domain_accuracy_by_treatment, x, screen.domain, screen.treatment)
    return {
        "domain, logistic regression": np.array([look(seed=s).accuracy for s in range(options.forests)]),
        "domain, random forest": np.array(
            [look(seed=s, model="forest").accuracy for s in range(options.forests)]
        ),
        "domain, floor": np.array([look(seed=s, floor=True).accuracy for s in range(options.forests)]),
    }


def compared(table: str, found: Sequence[Corrected], screen: Screen, options: Options) -> list[dict]:
    """Judge every version as it is, and by a bootstrap of the wells of every treatment and domain."""
    draws = metrics.bootstrap_weights(screen.treatment, screen.domain, draws=options.draws)
    rows = []
    for one in found:
        plain, drawn = (mechanisms(one, screen, weight) for weight in (None, draws))
        for vanilla, bootstrap in zip(plain, drawn, strict=True):
            seen = visibility(centred(one.versions[round(vanilla["step"])], screen), screen, options)
            for metric, value in averages(vanilla).items():
                each = averages(bootstrap)[metric]
                rows.append(row(table, vanilla, metric, float(value), each))
            rows += [row(table, vanilla, metric, float(each.mean()), each) for metric, each in seen.items()]
    return rows


def row(table: str, told: dict[str, Any], metric: str, value: float, each: np.ndarray) -> dict:
    """Make a row: the value of the rows as they are, and mean and deviation over draws."""
    named = {"table": table, "method": told["method"], "step": told["step"], "metric": metric}
    spread = each.std(ddof=1) if len(each) > 1 else 0.0
    return named | {
        "value": round(value, 4), "mean": round(float(each.mean()), 4), "sd": round(float(spread), 4),
        "draws": len(each),
    }  # fmt: skip


def wells() -> tuple[Screen, np.ndarray]:
    """Load BBBC021 without the positions of cells, and the plate of each well."""
    adata = jbc.datasets.load("bbbc021")
    adata = adata[:, [name for name in adata.var_names if "Center" not in name]]
    x, obs = np.asarray(adata.X, np.float64), adata.obs
    columns = [obs[name].astype(str).to_numpy() for name in ("domain", "treatment", "compound", "label")]
    moving = np.ptp(x, axis=0) > 0
    return Screen(x[:, moving], *columns, obs["control"].to_numpy(bool)), obs["plate"].astype(str).to_numpy()


def bbbc021(options: Options) -> list[dict]:
    """Correct two preparations of the wells: percentiles and factors of every plate, and TVN."""
    screen, plate = wells()
    prepared = {
        "percentiles, factors": corrected("", jbc.Percentiles(), screen, domain=plate, encode=True),
        "TVN": corrected("", jbc.TypicalVariation(), screen),
    }
    coral = jbc.Coral(scale=False, target="identity", centre=False)
    paper = jbc.WassersteinAlignment(
        form="pairs", scale="none", pretrain=1000, updates=400, transform_rate=1e-3, decay=False
    )
    closed = dataclasses.replace(paper, distance="gaussian")
    rows = []
    for name, done in prepared.items():
        ready = screen._replace(x=centred(done.versions[0], screen))
        found = [
            Corrected(name, [ready.x]),
            corrected(f"{name}, CORAL", coral, ready),
            corrected(f"{name}, z-score per week", jbc.Standardise(on="controls"), ready),
            aligned(f"{name}, ours, critics", paper, ready, options.points, shared=True),
            aligned(f"{name}, ours, Gaussian distance", closed, ready, options.points, shared=True),
        ]
        rows += compared("bbbc021", found, ready, options)
    return rows


def screens(options: Options) -> list[dict]:
    """Correct simulated screens, by their controls alone and by all treatments that they repeat."""
    ours = jbc.WassersteinAlignment(rows=24)
    told: dict[tuple[str, str], list[float]] = {}
    for seed in range(1, options.worlds + 1):
        world = simulate_screen(seed)
        about = world.domain, world.treatment, world.compound, world.label, world.control
        screen = Screen(world.x.astype(np.float64), *about)
        clean = world.clean.astype(np.float64)
        found = [
            Corrected("without the effect of the domains (the truth)", [clean]),
            Corrected("measured", [screen.x]),
            corrected("centred on controls", jbc.Standardise(scale=False, on="controls"), screen),
            corrected("z-score on controls", jbc.Standardise(on="controls"), screen),
            corrected("CORAL on controls", jbc.Coral(), screen),
            last(aligned("ours, controls alone", ours, screen, 1, shared=False)),
            last(aligned("ours, all shared treatments", ours, screen, 1, shared=True)),
            last(aligned("ours, as in print (pairs), all shared treatments",
                         dataclasses.replace(ours, form="pairs"), screen, 1, shared=True)),
        ]  # fmt: skip
        truth = centred(clean, screen)
        for one in found:
            (judged,) = mechanisms(one, screen, None)
            x = centred(one.versions[0], screen)
            seen = metrics.domain_accuracy_by_treatment(x, screen.domain, screen.treatment).accuracy
            away = float(np.linalg.norm(x - truth) / np.linalg.norm(truth))
            values = averages(judged) | {"domain, logistic regression": seen, "distance from the truth": away}
            for metric, value in values.items():
                told.setdefault((one.name, metric), []).append(float(value))
    return [
        row("screen", {"method": name, "step": 0.0}, metric, float(np.mean(each)), np.array(each))
        for (name, metric), each in told.items()
    ]


def last(found: Corrected) -> Corrected:
    """Keep the end of the training."""
    return found._replace(versions=found.versions[-1:])


def markdown(rows: Sequence[dict]) -> str:
    """Write the methods, one a line: the value as it is, and mean ± sd over draws or worlds."""
    names = list(dict.fromkeys(row["metric"] for row in rows))
    lines = ["| | " + " | ".join(names) + " |", "|:--|" + "--:|" * len(names)]
    for method in dict.fromkeys(row["method"] for row in rows):
        of = {row["metric"]: row for row in rows if row["method"] == method}
        simulated = rows[0]["table"] == "screen"
        cells = [
            ("" if simulated else f"{of[n]['value']:.3f}; ") + f"{of[n]['mean']:.3f} ± {of[n]['sd']:.3f}"
            for n in names
        ]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Make the tables that are asked for."""
    options = tyro.cli(Options)
    for table in options.tables:
        rows = bbbc021(options) if table == "bbbc021" else screens(options)
        results.write(options.out / f"wasserstein_{table}.json", results.about(options), rows)
        print(markdown(rows), flush=True)


if __name__ == "__main__":
    main()
