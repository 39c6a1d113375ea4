"""New rows for a fitted model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jbc.cohort import Names
from jbc.validation import checks
from jbc.validation.dense import densify


class NewRows(NamedTuple):
    """New rows as a method takes them: measurements, domains, columns of covariates, and places in the run.

    And as they came in, and where values were observed, or None where no value is missing.
    """

    x: np.ndarray
    domain: np.ndarray
    design: np.ndarray
    order: np.ndarray | None
    came: np.ndarray
    observed: np.ndarray | None

    def with_gaps(self, corrected: np.ndarray) -> np.ndarray:
        """Return corrected rows with NaN where nothing was observed."""
        if self.observed is None:
            return corrected
        return np.where(self.observed, corrected, np.nan).astype(corrected.dtype)


def read_measurements(x: Any, names: Names, refused: str = "") -> tuple[np.ndarray, np.ndarray | None]:
    """Return the measurements of new rows, in the order of the features of the fit, and where values are observed.

    The latter is None where no value is missing. Missing values are refused on behalf of the method ``refused``.

    Examples
    --------
    >>> import pandas as pd
    >>> names = Names(features=("a", "b"), named=True)
    >>> read_measurements(pd.DataFrame({"b": [1.0], "a": [2.0]}), names)[0].tolist()
    [[2.0, 1.0]]
    """
    features = names.features
    x = densify(checks.columns_of(x, features if names.named else None))
    checks.as_many_columns(x, features)
    rows, observed = checks.values(x, features, new=True)
    if observed is not None and refused:
        raise checks.incomplete(observed, features, refused)
    return rows, observed
