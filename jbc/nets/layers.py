"""Layers that several networks have."""

from __future__ import annotations

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from jbc.numerics.linalg import mean_of_rows, moments
from jbc.numerics.noise import dropout

leaky = partial(nn.leaky_relu, negative_slope=0.2)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def normalise(epsilon: float, x: Array, scale: Array, bias: Array) -> tuple[Array, Array, Array]:
    """Return the columns of (..., m, d) with mean ``bias`` and deviation ``scale``, and their means and variances.

    The derivative is written out, with the fewest sums over rows. Means and variances, (..., 1, d), are to look at:
    nothing is derived through them.

    Examples
    --------
    >>> out, mean, variance = normalise(0.0, jnp.array([[1.0], [3.0]]), jnp.array([2.0]), jnp.array([1.0]))
    >>> out[:, 0].tolist(), mean.tolist(), variance.tolist()
    ([-1.0, 3.0], [[2.0]], [[1.0]])
    """
    return _normalise(epsilon, x, scale, bias)[0]


def _normalise(
    epsilon: float, x: Array, scale: Array, bias: Array
) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:
    mean = mean_of_rows(x)
    centred = x - mean
    variance = mean_of_rows(jnp.square(centred))
    slope = jax.lax.rsqrt(variance + epsilon)
    unit = centred * slope
    return (unit * scale + bias, mean, variance), (unit, slope, scale)


def _normalise_back(
    epsilon: float, kept: tuple[Array, Array, Array], given: tuple[Array, Array, Array]
) -> tuple[Array, Array, Array]:
    del epsilon
    (unit, slope, scale), (up, _, _) = kept, given
    means = mean_of_rows(jnp.concatenate([up, up * unit], axis=-1))
    level, tilt = jnp.split(means, 2, axis=-1)
    m, leading = unit.shape[-2], tuple(range(unit.ndim - 1))
    down = scale * slope * (up - level - unit * tilt)
    return down, m * tilt.sum(axis=leading), m * level.sum(axis=leading)


normalise.defvjp(_normalise, _normalise_back)


class DomainNorm(nn.Module):
    """Normalise features by the statistics of one domain at a time.

    In training, ``x`` is (G, m, d), one minibatch of every domain, and each is normalised by its own mean and
    variance; pooled running statistics are kept in the collection ``running``, updated by one domain after the
    other. At inference, ``x`` is (n, d) with the domain code of every row, and a table of statistics per
    domain is read from the collection ``statistics``, or filled from these very rows when that is mutable.

    Examples
    --------
    >>> net, x = DomainNorm(), jnp.array([[[1.0], [3.0]], [[5.0], [9.0]]])  # two domains, two rows each
    >>> net.apply(net.init(jax.random.key(0), x), x)[..., 0].round(2).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """

    domains: int = 0
    momentum: float = 0.1
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, domain: Array | None = None, weight: Array | None = None) -> Array:
        """Normalise."""
        d = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (d,))
        bias = self.param("bias", nn.initializers.zeros, (d,))
        if domain is None:
            normal: tuple[Array, Array, Array] = normalise(self.epsilon, x, scale, bias)  # pyright: ignore
            out, mean, variance = normal
            self._track(mean[:, 0], variance[:, 0], x.shape[1])
            return out
        table = [self.variable("statistics", name, jnp.zeros, (self.domains, d)) for name in ("mean", "var")]
        if self.is_mutable_collection("statistics"):
            count = jnp.ones(len(x)) if weight is None else weight
            table[0].value, table[1].value = moments(x, domain, count, self.domains)
        return self._apply(x, table[0].value[domain], table[1].value[domain], scale, bias)

    def _apply(self, x: Array, mean: Array, variance: Array, scale: Array, bias: Array) -> Array:
        return (x - mean) * jax.lax.rsqrt(variance + self.epsilon) * scale + bias

    def _track(self, mean: Array, variance: Array, m: int) -> None:
        running_mean = self.variable("running", "mean", jnp.zeros, mean.shape[-1])
        running_var = self.variable("running", "var", jnp.ones, mean.shape[-1])
        if self.is_initializing() or not self.is_mutable_collection("running"):
            return
        groups = len(mean)
        # What the g-th of G successive updates r ← (1 - a) r + a s leaves of its s after the last one.
        share = self.momentum * (1 - self.momentum) ** jnp.arange(groups - 1, -1, -1)
        keep = (1 - self.momentum) ** groups
        unbiased = variance * (m / max(m - 1, 1))
        running_mean.value = keep * running_mean.value + share @ mean
        running_var.value = keep * running_var.value + share @ unbiased


class Dropout(nn.Module):
    """Drop values in training."""

    rate: float

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Return x, or what is left of it."""
        return dropout(self.make_rng("dropout"), x, self.rate) if train and self.rate else x
