"""BENCHMARKS.md, made from the rows in experiments/results.

python experiments/benchmarks.py
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import adaptation
import bench_adversarial
import bench_joint
import gan_page
import image_editing_page
import neuron_editing_page
import numpy as np
import wasserstein_page
from results import RESULTS, grid, read

DOCUMENT = Path(__file__).parents[1] / "BENCHMARKS.md"
DEFAULT = "default"
# Beside the accuracy on every target: level, metric and heading of the averages over all tasks.
AVERAGES = (
    ("sample", "auc", "AUC"),
    ("sample", "auc_hard", "hard AUC"),
    ("sample", "f_score", "F"),
    ("sample", "mcc", "MCC"),
    ("unit", "acc", "accuracy, units"),
    ("unit", "auc", "AUC, units"),
)
DATASETS = {"cytof-person1": "Person 1", "cytof-person2": "Person 2"}
TITLES = {
    "mi": "MI: three plates of mass spectra (Tables 1a and 1b)",
    "chd": "CHD: four plates of mass spectra (Tables 2a and 2b)",
    "cytof": "CyTOF: two days of two persons (Table 2 of the two-batch paper)",
    "sc-mixology": "Single cells by several protocols (the kind of Table 3)",
    "ceilings": "MI: ceilings inside one plate",
    "ablations": "MI: what each part of the default buys",
    "tried": "MI: what was tried besides",
}
TEXTS = {
    "mi": "Two plates are sources, the third is the target. A unit is a run of five near-identical spectra, "
    "which are rows of one blood sample; it gets the median probability of its rows.",
    "chd": "Two plates are sources, the other two are targets, for every choice of two. Columns of targets are "
    "means over the choices of the sources.",
    "cytof": "One day is the source, the other the target; the positive class is the rarer one.",
    "sc-mixology": "Three cell lines with known identity (H1975, H2228, HCC827), without doublets and wells of two "
    "cells, and the 500 genes that vary most over all domains, from counts per 10,000. The paper's pancreas "
    "data are not public in this form, and the 10x counts that would make a third protocol of these lines are not "
    "at hand. So every one of the five domains (CEL-seq2, Drop-seq, and three plates of CEL-seq2) is the target "
    "once, the other four being sources. F and AUC are means over the classes; the numbers in print are of "
    "other data and not shown.",
    "ceilings": "Ten folds inside each plate, judged together. With folds of rows, as in the paper, spectra of one "
    "blood sample are on both sides of the split, and the result tells how well they are recognised; folds "
    "of units keep them together.",
    "ablations": "One thing changed at a time. *Target* is judged by the labels of the target, as above. "
    "*Selection* asks for no label of the target: of its two sources, one is learned from and the other is "
    "judged, both ways; the target takes part without labels. Choices may be made by it, for one task. The "
    "average over the tasks uses the labels of every plate, since each is a source in two tasks, which is why "
    "selection is also given for each task.",
    "tried": "A plain network like one classifier of the default, on standardised inputs, without calibrator and "
    "alignment; then one thing different at a time. Nothing here is part of the default. Terms that learn from rows "
    "without labels wait for the second third of the training. The last lines change the probabilities of the plain "
    "network; the median over a unit needs to know the units, which a row alone does not tell.",
}  # fmt: skip
HEAD = """# Benchmarks

Made by `python experiments/benchmarks.py` from the rows in `experiments/results/`, which the other programs in
`experiments/` write. First joint calibration, then alignment of screens, then cells of one day moved onto another.

- Numbers are mean ± standard deviation over seeds; simple pipelines do not depend on a seed.
- The labels of a target are used for the score and for nothing else.
- *Hard AUC* is what the papers print as AUC: of labels instead of probabilities, so that of two classes it is the
  balanced accuracy. Averages are over all tasks.
- *default* is `jbc.JointCalibration()`, *pairwise* is `jbc.PairwiseCalibration()`; *reference* and *paper* are the
  presets after the released programs and after the publications.
- *Our inputs* are those of the default: log-ratios to the level of the row (logarithms where features are few),
  z-scored per domain. Raw values are scaled over the sources before a logistic regression.
- Lines in italics are numbers in print, with their table; *ours* is the method of the authors. They are from [1] for
  MI and CHD, from [2] for CyTOF. An average that is not in print is the mean of what is.

[1] Niu et al., Deep learning based multi-batch calibration for classification in various omics, 2021,
doi:10.21203/rs.3.rs-1017151/v1. [2] Niu et al., Joint deep learning for batch effect removal and classification
toward MALDI MS based metabolomics, BMC Bioinformatics, 2022.
"""
SPEED = """## Speed

