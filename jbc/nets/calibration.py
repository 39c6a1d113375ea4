"""Networks of joint calibration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from jbc.nets.layers import DomainNorm, Dropout, leaky
from jbc.numerics.linalg import orthogonal

Family = Literal["residual", "multibatch", "multibatch-released", "twobatch"]


def tanhshrink(x: Array) -> Array:
    """Return x - tanh x."""
    return x - jnp.tanh(x)


def _uniform(fan_in: int) -> Callable[..., Array]:
    """Draw from ±1/√fan_in: what the papers' framework does by default."""

    def init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        bound = fan_in**-0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def _plain(width: int, fan_in: int) -> nn.Dense:
    return nn.Dense(width, kernel_init=_uniform(fan_in), bias_init=_uniform(fan_in))


def _orthogonal(width: int) -> nn.Dense:
    return nn.Dense(width, kernel_init=orthogonal)  # pyright: ignore[reportArgumentType]


class Identity(nn.Module):
    """Return rows as they are: the calibrator that learns nothing.

    Examples
    --------
    >>> Identity().apply({}, jnp.ones((2, 4, 3)), train=True).shape
    (2, 4, 3)
    """

    def __call__(
        self, x: Array, domain: Array | None = None, weight: Array | None = None, *, train: bool = False
    ) -> Array:
        """Return the rows."""
        return x


class Calibrator(nn.Module):
    """Map rows of every domain into one latent space of the same width.

    Examples
    --------
    >>> net, x = Calibrator("residual", dropout=0.5, domains=2), jnp.ones((2, 4, 3))  # 2 domains, 4 rows
    >>> variables = net.init(jax.random.key(0), x)
    >>> bool((net.apply(variables, x) == x).all())  # it starts as the identity
    True
    """

    family: Family
    dropout: float
    domains: int

    @nn.compact
    def __call__(
        self, x: Array, domain: Array | None = None, weight: Array | None = None, *, train: bool = False
    ) -> Array:
        """Return latent codes."""
        d = x.shape[-1]
        if self.family == "residual":
            h = leaky(_orthogonal(d)(x))
            h = Dropout(self.dropout)(h, train=train)
            # No bias: alignment does not see a common shift, and Adam would amplify its rounding.
            return x + nn.Dense(d, use_bias=False, kernel_init=nn.initializers.zeros)(h)
        x = DomainNorm(self.domains)(x, domain, weight)
        if self.family == "twobatch":
            return _orthogonal(d)(leaky(_orthogonal(d)(leaky(x))))
        h = Dropout(self.dropout)(_orthogonal(d)(x), train=train)
        return _orthogonal(d)(tanhshrink(h))


class Reconstructor(nn.Module):
    """Map latent codes back to the rows of one domain.

    Examples
    --------
    >>> net, z = Reconstructor("residual", dropout=0.5), jnp.ones((4, 3))
    >>> net.apply(net.init(jax.random.key(0), z), z).shape
    (4, 3)
    """

    family: Family
    dropout: float

    @nn.compact
    def __call__(self, z: Array, *, train: bool = False) -> Array:
        """Return rows."""
        d = z.shape[-1]
        if self.family == "residual":
            h = leaky(_orthogonal(d)(z))
            return z + nn.Dense(d, kernel_init=nn.initializers.zeros)(h)
        if self.family == "twobatch":
            return _orthogonal(d)(leaky(_orthogonal(d)(leaky(_orthogonal(d)(z)))))
        h = Dropout(self.dropout)(_orthogonal(d)(z), train=train)
        return _orthogonal(d)(tanhshrink(h))


class Classifier(nn.Module):
    """Classify a latent code; one logit for two classes.

    Examples
    --------
    >>> net, z = Classifier("residual", dropout=0.5, domains=2, outputs=1), jnp.ones((4, 3))
    >>> net.apply(net.init(jax.random.key(0), z), z).shape
    (4, 1)
    """

    family: Family
    dropout: float
    domains: int
    outputs: int

    @nn.compact
    def __call__(
        self, z: Array, domain: Array | None = None, weight: Array | None = None, *, train: bool = False
    ) -> Array:
        """Return logits."""
        d = z.shape[-1]
        if self.family == "twobatch":
            widths, h, fan_in = (128, 64, 32, 16), z, d
        elif self.family in ("multibatch", "multibatch-released"):
            z = DomainNorm(self.domains)(z, domain, weight)
            active = leaky(z)
            # The released code activates in place, so its skip carries the activated values.
            skip = active if self.family == "multibatch-released" else z
            h = leaky(skip + _plain(d, 100)(leaky(_plain(100, d)(active))))
            widths, fan_in = (50, 16), d
        else:
            # Both as they are and squashed: extreme values of a single peak should not decide alone.
            h = jnp.concatenate([z, jnp.tanh(z / 1.5)], axis=-1)
            for width in (256, 64):
                h = nn.relu(nn.Dense(width, kernel_init=nn.initializers.he_normal())(h))
                h = Dropout(self.dropout)(h, train=train)
            return _plain(self.outputs, 64)(h)
        for width in widths:
            h, fan_in = leaky(_plain(width, fan_in)(h)), width
        return _plain(self.outputs, fan_in)(h)
