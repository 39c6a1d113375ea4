"""Early stopping that does not look at what is held out."""

from __future__ import annotations

from typing import Any

import numpy as np

from jbc.errors import InputError


def nested_stopping(score: Any, each: Any, group: Any) -> tuple[np.ndarray, np.ndarray]:
    """Score every point at the step that is best for the others: early stopping without looking at the held out.

    For every group (a compound) in turn, the step is chosen by a score of all other groups, and the points of the
    group are scored there; so no point has a say in the step at which it is scored.

    Parameters
    ----------
    score
        What the step is chosen by, (steps, ..., groups): the score that leaves each group out, the higher the better.
    each
        Scores of the points, (steps, ..., points).
    group
        Position of the group of each point, (points,).

    Returns
    -------
    held_out : (..., points)
        The score of every point.
    step : (..., groups)
        Which step was chosen; the earliest of several that are equally good.

    Examples
    --------
    >>> score = [[0.5, 0.7], [0.6, 0.2]]  # without group 0, the second step is best; without group 1, the first
    >>> held_out, step = nested_stopping(score, [[1, 2, 3], [10, 20, 30]], group=[0, 1, 1])
    >>> held_out.tolist(), step.tolist()
    ([10, 2, 3], [1, 0])
    """
    score, each, group = np.asarray(score), np.asarray(each), np.asarray(group)
    if score.shape[:-1] != each.shape[:-1] or each.shape[-1:] != group.shape:
        raise InputError(
            f"Scores of shape {score.shape} and {each.shape} for {len(group)} points",
            why="Both begin with the steps, and end with the groups and with the points.",
            fix="Move the numbers of neighbours to the front, beside the draws of a bootstrap.",
            code="bad-shape",
        )
    step = np.where(np.isnan(score), -np.inf, score).argmax(axis=0)
    chosen = np.take(step, group, axis=-1)
    return np.take_along_axis(each, chosen[None], axis=0)[0], step
