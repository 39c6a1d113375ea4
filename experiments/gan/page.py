"""The page on adversarial correction, docs/benchmarks/gan.md: its tables and text, made from stored rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from experiments._lib import pages, results
from experiments._lib.pages import Line, Source
from experiments.gan.names import pair

FIGURES = Path(__file__).parents[2] / "docs" / "benchmarks" / "figures"
VIEWS = {"transform": "decoded", "encode": "codes"}
ITSELF = "day 2 itself"
FLOOR, OURS, PRINTED = "Standardise", "GAN", "GAN, as printed"
# By metric: heading and number of decimals.
DISTANCES = {
    "MMD": ("MMD", 3),
    "MMD, seen": ("MMD, seen cells", 3),
    "excess": ("above the floor", 2),
    "least spread": ("least spread", 2),
    "largest spread": ("largest spread", 2),
}
LABELS = {
    "AUC within": ("AUC within day 1", 4),
    "AUC": ("AUC, 1 to 2", 4),
    "balanced": ("balanced, 1 to 2", 3),
    "balanced, back": ("balanced, 2 to 1", 3),
}
PAIRS = {
    name: {**DISTANCES, **LABELS}[name]
    for name in ("MMD", "excess", "AUC within", "AUC", "balanced", "balanced, back")
}
WITHOUT_DEVIATION = ("least spread", "largest spread")
HEAD = """# Adversarial correction

Day 1 of mass cytometry is moved onto day 2, as in Figures 2 and 3 of Upadhyay and Jain 2019 [1]. Made by
`python experiments/build_pages.py` from the rows in `experiments/results/`.

The data are log(1 + x) of 25 markers, of two persons, each at baseline and three months later: the paper's four pairs
of days. Our defaults were chosen on the pairs at baseline, and fixed before anyone looked at the later ones. A method
is fitted to a random half of the cells of each day, another half for every seed, and scored by the cells that were
held out. It never sees a label of day 2; joint calibration sees those of its half of day 1, and the other methods
none. Labels of both days are used for the scores only.

## Methods

- *GAN* is `AdversarialCorrection()`, *as printed* are presets. The paper does not tell how long it trained: all
  GANs have 2000 updates. *Averaged* is the printed game with falling rates and the average of its generators.
- *Joint* is `JointCalibration()`, decoded to markers or its codes. As printed it has 500 of 2000 epochs, and reads
  intensities, or logarithms as the others do.
- *Zeros filled in* is a method after `DenoisingAutoencoder()`: so both papers prepared the cells, and the printed
  forms are without that step where this is not said.
- What is printed takes all days for the same mixture of cells; our defaults estimate the mixtures, but for the rows
  at baseline, which are older than that estimate.
- `Standardise`, `QuantileMap` and joint calibration move both days, the others day 1 alone. Methods that take
  minutes have fewer seeds."""
DISTANCE_TEXT = """## How near day 1 comes to day 2, at baseline

*MMD* (maximum mean discrepancy) is that of Figure 3: Gaussian kernels, 256 cells of each day, the mean of 100
draws; *seen* is the same of the cells that were fitted to. *Above the floor* is 1000 times the mean of its square,
less that between halves of day 2 after the same method: what the squared MMD of all cells would be. Every version
is measured in units of its own cells of day 2 (mean and standard deviation of each marker, of the seen ones), with
the same bandwidths for all versions of a person, so that nothing is gained by shrinking both days. *Least* and
*largest spread* are the standard deviations of the least and of the most spread marker of day 1 after the
correction, in units of day 2. *Day 2 itself* has the floor of the MMD."""
LABEL_TEXT = """## What it costs the label, at baseline

What the paper does not show is whether CD8 cells are still told from the others, by logistic regression. *AUC
within day 1* is cross-validated over its held-out cells. *1 to 2* is learned from corrected cells of day 1 and
asked of day 2. *2 to 1* is learned from day 2 and asked of corrected cells of day 1; it is low where the CD8 cells
of day 1 do not arrive where those of day 2 are. *Balanced* is the accuracy with both classes counting alike. *Day 2
itself* is what labels of day 2 teach about day 2."""
READING = """## What follows

- Our GAN comes closest to day 2, and costs a little of the label: in the AUC within day 1, and for person 1 from 2
  to 1 as well. MMD-ResNet is nearly as close and costs nothing.
- To tell CD8 cells of day 2 by labels of day 1, none of the networks is needed: after a z-score (`Standardise`) the
  balanced accuracy is what day 2 itself would teach. In the other direction, the cells of person 2 are told best as
  they were measured.
- The printed game has not settled after 2000 updates. Its seeds differ widely, and it throws some cells far out
  (see the largest spread), while two principal components look well mixed. Falling rates and averages
  mend more than two thirds of this.
