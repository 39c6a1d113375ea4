"""Early stopping on a score of the fitted model, for one fit or for every lane of many."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.methods.base import Fitted


@dataclasses.dataclass(frozen=True)
class Stopping:
    """Stop when a score has not risen for a while, and keep the best state.

    Attributes
    ----------
    score
        Function of ``(fitted, validation)``; higher is better. Of lanes it gets stacked fitted models and
        returns one score each.
    validation
        Anything the score needs; rows that the training does not see, if the score is to mean something.
    patience
        Evaluations without a rise after which training stops.
    rise
        Smallest rise that counts.

    Examples
    --------
    >>> import jbc
    >>> cohort = jbc.Cohort.from_arrays([[0.0], [1.0], [5.0], [6.0]], list("aabb"))
    >>> never_better = Stopping(score=lambda fitted, validation: 0.0, patience=2)
    >>> method = jbc.MMDResNet(route=jbc.Route(target="b"))
    >>> jbc.fit(method, cohort, steps=40, chunk=4, stopping=never_better).record.stopped
    True
    """

    score: Callable[[Fitted, Any], Any]
    validation: Any = None
    patience: int = 5
    rise: float = 0.0


def initial_best(state: Any, fitted: Fitted, stopping: Stopping) -> dict[str, Any]:
    """Return the record of the best state before any evaluation."""
    score = np.asarray(stopping.score(fitted, stopping.validation), np.float32)
    return {
        "score": np.full_like(score, -np.inf),
        "waited": np.zeros(score.shape, np.int32),
        "state": jax.tree.map(jnp.copy, state),
    }


def update_best(
    best: dict[str, Any], state: Any, fitted: Fitted, stopping: Stopping
) -> tuple[dict[str, Any], bool]:
    """Return the better of a state and the best one, lane by lane, and whether all lanes have run out of patience.

    A lane that has run out keeps its best state, whatever the program goes on to compute for it.
    """
    score = np.asarray(stopping.score(fitted, stopping.validation), np.float32)
    running = best["waited"] < stopping.patience
    better = running & (score > best["score"] + stopping.rise)

    def choose(new: Array, old: Array) -> Array:
        return jnp.where(better.reshape(better.shape + (1,) * (new.ndim - better.ndim)), new, old)

    kept = {
        "score": np.where(better, score, best["score"]),
        "waited": np.where(better, 0, best["waited"] + running).astype(np.int32),
        "state": jax.tree.map(choose, state, best["state"]),
    }
    return kept, out_of_patience(kept, stopping)


def out_of_patience(best: dict[str, Any], stopping: Stopping) -> bool:
    """Return whether no lane has any patience left."""
    return bool((best["waited"] >= stopping.patience).all())
