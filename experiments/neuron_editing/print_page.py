"""The part of the page on neuron editing that shows the numbers in print beside ours, and its figures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from experiments._lib import pages, results
from experiments.neuron_editing import names

FIGURES = Path(__file__).parents[2] / "docs" / "benchmarks" / "figures"
PICTURES = {
    "digits": "Figure 2a on digits: originals, their true change, and what each method makes of them",
    "biaxial": "Figure 4: two features before and after, with medians as lines. Above, the feature that the run "
    "changes most, and one that differs between the samples alone; below, p4EBP1 and pSTAT5",
    "pca": "Figure 5a: controls, sample and edited sample on two components",
    "medians": "Figure 5b: how the median of every feature changes in the controls, and in the edited sample",
}
TEXT = """## In print, and here

**The columns of a table are different data, and no number in print can be compared with one of ours.** In print are
CelebA (Table 1: Fréchet distance of Inception features, less is better), spike-ins of dengue (Table 2: correlation of
the medians' changes) and leukaemia under two drugs (Table 3: correlation of means and of variances), none of which is
at hand. What can be compared is how methods are ordered inside a column. Where a cell is empty, the method was not
run here, or the paper has no number."""
READING = """In every column the printed edit comes before the plain GAN, the CycleGAN and the regularised
autoencoder, as in print, and the latter applies hardly any of the change (Table 2). Unlike in print, a constant shift
of neurons is about as good in Tables 2 and 3, and the ResnetGAN is not behind on simulated cells. These measures tell
little: a shift of medians has the correlation 1 of Table 2 by construction, and cells that nothing is done to nearly
have the means of Table 3. The sections above measure distances from the truth instead."""
# By table: the columns in print, and those of ours: heading, results, task and metric.
COLUMNS = {
    "1": ({"FID": "in print"},
          {"digits made bold": ("image_editing", "bold", "frechet"),
           "digits slanted": ("image_editing", "slanted", "frechet")}),
    "2": ({"r medians": "in print"},
          {"CytoNorm": ("neuron_editing_cytonorm", None, "r medians"),
           "simulated spike-in": ("neuron_editing_spike-in", None, "r medians")}),
    "3": ({"r means": "in print: means", "r variances": "in print: variances"},
          {"drugs: means": ("neuron_editing_drugs", "interaction 0", "r means"),
           "drugs: variances": ("neuron_editing_drugs", "interaction 0", "r variances"),
           "interaction: means": ("neuron_editing_drugs", "interaction 1", "r means"),
           "interaction: variances": ("neuron_editing_drugs", "interaction 1", "r variances")}),
}  # fmt: skip
STORED = {"1": "image_editing", "2": "neuron_editing_cytonorm", "3": "neuron_editing_drugs"}
OURS = ("as measured", names.DEFAULT)  # that the paper has no number of


def measured(rows: Sequence[dict]) -> list[dict]:
    """Return the rows that were measured, without the numbers in print."""
    return [row for row in rows if "published" not in row]


def printed(rows: Sequence[dict]) -> dict[tuple[str, str], dict]:
    """Return the numbers in print, by method and metric."""
    return {(row["method"], row["metric"]): row for row in rows if "published" in row}


def table(number: str, stored: dict[str, list[dict]]) -> str:
    """Return a table of the paper, with a column in print and columns of ours, from stored rows by name."""
    in_print, here = COLUMNS[number]
    told = printed(stored[STORED[number]])
    lines = []
    for method in dict.fromkeys([*(method for method, _ in told), *OURS]):
        cells = []
        for metric in in_print:
            row = told.get((method, metric))
            cells.append(
                f"*{pages.number(row['published'], row['published_sd'], _digits(row))}*" if row else ""
            )
        for name, task, metric in here.values():
            each = [
                row[metric]
                for row in measured(stored[name])
                if row["method"] == method and task in (None, row["task"])
            ]
            cells.append(pages.number(statistics.fmean(each)) if each else "")
        lines.append([method, *cells])
    return f"**Table {number}**\n\n" + pages.table(["", *in_print.values(), *here], lines)


def _digits(row: dict) -> int:
    return 2 if row["metric"] == "FID" else 3


def picture(name: str) -> str:
    """Return the Markdown of a figure that is kept, or nothing."""
    path = FIGURES / f"neuron_editing_{name}.png"
    return (
        f"{PICTURES[name]}.\n\n![{PICTURES[name].partition(':')[0]}](figures/{path.name})"
        if path.is_file()
        else ""
    )


def sections() -> list[str]:
    """Return the tables with the numbers in print, and the figures that are kept."""
    wanted = {name for _, here in COLUMNS.values() for name, _, _ in here.values()}
    stored = {name: results.read(name)["rows"] for name in wanted if results.stored(name)}
    tables = [
        table(number, stored)
        for number in COLUMNS
        if STORED[number] in stored and printed(stored[STORED[number]])
    ]
    shown = [picture(name) for name in ("biaxial", "pca", "medians")]
    head = [TEXT] if tables else []
    return [*head, *tables, READING if tables else "", *shown]
