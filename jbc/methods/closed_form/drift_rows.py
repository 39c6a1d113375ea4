"""The rows that drift is measured on, and what of them is refused or told. Host code, NumPy only."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jbc.cohort import Cohort
from jbc.errors import SHOWN, InputError, enumeration, listing, warn
from jbc.numerics.smoothing import median


class Rows(NamedTuple):
    """Rows in double precision; a row of weight k is there k times.

    Attributes
    ----------
    y
        Measurements, or their logarithms, (n, d).
    there
        1 where they are known, else 0, (n, d).
    domain, place, control
        Domain, place in the run, and whether it is a control, (n,).
    """

    y: np.ndarray
    there: np.ndarray
    domain: np.ndarray
    place: np.ndarray
    control: np.ndarray

    def some(self, rows: np.ndarray) -> Rows:
        """Return some of the rows."""
        return Rows(*(part[rows] for part in self))

    def of(self, domain: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return places, measurements, and where these are known, of one domain."""
        here = self.domain == domain
        return self.place[here], self.y[here], self.there[here]


def read(cohort: Cohort, *, ratio: bool) -> Rows:
    """Return the rows of a cohort: with logarithms of positive values, where ratios are measured.

    Examples
    --------
    >>> read(Cohort.from_arrays([[1.0, -1.0]], ["a"]), ratio=True).there.tolist()
    [[1.0, 0.0]]
    """
    times = np.asarray(cohort.weight)
    y = np.repeat(np.asarray(cohort.x), times, axis=0).astype(np.float64)
    there = np.ones(y.shape, bool)
    if cohort.observed is not None:
        there = np.repeat(np.asarray(cohort.observed), times, axis=0)
    if ratio:
        y += 0 if cohort.offset is None else np.asarray(cohort.offset, np.float64)
        there &= y > 0
        y = np.log(np.where(there, y, 1))
    place = np.zeros(len(times)) if cohort.order is None else np.asarray(cohort.order, np.float64)
    beside = (np.repeat(part, times) for part in (cohort.domain, place, cohort.control))
    return Rows(np.where(there, y, 0), there.astype(np.float64), *map(np.asarray, beside))


def controls(cohort: Cohort) -> np.ndarray:
    """Return which rows are controls that count, (n,)."""
    return np.asarray(cohort.control) & (np.asarray(cohort.weight) > 0)


def less_populations(rows: Rows, cohort: Cohort) -> Rows:
    """Return rows less the mean of their population in their domain, where mixtures differ.

    Along a run, too, populations come and go.
    """
    held = cohort.composition
    if held is None:
        return rows
    kind = np.repeat(np.asarray(held.membership).argmax(axis=1), np.asarray(cohort.weight))
    cell = np.unique(rows.domain * held.membership.shape[1] + kind, return_inverse=True)[1]
    total, count = (np.zeros((cell.max() + 1, rows.y.shape[1])) for _ in range(2))
    np.add.at(total, cell, rows.y)
    np.add.at(count, cell, rows.there)
    return rows._replace(y=(rows.y - (total / np.maximum(count, 1))[cell]) * rows.there)


def of_populations(rows: Rows, cohort: Cohort, level: np.ndarray) -> np.ndarray:
    """Return the levels of domains given the populations, where mixtures differ; otherwise those given, (D, d)."""
    held = cohort.composition
    if held is None:
        return level
    middle = np.stack([median(*rows.of(g)[1:]) for g in range(len(level))])
    y = np.where(rows.there > 0, rows.y, middle[rows.domain])
    at = np.repeat(np.arange(len(cohort.domain)), np.asarray(cohort.weight))
    first = np.zeros((len(cohort.domain), y.shape[1]))
    first[at] = y  # repeated rows are equal
    table = (jnp.asarray(part) for part in (first.astype(np.float32), cohort.domain, cohort.weight))
    found = np.asarray(held.location_and_scale(*table)[0], np.float64)
    return np.where(np.isnan(level), np.nan, found)


