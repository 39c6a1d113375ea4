"""Evaluation: plain arrays in, numbers out, and no method is imported."""

from jbc.metrics.bootstrap import bootstrap_weights
from jbc.metrics.classification import (
    ConfusionMatrix,
    accuracy,
    auc,
    auc_hard,
    classification_report,
    confusion_matrix,
    f_score,
    mcc,
    unit_medians,
)
from jbc.metrics.controls import d_ratio, rsd
from jbc.metrics.domains import (
    ByTreatment,
    CrossValidated,
    domain_accuracy,
    domain_accuracy_by_treatment,
    label_accuracy,
)
from jbc.metrics.energy import energy_distance
from jbc.metrics.evaluate import evaluate
from jbc.metrics.features import Biomarkers, DifferentialFeatures, biomarkers, differential_features
from jbc.metrics.frechet import frechet_distance
from jbc.metrics.mechanisms import MechanismScore, mechanism_knn, mechanism_silhouette
from jbc.metrics.mmd import bandwidth_ladder, median_bandwidth, mmd, mmd_within
from jbc.metrics.overlaps import Overlap, overlap
from jbc.metrics.permutation import PermutationTest, permutation_test, shuffle_labels
from jbc.metrics.ranking import Ranking, Variable, rank_variables
from jbc.metrics.variance import domain_share

__all__ = [
    "Biomarkers",
    "ByTreatment",
    "ConfusionMatrix",
    "CrossValidated",
    "DifferentialFeatures",
    "MechanismScore",
    "Overlap",
    "PermutationTest",
    "Ranking",
    "Variable",
    "accuracy",
    "auc",
    "auc_hard",
    "bandwidth_ladder",
    "biomarkers",
    "bootstrap_weights",
    "classification_report",
    "confusion_matrix",
    "d_ratio",
    "differential_features",
    "domain_accuracy",
    "domain_accuracy_by_treatment",
    "domain_share",
    "energy_distance",
    "evaluate",
    "f_score",
    "frechet_distance",
    "label_accuracy",
    "mcc",
    "mechanism_knn",
    "mechanism_silhouette",
    "median_bandwidth",
    "mmd",
    "mmd_within",
    "overlap",
    "permutation_test",
    "rank_variables",
    "rsd",
    "shuffle_labels",
    "unit_medians",
]
