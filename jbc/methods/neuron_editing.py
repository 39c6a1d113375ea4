"""Neuron editing: what differs between a source and a target is edited into rows without a known target."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.roles import direct
from jbc.cohort.sampling import Draw, Rows
from jbc.errors import InputError
from jbc.methods import preconditions
from jbc.methods.autoencoders import CoderState, average_for_new, build, mistakes, moves
from jbc.methods.base import Fitted, Info, On, Trainable
from jbc.methods.constraints import Count, Fraction, Positive, PositiveFloat, Several, Share, Widths
from jbc.methods.edited_layers import Coder, Weighted, balance, by_domain, count_outside
from jbc.methods.inputs import Inputs
from jbc.methods.source_maps import aim_of, build_optimiser
from jbc.nets import Autoencoder, Player
from jbc.numerics import edits
from jbc.numerics.edits import Beyond, Edit
from jbc.numerics.linalg import principal


@dataclasses.dataclass(frozen=True)
class NeuronEditing(Trainable):
    r"""Edit the neurons of an autoencoder from where they lie in a source to where they lie in the target.

    An autoencoder, D after E, is trained on the rows of all domains. Then every inner neuron is edited by the
    piecewise linear map e that carries the percentiles of its activations in the source to those in the target
    (:mod:`jbc.numerics.edits`), in rows of the source and in rows of which no target is known:

    .. math:: x' = x + D(e(E(x))) - D(E(x)).

    Every source has an edit of its own, so that it is corrected as if it were the only one; domains to extrapolate
    get the average of these. Rows of the target, and of domains that are not named, come out as they came in.

    Parameters
    ----------
    target, source, extrapolate
        Names of the domains, see :func:`jbc.cohort.roles.direct`: by default all others move to the largest one.
    on
        Measure edits on all rows of a source and the target, or on their controls only; all their rows are edited.
        Control treatments (a pool of pairs) count alike, those of the other side too.
    log, scale
        Logarithm, and standardisation of the inputs over all rows: see :class:`~jbc.methods.inputs.Inputs`.
    widths
        Widths of the encoder's layers, the inner layer last; the decoder mirrors them. Of images, numbers of filters.
    image
        Height, width and channels of rows that are images: their layers are convolutions.
    pca_editing
        Principal components, as many as the inner layer is wide, instead of neurons.
    edit_layers
        Which layers are edited, one after the other: 0 are the measurements before the network, the last, at twice
        the number of ``widths``, are those after it. By default these two and the inner one.
    residual
        Add what the edits of neurons change to the rows, or (False) give out what the network makes of them.
    percentiles, constant_shift, beyond
        How many percentiles, or the shift of the mean instead; and what happens outside the source's range: see
        :mod:`jbc.numerics.edits`. With ``"refuse"``, such rows are an error.
    cautious
        Leave rows alone where sampling alone would make as much of equal distributions
        (:func:`jbc.numerics.edits.certainty`).
    pull
        How much of the difference between the edited rows of a domain to extrapolate and the target is taken for a
        technical one, from 0 (none: what the sources do not show stays) to 1 (all of it).
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
    *Paper and default* (:func:`jbc.presets.neuron_editing` is the paper's). The paper edits the inner layer alone,
    and gives out what the decoder makes of it: what the autoencoder cannot reconstruct is lost, and rows change even
    where source and target are equal. The default changes nothing there. It edits the measurements one by one before
    it edits neurons, which then see only what is left, and once more in the end, so that every measurement has the
    target's percentiles, whatever the network has learned. Its network has a fifth of the paper's widths: the rows
    come out as near to the truth, several times as fast. No code was released, and the paper does not tell how long
    it trains.

    *Is it worth a network?* Where the effect is one of single measurements, ``edit_layers=(0,)`` does as well, and
    carries further to rows that are unlike the source: see the tables of ``BENCHMARKS.md``.

    *Several edits.* Each is measured on the source as the ones before it left it.

    References
    ----------
    "Beyond GANs: transforming without a target distribution" (neuron editing).
    """

    encodes: ClassVar[bool] = True
    ranges: ClassVar[bool] = True

    target: str = ""
    source: tuple[str, ...] = ()
    extrapolate: tuple[str, ...] = ()
    on: On = "all"
    log: bool = False
    scale: Literal["pooled", "none"] = "pooled"
    widths: Widths = (100, 50, 10)
    image: tuple[Positive, Positive, Positive] | None = None
    pca_editing: bool = False
    edit_layers: tuple[Count, ...] | None = None
    residual: bool = True
    percentiles: Several = 21
    constant_shift: bool = False
    beyond: Beyond | Literal["refuse"] = "shift"
    cautious: bool = True
    pull: Share = 0.0
    rows: Positive = 100
    epochs: Positive = 100
    min_steps: Positive = 1000
    max_steps: Positive = 4000
    learning_rate: PositiveFloat = 1e-3
    average: Fraction = 0.99

    @property
    def inputs(self) -> Inputs:
        """What is edited."""
        return Inputs(self.log, "keep", self.scale)

    @property
    def draw(self) -> Draw:
        """By epochs, the same number of rows from every domain."""
        return Draw(rows=self.rows)

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that are edited, in their order."""
        inner = 1 if self.pca_editing else len(self.widths)
        return (0, inner, 2 * inner) if self.edit_layers is None else tuple(sorted(self.edit_layers))

    def steps(self, cohort: Cohort) -> int:
        """Return ``epochs`` passes over the largest domain, or the number of steps that bounds them."""
        if self.pca_editing:
            return 1  # nothing is trained
        return self.draw.steps(cohort, self.epochs, self.min_steps, self.max_steps)

    def aim(self, cohort: Cohort) -> Cohort:
        """Find the target, the sources, and the domains to extrapolate, by name."""
        return direct(cohort, target=self.target, source=self.source, extrapolate=self.extrapolate)

    def check(self, cohort: Cohort) -> None:
        """Refuse sources without a measured counterpart in the target, and settings that contradict each other."""
        self._need_sense(cohort.x.shape[-1])
        preconditions.steps_in_order(self.min_steps, self.max_steps)
        preconditions.enough_rows(cohort)
        if self.on == "controls":
            preconditions.paired_controls(cohort)
        preconditions.warn_constant(cohort, controls=self.on == "controls")

    def init(self, key: Array, cohort: Cohort) -> CoderState:
        """Draw the network, or find the components; measure what standardises the inputs."""
        domain, weight = jnp.asarray(cohort.domain), jnp.asarray(cohort.weight)
        tables = self.inputs.of_cohort(cohort)
        net = self._net(cohort.x.shape[-1])
        coder = Player.make(net, build_optimiser("adam"), key, jnp.zeros((1, net.d)), memory=self.average)
        if self.pca_editing:
            z = self.inputs.apply(tables, jnp.asarray(cohort.x), domain)
            mean = weight @ z / weight.sum()
            basis = principal(z - mean, weight, net.size(1))
            found = {
                "layers_0": {"kernel": basis, "bias": -mean @ basis},
                "layers_1": {"kernel": basis.T, "bias": mean},
            }
            coder = coder.replace(params=found, slow=jax.tree.map(jnp.copy, found))
        return CoderState(coder=coder, tables=tables, role=jnp.asarray(cohort.role))

    def step(self, key: Array, state: CoderState, rows: Rows) -> tuple[CoderState, Info]:
        """Train the autoencoder on one minibatch."""
        del key
        d = rows.x.shape[-1]
        z = self.inputs.apply(state.tables, rows.x, rows.domain[:, None]).reshape(-1, d)

        net: Any = self._net(d)

        def loss(params: Any) -> Array:
            return jnp.square(net.apply({"params": params}, z) - z).mean()

        value, grads = jax.value_and_grad(loss)(state.coder.params)
        if self.pca_editing:
            return state, {"loss": value}
        return state.replace(coder=state.coder.update(grads, self.learning_rate)), {"loss": value}

    def finish(self, state: CoderState, cohort: Cohort) -> Fitted:
        """Keep the autoencoder, and measure the edits of every domain."""
        params, _ = state.coder.settled
        z = self.inputs.apply(state.tables, jnp.asarray(cohort.x), jnp.asarray(cohort.domain))
        weight = jnp.asarray(cohort.weight) * (jnp.asarray(cohort.control) if self.on == "controls" else 1)
        treatment, kinds = jnp.asarray(cohort.treatment), len(cohort.importance)
        offset, count = jnp.asarray(cohort.domains.offset), jnp.asarray(cohort.domains.count)
        coder, goal = self._coder(params, z.shape[1]), aim_of(state.role)

        def rows_of(g: Array) -> tuple[Array, Array, Array]:
            at = jnp.arange(cohort.domains.capacity)
            index = jnp.minimum(offset[g] + at, len(z) - 1)
            return z[index], weight[index] * (at < count[g]), treatment[index]

        def one(g: Array) -> tuple[dict[str, Edit], Array]:
            (source, own, kind), (target, other, its) = rows_of(g), rows_of(goal)
            if self.on == "controls" and kinds > 1:
                own, other = balance(own, kind, other, its, kinds)
            pair = Weighted(source, own), Weighted(target, other)
            share = edits.certainty(self._measure(*pair), pair[0].noise + pair[1].noise)
            return coder.measure(*pair, self._measure, self._rule), share

        found, share = jax.lax.map(one, jnp.arange(len(state.role)))
        found = {layer: self._extrapolate(edit, state.role)._asdict() for layer, edit in found.items()}
        share = average_for_new(share, state.role) if self.cautious else jnp.ones_like(share)
        return {"coder": params, "edits": found, "share": share, "inputs": state.tables, "role": state.role}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Edit rows of the sources, and of the domains to extrapolate."""
        z = self.inputs.apply(fitted["inputs"], x, domain)
        change = by_domain(fitted["edits"], domain, self._rule)
        edited = self._coder(fitted["coder"], x.shape[1]).edited(z, change)
        edited = z + fitted["share"][domain][:, None] * (edited - z)
        new, old = (self.inputs.restore(fitted["inputs"], each, x, domain) for each in (edited, z))
        return jnp.where(moves(fitted, domain)[:, None], x + (new - old), x)

    def encode(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return the activations of the inner layer, after the edits before it and its own."""
        coder = self._coder(fitted["coder"], x.shape[1])
        change = by_domain(fitted["edits"], domain, self._rule)
        z = coder.before(self.inputs.apply(fitted["inputs"], x, domain), change)
        return coder.reach(z, change, coder.net.depth // 2)

    def stray(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Count the values of every row that lie outside the range that its edits were measured on, (n,)."""
        z = self.inputs.apply(fitted["inputs"], x, domain)
        coder = self._coder(fitted["coder"], x.shape[1])
        found = count_outside(coder, fitted["edits"], z, domain, self._rule)
        return jnp.where(moves(fitted, domain), found, 0)

    @property
    def strict(self) -> bool:
        """Whether rows with such values are refused."""
        return self.beyond == "refuse"

    def _measure(self, source: Weighted, target: Weighted) -> Edit:
        return edits.measure(
            source.rows,
            target.rows,
            self.percentiles,
            source_weight=source.weight,
            target_weight=target.weight,
            constant_shift=self.constant_shift,
        )

    def _extrapolate(self, edit: Edit, role: Array) -> Edit:
        """Give domains to extrapolate the average edit of the sources, pulled towards their own."""
        source, target = (average_for_new(tables, role) for tables in edit)
        return Edit(source + self.pull * (edit.source - source), target)

    @property
    def _rule(self) -> Beyond:
        return "shift" if self.beyond == "refuse" else self.beyond

    def _net(self, d: int) -> Autoencoder:
        widths = (min(self.widths[-1], d),) if self.pca_editing else self.widths
        return build(widths, d, self.image, linear=self.pca_editing)

    def _coder(self, params: Any, d: int) -> Coder:
        return Coder(self._net(d), params, self.layers, self.residual)

    def _need_sense(self, d: int) -> None:
        """Refuse settings that contradict each other, or the rows."""
        depth, bad = 2 if self.pca_editing else 2 * len(self.widths), []
        if not self.layers or max(self.layers) > depth:
            bad.append(f"edit_layers={self.edit_layers}: the layers are 0 to {depth}")
        elif len(set(self.layers)) < len(self.layers):
            bad.append(f"edit_layers={self.edit_layers}: a layer is edited once")
        if self.constant_shift and self.beyond != "shift":
            bad.append(f"constant_shift, and beyond={self.beyond!r}: a mean has no range")
        bad += mistakes(self.image, d)
        if self.image is not None and self.pca_editing:
            bad.append("image, and pca_editing: components know no neighbourhood")
        if bad:
            raise InputError(
                "Settings that contradict each other, or the rows",
                which=bad,
                why="There would be nothing to edit, or something else than was meant.",
                fix="Leave them out for the defaults.",
                code="bad-setting",
            )
