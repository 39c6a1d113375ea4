"""How well a simple classifier tells the domain, or the label, of a row it has not seen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jbc import checks
from jbc.errors import InputError
from jbc.metrics._inputs import measurements


class CrossValidated(NamedTuple):
    """Accuracy on rows that were held out, and what always naming the largest group would reach."""

    accuracy: float
    chance: float


def domain_accuracy(
    x: Any, domain: Any, *, unit: Any = None, folds: int = 5, rows: int = 2000, seed: int = 0
) -> CrossValidated:
    """Tell how visible the domains are: the accuracy of a classifier that names the domain of a row.

    Logistic regression (L2, C = 1) on standardised features, cross-validated. Near chance, no linear trace
    of the domains is left; it does not say that the biology is still there (see :func:`label_accuracy`).

    Parameters
    ----------
    x
        Measurements, corrected or not, (n, d).
    domain
        Domain of each row; every domain needs two units.
    unit
        Subject of each row: the rows of one subject are never split over folds.
    folds
        Number of folds.
    rows
        At most so many random rows of each domain are used.
    seed
        Seed of the choice and of the folds.

    Returns
    -------
    CrossValidated
        ``accuracy`` over all rows, each held out once, and ``chance``, the share of the largest domain.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(60, 3))
    >>> domain = np.repeat(["a", "b"], 30)
    >>> domain_accuracy(x + 9 * (domain == "b")[:, None], domain)
    CrossValidated(accuracy=1.0, chance=0.5)
    """
    return _cross_validate(x, domain, "domain", unit, folds, rows, seed)


def label_accuracy(
    x: Any, label: Any, *, unit: Any = None, folds: int = 5, rows: int = 2000, seed: int = 0
) -> CrossValidated:
    """Tell how visible the biology is: as :func:`domain_accuracy`, for the labels.

    The counterweight to every measure of mixing: a correction that maps all rows to one point mixes domains
    perfectly, and this is where it shows. All labels must be known.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(60, 3))
    >>> label_accuracy(x, np.repeat([0, 1], 30)).chance
    0.5
    """
    return _cross_validate(x, label, "label", unit, folds, rows, seed)


def _cross_validate(
    x: Any, group: Any, what: str, unit: Any, folds: int, rows: int, seed: int
) -> CrossValidated:
    """Predict the group of every row from the folds it is not in."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = measurements(x, "The classifier")
    names, code = checks.codes(group, len(x), what)
    _, unit = checks.codes(unit, len(x), "unit", single="row")
    rng = np.random.default_rng(seed)
    some = np.concatenate([rng.permutation(np.flatnonzero(code == k))[:rows] for k in range(len(names))])
    x, code, unit = x[some], code[some], unit[some]
    _enough(names, code, unit, what)
    fold = _folds(code, unit, folds, rng)
    guess = np.empty_like(code)
    for held_out in (fold == k for k in np.unique(fold)):
        seen = code[~held_out]
        if (seen == seen[0]).all():
            # Units that occur in several groups can leave a fold with one of two groups to learn from.
            guess[held_out] = seen[0]
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, tol=1e-3))
        guess[held_out] = model.fit(x[~held_out], seen).predict(x[held_out])
    return CrossValidated(float(np.mean(guess == code)), float(np.bincount(code).max() / len(code)))


def _folds(code: np.ndarray, unit: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Deal whole units to folds like cards, group after group, so that folds and groups are balanced."""
    _, first, member = np.unique(unit, return_index=True, return_inverse=True)
    order = np.lexsort((rng.random(len(first)), code[first]))
    fold = np.empty(len(first), np.int64)
    fold[order] = np.arange(len(first)) % folds
    return fold[member]


def _enough(names: tuple[str, ...], code: np.ndarray, unit: np.ndarray, what: str) -> None:
    """Refuse groups that a classifier could never name, because their rows are all held out together."""
    units = np.bincount(np.unique(np.stack([code, unit]), axis=1)[0], minlength=len(names))
    few = [name for name, count in zip(names, units, strict=True) if count < 2]
    if len(names) < 2 or few:
        raise InputError(
            f"{what.capitalize()}s with fewer than two units" if few else f"A single {what}",
            which=few or names,
            why="A classifier learns a group from some units and is tested on others.",
            fix=f"Leave these {what}s out." if few else f"Pass rows of at least two {what}s.",
            code="too-few-rows",
        )
