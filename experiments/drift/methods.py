"""What is compared along a run: our methods, and what laboratories do, each written plainly here."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

import jbc
from jbc.cohort import Cohort
from jbc.methods.base import ClosedForm, Fitted, Method, Ordered

GRID = 201


class Version(NamedTuple):
    """A method, whether it sees logarithms, and whether it is fitted without any control."""

    method: Method | None
    log: bool = False
    blind: bool = False


def versions() -> dict[str, Version]:
    """Return what is compared, by name."""
    controls = jbc.Standardise(scale=False, on="controls")
    return {
        "measured": Version(None),
        "QC median": Version(QCMedian()),
        "QC-LOESS, plain": Version(QCLoess()),
        "Standardise, controls": Version(controls, log=True),
        "ComBat": Version(jbc.ComBat(), log=True),
        "Drift, levels alone": Version(jbc.Drift(form="ratio", spans=())),
        "Drift": Version(jbc.Drift(form="ratio")),
        "Drift, differences": Version(jbc.Drift()),
        "Drift, then Standardise": Version(jbc.Chain(jbc.Drift(between=False), controls), log=True),
        "Drift, then ComBat": Version(jbc.Chain(jbc.Drift(between=False), jbc.ComBat()), log=True),
        "Drift, no controls": Version(jbc.Drift(form="ratio"), blind=True),
    }


@dataclasses.dataclass(frozen=True)
class QCMedian(ClosedForm):
    """Divide by the median of the domain's controls, and multiply by the median of these medians."""

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Measure the medians."""
        x, domain, control = _rows(cohort)
        medians = np.stack([np.median(x[control & (domain == g)], axis=0) for g in range(domain.max() + 1)])
        return {"factor": (np.median(medians, axis=0) / medians).astype(np.float32)}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Divide rows."""
        return x * fitted["factor"][domain]


@dataclasses.dataclass(frozen=True)
class QCLoess(ClosedForm, Ordered):
    """Divide by a local line through the domain's controls, feature by feature, in the manner of QC-RLSC.

    The span is that share of the controls, at least four of them; there is neither shrinkage nor robustness. With
    three controls it is a straight line. Beyond the controls, the curve stays what it is at the nearest one.

    Parameters
    ----------
    span
        Share of the controls.
    """

    span: float = 0.75

    @property
    def by_order(self) -> bool:
        """Whether rows need a place in the run."""
        return True

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Draw the curves."""
        x, domain, control = _rows(cohort)
        place, curves, ends = np.asarray(cohort.order, np.float64), [], []
        for g in range(domain.max() + 1):
            rows = control & (domain == g)
            t = place[rows]
            ends.append((t.min(), max(np.ptp(t), 1e-9)))
            at = np.linspace(t.min(), t.max(), GRID)
            curves.append(np.stack([_local_line(t, x[rows], a, self.span) for a in at]))
        level = np.median([np.median(x[control & (domain == g)], axis=0) for g in range(len(ends))], axis=0)
        factor = level / np.maximum(curves, 0.05 * level)
        return {"factor": factor.astype(np.float32), "ends": np.array(ends, np.float32)}

    def transform(self, fitted: Fitted, x: Array, domain: Array, order: Array | None = None) -> Array:
        """Divide rows."""
        assert order is not None
        start, width = fitted["ends"][domain].T
        at = jnp.round(jnp.clip((order - start) / width, 0, 1) * (GRID - 1)).astype(jnp.int32)
        return x * fitted["factor"][domain, at]


def _local_line(t: np.ndarray, y: np.ndarray, at: float, span: float) -> np.ndarray:
    """Return the weighted line through (t, y) at a place, (d,)."""
    distance = np.abs(t - at)
    reach = np.sort(distance)[min(max(int(np.ceil(span * len(t))), 4), len(t)) - 1]
    root = np.sqrt(np.maximum(1 - (distance / (1.001 * reach + 1e-9)) ** 3, 0) ** 3)
    design = np.stack([np.ones(len(t)), t - at], axis=1)
    return np.linalg.lstsq(root[:, None] * design, root[:, None] * y, rcond=None)[0][0]


def _rows(cohort: Cohort) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    offset = 0 if cohort.offset is None else np.asarray(cohort.offset, np.float64)
    return np.asarray(cohort.x, np.float64) + offset, np.asarray(cohort.domain), np.asarray(cohort.control)
