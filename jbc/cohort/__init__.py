"""The cohort: the table that every method reads, its groups, and how rows are drawn from it."""

from jbc.cohort.cohort import Cohort, Names
from jbc.cohort.folds import fold_weights

__all__ = ["Cohort", "Names", "fold_weights"]
