"""What closed-form methods measure, and on which rows. Host code, NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.composition import Composition
from jbc.errors import InputError
from jbc.methods.missing import lacking
from jbc.methods.settings import On
from jbc.numerics.centring import sums
from jbc.numerics.linalg import average_of_others

# A direction whose variance is a smaller part of the largest one holds no digit of float32 to divide by.
RANK = 1e-10
BLOCK, FEWEST = 1 << 17, 16  # values in double precision at a time, and features

Seen = Callable[[np.ndarray, slice], np.ndarray]
"""What is measured of values in double precision, (n, k), of the features in a slice."""


class Moments(NamedTuple):
    """Rows of every domain, (groups, 1), their means, and their sums of squares about these, (groups, d).

    Where values are missing, counts are those of values, (groups, d).
    """

    count: np.ndarray
    mean: np.ndarray
    squares: np.ndarray

    @property
    def deviation(self) -> np.ndarray:
        """The (biased) standard deviations, (groups, d)."""
        return np.sqrt(self.squares / np.maximum(self.count, 1))


def measured(cohort: Cohort, on: On, *, lacked: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to measure, in double precision, and their domains; a row of weight k is there k times.

    Missing values are NaN; but a feature that a domain lacks is constant there, at the average centre of the other
    domains, as any feature that tells nothing of a domain's scale, unless ``lacked`` says otherwise.

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[1.0], [2.0], [3.0]], list("aab"), control=[1, 1, 1])
    >>> rows, domain = measured(cohort.weigh_rows([2, 0, 1]), "controls")
    >>> rows[:, 0].tolist(), domain.tolist()  # of domain a, the cohort keeps the row 2 first
    ([2.0, 2.0, 3.0], [0, 0, 1])
    """
    count = _times(cohort, on)
    rows, domain = (
        np.repeat(np.asarray(cohort.x), count, axis=0).astype(np.float64),
        np.asarray(cohort.domain),
    )
    if cohort.observed is not None:
        missing = ~np.asarray(cohort.observed)
        if lacked:
            missing &= ~lacking(cohort)[domain]
        rows[np.repeat(missing, count, axis=0)] = np.nan
    return rows, np.repeat(domain, count)


