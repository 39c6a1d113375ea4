"""Figures of several panels, and how they are written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jbc.data.io.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def panels(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """Return a figure of rows × columns panels of this mean size in inches, and its axes, (rows, columns)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def save(figure: Figure, path: Path, dpi: int = 120, **options: Any) -> None:
    """Write a figure completely or not at all; its folder is made if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi, **options)


def keep(figure: Figure, path: Path, dpi: int = 80, colours: int = 48, **options: Any) -> None:
    """Write a figure that is kept in the repository: small, with few colours."""
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi, **options)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(drawn) as image, atomic_path(path) as temporary:
        image.convert("RGB").quantize(colours).save(temporary, format="png", optimize=True)
