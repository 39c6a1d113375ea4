"""The runs: one that was measured, and simulated ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jbc.data import simulate_run

FILE = Path("MTBLS79_DIMS", "MTBLS79.csv.gz")


class Measured(NamedTuple):
    """A run: measurements, domains, controls, places; and the answer, where it is known."""

    x: np.ndarray
    domain: np.ndarray
    control: np.ndarray
    order: np.ndarray
    clean: np.ndarray | None = None


def found() -> bool:
    """Return whether the measured run lies below ``JBC_DATA``: it is never downloaded."""
    return Path(os.environ.get("JBC_DATA", os.devnull), FILE).is_file()


def mtbls79() -> Measured:
    """Return 172 injections of MTBLS79 in 8 batches, with the features that no injection lacks.

    The table has the injections in the order of the run.
    """
    import pandas as pd

    table = pd.read_csv(Path(os.environ["JBC_DATA"], FILE), index_col=0)
    x = table.iloc[:, 4:].to_numpy(np.float64)
    x = x[:, ~np.isnan(x).any(axis=0)]
    control = (table["Class"] == "QC").to_numpy()
    return Measured(x, table["Batch"].astype(str).to_numpy(), control, np.arange(len(x)))


def simulated(seed: int, features: int) -> Measured:
    """Return a simulated run of three batches."""
    world = simulate_run(seed, n_features=features)
    return Measured(world.x, world.domain, np.asarray(world.control), world.order, world.clean)
