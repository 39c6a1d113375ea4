"""The scikit-learn face of every method."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import ClassifierTags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from jbc.cohort import Cohort
from jbc.errors import InputError, InputWarning
from jbc.methods import settings
from jbc.methods.base import Method
from jbc.methods.joint import JointCalibration
from jbc.methods.prepare import prepare
from jbc.methods.registry import to_json
from jbc.metrics.classification import unit_medians
from jbc.model.adaptation import Adaptation, Controls, Model, adapt, keep_controls
from jbc.model.criteria import How, keep_aside
from jbc.model.inference import refuse_strays, run_blocks
from jbc.model.saved import understood
from jbc.model.support import Support, how_far_outside, measure_support
from jbc.numerics.centring import centre, put_back
from jbc.train.loop import Run, Stopping, fit_prepared
from jbc.validation import checks
from jbc.validation.dense import densify

# Rows in a block of a compiled program: of small tables, and of others. Larger ones leave the processor's cache.
BLOCKS = (1024, 4096)


def _classifies(self: Corrector) -> bool:
    return self.resolved.classifies


class Corrector(TransformerMixin, BaseEstimator):
    """Fit a correction to tables, in the way of scikit-learn.

    Parameters
    ----------
    method
        What to fit; :class:`~jbc.methods.joint.JointCalibration` when None.
    steps
        Number of training steps; None leaves it to the method.
    random_state
        Seed: the same seed, data and versions give the same model. None draws one and keeps it in ``seed_``.
    output
        What :meth:`transform` returns: corrected ``"features"``, or latent ``"codes"``.
    stopping
        When to stop early: see :class:`jbc.train.Stopping`; or by ``"replicates"`` or, with a target,
        ``"rows"`` that are kept from training (:mod:`jbc.model.criteria`).
    hooks
        Called after every chunk of steps; see :class:`jbc.train.Event`.

    Attributes
    ----------
    fitted_ : dict
        Arrays of the fitted model, which are about measurements less ``offset_``.
    offset_ : ndarray or None
        What is taken off features that lie far from 0, and put back: see :mod:`jbc.numerics.centring`.
    domains_, classes_ : tuple, ndarray
        Names of the domains and of the classes.
    history_ : list of dict
        Mean report of every chunk of steps.
    n_steps_, seed_ : int
        Steps done, and the seed.
    stopped_ : bool
        Whether training ended before its last step.
    notes_ : dict
        What was saved with the model.
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

    def __init__(
        self,
        method: Method | None = None,
        *,
        steps: int | None = None,
        random_state: Any = 0,
        output: Literal["features", "codes"] = "features",
        stopping: Stopping | How | None = None,
        hooks: Sequence[Any] = (),
    ) -> None:
        self.method = method
        self.steps = steps
        self.random_state = random_state
        self.output = output
        self.stopping = stopping
        self.hooks = hooks

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        domain: Any = None,
        treatment: Any = None,
        control: Any = None,
        unit: Any = None,
    ) -> Corrector:
        """Fit to the rows of all domains.

        Parameters
        ----------
        X
            Measurements, (n, d).
        y
            Class of each row; -1, None, NaN, ``""`` and the like (:func:`jbc.validation.names.unknown`) where it is
            unknown (targets).
        domain, treatment, control, unit
            See :meth:`jbc.Cohort.from_arrays`.

        Returns
        -------
        Corrector
            Itself.
        """
        settings.check(self.resolved, self.steps)  # before scikit-learn asks the method what it can do
        X = self._valid(X, reset=True)
        cohort = Cohort.from_arrays(
            X,
            domain,
            label=y,
            treatment=treatment,
            control=control,
            unit=unit,
            features=getattr(self, "feature_names_in_", None),
        )
        return self.fit_cohort(cohort)

    def fit_cohort(self, cohort: Cohort, **options: Any) -> Corrector:
        """Fit to a cohort; ``options`` go to :func:`jbc.train.drive`, which knows how to resume."""
        return self.fit_prepared(self.prepare(cohort), **options)

    def prepare(self, cohort: Cohort) -> Cohort:
        """Refuse a cohort that the method cannot use, before anything is computed or written."""
        cohort = prepare(self.resolved, cohort, self.steps)
        self._settings()
        return cohort

    def fit_prepared(self, cohort: Cohort, **options: Any) -> Corrector:
        """Fit to a cohort that :meth:`prepare` returned."""
        method = self.resolved
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        stopping, seen = self.stopping, cohort
        if isinstance(stopping, str):
            seen, stopping = keep_aside(stopping, method, cohort)
        options = {"steps": self.steps, "stopping": stopping, "hooks": self.hooks} | options
        found = fit_prepared(method, seen, jax.random.key(self.seed_), **options)
        self.n_features_in_ = cohort.x.shape[1]
        self.features_ = cohort.names.features
        if self.features_ != checks.feature_names(None, self.n_features_in_):
            # A model of the command line recognises the columns of a data frame as well.
            self.feature_names_in_ = np.array(self.features_, dtype=object)
        self.domains_ = cohort.names.domains
        self.classes_ = np.array(cohort.names.labels)
        self._keep(found)
        self.offset_ = None if cohort.offset is None else np.asarray(cohort.offset)
        self.controls_ = keep_controls(cohort)
        seen = np.asarray(cohort.weight) > 0
        rows = np.asarray(cohort.x)[seen], np.asarray(cohort.domain)[seen]
        self.support_ = measure_support(*rows, len(self.domains_))
        return self

    def adapt(self, X: Any, *, domain: Any, control: Any = None) -> Corrector:
        """Take in new domains from their controls alone; all that is fitted to the others stays as it is.

        Parameters
        ----------
        X
            Measurements with the columns of the training.
        domain
            New domain of each row.
        control
            True for rows of the same material as the controls of the training; None if all are. Others are not used.

        Returns
        -------
        Corrector
            Itself, which knows the new domains now; ``adapted_`` tells how near their controls have come to the
            others', and what to expect of so many rows.

        Raises
        ------
        InputError
            With too few controls, by what happened to known domains that were taken in as if they were new.
        """
        check_is_fitted(self)
        x = self._checked(X)
        marked = np.full(len(x), True) if control is None else checks.mask(control, len(x), "control")
        names, code = checks.domains(domain, len(x))
        checks.all_new(names, self.domains_)
        model = Model(self.resolved, self.fitted_, len(self.domains_))
        new = {name: x[marked & (code == number)] for number, name in enumerate(names)}
        fitted, told = adapt(model, self.controls_, new)
        for rows in new.values():
            self.support_ = self.support_.extend(rows, *self.controls_)
        self.fitted_ = jax.tree.map(np.asarray, fitted)
        self.domains_, self.adapted_ = (*self.domains_, *names), self.adapted_ | told
        return self

    def outside(self, X: Any, *, domain: Any = None) -> np.ndarray:
        """Return how far every row lies from the centre of its domain, (n,): 1 holds 99 % of the rows of the fit.

        What lies further out is corrected by a map that has seen nothing like it.
        """
        check_is_fitted(self)
        x = self._checked(X)
        return how_far_outside(self.support_, x, checks.known_domains(domain, len(x), self.domains_))

    def transform(self, X: Any, *, domain: Any = None) -> np.ndarray:
        """Correct rows of known domains.

        Parameters
        ----------
        X
            Measurements with the columns of the training.
        domain
            Domain of each row; may be left out when the model knows a single one.

        Returns
        -------
        (n, d) float32
            Corrected features, or codes; the rows stay in their order. Where float32 could not hold what a feature
            varies by, far from 0, features are float64 (:mod:`jbc.numerics.centring`).
        """
        self._settings()
        if self.output == "codes":
            return self._run("encode", X, domain)
        moved = self._run("transform", X, domain)
        return put_back(moved, self.offset_) if self.resolved.keeps_units else moved

    def encode(self, X: Any, *, domain: Any = None) -> np.ndarray:
        """Return the latent codes of rows."""
        return self._run("encode", X, domain)

    @available_if(lambda self: self.resolved.ranges)
    def stray(self, X: Any, *, domain: Any = None) -> np.ndarray:
        """Count the values of every row that are mapped where the fit has measured nothing, (n,)."""
        return self._run("stray", X, domain)

    def fit_transform(self, X: Any, y: Any = None, *, domain: Any = None, **groups: Any) -> np.ndarray:
        """Fit to rows, and correct them."""
        return self.fit(X, y, domain=domain, **groups).transform(X, domain=domain)

    @available_if(_classifies)
    def predict_proba(self, X: Any, *, domain: Any = None, unit: Any = None) -> np.ndarray:
        """Return the probability of every class, (n, classes).

        With ``unit``, every row gets the median over the rows of its unit (replicates of one subject).
        """
        check_is_fitted(self)
        if len(self.classes_) == 0:
            raise InputError(
                "This model has no classifier",
                why="It was fitted without any label.",
                fix="Fit again, with y= for at least one domain.",
                code="no-classifier",
            )
        logits = self._run("predict", X, domain)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return unit_medians(odds / odds.sum(axis=1, keepdims=True), unit)

    @available_if(_classifies)
    def predict(self, X: Any, *, domain: Any = None, unit: Any = None) -> np.ndarray:
        """Return the most likely class of every row, or of its unit."""
        probability = self.predict_proba(X, domain=domain, unit=unit)
        return self.classes_[probability.argmax(axis=1)]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the output columns."""
        check_is_fitted(self)
        if self.output == "codes":
            row = np.zeros((1, self.n_features_in_), np.float32), np.zeros(1, np.int32)
            codes = jax.eval_shape(self.resolved.encode, self.fitted_, *row)
            return np.array([f"jbc{i}" for i in range(codes.shape[1])], dtype=object)
        if input_features is not None and tuple(map(str, input_features)) != tuple(self.features_):
            raise ValueError("input_features is not equal to feature_names_in_ of the fit")
        return np.array(self.features_, dtype=object)

    def save(
        self, folder: str | Path, *, overwrite: bool = False, notes: dict[str, Any] | None = None
    ) -> Path:
        """Write the fitted model into a new folder, with checksums; read it back with :func:`jbc.load`.

        ``notes`` are kept with it: anything that JSON can tell.
        """
        from jbc.train.checkpoint import write

        check_is_fitted(self)
        meta = {
            "kind": "model",
            "method": to_json(self.resolved),
            "output": self.output,
            "features": list(self.features_),
            "named": hasattr(self, "feature_names_in_"),
            "domains": list(self.domains_),
            "classes": self.classes_.tolist(),
            "steps": self.n_steps_,
            "seed": self.seed_,
            "history": self.history_,
            "notes": notes or {},
            "adapted": {name: told.to_json() for name, told in self.adapted_.items()},
        }
        offset = np.zeros(len(self.features_), np.float32) if self.offset_ is None else self.offset_
        kept = {"controls": self.controls_._asdict(), "support": self.support_._asdict(), "offset": offset}
        write(Path(folder), {"fitted": self.fitted_} | kept, meta, overwrite=overwrite)
        return Path(folder)

    @property
    def resolved(self) -> Method:
        """The method that is fitted: the given one, or the default."""
        return JointCalibration() if self.method is None else self.method

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.resolved.honours_missing
        tags.input_tags.sparse = True
        # scikit-learn asks for these of all that predict from sparse rows, classifiers or not.
        tags.classifier_tags = ClassifierTags() if self.resolved.classifies else None
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fitted_")

    def _settings(self) -> None:
        """Refuse settings that name nothing."""
        if self.output not in ("features", "codes") or (self.output == "codes" and not self.resolved.encodes):
            raise InputError(
                f"Unknown output {self.output!r} of {type(self.resolved).__name__}",
                why="A method corrects features, and some have latent codes as well.",
                fix='Use output="features"' + (' or "codes".' if self.resolved.encodes else "."),
                code="bad-output",
            )

    def _keep(self, run: Run) -> None:
        self.fitted_ = jax.tree.map(np.asarray, run.fitted)
        self.n_steps_, self.stopped_, self.notes_, self.adapted_ = run.step, run.stopped, {}, {}
        self.history_ = [
            {name: value if name == "step" else float(value) for name, value in row.items()}
            for row in run.history
        ]
        for message in self.resolved.review(self.history_[-1]) if self.history_ else ():
            warnings.warn(message, InputWarning, stacklevel=5)

    def _checked(self, X: Any) -> np.ndarray:
        """Check new rows."""
        x, observed = checks.values(self._valid(X, reset=False), self.features_, new=True)
        if observed is not None and not self.resolved.honours_missing:
            raise checks.incomplete(observed, self.features_, type(self.resolved).__name__)
        return centre(x, self.offset_)

    def _valid(self, X: Any, *, reset: bool) -> Any:
        """Return what scikit-learn accepts, dense; masked values are NaN."""
        return validate_data(
            self, checks.unmasked(densify(X)), reset=reset, dtype="numeric", ensure_all_finite=False
        )

    def _run(self, name: str, X: Any, domain: Any) -> np.ndarray:
        """Send rows through one of the method's functions, block by block."""
        check_is_fitted(self)
        x, method = self._checked(X), self.resolved
        code = checks.known_domains(domain, len(x), self.domains_)
        block = BLOCKS[0] if len(x) <= BLOCKS[0] else BLOCKS[1]
        if method.strict and name != "stray":
            refuse_strays(run_blocks(method, "stray", self.fitted_, x, code, block))
        return run_blocks(method, name, self.fitted_, x, code, block)


def load(folder: str | Path) -> Corrector:
    """Read a model that :meth:`Corrector.save` wrote, after checking every file's checksum."""
    from jbc.train.checkpoint import read

    tree, meta = read(Path(folder))
    corrector = Corrector(understood(Path(folder), tree, meta), output=meta["output"])
    corrector.fitted_, corrector.n_features_in_ = tree["fitted"], len(meta["features"])
    corrector.controls_, corrector.support_ = Controls(**tree["controls"]), Support(**tree["support"])
    corrector.offset_ = tree["offset"] if np.any(tree["offset"]) else None
    corrector.adapted_ = {name: Adaptation.from_json(told) for name, told in meta["adapted"].items()}
    corrector.features_, corrector.domains_ = tuple(meta["features"]), tuple(meta["domains"])
    if meta["named"]:
        corrector.feature_names_in_ = np.array(meta["features"], dtype=object)  # pyright: ignore[reportAttributeAccessIssue]
    corrector.classes_, corrector.history_ = np.array(meta["classes"]), meta["history"]
    corrector.n_steps_, corrector.seed_, corrector.notes_ = meta["steps"], meta["seed"], meta["notes"]
    return corrector
