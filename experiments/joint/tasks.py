"""Joint calibration's tables: data, tasks, scores of predictions, simple pipelines, and the papers' numbers."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from anndata import AnnData
from threadpoolctl import threadpool_limits

import jbc
from experiments._lib import published
from jbc.cohort import Cohort
from jbc.data import prepare_counts
from jbc.methods.inputs import Inputs
from jbc.metrics import classification_report, unit_medians

LINES = ("H1975", "H2228", "HCC827")
GENES = 500
PAPERS = "multibatch", "twobatch"
# The published "AUC" comes from hard labels; "auc" here is that of probabilities.
NAMES = {"accuracy": "acc", "f_score": "f_score", "auc": "auc", "auc_hard": "auc_hard", "mcc": "mcc"}
PRINTED = {"acc": "acc", "f_score": "f_score", "auc": "auc_hard", "mcc": "mcc"}
SEEN = "raw", "z-score per domain", "our inputs"
LEARNERS = "logistic regression", "gradient boosting"
PIPELINES = tuple(f"{seen} + {learner}" for seen in SEEN for learner in LEARNERS)
Scores = dict[tuple[str, str], dict[tuple[str, str], np.ndarray]]
"""By (level, metric) and by (sources, target): one value a seed."""


class Data(NamedTuple):
    """A data set: its name here and in ``published.csv``, how many domains are sources, where it is printed."""

    name: str
    published: str
    sources: int
    tables: tuple[str, ...] = ()


class Task(NamedTuple):
    """Learn from the labels of some domains to classify the others, whose labels are hidden in the cohort."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    cohort: Cohort


def missing(name: str) -> bool:
    """Return whether a file of a data set is not below ``JBC_DATA``."""
    from jbc.data.datasets.catalogue import find

    folder = Path(os.environ.get("JBC_DATA", os.devnull))
    return not all((folder / file.path).is_file() for file in find(name).files)


def load(name: str) -> Cohort:
    """Return a data set with all its labels."""
    adata = jbc.datasets.load(name)
    return cohort_of(cell_lines(adata) if name == "sc-mixology" else adata)


def cohort_of(adata: AnnData) -> Cohort:
    """Return a table with its domains, labels and units as a cohort."""
    obs = adata.obs
    return Cohort.from_arrays(
        np.asarray(adata.X), obs["domain"].astype(str), label=obs["label"].astype(str), unit=obs["unit"]
    )


def cell_lines(adata: AnnData) -> AnnData:
    """Return single cells of three lines, as counts per 10,000, and the genes that vary most (no label is used)."""
    obs = adata.obs
    adata = adata[obs["label"].isin(LINES) & ~obs["doublet"] & ~obs["two_cells"]]
    return prepare_counts(adata, genes=GENES, domain_key=None, deviations=None)


def make_task(cohort: Cohort, sources: Sequence[str]) -> Task:
    """Return a task: the labels of every domain that is not a source are hidden."""
    targets = tuple(name for name in cohort.names.domains if name not in sources)
    for name in targets:
        cohort = cohort.mask_labels(name)
    return Task(tuple(sources), targets, cohort)


def make_tasks(cohort: Cohort, sources: int) -> list[Task]:
    """Return a task for every choice of this number of sources."""
    return [make_task(cohort, names) for names in itertools.combinations(cohort.names.domains, sources)]


def pooled(cohort: Cohort, part: Task) -> Cohort:
    """Return all rows as one domain, of which only the sources of a task take part in training.

    They are in another order: ``row`` has their places in the cohort.
    """
    name = np.array(cohort.names.domains)[np.asarray(cohort.domain)]
    label = np.array([*cohort.names.labels, ""], dtype=object)[part.cohort.label]
    one = Cohort.from_arrays(cohort.x, np.repeat("all", len(name)), label=label, unit=cohort.unit)
    return one.weigh_rows(np.isin(name, part.sources)[one.row])


def one_domain(cohort: Cohort, name: str) -> Cohort:
    """Return the rows of one domain as a cohort of their own."""
    rows = np.asarray(cohort.domain) == cohort.names.domains.index(name)
    label = np.array(cohort.names.labels, dtype=object)[cohort.label[rows]]
    return Cohort.from_arrays(
        cohort.x[rows], np.repeat(name, rows.sum()), label=label, unit=cohort.unit[rows]
    )


def short_name(*names: str) -> str:
    """Return the names of domains as in the papers: 1+3 for plates 1 and 3."""
    return "+".join(name.removeprefix("plate ").removeprefix("day ") for name in names)


def score_domain(cohort: Cohort, domain: str, probability: np.ndarray) -> Iterator[tuple[str, str, float]]:
    """Score the rows of one domain, and its units: yield level, metric and value."""
    rows = np.asarray(cohort.domain) == cohort.names.domains.index(domain)
    label, unit, probability = cohort.label[rows], cohort.unit[rows], probability[rows]
    levels = {"sample": (label, probability)}
    _, first = np.unique(unit, return_index=True)
    if len(first) < len(unit):
        levels["unit"] = label[first], unit_medians(probability, unit)[first]
    for level, (truth, each) in levels.items():
        report = classification_report(truth, probability=each, classes=range(cohort.n_labels))
        yield from ((level, NAMES[metric], value) for metric, value in report.items())


