"""The demonstration over many simulated worlds: how well three plates are corrected, with spread.

python experiments/plates.py [--seeds 10] writes experiments/results/plates.json and prints the README's table.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import tyro

from jbc.cli import demo_world as demo
from jbc.data import cache

RESULTS = Path(__file__).parent / "results" / "plates.json"


@dataclasses.dataclass(frozen=True)
class Options:
    """Repeat the demonstration over seeds of the world and of the training."""

    seeds: int = 10


def table(rows: list[dict]) -> str:
    """Write mean ± standard deviation over seeds as a Markdown table."""
    names = [name for name in rows[0] if name not in ("seed", "table")]
    lines = ["| | " + " | ".join(names) + " |", "|:--|" + "--:|" * len(names)]
    for outcome in dict.fromkeys(row["table"] for row in rows):
        cells = []
        for name in names:
            values = [row[name] for row in rows if row["table"] == outcome]
            cells.append(f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")
        lines.append(f"| {outcome} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run all seeds."""
    options = tyro.cli(Options)
    cache.keep_compiled()
    rows = [{"seed": seed} | row for seed in range(options.seeds) for row in demo.compare(seed)[-1]]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
