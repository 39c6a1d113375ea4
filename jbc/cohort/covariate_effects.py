"""What covariates do to features, and the cohort without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jbc.cohort.cohort import Cohort
from jbc.cohort.covariates import Covariates
from jbc.errors import InputError

# A column of the design that other columns and the domains explain up to this part of its variance is theirs.
CONFOUNDED = 1e-8
ROWS = 2048


def take_out(cohort: Cohort, removed: Sequence[str] = ()) -> Cohort:
    r"""Return the cohort less the effects of its covariates, estimated within domains by least squares.

    .. math:: x_i = \mu_{g(i)} + \beta^\top z_i + \epsilon_i

    for rows i of the domains g with covariates z; :math:`\beta^\top (z_i - \bar z)` is taken out.

    Parameters
    ----------
    cohort
        Its ``covariates`` tell about rows.
    removed
        Covariates whose effect is not put back after the correction.

    Raises
    ------
    InputError
        Where domains explain a covariate, or rows are too few.

    Examples
    --------
    >>> from jbc.cohort import Cohort
    >>> rows = Cohort.from_arrays([[1.0], [2.0], [8.0], [9.0]], list("aabb"), covariates={"dose": [0, 1, 0, 1]})
    >>> sorted(take_out(rows).x[:, 0].tolist())
    [1.5, 1.5, 8.5, 8.5]
    """
    assert cohort.covariates is not None
    z = np.asarray(cohort.covariates.design, np.float64)
    domain, weight = np.asarray(cohort.domain), np.asarray(cohort.weight, np.float64)
    within = _within(z, domain, weight, len(cohort.domains.count))
    owner = [term.name for term in cohort.names.covariates for _ in range(term.width)]
    _refuse_confounded(within, _centred(z, weight), weight, owner)
    used = np.unique(domain[weight > 0])
    if weight.sum() <= len(used) + z.shape[1]:
        raise InputError(
            f"{len(z)} rows are too few for {len(used)} domains and {z.shape[1]} columns of covariates",
            which=list(dict.fromkeys(owner)),
            why="Least squares would explain every row, and leave nothing to correct.",
            fix="Leave covariates out, or join levels.",
            code="too-few-rows",
        )
    if lost := sorted(set(removed) - set(owner)):
        raise missing(lost, owner)
    effect = _slopes(cohort, within, weight).astype(np.float32)
    centre = (weight @ z / weight.sum()).astype(np.float32)
    rest = np.empty_like(np.asarray(cohort.x))
    for start in range(0, len(z), ROWS):
        part = slice(start, start + ROWS)
        rest[part] = np.asarray(cohort.x)[part] - (z[part] - centre) @ effect
    if cohort.observed is not None:
        rest[~np.asarray(cohort.observed)] = 0
    kept = np.array([name not in removed for name in owner])
    held: Any = Covariates(z.astype(np.float32), centre, effect, kept)  # pyright: ignore[reportArgumentType]
    return dataclasses.replace(cohort, x=rest, covariates=held)


def missing(lost: Sequence[str], known: Sequence[str]) -> InputError:
    """Make the error of covariates that are to be removed, and of which nothing is told."""
    return InputError(
        "Covariates that are to be removed are not there",
        which=lost,
        why="Their effect would stay.",
        fix=f"Pass them as covariates=; there are {', '.join(dict.fromkeys(known)) or 'none'}.",
        code="missing-covariate",
    )


def _within(z: np.ndarray, domain: np.ndarray, weight: np.ndarray, domains: int) -> np.ndarray:
    """Return columns less their mean in every domain."""
    total = np.zeros((domains, z.shape[1]))
    np.add.at(total, domain, z * weight[:, None])
    count = np.maximum(np.bincount(domain, weight, minlength=domains), 1)
    return z - (total / count[:, None])[domain]


def _centred(z: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return z - weight @ z / weight.sum()


def _refuse_confounded(
    within: np.ndarray, all_in_all: np.ndarray, weight: np.ndarray, owner: Sequence[str]
) -> None:
    """Refuse columns that domains, or the columns before them, explain."""
    root = np.sqrt(weight)[:, None]
    basis, lost = np.empty((len(within), 0)), []
    for j, name in enumerate(owner):
        column = root[:, 0] * within[:, j]
        for _ in range(2):  # twice is enough
            column = column - basis @ (basis.T @ column)
        whole = np.square(root[:, 0] * all_in_all[:, j]).sum()
        if column @ column <= CONFOUNDED * whole or whole == 0:
            lost.append(name)
        else:
            basis = np.append(basis, column[:, None] / np.linalg.norm(column), axis=1)
    if lost:
        raise InputError(
            "Covariates that cannot be told from the domains, or from other covariates",
            which=list(dict.fromkeys(lost)),
            why="A level that one domain alone has, or a value that tells the domain, changes with it: their effects "
            "cannot be parted.",
            fix="Leave these covariates out, or join levels; measure rows that cross domains with them.",
            code="confounded",
        )


def _slopes(cohort: Cohort, within: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the coefficients of least squares, (p, d): over what is observed."""
    if cohort.observed is not None:
        return _slopes_of_holes(cohort, weight)
    x = np.asarray(cohort.x)
    weighed = within * weight[:, None]
    product = np.zeros((within.shape[1], x.shape[1]))
    for start in range(0, len(x), ROWS):  # not the whole table at once in double precision
        product += weighed[start : start + ROWS].T @ x[start : start + ROWS].astype(np.float64)
    return np.linalg.solve(weighed.T @ within, product)


def _slopes_of_holes(cohort: Cohort, weight: np.ndarray) -> np.ndarray:
    """Return the coefficients where values are missing: of each pattern of missing rows on its own."""
    assert cohort.covariates is not None
    z, domain = np.asarray(cohort.covariates.design, np.float64), np.asarray(cohort.domain)
    x, seen = np.asarray(cohort.x, np.float64), np.asarray(cohort.observed)
    slopes = np.zeros((z.shape[1], x.shape[1]))
    patterns, of = np.unique(np.packbits(seen, axis=0), axis=1, return_inverse=True)
    for number in range(patterns.shape[1]):
        columns = np.flatnonzero(of.reshape(-1) == number)
        rows = seen[:, columns[0]]
        part = _within(z[rows], domain[rows], weight[rows], len(cohort.domains.count))
        weighed = part * weight[rows, None]
        # Where too little is observed to tell effects apart, those of least norm.
        slopes[:, columns] = np.linalg.pinv(weighed.T @ part, rcond=1e-8, hermitian=True) @ (
            weighed.T @ x[np.ix_(rows, columns)]
        )
    return slopes
