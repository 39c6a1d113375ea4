r"""How well predicted classes agree with the truth, for two and for many classes.

Everything but :func:`auc` is a function of the confusion matrix :math:`C`, where :math:`C_{kl}` counts rows
of class k that are predicted as class l. Every truth must be known: the caller leaves out rows whose label is
unknown (-1, None, NaN, ``""``), because a metric that dropped them silently would hide how few rows it saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jbc.errors import InputError
from jbc.metrics._inputs import classes_in, confusion, known, positions, probabilities
from jbc.validation import checks


class ConfusionMatrix(NamedTuple):
    """Counts (K, K) of rows of class k (down) that are predicted as class l (across), and the classes.

    Examples
    --------
    >>> ConfusionMatrix(("a", "b"), np.array([[3, 1], [0, 4]])).recall.tolist()
    [[0.75, 0.25], [0.0, 1.0]]
    """

    classes: Sequence[Any]
    counts: np.ndarray

    @property
    def recall(self) -> np.ndarray:
        """The share of the rows of each class, whose lines add up to 1; NaN for a class without rows."""
        rows = self.counts.sum(axis=1, keepdims=True)
        return np.divide(self.counts, rows, where=rows > 0, out=np.full(self.counts.shape, np.nan))


def confusion_matrix(y: Any, predicted: Any, *, classes: Sequence[Any] | None = None) -> ConfusionMatrix:
    """Count rows by true and by predicted class.

    Parameters
    ----------
    y, predicted
        True and predicted classes, one per row.
    classes
        All classes, in the order of lines and columns. Without it, they are the sorted classes that occur.

    Returns
    -------
    ConfusionMatrix

    Examples
    --------
    >>> found = confusion_matrix(["case", "case", "control"], ["case", "control", "control"])
    >>> found.classes, found.counts.tolist()
    (('case', 'control'), [[1, 1], [0, 1]])
    """
    return ConfusionMatrix(*confusion(y, predicted, classes))


def accuracy(y: Any, predicted: Any) -> float:
    r"""Share of rows that are predicted right, :math:`\sum_k C_{kk} / n`.

    Parameters
    ----------
    y, predicted
        True and predicted classes, one per row.

    Examples
    --------
    >>> accuracy([0, 1, 1, 1], [0, 1, 1, 0])
    0.75
    """
    _, counts = confusion(y, predicted)
    return float(counts.trace() / counts.sum())


def f_score(y: Any, predicted: Any, *, classes: Sequence[Any] | None = None, positive: Any = None) -> float:
    r"""F1: the harmonic mean of precision and recall.

    .. math::

        F_k = \frac{2\,TP_k}{2\,TP_k + FP_k + FN_k}

    Of two classes, the score of the positive one; of many, the mean over the classes that occur in the truth
    or in the predictions (macro average). 0 where nothing is, or is predicted as, the positive class.

    Parameters
    ----------
    y, predicted
        True and predicted classes, one per row.
    classes
        All classes, the positive one last. Without it, they are the sorted classes that occur, so pass it
        when a class may be absent.
    positive
        The class whose score is returned, instead of the rule above.

    Examples
    --------
    >>> f_score([0, 0, 1, 1], [0, 1, 1, 1])
    0.8
    >>> f_score(["a", "b", "c"], ["a", "b", "b"])
    0.5555555555555555
    """
    names, counts = confusion(y, predicted, classes)
    hits, occurring = counts.diagonal(), counts.sum(axis=0) + counts.sum(axis=1)
    scores = 2 * hits / np.maximum(occurring, 1)
    if positive is not None:
        return float(scores[positions(names, [positive])[0]])
    return float(scores[-1] if len(names) <= 2 else scores[occurring > 0].mean())


def mcc(y: Any, predicted: Any) -> float:
    r"""Matthews correlation coefficient, in its form for any number of classes.

    .. math::

        \frac{n \sum_k C_{kk} - \sum_k t_k p_k}{\sqrt{n^2 - \sum_k t_k^2}\,\sqrt{n^2 - \sum_k p_k^2}},

    with :math:`t_k` rows and :math:`p_k` predictions of class k. 0 when all rows, or all predictions, are of
    one class.

    Parameters
    ----------
    y, predicted
        True and predicted classes, one per row.

    Examples
    --------
    >>> mcc([0, 0, 1, 1], [0, 0, 1, 1]), mcc([0, 0, 1, 1], [1, 1, 0, 0])
    (1.0, -1.0)

    References
    ----------
    Gorodkin (2004), Comparing two K-category assignments by a K-category correlation coefficient.
    """
    _, counts = confusion(y, predicted)
    true, guessed, n = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    product = float(n**2 - true @ true) * float(n**2 - guessed @ guessed)
    return float((n * counts.trace() - true @ guessed) / np.sqrt(product)) if product > 0 else 0.0


def auc(y: Any, probability: Any, *, classes: Sequence[Any] | None = None) -> float:
    r"""Area under the receiver operating characteristic, on probabilities.

    The chance that a positive row ranks above a negative one, ties counting one half: with average ranks
    :math:`r_i`,

    .. math::

        \mathrm{AUC} = \frac{\sum_{i \in +} r_i - n_+(n_+ + 1)/2}{n_+\,n_-}.

    With many classes, the mean of one against the rest, over the classes that occur in the truth.

    Parameters
    ----------
    y
        True classes, one per row.
    probability
        Of each class, (n, K); of two classes, that of the positive (last) one is enough, (n,).
    classes
        What the columns stand for. Without it, they are the sorted classes in the truth.

    Raises
    ------
    InputError
        When the truth has a single class: there is nothing to rank it against.

    Examples
    --------
    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    names, code, probability = probabilities(y, probability, classes)
    present = _two_or_more(np.unique(code), names)
    if len(names) == 2:
        # Probabilities that round to 1 are still told apart by the other column, which does not round to 0.
        both = np.stack([probability[:, 1], -probability[:, 0]], axis=1)
        return _ranked(code == 1, np.unique(both, axis=0, return_inverse=True)[1].reshape(-1))
    return float(np.mean([_ranked(code == k, probability[:, k]) for k in present]))


