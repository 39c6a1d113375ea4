"""Data sets by name: `names`, `describe`, `fetch` and `load`."""

from __future__ import annotations

from jbc.data.datasets.catalogue import describe, names
from jbc.data.datasets.load import fetch, load

__all__ = ["describe", "fetch", "load", "names"]