def moments(cohort: Cohort, on: On, seen: Seen | None = None) -> Moments:
    """Measure the rows of every domain, in double precision, but never the whole table at once.

    A feature that a domain lacks has the average mean of the other domains there.

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[1.0], [4.0], [7.0]], list("aab"))
    >>> [part.tolist() for part in moments(cohort, "all")]
    [[[2.0], [1.0]], [[2.5], [7.0]], [[4.5], [0.0]]]
    """
    if cohort.observed is not None:
        return _moments_of_observed(cohort, on, seen)
    x, times, domains = np.asarray(cohort.x), _times(cohort, on), len(cohort.domains.count)
    used = times > 0
    if not used.all():
        x, times = x[used], times[used]
    ends = np.searchsorted(np.asarray(cohort.domain)[used], np.arange(domains + 1)).tolist()
    found = Moments(np.zeros((domains, 1)), *np.zeros((2, domains, x.shape[1])))
    for g, (start, end) in enumerate(pairwise(ends)):
        weight = times[start:end].astype(np.float64)
        found.count[g] = weight.sum()
        width = max(BLOCK // max(end - start, 1), FEWEST)
        for first in range(0, x.shape[1] if end > start else 0, width):
            part = slice(first, first + width)
            rows = x[start:end, part].astype(np.float64)
            rows = rows if seen is None else seen(rows, part)
            found.mean[g, part] = weight @ rows / found.count[g]
            rows -= found.mean[g, part]
            found.squares[g, part] = weight @ np.square(rows, out=rows)
    return found


def rows_of_domains(cohort: Cohort, on: On) -> np.ndarray:
    """Return the number of rows of every domain that are measured, (groups,).

    Examples
    --------
    >>> rows_of_domains(Cohort.from_arrays([[1.0], [4.0], [7.0]], list("aab")), "all").tolist()
    [2, 1]
    """
    return np.add.reduceat(_times(cohort, on), np.asarray(cohort.domains.offset))


def _moments_of_observed(cohort: Cohort, on: On, seen: Seen | None) -> Moments:
    """Measure what every domain observed of every feature."""
    x, times = np.asarray(cohort.x), _times(cohort, on)[:, None] * np.asarray(cohort.observed)
    ends = np.append(np.asarray(cohort.domains.offset), len(x))
    found = Moments(*np.zeros((3, len(ends) - 1, x.shape[1])))
    for g, (start, end) in enumerate(pairwise(ends.tolist())):
        width = max(BLOCK // (end - start), FEWEST)
        for first in range(0, x.shape[1], width):
            part = slice(first, first + width)
            rows, weight = x[start:end, part].astype(np.float64), times[start:end, part].astype(np.float64)
            if seen is not None:
                with np.errstate(
                    invalid="ignore", divide="ignore"
                ):  # what stands for a missing value may have none
                    rows = np.where(weight > 0, seen(rows, part), 0)
            found.count[g, part] = weight.sum(axis=0)
            found.mean[g, part] = (weight * rows).sum(axis=0) / np.maximum(found.count[g, part], 1)
            found.squares[g, part] = (weight * np.square(rows - found.mean[g, part])).sum(axis=0)
    return found._replace(mean=average_of_others(found.mean, found.count == 0))


def located(cohort: Cohort, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return location and scale of every domain, given the populations, (groups, d) each, from rows (n, d).

    A feature that a domain lacks has the average location of the other domains there.
    """
    rows = (jnp.asarray(part) for part in (x, cohort.domain, cohort.counts))
    location, scale = _located(cohort.composition, *rows)
    location, scale = np.asarray(location, np.float64), np.asarray(scale, np.float64)
    return location if cohort.observed is None else average_of_others(location, lacking(cohort)), scale


@jax.jit
def _located(held: Composition, x: Array, domain: Array, weight: Array) -> tuple[Array, Array]:
    return held.location_and_scale(x, domain, weight)


def given_populations(
    cohort: Cohort, rows: np.ndarray, domain: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return locations of domains given the populations, and rows of every domain less the mean of their population.

    ``rows`` and ``domain`` are those of :func:`measured`, on all rows.
    """
    held = cohort.composition
    assert held is not None
    table = (jnp.asarray(part) for part in (cohort.x, cohort.domain, cohort.counts))
    location = np.asarray(held.location_and_scale(*table)[0], np.float64)
    kind = np.repeat(np.asarray(held.membership).argmax(axis=1), np.asarray(cohort.weight))
    cell = np.unique(domain * held.membership.shape[1] + kind, return_inverse=True)[1]
    total = np.zeros((cell.max() + 1, rows.shape[1]))
    np.add.at(total, cell, np.nan_to_num(rows))
    number = np.bincount(cell)[:, None]
    if cohort.observed is not None:
        number = np.zeros_like(total)
        np.add.at(number, cell, ~np.isnan(rows))
    rest = rows - (total / np.maximum(number, 1))[cell]
    return location, [rest[domain == g] for g in range(len(location))]


def _times(cohort: Cohort, on: On) -> np.ndarray:
    """Return how often each row counts."""
    return np.asarray(cohort.weight) * (np.asarray(cohort.control) if on == "controls" else 1)


def spread_of_all(cohort: Cohort) -> np.ndarray:
    """Return the standard deviations of the features over all rows: their scale where controls tell of none.

    Examples
    --------
    >>> spread_of_all(Cohort.from_arrays([[1.0], [3.0]], list("ab"))).tolist()
    [1.0]
    """
    x, counts = np.asarray(cohort.x), np.asarray(cohort.counts)
    weight = counts[:, None] if counts.ndim == 1 else counts
    number = np.maximum(weight.sum(axis=0), 1)
    total, _ = sums(x, weight)
    _, squares = sums(x, weight, total / number)
    return np.sqrt(squares / number)


def rank(covariance: np.ndarray) -> int:
    """Count the directions with a variance to divide by."""
    return int(np.linalg.matrix_rank(covariance, rtol=RANK, hermitian=True))


def no_inverse(what: str, which: Sequence[str] | None) -> InputError:
    """Make the error of covariances that cannot be inverted without regularisation."""
    return InputError(
        what,
        which=which,
        why="Without ridge, they would be divided by a standard deviation of 0.",
        fix="Use ridge=1, or leave out repeated features and have more controls than features.",
        code="singular-covariance",
    )
