"""Ratios to the geometric means of reference rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.errors import InputError, warn
from jbc.methods import preconditions
from jbc.methods.base import Adapts, ClosedForm, Fitted
from jbc.methods.closed_form.rows import Seen, located, moments
from jbc.methods.settings import On
from jbc.numerics.centring import logarithm


@dataclasses.dataclass(frozen=True)
class RatioG(ClosedForm, Adapts):
    r"""Divide the rows of every domain by the geometric mean of its controls.

    .. math:: x' = x \cdot \frac{\bar m}{m_g}, \qquad m_g = \exp\Bigl(\frac{1}{n_g} \sum_{i \in g} \log x_i\Bigr)

    over the :math:`n_g` controls of the row's domain g, with the geometric mean :math:`\bar m` of the :math:`m_g`. Of
    logarithms, that is :math:`x' = x - \bar x_g + \bar x`, the difference of arithmetic means.

    Parameters
    ----------
    form
        Of what the rows are: logarithms (``"log"``), whose differences are taken, or measurements above 0
        (``"ratio"``), which are divided.
    on
        Measure on the controls, the reference of the publication, or on all rows. Where the cohort has no controls at
        all, all rows are measured, with a warning.

    Notes
    -----
    The publication stops at the ratio :math:`x / m_g`. The constant :math:`\bar m`, one per feature, keeps the unit
    of the input, and changes no comparison of rows.

    A control of 0, or below, has no geometric mean, and is refused with ``form="ratio"``; of other rows, 0 stays 0.
    Covariates are kept with ``form="log"`` only. Where mixtures of domains differ and all rows are measured, the
    :math:`m_g` are those given the populations. Where values are missing, they are those of observed values.

    References
    ----------
    Luo et al., A comparison of batch effect removal methods for enhancement of prediction performance using MAQC-II
    microarray gene expression data, The Pharmacogenomics Journal 2010.

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[1.0], [4.0], [7.0], [8.0], [32.0]], list("aaabb"), control=[1, 1, 0, 1, 1])
    >>> method = RatioG(form="ratio")  # the geometric means are 2 and 16
    >>> fitted = method.finish(None, cohort)
    >>> method.transform(fitted, jnp.array([[2.0], [7.0], [16.0]]), jnp.array([0, 0, 1]))[:, 0].round().tolist()
    [6.0, 20.0, 6.0]
    """

    takes_missing: ClassVar[bool] = True

    form: Literal["log", "ratio"] = "log"
    on: On = "controls"

    @property
    def compares_logarithms(self) -> bool:
        """Whether measurements are divided, whose logarithms are compared then."""
        return self.form == "ratio"

    def compares_mixtures(self, cohort: Cohort) -> bool:
        """Return whether all rows are measured, so that it matters which populations domains have."""
        return self._measured_on(cohort) == "all"

    def check(self, cohort: Cohort) -> None:
        """Refuse domains that cannot be measured."""
        preconditions.enough_rows(cohort)
        on = self._measured_on(cohort)
        if on == "controls":
            preconditions.some_controls(cohort)
        elif self.on == "controls":
            warn(
                "No row is marked as a control: the reference of every domain is the mean of all of its rows."
            )
        if self.form == "ratio":
            preconditions.no_covariates_of_ratios(cohort)
            used = np.asarray(cohort.control) | (on == "all")
            x = np.asarray(cohort.x)
            if cohort.observed is not None:  # what stands for a missing value is no reference
                x = np.where(cohort.observed, x, np.inf)
            _refuse_without_logarithm(x[used], _offset(cohort), cohort.names.features)

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Measure the reference of every domain."""
        del state
        offset, on = _offset(cohort), self._measured_on(cohort)
        mean = moments(cohort, on, self._seen(offset)).mean
        if cohort.composition is not None and on == "all":
            x = np.asarray(cohort.x)
            mean, _ = located(cohort, logarithm(x, offset) if self.form == "ratio" else x)
        to = mean.mean(axis=0)
        fitted = self._towards(to - mean, offset)
        if on == "controls":
            fitted |= {"mean": to, "offset": offset}
        return {name: table.astype(np.float32) for name, table in fitted.items()}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Divide rows by the reference of their domain, or take it off their logarithms."""
        shift = jnp.asarray(fitted["shift"])[domain]
        return x + (x * jnp.asarray(fitted["factor"])[domain] + shift if self.form == "ratio" else shift)

    def adapt(self, fitted: Fitted, controls: np.ndarray, reference: np.ndarray) -> Fitted:
        """Measure the reference of one more domain, where all were measured on their controls."""
        del reference
        preconditions.by_controls("controls" if "mean" in fitted else "all", "References")
        to, offset = (np.asarray(fitted[name], np.float64) for name in ("mean", "offset"))
        x = controls.astype(np.float64)
        if self.form == "ratio":
            _refuse_without_logarithm(controls, offset, [f"column {j}" for j in range(len(to))])
            x = logarithm(x, offset)
        away = to - x.mean(axis=0) if len(x) else np.zeros_like(to)
        more = self._towards(away[None], offset)
        return fitted | {
            name: np.append(fitted[name], row.astype(np.float32), axis=0) for name, row in more.items()
        }

    def _towards(self, away: np.ndarray, offset: np.ndarray) -> Fitted:
        """Return what adds to rows the distances of the references, (domains, d), or multiplies them accordingly."""
        if self.form == "log":
            return {"shift": away}
        return {"factor": np.expm1(away), "shift": np.expm1(away) * offset}

    def _measured_on(self, cohort: Cohort) -> On:
        """Return which rows are measured: all, where there are no controls."""
        return self.on if np.asarray(cohort.control).any() else "all"

    def _seen(self, offset: np.ndarray) -> Seen | None:
        """Return what is measured of values: of ratios, logarithms."""
        return (lambda x, part: logarithm(x, offset[part])) if self.form == "ratio" else None


def _offset(cohort: Cohort) -> np.ndarray:
    """Return what was taken off every feature, (d,)."""
    return np.zeros(cohort.x.shape[1]) if cohort.offset is None else np.asarray(cohort.offset, np.float64)


def _refuse_without_logarithm(x: np.ndarray, offset: np.ndarray, names: Sequence[str]) -> None:
    """Refuse values of 0 and below, of rows that the offset was taken off."""
    bad = (x <= -offset).sum(axis=0)
    if bad.any():
        raise InputError(
            f"Features with values of 0 or below in the reference rows ({bad.sum()} values)",
            which=[names[j] for j in np.flatnonzero(bad).tolist()],
            why="Their geometric mean is 0, or does not exist.",
            fix='Leave these features out, replace their zeros, or use form="log" on logarithms.',
            code="not-positive",
        )
