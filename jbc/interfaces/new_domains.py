"""Classes of rows of domains whose labels are hidden: what :mod:`jbc.model_selection` compares."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from jbc.cohort import Cohort
from jbc.cohort.covariates import named_columns
from jbc.cohort.run_order import numbers
from jbc.errors import InputError, warn
from jbc.interfaces.estimator import Corrector
from jbc.methods.base import Classifies, can
from jbc.validation import checks
from jbc.validation.alignment import aligned
from jbc.validation.dense import densify

How = Literal["transductive", "adapt"]
"""What a correction knows of a new domain: all of its rows, without labels, or its controls alone."""
ROLES = ("treatment", "control", "unit", "covariates", "order")


class Predicted(NamedTuple):
    """Probabilities of the new rows, (n, classes), from which rows, and by what."""

    data: str
    classifier: str
    probability: np.ndarray


@dataclasses.dataclass(frozen=True)
class Rows:
    """A table with its columns of roles: names, codes of labels (-1 where one is unknown), and None for no role.

    Columns of ``covariates`` are in the order of ``covariate_names``.
    """

    x: np.ndarray
    domain: np.ndarray
    label: np.ndarray
    treatment: np.ndarray | None
    control: np.ndarray | None
    unit: np.ndarray | None
    covariates: np.ndarray | None
    order: np.ndarray | None
    features: tuple[str, ...] | None
    classes: tuple[Any, ...]
    covariate_names: tuple[str, ...] = ()

    @property
    def labelled(self) -> list[str]:
        """Names of the domains with known labels."""
        return np.unique(self.domain[self.label >= 0]).tolist()

    def take(self, rows: np.ndarray) -> Rows:
        """Return some of the rows."""
        columns = {name: getattr(self, name) for name in ("x", "domain", "label", *ROLES)}
        return dataclasses.replace(
            self, **{name: value[rows] for name, value in columns.items() if value is not None}
        )

    def join(self, others: Rows) -> Rows:
        """Return these rows and others, whose labels are unknown."""
        columns: dict[str, Any] = {name: (getattr(self, name), getattr(others, name)) for name in ROLES}
        lost = [name for name, (one, other) in columns.items() if (one is None) != (other is None)]
        lost += sorted(set(self.covariate_names) ^ set(others.covariate_names)) if not lost else []
        if lost:
            raise InputError(
                "Given for the rows of the fit or for the new ones, but not for both",
                which=lost,
                why="One correction is fitted to both.",
                fix="Pass it for both, or for none.",
                code="different-roles",
            )
        joined = {name: None if both[0] is None else np.concatenate(both) for name, both in columns.items()}
        return dataclasses.replace(
            self,
            x=np.concatenate([self.x, others.x]),
            domain=np.concatenate([self.domain, others.domain]),
            label=np.concatenate([self.label, np.full(len(others.x), -1)]),
            **joined,
        )

    def hide(self, new: np.ndarray) -> Rows:
        """Return the rows without the labels of new ones, and of all other rows of the same units."""
        hidden = new
        if self.unit is not None:
            hidden = new | np.isin(self.unit, np.unique(self.unit[new]))
            if number := int((hidden & ~new & (self.label >= 0)).sum()):
                warn(
                    f"The labels of {number} rows of other domains are hidden as well: they are of units that are to "
                    "be classified, and would tell their classes."
                )
        return dataclasses.replace(self, label=np.where(hidden, -1, self.label))

    def cohort(self) -> Cohort:
        """Return the rows as a cohort."""
        names = np.array([*self.classes, None], dtype=object)
        roles = {name: getattr(self, name) for name in ROLES} | {"covariates": self._named()}
        return Cohort.from_arrays(
            self.x, self.domain, label=names[self.label], features=self.features, **roles
        )

    def asked(self) -> dict[str, Any]:
        """Return what a fitted model asks of rows."""
        return {"domain": self.domain, "covariates": self._named(), "order": self.order}

    def _named(self) -> dict[str, np.ndarray] | None:
        """Return the covariates by name."""
        if self.covariates is None:
            return None
        return dict(zip(self.covariate_names, self.covariates.T, strict=True))


def read(estimator: Any, x: Any, y: Any, domain: Any, *, reset: bool, **roles: Any) -> Rows:
    """Check a table and its roles; ``estimator`` keeps, or knows, how many features there are and their names."""
    from sklearn.utils.validation import validate_data

    given = aligned(x, y=y, domain=domain, **roles)
    dense = checks.unmasked(densify(x))
    dense = validate_data(estimator, dense, reset=reset, dtype="numeric", ensure_all_finite=False)
    n, features = len(dense), getattr(estimator, "feature_names_in_", None)
    names = {what: checks.codes(given[what], n, what) for what in ("domain", "treatment", "unit")}
    columns = {what: np.array(each)[code] for what, (each, code) in names.items()}
    classes, label = checks.labels(given["y"], n)
    beside = {} if given["covariates"] is None else named_columns(given["covariates"], n)
    return Rows(
        x=np.asarray(dense),
        domain=columns["domain"],
        label=label,
        treatment=None if given["treatment"] is None else columns["treatment"],
        control=None if given["control"] is None else checks.mask(given["control"], n, "control"),
        unit=None if given["unit"] is None else columns["unit"],
        covariates=np.stack([beside[name].astype(object) for name in sorted(beside)], axis=1)
        if beside
        else None,
        order=None if given["order"] is None else numbers(given["order"], n),
        features=None if features is None else tuple(features),
        classes=classes,
        covariate_names=tuple(sorted(beside)),
    )


def classify(corrector: Corrector, classifier: Any, how: How, rows: Rows, new: np.ndarray) -> list[Predicted]:
    """Classify new rows, whose labels are hidden, in up to three ways: the one that was asked for is the first.

    These are the classifier of the method, if it has one and no other is given; a classifier of corrected rows; and
    the same classifier of rows as measured.
    """
    if how not in get_args(How):
        raise InputError(
            f"Unknown way to take in a new domain {how!r}",
            why="It says what a correction knows of a domain whose labels are hidden.",
            fix=f"Use how={' or how='.join(map(repr, get_args(How)))}.",
            code="bad-setting",
        )
    if not isinstance(corrector, Corrector):
        raise InputError(
            f"{type(corrector).__name__} is no Corrector",
            why="It is copied for every fit, with its settings.",
            fix="Pass jbc.Corrector(method).",
            code="no-corrector",
        )
    _refuse_one_class(rows)
    model = (_with_all_rows if how == "transductive" else _adapted)(copied(corrector), rows, new)
    corrected = getattr(model, "encode" if corrector.output == "codes" else "transform")(
        rows.x, **rows.asked()
    )
    found, some = [], rows.take(new)
    if classifier is None and can(model.method, Classifies):
        told = model.predict_proba(some.x, **some.asked())
        name = type(model.method).__name__
        found.append(Predicted("corrected", name, columns(told, model.classes, rows.classes)))
    for data, x in {"corrected": corrected, "as measured": rows.x}.items():
        learner = logistic_regression() if classifier is None else copied(classifier)
        found.append(Predicted(data, _name(learner), _learned(learner, x, rows, new)))
    return found


def copied(estimator: Any) -> Any:
    """Return an estimator with the same parameters that is not fitted."""
    from sklearn.base import clone

    return clone(estimator)


def logistic_regression() -> Any:
    """Return what classifies rows where nothing else is asked for: L2, C = 1, on standardised features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))


