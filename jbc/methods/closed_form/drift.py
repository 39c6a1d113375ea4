"""Drift along a run, and the levels of domains, by controls that are measured again and again."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.methods import preconditions
from jbc.methods.base import Bounded, ClosedForm, Fitted, Ordered
from jbc.methods.closed_form import drift_rows
from jbc.methods.closed_form.drift_curves import LINE, Curves
from jbc.methods.closed_form.drift_levels import levels
from jbc.methods.constraints import PositiveFloat

# Points of a curve, with straight lines between them.
POINTS = 33
# Shares that a curve through samples reaches to at least: what differs between these is no drift.
WIDE = 0.75


@dataclasses.dataclass(frozen=True)
class Drift(ClosedForm, Ordered, Bounded):
    r"""Take out what drifts along a run, feature by feature and domain by domain, and what differs between domains.

    .. math:: x' = x - c_g(t) + \bar c, \qquad \text{or} \qquad x' = x\,\bar c / c_g(t)

    with a smooth curve :math:`c_g` through the controls of the domain (pools of all samples, or any material that is
    measured again and again) at the row's place t in the run, and :math:`\bar c` its level, averaged over domains.
    The curves are robust local lines; cross-validation over the controls decides how smooth they are, and how much of
    them is believed (:mod:`jbc.methods.closed_form.drift_curves`): nothing, where they predict controls no better
    than a constant does. Levels shrink, too, towards what the other features of the domain say.

    Where controls are few, less is estimated. A feature needs five places with controls in a domain for a curve,
    three for a straight line; with fewer, only its level there is corrected. A domain without controls, beside others
    that have some, is taken to hold the same samples as these. Where no row is a control, all rows take their place,
    with wide curves only: sound if samples were measured in random order.

    Parameters
    ----------
    form
        What drift does to measurements: it adds to them, or it multiplies them, as it does to intensities of a mass
        spectrometer. Ratios are measured by logarithms: values of controls that are not positive take no part in
        a curve, and are multiplied as others are; without controls, all values have to be positive.
    spans
        The candidates: shares of the controls of a domain that a local line is drawn through; from 1 on, all of them,
        with weights that are the more alike the larger it is. A straight line is a candidate too. Without any, only
        levels are corrected, and no order is needed.
    between
        Move all domains to one level as well; or leave them where they are, to the method that follows in a
        :class:`~jbc.Chain`.
    beyond
        Before the first control of a domain and after the last one, no control tells of drift: the correction there
        stays what it is at the nearest control, and a warning tells of such rows; with ``"refuse"``, they are an
        error.

    References
    ----------
    Dunn et al., Procedures for large-scale metabolic profiling of serum and plasma using gas chromatography and
    liquid chromatography coupled to mass spectrometry, Nature Protocols 2011 (QC-RLSC). Cleveland, Robust locally
    weighted regression and smoothing scatterplots, JASA 1979.

    Examples
    --------
    >>> import jbc
    >>> x = [[10.0], [11.0], [14.0], [15.0], [20.0], [21.0], [24.0], [25.0]]
    >>> run = {"domain": list("aaaabbbb"), "order": range(8)}
    >>> cohort = jbc.Cohort.from_arrays(x, control=[1, 0, 0, 1, 1, 0, 0, 1], **run)
    >>> model = jbc.fit(jbc.Drift(), cohort)  # two controls of a domain tell of its level alone
    >>> model.transform(x, **run)[:, 0].tolist()
    [15.0, 16.0, 19.0, 20.0, 15.0, 16.0, 19.0, 20.0]
    """

    takes_missing: ClassVar[bool] = True

    form: Literal["difference", "ratio"] = "difference"
    spans: tuple[PositiveFloat, ...] = (0.4, 0.6, 0.8, 1.0, 1.5, 2.5)
    between: bool = True
    beyond: Literal["hold", "refuse"] = "hold"

    @property
    def by_order(self) -> bool:
        """Whether rows need a place in the run, which they do not for levels alone."""
        return bool(self.spans)

    @property
    def refuses_out_of_range(self) -> bool:
        """Whether rows before the first control or after the last one are refused."""
        return self.beyond == "refuse"

    @property
    def compares_logarithms(self) -> bool:
        """Whether ratios are measured."""
        return self.form == "ratio"

    def compares_mixtures(self, cohort: Cohort) -> bool:
        """Return whether all rows of domains are compared: where there are no controls."""
        return self.between and len(cohort.domains.count) > 1 and not drift_rows.controls(cohort).any()

    def check(self, cohort: Cohort) -> None:
        """Refuse domains of a single row, and ratios of what is negative; warn where controls are missing."""
        preconditions.enough_rows(cohort)
        if self.form == "ratio":
            preconditions.no_covariates_of_ratios(cohort)
            drift_rows.refuse_not_positive(cohort)
        drift_rows.warn_without_controls(cohort)
        if self.by_order and self.beyond == "hold":
            drift_rows.warn_beyond(cohort, LINE)

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Draw the curves of all domains through their controls, and measure their levels."""
        del state
        rows, d = drift_rows.read(cohort, ratio=self.form == "ratio"), cohort.x.shape[1]
        curves = Curves.flat(len(cohort.domains.count), POINTS if self.by_order else 1, d)
        with_controls = np.isin(np.arange(len(curves.start)), rows.domain[rows.control])
        given = rows if with_controls.any() else drift_rows.less_populations(rows, cohort)
        wide = tuple(span for span in self.spans if span >= WIDE)
        level = np.zeros((len(curves.start), d))
        parts = ((with_controls, rows.some(rows.control), self.spans), (~with_controls, given, wide))
        for which, some, spans in parts:
            domains = np.flatnonzero(which)
            if len(domains):
                noise = curves.draw(some, domains, spans) if self.by_order else 0.0
                level[domains] = levels(some, domains, curves, noise, shrink=which is with_controls)
        if self.between:
            level = drift_rows.of_populations(rows, cohort, level) if not with_controls.any() else level
            level = drift_rows.beside(rows, level, with_controls)
            curves = curves._replace(points=curves.points + drift_rows.differences(cohort, level)[:, None])
        fitted = {name: np.asarray(table, np.float32) for name, table in curves._asdict().items()}
        if self.form == "ratio":
            fitted["offset"] = np.zeros(d, np.float32) if cohort.offset is None else np.asarray(cohort.offset)
        return fitted

    def transform(self, fitted: Fitted, x: Array, domain: Array, order: Array | None = None) -> Array:
        """Take the curve of the row's domain at its place off the row, or divide by it."""
        shift = self._shift(fitted, domain, order)
        if self.form == "difference":
            return x - shift
        # The same as x · exp(-shift); where the curve is flat, it leaves every bit as it is.
        return x + (x + fitted["offset"]) * jnp.expm1(-shift)

    def out_of_range(self, fitted: Fitted, x: Array, domain: Array, order: Array | None = None) -> Array:
        """Return how many features of every row drift, and are measured before or after all controls, (n,)."""
        if not self.by_order or order is None:
            return jnp.zeros(len(x), jnp.int32)
        start, width = fitted["start"][domain], fitted["width"][domain]
        outside = (order < start) | (order > start + width)
        return jnp.where(outside, fitted["drifting"][domain], 0).astype(jnp.int32)

    def _shift(self, fitted: Fitted, domain: Array, order: Array | None) -> Array:
        """Return what is taken off rows, (n, d)."""
        points = fitted["points"]
        if not self.by_order or order is None:
            return points[domain, 0]
        start, width = fitted["start"][domain], fitted["width"][domain]
        place = jnp.clip((order - start) / jnp.where(width > 0, width, 1), 0, 1) * (POINTS - 1)
        before = jnp.clip(jnp.floor(place).astype(jnp.int32), 0, POINTS - 2)
        left, right = points[domain, before], points[domain, before + 1]
        return left + (place - before)[:, None] * (right - left)
