"""Tables, data sets by name, and simulated worlds with a known answer."""

from __future__ import annotations

from jbc.data.counts import prepare_counts
from jbc.data.io.atomic import atomic_path
from jbc.data.io.tables import Table, read_table
from jbc.data.io.write import write_table
from jbc.data.simulate.cytometry import SpikeIn, simulate_spike_in
from jbc.data.simulate.drugs import Drugs, simulate_drugs
from jbc.data.simulate.plates import World, simulate_plates, simulate_shift
from jbc.data.simulate.run import Run, simulate_run
from jbc.data.simulate.screen import simulate_screen
from jbc.validation.dense import densify

__all__ = [
    "Drugs",
    "Run",
    "SpikeIn",
    "Table",
    "World",
    "atomic_path",
    "densify",
    "prepare_counts",
    "read_table",
    "simulate_drugs",
    "simulate_plates",
    "simulate_run",
    "simulate_screen",
    "simulate_shift",
    "simulate_spike_in",
    "write_table",
]
