"""Many fits as one program: seeds, folds, bootstraps and tasks are lanes of one vmap, sharded over devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jbc.cohort import Cohort, Groups
from jbc.errors import InputError
from jbc.methods.base import Fitted, Method, State, Trainable
from jbc.train.loop import Program, Run, drive, steps_of

# What may differ between lanes; all else is shared, and lies on a device once.
VARYING = ("label", "weight", "sources")


def fit_lanes(method: Trainable, cohorts: Cohort | Sequence[Cohort], keys: Array, **options: Any) -> Run:
    """Fit one method many times at once.

    Parameters
    ----------
    method
        The method, with one configuration for all lanes.
    cohorts
        One cohort for all lanes, or one per lane: the same rows with other labels (tasks) or other weights
        (folds, bootstraps).
    keys
        One key per lane.
    options
        As for :func:`jbc.train.loop.drive`.

    Returns
    -------
    Run
        With a leading lane axis on every array.

    Notes
    -----
    A lane equals the same fit alone up to rounding, not to the last bit: the compiler orders sums otherwise.

    Examples
    --------
    >>> from jbc.data.simulate import simulate_shift
    >>> from jbc.methods.joint import JointCalibration
    >>> world = simulate_shift(0)
    >>> cohort = Cohort.from_arrays(world.x, world.domain, label=world.label)
    >>> run = fit_lanes(JointCalibration(rows=16), cohort, jax.random.split(jax.random.key(0), 2), steps=2)
    >>> run.history[-1]["loss"].shape
    (2,)
    """
    if not isinstance(cohorts, Cohort) and len(cohorts) != len(keys):
        raise InputError(
            f"{len(cohorts)} cohorts for {len(keys)} keys",
            why="Every lane is one fit, of one cohort with one key.",
            fix="Pass one key per cohort, or a single cohort for all keys.",
            code="different-lanes",
        )
    shared, varying = (cohorts, ()) if isinstance(cohorts, Cohort) else stack(cohorts)
    steps = options.pop("steps", None) or method.steps(shared if not varying else cohorts[0])  # pyright: ignore[reportIndexIssue]
    place = _place(len(keys))
    program = Program(
        lambda key, cohort: _init(method, varying, place(key), cohort),
        lambda n, key, *rest: _chunk(method, n, varying, place(key), *rest),
        partial(_finish, method, varying),
    )
    return drive(program, shared, keys, steps=steps, rows=method.draw.rows * len(keys), **options)


def stack(cohorts: Sequence[Cohort]) -> tuple[Cohort, tuple[str, ...]]:
    """Stack what differs between cohorts of the same rows; return the cohort, and the names of what was stacked.

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[1.0], [2.0]], ["a", "b"], label=["x", "y"])
    >>> tasks, varying = stack([cohort.hide("a"), cohort.hide("b")])
    >>> varying, tasks.sources.tolist()
    (('label', 'sources'), [[1], [0]])
    """
    first = cohorts[0]
    if not all(_same_table(first, other) for other in cohorts[1:]):
        raise InputError(
            "Lanes hold different rows, codes or names",
            why="Lanes of one program share one table; only labels and weights may differ.",
            fix="Use Cohort.hide for tasks and Cohort.reweight for folds of one cohort.",
            code="different-lanes",
        )
    if len({len(c.sources) for c in cohorts}) > 1:
        raise InputError(
            "Lanes have different numbers of labelled domains",
            which=sorted({len(c.sources) for c in cohorts}),
            why="Lanes of one program have arrays of one shape.",
            fix="Fit tasks with the same number of sources together.",
            code="different-lanes",
        )
    varying = tuple(
        name
        for name in VARYING
        if any(not np.array_equal(getattr(c, name), getattr(first, name)) for c in cohorts)
    )
    stacked = {name: np.stack([np.asarray(getattr(c, name)) for c in cohorts]) for name in varying}
    return dataclasses.replace(first, **stacked), varying


def _same_table(one: Cohort, other: Cohort) -> bool:
    """Tell whether two cohorts agree in everything that lanes share, names included."""
    one, other = (dataclasses.replace(c, **dict.fromkeys(VARYING)) for c in (one, other))
    return jax.tree.structure(one) == jax.tree.structure(other) and all(
        map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other))
    )


def _axes(cohort: Cohort, varying: tuple[str, ...]) -> Cohort:
    """Return vmap's axes: 0 where lanes differ."""
    fields = {f.name: None for f in dataclasses.fields(cohort)} | dict.fromkeys(varying, 0)
    fields |= {"n_labels": cohort.n_labels, "names": cohort.names}
    for name in ("domains", "cells"):
        fields[name] = Groups(None, None, None, None, getattr(cohort, name).capacity)  # pyright: ignore[reportArgumentType]
    return Cohort(**fields)  # pyright: ignore[reportArgumentType]


@partial(jax.jit, static_argnums=(0, 1))
def _init(method: Trainable, varying: tuple[str, ...], keys: Array, cohort: Cohort) -> State:
    def one(key: Array, cohort: Cohort) -> State:
        return method.init(jax.random.fold_in(key, 0), cohort)

    return jax.vmap(one, in_axes=(0, _axes(cohort, varying)))(keys, cohort)


@partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=4)
def _chunk(
    method: Trainable,
    n: int,
    varying: tuple[str, ...],
    keys: Array,
    state: State,
    cohort: Cohort,
    start: Array,
    plan: Array | None,
) -> tuple[State, dict[str, Array]]:
    lanes = jax.vmap(partial(steps_of, method, n), in_axes=(0, 0, _axes(cohort, varying), None, None))
    return lanes(keys, state, cohort, start, plan)


@partial(jax.jit, static_argnums=(0, 1))
def _finish(method: Method, varying: tuple[str, ...], state: State, cohort: Cohort) -> Fitted:
    return jax.vmap(method.finish, in_axes=(0, _axes(cohort, varying)))(state, cohort)


def predict_lanes(method: Method, fitted: Fitted, x: Array, domain: Array) -> Array:
    """Return the logits of the same rows from every lane, (lanes, n, classes)."""
    return _predict(method, fitted, jnp.asarray(x), jnp.asarray(domain))


@partial(jax.jit, static_argnums=0)
def _predict(method: Method, fitted: Fitted, x: Array, domain: Array) -> Array:
    return jax.vmap(method.predict, in_axes=(0, None, None))(fitted, x, domain)


def _place(lanes: int):
    """Return a function that spreads lanes over the local devices, as many of these as divide the lanes.

    The axis is Auto: with Explicit axes, gathers inside the program would have to name their sharding.
    """
    devices = jax.local_devices()
    count = max(n for n in range(1, min(lanes, len(devices)) + 1) if lanes % n == 0)
    mesh = Mesh(np.array(devices[:count]), ("lane",), axis_types=(AxisType.Auto,))
    return lambda keys: jax.device_put(keys, NamedSharding(mesh, PartitionSpec("lane")))
