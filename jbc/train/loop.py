"""The only training loop.

A chunk of steps is one compiled program: a scan with the state donated, its minibatches drawn on the device, and
the key of a step a function of (seed, step). Around it, a plain Python loop keeps the best state, calls hooks, and
knows no method. Stopping and resuming at any chunk therefore ends in the same bits as running through.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from jbc.cohort import Cohort
from jbc.cohort.sampling import take
from jbc.errors import InputError
from jbc.methods.base import Fitted, Method, Trainable, joined
from jbc.methods.prepare import Mixtures, prepare, refuse_options
from jbc.numerics import sharding
from jbc.train.early_stopping import Stopping, initial_best, out_of_patience, update_best
from jbc.train.footprint import refuse_too_large

CHUNK = 100
# What runs once should compile fast.
ONCE = {"xla_backend_optimization_level": 0}


class Program(NamedTuple):
    """What the loop runs: three compiled functions of a method, for one fit or for many lanes.

    Examples
    --------
    >>> program = Program(
    ...     init=lambda key, cohort: jnp.zeros(()),
    ...     chunk=lambda n, key, state, *rest: (state + n, {"loss": jnp.zeros(n)}),
    ...     finish=lambda state, cohort: {"count": state},
    ... )
    >>> state, info = program.chunk(2, None, 1)
    >>> program.finish(state, None)
    {'count': 3}
    """

    init: Callable[..., Any]
    chunk: Callable[..., tuple[Any, dict[str, Array]]]
    finish: Callable[..., Fitted]


class Event(NamedTuple):
    """What hooks get after every chunk.

    ``tree`` is everything that a resumed run needs. Its arrays are reused by the next chunk: a hook that wants
    to keep them copies them.

    Examples
    --------
    >>> event = Event(step=10, steps=40, rows=1280, seconds=0.5, info={"loss": np.float32(2)}, tree={})
    >>> f"{event.step} of {event.steps}: {event.rows / event.seconds:.0f} rows/s"
    '10 of 40: 2560 rows/s'
    """

    step: int
    steps: int
    rows: int
    seconds: float
    info: dict[str, np.ndarray]
    tree: Any


Hook = Callable[[Event], bool | None]
"""Called after every chunk; True stops the training."""


@dataclasses.dataclass(frozen=True)
class Run:
    """The outcome of training: the fitted model, the last state, and the mean report of every chunk.

    Examples
    --------
    >>> from jbc.methods.closed_form.standardise import Standardise
    >>> cohort = Cohort.from_arrays([[0.0], [2.0], [10.0], [12.0]], ["a", "a", "b", "b"])
    >>> run = fit(Standardise(), cohort, jax.random.key(0))
    >>> run.step, run.stopped, sorted(run.fitted)
    (0, False, ['mean', 'scale', 'to'])
    """

    fitted: Fitted
    state: Any
    step: int
    history: list[dict[str, Any]]
    stopped: bool


@dataclasses.dataclass(frozen=True)
class Options:
    """How the loop runs.

    Attributes
    ----------
    chunk
        Steps in one compiled program; hooks and stopping look in between. By default about a twentieth of all
        steps, at most 100, and if possible a divisor of the number of steps, so that one program serves all chunks.
    plan
        Row indices (steps, groups, rows) to use instead of drawing.
    stopping
        When to stop early.
    hooks
        Called in turn after every chunk.
    resume
        Given the tree to start from (for its structure), returns the step and the tree to go on from, or None.
    mesh
        Devices to divide the work over (see :mod:`jbc.numerics.sharding`), of this or of several processes, all of
        which then call this with the same arguments.

    Examples
    --------
    >>> Options(chunk=50, hooks=(print,)).chunk
    50
    """

    chunk: int | None = None
    plan: Array | np.ndarray | None = None
    stopping: Stopping | None = None
    hooks: Sequence[Hook] = ()
    resume: Callable[[Any], tuple[int, Any] | None] | None = None
    mesh: Mesh | None = None


PLAIN = Options()


def fit(
    method: Method,
    cohort: Cohort,
    key: Array,
    *,
    steps: int | None = None,
    chunk: int | None = None,
    plan: Array | np.ndarray | None = None,
    stopping: Stopping | None = None,
    hooks: Sequence[Hook] = (),
    resume: Callable[[Any], tuple[int, Any] | None] | None = None,
    mesh: Mesh | None = None,
    composition: Mixtures = "estimate",
) -> Run:
    """Fit a method to a cohort, after both were examined (:func:`jbc.methods.prepare.prepare`).

    Most users want :func:`jbc.fit`, whose model takes measurements as they are, and knows names.

    Parameters
    ----------
    method
        Trainable or in closed form.
    cohort
        The data.
    key
        A ``jax.random.key``: together with the step number it decides all randomness.
    steps
        Number of training steps; None leaves it to the method.
    chunk, plan, stopping, hooks, resume, mesh
        See :class:`Options`.
    composition
        See :func:`jbc.methods.prepare.prepare`.

    Returns
    -------
    Run
        What is fitted is about the rows of the cohort: measurements less its ``offset``, if it has one. It moves all
        domains; :class:`jbc.Model` leaves those as they came in that the composition says stay.

    Raises
    ------
    InputError
        When the method cannot use the cohort, or not honour an option.

    Examples
    --------
    >>> from jbc.data.simulate.plates import simulate_shift
    >>> from jbc.methods.joint import JointCalibration
    >>> world = simulate_shift(0)
    >>> cohort = Cohort.from_arrays(world.x, world.domain, label=world.label)
    >>> run = fit(JointCalibration(), cohort, jax.random.key(0), steps=4)
    >>> run.step, sorted(run.fitted)
    (4, ['calibrator', 'classifier', 'inputs', 'reconstructors'])
    """
    cohort = prepare(method, cohort, steps, composition)
    return fit_prepared(method, cohort, key, steps, Options(chunk, plan, stopping, hooks, resume, mesh))


def fit_prepared(
    method: Method, cohort: Cohort, key: Array, steps: int | None = None, options: Options = PLAIN
) -> Run:
    """Fit a method to a cohort that :func:`jbc.methods.prepare.prepare` returned."""
    last = method.last
    if not isinstance(last, Trainable):
        given = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
        refuse_options(method, given | {"steps": steps})
        return Run(jax.device_put(method.finish(None, cohort)), None, 0, [], stopped=False)
    steps = last.steps(cohort) if steps is None else steps
    program = Program(partial(_init, last), partial(_chunk, last), partial(_finish, last))
    run = drive(program, dataclasses.replace(cohort, leading=None), key, steps, last.draw.rows, options)
    return dataclasses.replace(run, fitted=joined(cohort, run.fitted))


def drive(
    program: Program, cohort: Cohort, key: Array, steps: int, rows: int = 0, options: Options = PLAIN
) -> Run:
    """Run a program chunk by chunk.

    Parameters
    ----------
    program, cohort, key
        What to run, on what, with which randomness.
    steps
        Number of steps.
    rows
        Rows per group and step, for the report of speed.
    options
        How to run it.

    Examples
    --------
    >>> program = Program(
    ...     init=lambda key, cohort: jnp.zeros(()),
    ...     chunk=lambda n, key, state, *rest: (state + n, {"loss": jnp.zeros(n)}),
    ...     finish=lambda state, cohort: {"count": state},
    ... )
    >>> cohort = Cohort.from_arrays([[0.0], [1.0]], ["a", "b"])
    >>> drive(program, cohort, jax.random.key(0), steps=6, options=Options(chunk=2)).fitted["count"].item()
    6.0
    """
    stopping, mesh = options.stopping, options.mesh
    if mesh is None:
        minibatch = rows * len(cohort.domains.count)
        refuse_too_large(program.init, key, cohort.without_names(), minibatch, best=stopping is not None)
    bare = sharding.replicate(cohort.without_names(), mesh)
    if mesh is not None:
        key = sharding.replicate(key, mesh)
        program = Program(*(sharding.with_mesh(mesh, part) for part in program))
    tree = {"state": program.init(key, bare), "best": None}
    if stopping is not None:
        tree["best"] = initial_best(tree["state"], program.finish(tree["state"], bare), stopping)
    step, start = (options.resume(tree) if options.resume is not None else None) or (0, tree)
    tree = start if mesh is None or start is tree else sharding.shard_like(start, tree)
    size, begun = options.chunk or _divisor(steps), time.monotonic()
    history: list[dict[str, Any]] = []
    per_step = rows * len(bare.domains.count)
    stopped = stopping is not None and out_of_patience(tree["best"], stopping)
    while step < steps and not stopped:
        n = min(size, steps - step)
        part = None if options.plan is None else jnp.asarray(options.plan[step : step + n])
        state, info = program.chunk(n, key, tree["state"], bare, step, part)
        means = {name: np.asarray(value).mean(axis=-1) for name, value in info.items()}
        step += n
        _refuse_divergence(means, step)
        tree = {"state": state, "best": tree["best"]}
        if stopping is not None:
            tree["best"], stopped = update_best(tree["best"], state, program.finish(state, bare), stopping)
        history.append({"step": step} | means)
        event = Event(step, steps, per_step * n, time.monotonic() - begun, means, tree)
        stopped = bool(sum(bool(hook(event)) for hook in options.hooks)) or stopped
        begun = time.monotonic()
    state = tree["state"] if tree["best"] is None else tree["best"]["state"]
    return Run(program.finish(state, bare), tree["state"], step, history, stopped)


@partial(jax.jit, static_argnums=0, compiler_options=ONCE)
def _init(method: Trainable, key: Array, cohort: Cohort) -> Any:
    return sharding.constrain_sharding(method.init(jax.random.fold_in(key, 0), cohort), method.sharded_fields)


@partial(jax.jit, static_argnums=0)
def _finish(method: Method, state: Any, cohort: Cohort) -> Fitted:
    return sharding.constrain_sharding(method.finish(state, cohort))


def steps_of(
    method: Trainable, n: int, key: Array, state: Any, cohort: Cohort, start: Array, plan: Array | None
) -> tuple[Any, dict[str, Array]]:
    """Return the state after n steps from ``start``, and every scalar that the steps report, (n,) each."""
    if plan is None:
        plan = method.draw.plan(jax.random.fold_in(key, 1), cohort, start, n)
    key = jax.random.fold_in(key, 2)

    def one(state: Any, at: tuple[Array, Array]) -> tuple[Any, dict[str, Array]]:
        step, index = at
        return method.step(jax.random.fold_in(key, step), state, take(cohort, index, method.draw))

    return jax.lax.scan(one, state, (start + jnp.arange(n), plan))


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=3)
def _chunk(method: Trainable, *arguments: Any) -> tuple[Any, dict[str, Array]]:
    state, info = steps_of(method, *arguments)
    return sharding.constrain_sharding(state, method.sharded_fields), sharding.constrain_sharding(info)


def _divisor(steps: int) -> int:
    """Return the steps of a chunk: about a twentieth of all, from 10 to 100, and a divisor if there is one near.

    So the curves of a short run have points enough, and one program usually serves all chunks.
    """
    most = min(max(steps // 20, 10), CHUNK, steps)
    best = max(n for n in range(1, most + 1) if steps % n == 0)
    return best if best >= most // 4 else most


def _refuse_divergence(means: dict[str, np.ndarray], step: int) -> None:
    """Raise when the loss of every lane has left the numbers: nothing can follow."""
    if "loss" in means and not np.isfinite(means["loss"]).any():
        raise InputError(
            f"Training diverged before step {step}: the loss is not a number any more",
            why="Every later value would be NaN.",
            fix="Lower the learning rate, or look for extreme values in the input.",
            code="diverged",
        )
