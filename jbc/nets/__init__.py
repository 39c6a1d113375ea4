"""Networks, and the train state that carries them. The only package that imports linen."""

from jbc.nets.autoencoder import Autoencoder, Chain
from jbc.nets.calibration import Calibrator, Classifier, Family, Reconstructor
from jbc.nets.layers import DomainNorm
from jbc.nets.player import Player
from jbc.nets.residual import Discriminator, Mover, Start

__all__ = [
    "Autoencoder",
    "Calibrator",
    "Chain",
    "Classifier",
    "Discriminator",
    "DomainNorm",
    "Family",
    "Mover",
    "Player",
    "Reconstructor",
    "Start",
]
