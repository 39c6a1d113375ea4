"""Methods one after the other."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.errors import InputError
from jbc.methods.base import ClosedForm, Fitted, Method, Ordered, goes_by_order, joined
from jbc.methods.closed_form.standardise import Standardise
from jbc.methods.missing import link_moves


@dataclasses.dataclass(frozen=True, init=False)
class Chain(Method, Ordered):
    """Put methods one after the other: every one corrects what the ones before it leave.

    One method, one model, one file: rows go through all. All but the last are in closed form. What the last one can
    do (tell classes, encode), the chain can; to new domains a chain cannot be adapted. It takes missing values if all
    of its methods do.

    Parameters
    ----------
    methods
        The methods, the first one first: ``Chain(RatioG(), JointCalibration())``.

    Examples
    --------
    >>> import jbc
    >>> cohort = jbc.Cohort.from_arrays([[0.0], [2.0], [10.0], [14.0]], ["a", "a", "b", "b"])
    >>> model = jbc.fit(jbc.Chain(jbc.Standardise(scale=False), jbc.Standardise()), cohort)
    >>> model.transform([[0.0], [10.0]], ["a", "b"]).tolist()
    [[5.0], [5.0]]
    """

    takes_missing: ClassVar[bool] = True

    methods: tuple[Method, ...] = (Standardise(scale=False), Standardise())

    def __init__(self, *methods: Method, **named: Any) -> None:
        """Take the methods one by one, or all by name."""
        chosen = named.pop("methods", methods or type(self).methods)
        if named or (methods and chosen != methods):
            raise TypeError("Chain takes methods, such as Chain(RatioG(), Standardise()), and nothing else")
        if isinstance(chosen, tuple) and not chosen:
            raise TypeError("Chain takes one method or more")
        object.__setattr__(self, "methods", chosen)
        super().__post_init__()

    @property
    def leading(self) -> tuple[Method, ...]:
        """All methods but the last."""
        return self.methods[:-1]

    @property
    def last(self) -> Method:
        """The last method."""
        return self.methods[-1]

    @property
    def removes(self) -> tuple[str, ...]:
        """Names of the covariates that any of the methods removes."""
        return tuple(dict.fromkeys(name for method in self.methods for name in method.removes))

    @property
    def by_order(self) -> bool:
        """Whether any of the methods goes by the order of the run."""
        return any(map(goes_by_order, self.methods))

    def check(self, cohort: Cohort) -> None:
        """Refuse methods that cannot be put one after the other; each of them is asked when its turn comes."""
        del cohort
        refuse_unlinked(self.methods)

    def compares_mixtures(self, cohort: Cohort) -> bool:
        """Return whether any of the methods does."""
        return any(method.compares_mixtures(cohort) for method in self.methods)

    def finish(self, state: Any, cohort: Cohort) -> Fitted:
        """Return what all methods have fitted."""
        return joined(cohort, self.last.finish(state, cohort))

    def transform(self, fitted: Fitted, x: Array, domain: Array, order: Array | None = None) -> Array:
        """Return rows that went through all methods."""
        x, held = self.led(fitted, x, domain, order), _of_last(fitted)
        if not self.last.keeps_units:
            return self.last.transform(
                held["fitted"], *_rows(self.last, seen(held, x, domain), domain, order)
            )
        return lead(self.last, held, x, domain, order)

    def predict(self, fitted: Fitted, x: Array, domain: Array, order: Array | None = None) -> Array:
        """Return the logits of the last method."""
        return self._last("predict", fitted, x, domain, order)

    def encode(self, fitted: Fitted, x: Array, domain: Array, order: Array | None = None) -> Array:
        """Return the codes of the last method."""
        return self._last("encode", fitted, x, domain, order)

    def out_of_range(self, fitted: Fitted, x: Array, domain: Array, order: Array | None = None) -> Array:
        """Return how many values of every row lie outside the range of the last method."""
        return self._last("out_of_range", fitted, x, domain, order)

    def _last(self, name: str, fitted: Fitted, x: Array, domain: Array, order: Array | None) -> Array:
        """Return what a function of the last method makes of rows that went through the others."""
        x = seen(_of_last(fitted), self.led(fitted, x, domain, order), domain)
        return getattr(self.last, name)(fitted["last"], *_rows(self.last, x, domain, order))

    def led(self, fitted: Fitted, x: Array, domain: Array, order: Array | None = None) -> Array:
        """Return rows that went through all methods but the last."""
        for number, method in enumerate(self.leading):
            x = lead(method, fitted["leading"][str(number)], x, domain, order)
        return x


def lead(method: Method, held: Fitted, x: Array, domain: Array, order: Array | None) -> Array:
    """Return rows that went through a method; what it leaves alone, domains or features there, as it came in."""
    moved = method.transform(held["fitted"], *_rows(method, seen(held, x, domain), domain, order))
    return jnp.where(link_moves(held, domain), moved, x)


def seen(held: Fitted, x: Array, domain: Array) -> Array:
    """Return rows as a method takes them: with the centre of their domain in features that it leaves alone there."""
    if "gaps" not in held:
        return x
    alone, centre = (jnp.asarray(held["gaps"][name])[domain] for name in ("alone", "centre"))
    return jnp.where(alone > 0, centre, x)


def _of_last(fitted: Fitted) -> Fitted:
    """Return what a chain keeps of its last method, as it does of the others."""
    gaps = {"gaps": fitted["leading"]["gaps"]} if "gaps" in fitted["leading"] else {}
    return {"fitted": fitted["last"], "moves": fitted["moves"]} | gaps


def _rows(method: Method, x: Array, domain: Array, order: Array | None) -> tuple[Any, ...]:
    return (x, domain, order) if goes_by_order(method) else (x, domain)


def refuse_unlinked(methods: tuple[Method, ...]) -> None:
    """Refuse methods that cannot be put one after the other."""
    faults = [
        f"{type(method).__name__}, number {number + 1}"
        for number, method in enumerate(methods)
        if isinstance(method, Chain)
        or (number < len(methods) - 1 and not (isinstance(method, ClosedForm) and method.keeps_units))
    ]
    if faults:
        raise InputError(
            "Methods that cannot be put one after the other",
            which=faults,
            why="All but the last are fitted in one go, in closed form, and give back measurements.",
            fix="Put a method that is trained last; write one chain, not chains within chains.",
            code="bad-chain",
        )
