"""Tasks of extrapolation, and the methods that are compared on them.

A change is learned from rows of a source and of a target, unpaired, and applied to new rows without a known target.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

import jbc
from experiments.neuron_editing.names import ALONE, DEFAULT, EDITING
from jbc.cohort import Cohort
from jbc.methods import presets
from jbc.methods.base import Fitted, Method, State, Trainable
from jbc.methods.inference import apply_in_blocks
from jbc.methods.rules import changed
from jbc.methods.settings import Route
from jbc.numerics.centring import centre, put_back
from jbc.train import fit

SOURCE, TARGET, NEW = "source", "target", "new"
ROWS = 16384
UPDATES = 1000
COMPONENTS = 50  # as many as the paper's inner layer is wide


class Task(NamedTuple):
    """What is learned from, and what is asked for.

    ``truth`` are the new rows as they would be in the target: the same ones in their order, or others (``paired``).
    """

    source: np.ndarray
    target: np.ndarray
    new: np.ndarray
    truth: np.ndarray
    paired: bool

    @property
    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """All rows but the truth, and their domains."""
        parts = {SOURCE: self.source, TARGET: self.target, NEW: self.new}
        return np.concatenate(list(parts.values())), np.repeat(list(parts), [len(x) for x in parts.values()])


Version = Callable[[Task, int], Iterator[tuple[str, np.ndarray]]]
"""Corrects the new rows of a task, with a seed; yields names of methods and rows."""


def edit_neurons(pulls: tuple[float, ...] = (), **settings: Any) -> Version:
    """Return neuron editing as printed and ours, each with its ablations, which share one trained autoencoder."""

    def correct(task: Task, seed: int) -> Iterator[tuple[str, np.ndarray]]:
        x, domain = task.table
        route = jbc.Route(TARGET, (SOURCE,), (NEW,))
        ours = jbc.NeuronEditing(route=route, **settings)
        printed = presets.neuron_editing(route=route, **settings)
        last = 2 * len(ours.widths)
        alone = changed(ours, {"editing.layers": (last,)})
        families = [
            {
                EDITING: printed,
                "constant shift of neurons": changed(printed, {"editing.constant_shift": True}),
                "an outer layer edited": changed(printed, {"editing.layers": (last - 1,)}),
            },
            {ALONE: alone, DEFAULT: ours}
            | {f"{ALONE}, pulled by {pull:g}": changed(alone, {"editing.pull": pull}) for pull in pulls}
            | {f"{DEFAULT}, pulled by {pull:g}": changed(ours, {"editing.pull": pull}) for pull in pulls},
        ]
        cohort = ours.resolve(Cohort.from_arrays(x, domain))
        for family in families:
            mixtures = "assume-equal" if EDITING in family else "estimate"  # what is published estimates none
            found = fit(next(iter(family.values())), cohort, jax.random.key(seed), composition=mixtures)
            for name, method in family.items():
                fitted = _finish(method, found.state, cohort.without_names())
                yield name, _moved(method, fitted, cohort, task.new, NEW)
        editing = dataclasses.replace(printed.editing, layers=(1,))
        components = jbc.ComponentEditing(route=route, components=COMPONENTS, editing=editing)
        yield "principal components edited", correct_new(components, task, seed)

    return correct


def train_gans(task: Task, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Correct by networks that learn to make rows of the target, with which neuron editing's paper compares.

    They know two domains only; new rows go through the map of the source. How long they train is not printed.
    """
    named = {
        "route": jbc.Route(TARGET, (SOURCE,)),
        "training": jbc.AdversarialTraining(updates=UPDATES),
    }
    yield "GAN", correct_new(presets.adversarial("gan", **named), task, seed)
    yield "ResnetGAN", correct_new(presets.adversarial("resnet-gan", **named), task, seed)
    yield "CycleGAN", correct_new(presets.adversarial("cycle-gan", **named), task, seed)


def regularise(task: Task, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Correct by an autoencoder with an MMD between codes of source and target."""
    method = presets.regularised_autoencoder(
        "neuron-editing", route=Route(target=TARGET, source=(SOURCE,), extrapolate=(NEW,))
    )
    yield "regularised autoencoder", correct_new(method, task, seed)


def shift(task: Task, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Correct by shifts, which need no training."""
    del seed
    yield "as measured", task.new
    for name, average in (("means", np.mean), ("medians", np.median)):
        yield f"shift of {name}", task.new + average(task.target, axis=0) - average(task.source, axis=0)


def correct_new(method: Any, task: Task, seed: int) -> np.ndarray:
    """Return the new rows, corrected by a method fitted to the rows that are known."""
    x, domain = task.table
    knows = bool(method.route.extrapolate)
    seen = np.full(len(x), True) if knows else domain != NEW
    cohort = method.resolve(Cohort.from_arrays(x[seen], domain[seen]))
    fitted = fit(method, cohort, jax.random.key(seed), composition="assume-equal").fitted
    return _moved(method, fitted, cohort, task.new, NEW if knows else SOURCE)


@partial(jax.jit, static_argnums=0)
def _finish(method: Trainable, state: State, cohort: Cohort) -> Fitted:
    return method.finish(state, cohort)


def _moved(method: Method, fitted: Fitted, cohort: Cohort, x: np.ndarray, domain: str) -> np.ndarray:
    code = np.full(len(x), cohort.names.domains.index(domain), np.int32)
    x = centre(x, cohort.offset)
    return put_back(apply_in_blocks(method, "transform", fitted, (x, code), min(len(x), ROWS)), cohort.offset)