def auc_hard(y: Any, predicted: Any) -> float:
    r"""AUC of hard labels, as the joint-calibration papers print it.

    A hard label is a score of 0 or 1, its curve has one corner, and the area under it is

    .. math::

        \tfrac12 \left( \frac{TP}{TP + FN} + \frac{TN}{TN + FP} \right),

    which for two classes is the balanced accuracy. It is usually below the AUC of the probabilities that the
    labels came from. With many classes, the mean of one against the rest, over the classes that occur in the
    truth.

    Parameters
    ----------
    y, predicted
        True and predicted classes, one per row.

    Examples
    --------
    >>> auc_hard([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0])
    0.625
    """
    names, counts = confusion(y, predicted)
    true, guessed = counts.sum(axis=1), counts.sum(axis=0)
    k = _two_or_more(np.flatnonzero(true), names)
    hits, others = counts.diagonal()[k], counts.sum() - true[k]
    return float(np.mean(hits / true[k] + 1 - (guessed[k] - hits) / others) / 2)


def classification_report(
    y: Any, predicted: Any = None, *, probability: Any = None, classes: Sequence[Any] | None = None
) -> dict[str, float]:
    """Return every classification metric by name.

    Parameters
    ----------
    y
        True classes, one per row, all known.
    predicted
        Predicted classes. Without it, the most probable ones.
    probability
        Of each class, (n, K), or of the positive one of two, (n,).
    classes
        All classes, in the order of the columns of ``probability``, the positive one last.

    Returns
    -------
    dict
        ``accuracy``, ``f_score``, ``mcc``; ``auc`` when probabilities are given; ``auc_hard``. Both AUCs are
        left out when the truth has a single class.

    Examples
    --------
    >>> report = classification_report([0, 0, 1, 1], probability=[0.1, 0.4, 0.3, 0.8])
    >>> {name: round(value, 3) for name, value in report.items()}
    {'accuracy': 0.75, 'f_score': 0.667, 'mcc': 0.577, 'auc': 0.75, 'auc_hard': 0.75}
    """
    if predicted is None and probability is None:
        raise InputError(
            "Neither predictions nor probabilities are given",
            why="There is nothing to compare the truth with.",
            fix="Pass predicted= or probability=.",
            code="no-predictions",
        )
    if predicted is None:
        names, _, columns = probabilities(y, probability, classes)
        predicted = np.array(names, dtype=object)[columns.argmax(axis=1)]
    report = {
        "accuracy": accuracy(y, predicted),
        "f_score": f_score(y, predicted, classes=classes),
        "mcc": mcc(y, predicted),
    }
    if len(classes_in(known(y, "True labels"))) < 2:
        return report
    if probability is not None:
        report["auc"] = auc(y, probability, classes=classes)
    return report | {"auc_hard": auc_hard(y, predicted)}


def unit_medians(probability: np.ndarray, unit: Any) -> np.ndarray:
    """Return the median probability of the unit of every row, rescaled to sum to 1.

    Where the medians of all classes are 0, because the rows of a unit are certain of different ones, it is the mean.

    Examples
    --------
    >>> unit_medians(np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]]), ["a", "a", "a"])[:, 0].tolist()
    [0.8, 0.8, 0.8]
    """
    if unit is None:
        return probability
    _, code = checks.codes(unit, len(probability), "unit")
    out = np.empty_like(probability)
    for each in np.unique(code):
        rows = probability[code == each]
        middle = np.median(rows, axis=0)
        out[code == each] = middle if middle.any() else rows.mean(axis=0)
    return out / out.sum(axis=1, keepdims=True)


def _ranked(positive: np.ndarray, score: np.ndarray) -> float:
    """Return the AUC of one class against the rest."""
    _, place, ties = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(ties) - (ties - 1) / 2)[place]
    above = positive.sum()
    below = len(positive) - above
    return float((rank[positive].sum() - above * (above + 1) / 2) / (above * below))


def _two_or_more(present: np.ndarray, names: Sequence[Any]) -> np.ndarray:
    """Refuse a truth of a single class."""
    if len(present) < 2:
        raise InputError(
            "AUC of a truth with a single class",
            which=[names[k] for k in present],
            why="It compares rows of different classes.",
            fix="Add rows of another class, or report the accuracy.",
            code="one-class",
        )
    return present
