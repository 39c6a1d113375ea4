"""What a design allows: refusals that several methods share. Host code, NumPy only."""

from __future__ import annotations

import numpy as np

from jbc.cohort import Cohort
from jbc.direction import SOURCE, TARGET
from jbc.errors import InputError

GRAM_BYTES = 2 << 30


def enough_rows(cohort: Cohort) -> None:
    """Refuse domains of a single row."""
    counts = np.asarray(cohort.domains.count)
    if (counts < 2).any():
        raise InputError(
            "Domains of a single row (n_samples=1)",
            which=[cohort.names.domains[i] for i in np.flatnonzero(counts < 2)],
            why="A domain's location and spread cannot be told from one row.",
            fix="Leave these rows out, or merge their domains with the ones they belong to.",
            code="tiny-domain",
        )


def paired_controls(cohort: Cohort) -> None:
    """Refuse sources without two controls that have their like in the target, or without controls at all."""
    control, role = np.asarray(cohort.control), np.asarray(cohort.role)
    domain, treatment = np.asarray(cohort.domain)[control], np.asarray(cohort.treatment)[control]
    like = np.isin(treatment, treatment[role[domain] == TARGET])
    counts = np.bincount(domain[like], minlength=len(role))
    ends = np.isin(role, (SOURCE, TARGET))
    if few := [cohort.names.domains[g] for g in np.flatnonzero(ends & (counts < 2))]:
        raise InputError(
            "Sources or targets with fewer than two control rows that the other side has as well",
            which=few,
            why="An edit leads from controls of a source to the same controls of the target.",
            fix='Mark their controls, name other domains, or use on="all".',
            code="few-controls",
        )


def gram_fits(cohort: Cohort, rows: int) -> None:
    """Refuse so many domains that the kernel matrix of one minibatch does not fit into memory."""
    groups = len(cohort.domains.count)
    needed = 4 * (groups * rows) ** 2
    if needed > GRAM_BYTES:
        raise InputError(
            f"{groups} domains × {rows} rows need a kernel matrix of {needed / 2**30:.0f} GiB",
            why="All domains of a minibatch are compared with each other at every step.",
            fix="Draw fewer rows (rows=...), or correct groups of domains separately.",
            code="too-many-domains",
        )


def classes_estimable(cohort: Cohort) -> None:
    """Refuse labels that a classifier cannot learn from, or that say the same as the domains."""
    known = np.asarray(cohort.label) >= 0
    both = np.stack([np.asarray(cohort.domain)[known], np.asarray(cohort.label)[known]], axis=1)
    seen = np.unique(both, axis=0)
    domains, classes = np.unique(seen[:, 0]), np.unique(seen[:, 1])
    if len(classes) == 1:
        raise InputError(
            "Only one class is labelled",
            which=[cohort.names.labels[classes[0]]],
            why="A classifier needs two classes to tell apart.",
            fix="Label rows of another class, or pass no labels to calibrate without a classifier.",
            code="one-class",
        )
    if len(classes) > 1 and len(seen) == len(domains):
        raise InputError(
            "Classes are confounded with domains: every labelled domain has a single class",
            which=[f"{cohort.names.domains[g]} is {cohort.names.labels[c]}" for g, c in seen],
            why="What differs between the domains and what differs between the classes cannot be told apart.",
            fix="Add a domain with two or more classes, or labels of another class in one of these.",
            code="confounded",
        )
