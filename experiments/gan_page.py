"""The GAN paper's comparison on the page of benchmarks: what is said about the table, and the table itself."""

from __future__ import annotations

from collections.abc import Sequence

from results import grid

VIEWS = {"transform": "decoded", "encode": "codes"}
ITSELF = "day 2 itself"
FLOOR, OURS, PRINTED = "Standardise", "GAN", "GAN, as printed"
COLUMNS = {
    "MMD": ("MMD", 3),
    "MMD, seen": ("MMD, seen cells", 3),
    "excess": ("above the floor", 2),
    "AUC within": ("AUC within day 1", 4),
    "AUC": ("AUC, 1 to 2", 4),
    "balanced": ("balanced, 1 to 2", 3),
    "balanced, back": ("balanced, 2 to 1", 3),
}
TEXT = """## CyTOF: day 1 moved onto day 2, in the form of Figures 2 and 3 of [4]

Of each of two persons, the cells of day 1 are moved onto those of day 2, as log(1 + x) of 25 markers: two of the
paper's four pairs. A method is fitted to a random half of the cells of each day, another half for every seed, and
judged by the cells that were held out. It never sees a label of day 2; joint calibration sees those of its half of
day 1, and the others none. Below, labels of both days are used to judge.

*MMD* is that of Figure 3: Gaussian kernels, 256 cells of each day, the mean of 100 draws; *seen* is the same of the
cells that were fitted to. *Above the floor* is 1000 times the mean of its square, less that between halves of day 2
after the same method: what the squared MMD of all cells would be. Every version is judged in units of its own cells
of day 2 (mean and spread of each marker, of the seen ones), with the same bandwidths for all versions of a person, so
that nothing is gained by drawing both days together. `Standardise`, `QuantileMap` and joint calibration move both
days, the others day 1 alone.

What the paper does not show is whether CD8 cells (26 % and 28 % of the days of person 1, 12 % and 13 % of person 2)
are still told from the others, by logistic regression. *AUC within day 1*: cross-validated over its held-out cells.
*1 to 2*: learned from corrected cells of day 1, asked of day 2. *2 to 1*: learned from day 2, asked of corrected
cells of day 1; low when the CD8 cells of day 1 do not arrive where those of day 2 are. *Balanced* is the accuracy,
both classes counting alike. *Spreads* are those of the least and of the most spread marker of day 1 after the
correction, in units of day 2. The line *day 2 itself* has the floor of the MMD, and what labels of day 2 teach about
day 2.

*GAN* is `AdversarialCorrection()`; *as printed* are presets. The paper does not tell how long it trained: all GANs
have 2000 updates, and *averaged* is the printed game with rates that fall and the average of its generators. Those
of [5] are what neuron editing is compared with there: its layers, and our game. *Joint* is `JointCalibration()`,
decoded to markers or its codes; as printed it has 500 of 2000 epochs, and reads intensities, or logarithms as the
others do. *Zeros filled in* has `DenoisingAutoencoder()` before the default of MMD-ResNet; its paper had such a one
before the printed form, which has none here. Methods that take minutes have fewer seeds.

Our GAN comes closest to day 2, and pays a little with the label: in the AUC within day 1, and for person 1 from 2 to
1 as well. MMD-ResNet is nearly as close and costs nothing. To tell CD8 cells of day 2 by labels of day 1 none of them
is needed: after a z-score the balanced accuracy is what day 2 itself would teach. In the other direction, the cells
of person 2 are read best as they were measured. The printed game has not settled after 2000 updates: its seeds differ
widely, and it throws some cells far out (*spreads*), while two principal components (`--figures`) look well mixed;
falling rates and averages mend more than two thirds of it. The plain GAN of [5], which makes cells anew, brings the
days near each other and loses which cell is which; its residual form does not. To fill in zeros first changes little.
The default of joint calibration is a z-score by day and little more. Its printed form leaves logarithms as far apart
as they were, or farther, and loses much of the label of intensities.

[4] Upadhyay and Jain, Removal of batch effects using generative adversarial networks, 2019. [5] Amodio et al., Beyond
GANs: transforming without a target distribution."""


def markdown(rows: Sequence[dict]) -> str:
    """Write a table for every person, the methods one a line."""
    parts = []
    for name, found in by_person(rows).items():
        lines = []
        for method in dict.fromkeys(method for method, _ in found):
            cells = [cell(found.get((method, metric)), digits) for metric, (_, digits) in COLUMNS.items()]
            ends = [found.get((method, f"{end} spread")) for end in ("least", "largest")]
            spreads = "–".join(f"{row['mean']:.2f}" for row in ends if row)
            lines.append([method, *cells, spreads, str(found[method, "MMD"]["seeds"])])
        head = ["", *(said for said, _ in COLUMNS.values()), "spreads", "seeds"]
        parts += [f"**{name}**", grid(head, lines)]
    return "\n\n".join(parts)


def reading(rows: Sequence[dict]) -> str:
    """Say how much distance is left to each person, and what it cost."""
    said = []
    for name, found in by_person(rows).items():
        left = {method: row["mean"] for (method, metric), row in found.items() if metric == "excess"}
        least = min(left, key=lambda method: left[method])
        label = {method: f"{found[method, 'AUC within']['mean']:.4f}" for method in left}
        said.append(
            f"{name}: of {left['measured']:.1f} above the floor, `Standardise` leaves {left[FLOOR]:.2f}, our GAN "
            f"{left[OURS]:.2f}, the printed one {left[PRINTED]:.1f}, and *{least}* the least. The AUC within day 1 "
            f"is {label['measured']} as measured, {label[OURS]} after ours, {label[PRINTED]} after the printed one."
        )
    return " ".join(said)


def by_person(rows: Sequence[dict]) -> dict[str, dict[tuple[str, str], dict]]:
    """Return the rows of every person, by method and metric."""
    found: dict[str, dict[tuple[str, str], dict]] = {}
    for row in rows:
        name = row["dataset"].replace("cytof-person", "Person ")
        found.setdefault(name, {})[row["method"], row["metric"]] = row
    return found


def cell(row: dict | None, digits: int) -> str:
    """Write mean ± sd over seeds."""
    if row is None:
        return ""
    return f"{row['mean']:.{digits}f}" + ("" if row["sd"] is None else f" ± {row['sd']:.{digits}f}")
