r"""Maximum mean discrepancy between the rows of two domains, by the published protocol.

The joint-calibration papers draw 500 rows of each domain and repeat that (10 or 30 times). They print the
*root*: a squared MMD of 500 against 500 rows of one domain is at most 0.004, while the printed values after
calibration, close to the in-domain bound as the papers say, are about 0.07, the size of its root. So

.. math::

    \mathrm{MMD}(A, B) = \sqrt{\overline{k}_{AA} + \overline{k}_{BB} - 2\,\overline{k}_{AB}}, \qquad
    k(x, y) = \frac{1}{|S|} \sum_{\sigma \in S} \exp\left(-\frac{\|x - y\|^2}{2\sigma^2}\right),

where a bar is the mean over all pairs of rows, a row with itself included (the biased estimator, which is
never negative). The *mean* over bandwidths keeps the value between 0 and :math:`\sqrt2`; the training loss in
``jbc.losses.mmd`` is the square, with a *sum* over bandwidths.

Two domains without any difference have an MMD above 0, and the more so the fewer rows are drawn: compare with
:func:`mmd_within` at the same number of rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jbc.errors import InputError
from jbc.metrics._inputs import measurements, moved
from jbc.validation import checks

LADDER = (0.25, 0.5, 1.0, 2.0, 4.0)


def mmd(
    a: Any,
    b: Any,
    *,
    rows: int = 500,
    draws: int = 30,
    seed: int = 0,
    bandwidths: ArrayLike | None = None,
) -> np.ndarray:
    """Return the MMD between two tables, once for every random draw of their rows.

    Parameters
    ----------
    a, b
        Tables with the same columns, (n, d) and (m, d).
    rows
        Rows drawn of each table without replacement; all of a table that has fewer.
    draws
        Number of draws.
    seed
        Seed of the draws.
    bandwidths
        The σ of the kernels, the same in all draws. Without them, :func:`bandwidth_ladder` of the pooled
        rows. A value depends on its bandwidths: values before and after a correction can be compared in
        absolute terms only when the same bandwidths are passed to both calls, and only in one feature space.

    Returns
    -------
    (draws,) float64
        Their mean and standard deviation are what the papers print; they are no confidence interval, since
        the draws share rows.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(300, 5)), rng.normal(size=(300, 5))
    >>> mmd(a, b, rows=100).mean() < 0.1 < mmd(a, b + 1, rows=100).mean()
    np.True_

    References
    ----------
    Gretton et al. (2012), A kernel two-sample test; the papers of joint calibration for the protocol.
    """
    a, b = _tables(a, b)
    _at_least_one(rows, draws)
    squares = _squares(
        bandwidth_ladder(np.concatenate([a, b]), seed=seed) if bandwidths is None else bandwidths
    )
    rng = np.random.default_rng(seed)
    return np.array([_value(_some(a, rows, rng), _some(b, rows, rng), squares) for _ in range(draws)])


def mmd_within(
    a: Any,
    *,
    unit: Any = None,
    rows: int = 500,
    draws: int = 30,
    seed: int = 0,
    bandwidths: ArrayLike | None = None,
) -> np.ndarray:
    """Return the MMD between two disjoint halves of one table: the floor that no correction can pass.

    Parameters
    ----------
    a
        One domain's rows, (n, d).
    unit
        Subject of each row. Replicates of one subject then fall into the same half; otherwise the halves are
        more alike than two domains can be.
    rows, draws, seed, bandwidths
        As in :func:`mmd`. A half of a small table has fewer rows than a whole one, and fewer rows mean a
        larger value: compare with an :func:`mmd` of as many rows.

    Returns
    -------
    (draws,) float64

    Examples
    --------
    >>> a = np.random.default_rng(0).normal(size=(300, 5))
    >>> bool(mmd_within(a, rows=100).mean() < 0.1)
    True
    """
    (a,) = _tables(a)
    _at_least_one(rows, draws)
    _, unit = checks.codes(unit, len(a), "unit", single="row")
    units = unit.max() + 1
    if units < 2:
        raise InputError(
            "A table with a single unit cannot be halved",
            why="The floor is the difference between two halves of one domain.",
            fix="Pass at least two units (or rows).",
            code="too-few-rows",
        )
    squares = _squares(bandwidth_ladder(a, seed=seed) if bandwidths is None else bandwidths)
    rng = np.random.default_rng(seed)

    def draw() -> float:
        first = (rng.permutation(units) < units // 2)[unit]
        return _value(_some(a[first], rows, rng), _some(a[~first], rows, rng), squares)

    return np.array([draw() for _ in range(draws)])


def median_bandwidth(x: Any, *, rows: int = 1000, seed: int = 0) -> float:
    """Return the median distance between two different rows: a scale for the kernels.

    Parameters
    ----------
    x
        Pooled rows, (n, d).
    rows
        At most this number of random rows are looked at.
    seed
        Seed of the choice.

    Returns
    -------
    float
        When more than half of the pairs coincide (zeros, replicates), the median of the other pairs; 1 when
        all rows are equal.

    Examples
    --------
    >>> median_bandwidth([[0.0], [1.0], [3.0]])
    2.0
    """
    (x,) = _tables(x)
    some = _some(x, rows, np.random.default_rng(seed))
    between = _squared_distances(some, some)[np.triu_indices(len(some), k=1)]
    norm = np.square(some).sum(axis=1)
    # Distances from a matrix product leave a trace of rounding where rows coincide: a part of the norms of these.
    apart = between[between > 1e-12 * np.add.outer(norm, norm)[np.triu_indices(len(some), k=1)]]
    if not len(apart):
        return 1.0
    return float(np.sqrt(np.median(between if 2 * len(apart) > len(between) else apart)))


def bandwidth_ladder(x: Any, *, rows: int = 1000, seed: int = 0) -> np.ndarray:
    """Return the median distance times 1/4, 1/2, 1, 2 and 4: bandwidths to pass to several calls.

    Parameters
    ----------
    x, rows, seed
        As in :func:`median_bandwidth`.

    Examples
    --------
    >>> bandwidth_ladder([[0.0], [1.0], [3.0]]).tolist()
    [0.5, 1.0, 2.0, 4.0, 8.0]
    """
    return median_bandwidth(x, rows=rows, seed=seed) * np.array(LADDER)


def _value(a: np.ndarray, b: np.ndarray, squares: np.ndarray) -> float:
    """Return the MMD of all rows of two tables."""

    def mean(u: np.ndarray, v: np.ndarray) -> float:
        distances = _squared_distances(u, v)
        return float(np.mean([np.exp(distances / (-2 * square)).mean() for square in squares]))

    return float(np.sqrt(max(mean(a, a) + mean(b, b) - 2 * mean(a, b), 0.0)))


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return squared distances between all rows, by one matrix product."""
    norms = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    return np.maximum(norms - 2 * a @ b.T, 0)


