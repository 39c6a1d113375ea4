"""What the tables of joint calibration compare: our default, the published configurations, parts left out."""

from __future__ import annotations

from typing import Any

import jbc
from jbc.methods.base import Trainable
from jbc.methods.rules import changed

TRUTHS = ("reference", "paper")
# One thing changed at a time.
ABLATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "without logarithm": {"inputs.log": False},
    "level of the rows kept": {"inputs.level": "keep"},
    "scale of all domains together": {"inputs.scale": "pooled"},
    "no scale": {"inputs.scale": "none"},
    "no alignment": {"align": 0.0},
    "no reconstruction": {"reconstruct": 0.0},
    "one classifier": {"members": 1},
    "classifier shapes the calibrator": {"coupled": True},
    "no noise on the codes": {"noise": 0.0},
    "no label smoothing": {"smoothing": 0.0},
    "no dropout": {"dropout": 0.0},
    "last weights, no average": {"training.ema_decay": 0.0},
    "100 epochs": {"training.epochs": 100},
    "networks of the many-batch paper": {"family": "multibatch"},
}


def compared_methods(table: str, cell_epochs: int) -> dict[str, Trainable]:
    """Return what is trained for a table; on CyTOF, published configurations have at most ``cell_epochs`` epochs."""
    default = jbc.JointCalibration()
    if table == "sc-mixology":  # nothing was published for these cells
        return {"default": default}
    if table != "cytof":
        published = {truth: jbc.presets.joint(table, truth) for truth in TRUTHS}
        return {"default": default, "default, pairwise": jbc.PairwiseCalibration(default)} | published
    found: dict[str, Trainable] = {"default": default}  # with two batches there is only one pair
    for truth in TRUTHS:
        method = jbc.presets.joint(table, truth)
        epochs = min(cell_epochs, method.training.epochs)
        shorter = "" if epochs == method.training.epochs else f", {epochs} of {method.training.epochs} epochs"
        found[f"{truth}{shorter}"] = changed(method, {"training.epochs": epochs})
    return found
