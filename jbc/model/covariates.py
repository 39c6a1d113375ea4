"""What a model keeps of the covariates of its cohort."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jbc.cohort import Cohort


class Effects(NamedTuple):
    """What covariates do to features.

    Attributes
    ----------
    effect : (p, d)
        What a column of the design adds to a feature.
    centre : (p,)
        Mean of the columns in the fit.
    kept : (p,)
        1 for columns whose effect is put back after the correction, 0 for others.
    """

    effect: np.ndarray
    centre: np.ndarray
    kept: np.ndarray

    def out(self, x: np.ndarray, design: np.ndarray) -> np.ndarray:
        """Return rows less all effects."""
        return (x - (design - self.centre) @ self.effect).astype(x.dtype)

    def back(self, x: np.ndarray, design: np.ndarray) -> np.ndarray:
        """Return rows with the effects that are kept."""
        return (x + ((design - self.centre) * self.kept) @ self.effect).astype(x.dtype)


def keep_effects(cohort: Cohort) -> Effects | None:
    """Return what a model keeps of the covariates of a prepared cohort."""
    held = cohort.covariates
    if held is None:
        return None
    return Effects(np.asarray(held.effect), np.asarray(held.centre), np.asarray(held.kept, np.float32))
