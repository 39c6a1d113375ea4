"""The fitted model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jbc.cohort import Names
from jbc.cohort.covariates import Term, design
from jbc.cohort.run_order import RunOrder
from jbc.errors import InputError
from jbc.methods.base import Adapts, Bounded, Classifies, Encodes, Fitted, Method, can, refuses_missing
from jbc.methods.inference import apply, apply_in_blocks, refuse_out_of_range, rows_of
from jbc.methods.prepare import without
from jbc.methods.registry import to_json
from jbc.metrics.classification import unit_medians
from jbc.model.adaptation import Adaptation, Controls, adapt
from jbc.model.composition import Held
from jbc.model.covariates import Effects
from jbc.model.gaps import Fill, Gaps, refuse_unknown_fill
from jbc.model.new_rows import NewRows, read_measurements
from jbc.model.saved import understood
from jbc.model.support import Support, how_far_outside
from jbc.numerics.centring import centre, put_back
from jbc.validation import checks
from jbc.validation.alignment import aligned

# Fields of a record that are written as they are.
KEPT = ("seed", "steps", "stopped", "target", "history", "notes")


@dataclasses.dataclass(frozen=True)
class Record:
    """How a model came to be.

    Attributes
    ----------
    seed, steps
        Seed of the training, and steps done.
    stopped
        Whether training ended before its last step.
    target
        The domain that others move to, as named or chosen; "" where the method has no direction.
    history
        Mean report of every chunk of steps.
    notes
        What the user keeps with the model: anything that JSON can tell.
    adapted
        What :meth:`Model.adapt` did, by domain.

    Examples
    --------
    >>> import jbc
    >>> cohort = jbc.Cohort.from_arrays([[0.0], [2.0], [10.0], [12.0]], ["a", "a", "b", "b"])
    >>> record = jbc.fit(jbc.JointCalibration(), cohort, seed=3, steps=2).record
    >>> record.seed, record.steps, record.stopped, sorted(record.history[-1])[:2]
    (3, 2, False, ['align', 'kernel'])
    """

    seed: int
    steps: int = 0
    stopped: bool = False
    target: str = ""
    history: Sequence[dict[str, Any]] = ()
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)
    adapted: dict[str, Adaptation] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A fitted method, and all that is needed to use it on measurements as they are.

    :func:`jbc.fit` makes one, and :func:`jbc.load` reads one; nothing changes it.

    Attributes
    ----------
    method
        The method, with its settings.
    fitted
        Its arrays, which are about measurements less the ``offset``.
    names
        Names of domains, classes (``labels``) and features.
    offset
        What is taken off features that lie far from 0, and put back (:mod:`jbc.numerics.centring`); or None.
    controls
        Control rows of the known domains, for :meth:`adapt`.
    composition
        Populations of the domains, and which domains are corrected.
    gaps
        What stands in the place of missing values, and which features are not corrected where.
    covariates
        What the covariates do to features, which is taken out before the correction and put back after it; or None.
    support
        Where the rows of every domain lie, for :meth:`out_of_support`.
    record
        How the model came to be: seed, steps, history, notes.

    Examples
    --------
    >>> import jbc
    >>> cohort = jbc.Cohort.from_arrays([[0.0], [2.0], [10.0], [12.0]], ["a", "a", "b", "b"])
    >>> model = jbc.fit(jbc.Standardise(), cohort)
    >>> model.transform([[0.0], [10.0]], ["a", "b"]).tolist()
    [[5.0], [5.0]]
    """

    method: Method
    fitted: Fitted
    names: Names
    offset: np.ndarray | None
    controls: Controls
    composition: Held
    gaps: Gaps
    covariates: Effects | None
    support: Support
    record: Record

    def transform(
        self,
        x: Any,
        domain: Any = None,
        *,
        covariates: Any = None,
        order: Any = None,
        fill: Fill | None = None,
    ) -> np.ndarray:
        """Return corrected rows.

        Missing values stay missing. Features that a domain lacks (:mod:`jbc.methods.missing`) come out as they came
        in.

        Parameters
        ----------
        x
            Measurements, (n, d); of a data frame, the columns of the fit by their names.
        domain
            Domain of each row; may be left out when the model knows a single one.
        covariates, order
            Covariates of each row, and its place in the run, where the fit had them: see
            :meth:`jbc.Cohort.from_arrays`. Other functions of the model take them too.
        fill
            What to return in the place of missing values (NaN): nothing, or with ``"centre"`` what becomes of the
            centre of the row's domain.

        Returns
        -------
        (n, d) float32
            The rows stay in their order. Where float32 could not hold what a feature varies by, far from 0, features
            are float64.
        """
        refuse_unknown_fill(fill)
        rows = self._rows(x, domain, covariates, order)
        moved = self._apply("transform", rows)
        if self.method.last.keeps_units:
            moved = self.gaps.stays(
                rows.came, self.composition.stays(rows.came, moved, rows.domain), rows.domain
            )
            if self.covariates is not None:
                moved = self.covariates.back(moved, rows.design)
            moved = put_back(moved, self.offset)
        return moved if fill else rows.with_gaps(moved)

    def encode(self, x: Any, domain: Any = None, *, covariates: Any = None, order: Any = None) -> np.ndarray:
        """Return the latent codes of rows, (n, codes)."""
        if not can(self.method, Encodes):
            raise without(self.method.last, Encodes)
        return self._apply("encode", self._rows(x, domain, covariates, order))

    def code_names(self) -> tuple[str, ...]:
        """Return the names of the latent codes."""
        if not can(self.method, Encodes):
            raise without(self.method.last, Encodes)
        row = np.zeros((1, len(self.names.features)), np.float32), np.zeros(1, np.int32)
        parts = rows_of(self.method, *row, np.zeros(1, np.float32))
        codes = jax.eval_shape(partial(apply, self.method, "encode"), self.fitted, *parts)
        return tuple(f"jbc{i}" for i in range(codes.shape[1]))

    def predict_proba(
        self, x: Any, domain: Any = None, *, unit: Any = None, covariates: Any = None, order: Any = None
    ) -> np.ndarray:
        """Return the probability of every class, (n, classes), in the order of ``names.labels``.

        With ``unit``, every row gets the median over the rows of its unit (replicates of one subject).
        """
        if not can(self.method, Classifies):
            raise without(self.method.last, Classifies)
        if not self.names.labels:
            raise InputError(
                "This model has no classifier",
                why="It was fitted without any label.",
                fix="Fit again, with labels for at least one domain.",
                code="no-classifier",
            )
        logits = self._apply("predict", self._rows(x, domain, covariates, order))
        unit = aligned(x, unit=unit)["unit"]
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return unit_medians(odds / odds.sum(axis=1, keepdims=True), unit)

    def predict(
        self, x: Any, domain: Any = None, *, unit: Any = None, covariates: Any = None, order: Any = None
    ) -> np.ndarray:
        """Return the most likely class of every row, or of its unit, (n,)."""
        beside = {"unit": unit, "covariates": covariates, "order": order}
        return self.classes[self.predict_proba(x, domain, **beside).argmax(axis=1)]

    @property
    def classes(self) -> np.ndarray:
        """Names of the classes."""
        return np.array(self.names.labels)

    def out_of_support(
        self, x: Any, domain: Any = None, *, covariates: Any = None, order: Any = None
    ) -> np.ndarray:
        """Return how far every row lies from the centre of its domain, (n,): 1 holds 99 % of the rows of the fit.

        What lies further out is corrected by a map that has seen nothing like it.
        """
        rows = self._rows(x, domain, covariates, order)
        seen = rows.x
        if self.method.leading:  # what was measured went through these
            parts = rows_of(self.method, rows.x, rows.domain, rows.order)
            seen = apply_in_blocks(self.method, "led", self.fitted, parts)
        return how_far_outside(self.support, seen, rows.domain)

    def out_of_range(
        self, x: Any, domain: Any = None, *, covariates: Any = None, order: Any = None
    ) -> np.ndarray:
        """Return how many values of every row lie outside the range that the method was measured on, (n,)."""
        if not can(self.method, Bounded):
            raise without(self.method.last, Bounded)
        return self._apply("out_of_range", self._rows(x, domain, covariates, order))

    def adapt(self, x: Any, domain: Any, *, control: Any = None, covariates: Any = None) -> Model:
        """Return a model that knows new domains too, learned from their controls alone.

        All that is fitted to the others stays as it is. ``record.adapted`` tells how near the new controls have come
        to the others', and what to expect of that number of rows.

        Parameters
        ----------
        x
            Measurements with the columns of the fit.
        domain
            New domain of each row.
        control
            True for rows of the same material as the controls of the fit; None if all are. Others are not used.
        covariates
            Covariates of each row, where the fit had them.

        Raises
        ------
        InputError
            With too few controls, by what happened to known domains that were adapted to as if they were new.
        """
        if not isinstance(self.method, Adapts):
            raise without(self.method, Adapts)
        (rows, _, observed), given = (
            self._measured(x, covariates),
            aligned(x, domain=domain, control=control),
        )
        if observed is not None:
            raise checks.incomplete(observed, self.names.features, "Adaptation to a new domain")
        domain, control = given["domain"], given["control"]
        marked = np.full(len(rows), True) if control is None else checks.mask(control, len(rows), "control")
        names, code = checks.domains(domain, len(rows))
        checks.all_new(names, self.names.domains)
        new = {name: rows[marked & (code == number)] for number, name in enumerate(names)}
        fitted, reports = adapt(self.method, self.fitted, self.controls, new, len(self.names.domains))
        support = self.support
        for controls in new.values():
            support = support.extend(controls, *self.controls)
        return dataclasses.replace(
            self,
            fitted=jax.tree.map(np.asarray, fitted),
            names=dataclasses.replace(self.names, domains=(*self.names.domains, *names)),
            composition=self.composition.extend(len(names)),
            gaps=self.gaps.extend(len(names)),
            support=support,
            record=dataclasses.replace(self.record, adapted=self.record.adapted | reports),
        )

    def with_notes(self, notes: dict[str, Any]) -> Model:
        """Return the model with other notes: anything that JSON can tell."""
        return dataclasses.replace(self, record=dataclasses.replace(self.record, notes=notes))

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the model into a new folder, with checksums, and return the folder; :func:`jbc.load` reads it."""
        from jbc.train.checkpoint import write

        record, names = self.record, self.names
        meta = {
            "kind": "model",
            "method": to_json(self.method),
            "features": list(names.features),
            "named": names.named,
            "domains": list(names.domains),
            "classes": list(names.labels),
            "composition": self.composition.verdict,
            "covariates": [term._asdict() for term in names.covariates],
            "order": None if names.order is None else list(names.order),
            "adapted": {name: report.to_json() for name, report in record.adapted.items()},
            **{name: getattr(record, name) for name in KEPT},
            "history": list(record.history),
        }
        offset = np.zeros(len(names.features), np.float32) if self.offset is None else self.offset
        arrays = {
            "fitted": self.fitted,
            "controls": self.controls._asdict(),
            "composition": self.composition.arrays(),
            "gaps": self.gaps._asdict(),
            "support": self.support._asdict(),
            "offset": offset,
        }
        if self.covariates is not None:
            arrays["covariates"] = self.covariates._asdict()
        write(Path(folder), arrays, meta, overwrite=overwrite)
        return Path(folder)

    def _apply(self, name: str, rows: NewRows) -> np.ndarray:
        """Return what one of the method's functions makes of rows, block by block."""
        method, last = self.method, self.method.last
        parts = rows_of(method, rows.x, rows.domain, rows.order)
        if isinstance(last, Bounded) and last.refuses_out_of_range and name != "out_of_range":
            refuse_out_of_range(apply_in_blocks(method, "out_of_range", self.fitted, parts))
        return apply_in_blocks(method, name, self.fitted, parts)

    def _rows(self, x: Any, domain: Any, covariates: Any, order: Any) -> NewRows:
        """Return new rows as the method takes them."""
        came, beside, observed = self._measured(x, covariates)
        code = checks.known_domains(aligned(x, domain=domain)["domain"], len(came), self.names.domains)
        place, start = None, self.names.order
        if order is not None and start is not None:
            place = start.places(aligned(x, order=order)["order"], len(came))
        whole, came = self.gaps.filled(self.method.last, came, observed, code, self.offset)
        return NewRows(whole, code, beside, place, came, observed)

    def _measured(self, x: Any, covariates: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return measurements less the offset and the effects of covariates, and the columns of these, (n, p).

        And where values are observed, or None where none is missing.
        """
        rows, observed = read_measurements(x, self.names, refuses_missing(self.method))
        rows = centre(rows, self.offset)
        given = aligned(x, covariates=covariates)["covariates"]
        beside = design(self.names.covariates, given, len(rows)).astype(np.float32)
        return rows if self.covariates is None else self.covariates.out(rows, beside), beside, observed


def load(folder: str | Path) -> Model:
    """Return the model that :meth:`Model.save` wrote, after checking every file's checksum.

    Examples
    --------
    >>> import tempfile
    >>> import jbc
    >>> cohort = jbc.Cohort.from_arrays([[0.0], [2.0], [10.0], [12.0]], ["a", "a", "b", "b"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = jbc.fit(jbc.Standardise(), cohort).save(Path(folder, "model"))
    ...     load(path).transform([[0.0]], ["a"]).tolist()
    [[5.0]]
    """
    from jbc.train.checkpoint import read

    tree, meta = read(Path(folder))
    method = understood(Path(folder), tree, meta)
    adapted = {name: Adaptation.from_json(report) for name, report in meta["adapted"].items()}
    names = Names(
        domains=tuple(meta["domains"]),
        labels=tuple(meta["classes"]),
        features=tuple(meta["features"]),
        named=meta["named"],
        covariates=tuple(Term(**term | {"levels": tuple(term["levels"])}) for term in meta["covariates"]),
        order=None if meta["order"] is None else RunOrder(*meta["order"]),
    )
    return Model(
        method=method,
        fitted=tree["fitted"],
        names=names,
        offset=tree["offset"] if np.any(tree["offset"]) else None,
        controls=Controls(**tree["controls"]),
        composition=Held.of_arrays(**tree["composition"], verdict=meta["composition"]),
        gaps=Gaps(**tree["gaps"]),
        covariates=Effects(**tree["covariates"]) if names.covariates else None,
        support=Support(**tree["support"]),
        record=Record(**{name: meta[name] for name in KEPT}, adapted=adapted),
    )
