"""The page on drift along a run, docs/benchmarks/drift.md: its tables and text, made from stored rows."""

from __future__ import annotations

from collections.abc import Sequence

from experiments._lib import pages

# By metric: heading and number of decimals.
METRICS = {
    "RSD": ("RSD, %", 2),
    "RSD < 20 %": ("below 20 %, %", 1),
    "D-ratio": ("D-ratio, %", 1),
    "error": ("error of samples", 3),
}
DATASETS = {"mtbls79": "MTBLS79", "simulated": "simulated"}
HEAD = """"""


def markdown(rows: Sequence[dict]) -> str:
    """Return a table for every data set."""
    parts = []
    for dataset, title in DATASETS.items():
        if found := {(row["method"], row["metric"]): row for row in rows if row["dataset"] == dataset}:
            metrics = [metric for metric in METRICS if any(key[1] == metric for key in found)]
            lines = []
            for method in dict.fromkeys(key[0] for key in found):
                told = (found[method, metric] for metric in metrics)
                cells = [
                    pages.number(row["mean"], row["sd"], METRICS[metric][1])
                    for metric, row in zip(metrics, told, strict=True)
                ]
                lines.append([method, *cells])
            parts += [f"**{title}**", pages.table(["", *(METRICS[metric][0] for metric in metrics)], lines)]
    return "\n\n".join(parts)
