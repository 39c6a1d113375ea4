"""Pages of results: Markdown tables, lines of the overview, and a note of how the numbers were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import Any, NamedTuple

from experiments._lib import results

# Runs that do not record their date: the day on which their rows were committed.
COMMITTED = {"joint_*": "2026-11-20", "bench_joint": "2026-11-20", "*": "2026-11-21"}


class Source(NamedTuple):
    """Stored rows, the script that makes them, and what it is given as --tables."""

    name: str
    script: str
    table: str = ""


class Line(NamedTuple):
    """One line of the overview: a data set, its score by family of methods, and whether less is better."""

    data: str
    scores: Mapping[str, float | None]
    lower: bool = False
    digits: int = 3


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are aligned to the right."""
    align = "|:--|" + "--:|" * (len(head) - 1)
    return "\n".join([_line(head), align, *map(_line, lines)])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def number(mean: float | None, sd: float | None = None, digits: int = 3) -> str:
    """Return "mean ± sd", the mean alone where there is no deviation, or "" where there is no mean."""
    if mean is None:
        return ""
    return f"{mean:.{digits}f}" + ("" if sd is None else f" ± {sd:.{digits}f}")


def overview(first: str, lines: Sequence[Line]) -> str:
    """Return a table of one number for every data set and family of methods, with the best family and its lead.

    Families are equal where their printed numbers are.
    """
    families = list(dict.fromkeys(family for line in lines for family in line.scores))
    out = []
    for line in lines:
        told = {family: number(line.scores.get(family), digits=line.digits) for family in families}
        ranked = sorted(set(filter(None, told.values())), key=float, reverse=not line.lower)
        best = [family for family in families if told[family] == ranked[0]]
        alone = len(best) == 1 and len(ranked) > 1
        lead = f", by {abs(float(ranked[0]) - float(ranked[1])):.{line.digits}f}" if alone else ""
        cells = [f"**{told[family]}**" if family in best else told[family] for family in families]
        out.append([line.data, *cells, " and ".join(best) + lead])
    return table([first, *families, "best"], out)


def page(parts: Sequence[str], sources: Sequence[Source]) -> str:
    """Return a page: its parts, and how the numbers of the sources were made."""
    return "\n\n".join([*filter(None, parts), provenance(sources)]) + "\n"


def provenance(sources: Sequence[Source]) -> str:
    """Return the commands that gave the rows, their dates, and machine and versions once for all that agree."""
    runs = {source: results.read(source.name)["about"] for source in sources if results.stored(source.name)}
    commands: dict[tuple[str, str], list[str]] = {}
    machines: dict[str, list[str]] = {}
    for source, run in runs.items():
        chosen = " ".join(_option(*each) for each in run["options"].items() if each[1] is not None)
        commands.setdefault((source.script, chosen), []).append(source.table)
        machines.setdefault(_machine(run), []).append(f"`{source.name}`")
    lines = []
    for (script, chosen), tables in commands.items():
        asked = f" --tables {' '.join(tables)}" if any(tables) else ""
        lines.append(f"    python experiments/{script}{asked} {chosen}")
    dates = sorted({run.get("date") or _committed(source.name) for source, run in runs.items()})
    note = f"Stored {' to '.join(dict.fromkeys((dates[0], dates[-1])))}."
    for machine, names in machines.items():
        note += f" {', '.join(names)}: {machine}." if len(machines) > 1 else f" Run on {machine}."
    return "\n\n".join(["## How these numbers were made", "\n".join(lines), note])


def _committed(name: str) -> str:
    return next(date for pattern, date in COMMITTED.items() if fnmatch(name, pattern))


def _machine(run: dict[str, Any]) -> str:
    model = run.get("cpu") or "model not recorded"
    versions = ", ".join(f"{package} {version}" for package, version in run["versions"].items())
    return f"{run['backend']}, {run['cores']} cores ({model}), {versions}"


def _option(name: str, value: Any) -> str:
    name = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} " + (" ".join(map(str, value)) if isinstance(value, list) else str(value))
