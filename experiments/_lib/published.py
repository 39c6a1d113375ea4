"""The numbers that the papers print: published.csv in the folder papers beside JBC_DATA."""

from __future__ import annotations

import csv
import os
from pathlib import Path


def table() -> Path:
    """Return where the printed numbers are, if they are at hand."""
    return Path(os.environ.get("JBC_DATA", os.devnull)).parent / "papers" / "published.csv"


def read(*papers: str) -> list[dict[str, str]]:
    """Return the printed numbers of these papers, or of all papers; none, and say so, where they are not at hand."""
    if not table().is_file():
        print(f"No {table().name} beside the data: the papers' numbers are left out.")
        return []
    with table().open(encoding="utf-8", newline="") as lines:
        return [line for line in csv.DictReader(lines) if not papers or line["paper"] in papers]
