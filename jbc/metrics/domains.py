"""How well a simple classifier tells the domain, or the label, of a row it has not seen."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from jbc.errors import InputError
from jbc.metrics._inputs import measurements, moved
from jbc.metrics.bootstrap import counts
from jbc.validation import checks

Model = Literal["logistic", "forest"]


class CrossValidated(NamedTuple):
    """Accuracy on rows that were held out, and what always naming the largest group would reach.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> seen = domain_accuracy(x, np.repeat(["a", "b"], 100))
    >>> seen.chance
    0.5
    """

    accuracy: float
    chance: float


class ByTreatment(NamedTuple):
    """Accuracies within treatments.

    Attributes
    ----------
    accuracy : (draws,) float64
        The mean over treatments; a number without draws.
    chance : float
        The share of the largest domain, mean over treatments.
    each : (draws, T) float64
        The accuracy within each treatment.
    treatments : tuple of str
        Their names.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(80, 2))
    >>> seen = domain_accuracy_by_treatment(x, np.tile(["a", "b"], 40), treatment=np.repeat(["u", "v"], 40))
    >>> seen.treatments, seen.each.shape
    (('u', 'v'), (2,))
    """

    accuracy: Any
    chance: float
    each: np.ndarray
    treatments: tuple[str, ...]


def domain_accuracy(
    x: Any, domain: Any, *, unit: Any = None, folds: int = 5, rows: int = 2000, seed: int = 0
) -> CrossValidated:
    """Return how visible the domains are: the accuracy of a classifier that names the domain of a row.

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
        At most this number of random rows of each domain are used.
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
    """Return how visible the biology is: as :func:`domain_accuracy`, for the labels.

    The counterweight to every measure of mixing: a correction that maps all rows to one point mixes domains
    perfectly, and this is where it shows. All labels must be known.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(60, 3))
    >>> label_accuracy(x, np.repeat([0, 1], 30)).chance
    0.5
    """
    return _cross_validate(x, label, "label", unit, folds, rows, seed)


def domain_accuracy_by_treatment(
    x: Any,
    domain: Any,
    treatment: Any,
    *,
    model: Model = "logistic",
    floor: bool = False,
    unit: Any = None,
    weight: Any = None,
    folds: int = 3,
    rows: int = 2000,
    seed: int = 0,
) -> ByTreatment:
    r"""Return how visible the domains are in rows of one treatment, whatever the biology.

    .. math:: \frac{1}{|T|} \sum_{t \in T} \mathrm{accuracy}_t

    A classifier of its own for every treatment names the domain of rows that were held out. :math:`T` are the
    treatments with two domains of two units each: a domain in which a treatment has a single unit is left out
    for that treatment, because nothing is left to learn it from while the unit is held out.

    Parameters
    ----------
    x
        Measurements, corrected or not, (n, d).
    domain, treatment
        Names, one per row. Controls are a treatment like any other: pass their rows alone to judge them alone.
    model
        Logistic regression (L2, C = 1, on standardised features) or a random forest of 100 trees.
    floor
        Replace every feature by an independent standard normal one: the accuracy in the same design when there
        is nothing to see.
    unit
        Subject of each row: the rows of one subject are never split over folds.
    weight
        How often each row counts, (n,), or (draws, n) from :func:`~jbc.metrics.bootstrap_weights`. Folds are
        the same in all draws, and the copies of a row stay together.
    folds
        Number of folds.
    rows
        At most this number of random rows of each domain and treatment are used.
    seed
        Seed of the choice, the folds, the floor and the forest.

    Returns
    -------
    ByTreatment

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(60, 3))
    >>> domain = np.repeat(["a", "b"], 30)
    >>> seen = domain_accuracy_by_treatment(x + 9 * (domain == "b")[:, None], domain, ["DMSO", "X"] * 30)
    >>> float(seen.accuracy), seen.chance, seen.treatments
    (1.0, 0.5, ('DMSO', 'X'))

    References
    ----------
    Tabak et al. (2020), Correcting nuisance variation using Wasserstein distance, section 2.5.3.
    """
    x = measurements(x, "The classifier")
    _, domain = checks.domains(domain, len(x))
    treatments, treatment = checks.codes(treatment, len(x), "treatment")
    _, unit = checks.codes(unit, len(x), "unit", single="row")
    times = counts(weight, len(x))
    rng = np.random.default_rng(seed)
    if floor:
        x = rng.standard_normal(x.shape, np.float32)
    each, chance, names = [], [], []
    for k, name in enumerate(treatments):
        some = np.flatnonzero(treatment == k)
        some = some[several_units(domain[some], unit[some])]
        if len(np.unique(domain[some])) < 2:
            continue
        some = some[_capped(domain[some], rows, rng)]
        fold = _folds(domain[some], unit[some], folds, rng)
        each.append([_score(x[some], domain[some], fold, model, seed, draw[some]) for draw in times])
        chance.append(np.bincount(domain[some]).max() / len(some))
        names.append(name)
    if not names:
        raise InputError(
            "No treatment has two domains of two units each",
            which=treatments,
            why="A classifier tells domains within a treatment, learned from some units and tested on others.",
            fix="Pass a treatment that is repeated over domains, such as the controls.",
            code="too-few-rows",
        )
    table = np.array(each).T if np.ndim(weight) == 2 else np.array(each)[:, 0]
    return ByTreatment(table.mean(axis=-1), float(np.mean(chance)), table, tuple(names))


