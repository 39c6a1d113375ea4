"""What was found about the composition of a cohort, in words."""

from __future__ import annotations

import numpy as np

from jbc.cohort.cohort import Cohort
from jbc.errors import SHOWN, enumeration

IN_WORDS = {
    "equal": "batches hold the same mixture, or were taken to",
    "none": "no effect of batches was found; rows are left as they are",
    "shared": "mixtures differ between batches; only what they share is compared",
    "unknown": "nothing tells effects of batches from what they hold; rows are left as they are",
    "given": "populations were given",
}
"""What was found, in a few words, for the command line."""


def about(cohort: Cohort) -> str:
    """Return what a user has to know about the composition of a cohort, with numbers and what to do.

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[0.0], [5.0], [6.0]], ["a", "a", "b"])
    >>> about(cohort.with_populations(["x", "y", "y"]))[:74]
    'Domains hold different mixtures of 2 populations: 50% of their rows are sh'
    """
    held = cohort.composition
    assert held is not None
    advice = (
        'If all domains hold the same mixture, by design, say composition="assume-equal"; where populations are '
        "known, name them by Cohort.with_populations, or pass labels or treatments that domains share."
    )
    if held.verdict == "none":
        return (
            "No effect of domains was found beyond chance: rows are left as they are. "
            'composition="assume-equal" corrects them all the same.'
        )
    if held.verdict == "unknown":
        return (
            "Nothing tells effects of domains from differences between what they hold: domains differ by more than "
            "their populations do, or have none in common. Rows are left as they are, since a correction could merge "
            f"what is different. {advice}"
        )
    domains, overlap = cohort.names.domains, np.asarray(held.overlap).sum(axis=2)
    pairs = [(overlap[i, j], i, j) for i in range(len(domains)) for j in range(i)]
    least = [f"{domains[j]!r} and {domains[i]!r} {each:.0%}" for each, i, j in sorted(pairs)[:SHOWN]]
    mean, populations = float(np.mean([each for each, _, _ in pairs])), held.shares.shape[1]
    return (
        f"Domains hold different mixtures of {populations} populations: {mean:.0%} of their rows are shared on "
        f"average, the least by {enumeration(least, len(pairs))}. Rows are compared within populations, and what a "
        f"domain does not share moves with the rest of it. {advice}"
    )


def of_few(rows: np.ndarray, distance: float) -> str:
    """Return what a user has to know of domains of few rows that lie far apart.

    Examples
    --------
    >>> of_few(np.array([12, 9, 10]), 3.21)[:95]
    'Domains of few rows (9 and more) lie 3.2 deviations of their rows from their common middle. So '
    """
    return (
        f"Domains of few rows ({rows.min()} and more) lie {distance:.1f} deviations of their rows from their common "
        "middle. So few rows do not tell an effect from another material: they are corrected as if all held the same "
        'mixture, which merges them if they do not. If they hold the same by design, say composition="assume-equal"; '
        "if not, pass labels or treatments that domains share."
    )
