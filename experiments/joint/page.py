"""The page on joint calibration, docs/benchmarks/joint.md: its tables and text, made from stored rows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from experiments._lib import pages, results
from experiments._lib.pages import Line, Source
from experiments.joint import evaluations, methods, plates, spaces
from experiments.joint.tasks import pick
from experiments.joint.texts import HEAD, PLATES, SECTIONS, SPACES

DEFAULT = "default"
DATASETS = {"mi": "MI", "cytof-person1": "CyTOF, person 1", "cytof-person2": "CyTOF, person 2"}
# Averages over all tasks, in a table of their own: level, metric, heading.
AVERAGES = (
    ("sample", "auc", "AUC"),
    ("sample", "auc_hard", "hard AUC"),
    ("sample", "f_score", "F"),
    ("sample", "mcc", "MCC"),
    ("unit", "acc", "accuracy by unit"),
    ("unit", "auc", "AUC by unit"),
)
LEVELS = {"sample": "Accuracy by spectrum", "unit": "Accuracy by subject"}
LEFT_OUT = (
    "raw + logistic regression",
    "z-score per domain + logistic regression",
    "our inputs + logistic regression",
)
# Where every choice of sources is shown.
BY_TASK = (
    "default",
    "paper",
    "reference",
    "baseline network",
    "baseline (2b)",
    "reconstruct targets (2b)",
    "ours (2b)",
)
# In the overview: data, rows of a table, released code, in print.
COMPARED = {
    "mi": ("MI, 3 plates of mass spectra", "mi", "reference", "ours (1a)"),
    "chd": ("CHD, 4 plates of mass spectra", "chd", "reference", "ours (2b)"),
    "cytof-person1": ("CyTOF, person 1", "cytof", "reference, 500 of 2000 epochs", "ours (2)"),
    "cytof-person2": ("CyTOF, person 2", "cytof", "reference, 500 of 2000 epochs", "ours (2)"),
    "sc-mixology": ("Cell lines, 5 protocols and plates", "sc-mixology", "", ""),
}
SOURCES = [Source(f"joint_{table}", "joint/run.py", table) for table in SECTIONS]
EVALUATIONS = "joint_evaluations"
SOURCES += [Source(spaces.NAME, "joint/spaces.py"), Source(EVALUATIONS, "joint/evaluations.py")]


def cell(rows: Sequence[dict]) -> str:
    """Return the number of one row; of a target with several choices of sources, that of the mean over these."""
    chosen = [row for row in rows if "|" in row["source"]] or list(rows)
    if len(chosen) != 1:
        return ""
    (row,) = chosen
    if row["published"] is not None:
        return pages.number(row["published"])
    return pages.number(row["mean"], row["sd"])


def comparison(rows: Sequence[dict]) -> str:
    """Return two tables of one data set, a method a line: accuracy by target, and the other scores averaged."""
    rows = [row for row in rows if row["level"] != "table"]
    targets = [name for name in dict.fromkeys(row["target"] for row in rows) if name != "all"]
    averages = [each for each in AVERAGES if pick(rows, level=each[0], metric=each[1])]
    accuracies, others = [], []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = pick(rows, method=method)
        in_print = own[0]["published"] is not None
        name, seeds = (f"*{method}*", "") if in_print else (method, str(own[0]["seeds"]))
        accuracy = pick(own, level="sample", metric="acc")
        accuracies.append(
            [name, *(cell(pick(accuracy, target=target)) for target in (*targets, "all")), seeds]
        )
        cells = [cell(pick(own, level=level, metric=metric, target="all")) for level, metric, _ in averages]
        if any(cells):
            others.append([name, *cells])
    head = ["accuracy on", *(f"target {name}" for name in targets), "average", "seeds"]
    tables = [pages.table(head, accuracies)]
    if others:
        tables.append(pages.table(["average", *(name for *_, name in averages)], others))
    return "\n\n".join(tables)


def every_task(rows: Sequence[dict], methods: Sequence[str], level: str = "sample") -> str:
    """Return a table of the accuracy of methods on every target of every choice of sources."""
    rows = [row for row in pick(rows, level=level, metric="acc") if "|" not in row["source"]]
    methods = [name for name in methods if pick(rows, method=name)]
    tasks = [(row["source"], row["target"]) for row in pick(rows, method=DEFAULT) if row["target"] != "all"]
    lines = [
        [
            f"{source.replace('+', ', ')} → {target}",
            *(cell(pick(rows, method=name, source=source, target=target)) for name in methods),
        ]
        for source, target in tasks
    ]
    return pages.table(["accuracy", *(f"*{name}*" if "(" in name else name for name in methods)], lines)


def variants(rows: Sequence[dict]) -> str:
    """Return a table of changes of one method, one a line."""
    wanted = [("target", "acc", "all", "target, accuracy"), ("target", "auc", "all", "target, AUC")]
    wanted += [
        ("selection", "acc", "all", "selection, accuracy"),
        ("selection", "auc", "all", "selection, AUC"),
    ]
    tasks = [name for name in dict.fromkeys(row["target"] for row in rows) if name != "all"]
    wanted += [("selection", "acc", name, f"selection for target {name}") for name in tasks]
    lines = [
        [method]
        + [
            cell(pick(rows, method=method, score=score, metric=metric, target=target))
            for score, metric, target, _ in wanted
        ]
        for method in dict.fromkeys(row["method"] for row in rows)
    ]
    return pages.table(["", *(name for *_, name in wanted)], lines)


def readme_table() -> str:
    """Return the table of the README: a choice of methods on MI, averaged over targets."""
    rows = rows_of("mi")
    wanted = {
        "raw + logistic regression": "as measured + logistic regression",
        "z-score per domain + logistic regression": "log, z-score per plate + logistic regression",
        "our inputs + gradient boosting": "log-ratio, z-score per plate + gradient boosting",
        "reference": "joint calibration as released",
        "ours (1a)": "*joint calibration, in print*",
        DEFAULT: "**`JointCalibration()`**",
    }
    columns = [("sample", "acc"), ("sample", "auc"), ("unit", "acc")]
    compared = [
        [shown] + [cell(pick(rows, method=name, level=level, metric=metric, target="all"))
                   for level, metric in columns]
        for name, shown in wanted.items()
    ]  # fmt: skip
    return pages.table(["", "accuracy", "AUC", "accuracy by subject"], compared)


def rows_of(table: str) -> list[dict]:
    """Return the stored rows of a table."""
    return results.read(f"joint_{table}")["rows"]


def markdown(table: str, rows: Sequence[dict]) -> str:
    """Return what a table shows of its rows, and what follows from them."""
    if table in ("ablations", "tried"):
        return variants(rows)
    if table == "pairs":
        names = ["default", methods.PAIRWISE, *(row["method"] for row in rows if row["mean"] is not None)]
        shown = list(dict.fromkeys(name for name in names if name not in LEFT_OUT))
        both = [*rows, *pick(rows_of("mi"), method=methods.PAIRWISE)]
        return "\n\n".join(
            f"**{said}**\n\n{every_task(both, shown, level)}" for level, said in LEVELS.items()
        )
    parts = []
    names = list(dict.fromkeys(row["dataset"] for row in rows))
    for name in names:
        own = pick(rows, dataset=name)
        parts += [f"**{DATASETS[name]}**"] if len(names) > 1 else []
        parts += [comparison(own), *([every_task(own, BY_TASK)] if name == "chd" else []), *conclusions(own)]
    return "\n\n".join(parts)


def conclusions(rows: Sequence[dict]) -> list[str]:
    """Return what follows from the numbers of a data set: who is best, how sure one target is, what leaks."""
    leaky, honest = (
        pick(rows, method=f"{DEFAULT}, folds of {what}", level="sample", metric="acc", target="all")
        for what in ("rows", "units")
    )
    if leaky and honest:
        lost = leaky[0]["mean"] - honest[0]["mean"]
        return [f"Keeping the rows of a unit together costs the default {lost:.3f} of accuracy."]
    ours = pick(rows, method=DEFAULT)
    if not ours:
        return []
    overall = [
        row for row in pick(rows, level="sample", metric="acc", target="all") if row["mean"] is not None
    ]
    best = max(overall, key=lambda row: row["mean"])
    (mine,) = pick(overall, method=DEFAULT)
    text = f"Of all that was trained here, *{best['method']}* has the highest average accuracy"
    text += "." if best is mine else f", {best['mean'] - mine['mean']:.3f} above the default's."
    others = [row["mean"] for row in overall if row is not mine]
    if others and statistics.median(others) > 0.99:
        text += " Most others are above 0.99 as well: these data hardly tell the methods apart."
    for row in pick(rows, metric="units per domain"):
        error = math.sqrt(mine["mean"] * (1 - mine["mean"]) / row["mean"])
        text += (
            f" A target has about {row['mean']:.0f} units: its accuracy has a standard error of {error:.3f}."
        )
    for row in pick(ours, metric="seconds"):
        text += f" Training the default for all targets and seeds took {row['mean']:.0f} s with compilation."
    return [text]


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for source in SOURCES:
        if source.table and results.stored(source.name):
            parts += [SECTIONS[source.table], markdown(source.table, rows_of(source.table))]
    if results.stored(spaces.NAME):
        parts += [SPACES, spaces.markdown(results.read(spaces.NAME)["rows"])]
    if results.stored(EVALUATIONS):
        parts.append(evaluations.markdown(results.read(EVALUATIONS)["rows"]))
    parts += [PLATES, plates.table(plates.stored_rows())]
    return pages.page(parts, SOURCES)


def headline() -> str:
    """Return the lines of BENCHMARKS.md: the average accuracy on hidden targets."""
    lines = []
    for dataset, (said, table, released, printed) in COMPARED.items():
        rows = pick(rows_of(table), dataset=dataset, level="sample", metric="acc", target="all")
        found = {row["method"]: row["published"] or row["mean"] for row in rows}
        scores = {
            "best simple pipeline": max(value for name, value in found.items() if " + " in name),
            "released program": found.get(released),
            "in print": found.get(printed),
            "`PairwiseCalibration`": found.get("default, pairwise"),
            "`JointCalibration`": found[DEFAULT],
        }
        lines.append(Line(said, scores))
    rows = plates.stored_rows()
    simple, ours = (
        statistics.mean(row["accuracy"] for row in rows if row["table"] == name)
        for name in ("standardised", "joint calibration")
    )
    scores = {"best simple pipeline": simple, "`JointCalibration`": ours}
    lines.append(Line("Simulated plates (`jbc demo`)", scores))
    return pages.overview("accuracy", lines)
