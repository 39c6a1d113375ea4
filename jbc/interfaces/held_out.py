"""Controls that a correction has not seen."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from jbc.cohort import Cohort
from jbc.errors import InputError, InputWarning
from jbc.methods.base import Method
from jbc.model.fitting import fit
from jbc.validation import checks
from jbc.validation.alignment import aligned
from jbc.validation.dense import densify


def hold_out_controls(
    method: Method,
    x: Any,
    domain: Any,
    *,
    control: Any,
    order: Any = None,
    folds: int = 5,
    seed: int = 0,
    **options: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Return every control as it is corrected by a fit that has not seen it.

    Controls of a domain are dealt to folds one after the other, in the order of the run, so that those of a fold lie
    apart from each other, and curves go through their neighbours. Every fold is left out once: the method is fitted
    to all other rows, and corrects it.

    Parameters
    ----------
    method
        The method.
    x, domain, control, order
        Measurements, (n, d); domain of each row, True for controls, and places in the run, as for
        :meth:`jbc.Cohort.from_arrays`.
    folds
        Number of folds. A domain with fewer controls keeps all of them in some folds.
    seed
        Seed of the fits.
    options
        More options of :func:`jbc.fit`, such as ``steps`` and ``composition``.

    Returns
    -------
    rows : (n_controls,)
        Positions of the controls.
    corrected : (n_controls, d)
        The controls, corrected.

    Examples
    --------
    >>> import jbc
    >>> world = jbc.data.simulate_run(0, n_per_domain=60, n_features=20)
    >>> run = {"control": world.control, "order": world.order}
    >>> rows, corrected = hold_out_controls(jbc.Drift(form="ratio"), world.x, world.domain, **run)
    >>> before, after = (float(np.median(jbc.metrics.rsd(part))) for part in (world.x[rows], corrected))
    >>> round(before, 2), round(after, 2)
    (0.34, 0.14)
    """
    given = aligned(x, domain=domain, control=control, order=order)
    domain, order = np.asarray(given["domain"]), given["order"]
    x = densify(x)
    marked = checks.mask(given["control"], len(x), "control")
    fold = _dealt(domain, marked, order, folds)
    place = None if order is None else np.asarray(order)
    corrected = np.full((int(marked.sum()), x.shape[1]), np.nan)
    for number in range(folds):
        held = fold == number
        if not held.any():
            continue
        keep = ~held

        def some(rows: np.ndarray) -> dict[str, Any]:
            return {} if place is None else {"order": place[rows]}

        cohort = Cohort.from_arrays(x[keep], domain[keep], control=marked[keep], **some(keep))
        with warnings.catch_warnings():
            # They tell of the folds, and would come once for each.
            warnings.simplefilter("ignore", InputWarning)
            model = fit(method, cohort, seed=seed, verbose=False, **options)
        corrected[held[marked]] = model.transform(x[held], domain[held], **some(held))
    return np.flatnonzero(marked), corrected


def _dealt(domain: np.ndarray, control: np.ndarray, order: Any, folds: int) -> np.ndarray:
    """Return the fold of every control, and -1 for other rows."""
    place = (
        np.arange(len(domain)) if order is None else np.argsort(np.argsort(np.asarray(order), kind="stable"))
    )
    fold, largest = np.full(len(domain), -1), 0
    for number, name in enumerate(np.unique(domain[control])):
        here = np.flatnonzero(control & (domain == name))
        largest = max(largest, len(here))
        fold[here[np.argsort(place[here])]] = (np.arange(len(here)) + number) % folds
    if folds < 2 or largest < 2:
        raise InputError(
            f"{int(control.sum())} controls in {folds} folds",
            why="A fold is corrected by what the others tell.",
            fix="Use two folds or more, and mark several controls of a domain (control=).",
            code="few-controls",
        )
    return fold
