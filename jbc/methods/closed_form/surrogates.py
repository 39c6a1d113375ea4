"""Surrogate variable analysis: what rows share beside their classes is estimated and removed."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.errors import InputError, warn
from jbc.methods import preconditions
from jbc.methods.base import ClosedForm, Encodes, Fitted
from jbc.methods.closed_form.surrogate_variables import (
    RANK,
    Form,
    Surrogates,
    components,
    count,
    effects,
    indicators,
    reweighted,
    two_step,
    without,
)
from jbc.methods.constraints import Positive
from jbc.numerics import added_row
from jbc.numerics.added_row import Database
from jbc.numerics.linalg import deviations


class Table(NamedTuple):
    """The labelled rows, centred and divided by a unit, of the features that vary within classes; and their classes.

    ``mean`` is that of all features, and ``unit`` is 0 for those that are left out.
    """

    x: np.ndarray
    classes: np.ndarray
    mean: np.ndarray
    unit: np.ndarray

    @property
    def most(self) -> int:
        """The largest number of surrogate variables that leaves something of the residuals."""
        return max(min(len(self.x) - 2 - self.classes.shape[1], self.x.shape[1] - 1), 0)

    def of_all(self, table: np.ndarray) -> np.ndarray:
        """Return a table (features that vary, k) with all features, 0 where one does not vary."""
        whole = np.zeros((len(self.unit), *table.shape[1:]))
        whole[self.unit > 0] = table
        return whole

    @property
    def per_unit(self) -> np.ndarray:
        """What to multiply measurements by, of the features that vary."""
        return 1 / self.unit[self.unit > 0]


def read(cohort: Cohort, *, scale: bool) -> Table:
    """Return the labelled rows of a cohort; a row of weight k is there k times.

    A feature that is constant in every class, up to rounding, has no part in surrogate variables.

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[0.0, 1], [2, 1], [4, 1], [6, 1], [9, 9]], label=["a", "a", "b", "b", ""])
    >>> sorted(read(cohort, scale=False).x.tolist())
    [[-3.0], [-1.0], [1.0], [3.0]]
    """
    label = np.asarray(cohort.label)
    times = np.where(label >= 0, np.asarray(cohort.weight), 0)
    x = np.repeat(np.asarray(cohort.x), times, axis=0).astype(np.float64)
    classes, mean = indicators(np.repeat(label, times)), x.mean(axis=0)
    largest = np.abs(x).max(axis=0)
    x -= mean
    freedom = max(len(x) - 1 - classes.shape[1], 1)
    unit = deviations(np.square(without(classes, x)).sum(axis=0) / freedom, largest, 0.0)
    varies = unit > 0
    unit = np.where(varies & (not scale), 1.0, unit)
    return Table((x if varies.all() else x[:, varies]) / unit[varies], classes, mean, unit)


def check(cohort: Cohort, number: int | None) -> None:
    """Refuse tables without classes to keep, or with too little beside them for the number of surrogate variables."""
    preconditions.enough_rows(cohort)
    labels = np.asarray(cohort.label)[np.asarray(cohort.weight) > 0]
    found = np.unique(labels[labels >= 0])
    if len(found) < 2:
        raise InputError(
            "Only one class is labelled" if len(found) else "No row is labelled",
            which=[cohort.names.labels[i] for i in found] or None,
            why="Surrogate variables are what rows vary by beside their classes: without these, biology is removed.",
            fix="Label rows of two classes or more, or use a method that does without labels.",
            code="one-class" if len(found) else "no-labels",
        )
    table = read(cohort, scale=True)
    if (number := number or 1) > table.most:
        features = table.x.shape[1]
        raise InputError(
            f"{number} surrogate variable{'s' * (number > 1)} cannot be estimated from this table",
            which=[
                f"{len(table.x)} labelled rows of {len(found)} classes",
                f"{features} features that vary within classes",
            ],
            why="They are what several features share. With as many as there are features, or rows beside those that "
            "tell the classes, nothing would be left.",
            fix="Ask for fewer surrogate variables, label more rows, or use another method for so small a table.",
            code="too-few-features" if features - 1 <= table.most else "too-few-rows",
        )


def estimate(table: Table, number: int | None, form: Form, iterations: int, permutations: int) -> Surrogates:
    """Return as many surrogate variables as were asked for, or as are significant; warn where none is found.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> label, hidden = np.tile([0, 1], 20), rng.normal(size=40)
    >>> x = np.outer(hidden, np.arange(90) >= 30) + rng.normal(size=(40, 90))
    >>> table = read(Cohort.from_arrays(x, label=label), scale=True)
    >>> estimate(table, None, "two-step", 5, 20).variables.shape
    (40, 1)
    """
    if number is None:
        number = min(count(table.x, table.classes, permutations), table.most)
    if not number:
        warn("No surrogate variable is significant by permutation: nothing is removed.")
        features = table.x.shape[1]
        # One that is 0: arrays without entries are not kept.
        return Surrogates(np.zeros((len(table.x), 1)), np.zeros((features, 1)), np.zeros(features))
    if form == "two-step":
        found = two_step(table.x, table.classes, number)
    else:
        found = reweighted(table.x, table.classes, number, iterations)
    if not found.variables.any():
        warn(
            "No feature varies with surrogate variables and not with the classes: nothing is removed. Weights of few "
            "features are no use, and those of many say that what rows vary by is what the classes differ by."
        )
    return found


def linear(table: Table, found: Surrogates) -> Fitted:
    """Return the projection of rows on their surrogate variables, and what these do to the features."""
    effect = effects(table.x, table.classes, found.variables)
    fitted = {
        "mean": table.mean,
        "projection": table.of_all(found.projection * table.per_unit[:, None]),
        "effect": table.of_all(effect.T).T * table.unit,
        "low": found.variables.min(axis=0),
        "high": found.variables.max(axis=0),
    }
    return {name: value.astype(np.float32) for name, value in fitted.items()}


@dataclasses.dataclass(frozen=True)
class SVA(ClosedForm, Encodes):
    r"""Estimate what rows vary by beside their classes, and take it off (surrogate variable analysis).

    .. math:: x' = x - V(x)\, \Gamma, \qquad X = 1\mu + M\beta + V\Gamma + E, \qquad
              V(x) = (x - \bar x)\, W U S^{-1}

    with the classes M of the labelled rows, whose effects :math:`\beta` are kept, their surrogate variables V, and
    the singular value decomposition :math:`V S U^\top` of the centred labelled rows times the weights W of features:
    how likely a feature varies with surrogate variables and not with classes. :meth:`encode` gives V(x).

    The method does not know domains: whatever many features share beside the classes is removed, batch effects and
    biology without a label alike, and what domains and classes share is kept.

    Parameters
    ----------
    surrogates
        Number of surrogate variables; None takes those that are significant by permutation, none if none is.
    form
        ``"irw"`` weights features and iterates, as the released programs do by default; ``"two-step"`` is the
        algorithm of 2007, and takes the features whose local false discovery rate is below 0.1. It drops a surrogate
        variable that fewer than two features vary with.
    iterations
        How often weights are estimated (``"irw"``).
    permutations
        Permutations of the test of the number; their random bits are always the same.
    scale
        Divide features by their deviation within classes first: then no number depends on their units. The
        publications and programs do not (``scale=False``).

    Notes
    -----
    The rows whose labels are known are what is fitted, weights of rows included. The publications have no map for
    other rows. Here :meth:`transform` is one map for all: it takes exactly their surrogate variables off the rows of
    the fit, and off others what the same projection gives, bounded by the least and the largest surrogate variable
    of the fit (:class:`FrozenSVA` has the published alternatives). It needs no label.

    A feature that is constant in every class, up to rounding, has no weight and is left as it is. Where no feature
    has a weight, nothing is removed. Missing values are refused: how much a row lacks would be a surrogate variable.

    References
    ----------
    Leek and Storey, "Capturing heterogeneity in gene expression studies by surrogate variable analysis", PLoS
    Genetics 3, 2007; "A general framework for multiple testing dependence", PNAS 105, 2008 (irw). Buja and Eyuboglu,
    "Remarks on parallel analysis", Multivariate Behavioral Research 27, 1992.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> label, hidden = np.tile([0, 1], 20), rng.normal(size=40)
    >>> x = np.outer(label, np.arange(90) < 5) + np.outer(hidden, np.arange(90) >= 30)
    >>> cohort = Cohort.from_arrays(x + rng.normal(size=(40, 90)) / 10, label=label)
    >>> method = SVA()
    >>> fitted = method.finish(None, cohort)
    >>> corrected = np.asarray(method.transform(fitted, cohort.x, cohort.domain))
    >>> [[round(float(each), 1) for each in table.std(axis=0)[4::40]] for table in (np.asarray(cohort.x), corrected)]
    [[0.5, 0.8, 0.8], [0.5, 0.1, 0.1]]
    """

    surrogates: Positive | None = None
    form: Form = "irw"
    iterations: Positive = 5
    permutations: Positive = 20
    scale: bool = True

    def check(self, cohort: Cohort) -> None:
        """Refuse tables without classes to keep, or too small for the surrogate variables."""
        check(cohort, self.surrogates)

    def compares_mixtures(self, cohort: Cohort) -> bool:
        """Return False: no domains are compared."""
        del cohort
        return False

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Estimate the surrogate variables of the labelled rows, and their effects."""
        del state
        table = read(cohort, scale=self.scale)
        found = estimate(table, self.surrogates, self.form, self.iterations, self.permutations)
        return linear(table, found)

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Take the surrogate variables off."""
        return x - jnp.matmul(self.encode(fitted, x, domain), fitted["effect"], precision="highest")

    def encode(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return the surrogate variables of rows, (n, surrogates)."""
        del domain
        return jnp.clip(_project(fitted, x), fitted["low"], fitted["high"])


