"""How precise measurements are: by controls, which are the same material again and again."""

from __future__ import annotations

from typing import Any

import numpy as np

from jbc.errors import InputError
from jbc.validation import checks


def rsd(x: Any, *, log: bool = False) -> np.ndarray:
    r"""Return the relative standard deviation of every feature over rows of the same material, (d,).

    .. math:: \frac{s}{\bar x}, \qquad \text{or of logarithms} \qquad \sqrt{e^{s^2} - 1}

    with the unbiased variance :math:`s^2`; the second is the relative standard deviation of what has normal
    logarithms. 0.2 is what is usually asked of metabolites in pooled controls. To judge a correction, pass controls
    that it was not fitted to (:func:`jbc.model_selection.hold_out_controls`): those that it has seen lie on its
    curve.

    Parameters
    ----------
    x
        Control rows, (n, d), corrected or not. Missing values (NaN) do not count.
    log
        Whether these are natural logarithms.

    Returns
    -------
    (d,)
        NaN where a feature has fewer than two values, or is 0 throughout.

    Raises
    ------
    InputError
        Where the mean of a feature is not positive: nothing is relative to it.

    References
    ----------
    Broadhurst et al., Guidelines and considerations for the use of system suitability and quality control samples in
    mass spectrometry assays applied in untargeted clinical metabolomic studies, Metabolomics 2018.

    Examples
    --------
    >>> rsd([[9.0, 1.0], [10.0, 1.0], [11.0, 1.0]]).tolist()
    [0.1, 0.0]
    """
    values = _known(x)
    deviation = _deviation(values)
    if log:
        return np.sqrt(np.expm1(np.square(deviation)))
    mean = _mean(values)
    nowhere = np.isnan(deviation) | ((mean == 0) & (deviation == 0))
    bad = np.flatnonzero(~nowhere & (mean <= 0))
    if len(bad):
        raise InputError(
            "Features whose mean is not positive (columns counted from 0)",
            which=bad,
            why="A relative standard deviation is a part of the mean.",
            fix="Pass measurements that are neither standardised nor logarithms, or log=True for natural logarithms.",
            code="not-positive",
        )
    return np.where(nowhere, np.nan, deviation / np.where(nowhere, 1, mean))


def d_ratio(x: Any, control: Any, *, sample: Any = None, robust: bool = True) -> np.ndarray:
    r"""Return the dispersion ratio of every feature: how much of what samples vary by is error of measurement, (d,).

    .. math:: \frac{s_\text{controls}}{s_\text{samples}}

    with standard deviations, or with medians of absolute differences from the median. Samples vary by both, biology
    and error, so that a feature at 1 tells nothing, and one near 0 is all biology. A correction that only shrinks a
    feature cannot lower it.

    Parameters
    ----------
    x
        Measurements, (n, d), corrected or not. Missing values (NaN) do not count.
    control
        True for controls.
    sample
        True for the samples; by default all rows that are no controls.
    robust
        Whether to use medians of absolute differences.

    Returns
    -------
    (d,)
        NaN where controls or samples have fewer than two values, or where neither vary; infinite where samples alone
        do not.

    References
    ----------
    Broadhurst et al., Metabolomics 2018 (see :func:`rsd`).

    Examples
    --------
    >>> x = [[9.0], [10.0], [11.0], [0.0], [10.0], [20.0]]
    >>> d_ratio(x, [1, 1, 1, 0, 0, 0]).tolist()
    [0.1]
    """
    values = _known(x)
    marked = checks.mask(control, len(values), "control")
    others = ~marked if sample is None else checks.mask(sample, len(values), "sample")
    if not marked.any() or not others.any():
        raise InputError(
            f"{marked.sum()} controls and {others.sum()} samples",
            why="One is compared with the other.",
            fix="Mark the controls (control=), and leave the samples among the rows.",
            code="few-controls",
        )
    scale = _absolute if robust else _deviation
    error, all_of_it = scale(values[marked]), scale(values[others])
    nothing = np.isnan(error) | np.isnan(all_of_it) | ((error == 0) & (all_of_it == 0))
    ratio = np.divide(error, all_of_it, out=np.full(len(error), np.inf), where=(all_of_it > 0) & ~nothing)
    return np.where(nothing, np.nan, ratio)


def _known(x: Any) -> np.ndarray:
    """Return a table in double precision, with NaN where a value is missing."""
    x, observed = checks.values(x)
    values = np.asarray(x, np.float64)
    return values if observed is None else np.where(observed, values, np.nan)


def _enough(values: np.ndarray) -> np.ndarray:
    return np.isfinite(values).sum(axis=0) >= 2


def _mean(values: np.ndarray) -> np.ndarray:
    count = np.isfinite(values).sum(axis=0)
    return np.nan_to_num(values).sum(axis=0) / np.maximum(count, 1)


def _deviation(values: np.ndarray) -> np.ndarray:
    """Return unbiased standard deviations; NaN where fewer than two values are known."""
    squares = np.nansum(np.square(values - _mean(values)), axis=0)
    count = np.isfinite(values).sum(axis=0)
    return np.where(_enough(values), np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)


def _absolute(values: np.ndarray) -> np.ndarray:
    """Return medians of absolute differences from the median; NaN where fewer than two values are known."""
    filled = np.where(_enough(values), values, 0)
    away = np.nanmedian(np.abs(filled - np.nanmedian(filled, axis=0)), axis=0)
    return np.where(_enough(values), away, np.nan)
