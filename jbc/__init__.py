"""jbc: batch correction in pure JAX.

Names load when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jbc import metrics, plots
    from jbc.cohort import Cohort
    from jbc.data import datasets
    from jbc.errors import InputError, InputWarning
    from jbc.interfaces.estimator import Corrector, load
    from jbc.interfaces.scverse import correct
    from jbc.methods import presets
    from jbc.methods.adversarial import AdversarialCorrection
    from jbc.methods.closed_form import Coral, Percentiles, QuantileMap, Standardise, TypicalVariation
    from jbc.methods.denoising_autoencoder import DenoisingAutoencoder
    from jbc.methods.joint import JointCalibration
    from jbc.methods.mmd_resnet import MMDResNet
    from jbc.methods.neuron_editing import NeuronEditing
    from jbc.methods.pairwise import PairwiseCalibration
    from jbc.methods.regularised_autoencoder import RegularisedAutoencoder
    from jbc.methods.wasserstein import WassersteinAlignment

__version__ = "0.1.0"

_HOMES = {
    "AdversarialCorrection": "jbc.methods.adversarial",
    "Cohort": "jbc.cohort",
    "Coral": "jbc.methods.closed_form.coral",
    "Corrector": "jbc.interfaces.estimator",
    "DenoisingAutoencoder": "jbc.methods.denoising_autoencoder",
    "InputError": "jbc.errors",
    "InputWarning": "jbc.errors",
    "JointCalibration": "jbc.methods.joint",
    "MMDResNet": "jbc.methods.mmd_resnet",
    "NeuronEditing": "jbc.methods.neuron_editing",
    "PairwiseCalibration": "jbc.methods.pairwise",
    "Percentiles": "jbc.methods.closed_form.percentiles",
    "QuantileMap": "jbc.methods.closed_form.quantile_map",
    "RegularisedAutoencoder": "jbc.methods.regularised_autoencoder",
    "Standardise": "jbc.methods.closed_form.standardise",
    "TypicalVariation": "jbc.methods.closed_form.typical_variation",
    "WassersteinAlignment": "jbc.methods.wasserstein",
    "correct": "jbc.interfaces.scverse",
    "load": "jbc.interfaces.estimator",
}
_MODULES = {
    "datasets": "jbc.data.datasets",
    "metrics": "jbc.metrics",
    "plots": "jbc.plots",
    "presets": "jbc.methods.presets",
}

__all__ = [
    "AdversarialCorrection", "Cohort", "Coral", "Corrector", "DenoisingAutoencoder", "InputError", "InputWarning",
    "JointCalibration", "MMDResNet", "NeuronEditing", "PairwiseCalibration", "Percentiles", "QuantileMap",
    "RegularisedAutoencoder", "Standardise", "TypicalVariation", "WassersteinAlignment", "correct", "datasets",
    "load", "metrics", "plots", "presets",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'jbc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
