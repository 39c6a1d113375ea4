"""Missing values in rows that a model corrects."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jbc.cohort import Cohort
from jbc.methods.base import Method
from jbc.methods.missing import centres, fill, lacking, left_alone


class Gaps(NamedTuple):
    """What stands in the place of missing values, and which features are not corrected where.

    ``centres`` (D, d) are those of what every domain observed, in what the method reads
    (:func:`jbc.methods.missing.centres`); ``alone`` (D, d) is 1 where a feature comes out as it came in, since its
    domain, or all others, or the target lack it.
    """

    centres: np.ndarray
    alone: np.ndarray

    def filled(
        self, method: Method, x: np.ndarray, observed: np.ndarray, domain: np.ndarray, offset: Any
    ) -> np.ndarray:
        """Return rows of these domains, with their centre where nothing was observed, or nothing is corrected."""
        seen = observed & (self.alone[domain] == 0)
        return fill(method, x, seen, self.centres[domain], offset)

    def stays(self, x: np.ndarray, corrected: np.ndarray, domain: np.ndarray) -> np.ndarray:
        """Return corrected rows, but features as they came in where these are not corrected."""
        return np.where(self.alone[domain] > 0, x, corrected)

    def extend(self, domains: int) -> Gaps:
        """Return the same with more domains, whose centre is the average one."""
        more = np.repeat(self.centres.mean(axis=0)[None], domains, axis=0)
        alone = np.repeat(self.alone.min(axis=0)[None], domains, axis=0)
        return Gaps(np.append(self.centres, more, axis=0), np.append(self.alone, alone, axis=0))


def keep_gaps(method: Method, cohort: Cohort) -> Gaps:
    """Return what a model keeps of the missing values of its cohort."""
    alone = left_alone(cohort, lacking(cohort)) if cohort.observed is not None else lacking(cohort)
    return Gaps(centres(method, cohort), alone.astype(np.uint8))
