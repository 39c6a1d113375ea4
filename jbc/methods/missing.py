"""Missing values: which features a domain lacks, and what stands in the place of a value that is missing.

Statistics are those of observed values. What has to read whole rows, a network or a matrix, reads the centre of the
row's domain where nothing was observed, and losses leave it out. Host code.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.roles import TARGET
from jbc.errors import SHOWN, InputError, enumeration
from jbc.methods.base import Method
from jbc.methods.inputs import Inputs, signed_exponential, signed_logarithm
from jbc.numerics.imputation import draw_missing
from jbc.numerics.linalg import average_of_others

FEWEST = 2  # observed values by which a feature is measured in a domain


def complete(method: Method, cohort: Cohort) -> Cohort:
    """Return a cohort whose missing values are filled in, and are still marked; a complete one as it is.

    In the place of a missing value stands the centre of what its domain observed: given the row's population, where
    the cohort knows populations. A feature of which a domain observed fewer than two values, among the rows that the
    method measures, is not observed there at all, and has the average centre of the other domains.

    Examples
    --------
    >>> from jbc.methods.closed_form.standardise import Standardise
    >>> nan = float("nan")
    >>> cohort = Cohort.from_arrays([[1.0, 2.0], [3.0, nan], [5.0, 4.0], [7.0, nan], [9.0, 5.0]], list("aaabb"))
    >>> filled = complete(Standardise(), cohort)
    >>> sorted(filled.x[:3, 1].tolist()), filled.x[3:, 1].tolist()  # of b, one value is observed
    ([2.0, 3.0, 4.0], [3.0, 3.0])
    """
    if cohort.observed is None:
        return cohort
    _refuse_empty(cohort)
    cohort = without_lacked(cohort, _counts(method, cohort))
    x, observed = np.asarray(cohort.x), np.asarray(cohort.observed)
    return dataclasses.replace(
        cohort, x=fill(method, x, observed, _centre_of_rows(method, cohort), cohort.offset)
    )


def lacking(cohort: Cohort, counts: np.ndarray | None = None) -> np.ndarray:
    """Return which features a domain lacks, (domains, d): fewer than two of its values are observed.

    Of a domain in which a single row is measured, one value is enough, as it is without missing values.

    Examples
    --------
    >>> nan = float("nan")
    >>> lacking(Cohort.from_arrays([[1.0, nan], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]], list("aabb"))).tolist()
    [[False, True], [False, False]]
    """
    domains, d = len(cohort.domains.count), cohort.x.shape[1]
    if cohort.observed is None:
        return np.zeros((domains, d), bool)
    counts = np.asarray(cohort.counts) if counts is None else counts
    starts = np.asarray(cohort.domains.offset)
    rows = np.add.reduceat(counts.max(axis=1), starts)[:, None]
    return np.add.reduceat(counts, starts, axis=0) < np.clip(rows, 1, FEWEST)


def without_lacked(cohort: Cohort, counts: np.ndarray | None = None) -> Cohort:
    """Return the cohort with nothing observed of features in domains that lack them (:func:`lacking`)."""
    if cohort.observed is None:
        return cohort
    lacks = lacking(cohort, counts)[np.asarray(cohort.domain)]
    return dataclasses.replace(cohort, observed=np.asarray(cohort.observed) & ~lacks)


def left_alone(cohort: Cohort, lacks: np.ndarray) -> np.ndarray:
    """Return where features of a domain are not corrected, (domains, d), for a method with or without a direction.

    Where the domain lacks the feature, where no other one has it, and where the target lacks it.
    """
    alone = lacks | ((~lacks).sum(axis=0) < 2) if len(lacks) > 1 else lacks
    if cohort.role is not None:
        alone = alone | lacks[np.asarray(cohort.role) == TARGET].any(axis=0)
    return alone


def about(cohort: Cohort) -> str:
    """Return the warning of features that domains lack; nothing where none does."""
    where = np.argwhere(lacking(cohort))
    if not len(where):
        return ""
    names = cohort.names
    shown = [f"{names.features[j]!r} in {names.domains[g]!r}" for g, j in where[:SHOWN]]
    return (
        f"Features with fewer than two observed values in a domain: {enumeration(shown, len(where))}. They are left "
        "as they are there, and the other domains are corrected without this one."
    )


def centres(method: Method, cohort: Cohort) -> np.ndarray:
    """Return the centre of what every domain observed of every feature, (domains, d), in what the method reads.

    A feature that a domain lacks has the average centre of the domains that have it.
    """
    counts = np.broadcast_to(_of_values(cohort.counts), cohort.x.shape)
    found, total = _sums(cohort, _values(method, np.asarray(cohort.x), cohort.offset), counts)
    has = total > 0
    found = np.where(has, found / np.maximum(total, 1), 0)
    average = found.sum(axis=0) / np.maximum(has.sum(axis=0), 1)
    return np.where(has, found, average).astype(np.float32)


def drawn(method: Method, cohort: Cohort) -> Cohort:
    """Return a cohort with draws in the place of missing values, to tell by which populations domains share.

    Rows with centres in them lie between populations, the more so the more holes a domain has. Draws from common
    factors (:mod:`jbc.numerics.imputation`) vary as observed values do. A complete cohort is returned as it is.

    Examples
    --------
    >>> from jbc.methods.closed_form.standardise import Standardise
    >>> x = np.random.default_rng(0).normal(size=(2000, 2))
    >>> x[::2, 1] = np.nan
    >>> cohort = complete(Standardise(), Cohort.from_arrays(x))
    >>> missing = ~cohort.observed[:, 1]
    >>> [round(float(np.asarray(each.x)[missing, 1].std()), 1) for each in (cohort, drawn(Standardise(), cohort))]
    [0.0, 1.0]
    """
    if cohort.observed is None or method.compares_logarithms:
        return cohort
    observed, domain = np.asarray(cohort.observed), np.asarray(cohort.domain)
    values, centre = _values(method, np.asarray(cohort.x), cohort.offset), centres(method, cohort)
    away = np.where(observed, values - centre[domain], 0)
    squares, total = _sums(cohort, np.square(away), np.asarray(cohort.counts))
    has = (total > 0) & (squares > 0)
    scale = average_of_others(np.sqrt(np.where(has, squares / np.maximum(total, 1), 1)), ~has)
    found = centre[domain] + scale[domain] * draw_missing(away / scale[domain], observed)
    return dataclasses.replace(
        cohort, x=np.where(observed, cohort.x, _back(method, found, cohort.offset)).astype(np.float32)
    )


def fill(
    method: Method, x: np.ndarray, observed: np.ndarray, centre: np.ndarray, offset: Any = None
) -> np.ndarray:
    """Return rows (n, d) with their centre where nothing was observed.

    Where the method takes the level out of rows, the level of what a row has is added to its centre, so that a bright
    row stays as bright.

    Parameters
    ----------
    method
        What reads the rows: logarithms, or values as they are.
    x, observed
        Rows as a cohort holds them, and where they have a value.
    centre
        The centre of every row, in what the method reads, (n, d).
    offset
        What was taken off the features.
    """
    inputs = getattr(method, "inputs", None)
    if isinstance(inputs, Inputs) and inputs.takes_level(x.shape[1]):
        beyond = np.where(observed, _values(method, x, offset) - centre, 0).sum(axis=1, keepdims=True)
        centre = centre + beyond / np.maximum(observed.sum(axis=1, keepdims=True), 1)
    return np.where(observed, x, _back(method, centre, offset)).astype(np.float32)


def of_link(method: Method, cohort: Cohort) -> dict[str, dict[str, np.ndarray]]:
    """Return what a chain keeps of the features that one of its methods leaves alone; nothing where there are none.

    ``alone`` (D, d) is 1 there, and ``centre`` (D, d) is what the method reads of a row in its place.
    """
    lacks = lacking(cohort)
    if cohort.observed is None or not (alone := left_alone(cohort, lacks)).any():
        return {}
    rows = np.zeros(lacks.shape, np.float32)
    centre = fill(method, rows, np.zeros(lacks.shape, bool), centres(method, cohort), cohort.offset)
    return {"gaps": {"alone": alone.astype(np.float32), "centre": centre}}


def link_moves(held: Any, domain: Any) -> Any:
    """Return which values a method of a chain moves, (n, 1) or (n, d), by what the chain keeps; NumPy or JAX."""
    goes = held["moves"][domain][:, None] > 0
    return goes & (held["gaps"]["alone"][domain] == 0) if "gaps" in held else goes


def _counts(method: Method, cohort: Cohort) -> np.ndarray:
    """Return how often every value counts in what the method measures."""
    on = getattr(getattr(method, "editing", method), "on", "all")
    counts, control = np.asarray(cohort.counts), np.asarray(cohort.control)
    return counts * control[:, None] if on == "controls" and control.any() else counts


def _values(method: Method, x: np.ndarray, offset: Any) -> np.ndarray:
    """Return rows in what the method reads, the level of the row left in."""
    inputs = getattr(method, "inputs", None)
    if not isinstance(inputs, Inputs) or not inputs.log:
        return x
    return np.asarray(signed_logarithm(jnp.asarray(x), _array(offset)))


def _back(method: Method, values: np.ndarray, offset: Any) -> np.ndarray:
    """Return rows of which these are what the method reads."""
    inputs = getattr(method, "inputs", None)
    if not isinstance(inputs, Inputs) or not inputs.log:
        return values.astype(np.float32)
    return np.asarray(signed_exponential(jnp.asarray(values, jnp.float32), _array(offset)))


def _centre_of_rows(method: Method, cohort: Cohort) -> np.ndarray:
    """Return the centre of every row, (n, d): that of its domain, given its population where it is known.

    A population with fewer than two observed values in a domain has the centre of the domain; in a domain that lacks
    the feature, that of all domains.
    """
    domain, of_domain = np.asarray(cohort.domain), centres(method, cohort)
    if cohort.composition is None:
        return of_domain[domain]
    values, counts = _values(method, np.asarray(cohort.x), cohort.offset), np.asarray(cohort.counts)
    lacks, centre = lacking(cohort), np.zeros(cohort.x.shape, np.float32)
    for member in np.asarray(cohort.composition.membership).T:
        found, total = _sums(cohort, values, member[:, None] * counts)
        whole = total.sum(axis=0)
        everywhere = np.where(
            whole >= FEWEST, found.sum(axis=0) / np.maximum(whole, 1), of_domain.mean(axis=0)
        )
        own = np.where(total >= FEWEST, found / np.maximum(total, 1), of_domain)
        centre += member[:, None] * np.where(lacks, everywhere, own).astype(np.float32)[domain]
    return centre


def _sums(cohort: Cohort, values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of values, and of what they count, over the rows of every domain, in double precision."""
    starts = np.asarray(cohort.domains.offset)
    ends = starts + np.asarray(cohort.domains.count)
    parts = [slice(start, end) for start, end in zip(starts, ends, strict=True)]
    found = [np.einsum("ij,ij->j", values[part], counts[part], dtype=np.float64) for part in parts]
    return np.stack(found), np.stack([counts[part].sum(axis=0, dtype=np.float64) for part in parts])


def _of_values(counts: Any) -> np.ndarray:
    counts = np.asarray(counts)
    return counts if counts.ndim == 2 else counts[:, None]


def _array(offset: Any) -> Array | None:
    return None if offset is None else jnp.asarray(offset)


def _refuse_empty(cohort: Cohort) -> None:
    """Refuse rows without a single value."""
    empty = ~np.asarray(cohort.observed).any(axis=1) & (np.asarray(cohort.weight) > 0)
    if empty.any():
        raise InputError(
            f"Rows without a single value (all NaN), {int(empty.sum())}",
            which=np.sort(np.asarray(cohort.row)[empty]).tolist(),
            why="Nothing is known of them, and they would count as rows that lie in the centre of their domain.",
            fix="Leave these rows out.",
            code="empty-row",
        )