def several_units(group: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return which rows belong to a group of at least two units."""
    _, group = np.unique(group, return_inverse=True)
    pairs = np.unique(np.stack([group, unit]), axis=1)
    return np.bincount(pairs[0])[group] > 1


def _cross_validate(
    x: Any, group: Any, what: str, unit: Any, folds: int, rows: int, seed: int
) -> CrossValidated:
    """Predict the group of every row from the folds it is not in."""
    x = measurements(x, "The classifier")
    names, code = checks.codes(group, len(x), what)
    _, unit = checks.codes(unit, len(x), "unit", single="row")
    rng = np.random.default_rng(seed)
    some = _capped(code, rows, rng)
    x, code, unit = x[some], code[some], unit[some]
    _enough(names, code, unit, what)
    fold = _folds(code, unit, folds, rng)
    accuracy = _score(x, code, fold, "logistic", seed, np.ones(len(code), np.int64))
    return CrossValidated(accuracy, float(np.bincount(code).max() / len(code)))


def _capped(code: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Return the positions of at most the given number of random rows of each group."""
    return np.concatenate([rng.permutation(np.flatnonzero(code == k))[:rows] for k in np.unique(code)])


def _score(
    x: np.ndarray, code: np.ndarray, fold: np.ndarray, model: Model, seed: int, times: np.ndarray
) -> float:
    """Return the accuracy on rows that are held out in turn; every row counts as often as ``times`` says."""
    from threadpoolctl import threadpool_limits

    x = _without_units(x)
    guess = np.full_like(code, -1)
    for held_out in (fold == k for k in np.unique(fold)):
        learned = np.repeat(np.flatnonzero(~held_out), times[~held_out])
        seen = np.unique(code[learned])
        if len(seen) == 1:
            # Units that occur in several groups can leave a fold with one of two groups to learn from.
            guess[held_out] = seen[0]
        elif len(seen):
            # Threads that wait for each other on a busy machine make such small fits up to 90 times slower.
            with threadpool_limits(1):
                guess[held_out] = _classifier(model, seed).fit(x[learned], code[learned]).predict(x[held_out])
    return float(np.average(guess == code, weights=times))


def _without_units(x: np.ndarray) -> np.ndarray:
    """Move every feature, and divide it by a power of 2 near its typical difference from there.

    The trees of a forest see nothing that differs by less than 1e-7, or by less than single precision does. A power
    of 2 changes no digit.

    Examples
    --------
    >>> _without_units(np.array([[1e8 - 3e-3, 7.0], [1e8, 7.0], [1e8 + 3e-3, 7.0]])).round(2).tolist()
    [[-1.54, 0.0], [0.0, 0.0], [1.54, 0.0]]
    """
    (x,) = moved(x)
    size = np.abs(x)
    differs = size > 0
    # The mean of logarithms: a few values far out do not count.
    power = np.log2(size, out=np.zeros_like(size), where=differs).sum(axis=0) / np.maximum(
        differs.sum(axis=0), 1
    )
    return x / np.exp2(np.floor(power))


def _classifier(model: Model, seed: int) -> Any:
    """Make an untrained classifier."""
    if model == "forest":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(random_state=seed)
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, tol=1e-3))


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
