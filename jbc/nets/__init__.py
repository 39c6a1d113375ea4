"""Networks, and the train state that carries them. The only package that imports linen."""

from jbc.nets.autoencoder import MLP, Autoencoder
from jbc.nets.calibration import Calibrator, Classifier, Family, Identity, Reconstructor
from jbc.nets.layers import DomainNorm
from jbc.nets.player import PlayerState
from jbc.nets.residual import Discriminator, ResidualMap, Start

__all__ = [
    "MLP",
    "Autoencoder",
    "Calibrator",
    "Classifier",
    "Discriminator",
    "DomainNorm",
    "Family",
    "Identity",
    "PlayerState",
    "Reconstructor",
    "ResidualMap",
    "Start",
]
