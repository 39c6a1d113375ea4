"""Pictures of a table in two dimensions, before and after a correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from jbc.errors import InputError
from jbc.plots import _style
from jbc.plots.coordinates import IN_WORDS, Kind, Map, embed
from jbc.validation import checks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A smaller part of what is drawn is rounding.
FLAT = 1e-9
# Rows that are drawn: of principal components, and of maps that take time.
ROWS = {"pca": 1500, "tsne": 500, "opentsne": 1500, "umap": 1500}


def scatter(
    ax: Axes,
    coords: Any,
    codes: Any,
    names: Sequence[object],
    *,
    palette: Literal["domain", "class"] = "domain",
    legend: Literal["right", "below"] | None = "right",
    title: str = "",
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
    title
        What the groups are, above the legend: plates, donors.

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
        _style.legend(ax, dots, shown, below=legend == "below", title=title)
    return ax


def before_after(
    before: Any,
    after: Any,
    domain: Any,
    label: Any = None,
    *,
    kind: Kind = "pca",
    common: bool = True,
    rows: int | None = None,
    seed: int = 0,
    domain_name: str = "domain",
    label_name: str = "class",
    titles: tuple[str, str] = ("before", "after"),
) -> np.ndarray:
    """Draw a table before and after a correction, coloured by domain and by class.

    The figure says which map it shows, and of how many rows. A few points far out do not squeeze the others: they
    are drawn on the frame, and a note counts them.

    Parameters
    ----------
    before, after
        The same rows twice, (n, d).
    domain
        Domain of each row.
    label
        Class of each row; -1, None, NaN or ``""`` where it is unknown. Without labels there is one row of panels.
    kind
        Principal components, t-SNE (scikit-learn's, or that of the package openTSNE), or UMAP (umap-learn).
    common
        Fit one map to both tables together and draw all panels on the same axes, so that what moves has moved.
        Only for tables in one feature space; otherwise each of them has a map and axes of its own.
    rows
        At most this number of random rows are drawn: by default 1500, and 500 by scikit-learn's t-SNE.
    seed
        Seed of the choice and of the map.
    domain_name, label_name
        What domains and classes are called in the figure: plate, donor, diagnosis.
    titles
        What the two tables are called.

    Returns
    -------
    (1 or 2, 2) array of Axes
        Before and after; the first row is coloured by domain, the second one by class. ``axes[0, 0].figure`` is the
        figure, a plain :class:`matplotlib.figure.Figure`: ``savefig`` works, and pyplot knows nothing of it.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(20, 3))
    >>> axes = before_after(x, x, ["a", "b"] * 10, ["u", "v"] * 10, domain_name="plate")
    >>> axes.shape, axes[0, 1].get_title(loc="left")
    ((2, 2), 'after')
    """
    tables, called = {"before": before, "after": after}, (domain_name, label_name)
    return _compared(tables, titles, domain, label, kind, common, rows, seed, called)


def side_by_side(
    tables: Mapping[str, Any],
    domain: Any,
    label: Any = None,
    *,
    kind: Kind = "tsne",
    common: bool = True,
    rows: int | None = None,
    seed: int = 0,
    domain_name: str = "domain",
    label_name: str = "class",
) -> np.ndarray:
    """Draw what several methods make of the same rows, a column each; as :func:`before_after` otherwise.

    Parameters
    ----------
    tables
        Method → the same rows, (n, d). On common axes, all of them are of one feature space, and one map is fitted to
        all of them together: its time grows with their number.
    domain, label, kind, common, rows, seed, domain_name, label_name
        As in :func:`before_after`.

    Returns
    -------
    (1 or 2, methods) array of Axes
        The first row is coloured by domain, the second one by class.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(20, 3))
    >>> tables = {"measured": x, "centred": x - x.mean(axis=0), "none": 0 * x}
    >>> axes = side_by_side(tables, ["a", "b"] * 10, ["u", "v"] * 10, kind="pca")
    >>> axes.shape, axes[0, 1].get_title(loc="left")
    ((2, 3), 'centred')
    """
    called = (domain_name, label_name)
    return _compared(tables, tuple(tables), domain, label, kind, common, rows, seed, called)


def _compared(
    tables: Mapping[str, Any],
    titles: Sequence[str],
    domain: Any,
    label: Any,
    kind: Kind,
    common: bool,
    rows: int | None,
    seed: int,
    called: tuple[str, str],
) -> np.ndarray:
    """Draw the same rows of several tables, a column each."""
    given, colourings = _same_rows(tables, domain, label, common)
    some = _chosen(len(given[0]), kind, rows, seed)
    maps = _maps([each[some] for each in given], kind, common, seed)
    width = max(7.0, 1.6 * len(given) + 1.2)
    height = 2.75 if len(given) < 3 else 0.85 * (width - 1.2) / len(given) + 0.2
    axes = _panels(len(colourings), len(given), height, width)
    for j, (found, title) in enumerate(zip(maps, titles, strict=True)):
        frame = _frame(np.concatenate([each.coords for each in maps]) if common else found.coords)
        for i, (palette, names, codes) in enumerate(colourings):
            place = "right" if j == len(given) - 1 else None
            outside = _draw(axes[i, j], found, frame, codes[some], names, palette, place, called[i])
            last = i == len(colourings) - 1
            axes[i, j].set_xlabel(found.axes[0] if last and (len(given) < 3 or j == 0 or not common) else "")
            axes[i, j].set_ylabel(found.axes[1] if j == 0 or not common else "")
        _titles(axes[0, j], title, outside, len(some))
    whole = "both tables" if len(given) == 2 else f"all {len(given)} tables"
    of = f"{whole} together" if common else "each table"
    _caption(axes[0, 0].figure, f"{IN_WORDS[kind]} of {of}", len(some), len(given[0]))
    return axes


def overview(
    x: Any,
    domain: Any,
    label: Any = None,
    *,
    kind: Kind = "pca",
    rows: int | None = None,
    seed: int = 0,
    domain_name: str = "domain",
    label_name: str = "class",
) -> np.ndarray:
    """Draw one table, coloured by domain and by class; as :func:`before_after` otherwise.

    Parameters
    ----------
    x
        Measurements, (n, d).
    domain, label, kind, rows, seed, domain_name, label_name
        As in :func:`before_after`.

    Returns
    -------
    (1 or 2,) array of Axes
        By domain, and by class.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(20, 3))
    >>> [ax.get_title(loc="left") for ax in overview(x, ["a", "b"] * 10, ["u", "v"] * 10)]
    ['by domain', 'by class']
    """
    (x,), colourings = _same_rows({"overview": x}, domain, label, True)
    some = _chosen(len(x), kind, rows, seed)
    found = embed(x[some], kind, seed)
    axes = _panels(1, len(colourings), 3.4)[0]
    frame, called = _frame(found.coords), (domain_name, label_name)
    for ax, (palette, names, codes), name in zip(axes, colourings, called, strict=False):
        outside = _draw(ax, found, frame, codes[some], names, palette, "below", "")
        ax.set_xlabel(found.axes[0])
        ax.set_ylabel(found.axes[1] if ax is axes[0] else "")
        _titles(ax, f"by {name}", outside if ax is axes[0] else 0, len(some))
    _caption(axes[0].figure, IN_WORDS[kind], len(some), len(x))
    return axes


def _chosen(n: int, kind: Kind, rows: int | None, seed: int) -> np.ndarray:
    """Return the positions of the rows that are drawn."""
    return np.sort(np.random.default_rng(seed).permutation(n)[: ROWS[kind] if rows is None else rows])


def _panels(rows: int, columns: int, height: float, width: float = 7.0) -> np.ndarray:
    """Return the axes of a new figure, as wide as a page or as it says."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height * rows + 0.45), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.05)  # pyright: ignore[reportOptionalMemberAccess, reportCallIssue]
    return figure.subplots(rows, columns, squeeze=False)


