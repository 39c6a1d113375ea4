"""Many fits as one program: seeds, folds, bootstraps and tasks are its lanes, sharded over devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from jbc.cohort import Cohort
from jbc.cohort.composition import alike
from jbc.errors import InputError
from jbc.methods.base import Classifies, Fitted, Method, Trainable
from jbc.methods.prepare import Mixtures, prepare, without
from jbc.numerics import sharding
from jbc.train.early_stopping import Stopping
from jbc.train.loop import ONCE, Hook, Options, Program, Run, drive, steps_of

# What may differ between lanes; all else is shared, and lies on a device once.
VARYING = ("label", "weight", "sources", "composition", "subspace")


def fit_lanes(
    method: Trainable,
    cohorts: Cohort | Sequence[Cohort],
    keys: Array,
    *,
    steps: int | None = None,
    chunk: int | None = None,
    plan: Array | np.ndarray | None = None,
    stopping: Stopping | None = None,
    hooks: Sequence[Hook] = (),
    resume: Callable[[Any], tuple[int, Any] | None] | None = None,
    composition: Mixtures = "estimate",
) -> Run:
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
    steps
        Number of training steps; None leaves it to the method.
    chunk, plan, stopping, hooks, resume
        See :class:`jbc.train.Options`; the devices are those of this process.
    composition
        See :func:`jbc.methods.prepare.prepare`. Where it differs by lane, all lanes have one.

    Returns
    -------
    Run
        With a leading lane axis on every array.

    Notes
    -----
    A lane equals the same fit alone up to rounding, not to the last bit: the compiler orders sums otherwise.

    Lanes are spread over the local devices. A CPU is one device with several cores, which a small network
    does not keep busy; ``jax.config.update("jax_num_cpu_devices", 2)``, before anything else is done with
    JAX, makes two devices of it, that train half of the lanes each.

    Examples
    --------
    >>> from jbc.data.simulate.plates import simulate_shift
    >>> from jbc.methods.joint import JointCalibration
    >>> world = simulate_shift(0)
    >>> cohort = Cohort.from_arrays(world.x, world.domain, label=world.label)
    >>> run = fit_lanes(JointCalibration(), cohort, jax.random.split(jax.random.key(0), 2), steps=2)
    >>> run.history[-1]["loss"].shape
    (2,)
    """
    if not isinstance(method, Trainable):
        raise InputError(
            f"{type(method).__name__} does not train, and has no lanes",
            why="Lanes are trainings in one program; methods in closed form, and chains, are fitted one by one.",
            fix="Use jbc.fit for each of them.",
            code="not-trained",
        )
    if not isinstance(cohorts, Cohort) and len(cohorts) != len(keys):
        raise InputError(
            f"{len(cohorts)} cohorts for {len(keys)} keys",
            why="Every lane is one fit, of one cohort with one key.",
            fix="Pass one key per cohort, or a single cohort for all keys.",
            code="different-lanes",
        )
    lanes = [cohorts] if isinstance(cohorts, Cohort) else cohorts
    different = {id(lane): lane for lane in lanes}  # seeds of one task share one
    ready = {number: prepare(method, lane, steps, composition) for number, lane in different.items()}
    first, *others = lanes = _alike([ready[id(lane)] for lane in lanes])
    shared, varying = stack(lanes) if others else (first, ())
    steps = method.steps(first) if steps is None else steps
    mesh = mesh_of(len(keys))
    program = Program(*(partial(part, method, varying, mesh) for part in (_init, _chunk, _finish)))
    options = Options(chunk, plan, stopping, hooks, resume)
    return drive(program, shared, keys, steps, method.draw.rows * len(keys), options)


def _alike(cohorts: list[Cohort]) -> list[Cohort]:
    """Return cohorts whose compositions have one shape, if any of them has one."""
    held = [cohort.composition for cohort in cohorts]
    if len({id(each) for each in held}) == 1:
        return cohorts
    found = alike(held, np.asarray(cohorts[0].domain), [np.asarray(cohort.weight) for cohort in cohorts])
    return [dataclasses.replace(c, composition=own) for c, own in zip(cohorts, found, strict=True)]


