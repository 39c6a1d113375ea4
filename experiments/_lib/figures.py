"""Figures of several panels, and how they are written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from jbc.data.io.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def panels(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """Return a figure of rows × columns panels of this mean size in inches, and its axes, (rows, columns)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def save(figure: Figure, path: Path, dpi: int = 120, colours: int | None = None, **options: Any) -> None:
    """Write a figure completely or not at all, with this number of colours at most; its folder is made if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi, **options)
        if colours is not None:
            with Image.open(temporary) as image:
                few = image.convert("RGB").quantize(colours)
            few.save(temporary, format="png", optimize=True)
