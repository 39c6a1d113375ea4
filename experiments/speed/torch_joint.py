"""Many-batch joint calibration in plain PyTorch, written as a published program is: jbc's speed is compared with it.

It does what `jbc.presets.joint("mi", "reference", idle_moves=False)` does: the same networks, losses and draws per
step. No part of jbc needs it; torch comes with the extra `bench`.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

Variant = Literal["released", "one call", "tuned"]
"""How the same numbers are computed.

released
    As the authors do: the cross-entropy row by row, every ordered pair of domains with a Gram matrix and five
    exponentials of its own.
one call
    The cross-entropy summed in one call, all else as released.
tuned
    The fastest form that PyTorch offers: also one Gram matrix and one exponential for all pairs, rows drawn
    by index, Adam fused.
"""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Named as in `jbc.JointCalibration`."""

    dropout: float = 0.5
    align: float = 10.0
    classify: float = 10.0
    reconstruct: float = 0.01
    bandwidths: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    rows: int = 128
    epochs: int = 100
    learning_rate: float = 1e-3
    decay: float = 0.9 ** (1 / 10_000)
    weight_decay: float = 5e-5


class Calibrator(nn.Module):
    def __init__(self, features: int, dropout: float):
        super().__init__()
        self.encoder = nn.Sequential(nn.BatchNorm1d(features), *body(features, dropout))

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)


class Reconstructor(nn.Module):
    def __init__(self, features: int, dropout: float):
        super().__init__()
        self.decoder = nn.Sequential(*body(features, dropout))

    def forward(self, z: Tensor) -> Tensor:
        return self.decoder(z)


