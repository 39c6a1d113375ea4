"""Tables, data sets by name, and simulated worlds with a known answer."""

from __future__ import annotations

from jbc.data.atomic import atomic_path
from jbc.data.dense import densify
from jbc.data.simulate import World, simulate_plates, simulate_shift
from jbc.data.simulate_screen import simulate_screen
from jbc.data.tables import Table, read_table
from jbc.data.write import write_table

__all__ = [
    "Table",
    "World",
    "atomic_path",
    "densify",
    "read_table",
    "simulate_plates",
    "simulate_screen",
    "simulate_shift",
    "write_table",
]
