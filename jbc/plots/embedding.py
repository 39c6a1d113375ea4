"""Pictures of a table in two dimensions, before and after a correction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from jbc.errors import InputError
from jbc.plots import _style
from jbc.validation import checks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A smaller part of what is drawn is rounding.
FLAT = 1e-9


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
    so stack the tables that belong on common axes.

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

    x = np.asarray(x)
    reduced = pca(x, components=max(min(50, *x.shape), 2))
    model = TSNE(perplexity=min(perplexity, (len(x) - 1) / 3), init="random", random_state=seed)
    scale = np.std(reduced[:, 0])
    if scale > 0:
        # The map depends on ratios of distances only, but the steps of the search presuppose a deviation of 1.
        reduced = reduced / scale
        model.set_params(init=reduced[:, :2] * 1e-4)
    return model.fit_transform(reduced)


def scatter(
    ax: Axes,
    coords: Any,
    codes: Any,
    names: Sequence[object],
    *,
    palette: Literal["domain", "class"] = "domain",
    legend: Literal["right", "below"] | None = "right",
) -> Axes:
    """Draw points coloured by a code.

    Points are drawn in random order (the same every time), so that no group covers another; unknown ones
    (code -1) are grey and lie below all others.

    Parameters
    ----------
    ax
        Where to draw.
    coords
        Coordinates, (n, 2).
    codes
        Position of each point's group in ``names``, or -1.
    names
        What the codes stand for.
    palette
        Domains and classes have colours of their own.
    legend
        Where the legend stands, outside the data; None for no legend.

    Returns
    -------
    Axes

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().subplots()
    >>> scatter(ax, [[0, 0], [1, 1]], [0, -1], ["plate 1"]) is ax
    True
    """
    coords, codes = np.asarray(coords), np.asarray(codes)
    table = np.array([*map(_rgba, _style.colours(len(names), palette)), _rgba(_style.UNKNOWN)])
    order = np.random.default_rng(0).permutation(len(codes))
    order = order[np.argsort(codes[order] >= 0, kind="stable")]
    size = float(np.clip(6000 / max(len(codes), 1), 5, 20))
    ax.scatter(*coords[order].T, c=table[codes[order]], s=size, alpha=0.8, linewidths=0, rasterized=True)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(color=_style.HAIRLINE, linewidth=0.8)
    if legend is not None:
        shown = [*names, "unknown"] if (codes < 0).any() else [*names]
        dots = [ax.scatter([], [], color=table[k], s=22) for k in [*range(len(names)), -1][: len(shown)]]
        _style.legend(ax, dots, shown, below=legend == "below")
    return ax


def before_after(
    before: Any,
    after: Any,
    domain: Any,
    label: Any = None,
    *,
    kind: Literal["pca", "tsne"] = "pca",
    common: bool = True,
    rows: int = 1500,
    seed: int = 0,
) -> Figure:
    """Draw a table before and after a correction, coloured by domain and by class.

    Parameters
    ----------
    before, after
        The same rows twice, (n, d).
    domain
        Domain of each row.
    label
        Class of each row; -1, None, NaN or ``""`` where it is unknown. Without labels there is one column.
    kind
        Principal components or t-SNE.
    common
        Fit one map to both tables together and draw all panels on the same axes, so that what moves has moved.
        Only for tables in one feature space; otherwise every row of panels has a map and axes of its own.
    rows
        At most this number of random rows are drawn.
    seed
        Seed of the choice and of t-SNE.

    Returns
    -------
    Figure
        A plain :class:`matplotlib.figure.Figure`: ``savefig`` works, and pyplot knows nothing of it. A few points
        far out do not squeeze the others: they are drawn on the frame, and a note counts them.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(20, 3))
    >>> len(before_after(x, x, ["a", "b"] * 10, ["u", "v"] * 10).axes)
    4
    """
    from matplotlib.figure import Figure

    before, after, colourings = _same_rows(before, after, domain, label, common)
    some = np.sort(np.random.default_rng(seed).permutation(len(before))[:rows])
    maps = _maps(before[some], after[some], kind, common, seed)
    columns = len(colourings)
    figure = Figure(figsize=(3.1 * columns + 0.3, 6.9), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # pyright: ignore[reportOptionalMemberAccess, reportCallIssue]
    axes = figure.subplots(2, columns, squeeze=False)
    for i, (when, coords) in enumerate(zip(("before", "after"), maps, strict=True)):
        low, high = _frame(np.concatenate(maps) if common else coords)
        inside = np.clip(coords, low, high)
        for j, (title, names, codes) in enumerate(colourings):
            ax: Any = axes[i, j]
            scatter(ax, inside, codes[some], names, palette=title, legend="below" if i else None)
            ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), box_aspect=1)
            ax.collections[0].set_clip_on(False)
            if i == 0:
                ax.set_title(f"by {title}", fontsize=9, color=_style.MUTED, loc="left")
        axes[i, 0].set_ylabel(when, fontsize=11, color=_style.INK, fontweight="bold")
        if outside := int((inside != coords).any(axis=1).sum()):
            note = f"{outside} of {len(coords)} beyond the frame"
            axes[i, -1].set_title(note, fontsize=7, color=_style.MUTED, loc="right")
    return figure


def _same_rows(
    before: Any, after: Any, domain: Any, label: Any, common: bool
) -> tuple[np.ndarray, np.ndarray, list[tuple[Literal["domain", "class"], Sequence[object], np.ndarray]]]:
    """Check two tables of the same rows, and translate what colours them."""
    tables = []
    for when, x in (("before", before), ("after", after)):
        x, observed = checks.values(x)
        if observed is not None:
            raise checks.incomplete(observed, checks.feature_names(None, x.shape[1]), f"The picture {when}")
        tables.append(x)
    before, after = tables
    if len(before) != len(after) or (common and before.shape != after.shape):
        raise InputError(
            f"Tables of shape {before.shape} before and {after.shape} after",
            why="Every point is drawn twice, and common axes need one feature space.",
            fix="Pass the same rows; for two feature spaces also common=False.",
            code="bad-shape",
        )
    colourings: list[Any] = [("domain", *checks.domains(domain, len(before)))]
    if label is not None:
        colourings.append(("class", *checks.labels(label, len(before))))
    return before, after, colourings


def _maps(before: np.ndarray, after: np.ndarray, kind: str, common: bool, seed: int) -> list[np.ndarray]:
    """Map both tables to two dimensions, together or each for itself."""

    def embed(x: np.ndarray) -> np.ndarray:
        return pca(x) if kind == "pca" else tsne(x, seed=seed)

    if common:
        return np.split(embed(np.concatenate([before, after])), 2)
    return [embed(before), embed(after)]


def _frame(coords: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower left and the upper right corner: the range, or less where a few points are far out.

    Examples
    --------
    >>> low, high = _frame(np.array([[0.0, 3e-9], [2e-9, 3e-9]]))  # no width but that of the other axis
    >>> np.round(low * 1e9, 6).tolist(), np.round(high * 1e9, 6).tolist()
    ([-0.1, 2.9], [2.1, 3.1])
    """
    near, far = np.quantile(coords, [0.02, 0.98], axis=0)
    low, high = coords.min(axis=0), coords.max(axis=0)
    width = high - low
    # An axis on which all points coincide up to rounding is as wide as the other one, or as far from 0.
    size = max(width.max(), FLAT * np.abs(coords).max())
    margin = 0.05 * np.where(width > FLAT * size, width, size if size > 0 else 1.0)
    # Where nearly all points coincide, the quantiles coincide too, and the range is used.
    reach = np.where(far - near > FLAT * width, 0.65 * (far - near), np.inf)
    return np.maximum(low - margin, near - reach), np.minimum(high + margin, far + reach)


def _rgba(colour: Any) -> tuple[float, float, float, float]:
    from matplotlib.colors import to_rgba

    return to_rgba(colour)