jbc beside a plain PyTorch program with the same networks and the same run, in turns, each in a process of its own."""

CRITICS = """## Speed of critics

A step trains all critics, of every treatment and pair of ten domains (here under *lanes*), on 100 rows a cell: jbc
beside the same by double differentiation in JAX, and beside a PyTorch loop over critics. Neither of these maps the
rows, as ours does. Memory beside the screen is what the compiler says."""


def pick(rows: Sequence[dict], **fields: Any) -> list[dict]:
    return [row for row in rows if all(row.get(name) == value for name, value in fields.items())]


def cell(rows: Sequence[dict]) -> str:
    """Write a number; of a target with several choices of sources, the mean over these."""
    chosen = [row for row in rows if "|" in row["source"]] or list(rows)
    if len(chosen) != 1:
        return ""
    (row,) = chosen
    if row["published"] is not None:
        return f"{row['published']:.3f}"
    return f"{row['mean']:.3f}" + ("" if row["sd"] is None else f" ± {row['sd']:.3f}")


def comparison(rows: Sequence[dict]) -> str:
    """Write the methods of one data set, one a line."""
    rows = [row for row in rows if row["level"] != "table"]
    targets = [name for name in dict.fromkeys(row["target"] for row in rows) if name != "all"]
    averages = [one for one in AVERAGES if pick(rows, level=one[0], metric=one[1])]
    head = ["accuracy on"] + [f"target {name}" for name in targets] + ["average"]
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        of = pick(rows, method=method)
        accuracy = pick(of, level="sample", metric="acc")
        cells = [cell(pick(accuracy, target=name)) for name in (*targets, "all")]
        cells += [cell(pick(of, level=level, metric=metric, target="all")) for level, metric, _ in averages]
        in_print = of[0]["published"] is not None
        lines.append([f"*{method}*" if in_print else method, *cells, "" if in_print else str(of[0]["seeds"])])
    return grid([*head, *(name for _, _, name in averages), "seeds"], lines)


def ablation(rows: Sequence[dict]) -> str:
    """Write the variants of the default, one a line."""
    wanted = [("target", "acc", "all", "target, accuracy"), ("target", "auc", "all", "AUC")]
    wanted += [("selection", "acc", "all", "selection, accuracy"), ("selection", "auc", "all", "AUC")]
    tasks = [name for name in dict.fromkeys(row["target"] for row in rows) if name != "all"]
    wanted += [("selection", "acc", name, f"for target {name}") for name in tasks]
    lines = [
        [method]
        + [
            cell(pick(rows, method=method, score=score, metric=metric, target=target))
            for score, metric, target, _ in wanted
        ]
        for method in dict.fromkeys(row["method"] for row in rows)
    ]
    return grid(["", *(name for *_, name in wanted)], lines)


def brief() -> tuple[str, str]:
    """Return the two tables of the README: a choice of methods on MI, and what the parts of the default buy."""
    rows = stored("mi")
    wanted = {
        "raw + logistic regression": "as measured + logistic regression",
        "z-score per domain + logistic regression": "log, z-score per plate + logistic regression",
        "z-score per domain + gradient boosting": "log, z-score per plate + gradient boosting",
        "our inputs + gradient boosting": "log-ratio, z-score per plate + gradient boosting",
        "reference": "joint calibration as released",
        "ours (1a)": "*joint calibration, in print*",
        DEFAULT: "**`JointCalibration()`**",
    }
    columns = [("sample", "acc", name) for name in "321"]
    columns += [("sample", "acc", "all"), ("sample", "auc", "all"), ("unit", "acc", "all")]
    compared = [
        [said] + [cell(pick(rows, method=name, level=level, metric=metric, target=target))
                  for level, metric, target in columns]
        for name, said in wanted.items()
    ]  # fmt: skip
    head = ["", "target 3", "target 2", "target 1", "average", "AUC", "by subject"]
    rows, scores = stored("ablations"), [("target", "acc"), ("target", "auc"), ("selection", "acc")]
    parts = [
        [name] + [cell(pick(rows, method=name, score=score, metric=metric, target="all")) for score, metric in scores]
        for name in dict.fromkeys(row["method"] for row in rows)
    ]  # fmt: skip
    return grid(head, compared), grid(["", "accuracy", "AUC", "selection"], parts)


def stored(table: str) -> list[dict]:
    return read(RESULTS / f"joint_{table}.json")["rows"]


def markdown(table: str, rows: Sequence[dict]) -> str:
    """Write the rows of one table as Markdown."""
    if table in ("ablations", "tried"):
        return ablation(rows)
    parts = []
    for name in dict.fromkeys(row["dataset"] for row in rows):
        of = pick(rows, dataset=name)
        parts += [f"**{DATASETS[name]}**"] if name in DATASETS else []
        parts += [comparison(of), *reading(of)]
    return "\n\n".join(parts)


def reading(rows: Sequence[dict]) -> list[str]:
    """Say what follows from the numbers of a data set: who is best, how sure one target is, what leaks."""
    leaky, honest = (
        pick(rows, method=f"{DEFAULT}, folds of {what}", level="sample", metric="acc", target="all")
        for what in ("rows", "units")
    )
    if leaky and honest:
        lost = leaky[0]["mean"] - honest[0]["mean"]
        return [
            f"Kept together, the rows of a unit cost the default {lost:.3f} of accuracy: that much was the split."
        ]
    ours = pick(rows, method=DEFAULT)
    if not ours:
        return []
    overall = [
        row for row in pick(rows, level="sample", metric="acc", target="all") if row["mean"] is not None
    ]
    best = max(overall, key=lambda row: row["mean"])
    (mine,) = pick(overall, method=DEFAULT)
    said = f"The highest average accuracy of all that was trained here is that of *{best['method']}*"
    said += "." if best is mine else f", {best['mean'] - mine['mean']:.3f} above the default's."
    others = [row["mean"] for row in overall if row is not mine]
    if others and np.median(others) > 0.99:
        said += " Most others are above 0.99 as well: these data tell the methods hardly apart."
    for row in pick(rows, metric="units per domain"):
        error = math.sqrt(mine["mean"] * (1 - mine["mean"]) / row["mean"])
        said += (
            f" A target has about {row['mean']:.0f} units: its accuracy has a standard error of {error:.3f}."
        )
    for row in pick(ours, metric="seconds"):
        said += f" Training the default for all targets and seeds took {row['mean']:.0f} s with compilation."
    return [said]


def section(table: str) -> str:
    """Write one table with what was run."""
    path = RESULTS / f"joint_{table}.json"
    told = f"## {TITLES[table]}\n\n{TEXTS[table]}"
    if not path.is_file():
        return f"{told}\n\nNot run yet, or the data were not at hand."
    found = read(path)
    command = f"joint.py --tables {table}"
    return "\n\n".join([told, markdown(table, found["rows"]), run(command, found["about"])])


def run(command: str, about: dict[str, Any]) -> str:
    """Say which command gave the rows."""
    options = " ".join(option(name, value) for name, value in about["options"].items() if value is not None)
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    where = f"{about['backend']}, {about['cores']} cores; {versions}"
    return f"`python experiments/{command} {options}` ({where})."


def option(name: str, value: Any) -> str:
    """Write an option as it is given at the command line."""
    name = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} " + (" ".join(map(str, value)) if isinstance(value, list) else str(value))


def told(name: str, command: str, text: str, *pages: Callable[[list[dict]], str]) -> list[str]:
    """Return a text, what pages make of stored rows, and the command that gave them; nothing where there are none."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        return []
    found = read(path)
    said = [page(found["rows"]) for page in pages]
    return [text, *filter(None, said), run(command, found["about"])]


