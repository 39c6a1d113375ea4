"""What was tried on MI and rejected: none of it is part of the default.

A plain network, shaped and regularised like a classifier of the default, learns from the standardised inputs. Each
line of the table gives it other inputs, or one thing that uses the rows without labels; the last ones change what
becomes of its probabilities. experiments/joint/run.py trains them: --tables tried.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh
from scipy.stats import norm, rankdata

from experiments.joint.tasks import Task, standardised
from jbc.cohort import Cohort
from jbc.cohort.sampling import Draw, take
from jbc.losses import kernel
from jbc.methods.inputs import Inputs
from jbc.metrics import unit_medians
from jbc.nets import Classifier, PlayerState
from jbc.numerics.noise import jitter
from jbc.train.lanes import each_lane, mesh_of

WIDTHS = (0.5, 1.0, 2.0)


@dataclasses.dataclass(frozen=True)
class Trial:
    """A network on some inputs; the weights are of terms that use unlabelled rows."""

    inputs: Literal["ratio", "total", "log", "rank", "ratio and rank"] = "ratio"
    pseudo: float = 0.0  # cross-entropy with confident predictions of the averaged network, on targets
    entropy: float = 0.0  # of predictions on targets
    consistent: float = 0.0  # squared difference from the averaged network, everywhere
    align: float = 0.0  # MMD of the standardised outputs of a class, with predicted classes on targets
    mixed: bool = False  # convex mixtures of rows and of their labels
    confident: float = 0.8
    rows: int = 128
    steps: int = 400


PLAIN = "the plain network"
TRIALS: dict[str, Trial] = {
    PLAIN: Trial(),
    "inputs: logarithms, z-scored": Trial("log"),
    "inputs: share of the total, logarithm, z-scored": Trial("total"),
    "inputs: normal scores of the ranks in the plate": Trial("rank"),
    "inputs: log-ratios and normal scores together": Trial("ratio and rank"),
    "mixtures of rows": Trial(mixed=True),
    "pseudo-labels on the target": Trial(pseudo=0.5),
    "low entropy on the target": Trial(entropy=0.3),
    "consistency with the averaged network": Trial(consistent=3.0),
    "alignment of each class, by pseudo-labels": Trial(align=1.0),
}


def shaped(cohort: Cohort, inputs: str) -> np.ndarray:
    """Return the inputs of a trial, standardised in every domain."""
    x, domain = np.asarray(cohort.x), np.asarray(cohort.domain)
    if inputs == "ratio and rank":
        return np.concatenate([shaped(cohort, "ratio"), shaped(cohort, "rank")], axis=1)
    if inputs == "rank":
        each = [x[domain == g] for g in range(len(cohort.domains.count))]
        return np.concatenate([norm.ppf((rankdata(rows, axis=0) - 0.5) / len(rows)) for rows in each])
    if inputs == "total":
        x = np.maximum(x, 0)
        x = x / x.sum(axis=1, keepdims=True) * np.median(x.sum(axis=1))
    level = "remove" if inputs == "ratio" else "keep"
    return standardised(cohort, x, Inputs(log=True, level=level, scale="domain"))


def outputs(trial: Trial, cohort: Cohort, parts: Sequence[Task], seeds: int) -> np.ndarray:
    """Train a trial on all tasks with all seeds, as lanes of one program; return probabilities of all rows."""
    table = dataclasses.replace(cohort, x=shaped(cohort, trial.inputs).astype(np.float32)).without_names()
    known = np.stack([np.isin(cohort.names.domains, part.sources) for part in parts]).astype(np.float32)
    keys = jnp.tile(jax.random.split(jax.random.key(0), seeds), len(parts))
    known = jnp.repeat(jnp.asarray(known), seeds, axis=0)
    logits = _lanes(trial, mesh_of(len(keys)), (keys, known), table)
    positive = np.asarray(jax.nn.sigmoid(logits)).reshape(len(parts), seeds, -1)
    return np.stack([1 - positive, positive], axis=-1)


@partial(jax.jit, static_argnums=(0, 1))
def _lanes(trial: Trial, mesh: Mesh, lanes: tuple[Array, Array], cohort: Cohort) -> Array:
    return each_lane(partial(_one, trial), mesh, lanes, cohort)


def _one(trial: Trial, lane: tuple[Array, Array], cohort: Cohort) -> Array:
    """Train once, and return the logits of all rows; ``known`` is 1 for domains whose labels may be used."""
    key, known = lane
    draw, net = Draw(rows=trial.rows), Classifier("residual", 0.5, len(known), 1)
    tx = optax.chain(optax.add_decayed_weights(1e-4), optax.scale_by_adam())
    player = PlayerState.of_net(
        net, tx, jax.random.fold_in(key, 0), jnp.asarray(cohort.x)[:2], ema_decay=0.99
    )
    plan = draw.plan(jax.random.fold_in(key, 1), cohort, 0, trial.steps)

    def step(player: PlayerState, at: tuple[Array, Array]) -> tuple[PlayerState, None]:
        number, index = at
        rows, drawn = take(cohort, index, draw), jax.random.fold_in(key, number + 2)
        loss = partial(
            _loss, trial, net, player.ema_params, rows.x, rows.label, known, drawn, number / trial.steps
        )
        return player.update(jax.grad(loss)(player.params), 1e-3), None

    player, _ = jax.lax.scan(step, player, (jnp.arange(trial.steps), plan))
    return net.apply({"params": player.ema_params}, jnp.asarray(cohort.x))[:, 0]


def _loss(
    trial: Trial,
    net: Classifier,
    slow: Any,
    x: Array,
    label: Array,
    known: Array,
    key: Array,
    progress: Array,
    params: Any,
) -> Array:
    """Return the sum of a trial's terms; those that use predictions start after a third of the training."""
    keys, target, late = jax.random.split(key, 3), 1 - known, progress > 1 / 3
    truth = label.astype(jnp.float32)
    if trial.mixed:
        share = jax.random.beta(keys[2], 0.4, 0.4, truth.shape)
        truth = share * truth + (1 - share) * jnp.roll(truth, 1, axis=1)
        x = share[..., None] * x + (1 - share[..., None]) * jnp.roll(x, 1, axis=1)
    seen = x + 0.3 * jitter(keys[0], x.shape)
    logits = net.apply({"params": params}, seen, train=True, rngs={"dropout": keys[1]})[..., 0]
    total = _over(_entropy(logits, truth), known)
    guess = jax.nn.sigmoid(net.apply({"params": slow}, x)[..., 0])
    if trial.pseudo:
        sure = jnp.abs(guess - 0.5) > trial.confident - 0.5
        total += trial.pseudo * late * _over(_entropy(logits, guess > 0.5) * sure, target)
    if trial.entropy:
        total += trial.entropy * late * _over(_entropy(logits, jax.nn.sigmoid(logits), 0.0), target)
    if trial.consistent:
        total += trial.consistent * late * jnp.square(jax.nn.sigmoid(logits) - guess).mean()
    if trial.align:
        classes = jnp.where(known[:, None] > 0, truth, guess)
        total += trial.align * late * _class_mmd(logits, classes)
    return total


