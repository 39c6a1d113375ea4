"""New rows for a fitted model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jbc.cohort import Names
from jbc.validation import checks
from jbc.validation.dense import densify


class NewRows(NamedTuple):
    """New rows as a method takes them: measurements, domains, columns of covariates, and places in the run."""

    x: np.ndarray
    domain: np.ndarray
    design: np.ndarray
    order: np.ndarray | None


def read_measurements(x: Any, names: Names, method: str) -> np.ndarray:
    """Return the measurements of new rows, in the order of the features of the fit, for a method of this name.

    Examples
    --------
    >>> import pandas as pd
    >>> names = Names(features=("a", "b"), named=True)
    >>> read_measurements(pd.DataFrame({"b": [1.0], "a": [2.0]}), names, "Standardise").tolist()
    [[2.0, 1.0]]
    """
    features = names.features
    x = densify(checks.columns_of(x, features if names.named else None))
    checks.as_many_columns(x, features)
    rows, observed = checks.values(x, features, new=True)
    if observed is not None:
        raise checks.incomplete(observed, features, method)
    return rows