def _draw(
    ax: Axes,
    found: Map,
    frame: tuple[np.ndarray, np.ndarray],
    codes: np.ndarray,
    names: Sequence[object],
    palette: Literal["domain", "class"],
    legend: Literal["right", "below"] | None,
    title: str,
) -> int:
    """Draw one panel; return how many points lie beyond its frame, on which they are drawn."""
    low, high = frame
    inside = np.clip(found.coords, low, high)
    scatter(ax, inside, codes, names, palette=palette, legend=legend, title=_style.short(title))
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), box_aspect=0.85)
    ax.collections[0].set_clip_on(False)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(fontsize=8, color=_style.MUTED)
    return int((inside != found.coords).any(axis=1).sum())


def _titles(ax: Axes, title: str, outside: int, drawn: int) -> None:
    """Name a panel, and count the points beyond its frame."""
    ax.set_title(_style.short(title), fontsize=10, color=_style.INK, loc="left", parse_math=False)
    if outside:
        note = f"{outside} of {drawn} beyond the frame"
        ax.set_title(note, fontsize=7, color=_style.MUTED, loc="right")


def _caption(figure: Any, what: str, drawn: int, rows: int) -> None:
    """Say above a figure what it shows."""
    which = f"{drawn:,} of {rows:,} rows, drawn at random" if drawn < rows else f"{rows:,} rows"
    figure.suptitle(f"{what}; {which}", fontsize=8, color=_style.MUTED, x=0.01, ha="left")


def _same_rows(
    tables: Mapping[str, Any], domain: Any, label: Any, common: bool
) -> tuple[list[np.ndarray], list[tuple[Literal["domain", "class"], Sequence[object], np.ndarray]]]:
    """Check tables of the same rows, and translate what colours them."""
    found = []
    for name, x in tables.items():
        x, observed = checks.values(x)
        if observed is not None:
            raise checks.incomplete(observed, checks.feature_names(None, x.shape[1]), f"The picture {name}")
        found.append(x)
    shapes = {x.shape if common else len(x) for x in found}
    if len(shapes) != 1:
        raise InputError(
            f"{len(found)} tables that are drawn together, of different shapes",
            which=[f"{name}: {x.shape}" for name, x in zip(tables, found, strict=True)],
            why="Every point is drawn in each of them, and common axes need one feature space.",
            fix="Pass the same rows; for several feature spaces also common=False.",
            code="bad-shape",
        )
    n = len(found[0])
    colourings: list[Any] = [("domain", *checks.domains(domain, n))]
    if label is not None:
        colourings.append(("class", *checks.labels(label, n)))
    return found, colourings


def _maps(tables: list[np.ndarray], kind: Kind, common: bool, seed: int) -> list[Map]:
    """Map tables to two dimensions, together or each for itself."""
    if not common:
        return [embed(each, kind, seed) for each in tables]
    joint = embed(np.concatenate(tables), kind, seed)
    return [joint._replace(coords=part) for part in np.split(joint.coords, len(tables))]


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
