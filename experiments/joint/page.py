"""The page on joint calibration, docs/benchmarks/joint.md: its tables and text, made from stored rows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from experiments._lib import pages, results
from experiments._lib.pages import Line, Source
from experiments.joint import plates, spaces
from experiments.joint.tasks import pick

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
HEAD = """# Joint calibration

Classify the rows of a *target* domain, whose labels are hidden, by the labels of *source* domains, as in Niu et al.
2022 [1, 2]. A *domain* is what the papers call a batch. Made by `python experiments/build_pages.py` from the rows
in `experiments/results/`.

- The labels of a target are used for the score and for nothing else.
- Numbers are mean ± standard deviation over seeds. Simple pipelines do not depend on a seed.
- `default` is `jbc.JointCalibration()`, and `default, pairwise` is `jbc.PairwiseCalibration()`, which averages the
  probabilities of one source and one target at a time. `paper` and `reference` are presets: what is in print, and the
  released program. *Recon_T* rebuilds the targets as well, *Remove_R* nothing, and *L1 norm* aligns by equation (1)
  of [1] as it stands.
- `pairwise` is what [1] compares with: the two-batch method of [2] by one source at a time, whose *scores* are
  averaged. Its settings for these data are not in print; here they are those of its released program for spectra, but
  for the epochs. `baseline network` is the classifier of the method alone, on raw rows of the sources together.
- Simple pipelines see the rows `raw` (scaled over the sources), as logarithms with a `z-score per domain`, or as
  `our inputs`: those of the default, which are log-ratios to the level of the row (plain logarithms where features
  are few), z-scored per domain.
- A *unit* is the subject that replicate rows belong to. It gets the median probability of its rows.
- *AUC* is the area under the ROC curve of the probabilities. *Hard AUC* is what the papers print as AUC: that of
  the predicted labels, which for two classes is the balanced accuracy. *F* is the F1 score and *MCC* Matthews'
  correlation. Averages are over all tasks.
- Lines in italics are numbers in print, with their table; *ours* is the method of the authors. They are from [1]
  for MI, from [2] for CyTOF. An average that is not in print is the mean of what is.

[1] Niu et al., Deep learning based multi-batch calibration for classification in various omics, 2021,
doi:10.21203/rs.3.rs-1017151/v1. [2] Niu et al., Joint deep learning for batch effect removal and classification
toward MALDI MS based metabolomics, BMC Bioinformatics, 2022."""
SECTIONS = {
    "mi": """## MI: three plates of mass spectra (Tables 1a and 1b of [1])

Two plates are sources, the third is the target. A unit is a run of five near-identical spectra, which are rows of
one blood sample.""",
    "chd": """## CHD: four plates of mass spectra (Tables 2a and 2b of [1])

Two plates are sources, the other two are targets, for every choice of two. Columns of targets are means over the
choices of the sources, as in Table 2a; all twelve accuracies of Table 2b are below. The default was fixed before any
of these numbers was made, and nothing was changed after them.""",
    "cytof": """## CyTOF: two days of two persons (Table 2 of [2])

One day is the source, the other the target. The positive class, CD8 cells, is the rarer one.""",
    "sc-mixology": """## Single cells by several protocols (in place of Table 3 of [1])

Three cell lines with known identity (H1975, H2228, HCC827), without doublets and wells of two cells, and the 500
genes that vary most over all domains, from counts per 10,000. They stand in for the paper's pancreas cells, whose
table of genes × cells is not at hand. Each of the five domains (CEL-seq2, Drop-seq, and three plates of CEL-seq2)
is the target once, and the other four are sources. F and AUC are means over the classes. The numbers in print are
of other data and not shown.""",
    "ceilings": """## Ceilings inside one domain (Table 1b of [1], the diagonals of Table 2 of [2])

