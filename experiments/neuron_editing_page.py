"""What BENCHMARKS.md says about neuron editing: tables from stored rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from editors import ALONE, DEFAULT, EDITING
from results import grid

TRUTH = "the truth"
FLOOR = "half of the true cells against the other half"
CHOSEN = "pulled as the third run says"
PULLED = ", pulled by "
COLUMNS = {
    "cytonorm": {"w1": "W₁", "mmd2": "MMD²", "r medians": "r of medians (Table 2)"},
    "spike-in": {
        "w1": "W₁",
        "mmd2": "MMD²",
        "cell": "error of a cell",
        "r medians": "r of medians (Table 2)",
    },
    "drugs": {
        "w1": "W₁",
        "cell": "error of a cell",
        "r means": "r of means",
        "r variances": "r of variances (Table 3)",
        "r change": "r of changes of means",
    },
}
Value = dict[tuple[str, str, int], dict[str, float]]


def markdown(table: str, rows: Sequence[dict]) -> str:
    """Write the table of a data set: means over tasks and seeds, with the standard deviation over seeds."""
    value: Value = {(row["method"], row["task"], row["seed"]): row for row in rows}
    if table == "cytonorm":
        value = with_choice(value)
    metrics = COLUMNS[table]
    parts = []
    for title, task in _groups(table, value):
        methods = dict.fromkeys(method for method, _, _ in value)
        extra = ["nearer than single features"] if table == "cytonorm" else []
        lines = [
            [_name(table, method), *(_cell(value, method, task, metric) for metric in metrics)]
            + ([_wins(value, method)] if extra else [])
            for method in methods
        ]
        parts.append(f"{title}{grid(['', *metrics.values(), *extra], lines)}")
    return "\n\n".join(parts)


def with_choice(value: Value) -> Value:
    """Add versions whose pull was chosen on the way to the third run, where the new sample is known as well."""
    runs = sorted({task.split(", ")[0] for _, task, _ in value})
    methods = {method for method, _, _ in value}
    found = dict(value)
    for base in (ALONE, DEFAULT):
        several = [base, *sorted(method for method in methods if method.startswith(base + PULLED))]
        for method, task, seed in value:
            if method != base:
                continue
            a, b, known = task.split(", ")
            (third,) = set(runs) - {a, b}
            best = min(several, key=lambda each: value[each, f"{a}, {third}, {known}", seed]["w1"])
            found[f"{base}, {CHOSEN}", task, seed] = value[best, task, seed]
    return found


def _groups(table: str, value: Value) -> list[tuple[str, str | None]]:
    """Return what is averaged over: all tasks, or each by itself."""
    if table != "drugs":
        return [("", None)]
    return [(f"With {task}:\n\n", task) for task in sorted({task for _, task, _ in value})]


def _of(value: Value, method: str, task: str | None, metric: str) -> np.ndarray:
    """Return the mean over the tasks, for every seed."""
    by_seed = defaultdict(list)
    for (name, where, seed), row in value.items():
        if name == method and task in (None, where):
            by_seed[seed].append(row[metric])
    return np.array([np.mean(each) for each in by_seed.values()])


def _cell(value: Value, method: str, task: str | None, metric: str) -> str:
    each = _of(value, method, task, metric)
    return f"{each.mean():.3f}" + (f" ± {each.std(ddof=1):.3f}" if len(each) > 1 and np.ptp(each) > 0 else "")


def _wins(value: Value, method: str) -> str:
    """Count the tasks in which both distances to the truth are smaller than those of maps of single features."""
    keys = [(task, seed) for name, task, seed in value if name == method]
    better = [
        all(value[(method, *key)][metric] < value[(ALONE, *key)][metric] for metric in ("w1", "mmd2"))
        for key in keys
    ]
    return f"{sum(better)} of {len(better)}" if method not in (ALONE, TRUTH) else ""


def _name(table: str, method: str) -> str:
    named = FLOOR if method == TRUTH and table == "cytonorm" else method
    return f"**{named}**" if named.startswith((EDITING, DEFAULT)) else named
