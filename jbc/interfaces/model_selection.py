"""Does it carry over to a new plate? Cross-validation over domains, and settings chosen by hidden domains.

:func:`cross_validate` hides the labels of each domain in turn and makes a table of how well its rows are classified,
corrected and as measured. :class:`NewDomainClassifier` does the same inside scikit-learn's own searches, and
:func:`permutation_test_score` tells whether a score is better than chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from jbc.errors import InputError
from jbc.interfaces.domain_scores import Scoring, means, scores_of, value_of
from jbc.interfaces.estimator import Corrector
from jbc.interfaces.held_out import hold_out_controls
from jbc.interfaces.new_domains import ROLES, How, Predicted, Rows, classify, columns, copied, read
from jbc.interfaces.permutation import permutation_test_score
from jbc.validation import checks

__all__ = [
    "NewDomainClassifier",
    "cross_validate",
    "hold_out_controls",
    "leave_one_domain_out",
    "permutation_test_score",
]

Grid = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]]
REQUESTED = dict.fromkeys(("domain", *ROLES), True)


class NewDomainClassifier(ClassifierMixin, BaseEstimator):
    """Classify rows of domains whose labels are unknown, after a correction that has seen these domains.

    scikit-learn's searches pass :meth:`fit` the training rows alone, and a correction does not know a domain that it
    has not seen. So this estimator keeps the training rows, and fits the correction when rows are to be classified:
    to both, the new ones without labels (``how="transductive"``), or to the old ones, adapted to the controls of the
    new domains (``how="adapt"``). No label of a new row is ever passed to the correction or to the classifier.

    Parameters
    ----------
    corrector
        The correction.
    classifier
        Any classifier of scikit-learn with ``predict_proba``, for the corrected rows; by default that of the method,
        if it has one, or else logistic regression on standardised features.
    how
        What is known of new domains: see above.
    scoring
        What :meth:`score` returns: a name of :func:`cross_validate`.

    Attributes
    ----------
    classes_ : ndarray
        Names of the classes.

    Notes
    -----
    With metadata routing, :meth:`fit`, :meth:`predict` and :meth:`score` ask for ``domain``, ``treatment``,
    ``control``, ``unit``, ``covariates`` and ``order``. With ``unit``, the labels of old rows that are of the units
    of new ones are hidden.

    Examples
    --------
    Settings that do best on hidden domains, by scikit-learn's own search. These domains differ by a shift alone:

    >>> import sklearn
    >>> from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
    >>> from jbc.data.simulate.plates import simulate_shift
    >>> from jbc.methods.closed_form.standardise import Standardise
    >>> world = simulate_shift(0)
    >>> model = NewDomainClassifier(Corrector(Standardise()))
    >>> with sklearn.config_context(enable_metadata_routing=True):
    ...     search = GridSearchCV(model, {"corrector__method__scale": [True, False]}, cv=LeaveOneGroupOut())
    ...     search = search.fit(world.x, world.label, domain=world.domain, groups=world.domain)
    >>> search.best_params_
    {'corrector__method__scale': False}
    """

    __metadata_request__fit = REQUESTED
    __metadata_request__predict = REQUESTED
    __metadata_request__predict_proba = REQUESTED
    __metadata_request__score = REQUESTED

    def __init__(
        self,
        corrector: Corrector | None = None,
        *,
        classifier: Any = None,
        how: How = "transductive",
        scoring: Scoring = "accuracy",
    ) -> None:
        self.corrector = corrector
        self.classifier = classifier
        self.how: How = how
        self.scoring: Scoring = scoring

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        domain: Any,
        treatment: Any = None,
        control: Any = None,
        unit: Any = None,
        covariates: Any = None,
        order: Any = None,
    ) -> NewDomainClassifier:
        """Keep rows, whose labels may be unknown in part, and return itself."""
        roles = {"treatment": treatment, "control": control, "unit": unit}
        roles |= {"covariates": covariates, "order": order}
        self.rows_ = read(self, X, y, domain, reset=True, **roles)
        self.classes_ = np.array(self.rows_.classes)
        return self

    def predict_proba(
        self,
        X: Any,
        *,
        domain: Any,
        treatment: Any = None,
        control: Any = None,
        unit: Any = None,
        covariates: Any = None,
        order: Any = None,
    ) -> np.ndarray:
        """Fit the correction, and return the probability of every class for the new rows, (n, classes)."""
        check_is_fitted(self)
        roles = {"treatment": treatment, "control": control, "unit": unit}
        roles |= {"covariates": covariates, "order": order}
        both = self.rows_.join(read(self, X, None, domain, reset=False, **roles))
        new = np.arange(len(both.x)) >= len(self.rows_.x)
        return self._classify(both.hide(new), new)[0].probability

    def predict(self, X: Any, *, domain: Any, **roles: Any) -> np.ndarray:
        """Fit the correction, and return the most likely class of every new row."""
        return self.classes_[self.predict_proba(X, domain=domain, **roles).argmax(axis=1)]

    def score(
        self,
        X: Any,
        y: Any,
        *,
        domain: Any,
        treatment: Any = None,
        control: Any = None,
        unit: Any = None,
        covariates: Any = None,
        order: Any = None,
    ) -> float:
        """Return the score (``scoring``) of new rows; those whose label is unknown are corrected, but not scored."""
        roles = {"treatment": treatment, "control": control, "unit": unit}
        roles |= {"covariates": covariates, "order": order}
        told = self.predict_proba(X, domain=domain, **roles)
        classes, code = checks.labels(y, len(told))
        known = code >= 0
        every = np.union1d(self.classes_, classes) if classes else self.classes_
        truth = np.searchsorted(every, np.array(classes))[code[known]]
        return value_of(self.scoring, truth, columns(told[known], self.classes_, every.tolist()))

    def _classify(self, rows: Rows, new: np.ndarray) -> list[Predicted]:
        """Classify rows whose labels are hidden."""
        corrector = Corrector() if self.corrector is None else self.corrector
        return classify(corrector, self.classifier, self.how, rows, new)


def leave_one_domain_out(domain: Any, y: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return splits for scikit-learn's searches where labels of some domains are unknown.

    Each labelled domain is the test once, by its labelled rows; all other rows train, those of domains without a
    label as well, so that a correction sees them.

    Parameters
    ----------
    domain, y
        Domain and label of each row.

    Examples
    --------
    >>> leave_one_domain_out(["a", "b", "b", "c"], ["x", "x", None, None])
    [(array([1, 2, 3]), array([0])), (array([0, 3]), array([1]))]
    """
    names, code = checks.domains(domain, len(domain))
    known = checks.labels(y, len(code))[1] >= 0
    labelled = [k for k in range(len(names)) if known[code == k].any()]
    return [(np.flatnonzero(code != k), np.flatnonzero((code == k) & known)) for k in labelled]


