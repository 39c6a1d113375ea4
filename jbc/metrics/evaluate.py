"""Everything at once: one tidy row for every score of a table."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jbc.errors import InputError, listing, warn
from jbc.metrics._inputs import measurements, moved
from jbc.metrics.classification import classification_report
from jbc.metrics.domains import domain_accuracy, label_accuracy, several_units
from jbc.metrics.mmd import bandwidth_ladder, mmd, mmd_within
from jbc.validation import checks

# Pairs grow with the square of the domains; beyond ten domains each is compared with all others together.
MOST_PAIRS = 45
REST = "all others"


def evaluate(
    x: Any,
    domain: Any,
    label: Any = None,
    unit: Any = None,
    *,
    predicted: Any = None,
    probability: Any = None,
    classes: Sequence[Any] | None = None,
    rows: int = 500,
    draws: int = 30,
    bandwidths: ArrayLike | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Judge a table, before or after a correction.

    Parameters
    ----------
    x
        Measurements, (n, d).
    domain
        Domain of each row. With a single one, only predictions are scored. Domains of a single unit are left
        out, with a warning, because nothing in them can be compared.
    label
        Biological class of each row; -1, None, NaN or ``""`` where it is unknown. Used for scores, never to
        correct.
    unit
        Subject of each row.
    predicted, probability, classes
        Predictions for the same rows, as in :func:`~jbc.metrics.classification_report`; those of rows with an
        unknown label are not looked at.
    rows, draws, bandwidths
        Of the MMD, as in :func:`~jbc.metrics.mmd`. Pass the same bandwidths before and after.
    seed
        Seed of draws and folds.

    Returns
    -------
    list of dict
        The keys of every row, in this order:

        ``metric``
            ``domain_accuracy`` (lower is better), ``label_accuracy`` (higher is better), ``mmd`` (lower is
            better), and the names of the classification report.
        ``domain``, ``other``
            The domain or pair of domains that is scored; ``"all"`` for the whole table, and ``"all others"``
            in place of pairs when there are more than ten domains. ``other`` is None but for ``mmd``.
        ``label``
            The class within which ``domain_accuracy`` was measured, None for all rows. Domains that differ in
            the mixture of their classes can be told apart without any batch effect, but not within a class.
        ``value``, ``sd``
            The number, and its standard deviation over draws where there are draws.
        ``reference``
            What the value would be without information: chance for accuracies; for ``mmd``, the mean over
            both domains of the MMD within a domain, with as many rows.
        ``rows``
            Rows that are scored; for ``mmd``, of each side and draw.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(60, 3))
    >>> domain = np.repeat(["a", "b"], 30)
    >>> table = evaluate(x + 3 * (domain == "b")[:, None], domain)
    >>> [(row["metric"], round(row["value"], 1), round(row["reference"], 1)) for row in table]
    [('domain_accuracy', 1.0, 0.5), ('mmd', 0.7, 0.2)]
    """
    (x,) = moved(measurements(x, "The evaluation"))
    names, domain = checks.domains(domain, len(x))
    labels, code = checks.labels(label, len(x))
    unit = checks.codes(unit, len(x), "unit", single="row")[1]
    table: list[dict[str, Any]] = []
    scored = _scored(np.array(names)[domain], unit)
    if len(np.unique(domain[scored])) > 1:
        some, named = x[scored], np.array(names)[domain[scored]]
        sigma = bandwidth_ladder(some, seed=seed) if bandwidths is None else bandwidths
        options = {"draws": draws, "seed": seed, "bandwidths": sigma}
        table += _visibility(some, named, labels, code[scored], unit[scored], seed)
        table += _discrepancies(some, named, unit[scored], rows, options)
    if (code >= 0).any() and not (predicted is None and probability is None):
        truth = np.array([*labels, None], dtype=object)[code]
        table += _predictions(truth, code >= 0, names, domain, predicted, probability, classes)
    if not table:
        raise InputError(
            "Nothing to evaluate",
            which=names,
            why="Fewer than two domains have two units, and there are no predictions with known labels.",
            fix="Pass rows of several domains, or predictions and labels.",
            code="nothing-to-evaluate",
        )
    return table


