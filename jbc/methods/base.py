"""The contract: what a method is.

A method is a frozen dataclass of settings with pure methods. It holds no state, so the same object is the
configuration, the command line, the JSON record inside a saved model, and a hashable static argument of ``jit``.
Classes are abstract (here) or final (everywhere else); what only some methods can do are capabilities, asked by
``isinstance``.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from chex import ArrayTree
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.sampling import Draw, Rows
from jbc.methods.settings import Route, Settings, Training

State = ArrayTree
"""What training carries: a pytree with one Flax TrainState per player."""

Fitted = dict[str, Any]
"""What inference needs and nothing else: a nested dict of arrays."""

Info = dict[str, Array]
"""What one step reports: scalars by name."""


@dataclasses.dataclass(frozen=True)
class Method(abc.ABC):
    """What every method is.

    Attributes
    ----------
    keeps_units
        Whether :meth:`transform` returns measurements in the units of the input; other outputs have units of their
        own, and no part in the input's offset (:mod:`jbc.numerics.centring`).
    takes_missing
        Whether it measures what is observed (:attr:`jbc.Cohort.counts`) where values are missing
        (:mod:`jbc.methods.missing`); tables with missing values are refused for others. A chain does if all of its
        methods do (:func:`refuses_missing`).
    """

    keeps_units: ClassVar[bool] = True
    takes_missing: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Fill what a group of settings leaves to the method."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Settings) and isinstance(field.default, type(value)):
                object.__setattr__(self, field.name, value.over(field.default))

    def check(self, cohort: Cohort) -> None:
        """Refuse a cohort that this method cannot use, and settings that contradict each other; by default, none.

        The one function here that may be overridden though it is concrete.
        """
        del cohort

    def compares_mixtures(self, cohort: Cohort) -> bool:
        """Return whether all rows of domains are compared, so that it matters which populations these have.

        By default they are, unless the method has a setting ``on`` that says to measure controls only.
        """
        del cohort
        return getattr(self, "on", "all") == "all"

    @property
    def compares_logarithms(self) -> bool:
        """Whether effects of domains are taken to multiply what is measured, whose logarithms are compared then."""
        return False

    @property
    def removes(self) -> tuple[str, ...]:
        """Names of covariates whose effects are taken out and not put back; those of all others are."""
        return ()

    @property
    def leading(self) -> tuple[Method, ...]:
        """The methods that rows go through before this one; more than none in a chain."""
        return ()

    @property
    def last(self) -> Method:
        """The method that is fitted last, of a chain its last one and of others the method itself."""
        return self

    @abc.abstractmethod
    def finish(self, state: Any, cohort: Cohort) -> Fitted:
        """Return what inference needs, from the trained state (None for methods in closed form) and the cohort."""

    @abc.abstractmethod
    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return corrected rows, of rows ``x`` (n, d) of the domains ``domain`` (n,)."""


@dataclasses.dataclass(frozen=True)
class ClosedForm(Method):
    """A method without training: all its work is in :meth:`finish`, on the host, whose state is None."""


@dataclasses.dataclass(frozen=True)
class Trainable(Method):
    """A method that is trained step by step; everything but :meth:`steps` is compiled.

    Attributes
    ----------
    sharded_fields
        Fields of its state whose arrays are divided, by their first axis, over the devices of a mesh.
    least_rows
        Rows of every domain with which it brought rows that it was not fitted to nearer to the truth, as
        ``experiments/small/rows.py`` has measured it; 0 where it was not measured.
    """

    sharded_fields: ClassVar[tuple[str, ...]] = ()
    least_rows: ClassVar[int] = 0

    @property
    @abc.abstractmethod
    def draw(self) -> Draw:
        """How the loop draws the minibatch of a step."""

    @abc.abstractmethod
    def steps(self, cohort: Cohort) -> int:
        """Return the number of steps to train by default."""

    @abc.abstractmethod
    def init(self, key: Array, cohort: Cohort) -> Any:
        """Return the state to start from."""

    @abc.abstractmethod
    def step(self, key: Array, state: Any, rows: Rows) -> tuple[Any, Info]:
        """Return the state after training on one minibatch, and the report of the step."""


