"""Data sets by name: `names`, `describe`, `fetch` and `load`."""

from __future__ import annotations

from jbc.data.datasets.catalogue import describe, names
from jbc.data.datasets.files import fetch
from jbc.data.datasets.load import load

__all__ = ["describe", "fetch", "load", "names"]
