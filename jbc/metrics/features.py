"""Which features differ between classes: in every domain by a test, and in how many bootstrap samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from jbc.errors import InputError
from jbc.metrics._inputs import measurements, moved, positions
from jbc.metrics.bootstrap import bootstrap_weights
from jbc.metrics.permutation import one_label_a_unit
from jbc.validation import checks

Test = Literal["rank-sum", "welch"]


class DifferentialFeatures(NamedTuple):
    """What differs between two classes in every domain; arrays are (G, d), for the G domains that were tested.

    Attributes
    ----------
    domains : tuple
        Names of the domains with two units or more of either class.
    units : (G, 2) int
        Units of the other classes, and of the positive one.
    difference : (G, d)
        Mean of the units of the positive class, less that of the others.
    p, q : (G, d)
        Two-sided p values, and what Benjamini and Hochberg make of those of a domain: among the features with q of
        at most 5 %, on average no more than 5 % are false discoveries.

    Examples
    --------
    >>> p, q = np.array([[0.04, 0.01]]), np.array([[0.04, 0.02]])
    >>> DifferentialFeatures(("a",), np.array([[9, 9]]), np.zeros((1, 2)), p, q).selected(0.03).tolist()
    [[False, True]]
    """

    domains: tuple[str, ...]
    units: np.ndarray
    difference: np.ndarray
    p: np.ndarray
    q: np.ndarray

    def selected(self, level: float = 0.05, *, adjusted: bool = True) -> np.ndarray:
        """Return which features differ, (G, d) bool: by q, or by p where ``adjusted`` is False."""
        return (self.q if adjusted else self.p) <= level


class Biomarkers(NamedTuple):
    """How often every feature is selected; arrays are (G, d), for the G domains that were tested.

    Attributes
    ----------
    domains : tuple
        Names of the domains with two units or more of either class.
    frequency : (G, d)
        Share of the bootstrap samples in which a feature is selected.
    p : (G, d)
        Two-sided p values on all units.
    selected : (G, d) bool
        The biomarkers of every domain.

    Examples
    --------
    >>> Biomarkers(("a",), np.array([[0.95]]), np.array([[0.01]]), np.array([[True]])).selected.sum(axis=1).tolist()
    [1]
    """

    domains: tuple[str, ...]
    frequency: np.ndarray
    p: np.ndarray
    selected: np.ndarray


class _Units(NamedTuple):
    """Means of units in their domains, which of them are positive, and their domain."""

    x: np.ndarray
    positive: np.ndarray
    place: np.ndarray
    domains: tuple[str, ...]


def differential_features(
    x: Any, label: Any, domain: Any = None, *, unit: Any = None, positive: Any = None, test: Test = "rank-sum"
) -> DifferentialFeatures:
    """Test in every domain whether the features differ between classes, with control of false discoveries.

    Parameters
    ----------
    x
        Measurements, corrected or not, (n, d); logarithms, where effects are factors.
    label
        Class of each row; rows where it is unknown (-1, None, NaN or ``""``) are left out, and so are domains with
        fewer than two units of either class.
    domain
        Domain of each row; by default all rows are of one.
    unit
        Unit of each row. Its rows in a domain are averaged first: replicates of one subject are no independent
        evidence, and p values of rows would be far too small. By default every row is a unit.
    positive
        The class that is compared with all others; by default the last one of two.
    test
        ``"rank-sum"`` (Wilcoxon, Mann and Whitney): the same for values and their logarithms, and few values far out
        or many zeros do no harm. ``"welch"``: a t test without equal variances, with more power on logarithms of few
        units. Both are SciPy's.

    Returns
    -------
    DifferentialFeatures

    Notes
    -----
    The many-batch paper (its Figure S1a) took BPSC, a Beta-Poisson model of counts in single cells, with p < 0.05.
    Peaks of a mass spectrum are no counts, and the model has no maintained program in Python: this is another test.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> label, domain = np.array(["case", "control"] * 40), np.repeat(["plate 1", "plate 2"], 40)
    >>> x = rng.normal(size=(80, 5))
    >>> x[label == "case", 0] += 2  # the first feature differs
    >>> found = differential_features(x, label, domain, positive="case")
    >>> found.domains, found.selected().astype(int).tolist()
    (('plate 1', 'plate 2'), [[1, 0, 0, 0, 0], [1, 0, 0, 0, 0]])

    References
    ----------
    Benjamini and Hochberg (1995), Controlling the false discovery rate.
    """
    from scipy.stats import false_discovery_control

    found = _by_unit(x, label, domain, unit, positive)
    parts = [(found.x[found.place == g], found.positive[found.place == g]) for g in range(len(found.domains))]
    p = np.stack([_p_values(rows, case, test) for rows, case in parts])
    return DifferentialFeatures(
        domains=found.domains,
        units=np.array([[(~case).sum(), case.sum()] for _, case in parts]),
        difference=np.stack([rows[case].mean(axis=0) - rows[~case].mean(axis=0) for rows, case in parts]),
        p=p,
        q=np.asarray(false_discovery_control(p, axis=1)),
    )


def biomarkers(
    x: Any,
    label: Any,
    domain: Any = None,
    *,
    unit: Any = None,
    positive: Any = None,
    test: Test = "rank-sum",
    select: Callable[[np.ndarray, np.ndarray], Any] | None = None,
    level: float = 0.05,
    frequency: float = 0.9,
    draws: int = 100,
    seed: int = 0,
) -> Biomarkers:
    """Find the features that are selected in nearly all bootstrap samples of the units of a domain.

    A biomarker is selected in more than 90 % of the samples, and has p < 0.05 on all units. Units are drawn within
    their class, so that every sample has as many of either class as the domain.

    Parameters
    ----------
    x, label, domain, unit, positive, test
        As in :func:`differential_features`.
    select
        A function of rows (m, d) and of which of them are positive (m,), that returns which features it selects (d,):
        those with a coefficient in a sparse model, for instance. By default, those with p < ``level``.
    level
        Largest p value, in the samples and on all units.
    frequency
        Share of the samples that a biomarker exceeds.
    draws
        Number of bootstrap samples.
    seed
        Seed of the samples.

    Returns
    -------
    Biomarkers

    Notes
    -----
    The two-batch paper (its Figure 3a) prints the two thresholds, "model selection frequency > 90 %" and p < 0.05. It
    tells neither the model, nor the test, nor how samples were drawn: units, bootstrap and rank-sum test are ours.

    A bootstrap sample repeats the chance effect of the units that it is drawn from, and adds its own, so that a
    feature without any effect passes p < 0.05 in 17 % of the samples on average. To pass in 90 % it needs a
    z of about 1.96 + 1.28 on all units: the rule is about p < 0.0012.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> label = np.array(["case", "control"] * 40)
    >>> x = rng.normal(size=(80, 5)) + 2 * np.outer(label == "case", [1, 0, 0, 0, 0])
    >>> biomarkers(x, label, draws=20).selected.astype(int).tolist()
    [[1, 0, 0, 0, 0]]
    """
    found = _by_unit(x, label, domain, unit, positive)
    pick = (lambda rows, case: _p_values(rows, case, test) < level) if select is None else select
    weight = bootstrap_weights(found.positive, found.place, draws=draws, seed=seed)
    shares, p = [], []
    for g in range(len(found.domains)):
        own = np.flatnonzero(found.place == g)
        drawn = (np.repeat(own, each[own]) for each in weight)
        picked = [np.asarray(pick(found.x[rows], found.positive[rows]), bool) for rows in drawn]
        shares.append(np.mean(picked, axis=0))
        p.append(_p_values(found.x[own], found.positive[own], test))
    share, value = np.stack(shares), np.stack(p)
    return Biomarkers(found.domains, share, value, (share > frequency) & (value < level))


def _by_unit(x: Any, label: Any, domain: Any, unit: Any, positive: Any) -> _Units:
    """Average the rows of every unit in every domain, and keep the domains in which classes can be compared."""
    (x,) = moved(measurements(x, "A test of features"))
    classes, code = checks.labels(label, len(x))
    names, place = checks.domains(domain, len(x))
    owner = checks.codes(unit, len(x), "unit", "row")[1]
    case = _positive(classes, code, positive)
    known = code >= 0
    one_label_a_unit(code[known], owner[known], unit)
    cells, first, member = np.unique(
        np.stack([place, owner])[:, known], axis=1, return_index=True, return_inverse=True
    )
    member, one = member.reshape(-1), x[known][first]
    more = np.zeros_like(one)  # equal rows have exactly their mean, so that ties stay ties
    np.add.at(more, member, x[known] - one[member])
    mean, case, place = one + more / np.bincount(member)[:, None], case[known][first], cells[0]
    counts = np.stack([np.bincount(place[case == side], minlength=len(names)) for side in (False, True)])
    kept = np.flatnonzero((counts >= 2).all(axis=0))
    if not len(kept):
        raise InputError(
            "No domain has two units of either class",
            why="Classes are compared within domains, by units.",
            fix="Pass labels of more units.",
            code="nothing-to-evaluate",
        )
    rows = np.isin(place, kept)
    return _Units(mean[rows], case[rows], np.searchsorted(kept, place[rows]), tuple(names[k] for k in kept))


def _positive(classes: tuple[Any, ...], code: np.ndarray, positive: Any) -> np.ndarray:
    """Return which rows are of the positive class."""
    if positive is None and len(classes) != 2:
        raise InputError(
            f"{len(classes)} classes, and none of them is named",
            which=classes,
            why="Two groups are compared: one class and all others.",
            fix="Pass positive=.",
            code="which-class",
        )
    return code == (1 if positive is None else positions(classes, [positive])[0])


def _p_values(rows: np.ndarray, case: np.ndarray, test: Test) -> np.ndarray:
    """Return the two-sided p value of every feature; 1 where it is constant."""
    from scipy import stats

    if test not in get_args(Test):
        raise InputError(
            f"Unknown test {test!r}",
            why="It compares the units of two classes.",
            fix=f"Use test={' or test='.join(map(repr, get_args(Test)))}.",
            code="bad-setting",
        )
    p, steps = np.ones(rows.shape[1]), np.diff(np.sort(rows, axis=0), axis=0)
    # SciPy's rank test is exact for few units, but not where any of the features has ties.
    tied, varies = (steps == 0).any(axis=0), (steps > 0).any(axis=0)
    for some in (varies & tied, varies & ~tied):
        if some.any():
            a, b = rows[case][:, some], rows[~case][:, some]
            with warnings.catch_warnings(), np.errstate(divide="ignore"):
                warnings.simplefilter(
                    "ignore", RuntimeWarning
                )  # of features that are constant within classes
                found: Any = (
                    stats.mannwhitneyu(a, b, axis=0)
                    if test == "rank-sum"
                    else stats.ttest_ind(a, b, axis=0, equal_var=False)
                )
            p[some] = found.pvalue
    return p
