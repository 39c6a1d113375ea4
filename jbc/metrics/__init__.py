"""Evaluation: plain arrays in, numbers out, and no method is imported."""

from jbc.metrics.bootstrap import bootstrap_weights
from jbc.metrics.classification import accuracy, auc, auc_hard, classification_report, f_score, mcc
from jbc.metrics.domains import (
    ByTreatment,
    CrossValidated,
    domain_accuracy,
    domain_accuracy_by_treatment,
    label_accuracy,
)
from jbc.metrics.evaluate import evaluate
from jbc.metrics.mechanisms import MechanismScore, mechanism_knn, mechanism_silhouette
from jbc.metrics.mmd import bandwidth_ladder, median_bandwidth, mmd, mmd_within
from jbc.metrics.stopping import nested_stopping

__all__ = [
    "ByTreatment",
    "CrossValidated",
    "MechanismScore",
    "accuracy",
    "auc",
    "auc_hard",
    "bandwidth_ladder",
    "bootstrap_weights",
    "classification_report",
    "domain_accuracy",
    "domain_accuracy_by_treatment",
    "evaluate",
    "f_score",
    "label_accuracy",
    "mcc",
    "mechanism_knn",
    "mechanism_silhouette",
    "median_bandwidth",
    "mmd",
    "mmd_within",
    "nested_stopping",
]
