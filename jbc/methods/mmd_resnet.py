"""MMD-ResNet: one residual network for every source, trained until the target's rows look alike."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.roles import direct
from jbc.cohort.sampling import Draw, Rows
from jbc.losses.mmd import mmd2_to
from jbc.methods import preconditions, source_maps
from jbc.methods.base import Fitted, Info, Trainable
from jbc.methods.constraints import Bandwidths, Factor, Fraction, NonNegative, Positive, PositiveFloat
from jbc.methods.inputs import Inputs, Scale, Tables
from jbc.methods.source_maps import Optimiser
from jbc.nets import Mover, Player, Start


class MoverState(flax.struct.PyTreeNode):
    """The maps, and what they look at."""

    maps: Player
    tables: Tables
    role: Array
    epoch: Array
    step: Array


@dataclasses.dataclass(frozen=True)
class MMDResNet(Trainable):
    r"""Move every source onto the target by a residual network that makes their MMD small.

    A network :math:`\psi_s`, which begins as the identity, maps the rows :math:`X_s` of a source s such that

    .. math:: \mathrm{MMD}^2(\psi_s(X_s), X_t)

    to the rows :math:`X_t` of the target is small. Every source has a network of its own, so that it is corrected as
    if it were the only one. Rows of the target, and of domains that are not named, come out as they came in.

    Parameters
    ----------
    target, source
        Names of the domains, see :func:`jbc.cohort.roles.direct`: by default all others move to the largest one.
    log, scale
        Logarithm, and standardisation of the inputs (pooled: by the sources): see
        :class:`~jbc.methods.inputs.Inputs`. By domain, a map begins as the shift and scale that give a source the
        means and spreads of the target.
    blocks, width
        Blocks of the network, and width of their hidden layer.
    start
        First weights: the identity, by zeros in the last layer of a block, or all of them N(0, 1e-4²).
    bandwidths
        Widths of the Gaussian kernels, in units of the median distance between rows of the minibatch.
    objective
        What every map descends on: the unbiased estimate of the squared MMD while it is above 0, which it is half of
        the time between rows of one distribution; or the root of the biased one, which never is 0.
    identity
        Weight of the mean squared displacement, in units of the standardised inputs.
    rows
        Rows per domain in a minibatch.
    epochs, min_steps, max_steps
        Length of training: passes over the largest domain, within these numbers of steps.
    optimiser, learning_rate, weight_decay
        Optimiser, its rate, and the decay that is added to the gradient of matrices.
    decay, decay_epochs
        Factor of the rate after every so many epochs.
    average
        Use the moving average of the weights with this memory, instead of the last weights.

    Notes
    -----
    *Paper and default differ* (:func:`jbc.presets.mmd_resnet` is the paper's). The paper takes the logarithm of
    cytometry, scales by the sources, and descends on the MMD with the kernel of every row with itself, by RMSProp
    with a falling rate, from small weights that it penalises; rows of one distribution then move as well. The
    default begins with means and spreads, and leaves them only where rows ask for it. The paper's kernels are
    measured once, by the distances of target rows to their 25 nearest neighbours; ours in every minibatch, by the
    median distance. At inference its norms use running averages, ours the statistics of all rows of the source,
    which these approach. Its early stop by a tenth of the rows is ``stopping="rows"`` of :class:`jbc.Corrector`, and
    the autoencoder that fills zeros in before is :class:`jbc.DenoisingAutoencoder`.

    References
    ----------
    Shaham et al., Removal of batch effects using distribution-matching residual networks, Bioinformatics 2017.
    """

    target: str = ""
    source: tuple[str, ...] = ()
    log: bool = False
    scale: Scale = "domain"
    blocks: Positive = 3
    width: Positive = 25
    start: Start = "identity"
    bandwidths: Bandwidths = (0.25, 0.5, 1.0, 2.0, 4.0)
    objective: Literal["excess", "root"] = "excess"
    identity: NonNegative = 0.1
    rows: Positive = 256
    epochs: Positive = 100
    min_steps: Positive = 1000
    max_steps: Positive = 4000
    optimiser: Optimiser = "adam"
    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegative = 0.0
    decay: Factor = 1.0
    decay_epochs: Positive = 150
    average: Fraction = 0.99

    @property
    def inputs(self) -> Inputs:
        """What is moved."""
        return Inputs(self.log, "keep", self.scale)

    @property
    def draw(self) -> Draw:
        """By epochs, the same number of rows from every domain."""
        return Draw(rows=self.rows)

    def steps(self, cohort: Cohort) -> int:
        """Return ``epochs`` passes over the largest domain, or the number of steps that bounds them."""
        return self.draw.steps(cohort, self.epochs, self.min_steps, self.max_steps)

    def aim(self, cohort: Cohort) -> Cohort:
        """Find the target and the sources by name."""
        return direct(cohort, target=self.target, source=self.source)

    def check(self, cohort: Cohort) -> None:
        """Refuse domains and minibatches of a single row."""
        preconditions.enough_rows(cohort)
        if self.scale == "domain":
            preconditions.warn_constant(cohort)
        preconditions.two_rows_drawn(self.rows)
        preconditions.steps_in_order(self.min_steps, self.max_steps)

    def init(self, key: Array, cohort: Cohort) -> MoverState:
        """Draw the networks; measure what standardises the inputs."""
        tx = source_maps.build_optimiser(self.optimiser, self.weight_decay)
        size = cohort.x.shape[-1], len(cohort.domains.count)
        return MoverState(
            maps=source_maps.make(self._net, tx, key, *size, self.average),
            tables=source_maps.measure(self.inputs, cohort),
            role=jnp.asarray(cohort.role),
            epoch=self.draw.epoch(cohort).astype(jnp.int32),
            step=jnp.int32(0),
        )

    def step(self, key: Array, state: MoverState, rows: Rows) -> tuple[MoverState, Info]:
        """Train every map on one minibatch."""
        del key
        z = self.inputs.apply(state.tables, rows.x, rows.domain[:, None])
        target = z[source_maps.aim_of(state.role)]
        z, role = source_maps.without_target(state.role, (z, state.role))

        def loss(params: Any) -> tuple[Array, Info]:
            moved = source_maps.each(self._net, source_maps.without_target(state.role, params), z)
            mmd2, kernel = mmd2_to(moved, target, self.bandwidths, unbiased=self.objective == "excess")
            wanted = jnp.sqrt(jnp.maximum(mmd2, 1e-12)) if self.objective == "root" else jnp.maximum(mmd2, 0)
            if self.identity:
                wanted += self.identity * jnp.square(moved - z).mean(axis=(1, 2))
            info = {"loss": wanted, "mmd2": mmd2, "kernel": kernel}
            means = {name: source_maps.mean_of_sources(value, role) for name, value in info.items()}
            return source_maps.sum_of_sources(wanted, role), means

        grads, info = jax.grad(loss, has_aux=True)(state.maps.params)
        rate = self.learning_rate * self.decay ** (state.step // state.epoch // self.decay_epochs)
        return state.replace(maps=state.maps.update(grads, rate), step=state.step + 1), info

    def finish(self, state: MoverState, cohort: Cohort) -> Fitted:
        """Keep the maps, and settle the statistics of their norms."""
        return source_maps.settle(self._net, state.maps.settled[0], state.tables, self.inputs, cohort)

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Move rows of the sources."""
        return source_maps.transform(self._net, self.inputs, fitted, x, domain)

    @property
    def _net(self) -> Mover:
        return source_maps.build_mover(self.blocks, (self.width,), self.start)
