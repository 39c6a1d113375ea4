"""Rows that are images, as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jbc.plots import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def image_rows(ax: Axes, groups: Mapping[str, Any], shape: tuple[int, int, int], *, gap: int = 1) -> Axes:
    """Draw groups of images below one another, such as the same ones before and after a correction.

    Parameters
    ----------
    ax
        Where to draw.
    groups
        Name → images as rows (n, height · width · channels), 0 black and 1 white; drawn in the given order.
    shape
        Height, width and channels; one channel is drawn in grey, three in colour.
    gap
        Pixels between images.

    Returns
    -------
    Axes

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = image_rows(Figure().subplots(), {"dark": np.zeros((3, 4)), "bright": np.ones((3, 4))}, (2, 2, 1))
    >>> [text.get_text() for text in ax.get_yticklabels()], ax.get_images()[0].get_array().shape
    (['dark', 'bright'], (5, 8, 3))
    """
    height, width, channels = shape
    widest = max(len(rows) for rows in groups.values())
    tall, wide = height + gap, width + gap
    canvas = np.ones((len(groups) * tall - gap, widest * wide - gap, 3))
    for i, rows in enumerate(groups.values()):
        images = np.clip(np.asarray(rows, np.float64).reshape(-1, height, width, channels), 0, 1)
        for j, image in enumerate(images):
            canvas[i * tall : i * tall + height, j * wide : j * wide + width] = image
    ax.imshow(canvas, interpolation="nearest", aspect="equal")
    ax.set_xticks([])
    ax.set_yticks(
        [i * tall + (height - 1) / 2 for i in range(len(groups))], [_style.short(name) for name in groups]
    )
    ax.tick_params(length=0, labelsize=9)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax
