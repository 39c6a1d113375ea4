"""Autoencoders."""

from __future__ import annotations

import math

import flax.linen as nn
from jax import Array

from jbc.nets.layers import leaky


class Autoencoder(nn.Module):
    """Layers that narrow rows down, and layers that widen them again, of which any stretch can be run by itself.

    ``widths`` are those of the first half, the inner layer last. Rows of images (``image``: height, width, channels)
    have layers of filters of size four that halve or double both sides. Every layer but the last is activated, or
    none is (``linear``).
    """

    widths: tuple[int, ...]
    d: int
    image: tuple[int, int, int] | None = None
    linear: bool = False

    def setup(self) -> None:
        """Make the layers."""
        self.layers = [self._layer(number) for number in range(1, self.depth + 1)]

    @property
    def depth(self) -> int:
        """How many layers there are."""
        return 2 * len(self.widths)

    def shape(self, layer: int) -> tuple[int, ...]:
        """Return the shape of what leaves a layer; 0 is what enters the first."""
        halved = min(layer, self.depth - layer)
        width = self.widths[halved - 1] if halved else self.d
        if self.image is None:
            return (width,)
        height, breadth, channels = self.image
        return (-(-height // 2**halved), -(-breadth // 2**halved), width if halved else channels)

    def size(self, layer: int) -> int:
        """Count the neurons of a layer."""
        return math.prod(self.shape(layer))

    def __call__(self, h: Array, first: int = 0, last: int | None = None) -> Array:
        """Return what leaves the layer ``last``, (n, neurons), where ``h`` has left the layer ``first``."""
        last = self.depth if last is None else last
        h = h.reshape(len(h), *self.shape(first))
        for number in range(first + 1, last + 1):
            h = self.layers[number - 1](h)
            h = h[tuple(map(slice, (len(h), *self.shape(number))))]  # odd sides were rounded up
            if number < self.depth and not self.linear:
                h = leaky(h)
        return h.reshape(len(h), -1)

    def _layer(self, number: int) -> nn.Module:
        """Make the layer that the layer ``number`` of activations leaves."""
        width = self.shape(number)[-1]
        init = nn.initializers.lecun_normal() if number == self.depth else nn.initializers.he_normal()
        if self.image is None:
            return nn.Dense(width, kernel_init=init)
        kind = nn.Conv if number <= len(self.widths) else nn.ConvTranspose
        return kind(width, (4, 4), strides=(2, 2), kernel_init=init)
