"""What all figures share: colours that colour-blind readers can tell apart, and quiet axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, HAIRLINE, UNKNOWN = "#222222", "#6b6b6b", "#c9c9c9", "#cfcfcf"

# Two palettes, so that a colour never means a domain in one panel and a class in the next.
PALETTES = {
    # Okabe & Ito (2008), without the yellow that vanishes on white.
    "domain": ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#444444"),
    # Tol (2021), "muted".
    "class": ("#332288", "#CC6677", "#117733", "#DDCC77", "#882255", "#88CCEE", "#999933", "#AA4499", "#44AA99"),
}  # fmt: skip
# For what outgrows both: chosen so that the least distance of two is large, also to eyes without one kind of cones.
TWELVE = (
    "#D46A15", "#2A2AAA", "#00956A", "#FFBF2A", "#950080", "#15D4FF",
    "#D40040", "#95D46A", "#552A40", "#8080EA", "#2A4000", "#AA80AA",
)  # fmt: skip

# Entries of a legend: so many in a column, and so many in all; of a longer list, some.
COLUMN, NAMED = 15, 30
LONGEST = 26


def axes(width: float = 6.0, height: float = 3.0) -> Axes:
    """Make axes in a figure of their own, ``ax.figure``, without touching pyplot.

    Examples
    --------
    >>> axes().figure.get_size_inches().tolist()
    [6.0, 3.0]
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").subplots()


def colours(n: int, palette: str = "domain") -> list[Any]:
    """Return n colours: those of the palette; when it is too small twelve others, or evenly spaced ones of a map.

    Examples
    --------
    >>> colours(2)
    ['#0072B2', '#E69F00']
    >>> len(set(colours(10))), len(set(colours(40)))
    (10, 40)
    """
    few = PALETTES[palette]
    for some in (few, TWELVE):
        if n <= len(some):
            return list(some[:n])
    from matplotlib import colormaps

    return [colormaps["viridis"](0.88 * k / (n - 1)) for k in range(n)]


def short(name: object) -> str:
    """Write a name so that any string fits into a legend.

    Examples
    --------
    >>> short("a" * 100), short("day" + chr(0))
    ('aaaaaaaaaaaaaaaaaaaaaaaaa…', 'day�')
    """
    text = "".join(c if c.isprintable() else "\ufffd" for c in str(name))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def quiet(ax: Axes) -> Axes:
    """Leave only what is read: two spines, small ticks, a faint grid behind the data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(color=HAIRLINE, linewidth=0.8)
    ax.tick_params(which="both", labelcolor=MUTED, labelsize=8, width=0.8, length=3, color=HAIRLINE)
    ax.tick_params(which="minor", length=0)
    ax.grid(axis="y", color=HAIRLINE, linewidth=0.5, alpha=0.6)
    ax.set_axisbelow(True)
    return ax


def legend(
    ax: Axes, handles: Sequence[Any], names: Sequence[object], *, below: bool = False, title: str = ""
) -> None:
    """Draw a legend outside the data, right of them or below; of a long one, every k-th entry, and say so."""
    few = np.unique(np.linspace(0, len(names) - 1, NAMED).round().astype(int)) if names else []
    handles, texts = [handles[k] for k in few], [short(names[k]) for k in few]
    if len(few) < len(names):
        title = f"{title}\n{len(few)} of {len(names)} named".strip()
    longest = max(map(len, texts), default=0)
    columns = (4 if longest <= 12 else 2) if below else -(-len(texts) // COLUMN)
    place: dict[str, Any] = (
        {"loc": "upper center", "bbox_to_anchor": (0.5, -0.02)}
        if below
        else {"loc": "upper left", "bbox_to_anchor": (1.02, 1.0)}
    )
    box = ax.legend(
        handles,
        [str(k) for k in range(len(texts))],
        ncols=max(min(len(texts), columns), 1),
        frameon=False,
        fontsize=8 if len(texts) <= COLUMN else 7,
        labelcolor=INK,
        handlelength=1.2,
        handletextpad=0.4,
        columnspacing=1.0,
        borderaxespad=0.2,
        title=" ",
        title_fontsize=8,
        alignment="left",
        **place,
    )
    for text, name in zip(box.get_texts(), texts, strict=True):
        verbatim(text, name)
    verbatim(box.get_title(), title)
    box.get_title().set(color=MUTED, visible=bool(title))


def verbatim(text: Any, name: str) -> None:
    """Set a text afterwards: matplotlib drops labels that start with "_", and typesets what is between "$"."""
    text.set_parse_math(False)
    text.set_text(name)
