"""Mutual nearest neighbours: domains are moved by what rows of one population differ by."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.roles import SOURCE, TARGET
from jbc.errors import SHOWN, enumeration, warn
from jbc.methods import preconditions
from jbc.methods.base import ClosedForm, Directed, Fitted
from jbc.methods.closed_form.distinct import distinct_rows
from jbc.methods.closed_form.projection import scaling
from jbc.methods.constraints import Fraction, Positive, PositiveFloat
from jbc.methods.settings import ROUTE, Route
from jbc.numerics.neighbours import Anchors, average_of, in_chunks, kernel_average, nearest


@dataclasses.dataclass(frozen=True)
class MNN(Directed, ClosedForm):
    r"""Move domains by the differences of rows that are each other's nearest neighbours (MNN).

    Rows of a source and of the target that are among the k nearest of each other are taken for rows of one
    population. A row a of the source that has such neighbours, an anchor, is off by the mean difference :math:`v_a`
    from them; and a row x of that source moves by what the anchors near it are off by,

    .. math:: x' = x + \frac{\sum_a K(x, a)\, v_a}{\sum_a K(x, a)}, \qquad
              K(x, a) = \frac{1}{\rho_a} e^{-\|u(x) - u(a)\|^2 / \sigma}, \qquad
              \rho_a = \sum_{a'} e^{-\|u(a) - u(a')\|^2 / \sigma},

    where u(x) is the row after features were standardised over all rows, divided by its length. Populations that are
    not in the target have no neighbours of their own there, and move as the nearest anchors do.

    Sources are merged one after the other: what has been corrected belongs to the target of the next. New rows of
    known domains move by the formula of those of the fit.

    Parameters
    ----------
    route
        The target stays; by default it is the largest domain. Sources are merged in the order in which they are
        named, or, where none is, from the largest to the smallest.
    neighbours
        Number k of neighbours, on both sides.
    sigma
        What squared distances are divided by in the kernel. Lengths are 1, so these are at most 4; without
        ``cosine``, they are in squared standard deviations.
    cosine
        Divide rows by their length to compare them, or not.
    scale
        Standardise features over all rows to compare them, or take rows as they are.
    density
        Divide by the density ρ, so that a crowd of anchors counts no more than a few do; or not (ρ = 1).
    least_shared
        A source of which a smaller part of the rows has mutual neighbours shares too little with the target. It stays
        as it is, is no part of the target of those that follow, and a warning names it.

    Notes
    -----
    Neighbours are of one population where effects are smaller than what populations differ by, and act in directions
    of their own. Domains that share nothing have mutual neighbours too, at their edges: about as many as k, whatever
    the number of rows. So ``least_shared`` finds such domains only where there are many rows.

    The composition of domains is not estimated: neighbours say what is compared with what. Missing values are
    refused: a row with the centre of its domain in their place differs from its neighbours by what populations do.

    The released program (mnnCorrect) compares rows as they are, ``scale=False``. It returns rows divided by their
    length, and adjusts the variance along corrections; here rows keep their units, and no variance is adjusted. When
    a source has been merged, its rows are compared as corrected, and divided by their length anew. fastMNN of the
    same authors, which works on principal components, is not here.

    References
    ----------
    Haghverdi, Lun, Morgan and Marioni, "Batch effects in single-cell RNA-sequencing data are corrected by matching
    mutual nearest neighbors", Nature Biotechnology 36, 2018, doi:10.1038/nbt.4091.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> kind, domain = np.tile(np.arange(3), 100), np.repeat([0, 1], 150)
    >>> x = 6 * np.eye(6)[kind] + domain[:, None] * [0, 0, 0, 2, 2, 2] + rng.normal(size=(300, 6))
    >>> method = MNN()
    >>> cohort = method.resolve(Cohort.from_arrays(x, domain))
    >>> moved = method.transform(method.finish(None, cohort), cohort.x, cohort.domain)
    >>> [round(float(np.linalg.norm(z[:150].mean(axis=0) - z[150:].mean(axis=0))), 1) for z in (cohort.x, moved)]
    [3.6, 0.9]
    """

    route: Route = ROUTE
    neighbours: Positive = 20
    sigma: PositiveFloat = 0.1
    cosine: bool = True
    scale: bool = True
    density: bool = True
    least_shared: Fraction = 0.05

    def check(self, cohort: Cohort) -> None:
        """Refuse domains that cannot be measured."""
        preconditions.enough_rows(cohort)
        preconditions.no_extrapolation(self.route.extrapolate, "MNN")

    def compares_mixtures(self, cohort: Cohort) -> bool:
        """Return False: rows are compared with their neighbours, whatever else their domains hold."""
        del cohort
        return False

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Find the anchors of every source, and what they are off by."""
        del state
        x, domain, weight = (np.asarray(part) for part in (cohort.x, cohort.domain, cohort.weight))
        mean, factor = scaling(x, weight)
        rows = distinct_rows(x, factor if self.scale else np.ones_like(factor), domain, weight)
        if not self.scale:
            mean, factor = mean * (0 if self.cosine else 1), np.ones_like(factor)
        seen = {"mean": mean.astype(np.float32), "factor": factor.astype(np.float32)}
        x, domain = x[rows.at], domain[rows.at]
        merge = _Merge(self, x, self.compared(seen, x), rows.weight, domain)
        target = int(np.argmax(np.asarray(cohort.role) == TARGET))
        merge.join(target, x[domain == target], seen)
        nothing = (np.zeros((0, x.shape[1])), np.zeros((0, x.shape[1])), np.zeros(0))
        held, apart = [nothing] * len(cohort.domains.count), []
        for g in self._order(cohort):
            found, shared = merge.anchors(g)
            if shared < self.least_shared:
                apart.append(g)
                continue
            held[g] = found
            merge.join(g, merge.corrected(g, found), seen)
        _warn_apart(cohort, apart, self.least_shared)
        return {**seen, **in_chunks(held)._asdict()}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Move rows by the anchors of their domain."""
        anchors = Anchors(**{name: fitted[name] for name in Anchors._fields})
        return x + kernel_average(self.compared(fitted, x), domain, anchors, self.sigma)[0]

    def compared(self, fitted: Fitted, x: Any) -> Any:
        """Return rows as they are compared; NumPy or JAX."""
        z = (x - fitted["mean"]) * fitted["factor"]
        if not self.cosine:
            return z
        xp = np if isinstance(z, np.ndarray) else jnp
        return z / xp.maximum(xp.linalg.norm(z, axis=1, keepdims=True), np.finfo(np.float32).tiny)

    def _order(self, cohort: Cohort) -> list[int]:
        """Return the codes of the sources, in the order in which they are merged."""
        if self.route.source:
            return [cohort.names.domains.index(name) for name in self.route.source]
        size = np.bincount(np.asarray(cohort.domain), np.asarray(cohort.weight), len(cohort.domains.count))
        role = np.asarray(cohort.role)
        return [int(g) for g in np.argsort(-size, kind="stable") if role[g] == SOURCE]


Found = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Anchors of a source as they are compared, what they are off by, and the logarithms of their weights."""


