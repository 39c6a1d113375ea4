"""A GAN of cells and the autoencoder of neuron editing in plain PyTorch: jbc's speed is compared with theirs.

The GAN is `jbc.presets.adversarial("paper")`, the autoencoder `jbc.presets.neuron_editing()`: the same layers, losses
and rows a step. No part of jbc needs this; torch comes with the extra `bench`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

RATE = 1e-3
WIDTHS = (500, 250, 50)


class Block(nn.Module):
    def __init__(self, d: int, width: int):
        super().__init__()
        inner, outer = nn.Linear(d, width, bias=False), nn.Linear(width, d)
        for layer in (inner, outer):
            nn.init.normal_(layer.weight, std=1e-4)
        self.body = nn.Sequential(
            nn.BatchNorm1d(d), nn.ReLU(), inner, nn.BatchNorm1d(width), nn.ReLU(), outer
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def generator(d: int) -> nn.Sequential:
    return nn.Sequential(*(Block(d, 25) for _ in range(3)))


def discriminator(d: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(d, 64, bias=False), nn.BatchNorm1d(64), nn.LeakyReLU(0.2),
        nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.LeakyReLU(0.2), nn.Linear(64, 1),
    )  # fmt: skip


def autoencoder(d: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, following in itertools.pairwise((d, *WIDTHS, *WIDTHS[-2::-1], d)):
        layers += [nn.Linear(width, following), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


class Gan:
    """In turn, one update of the discriminator and one of the generator."""

    rows = 256

    def __init__(self, d: int, *, tuned: bool):
        self.generator, self.discriminator = generator(d), discriminator(d)
        self.moves, self.judges = (adam(net, tuned) for net in (self.generator, self.discriminator))

    def step(self, source: Tensor, target: Tensor) -> tuple[float, float]:
        """Return what discriminator and generator descended on."""
        real, fake = torch.ones(len(target)), torch.zeros(len(source))
        with torch.no_grad():
            made = self.generator(source)
        scores = self.scores(target, made)
        critic = F.binary_cross_entropy_with_logits(scores[: len(target)], real)
        critic = critic + F.binary_cross_entropy_with_logits(scores[len(target) :], fake)
        update(self.judges, critic)
        scores = self.scores(target, self.generator(source))[len(target) :]
        loss = F.binary_cross_entropy_with_logits(scores, torch.ones(len(source)))
        update(self.moves, loss)
        return critic.item(), loss.item()

    def scores(self, target: Tensor, made: Tensor) -> Tensor:
        """Score both together: apart, norms would take out what tells them apart."""
        return self.discriminator(torch.cat([target, made])).squeeze(1)


class Coder:
    """One update of the autoencoder on rows of all domains."""

    rows = 100

    def __init__(self, d: int, *, tuned: bool):
        self.net = autoencoder(d)
        self.optimiser = adam(self.net, tuned)

    def step(self, *rows: Tensor) -> float:
        x = torch.cat(rows)
        loss = F.mse_loss(self.net(x), x)
        update(self.optimiser, loss)
        return loss.item()


def adam(net: nn.Module, tuned: bool) -> torch.optim.Adam:
    return torch.optim.Adam(net.parameters(), lr=RATE, fused=True if tuned else None)


def update(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def minibatches(x: Tensor, rows: int, *, tuned: bool) -> Iterator[Tensor]:
    """Pass over a domain again and again: by a DataLoader as most programs do, or tuned, gathered by index."""
    loader = DataLoader(TensorDataset(x), batch_size=rows, shuffle=True, drop_last=True)
    while True:
        if tuned:
            yield from (x[at] for at in torch.randperm(len(x))[: len(x) // rows * rows].split(rows))
        else:
            yield from (drawn for (drawn,) in loader)


def train(model: Gan | Coder, streams: Sequence[Iterator[Tensor]], steps: int) -> None:
    """Train on one minibatch of every domain a step."""
    for _ in range(steps):
        model.step(*(next(stream) for stream in streams))
