"""What the numbers of a page are, in words."""

from __future__ import annotations

from jbc.report.numbers import number

SCORES = {
    "domain_accuracy": (
        "Share of rows for which a linear classifier, trained on the others, names the right {one}. Lower "
        "is better, down to chance. A value below chance counts as chance: when all {many} have one mean, a "
        "row that is left out looks a little less like the rest of its {one} than like the others. Its "
        "comparison is always naming the largest {one}."
    ),
    "domain_accuracy within": (
        "The same among rows of this class: {many} that differ in nothing but their mixture of classes are "
        "told apart in the line above, and not here."
    ),
    "label_accuracy": (
        "Share of rows for which a linear classifier, trained on the others, names the right class. It "
        "should not fall: what maps all rows to one point mixes {many} perfectly. Its comparison is always "
        "naming the largest class."
    ),
    "mmd": (
        "Maximum mean discrepancy of two {many}, mean over pairs: 0 where they are distributed alike, at "
        "most 1.4. Its comparison are two halves of one {one}, of different subjects. A corrected pair may "
        "be nearer than these: a correction gives {many} a common mean and scale, and nothing gives them to "
        "the halves."
    ),
    "accuracy": ("Share of rows whose class is predicted right."),
    "f_score": ("Harmonic mean of precision and recall; of many classes, the mean over them. 1 is perfect."),
    "mcc": (
        "Matthews' correlation of predicted and true class: 0 where predictions tell nothing, 1 where all "
        "are right."
    ),
    "auc": (
        "Chance that a row of one class is ranked above a row of the other: 0.5 tells nothing, 1 is "
        "perfect. It asks for the order of the rows alone, accuracy for the threshold as well. A {one} "
        "effect that moves all rows to one side of the threshold leaves their order: that is how an AUC of "
        "1 goes with an accuracy near that of chance."
    ),
    "auc_hard": (
        "AUC of the predicted classes instead of their probabilities: mean of the shares that are predicted "
        "right in each class."
    ),
    "agreement": (
        "Correlation of a feature with itself in the same world without any {one} effect, mean over "
        "features: 1 is the truth. Known only because the world is simulated."
    ),
}
NAMES = {
    "domain_accuracy": "{many} told apart",
    "label_accuracy": "classes told apart",
    "mmd": "MMD between {many}",
    "accuracy": "accuracy of predictions",
    "f_score": "F1 of predictions",
    "mcc": "MCC of predictions",
    "auc": "AUC of predictions",
    "auc_hard": "AUC of predicted classes",
}
LOSSES = {
    "loss": "what training descends on",
    "align": "how far apart domains are in the latent space",
    "classify": "error of the classifier on labelled rows",
    "rebuild": "error of the measurements that are rebuilt from the latent space",
    "mmd2": "squared MMD of source and target",
    "error": "error of the measurements that are rebuilt",
    "distance": "how far apart the critics see the domains",
    "penalty": "how far the critics are from the slope that they should have",
    "critic": "loss of the critics",
    "accuracy": "how often critics tell moved rows from those of the target",
    "cycle": "error of rows that are moved there and back",
}

PARTS = frozenset({"align", "classify", "rebuild", "error", "distance"})


def several(word: str) -> str:
    """Return the plural of a noun that domains go by.

    Examples
    --------
    >>> several("batch"), several("plate"), several("assay day"), several("study")
    ('batches', 'plates', 'assay days', 'studies')
    """
    if word.endswith(("s", "ch", "sh", "x")):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2:-1] not in tuple("aeiou") else f"{word}s"


def described(metric: str, one: str) -> str:
    """Return what a metric is, where domains are called by this noun."""
    return SCORES[metric].format(one=one, many=several(one))


def named(metric: str, one: str) -> str:
    """Return the name of a metric in a table.

    Examples
    --------
    >>> named("domain_accuracy", "plate"), named("frechet", "plate")
    ('plates told apart', 'frechet')
    """
    return NAMES.get(metric, metric).format(many=several(one))


def figure(value: float) -> str:
    """Write a number in a sentence with the decimals of the tables.

    Examples
    --------
    >>> figure(0.99666), figure(1.0)
    ('0.997', '1.000')
    """
    return number(float(value))
