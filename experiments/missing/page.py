"""The page on missing values, docs/benchmarks/missing_values.md: its table and text, made from stored rows."""

from __future__ import annotations

from collections.abc import Sequence

from experiments._lib import pages, results
from experiments._lib.pages import Source

PATTERNS = {"random": "at random", "low": "small values", "plate": "by plate"}
HEAD = """# Missing values

What missing values cost a classifier. Made by `python experiments/build_pages.py` from the rows in
`experiments/results/`.

Of three plates of mass spectra (MI), values are removed: *at random*; *small values*, below a limit that is drawn
around a quantile of the feature, as a detector has one; or *by plate*, where of every feature one plate loses three
times as many as the others. The labels of each plate are hidden in turn, `JointCalibration()` is trained on the rest,
and the accuracy is that on the hidden plate, averaged over the three.

- *As they are*: jbc is given the gaps.
- *Mean*, *half of the minimum* of the feature, and *nearest rows* (5, of logarithms, scikit-learn's `KNNImputer`)
  fill the gaps of the whole table first, plates and all, as is usual."""
TEXT = """*Away* is how far the values that were kept are corrected from where the complete table has them, in
deviations of its logarithms, the median over features."""
SOURCES = [Source("missing", "missing/run.py")]


def page() -> str:
    """Return the page."""
    rows = results.read("missing")["rows"]
    return pages.page(
        [HEAD, "## Accuracy on hidden plates", markdown(rows), TEXT, conclusions(rows)], SOURCES
    )


def conclusions(rows: Sequence[dict]) -> str:
    """Return what follows from a fifth of the values removed at random."""
    told = {row["way"]: row["accuracy"] for row in rows if (row["pattern"], row["share"]) == ("random", 0.2)}
    (whole,) = (row["accuracy"] for row in rows if row["pattern"] == "none")
    cost = {way: f"{whole - accuracy:.3f}" for way, accuracy in told.items()}
    return f"""## What follows

A fifth of the values, removed at random, costs {cost["as they are"]} of the accuracy as jbc takes them,
{cost["mean"]} by the mean of the feature, and {cost["nearest rows"]} by the nearest rows, which is best: it
reads the other values of a row, where jbc reads the centre of the domain."""


def headline() -> str:
    """Return the table."""
    return markdown(results.read("missing")["rows"])


def markdown(rows: Sequence[dict]) -> str:
    """Return the table."""
    ways = list(dict.fromkeys(row["way"] for row in rows if row["pattern"] != "none"))
    (whole,) = (row for row in rows if row["pattern"] == "none")
    found = {(row["pattern"], row["share"], row["way"]): row for row in rows}
    lines = [["nothing removed", pages.number(whole["accuracy"], whole["sd"]), *[""] * len(ways)]]
    for pattern, share in dict.fromkeys((row["pattern"], row["share"]) for row in rows if row is not whole):
        told = [found[pattern, share, way] for way in ways if (pattern, share, way) in found]
        cells = [pages.number(row["accuracy"], row["sd"]) for row in told]
        apart = " / ".join(f"{row['away']:.2f}" for row in told)
        lines.append([f"{share:.0%} {PATTERNS[pattern]}", *cells, *[""] * (len(ways) - len(cells)), apart])
    return pages.table(["removed", *ways, "away, in this order"], lines)
