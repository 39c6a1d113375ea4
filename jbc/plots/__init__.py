"""Figures, and the maps to two dimensions that some of them show.

Every function that draws returns Axes: the one that it was given, or (:func:`before_after`, :func:`overview`,
:func:`loss_panels`) an array of those that it made; ``ax.figure`` is the figure. pyplot is not touched, and
matplotlib is imported when one of them is called. :func:`pca`, :func:`tsne`, :func:`opentsne` and :func:`umap` draw
nothing: they return coordinates.
"""

from jbc.plots._style import axes
from jbc.plots.coordinates import opentsne, pca, tsne, umap
from jbc.plots.embedding import before_after, overview, scatter
from jbc.plots.images import image_rows
from jbc.plots.scores import mmd_boxes
from jbc.plots.screens import controls_pca, metric_curve, violins
from jbc.plots.training import loss_panels, losses

__all__ = [
    "axes",
    "before_after",
    "controls_pca",
    "image_rows",
    "loss_panels",
    "losses",
    "metric_curve",
    "mmd_boxes",
    "opentsne",
    "overview",
    "pca",
    "scatter",
    "tsne",
    "umap",
    "violins",
]
