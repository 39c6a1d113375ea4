"""Which variable causes the batch effect? Columns of a table, ranked by how strongly they separate rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from typing import Any, Literal, NamedTuple

import numpy as np

from jbc.errors import InputError
from jbc.metrics._inputs import measurements, moved
from jbc.numerics.linalg import principal_axes
from jbc.validation import checks, names

# A column of numbers with more different values than this has a trend; any other column has categories.
CATEGORIES = 20
# A trend along numbers: a polynomial of their ranks.
DEGREE = 3


class Variable(NamedTuple):
    """How strongly rows are separated by one column.

    Attributes
    ----------
    name : str
        The column.
    kind : str
        ``"categories"``, which have a mean each, or ``"numbers"``, which have a trend.
    levels : int
        Number of different values.
    rows : int
        Number of rows with a known value.
    share : float
        Share of the variance of these rows that the column explains, less what chance does: 0 on average for a column
        without any meaning, whatever its number of levels, and a little below it by chance.
    p : float
        How often shuffled columns explain as much, as :attr:`PermutationTest.p`.
    components : (k,)
        The same as ``share`` for each of the first principal components.

    Examples
    --------
    >>> Variable("plate", "categories", 3, 90, 0.4, 0.005, np.array([0.9, 0.1])).share
    0.4
    """

    name: str
    kind: Literal["categories", "numbers"]
    levels: int
    rows: int
    share: float
    p: float
    components: np.ndarray


class Ranking(NamedTuple):
    """Columns, those that explain most first, and what can be said of them.

    Attributes
    ----------
    variables : tuple of Variable
        The ranked columns.
    confounded : tuple of (str, str, float)
        Pairs of columns that can hardly be told apart, and their association: Cramér's V of two lists of categories,
        the correlation ratio of numbers in categories, the rank correlation of two columns of numbers. At 1, one of
        the columns follows from the other: no table of these rows can tell which of the two is the cause.
    left_out : dict
        Columns that explain nothing or everything by themselves, and why.
    component_share : (k,)
        Share of the variance that each of the first principal components holds.

    Examples
    --------
    >>> Ranking((), (("plate", "day", 1.0),), {}, np.array([0.6])).confounded
    (('plate', 'day', 1.0),)
    """

    variables: tuple[Variable, ...]
    confounded: tuple[tuple[str, str, float], ...]
    left_out: dict[str, str]
    component_share: np.ndarray


class _Column(NamedTuple):
    """Codes, or ranks between -1 and 1, of the rows whose value is known."""

    kind: Literal["categories", "numbers"]
    known: np.ndarray
    value: np.ndarray
    levels: int


def rank_variables(
    x: Any,
    table: Any,
    *,
    unit: Any = None,
    categories: Collection[str] = (),
    components: int = 3,
    shuffles: int = 199,
    confounded: float = 0.9,
    seed: int = 0,
) -> Ranking:
    r"""Rank the columns of a table by how strongly they separate rows.

    A picture of two principal components, coloured by one column after another, shows what causes a batch effect to
    an eye that knows where to look. This looks at all columns and all directions:

    .. math:: \text{share} = \frac{R^2 - \bar R^2}{1 - \bar R^2}, \qquad
              R^2 = \frac{\lVert H x \rVert^2}{\lVert x - \bar x \rVert^2}

    with H the projection on the means of categories, or on a cubic trend along the ranks of numbers (a run order, an
    age), and :math:`\bar R^2` its mean over shuffles of the column. So a column of fifty levels has no advantage over
    one of two. Without units, the share is the adjusted :math:`R^2` of redundancy analysis, but for the noise of the
    shuffles.

    Parameters
    ----------
    x
        Measurements, (n, d), such as logarithms; features with a large variance count most, as in a picture of
        principal components.
    table
        Columns by name, with a value for every row: a mapping, or a data frame such as ``adata.obs``. Numbers with
        more than 20 different values are numbers, all others categories. Rows where a value is unknown (-1, None,
        NaN or ``""``; in numbers, None or NaN) are left out for that column.
    unit
        Unit of each row. Rows of a unit that share a level, or follow one another along numbers, are shuffled
        together: replicates of a subject are alike whatever the plate that the subject is on. By default every row
        is a unit.
    categories
        Columns of numbers that are categories, however many there are.
    components
        Number of principal components that are looked at one by one.
    shuffles
        Number of shuffles of every column; p is at least 1 / (1 + shuffles).
    confounded
        Pairs of columns with at least this association are told.
    seed
        Seed of the shuffles.

    Returns
    -------
    Ranking

    Notes
    -----
    A share tells how much of the variance goes with a column, not whether it is technical: a diagnosis explains some
    as well. Neither does it tell causes apart that go together: see :attr:`Ranking.confounded`.

    Every shuffle reads the table once. Of a large one, pass some components: ``jbc.plots.pca(x, components=50)``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> plate, sex = np.repeat(["p1", "p2", "p3"], 40), ["f", "m"] * 60
    >>> x = rng.normal(size=(120, 5)) + 2.0 * (plate == "p2")[:, None]
    >>> found = rank_variables(x, {"plate": plate, "sex": sex, "order": np.arange(120)})
    >>> [(each.name, round(each.share, 1), each.p) for each in found.variables]
    [('plate', 0.4, 0.005), ('order', 0.2, 0.005), ('sex', -0.0, 0.77)]
    >>> [(one, other, round(value, 2)) for one, other, value in found.confounded]
    [('plate', 'order', 0.94)]

    References
    ----------
    Peres-Neto, Legendre, Dray and Borcard (2006), Variation partitioning of species data matrices.
    """
    (x,) = moved(measurements(x, "The ranking of variables"))
    x = x - x.mean(axis=0)
    size, axes = principal_axes(x, min(x.shape))
    coords, total = x @ axes, float((x**2).sum())
    owner = checks.codes(unit, len(x), "unit", "row")[1]
    columns = {str(name): _read(str(name), table[name], len(x), categories) for name in table}
    if not columns or shuffles < 1:
        raise InputError(
            f"{len(columns)} columns and {shuffles} shuffles",
            why="Columns explain the variance of rows, and shuffles tell what chance explains.",
            fix="Pass a table with columns, and a positive number of shuffles.",
            code="nothing-to-evaluate",
        )
    rng, found, left_out = np.random.default_rng(seed), [], {}
    for name, column in columns.items():
        block = _blocks(column, owner[column.known])
        blocks = block.max(initial=-1) + 1
        if column.levels < 2:
            left_out[name] = "a single value"
        elif _freedom(column) >= blocks - 1:
            left_out[name] = "as many values as there are rows, or groups of rows that belong together"
        else:
            found.append(_explained(name, column, block, coords, components, shuffles, rng))
    ranked = tuple(sorted(found, key=lambda each: -each.share))
    pairs = _confounded({each.name: columns[each.name] for each in ranked}, confounded)
    return Ranking(ranked, pairs, left_out, size[:components] ** 2 / (total or 1))


def _read(name: str, given: Any, n: int, categories: Collection[str]) -> _Column:
    """Return a column as codes or as ranks."""
    from scipy.stats import rankdata

    raw = np.asarray(given)
    if raw.dtype.kind in "mM":
        given = np.where(np.isnat(raw), np.nan, raw.astype(np.int64).astype(np.float64))
    values = checks.one_per_row(given, n, name)
    lost = np.array([names.unknown(each) and each != -1 for each in values], bool)
    numeric = all(
        isinstance(each, int | float | np.number) and not isinstance(each, bool) for each in values[~lost]
    )
    if numeric and name not in categories and len(set(values[~lost].tolist())) > CATEGORIES:
        level, rank = np.unique(values[~lost].astype(np.float64)), rankdata(values[~lost].astype(np.float64))
        return _Column("numbers", np.flatnonzero(~lost), 2 * (rank - 0.5) / len(rank) - 1, len(level))
    _, code = checks.labels(
        [each if lacks else names.name(each) for each, lacks in zip(values, lost, strict=True)], n
    )
    known = np.flatnonzero(code >= 0)
    return _Column("categories", known, code[known], int(code.max(initial=-1)) + 1)


def _blocks(column: _Column, owner: np.ndarray) -> np.ndarray:
    """Return which rows are shuffled together: those of one unit and level, or one after the other along numbers."""
    if column.kind == "categories":
        return np.unique(np.stack([owner, column.value]), axis=1, return_inverse=True)[1].reshape(-1)
    order = np.lexsort((owner, column.value))
    block = np.empty(len(order), np.int64)
    block[order] = np.concatenate([[0], np.cumsum(np.diff(owner[order]) != 0)])
    return block


def _freedom(column: _Column) -> int:
    return column.levels - 1 if column.kind == "categories" else DEGREE


def _explained(
    name: str,
    column: _Column,
    block: np.ndarray,
    coords: np.ndarray,
    components: int,
    shuffles: int,
    rng: np.random.Generator,
) -> Variable:
    """Return what a column explains, of everything and of the first components, and what its shuffles do."""
    rows = coords[column.known] - coords[column.known].mean(axis=0)
    total = (rows**2).sum(axis=0)
    weight = np.bincount(block)
    sums = np.zeros((len(weight), rows.shape[1]))
    np.add.at(sums, block, rows)
    value = np.bincount(block, column.value) / weight
    project = (
        _by_levels(sums, weight, value) if column.kind == "categories" else _by_trend(sums, weight, value)
    )

    def explained(order: np.ndarray) -> np.ndarray:
        """Return R² of everything, and of the components, when blocks come in this order."""
        parts = project(order)
        of_components = np.divide(parts, total, where=total > 0, out=np.zeros(len(total)))
        return np.concatenate([[parts.sum() / (total.sum() or 1)], of_components[:components]])

    observed = explained(np.arange(len(weight)))
    null = np.stack([explained(rng.permutation(len(weight))) for _ in range(shuffles)])
    chance = null.mean(axis=0)
    share = (observed - chance) / (1 - chance)
    p = (1 + (null[:, 0] >= observed[0] * (1 - 1e-9)).sum()) / (1 + shuffles)
    return Variable(name, column.kind, column.levels, len(rows), float(share[0]), float(p), share[1:])


def _by_levels(sums: np.ndarray, weight: np.ndarray, value: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of the order of blocks: the sum of squares of the means of levels, by direction."""
    by_level = np.argsort(value, kind="stable")
    starts = np.unique(value[by_level], return_index=True)[1]

    def project(order: np.ndarray) -> np.ndarray:
        given = order[by_level]
        size = np.add.reduceat(weight[given], starts)
        return (np.add.reduceat(sums[given], starts) ** 2 / size[:, None]).sum(axis=0)

    return project


