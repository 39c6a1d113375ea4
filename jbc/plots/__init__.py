"""Figures, and the maps to two dimensions that some of them show.

Every function that draws returns Axes: the one that it was given, or (:func:`before_after`, :func:`side_by_side`,
:func:`overview`, :func:`upset`, :func:`feature_boxes`, :func:`loss_panels`,
:func:`run_order`, :func:`plate_map`) an array of those that it made;
``ax.figure`` is the figure. pyplot is not touched, and
matplotlib is imported when one of them is called. :func:`pca`, :func:`tsne`, :func:`opentsne` and :func:`umap` draw
nothing: they return coordinates.
"""

from jbc.plots._style import axes
from jbc.plots.coordinates import opentsne, pca, tsne, umap
from jbc.plots.embedding import before_after, overview, scatter, side_by_side
from jbc.plots.features import feature_boxes, upset
from jbc.plots.images import image_rows
from jbc.plots.plates import plate_map
from jbc.plots.run_order import run_order
from jbc.plots.scores import confusion_matrix, mmd_boxes, permutation_null
from jbc.plots.screens import controls_pca, metric_curve, violins
from jbc.plots.training import loss_panels, losses

__all__ = [
    "axes",
    "before_after",
    "confusion_matrix",
    "controls_pca",
    "feature_boxes",
    "image_rows",
    "loss_panels",
    "losses",
    "metric_curve",
    "mmd_boxes",
    "opentsne",
    "overview",
    "pca",
    "permutation_null",
    "plate_map",
    "run_order",
    "scatter",
    "side_by_side",
    "tsne",
    "umap",
    "upset",
    "violins",
]
