"""How measurements become what a network sees, and how its output becomes measurements again."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.linalg import location_and_spread

Scale = Literal["domain", "pooled", "none"]
Level = Literal["auto", "remove", "keep"]
Tables = dict[str, Any]

MANY = 30


@dataclasses.dataclass(frozen=True)
class Inputs:
    r"""Signed logarithm, level of the row, location and spread of its domain.

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
        Whose location and spread: each domain's, the pooled ones, or none.

    Examples
    --------
    >>> inputs = Inputs(log=False, level="keep", scale="domain")
    >>> x, domain = jnp.array([[1.0], [3.0], [9.0]]), jnp.array([0, 0, 1])
    >>> tables = inputs.measure(x, domain, jnp.ones(3), groups=2)
    >>> z = inputs.apply(tables, x, domain)
    >>> z[:, 0].tolist(), inputs.restore(tables, z, x, domain)[:, 0].tolist()
    ([-1.0, 1.0, 0.0], [4.5, 6.5, 5.5])
    """

    log: bool
    level: Level
    scale: Scale

    def measure(
        self, x: Array, domain: Array, weight: Array, groups: int, offset: Array | None = None
    ) -> Tables:
        """Return location (G, d), spread (G, d) and mean level (G,) of every domain, and their means under ``to``.

        ``varies`` (d,) tells which features vary in a domain at all. Of one that does not, no scale is known: the
        networks see 0, and a row keeps what it has beyond the location. ``offset`` is what was taken off the
        features (:attr:`jbc.Cohort.offset`); logarithms need to know it.
        """
        more = {} if offset is None or not self.log else {"offset": jnp.asarray(offset)}
        x, level = self._split(x, more)
        if self.scale == "none":
            empty = jnp.zeros((groups, x.shape[1]))
            tables = _with_means({"location": empty, "spread": empty + 1, "level": empty[:, 0]})
            return tables | {"varies": jnp.ones(x.shape[1], bool)} | more
        where = domain if self.scale == "domain" else jnp.zeros_like(domain)
        both = jnp.concatenate([x, level], axis=1)
        mean, spread, varies = location_and_spread(both, where, weight, groups)
        if self.scale == "pooled":
            mean, spread = (jnp.broadcast_to(table[:1], table.shape) for table in (mean, spread))
        tables = {"location": mean[:, :-1], "spread": spread[:, :-1], "level": mean[:, -1]}
        return _with_means(tables) | {"varies": varies[:-1]} | more

    def of_cohort(self, cohort: Cohort, counts: Array | int = 1) -> Tables:
        """Measure a cohort; rows count by their weight, times ``counts``."""
        x, domain, weight = (jnp.asarray(part) for part in (cohort.x, cohort.domain, cohort.weight))
        return self.measure(x, domain, weight * counts, len(cohort.domains.count), cohort.offset)

    def apply(self, tables: Tables, x: Array, domain: Array) -> Array:
        """Give rows of these domains to a network."""
        x = self._split(x, tables)[0]
        if self.scale == "none":
            return x
        return jnp.where(tables["varies"], (x - tables["location"][domain]) / tables["spread"][domain], 0)

    def restore(self, tables: Tables, z: Array, x: Array, domain: Array) -> Array:
        """Return measurements of one average domain, from network outputs for the rows ``x``."""
        own, level = self._split(x, tables)
        level = level - tables["level"][domain][:, None] + tables["to"]["level"]
        kept = own - tables["location"][domain]
        out = jnp.where(tables["varies"], z * tables["to"]["spread"], kept) + tables["to"]["location"] + level
        return signed_exponential(out, tables.get("offset")) if self.log else out

    def retrieve(self, tables: Tables, x: Array) -> Array:
        """Return what a network gave out for measurements of the average domain, of its mean level."""
        x, _ = self._split(x, tables)
        z = (x - tables["to"]["location"]) / tables["to"]["spread"]
        return jnp.where(tables["varies"], z, 0)

    def extend(self, tables: Tables) -> Tables:
        """Return the tables with one more domain, which is read as an average one; on the host."""
        more = {name: np.append(tables[name], mean[None], axis=0) for name, mean in tables["to"].items()}
        return tables | more

    def _split(self, x: Array, tables: Tables) -> tuple[Array, Array]:
        """Separate rows from their level."""
        x = signed_logarithm(x, tables.get("offset")) if self.log else x
        if self.level == "keep" or (self.level == "auto" and x.shape[-1] < MANY):
            return x, jnp.zeros_like(x[..., :1])
        level = x.mean(axis=-1, keepdims=True)
        return x - level, level


def signed_logarithm(x: Array, offset: Array | None = None) -> Array:
    r"""Return :math:`\operatorname{sign}(v) \log(1 + |v|)` of v = x + offset, less that of the offset.

    Of values near a large offset, the difference of the two logarithms keeps the digits that each of them loses.

    Examples
    --------
    >>> signed_logarithm(jnp.array([-1.0, 3.0])).round(4).tolist()
    [-0.6931, 1.3863]
    >>> float(signed_logarithm(jnp.array([1.0]), jnp.array([1e8]))[0])  # log(100000002) - log(100000001)
    9.99999993922529e-09
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


def _with_means(tables: dict[str, Array]) -> Tables:
    """Add the average domain, which results are given in, and which stays what it is when domains come in."""
    return tables | {"to": {name: table.mean(axis=0) for name, table in tables.items()}}
