"""A screen, its corrections, and their scores: what the tables of run.py are made of."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import jbc
from experiments.wasserstein.stopping import nested_stopping
from jbc import metrics
from jbc.cohort import Cohort
from jbc.data.simulate.screen import simulate_screen
from jbc.methods.base import Method
from jbc.methods.inputs import Inputs
from jbc.methods.settings import AdversarialTraining
from jbc.numerics.centring import centre, put_back
from jbc.train import fit, snapshots

NEIGHBOURS = {"NSC": False, "NSCB": True}
POSSIBLE = "possible"  # marks scores that count only as many neighbours as there are of the mechanism
STOPPED = ("by neighbours", "by silhouette")
POSITIONS = ("Location", "Center")
# What a screen is corrected by: on the controls of each domain, and in print.
CENTRE, ZSCORE = jbc.Standardise(scale=False, on="controls"), jbc.Standardise(on="controls")
WHITE = jbc.Coral(scale=False, target="identity", centre=False)
CRITICS = jbc.WassersteinAlignment(
    form="pairs",
    fan_in_rate=False,
    pretrain=1000,
    inputs=Inputs(scale="none"),
    training=AdversarialTraining(updates=400, map_rate=1e-3, linear_decay=False),
)
CLOSED = jbc.DistanceAlignment(
    form="pairs",
    fan_in_rate=False,
    inputs=Inputs(scale="none"),
    updates=200,
    learning_rate=1e-3,
    linear_decay=False,
)


class Screen(NamedTuple):
    """A screen: its rows, and what is known about them."""

    x: np.ndarray
    domain: np.ndarray
    treatment: np.ndarray
    compound: np.ndarray
    mechanism: np.ndarray
    control: np.ndarray

    @property
    def about(self) -> dict[str, Any]:
        """What metrics of mechanisms ask for."""
        names = ("treatment", "compound", "mechanism", "domain", "control")
        return {name: getattr(self, name) for name in names}

    def cohort(self, *, shared: bool = True) -> Cohort:
        """Return the cohort, of whose treatments the controls or all shared ones are aligned."""
        treatment = self.treatment if shared else None
        return Cohort.from_arrays(self.x, self.domain, treatment=treatment, control=self.control)


class Corrected(NamedTuple):
    """Several versions of the rows, from which early stopping chooses; or the one of a method without steps."""

    name: str
    versions: list[np.ndarray]
    steps: Sequence[int] = (0,)


class Scores(NamedTuple):
    """What every version scores.

    ``points`` (versions, [draws,] points) by metric; ``without`` (versions, [draws,] compounds) by rule is what the
    versions score without each compound, and empty where there is no choice.
    """

    found: Corrected
    points: dict[str, np.ndarray]
    without: dict[str, np.ndarray]
    compound: np.ndarray


class Stopped(NamedTuple):
    """Scores of the points, ([draws,] points) by metric, with the version that the median compound was scored at."""

    name: str
    x: np.ndarray
    step: int
    points: dict[str, np.ndarray]


def load_wells(name: str) -> tuple[Screen, np.ndarray]:
    """Return BBBC021 without the positions of cells, and the plate of each well."""
    adata = jbc.datasets.load(name)
    adata = adata[:, [each for each in adata.var_names if not any(word in each for word in POSITIONS)]]
    x, obs = np.asarray(adata.X, np.float64), adata.obs
    columns = [obs[name].astype(str).to_numpy() for name in ("domain", "treatment", "compound", "label")]
    moving = np.ptp(x, axis=0) > 0
    screen = Screen(x[:, moving], *columns, control=obs["control"].to_numpy(bool))
    return screen, obs["plate"].astype(str).to_numpy()


def prepare(screen: Screen, plate: np.ndarray) -> dict[str, Screen]:
    """Return wells prepared in two ways: percentiles and factors of every plate, and TVN."""
    ready = {
        "percentiles, factors": correct("", jbc.Percentiles(), screen, plate, encode=True),
        "TVN": correct("", jbc.TypicalVariation(), screen),
    }
    return {
        name: screen._replace(x=centre_on_controls(done.versions[0], screen)) for name, done in ready.items()
    }


def simulate(seed: int) -> tuple[Screen, np.ndarray]:
    """Return a simulated screen, and its rows without the effect of the domains."""
    world = simulate_screen(seed)
    about = map(np.asarray, (world.domain, world.treatment, world.compound, world.label, world.control))
    screen = Screen(world.x.astype(np.float64), *about)
    return screen, world.clean.astype(np.float64)


def correct(
    name: str, method: Method, screen: Screen, domain: np.ndarray | None = None, *, encode: bool = False
) -> Corrected:
    """Return the rows after a method in closed form."""
    domain = screen.domain if domain is None else domain
    model = jbc.Corrector(method).fit(screen.x, domain=domain, control=screen.control)
    x = (model.encode if encode else model.transform)(screen.x, domain=domain)
    return Corrected(name, [np.asarray(x, np.float64)])


def align(
    name: str,
    method: jbc.WassersteinAlignment | jbc.DistanceAlignment,
    screen: Screen,
    points: int,
    *,
    shared: bool,
    seed: int = 0,
) -> Corrected:
    """Train, and return the rows corrected by the maps of several steps; the first version is not corrected."""
    cohort, taken = screen.cohort(shared=shared), {}
    keep = jax.jit(functools.partial(method.finish, cohort=cohort.without_names()))
    steps = method.steps(cohort)
    fit(method, cohort, jax.random.key(seed), chunk=steps // points, hooks=[snapshots(keep, taken)])
    return Corrected(name, versions(method, screen, cohort, taken.values()), (0, *taken))


def versions(method: Any, screen: Screen, cohort: Cohort, fitted: Iterable[Any]) -> list[np.ndarray]:
    """Return the rows as they are, and corrected by all that was fitted."""
    code = np.searchsorted(np.array(cohort.names.domains), screen.domain)
    transform = jax.jit(method.transform)
    # What is fitted is about the rows as the cohort holds them, less what features far from 0 have in common.
    offset = None if cohort.offset is None else np.asarray(cohort.offset)
    x = centre(screen.x, offset)
    found = [x, *(np.asarray(transform(each, x, code)) for each in fitted)]
    return [put_back(each, offset).astype(np.float64) for each in found]


def last_version(corrected: Corrected) -> Corrected:
    """Return the end of the training alone."""
    return corrected._replace(versions=corrected.versions[-1:], steps=corrected.steps[-1:])


def centre_on_controls(x: np.ndarray, screen: Screen) -> np.ndarray:
    """Return rows with the controls at the origin, from which cosines are measured."""
    return x - x[screen.control].mean(axis=0)


def score(found: Corrected, screen: Screen, weight: np.ndarray | None = None) -> Scores:
    """Return the neighbours and the silhouette of every version and draw, and what early stopping needs."""
    points, without = defaultdict(list), defaultdict(list)
    for x in found.versions:
        ask = functools.partial(_ask, centre_on_controls(x, screen), screen, weight)
        for name, far in NEIGHBOURS.items():
            told = ask(metrics.mechanism_knn, across_domains=far)
            some = ask(metrics.mechanism_knn, across_domains=far, count="possible")
            # Pooled neighbours: a mean over points in which each weighs as many neighbours as it has.
            pooled = (
                some.each
                * some.counted
                / np.nanmean(np.where(np.isnan(some.each), np.nan, some.counted), axis=-2, keepdims=True)
            )
            for k in range(told.each.shape[-1]):
                points[f"{name} {k + 1}"].append(told.each[..., k])
                points[f"{name} {k + 1}, {POSSIBLE}"].append(pooled[..., k])
        told = ask(metrics.mechanism_silhouette)
        points["silhouette"].append(told.each)
        if len(found.versions) > 1:
            left = [
                ask(metrics.mechanism_knn, across_domains=far, leave_out="compound").score.mean(axis=-1)
                for far in NEIGHBOURS.values()
            ]
            without[STOPPED[0]].append(sum(left))
            without[STOPPED[1]].append(ask(metrics.mechanism_silhouette, leave_out="compound").score)
    compound = np.unique(told.points.compound, return_inverse=True)[1]
    each, left = ({name: np.stack(values) for name, values in told.items()} for told in (points, without))
    return Scores(found, each, left, compound)


def _ask(x: np.ndarray, screen: Screen, weight: np.ndarray | None, metric: Any, **options: Any) -> Any:
    return metric(x, **screen.about, weight=weight, **options)


def stop_early(scores: Scores) -> list[Stopped]:
    """Return scores by each stopping rule: each compound at the version that is best for the others."""
    found = scores.found
    if not scores.without:
        points = {name: each[0] for name, each in scores.points.items()}
        return [Stopped(found.name, found.versions[0], found.steps[0], points)]
    out = []
    for rule, score in scores.without.items():
        told = {name: nested_stopping(score, each, scores.compound) for name, each in scores.points.items()}
        version = round(float(np.median(told["silhouette"][1])))
        points = {name: each for name, (each, _) in told.items()}
        out.append(Stopped(f"{found.name}, {rule}", found.versions[version], found.steps[version], points))
    return out


def mean_over_points(points: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return means over points: by metric, one number a draw (and version)."""
    return {name: np.nanmean(each, axis=-1) for name, each in points.items()}


def domain_visibility(x: np.ndarray, screen: Screen, forests: int) -> dict[str, np.ndarray]:
    """Return how well classifiers name the domain of a row, within every treatment of two domains or more."""
    look = functools.partial(metrics.domain_accuracy_by_treatment, x, screen.domain, screen.treatment)
    kinds = {"logistic regression": {}, "random forest": {"model": "forest"}, "floor": {"floor": True}}
    return {
        f"domain, {name}": np.array([look(seed=seed, **options).accuracy for seed in range(forests)])
        for name, options in kinds.items()
    }


def screen_row(table: str, method: str, metric: str, value: Any, each: np.ndarray, step: int = 0) -> dict:
    """Return a row: the value of the wells as they are, and mean and deviation over draws."""
    spread = each.std(ddof=1) if len(each) > 1 else 0.0
    return {
        "table": table, "method": method, "step": step, "metric": metric, "value": round(float(value), 4),
        "mean": round(float(each.mean()), 4), "sd": round(float(spread), 4), "draws": len(each),
    }  # fmt: skip
