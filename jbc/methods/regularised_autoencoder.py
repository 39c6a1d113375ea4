"""The regularised autoencoder: an MMD in the loss holds the inner activations of a source to those of the target."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.roles import STAYS, direct
from jbc.cohort.sampling import Draw, Rows
from jbc.errors import InputError
from jbc.losses.mmd import mmd2_to
from jbc.methods import preconditions, source_maps
from jbc.methods.autoencoders import CoderState, average_for_new, build, mistakes, moves
from jbc.methods.base import Fitted, Info, Trainable
from jbc.methods.constraints import Bandwidths, Fraction, NonNegative, Positive, PositiveFloat, Widths
from jbc.methods.inputs import Inputs, Scale
from jbc.nets import Autoencoder, Player


@dataclasses.dataclass(frozen=True)
class RegularisedAutoencoder(Trainable):
    r"""Send rows through an autoencoder in which the codes of every source lie where those of the target do.

    An encoder E and a decoder D, which know no domains, are trained together on

    .. math:: \overline{\lVert D(E(x)) - x \rVert^2} / d
              + \text{weight} \cdot \overline{\mathrm{MMD}^2(E(X_s), E(X_t))}^{\,s}

    over the rows of all domains with a role, and over the sources s with the target t. A row becomes D(E(x)): as
    far as the codes of domains lie alike, so do their rows. Domains to extrapolate are rebuilt too, but their codes
    are not held to those of the target. Rows of the target, and of domains that are not named, come out as they
    came in.

    Parameters
    ----------
    target, source, extrapolate
        Names of the domains, see :func:`jbc.cohort.roles.direct`: by default all others move to the largest one.
    log, scale
        Logarithm, and standardisation of the inputs (pooled: by the sources): see
        :class:`~jbc.methods.inputs.Inputs`. By domain, what is rebuilt has the means and spreads of the target, and
        domains to extrapolate are shifted and scaled as the sources are on average.
    widths
        Widths of the encoder's layers, the inner layer last; the decoder mirrors them. Of images, numbers of filters.
    image
        Height, width and channels of rows that are images: their layers are convolutions.
    weight
        Weight of the MMD.
    bandwidths
        Widths of the Gaussian kernels, in units of the median distance between codes of the minibatch.
    unbiased
        Leave out the kernels of rows with themselves: codes of one distribution are not drawn together.
    rows
        Rows per domain in a minibatch.
    epochs, min_steps, max_steps
        Length of training: passes over the largest domain, within these numbers of steps.
    learning_rate
        Rate of Adam.
    average
        Use the moving average of the weights with this memory, instead of the last weights.

    Notes
    -----
    *What it does, and what not.* The two terms want opposite things of what differs between domains. Where inputs are
    standardised together, the first wins: the decoder magnifies differences of codes that are too small for the
    kernels, and gives rows back nearly as they came, as the neuron editing paper says of its comparison; at weights
    that prevent this, rows are hardly rebuilt any more. The default standardises by domain, so that a shift and a
    scale are no matter of the loss; what else differs goes as far as codes align. What the inner layer cannot hold is
    lost in any case, so that sources are smoother than the target.

    *Paper, released program, and default* (:func:`jbc.presets.regularised_autoencoder`). SAUCIE has two codes, and
    rebuilds what it is given. Its released program rebuilds the source up to shift and scale, at a hundredth of the
    weight, in pairs of files of which the first is the target; that is not here. Its inner layer is linear, ours is
    activated as the others. Its kernels are 19, on squared distances in units of the largest; ours are few, in units
    of the median distance. It gives out the target's rows rebuilt as well. The neuron editing paper tells the
    widths, and neither the kernels nor their weight.

    *The start.* The decoder's last layer begins at zero: what is rebuilt begins at the mean, and a constant stays.

    References
    ----------
    Amodio et al., Exploring single-cell data with deep multitasking neural networks (SAUCIE), Nature Methods 2019.
    """

    encodes: ClassVar[bool] = True

    target: str = ""
    source: tuple[str, ...] = ()
    extrapolate: tuple[str, ...] = ()
    log: bool = False
    scale: Scale = "domain"
    widths: Widths = (500, 250, 50)
    image: tuple[Positive, Positive, Positive] | None = None
    weight: NonNegative = 1.0
    bandwidths: Bandwidths = (0.25, 0.5, 1.0, 2.0, 4.0)
    unbiased: bool = True
    rows: Positive = 100
    epochs: Positive = 100
    min_steps: Positive = 1000
    max_steps: Positive = 4000
    learning_rate: PositiveFloat = 1e-3
    average: Fraction = 0.99

    @property
    def inputs(self) -> Inputs:
        """What is rebuilt."""
        return Inputs(self.log, "keep", self.scale)

    @property
    def draw(self) -> Draw:
        """By epochs, the same number of rows from every domain."""
        return Draw(rows=self.rows)

    def steps(self, cohort: Cohort) -> int:
        """Return ``epochs`` passes over the largest domain, or the number of steps that bounds them."""
        return self.draw.steps(cohort, self.epochs, self.min_steps, self.max_steps)

    def aim(self, cohort: Cohort) -> Cohort:
        """Find the target, the sources, and the domains to extrapolate, by name."""
        return direct(cohort, target=self.target, source=self.source, extrapolate=self.extrapolate)

    def check(self, cohort: Cohort) -> None:
        """Refuse domains and minibatches of a single row, and rows that are no such images."""
        preconditions.enough_rows(cohort)
        if self.scale == "domain":
            preconditions.warn_constant(cohort)
        preconditions.two_rows_drawn(self.rows)
        preconditions.steps_in_order(self.min_steps, self.max_steps)
        if wrong := mistakes(self.image, cohort.x.shape[-1]):
            raise InputError(
                "The rows are no such images",
                which=wrong,
                why="Convolutions need to know where every value belongs.",
                fix="Name the height, the width and the channels of a row, or leave image out.",
                code="bad-setting",
            )

    def init(self, key: Array, cohort: Cohort) -> CoderState:
        """Draw the network; measure what standardises the inputs."""
        role, net = jnp.asarray(cohort.role), self._net(cohort.x.shape[-1])
        coder = Player.make(
            net, source_maps.build_optimiser("adam"), key, jnp.zeros((1, net.d)), memory=self.average
        )
        last = f"layers_{net.depth - 1}"

        def begun(params: Any) -> Any:
            return params | {last: jax.tree.map(jnp.zeros_like, params[last])}

        coder = coder.replace(params=begun(coder.params), slow=begun(coder.slow) if self.average else None)
        tables = source_maps.measure(self.inputs, cohort)
        own = {name: average_for_new(tables[name], role) for name in tables["to"]}
        return CoderState(coder=coder, tables=tables | own, role=role)

    def step(self, key: Array, state: CoderState, rows: Rows) -> tuple[CoderState, Info]:
        """Train on one minibatch."""
        del key
        z = self.inputs.apply(state.tables, rows.x, rows.domain[:, None])
        used = state.role != STAYS

        def loss(params: Any) -> tuple[Array, Info]:
            codes, out = self._through(params, z.reshape(-1, z.shape[-1]))
            codes = codes.reshape(*z.shape[:2], -1)
            errors = jnp.square(out.reshape(z.shape) - z).mean(axis=(1, 2))
            error = jnp.where(used, errors, 0).sum() / used.sum()
            apart = mmd2_to(
                codes, codes[source_maps.aim_of(state.role)], self.bandwidths, unbiased=self.unbiased
            )
            mmd2, kernel = (source_maps.mean_of_sources(values, state.role) for values in apart)
            total = error + self.weight * mmd2
            return total, {"loss": total, "error": error, "mmd2": mmd2, "kernel": kernel}

        grads, info = jax.grad(loss, has_aux=True)(state.coder.params)
        return state.replace(coder=state.coder.update(grads, self.learning_rate)), info

    def finish(self, state: CoderState, cohort: Cohort) -> Fitted:
        """Keep the autoencoder."""
        del cohort
        return {"coder": state.coder.settled[0], "inputs": state.tables, "role": state.role}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Rebuild rows of the sources, and of the domains to extrapolate."""
        _, out = self._through(fitted["coder"], self.inputs.apply(fitted["inputs"], x, domain))
        rebuilt = self.inputs.restore(fitted["inputs"], out, x, domain)
        return jnp.where(moves(fitted, domain)[:, None], rebuilt, x)

    def encode(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return the activations of the inner layer."""
        return self._through(fitted["coder"], self.inputs.apply(fitted["inputs"], x, domain))[0]

    def _net(self, d: int) -> Autoencoder:
        return build(self.widths, d, self.image)

    def _through(self, params: Any, z: Array) -> tuple[Array, Array]:
        """Return codes and rebuilt rows, from rows (n, d)."""
        net: Any = self._net(z.shape[-1])
        inner = net.depth // 2
        codes = net.apply({"params": params}, z, 0, inner)
        return codes, net.apply({"params": params}, codes, inner)
