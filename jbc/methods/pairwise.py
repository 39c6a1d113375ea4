"""The two-batch method for many batches: one pair of domains at a time."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.sampling import Draw, Rows
from jbc.methods import preconditions
from jbc.methods.base import Classifies, Encodes, Fitted, Info, Trainable
from jbc.methods.inputs import Inputs
from jbc.methods.joint import JointCalibration
from jbc.methods.subspace import Projects


@dataclasses.dataclass(frozen=True)
class PairwiseCalibration(Projects, Trainable, Classifies, Encodes):
    """Calibrate every target against every source on its own, and average what they say.

    What the many-batch paper compares itself with: for every pair of a labelled source and another domain, one
    :class:`~jbc.methods.joint.JointCalibration` of these two, all trained as one program. A row of a target
    gets the mean over its sources, a row of a source the mean over the pairs that it is part of.

    Parameters
    ----------
    pair
        The method of every pair.

    Examples
    --------
    >>> import jbc
    >>> world = jbc.datasets.load("simulated-plates")
    >>> cohort = jbc.Cohort.from_arrays(world.X, world.obs["domain"], label=world.obs["label"])
    >>> pair = jbc.JointCalibration(training=jbc.Training(rows=32), members=1)
    >>> model = jbc.fit(jbc.PairwiseCalibration(pair), cohort.mask_labels("plate 3"), steps=2)
    >>> model.predict(world.X[:2], world.obs["domain"][:2]).shape
    (2,)
    """

    takes_missing: ClassVar[bool] = True

    pair: JointCalibration = JointCalibration()  # frozen, so one for all is safe

    @property
    def inputs(self) -> Inputs:  # pyright: ignore[reportIncompatibleVariableOverride]
        """How the method of a pair reads rows."""
        return self.pair.inputs

    @property
    def draw(self) -> Draw:
        """How the method of a pair draws."""
        return self.pair.draw

    def steps(self, cohort: Cohort) -> int:
        """Return the steps of the method of a pair."""
        return self.pair.steps(cohort)

    def check(self, cohort: Cohort) -> None:
        """Refuse what the method of a pair refuses."""
        self.pair.check(cohort)
        if self.pair.align:  # a domain that is alone makes a pair with itself
            preconditions.two_rows_drawn(self.pair.training.rows)

    def init(self, key: Array, cohort: Cohort) -> dict[str, Any]:
        """Draw the networks of every pair."""
        pairs = _pairs(cohort)
        # Inside a pair the source comes first.
        source, rebuilt = jnp.arange(1), jnp.arange({"sources": 1, "all": 2, "none": 0}[self.pair.rebuild])
        keys = jax.random.split(key, len(pairs))
        members = jax.vmap(lambda k: self.pair.begin(k, cohort, source, rebuilt))(keys)
        return {"members": members, "pairs": pairs}

    def step(self, key: Array, state: dict[str, Any], rows: Rows) -> tuple[dict[str, Any], Info]:
        """Train every pair on its two domains."""

        def one(key: Array, member: Any, pair: Array) -> tuple[Any, Info]:
            return self.pair.step(key, member, rows.of(pair))

        keys = jax.random.split(key, len(state["pairs"]))
        members, info = jax.vmap(one)(keys, state["members"], state["pairs"])
        return state | {"members": members}, jax.tree.map(jnp.mean, info)

    def finish(self, state: dict[str, Any], cohort: Cohort) -> Fitted:
        """Return the fitted pairs, and which domains each is about."""
        members = jax.vmap(lambda member: self.pair.finish(member, cohort))(state["members"])
        domains = jnp.arange(len(cohort.domains.count))
        about = (state["pairs"][:, :, None] == domains).any(axis=1).astype(jnp.float32)
        return {"members": members, "share": about / jnp.maximum(about.sum(axis=0), 1)}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Average the corrected features."""
        return self._mean(self.pair.transform, fitted, x, domain)

    def encode(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Average the codes; spaces of different pairs need not agree, so prefer the features."""
        return self._mean(self.pair.encode, fitted, x, domain)

    def n_domains(self, fitted: Fitted) -> int:
        """Return the number of domains."""
        return fitted["share"].shape[1]

    def predict(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Average the probabilities."""

        def probability(*given: Any) -> Array:
            return jax.nn.softmax(self.pair.predict(*given))

        return jnp.log(jnp.maximum(self._mean(probability, fitted, x, domain), 1e-30))

    def _mean(self, function: Any, fitted: Fitted, x: Array, domain: Array) -> Array:
        each = jax.vmap(function, in_axes=(0, None, None))(fitted["members"], x, domain)
        return (each * fitted["share"][:, domain, None]).sum(axis=0)


def _pairs(cohort: Cohort) -> Array:
    """Return the pairs of a source and another domain, (pairs, 2), the source first.

    Two sources make no pair unless there is no target at all.
    """
    groups, sources = len(cohort.domains.count), jnp.asarray(cohort.sources)
    count = len(sources)
    if count in (0, groups):
        first, second = jnp.triu_indices(groups, k=1)
        return jnp.stack([first, second], axis=1) if groups > 1 else jnp.zeros((1, 2), jnp.int32)
    is_source = jnp.zeros(groups, bool).at[sources].set(True)
    targets = jnp.argsort(is_source, stable=True)[: groups - count]
    return jnp.stack([jnp.repeat(sources, len(targets)), jnp.tile(targets, count)], axis=1).astype(jnp.int32)