def cross_validate(
    corrector: Corrector,
    X: Any,
    y: Any,
    *,
    domain: Any,
    treatment: Any = None,
    control: Any = None,
    unit: Any = None,
    covariates: Any = None,
    order: Any = None,
    how: How = "transductive",
    classifier: Any = None,
    cv: Any = None,
    param_grid: Grid | None = None,
    scoring: Scoring = "accuracy",
) -> list[dict[str, Any]]:
    """Hide the labels of each domain in turn, and score the classes that its rows are given.

    The rows of the hidden domain take part in the correction without their labels, or only its controls do. Where a
    hidden unit has rows in other domains, the labels of these are hidden too, with a warning.

    Parameters
    ----------
    corrector
        The correction; it is copied, and not changed.
    X, y
        Measurements, (n, d), and class of each row; None and the like where it is unknown. Domains without any
        label take part in every fit and are not scored.
    domain, treatment, control, unit, covariates, order
        See :meth:`jbc.Cohort.from_arrays`.
    how
        ``"transductive"``: all rows of the hidden domain are corrected with the others. ``"adapt"``: the correction
        is fitted to the others, and :meth:`jbc.Model.adapt` takes in the hidden domain by its controls.
    classifier
        Any classifier of scikit-learn with ``predict_proba``; by default that of the method, if it has one, and
        logistic regression on standardised features.
    cv
        A splitter of scikit-learn that deals out the labelled *domains*, such as ``LeavePOut(2)``; None holds out
        one at a time.
    param_grid
        Values of the corrector's parameters, such as ``{"method__scale": [True, False]}``. Those are taken that do
        best on average when each of the domains with labels left is hidden in turn: no label that is scored has any
        part in the choice.
    scoring
        By what settings are compared.

    Returns
    -------
    list of dict
        A row for every hidden domain and every way to classify it, and at the end their means over domains.
        The keys of a row, in this order:

        ``domain``
            The hidden domain; ``"all"`` for the mean.
        ``data``, ``classifier``
            ``"corrected"`` or ``"as measured"``, and what classified these rows.
        ``level``, ``number``
            ``"row"``, or ``"unit"`` for the median probabilities of units, where units are given and each is of one
            class; and the number of these.
        ``accuracy``, ``balanced_accuracy``, ``f_score``, ``mcc``, ``auc``
            Scores, see :mod:`jbc.metrics`. Balanced accuracy is the mean over classes of the share of rows that are
            predicted right. The AUC is None where a domain has a single class.
        ``labelled``
            The domains whose labels were known.
        ``settings``
            Those that were chosen for corrected rows, where there is a grid.

    Notes
    -----
    Compare with the rows as measured: a correction that does no better there is not needed for this task. A score
    with few units is uncertain, whatever the number of rows; :func:`jbc.metrics.bootstrap_weights` says how much.

    Examples
    --------
    >>> from jbc.data.simulate.plates import simulate_shift
    >>> from jbc.methods.closed_form.standardise import Standardise
    >>> world = simulate_shift(0)
    >>> found = cross_validate(Corrector(Standardise()), world.x, world.label, domain=world.domain)
    >>> for row in found:
    ...     print(row["domain"], "|", row["data"], "|", round(row["accuracy"], 2))
    domain 1 | corrected | 0.99
    domain 1 | as measured | 0.82
    domain 2 | corrected | 0.97
    domain 2 | as measured | 0.89
    all | corrected | 0.98
    all | as measured | 0.85
    """
    model = NewDomainClassifier(corrector, classifier=classifier, how=how, scoring=scoring)
    roles = {
        "treatment": treatment,
        "control": control,
        "unit": unit,
        "covariates": covariates,
        "order": order,
    }
    rows = read(copied(model), X, y, domain, reset=True, **roles)
    _refuse_few(rows.labelled, 2 if param_grid is None else 3)
    table = []
    for hidden in _folds(cv, rows.labelled):
        new = np.isin(rows.domain, hidden)
        seen = rows.hide(new)
        about: dict[str, Any] = {"labelled": tuple(seen.labelled)}
        chosen = model
        if param_grid is not None:
            chosen, settings = _choose(model, param_grid, seen if how == "transductive" else seen.take(~new))
            about["settings"] = settings
        for each in chosen._classify(seen, new):
            table += scores_of(rows, new, each, about)
    return table + means(table)