def score(cohort: Cohort, parts: Sequence[Task], probability: np.ndarray) -> Scores:
    """Return the scores of every target of every task, from probabilities (tasks, seeds, rows, classes)."""
    found: Scores = {}
    for one, seeds in zip(parts, probability, strict=True):
        for target in one.targets:
            where = short_name(*one.sources), short_name(target)
            for number, each in enumerate(seeds):
                for level, metric, value in score_domain(cohort, target, each):
                    values = found.setdefault((level, metric), {}).setdefault(where, np.empty(len(seeds)))
                    values[number] = value
    return found


def summary_rows(found: Scores, **named: Any) -> list[dict]:
    """Return rows over seeds: of every task, every target over its choices of sources, and the average of all."""
    rows = []
    for (level, metric), cells in found.items():
        groups: dict[tuple[str, str], list[np.ndarray]] = {where: [each] for where, each in cells.items()}
        for target in dict.fromkeys(where[1] for where in cells):
            choices = [source for source, other in cells if other == target]
            groups["|".join(choices), target] = [cells[source, target] for source in choices]
        groups["all", "all"] = list(cells.values())
        for (source, target), values in groups.items():
            each = np.mean(values, axis=0)
            rows.append(
                row(
                    **named, source=source, target=target, level=level, metric=metric,
                    mean=rounded(each.mean()), seeds=len(each),
                    sd=rounded(each.std(ddof=1)) if len(each) > 1 else None,
                )
            )  # fmt: skip
    return rows


def row(**fields: Any) -> dict:
    """Return a row with all its fields, which are None where they are not given."""
    names = (
        "table",
        "dataset",
        "method",
        "source",
        "target",
        "level",
        "metric",
        "mean",
        "sd",
        "seeds",
        "published",
    )
    return dict.fromkeys(names) | fields


def table_row(metric: str, value: float, **fields: Any) -> dict:
    """Return a row about a whole table."""
    return row(**fields, level="table", metric=metric, mean=round(value, 1))


def units_per_domain(cohort: Cohort) -> float:
    """Return the mean number of units in a domain."""
    return len(np.unique(cohort.unit)) / len(cohort.names.domains)


def pick(rows: Sequence[dict], **fields: Any) -> list[dict]:
    """Return the rows that have these values."""
    return [row for row in rows if all(row.get(name) == value for name, value in fields.items())]


def rounded(value: float) -> float:
    return round(float(value), 4)


def published_rows(data: Data, table: str, *, inside: bool = False) -> list[dict]:
    """Return rows of the papers' numbers, if these are at hand: ``inside`` one batch, or between batches."""
    found = [
        line
        for line in published.read(*PAPERS)
        if line["dataset"] == data.published
        and line["table"] in data.tables
        and line["metric"] in PRINTED
        and (line["method"] == "crossvalidation") == inside
    ]
    rows = [
        row(
            table=table,
            dataset=data.name,
            method=f"{line['method'].replace('_', ' ')} ({line['table']})",
            source=line["source"],
            target=line["target"],
            level=line["level"],
            metric=PRINTED[line["metric"]],
            published=float(line["value"]),
        )
        for line in found
    ]
    return rows + averages(rows)


def averages(rows: Sequence[dict]) -> list[dict]:
    """Return the mean over targets of printed numbers, where the papers do not print it."""
    cells: dict[tuple[str, str, str], list[dict]] = {}
    for row in rows:
        cells.setdefault((row["method"], row["level"], row["metric"]), []).append(row)
    return [
        each[0]
        | {
            "source": "all",
            "target": "all",
            "published": rounded(np.mean([row["published"] for row in each])),
        }
        for each in cells.values()
        if all(row["target"] != "all" for row in each)
    ]


def classifiers() -> dict[str, Any]:
    """Return the simple classifiers."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return {
        # The scale is that of the sources together, and only there for the solver and its penalty.
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)),
        "gradient boosting": HistGradientBoostingClassifier(random_state=0),
    }


def representations(cohort: Cohort) -> dict[str, np.ndarray]:
    """Return what simple pipelines see: raw values, logs z-scored by domain, and the inputs of our default."""
    x = np.asarray(cohort.x)
    logs = Inputs(log=True, level="keep", scale="domain")
    return {
        "raw": x,
        "z-score per domain": standardised(cohort, np.maximum(x, 0), logs),
        "our inputs": standardised(cohort, x, jbc.JointCalibration().inputs),
    }


def standardised(cohort: Cohort, x: np.ndarray, inputs: Inputs) -> np.ndarray:
    """Return values of the rows of a cohort as a network sees them."""
    given = jnp.asarray(x), jnp.asarray(cohort.domain)
    tables = inputs.measure(*given, jnp.asarray(cohort.weight), len(cohort.names.domains))
    return np.asarray(inputs.apply(tables, *given))


def simple_pipelines(cohort: Cohort, parts: Sequence[Task]) -> Iterator[tuple[str, np.ndarray]]:
    """Fit the simple pipelines to the labels of the sources; yield their name and probabilities (tasks, 1, n, K)."""
    for seen, x in representations(cohort).items():
        for learner, model in classifiers().items():
            probability = np.zeros((len(parts), 1, len(x), cohort.n_labels))
            for number, one in enumerate(parts):
                known = np.asarray(one.cohort.label) >= 0
                with threadpool_limits(1):  # beside other programs, threads wait for each other
                    model.fit(x[known], one.cohort.label[known])
                    probability[number, 0][:, model.classes_] = model.predict_proba(x)
            yield f"{seen} + {learner}", probability
