"""How far domains are apart as measured and in the spaces of joint calibration: MMD tables and t-SNE figures.

python experiments/joint/spaces.py [--tables cytof-person1 cytof-person2 chd mi] trains each method once (the first
domains are sources, the last one's labels are hidden), compares 500 rows of two domains again and again, as both
papers do, writes experiments/results/joint_spaces.json, where rows of other tables stay, and draws
docs/benchmarks/figures/joint_tsne_<table>.png.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import tyro

import jbc
from experiments._lib import figures, pages, program, published, results
from experiments.joint import tasks
from experiments.joint.methods import shortened
from experiments.joint.tasks import Task
from jbc import metrics, plots
from jbc.data import cache
from jbc.methods.base import Encodes
from jbc.methods.inputs import signed_logarithm

Table = Literal["cytof-person1", "cytof-person2", "chd", "mi"]
NAME = "joint_spaces"
WIDTHS = (1.0, 2.0, 4.0, 8.0, 16.0)  # of the kernels of the released programs
KERNELS = {"fixed": "kernels of the programs", "median": "kernels by the median distance"}
METRICS = "between", "inside"
SHOWN = 1500  # rows in a figure


class Compared(NamedTuple):
    """A data set: how many domains are sources, which two are compared, how often, and where that is in print."""

    said: str
    sources: int
    pair: tuple[str, str]
    draws: int
    published: tuple[str, str] | None
    epochs: int = 500  # at most, of the published configuration


TABLES: dict[Table, Compared] = {
    "cytof-person1": Compared(
        "CyTOF, person 1, days 1 and 2", 1, ("1", "2"), 10, ("CyTOF_patient1", "text_1")
    ),
    "cytof-person2": Compared(
        "CyTOF, person 2, days 1 and 2", 1, ("1", "2"), 10, ("CyTOF_patient2", "text_1")
    ),
    "chd": Compared("CHD, plates 3 and 4", 2, ("3", "4"), 30, ("CHD", "text_S1b")),
    "mi": Compared("MI, plates 1 and 3", 2, ("1", "3"), 30, None),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Compare domains before and after joint calibration."""

    tables: tuple[Table, ...] = tuple(TABLES)
    rows: int = 500
    steps: int | None = None  # stop every training there, to see whether everything runs
    out: Path = results.RESULTS  # where the rows go
    figures: Path = Path(__file__).parents[2] / "docs" / "benchmarks" / "figures"


def methods(table: Table) -> dict[str, Any]:
    """Return what makes the spaces; the published configuration by the name of how long it was trained."""
    data = table if table in jbc.presets.JOINT else "cytof"
    told, paper = shortened(jbc.presets.joint(data), TABLES[table].epochs)
    return {
        "`Standardise`, of logarithms": jbc.Standardise(),
        "default": jbc.JointCalibration(),
        f"paper{told}": paper,
    }


