"""Missing values in rows that a model corrects."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from jbc.cohort import Cohort
from jbc.errors import InputError
from jbc.methods.base import Method, refuses_missing
from jbc.methods.missing import centres, fill, lacking, left_alone

Fill = Literal["centre"]
"""What can stand in the place of missing values in the output: what becomes of the centre of the row's domain."""


class Gaps(NamedTuple):
    """What stands in the place of missing values, and which features are not corrected where.

    ``centres`` (D, d) are those of what every domain observed, in what the method reads
    (:func:`jbc.methods.missing.centres`); ``alone`` (D, d) is 1 where a feature comes out as it came in, since its
    domain, or all others, or the target lack it.
    """

    centres: np.ndarray
    alone: np.ndarray

    def filled(
        self, method: Method, x: np.ndarray, observed: np.ndarray | None, domain: np.ndarray, offset: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return rows of these domains as the method takes them, and as they came in; no value is missing in either.

        As the method takes them, features that are not corrected have their centre as well.
        """
        if observed is None and not self.alone.any():
            return x, x
        observed = np.ones(x.shape, bool) if observed is None else observed
        whole = fill(method, x, observed & (self.alone[domain] == 0), self.centres[domain], offset)
        return whole, np.where(observed, x, whole)

    def stays(self, x: np.ndarray, corrected: np.ndarray, domain: np.ndarray) -> np.ndarray:
        """Return corrected rows, but features as they came in where these are not corrected."""
        return np.where(self.alone[domain] > 0, x, corrected) if self.alone.any() else corrected

    def extend(self, domains: int) -> Gaps:
        """Return the same with more domains, whose centre is the average one."""
        more = np.repeat(self.centres.mean(axis=0)[None], domains, axis=0)
        alone = np.repeat(self.alone.min(axis=0)[None], domains, axis=0)
        return Gaps(np.append(self.centres, more, axis=0), np.append(self.alone, alone, axis=0))


def keep_gaps(method: Method, cohort: Cohort) -> Gaps:
    """Return what a model keeps of the missing values of its cohort; nothing for a method that takes none."""
    lacks = lacking(cohort)
    if refuses_missing(method):
        return Gaps(np.zeros(lacks.shape, np.float32), lacks.astype(np.uint8))
    alone = lacks if cohort.observed is None else left_alone(cohort, lacks)
    if not (method.leading and cohort.leading):
        return Gaps(centres(method.last, cohort), alone.astype(np.uint8))
    # Each method of a chain leaves features alone itself: what none corrects comes out as it came in.
    links = [cohort.leading[str(number)] for number in range(len(method.leading))]
    gone = [each["gaps"]["alone"] > 0 if "gaps" in each else np.zeros_like(alone) for each in links]
    return Gaps(cohort.leading["centres"], np.logical_and.reduce([alone, *gone]).astype(np.uint8))


def refuse_unknown_fill(fill: Any) -> None:
    """Refuse what no missing value can be replaced by."""
    if fill not in (None, *get_args(Fill)):
        raise InputError(
            f"Unknown fill {fill!r}",
            why="It says what stands in the place of missing values in the output.",
            fix='Use fill="centre", or leave it out: missing values stay missing.',
            code="bad-setting",
        )
