"""Domains that hold different populations, or do not differ at all: what corrections make of them.

python experiments/composition/run.py [--tables cell-lines cytof null plates far] [--worlds PATTERN ...] [--methods
NAME ...] [--seeds 3] corrects every world by every method, scores it by populations that no fit has seen, prints a
line for each, and writes experiments/results/composition_<table>.json, where rows that are not made again stay.
Harmony needs `jbc[bench]`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

# Small decompositions wait longer for their threads than they compute.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import tyro

from experiments._lib import program, results
from experiments._lib.pages import number, table
from experiments.composition import scores
from experiments.composition.methods import ALL, METHODS, Corrected, correct
from experiments.composition.worlds import WORLDS, World
from jbc import metrics
from jbc.data import cache
from jbc.errors import InputError

Table = Literal["cell-lines", "cytof", "null", "plates", "far"]
TABLES: tuple[Table, ...] = ("cell-lines", "cytof", "null", "plates", "far")
CALLED = 0.05  # smaller shares of wrong calls are not stored
SHOWN = (
    "same_line",
    "balanced",
    "worst",
    "ilisi",
    "within",
    "possible",
    "alone",
    "pure",
    "carried_nearest_f",
    "moved_30",
)


@dataclasses.dataclass(frozen=True)
class Options:
    """Correct domains of different composition."""

    tables: tuple[Table, ...] = TABLES
    worlds: tuple[str, ...] = ("*",)  # patterns of names, such as "cell-lines/bridge*"
    methods: tuple[str, ...] = tuple(METHODS)
    seeds: int = 1  # each with a composition and a training of its own
    steps: int | None = None  # stop every training there, to see whether everything runs
    out: Path = results.RESULTS  # where the rows go


def score(world: World, done: Corrected) -> dict[str, Any]:
    """Return all scores of a corrected world."""
    assert done.x is not None
    x, domain, line = done.x, world.domain, world.line
    found: dict[str, Any] = scores.same_line(x, domain, line) | scores.mixing(x, domain, line)
    found |= {f"carried_{name}": value for name, value in carried(x, domain, line).items()}
    if world.target:
        side = np.where(domain == world.target, "target", "others")
        found |= {f"target_{name}": value for name, value in scores.carried(x, side, line, "others").items()}
    found |= {
        f"auc_{name}": value for name, value in scores.class_auc(x, line, domain, unit=world.unit).items()
    }
    found |= {"moved": done.moved, "moved_30": done.moved_30, "effect": scores.domain_effect(x, domain, line)}
    return found | predicted(world, done) | clusters(world, done) | {"called": dict(wrong(x, domain, line))}


def carried(x: np.ndarray, domain: np.ndarray, line: np.ndarray) -> dict[str, float]:
    """Return the means over the domains that labels are carried from."""
    each = [scores.carried(x, domain, line, name) for name in np.unique(domain)]
    return {name: scores.mean([one[name] for one in each]) for name in each[0]}


def predicted(world: World, done: Corrected) -> dict[str, float]:
    """Return the scores of the method's own classifier in the target, over lines that it knows and over all."""
    if done.predicted is None or not world.target:
        return {}
    asked = world.domain == world.target
    known = asked & np.isin(world.line, world.label[world.label != ""])
    out = {"own_accuracy_all": float(np.mean(done.predicted[asked] == world.line[asked]))}
    if known.any():
        out["own_accuracy"] = float(metrics.accuracy(world.line[known], done.predicted[known]))
        out["own_f"] = scores.macro_f(world.line[known], done.predicted[known])
    return out


def clusters(world: World, done: Corrected) -> dict[str, float]:
    """Return the number of soft clusters, and the share of its own line in those of a row, mean over rows."""
    if done.clusters is None:
        return {}
    is_line = (world.line[:, None] == np.unique(world.line)).astype(float)
    share = done.clusters.T @ is_line / np.maximum(done.clusters.sum(axis=0)[:, None], 1e-12)
    purity = (done.clusters @ share * is_line).sum(axis=1).mean()
    return {"clusters": done.clusters.shape[1], "purity": float(purity)}


