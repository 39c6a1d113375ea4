"""What the tables of joint calibration compare: our default, the published configurations, parts left out."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jbc
from jbc.methods.base import Trainable
from jbc.methods.prepare import Mixtures
from jbc.methods.rules import changed

PAIR_EPOCHS = 200
SHORT = f", {PAIR_EPOCHS} of 2000 epochs"
STILL = "reference, idle players stand still"
PAIRWISE = f"pairwise{SHORT}"
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


class Compared(NamedTuple):
    """A method, and what it is trained on: all domains, one source at a time, or the rows of the sources alone.

    With one source at a time, scores are averaged over the sources, as the many-batch paper does. What is published
    knows nothing of domains that hold different mixtures.
    """

    method: Trainable
    given: Literal["domains", "one source", "pooled sources"] = "domains"
    composition: Mixtures = "assume-equal"


DEFAULT = Compared(jbc.JointCalibration(), composition="estimate")


def compared_methods(table: str, epochs: int) -> dict[str, Compared]:
    """Return what is trained for a table; the published two-batch method has at most this number of epochs."""
    if table == "sc-mixology":  # nothing was published for these cells
        return {"default": DEFAULT}
    if table == "cytof":
        return {"default": DEFAULT} | of_two_batches(epochs)  # there is only one pair
    pairwise = DEFAULT._replace(method=jbc.PairwiseCalibration(DEFAULT.method))
    if table == "pairs":
        alone = jbc.presets.joint_baseline("mi", family="twobatch")
        return {
            "default": pairwise,
            f"Remove_R{SHORT}": Compared(jbc.PairwiseCalibration(of_spectra(rebuild="none"))),
            "baseline network": Compared(alone, "pooled sources"),
        }
    shown = {truth: Compared(jbc.presets.joint(table, truth)) for truth in ("paper", "reference")}
    return {
        "default": DEFAULT,
        "default, pairwise": pairwise,
        **shown,
        STILL: Compared(jbc.presets.joint(table, "reference", idle_moves=False)),
        "paper, Recon_T": Compared(jbc.presets.joint(table, rebuild="all")),
        "paper, L1 norm of (1)": Compared(jbc.presets.joint(table, discrepancy="l1")),
        PAIRWISE: Compared(jbc.PairwiseCalibration(of_spectra()), "one source"),
        "baseline network": Compared(jbc.presets.joint_baseline(table), "pooled sources"),
    }


def of_spectra(**changes: Any) -> jbc.JointCalibration:
    """Return the two-batch method as its program has it for spectra, but for the epochs."""
    training = jbc.Training(rows=200, epochs=PAIR_EPOCHS)
    return jbc.presets.joint("cytof", "reference", training=training, **changes)


def inside(data: str) -> dict[str, Trainable]:
    """Return what is cross-validated inside a domain: the default, and the published network.

    The two-batch paper does not tell how its own was trained: as that of the many-batch paper here.
    """
    family = "multibatch" if data == "mi" else "twobatch"
    network = jbc.presets.joint_baseline("within", family=family)
    return {"default": jbc.JointCalibration(), "published network": network}


def of_two_batches(epochs: int) -> dict[str, Compared]:
    """Return the published two-batch method, its ablation, and its classifier without any calibration."""
    alone = {"calibrate": False, "align": 0.0, "reconstruct": 0.0, "rebuild": "none"}
    variants = {
        "reference": {},
        "paper": {},
        "paper, Remove_R": {"rebuild": "none"},
        "baseline network": alone,
    }
    found = {}
    for name, changes in variants.items():
        method = jbc.presets.joint("cytof", "reference" if name == "reference" else "paper", **changes)
        told, method = shortened(method, epochs)
        found[f"{name}{told}"] = Compared(method)
    return found


def shortened(method: jbc.JointCalibration, epochs: int) -> tuple[str, jbc.JointCalibration]:
    """Return a method with at most this number of epochs, and how its name tells that it had more."""
    asked = method.training.epochs
    told = f", {epochs} of {asked} epochs" if epochs < asked else ""
    return told, changed(method, {"training.epochs": min(epochs, asked)})
