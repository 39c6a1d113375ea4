"""The scikit-learn face of every method."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import ClassifierTags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from jbc.cohort import Cohort
from jbc.cohort.columns import COLUMNS
from jbc.errors import InputError, warn
from jbc.methods import rules
from jbc.methods.base import Bounded, Classifies, Encodes, Method, can, refuses_missing
from jbc.methods.joint import JointCalibration
from jbc.methods.prepare import Mixtures
from jbc.metrics import accuracy
from jbc.model.criteria import How
from jbc.model.fitting import fit
from jbc.model.gaps import Fill
from jbc.model.model import Model, load
from jbc.train.early_stopping import Stopping
from jbc.validation import checks
from jbc.validation.alignment import aligned
from jbc.validation.dense import densify
from jbc.validation.suspects import class_like, of_class_like

SETTING = "method__"
# With metadata routing, what is passed to a search or a pipeline arrives, without set_fit_request and the like.
NEW_ROWS = {column.cohort: True for column in COLUMNS if column.new_rows}
ROLES = {column.cohort: True for column in COLUMNS if column.cohort != "label"}


def _can(capability: type) -> Any:
    """Let a function be there only where the method has a capability."""
    return available_if(lambda self: can(self.resolved, capability))


def _of_model(path: str) -> Any:
    return property(attrgetter(f"model_.{path}"))


def seed_of(random_state: Any) -> int:
    """Return the seed that a random state stands for, in the way of scikit-learn: a whole number is one.

    Examples
    --------
    >>> seed_of(3), seed_of(None) == seed_of(None)
    (3, False)
    """
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


class Corrector(TransformerMixin, BaseEstimator):
    """Fit a correction to tables, in the way of scikit-learn: a skin over :func:`jbc.fit` and its model.

    Settings of the method are parameters too, such as ``method__training__rows``, for searches over a grid.

    Parameters
    ----------
    method
        What to fit; :class:`~jbc.JointCalibration` when None.
    steps
        Number of training steps; None leaves it to the method.
    random_state
        Seed: the same seed, data and versions give the same model. None draws one and keeps it in ``seed_``.
    output
        What :meth:`transform` returns: corrected ``"features"``, or latent ``"codes"``.
    stopping
        When to stop early: see :func:`jbc.fit`.
    hooks
        Called after every chunk of steps; see :class:`jbc.train.Event`.
    composition
        ``"estimate"`` which populations domains share, so that nothing else is aligned, or ``"assume-equal"``.
    fill
        What :meth:`transform` returns in the place of missing values (NaN): NaN, or with ``"centre"`` what becomes of
        the centre of the row's domain.
    checkpoints
        Folder for checkpoints: an interrupted training saves there, and the same fit goes on from the last one.
    verbose
        Show how far training is, where it takes longer than a few seconds.

    Attributes
    ----------
    model_ : jbc.Model
        What was fitted.
    domains_, classes_ : tuple, ndarray
        Names of the domains and of the classes.
    history_ : list of dict
        Mean report of every chunk of steps.
    n_steps_, seed_ : int
        Steps done, and the seed.
    stopped_ : bool
        Whether training ended before its last step.
    target_ : str
        The domain that others move to; "" where the method has no direction.
    adapted_ : dict
        What :meth:`adapt` did, by domain: see :class:`jbc.model.adaptation.Adaptation`.

    Examples
    --------
    >>> from jbc.data.simulate.plates import simulate_shift
    >>> world = simulate_shift(0)
    >>> corrector = Corrector(steps=20).fit(world.x, world.label, domain=world.domain)
    >>> corrector.transform(world.x, domain=world.domain).shape == world.x.shape
    True
    """

    __metadata_request__fit = ROLES
    __metadata_request__transform = __metadata_request__predict = NEW_ROWS
    __metadata_request__predict_proba = __metadata_request__score = NEW_ROWS

    domains_ = _of_model("names.domains")
    classes_ = _of_model("classes")
    history_ = _of_model("record.history")
    n_steps_ = _of_model("record.steps")
    seed_ = _of_model("record.seed")
    stopped_ = _of_model("record.stopped")
    target_ = _of_model("record.target")
    adapted_ = _of_model("record.adapted")

    def __init__(
        self,
        method: Method | None = None,
        *,
        steps: int | None = None,
        random_state: Any = 0,
        output: Literal["features", "codes"] = "features",
        stopping: Stopping | How | None = None,
        hooks: Sequence[Any] = (),
        composition: Mixtures = "estimate",
        fill: Fill | None = None,
        checkpoints: str | Path | None = None,
        verbose: bool = True,
    ) -> None:
        self.method = method
        self.steps = steps
        self.random_state = random_state
        self.output = output
        self.stopping: Stopping | How | None = stopping
        self.hooks = hooks
        self.composition: Mixtures = composition
        self.fill: Fill | None = fill
        self.checkpoints = checkpoints
        self.verbose = verbose

    @classmethod
    def load(cls, folder: str | Path) -> Corrector:
        """Return a corrector with a saved model; see :func:`jbc.load`."""
        model = load(folder)
        return cls(model.method, random_state=model.record.seed)._keep(model)

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        domain: Any = None,
        treatment: Any = None,
        control: Any = None,
        unit: Any = None,
        covariates: Any = None,
        order: Any = None,
    ) -> Corrector:
        """Fit to the rows of all domains.

        Parameters
        ----------
        X
            Measurements, (n, d).
        y
            Class of each row; -1, None, NaN, ``""`` and the like (:func:`jbc.validation.names.unknown`) where it is
            unknown (targets).
        domain, treatment, control, unit, covariates, order
            See :meth:`jbc.Cohort.from_arrays`.

        Returns
        -------
        Corrector
            Itself.
        """
        rules.check(self.resolved, self.steps)  # before scikit-learn asks the method what it can do
        groups = {"domain": domain, "treatment": treatment, "control": control, "unit": unit}
        given = aligned(X, y=y, **groups, covariates=covariates, order=order)
        X = self._valid(X, reset=True)
        features = getattr(self, "feature_names_in_", None)
        if features is not None and (found := class_like(np.asarray(X, np.float64), features)):
            warn(of_class_like(found, "leave out what is a class, an id or a position"))
        return self.fit_cohort(Cohort.from_arrays(X, label=given.pop("y"), features=features, **given))

    def fit_cohort(self, cohort: Cohort) -> Corrector:
        """Fit to a cohort."""
        self._check_output()
        model = fit(
            self.resolved,
            cohort,
            seed=seed_of(self.random_state),
            steps=self.steps,
            stopping=self.stopping,
            hooks=self.hooks,
            composition=self.composition,
            checkpoints=self.checkpoints,
            verbose=self.verbose,
        )
        return self._keep(model)

    def adapt(self, X: Any, *, domain: Any, control: Any = None, covariates: Any = None) -> Corrector:
        """Learn new domains from their controls alone, and return itself; see :meth:`jbc.Model.adapt`."""
        check_is_fitted(self)
        given = aligned(X, domain=domain, control=control, covariates=covariates)
        return self._keep(self.model_.adapt(self._valid(X, reset=False), **given))

    def transform(
        self, X: Any, *, domain: Any = None, covariates: Any = None, order: Any = None
    ) -> np.ndarray:
        """Return corrected rows of known domains, or their codes; see :meth:`jbc.Model.transform`."""
        self._check_output()
        beside: dict[str, Any] = {"covariates": covariates, "order": order}
        if self.output == "codes":
            return self._apply("encode", X, domain, **beside)
        return self._apply("transform", X, domain, fill=self.fill, **beside)

    def fit_transform(self, X: Any, y: Any = None, *, domain: Any = None, **groups: Any) -> np.ndarray:
        """Fit to rows, and return them corrected."""
        beside = {name: value for name, value in groups.items() if name in NEW_ROWS}
        return self.fit(X, y, domain=domain, **groups).transform(X, domain=domain, **beside)

    @_can(Encodes)
    def encode(self, X: Any, *, domain: Any = None, covariates: Any = None, order: Any = None) -> np.ndarray:
        """Return the latent codes of rows."""
        return self._apply("encode", X, domain, covariates=covariates, order=order)

    def out_of_support(
        self, X: Any, *, domain: Any = None, covariates: Any = None, order: Any = None
    ) -> np.ndarray:
        """Return how far every row lies from the centre of its domain; see :meth:`jbc.Model.out_of_support`."""
        return self._apply("out_of_support", X, domain, covariates=covariates, order=order)

    @_can(Bounded)
    def out_of_range(
        self, X: Any, *, domain: Any = None, covariates: Any = None, order: Any = None
    ) -> np.ndarray:
        """Return how many values of every row lie outside the range that was measured, (n,)."""
        return self._apply("out_of_range", X, domain, covariates=covariates, order=order)

    @_can(Classifies)
    def predict_proba(
        self, X: Any, *, domain: Any = None, unit: Any = None, covariates: Any = None, order: Any = None
    ) -> np.ndarray:
        """Return the probability of every class, (n, classes); see :meth:`jbc.Model.predict_proba`."""
        return self._apply("predict_proba", X, domain, unit=unit, covariates=covariates, order=order)

    @_can(Classifies)
    def predict(
        self, X: Any, *, domain: Any = None, unit: Any = None, covariates: Any = None, order: Any = None
    ) -> np.ndarray:
        """Return the most likely class of every row, or of its unit."""
        return self._apply("predict", X, domain, unit=unit, covariates=covariates, order=order)

    @_can(Classifies)
    def score(
        self, X: Any, y: Any, *, domain: Any = None, covariates: Any = None, order: Any = None
    ) -> float:
        """Return the accuracy on the rows whose class is known."""
        truth = checks.known_labels(aligned(X, y=y)["y"], len(y))
        known = np.array([value is not None for value in truth], bool)
        guess = self.predict(X, domain=domain, covariates=covariates, order=order)
        return accuracy(truth[known], guess[known])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the output columns."""
        check_is_fitted(self)
        features = self.model_.names.features
        if self.output == "codes":
            return np.array(self.model_.code_names(), dtype=object)
        if input_features is not None and tuple(map(str, input_features)) != features:
            raise ValueError("input_features is not equal to feature_names_in_ of the fit")
        return np.array(features, dtype=object)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the model into a new folder, and return the folder; see :meth:`jbc.Model.save`."""
        check_is_fitted(self)
        return self.model_.save(folder, overwrite=overwrite)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, and the settings of the method as ``method__…`` when ``deep``."""
        params = super().get_params(deep=False)
        if deep and isinstance(self.resolved, Method):
            settings = rules.flattened(self.resolved)
            params |= {SETTING + name.replace(".", "__"): value for name, value in settings.items()}
        return params

    def set_params(self, **params: Any) -> Corrector:
        """Set parameters, and settings of the method as ``method__…``; return itself."""
        own = {name: value for name, value in params.items() if not name.startswith(SETTING)}
        super().set_params(**own)
        names = [name for name in params if name.startswith(SETTING)]
        settings = {name.removeprefix(SETTING).replace("__", "."): params[name] for name in names}
        if settings:
            self.method = rules.changed(self.resolved, settings)
        return self

    @property
    def resolved(self) -> Method:
        """The method that is fitted, the given one or the default."""
        return JointCalibration() if self.method is None else self.method

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse, tags.input_tags.allow_nan = True, not refuses_missing(self.resolved)
        # scikit-learn asks for these of all that predict from sparse rows, classifiers or not.
        tags.classifier_tags = ClassifierTags() if can(self.resolved, Classifies) else None
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def _keep(self, model: Model) -> Corrector:
        """Take a model for what was fitted."""
        self.model_ = model
        self.n_features_in_ = len(model.names.features)
        if model.names.named:
            self.feature_names_in_ = np.array(model.names.features, dtype=object)
        return self

    def _check_output(self) -> None:
        """Refuse an output that the method does not have."""
        encodes = can(self.resolved, Encodes)
        if self.output not in ("features", "codes") or (self.output == "codes" and not encodes):
            raise InputError(
                f"Unknown output {self.output!r} of {type(self.resolved).__name__}",
                why="A method corrects features, and some have latent codes as well.",
                fix='Use output="features"' + (' or "codes".' if encodes else "."),
                code="bad-output",
            )

    def _valid(self, X: Any, *, reset: bool) -> Any:
        """Return what scikit-learn accepts, dense; masked values are NaN."""
        dense = checks.unmasked(densify(X))
        return validate_data(self, dense, reset=reset, dtype="numeric", ensure_all_finite=False)

    def _apply(self, name: str, X: Any, domain: Any, **options: Any) -> np.ndarray:
        """Return what a function of the model makes of rows."""
        check_is_fitted(self)
        per_row = {key: value for key, value in options.items() if key != "fill"}
        given = options | aligned(X, domain=domain, **per_row)
        return getattr(self.model_, name)(self._valid(X, reset=False), **given)