def wrong(x: np.ndarray, domain: np.ndarray, line: np.ndarray) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield which lines the other domains take for another one though they know both, and their share by domain."""
    for of in np.unique(line):
        knows = [name for name in np.unique(domain) if np.any((domain != name) & (line == of))]
        for as_ in np.unique(line):
            shares = scores.called(x, domain, line, of, as_) if of != as_ and knows else {}
            shares = {name: round(share, 4) for name, share in shares.items() if name in knows}
            if max(shares.values(), default=0.0) > CALLED:
                yield f"{of} as {as_}", shares


def compare(group: str, options: Options) -> list[dict]:
    """Return a row for every world, seed and method, and store what there is after every world.

    Rows that were stored before and are not made again stay.
    """
    path, made = options.out / f"composition_{group}.json", []
    order = {name: place for place, name in enumerate((*WORLDS, *ALL))}
    for name, build in WORLDS.items():
        if name.partition("/")[0] != group or not any(fnmatch(name, each) for each in options.worlds):
            continue
        for seed in range(options.seeds):
            world = build(seed)
            rows = [one_row(world, method, seed, options.steps) for method in options.methods]
            made += rows
            again = {key(row) for row in rows}
            before = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
            known = [row for row in before if row["world"] in WORLDS and row["method"] in ALL]
            kept = [row for row in known if key(row) not in again]
            merged = sorted(
                kept + rows, key=lambda row: (order[row["world"]], row["seed"], order[row["method"]])
            )
            about = results.describe_run(options, "harmonypy")
            about["options"] = {
                "seeds": options.seeds,
                "steps": options.steps,
            }  # others choose rows, and change none
            results.write(path, about, merged)
    return made


def key(row: dict) -> tuple[str, str, int]:
    """Return what tells a row from the others."""
    return row["world"], row["method"], row["seed"]


def one_row(world: World, method: str, seed: int, steps: int | None) -> dict:
    """Correct and score one world by one method, and print the progress."""
    done = correct(method, world, seed, steps)
    found = {} if done.x is None else score(world, done)
    named = {
        "world": world.name, "method": method, "seed": seed, "rows": len(world.x), "features": world.x.shape[1],
        "domains": len(np.unique(world.domain)), "lines": len(np.unique(world.line)), "null": world.null,
        "target": world.target, "seconds": round(done.seconds, 1), "verdict": done.verdict,
        "refused": done.refused, "warned": list(done.warned),
    }  # fmt: skip
    row = named | {key: plain(value) for key, value in found.items()}
    told = ", ".join(f"{key} {number(row.get(key))}" for key in SHOWN if row.get(key) is not None)
    print(f"{world.name} [{seed}], {method}, {done.seconds:.0f} s: {done.refused or told}", flush=True)
    return row


def plain(value: Any) -> Any:
    """Return a number as it is stored; None where there is none."""
    if not isinstance(value, float):
        return value
    return round(value, 4) if np.isfinite(value) else None


def markdown(rows: Sequence[dict]) -> str:
    """Return means over seeds as a Markdown table."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        groups.setdefault((row["world"], row["method"]), []).append(row)
    lines = []
    for (world, method), each in groups.items():
        cells = [[row[key] for row in each if row.get(key) is not None] for key in SHOWN]
        lines.append([world, method, *(number(float(np.mean(cell)) if cell else None) for cell in cells)])
    return table(["world", "method", *SHOWN], lines)


def main() -> None:
    """Correct the worlds of all tables."""
    options = tyro.cli(Options)
    program.known(options.methods, ALL, "--methods")
    if "Harmony" in options.methods and not find_spec("harmonypy"):
        raise InputError(
            "Harmony needs a package that is not installed",
            which=["harmonypy"],
            why="It is an extra, because only this comparison uses it.",
            fix="Install it (pip install 'jbc[bench]'), or name other --methods.",
            code="missing-package",
        )
    cache.keep_compiled()
    for group in options.tables:
        if rows := compare(group, options):
            print(markdown(rows), flush=True)


if __name__ == "__main__":
    program.run(main)