class _Merge:
    """The target while sources are merged into it: of all rows, which belong to it, where they lie, how compared."""

    def __init__(
        self, method: MNN, x: np.ndarray, z: np.ndarray, weight: np.ndarray, domain: np.ndarray
    ) -> None:
        self.method, self.x, self.z, self.weight, self.domain = method, x, z, weight, domain
        self.moved, self.compared = x.copy(), z.copy()
        self.joined = np.zeros(len(x), bool)
        self.most = int(np.bincount(domain).max())

    def join(self, g: int, moved: np.ndarray, seen: Fitted) -> None:
        """Let the corrected rows of a domain belong to the target."""
        here = self.domain == g
        self.moved[here], self.joined[here] = moved, True
        self.compared[here] = self.method.compared(seen, moved)

    def anchors(self, g: int) -> tuple[Found, float]:
        """Return the anchors of a source, and which part of its rows they are."""
        here, k = self.domain == g, self.method.neighbours
        z, weight = self.z[here], self.weight[here]
        near, at, unsure = nearest(z, self.compared, self.weight * self.joined, k)
        # Of the other side, only how far its neighbours reach is needed; padding lets all sources share a program.
        padding = self.most - len(z)
        sources = np.pad(z, ((0, padding), (0, 0))), np.pad(weight, (0, padding))
        back = nearest(self.compared[self.joined], *sources, k)[0]
        reach = np.zeros(len(self.x), np.float32)
        reach[self.joined] = np.where(np.isfinite(back), back, 0).max(axis=1)
        mutual = near <= reach[at] + unsure
        count = (mutual * self.weight[at]).astype(np.float64)
        total = count.sum(axis=1)
        anchor = total > 0
        off = -self.x[here][anchor].astype(np.float64)
        for share, to in zip((count[anchor] / total[anchor, None]).T, at[anchor].T, strict=True):
            off += share[:, None] * self.moved[to]
        point, logs = z[anchor], np.log(weight[anchor])
        if self.method.density and len(point):
            logs = logs - average_of(point, point, np.zeros((len(point), 1)), logs, self.method.sigma)[1]
        return (point, off, logs), float(weight[anchor].sum() / weight.sum())

    def corrected(self, g: int, found: Found) -> np.ndarray:
        """Return the corrected rows of a source."""
        here = self.domain == g
        return self.x[here] + average_of(self.z[here], *found, self.method.sigma)[0]


def _warn_apart(cohort: Cohort, apart: list[int], least: float) -> None:
    """Warn of sources that stay as they are."""
    if apart:
        names = [repr(cohort.names.domains[g]) for g in apart]
        warn(
            f"Domains of which less than {least:.0%} of the rows have mutual neighbours in the target, "
            f"{len(names)}: {enumeration(names[:SHOWN], len(names))}. What they hold is not in the target, and they "
            "stay as they are."
        )
