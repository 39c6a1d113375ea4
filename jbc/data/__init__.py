"""Tables, data sets by name, images, and simulated worlds with a known answer."""

from __future__ import annotations

from jbc.data.atomic import atomic_path
from jbc.data.dense import densify
from jbc.data.digits import DigitEdits, digit_edits
from jbc.data.images import Images, read_images
from jbc.data.simulate import World, simulate_plates, simulate_shift
from jbc.data.simulate_cytometry import SpikeIn, simulate_spike_in
from jbc.data.simulate_drugs import Drugs, simulate_drugs
from jbc.data.simulate_screen import simulate_screen
from jbc.data.tables import Table, read_table
from jbc.data.write import write_table

__all__ = [
    "DigitEdits",
    "Drugs",
    "Images",
    "SpikeIn",
    "Table",
    "World",
    "atomic_path",
    "densify",
    "digit_edits",
    "read_images",
    "read_table",
    "simulate_drugs",
    "simulate_plates",
    "simulate_screen",
    "simulate_shift",
    "simulate_spike_in",
    "write_table",
]
