"""All numbers that the papers print: how many stand beside one of ours, and why the others do not.

python experiments/published.py compares published.csv, in the folder papers beside JBC_DATA, with the numbers in
print that are stored in experiments/results/, and writes experiments/results/published.json, of which build_pages.py
makes docs/benchmarks/published.md.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import tyro

from experiments._lib import pages, program, published, results
from experiments._lib.pages import Source
from jbc.errors import InputError

BESIDE, OTHER = "beside ours", "beside ours, of other data"
PRIVATE, NOT_HERE = "the data are private", "the data are not at hand"
EMBEDDINGS, METHOD, NOT_RUN = "embeddings were not released", "the method is not run here", "not run yet"
CLASSES = {
    BESIDE: "on the same data and task, in a table of these pages",
    OTHER: "in a table of these pages, where ours is of other data or of another preparation, as is said there",
    PRIVATE: "spectra of lupus (SLE) were never released",
    NOT_HERE: "the pancreas (public, `jbc.datasets.describe('pancreas')`), or CelebA, which asks for an agreement",
    EMBEDDINGS: "those of the cells of BBBC021",
    METHOD: "a comparator that is not run on data of ours",
    NOT_RUN: "the data are at hand",
}
NAMES = {
    "multibatch": "Joint calibration, many batches",
    "twobatch": "Joint calibration, two batches",
    "wasserstein": "Wasserstein alignment",
    "neuron_editing": "Neuron editing",
}
HEAD = """# All numbers in print

The result tables of the papers hold {total} numbers, a deviation counted as a number of its own (the GAN paper has
figures only). Every one is in exactly one of these classes. Made by `python experiments/build_pages.py` from the rows
in `experiments/results/`, which `python experiments/published.py` counts."""


class Place(NamedTuple):
    """Where numbers in print are stored beside ours, what they are then, and what they are otherwise."""

    stored: str  # a pattern of names of results
    beside: str = BESIDE
    otherwise: str = NOT_RUN
    same_method: bool = False  # only numbers of methods count that have a row of ours


JOINT, EDITING = Place("joint_*"), Place("neuron_editing_*", OTHER, METHOD, same_method=True)
PLACES = {
    ("multibatch", "pancreas"): JOINT._replace(otherwise=NOT_HERE),
    ("twobatch", "MALDI_SLE"): JOINT._replace(otherwise=PRIVATE),
    ("wasserstein", "BBBC021_engineered"): Place("wasserstein_*", OTHER),
    ("wasserstein", "BBBC021_dnn"): Place("wasserstein_*", OTHER, EMBEDDINGS),
    ("neuron_editing", "CelebA"): Place("image_editing", OTHER, NOT_HERE),
    ("neuron_editing", "CyTOF_dengue"): EDITING,
    ("neuron_editing", "CyTOF_drugs"): EDITING,
}
"""By paper and data set; all others are tables of joint calibration on data that are at hand."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Count the numbers in print."""

    out: Path = results.RESULTS / "published.json"  # where the counts go


def stored_numbers(rows: Sequence[dict], *, same_method: bool = False) -> Counter[tuple[str, float]]:
    """Count the numbers in print of stored rows, by the table that they are of ("" where a row does not tell).

    Examples
    --------
    >>> rows = [{"method": "ours (1a)", "published": 0.8}, {"method": "GAN", "printed_in": "2", "published": 0.5}]
    >>> dict(stored_numbers(rows))
    {('1a', 0.8): 1, ('2', 0.5): 1}
    >>> dict(stored_numbers([*rows, {"method": "GAN", "mean": 0.6}], same_method=True))
    {('2', 0.5): 1}
    """
    measured = {row["method"] for row in rows if "published" not in row and "method" in row}
    found: Counter[tuple[str, float]] = Counter()
    for row in rows:
        method = row.get("method") or ""
        told = re.search(r"\((\w+)\)$", method)
        table = row.get("printed_in", told[1] if told else "")
        if method in measured or not same_method:
            found.update((table, value) for value in _numbers(row))
    return found


def _numbers(row: dict) -> Iterator[float]:
    return (value for name, value in row.items() if name.startswith("published") and value is not None)


def classify(cells: Sequence[dict[str, str]], stored: dict[str, Counter[tuple[str, float]]]) -> list[str]:
    """Return the class of every number in print; ``stored`` are the numbers beside ours, by patterns of results.

    A stored number stands for one cell.
    """
    left = {pattern: Counter(numbers) for pattern, numbers in stored.items()}
    found = []
    for cell in cells:
        place = PLACES.get((cell["paper"], cell["dataset"]), JOINT)
        value = float(cell["value"])
        # Percentages may be stored as shares, and a row may not name its table.
        keys = [(table, each) for table in (cell["table"], "") for each in (value, round(value / 100, 4))]
        key = next((key for key in keys if left[place.stored][key] > 0), None)
        if key is not None:
            left[place.stored][key] -= 1
        found.append(place.beside if key is not None else place.otherwise)
    return found


def count(cells: Sequence[dict[str, str]]) -> list[dict]:
    """Return how many numbers of every table are in every class, by what is stored now."""
    stored: dict[str, Counter[tuple[str, float]]] = {}
    for place in (*PLACES.values(), JOINT):
        stored[place.stored] = Counter()
        for path in sorted(results.RESULTS.glob(f"{place.stored}.json")):
            rows = results.read(path.stem)["rows"]
            stored[place.stored] += stored_numbers(rows, same_method=place.same_method)
    counts = Counter(
        (cell["paper"], cell["table"], cell["dataset"], where)
        for cell, where in zip(cells, classify(cells, stored), strict=True)
    )
    return [
        dict(zip(("paper", "table", "dataset", "class", "cells"), (*key, number), strict=True))
        for key, number in counts.items()
    ]


def markdown(rows: Sequence[dict]) -> str:
    """Return the number of cells of every class, and of every table."""
    total = Counter()
    for row in rows:
        total[row["class"]] += row["cells"]
    classes = pages.table(
        ["class", "numbers", "what"], [[name, str(total[name]), said] for name, said in CLASSES.items()]
    )
    tables: dict[tuple[str, str, str], Counter[str]] = {}
    for row in rows:
        key = row["paper"], row["table"], row["dataset"]
        tables.setdefault(key, Counter())[row["class"]] += row["cells"]
    lines = []
    for (paper, table, dataset), own in tables.items():
        beside = [str(own[each] or "") for each in (BESIDE, OTHER)]
        why = ", ".join(f"{each}: {n}" for each, n in own.items() if each not in (BESIDE, OTHER))
        told = (name.replace("_", " ") for name in (table, dataset))
        lines.append([NAMES[paper], *told, str(own.total()), *beside, why])
    each = pages.table(["paper", "table", "data", "numbers", BESIDE, "of other data", "why not"], lines)
    return f"{classes}\n\n{each}"


def page() -> str:
    """Return the page."""
    rows = results.read("published")["rows"]
    head = HEAD.format(total=sum(row["cells"] for row in rows))
    return pages.page([head, markdown(rows)], [Source("published", "published.py")])


def main() -> None:
    """Count, and write the counts."""
    options = tyro.cli(Options)
    cells = published.read(*NAMES)
    if not cells:
        raise InputError(
            "There are no printed numbers to count",
            which=[published.table().name],
            why="They are compared with those that are stored beside ours.",
            fix="Put the file into a folder papers beside the folder that JBC_DATA names.",
            code="no-file",
        )
    rows = count(cells)
    results.write(options.out, results.describe_run(options), rows)
    print(markdown(rows))


if __name__ == "__main__":
    program.run(main)
