"""The container that every method reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

from jbc.cohort.composition import Composition, make
from jbc.cohort.covariates import Covariates, Term, design, read_terms
from jbc.cohort.groups import Groups, Shared, runs
from jbc.cohort.row_order import order_rows
from jbc.cohort.run_order import RunOrder, find_order
from jbc.cohort.subspace import Subspace
from jbc.errors import InputError
from jbc.numerics.centring import centre, find_offset
from jbc.validation import checks
from jbc.validation.alignment import aligned

ArrayLike = Any


@dataclasses.dataclass(frozen=True)
class Names:
    """What the integer codes of a cohort stand for; ``named`` tells whether the caller has named the features.

    ``covariates`` tells what the columns of a design stand for, and ``order`` where a run starts.

    Static data: a compiled program never depends on them (see :meth:`Cohort.without_names`).

    Examples
    --------
    >>> Cohort.from_arrays([[1.0], [2.0]], ["b", "a"], label=["x", "y"], features=["CD3"]).names
    Names(domains=('a', 'b'), treatments=('all',), labels=('x', 'y'), features=('CD3',), named=True, ...)
    """

    domains: tuple[str, ...] = ()
    treatments: tuple[str, ...] = ()
    labels: tuple[Any, ...] = ()
    features: tuple[str, ...] = ()
    named: bool = False
    covariates: tuple[Term, ...] = ()
    order: RunOrder | None = None


@partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "x", "domain", "treatment", "label", "control", "unit", "weight", "row",
        "domains", "cells", "sources", "observed", "offset", "role", "shared", "composition",
        "covariates", "order", "leading", "subspace",
    ],
    meta_fields=["n_labels", "n_treatments", "names"],
)  # fmt: skip
@dataclasses.dataclass(frozen=True)
class Cohort:
    """Rows of measurements with their codes, sorted by domain, then treatment.

    Make one with :meth:`from_arrays`. The rows of one group are kept in an order that depends on their
    values only, so that the order of the caller's rows changes nothing, not even in the last bit.

    Attributes
    ----------
    x : (n, d) float32
        Measurements, less the ``offset``; 0 where a value is missing.
    domain, treatment, label, unit : (n,) int32
        Codes; an unknown label is -1, a row without a unit is a unit of its own. Where no treatment is given,
        the controls are one, and the other rows (-1) have none.
    control : (n,) bool
        Rows of the same material in every domain.
    weight : (n,) int32
        How often a row counts: 0 leaves it out (folds), k repeats it (bootstraps).
    row : (n,) int32
        Position of each row in the caller's table.
    domains, cells : Groups
        Domains, and treatment × domain cells.
    sources : (K,) int32
        Codes of the domains in which at least one label is known.
    observed : (n, d) bool, optional
        False where a value is missing; None when the table is complete.
    offset : (d,) float32, optional
        What was taken off every feature before it became float32 (:mod:`jbc.numerics.centring`); None when
        nothing was, as in tables whose features lie less than a hundred deviations from 0.
    role : (D,) int32, optional
        What each domain is to a method with a direction (:mod:`jbc.cohort.roles`); None for other methods.
    shared : Shared, optional
        Cells of the treatments that domains share, for a method that compares them; None for other methods.
    composition : Composition, optional
        Populations, and what domains have of them; None where domains hold the same mixture, or are taken to.
    covariates : Covariates, optional
        What differs between rows for reasons of its own, and is kept; None where nothing was told.
    order : (n,) float32, optional
        Place of each row in the run; None where it was not told.
    leading : dict, optional
        What the methods of a chain have fitted, but the last; :func:`jbc.methods.prepare.prepare` fits them.
    subspace : Subspace, optional
        What networks see of the rows of a wide table; None where they see the features.
    n_labels, n_treatments : int
        Number of classes, and of treatments.
    names : Names
        What the codes stand for.

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[1.0], [2.0], [3.0]], ["b", "a", "b"], label=["x", "", "y"])
    >>> cohort.x[:, 0].tolist(), cohort.row.tolist()  # sorted by domain, and within it by what is measured
    ([2.0, 3.0, 1.0], [1, 2, 0])
    """

    x: Array
    domain: Array
    treatment: Array
    label: Array
    control: Array
    unit: Array
    weight: Array
    row: Array
    domains: Groups
    cells: Groups
    sources: Array
    observed: Array | None
    offset: Array | None
    role: Array | None
    shared: Shared | None
    composition: Composition | None
    covariates: Covariates | None
    order: Array | None
    leading: dict[str, Any] | None
    subspace: Subspace | None
    n_labels: int
    n_treatments: int
    names: Names

    @classmethod
    def from_arrays(
        cls,
        x: ArrayLike,
        domain: ArrayLike | None = None,
        *,
        label: ArrayLike | None = None,
        treatment: ArrayLike | None = None,
        control: ArrayLike | None = None,
        unit: ArrayLike | None = None,
        covariates: ArrayLike | None = None,
        order: ArrayLike | None = None,
        features: Sequence[str] | None = None,
    ) -> Cohort:
        """Check a table and sort it.

        Parameters
        ----------
        x
            Measurements, (n, d). NaN marks a missing value. What is given for the rows of a data frame as a pandas
            object is paired with them by the index.
        domain
            Technical group of each row; None puts all rows into one.
        label
            Biological class of each row; -1, None, NaN, ``""`` and the like where it is unknown
            (:func:`jbc.validation.names.unknown`).
        treatment
            Condition of each row that is repeated over domains.
        control
            True for rows of the same material in every domain.
        unit
            Subject of each row: replicates of one subject share it.
        covariates
            What differs between rows for reasons of its own, and must be kept (age, sex): a data frame or a mapping
            of columns by name, or an array. Numbers are taken for numbers, and texts for levels.
        order
            Place of each row in the run: the number of its injection, or a time.
        features
            Names of the columns.

        Returns
        -------
        Cohort

        Raises
        ------
        InputError
            When the table cannot be used; the message says what, which, why, and what to do.

        Examples
        --------
        >>> cohort = Cohort.from_arrays([[1.0], [2.0], [3.0]], ["b", "a", "b"], label=["x", "", "y"])
        >>> cohort.names.domains, cohort.names.labels
        (('a', 'b'), ('x', 'y'))
        >>> cohort.domains.count.tolist(), cohort.sources.tolist()
        ([1, 2], [1])
        """
        groups = {"domain": domain, "label": label, "treatment": treatment, "control": control, "unit": unit}
        given = aligned(x, **groups, covariates=covariates, order=order)
        domain, label, treatment = given["domain"], given["label"], given["treatment"]
        control, unit = given["control"], given["unit"]
        covariates, order = given["covariates"], given["order"]
        x, observed = checks.values(x, features)
        n, columns = len(x), checks.feature_names(features, x.shape[1])
        domains, place = checks.domains(domain, n)
        labels, kind = checks.labels(label, n)
        marked = checks.mask(control, n, "control")
        treatments, condition = checks.codes(treatment, n, "treatment")
        if treatment is None and marked.any():
            # The controls are the one condition that is repeated, and nothing is known about that of other rows.
            treatments, condition = ("control",), np.where(marked, 0, -1).astype(np.int32)
        _, subject = checks.codes(unit, n, "unit")
        terms = () if covariates is None else read_terms(covariates, n)
        beside = design(terms, covariates, n).astype(np.float32) if terms else np.zeros((n, 0), np.float32)
        run = None if order is None else find_order(order, n)
        when = np.zeros(n, np.float32) if run is None else run.places(order, n)
        offset = find_offset(x, observed, columns)
        x = centre(x, offset)
        ranked = x
        if observed is not None:
            x[~observed] = 0
            ranked = np.where(observed, x, -np.inf)  # a rank that neither unit nor zero of a feature changes
        rows = order_rows((place, condition), ranked, kind, marked, subject, when, *beside.T)
        place, condition, kind = place[rows], condition[rows], kind[rows]
        # NumPy arrays, on the host; they become JAX arrays where they are first computed with.
        fields: dict[str, Any] = {
            "x": x[rows],
            "domain": place,
            "treatment": condition,
            "label": kind,
            "control": marked[rows],
            "unit": np.arange(n, dtype=np.int32) if unit is None else subject[rows],
            "weight": np.ones(n, np.int32),
            "row": rows.astype(np.int32),
            "domains": runs(place, np.full(n, -1, np.int32)),
            "cells": runs(place, condition),
            "sources": np.unique(place[kind >= 0]).astype(np.int32),
            "observed": None if observed is None else observed[rows],
            "offset": offset,
            "role": None,
            "shared": None,
            "composition": None,
            "covariates": Covariates(beside[rows]) if terms else None,  # pyright: ignore[reportArgumentType]
            "order": None if run is None else when[rows],
            "leading": None,
            "subspace": None,
        }
        names = Names(domains, treatments, labels, columns, features is not None, terms, run)
        return cls(**fields, n_labels=len(labels), n_treatments=len(treatments), names=names)

    @property
    def counts(self) -> Array:
        """How often each row counts, (n,), or each value, (n, d), where some are missing.

        Examples
        --------
        >>> Cohort.from_arrays([[1.0, 2.0], [2.0, float("nan")]], ["a", "b"]).counts.tolist()
        [[1, 1], [1, 0]]
        """
        return self.weight if self.observed is None else self.weight[:, None] * self.observed

    @property
    def width(self) -> int:
        """Number of values of a row that networks see, features or components in a subspace."""
        return self.x.shape[-1] if self.subspace is None else self.subspace.basis.shape[-1]

    def without_names(self) -> Cohort:
        """Return the same arrays without names: what compiled programs take, so that names recompile nothing."""
        return dataclasses.replace(self, names=Names())

    def mask_labels(self, domain: str) -> Cohort:
        """Return the cohort with the labels of one domain unknown: that domain becomes a target.

        Examples
        --------
        >>> cohort = Cohort.from_arrays([[1.0], [2.0]], ["a", "b"], label=["x", "y"])
        >>> cohort.mask_labels("b").sources.tolist()
        [0]
        """
        code = checks.one_domain(domain, self.names.domains)
        label = np.where(np.asarray(self.domain) == code, -1, self.label).astype(np.int32)
        sources = np.unique(np.asarray(self.domain)[label >= 0]).astype(np.int32)
        return dataclasses.replace(self, label=label, sources=sources)

    def with_populations(self, population: ArrayLike) -> Cohort:
        """Return the cohort with the population of every row, in the order of the caller's table.

        Nothing is estimated then. Whatever makes domains alike compares rows of one population, and estimates effects
        of domains from populations that they share.

        Examples
        --------
        >>> cohort = Cohort.from_arrays([[0.0], [5.0], [6.0]], ["a", "a", "b"])
        >>> cohort.with_populations(["x", "y", "y"]).composition.shares.tolist()
        [[0.5, 0.5], [0.0, 1.0]]
        """
        names, code = checks.codes(population, len(self.x), "population")
        member = np.eye(len(names))[code[np.asarray(self.row)]]
        moves = np.ones(len(self.domains.count), bool)
        held = make(member, np.asarray(self.domain), np.asarray(self.weight), moves, "given")
        return dataclasses.replace(self, composition=held)

    def weigh_rows(self, weight: ArrayLike) -> Cohort:
        """Return the cohort with other row weights, given in the cohort's own row order.

        Every domain and every treatment × domain cell must keep at least one row, and none may weigh more than
        the largest one has rows (a bootstrap within the cells does neither).
        """
        weight = np.asarray(weight)
        if weight.shape != (len(self.x),) or (weight < 0).any() or (weight != np.rint(weight)).any():
            raise InputError(
                "Row weights must be one whole number ≥ 0 for every row",
                why="A weight says how often a row counts.",
                fix=f"Pass {len(self.x)} whole numbers.",
                code="bad-weights",
            )
        for groups in (self.domains, self.cells):
            totals = np.add.reduceat(weight, groups.offset)
            bad = np.flatnonzero((totals == 0) | (totals > groups.capacity))
            if len(bad):
                raise InputError(
                    "Row weights leave groups empty, or heavier than the largest group",
                    which=[self._name(groups, int(i)) for i in bad],
                    why="Minibatches are drawn from every domain, or from every treatment in every domain.",
                    fix="Draw folds and bootstraps within these groups, or pass no treatment.",
                    code="bad-weights",
                )
        return dataclasses.replace(self, weight=weight.astype(np.int32))

    def drop_treatments(self, rows: ArrayLike) -> Cohort:
        """Return the cohort with the treatment of these rows unknown, given in the cohort's own row order.

        Examples
        --------
        >>> cohort = Cohort.from_arrays([[1.0], [2.0]], ["a", "b"], treatment=["A", "A"])
        >>> len(cohort.cells.count), cohort.drop_treatments([True, False]).cells.treatment.tolist()
        (2, [-1, 0])
        """
        treatment = np.where(np.asarray(rows, bool), -1, self.treatment).astype(np.int32)
        cells = runs(np.asarray(self.domain), treatment)
        return dataclasses.replace(self, treatment=treatment, cells=cells, shared=None)

    def _name(self, groups: Groups, i: int) -> str:
        """Name a domain, or a treatment in a domain."""
        domain, treatment = self.names.domains[int(groups.domain[i])], int(groups.treatment[i])
        return domain if treatment < 0 else f"{self.names.treatments[treatment]} in {domain}"
