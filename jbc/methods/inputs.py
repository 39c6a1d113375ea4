"""How measurements become what a network sees, and how its output becomes measurements again."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

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

    def measure(self, x: Array, domain: Array, weight: Array, groups: int) -> Tables:
        """Return location (G, d), spread (G, d) and mean level (G,) of every domain, and their means under ``to``."""
        x, level = self._split(x)
        if self.scale == "none":
            empty = jnp.zeros((groups, x.shape[1]))
            return _with_means({"location": empty, "spread": empty + 1, "level": empty[:, 0]})
        where = domain if self.scale == "domain" else jnp.zeros_like(domain)
        both = jnp.concatenate([x, level], axis=1)
        mean, spread = location_and_spread(both, where, weight, groups)
        if self.scale == "pooled":
            mean, spread = (jnp.broadcast_to(table[:1], table.shape) for table in (mean, spread))
        return _with_means({"location": mean[:, :-1], "spread": spread[:, :-1], "level": mean[:, -1]})

    def apply(self, tables: Tables, x: Array, domain: Array) -> Array:
        """Give rows of these domains to a network."""
        if self.scale == "none":
            return self._split(x)[0]
        return (self._split(x)[0] - tables["location"][domain]) / tables["spread"][domain]

    def restore(self, tables: Tables, z: Array, x: Array, domain: Array) -> Array:
        """Return measurements of one average domain, from network outputs for the rows ``x``."""
        level = self._split(x)[1] - tables["level"][domain][:, None] + tables["to"]["level"]
        out = z * tables["to"]["spread"] + tables["to"]["location"] + level
        return jnp.sign(out) * jnp.expm1(jnp.abs(out)) if self.log else out

    def retrieve(self, tables: Tables, x: Array) -> Array:
        """Return what a network gave out for measurements of the average domain, of its mean level."""
        x, _ = self._split(x)
        return (x - tables["to"]["location"]) / tables["to"]["spread"]

    def extend(self, tables: Tables) -> Tables:
        """Return the tables with one more domain, which is read as an average one; on the host."""
        more = {name: np.append(tables[name], mean[None], axis=0) for name, mean in tables["to"].items()}
        return more | {"to": tables["to"]}

    def _split(self, x: Array) -> tuple[Array, Array]:
        """Separate rows from their level."""
        x = jnp.sign(x) * jnp.log1p(jnp.abs(x)) if self.log else x
        if self.level == "keep" or (self.level == "auto" and x.shape[-1] < MANY):
            return x, jnp.zeros_like(x[..., :1])
        level = x.mean(axis=-1, keepdims=True)
        return x - level, level


def _with_means(tables: dict[str, Array]) -> Tables:
    """Add the average domain, which results are given in, and which stays what it is when domains come in."""
    return tables | {"to": {name: table.mean(axis=0) for name, table in tables.items()}}
