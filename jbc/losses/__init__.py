"""Losses: pure functions, one family a file."""

from jbc.losses._kernels import kernel
from jbc.losses.classification import cross_entropy
from jbc.losses.l1 import l1_matrix
from jbc.losses.mmd import alignment, median_distance, mmd2_matrix
from jbc.losses.reconstruction import squared_error

__all__ = [
    "alignment",
    "cross_entropy",
    "kernel",
    "l1_matrix",
    "median_distance",
    "mmd2_matrix",
    "squared_error",
]
