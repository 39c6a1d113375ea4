"""Evaluation: plain arrays in, numbers out. NumPy on the host, and no method is imported."""

from jbc.metrics.classification import accuracy, auc, auc_hard, classification_report, f_score, mcc
from jbc.metrics.domains import CrossValidated, domain_accuracy, label_accuracy
from jbc.metrics.evaluate import evaluate
from jbc.metrics.mmd import bandwidth_ladder, median_bandwidth, mmd, mmd_within

__all__ = [
    "CrossValidated",
    "accuracy",
    "auc",
    "auc_hard",
    "bandwidth_ladder",
    "classification_report",
    "domain_accuracy",
    "evaluate",
    "f_score",
    "label_accuracy",
    "mcc",
    "median_bandwidth",
    "mmd",
    "mmd_within",
]