def document() -> str:
    """Write the whole text."""
    parts = [HEAD.strip(), *(section(table) for table in TITLES)]
    parts += told("bench_joint", "bench_joint.py", SPEED, bench_joint.markdown)
    for table, text in wasserstein_page.TEXTS.items():
        pages = wasserstein_page.markdown, lambda rows: "\n\n".join(wasserstein_page.reading(rows))
        parts += told(f"wasserstein_{table}", f"wasserstein.py --tables {table}", text, *pages)
    parts += told("adaptation", "adaptation.py", adaptation.TEXT, adaptation.markdown)
    parts += told("gan", "gan.py", gan_page.TEXT, gan_page.markdown, gan_page.reading)
    edited = []
    for table, text in neuron_editing_page.TEXTS.items():
        page = partial(neuron_editing_page.markdown, table)
        edited += told(f"neuron_editing_{table}", f"neuron_editing.py --tables {table}", text, page)
    parts += [neuron_editing_page.HEAD, *edited] if edited else []
    parts += told("image_editing", "image_editing.py", image_editing_page.TEXT, image_editing_page.markdown)
    parts += told("bench_wasserstein", "bench_wasserstein.py", CRITICS, bench_joint.markdown)
    parts += told("bench_adversarial", "bench_adversarial.py", bench_adversarial.TEXT, bench_joint.markdown)
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write BENCHMARKS.md, and print the tables of the README."""
    DOCUMENT.write_text(document(), encoding="utf-8")
    print("\n\n".join(brief()))


if __name__ == "__main__":
    main()