def _row(metric: str, value: float, rows: int, *, domain: str = "all", **rest: Any) -> dict[str, Any]:
    """Make one row of the table, with every key."""
    empty = {"other": None, "label": None, "value": value, "sd": None, "reference": None, "rows": rows}
    return {"metric": metric, "domain": domain} | empty | rest


def _scored(domain: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return which rows belong to domains that can be scored, and warn about the others."""
    scored = several_units(domain, unit)
    few = np.unique(domain[~scored])
    if len(few) and scored.any():
        warn(
            f"Domains with fewer than two units are not scored: {listing(few)}. One half of a domain is compared"
            " with the other, and a single unit has no halves. Leave them out, or take them as they are."
        )
    return scored


def _visibility(
    x: np.ndarray, domain: np.ndarray, labels: Sequence[Any], code: np.ndarray, unit: np.ndarray, seed: int
) -> Iterator[dict[str, Any]]:
    """Measure how visible the domains are, overall and within each class, and the classes."""
    seen = domain_accuracy(x, domain, unit=unit, seed=seed)
    yield _row("domain_accuracy", seen.accuracy, len(x), reference=seen.chance)
    for k, label in enumerate(labels):
        rows = np.flatnonzero(code == k)
        rows = rows[several_units(domain[rows], unit[rows])]
        if len(np.unique(domain[rows])) > 1:
            seen = domain_accuracy(x[rows], domain[rows], unit=unit[rows], seed=seed)
            yield _row("domain_accuracy", seen.accuracy, len(rows), label=label, reference=seen.chance)
    rows = np.flatnonzero(code >= 0)
    rows = rows[several_units(code[rows], unit[rows])]
    if len(np.unique(code[rows])) > 1:
        seen = label_accuracy(x[rows], code[rows], unit=unit[rows], seed=seed)
        yield _row("label_accuracy", seen.accuracy, len(rows), reference=seen.chance)


def _discrepancies(
    x: np.ndarray, domain: np.ndarray, unit: np.ndarray, rows: int, options: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Measure the MMD of every pair of domains, beside that of the halves of each."""
    every = {str(name): np.flatnonzero(domain == name) for name in np.unique(domain)}
    pairs = [(*p, *q) for p, q in itertools.combinations(every.items(), 2)]
    if len(pairs) > MOST_PAIRS:
        pairs = [(name, some, REST, np.flatnonzero(domain != name)) for name, some in every.items()]
    for one, a, other, b in pairs:
        # Two halves have half the rows of two domains: draw so few rows that both sides can give them.
        n = min(rows, len(a) // 2, len(b) // 2)
        value = mmd(x[a], x[b], rows=n, **options)
        floor = [mmd_within(x[side], unit=unit[side], rows=n, **options).mean() for side in (a, b)]
        yield _row(
            "mmd",
            float(value.mean()),
            n,
            domain=one,
            other=other,
            sd=float(value.std()),
            reference=float(np.mean(floor)),
        )


def _predictions(
    truth: np.ndarray,
    known: np.ndarray,
    names: Sequence[str],
    domain: np.ndarray,
    predicted: Any,
    probability: Any,
    classes: Sequence[Any] | None,
) -> Iterator[dict[str, Any]]:
    """Judge the predictions of every domain that has known labels, and of all of them together."""
    guess = None if predicted is None else checks.one_per_row(predicted, len(truth), "predicted")
    share = None if probability is None else np.asarray(probability)
    if classes is None:
        occurring = truth[known] if guess is None else np.concatenate([truth[known], guess[known]])
        classes = checks.labels(occurring, len(occurring))[0]
    parts = [(name, known & (domain == k)) for k, name in enumerate(names)]
    for name, rows in [*parts, ("all", known)] if len(names) > 1 else parts:
        if rows.any():
            report = classification_report(
                truth[rows],
                None if guess is None else guess[rows],
                probability=None if share is None else share[rows],
                classes=classes,
            )
            for metric, value in report.items():
                yield _row(metric, value, int(rows.sum()), domain=name)
