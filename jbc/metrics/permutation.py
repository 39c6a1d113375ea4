"""Is a score better than chance? Labels are shuffled, and what is then scored is the null distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jbc.errors import InputError
from jbc.validation import checks


class PermutationTest(NamedTuple):
    """The score with the true labels, ``observed``, and with shuffled ones, ``null`` (shuffles,).

    Examples
    --------
    >>> PermutationTest(0.9, np.array([0.5, 0.6, 0.4])).p
    0.25
    """

    observed: float
    null: np.ndarray

    @property
    def p(self) -> float:
        r"""The p value, :math:`(1 + \#\{\text{null} \ge \text{observed}\}) / (1 + \text{shuffles})`.

        The true labels count as one of the orders that chance could have given, so that p is never 0, and is at most
        :math:`\alpha` in no more than a share :math:`\alpha` of tests where labels mean nothing.
        """
        # Sums of the same numbers in another order may differ in the last digit.
        reached = self.null >= self.observed - 1e-12 * abs(self.observed)
        return float((1 + reached.sum()) / (1 + len(self.null)))


def permutation_test(
    score: Callable[[np.ndarray], float],
    label: Any,
    *,
    domain: Any = None,
    unit: Any = None,
    shuffles: int = 100,
    seed: int = 0,
) -> PermutationTest:
    """Score the true labels and shuffled ones, and tell how often chance does as well.

    Parameters
    ----------
    score
        A function of labels, one per row; the larger the better. Whatever learns from labels must do so in here.
    label, domain, unit, shuffles, seed
        See :func:`shuffle_labels`.

    Returns
    -------
    PermutationTest

    Notes
    -----
    :func:`jbc.model_selection.permutation_test_score` does this for a correction that is trained, with all trainings
    as one program.

    Examples
    --------
    >>> label = np.array(["a", "b"] * 20)
    >>> x = np.random.default_rng(0).normal(size=40) + 2 * (label == "b")
    >>> found = permutation_test(lambda y: x[y == "b"].mean() - x[y == "a"].mean(), label, shuffles=199)
    >>> round(found.observed, 2), found.p
    (2.42, 0.005)

    References
    ----------
    Phipson and Smyth (2010), Permutation p-values should never be zero.
    """
    null = [
        score(each) for each in shuffle_labels(label, domain=domain, unit=unit, shuffles=shuffles, seed=seed)
    ]
    found = PermutationTest(float(score(np.asarray(label))), np.array(null, dtype=np.float64))
    if not np.isfinite([found.observed, *found.null]).all():
        raise InputError(
            "Scores that are not finite",
            why="NaN is neither above nor below the score of the true labels.",
            fix="Return a number for any order of the labels.",
            code="bad-score",
        )
    return found


def shuffle_labels(
    label: Any, *, domain: Any = None, unit: Any = None, shuffles: int = 100, seed: int = 0
) -> np.ndarray:
    """Shuffle labels between units, within domains.

    Every domain keeps as many units of a class as it has. Replicates of one unit keep a common label: were rows
    shuffled instead, the replicates of a subject would disagree, which no real labels do, and the null distribution
    would be too narrow. A unit in several domains trades labels with units in the same domains only.

    Parameters
    ----------
    label
        Class of each row. Where it is unknown (-1, None, NaN or ``""``), it stays so.
    domain
        Domain of each row; by default all rows are of one.
    unit
        Unit of each row; by default every row is a unit.
    shuffles
        Number of shuffles; the publication's is 100.
    seed
        Seed of the shuffles.

    Returns
    -------
    (shuffles, n) array
        Labels as they were given.

    Raises
    ------
    InputError
        When a unit has several labels, or when no two units could trade different ones.

    Examples
    --------
    >>> domain, unit = [1, 1, 1, 2, 2, 2], [1, 2, 2, 3, 4, 5]
    >>> shuffle_labels(["a", "b", "b", "c", "d", None], domain=domain, unit=unit, shuffles=1, seed=5).tolist()
    [['b', 'a', 'a', 'd', 'c', None]]
    """
    label = label if isinstance(label, np.ma.MaskedArray) else np.asarray(label)
    _, code = checks.labels(label, len(label))
    place, owner = (
        checks.codes(domain, len(code), "domain")[1],
        checks.codes(unit, len(code), "unit", "row")[1],
    )
    known = np.flatnonzero(code >= 0)
    one_label_a_unit(code[known], owner[known], unit)
    # Units without a known label are in no group.
    units, first, member = np.unique(owner[known], return_index=True, return_inverse=True)
    present = np.zeros((len(units), place.max(initial=0) + 1), bool)
    present[member, place[known]] = True
    alike = np.unique(present, axis=0, return_inverse=True)[1].reshape(-1)
    groups = [np.flatnonzero(alike == each) for each in range(alike.max(initial=-1) + 1)]
    if shuffles < 1 or not any(len(np.unique(code[known[first[each]]])) > 1 for each in groups):
        raise InputError(
            f"{shuffles} shuffles of labels between {len(units)} units in {len(groups)} groups of domains",
            why="Units trade labels with others in the same domains, and there is no other order of these labels.",
            fix="Pass a positive number of shuffles, and domains with units of two classes.",
            code="nothing-to-shuffle",
        )
    rng, source = np.random.default_rng(seed), np.tile(np.arange(len(code)), (shuffles, 1))
    for order in source:
        giver = np.arange(len(units))
        for each in groups:
            giver[each] = rng.permutation(each)
        order[known] = known[first[giver[member]]]
    return label[source]


def one_label_a_unit(code: np.ndarray, owner: np.ndarray, unit: Any) -> None:
    """Refuse units with rows of two classes; ``owner`` holds the units' codes, and ``unit`` is as it was given."""
    pairs = np.unique(np.stack([owner, code]), axis=1)
    mixed = np.flatnonzero(np.bincount(pairs[0]) > 1) if pairs.size else []
    if len(mixed):
        names, _ = checks.codes(unit, len(np.asarray(unit)), "unit")
        raise InputError(
            "Units with rows of two classes",
            which=[names[k] for k in mixed],
            why="Replicates of one unit are taken together, with one label.",
            fix="Correct these labels, or name the units within classes.",
            code="mixed-units",
        )
