"""Neuron editing: what differs between a source and a target is edited into rows without a known target."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.sampling import Rows
from jbc.losses.reconstruction import mean_of_observed
from jbc.methods import preconditions
from jbc.methods.autoencoders import AutoencoderState, build, image_mismatch
from jbc.methods.base import ByEpochs, Fitted, Info, Trainable
from jbc.methods.constraints import Positive, Widths
from jbc.methods.editing import EDITED_SCALES, EDITING, Editing, EditsLayers
from jbc.methods.inputs import Inputs
from jbc.methods.settings import ROUTE, TRAINING, Route, Training, build_optimiser
from jbc.nets import Autoencoder, PlayerState


@dataclasses.dataclass(frozen=True)
class NeuronEditing(ByEpochs, EditsLayers, Trainable):
    r"""Edit the neurons of an autoencoder from where they lie in a source to where they lie in the target.

    An autoencoder, D after E, is trained on the rows of all domains. Then every inner neuron is edited by the
    piecewise linear map e that carries the percentiles of its activations in the source to those in the target
    (:mod:`jbc.numerics.edits`), in rows of the source and in rows of which no target is known:

    .. math:: x' = x + D(e(E(x))) - D(E(x)).

    Every source has an edit of its own, so that it is corrected as if it were the only one; domains to extrapolate
    get the average of these. Rows of the target, and of domains that are not named, come out as they came in.

    Parameters
    ----------
    route
        Which domains move where, and which are extrapolated; by default all others move to the largest one.
    inputs
        Logarithm, level of the row, and standardisation of the inputs, over all rows (``scale="pooled"``) or none.
    widths
        Widths of the encoder's layers, the inner layer last; the decoder mirrors them. Of images, numbers of filters.
    image
        Height, width and channels of rows that are images: their layers are convolutions.
    editing
        Which layers are edited, and how.
    training
        Minibatches, length, optimiser and averaging of the autoencoder.

    Notes
    -----
    *Paper and default* (:func:`jbc.presets.neuron_editing` is the paper's). The paper edits the inner layer alone,
    and outputs what the decoder makes of it: what the autoencoder cannot reconstruct is lost, and rows change even
    where source and target are equal. The default changes nothing there. It edits the measurements one by one before
    it edits neurons, which then see only what is left, and once more in the end, so that every measurement has the
    target's percentiles, whatever the network has learned. Its network has a fifth of the paper's widths: the rows
    come out as near to the truth, several times as fast. No code was released, and the paper does not tell how long
    it trains.

    *Is it worth a network?* Where the effect is one of single measurements, ``editing=Editing(layers=(0,))`` does as
    well, and carries further to rows that are unlike the source: see the tables of ``BENCHMARKS.md``.

    *Several edits.* Each is measured on the source as the ones before it left it.

    References
    ----------
    "Beyond GANs: transforming without a target distribution" (neuron editing).

    Examples
    --------
    >>> import jbc
    >>> x = [[0.0], [1.0], [2.0], [5.0], [6.0], [7.0], [8.0]]
    >>> cohort = jbc.Cohort.from_arrays(x, list("aaabbbb"))
    >>> method = jbc.NeuronEditing(route=jbc.Route(target="b"), editing=jbc.Editing(layers=(0,), cautious=False))
    >>> jbc.fit(method, cohort, steps=1).transform([[1.0], [6.0]], ["a", "b"]).round(1).tolist()
    [[6.5], [6.0]]
    """

    route: Route = ROUTE
    inputs: Inputs = Inputs(log=False, level="keep", scale="pooled", subspace="auto")
    widths: Widths = (100, 50, 10)
    image: tuple[Positive, Positive, Positive] | None = None
    editing: Editing = EDITING
    training: Training = TRAINING

    def check(self, cohort: Cohort) -> None:
        """Refuse sources without a measured counterpart in the target, and settings that contradict each other."""
        preconditions.scale_is_one_of(self.inputs.scale, *EDITED_SCALES)
        self.training.check(compares=False)
        if self.image is not None:
            preconditions.sees_features(self.inputs.subspace, "Convolutions see pixels.")
        self.editing.check(cohort, 2 * len(self.widths), image_mismatch(self.image, cohort.x.shape[-1]))

    def init(self, key: Array, cohort: Cohort) -> AutoencoderState:
        """Return a drawn network, and what standardises the inputs."""
        net = self.net(cohort.width)
        tx = build_optimiser(self.training.optimiser, self.training.weight_decay)
        example = jnp.zeros((1, net.d))
        autoencoder = PlayerState.of_net(net, tx, key, example, ema_decay=self.training.ema_decay)
        epoch, role = self.draw.epoch(cohort).astype(jnp.int32), jnp.asarray(cohort.role)
        return AutoencoderState(autoencoder, self.tables(cohort), role, epoch, step=jnp.int32(0))

    def step(self, key: Array, state: AutoencoderState, rows: Rows) -> tuple[AutoencoderState, Info]:
        """Train the autoencoder on one minibatch."""
        del key
        z = self.inputs.of_rows(state.tables, rows)
        d = z.shape[-1]
        z = z.reshape(-1, d)
        observed = None if rows.observed is None else rows.observed.reshape(-1, d)
        net: Any = self.net(d)

        def loss(params: Any) -> Array:
            return mean_of_observed(jnp.square(net.apply({"params": params}, z) - z), observed, (0, 1))

        value, grads = jax.value_and_grad(loss)(state.autoencoder.params)
        rate = self.training.rate(state.step // state.epoch)
        autoencoder = state.autoencoder.update(grads, rate)
        return state.replace(autoencoder=autoencoder, step=state.step + 1), {"loss": value}

    def finish(self, state: AutoencoderState, cohort: Cohort) -> Fitted:
        """Return the autoencoder, and the edits of every domain."""
        net, params = self.net(cohort.width), state.autoencoder.inference_params
        return self.editing.finish(net, params, self.inputs, state.tables, cohort)

    def net(self, d: int) -> Autoencoder:
        """Return the autoencoder of rows with ``d`` values."""
        return build(self.widths, d, self.image)
