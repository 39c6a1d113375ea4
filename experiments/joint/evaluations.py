"""The papers' evaluations beside accuracy: permuted labels, differential features, biomarkers, confusion, variables.

python experiments/joint/evaluations.py [--shuffles 100] [--draws 100] [--figures docs/benchmarks/figures] trains on
MI and CHD, writes experiments/results/joint_evaluations.json, and draws four figures. CHD is skipped where its plates
are not below JBC_DATA.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

import jax
import numpy as np
import tyro

import jbc
from experiments._lib import figures, pages, program, results
from experiments.joint import tasks
from jbc import metrics, plots
from jbc.cohort import Cohort
from jbc.data import cache
from jbc.train import fit_lanes, predict_lanes

SHOWN = {"measured": "measured", "Standardise": "z-score by plate", "joint": "joint, own labels hidden"}
RULES = {"spectra": "p < 0.05 by spectra", "p": "p < 0.05", "q": "q ≤ 0.05", "biomarkers": "biomarkers"}
CHOSEN = 6  # features in boxes
CLASSES = {"0": "control", "1": "MI"}  # what the papers call the labels of MI


@dataclasses.dataclass(frozen=True)
class Options:
    """Run the evaluations."""

    shuffles: int = 100
    draws: int = 100
    steps: int | None = None  # stop every training there, to see whether everything runs
    figures: Path = Path(__file__).parents[2] / "docs/benchmarks/figures"  # where the figures go
    out: Path = results.RESULTS / "joint_evaluations.json"  # where the rows go


class Tables(NamedTuple):
    """A data set as measured and corrected, in the cohort's order, and the probabilities of its hidden classes."""

    cohort: Cohort
    x: dict[str, np.ndarray]
    probability: np.ndarray


def corrected(cohort: Cohort, steps: int | None) -> Tables:
    """Correct every domain by the model that did not see its labels: domains are hidden in turn, as lanes."""
    method, domains = jbc.JointCalibration(), cohort.names.domains
    parts = [cohort.mask_labels(name) for name in domains]
    run = fit_lanes(method, parts, jax.random.split(jax.random.key(0), len(parts)), steps=steps)
    probability = jax.nn.softmax(predict_lanes(method, run.fitted, cohort.x, cohort.domain))
    rows, place = np.arange(len(cohort.x)), np.asarray(cohort.domain)
    lane = [jax.tree.map(lambda leaf, k=k: leaf[k], run.fitted) for k in range(len(parts))]
    joint = np.stack([jax.jit(method.transform)(each, cohort.x, cohort.domain) for each in lane])
    measured = np.asarray(cohort.x) + (0 if cohort.offset is None else cohort.offset)
    named = np.array(domains)[place]
    standardised = jbc.fit(jbc.Standardise(), Cohort.from_arrays(measured, named), composition="assume-equal")
    x = {
        "measured": measured,
        "Standardise": standardised.transform(measured, named),
        "joint": joint[place, rows],
    }
    return Tables(cohort, x, np.asarray(probability)[place, rows])


def permuted(cohort: Cohort, options: Options) -> Iterator[dict]:
    """Yield the row of the permutation test: labels of all plates but the last are shuffled."""
    *sources, target = cohort.names.domains
    found = jbc.model_selection.permutation_test_score(
        jbc.Corrector(jbc.JointCalibration(), steps=options.steps),
        cohort.x,
        np.array(cohort.names.labels)[cohort.label],
        domain=np.array(cohort.names.domains)[cohort.domain],
        unit=cohort.unit,
        hidden=target,
        shuffles=options.shuffles,
    )
    yield {
        "table": "permutation",
        "dataset": "mi",
        "source": tasks.short_name(*sources),
        "target": tasks.short_name(target),
        "observed": tasks.rounded(found.observed),
        "p": tasks.rounded(found.p),
        "null": [tasks.rounded(each) for each in found.null],
    }


def selected(tables: Tables, draws: int) -> dict[tuple[str, str], np.ndarray]:
    """Return which features every rule selects in every domain, by data and rule."""
    cohort = tables.cohort
    given: dict[str, Any] = {"label": cohort.label, "domain": np.asarray(cohort.domain), "unit": cohort.unit}
    found = {}
    for name, x in tables.x.items():
        tested = metrics.differential_features(x, **given)
        by_rows = metrics.differential_features(x, cohort.label, np.asarray(cohort.domain))
        found[name, "spectra"] = by_rows.selected(adjusted=False)
        found[name, "p"] = tested.selected(adjusted=False)
        found[name, "q"] = tested.selected()
        found[name, "biomarkers"] = metrics.biomarkers(x, **given, draws=draws).selected
    return found


