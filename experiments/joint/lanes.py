"""Training of all tasks and seeds of a method as lanes of one program."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.joint import tasks
from experiments.joint.methods import Compared
from experiments.joint.tasks import Scores, Task
from jbc.cohort import Cohort
from jbc.methods.base import Trainable
from jbc.methods.prepare import Mixtures
from jbc.train import fit_lanes, predict_lanes


class Trained(NamedTuple):
    """Probabilities (tasks, seeds, rows, classes), the number of steps, and the time it took."""

    probability: np.ndarray
    steps: int
    seconds: float


def train(
    method: Trainable,
    cohorts: Sequence[Cohort],
    seeds: int,
    steps: int | None = None,
    composition: Mixtures = "estimate",
) -> Trained:
    """Train one method on all tasks (or folds) with all seeds, as lanes of one program; return all rows' classes."""
    began = time.perf_counter()
    keys = jnp.tile(jax.random.split(jax.random.key(0), seeds), len(cohorts))
    lanes = [cohort for cohort in cohorts for _ in range(seeds)]
    run = fit_lanes(method, lanes, keys, steps=steps, composition=composition)
    fitted, taken = run.fitted, run.step
    del run  # the moments of all lanes, which nobody needs any more
    logits = predict_lanes(method, fitted, cohorts[0].x, cohorts[0].domain)
    probability = np.asarray(jax.nn.softmax(logits)).reshape(len(cohorts), seeds, *logits.shape[1:])
    return Trained(probability, taken, time.perf_counter() - began)


def train_and_score(
    compared: Compared, cohort: Cohort, parts: Sequence[Task], seeds: int, steps: int | None
) -> tuple[Scores, Trained]:
    """Train a method on all tasks, or on what it is given of them, and score its targets."""
    if compared.given == "one source":
        parts = tasks.make_tasks(cohort, 1)
    lanes = [part.cohort for part in parts]
    if compared.given == "pooled sources":
        lanes = [tasks.pooled(cohort, part) for part in parts]
    trained = train(compared.method, lanes, seeds, steps, compared.composition)
    if compared.given == "pooled sources":
        trained = trained._replace(probability=trained.probability[:, :, np.argsort(lanes[0].row)])
    return tasks.score(cohort, parts, trained.probability), trained
