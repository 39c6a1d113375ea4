"""The denoising autoencoder: what a row would have measured where it measured nothing."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar, Literal

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.sampling import Rows
from jbc.methods import preconditions
from jbc.methods.base import ByEpochs, Fitted, Info, Trainable
from jbc.methods.constraints import Masked, Widths
from jbc.methods.inputs import Inputs, Tables
from jbc.methods.settings import TRAINING, Training, build_optimiser
from jbc.nets import MLP, PlayerState
from jbc.numerics import noise


class DenoiserState(flax.struct.PyTreeNode):
    """The network, what standardises its inputs, and what a measurement of zero is in them, (d,)."""

    network: PlayerState
    tables: Tables
    zero: Array
    epoch: Array
    step: Array


@dataclasses.dataclass(frozen=True)
class DenoisingAutoencoder(ByEpochs, Trainable):
    r"""Fill in zeros that stand for signals below what a machine can tell from nothing.

    A network f sees rows in which a random part of the values, :math:`m = 0`, are zeros as well, and is trained to
    give back those that were measured,

    .. math:: \sum_{i,j:\, x_{ij} \neq 0} \left(f(m_i \odot x_i)_j - x_{ij}\right)^2 .

    So it learns from the rest of a row what a zero would have been, of all domains alike. This is no correction, but
    a preparation: what is left between domains is left to what follows.

    Parameters
    ----------
    inputs
        Logarithm, level of the row, and standardisation of the inputs, over all rows (``scale="pooled"``) or none.
    widths
        Widths of the hidden layers.
    dropout
        Share of the values that the network does not see in training.
    fill
        Replace zeros (by 0 at least), or all values by what the network makes of them. A feature that is zero in
        every row stays so.
    training
        Minibatches, length, optimiser and averaging.

    Notes
    -----
    MMD-ResNet's paper, which filled in cytometry before it moved it, outputs all that the network makes of
    logarithms (``inputs=Inputs(log=True), fill="all"``), and trains on rows with few zeros only. Where zeros are a
    result and not a lack of one, as in counts of genes that are off, leave them.

    References
    ----------
    Shaham et al., Removal of batch effects using distribution-matching residual networks, Bioinformatics 2017.

    Examples
    --------
    >>> import jbc
    >>> cohort = jbc.Cohort.from_arrays([[1.0, 2.0], [0.0, 4.0], [3.0, 6.0], [4.0, 8.0]])
    >>> model = jbc.fit(jbc.DenoisingAutoencoder(), cohort, steps=2)
    >>> filled = model.transform([[0.0, 4.0]])
    >>> bool(filled[0, 0] >= 0), float(filled[0, 1])
    (True, 4.0)
    """

    takes_missing: ClassVar[bool] = True

    inputs: Inputs = Inputs(log=False, level="keep", scale="pooled", subspace="none")
    widths: Widths = (25, 25)
    dropout: Masked = 0.2
    fill: Literal["zeros", "all"] = "zeros"
    training: Training = TRAINING

    def compares_mixtures(self, cohort: Cohort) -> bool:
        """Return False: it fills values in, and compares no domains."""
        del cohort
        return False

    def check(self, cohort: Cohort) -> None:
        """Refuse domains of a single row."""
        preconditions.enough_rows(cohort)
        preconditions.scale_is_one_of(
            self.inputs.scale, ("pooled", "none"), "One network serves all domains."
        )
        preconditions.sees_features(self.inputs.subspace, "It fills in single values.")
        self.training.check(compares=False)

    def init(self, key: Array, cohort: Cohort) -> DenoiserState:
        """Return a drawn network, and what standardises the inputs."""
        x = jnp.asarray(cohort.x)
        net = _build(self.widths, x.shape[1])
        tx = build_optimiser(self.training.optimiser, self.training.weight_decay)
        return DenoiserState(
            network=PlayerState.of_net(net, tx, key, x[:1], ema_decay=self.training.ema_decay),
            tables=self.inputs.of_cohort(cohort),
            zero=_zero(cohort),
            epoch=self.draw.epoch(cohort).astype(jnp.int32),
            step=jnp.int32(0),
        )

    def step(self, key: Array, state: DenoiserState, rows: Rows) -> tuple[DenoiserState, Info]:
        """Train on one minibatch, of which some values are hidden."""
        net, domain = _build(self.widths, rows.x.shape[-1]), rows.domain[:, None]
        shown = noise.fractions(key, rows.x.shape) > self.dropout
        hidden = jnp.where(shown, rows.x, state.zero)
        seen, z = (self.inputs.apply(state.tables, x, domain) for x in (hidden, rows.x))
        measured = rows.x != state.zero
        if rows.observed is not None:
            measured &= rows.observed

        def loss(params: Any) -> Array:
            error = jnp.square(net.apply({"params": params}, seen) - z)
            return jnp.where(measured, error, 0).sum() / jnp.maximum(measured.sum(), 1)

        value, grads = jax.value_and_grad(loss)(state.network.params)
        network = state.network.update(grads, self.training.rate(state.step // state.epoch))
        return state.replace(network=network, step=state.step + 1), {"loss": value}

    def finish(self, state: DenoiserState, cohort: Cohort) -> Fitted:
        """Return the network, and which features were measured at all."""
        counts = jnp.asarray(cohort.counts)
        counts = counts[:, None] if counts.ndim == 1 else counts
        measured = (jnp.asarray(cohort.x) != state.zero) & (counts > 0)
        fitted = {"network": state.network.inference_params, "inputs": state.tables, "zero": state.zero}
        return fitted | {"known": measured.any(axis=0)}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return rows of any domain, filled in."""
        z = self.inputs.apply(fitted["inputs"], x, domain)
        output = _build(self.widths, x.shape[1]).apply({"params": fitted["network"]}, z)
        out = self.inputs.restore(fitted["inputs"], output, x, domain)
        if self.fill == "zeros":
            out = jnp.where(x == fitted["zero"], jnp.maximum(out, fitted["zero"]), x)
        return jnp.where(fitted["known"], out, x)


def _zero(cohort: Cohort) -> Array:
    """Return what a measurement of zero is in the rows of a cohort."""
    return jnp.zeros(cohort.x.shape[1]) if cohort.offset is None else -jnp.asarray(cohort.offset)


@functools.cache
def _build(widths: tuple[int, ...], d: int) -> Any:
    """Build the network once per configuration: programs compare it by identity."""
    return MLP(widths, d)