class Classifies(abc.ABC):
    """A method that learns to tell classes."""

    @abc.abstractmethod
    def predict(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return the logits of rows, (n, classes)."""

    @abc.abstractmethod
    def n_domains(self, fitted: Fitted) -> int:
        """Return the number of domains that a fitted classifier knows."""


class Encodes(abc.ABC):
    """A method with a latent space."""

    @abc.abstractmethod
    def encode(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return the latent codes of rows, (n, codes)."""


class Ordered(abc.ABC):
    """A method whose correction of a row may depend on its place in the run.

    Where :attr:`by_order` says so, its functions of rows take the places (n,), as :attr:`jbc.Cohort.order` has them,
    as a last argument ``order``.
    """

    @property
    @abc.abstractmethod
    def by_order(self) -> bool:
        """Whether rows need a place in the run."""


class Adapts(abc.ABC):
    """A method that can learn one more domain from its controls."""

    @abc.abstractmethod
    def adapt(self, fitted: Fitted, controls: np.ndarray, reference: np.ndarray) -> Fitted:
        """Return the fitted arrays with one more domain, numbered behind the others; on the host.

        ``reference`` holds corrected control rows of known domains. Everything that is fitted to these stays as it
        is, to the last bit. Without control rows, the new domain is read as an average one.
        """


class Bounded(abc.ABC):
    """A method that knows the range of values that it was measured on."""

    @property
    @abc.abstractmethod
    def refuses_out_of_range(self) -> bool:
        """Whether rows with values outside that range are refused."""

    @abc.abstractmethod
    def out_of_range(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return how many values of every row lie outside the range that was measured, (n,)."""


class Diagnoses(abc.ABC):
    """A method that can tell from its reports that training went wrong."""

    @abc.abstractmethod
    def diagnose(self, info: dict[str, float], apart: Callable[[], float]) -> list[str]:
        """Return warnings for the user.

        From what the last steps reported; and, where it is asked for, from the share of corrected rows whose nearest
        row is of their own domain and not of the target.
        """


def can(method: Method, capability: type) -> bool:
    """Return whether a method, or the last one of a chain, has a capability."""
    return isinstance(method.last, capability)


def goes_by_order(method: Method) -> bool:
    """Return whether the functions of a method take the places of rows in the run."""
    return isinstance(method, Ordered) and method.by_order


def refuses_missing(method: Method) -> str:
    """Return the name of the method, or of the first one in a chain, that takes no missing values; "" if all do."""
    links = (*method.leading, method.last)
    return next((type(each).__name__ for each in links if not getattr(each, "takes_missing", False)), "")


def moving(cohort: Cohort) -> np.ndarray:
    """Return 1 for every domain that moves, (D,)."""
    held = cohort.composition
    every = np.ones(len(cohort.domains.count), np.float32)
    return every if held is None else np.asarray(held.moves, np.float32)


def joined(cohort: Cohort, fitted: Fitted) -> Fitted:
    """Return what a method has fitted, with what was fitted before it, if it is the last one of a chain."""
    if cohort.leading is None:
        return fitted
    return {"leading": cohort.leading, "last": fitted, "moves": moving(cohort)}


class Resolves(abc.ABC):
    """A method whose settings name domains or treatments."""

    @abc.abstractmethod
    def resolve(self, cohort: Cohort) -> Cohort:
        """Return the cohort with what the settings name found in it; on the host, before anything else is done."""


class Directed(Resolves):
    """A method that moves sources to one target, by its setting ``route``."""

    route: Route

    def resolve(self, cohort: Cohort) -> Cohort:
        """Return the cohort with a role for every domain."""
        return self.route.resolve(cohort)


class ByEpochs(abc.ABC):
    """A method that is trained by epochs, as its setting ``training`` says."""

    training: Training

    @property
    def draw(self) -> Draw:
        """By epochs, the same number of rows from every domain."""
        return self.training.draw

    def steps(self, cohort: Cohort) -> int:
        """Return ``epochs`` passes over the largest domain, or the number of steps that bounds them."""
        return self.training.steps(cohort)