def stack(cohorts: Sequence[Cohort]) -> tuple[Cohort, tuple[str, ...]]:
    """Stack what differs between cohorts of the same rows; return the cohort, and the names of what was stacked.

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[1.0], [2.0]], ["a", "b"], label=["x", "y"])
    >>> tasks, varying = stack([cohort.mask_labels("a"), cohort.mask_labels("b")])
    >>> varying, tasks.sources.tolist()
    (('label', 'sources'), [[1], [0]])
    """
    first = cohorts[0]
    if not all(_same_table(first, other) for other in cohorts[1:]):
        raise InputError(
            "Lanes hold different rows, codes or names",
            why="Lanes of one program share one table; only labels and weights may differ.",
            fix="Use Cohort.mask_labels for tasks and Cohort.weigh_rows for folds of one cohort.",
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
        for name in _may_vary(first)
        if any(not _equal(getattr(c, name), getattr(first, name)) for c in cohorts)
    )
    stacked = {
        name: jax.tree.map(lambda *leaves: np.stack(leaves), *[getattr(c, name) for c in cohorts])
        for name in varying
    }
    return dataclasses.replace(first, **stacked), varying


def _may_vary(cohort: Cohort) -> tuple[str, ...]:
    """Return what may differ: with covariates rows too, whose effects are estimated in every lane.

    And where values are missing: weights decide which features are measured, and what stands in their place.
    """
    more = ("x", "covariates") if cohort.covariates is not None else ()
    return (
        (*VARYING, *more) if cohort.observed is None else (*VARYING, *dict.fromkeys((*more, "x", "observed")))
    )


def _equal(one: Any, other: Any) -> bool:
    """Return whether two trees of arrays are the same."""
    leaves = jax.tree.leaves(one), jax.tree.leaves(other)
    return len(leaves[0]) == len(leaves[1]) and all(map(np.array_equal, *leaves))


def _same_table(one: Cohort, other: Cohort) -> bool:
    """Return whether two cohorts agree in everything that lanes share, names included."""
    names = _may_vary(one)
    if one.observed is not None and other.observed is not None:
        seen = np.logical_and(one.observed, other.observed)
        if one.covariates is None and not np.array_equal(
            np.where(seen, one.x, 0), np.where(seen, other.x, 0)
        ):
            return False
    one, other = (dataclasses.replace(c, **dict.fromkeys(names)) for c in (one, other))
    return jax.tree.structure(one) == jax.tree.structure(other) and all(
        map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other))
    )


def predict_lanes(method: Method, fitted: Fitted, x: Array, domain: Array) -> Array:
    """Return the logits of the same rows from every lane, (lanes, n, classes).

    Examples
    --------
    >>> from jbc.data.simulate.plates import simulate_shift
    >>> from jbc.methods.joint import JointCalibration
    >>> world, method = simulate_shift(0), JointCalibration()
    >>> cohort = Cohort.from_arrays(world.x, world.domain, label=world.label)
    >>> lanes = fit_lanes(method, cohort, jax.random.split(jax.random.key(0), 2), steps=2)
    >>> predict_lanes(method, lanes.fitted, cohort.x, cohort.domain).shape
    (2, 400, 2)
    """
    if not isinstance(method, Classifies):
        raise without(method, Classifies)
    domains = method.n_domains(jax.tree.map(lambda leaf: leaf[0], fitted))
    if wrong := sorted({int(code) for code in np.unique(np.asarray(domain)) if not 0 <= code < domains}):
        raise InputError(
            f"Codes of domains outside 0 to {domains - 1}",
            which=wrong,
            why="The models know no other domains, and an array would give another one's numbers for these.",
            fix="Pass codes as the cohort has them (Cohort.domain), in the order of its names.",
            code="unknown-domain",
        )
    mesh = mesh_of(len(jax.tree.leaves(fitted)[0]))
    return _predict(method, mesh, fitted, jnp.asarray(x), jnp.asarray(domain))