def _folds(cv: Any, labelled: list[str]) -> Iterator[np.ndarray]:
    """Yield the names of the domains that are hidden together."""
    names = np.array(labelled)
    if cv is None:
        yield from names[:, None]
        return
    # Splitters of scikit-learn that know no groups warn when they get some.
    requests = cv.get_metadata_routing().split.requests if hasattr(cv, "get_metadata_routing") else {}
    for _, test in cv.split(names[:, None], groups=names if requests.get("groups") else None):
        yield names[test]


def _choose(model: NewDomainClassifier, grid: Grid, rows: Rows) -> tuple[NewDomainClassifier, dict[str, Any]]:
    """Return the model with the settings that do best when each labelled domain is hidden in turn."""
    from sklearn.model_selection import ParameterGrid

    _refuse_few(rows.labelled, 2)
    best: tuple[float, NewDomainClassifier, dict[str, Any]] | None = None
    for settings in ParameterGrid(grid):
        changed = copied(model).set_params(
            **{f"corrector__{name}": value for name, value in settings.items()}
        )
        scores = []
        for name in rows.labelled:
            new = rows.domain == name
            told, scored = changed._classify(rows.hide(new), new)[0].probability, rows.label[new] >= 0
            scores.append(value_of(model.scoring, rows.label[new][scored], told[scored]))
        if best is None or np.mean(scores) > best[0]:
            best = float(np.mean(scores)), changed, dict(settings)
    assert best is not None  # a grid has one point or more
    return best[1:]


def _refuse_few(labelled: Sequence[str], least: int) -> None:
    """Refuse to hide the labels of a domain where too few others are left."""
    if len(labelled) < least:
        raise InputError(
            f"{len(labelled)} domains have labels, where {least} are needed",
            which=labelled,
            why="The labels of one are hidden, and a classifier learns from those of others"
            + (", of which one is hidden in turn to choose settings." if least > 2 else "."),
            fix="Pass labels of more domains.",
            code="few-domains",
        )
