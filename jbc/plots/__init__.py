"""Figures. Every function takes an Axes and returns it; matplotlib is imported when one is called."""

from jbc.plots._style import axes
from jbc.plots.embedding import before_after, pca, scatter, tsne
from jbc.plots.scores import mmd_boxes
from jbc.plots.training import losses

__all__ = ["axes", "before_after", "losses", "mmd_boxes", "pca", "scatter", "tsne"]
