"""The regularised autoencoder: an MMD in the loss holds the inner activations of a source to those of the target."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.roles import STAYS
from jbc.cohort.sampling import Rows
from jbc.errors import InputError
from jbc.losses.mmd import mmd2_to
from jbc.losses.reconstruction import mean_of_observed
from jbc.methods import preconditions, source_maps
from jbc.methods.autoencoders import AutoencoderState, average_for_new, build, image_mismatch, moves
from jbc.methods.base import ByEpochs, Directed, Encodes, Fitted, Info, Trainable
from jbc.methods.constraints import NonNegative, Positive, Widths
from jbc.methods.inputs import Inputs, Tables
from jbc.methods.settings import KERNEL, ROUTE, TRAINING, Kernel, Route, Training, build_optimiser
from jbc.methods.subspace import Projects
from jbc.nets import Autoencoder, PlayerState


@dataclasses.dataclass(frozen=True)
class RegularisedAutoencoder(Projects, ByEpochs, Directed, Trainable, Encodes):
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
    route
        Which domains move where, and which are extrapolated; by default all others move to the largest one.
    inputs
        Logarithm, level of the row, and standardisation of the inputs (pooled: by the sources). By domain, what is
        rebuilt has the means and standard deviations of the target, and domains to extrapolate are shifted and scaled
        as the sources are on average.
    widths
        Widths of the encoder's layers, the inner layer last; the decoder mirrors them. Of images, numbers of filters.
    image
        Height, width and channels of rows that are images: their layers are convolutions.
    weight
        Weight of the MMD.
    kernel
        Kernels of the MMD between codes of a minibatch.
    training
        Minibatches, length, optimiser and averaging.

    Notes
    -----
    *What it does, and what not.* The two terms want opposite things of what differs between domains. Where inputs are
    standardised together, the first wins: the decoder magnifies differences of codes that are too small for the
    kernels, and gives rows back nearly as they came, as the neuron editing paper says of its comparison; at weights
    that prevent this, rows are hardly rebuilt any more. The default standardises by domain, so that a shift and a
    scale do not affect the loss; what else differs goes as far as codes align. What the inner layer cannot hold is
    lost in any case, so that sources are smoother than the target.

    *Paper, released program, and default* (:func:`jbc.presets.regularised_autoencoder`). SAUCIE has two codes, and
    rebuilds what it is given. Its released program rebuilds the source up to shift and scale, at a hundredth of the
    weight, in pairs of files of which the first is the target; that is not here. Its inner layer is linear, ours is
    activated as the others. Its kernels are 19, on squared distances in units of the largest; ours are few, in units
    of the median distance. It outputs the target's rows rebuilt as well. The neuron editing paper tells the
    widths, and neither the kernels nor their weight.

    *The start.* The decoder's last layer begins at zero: what is rebuilt begins at the mean, and a constant stays.

    References
    ----------
    Amodio et al., Exploring single-cell data with deep multitasking neural networks (SAUCIE), Nature Methods 2019.

    Examples
    --------
    >>> import jbc
    >>> cohort = jbc.Cohort.from_arrays([[0.0], [1.0], [5.0], [6.0], [7.0]], list("aabbb"))
    >>> method = jbc.RegularisedAutoencoder(route=jbc.Route(target="b"), widths=(4, 1))
    >>> jbc.fit(method, cohort, steps=2).encode([[0.0], [6.0]], ["a", "b"]).shape
    (2, 1)
    """

    takes_missing: ClassVar[bool] = True

    route: Route = ROUTE
    inputs: Inputs = Inputs(log=False, level="keep", scale="domain", subspace="auto")
    widths: Widths = (500, 250, 50)
    image: tuple[Positive, Positive, Positive] | None = None
    weight: NonNegative = 1.0
    kernel: Kernel = KERNEL
    training: Training = TRAINING

    def check(self, cohort: Cohort) -> None:
        """Refuse domains and minibatches of a single row, and rows that do not match ``image``."""
        preconditions.enough_rows(cohort)
        self.inputs.check(cohort)
        self.training.check(compares=True)
        if self.image is not None:
            preconditions.sees_features(self.inputs.subspace, "Convolutions see pixels.")
        if wrong := image_mismatch(self.image, cohort.x.shape[-1]):
            raise InputError(
                "Rows do not match image=",
                which=wrong,
                why="Convolutions need to know where every value belongs.",
                fix="Name the height, the width and the channels of a row, or leave image out.",
                code="bad-setting",
            )

    def tables(self, cohort: Cohort) -> Tables:
        """Return what standardises the inputs; domains to extrapolate have the average of the sources."""
        tables, role = source_maps.measure_inputs(self.inputs, cohort), jnp.asarray(cohort.role)
        return tables | {name: average_for_new(tables[name], role) for name in tables["to"]}

    def init(self, key: Array, cohort: Cohort) -> AutoencoderState:
        """Return a drawn network, and what standardises the inputs."""
        role, net = jnp.asarray(cohort.role), self._net(cohort.width)
        tx = build_optimiser(self.training.optimiser, self.training.weight_decay)
        drawn: Any = net.init(key, jnp.zeros((1, net.d)))["params"]
        last = f"layers_{net.depth - 1}"
        params = drawn | {last: jax.tree.map(jnp.zeros_like, drawn[last])}
        autoencoder = PlayerState.of_params(params, tx, ema_decay=self.training.ema_decay)
        epoch = self.draw.epoch(cohort).astype(jnp.int32)
        return AutoencoderState(autoencoder, self.tables(cohort), role, epoch, step=jnp.int32(0))

    def step(self, key: Array, state: AutoencoderState, rows: Rows) -> tuple[AutoencoderState, Info]:
        """Train on one minibatch."""
        del key
        z = self.inputs.of_rows(state.tables, rows)
        used = state.role != STAYS
        weight = source_maps.pair_weights(state.role, rows.weight)
        goal, seen = (
            source_maps.target_index(state.role),
            source_maps.both_observed(state.role, rows.observed),
        )

        def encode(params: Any, rows: Array) -> Array:
            codes, _ = self._through(params, rows.reshape(-1, rows.shape[-1]))
            return codes.reshape(*rows.shape[:2], -1)

        def loss(params: Any) -> tuple[Array, Info]:
            codes, out = self._through(params, z.reshape(-1, z.shape[-1]))
            codes = codes.reshape(*z.shape[:2], -1)
            target = codes[goal]
            if seen is not None:
                codes, target = (encode(params, jnp.where(seen, side, 0)) for side in (z, z[goal]))
            errors = mean_of_observed(jnp.square(out.reshape(z.shape) - z), rows.observed, (1, 2))
            error = jnp.where(used, errors, 0).sum() / used.sum()
            apart = mmd2_to(
                codes,
                target,
                self.kernel.bandwidths,
                None if self.kernel.unit == "median" else 1.0,
                unbiased=self.kernel.unbiased,
                weight=weight,
            )
            mmd2, kernel = (source_maps.mean_of_sources(values, state.role) for values in apart)
            total = error + self.weight * mmd2
            return total, {"loss": total, "error": error, "mmd2": mmd2, "kernel": kernel}

        grads, info = jax.grad(loss, has_aux=True)(state.autoencoder.params)
        rate = self.training.rate(state.step // state.epoch)
        return state.replace(autoencoder=state.autoencoder.update(grads, rate), step=state.step + 1), info

    def finish(self, state: AutoencoderState, cohort: Cohort) -> Fitted:
        """Return the autoencoder."""
        del cohort
        return {"autoencoder": state.autoencoder.inference_params, "inputs": state.tables, "role": state.role}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return rebuilt rows of the sources, and of the domains to extrapolate."""
        _, out = self._through(fitted["autoencoder"], self.inputs.apply(fitted["inputs"], x, domain))
        rebuilt = self.inputs.restore(fitted["inputs"], out, x, domain)
        return jnp.where(moves(fitted, domain)[:, None], rebuilt, x)

    def encode(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return the activations of the inner layer."""
        return self._through(fitted["autoencoder"], self.inputs.apply(fitted["inputs"], x, domain))[0]

    def _net(self, d: int) -> Autoencoder:
        return build(self.widths, d, self.image)

    def _through(self, params: Any, z: Array) -> tuple[Array, Array]:
        """Return codes and rebuilt rows, from rows (n, d)."""
        net: Any = self._net(z.shape[-1])
        inner = net.depth // 2
        codes = net.apply({"params": params}, z, 0, inner)
        return codes, net.apply({"params": params}, codes, inner)
