"""jbc: batch correction in pure JAX.

Names load when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jbc import datasets, metrics, plots, presets
    from jbc.anndata_face import correct
    from jbc.baselines import Coral, Percentiles, QuantileMap, Standardise, TypicalVariation
    from jbc.cohort import Cohort
    from jbc.errors import InputError, InputWarning
    from jbc.estimator import Corrector, load
    from jbc.methods.adversarial import AdversarialCorrection
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
    "Coral": "jbc.baselines.coral",
    "Corrector": "jbc.estimator",
    "DenoisingAutoencoder": "jbc.methods.denoising_autoencoder",
    "InputError": "jbc.errors",
    "InputWarning": "jbc.errors",
    "JointCalibration": "jbc.methods.joint",
    "MMDResNet": "jbc.methods.mmd_resnet",
    "NeuronEditing": "jbc.methods.neuron_editing",
    "PairwiseCalibration": "jbc.methods.pairwise",
    "Percentiles": "jbc.baselines.percentiles",
    "QuantileMap": "jbc.baselines.quantiles",
    "RegularisedAutoencoder": "jbc.methods.regularised_autoencoder",
    "Standardise": "jbc.baselines.standardise",
    "TypicalVariation": "jbc.baselines.tvn",
    "WassersteinAlignment": "jbc.methods.wasserstein",
    "correct": "jbc.anndata_face",
    "load": "jbc.estimator",
}
_MODULES = ("datasets", "metrics", "plots", "presets")

__all__ = [
    "AdversarialCorrection", "Cohort", "Coral", "Corrector", "DenoisingAutoencoder", "InputError", "InputWarning",
    "JointCalibration", "MMDResNet", "NeuronEditing", "PairwiseCalibration", "Percentiles", "QuantileMap",
    "RegularisedAutoencoder", "Standardise", "TypicalVariation", "WassersteinAlignment", "correct", "datasets",
    "load", "metrics", "plots", "presets",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"jbc.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'jbc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