@partial(jax.jit, static_argnums=(0, 1, 2), compiler_options=ONCE)
def _init(method: Trainable, varying: tuple[str, ...], mesh: Mesh, keys: Array, cohort: Cohort) -> Any:
    def one(lane: Any, cohort: Cohort) -> Any:
        key, own = lane
        return method.init(jax.random.fold_in(key, 0), dataclasses.replace(cohort, **own))

    return each_lane(one, mesh, (keys, _own(cohort, varying)), cohort)


@partial(jax.jit, static_argnums=(0, 1, 2, 3), donate_argnums=5)
def _chunk(
    method: Trainable,
    varying: tuple[str, ...],
    mesh: Mesh,
    n: int,
    keys: Array,
    state: Any,
    cohort: Cohort,
    start: Array,
    plan: Array | None,
) -> tuple[Any, dict[str, Array]]:
    def one(
        state: Any, lane: Any, cohort: Cohort, start: Array, plan: Array | None
    ) -> tuple[Any, dict[str, Array]]:
        key, own = lane
        return steps_of(method, n, key, state, dataclasses.replace(cohort, **own), start, plan)

    return _turns(one, mesh, state, (keys, _own(cohort, varying)), cohort, start, plan)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _finish(method: Method, varying: tuple[str, ...], mesh: Mesh, state: Any, cohort: Cohort) -> Fitted:
    def one(lane: Any, cohort: Cohort) -> Fitted:
        state, own = lane
        return method.finish(state, dataclasses.replace(cohort, **own))

    return each_lane(one, mesh, (state, _own(cohort, varying)), cohort)


@partial(jax.jit, static_argnums=(0, 1))
def _predict(method: Classifies, mesh: Mesh, fitted: Fitted, x: Array, domain: Array) -> Array:
    return each_lane(method.predict, mesh, fitted, x, domain)


def _own(cohort: Cohort, varying: tuple[str, ...]) -> dict[str, Array]:
    """Return what every lane has of its own in a stacked cohort."""
    return {name: getattr(cohort, name) for name in varying}


def mesh_of(lanes: int) -> Mesh:
    """Return the local devices over which lanes are spread: as many as divide their number."""
    devices = jax.local_devices()
    count = max(n for n in range(1, min(lanes, len(devices)) + 1) if lanes % n == 0)
    return sharding.mesh_of(devices[:count], "lane")


def each_lane(one: Callable[..., Any], mesh: Mesh, lanes: Any, *shared: Any) -> Any:
    """Call ``one(lane, *shared)`` for every lane of a stacked tree, and stack the results."""
    return _turns(lambda _, lane, *shared: (None, one(lane, *shared)), mesh, None, lanes, *shared)[1]


def _turns(one: Callable[..., Any], mesh: Mesh, state: Any, lanes: Any, *shared: Any) -> tuple[Any, Any]:
    """Call ``one(state, lane, *shared) -> (state, result)`` for every lane; the new state replaces the old one.

    The lanes of an accelerator go side by side. Those of a CPU take turns, since its cache holds the arrays
    of one lane, not of many.
    """
    in_turns = mesh.devices.flat[0].platform == "cpu"

    def part(state: Any, lanes: Any, *shared: Any) -> tuple[Any, Any]:
        if not in_turns:
            return jax.vmap(lambda state, lane: one(state, lane, *shared))(state, lanes)

        def turn(state: Any, at: tuple[Array, Any]) -> tuple[Any, Any]:
            number, lane = at
            new, result = one(jax.tree.map(lambda leaf: leaf[number], state), lane, *shared)
            return jax.tree.map(lambda leaf, value: leaf.at[number].set(value), state, new), result

        return jax.lax.scan(turn, state, (jnp.arange(len(jax.tree.leaves(lanes)[0])), lanes))

    lane, whole = PartitionSpec("lane"), PartitionSpec()
    specs = (lane, lane, *(whole for _ in shared))
    mapped = jax.shard_map(part, mesh=mesh, in_specs=specs, out_specs=lane, check_vma=False)
    return mapped(state, lanes, *shared)
