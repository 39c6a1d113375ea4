"""The page on domains of different composition, docs/benchmarks/composition.md: tables and text, from stored rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean
from typing import Any

from experiments._lib import pages, results
from experiments._lib.pages import Line, Source, number
from experiments.composition.methods import METHODS

TABLES = ("cell-lines", "cytof", "null", "plates", "far")
HEAD = """# What domains do not share

Tables of which it is known what every row is, in domains that hold all of the populations, some of them, or none in
common: what corrections make of them. Rows were taken away at random, and no value was changed. Made by `python
experiments/build_pages.py` from the rows in `experiments/results/`; [what alignment can and cannot
know](../composition.md) says what jbc does.

- *z-score* is `Standardise` with `composition="assume-equal"`; every other method of jbc has its defaults. *Harmony*
  is harmonypy with its defaults, on 30 principal components; it and nothing else is scored there.
- *Verdict* is what `Standardise` found the domains to share. Where it is *none* or *unknown*, rows come out as they
  came in, and all scores are those of *nothing*.
- *Like with like* is the share of rows whose nearest row of another domain is of the same population, mean over
  populations, of rows whose population occurs in another domain.
- *Mixed* is the inverse Simpson index of domains (iLISI) among the rows of a population, median; *possible* is what
  perfect mixing would give.
- *Carried* is the macro-F by which the labels of one domain name the rows of the others, by the vote of 15
  neighbours, mean over domains. Fewer than 8 rows of a line in a domain are outvoted, whatever the correction.
- *!* marks a fit that warned of what domains share, *–* one that refused.
- Trained methods were run on a part of the worlds. One seed of each world and training. These worlds were in sight
  while the estimate of the composition and the rates of the alignments were chosen."""
SECTIONS = {
    "cell-lines": """## Cell lines

Cells of up to three lines by two protocols, and two plates of one of these (sc_mixology, logarithms of 500 genes).
*All shared*: all lines everywhere. *Leave one out*: another line is missing in each of three domains. *Thinned*: one
line to a tenth in two domains. *Bridge*: one line in each of two domains, all lines in the third; *half*: within one
protocol, two lines (or two of five). *No bridge*, *two pure*: one line in each domain.

![Leave one out: as measured and after four corrections](figures/composition_leave-one-out.png)""",
    "cytof": """## Mass cytometry

Two days of one person, 25 markers. CD8 cells are thinned to 2.4 % of one day, or left as they are.""",
    "null": """## No effect at all

One domain, split at random by units: a correction should move nothing. *Moved* is the root mean square over rows of
the distance moved, in units of what rows vary.""",
    "plates": """## Simulated plates and screens

Plates of 600 rows of two or three classes, with plate effects and the shares of classes *as is* (equal), *shifted*
(0.8 and 0.2 against 0.2 and 0.8) in one plate or in the target, whose labels are hidden, or *rare* (1 %). Wells of a
simulated screen whose mechanisms have shares of 0.5, or of 0.8 and 0.2.""",
    "far": """## Far effects