def _project(fitted: Fitted, x: Array) -> Array:
    return jnp.matmul(x - fitted["mean"], fitted["projection"], precision="highest")


@dataclasses.dataclass(frozen=True)
class FrozenSVA(ClosedForm, Encodes):
    r"""Take surrogate variables off new rows, one row at a time, by a frozen database (frozen SVA).

    .. math:: x' = x - v(x)\, \Gamma

    with the effects :math:`\Gamma` that :class:`SVA` finds in the labelled rows, the database, and v(x) the entry of
    the row x in the singular vectors of the weighted database with this row added. That is how corrections reach
    rows whose class is to be predicted: these are the rows without a label. :meth:`encode` gives v(x).

    Like :class:`SVA`, it does not know domains, and keeps what these share with the classes.

    Parameters
    ----------
    surrogates
        Number of surrogate variables; None takes those that are significant by permutation, none if none is.
    form
        ``"exact"`` adds each row to the database (:mod:`jbc.numerics.added_row`); v(x) is never beyond -1 and 1.
        ``"fast"`` projects the row on the singular vectors of the database: it is exact for rows of the fit, and has
        no bound. ``"released"`` is ``"fast"`` as the program sva has it: the projections of all rows of domains
        without labels are centred at the fit, and scaled to norm 1 together; those of other domains are not.
    iterations
        How often weights of features are estimated.
    permutations
        Permutations of the test of the number; their random bits are always the same.
    scale
        Divide features by their deviation within classes first: then no number depends on their units. The
        publications and programs do not (``scale=False``).

    Notes
    -----
    A row of the database is treated as any other: ``"exact"`` adds it a second time, while the program takes its
    surrogate variables as they are, as :class:`SVA` and ``"fast"`` do.

    References
    ----------
    Parker, Corrada Bravo and Leek, "Removing batch effects for prediction problems with frozen surrogate variable
    analysis", PeerJ 2, 2014.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> label, hidden = np.tile([0, 1], 20), rng.normal(size=40)
    >>> x = np.outer(hidden, np.arange(90) >= 30) + rng.normal(size=(40, 90)) / 10
    >>> cohort = Cohort.from_arrays(x[:30], label=label[:30])  # the others are new
    >>> method = FrozenSVA(surrogates=1)
    >>> fitted = method.finish(None, cohort)
    >>> corrected = method.transform(fitted, x[30:], np.zeros(10, int))
    >>> [round(float(table[:, 50].std()), 1) for table in (x[30:], corrected)]
    [0.7, 0.1]
    """

    surrogates: Positive | None = None
    form: Literal["exact", "fast", "released"] = "exact"
    iterations: Positive = 5
    permutations: Positive = 20
    scale: bool = True

    def check(self, cohort: Cohort) -> None:
        """Refuse tables without classes to keep, or too small for the surrogate variables."""
        check(cohort, self.surrogates)

    def compares_mixtures(self, cohort: Cohort) -> bool:
        """Return False: no domains are compared."""
        del cohort
        return False

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Freeze the weighted decomposition of the labelled rows, and the effects of their surrogate variables."""
        del state
        table = read(cohort, scale=self.scale)
        found = estimate(table, self.surrogates, "irw", self.iterations, self.permutations)
        fitted = linear(table, found)
        if self.form == "exact":
            return {name: fitted[name] for name in ("mean", "effect")} | _database(table, found)
        if self.form == "released":
            fitted |= _rescaling(fitted, cohort)
        return {name: value for name, value in fitted.items() if name not in ("low", "high")}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Take the surrogate variables off."""
        return x - jnp.matmul(self.encode(fitted, x, domain), fitted["effect"], precision="highest")

    def encode(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return the surrogate variables of rows, (n, surrogates)."""
        if self.form == "exact":
            y = (x - fitted["mean"]) * fitted["weight"]
            return added_row.entries(Database(**fitted["database"]), y)
        found = _project(fitted, x)
        if self.form == "released":
            found = (found - fitted["shift"][domain]) * fitted["stretch"][domain]
        return found


def _rescaling(fitted: Fitted, cohort: Cohort) -> Fitted:
    """Return what centres the projections of rows of domains without labels, and scales them to norm 1 together."""
    domain, weight = np.asarray(cohort.domain), np.asarray(cohort.weight)
    domains, number = len(cohort.names.domains), fitted["projection"].shape[1]
    new = ~np.isin(np.arange(domains), domain[(np.asarray(cohort.label) >= 0) & (weight > 0)])
    rows = np.repeat(np.asarray(cohort.x), np.where(new[domain], weight, 0), axis=0).astype(np.float64)
    shift, stretch = np.zeros((domains, number)), np.ones((domains, number))
    if len(rows) > 1:
        found = (rows - fitted["mean"]) @ fitted["projection"].astype(np.float64)
        deviation = np.std(found, axis=0, ddof=1)
        shift[new] = found.mean(axis=0)
        stretch[new] = 1 / np.sqrt(len(rows)) / np.where(deviation > 0, deviation, np.inf)
    return {"shift": shift.astype(np.float32), "stretch": stretch.astype(np.float32)}


def _database(table: Table, found: Surrogates) -> Fitted:
    """Return the decomposition of the weighted rows, to which rows can be added."""
    number, weight = found.variables.shape[1], found.weight
    size, vectors = components(table.x, weight, min(table.x.shape))
    kept = max(int((size > RANK * max(size[0], np.finfo(float).tiny)).sum()), number)
    size, vectors = size[:kept], vectors[:, :kept]
    # The signs of the surrogate variables, whose effects are known.
    own = (vectors[:, :number] * found.variables).sum(axis=0)
    vectors[:, :number] *= np.where(own < 0, -1, 1)
    axes = weight[:, None] * (table.x.T @ (vectors / np.where(size > 0, size, 1)))
    database = added_row.freeze(size, axes, len(table.x), number)
    database = database._replace(axes=table.of_all(axes).astype(np.float32))
    return {
        "weight": table.of_all(weight * table.per_unit).astype(np.float32),
        "database": database._asdict(),
    }
