"""What a design allows: refusals that several methods share. Host code, NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jbc.cohort import Cohort
from jbc.cohort.roles import SOURCE, TARGET
from jbc.errors import SHOWN, InputError, enumeration, warn
from jbc.numerics.linalg import constant_range

GRAM_BYTES = MATRIX_BYTES = 2 << 30
# Features of the worlds on which least numbers of rows were measured.
SIMULATED = 50


def enough_rows(cohort: Cohort, instead: str = "") -> None:
    """Refuse domains of a single row; ``instead`` is what else there is to do."""
    counts = np.asarray(cohort.domains.count)
    if (counts < 2).any():
        raise InputError(
            "Domains of a single row (n_samples=1)",
            which=[cohort.names.domains[i] for i in np.flatnonzero(counts < 2)],
            why="A domain's location and scale cannot be measured from one row.",
            fix=f"Leave these rows out, or merge their domains with the ones they belong to{instead}.",
            code="tiny-domain",
        )


def two_rows_drawn(rows: int) -> None:
    """Refuse minibatches of one row per domain, on behalf of a method that compares the rows of a domain."""
    if rows < 2:
        raise InputError(
            "A single row of every domain in a minibatch",
            which=[f"rows={rows}"],
            why="The loss or a norm of the networks compares the rows of one domain with each other.",
            fix="Set rows=2 or more.",
            code="bad-setting",
        )


def steps_in_order(least: int, most: int) -> None:
    """Refuse a least number of steps above the largest one."""
    if least > most:
        raise InputError(
            "The least number of steps is above the largest one",
            which=[f"min_steps={least}", f"max_steps={most}"],
            why="The length of training cannot lie between them.",
            fix=f"Set min_steps={most} or less, too.",
            code="bad-setting",
        )


def warn_constant(cohort: Cohort, *, controls: bool = False) -> None:
    """Warn of features that are constant in one domain and vary in another: in all rows, or in the controls alone.

    Examples
    --------
    >>> import warnings
    >>> table = [[0.0], [0.0], [1.0], [3.0]]
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_constant(Cohort.from_arrays(table, ["a", "a", "b", "b"], features=["tin"]))
    >>> str(caught[0].message)[:64]
    "Features that are constant in the rows of a domain, 1: 'tin' in "
    """
    x, domain, count = (np.asarray(part) for part in (cohort.x, cohort.domain, cohort.domains.count))
    used = np.asarray(cohort.weight) > 0
    if controls:
        used &= np.asarray(cohort.control)
    if not used.all():
        x, count = x[used], np.bincount(domain[used], minlength=len(count))
    here = np.flatnonzero(count)
    parts = np.split(x, np.cumsum(count[here])[:-1])  # several times as fast as reduceat
    low, high = (np.stack([end(part, axis=0) for part in parts]) for end in (np.min, np.max))
    flat = constant_range(low, high) & _seen(cohort)[here]
    which = np.argwhere(flat & ~flat.all(axis=0))
    if not len(which):
        return
    names = cohort.names
    where = [f"{names.features[j]!r} in {names.domains[here[g]]!r}" for g, j in which[:SHOWN]]
    rows, number = "controls of a domain" if controls else "rows of a domain", len(np.unique(which[:, 1]))
    warn(
        f"Features that are constant in the {rows}, {number}: {enumeration(where, len(which))}. "
        "What they vary by is unknown there, and taken from the other domains. If such a feature was not measured "
        "there, leave it out."
    )


def _seen(cohort: Cohort) -> np.ndarray:
    """Return which features any value of a domain was observed of, (domains, d)."""
    if cohort.observed is None:
        return np.ones((len(cohort.domains.count), cohort.x.shape[1]), bool)
    return np.logical_or.reduceat(np.asarray(cohort.observed), np.asarray(cohort.domains.offset), axis=0)


def warn_few_rows(cohort: Cohort, least: int, method: str) -> None:
    """Warn of domains of fewer rows than a method needs, by what it did to rows that it was not fitted to.

    That was measured on worlds of 50 features, and is said of tables that have as many.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_few_rows(Cohort.from_arrays(np.eye(60), ["a"] * 50 + ["b"] * 10), 16, "MMDResNet")
    >>> str(caught[0].message)[:60]
    "Domains of fewer than 16 rows: 'b' (10). In simulated worlds"
    """
    domain, used = np.asarray(cohort.domain), np.asarray(cohort.weight) > 0
    count = np.bincount(domain[used], minlength=len(cohort.names.domains))
    few = np.flatnonzero(count < least)
    if cohort.x.shape[1] < SIMULATED or not len(few):
        return
    named = [f"{cohort.names.domains[g]!r} ({count[g]})" for g in few[:SHOWN]]
    warn(
        f"Domains of fewer than {least} rows: {enumeration(named, len(few))}. In simulated worlds of {SIMULATED} "
        f"features, shifted by a deviation, {method} needed {least} rows of every domain to bring others nearer to "
        "the truth than they were. Standardise(shrink=True) needed 4."
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
    """Refuse minibatches whose kernel matrix, over the rows of all domains, does not fit into memory."""
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


def scale_is_one_of(scale: str, allowed: Sequence[str], why: str) -> None:
    """Refuse a standardisation of the inputs that a method cannot work with."""
    if scale not in allowed:
        raise InputError(
            f"Inputs standardised in a way that this method cannot use (scale={scale!r})",
            why=why,
            fix=f"Use scale={' or '.join(map(repr, allowed))}.",
            code="bad-setting",
        )


def sees_features(subspace: str | int | None, why: str) -> None:
    """Refuse components in the place of features, for a method that needs to know which value is which feature."""
    if isinstance(subspace, int):
        raise InputError(
            f"Components in the place of features (subspace={subspace})",
            why=why,
            fix='Use subspace="none".',
            code="bad-setting",
        )


def no_extrapolation(extrapolate: Sequence[str], method: str) -> None:
    """Refuse domains to extrapolate, for a method that learns from the rows of every domain that it moves."""
    if extrapolate:
        raise InputError(
            f"{method} cannot extrapolate to domains",
            which=extrapolate,
            why="It learns a map from the rows of every domain that it moves.",
            fix="Name these domains as sources, or use NeuronEditing.",
            code="bad-setting",
        )


def two_controls(cohort: Cohort, on: str) -> None:
    """Refuse domains with fewer than two controls, where these are what is measured."""
    if on == "all":
        return
    counted = np.asarray(cohort.weight) * np.asarray(cohort.control)
    counts = np.bincount(np.asarray(cohort.domain), counted, len(cohort.names.domains))
    few = [cohort.names.domains[i] for i in np.flatnonzero(counts < 2)]
    if few:
        raise InputError(
            "Domains with fewer than two control rows",
            which=few,
            why="Location and scale are measured on the controls.",
            fix='Mark their controls, or use on="all".',
            code="few-controls",
        )


def some_controls(cohort: Cohort) -> None:
    """Refuse domains without a control row."""
    counted = np.asarray(cohort.weight) * np.asarray(cohort.control)
    lost = np.flatnonzero(np.bincount(np.asarray(cohort.domain), counted, len(cohort.names.domains)) < 1)
    if len(lost):
        raise InputError(
            "Domains without control rows",
            which=[cohort.names.domains[i] for i in lost],
            why="What rows are compared with is measured on the controls of their domain.",
            fix='Mark their controls, or use on="all".',
            code="few-controls",
        )


def by_controls(on: str, what: str) -> None:
    """Refuse to take in a new domain by its controls, where known ones were measured on all rows."""
    if on == "all":
        raise InputError(
            f"{what} of the known domains were measured on all rows",
            why="Those of a new domain's controls are something else.",
            fix='Fit again with on="controls".',
            code="cannot-adapt",
        )


def matrices_fit(cohort: Cohort, count: int = 1) -> None:
    """Refuse tables whose matrices over all pairs of features do not fit into memory."""
    d = cohort.x.shape[1]
    needed = 8 * count * d**2
    if needed > MATRIX_BYTES:
        raise InputError(
            f"{d} features need {count} matrices of {needed / count / 2**30:.1f} GiB",
            why="Every feature is compared with every other one.",
            fix="Select features, or reduce them to principal components first.",
            code="too-many-features",
        )


def turns_taken(alternate: bool, **settings: float | bool | None) -> None:
    """Refuse settings of steps that players take in turn, where they take one joint step."""
    given = [
        f"{name}={value}" for name, value in settings.items() if value is not None and value is not False
    ]
    if given and not alternate:
        raise InputError(
            "Settings of steps in turn, which are not taken",
            which=[*given, "alternate=False"],
            why="In one joint step there is a single weight of the alignment, and no player stands idle.",
            fix="Set alternate=True, or leave these settings out.",
            code="bad-setting",
        )


def no_covariates_of_ratios(cohort: Cohort) -> None:
    """Refuse covariates beside ratios."""
    if cohort.covariates is not None:
        raise InputError(
            "Ratios of measurements whose covariates are kept",
            which=[term.name for term in cohort.names.covariates],
            why="What covariates add to measurements is multiplied by what a domain multiplies them by.",
            fix='Take logarithms of the measurements, and their differences (form="log", or "difference").',
            code="bad-setting",
        )
