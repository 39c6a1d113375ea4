"""The demonstration over many simulated worlds: how well three plates are corrected, with spread.

python experiments/joint/plates.py [--seeds 10] writes experiments/results/plates.json and prints the README's table.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import tyro

from experiments._lib import pages, program, results

RESULTS = results.RESULTS / "plates.json"


@dataclasses.dataclass(frozen=True)
class Options:
    """Repeat the demonstration over seeds of the world and of the training."""

    seeds: int = 10
    out: Path = RESULTS  # where the rows go


def stored_rows() -> list[dict]:
    """Return the stored rows."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def table(rows: Sequence[dict]) -> str:
    """Return mean ± standard deviation over seeds as a Markdown table."""
    names = [name for name in rows[0] if name not in ("seed", "table")]
    lines = []
    for outcome in dict.fromkeys(row["table"] for row in rows):
        values = [[row[name] for row in rows if row["table"] == outcome] for name in names]
        cells = [(statistics.mean(v), statistics.stdev(v) if len(v) > 1 else None) for v in values]
        lines.append([outcome, *(pages.number(*cell) for cell in cells)])
    return pages.table(["", *names], lines)


def main() -> None:
    """Run all seeds."""
    from jbc.cli import demo_world
    from jbc.data import cache

    options = tyro.cli(Options)
    cache.keep_compiled()
    rows = [{"seed": seed} | row for seed in range(options.seeds) for row in demo_world.compare(seed)[-1]]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    program.run(main)
