"""Differences between domains by least squares, as limma removes them."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.methods import preconditions
from jbc.methods.base import ClosedForm, Fitted
from jbc.methods.closed_form.rows import located, moments


@dataclasses.dataclass(frozen=True)
class LimmaRemoveBatch(ClosedForm):
    r"""Take out the effects that domains have by least squares, which add up to 0 (limma's ``removeBatchEffect``).

    .. math:: x' = x - \beta_g, \qquad (\alpha, \beta) = \arg\min \sum_i w_i \|x_i - \alpha - \beta_{g_i}\|^2,
              \quad \sum_g \beta_g = 0

    with the domain :math:`g_i` of row i, and its weight :math:`w_i`. Domains end at the average of their means, where
    each counts the same, whatever its rows. With covariates, both effects are found together.

    Parameters
    ----------
    remove
        Names of covariates whose effects are taken out for good, as those of domains are: a second batch, say. The
        effects of all others are kept.

    Notes
    -----
    Where mixtures of domains differ, the means are those given the populations. Where values are missing, every
    feature has its own least squares, over the rows that have it.

    References
    ----------
    Ritchie et al., limma powers differential expression analyses for RNA-sequencing and microarray studies, Nucleic
    Acids Research 2015.

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[0.0], [2.0], [10.0], [12.0], [14.0]], list("aabbb"))
    >>> method = LimmaRemoveBatch()
    >>> fitted = method.finish(None, cohort)
    >>> method.transform(fitted, jnp.array([[0.0], [10.0]]), jnp.array([0, 1])).tolist()
    [[5.5], [4.5]]
    """

    takes_missing: ClassVar[bool] = True

    remove: tuple[str, ...] = ()

    @property
    def removes(self) -> tuple[str, ...]:
        """Names of covariates whose effects the method takes out and does not put back."""
        return self.remove

    def check(self, cohort: Cohort) -> None:
        """Refuse domains that cannot be measured."""
        preconditions.enough_rows(cohort)

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Find the effects of domains."""
        del state
        mean = moments(cohort, "all").mean
        if cohort.composition is not None:
            mean, _ = located(cohort, np.asarray(cohort.x))
        return {"effect": (mean - mean.mean(axis=0)).astype(np.float32)}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Take out the effect of the row's domain."""
        return x - jnp.asarray(fitted["effect"])[domain]
