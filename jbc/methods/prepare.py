"""What is examined before any method is fitted to any cohort."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import jax.numpy as jnp
import numpy as np

from jbc.cohort import Cohort
from jbc.cohort.composition_words import about
from jbc.cohort.covariate_effects import missing, take_out
from jbc.cohort.populations import describe
from jbc.errors import InputError, warn
from jbc.methods import missing as gaps
from jbc.methods import preconditions, rules
from jbc.methods.base import Method, Ordered, Resolves, Trainable, can, moving, refuses_missing
from jbc.methods.inference import apply_in_blocks, rows_of
from jbc.methods.inputs import Inputs
from jbc.methods.registry import with_capability
from jbc.methods.subspace import Projects, project
from jbc.methods.summary import summarise
from jbc.numerics.centring import logarithm
from jbc.validation import checks
from jbc.validation.suspects import like_counts

LOG = logging.getLogger("jbc")

Mixtures = Literal["estimate", "assume-equal"]
"""What is taken for granted about the mixtures of populations in domains: nothing, or that they are the same."""


def prepare(method: Method, cohort: Cohort, steps: Any = None, composition: Mixtures = "estimate") -> Cohort:
    """Return a cohort that a method can be fitted to, or refuse it, before anything is computed or written.

    Parameters
    ----------
    method, cohort
        What is to be fitted, to what.
    steps
        Number of training steps that was asked for, if any.
    composition
        Estimate which populations domains share, for methods that compare whole domains; or take all domains for the
        same mixture. Populations that the cohort comes with (:meth:`jbc.Cohort.with_populations`) are kept.

    Returns
    -------
    Cohort
        The cohort, as the method that is fitted last takes it: less the effects of covariates, through the leading
        methods of a chain, with what the settings name found in it (roles of domains, treatments that domains share),
        and the composition of domains whose mixtures differ. Missing values are filled in, and still marked
        (:mod:`jbc.methods.missing`).

    Raises
    ------
    InputError
        When settings mean nothing, when a row has no value, or when the method cannot use the design.

    Examples
    --------
    >>> from jbc.methods.closed_form.standardise import Standardise
    >>> prepare(Standardise(), Cohort.from_arrays([[1.0], [2.0]], ["a", "b"]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    jbc.errors.InputError: Domains of a single row (n_samples=1): 'a', 'b'. ...
    """
    rules.check(method, steps)
    refuse_options(method, {"steps": steps})
    if composition not in get_args(Mixtures):
        raise InputError(
            f"Unknown composition {composition!r}",
            why="It says whether domains are taken for the same mixture of populations.",
            fix=f"Use {' or '.join(map(repr, get_args(Mixtures)))}; name populations by Cohort.with_populations.",
            code="bad-setting",
        )
    if cohort.observed is not None and (refused := refuses_missing(method)):
        raise checks.incomplete(np.asarray(cohort.observed), cohort.names.features, refused)
    if cohort.covariates is not None:
        if cohort.covariates.effect is None:  # not when the cohort was prepared before
            cohort = take_out(cohort, method.removes)
    elif method.removes:
        raise missing(method.removes, ())
    if method.last is not method:
        method.check(cohort)
        cohort, composition = _led(method, cohort, composition)
    cohort = _examined(method.last, cohort, composition)
    if cohort.leading is not None:
        cohort = dataclasses.replace(cohort, leading=cohort.leading | gaps.of_link(method.last, cohort))
    if LOG.isEnabledFor(logging.INFO):
        LOG.info(summarise(method, cohort))
    return cohort


def _examined(method: Method, cohort: Cohort, composition: Mixtures) -> Cohort:
    """Return the cohort with what one method needs to know of it."""
    if isinstance(method, Resolves):
        cohort = method.resolve(cohort)
    if isinstance(method, Ordered):
        _rows(method, cohort)
    cohort = gaps.complete(method, cohort)
    method.check(cohort)
    if cohort.composition is None and composition == "estimate" and method.compares_mixtures(cohort):
        cohort = dataclasses.replace(
            cohort, composition=describe(gaps.drawn(method, cohort), _compared(method, cohort))
        )
        if cohort.composition is not None and cohort.composition.verdict != "none":
            warn(about(cohort))
        cohort = gaps.complete(method, cohort)
    _warn_of_input(method, cohort)
    return project(method, cohort) if isinstance(method, Projects) else cohort


def _led(method: Method, cohort: Cohort, composition: Mixtures) -> tuple[Cohort, Mixtures]:
    """Return the cohort after the leading methods of a chain, which are fitted to it one after the other.

    Populations are estimated once, for the first method that compares whole domains. Missing values stay missing, and
    are filled in for every method by what the ones before it made of the others.
    """
    given, found, fitted = cohort.composition, cohort.composition, {}
    for number, each in enumerate((*method.leading, method.last)):
        compares = each.compares_mixtures(cohort)
        cohort = dataclasses.replace(cohort, composition=found if compares else given)
        if number == len(method.leading):
            break
        seen = _examined(each, cohort, composition)
        if compares:
            found, composition = seen.composition, "assume-equal"
        if number == 0 and not refuses_missing(method):
            fitted["centres"] = gaps.centres(method.last, gaps.without_lacked(cohort))
        own, moves, rows = each.finish(None, seen), moving(seen), _rows(each, seen)
        held = {"fitted": own, "moves": moves} | gaps.of_link(each, seen)
        fitted[str(number)] = held
        goes = gaps.link_moves(held, rows[1])
        moved = np.where(goes, apply_in_blocks(each, "transform", own, rows), np.asarray(cohort.x))
        if cohort.observed is not None:
            moved[~np.asarray(cohort.observed)] = 0
        cohort = dataclasses.replace(cohort, x=moved)
    return dataclasses.replace(cohort, leading=fitted), composition


def _rows(method: Method, cohort: Cohort) -> list[np.ndarray]:
    """Return what a method takes of the rows of a cohort."""
    order = None if cohort.order is None else np.asarray(cohort.order)
    return rows_of(method, np.asarray(cohort.x), np.asarray(cohort.domain), order)


def _warn_of_input(method: Method, cohort: Cohort) -> None:
    """Warn of what can be fitted, and is most likely not what was meant."""
    compares = method.compares_mixtures(cohort) or getattr(method, "on", "all") != "all"
    if len(cohort.names.domains) == 1 and compares:
        warn(
            f"All rows are of one domain ({cohort.names.domains[0]!r}): there is no difference between domains to "
            "remove. If there are several, say which row is of which (domain=)."
        )
    if lacks := gaps.about(cohort):
        warn(lacks)
    if isinstance(method, Trainable) and compares:
        preconditions.warn_few_rows(cohort, method.least_rows, type(method).__name__)
    inputs = getattr(method, "inputs", None)
    logarithm = method.compares_logarithms or (isinstance(inputs, Inputs) and inputs.log)
    x = np.asarray(cohort.x if cohort.observed is None else np.where(cohort.observed, cohort.x, 0))
    if not logarithm and cohort.offset is None and like_counts(x):
        warn(
            f"The measurements are whole numbers up to {np.max(x):,.0f}, as raw counts are. Effects of "
            "domains multiply counts, and this method removes what adds up: if they are counts, normalise every row "
            "to one total and take log(1 + x) first."
        )


def _compared(method: Method, cohort: Cohort) -> Callable[[np.ndarray], np.ndarray]:
    """Return what a method compares of rows: logarithms, where it takes them."""
    inputs = getattr(method, "inputs", None)
    if method.compares_logarithms:
        offset = None if cohort.offset is None else np.asarray(cohort.offset)
        return lambda x: logarithm(x, offset).astype(np.float32)
    if not isinstance(inputs, Inputs):
        return np.asarray
    return lambda x: np.asarray(inputs.seen(jnp.asarray(x), cohort.offset))


def refuse_options(method: Method, options: Mapping[str, Any]) -> None:
    """Refuse options of training for a method that is not trained.

    Examples
    --------
    >>> from jbc.methods.closed_form.standardise import Standardise
    >>> refuse_options(Standardise(), {"steps": 5, "hooks": ()})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    jbc.errors.InputError: Standardise is not trained, and cannot honour these options: 'steps'. ...
    """
    given = [
        name for name, value in options.items() if value is not None and value is not False and value != ()
    ]
    if given and not can(method, Trainable):
        raise InputError(
            f"{type(method).__name__} is not trained, and cannot honour these options",
            which=given,
            why="It is fitted in one go, in closed form: there are no steps to count, stop, watch or divide.",
            fix="Leave them out.",
            code="not-trained",
        )


def without(method: Method, capability: type) -> InputError:
    """Return the error for a method that lacks a capability, with the methods that have it.

    Examples
    --------
    >>> from jbc.methods.base import Classifies
    >>> from jbc.methods.closed_form.standardise import Standardise
    >>> print(without(Standardise(), Classifies).args[0][:76])
    Standardise does not classify. It corrects tables, and knows no classes. Use
    """
    does, why, code = LACKS[capability.__name__]
    return InputError(
        f"{type(method).__name__} {does}",
        why=why,
        fix=f"Use {' or '.join(with_capability(capability))}.",
        code=code,
    )


LACKS = {
    "Classifies": ("does not classify", "It corrects tables, and knows no classes.", "no-classifier"),
    "Encodes": ("has no latent codes", "It corrects features one for one.", "no-codes"),
    "Adapts": (
        "cannot adapt to new domains",
        "What it does to a domain is learned from all rows of it.",
        "cannot-adapt",
    ),
    "Bounded": ("measures no range", "It corrects values of any size.", "no-range"),
}
