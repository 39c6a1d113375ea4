"""Randomness for training, a byte a number.

The generator hashes 32 bits at a time; a mask or a jitter needs no more than 8 of them, at a quarter of the cost.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array


def random_bytes(key: Array, shape: tuple[int, ...]) -> Array:
    """Draw independent bytes, uniformly.

    Examples
    --------
    >>> random_bytes(jax.random.key(0), (3, 5)).dtype
    dtype('uint8')
    """
    size = math.prod(shape)
    words = jax.random.bits(key, (-(-size // 4),), jnp.uint32)
    return jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(-1)[:size].reshape(shape)


def fractions(key: Array, shape: tuple[int, ...]) -> Array:
    """Draw uniform numbers between 0 and 1, on 256 levels, neither end among them.

    Examples
    --------
    >>> drawn = fractions(jax.random.key(0), (100_000,))
    >>> bool(drawn.min() > 0), bool(drawn.max() < 1), bool(abs(drawn.mean() - 0.5) < 0.01)
    (True, True, True)
    """
    return (random_bytes(key, shape).astype(jnp.float32) + 0.5) / 256


def jitter(key: Array, shape: tuple[int, ...]) -> Array:
    """Draw uniform noise of mean 0 and variance 1, on 256 levels.

    Examples
    --------
    >>> noise = jitter(jax.random.key(0), (100_000,))
    >>> bool(abs(noise.mean()) < 0.01), bool(abs(noise.std() - 1) < 0.01)
    (True, True)
    """
    return (random_bytes(key, shape).astype(jnp.float32) - 127.5) / math.sqrt((256**2 - 1) / 12)


def dropout(key: Array, x: Array, rate: float) -> Array:
    """Set a share of the values to 0, and scale up the rest; the rate is rounded to 1/256.

    Examples
    --------
    >>> sorted(set(dropout(jax.random.key(0), jnp.ones(100), 0.5).tolist()))
    [0.0, 2.0]
    """
    kept = min(max(round(256 * (1 - rate)), 1), 256)
    return jnp.where(random_bytes(key, x.shape) <= kept - 1, x * (256 / kept), 0)
