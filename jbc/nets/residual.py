"""Networks of methods with a direction: maps from a source to the target, and their discriminators."""

from __future__ import annotations

from typing import Literal

import flax.linen as nn
from jax import Array

from jbc.nets.layers import DomainNorm, leaky

Start = Literal["identity", "small"]


class ResidualMap(nn.Module):
    """Map rows of one domain to where those of another lie.

    In a residual block, norm, ReLU and a dense layer follow one another for every width, and once more for the width
    of a row, which is added to what came in. The plain family is a single chain of dense layers, norms and leaky
    ReLU. Without norms, both have dense layers and leaky ReLU.

    Blocks begin as the identity, with a last layer of zeros, or near it, with small weights everywhere.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> net, x = ResidualMap(blocks=2, widths=(8,), residual=True, start="identity"), jnp.ones((1, 4, 3))
    >>> bool((net.apply(net.init(jax.random.key(0), x), x) == x).all())
    True
    """

    blocks: int
    widths: tuple[int, ...]
    residual: bool
    start: Start
    normed: bool = True

    @nn.compact
    def __call__(self, x: Array, domain: Array | None = None, weight: Array | None = None) -> Array:
        """Return rows."""
        d = x.shape[-1]
        if not self.residual:
            for width in self.widths:
                x = nn.Dense(width, use_bias=not self.normed)(x)
                x = leaky(DomainNorm(1)(x, domain, weight) if self.normed else x)
            return nn.Dense(d)(x)
        small = self.start == "small"
        inner = nn.initializers.normal(1e-4) if small else nn.initializers.he_normal()
        outer = nn.initializers.normal(1e-4) if small else nn.initializers.zeros
        for _ in range(self.blocks):
            h = x
            for width in self.widths:
                h = nn.relu(DomainNorm(1)(h, domain, weight)) if self.normed else h
                h = nn.Dense(width, use_bias=not self.normed, kernel_init=inner)(h)
                h = h if self.normed else leaky(h)
            h = nn.relu(DomainNorm(1)(h, domain, weight)) if self.normed else h
            x = x + nn.Dense(d, kernel_init=outer)(h)
        return x


class Discriminator(nn.Module):
    """Score rows, (..., d): the higher, the more they look like the target's.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> net, x = Discriminator(widths=(8,), normed=False), jnp.ones((4, 3))
    >>> net.apply(net.init(jax.random.key(0), x), x).shape
    (4,)
    """

    widths: tuple[int, ...]
    normed: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return scores, (...)."""
        for width in self.widths:
            # A bias in front of a norm would do nothing.
            x = nn.Dense(width, use_bias=not self.normed, kernel_init=nn.initializers.he_normal())(x)
            x = leaky(DomainNorm(1)(x) if self.normed else x)
        return nn.Dense(1)(x)[..., 0]
