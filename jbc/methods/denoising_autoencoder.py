"""The denoising autoencoder: what a row would have measured where it measured nothing."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.sampling import Draw, Rows
from jbc.methods import preconditions
from jbc.methods.base import Fitted, Info, Trainable
from jbc.methods.constraints import Fraction, Masked, Positive, PositiveFloat, Widths
from jbc.methods.inputs import Inputs, Tables
from jbc.methods.source_maps import build_optimiser
from jbc.nets import Chain, Player
from jbc.numerics import noise


class DenoiserState(flax.struct.PyTreeNode):
    """The network, what standardises its inputs, and what a measurement of zero is in them, (d,)."""

    coder: Player
    tables: Tables
    zero: Array


@dataclasses.dataclass(frozen=True)
class DenoisingAutoencoder(Trainable):
    r"""Fill in zeros that stand for signals below what a machine can tell from nothing.

    A network f sees rows in which a random part of the values, :math:`m = 0`, are zeros as well, and is trained to
    give back those that were measured,

    .. math:: \sum_{i,j:\, x_{ij} \neq 0} \left(f(m_i \odot x_i)_j - x_{ij}\right)^2 .

    So it learns from the rest of a row what a zero would have been, of all domains alike. This is no correction, but
    a preparation: what is left between domains is left to what follows.

    Parameters
    ----------
    log, scale
        Logarithm, and standardisation of the inputs over all rows: see :class:`~jbc.methods.inputs.Inputs`.
    widths
        Widths of the hidden layers.
    dropout
        Share of the values that the network does not see in training.
    fill
        Replace zeros (by 0 at least), or all values by what the network makes of them. A feature that is zero in
        every row stays so.
    rows
        Rows of every domain in a minibatch.
    epochs, min_steps, max_steps
        Length of training: passes over the largest domain, within these numbers of steps.
    learning_rate
        Rate of Adam.
    average
        Use the moving average of the weights with this memory, instead of the last weights.

    Notes
    -----
    MMD-ResNet's paper, which filled in cytometry before it moved it, gives out all that the network makes of
    logarithms (``log=True, fill="all"``), and trains on rows with few zeros only. Where zeros are a result and not a
    lack of one, as in counts of genes that are off, leave them.

    References
    ----------
    Shaham et al., Removal of batch effects using distribution-matching residual networks, Bioinformatics 2017.
    """

    log: bool = False
    scale: Literal["pooled", "none"] = "pooled"
    widths: Widths = (25, 25)
    dropout: Masked = 0.2
    fill: Literal["zeros", "all"] = "zeros"
    rows: Positive = 100
    epochs: Positive = 100
    min_steps: Positive = 1000
    max_steps: Positive = 4000
    learning_rate: PositiveFloat = 1e-3
    average: Fraction = 0.99

    @property
    def inputs(self) -> Inputs:
        """What the network sees."""
        return Inputs(self.log, "keep", self.scale)

    @property
    def draw(self) -> Draw:
        """By epochs, the same number of rows from every domain."""
        return Draw(rows=self.rows)

    def steps(self, cohort: Cohort) -> int:
        """Return ``epochs`` passes over the largest domain, or the number of steps that bounds them."""
        return self.draw.steps(cohort, self.epochs, self.min_steps, self.max_steps)

    def check(self, cohort: Cohort) -> None:
        """Refuse domains of a single row."""
        preconditions.enough_rows(cohort)
        preconditions.steps_in_order(self.min_steps, self.max_steps)

    def init(self, key: Array, cohort: Cohort) -> DenoiserState:
        """Draw the network; measure what standardises the inputs."""
        x = jnp.asarray(cohort.x)
        net = _build(self.widths, x.shape[1])
        return DenoiserState(
            coder=Player.make(net, build_optimiser("adam"), key, x[:1], memory=self.average),
            tables=self.inputs.of_cohort(cohort),
            zero=_zero(cohort),
        )

    def step(self, key: Array, state: DenoiserState, rows: Rows) -> tuple[DenoiserState, Info]:
        """Train on one minibatch, of which some values are hidden."""
        net, domain = _build(self.widths, rows.x.shape[-1]), rows.domain[:, None]
        shown = noise.fractions(key, rows.x.shape) > self.dropout
        hidden = jnp.where(shown, rows.x, state.zero)
        seen, z = (self.inputs.apply(state.tables, x, domain) for x in (hidden, rows.x))
        measured = rows.x != state.zero

        def loss(params: Any) -> Array:
            missed = jnp.square(net.apply({"params": params}, seen) - z)
            return jnp.where(measured, missed, 0).sum() / jnp.maximum(measured.sum(), 1)

        value, grads = jax.value_and_grad(loss)(state.coder.params)
        return state.replace(coder=state.coder.update(grads, self.learning_rate)), {"loss": value}

    def finish(self, state: DenoiserState, cohort: Cohort) -> Fitted:
        """Keep the network, and which features were measured at all."""
        measured = (jnp.asarray(cohort.x) != state.zero) & (jnp.asarray(cohort.weight) > 0)[:, None]
        fitted = {"coder": state.coder.settled[0], "inputs": state.tables, "zero": state.zero}
        return fitted | {"known": measured.any(axis=0)}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Fill in rows of any domain."""
        z = self.inputs.apply(fitted["inputs"], x, domain)
        made = _build(self.widths, x.shape[1]).apply({"params": fitted["coder"]}, z)
        out = self.inputs.restore(fitted["inputs"], made, x, domain)
        if self.fill == "zeros":
            out = jnp.where(x == fitted["zero"], jnp.maximum(out, fitted["zero"]), x)
        return jnp.where(fitted["known"], out, x)


def _zero(cohort: Cohort) -> Array:
    """Return what a measurement of zero is in the rows of a cohort."""
    return jnp.zeros(cohort.x.shape[1]) if cohort.offset is None else -jnp.asarray(cohort.offset)


@functools.cache
def _build(widths: tuple[int, ...], d: int) -> Any:
    """Build the network once per configuration: programs compare it by identity."""
    return Chain(widths, d)