def _with_all_rows(corrector: Corrector, rows: Rows, new: np.ndarray) -> Any:
    """Fit a correction to all rows: the new ones are there, without labels."""
    del new
    return corrector.fit_cohort(rows.cohort()).model_


def _adapted(corrector: Corrector, rows: Rows, new: np.ndarray) -> Any:
    """Fit a correction to the other rows, and adapt it to the controls of new domains."""
    if rows.control is None:
        raise InputError(
            'No controls for how="adapt"',
            why="A new domain is learned from its controls alone.",
            fix='Pass control=, one value per row, or use how="transductive".',
            code="no-controls",
        )
    model = corrector.fit_cohort(rows.take(~new).cohort()).model_
    added = new & ~np.isin(rows.domain, rows.domain[~new])
    if not added.any():
        return model
    some = rows.take(added)
    return model.adapt(some.x, some.domain, control=some.control, covariates=some.asked()["covariates"])


def _learned(learner: Any, x: np.ndarray, rows: Rows, new: np.ndarray) -> np.ndarray:
    """Return the probabilities of new rows by a classifier that learns from the labelled ones."""
    from threadpoolctl import threadpool_limits

    known = rows.label >= 0
    with threadpool_limits(1):  # threads that wait for each other on a busy machine slow such small fits down
        learner.fit(x[known], rows.label[known])
        told = learner.predict_proba(x[new])
    return columns(told, learner.classes_, range(len(rows.classes)))


def columns(probability: np.ndarray, names: Any, classes: Sequence[Any]) -> np.ndarray:
    """Return probabilities with a column for every class; that of a class without known labels is 0."""
    full = np.zeros((len(probability), len(classes)))
    places = list(classes)
    full[:, [places.index(name) for name in np.asarray(names).tolist()]] = probability
    return full


def _name(learner: Any) -> str:
    """Return the name of a classifier: of a pipeline, that of its last step."""
    return type(learner[-1] if hasattr(learner, "steps") else learner).__name__


def _refuse_one_class(rows: Rows) -> None:
    """Refuse to learn from labels of a single class, or from none."""
    known = np.unique(rows.label[rows.label >= 0])
    if len(known) < 2:
        raise InputError(
            "Known labels are of a single class" if len(known) else "No label is known",
            which=[rows.classes[k] for k in known] if len(known) else None,
            why="A classifier learns from rows of two classes or more, in domains whose labels are not hidden.",
            fix="Pass the labels of more domains, or of more units.",
            code="one-class",
        )
