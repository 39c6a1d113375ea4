"""Quantile maps: every feature of a domain gets the distribution that it has elsewhere."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.roles import TARGET, assign_roles
from jbc.methods import preconditions
from jbc.methods.base import Adapts, Bounded, ClosedForm, Fitted, Resolves
from jbc.methods.closed_form.rows import measured
from jbc.methods.constraints import Several
from jbc.methods.settings import On
from jbc.numerics.edits import Beyond, Edit, apply, keep_scale, outside
from jbc.numerics.linalg import average_of_others, by_group, constant_range
from jbc.numerics.observed import percentiles_of_observed


@dataclasses.dataclass(frozen=True)
class QuantileMap(ClosedForm, Adapts, Bounded, Resolves):
    r"""Give every feature of every domain the same percentiles.

    .. math:: x' = \bar p_j + \frac{x - p_{gj}}{p_{g,j+1} - p_{gj}} (\bar p_{j+1} - \bar p_j)

    with the percentiles :math:`p_g` of the row's domain g, of which x lies between two neighbours, and their averages
    :math:`\bar p` over domains, or those of a target (:mod:`jbc.numerics.edits`). Features are mapped one by one, and
    their correlations are left to themselves. Where classes have other shares in other domains, this difference is
    removed too: measure on controls. A feature that is constant in a domain is only shifted there, by the difference
    of the medians.

    Parameters
    ----------
    percentiles
        How many are used, from the least value to the largest.
    beyond
        What happens to values outside the range that was measured: they are shifted as its end is, clipped to it, or
        go on with the slope at it; with ``"refuse"``, their rows are an error.
    on
        Measure on all rows of a domain, or on its controls only.
    target
        Name of the domain whose percentiles all others get; its own rows stay as they are. When empty, all domains
        get the average of their percentiles.
    ties
        What happens to an atom: a value such as 0 that more rows of a domain *and* of the target have than lie
        between two percentiles. ``"keep"``: it stays as it is, and the values below and above it are mapped to those
        below and above it in the target. ``"rank"``: it goes to the percentile of its middle rank, as all ties do,
        and as they always do without a target.

    Notes
    -----
    *Atoms.* Where more rows of a domain than of the target have the value 0, ``"rank"`` makes all of them positive,
    and where fewer have it, it makes 0 of positive values; that is how the target's percentiles are met. ``"keep"``
    does neither, and leaves what differs in the share of zeros. An atom is the most frequent value of both, or the
    least, or the largest one: counts such as 1, 2, 3, which many rows have as well, are no atoms.

    References
    ----------
    Bolstad et al., A comparison of normalization methods for high density oligonucleotide array data, Bioinformatics
    2003. Van Gassen et al., CytoNorm: a normalization algorithm for cytometry data, Cytometry A 2020 (on controls).

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[0.0], [1.0], [4.0], [10.0], [20.0], [30.0]], list("aaabbb"))
    >>> method = QuantileMap(percentiles=3)
    >>> fitted = method.finish(None, cohort)
    >>> method.transform(fitted, jnp.array([[0.5], [15.0], [31.0]]), jnp.array([0, 1, 1])).tolist()
    [[7.75], [7.75], [18.0]]
    """

    takes_missing: ClassVar[bool] = True

    percentiles: Several = 101
    beyond: Beyond | Literal["refuse"] = "shift"
    on: On = "all"
    target: str = ""
    ties: Literal["keep", "rank"] = "keep"

    def resolve(self, cohort: Cohort) -> Cohort:
        """Return the cohort with the target found in it, if one is named."""
        return assign_roles(cohort, target=self.target) if self.target else cohort

    def check(self, cohort: Cohort) -> None:
        """Refuse domains that cannot be measured."""
        preconditions.enough_rows(cohort)
        preconditions.two_controls(cohort, self.on)
        preconditions.warn_constant(cohort, controls=self.on == "controls")

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Measure the percentiles of every domain."""
        del state
        rows, domain = measured(cohort, self.on)
        knots = np.stack([self._knots(rows[domain == g]) for g in range(len(cohort.domains.count))])
        if cohort.composition is not None and self.on == "all":
            return {"knots": knots} | self._given_populations(knots, cohort)
        if not self.target:
            return {"knots": knots, "to": _average(knots)}
        goal = knots[np.argmax(np.asarray(cohort.role) == TARGET)]
        return {"knots": knots, "to": np.stack([self._towards(own, goal) for own in knots]), "goal": goal}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Map rows between the percentiles of their domain."""

        def one(edit: Edit, x: Array) -> Array:
            return apply(edit, x, "shift" if self.beyond == "refuse" else self.beyond)

        def average(own: Array, x: Array) -> Array:
            return one(Edit(own, jnp.asarray(fitted["to"])), x)

        if fitted["to"].ndim == 3:
            return by_group(one, Edit(fitted["knots"], fitted["to"]), x, domain)
        return by_group(average, fitted["knots"], x, domain)

    def out_of_range(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return how many values of every row lie outside the percentiles of its domain, (n,)."""
        return by_group(lambda own, x: outside(Edit(own, own), x), fitted["knots"], x, domain).sum(axis=1)

    @property
    def refuses_out_of_range(self) -> bool:
        """Whether rows with such values are refused."""
        return self.beyond == "refuse"

    def adapt(self, fitted: Fitted, controls: np.ndarray, reference: np.ndarray) -> Fitted:
        """Measure the percentiles of one more domain, where all were measured on their controls."""
        del reference
        preconditions.by_controls(self.on, "Percentiles")
        goal = fitted["goal" if self.target else "to"]
        knots = self._knots(controls) if len(controls) else goal
        more = fitted | {"knots": np.append(fitted["knots"], knots[None], axis=0)}
        if self.target:
            more["to"] = np.append(fitted["to"], self._towards(knots, goal)[None], axis=0)
        return more

    def _given_populations(self, knots: np.ndarray, cohort: Cohort) -> Fitted:
        """Return where percentiles go where mixtures of domains differ: by location and scale given the populations.

        Percentiles of one mixture are not those of another one, whatever the effects of the domains.
        """
        assert cohort.composition is not None
        rows = (jnp.asarray(part) for part in (cohort.x, cohort.domain, cohort.counts))
        location, scale = (np.asarray(each)[:, None] for each in cohort.composition.location_and_scale(*rows))
        goal = np.asarray(cohort.role) == TARGET if self.target else np.full(len(knots), True)
        to = (knots - location) / scale * scale[goal].mean(axis=0) + location[goal].mean(axis=0)
        return {"to": to.astype(np.float32)} | ({"goal": knots[np.argmax(goal)]} if self.target else {})

    def _towards(self, own: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Return where the percentiles of a domain go, (percentiles, d)."""
        to = goal.copy()
        if self.ties == "keep":
            for j in np.flatnonzero(_tied(own) & _tied(goal)):
                to[:, j] = _keep_atoms(own[:, j], goal[:, j])
        return np.asarray(keep_scale(Edit(jnp.asarray(own), jnp.asarray(to))).target)

    def _knots(self, rows: np.ndarray) -> np.ndarray:
        return percentiles_of_observed(rows, np.linspace(0, 100, self.percentiles)).astype(np.float32)


def _tied(knots: np.ndarray) -> np.ndarray:
    """Return of which features two percentiles are one value, (d,)."""
    return (np.diff(knots, axis=0) == 0).any(axis=0)


def _keep_atoms(own: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Return where the percentiles of one feature go, when its atoms stay as they are.

    The target's percentiles are taken at other ranks, stretched so that those of an atom meet in both. The ranks of
    an atom end halfway between its last percentile and the next one.

    Examples
    --------
    >>> half, third = np.array([0.0, 0.0, 0.0, 2.0, 4.0]), np.array([0.0, 0.0, 10.0, 20.0, 30.0])
    >>> _keep_atoms(half, third).round(6).tolist()
    [0.0, 0.0, 0.0, 13.333333, 30.0]
    """
    last = len(own) - 1
    ranks, taken = np.arange(last + 1.0), [(0.0, 0.0), (float(last), float(last))]
    atoms = _atoms(own, goal)
    for atom in atoms:
        ends = []
        for knots in (own, goal):
            (at,) = np.nonzero(knots == atom)
            ends.append((at[0] - 0.5 if at[0] else 0.0, at[-1] + 0.5 if at[-1] < last else float(last)))
        taken += zip(*ends, strict=True)
    here, there = np.unique(taken, axis=0).T
    to = np.interp(np.interp(ranks, here, there), ranks, goal).astype(own.dtype)
    for atom in atoms:
        to[own < atom] = np.minimum(to[own < atom], atom)
        to[own == atom] = atom
        to[own > atom] = np.maximum(to[own > atom], atom)
    return to


def _atoms(own: np.ndarray, goal: np.ndarray) -> list[float]:
    """Return the values that stay: of those with several percentiles in both, the most frequent and the ends of both.

    Examples
    --------
    >>> _atoms(np.array([0, 0, 1, 1, 1, 2, 3]), np.array([0, 0, 1, 1, 2, 2, 2]))
    [0.0]
    """
    (values, times), (others, counts) = (np.unique(knots, return_counts=True) for knots in (own, goal))
    tied = set(values[times > 1].tolist()) & set(others[counts > 1].tolist())
    same = [(values[times.argmax()], others[counts.argmax()]), (own[0], goal[0]), (own[-1], goal[-1])]
    return sorted({float(a) for a, b in same if a == b and float(a) in tied})


def _average(knots: np.ndarray) -> np.ndarray:
    """Average percentiles over domains, (domains, percentiles, d); those of a constant feature tell only where it is.

    Examples
    --------
    >>> _average(np.array([[[0.0], [2.0], [6.0]], [[4.0], [4.0], [4.0]]])).tolist()
    [[1.0], [3.0], [7.0]]
    """
    flat = constant_range(knots[:, 0], knots[:, -1])
    if flat.any():
        middle = np.median(knots, axis=1, keepdims=True)
        knots = middle + average_of_others(knots - middle, np.broadcast_to(flat[:, None], knots.shape))
    return knots.mean(axis=0)
