"""Networks, and the train state that carries them. The only file that imports linen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from flax.training.train_state import TrainState
from jax import Array

from jbc.linalg import moments, orthogonal
from jbc.noise import dropout

Family = Literal["residual", "multibatch", "twobatch"]
Start = Literal["identity", "small"]

leaky = partial(nn.leaky_relu, negative_slope=0.2)


def tanhshrink(x: Array) -> Array:
    """Return x - tanh x."""
    return x - jnp.tanh(x)


class Player(TrainState):
    """A Flax TrainState with the running statistics of its norms, trained at a rate given at each update.

    With a ``memory`` above 0, ``slow`` is the moving average of the parameters, which inference takes.
    """

    running: Any = None
    slow: Any = None
    memory: float = struct.field(pytree_node=False, default=0.0)

    @classmethod
    def make(
        cls,
        net: nn.Module,
        tx: optax.GradientTransformation,
        key: Array,
        x: Array,
        *,
        copies: int | None = None,
        memory: float = 0.0,
    ) -> Player:
        """Initialise a network on an example input, or several copies of it, stacked.

        ``net`` and ``tx`` are compared by identity inside compiled programs: build them once a configuration.
        """
        keys = key if copies is None else jax.random.split(key, copies)
        init = net.init if copies is None else jax.vmap(net.init, in_axes=(0, None))
        variables = init(keys, x)
        state = cls.create(
            apply_fn=net.apply, params=variables["params"], tx=tx, running=variables.get("running", {})
        )
        # A step that is a Python int would recompile every program that takes it, and one array under two
        # names cannot be donated.
        slow = jax.tree.map(jnp.copy, state.params) if memory else None
        return state.replace(step=jnp.int32(0), slow=slow, memory=memory)

    @property
    def settled(self) -> tuple[Any, Any]:
        """The parameters for inference, and the running statistics."""
        return (self.slow if self.memory else self.params), self.running

    def update(self, grads: Any, rate: Array | float, running: Any = None) -> Player:
        """Apply one update of the optimiser, scaled by ``-rate``; the average follows."""
        updates, opt_state = self.tx.update(grads, self.opt_state, self.params)
        params = optax.apply_updates(self.params, jax.tree.map(lambda u: -rate * u, updates))
        kept, slow, step = self.running if running is None else running, self.slow, self.step + 1
        if self.memory:
            # A young average forgets faster, or it would remember the start of a short training.
            memory = jnp.minimum(self.memory, step / (step + 10.0))
            slow = jax.tree.map(lambda old, new: memory * old + (1 - memory) * new, slow, params)
        return self.replace(step=step, params=params, opt_state=opt_state, running=kept, slow=slow)

    def restart(self, when: Array) -> Player:
        """Forget the optimiser's moments where ``when`` is true."""
        fresh = self.tx.init(self.params)
        return self.replace(
            opt_state=jax.tree.map(lambda new, old: jnp.where(when, new, old), fresh, self.opt_state)
        )


class DomainNorm(nn.Module):
    """Normalise features by the statistics of one domain at a time.

    In training, ``x`` is (G, m, d), one minibatch of every domain, and each is normalised by its own mean and
    variance; pooled running statistics are kept in the collection ``running``, updated by one domain after the
    other. At inference, ``x`` is (n, d) with the domain code of every row, and a table of statistics per
    domain is read from the collection ``statistics``, or filled from these very rows when that is mutable.
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
            mean, variance = x.mean(axis=1), x.var(axis=1)
            self._track(mean, variance, x.shape[1])
            return self._apply(x, mean[:, None], variance[:, None], scale, bias)
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


def _uniform(fan_in: int) -> Callable[..., Array]:
    """Draw from ±1/√fan_in: what the papers' framework does unless told otherwise."""

    def init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        bound = fan_in**-0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def _plain(width: int, fan_in: int) -> nn.Dense:
    return nn.Dense(width, kernel_init=_uniform(fan_in), bias_init=_uniform(fan_in))


def _orthogonal(width: int) -> nn.Dense:
    return nn.Dense(width, kernel_init=orthogonal)  # pyright: ignore[reportArgumentType]


class Calibrator(nn.Module):
    """Map rows of every domain into one latent space of the same width."""

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
    """Map latent codes back to the rows of one domain."""

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
    """Tell the class of a latent code; one logit for two classes."""

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
        elif self.family == "multibatch":
            z = DomainNorm(self.domains)(z, domain, weight)
            # The released code activates in place, so its skip carries the activated values.
            skip = leaky(z)
            h = leaky(skip + _plain(d, 100)(leaky(_plain(100, d)(skip))))
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


class Mover(nn.Module):
    """Map rows of one domain to where those of another lie.

    In a residual block, norm, activation and a dense layer follow one another for every width, and once more for the
    width of a row, which is added to what came in. The plain family is a single chain of layers.

    Blocks begin as the identity, with a last layer of zeros, or near it, with small weights everywhere.
    """

    blocks: int
    widths: tuple[int, ...]
    residual: bool
    start: Start

    @nn.compact
    def __call__(self, x: Array, domain: Array | None = None, weight: Array | None = None) -> Array:
        """Return rows."""
        d = x.shape[-1]
        if not self.residual:
            for width in self.widths:
                x = leaky(DomainNorm(1)(nn.Dense(width, use_bias=False)(x), domain, weight))
            return nn.Dense(d)(x)
        small = self.start == "small"
        inner = nn.initializers.normal(1e-4) if small else nn.initializers.he_normal()
        outer = nn.initializers.normal(1e-4) if small else nn.initializers.zeros
        for _ in range(self.blocks):
            h = x
            for width in self.widths:
                h = nn.relu(DomainNorm(1)(h, domain, weight))
                h = nn.Dense(width, use_bias=False, kernel_init=inner)(h)
            h = nn.relu(DomainNorm(1)(h, domain, weight))
            x = x + nn.Dense(d, kernel_init=outer)(h)
        return x


class Discriminator(nn.Module):
    """Score rows, (..., d): the higher, the more they look like the target's."""

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