def overlap_rows(dataset: str, tables: Tables, found: dict[tuple[str, str], np.ndarray]) -> Iterator[dict]:
    """Yield how many features are selected in every domain, and how many in all of them."""
    for (data, rule), sets in found.items():
        overlap = metrics.overlap(sets)
        yield {
            "table": "features",
            "dataset": dataset,
            "data": data,
            "rule": rule,
            "domains": [tasks.short_name(name) for name in tables.cohort.names.domains],
            "features": sets.shape[1],
            "selected": sets.sum(axis=1).tolist(),
            "common": overlap.common,
            "expected": round(overlap.expected, 1),
        }


def confusion_rows(dataset: str, tables: Tables) -> Iterator[dict]:
    """Yield confusion matrices of every hidden domain, by row and by unit."""
    cohort = tables.cohort
    for g, name in enumerate(cohort.names.domains):
        rows = np.asarray(cohort.domain) == g
        unit, truth = cohort.unit[rows], cohort.label[rows]
        told = {"sample": (truth, tables.probability[rows])}
        _, first = np.unique(unit, return_index=True)
        told["unit"] = truth[first], metrics.unit_medians(tables.probability[rows], unit)[first]
        for level, (true, probability) in told.items():
            classes = range(cohort.n_labels)
            counts = metrics.confusion_matrix(true, probability.argmax(axis=1), classes=classes).counts
            yield {
                "table": "confusion",
                "dataset": dataset,
                "source": tasks.short_name(*(each for each in cohort.names.domains if each != name)),
                "target": tasks.short_name(name),
                "level": level,
                "classes": [str(each) for each in cohort.names.labels],
                "counts": counts.tolist(),
            }


def variable_rows(dataset: str, tables: Tables) -> Iterator[dict]:
    """Yield what plates and classes explain of the variance of standardised logarithms."""
    cohort = tables.cohort
    table = {"plate": np.asarray(cohort.domain).astype(str), "class": cohort.label.astype(str)}
    for data, x in tables.x.items():
        logs = np.log(np.maximum(x, 1.0))
        logs = (logs - logs.mean(axis=0)) / np.maximum(logs.std(axis=0), 1e-3)
        for each in metrics.rank_variables(logs, table, unit=cohort.unit).variables:
            found = {"variable": each.name, "share": tasks.rounded(each.share), "p": tasks.rounded(each.p)}
            yield {"table": "variables", "dataset": dataset, "data": data, **found}


def draw(
    folder: Path, tables: Tables, found: dict[tuple[str, str], np.ndarray], rows: Sequence[dict]
) -> None:
    """Draw the figures of MI."""
    ax = plots.axes(4.6, 2.8)
    (test,) = (row for row in rows if row["table"] == "permutation")
    name = f"accuracy on plate {test['target']}"
    plots.permutation_null(ax, test["null"], test["observed"], p=test["p"], xlabel=name)
    figures.save(ax.figure, folder / "joint_permutation.png", dpi=80)

    sets = {SHOWN[data]: found[data, "biomarkers"] for data in ("measured", "joint")}
    axes = plots.upset(sets, tables.cohort.names.domains, ylabel="biomarkers")
    figures.save(axes[0].figure, folder / "joint_overlap.png", dpi=80)

    shown = [row for row in rows if row["table"] == "confusion" and row["level"] == "sample"]
    figure, panels = figures.panels(1, len(shown), 2.5, 2.7)
    for ax, row in zip(panels.flat, shown, strict=True):
        classes = [CLASSES[name] for name in row["classes"]]
        plots.confusion_matrix(ax, row["counts"], classes, title=f"{row['source']} → {row['target']}")
    figures.save(figure, folder / "joint_confusion.png", dpi=80)
    draw_boxes(folder, tables, found["measured", "biomarkers"])


def draw_boxes(folder: Path, tables: Tables, selected: np.ndarray) -> None:
    """Draw the biomarkers of all plates whose largest p value is smallest."""
    x, cohort = tables.x["measured"], tables.cohort
    place = np.asarray(cohort.domain)
    p = metrics.differential_features(x, cohort.label, place, unit=cohort.unit).p.max(axis=0)
    chosen = np.argsort(np.where(selected.all(axis=0), p, 2), kind="stable")[:CHOSEN]
    label = np.array([CLASSES[name] for name in cohort.names.labels])[cohort.label]
    names = [f"m/z {name}" for name in jbc.datasets.load("mi").var_names[chosen]]
    domain = np.array(cohort.names.domains)[place]
    axes = plots.feature_boxes(x[:, chosen], label, domain, names=names, ylabel="intensity")
    figures.save(axes[0].figure, folder / "joint_biomarkers.png", dpi=80)