class Classifier(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.bn = nn.BatchNorm1d(features)
        self.fc1 = nn.Linear(features, 100)
        self.fc2 = nn.Linear(100, features)
        self.fc3 = nn.Linear(features, 50)
        self.fc4 = nn.Linear(50, 16)
        self.fc5 = nn.Linear(16, 1)
        self.leaky = nn.LeakyReLU(0.2)

    def forward(self, z: Tensor) -> Tensor:
        skip = self.leaky(self.bn(z))
        h = self.leaky(skip + self.fc2(self.leaky(self.fc1(skip))))
        h = self.leaky(self.fc4(self.leaky(self.fc3(h))))
        return torch.sigmoid(self.fc5(h))


class Networks(nn.Module):
    """All players; the sources come first among the domains, and only they have a reconstructor."""

    def __init__(self, features: int, sources: int, dropout: float = 0.5):
        super().__init__()
        self.calibrator = Calibrator(features, dropout)
        self.classifier = Classifier(features)
        self.reconstructors = nn.ModuleList(Reconstructor(features, dropout) for _ in range(sources))


def body(features: int, dropout: float) -> list[nn.Module]:
    """Make the two linear layers that calibrator and reconstructors share."""
    layers = [nn.Linear(features, features) for _ in range(2)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight)
        nn.init.zeros_(layer.bias)
    return [layers[0], nn.Dropout(dropout), nn.Tanhshrink(), layers[1]]


def squared_distances(z: Tensor) -> Tensor:
    gram = z @ z.T
    norm = torch.diag(gram)[:, None]
    return norm - 2 * gram + norm.T


def mmd2(x: Tensor, y: Tensor, bandwidths: Sequence[float]) -> Tensor:
    """Return the squared MMD of two minibatches of one size, rows with themselves included."""
    distance2, m = squared_distances(torch.cat([x, y])), len(x)
    kernel = torch.zeros_like(distance2)
    for sigma in bandwidths:
        kernel = kernel + torch.exp(-1 / (2 * sigma**2) * distance2)
    return kernel[:m, :m].mean() + kernel[m:, m:].mean() - 2 * kernel[:m, m:].mean()


def mmd2_of_all(codes: Sequence[Tensor], bandwidths: Sequence[float]) -> Tensor:
    """Sum over ordered pairs, from one Gram matrix; each bandwidth is half of the next one."""
    groups, m = len(codes), len(codes[0])
    power = torch.exp(-1 / (2 * max(bandwidths) ** 2) * squared_distances(torch.cat(list(codes))))
    kernel = power
    for _ in bandwidths[1:]:
        power = power.square().square()
        kernel = kernel + power
    mean = kernel.reshape(groups, m, groups, m).mean(dim=(1, 3))
    return 2 * (groups * torch.diag(mean).sum() - mean.sum())


def alignment(codes: Sequence[Tensor], bandwidths: Sequence[float], variant: Variant) -> Tensor:
    if variant == "tuned":
        return mmd2_of_all(codes, bandwidths)
    total = torch.zeros(())
    for p, q in itertools.permutations(range(len(codes)), 2):
        total = total + mmd2(codes[p], codes[q], bandwidths)
    return total


def cross_entropy(outputs: Sequence[Tensor], labels: Sequence[Tensor], variant: Variant) -> Tensor:
    if variant == "released":
        total = torch.zeros(())
        for output, label in zip(outputs, labels, strict=True):
            for row in range(len(label)):
                total = total + F.binary_cross_entropy(output[row, 0], label[row].to(output.dtype))
        return total
    output = torch.cat(list(outputs))[:, 0]
    return F.binary_cross_entropy(output, torch.cat(list(labels)).to(output.dtype), reduction="sum")


def step_a(
    nets: Networks,
    optimiser: torch.optim.Optimizer,
    x: Sequence[Tensor],
    labels: Sequence[Tensor],
    settings: Settings,
    variant: Variant,
) -> dict[str, Tensor]:
    """Update calibrator and classifier once; ``labels`` are those of the sources."""
    codes = [nets.calibrator(rows) for rows in x]
    outputs = [nets.classifier(z) for z in codes[: len(labels)]]
    classify = cross_entropy(outputs, labels, variant)
    align = alignment(codes, settings.bandwidths, variant)
    loss = settings.align * align + settings.classify * classify
    update(optimiser, loss)
    return {"loss": loss, "align": align, "classify": classify}


def step_b(
    nets: Networks,
    optimiser: torch.optim.Optimizer,
    x: Sequence[Tensor],
    settings: Settings,
    variant: Variant,
) -> dict[str, Tensor]:
    """Update calibrator and reconstructors once."""
    codes = [nets.calibrator(rows) for rows in x]
    align = alignment(codes, settings.bandwidths, variant)
    rebuild = torch.zeros(())
    for net, z, rows in zip(nets.reconstructors, codes, x, strict=False):
        rebuild = rebuild + F.mse_loss(net(z), rows)
    loss = settings.reconstruct * rebuild + settings.align * align
    update(optimiser, loss)
    return {"loss": loss, "align": align, "rebuild": rebuild}


def update(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def make_optimiser(nets: Networks, epoch: int, settings: Settings, variant: Variant) -> torch.optim.Adam:
    """Make Adam for an epoch, counted from 1."""
    rate = settings.learning_rate * settings.decay**epoch
    fused = True if variant == "tuned" else None
    return torch.optim.Adam(nets.parameters(), lr=rate, weight_decay=settings.weight_decay, fused=fused)


class ByIndex:
    """Minibatches of a shuffled table, gathered whole instead of row by row."""

    def __init__(self, x: Tensor, y: Tensor, rows: int):
        self.x, self.y, self.rows = x, y, rows

    def __len__(self) -> int:
        return len(self.x) // self.rows

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for at in torch.randperm(len(self.x))[: len(self) * self.rows].split(self.rows):
            yield self.x[at], self.y[at]


def again(loader: DataLoader | ByIndex) -> Iterator[tuple[Tensor, Tensor]]:
    """Pass over a domain again and again, as often as the largest one needs."""
    while True:
        yield from loader


def train(
    x: Sequence[Tensor],
    labels: Sequence[Tensor],
    *,
    sources: int,
    seed: int = 0,
    settings: Settings = Settings(),
    variant: Variant = "released",
) -> tuple[Networks, list[dict[str, float]], int]:
    """Train on the rows of every domain, sources first.

    Returns the networks, the mean losses of every epoch, and the number of updates.
    """
    torch.manual_seed(seed)
    nets = Networks(x[0].shape[1], sources, settings.dropout)
    loaders = [
        ByIndex(rows, label, settings.rows)
        if variant == "tuned"
        else DataLoader(TensorDataset(rows, label), batch_size=settings.rows, shuffle=True, drop_last=True)
        for rows, label in zip(x, labels, strict=True)
    ]
    minibatches = max(len(loader) for loader in loaders)
    history, updates = [], 0
    nets.train()
    for epoch in range(1, settings.epochs + 1):
        # A new optimiser in every epoch, hence without the moments of the last one.
        optimiser = make_optimiser(nets, epoch, settings, variant)
        streams = [again(loader) for loader in loaders]
        sums = {"loss": 0.0, "align": 0.0, "classify": 0.0, "rebuild": 0.0}
        for _ in range(minibatches):
            drawn = [next(stream) for stream in streams]
            rows, codes = [d[0] for d in drawn], [d[1] for d in drawn[:sources]]
            told = step_a(nets, optimiser, rows, codes, settings, variant)
            told |= step_b(nets, optimiser, rows, settings, variant)
            updates += 2
            for name, value in told.items():
                sums[name] += value.item()
        history.append({name: value / minibatches for name, value in sums.items()})
    return nets, history, updates