def _by_trend(sums: np.ndarray, weight: np.ndarray, value: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of the order of blocks: the sum of squares of a polynomial trend, by direction."""
    # A block of w rows is its mean, with weight w: the trend is constant in it.
    root, design = np.sqrt(weight)[:, None], np.polynomial.legendre.legvander(value, DEGREE)
    means = sums / root

    def project(order: np.ndarray) -> np.ndarray:
        # The block at a place gets its value; a constant comes first, and is no part of the trend.
        basis, _ = np.linalg.qr(root[order] * design)
        return ((basis[:, 1:].T @ means[order]) ** 2).sum(axis=0)

    return project


def _confounded(columns: dict[str, _Column], least: float) -> tuple[tuple[str, str, float], ...]:
    """Return pairs of columns with a strong association, the strongest first."""
    pairs = []
    for (one, a), (other, b) in itertools.combinations(columns.items(), 2):
        both, at, to = np.intersect1d(a.known, b.known, assume_unique=True, return_indices=True)
        value = _association(a, a.value[at], b, b.value[to]) if len(both) > 1 else 0.0
        if value >= least:
            pairs.append((one, other, value))
    return tuple(sorted(pairs, key=lambda pair: -pair[2]))


def _association(one: _Column, a: np.ndarray, other: _Column, b: np.ndarray) -> float:
    """Return Cramér's V, the correlation ratio or the rank correlation; 0 where a column is constant."""
    from scipy.stats import chi2_contingency

    if len(np.unique(a)) < 2 or len(np.unique(b)) < 2:
        return 0.0
    if one.kind == other.kind == "numbers":
        return float(abs(np.corrcoef(a, b)[0, 1]))
    if one.kind == other.kind == "categories":
        i, j = (np.unique(each, return_inverse=True)[1] for each in (a, b))
        counts = np.zeros((i.max() + 1, j.max() + 1))
        np.add.at(counts, (i, j), 1)
        found: Any = chi2_contingency(counts, correction=False)
        return float(np.sqrt(found.statistic / (len(a) * (min(counts.shape) - 1))))
    group, number = (a, b) if one.kind == "categories" else (b, a)
    size, number = np.bincount(group), number - number.mean()
    between = np.bincount(group, number) ** 2 / np.maximum(size, 1)
    return float(np.sqrt(between.sum() / (number**2).sum()))
