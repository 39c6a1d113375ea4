"""What is going to be fitted to what, in a few lines: nothing essential is chosen in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from jbc.cohort import Cohort
from jbc.cohort.covariates import Term
from jbc.cohort.groups import shared_treatments
from jbc.cohort.roles import EXTRAPOLATE, SOURCE, TARGET
from jbc.errors import listing
from jbc.methods.base import Classifies, Directed, Method
from jbc.numerics.linalg import constant_range

# As many domains have a line of their own.
LISTED = 12


def target_of(cohort: Cohort) -> str:
    """Return the name of the domain that others move to, or "" where no method has given domains roles."""
    if cohort.role is None:
        return ""
    return cohort.names.domains[int(np.flatnonzero(np.asarray(cohort.role) == TARGET)[0])]


def summarise(
    method: Method, cohort: Cohort, *, word: str = "domain", left_out: Mapping[str, str] | None = None
) -> str:
    """Return what is going to be fitted to what, as a text of a few lines.

    Parameters
    ----------
    method, cohort
        What :func:`jbc.methods.prepare.prepare` has returned.
    word
        What a domain is called.
    left_out
        Columns that are no features, and why.

    Examples
    --------
    >>> from jbc.methods.closed_form.standardise import Standardise
    >>> print(summarise(Standardise(), Cohort.from_arrays([[1.0], [2.0], [3.0]], ["a", "a", "b"])))
    Standardise: 3 rows of 1 feature (x0), 2 domains
      a: 2 rows
      b: 1 row
    """
    names = cohort.names
    n, d = cohort.x.shape
    ends = names.features[0] if d == 1 else f"{names.features[0]} to {names.features[-1]}"
    groups = _plural(len(names.domains), word)
    links = [type(link).__name__ for link in (*method.leading, method.last)]
    title = type(method).__name__ if len(links) == 1 else f"{type(method).__name__} of {listing(links)}"
    lines = [f"{title}: {_plural(n, 'row')} of {_plural(d, 'feature')} ({ends}), {groups}"]
    lines += [f"  {line}" for line in _domains(cohort, word)]
    if names.covariates:
        lines.append(
            f"  covariates: {', '.join(_covariate(term, method.removes) for term in names.covariates)}"
        )
    if left_out:
        reasons = sorted(set(left_out.values()))
        parts = (f"{why}: {listing([name for name in left_out if left_out[name] == why])}" for why in reasons)
        lines.append(f"  not among the features: {'; '.join(parts)}")
    if constant := _constant(cohort):
        lines.append(f"  the same in all rows: {constant}")
    return "\n".join([*lines, *(f"  {line}" for line in _plan(method, cohort, word))])


def _covariate(term: Term, removed: Sequence[str]) -> str:
    levels = f" ({listing(term.levels)})" if term.levels else ""
    return f"{term.name}{levels}, {'removed' if term.name in removed else 'kept'}"


def _several(word: str) -> str:
    return word + ("es" if word.endswith("ch") else "s")


def _plural(n: int, word: str) -> str:
    return f"{n:,} {word if n == 1 else _several(word)}"


def _domains(cohort: Cohort, word: str) -> list[str]:
    """Return a line per domain: rows, and what is known of them."""
    domain, count = np.asarray(cohort.domain), np.asarray(cohort.domains.count)
    label, control, unit = np.asarray(cohort.label), np.asarray(cohort.control), np.asarray(cohort.unit)
    has = {
        "labelled": (label >= 0).any(),
        "controls": control.any(),
        "units": len(np.unique(unit)) < len(unit),
    }
    lines = []
    for g, name in enumerate(cohort.names.domains[:LISTED]):
        here = domain == g
        parts = [_plural(int(count[g]), "row")]
        if has["labelled"]:
            parts.append(f"{int((label[here] >= 0).sum()):,} labelled")
        if has["controls"]:
            parts.append(_plural(int(control[here].sum()), "control"))
        if has["units"]:
            parts.append(_plural(len(np.unique(unit[here])), "unit"))
        lines.append(f"{name}: {', '.join(parts)}")
    if (rest := count[LISTED:]).size:
        lines.append(f"and {_plural(len(rest), word)} more, of {rest.min():,} to {rest.max():,} rows")
    return lines


def _constant(cohort: Cohort) -> str:
    x = np.asarray(cohort.x)
    same = np.flatnonzero(constant_range(x.min(axis=0), x.max(axis=0)))
    return listing([cohort.names.features[j] for j in same]) if len(same) else ""


def _plan(method: Method, cohort: Cohort, word: str) -> list[str]:
    """Return what the method takes for its target, and what it does where labels or treatments are missing."""
    lines, names = [], cohort.names.domains
    if isinstance(method, Directed):
        role = np.asarray(cohort.role)
        chosen = "as named" if method.route.target else "which has most rows, since none is named"
        moving = [name for name, part in zip(names, role, strict=True) if part in (SOURCE, EXTRAPOLATE)]
        lines.append(f"target: {target_of(cohort)!r}, {chosen}; moving: {listing(moving)}")
    if isinstance(method, Classifies):
        unlabelled = [name for g, name in enumerate(names) if g not in np.asarray(cohort.sources)]
        if not cohort.n_labels:
            lines.append(f"no labels: {_several(word)} are aligned and rebuilt, and no classifier is trained")
        elif unlabelled:
            lines.append(f"to be classified, without labels: {listing(unlabelled)}")
    if cohort.shared is not None:
        lines.append(_shared(cohort, word))
    return lines


def _shared(cohort: Cohort, word: str) -> str:
    """Return which rows an alignment of treatments compares."""
    several = _several(word)
    if cohort.n_treatments == 1 and len(cohort.cells.count) == len(cohort.domains.count):
        return f"no treatments: all rows of {several} are compared"
    known = [cohort.names.treatments[t] for t in shared_treatments(cohort.cells)]
    return f"{_plural(len(known), 'treatment')} that {several} share, and that are compared: {listing(known)}"
