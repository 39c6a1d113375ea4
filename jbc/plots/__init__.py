"""Figures. Every function takes an Axes and returns it; matplotlib is imported when one is called."""

from jbc.plots._style import axes
from jbc.plots.embedding import before_after, pca, scatter, tsne
from jbc.plots.images import image_rows
from jbc.plots.scores import mmd_boxes
from jbc.plots.screens import controls_pca, metric_curve, violins
from jbc.plots.training import losses

__all__ = [
    "axes",
    "before_after",
    "controls_pca",
    "image_rows",
    "losses",
    "metric_curve",
    "mmd_boxes",
    "pca",
    "scatter",
    "tsne",
    "violins",
]