Four Gaussian populations in 30 dimensions, 8 deviations apart, in three domains that are moved by 0.3, 1 or 3 of
these distances, and scaled by feature: with equal shares, shifted ones, one population missing in each domain, or
one in each of two domains and all in the third.""",
}


PURE = ("cell-lines/no-bridge", "cell-lines/two-pure", "cell-lines/two-pure-protocols")


def worlds_of(table: str, rows: Sequence[dict]) -> list[list[dict]]:
    """Return the rows of a table in parts of at most seven worlds, without those that share no population."""
    rows = [row for row in rows if row["world"] not in PURE]
    if table != "far":
        return [rows]
    sizes = dict.fromkeys(row["world"].partition("-")[0] for row in rows)
    return [[row for row in rows if row["world"].partition("-")[0] == size] for size in sizes]


def rows_of(table: str) -> list[dict]:
    """Return the stored rows of a table, without one where none are stored."""
    return results.read(f"composition_{table}")["rows"] if results.stored(f"composition_{table}") else []


def by_world(rows: Sequence[dict]) -> dict[str, dict[str, list[dict]]]:
    """Return rows by world and method."""
    out: dict[str, dict[str, list[dict]]] = {}
    for row in rows:
        out.setdefault(row["world"], {}).setdefault(row["method"], []).append(row)
    return out


def average(rows: Sequence[dict], score: str) -> float | None:
    """Return the mean of a score over the rows that have it."""
    found = [row[score] for row in rows if row.get(score) is not None]
    return mean(found) if found else None


def cell(rows: Sequence[dict], score: Callable[[Sequence[dict]], str]) -> str:
    """Return a score, with a mark where a fit warned of what domains share; or that it was refused."""
    if rows and all(row["refused"] for row in rows):
        return "–"
    text = score(rows)
    undecided = "Domains of few rows"  # corrected as if equal
    warned = any(
        row["verdict"] in ("shared", "unknown") or any(one.startswith(undecided) for one in row["warned"])
        for row in rows
    )
    return f"{text} !" if text and warned else text


def grid(rows: Sequence[dict], score: Callable[[Sequence[dict]], str], extra: str = "") -> str:
    """Return a table with a line for every method and a column for every world; ``extra`` scores the worlds."""
    worlds = by_world(rows)
    lines = [["*verdict*", *(verdict(each) for each in worlds.values())]]
    if extra:
        possible = [number(average(each.get("nothing", []), extra), digits=2) for each in worlds.values()]
        lines.append([f"*{extra}*", *possible])
    for method in METHODS:
        cells = [cell(each.get(method, []), score) for each in worlds.values()]
        if any(cells):
            lines.append([method, *cells])
    return pages.table(["", *(name.partition("/")[2].replace("-", " ") for name in worlds)], lines)


def verdict(found: dict[str, list[dict]]) -> str:
    """Return what a world was found to share, over seeds."""
    return ", ".join(sorted({row["verdict"] for row in found.get("Standardise", [])}))


def scored(name: str, digits: int = 3) -> Callable[[Sequence[dict]], str]:
    """Return what prints the mean of a score."""
    return lambda rows: number(average(rows, name), digits=digits)


def like_and_mixed(rows: Sequence[dict]) -> str:
    """Return like with like, and mixing."""
    like, mixed = average(rows, "balanced"), average(rows, "within")
    return "" if like is None else f"{number(like)} / {number(mixed, digits=2)}"


def share_called(rows: Sequence[dict]) -> str:
    """Return the share of other cells that the other day calls CD8, by their own day; not stored below 0.05."""
    shares: dict[str, list[float]] = {}
    for row in rows:
        for day in ("day 1", "day 2"):
            shares.setdefault(day, []).append(row["called"].get("other as CD8", {}).get(day, 0.0))
    return " / ".join(f"{mean(each):.3f}" if mean(each) else "< 0.05" for each in shares.values())


def section(table: str) -> str:
    """Return the text and the tables of one kind of worlds."""
    rows = rows_of(table)
    if not rows:
        return ""
    parts = [SECTIONS[table]]
    if table == "null":
        parts += ["Moved:", grid(rows, scored("moved_30"))]
        parts += ["AUC of classes within the parts / carried from the others:", grid(rows, aucs)]
        return "\n\n".join(parts)
    for part in worlds_of(table, rows):
        parts += ["Like with like / mixed:", grid(part, like_and_mixed, "possible")]
    if table == "cell-lines":
        alone = [row for row in rows if row["world"] in PURE]
        parts += ["One line in each domain: the share of the same line among the 15 nearest rows:",
                  grid(alone, scored("pure"))]  # fmt: skip
    if table == "cytof":
        parts += ["Other cells that the other day calls CD8, of day 1 / day 2:", grid(rows, share_called)]
    else:
        for part in worlds_of(table, rows):
            parts += ["Carried:", grid(part, scored("carried_nearest_f"))]
    own = classifier(rows)
    return "\n\n".join([*parts, *([own] if own else [])])


def aucs(rows: Sequence[dict]) -> str:
    """Return the AUC within parts, and from part to part."""
    within, across = average(rows, "auc_within"), average(rows, "auc_across")
    return "" if within is None else f"{number(within)} / {number(across)}"


def classifier(rows: Sequence[dict]) -> str:
    """Return accuracy and macro-F of the classifier of joint calibration on the domain whose labels are hidden."""
    own = [row for row in rows if row.get("own_accuracy") is not None]
    lines = [[world.partition("/")[2], number(average(found["JointCalibration"], "own_accuracy")),
              number(average(found["JointCalibration"], "own_f"))]
             for world, found in by_world(own).items() if "JointCalibration" in found]  # fmt: skip
    if not lines:
        return ""
    told = pages.table(["world", "accuracy", "macro-F"], lines)
    return f"The classifier of `JointCalibration`, on the domain whose labels are hidden:\n\n{told}"


def page() -> str:
    """Return the whole page."""
    sources = [Source(f"composition_{table}", "composition/run.py", table) for table in TABLES]
    return pages.page([HEAD, *map(section, TABLES)], sources)


def headline() -> str:
    """Return the lines of BENCHMARKS.md."""
    worlds: dict[str, Any] = {
        "cell-lines/leave-one-out": "Cell lines, another one missing in each of three domains",
        "cytof/thinned-cd8": "CyTOF, CD8 cells thinned to 2.4 % on day 1",
        "far/1-missing": "Gaussian populations, another one missing in each domain",
    }
    plain = {"nothing": "nothing", "Harmony": "Harmony", "z-score": "z-score per domain"}
    names = plain | {f"`{name}`": name for name in ("Standardise", "MMDResNet", "DistanceAlignment")}
    lines = []
    for world, text in worlds.items():
        found = by_world(rows_of(world.partition("/")[0]))[world]
        lines.append(
            Line(text, {short: average(found.get(name, []), "balanced") for short, name in names.items()})
        )
    return pages.overview("like with like", lines)
