"""Figures of plates: values where they were measured."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from jbc.errors import InputError
from jbc.plots import _style
from jbc.validation import checks

WELL = re.compile(r"\s*([A-Za-z]{1,2})[\s_-]*0*(\d{1,2})\s*")
# Formats of plates: rows and columns.
FORMATS = ((4, 6), (8, 12), (16, 24), (32, 48))


def plate_map(
    values: Any, well: Any, plate: Any = None, *, control: Any = None, name: str = "", columns: int = 2
) -> np.ndarray:
    """Draw values where they were measured, rows × columns of wells, a panel a plate, in one scale of colours.

    Effects of edges, corners, rows and pipettes are patterns there. Wells without a value stay empty; a well with
    several has their median; controls have a dot. The scale reaches from the 2nd to the 98th percentile.

    Parameters
    ----------
    values
        What was measured, (n,). Missing values (NaN) are empty wells.
    well
        Names of the wells, such as ``"B07"``, ``"b7"`` or ``"AA12"``.
    plate
        Plate of each row; None for a single one.
    control
        True for controls.
    name
        What the values are.
    columns
        Panels side by side.

    Returns
    -------
    (P,) array of Axes

    Examples
    --------
    >>> wells = [f"{row}{column:02d}" for row in "ABCDEFGH" for column in range(1, 13)]
    >>> axes = plate_map(np.arange(96.0), wells, name="m/z 98")
    >>> axes[0].images[0].get_array().shape, axes[0].get_yticklabels()[1].get_text()
    ((8, 12), 'B')
    """
    from matplotlib.figure import Figure

    values = np.asarray(values, np.float64)
    if values.ndim != 1:
        raise InputError(
            f"Values of shape {values.shape} for a map of wells",
            why="A well has one colour.",
            fix="Pass one column of the table.",
            code="bad-shape",
        )
    row, column = wells(well, len(values))
    plates, code = checks.domains(plate, len(values))
    marked = checks.mask(control, len(values), "control")
    shape = next((size for size in FORMATS if row.max() < size[0] and column.max() < size[1]), FORMATS[-1])
    columns, lines = min(columns, len(plates)), -(-len(plates) // min(columns, len(plates)))
    wide = {4: 2.2, 8: 3.4, 16: 4.6, 32: 7.0}[shape[0]]
    figure = Figure(
        figsize=(wide * columns + 0.9, (wide * shape[0] / shape[1] + 0.5) * lines), layout="constrained"
    )
    axes = figure.subplots(lines, columns, squeeze=False).reshape(-1)
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, (2, 98)) if len(known) else (0.0, 1.0)
    image: Any = None
    for g, (ax, title) in enumerate(zip(axes, plates, strict=False)):
        here = code == g
        image = ax.imshow(
            _medians(values[here], row[here], column[here], shape), cmap="viridis", vmin=low, vmax=high
        )
        pool = here & marked
        ax.scatter(column[pool], row[pool], s=7, color="white", edgecolors=_style.INK, linewidths=0.6)
        _frame(ax, shape)
        if plate is not None:
            ax.set_title(_style.short(title), fontsize=9, color=_style.INK, loc="left", parse_math=False)
    for ax in axes[len(plates) :]:
        ax.remove()
    bar = figure.colorbar(image, ax=axes[: len(plates)], shrink=0.8, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, labelcolor=_style.MUTED, color=_style.HAIRLINE)
    bar.ax.set_ylabel(_style.short(name), fontsize=9, color=_style.MUTED, parse_math=False)
    return axes[: len(plates)]


def wells(well: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of every well, counted from 0.

    Raises
    ------
    InputError
        For what is no name of a well, of 32 rows and 48 columns at most.

    Examples
    --------
    >>> [part.tolist() for part in wells(["A1", "b07", "AA12"], 3)]
    [[0, 1, 26], [0, 6, 11]]
    """
    found = [WELL.fullmatch(str(each)) for each in checks.one_per_row(well, n, "well")]
    places = [(-1, -1) if each is None else (_letters(each[1]), int(each[2]) - 1) for each in found]
    rows, columns = FORMATS[-1]
    bad = [i for i, (row, column) in enumerate(places) if not (0 <= row < rows and 0 <= column < columns)]
    if bad:
        raise InputError(
            "What is no name of a well",
            which=[str(well[i]) for i in bad],
            why="A map needs the row, as a letter, and the column, as a number.",
            fix="Write wells as A1 or B07, up to AF48.",
            code="bad-well",
        )
    return np.array([row for row, _ in places]), np.array([column for _, column in places])


def _letters(text: str) -> int:
    """Return the row that letters stand for: A is 0, and AA follows Z."""
    number = 0
    for letter in text.upper():
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


def _medians(values: np.ndarray, row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the median of every well, and NaN for empty ones."""
    table = np.full(shape, np.nan)
    known = np.isfinite(values)
    at = (row * shape[1] + column)[known]
    for well in np.unique(at):
        table.flat[well] = np.median(values[known][at == well])
    return table


def _frame(ax: Any, shape: tuple[int, int]) -> None:
    """Name rows and columns, and leave thin white lines between wells."""
    step = 1 if shape[0] <= 8 else 2 if shape[0] <= 16 else 4
    letters = [chr(65 + r) if r < 26 else "A" + chr(65 + r - 26) for r in range(0, shape[0], step)]
    ax.set_yticks(range(0, shape[0], step), letters, fontsize=7, color=_style.MUTED)
    ax.set_xticks(range(0, shape[1], step), [str(c + 1) for c in range(0, shape[1], step)], fontsize=7)
    ax.tick_params(length=0, labelcolor=_style.MUTED, top=False)
    ax.set_xticks(np.arange(shape[1] - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(shape[0] - 1) + 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=0.6)
    ax.tick_params(which="minor", length=0)
    ax.spines[:].set(color=_style.HAIRLINE, linewidth=0.6)