def _entropy(logits: Array, target: Array, smoothing: float = 0.1) -> Array:
    return optax.sigmoid_binary_cross_entropy(logits, (1 - smoothing) * target + smoothing / 2)


def _over(each: Array, domains: Array) -> Array:
    """Return the mean over the rows of some domains."""
    return (each.mean(axis=1) * domains).sum() / jnp.maximum(domains.sum(), 1)


def _class_mmd(logits: Array, classes: Array) -> Array:
    """Return the mean MMD² between the logits of every pair of domains, class by class."""
    flat = logits.ravel()
    spread = jax.lax.stop_gradient(flat.std()) + 1e-6
    values = kernel(jnp.square((flat[:, None] - flat) / spread), WIDTHS).reshape(*logits.shape, *logits.shape)
    total = jnp.zeros(())
    for weight in (classes, 1 - classes):
        weight = weight / jnp.maximum(weight.sum(axis=1, keepdims=True), 1e-6)
        mean = jnp.einsum("gi,gihj,hj->gh", weight, values, weight)
        own = jnp.diagonal(mean)
        pairs = len(own) * (len(own) - 1)
        total += (own[:, None] + own - 2 * mean).sum() / pairs / 2
    return total


def moved_threshold(cohort: Cohort, part: Task, probability: np.ndarray) -> np.ndarray:
    """Return probabilities for the class shares of the target, which expectation-maximisation finds without labels.

    Saerens, Latinne and Decaestecker, Adjusting the outputs of a classifier to new a priori probabilities, 2002.
    """
    domain, out = np.asarray(cohort.domain), probability.copy()
    code = [cohort.names.domains.index(name) for name in part.sources]
    before = np.bincount(cohort.label[np.isin(domain, code)], minlength=probability.shape[1])
    before = before / before.sum()
    for name in part.targets:
        rows = domain == cohort.names.domains.index(name)
        now = before
        for _ in range(100):
            odds = probability[rows] * now / before
            odds /= odds.sum(axis=1, keepdims=True)
            now = odds.mean(axis=0)
        out[rows] = odds
    return out


def smoothed(cohort: Cohort, part: Task, probability: np.ndarray) -> np.ndarray:
    """Return for every row the median over its unit."""
    del part
    return unit_medians(probability, cohort.unit)


AFTERWARDS: dict[str, Callable[[Cohort, Task, np.ndarray], np.ndarray]] = {
    "threshold for the shares of classes in the target": moved_threshold,
    "every row gets the median of its unit": smoothed,
}


def after(name: str, cohort: Cohort, parts: Sequence[Task], probability: np.ndarray) -> np.ndarray:
    """Return the probabilities (tasks, seeds, rows, classes) of a trained network, changed afterwards."""
    change = AFTERWARDS[name]
    return np.stack(
        [
            np.stack([change(cohort, part, seed) for seed in of])
            for part, of in zip(parts, probability, strict=True)
        ]
    )
