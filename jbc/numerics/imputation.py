r"""Draws of missing values from a few common factors: what rows could have had where nothing was observed.

The model is that of probabilistic principal components, :math:`z \sim N(0, L L^\top + \Psi)`, of rows that are
centred and scaled in their domains. Factors are drawn given what a row has, and so is what they leave, so that draws
vary and hang together as observed values do. They serve to compare distributions, not to be corrected. Host code,
NumPy only.

References
----------
Tipping and Bishop, Probabilistic principal component analysis, Journal of the Royal Statistical Society B 1999.
"""

from __future__ import annotations

import numpy as np

from jbc.numerics.linalg import principal_axes

FACTORS, ROUNDS, SAMPLE, BLOCK = 15, 8, 2500, 4096
LEAST = 0.02  # of the variance of a feature is its own


def draw_missing(z: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return rows (n, d) of mean 0 and deviation 1 with draws where nothing was observed.

    The same rows get the same draws.

    Examples
    --------
    >>> one = np.random.default_rng(0).normal(size=(500, 1))
    >>> z, observed = np.repeat(one, 4, axis=1), np.random.default_rng(1).random((500, 4)) < 0.7
    >>> observed[:, 0] = True
    >>> found = draw_missing(np.where(observed, z, 0), observed)
    >>> bool(np.corrcoef(found[~observed], z[~observed])[0, 1] > 0.95)
    True
    """
    taken = np.linspace(0, len(z) - 1, min(len(z), SAMPLE)).astype(int)
    rows, seen = np.where(observed, z, 0)[taken].astype(np.float64), observed[taken]
    most = max(min(FACTORS, z.shape[1] - 1, len(rows) // 10), 1)
    scale = (
        np.maximum(seen.mean(axis=0), 1 / len(rows)) ** -0.5
    )  # of features that are 0 where they are missing
    loadings, own = _factors(rows * scale, most)
    for _ in range(ROUNDS):
        mean, spread = _given(rows, seen, loadings, own)
        filled = np.where(seen, rows, mean @ loadings.T)
        # What draws would add to the covariance, on average.
        more = np.einsum("ij,ikl->jkl", ~seen, spread) / len(rows)
        left = np.einsum("jk,jkl,jl->j", loadings, more, loadings) + (~seen).mean(axis=0) * own
        size = np.sqrt(1 + left / np.maximum(np.square(filled).mean(axis=0), LEAST))
        loadings, own = _factors(filled * size, most)
    out, rng = z.astype(np.float64), np.random.default_rng(0)
    for start in range(0, len(z), BLOCK):
        part = slice(start, start + BLOCK)
        rows, seen = np.where(observed[part], z[part], 0).astype(np.float64), observed[part]
        mean, spread = _given(rows, seen, loadings, own)
        root = np.linalg.cholesky(spread)
        factors = mean + np.einsum("ikl,il->ik", root, rng.normal(size=mean.shape))
        drawn = factors @ loadings.T + np.sqrt(own) * rng.normal(size=rows.shape)
        out[part] = np.where(seen, z[part], drawn)
    return out


def _factors(rows: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return loadings (d, k), and the variance of every feature that is its own."""
    n = len(rows)
    variance = np.square(rows).mean(axis=0)
    size, axes = principal_axes(rows, most)
    rest = max(variance.sum() - np.square(size).sum() / n, 0) / max(rows.shape[1] - most, 1)
    loadings = axes * np.sqrt(np.maximum(np.square(size) / n - rest, 0))
    return loadings, np.maximum(variance - np.square(loadings).sum(axis=1), LEAST)


def _given(
    rows: np.ndarray, seen: np.ndarray, loadings: np.ndarray, own: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (n, k) and covariance (n, k, k) of the factors of rows, given what these have."""
    weighed = loadings / own[:, None]
    each = np.einsum("jk,jl->jkl", weighed, loadings).reshape(len(own), -1)
    k = loadings.shape[1]
    spread = np.linalg.inv((seen @ each).reshape(-1, k, k) + np.eye(k))
    return np.einsum("ikl,il->ik", spread, np.where(seen, rows, 0) @ weighed), spread