- Filling in zeros before the default of MMD-ResNet changes little.
- The default of joint calibration is a z-score by day and little more. Its printed form leaves logarithms as far
  apart as they were, or farther, and loses much of the label of intensities."""
REFERENCES = """\
[1] Upadhyay and Jain, Removal of batch effects using generative adversarial networks, 2019."""
FOUR = """## The four pairs of days

As in Figures 2 and 3, and with the columns that are explained below. CD8 cells are 26 % and 28 % of the days of
person 1, 12 % and 13 % of person 2, and three months later 9 % and 8 % of person 1, 3 % of person 2."""
PICTURES = {
    "gan_mmd": "Figure 3: the MMD between held-out cells of both days, over draws and seeds",
    "gan_pca": "Figure 2: held-out cells of both days on two components of the measured ones, a column a pair",
}
SOURCES = [Source("gan_pairs", "gan/run.py"), Source("gan", "gan/run.py")]


def markdown(rows: Sequence[dict]) -> str:
    """Return both tables of both persons."""
    return "\n\n".join([people(rows, DISTANCES), people(rows, LABELS)])


def people(rows: Sequence[dict], columns: dict[str, tuple[str, int]]) -> str:
    """Return a table for every person, the methods one a line."""
    parts = []
    for name, found in by_person(rows).items():
        lines = []
        for method in dict.fromkeys(method for method, _ in found):
            cells = []
            for metric, (_, digits) in columns.items():
                row = found.get((method, metric))
                sd = None if row is None or metric in WITHOUT_DEVIATION else row["sd"]
                cells.append(pages.number(row["mean"], sd, digits) if row else "")
            lines.append([method, *cells, str(found[method, "MMD"]["seeds"])])
        parts += [f"**{name}**", pages.table(["", *(head for head, _ in columns.values()), "seeds"], lines)]
    return "\n\n".join(parts)


def conclusions(rows: Sequence[dict]) -> str:
    """Return how much distance is left to each person, and what it cost."""
    said = []
    for name, found in by_person(rows).items():
        left = {method: row["mean"] for (method, metric), row in found.items() if metric == "excess"}
        least = min(left, key=lambda method: left[method])
        label = {method: f"{found[method, 'AUC within']['mean']:.4f}" for method in left}
        said.append(
            f"- {name}: of {left['measured']:.1f} above the floor, `Standardise` leaves {left[FLOOR]:.2f}, our GAN "
            f"{left[OURS]:.2f}, the printed one {left[PRINTED]:.1f}, and *{least}* the least. The AUC within day 1 "
            f"is {label['measured']} as measured, {label[OURS]} after ours, {label[PRINTED]} after the printed one."
        )
    return "\n".join(said)


def by_person(rows: Sequence[dict]) -> dict[str, dict[tuple[str, str], dict]]:
    """Return the rows of every person, by method and metric."""
    found: dict[str, dict[tuple[str, str], dict]] = {}
    for row in rows:
        found.setdefault(pair(row["dataset"]), {})[row["method"], row["metric"]] = row
    return found


def page() -> str:
    """Return the page."""
    rows = results.read("gan")["rows"]
    reading = f"{READING}\n{conclusions(rows)}"
    parts = [
        HEAD,
        *four(),
        DISTANCE_TEXT,
        people(rows, DISTANCES),
        LABEL_TEXT,
        people(rows, LABELS),
        reading,
        REFERENCES,
    ]
    return pages.page(parts, SOURCES)


def four() -> list[str]:
    """Return the section on all pairs of days, with the figures that are kept."""
    if not results.stored("gan_pairs"):
        return []
    shown = [
        f"{said}.\n\n![{said.partition(':')[0]}](figures/{name}.png)"
        for name, said in PICTURES.items()
        if (FIGURES / f"{name}.png").is_file()
    ]
    return [FOUR, people(results.read("gan_pairs")["rows"], PAIRS), *shown]


def headline() -> str:
    """Return the lines of BENCHMARKS.md: the distance that is left, and the label that is kept."""
    methods = {"as measured": "measured", "`Standardise`": FLOOR, "`QuantileMap`": "QuantileMap",
               "`MMDResNet`": "MMD-ResNet", "GAN as printed": PRINTED, "`AdversarialCorrection`": OURS}  # fmt: skip
    lines = []
    for metric, text, lower, digits in (
        ("excess", "squared MMD above its floor, × 1000 (less is better)", True, 2),
        ("balanced", "balanced accuracy of CD8, 1 to 2", False, 3),
    ):
        for name, found in by_person(results.read("gan")["rows"]).items():
            scores = {family: found[method, metric]["mean"] for family, method in methods.items()}
            lines.append(Line(f"{name}, {text}", scores, lower, digits))
    return pages.overview("CyTOF, day 1 onto day 2", lines)