def beside(rows: Rows, level: np.ndarray, with_controls: np.ndarray) -> np.ndarray:
    """Return levels in which domains without controls stand to the others as their rows do to all of the others'."""
    if with_controls.all() or not with_controls.any():
        return level
    every = np.stack([_middle(*rows.of(g)[1:]) for g in range(len(level))])
    usual = _mean(level[with_controls]) - _mean(every[with_controls])
    return np.where(with_controls[:, None], level, every + usual)


def differences(cohort: Cohort, level: np.ndarray) -> np.ndarray:
    """Return how far levels of domains lie from their average, (D, d): 0 where one is not known, with a warning."""
    average = _mean(level)
    unknown = np.argwhere(np.isnan(level) & ~np.isnan(level).all(axis=0) & _observed(cohort))
    if len(unknown):
        names = cohort.names
        where = [f"{names.features[j]!r} in {names.domains[g]!r}" for g, j in unknown[:SHOWN]]
        warn(
            f"Features that no control tells of in a domain: {enumeration(where, len(unknown))}. They are left as "
            "they are there."
        )
    return np.where(np.isnan(level), 0, level - average)


def _observed(cohort: Cohort) -> np.ndarray:
    """Return which features a domain has any value of, (D, d): of others, another warning tells."""
    if cohort.observed is None:
        return np.ones((len(cohort.domains.count), cohort.x.shape[1]), bool)
    return np.add.reduceat(np.asarray(cohort.observed), np.asarray(cohort.domains.offset), axis=0) > 0


def _middle(y: np.ndarray, there: np.ndarray) -> np.ndarray:
    return np.where((there > 0).any(axis=0), median(y, there), np.nan)


def _mean(level: np.ndarray) -> np.ndarray:
    """Return the average over domains where it is known, (d,); NaN where it is nowhere."""
    known = ~np.isnan(level)
    total, count = np.where(known, level, 0).sum(axis=0), known.sum(axis=0)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def refuse_not_positive(cohort: Cohort) -> None:
    """Refuse features most of whose values are negative, on behalf of a method that measures ratios.

    Where there are no controls, and populations of all rows are compared, every value that is not positive.
    """
    x = np.asarray(cohort.x)
    zero = 0 if cohort.offset is None else -np.asarray(cohort.offset)
    known = np.full(x.shape, True) if cohort.observed is None else np.asarray(cohort.observed)
    bad = ((x < zero) & known).sum(axis=0) > ((x > zero) & known).sum(axis=0)
    if not controls(cohort).any():
        bad = ((x <= zero) & known).any(axis=0)
    if bad.any():
        raise InputError(
            "Features with values that are negative, or 0 where no row is a control",
            which=[cohort.names.features[j] for j in np.flatnonzero(bad)],
            why="Ratios are measured by logarithms, which only positive values have.",
            fix='Mark controls; use form="difference" for what are logarithms already, or is standardised.',
            code="not-positive",
        )


def warn_without_controls(cohort: Cohort) -> None:
    """Warn of domains without controls, where others have some."""
    control, domain = controls(cohort), np.asarray(cohort.domain)
    lacking = np.bincount(domain[control], minlength=len(cohort.names.domains)) == 0
    if control.any() and lacking.any():
        names = [name for name, lacks in zip(cohort.names.domains, lacking, strict=True) if lacks]
        warn(
            f"Domains without controls: {listing(names)}. They are corrected by all of their rows, as if they held "
            "the same samples as the other domains."
        )


def warn_beyond(cohort: Cohort, least: int) -> None:
    """Warn of rows before the first control of their domain or after the last, where controls can tell of drift.

    Controls at ``least`` different places can.
    """
    if cohort.order is None:
        return
    control, domain, place = controls(cohort), np.asarray(cohort.domain), np.asarray(cohort.order)
    found, used = [], np.asarray(cohort.weight) > 0
    for g, name in enumerate(cohort.names.domains):
        known = np.unique(place[control & (domain == g)])
        here = place[used & (domain == g)]
        if len(known) >= least and (number := int(((here < known[0]) | (here > known[-1])).sum())):
            found.append((number, f"{number} in {name!r}"))
    if found:
        warn(
            f"Rows before the first control of their domain or after its last one, {sum(n for n, _ in found)}: "
            f"{enumeration([text for _, text in found])}. No control tells of drift there: the correction stays what "
            "it is at the nearest control."
        )
