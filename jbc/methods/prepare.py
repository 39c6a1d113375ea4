"""What is examined before any method is fitted to any cohort."""

from __future__ import annotations

from typing import Any

import numpy as np

from jbc.cohort import Cohort
from jbc.methods import settings
from jbc.methods.base import Method
from jbc.validation import checks


def prepare(method: Method, cohort: Cohort, steps: Any = None) -> Cohort:
    """Refuse what a method cannot be fitted to, before anything is computed or written.

    Parameters
    ----------
    method, cohort
        What is to be fitted, to what.
    steps
        Number of training steps that was asked for, if any.

    Returns
    -------
    Cohort
        The cohort with the codes of the domains that the settings name.

    Raises
    ------
    InputError
        When settings mean nothing, when values are missing, or when the method cannot use the design.

    Examples
    --------
    >>> from jbc.methods.closed_form.standardise import Standardise
    >>> prepare(Standardise(), Cohort.from_arrays([[1.0], [2.0]], ["a", "b"]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    jbc.errors.InputError: Domains of a single row (n_samples=1): 'a', 'b'. ...
    """
    settings.check(method, steps)
    if not method.honours_missing and cohort.observed is not None:
        raise checks.incomplete(np.asarray(cohort.observed), cohort.names.features, type(method).__name__)
    cohort = method.aim(cohort)
    method.check(cohort)
    return cohort