Ten folds inside each plate or day, scored together. With folds of rows, as in the papers, spectra of one blood sample
are on both sides of the split, and the score tells how well they are recognised. Folds of units keep them together.
`published network` is the classifier of the papers; how [2] trained its own is not in print, so it is trained as that
of [1].""",
    "ablations": """## MI: what each part of the default buys

One thing is changed at a time. *Target* is scored by the labels of the target, as above. *Selection* needs no label
of the target: one of its two sources is learned from and the other is scored, both ways, while the target takes
part without labels. Choices may be made by it, for one task. The average over the tasks uses the labels of every
plate, since each plate is a source in two tasks; this is why selection is also given for each task.""",
    "tried": """## MI: what was tried and rejected

A plain network like one classifier of the default, on standardised inputs, without calibrator and alignment; then
one thing is changed at a time. Nothing here is part of the default. Terms that learn from rows without labels start
after the first third of the training. The last two lines change the probabilities of the plain network. The median
over a unit needs to know the units, which a single row does not tell.""",
}
PLATES = """## Three simulated plates (`jbc demo`)

Ten worlds; the labels of plate 3 are hidden, and accuracy, AUC and MCC are those of plate 3. *Plates told apart* is
the accuracy of a classifier that names the plate of a row, *MMD 1–3* the distance (maximum mean discrepancy)
between plates 1 and 3, and *agreement with truth* the mean correlation of a feature with itself without any plate
effect. The plate effect is mostly a shift and a scale per feature, so `jbc.Standardise` before a logistic
regression is as good as joint calibration. `python experiments/joint/plates.py` makes these rows."""
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
SPACES = """## How far domains are apart (Table 1 of [2], Figures 2 and 3 and S1b of [1])

The maximum mean discrepancy between 500 rows of each of two domains, mean ± standard deviation over draws, and
between two halves of the second one, which share no unit: less is impossible. *Codes* are what a method classifies:
those of `default` and of `paper`, trained once with the labels of the sources. The value depends on the width of the
kernels: 1 to 16 in the released programs, whatever the rows are, and in units of the median distance otherwise. What
is in print is the authors' own, of which the kernels are not told.

`python experiments/joint/spaces.py` makes these rows and draws the figures: at most 1500 rows, in one t-SNE map for
each space."""
# In the overview: data, rows of a table, released code, in print.
COMPARED = {
    "mi": ("MI, 3 plates of mass spectra", "mi", "reference", "ours (1a)"),
    "cytof-person1": ("CyTOF, person 1", "cytof", "reference, 500 of 2000 epochs", "ours (2)"),
    "cytof-person2": ("CyTOF, person 2", "cytof", "reference, 500 of 2000 epochs", "ours (2)"),
    "sc-mixology": ("Cell lines, 5 protocols and plates", "sc-mixology", "", ""),
}
SOURCES = [Source(f"joint_{table}", "joint/run.py", table) for table in SECTIONS]
SOURCES += [Source(spaces.NAME, "joint/spaces.py")]


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


def every_task(rows: Sequence[dict]) -> str:
    """Return a table of the accuracy on every target of every choice of sources."""
    rows = [row for row in pick(rows, level="sample", metric="acc") if "|" not in row["source"]]
    tasks = [(row["source"], row["target"]) for row in pick(rows, method=DEFAULT) if row["target"] != "all"]
    lines = [
        [
            f"{source.replace('+', ', ')} → {target}",
            *(cell(pick(rows, method=name, source=source, target=target)) for name in BY_TASK),
        ]
        for source, target in tasks
    ]
    return pages.table(["accuracy", *(f"*{name}*" if "(" in name else name for name in BY_TASK)], lines)


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
    parts = []
    names = list(dict.fromkeys(row["dataset"] for row in rows))
    for name in names:
        own = pick(rows, dataset=name)
        parts += [f"**{DATASETS[name]}**"] if len(names) > 1 else []
        parts += [comparison(own), *([every_task(own)] if name == "chd" else []), *conclusions(own)]
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
