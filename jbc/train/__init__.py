"""Training: the one loop, lanes, checkpoints, and what hangs on them."""

from jbc.train.early_stopping import Stopping
from jbc.train.hooks import interruptible, log_lines, saving, snapshots
from jbc.train.lanes import fit_lanes, predict_lanes, stack
from jbc.train.loop import Event, Hook, Options, Program, Run, drive, fit
from jbc.train.progress import progress

__all__ = [
    "Event",
    "Hook",
    "Options",
    "Program",
    "Run",
    "Stopping",
    "drive",
    "fit",
    "fit_lanes",
    "interruptible",
    "log_lines",
    "predict_lanes",
    "progress",
    "saving",
    "snapshots",
    "stack",
]
