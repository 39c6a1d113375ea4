"""Is what a correction classifies better than chance? All shuffles of the labels are trained as one program."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import jax
import numpy as np

from jbc.cohort.covariate_effects import take_out
from jbc.errors import InputError
from jbc.interfaces.domain_scores import Scoring, by_unit, value_of
from jbc.interfaces.estimator import Corrector, seed_of
from jbc.interfaces.new_domains import Rows, classify, columns, copied, read
from jbc.methods.base import Classifies, Trainable
from jbc.metrics import PermutationTest, shuffle_labels
from jbc.train import fit_lanes, predict_lanes
from jbc.validation import checks


def permutation_test_score(
    corrector: Corrector,
    X: Any,
    y: Any,
    *,
    domain: Any,
    hidden: str,
    treatment: Any = None,
    control: Any = None,
    unit: Any = None,
    covariates: Any = None,
    order: Any = None,
    classifier: Any = None,
    scoring: Scoring = "accuracy",
    level: Literal["row", "unit"] = "row",
    shuffles: int = 100,
    seed: int = 0,
) -> PermutationTest:
    """Score the classes of a hidden domain, after training on the true labels and on shuffled ones of the others.

    Labels are shuffled between units, within the domains that train (:func:`jbc.metrics.shuffle_labels`); those of
    the hidden domain are as they are, take no part in training, and are what is scored. A correction that classifies
    by itself is trained on all shuffles at once, as lanes of one program (:func:`jbc.train.fit_lanes`).

    Parameters
    ----------
    corrector
        The correction; it is copied, and not changed.
    X, y, domain, treatment, control, unit, covariates, order, classifier, scoring
        As in :func:`cross_validate`, with all rows of the hidden domain in the correction.
    hidden
        The domain whose labels are hidden.
    level
        Score rows, or units by the median probabilities of their rows.
    shuffles
        Number of shuffles; the publication's is 100.
    seed
        Seed of the shuffles. Trainings differ in their random bits too: those of a lane come from the corrector's
        ``random_state`` and the number of the lane.

    Returns
    -------
    PermutationTest
        The score with the true labels, those with shuffled ones, and the p value.

    Notes
    -----
    This is the permutation test of the two-batch paper (its Figure 3c), which shuffles labels of the training batch
    100 times and draws the accuracy in the target. It does not say whether replicates of a subject kept together.

    Examples
    --------
    >>> from jbc.data.simulate.plates import simulate_shift
    >>> from jbc.methods.closed_form.standardise import Standardise
    >>> world = simulate_shift(0)
    >>> found = permutation_test_score(
    ...     Corrector(Standardise()), world.x, world.label, domain=world.domain, hidden="domain 2", shuffles=19
    ... )
    >>> round(found.observed, 2), found.p
    (0.97, 0.05)

    References
    ----------
    Ojala and Garriga (2010), Permutation tests for studying classifier performance.
    """
    roles = {
        "treatment": treatment,
        "control": control,
        "unit": unit,
        "covariates": covariates,
        "order": order,
    }
    rows = read(copied(corrector), X, y, domain, reset=True, **roles)
    checks.one_domain(hidden, tuple(np.unique(rows.domain).tolist()))
    new = rows.domain == str(hidden)
    if level not in ("row", "unit") or (level == "unit" and unit is None):
        raise InputError(
            f"Scores of level {level!r}" + (" without units" if unit is None else ""),
            why="Rows are scored one by one, or together by unit.",
            fix='Use level="row", or level="unit" and pass unit=.',
            code="bad-setting",
        )
    seen = rows.hide(new)
    shuffled = shuffle_labels(seen.label, domain=seen.domain, unit=seen.unit, shuffles=shuffles, seed=seed)
    method = corrector.resolved
    lanes = classifier is None and isinstance(method, Trainable) and isinstance(method, Classifies)
    fit = (
        _as_lanes(corrector, seen, new, shuffled)
        if lanes
        else _one_by_one(corrector, classifier, seen, new, shuffled)
    )
    scores = [_score(rows, new, probability, scoring, level) for probability in fit]
    return PermutationTest(scores[0], np.array(scores[1:]))


def _as_lanes(
    corrector: Corrector, seen: Rows, new: np.ndarray, shuffled: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield the probabilities of new rows by the method itself: for the true labels first, then for shuffled ones."""
    method: Any = corrector.resolved
    cohort = seen.cohort()
    names = [seen.classes.index(name) for name in cohort.names.labels]
    code = np.full(len(seen.classes) + 1, -1, np.int32)  # the last one is where a label is unknown
    code[names] = np.arange(len(names))
    cohorts = [dataclasses.replace(cohort, label=code[each[cohort.row]]) for each in [seen.label, *shuffled]]
    keys = jax.random.split(jax.random.key(seed_of(corrector.random_state)), len(cohorts))
    run = fit_lanes(method, cohorts, keys, steps=corrector.steps, composition=corrector.composition)
    some = np.flatnonzero(new[cohort.row])
    x = cohort.x if cohort.covariates is None else take_out(cohort).x
    logits = predict_lanes(method, run.fitted, x[some], cohort.domain[some])
    probability = np.empty((len(cohorts), len(new), len(names)))
    probability[:, cohort.row[some]] = jax.nn.softmax(logits)
    for each in probability[:, new]:
        yield columns(each, names, range(len(seen.classes)))


def _one_by_one(
    corrector: Corrector, classifier: Any, seen: Rows, new: np.ndarray, shuffled: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield the probabilities of new rows, from a fit for every order of the labels."""
    for label in [seen.label, *shuffled]:
        rows = dataclasses.replace(seen, label=label)
        yield classify(corrector, classifier, "transductive", rows, new)[0].probability


def _score(rows: Rows, new: np.ndarray, probability: np.ndarray, scoring: Scoring, level: str) -> float:
    """Return the score of new rows whose labels are known."""
    known = rows.label[new] >= 0
    truth, told = rows.label[new][known], probability[known]
    if level == "unit" and rows.unit is not None:
        truth, told = by_unit(rows.unit[new][known], truth, told)
    return value_of(scoring, truth, told)
