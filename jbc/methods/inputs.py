"""How measurements become what a network sees, and how its output becomes measurements again."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import chex
import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.sampling import Rows
from jbc.methods import preconditions
from jbc.methods.constraints import Positive
from jbc.methods.settings import LEFT, Settings
from jbc.numerics.linalg import ROUNDING, average_of_others, constant, lacking, mean_and_deviation

Scale = Literal["domain", "pooled", "none"]
Level = Literal["auto", "remove", "keep"]
Width = Literal["auto", "none"] | Positive
Tables = dict[str, Any]

MANY = 30
# More features are more than a network needs to see, and components enough for what is said of rows with fewer.
WIDE, COMPONENTS = 2000, 50
# A value so near to a constant, in units of the scale elsewhere, is that constant.
NEAR = 1e-3
# Stands for no constant: no value is near.
NEVER = 1e38


@dataclasses.dataclass(frozen=True)
class Inputs(Settings):
    r"""Signed logarithm, level of the row, location and scale of its domain.

    .. math:: x \to \frac{\ell(x) - \bar\ell(x) - \mu_g}{\sigma_g}, \qquad
              \ell(x) = \operatorname{sign}(x) \log(1 + |x|)

    The level :math:`\bar\ell` is the mean over the features of a row. Taking it out of logarithms leaves ratios
    (the centred log-ratio): how much material was measured does not matter any more.

    Attributes
    ----------
    log
        Take the logarithm.
    level
        Take the level out, or leave it in; ``"auto"`` takes it out of rows of 30 features or more, where it
        costs little of what the features tell.
    scale
        Whose location and scale: each domain's, the pooled ones, or none.
    subspace
        How many principal components of the standardised rows networks see; ``"none"`` for the features themselves.
        ``"auto"`` takes 50 components of tables of more than 2,000 features, and says so. Where domains are not
        standardised each by itself, the directions between their means are added, one less than there are domains,
        so that every shift of a domain lies in the subspace. Components are divided by one number for all, so that
        their mean variance is 1: distances between rows are what they were, and small components stay small.

    Examples
    --------
    >>> inputs = Inputs(log=False, level="keep", scale="domain")
    >>> x, domain = jnp.array([[1.0], [3.0], [9.0], [15.0]]), jnp.array([0, 0, 1, 1])
    >>> tables = inputs.measure(x, domain, jnp.ones(4), groups=2)
    >>> z = inputs.apply(tables, x, domain)
    >>> z[:, 0].tolist(), inputs.restore(tables, z, x, domain)[:, 0].tolist()
    ([-1.0, 1.0, -1.0, 1.0], [5.0, 9.0, 5.0, 9.0])
    """

    log: bool = LEFT
    level: Level = LEFT
    scale: Scale = LEFT
    subspace: Width = LEFT

    def components(self, d: int) -> int | None:
        """Return how many components networks see of ``d`` features; None where they see the features."""
        if self.subspace == "auto":
            return COMPONENTS if d > WIDE else None
        return None if self.subspace in ("none", None) else self.subspace

    def check(self, cohort: Cohort) -> None:
        """Warn of features without a scale in a domain, where every domain is scaled by itself."""
        if self.scale == "domain":
            preconditions.warn_constant(cohort)

    def measure(
        self, x: Array, domain: Array, weight: Array, groups: int, offset: Array | None = None
    ) -> Tables:
        """Return location (G, d), scale (G, d) and mean level (G,) of every domain, and their means under ``to``.

        A domain in which a feature is ``constant`` tells nothing about it: location and scale are the averages of
        the domains where it varies, the networks see 0 where a value is that constant, and other values are read
        as those of the average domain. Of a feature that ``varies`` in no domain, the networks see 0 everywhere, and
        rows keep what they have beyond the location.

        ``offset`` is what was taken off the features (:attr:`jbc.Cohort.offset`); logarithms need to know it.
        """
        tables: Tables = {} if offset is None or not self.log else {"offset": jnp.asarray(offset)}
        values, level = self._split(x, tables)
        if self.scale == "none":
            empty = jnp.zeros((groups, x.shape[1]))
            own = {"location": empty, "scale": empty + 1, "level": empty[:, 0]}
            return (
                tables | _with_means(own) | {"constant": empty + NEVER, "varies": jnp.ones(x.shape[1], bool)}
            )
        where = domain if self.scale == "domain" else jnp.zeros_like(domain)
        rows = where, weight, groups
        both = jnp.concatenate([values - level, level], axis=1)
        mean, deviation = mean_and_deviation(both, where, _with_level(weight), groups)
        centre, around = mean[:, :-1], deviation[:, :-1]
        if self.level != "keep":
            # What the level adds to a constant is no scale of it.
            centre, around = mean_and_deviation(values, *rows)
        flat, lacks = constant(around, centre), lacking(weight, where, groups)
        flat = flat if lacks is None else flat | lacks
        location, scale = (average_of_others(each[:, :-1], flat) for each in (mean, deviation))
        if self.scale == "pooled":
            location, scale, centre, flat, mean = (
                jnp.broadcast_to(each[:1], each.shape) for each in (location, scale, centre, flat, mean)
            )
        varies = ~flat.all(axis=0)
        own = {"location": location, "scale": jnp.where(varies, scale, 1), "level": mean[:, -1]}
        known = flat & varies if lacks is None else flat & varies & ~lacks
        return tables | _with_means(own) | {"constant": jnp.where(known, centre, NEVER), "varies": varies}

    def of_cohort(self, cohort: Cohort, counts: Array | int = 1) -> Tables:
        """Measure a cohort; rows count by their weight, times ``counts``, and missing values do not.

        Where mixtures of domains differ, location, scale and level are those given the populations
        (:meth:`jbc.cohort.composition.Composition.location_and_scale`).
        """
        x, domain, weight = (jnp.asarray(part) for part in (cohort.x, cohort.domain, cohort.counts))
        weight = weight * (jnp.asarray(counts)[:, None] if weight.ndim == 2 and jnp.ndim(counts) else counts)
        tables = self.measure(x, domain, weight, len(cohort.domains.count), cohort.offset)
        if cohort.subspace is not None:
            tables |= {"basis": jnp.asarray(cohort.subspace.basis), "size": jnp.asarray(cohort.subspace.size)}
        held = cohort.composition
        if held is None or self.scale != "domain":
            return tables
        values, level = self._split(x, tables)
        both = jnp.concatenate([values - level, level], axis=1)
        location, scale = held.location_and_scale(both, domain, _with_level(weight))
        # What is constant in a domain tells neither there.
        known = (tables["constant"] == NEVER) & tables["varies"]
        own = {
            "location": jnp.where(known, location[:, :-1], tables["location"]),
            "scale": jnp.where(known, scale[:, :-1], tables["scale"]),
            "level": location[:, -1],
        }
        return tables | _with_means(own)

    def seen(self, x: Array, offset: Array | None = None) -> Array:
        """Return rows in the values that are measured: logarithms, without the level of the row."""
        values, level = self._split(x, {"offset": offset} if self.log and offset is not None else {})
        return values - level

    def of_rows(self, tables: Tables, rows: Rows) -> Array:
        """Return a minibatch as a network sees it, (G, m, d), or (G, m, k) in a subspace."""
        return self.apply(tables, rows.x, rows.domain[:, None]) if rows.codes is None else rows.codes

    def apply(self, tables: Tables, x: Array, domain: Array) -> Array:
        """Return rows of these domains as a network sees them."""
        return _project(tables, self.features(tables, x, domain))

    def features(self, tables: Tables, x: Array, domain: Array) -> Array:
        """Return the standardised features of rows."""
        chex.assert_rank(domain, x.ndim - 1)  # (n,), or (groups, 1) beside rows (groups, m, d)
        values, level = self._split(x, tables)
        if self.scale == "none":
            return values - level
        scale, lacked = tables["scale"][domain], tables["constant"][domain]
        near = jnp.abs(values - lacked) <= NEAR * scale + 10 * ROUNDING * jnp.abs(lacked)
        z = (values - level - tables["location"][domain]) / scale
        return jnp.where(near | ~tables["varies"], 0, z)

    def restore(self, tables: Tables, z: Array, x: Array, domain: Array) -> Array:
        """Return measurements of one average domain, from network outputs for the rows ``x``.

        In a subspace, what lies outside of it stays as it was standardised.
        """
        if "basis" in tables:
            own = self.features(tables, x, domain)
            change = (z - _project(tables, own)) * tables["size"]
            z = own + jnp.matmul(change, tables["basis"].T, precision="highest")
        values, level = self._split(x, tables)
        beyond = values - level - tables["location"][domain]
        level = level - tables["level"][domain][:, None] + tables["to"]["level"]
        out = (
            jnp.where(tables["varies"], z * tables["to"]["scale"], beyond) + tables["to"]["location"] + level
        )
        return signed_exponential(out, tables.get("offset")) if self.log else out

    def shift_last(self, tables: Tables, controls: Array, reference: Array) -> Tables:
        """Return tables in which controls of the last domain have the mean of the reference outside the subspace.

        A shift of a domain that was not there when the subspace was found may lie anywhere; on the host.
        """
        if "basis" not in tables:
            return tables
        basis, domain = tables["basis"], np.full(len(controls), len(tables["location"]) - 1)
        own = np.asarray(self.features(tables, controls, jnp.asarray(domain)), np.float64).mean(axis=0)
        plain = {name: table for name, table in tables.items() if name != "basis"}
        away = own - np.asarray(self.retrieve(plain, reference), np.float64).mean(axis=0)
        away -= basis @ (basis.T @ away)
        location = np.array(tables["location"])
        location[-1] += (away * np.where(tables["varies"], tables["scale"][-1], 0)).astype(np.float32)
        return tables | {"location": location}

    def retrieve(self, tables: Tables, x: Array) -> Array:
        """Return the network output that :meth:`restore` turned into measurements of the average domain."""
        values, level = self._split(x, tables)
        z = (values - level - tables["to"]["location"]) / tables["to"]["scale"]
        return _project(tables, jnp.where(tables["varies"], z, 0))

    def extend(self, tables: Tables) -> Tables:
        """Return the tables with one more domain, which is read as an average one; on the host."""
        new = tables["to"] | {"constant": np.full_like(tables["constant"][0], NEVER)}
        return tables | {name: np.append(tables[name], row[None], axis=0) for name, row in new.items()}

    def takes_level(self, d: int) -> bool:
        """Return whether the level is taken out of rows of ``d`` features."""
        return self.level == "remove" or (self.level == "auto" and d >= MANY)

    def _split(self, x: Array, tables: Tables) -> tuple[Array, Array]:
        """Return values and the level of their row, which is 0 where it is left in."""
        x = signed_logarithm(x, tables.get("offset")) if self.log else x
        if not self.takes_level(x.shape[-1]):
            return x, jnp.zeros_like(x[..., :1])
        return x, x.mean(axis=-1, keepdims=True)


def signed_logarithm(x: Array, offset: Array | None = None) -> Array:
    r"""Return :math:`\operatorname{sign}(v) \log(1 + |v|)` of v = x + offset, less that of the offset.

    Of values near a large offset, the difference of the two logarithms keeps the digits that each of them loses.

    Examples
    --------
    >>> [f"{value:.4f}" for value in signed_logarithm(jnp.array([-1.0, 3.0])).tolist()]
    ['-0.6931', '1.3863']
    >>> far = signed_logarithm(jnp.array([1.0]), jnp.array([1e8]))  # log(100000002) - log(100000001)
    >>> [f"{value:.3g}" for value in far.tolist()]
    ['1e-08']
    """
    if offset is None:
        return jnp.sign(x) * jnp.log1p(jnp.abs(x))
    sign, size, value = jnp.sign(offset), jnp.abs(offset), x + offset
    near = sign * jnp.log1p(jnp.maximum(sign * x / (1 + size), -0.5))
    far = jnp.sign(value) * jnp.log1p(jnp.abs(value)) - sign * jnp.log1p(size)
    return jnp.where(sign * x > -0.5 * size, near, far)


def signed_exponential(y: Array, offset: Array | None = None) -> Array:
    """Return what :func:`signed_logarithm` was taken of.

    Examples
    --------
    >>> offset = jnp.array([1e8])
    >>> float(signed_exponential(signed_logarithm(jnp.array([7.0]), offset), offset)[0])
    7.0
    """
    if offset is None:
        return jnp.sign(y) * jnp.expm1(jnp.abs(y))
    sign, size = jnp.sign(offset), jnp.abs(offset)
    value = y + sign * jnp.log1p(size)
    near = sign * jnp.expm1(jnp.maximum(sign * y, -1)) * (1 + size)
    far = jnp.sign(value) * jnp.expm1(jnp.abs(value)) - offset
    return jnp.where(sign * y > -jnp.log1p(0.5 * size / (1 + size)), near, far)


def _with_level(weight: Array) -> Array:
    """Return weights for rows with their level behind them, which has a value wherever a row has one."""
    weight = jnp.asarray(weight)
    if weight.ndim == 1:
        return weight
    return jnp.concatenate([weight, weight.max(axis=1, keepdims=True)], axis=1)


def _project(tables: Tables, z: Array) -> Array:
    """Return standardised rows along the directions of the subspace, if there is one."""
    if "basis" not in tables:
        return z
    return jnp.matmul(z, jnp.asarray(tables["basis"]), precision="highest") / tables["size"]


def _with_means(tables: dict[str, Array]) -> Tables:
    """Add the average domain, which results are given in, and which stays what it is when domains come in."""
    return tables | {"to": {name: table.mean(axis=0) for name, table in tables.items()}}
