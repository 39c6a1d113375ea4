"""Alignment by distances that need no critics."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.sampling import Draw, Rows
from jbc.losses import wasserstein as losses
from jbc.methods import preconditions
from jbc.methods import wasserstein_pairs as nets
from jbc.methods.base import Info
from jbc.methods.constraints import Positive, PositiveFloat
from jbc.methods.pair_alignment import AlignmentState, PairAlignment, PairData, rows_of
from jbc.methods.settings import KERNEL, Kernel, Optimiser, linear_factor
from jbc.methods.wasserstein_pairs import Batch, Params
from jbc.numerics.sharding import shard_axis


@dataclasses.dataclass(frozen=True)
class DistanceAlignment(PairAlignment):
    """Move all domains towards each other, by a distance between groups of rows that is computed, not learned.

    What :class:`~jbc.methods.wasserstein.WassersteinAlignment` does, with another distance in the place of the one
    that its critics estimate: every minibatch tells it, and there is no game to lose.

    Parameters
    ----------
    maps, width, form, identity, fan_in_rate, treatments, importance, inputs
        As in :class:`~jbc.methods.wasserstein.WassersteinAlignment`.
    distance
        The squared 2-Wasserstein distance of Gaussians, the sliced one, or the squared MMD.
    kernel
        Kernels of the MMD.
    rows
        Rows of every cell in a minibatch.
    updates
        Number of updates of the maps.
    optimiser
        Optimiser of the maps.
    learning_rate
        Rate of the optimiser.
    linear_decay
        Let the rate fall linearly to 0.

    Examples
    --------
    >>> import jbc
    >>> x, domain = [[0.0], [1.0], [5.0], [6.0], [7.0]], list("aabbb")
    >>> method = jbc.DistanceAlignment(updates=200, learning_rate=0.02)
    >>> model = jbc.fit(method, jbc.Cohort.from_arrays(x, domain))
    >>> moved = model.transform(x, domain)
    >>> bool(abs(moved[:2].mean() - moved[2:].mean()) < 0.5)
    True
    """

    distance: Literal["gaussian", "sliced", "mmd"] = "gaussian"
    kernel: Kernel = KERNEL
    rows: Positive = 100
    updates: Positive = 800
    optimiser: Optimiser = "adam"
    learning_rate: PositiveFloat = 2e-2
    linear_decay: bool = True

    @property
    def draw(self) -> Draw:
        """The same number of rows from every cell of a shared treatment."""
        return Draw(by="shared", rows=self.rows)

    def steps(self, cohort: Cohort) -> int:
        """Return the number of updates."""
        del cohort
        return self.updates

    def check_settings(self) -> None:
        """Refuse minibatches of a single row."""
        preconditions.two_rows_drawn(self.rows)

    def init(self, key: Array, cohort: Cohort) -> AlignmentState:
        """Return maps that are the identity."""
        return self.start(cohort, self.init_maps(key, cohort, self.optimiser), None)

    def step(self, key: Array, state: AlignmentState, rows: Rows) -> tuple[AlignmentState, Info]:
        """Move the domains."""
        x = self.inputs.of_rows(state.tables, rows)

        def terms(maps: Params, own: PairData, batch: Batch, x: Array) -> losses.Terms:
            first, second = nets.rows_of_pairs(maps, x, batch, self.form, own.get("seen"))
            return losses.Terms(
                self._distance(key, shard_axis(first), shard_axis(second), rows_of(own)),
                jnp.zeros(len(first)),
            )

        factor = linear_factor(state.maps.step, self.updates) if self.linear_decay else 1.0
        rate = self.learning_rate * factor
        state, info = self.move_maps(
            state, x, {"weight": state.weight} | self.weigh_pairs(rows, state.shared), terms, rate
        )
        return state.replace(step=state.step + 1), info

    def _distance(self, key: Array, first: Array, second: Array, weight: tuple[Array, Array] | None) -> Array:
        if self.distance == "gaussian":
            return losses.gaussian_terms(first, second, weight)
        if self.distance == "sliced":
            return losses.sliced_terms(key, first, second, weight=weight)
        scale = None if self.kernel.unit == "median" else 1.0
        return losses.kernel_terms(
            first, second, self.kernel.bandwidths, scale, unbiased=self.kernel.unbiased, weight=weight
        )
