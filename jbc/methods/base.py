"""The contract: what a method is.

A method is a frozen dataclass of hyper-parameters with pure methods. It holds no state, so the same object is
the configuration, the command line, the JSON record inside a saved model, and a hashable static argument of
``jit``. Classes are abstract (here) or final (everywhere else).
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, Literal

import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.sampling import Draw, Rows

State = Any
"""What training carries: a pytree with one Flax TrainState per player."""

Fitted = dict[str, Any]
"""What inference needs and nothing else: a nested dict of arrays."""

On = Literal["all", "controls"]
"""Which rows a method measures."""

Info = dict[str, Array]
"""What one step reports: scalars by name."""


@dataclasses.dataclass(frozen=True)
class Method(abc.ABC):
    """What every method is.

    Attributes
    ----------
    honours_missing
        Whether the method uses the mask of observed values; one that does not refuses missing values.
    classifies
        Whether the method has :meth:`predict`.
    encodes
        Whether the method has :meth:`encode`.
    adapts
        Whether the method has :meth:`adapt`.
    ranges
        Whether the method has :meth:`stray`.
    keeps_units
        Whether :meth:`transform` returns measurements in the units of the input; other outputs have units of their
        own, and no part in the input's offset (:mod:`jbc.numerics.centring`).
    compiled
        Whether :meth:`finish` is compiled; one that decomposes matrices runs on the host instead, with NumPy.
    """

    honours_missing: ClassVar[bool] = False
    classifies: ClassVar[bool] = False
    encodes: ClassVar[bool] = False
    adapts: ClassVar[bool] = False
    ranges: ClassVar[bool] = False
    keeps_units: ClassVar[bool] = True
    compiled: ClassVar[bool] = True

    def aim(self, cohort: Cohort) -> Cohort:
        """Turn the names of domains in the settings into codes, on the host, before anything else is done."""
        return cohort

    def check(self, cohort: Cohort) -> None:
        """Refuse a cohort that this method cannot use, before anything is computed."""
        del cohort

    @abc.abstractmethod
    def finish(self, state: State, cohort: Cohort) -> Fitted:
        """Reduce the trained state (None for closed-form methods) to what inference needs."""

    @abc.abstractmethod
    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Correct rows ``x`` (n, d) of the domains ``domain`` (n,), in the units of the input or documented ones."""

    def encode(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return the latent codes of rows."""
        raise NotImplementedError

    def predict(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return the logits of rows, (n, classes)."""
        raise NotImplementedError

    def domains(self, fitted: Fitted) -> int:
        """Return the number of domains that a fitted classifier knows."""
        raise NotImplementedError

    def stray(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Count the values of every row that lie outside the range that was measured on the fit's rows, (n,)."""
        raise NotImplementedError

    @property
    def strict(self) -> bool:
        """Whether rows with such values are refused."""
        return False

    def adapt(self, fitted: Fitted, controls: np.ndarray, reference: np.ndarray) -> Fitted:
        """Take in one more domain, numbered behind the others, from its control rows alone; on the host.

        ``reference`` holds corrected control rows of known domains. Everything that is fitted to these stays as it
        is, to the last bit. Without control rows, the new domain is read as an average one.
        """
        raise NotImplementedError

    def review(self, info: dict[str, float]) -> list[str]:
        """Look at what the last steps reported, and return warnings for the user."""
        del info
        return []


@dataclasses.dataclass(frozen=True)
class ClosedForm(Method):
    """A method without training: all its work is in :meth:`finish`, whose state is None."""


@dataclasses.dataclass(frozen=True)
class Trainable(Method):
    """A method that is trained step by step.

    Attributes
    ----------
    spread
        Fields of its state whose arrays are divided, by their first axis, over the devices of a mesh.
    """

    spread: ClassVar[tuple[str, ...]] = ()

    @property
    @abc.abstractmethod
    def draw(self) -> Draw:
        """How the loop draws the minibatch of a step."""

    @abc.abstractmethod
    def steps(self, cohort: Cohort) -> int:
        """Return the number of steps to train by default."""

    @abc.abstractmethod
    def init(self, key: Array, cohort: Cohort) -> State:
        """Make the state to start from."""

    @abc.abstractmethod
    def step(self, key: Array, state: State, rows: Rows) -> tuple[State, Info]:
        """Train on one minibatch."""
