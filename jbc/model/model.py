"""The fitted model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jbc.cohort import Names
from jbc.errors import InputError
from jbc.methods.base import Adapts, Bounded, Classifies, Encodes, Fitted, Method
from jbc.methods.prepare import without
from jbc.methods.registry import to_json
from jbc.metrics.classification import unit_medians
from jbc.model.adaptation import Adaptation, Controls, adapt
from jbc.model.composition import Held
from jbc.model.inference import apply_in_blocks, refuse_out_of_range
from jbc.model.saved import understood
from jbc.model.support import Support, how_far_outside
from jbc.numerics.centring import centre, put_back
from jbc.validation import checks
from jbc.validation.alignment import aligned
from jbc.validation.dense import densify

# Rows in a block of a compiled program: of small tables, and of others. Larger ones leave the processor's cache.
BLOCKS = (1024, 4096)
# The same of wide tables, of more features: a few rows should not cost what a thousand do.
WIDE, WIDE_BLOCKS = 2000, (64, 1024)
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
    support: Support
    record: Record

    def transform(self, x: Any, domain: Any = None) -> np.ndarray:
        """Return corrected rows.

        Parameters
        ----------
        x
            Measurements, (n, d); of a data frame, the columns of the fit by their names.
        domain
            Domain of each row; may be left out when the model knows a single one.

        Returns
        -------
        (n, d) float32
            The rows stay in their order. Where float32 could not hold what a feature varies by, far from 0, features
            are float64.
        """
        moved = self._apply("transform", x, domain)
        if not self.method.keeps_units:
            return moved
        if not self.composition.moves.all():
            rows = self._rows(x)
            moved = self.composition.stays(rows, moved, self._codes(x, domain, len(rows)))
        return put_back(moved, self.offset)

    def encode(self, x: Any, domain: Any = None) -> np.ndarray:
        """Return the latent codes of rows, (n, codes)."""
        if not isinstance(self.method, Encodes):
            raise without(self.method, Encodes)
        return self._apply("encode", x, domain)

    def code_names(self) -> tuple[str, ...]:
        """Return the names of the latent codes."""
        if not isinstance(self.method, Encodes):
            raise without(self.method, Encodes)
        row = np.zeros((1, len(self.names.features)), np.float32), np.zeros(1, np.int32)
        codes = jax.eval_shape(self.method.encode, self.fitted, *row)
        return tuple(f"jbc{i}" for i in range(codes.shape[1]))

    def predict_proba(self, x: Any, domain: Any = None, *, unit: Any = None) -> np.ndarray:
        """Return the probability of every class, (n, classes), in the order of ``names.labels``.

        With ``unit``, every row gets the median over the rows of its unit (replicates of one subject).
        """
        if not isinstance(self.method, Classifies):
            raise without(self.method, Classifies)
        if not self.names.labels:
            raise InputError(
                "This model has no classifier",
                why="It was fitted without any label.",
                fix="Fit again, with labels for at least one domain.",
                code="no-classifier",
            )
        logits, unit = self._apply("predict", x, domain), aligned(x, unit=unit)["unit"]
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return unit_medians(odds / odds.sum(axis=1, keepdims=True), unit)

    def predict(self, x: Any, domain: Any = None, *, unit: Any = None) -> np.ndarray:
        """Return the most likely class of every row, or of its unit, (n,)."""
        return self.classes[self.predict_proba(x, domain, unit=unit).argmax(axis=1)]

    @property
    def classes(self) -> np.ndarray:
        """Names of the classes."""
        return np.array(self.names.labels)

    def out_of_support(self, x: Any, domain: Any = None) -> np.ndarray:
        """Return how far every row lies from the centre of its domain, (n,): 1 holds 99 % of the rows of the fit.

        What lies further out is corrected by a map that has seen nothing like it.
        """
        rows = self._rows(x)
        return how_far_outside(self.support, rows, self._codes(x, domain, len(rows)))

    def out_of_range(self, x: Any, domain: Any = None) -> np.ndarray:
        """Return how many values of every row lie outside the range that the method was measured on, (n,)."""
        if not isinstance(self.method, Bounded):
            raise without(self.method, Bounded)
        return self._apply("out_of_range", x, domain)

    def adapt(self, x: Any, domain: Any, *, control: Any = None) -> Model:
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

        Raises
        ------
        InputError
            With too few controls, by what happened to known domains that were adapted to as if they were new.
        """
        if not isinstance(self.method, Adapts):
            raise without(self.method, Adapts)
        rows, given = self._rows(x), aligned(x, domain=domain, control=control)
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
            "adapted": {name: report.to_json() for name, report in record.adapted.items()},
            **{name: getattr(record, name) for name in KEPT},
            "history": list(record.history),
        }
        offset = np.zeros(len(names.features), np.float32) if self.offset is None else self.offset
        arrays = {
            "fitted": self.fitted,
            "controls": self.controls._asdict(),
            "composition": self.composition.arrays(),
            "support": self.support._asdict(),
            "offset": offset,
        }
        write(Path(folder), arrays, meta, overwrite=overwrite)
        return Path(folder)

    def _apply(self, name: str, x: Any, domain: Any) -> np.ndarray:
        """Return what one of the method's functions makes of rows, block by block."""
        rows, method = self._rows(x), self.method
        code = self._codes(x, domain, len(rows))
        small, large = BLOCKS if rows.shape[1] <= WIDE else WIDE_BLOCKS
        block = small if len(rows) <= small else large
        if isinstance(method, Bounded) and method.refuses_out_of_range and name != "out_of_range":
            refuse_out_of_range(apply_in_blocks(method, "out_of_range", self.fitted, rows, code, block))
        return apply_in_blocks(method, name, self.fitted, rows, code, block)

    def _rows(self, x: Any) -> np.ndarray:
        """Return new rows as the method takes them."""
        features = self.names.features
        x = densify(checks.columns_of(x, features if self.names.named else None))
        checks.as_many_columns(x, features)
        rows, observed = checks.values(x, features, new=True)
        if observed is not None:
            raise checks.incomplete(observed, features, type(self.method).__name__)
        return centre(rows, self.offset)

    def _codes(self, x: Any, domain: Any, n: int) -> np.ndarray:
        return checks.known_domains(aligned(x, domain=domain)["domain"], n, self.names.domains)


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
    )
    return Model(
        method=method,
        fitted=tree["fitted"],
        names=names,
        offset=tree["offset"] if np.any(tree["offset"]) else None,
        controls=Controls(**tree["controls"]),
        composition=Held.of_arrays(**tree["composition"], verdict=meta["composition"]),
        support=Support(**tree["support"]),
        record=Record(**{name: meta[name] for name in KEPT}, adapted=adapted),
    )
