"""Early stopping where no biology is known: by treatments, or rows, that training does not see."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np

from jbc.cohort import Cohort
from jbc.cohort.groups import shared_treatments
from jbc.cohort.roles import SOURCE, TARGET
from jbc.errors import InputError, listing
from jbc.methods.base import Directed, Fitted, Method, Resolves, can
from jbc.methods.inference import apply
from jbc.metrics.mmd import bandwidth_ladder, mmd
from jbc.metrics.variance import domain_share
from jbc.numerics.linalg import deviations
from jbc.train.early_stopping import Stopping

SHARE, FEWEST, OTHERS = 0.25, 4, 4096
HELD_OUT, ROWS = 0.1, 1000

How = Literal["replicates", "rows"]


def default_criterion(method: Method) -> How:
    """Return how a method stops: with a target by rows, otherwise by replicates."""
    return "rows" if can(method, Directed) else "replicates"


def hold_out(how: str, method: Method, cohort: Cohort) -> tuple[Cohort, Stopping]:
    """Return the cohort to train on, in which what the settings name is found, and when to stop."""
    method, known = method.last, {"replicates": by_replicates, "rows": by_rows}
    if how not in known:
        raise InputError(
            "No such way to stop",
            which=[f"stopping={how!r}"],
            why="It tells what is kept from training, to see when to stop.",
            fix=f"It is {listing(known)}, None, or a jbc.train.Stopping.",
            code="bad-setting",
        )
    seen, stopping = known[how](method, cohort)
    return (method.resolve(seen) if isinstance(method, Resolves) else seen), stopping


def by_replicates(
    method: Method, cohort: Cohort, *, patience: int = 5, seed: int = 0
) -> tuple[Cohort, Stopping]:
    """Stop when domains are least visible among replicates that training does not see.

    The score is minus the share of variance that domains explain within treatments (see
    :func:`jbc.metrics.domain_share`). A quarter of the treatments that domains have in common, the controls aside, is
    kept from training for it; where there are fewer than four, half of the rows of each.

    Parameters
    ----------
    method, cohort
        What is fitted, to what.
    patience
        As for :class:`jbc.train.Stopping`.
    seed
        Seed of the choice.

    Returns
    -------
    tuple
        The cohort to train on, and when to stop.

    Examples
    --------
    >>> from jbc.data.simulate.screen import simulate_screen
    >>> from jbc.methods.wasserstein import WassersteinAlignment
    >>> world = simulate_screen(0, n_treatments=16, n_features=4)
    >>> cohort = Cohort.from_arrays(world.x, world.domain, treatment=world.treatment, control=world.control)
    >>> seen, stopping = by_replicates(WassersteinAlignment(), cohort)
    >>> len(shared_treatments(cohort.cells)), len(shared_treatments(seen.cells))  # eight, and the controls
    (9, 7)
    """
    rng = np.random.default_rng(seed)
    treatment, control = np.asarray(cohort.treatment), np.asarray(cohort.control)
    common = shared_treatments(cohort.cells)
    if not len(common):
        raise InputError(
            "No treatment occurs in two domains",
            why="Replicates in several domains tell when to stop.",
            fix="Pass treatment= or control=, or fit without early stopping.",
            code="nothing-shared",
        )
    free = np.setdiff1d(common, treatment[control])
    if len(free) >= FEWEST:
        hidden = np.isin(treatment, rng.permutation(free)[: round(SHARE * len(free))])
        seen = cohort.drop_treatments(hidden)
    else:
        hidden = np.isin(treatment, common) & _mark_share(cohort, rng, 0.5)
        seen = cohort.weigh_rows(np.where(hidden, 0, cohort.weight))
    others = np.flatnonzero(~hidden & ~np.isin(treatment, common))
    rows = np.sort(np.append(np.flatnonzero(hidden), rng.permutation(others)[:OTHERS]))
    known = np.where(hidden, treatment, -1)[rows]
    validation = np.asarray(cohort.x)[rows], np.asarray(cohort.domain)[rows], known
    return seen, Stopping(partial(_minus_domain_share, method), validation, patience=patience)


def by_rows(method: Method, cohort: Cohort, *, patience: int = 5, seed: int = 0) -> tuple[Cohort, Stopping]:
    """Stop when rows of the sources, that training does not see, look most like such rows of the target.

    For methods that move sources to a target. The score is minus the MMD (:func:`jbc.metrics.mmd`, of features in
    units of their scale in the target) between moved rows of a source and rows of the target, averaged over the
    sources. A tenth of the rows of each, whole units, is kept from training for it; a thousand are looked at.

    Parameters
    ----------
    method, cohort, patience, seed
        As for :func:`by_replicates`.

    Returns
    -------
    tuple
        The cohort to train on, and when to stop.

    Examples
    --------
    >>> from jbc.data.simulate.plates import simulate_shift
    >>> from jbc.methods.mmd_resnet import MMDResNet
    >>> world = simulate_shift(0, n_per_domain=40)
    >>> seen, stopping = by_rows(MMDResNet(), Cohort.from_arrays(world.x, world.domain))
    >>> len(seen.weight), int(seen.weight.sum())
    (80, 72)
    """
    if not isinstance(method, Directed):
        raise InputError(
            "A method without a target has no rows to stop by",
            which=[type(method).__name__],
            why="The score tells how much the moved rows of a source look like rows of the target.",
            fix="Stop by replicates, or fit without early stopping.",
            code="no-target",
        )
    rng, cohort = np.random.default_rng(seed), method.resolve(cohort)
    role, x, domain = (np.asarray(part) for part in (cohort.role, cohort.x, cohort.domain))
    used = np.flatnonzero((role == SOURCE) | (role == TARGET))
    hidden = _mark_share(cohort, rng, HELD_OUT) & np.isin(domain, used)
    if few := np.setdiff1d(used, domain[hidden]).tolist():
        raise InputError(
            "Domains with too few rows to keep some from training",
            which=[cohort.names.domains[g] for g in few],
            why="A tenth of the rows of every source and of the target tells when to stop.",
            fix="Give them ten rows (units) of one treatment at least, or fit without early stopping.",
            code="too-few-rows",
        )
    rows = np.concatenate([rng.permutation(np.flatnonzero(hidden & (domain == g)))[:ROWS] for g in used])
    x, domain = x[rows], domain[rows]
    goal = role[domain] == TARGET
    around = x[goal].var(axis=0, dtype=np.float64)
    scale = deviations(around, np.abs(x[goal]).max(axis=0), x.std(axis=0, dtype=np.float64))
    scale = np.where(scale > 0, scale, np.inf)  # what is constant in all rows has no scale, and tells nothing
    target = x[goal] / scale
    validation = x[~goal], domain[~goal], scale, target, bandwidth_ladder(target)
    seen = cohort.weigh_rows(np.where(hidden, 0, cohort.weight))
    return seen, Stopping(partial(_minus_mmd, method), validation, patience=patience)


def _mark_share(cohort: Cohort, rng: np.random.Generator, share: float) -> np.ndarray:
    """Mark this share of the rows of every cell, whole units, but never all of them."""
    unit, cells, marked = np.asarray(cohort.unit), cohort.cells, np.zeros(len(cohort.x), bool)
    draw = dict(zip(units := np.unique(unit), rng.random(len(units)), strict=True))
    for start, count in zip(cells.offset.tolist(), cells.count.tolist(), strict=True):
        own = np.unique(unit[start : start + count])
        chosen = sorted(own, key=draw.__getitem__)[: int(share * len(own))]
        marked[start : start + count] = np.isin(unit[start : start + count], chosen)
    return marked


def _minus_domain_share(method: Method, fitted: Fitted, validation: Any) -> float:
    x, domain, treatment = validation
    return -domain_share(apply(method, "transform", fitted, x, domain), domain, treatment)


def _minus_mmd(method: Method, fitted: Fitted, validation: Any) -> float:
    x, domain, scale, target, bandwidths = validation
    moved = apply(method, "transform", fitted, x, domain) / scale
    apart = [
        mmd(moved[domain == g], target, rows=ROWS, draws=1, bandwidths=bandwidths) for g in np.unique(domain)
    ]
    return -float(np.mean(apart))
