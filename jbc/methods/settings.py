"""Settings that several methods share, as values with their own documentation.

A field that is left out (None) is left to the method: ``Training(rows=16)`` changes the rows of a minibatch, and
nothing else of how a method trains.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.roles import assign_roles
from jbc.cohort.sampling import Draw
from jbc.methods import preconditions
from jbc.methods.constraints import Bandwidths, Factor, Fraction, NonNegative, Positive, PositiveFloat

On = Literal["all", "controls"]
"""Which rows a method measures."""

Optimiser = Literal["adam", "rmsprop", "rmsprop-tf", "lion", "sgd"]
"""Those of Optax. ``"rmsprop-tf"`` is RMSProp as in TensorFlow: its mean square starts at 1, its epsilon is 1e-10."""

LEFT: Any = None
"""Stands for a field that is left to the method."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """A group of settings; fields that are None are left to the method."""

    def over(self, default: Self) -> Self:
        """Return these settings, with those that are None taken from others.

        Examples
        --------
        >>> Kernel(unbiased=False).over(Kernel((1.0, 2.0), "fixed", True))
        Kernel(bandwidths=(1.0, 2.0), unit='fixed', unbiased=False)
        """
        left = [field.name for field in dataclasses.fields(self) if getattr(self, field.name) is None]
        return dataclasses.replace(self, **{name: getattr(default, name) for name in left})


@dataclasses.dataclass(frozen=True)
class Route(Settings):
    """Which domains move, and where to.

    Attributes
    ----------
    target
        Name of the domain that the sources move to; when empty, the domain with the most rows.
    source
        Names of the domains that move; when empty, all that are not named otherwise. Where some are named, the
        others stay as they are.
    extrapolate
        Names of domains that move as the sources do, and from which nothing is learned. Only some methods can.

    Examples
    --------
    >>> import jbc
    >>> method = jbc.MMDResNet(route=Route(target="day 2", source=("day 1",)))
    >>> method.route.target, method.route.extrapolate  # what is left out is left to the method
    ('day 2', ())
    """

    target: str = LEFT
    source: tuple[str, ...] = LEFT
    extrapolate: tuple[str, ...] = LEFT

    def resolve(self, cohort: Cohort) -> Cohort:
        """Return the cohort with a role for every domain; see :func:`jbc.cohort.roles.assign_roles`."""
        return assign_roles(cohort, target=self.target, source=self.source, extrapolate=self.extrapolate)


@dataclasses.dataclass(frozen=True)
class Kernel(Settings):
    """Gaussian kernels of the maximum mean discrepancy (MMD).

    Attributes
    ----------
    bandwidths
        Widths of the kernels.
    unit
        Multiply the widths by the median distance between the rows of a minibatch, or take them as they are.
    unbiased
        Leave out the kernel of a row with itself. The estimate is then 0 on average between rows of one distribution,
        and negative half of the time.

    Examples
    --------
    >>> import jbc
    >>> jbc.MMDResNet(kernel=Kernel((0.5, 1.0))).kernel.unit  # what is left out is left to the method
    'median'
    """

    bandwidths: Bandwidths = LEFT
    unit: Literal["median", "fixed"] = LEFT
    unbiased: bool = LEFT


@dataclasses.dataclass(frozen=True)
class Training(Settings):
    r"""How networks are trained on minibatches, by epochs.

    The rate of epoch e is :math:`\text{learning\_rate} \cdot \text{decay}^{\lfloor e / \text{decay\_epochs} \rfloor}`
    (:func:`optax.exponential_decay`).

    Attributes
    ----------
    rows
        Rows of every domain in a minibatch.
    epochs
        Length of training: passes over the largest domain, within ``min_steps`` and ``max_steps``.
    min_steps
        Least number of steps.
    max_steps
        Largest number of steps.
    optimiser
        Optimiser of the weights.
    learning_rate
        Rate of the optimiser.
    decay
        Factor of the rate after every ``decay_epochs`` epochs.
    decay_epochs
        Epochs between two falls of the rate.
    weight_decay
        Decay of the weights, which is added to the gradient.
    ema_decay
        Take the exponential moving average of the weights with this decay; 0 takes the last weights.

    Examples
    --------
    >>> import jbc
    >>> training = jbc.MMDResNet(training=Training(rows=64, decay=0.1, decay_epochs=150)).training
    >>> training.rows, training.epochs, [round(float(training.rate(epoch)), 6) for epoch in (149, 150)]
    (64, 100, [0.001, 0.0001])
    """

    rows: Positive = LEFT
    epochs: Positive = LEFT
    min_steps: Positive = LEFT
    max_steps: Positive = LEFT
    optimiser: Optimiser = LEFT
    learning_rate: PositiveFloat = LEFT
    decay: Factor = LEFT
    decay_epochs: Positive = LEFT
    weight_decay: NonNegative = LEFT
    ema_decay: Fraction = LEFT

    @property
    def draw(self) -> Draw:
        """By epochs, the same number of rows from every domain."""
        return Draw(by="domain", rows=self.rows)

    def steps(self, cohort: Cohort) -> int:
        """Return the steps of ``epochs`` passes over the largest domain, or the number of steps that bounds them."""
        return self.draw.steps(cohort, self.epochs, self.min_steps, self.max_steps)

    def rate(self, epoch: Array | int) -> Array:
        """Return the learning rate of an epoch."""
        schedule = optax.exponential_decay(self.learning_rate, self.decay_epochs, self.decay, staircase=True)
        return jnp.asarray(schedule(epoch))

    def check(self, *, compares: bool) -> None:
        """Refuse lengths that contradict each other, and single rows where a method ``compares`` rows of a domain."""
        preconditions.steps_in_order(self.min_steps, self.max_steps)
        if compares:
            preconditions.two_rows_drawn(self.rows)


@dataclasses.dataclass(frozen=True)
class AdversarialTraining(Settings):
    """How maps, and the critics that they are trained against, take turns.

    Attributes
    ----------
    rows
        Rows of every group in a minibatch.
    updates
        Number of updates of the maps.
    critic_steps
        Updates of the critics before each of the maps.
    optimiser
        Optimiser of both players, each with moments of its own.
    map_rate
        Learning rate of the maps.
    critic_rate
        Learning rate of the critics.
    linear_decay
        Let rates fall linearly to 0.
    ema_decay
        Take the exponential moving average of the maps with this decay; 0 takes the last maps.

    Examples
    --------
    >>> import jbc
    >>> training = jbc.AdversarialCorrection(training=AdversarialTraining(updates=500)).training
    >>> training.updates, training.critic_steps, float(training.rate_factor(250))
    (500, 3, 0.5)
    """

    rows: Positive = LEFT
    updates: Positive = LEFT
    critic_steps: Positive = LEFT
    optimiser: Optimiser = LEFT
    map_rate: PositiveFloat = LEFT
    critic_rate: PositiveFloat = LEFT
    linear_decay: bool = LEFT
    ema_decay: Fraction = LEFT

    def rate_factor(self, updates: Array | int) -> Array | float:
        """Return what rates are multiplied by after some updates of the maps."""
        return linear_factor(updates, self.updates) if self.linear_decay else 1.0


def linear_factor(updates: Array | int, length: int) -> Array:
    """Return what a rate is multiplied by that falls linearly to 0 within the given number of updates.

    That of :func:`optax.linear_schedule`; but in the end 0, and not what a compiled program's rounding leaves of it:
    that would still move what is trained.

    Examples
    --------
    >>> linear_factor(1, 4).item(), linear_factor(4, 4).item(), linear_factor(9, 4).item()
    (0.75, 0.0, 0.0)
    """
    return jnp.where(updates < length, optax.linear_schedule(1.0, 0.0, length)(updates), 0.0)


ROUTE = Route("", (), ())
KERNEL = Kernel((0.25, 0.5, 1.0, 2.0, 4.0), "median", unbiased=True)
TRAINING = Training(100, 100, 1000, 4000, "adam", 1e-3, 1.0, 1, 0.0, 0.99)
"""What methods do unless they say otherwise."""


@functools.cache
def build_optimiser(
    name: Optimiser, weight_decay: float = 0.0, *, matrices_only: bool = True, fan_in: bool = False
) -> optax.GradientTransformation:
    """Build an optimiser once per configuration; the decay is added to the gradient, of matrices only or of all.

    With ``fan_in``, updates of stacked matrices (copies, in, out) are divided by their number of rows.
    """
    rules = {
        "adam": optax.scale_by_adam,
        "rmsprop": optax.scale_by_rms,
        "rmsprop-tf": functools.partial(optax.scale_by_rms, eps=1e-10, initial_scale=1.0),
        "lion": optax.scale_by_lion,
        "sgd": optax.identity,
    }
    steps = [rules[name]()]
    if weight_decay:
        decayed = optax.add_decayed_weights(weight_decay, _matrices if matrices_only else None)
        steps.insert(0, decayed)
    if fan_in:
        steps.append(optax.stateless_with_tree_map(_by_rows))
    return optax.chain(*steps) if len(steps) > 1 else steps[0]


def _by_rows(update: Any, _: Any) -> Any:
    return update / update.shape[-2] if update.ndim > 2 else update


def _matrices(params: Any) -> Any:
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