def spaces(table: Table, part: Task, steps: int | None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the rows of a cohort as measured, and what every method makes of them: its codes, where it has any."""
    cohort = part.cohort
    x, names = np.asarray(cohort.x), np.array(cohort.names.domains)
    domain = names[np.asarray(cohort.domain)]
    yield "as measured", x
    for name, method in methods(table).items():
        if isinstance(method, Encodes):
            mixtures = "estimate" if name == "default" else "assume-equal"
            model = jbc.fit(method, cohort, steps=steps, composition=mixtures)
            yield name, np.asarray(model.encode(x, domain))
        else:
            logs = np.asarray(signed_logarithm(x))
            model = jbc.fit(method, jbc.Cohort.from_arrays(logs, domain))
            yield name, np.asarray(model.transform(logs, domain))


def distances(table: Table, x: np.ndarray, part: Task, rows: int) -> Iterator[dict[str, Any]]:
    """Yield rows of the MMD between the two domains of a table, and inside the second one."""
    compared, cohort = TABLES[table], part.cohort
    names = [tasks.short_name(name) for name in cohort.names.domains]
    first, second = (np.asarray(cohort.domain) == names.index(name) for name in compared.pair)
    widths = {"median": metrics.bandwidth_ladder(x[first | second]), "fixed": np.array(WIDTHS)}
    for kernels, bandwidths in widths.items():
        how = {"rows": rows, "draws": compared.draws, "bandwidths": bandwidths}
        found = {
            "between": metrics.mmd(x[first], x[second], **how),
            "inside": metrics.mmd_within(x[second], unit=cohort.unit[second], **how),
        }
        for metric, each in found.items():
            yield {
                "kernels": kernels, "metric": metric, "mean": tasks.rounded(each.mean()),
                "sd": tasks.rounded(each.std(ddof=1)), "draws": len(each),
            }  # fmt: skip


def compare(table: Table, options: Options) -> list[dict]:
    """Return the rows of a table, and draw its figure."""
    cohort, compared = tasks.load(table), TABLES[table]
    part = tasks.make_task(cohort, cohort.names.domains[: compared.sources])
    rows, shown = [], {}
    for name, x in spaces(table, part, options.steps):
        shown[name] = x
        rows += [{"table": table, "method": name} | row for row in distances(table, x, part, options.rows)]
    draw(table, shown, cohort, options.figures)
    return rows + printed(table)


def printed(table: Table) -> list[dict]:
    """Return the printed distances of a table."""
    if TABLES[table].published is None:
        return []
    lines = [
        line
        for line in published.read(*tasks.PAPERS)
        if (line["dataset"], line["table"]) == TABLES[table].published
    ]
    value = {line["statistic"]: float(line["value"]) for line in lines if line["metric"] == "mmd"}
    if not value:
        return []
    return [{
        "table": table, "method": "ours, in print", "metric": "between", "published": value["mean"],
        "published_sd": value["std"],
    }]  # fmt: skip


def draw(table: Table, shown: dict[str, np.ndarray], cohort: jbc.Cohort, folder: Path) -> None:
    """Draw all spaces by domain and by label; codes of different methods have no axes in common."""
    domain = np.array([tasks.short_name(name) for name in cohort.names.domains])[np.asarray(cohort.domain)]
    label = np.array(cohort.names.labels)[cohort.label]
    titled = {name.replace("`", "").partition(",")[0]: x for name, x in shown.items()}
    axes = plots.side_by_side(titled, domain, label, kind="tsne", common=False, rows=SHOWN)
    figures.keep(axes.flat[0].figure, folder / f"joint_tsne_{table}.png")


def markdown(rows: Sequence[dict]) -> str:
    """Return a table of distances for every data set, with what is in print below."""
    parts = []
    for table, compared in TABLES.items():
        own = tasks.pick(rows, table=table)
        lines = []
        for method in dict.fromkeys(row["method"] for row in own):
            of = tasks.pick(own, method=method)
            if "published" in of[0]:
                lines.append(
                    [f"*{method}*", pages.number(of[0]["published"], of[0]["published_sd"]), "", "", ""]
                )
                continue
            cells = [
                pages.number(row["mean"], row["sd"])
                for kernels in KERNELS
                for metric in METRICS
                for row in tasks.pick(of, kernels=kernels, metric=metric)
            ]
            lines.append([method, *cells])
        head = [
            "",
            *(f"{metric}, {KERNELS[kernels]}" for kernels in KERNELS for metric in METRICS),
        ]
        if lines:
            picture = f"![t-SNE of every space, by domain and by label](figures/joint_tsne_{table}.png)"
            parts += [f"**{compared.said}**", pages.table(head, lines), picture]
    return "\n\n".join(parts)


def main() -> None:
    """Make the tables that are asked for."""
    options = tyro.cli(Options)
    cache.keep_compiled()
    path = options.out / f"{NAME}.json"
    for table in options.tables:
        rows = compare(table, options)
        kept = [row for row in results.read_from(path) if row["table"] != table]
        order = {name: place for place, name in enumerate(TABLES)}
        rows = sorted(kept + rows, key=lambda row: order[row["table"]])
        results.write(path, results.describe_run(options), rows)
    print(markdown(rows))


if __name__ == "__main__":
    program.run(main)
