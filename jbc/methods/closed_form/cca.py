"""Canonical correlation analysis: sources and a target are read by codes that both have, and these are aligned."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.composition import Composition
from jbc.cohort.roles import SOURCE, TARGET
from jbc.errors import InputError
from jbc.methods import preconditions
from jbc.methods.base import ClosedForm, Directed, Encodes, Fitted
from jbc.methods.closed_form.canonical import (
    Rows,
    canonical_vectors,
    metagene_map,
    standard_rows,
    without_ties,
)
from jbc.methods.constraints import Positive, Several
from jbc.methods.settings import ROUTE, Route
from jbc.numerics import edits
from jbc.numerics.edits import Edit
from jbc.numerics.linalg import by_group, constant_range, location_and_scale
from jbc.numerics.observed import percentiles_of_observed


@dataclasses.dataclass(frozen=True)
class CCA(Directed, ClosedForm, Encodes):
    r"""Find codes that sources and target share by canonical correlation analysis, and align them.

    .. math:: X Y^\top = U S V^\top, \qquad u = \tilde x A, \quad v = \tilde y B, \qquad
              \tilde x' = \tilde x + (e(\tilde x A) - \tilde x B)\, B^+

    Rows are standardised feature by feature within their domain, then each over its features: X of the sources, Y of
    the target. Features stand in the place of samples, as the tables have no rows in common: the canonical vectors U
    and V say how the rows of one table are read along those of the other, and their loadings
    :math:`A = Y^\top V S^{-1}` and :math:`B = X^\top U S^{-1}` read new rows too. The map e aligns every code of a
    source with that of the target, and never decreases.

    The publications end with the aligned codes (:meth:`encode`). Here :meth:`transform` changes a row as little as it
    can so that, read as a row of the target, it has its aligned code; standardisation is then undone in the units of
    the target. What no code tells stays as it is, and so do the rows of the target.

    Parameters
    ----------
    route
        Which domains move where; by default all others move to the largest one. All sources have the same codes.
    codes
        Number of canonical vectors, at most as many as there are directions in which both tables vary.
    form
        The map e of codes. ``"alignment"``: dynamic time warping of metagenes, as in Seurat. ``"percentiles"``: the
        percentiles of a source to those of the target. ``"plain"``: none, e(u) = u.
    features
        Most features of a metagene (``"alignment"``).
    percentiles
        How many percentiles of a code are mapped; what lies between two is interpolated, and what lies beyond them is
        shifted as their end is.
    cautious
        Leave rows alone where sampling alone would make as much of equal distributions. Replicate rows of one unit
        count as one row.

    Notes
    -----
    Without a map, and with as many codes as features, the correction of standardised rows is the linear map of least
    cost that gives the sources the second moments of the target.

    A feature that is constant in one of these domains is no part of rows, and is only shifted. Where domains hold
    different mixtures, they are standardised given the populations, and the rows of populations that a source and
    the target share are aligned.

    Where values are missing, location, scale and what sampling explains are those of observed values. Canonical
    vectors and codes read whole rows, with the centre of their domain where nothing was observed; a feature that the
    target or a source lacks is no part of rows.

    *As in Seurat 2*: the decomposition of standardised cells, 20 codes, metagenes of 30 features by biweight
    midcorrelation, symmetric steps of the warping. *Otherwise*: several sources are decomposed together, codes have
    the mean square 1, no value is cut at ten deviations, and maps are kept by percentiles, of 1000 rows at most.

    References
    ----------
    Butler, Hoffman, Smibert, Papalexi and Satija, "Integrating single-cell transcriptomic data across different
    conditions, technologies, and species", Nature Biotechnology 36, 2018.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 10)) + rng.normal(size=(60, 10)) / 10
    >>> domain = np.repeat(["a", "b"], 30)
    >>> x[30:] = 2 * x[30:] + 5
    >>> cohort = Cohort.from_arrays(x, domain)
    >>> method = CCA(route=Route(target="a"), codes=3)
    >>> cohort = method.resolve(cohort)
    >>> fitted = method.finish(None, cohort)
    >>> moved = np.asarray(method.transform(fitted, cohort.x, cohort.domain))
    >>> [round(float(abs(part.mean())), 1) for part in (x[:30], x[30:], moved[:30], moved[30:])]
    [0.1, 4.9, 0.1, 0.1]
    """

    takes_missing: ClassVar[bool] = True

    route: Route = ROUTE
    codes: Positive = 20
    form: Literal["alignment", "percentiles", "plain"] = "alignment"
    features: Positive = 30
    percentiles: Several = 101
    cautious: bool = True

    def check(self, cohort: Cohort) -> None:
        """Refuse domains that cannot be measured, and tables of fewer than two features."""
        preconditions.no_extrapolation(self.route.extrapolate, "CCA")
        preconditions.enough_rows(cohort)
        preconditions.warn_constant(cohort)
        varies = _varies(cohort)
        if varies.sum() < 2:
            raise InputError(
                "Fewer than two features vary in all sources and the target",
                which=[name for name, each in zip(cohort.names.features, varies, strict=True) if each]
                or None,
                why="A code is a sum of features by which rows are like each other.",
                fix="Use more features, leave out domains that lack them, or use QuantileMap for a single one.",
                code="too-few-features",
            )

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Find the canonical vectors, and the map of the codes of every source."""
        del state
        role, domain = np.asarray(cohort.role), np.asarray(cohort.domain)
        weight, target = np.asarray(cohort.weight), int(np.argmax(role == TARGET))
        tables = self._standardise(cohort, target)
        z = (np.asarray(cohort.x, np.float64) - tables["location"][domain]) / tables["scale"][domain]
        z = z[:, tables["varies"]]
        rows = standard_rows(z)
        moves, goes = role[domain] == SOURCE, domain == target
        number = min(self.codes, z.shape[1])
        found = canonical_vectors(rows[moves], rows[goes], (weight[moves], weight[goes]), number)
        codes = np.where(moves[:, None], rows @ found.source, rows @ found.target)
        share, maps = np.zeros(len(role)), np.zeros((2, len(role), self.percentiles, number))
        for g in np.flatnonzero(role == SOURCE).tolist():
            own, other = _shared(cohort, g, target)
            if not (own.any() and other.any()):
                continue  # nothing is known of what these domains differ by
            share[g] = _certainty(cohort, own, other) if self.cautious else 1
            if self.form != "plain":
                maps[:, g] = self._aligned(Rows(z, codes, own), Rows(z, codes, other))
        loadings = {"source": found.source, "target": found.target, "back": found.back.T}
        whole = {name: np.zeros((len(tables["varies"]), number)) for name in loadings}
        for name, each in loadings.items():
            whole[name][tables["varies"]] = each
        fitted: Fitted = tables | whole | {"share": share}
        fitted = {name: each.astype(np.float32) for name, each in fitted.items()}
        if self.form != "plain":
            fitted["edits"] = dict(zip(Edit._fields, maps.astype(np.float32), strict=True))
        return fitted | {"role": role, "to": np.array(target, np.int32)}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Move rows of the sources by their codes, and to the location and scale of the target."""
        z, rows, deviation = self._read(fitted, x, domain)
        change = self._codes(fitted, rows, domain) - _times(rows, fitted["target"])
        z = z + deviation * _times(change, jnp.asarray(fitted["back"]).T)
        location, scale = (jnp.asarray(fitted[name])[fitted["to"]] for name in ("location", "scale"))
        share = jnp.asarray(fitted["share"])[domain][:, None]
        return jnp.where(share > 0, x + share * (location + scale * z - x), x)

    def encode(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return the aligned codes, (n, codes); rows of domains that do not move are read as the target's are."""
        _, rows, _ = self._read(fitted, x, domain)
        return self._codes(fitted, rows, domain)

    def _read(self, fitted: Fitted, x: Array, domain: Array) -> tuple[Array, Array, Array]:
        """Return rows standardised within their domain, over their features as well, and what by."""
        varies = jnp.asarray(fitted["varies"])
        z = (x - fitted["location"][domain]) / fitted["scale"][domain]
        centred = varies * (z - ((z * varies).sum(axis=1) / varies.sum())[:, None])
        deviation = jnp.sqrt(jnp.square(centred).sum(axis=1) / varies.sum())[:, None]
        return z, jnp.where(deviation > 0, centred / jnp.where(deviation > 0, deviation, 1), 0), deviation

    def _codes(self, fitted: Fitted, rows: Array, domain: Array) -> Array:
        codes = _times(rows, fitted["source"])
        if self.form != "plain":
            codes = by_group(lambda own, code: edits.apply(Edit(**own), code), fitted["edits"], codes, domain)
        moves = (jnp.asarray(fitted["role"])[domain] == SOURCE)[:, None]
        return jnp.where(moves, codes, _times(rows, fitted["target"]))

    def _standardise(self, cohort: Cohort, target: int) -> dict[str, np.ndarray]:
        """Return location and scale of every domain; a feature that is constant in one has the target's scale."""
        parts = (jnp.asarray(part) for part in (cohort.x, cohort.domain, cohort.counts))
        found = _measure(*parts, len(cohort.domains.count), cohort.composition)
        location, scale = (np.asarray(each, np.float64) for each in found)
        varies = _varies(cohort)
        return {"location": location, "scale": np.where(varies, scale, scale[target]), "varies": varies}

    def _aligned(self, source: Rows, target: Rows) -> np.ndarray:
        """Return percentiles of every code of a source, and where they go, (2, percentiles, k)."""
        found = np.zeros((2, self.percentiles, source.code.shape[1]))
        for k in range(source.code.shape[1]):
            own, other = (side._replace(code=side.code[:, k]) for side in (source, target))
            if self.form == "alignment":
                pair = metagene_map(own, other, self.features)
            else:
                pair = [np.sort(np.repeat(side.code, side.weight)) for side in (own, other)]
            knots = [np.quantile(each, np.linspace(0, 1, self.percentiles)) for each in pair]
            found[:, :, k] = without_ties(*knots)
        return found


