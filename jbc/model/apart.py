"""Whether a source has arrived at its target, by rows that no discriminator has learned. Host code."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from jbc.cohort import Cohort
from jbc.cohort.roles import SOURCE, TARGET
from jbc.methods.base import Fitted, Method
from jbc.methods.inference import apply

ROWS = 300  # of every domain


def told_apart(method: Method, fitted: Fitted, cohort: Cohort) -> float:
    """Return which share of rows of source and target has its nearest row in its own domain; 0.5 where both are one.

    Of equally many rows of both, corrected, where rows count by what both domains share. The mean over the sources.
    """
    draw, role = np.random.default_rng(0), np.asarray(cohort.role)
    where, weight = np.asarray(cohort.domain), np.asarray(cohort.weight, float)
    target, held, shares = int(np.argmax(role == TARGET)), cohort.composition, []
    for source in np.flatnonzero(role == SOURCE):
        if held is not None and not held.moves[source]:
            continue
        pair, chosen = np.array([source, target]), []
        for own, other in (pair, pair[::-1]):
            rows = np.flatnonzero((where == own) & (weight > 0))
            counts = weight[rows]
            if held is not None:
                member = jnp.asarray(held.membership)[rows]
                both = held.pair_weights(jnp.stack([member, member]), jnp.array([own, other]))
                counts = counts * np.asarray(both)[0, 1]
            if counts.any():
                chosen.append(draw.choice(rows, ROWS, p=counts / counts.sum()))
        if len(chosen) == len(pair):
            few = min(len(np.unique(rows)) for rows in chosen)
            rows = np.concatenate([draw.choice(np.unique(rows), few, replace=False) for rows in chosen])
            moved = apply(method, "transform", fitted, np.asarray(cohort.x)[rows], where[rows])
            shares.append(_nearest_is_own(np.asarray(moved, float), few))
    return float(np.mean(shares)) if shares else 0.5


def _nearest_is_own(x: np.ndarray, few: int) -> float:
    """Return which share of the first ``few`` rows and of the others has its nearest row among its own."""
    side = np.repeat([0, 1], few)
    scale = np.sqrt((x[:few].var(axis=0) + x[few:].var(axis=0)) / 2)
    z = x / np.where(scale > 0, scale, 1)
    z -= z.mean(axis=0)
    square = np.square(z).sum(axis=1)
    away = square[:, None] + square - 2 * z @ z.T
    np.fill_diagonal(away, np.inf)
    return float(np.mean(side[away.argmin(axis=1)] == side))
