"""Early stopping where no biology is known: by treatments that training does not see."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from jbc.cohort import Cohort
from jbc.errors import InputError
from jbc.methods.base import Fitted, Method, run
from jbc.metrics.variance import domain_share
from jbc.train.stopping import Stopping

SHARE, FEWEST, OTHERS = 0.25, 4, 4096


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
    >>> from jbc.data.simulate_screen import simulate_screen
    >>> from jbc.methods.wasserstein import WassersteinAlignment
    >>> world = simulate_screen(0, n_treatments=16, n_features=4)
    >>> cohort = Cohort.from_arrays(world.x, world.domain, treatment=world.treatment, control=world.control)
    >>> seen, stopping = by_replicates(WassersteinAlignment(), cohort)
    >>> cohort.shared.blocks, seen.shared.blocks  # eight treatments and the controls, in five domains
    (((9, 5),), ((7, 5),))
    """
    rng = np.random.default_rng(seed)
    treatment, control = np.asarray(cohort.treatment), np.asarray(cohort.control)
    common = np.unique(np.asarray(cohort.shared.cells.treatment))
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
        seen = cohort.forget(hidden)
    else:
        hidden = np.isin(treatment, common) & _half(cohort, rng)
        seen = cohort.reweight(np.where(hidden, 0, cohort.weight))
    others = np.flatnonzero(~hidden & ~np.isin(treatment, common))
    rows = np.sort(np.append(np.flatnonzero(hidden), rng.permutation(others)[:OTHERS]))
    known = np.where(hidden, treatment, -1)[rows]
    told = np.asarray(cohort.x)[rows], np.asarray(cohort.domain)[rows], known
    return seen, Stopping(partial(_score, method), told, patience=patience)


def _half(cohort: Cohort, rng: np.random.Generator) -> np.ndarray:
    """Mark half of the rows of every cell, whole units, but never all of them."""
    unit, cells, marked = np.asarray(cohort.unit), cohort.cells, np.zeros(len(cohort.x), bool)
    lucky = dict(zip(units := np.unique(unit), rng.random(len(units)), strict=True))
    for start, count in zip(cells.offset.tolist(), cells.count.tolist(), strict=True):
        own = np.unique(unit[start : start + count])
        chosen = sorted(own, key=lucky.__getitem__)[: len(own) // 2]
        marked[start : start + count] = np.isin(unit[start : start + count], chosen)
    return marked


def _score(method: Method, fitted: Fitted, told: Any) -> float:
    x, domain, treatment = told
    return -domain_share(run(method, "transform", fitted, x, domain), domain, treatment)