def _times(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")


@partial(jax.jit, static_argnums=3)
def _measure(
    x: Array, domain: Array, weight: Array, groups: int, held: Composition | None
) -> tuple[Array, Array]:
    """Return location and scale of every domain: given the populations, where mixtures differ."""
    if held is not None:
        return held.location_and_scale(x, domain, weight)
    return location_and_scale(x, domain, weight, groups)


def _varies(cohort: Cohort) -> np.ndarray:
    """Return which features vary in every source and in the target, (d,)."""
    used, role = np.asarray(cohort.weight) > 0, np.asarray(cohort.role)
    domain, x = np.asarray(cohort.domain)[used], np.asarray(cohort.x)[used]
    ends = [
        [end(x[domain == g], axis=0) for end in (np.min, np.max)]
        for g in range(len(role))
        if role[g] in (SOURCE, TARGET)
    ]
    return ~constant_range(*np.stack(ends, axis=1)).any(axis=0)


def _shared(cohort: Cohort, source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how often rows of a source and of the target count, (n,) each: those of populations that both have."""
    domain, weight, held = np.asarray(cohort.domain), np.asarray(cohort.weight), cohort.composition
    sides = [np.where(domain == g, weight, 0) for g in (source, target)]
    if held is None:
        return sides[0], sides[1]
    shares = np.asarray(held.shares)[[source, target]]
    both = np.asarray(held.membership) @ (shares.min(axis=0) > 0)
    return np.where(both >= 0.5, sides[0], 0), np.where(both >= 0.5, sides[1], 0)


def _certainty(cohort: Cohort, own: np.ndarray, other: np.ndarray) -> float:
    """Return 0 where sampling alone explains how a source and the target differ, feature by feature, and at most 1.

    That is :func:`jbc.numerics.edits.certainty`, of features in units of their deviation over both; of what was
    observed, in features that both sides have.
    """
    x, unit = np.asarray(cohort.x, np.float64), np.asarray(cohort.unit)
    seen = np.ones((1, x.shape[1]), bool) if cohort.observed is None else np.asarray(cohort.observed)
    both = np.all([(weight[:, None] * seen).any(axis=0) for weight in (own, other)], axis=0)
    x, seen = x[:, both], np.broadcast_to(seen[:, both], (len(x), both.sum()))
    used = (own + other)[:, None] * seen
    mean = np.average(x, axis=0, weights=used)
    deviation = np.sqrt(np.average(np.square(x - mean), axis=0, weights=used))
    x = np.where(seen, (x - mean) / np.where(deviation > 0, deviation, np.inf), np.nan)
    noise, knots = np.zeros(x.shape[1]), []
    for weight in (own, other):
        rows = np.repeat(x, weight, axis=0)
        knots.append(percentiles_of_observed(rows, np.linspace(0, 100, 21)))
        count = np.zeros((unit.max() + 1, x.shape[1]))
        np.add.at(count, unit, weight[:, None] * seen)
        noise += np.nanvar(rows, axis=0) * np.square(count / count.sum(axis=0)).sum(axis=0)
    return float(edits.certainty(Edit(*(jnp.asarray(each) for each in knots)), jnp.asarray(noise)))
