"""Maps of a table to two dimensions: coordinates in, none of them draws."""

from __future__ import annotations

import importlib
from typing import Any, Literal, NamedTuple

import numpy as np

from jbc.errors import InputError

Kind = Literal["pca", "tsne", "opentsne", "umap"]
IN_WORDS = {"pca": "Principal components", "tsne": "t-SNE", "opentsne": "t-SNE (openTSNE)", "umap": "UMAP"}
PACKAGES = {"openTSNE": "openTSNE", "umap": "umap-learn"}


class Map(NamedTuple):
    """Coordinates (n, 2), and the names of the two axes."""

    coords: np.ndarray
    axes: tuple[str, str]


def embed(x: np.ndarray, kind: Kind, seed: int = 0) -> Map:
    """Map a table, and name the axes; those of principal components tell how much of the variance they hold.

    Examples
    --------
    >>> embed(np.array([[0.0, 0.0], [3.0, 4.0]]), "pca").axes
    ('PC 1 (100 % of variance)', 'PC 2 (0 %)')
    """
    if kind == "pca":
        coords = pca(x)
        total = np.asarray(x).var(axis=0, dtype=np.float64).sum()
        first, second = (f"{part:.0%}".replace("%", " %") for part in coords.var(axis=0) / (total or 1))
        return Map(coords, (f"PC 1 ({first} of variance)", f"PC 2 ({second})"))
    name = "UMAP" if kind == "umap" else "t-SNE"
    found = {"tsne": tsne, "opentsne": opentsne, "umap": umap}[kind](x, seed=seed)
    return Map(found, (f"{name} 1", f"{name} 2"))


def pca(x: Any, *, components: int = 2) -> np.ndarray:
    r"""Return the first principal components, :math:`(x - \bar x) V` from the singular value decomposition.

    Parameters
    ----------
    x
        Measurements, (n, d). To put two tables on common axes, stack them: ``pca(np.vstack([before, after]))``.
    components
        Number of columns; those that the table cannot fill, other than by the rounding of its numbers, are 0.

    Returns
    -------
    (n, components) float64
        The sign of each column is such that its largest loading is positive, so that a picture does not flip
        between machines.

    Examples
    --------
    >>> pca([[0.0, 0.0], [3.0, 4.0]], components=1).round(3).tolist()
    [[-2.5], [2.5]]
    """
    x = np.asarray(x)
    digits = np.finfo(x.dtype if x.dtype.kind == "f" else np.float64).eps
    x = x.astype(np.float64)
    centred = x - x.mean(axis=0)
    _, size, axes = np.linalg.svd(centred, full_matrices=False)
    # What rounding makes of a feature, and of a table without structure.
    rounding = digits * np.linalg.norm(x) * (len(axes.T) ** -0.5 + len(x) ** -0.5)
    axes = axes[:components] * (size > rounding)[:components, None]
    axes = axes * np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)] < 0, -1, 1)[:, None]
    return np.pad(centred @ axes.T, ((0, 0), (0, components - len(axes))))


def tsne(x: Any, *, perplexity: float = 30.0, seed: int = 0) -> np.ndarray:
    """Return a t-SNE map, started from the principal components (scikit-learn's).

    Positions have no meaning beyond who is whose neighbour: two maps can be compared only when they are one,
    so stack the tables that belong on common axes. 2,000 rows take seconds, 10,000 about a minute.

    Parameters
    ----------
    x
        Measurements, (n, d), at least three rows. More than 50 columns are reduced to 50 components first.
    perplexity
        About how many neighbours count; at most a third of the rows.
    seed
        Seed of the optimisation.

    Returns
    -------
    (n, 2) float32

    Examples
    --------
    >>> tsne(np.random.default_rng(0).normal(size=(12, 3))).shape
    (12, 2)
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    reduced = _reduced(x)
    model = TSNE(perplexity=min(perplexity, (len(reduced) - 1) / 3), init="random", random_state=seed)
    if reduced.any():
        model.set_params(init=reduced[:, :2] * 1e-4)
    with threadpool_limits(1):  # threads that wait for each other on a busy machine make it many times slower
        return model.fit_transform(reduced)


def opentsne(x: Any, *, perplexity: float = 30.0, seed: int = 0) -> np.ndarray:
    """Return a t-SNE map by openTSNE, a package of its own, which is faster on many rows; as :func:`tsne` otherwise.

    Examples
    --------
    >>> opentsne(np.random.default_rng(0).normal(size=(12, 3))).shape  # doctest: +SKIP
    (12, 2)
    """
    reduced = _reduced(x)
    start: Any = reduced[:, :2] * 1e-4 if reduced.any() else "random"
    model = _package("openTSNE").TSNE(
        perplexity=min(perplexity, (len(reduced) - 1) / 3), initialization=start, random_state=seed, n_jobs=1
    )
    return np.asarray(model.fit(reduced), dtype=np.float32)


def umap(x: Any, *, neighbours: int = 15, seed: int = 0) -> np.ndarray:
    """Return a UMAP map by umap-learn, a package of its own, whose first call in a process compiles for a while.

    Parameters
    ----------
    x
        Measurements, (n, d). More than 50 columns are reduced to 50 components first.
    neighbours
        How many neighbours of a row count; fewer in a small table.
    seed
        Seed of the optimisation.

    Returns
    -------
    (n, 2) float32

    Examples
    --------
    >>> umap(np.random.default_rng(0).normal(size=(40, 3))).shape  # doctest: +SKIP
    (40, 2)
    """
    reduced = _reduced(x)
    model = _package("umap").UMAP(
        n_neighbors=min(neighbours, len(reduced) - 1), random_state=seed, n_jobs=1, init="pca"
    )
    return np.asarray(model.fit_transform(reduced), dtype=np.float32)


def _reduced(x: Any) -> np.ndarray:
    """Return at most 50 components, the first with a standard deviation of 1.

    A map depends on ratios of distances only, but the steps of the search presuppose a deviation of 1.
    """
    x = np.asarray(x)
    reduced = pca(x, components=max(min(50, *x.shape), 2))
    return reduced / (np.std(reduced[:, 0]) or 1)


def _package(name: str) -> Any:
    """Import a package that jbc does not depend on."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"The package {PACKAGES[name]} is not installed",
            why="This map is made by it, and jbc does without it otherwise.",
            fix=f"Install it (pip install {PACKAGES[name]}), or draw principal components or scikit-learn's t-SNE.",
            code="missing-package",
        ) from error