def markdown(rows: Sequence[dict]) -> str:
    """Return the section of the page: tables, figures and what they say."""
    (test,) = (row for row in rows if row["table"] == "permutation")
    null = np.array(test["null"])
    return "\n\n".join(
        [
            "## Permuted labels, differential features, confusion (Figures S1a of [1], 3a–c of [2])",
            f"Training labels of MI plates {test['source']} are shuffled between subjects {len(null)} times, the "
            "default is trained on each, all as lanes of one program, and the rows of plate "
            f"{test['target']} are classified. Their accuracy is {pages.number(null.mean(), null.std(ddof=1))}, at "
            f"most {null.max():.3f}, against {test['observed']:.3f} with the true labels: p = {test['p']:.2g}, where "
            f"{1 / (1 + len(null)):.2g} is the smallest that {len(null)} shuffles can give.",
            "![Accuracy with shuffled and with true labels](figures/joint_permutation.png)",
            *_feature_words(rows),
            _feature_table(rows),
            "![Biomarkers by plate, measured and corrected](figures/joint_overlap.png)",
            "![Six biomarkers by plate and class](figures/joint_biomarkers.png)",
            "Of the variance of standardised logarithms, plates and classes explain these shares "
            "(`jbc.metrics.rank_variables`, by subjects):",
            _variable_table(rows),
            "Confusion of the default on MI, two plates to the third:",
            "![Confusion matrices of MI](figures/joint_confusion.png)",
        ]
    )


def _feature_words(rows: Sequence[dict]) -> tuple[str, str]:
    about = {"table": "features", "dataset": "mi", "data": "measured", "rule": "spectra"}
    spectra = next(row for row in rows if about.items() <= row.items())
    return (
        "Features that differ between classes, in every plate and in all of them: by a rank-sum test of subjects "
        "with p < 0.05, with a false discovery rate of 5 %, and biomarkers, selected in more than 90 % of bootstrap "
        "samples with p < 0.05 (3a). A plate is corrected by the joint model that did not see its labels. *By "
        "chance* is what random sets of these sizes have in common.",
        'S1a counts 82 features that "the three batches" have in common, of about 200 in each, by another test '
        "(BPSC, p < 0.05), and takes so few for a sign of batch effects. It does not name the data; MI has three "
        f"plates. Where all its spectra count as independent, ours are {spectra['common']}, and random sets of these "
        f"sizes have {spectra['expected']:.0f} in common: they are no sign of a batch effect. ComBat, z-scores "
        "and whatever else moves and scales the features of a plate leave the order of its rows, and so these tests. "
        "What plates have in common is a matter of effects and of the number of subjects.",
    )


def _feature_table(rows: Sequence[dict]) -> str:
    lines = [
        [
            f"{row['dataset'].upper()}, {RULES[row['rule']]}, {SHOWN[row['data']]}",
            ", ".join(map(str, row["selected"])),
            str(row["common"]),
            str(row["expected"]),
        ]
        for row in sorted(rows, key=lambda row: list(RULES).index(row.get("rule", "p")))
        if row["table"] == "features"
    ]
    return pages.table(
        ["", "by plate", "in common", "by chance"], sorted(lines, key=lambda line: line[0][:3], reverse=True)
    )


def _variable_table(rows: Sequence[dict]) -> str:
    shares: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["table"] == "variables":
            name = f"{row['dataset'].upper()}, {SHOWN[row['data']]}"
            shares.setdefault(name, {})[row["variable"]] = f"{row['share']:.3f} (p = {row['p']:.2g})"
    return pages.table(
        ["", "plate", "class"], [[name, each["plate"], each["class"]] for name, each in shares.items()]
    )


def main() -> None:
    """Run the evaluations of both data sets."""
    options = tyro.cli(Options)
    with contextlib.suppress(RuntimeError):  # a process that has begun to compute keeps its devices
        jax.config.update("jax_num_cpu_devices", os.cpu_count())
    cache.keep_compiled()
    rows: list[dict] = []
    for dataset in ("mi", "chd"):
        if dataset == "chd" and tasks.missing(dataset):
            print("The CHD plates are not below JBC_DATA: they are skipped, and never downloaded.")
            continue
        tables = corrected(tasks.load(dataset), options.steps)
        found = selected(tables, options.draws)
        rows += [*overlap_rows(dataset, tables, found), *confusion_rows(dataset, tables)]
        rows += variable_rows(dataset, tables)
        if dataset == "mi":
            rows += permuted(tables.cohort, options)
            draw(options.figures, tables, found, rows)
    results.write(options.out, results.describe_run(options), rows)
    print(markdown(rows))


if __name__ == "__main__":
    program.run(main)
