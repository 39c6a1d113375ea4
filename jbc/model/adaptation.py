"""Domains that come in later, from their controls alone: what can be expected of it, and when it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jbc.cohort import Cohort
from jbc.errors import InputError
from jbc.methods.base import Adapts, Fitted, Method
from jbc.methods.inference import apply_in_blocks
from jbc.methods.prepare import without
from jbc.metrics import energy_distance
from jbc.numerics import linalg

MOST = 128
NUMBERS = (4, 6, 8, 12, 16, 24, 32, 48, 64)
DRAWS = 20
QUANTILES = (0.05, 0.5, 0.95)


class Controls(NamedTuple):
    """Control rows of the known domains, as measured, (n, d), and the codes of their domains, (n,)."""

    x: np.ndarray
    domain: np.ndarray


class Expected(NamedTuple):
    """What a number of control rows did for known domains that were adapted to as if they were new.

    ``distance`` remained between held-out control rows and those of the other domains (median, 5th and 95th
    percentile over draws), and ``before`` is what it was without adaptation (median).
    """

    rows: int
    before: float
    distance: float
    low: float
    high: float


class Adaptation(NamedTuple):
    """What the adaptation to a new domain did.

    Attributes
    ----------
    rows
        Number of its control rows.
    minimum
        The number that was needed.
    before
        Distance of its controls to those of the known domains without adaptation.
    after, low, high
        The distance that remains: the model adapts to half of the controls, and distances are measured on the others
        (median, 5th and 95th percentile over draws).
    curve
        What numbers of control rows did for known domains.
    """

    rows: int
    minimum: int
    before: float
    after: float
    low: float
    high: float
    curve: tuple[Expected, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return self._asdict() | {"curve": [each._asdict() for each in self.curve]}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Adaptation:
        """Read what :meth:`to_json` returned."""
        curve = tuple(Expected(**each) for each in record["curve"])
        return cls(**{name: value for name, value in record.items() if name != "curve"}, curve=curve)


def keep_controls(cohort: Cohort) -> Controls:
    """Return control rows of every domain, 128 at most, for domains that come in later."""
    rows = np.flatnonzero(np.asarray(cohort.control) & (np.asarray(cohort.weight) > 0))
    domain = np.asarray(cohort.domain)[rows]
    few = np.concatenate([np.flatnonzero(domain == g)[:MOST] for g in range(len(cohort.domains.count))])
    return Controls(np.asarray(cohort.x)[rows[few]], domain[few])


def adapt(
    method: Method, fitted: Fitted, known: Controls, new: Mapping[str, np.ndarray], domains: int
) -> tuple[Fitted, dict[str, Adaptation]]:
    """Return a model's arrays with new domains, learned from their control rows, and a report for each of them.

    How many rows are needed is calibrated on the known domains. Each is adapted to as if it were new, by some of its
    controls, and distances are measured on its other controls. Needed is the number of rows from which on 95 % of the
    distances that remain are shorter than the median of those without adaptation. The maps of these domains are not
    used for this; what domains have in common (a pooled scale) is.

    Parameters
    ----------
    method, fitted
        What was fitted.
    known
        Control rows of the known domains, from :func:`keep_controls`.
    new
        Control rows of the new domains by name, as the cohort would hold them.
    domains
        Number of known domains.
    """
    if not isinstance(method, Adapts):
        raise without(method, Adapts)
    members = _members(known, domains)
    scene = _scene(method, fitted, known, domains)
    curve = _curve(scene, members)
    reports = {}
    for name, x in new.items():
        reports[name] = _report(scene, curve, x, _minimum(curve, len(x), name))
        fitted = method.adapt(fitted, x, scene.corrected)
    return fitted, reports


class _Scene(NamedTuple):
    """A model, the controls that it knows as measured and corrected, and the scale of these within domains."""

    method: Any
    fitted: Fitted
    domains: int
    known: Controls
    corrected: np.ndarray
    units: np.ndarray


def _scene(method: Method, fitted: Fitted, known: Controls, domains: int) -> _Scene:
    corrected = apply_in_blocks(method, "transform", fitted, known, MOST)
    within = corrected.astype(np.float64)
    for g in np.unique(known.domain):
        within[known.domain == g] -= within[known.domain == g].mean(axis=0)
    units = linalg.typical_deviations(np.square(within).mean(axis=0), np.abs(corrected).max(axis=0))
    # The distance is then that of an average feature.
    return _Scene(method, fitted, domains, known, corrected, units * np.sqrt(len(units)))


def _members(known: Controls, domains: int) -> list[np.ndarray]:
    """Return the control rows of the domains that have enough to calibrate by."""
    rows = [np.flatnonzero(known.domain == g) for g in range(domains)]
    enough = [each for each in rows if len(each) >= 2 * NUMBERS[0]]
    if not enough or sum(len(each) > 0 for each in rows) < 2:
        raise InputError(
            "Too few controls of known domains",
            which=[f"{len(each)} of domain {g + 1}" for g, each in enumerate(rows)],
            why=f"What is needed is calibrated on two domains or more, of which one has {2 * NUMBERS[0]} rows.",
            fix="Fit again with control= marking more rows.",
            code="cannot-adapt",
        )
    return enough


def _curve(scene: _Scene, members: list[np.ndarray]) -> tuple[Expected, ...]:
    """Return what more and more controls do for known domains that are adapted to as if they were new."""
    of = scene.known.domain
    rng = np.random.default_rng(0)
    draws = [rng.permutation(members[i % len(members)]) for i in range(max(DRAWS, len(members)))]
    curve = []
    for number in NUMBERS:
        both = [
            [_remaining(scene, x[:n], x[number:], of != of[order[0]]) for n in (0, number)]
            for order in draws
            if 3 * len(order) >= 4 * number
            for x in (scene.known.x[order],)
        ]
        if both:
            before, after = np.array(both).T
            low, middle, high = np.quantile(after, QUANTILES).tolist()
            curve.append(Expected(number, float(np.median(before)), middle, low, high))
    return tuple(curve)


def _minimum(curve: tuple[Expected, ...], rows: int, name: str) -> int:
    """Return the number of rows from which on adaptation helps; refuse fewer."""
    harmful = [each for each in curve if each.high >= each.before]
    enough = [each.rows for each in curve if not harmful or each.rows > harmful[-1].rows]
    if enough and rows >= enough[0]:
        return enough[0]
    why, fix = "Half of them are needed to validate the other half.", "Measure more controls."
    if harmful:
        last = harmful[-1]
        why = (
            f"Of known domains that were adapted to by {last.rows} rows, distances up to {last.high:.2g} remained, "
            f"where {last.before:.2g} is usual without."
        )
    if not enough:
        fix = "Measure more controls, of the known domains too, or use the measurements as they are."
    raise InputError(
        f"{rows} control rows of {name}" + (f", where {enough[0]} are needed" if enough else " are too few"),
        why=why,
        fix=fix,
        code="few-controls",
    )


def _report(scene: _Scene, curve: tuple[Expected, ...], x: np.ndarray, minimum: int) -> Adaptation:
    """Return what one half of the controls of a new domain does for the other half."""
    everyone, rng = np.full(len(scene.known.x), True), np.random.default_rng(0)
    orders, half = [rng.permutation(len(x)) for _ in range(DRAWS)], len(x) // 2
    after = [_remaining(scene, x[order[:half]], x[order[half:]], everyone) for order in orders]
    low, middle, high = np.quantile(after, QUANTILES).tolist()
    before = _remaining(scene, x[:0], x, everyone)
    return Adaptation(len(x), minimum, before, middle, low, high, curve)


def _remaining(scene: _Scene, rows: np.ndarray, held: np.ndarray, others: np.ndarray) -> float:
    """Return how far held-out controls are from others, after their domain was adapted to by ``rows``."""
    reference = scene.corrected[others]
    fitted = scene.method.adapt(scene.fitted, rows, reference)
    held = held[:MOST]
    code = np.full(len(held), scene.domains, np.int32)
    moved = apply_in_blocks(scene.method, "transform", fitted, (held, code), MOST)
    taken = np.linspace(0, len(reference) - 1, min(len(reference), 2 * MOST)).astype(int)
    return energy_distance(moved / scene.units, reference[taken] / scene.units)
