"""MMD-ResNet: one residual network for every source, trained until the target's rows look alike."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.sampling import Rows
from jbc.losses.mmd import median_distance, mmd2_to
from jbc.losses.reconstruction import mean_of_observed
from jbc.methods import preconditions, source_maps
from jbc.methods.base import ByEpochs, Directed, Fitted, Info, Trainable
from jbc.methods.constraints import Count, NonNegative, Positive
from jbc.methods.inputs import Inputs, Tables
from jbc.methods.settings import KERNEL, ROUTE, TRAINING, Kernel, Route, Training, build_optimiser
from jbc.methods.subspace import Projects
from jbc.nets import PlayerState, ResidualMap, Start
from jbc.numerics.linalg import squared_distances

SAMPLE = 1000  # rows of the target among which neighbours are sought


class MapState(flax.struct.PyTreeNode):
    """The maps, what they look at, and the unit of the kernels where it is measured once."""

    maps: PlayerState
    tables: Tables
    unit: Array
    role: Array
    epoch: Array
    step: Array


@dataclasses.dataclass(frozen=True)
class MMDResNet(Projects, ByEpochs, Directed, Trainable):
    r"""Move every source onto the target by a residual network that makes their MMD small.

    A network :math:`\psi_s`, which begins as the identity, maps the rows :math:`X_s` of a source s such that

    .. math:: \mathrm{MMD}^2(\psi_s(X_s), X_t)

    to the rows :math:`X_t` of the target is small. Every source has a network of its own, so that it is corrected as
    if it were the only one. Rows of the target, and of domains that are not named, come out as they came in.

    Parameters
    ----------
    route
        Which domains move where; by default all others move to the largest one.
    inputs
        Logarithm, level of the row, and standardisation of the inputs (pooled: by the sources). By domain, a map
        begins as the shift and scale that give a source the means and standard deviations of the target.
    blocks
        Blocks of the network.
    width
        Width of the hidden layer of a block.
    start
        First weights: the identity, by zeros in the last layer of a block, or all of them N(0, 1e-4²).
    kernel
        Kernels of the MMD.
    neighbours
        Above 0, widths of kernels are multiplied by the median distance of rows of the target to that many nearest
        neighbours of theirs, measured once, instead of the median distance of every minibatch.
    objective
        What every map descends on: the squared MMD while its estimate is above 0; or its root.
    identity
        Weight of the mean squared displacement, in units of the standardised inputs.
    training
        Minibatches, length, optimiser and averaging.

    Notes
    -----
    *Paper and default differ* (:func:`jbc.presets.mmd_resnet` is the paper's). The paper takes the logarithm of
    cytometry, scales by the sources, and descends on the MMD with the kernel of every row with itself, by RMSProp
    with a falling rate, from small weights that it penalises; rows of one distribution then move as well. The default
    begins with means and spreads, and leaves them only where rows ask for it. The paper's kernels are those of its
    released program, :math:`e^{-d^2 / s^2}`, with s measured once: half, all of and twice the median distance of
    target rows to their neighbours, 24 besides the row itself. Ours are :math:`e^{-d^2 / 2 \sigma^2}`, so that the
    preset divides these widths by the root of 2; the default measures its widths in every minibatch. At inference the
    paper's norms use running averages, ours the statistics of all rows of the source, which these approach. Its early
    stop by a tenth of the rows is ``stopping="rows"`` of :class:`jbc.Corrector`, and the autoencoder that fills zeros
    in before is :class:`jbc.DenoisingAutoencoder`.

    References
    ----------
    Shaham et al., Removal of batch effects using distribution-matching residual networks, Bioinformatics 2017.

    Examples
    --------
    >>> import jbc
    >>> cohort = jbc.Cohort.from_arrays([[0.0], [1.0], [5.0], [6.0], [7.0]], list("aabbb"))
    >>> model = jbc.fit(jbc.MMDResNet(route=jbc.Route(target="b")), cohort, steps=2)
    >>> model.transform([[0.0], [6.0]], ["a", "b"]).shape
    (2, 1)
    """

    takes_missing: ClassVar[bool] = True
    least_rows: ClassVar[int] = 32

    route: Route = ROUTE
    inputs: Inputs = Inputs(log=False, level="keep", scale="domain", subspace="auto")
    blocks: Positive = 3
    width: Positive = 25
    start: Start = "identity"
    kernel: Kernel = KERNEL
    neighbours: Count = 0
    objective: Literal["squared", "root"] = "squared"
    identity: NonNegative = 0.1
    training: Training = Training(rows=256).over(TRAINING)

    def check(self, cohort: Cohort) -> None:
        """Refuse domains and minibatches of a single row."""
        preconditions.no_extrapolation(self.route.extrapolate, "MMDResNet")
        preconditions.enough_rows(cohort)
        self.inputs.check(cohort)
        self.training.check(compares=True)

    def tables(self, cohort: Cohort) -> Tables:
        """Return what standardises the inputs, and gives results the units of the target."""
        return source_maps.measure_inputs(self.inputs, cohort)

    def init(self, key: Array, cohort: Cohort) -> MapState:
        """Return drawn networks, and what standardises the inputs."""
        tx = build_optimiser(self.training.optimiser, self.training.weight_decay)
        size = cohort.width, len(cohort.domains.count)
        tables = self.tables(cohort)
        return MapState(
            maps=source_maps.init_players(self._net, tx, key, *size, self.training.ema_decay),
            tables=tables,
            unit=self._measure_unit(jax.random.fold_in(key, 1), tables, cohort),
            role=jnp.asarray(cohort.role),
            epoch=self.draw.epoch(cohort).astype(jnp.int32),
            step=jnp.int32(0),
        )

    def step(self, key: Array, state: MapState, rows: Rows) -> tuple[MapState, Info]:
        """Train every map on one minibatch."""
        del key
        z = self.inputs.of_rows(state.tables, rows)
        target = z[source_maps.target_index(state.role)]
        z, role = source_maps.without_target(state.role, (z, state.role))

        measured = self.neighbours or self.kernel.unit == "fixed"
        scale = state.unit if measured else None
        weight = source_maps.without_target(state.role, source_maps.pair_weights(state.role, rows.weight))
        seen = source_maps.without_target(state.role, source_maps.both_observed(state.role, rows.observed))
        if seen is not None:
            target = source_maps.hide(jnp.broadcast_to(target, z.shape), seen)

        def loss(params: Any) -> tuple[Array, Info]:
            moved = source_maps.apply_each(self._net, source_maps.without_target(state.role, params), z)
            shown = source_maps.hide(moved, seen)
            mmd2, kernel = mmd2_to(
                shown, target, self.kernel.bandwidths, scale, unbiased=self.kernel.unbiased, weight=weight
            )
            wanted = jnp.sqrt(jnp.maximum(mmd2, 1e-12)) if self.objective == "root" else jnp.maximum(mmd2, 0)
            if self.identity:
                wanted += self.identity * mean_of_observed(jnp.square(moved - z), seen, (1, 2))
            info = {"loss": wanted, "mmd2": mmd2, "kernel": kernel}
            means = {name: source_maps.mean_of_sources(value, role) for name, value in info.items()}
            return source_maps.sum_of_sources(wanted, role), means

        grads, info = jax.grad(loss, has_aux=True)(state.maps.params)
        rate = self.training.rate(state.step // state.epoch)
        return state.replace(maps=state.maps.update(grads, rate), step=state.step + 1), info

    def finish(self, state: MapState, cohort: Cohort) -> Fitted:
        """Return the maps, with the statistics of their norms."""
        params = state.maps.inference_params
        return source_maps.freeze_statistics(self._net, params, state.tables, self.inputs, cohort)

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return rows of the sources moved to the target."""
        return source_maps.transform(self._net, self.inputs, fitted, x, domain)

    @property
    def _net(self) -> ResidualMap:
        return source_maps.build_map(self.blocks, (self.width,), self.start)

    def _measure_unit(self, key: Array, tables: Tables, cohort: Cohort) -> Array:
        """Return what widths of kernels are multiplied by, where that is the same in every minibatch."""
        if not self.neighbours:
            return jnp.float32(1)
        domain = jnp.asarray(cohort.domain)
        z = self.inputs.apply(tables, jnp.asarray(cohort.x), domain)
        counts = jnp.asarray(cohort.weight) * (domain == source_maps.target_index(jnp.asarray(cohort.role)))
        drawn = jax.random.choice(key, len(z), (SAMPLE,), p=counts / counts.sum())
        return neighbour_distance(z[drawn], self.neighbours)


def neighbour_distance(z: Array, neighbours: int) -> Array:
    """Return the median distance of rows (n, d) to their nearest neighbours, over rows and neighbours.

    Where half of these coincide, it is the :func:`jbc.losses.mmd.median_distance` of the rows.

    Examples
    --------
    >>> float(neighbour_distance(jnp.array([[0.0], [1.0], [3.0], [4.0]]), 1))
    1.0
    """
    n = len(z)
    apart = squared_distances(z, z) + jnp.where(jnp.eye(n, dtype=bool), jnp.inf, 0)
    nearest = jnp.sort(apart, axis=1)[:, : min(neighbours, n - 1)]
    typical = jnp.sqrt(jnp.median(nearest))
    # Rows that coincide leave a trace of rounding.
    around = median_distance(z[None], n)
    return jnp.where(typical > 1e-3 * around, typical, around)
