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
# Petroff (2021), for what outgrows both.
TEN = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip

NAMED = 12
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
    """Return n colours: those of the palette; when it is too small ten others, or evenly spaced ones of a map.

    Examples
    --------
    >>> colours(2)
    ['#0072B2', '#E69F00']
    >>> len(set(colours(10))), len(set(colours(40)))
    (10, 40)
    """
    few = PALETTES[palette]
    for some in (few, TEN):
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


def legend(ax: Axes, handles: Sequence[Any], names: Sequence[object], *, below: bool = False) -> None:
    """Draw a legend outside the data, right of them or below; of a long one, every k-th entry."""
    few = np.unique(np.linspace(0, len(names) - 1, NAMED).round().astype(int)) if names else []
    handles, texts = [handles[k] for k in few], [short(names[k]) for k in few]
    if len(few) < len(names):
        texts[-1] += f" ({len(names)} in all)"
    columns = 4 if max(map(len, texts), default=0) <= 12 else 2
    place: dict[str, Any] = (
        {"loc": "upper center", "bbox_to_anchor": (0.5, -0.02), "ncols": min(len(texts), columns)}
        if below
        else {"loc": "upper left", "bbox_to_anchor": (1.02, 1.0)}
    )
    box = ax.legend(
        handles,
        [str(k) for k in range(len(texts))],
        frameon=False,
        fontsize=8,
        labelcolor=INK,
        handlelength=1.2,
        handletextpad=0.4,
        columnspacing=1.2,
        borderaxespad=0.2,
        **place,
    )
    for text, name in zip(box.get_texts(), texts, strict=True):
        # Set afterwards: matplotlib drops labels that start with "_" and typesets what is between "$".
        text.set_parse_math(False)
        text.set_text(name)
