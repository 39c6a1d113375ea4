"""ComBat: location and scale of domains, shrunk towards what other features say."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.roles import TARGET, assign_roles
from jbc.methods import preconditions
from jbc.methods.base import Adapts, ClosedForm, Fitted, Resolves
from jbc.methods.closed_form.rows import Moments, located, moments, rows_of_domains
from jbc.methods.settings import On
from jbc.numerics.linalg import ROUNDING, constant
from jbc.numerics.posterior import Prior, posterior


class _Common(NamedTuple):
    """What domains have in common, (d,) each: where they lie, and their scale, 0 where it is unknown."""

    mean: np.ndarray
    scale: np.ndarray


@dataclasses.dataclass(frozen=True)
class ComBat(ClosedForm, Adapts, Resolves):
    r"""Remove location and scale of every domain, which shrink towards what its other features say (empirical Bayes).

    .. math:: x' = \frac{x - \mu - \sigma\,\gamma^*_g}{\sqrt{\delta^*_g}} + \mu

    with the mean :math:`\mu` over all rows, the deviation :math:`\sigma` within domains, and the location
    :math:`\gamma^*` and the variance :math:`\delta^*` of the row's domain g in these units. Both are posterior means
    (:mod:`jbc.numerics.posterior`): a domain of few rows tells little of one feature, and much of all of them. Where
    domains have many rows, :class:`~jbc.methods.closed_form.standardise.Standardise` does nearly the same.

    Parameters
    ----------
    prior
        What locations and variances of a domain shrink by: a normal and an inverse gamma distribution over its
        features (``"parametric"``), its other features, of which similar ones count more (``"nonparametric"``; the
        time grows with the square of their number), or nothing (``"none"``).
    mean_only
        Remove locations only, and leave scales as they are. Locations shrink as released, as if every domain had one
        row, which leaves much of an effect that differs little between features: ``prior="none"`` removes all of it.
    reference
        Name of the domain that all others are moved to. Its rows stay as they are, to the last bit, and it alone
        tells mean and deviation. None moves all domains to what they have in common.
    on
        Measure on all rows of a domain, or on its controls only.

    Notes
    -----
    *Constant features.* A feature that is constant in a domain is shifted there to the mean, and no more, and has no
    part in the prior of that domain; other domains are corrected as ever. One that is constant in the reference is
    shifted to it in all domains. What is constant in all rows stays. (The released program leaves a feature as it is
    in all domains where it is constant in one.)

    *Single rows.* Domains of one row are refused, but with ``mean_only``. (The released program removes nothing but
    locations then, in all domains.) A table of one domain stays as it is, and one feature alone does not shrink.

    *Populations.* Where mixtures of domains differ, location and scale are those given the populations.

    *Missing values.* Means, deviations and posterior means of a feature are those of its observed values, which count
    in every domain; the mean over all rows is that of the means of domains, each as its rows count.

    References
    ----------
    Johnson, Li and Rabinovic, Adjusting batch effects in microarray expression data using empirical Bayes methods,
    Biostatistics 2007. Leek et al., The sva package for removing batch effects and other unwanted variation in
    high-throughput experiments, Bioinformatics 2012 (the released program). Zhang et al., Alternative empirical Bayes
    models for adjusting for batch effects in genomic studies, BMC Bioinformatics 2018 (reference, mean only).

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(20, 500))
    >>> x[10:] += 3  # all features of domain b
    >>> cohort = Cohort.from_arrays(x, ["a"] * 10 + ["b"] * 10)
    >>> method = ComBat()
    >>> fitted = method.finish(None, cohort)
    >>> moved = method.transform(fitted, cohort.x, cohort.domain)
    >>> [f"{abs(rows[10:].mean() - rows[:10].mean()):.1f}" for rows in (cohort.x, moved)]
    ['3.0', '0.0']
    """

    takes_missing: ClassVar[bool] = True

    prior: Prior = "parametric"
    mean_only: bool = False
    reference: str | None = None
    on: On = "all"

    def resolve(self, cohort: Cohort) -> Cohort:
        """Return the cohort with the reference found in it, if one is named."""
        return cohort if self.reference is None else assign_roles(cohort, target=self.reference)

    def check(self, cohort: Cohort) -> None:
        """Refuse domains that cannot be measured."""
        if not self.mean_only:
            preconditions.enough_rows(cohort, ", or remove locations only, by mean_only=True")
        preconditions.two_controls(cohort, self.on)
        if not self.mean_only:
            preconditions.warn_constant(cohort, controls=self.on == "controls")

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Find location and scale of every domain."""
        del state
        found, rows = moments(cohort, self.on), rows_of_domains(cohort, self.on)
        varies = ~constant(found.deviation, found.mean)
        if cohort.composition is not None and self.on == "all":
            location, scale = located(cohort, np.asarray(cohort.x))
            # What is constant in a domain tells neither there.
            mean = np.where(varies, location, found.mean)
            found = Moments(found.count, mean, np.where(varies, found.count * scale**2, 0))
        held = np.full(len(found.mean), False)  # that stay as they are
        if self.reference is not None:
            held = np.asarray(cohort.role) == TARGET
        common = _in_common(found, rows, varies, held)
        stay = held | (len(held) == 1)
        maps = [
            self._stays(common) if stay[g] else self._moves(common, Moments(*own), varies[g])
            for g, own in enumerate(zip(*found, strict=True))
        ]
        fitted: Fitted = {name: np.stack([each[name] for each in maps]) for name in ("factor", "shift")}
        if self.on == "controls":
            fitted["common"] = {name: table.astype(np.float32) for name, table in common._asdict().items()}
        return fitted

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Add to rows what is missing: nothing to those of the reference, to the last bit."""
        fitted = {name: jnp.asarray(fitted[name]) for name in ("factor", "shift")}
        return x + (x * fitted["factor"][domain] + fitted["shift"][domain])

    def adapt(self, fitted: Fitted, controls: np.ndarray, reference: np.ndarray) -> Fitted:
        """Find location and scale of one more domain, where all were measured on their controls."""
        del reference
        preconditions.by_controls(self.on, "Location and scale")
        common = _Common(*(np.asarray(fitted["common"][name], np.float64) for name in _Common._fields))
        row = self._stays(common)
        if len(controls):
            x = controls.astype(np.float64)
            own = Moments(np.full(1, len(x)), x.mean(axis=0), np.square(x - x.mean(axis=0)).sum(axis=0))
            varies = own.deviation > ROUNDING * np.maximum(np.abs(own.mean), common.scale)
            row = self._moves(common, own, varies)
        return fitted | {name: np.append(fitted[name], row[name][None], axis=0) for name in row}

    def _stays(self, common: _Common) -> dict[str, np.ndarray]:
        """Return what leaves a domain as it is."""
        return dict.fromkeys(("factor", "shift"), np.zeros(common.mean.shape, np.float32))

    def _moves(self, common: _Common, own: Moments, varies: np.ndarray) -> dict[str, np.ndarray]:
        """Return what moves one domain, of which ``own`` was measured, to what the domains have in common."""
        unit, only = np.where(common.scale > 0, common.scale, 1), self.mean_only or bool(own.count.max() < 2)
        location, scale = (own.mean - common.mean) / unit, np.ones_like(unit)
        variance = own.squares / unit**2 / np.maximum(own.count - 1, 1)
        # Of a single row, no feature varies; of what a domain lacks, nothing is told.
        if (told := (common.scale > 0) & (varies | (only & (own.count == 1)))).any():
            count = own.count[told] if len(own.count) > 1 else own.count.item()
            location[told], scale[told] = posterior(
                self.prior, count, location[told], variance[told], mean_only=only
            )
        slope = 1 / np.sqrt(scale)
        shift = common.mean - slope * (common.mean + unit * location)
        return {"factor": (slope - 1).astype(np.float32), "shift": shift.astype(np.float32)}


def _in_common(found: Moments, rows: np.ndarray, varies: np.ndarray, held: np.ndarray) -> _Common:
    """Return the mean and the deviation within domains: of the reference, or of all domains, each as its rows count.

    A domain in which a feature is constant tells nothing of its deviation; one of a single row counts, as released.
    Deviations count as the values do that were observed; means as the rows, whatever was observed of them.
    """
    told = ~held.any() | held[:, None]
    rows, count = (np.where(told, each, 0) for each in (rows[:, None], found.count))
    has = count * (varies | (found.count < 2))
    total = has.sum(axis=0)
    variance = np.where(has > 0, found.squares, 0).sum(axis=0) / np.maximum(total, 1)
    rows = np.where(count > 0, rows, 0)
    return _Common((rows * found.mean).sum(axis=0) / np.maximum(rows.sum(axis=0), 1), np.sqrt(variance))
