"""Screens on the page of benchmarks: what is said about the tables, and the tables themselves."""

from __future__ import annotations

from collections.abc import Sequence

from results import grid

TEXTS = {
    "bbbc021": """## BBBC021: corrections of wells, in the form of Tables 1 to 6 of [3]

632 wells of ten weeks (means of 476 CellProfiler features, positions left out), in two preparations. Only the
control occurs in several weeks, so it alone is aligned. Neighbours and silhouette are of means of treatments,
by cosine, from the controls; NSCB asks the 92 points that have an eligible neighbour of their own mechanism.
*Domain* is the accuracy with which a classifier names the week of a control well; its floor is that of noise.
Ours stops early, each compound at the step that is best for the others; *step* is that of the median compound, and
up to step 1000 only critics are trained. Cells: the wells as they are; mean ± standard deviation over draws of the
wells of every treatment and week (classifiers: over seeds of their folds).

[3] Tabak et al., Correcting nuisance variation using Wasserstein distance, PeerJ, 2020.""",
    "bbbc021-189": """## BBBC021: the same, of 187 selected features

The features that the publishers selected and scaled, positions left out.""",
    "bbbc021-plates": """## BBBC021: plates instead of weeks

Every one of 55 plates has a map, from six wells of the control, and by *all shared* also from the treatments, which
have one well on each of two or three plates of a week. Judged by week, as above; ours is the Gaussian distance. What
helps is shared treatments, by a few points of 103 (NSC) and 92 (NSCB), and not by both rules of stopping. Wells that
the maps have drawn together make its bootstrap narrower and higher than those of other methods: compare the wells as
they are.""",
    "diagnosis": """## Why the controls of BBBC021 do not help its treatments

Maps fitted on one half of the wells of every treatment and domain. *Between domains* is the share of the variance of
controls that lies between domains, without bias, of the wells that the maps saw and of those held out. *Moved* is the
length of the displacement of all treatments, relative to their profiles; *halves agree* is the cosine between the
displacements by the maps of both halves: 0 is noise. Ours is trained for 100 updates. Mean ± standard deviation over
splits and halves.

After percentiles nearly nothing lies between weeks. After TVN a shift removes most of what does, and mechanisms are
found no better. Affine maps move the treatments far, and those of the other half of the controls move them elsewhere.
Only the Gaussian distance after TVN raises NSCB on its way (`--figures`), by less than NSC falls.""",
    "screen": """## Simulated screens whose treatments are repeated over domains

What the paper could only predict: half of the treatments occur in all five domains, and take part in the
alignment, by the default of `WassersteinAlignment` (24 rows a cell), whose form and rates were chosen on the
world of seed 0. Mean ± standard deviation over the worlds of seeds 1 to 5. *Distance from the truth* is
relative to its norm. Alignment by the controls alone is a warning: how a domain turns the profiles cannot be
read from one group of rows, and affine maps that make it alike turn the rest at random.""",
}
BRIEF = (
    "NSC 1",
    "NSCB 1",
    "silhouette",
    "domain, logistic regression",
    "domain, random forest",
    "domain, floor",
)
SEEN, HELD_OUT = "between domains, seen", "between domains, held out"
MOVED, AGREE = "moved", "halves agree"
SHOWN = {
    "bbbc021-189": BRIEF,
    "bbbc021-plates": BRIEF,
    "diagnosis": (SEEN, HELD_OUT, MOVED, AGREE, "NSC 1", "NSCB 1"),
}
# Of the design of BBBC021, for the sentence below the table.
SAME_WEEK, OTHER_WEEK = "same mechanism, same week", "same mechanism, other week"


def markdown(rows: Sequence[dict]) -> str:
    """Write the methods, one a line."""
    names = SHOWN.get(rows[0]["table"]) or list(dict.fromkeys(row["metric"] for row in rows))
    told = {(row["method"], row["metric"]): row for row in rows if row["metric"] in names}
    steps = {row["method"]: row["step"] for row in told.values()}
    trained = any(steps.values())
    lines = []
    for method, step in steps.items():
        when = [str(step) if "ours" in method else ""] if trained else []
        lines.append([method, *when, *(cell(told.get((method, name))) for name in names)])
    return grid(["", *(["step"] if trained else []), *names], lines)


def cell(row: dict | None) -> str:
    """Write the value of the rows as they are, where it is something else, and mean ± sd over draws or worlds."""
    if row is None:
        return ""
    value = "" if row["value"] == row["mean"] else f"{row['value']:.3f}; "
    return f"{value}{row['mean']:.3f}" + (f" ± {row['sd']:.3f}" if row["draws"] > 1 else "")


def reading(rows: Sequence[dict]) -> list[str]:
    """Say what the design of a screen has to do with its scores."""
    found = {row["metric"]: row["mean"] for row in rows}
    if SAME_WEEK not in found:
        return []
    return [
        "The design favours weeks that stay apart: two compounds of one week have the same mechanism in "
        f"{found[SAME_WEEK]:.1%} of pairs, those of different weeks in {found[OTHER_WEEK]:.1%}. NSC gains from "
        "what a week leaves in its wells, and NSCB does not."
    ]
