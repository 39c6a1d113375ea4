"""The one door: a method and a cohort in, a model out."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from jbc.cohort import Cohort
from jbc.errors import warn
from jbc.methods import rules
from jbc.methods.base import Diagnoses, Method, Trainable, can
from jbc.methods.prepare import Mixtures, prepare, refuse_options
from jbc.methods.summary import target_of
from jbc.model.adaptation import keep_controls
from jbc.model.apart import told_apart
from jbc.model.checkpoints import checkpointed, describe_run
from jbc.model.composition import keep_composition
from jbc.model.covariates import keep_effects
from jbc.model.criteria import How, hold_out
from jbc.model.gaps import keep_gaps
from jbc.model.model import Model, Record
from jbc.model.support import measure_support
from jbc.train import loop
from jbc.train.early_stopping import Stopping
from jbc.train.loop import PLAIN, Hook, Options
from jbc.train.progress import progress


def fit(
    method: Method,
    cohort: Cohort,
    *,
    seed: int = 0,
    steps: int | None = None,
    stopping: Stopping | How | None = None,
    hooks: Sequence[Hook] = (),
    chunk: int | None = None,
    plan: Array | np.ndarray | None = None,
    resume: Callable[[Any], tuple[int, Any] | None] | None = None,
    mesh: Mesh | None = None,
    composition: Mixtures = "estimate",
    checkpoints: str | Path | None = None,
    verbose: bool = True,
) -> Model:
    """Fit a method to a cohort.

    What is going to be fitted to what is told to the logger ``"jbc"``, at level INFO.

    Parameters
    ----------
    method
        What to fit.
    cohort
        The data.
    seed
        The same seed, data and versions give the same model, to the last bit.
    steps
        Number of training steps; None leaves it to the method.
    stopping
        When to stop early: see :class:`jbc.train.Stopping`; or by ``"replicates"`` or, with a target, ``"rows"``
        that are kept from training (:mod:`jbc.model.criteria`).
    hooks
        Called after every chunk of steps; see :class:`jbc.train.Event`.
    chunk, plan, resume, mesh
        How the loop runs; see :class:`jbc.train.Options`.
    composition
        Whether to estimate which populations domains share, so that nothing else is aligned, or to take them for the
        same mixture; see :func:`jbc.methods.prepare.prepare`.
    checkpoints
        Folder for checkpoints, every 30 seconds. An interrupted training (Ctrl-C) saves one there before it ends, and
        the same call goes on from the last one, to the same bits as an undisturbed one.
    verbose
        Show how far training is, where it takes longer than a few seconds.

    Returns
    -------
    Model

    Raises
    ------
    InputError
        When the method cannot use the cohort, or not honour an option.

    Examples
    --------
    >>> import jbc
    >>> cohort = jbc.Cohort.from_arrays([[0.0], [2.0], [10.0], [12.0]], ["a", "a", "b", "b"])
    >>> jbc.fit(jbc.Standardise(), cohort).transform([[2.0], [10.0]], ["a", "b"]).tolist()
    [[7.0], [5.0]]
    """
    options = Options(chunk, plan, None, tuple(hooks), resume, mesh)
    ready = prepare(method, cohort, steps, composition)
    refuse_options(method, {"checkpoints": checkpoints})
    with contextlib.ExitStack() as stack:
        if verbose and can(method, Trainable):
            shown = stack.enter_context(progress(type(method).__name__))
            options = dataclasses.replace(options, hooks=(shown, *options.hooks))
        if checkpoints is None:
            return fit_prepared(method, ready, seed, steps, stopping, options)
        run = describe_run(
            method, cohort, steps=steps, stopping=repr(stopping), composition=composition, seed=seed
        )
        options, caught = stack.enter_context(checkpointed(Path(checkpoints), run, options))
        model = fit_prepared(method, ready, seed, steps, stopping, options)
    if caught and model.record.stopped:
        raise KeyboardInterrupt(
            f"interrupted after step {model.record.steps}, and saved in '{checkpoints}': the same call goes on there"
        )
    return model


def fit_prepared(
    method: Method,
    cohort: Cohort,
    seed: int,
    steps: int | None = None,
    stopping: Stopping | How | None = None,
    options: Options = PLAIN,
) -> Model:
    """Fit a method to a cohort that :func:`jbc.methods.prepare.prepare` returned; see :func:`fit`."""
    rules.check_seed(seed)
    seen = cohort
    if isinstance(stopping, str):
        seen, stopping = hold_out(stopping, method, cohort)
    options = dataclasses.replace(options, stopping=stopping)
    run = loop.fit_prepared(method, seen, jax.random.key(seed), steps, options)
    history = [
        {name: value if name == "step" else float(value) for name, value in row.items()}
        for row in run.history
    ]
    if isinstance(last := method.last, Diagnoses) and history:
        fitted = run.fitted if cohort.leading is None else run.fitted["last"]
        for message in last.diagnose(history[-1], partial(told_apart, last, fitted, cohort)):
            warn(message)
    used = np.asarray(cohort.weight) > 0
    rows = np.asarray(cohort.x), np.asarray(cohort.domain)
    if not used.all():
        rows = rows[0][used], rows[1][used]
    return Model(
        method=method,
        fitted=jax.tree.map(np.asarray, run.fitted),
        names=cohort.names,
        offset=None if cohort.offset is None else np.asarray(cohort.offset),
        controls=keep_controls(cohort),
        composition=keep_composition(cohort),
        gaps=keep_gaps(method, cohort),
        covariates=keep_effects(cohort),
        support=measure_support(*rows, len(cohort.names.domains)),
        record=Record(seed, run.step, run.stopped, target_of(cohort), history),
    )
