"""Autoencoders, and what denoises."""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from jbc.nets.layers import leaky


class MLP(nn.Module):
    """Send rows through dense layers, and give out rows of the width ``d``.

    Examples
    --------
    >>> import jax
    >>> net = MLP(widths=(8,), d=3)
    >>> net.apply(net.init(jax.random.key(0), jnp.ones((2, 3))), jnp.ones((2, 3))).shape
    (2, 3)
    """

    widths: tuple[int, ...]
    d: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return rows."""
        for width in self.widths:
            x = nn.relu(nn.Dense(width, kernel_init=nn.initializers.he_normal())(x))
        return nn.Dense(self.d)(x)


class Downsample(nn.Module):
    """Convolve images (n, height, width, channels) by filters of size 4 at every second pixel.

    A patch is four neighbouring blocks of 2 × 2 pixels, so slices and a matrix product do it: on a CPU they and their
    gradients are many times as fast as strided convolutions.
    """

    width: int
    kernel_init: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return images of half the size, rounded up."""
        n, height, columns, channels = x.shape
        tall, wide = -(-height // 2) + 1, -(-columns // 2) + 1
        x = jnp.pad(x, ((0, 0), (1, 2 * tall - 1 - height), (1, 2 * wide - 1 - columns), (0, 0)))
        blocks = x.reshape(n, tall, 2, wide, 2, channels).transpose(0, 1, 3, 2, 4, 5)
        blocks = blocks.reshape(n, tall, wide, 4 * channels)
        patches = [blocks[:, i : tall - 1 + i, j : wide - 1 + j] for i in (0, 1) for j in (0, 1)]
        return nn.Dense(self.width, kernel_init=self.kernel_init)(jnp.concatenate(patches, axis=-1))


class Upsample(nn.Module):
    """Lay filters of size 4 over every second pixel of larger images: the transpose of :class:`Downsample`."""

    width: int
    kernel_init: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return images of twice the size."""
        n, height, columns, _ = x.shape
        patches = nn.Dense(16 * self.width, use_bias=False, kernel_init=self.kernel_init)(x)
        patches = jnp.split(patches, 4, axis=-1)
        places = [((0, 0), (i, 1 - i), (j, 1 - j), (0, 0)) for i in (0, 1) for j in (0, 1)]
        blocks = sum(jnp.pad(patch, place) for patch, place in zip(patches, places, strict=True))
        blocks = jnp.reshape(blocks, (n, height + 1, columns + 1, 2, 2, self.width)).transpose(
            0, 1, 3, 2, 4, 5
        )
        out = blocks.reshape(n, 2 * height + 2, 2 * columns + 2, self.width)[:, 1:-1, 1:-1]
        return out + self.param("bias", nn.initializers.zeros, (self.width,))


class Autoencoder(nn.Module):
    """Layers that narrow rows down, and layers that widen them again, of which any stretch can be run by itself.

    ``widths`` are those of the first half, the inner layer last. Rows of images (``image``: height, width, channels)
    have layers of filters of size four that halve or double both sides. Every layer but the last is activated, or
    none is (``linear``).

    Examples
    --------
    >>> import jax
    >>> net, x = Autoencoder(widths=(8, 2), d=5), jnp.ones((4, 5))
    >>> variables = net.init(jax.random.key(0), x)
    >>> net.depth, net.apply(variables, x, 0, 2).shape, net.apply(variables, x).shape  # the inner layer, the output
    (4, (4, 2), (4, 5))
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
        height, columns, channels = self.image
        return (-(-height // 2**halved), -(-columns // 2**halved), width if halved else channels)

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
        return (Downsample if number <= len(self.widths) else Upsample)(width, init)