def _some(x: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows without replacement; all of them when there are fewer."""
    return x[rng.choice(len(x), min(rows, len(x)), replace=False)]


def _tables(*tables: Any) -> list[np.ndarray]:
    """Check tables and move them together to where distances lose no digits."""
    checked = [measurements(table, "MMD") for table in tables]
    widths = [x.shape[1] for x in checked]
    if len(set(widths)) > 1:
        raise InputError(
            f"Tables with {widths[0]} and {widths[1]} columns",
            why="Distances between their rows need the same columns.",
            fix="Compare domains in one feature space.",
            code="bad-width",
        )
    return moved(*checked)


def _squares(bandwidths: ArrayLike) -> np.ndarray:
    """Check the bandwidths and square them."""
    sigma = np.asarray(bandwidths, dtype=np.float64).reshape(-1)
    if not (len(sigma) and np.isfinite(sigma).all() and (sigma > 0).all()):
        raise InputError(
            "Bandwidths must be positive numbers, got",
            which=sigma.tolist(),
            why="They are the widths of Gaussian kernels.",
            fix="Pass bandwidth_ladder of the pooled rows, or leave them out.",
            code="bad-bandwidths",
        )
    return np.square(sigma)


def _at_least_one(rows: int, draws: int) -> None:
    """Refuse protocols without rows or draws."""
    if rows < 1 or draws < 1:
        raise InputError(
            f"{rows} rows and {draws} draws",
            why="An MMD needs at least one of each.",
            fix="Pass positive numbers; the papers' are 500 and 30.",
            code="bad-draws",
        )
