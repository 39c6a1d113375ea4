"""Networks, and the train state that carries them. The only package that imports linen."""

from jbc.nets.coders import Autoencoder, Chain
from jbc.nets.directed import Discriminator, Mover, Start
from jbc.nets.joint import Calibrator, Classifier, Family, Reconstructor
from jbc.nets.layers import DomainNorm
from jbc.nets.player import Player

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
