r"""Local false discovery rates of p-values: the probability that a feature is null, given its p-value.

.. math:: \operatorname{lfdr}(p) = \frac{\pi_0\, \varphi(x)}{f(x)}, \qquad x = \Phi^{-1}(p)

of Efron et al., as Storey's estimator has it in the released programs of surrogate variable analysis: :math:`\pi_0`
is the share of p-values from 0.8 on, divided by 0.2, f a kernel estimate of the density of all x that a smoothing
spline goes through, and rates never fall as p rises. Host code, in double precision.

References
----------
Efron, Tibshirani, Storey and Tusher, "Empirical Bayes analysis of a microarray experiment", Journal of the American
Statistical Association 96, 2001. Storey, "A direct approach to false discovery rates", JRSS B 64, 2002.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.interpolate import BSpline
from scipy.linalg import eigh
from scipy.optimize import minimize_scalar
from scipy.special import ndtri

# As the released programs set them: p-values stay this far from 0 and 1, those from NULL on tell the share of null
# features, and the bandwidth is that of Silverman's rule times ADJUST.
LEAST, NULL, ADJUST = 1e-8, 0.8, 1.5
GRID = 512
# Knots of the smoothing spline over GRID points, by the rule of R's smooth.spline for 200 to 800 points.
KNOTS = int(100 * 1.4 ** ((GRID - 200) / 600))


def local_fdr(p: np.ndarray) -> np.ndarray:
    """Return the local false discovery rate of every p-value, (d,).

    Examples
    --------
    >>> p = np.append(np.linspace(0.01, 1, 90), np.full(10, 1e-6))
    >>> local_fdr(p)[[95, 20, 80]].round(2).tolist()
    [0.0, 1.0, 1.0]
    """
    p = np.clip(p, LEAST, 1 - LEAST)
    share = min(np.mean(p >= NULL) / (1 - NULL), 1.0)
    x = ndtri(p)
    density = smooth(*kernel_density(x))(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = share * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) / density
    # Where the spline falls to 0 or below it, there is no estimate, and nothing is called a discovery.
    rate = np.where(density > 0, np.minimum(rate, 1), 1.0)
    order = np.argsort(p, kind="stable")
    rising = np.maximum.accumulate(rate[order])
    # Equal p-values have one rate, that of their middle rank.
    ranked = p[order]
    first, last = (np.searchsorted(ranked, p, side=side) for side in ("left", "right"))
    return rising[(first + last - 1) // 2]


def kernel_density(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a grid over values (d,), and their Gaussian kernel density on it, as R's ``density`` gives them.

    Values are shared out to the two nearest points of a grid, which is convolved with the kernel.

    Examples
    --------
    >>> grid, density = kernel_density(np.array([0.0, 0.5, 1.0]))
    >>> len(grid), round(float(density.sum() * (grid[1] - grid[0])), 3)
    (512, 1.0)
    """
    width = ADJUST * _bandwidth(x)
    low, high = x.min() - 7 * width, x.max() + 7 * width
    step = (high - low) / (GRID - 1)
    at = (x - low) / step
    left = np.minimum(at.astype(int), GRID - 2)
    mass = np.bincount(left, 1 - (at - left), 2 * GRID) + np.bincount(left + 1, at - left, 2 * GRID)
    away = np.arange(2 * GRID)
    away = np.minimum(away, 2 * GRID - away) * (2 * (high - low) / (2 * GRID - 1))
    kernel = np.exp(-((away / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))
    found = np.fft.irfft(np.fft.rfft(mass / len(x)) * np.fft.rfft(kernel), 2 * GRID)[:GRID]
    grid = np.linspace(low + 4 * width, high - 4 * width, GRID)
    return grid, np.interp(grid, np.linspace(low, high, GRID), np.maximum(found, 0))


def _bandwidth(x: np.ndarray) -> float:
    """Return the bandwidth by Silverman's rule; of equal values, anything that is above 0 serves."""
    deviation = np.std(x, ddof=1) if len(x) > 1 else 0.0
    quarters = np.subtract(*np.percentile(x, (75, 25))) / 1.34
    scale = min(deviation, quarters) or deviation or abs(x[0]) or 1.0
    return float(0.9 * scale * len(x) ** -0.2)


def smooth(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    r"""Return the smoothing spline through points on an even grid, (GRID,) each.

    .. math:: \min_f \sum_i (y_i - f(x_i))^2 + \lambda \int f''^2

    over cubic splines with fewer knots than points, where :math:`\lambda` minimises the generalised cross-validation.

    Examples
    --------
    >>> x = np.linspace(0, 3, 512)
    >>> bool(np.abs(smooth(x, np.sin(x))(x) - np.sin(x)).max() < 1e-4)
    True
    """
    spline = _spline()
    shared, apart = spline.fitted.T @ y, max(y @ y, np.finfo(float).tiny)

    def shrunken(spar: float) -> np.ndarray:
        return 1 / (1 + spline.ratio * 256 ** (3 * spar - 1) * spline.values)

    def score(spar: float) -> float:
        keep = shrunken(spar)
        rest = y - spline.fitted @ (keep * shared)
        return float(rest @ rest / (1 - keep.sum() / GRID) ** 2 / apart)

    best: Any = minimize_scalar(score, bounds=(-1.5, 1.5), method="bounded", options={"xatol": 1e-4})
    knots = x[0] + (x[-1] - x[0]) * spline.knots
    return BSpline(knots, spline.vectors @ (shrunken(best.x) * shared), 3)


class _Spline(NamedTuple):
    """Cubic splines on an even grid from 0 to 1, in the basis in which both parts of what is minimised are diagonal.

    There, ``values`` are their roughness, and every choice of lambda costs a few products.
    """

    knots: np.ndarray
    values: np.ndarray
    vectors: np.ndarray
    fitted: np.ndarray
    ratio: float


@functools.cache
def _spline() -> _Spline:
    """Return the splines, once for all."""
    unit = np.linspace(0, 1, GRID)
    inner = unit[np.linspace(0, GRID - 1, KNOTS).astype(int)]
    knots = np.concatenate([np.zeros(3), inner, np.ones(3)])
    basis = BSpline.design_matrix(unit, knots, 3).toarray()
    bend = BSpline(knots, np.eye(basis.shape[1]), 3).derivative(2)(inner)
    # Second derivatives are straight between knots: this is their exact integral.
    wide, a, b = np.diff(inner)[:, None], bend[:-1], bend[1:]
    cross = a.T @ (wide * b)
    rough = (2 * a.T @ (wide * a) + cross + cross.T + 2 * b.T @ (wide * b)) / 6
    gram = basis.T @ basis
    ratio = np.diag(gram)[2:-3].sum() / np.diag(rough)[2:-3].sum()
    values, vectors = eigh(rough, gram)
    return _Spline(knots, np.maximum(values, 0), vectors, basis @ vectors, float(ratio))
