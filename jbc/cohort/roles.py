"""Which domains move, and where to: methods with a direction, from sources to one target."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from jbc.cohort import Cohort
from jbc.errors import InputError
from jbc.validation import checks

STAYS, SOURCE, TARGET, EXTRAPOLATE = range(4)


def assign_roles(
    cohort: Cohort, *, target: str = "", source: Sequence[str] = (), extrapolate: Sequence[str] = ()
) -> Cohort:
    """Return the cohort with a role for every domain, by name, on the host: compiled programs know codes only.

    Parameters
    ----------
    cohort
        Its domains get roles.
    target
        Where the sources move to; by default the domain with the most rows, of equal ones the first by name.
    source
        Domains that move; by default all that are not named otherwise. Where some are named, others stay.
    extrapolate
        Domains that move as the sources do, and that nothing is learned from.

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[1.0], [2.0], [3.0], [4.0]], ["a", "b", "b", "c"])
    >>> assign_roles(cohort).role.tolist(), assign_roles(cohort, target="a", source=["c"]).role.tolist()
    ([1, 2, 1], [2, 0, 1])
    """
    names, named = cohort.names.domains, [*([target] if target else []), *source, *extrapolate]
    if lost := [name for name in named if name not in names]:
        raise checks.unknown_domains(lost, names)
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise InputError(
            "Domains with two roles",
            which=twice,
            why="A domain is the target, or moves, or is extrapolated.",
            fix="Name each domain once.",
            code="two-roles",
        )
    goal = names.index(target) if target else _largest(cohort, named)
    role = np.full(len(cohort.domains.count), STAYS if source else SOURCE, np.int32)
    role[goal] = TARGET
    role[[names.index(name) for name in source]] = SOURCE
    role[[names.index(name) for name in extrapolate]] = EXTRAPOLATE
    if not {SOURCE, TARGET} <= set(role.tolist()):
        raise InputError(
            "No domain is left to move, or to move to",
            which=names,
            why="A map leads from a source to another domain, the target.",
            fix="Give the rows two domains or more, and name fewer.",
            code="no-source",
        )
    return dataclasses.replace(cohort, role=role)


def _largest(cohort: Cohort, named: Sequence[str]) -> int:
    """Return the code of the domain with the most rows, of those without another role."""
    free = np.array([name not in named for name in cohort.names.domains] or True)
    return int(np.where(free, np.asarray(cohort.domains.count), -1).argmax())
