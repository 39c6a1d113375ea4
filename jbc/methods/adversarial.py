"""Adversarial correction: maps that are trained until a discriminator cannot tell their rows from the target's."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.roles import SOURCE
from jbc.cohort.sampling import Draw, Rows
from jbc.errors import InputError
from jbc.losses import adversarial as losses
from jbc.losses.adversarial import Objective
from jbc.losses.reconstruction import mean_of_observed
from jbc.methods import preconditions, source_maps
from jbc.methods.base import Diagnoses, Directed, Fitted, Info, Trainable
from jbc.methods.constraints import Fraction, NonNegative, Positive, Widths
from jbc.methods.inputs import Inputs, Tables
from jbc.methods.settings import ROUTE, AdversarialTraining, Route, build_optimiser
from jbc.methods.subspace import Projects
from jbc.methods.turns import whose_turn
from jbc.nets import Discriminator, PlayerState, ResidualMap, Start
from jbc.numerics import noise
from jbc.numerics.linalg import mean_of_rows

Weights = tuple[Array, Array] | None
"""What rows of sources and of the target count, (D, m) each; None where all count alike."""

KEPT_DECAY = 0.9  # of the average that is looked at for collapse: about ten minibatches
COLLAPSED, TOLD_APART = 0.5, 0.9


class AdversarialState(flax.struct.PyTreeNode):
    """The maps, their discriminators, what they look at, and the logarithm of the scale that features keep."""

    maps: PlayerState
    critics: PlayerState
    tables: Tables
    role: Array
    kept: Array
    step: Array


@dataclasses.dataclass(frozen=True)
class AdversarialCorrection(Projects, Directed, Trainable, Diagnoses):
    r"""Move every source onto the target, such that a discriminator cannot tell the two apart.

    A generator G maps rows of a source, and a discriminator D tells them from rows of the target. In turn, they
    descend on

    .. math:: -E_t \log D(x) - E_s \log(1 - D(G(x))) \qquad \text{and} \qquad -E_s \log D(G(x)),

    or on another pair of objectives (:mod:`jbc.losses.adversarial`). Every source has a generator and a discriminator
    of its own, so that it is corrected as if it were the only one. Rows of the target, and of domains that are not
    named, come out as they came in.

    Parameters
    ----------
    route
        Which domains move where; by default all others move to the largest one.
    inputs
        Logarithm, level of the row, and standardisation of the inputs (pooled: by the sources). By domain, a map
        begins as the shift and scale that give a source the means and standard deviations of the target.
    residual
        The generator adds to its input, or (a plain GAN) makes rows anew.
    blocks
        Residual blocks of the generator. The plain one is a single chain of layers.
    widths
        Widths of the hidden layers of the generator.
    start
        First weights of the generator: the identity, by zeros in the last layer of a block, or all of them
        N(0, 1e-4²).
    map_norm
        Whether hidden layers of the generator are normalised. Those of a residual one then have ReLU; without norms,
        and in a plain one, activations are leaky ReLU of slope 0.2.
    critic
        Widths of the hidden layers of the discriminator.
    norm
        Whether hidden layers of the discriminator are normalised over target and generated rows of the minibatch.
    objective
        What both players descend on.
    smoothing
        How much less than 1 the label of target rows is, for the logistic and the squared objective.
    gamma
        Weight of the one-sided penalty of gradients of the discriminator longer than 1, between pairs of rows.
    identity
        Weight of the mean squared displacement, in units of the standardised inputs; with a pooled scale it holds
        large shifts back, and 0.1 or less is better.
    cycle
        Weight of the mean absolute difference between rows and what a way there and back makes of them. Above 0,
        every source has a generator of the way back, and a discriminator for it.
    training
        Minibatches and turns: the discriminators are the critics, the generators the maps. A linear decay is that of
        both rates.

    Notes
    -----
    *Paper and default.* No code was released, and the paper does not tell the numbers of layers, their widths, the
    length of training, or what the norms use at inference. ``jbc.presets.adversarial("paper")`` takes the layers of
    MMD-ResNet, which it builds on, and, as there, takes logarithms and scales by the sources; the zeros that
    MMD-ResNet's authors fill in before, by :class:`jbc.DenoisingAutoencoder`, are left to the user. It has the
    logistic objective and nothing that holds the maps back; the default penalises steep discriminators and
    displacement, averages the generators, lets the rates fall, and norms no discriminator. Here the norms of a
    discriminator always see target and generated rows together: apart, they would take out what tells them apart. At
    inference, norms have the statistics of all rows of the source. A plain GAN, a ResnetGAN, and a CycleGAN, as
    neuron editing compares itself with, are presets: leaky ReLU and no norms, as printed.

    *A way back.* With a weight of the ``cycle``, a second generator F leads from the target to the source, with a
    discriminator of its own, and G and F pay for

    .. math:: E_s \overline{|F(G(x)) - x|} + E_t \overline{|G(F(y)) - y|}

    besides, the bars being means over features (Zhu et al. 2017). Rows that differed keep differing, but nothing says
    which of the target's rows they become. ``identity`` holds both ways. The report is about the way there, and has
    ``cycle``, the former of the two means.

    *What to watch.* Where target and source differ in composition, every such method makes them alike. The
    report of a step has ``kept``, the least scale of a feature after the map, in units of that of source or target,
    whichever is smaller; and ``accuracy``, with which the worst fooled discriminator tells rows apart. A collapse of
    the former, or the latter near 1, raises a warning at the end of a fit.

    References
    ----------
    Upadhyay and Jain, Removal of batch effects using generative adversarial networks, 2019.
    Zhu et al., Unpaired image-to-image translation using cycle-consistent adversarial networks, ICCV 2017.

    Examples
    --------
    >>> import jbc
    >>> cohort = jbc.Cohort.from_arrays([[0.0], [1.0], [5.0], [6.0], [7.0]], list("aabbb"))
    >>> model = jbc.fit(jbc.AdversarialCorrection(route=jbc.Route(target="b")), cohort, steps=2)
    >>> model.transform([[0.0], [6.0]], ["a", "b"]).shape
    (2, 1)
    """

    takes_missing: ClassVar[bool] = True

    route: Route = ROUTE
    inputs: Inputs = Inputs(log=False, level="keep", scale="domain", subspace="auto")
    residual: bool = True
    blocks: Positive = 3
    widths: Widths = (25,)
    start: Start = "identity"
    map_norm: bool = True
    critic: Widths = (64, 64)
    norm: bool = False
    objective: Objective = "logistic"
    smoothing: Fraction = 0.0
    gamma: NonNegative = 10.0
    identity: NonNegative = 1.0
    cycle: NonNegative = 0.0
    training: AdversarialTraining = AdversarialTraining(
        rows=256, updates=2000, critic_steps=3, optimiser="adam", map_rate=1e-3, critic_rate=1e-3,
        linear_decay=True, ema_decay=0.99,
    )  # fmt: skip

    @property
    def draw(self) -> Draw:
        """By epochs, the same number of rows from every domain."""
        return Draw(rows=self.training.rows)

    def steps(self, cohort: Cohort) -> int:
        """Return the number of updates of the discriminators."""
        del cohort
        return self.training.updates * self.training.critic_steps

    def check(self, cohort: Cohort) -> None:
        """Refuse domains and minibatches of a single row, and settings that contradict each other."""
        preconditions.no_extrapolation(self.route.extrapolate, "AdversarialCorrection")
        preconditions.enough_rows(cohort)
        self.inputs.check(cohort)
        preconditions.two_rows_drawn(self.training.rows)
        if self.norm and self.gamma:
            raise InputError(
                "A penalty of gradients, and norms in the discriminator",
                which=[f"gamma={self.gamma}", "norm=True"],
                why="With norms, the score of a row depends on other rows, and has no gradient of its own.",
                fix="Set gamma=0 or norm=False.",
                code="bad-setting",
            )
        if self.objective == "wasserstein" and not self.gamma:
            raise InputError(
                "A Wasserstein critic without a penalty of its gradient",
                which=["gamma=0"],
                why="Its scores would grow without bound.",
                fix="Set gamma=10.",
                code="bad-setting",
            )

    def tables(self, cohort: Cohort) -> Tables:
        """Return what standardises the inputs, and gives results the units of the target."""
        return source_maps.measure_inputs(self.inputs, cohort)

    def init(self, key: Array, cohort: Cohort) -> AdversarialState:
        """Return drawn networks, and what standardises the inputs."""
        keys, tx = jax.random.split(key), build_optimiser(self.training.optimiser)
        d, ways = cohort.width, 2 if self.cycle else 1
        groups = ways * len(cohort.domains.count)
        return AdversarialState(
            maps=source_maps.init_players(self._net, tx, keys[0], d, groups, self.training.ema_decay),
            critics=source_maps.init_players(self._critic, tx, keys[1], d, groups),
            tables=self.tables(cohort),
            role=jnp.asarray(cohort.role),
            kept=jnp.zeros((groups - ways, d)),
            step=jnp.int32(0),
        )

    def step(self, key: Array, state: AdversarialState, rows: Rows) -> tuple[AdversarialState, Info]:
        """Train the discriminators, and then, if it is their turn, the maps."""
        z = self.inputs.of_rows(state.tables, rows)
        target, z = z[source_maps.target_index(state.role)], source_maps.without_target(state.role, z)
        z, target = self._ways(z, jnp.broadcast_to(target, z.shape))
        seen = source_maps.without_target(state.role, source_maps.both_observed(state.role, rows.observed))
        if seen is not None:
            seen, _ = self._ways(seen, seen)
        weight = source_maps.without_target(state.role, source_maps.pair_weights(state.role, rows.weight))
        if weight is not None:
            weight = self._ways(*weight)
        factor = self.training.rate_factor(state.maps.step)
        state, info = self._critic_step(key, state, z, target, factor, weight, seen)
        generate = functools.partial(
            self._generator_step, z=z, target=target, factor=factor, weight=weight, seen=seen
        )
        if self.training.critic_steps == 1:
            maps = generate(state)  # the compiler sees that both players look at the same generated rows
        else:
            turn = whose_turn(state.step, (self.training.critic_steps - 1, 1)) == 1
            maps = jax.lax.cond(turn, generate, lambda state: state.maps, state)
        return state.replace(maps=maps, step=state.step + 1), info

    def finish(self, state: AdversarialState, cohort: Cohort) -> Fitted:
        """Return the maps to the target, with the statistics of their norms."""
        there = jax.tree.map(lambda leaf: leaf[: len(state.role)], state.maps.inference_params)
        return source_maps.freeze_statistics(self._net, there, state.tables, self.inputs, cohort)

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return rows of the sources moved to the target."""
        return source_maps.transform(self._net, self.inputs, fitted, x, domain)

    def diagnose(self, info: dict[str, float], apart: Callable[[], float]) -> list[str]:
        """Return warnings when a map has collapsed, or when source and target are still told apart.

        A discriminator may know the rows that it was trained on by heart, so that neighbours are asked as well.
        """
        found = []
        if info.get("kept", 1.0) < COLLAPSED:
            found.append(
                f"A map has collapsed: a feature keeps {info['kept']:.0%} of its deviation in source and target. "
                "Raise identity or gamma, or keep residual=True; the corrected rows should not be used."
            )
        if info.get("accuracy", 0.0) > TOLD_APART and (share := apart()) > TOLD_APART:
            found.append(
                f"The nearest row is of the same domain for {share:.0%} of the corrected rows: a source has not "
                "arrived at the target, or holds something else (Model.composition). Lower identity or critic_rate, "
                "or raise gamma; train longer (updates=) only if the discriminator's accuracy still falls at the end."
            )
        return found

    @property
    def _net(self) -> ResidualMap:
        shape = {"residual": self.residual, "normed": self.map_norm}
        return source_maps.build_map(self.blocks, self.widths, self.start, **shape)

    @property
    def _critic(self) -> Discriminator:
        return source_maps.build_discriminator(self.critic, normed=self.norm)

    def _ways(self, source: Array, target: Array) -> tuple[Array, Array]:
        """Put the ways back behind the ways there, if there are any: in them, source and target change places."""
        if not self.cycle:
            return source, target
        return jnp.concatenate([source, target]), jnp.concatenate([target, source])

    def _critic_step(
        self,
        key: Array,
        state: AdversarialState,
        z: Array,
        target: Array,
        factor: Array | float,
        weight: Weights,
        seen: Array | None,
    ) -> tuple[AdversarialState, Info]:
        """Sharpen the discriminators, and report how the maps fare; ``weight`` is that of source and target rows.

        They look at values that source and target rows both have (``seen``), if some are missing.
        """
        own, both = (None, None) if weight is None else (weight[0], (weight[1], weight[0]))
        maps, role = source_maps.without_target(state.role, (state.maps.params, state.role))
        moved = source_maps.apply_each(self._net, maps, z)
        fake, z, target = (source_maps.hide(rows, seen) for rows in (moved, z, target))

        def loss(params: Any) -> tuple[Array, tuple[Array, Array, Array]]:
            params = source_maps.without_target(state.role, params)
            real_scores, fake_scores = self._scores(params, target, fake)
            value = losses.discriminator_loss(self.objective, real_scores, fake_scores, self.smoothing, both)
            total = value
            if self.gamma:
                total += self.gamma * self._gradient_penalty(key, params, target, fake)
            return self._sum(total, role), (value, real_scores, fake_scores)

        grads, (value, real_scores, fake_scores) = jax.grad(loss, has_aux=True)(state.critics.params)
        rows = jnp.concatenate([fake, z, target], axis=-1)
        scale = jnp.sqrt(mean_of_rows(jnp.square(rows - mean_of_rows(rows))))[:, 0] + 1e-3
        generated, source, goal = jnp.split(scale, 3, axis=-1)
        kept = KEPT_DECAY * state.kept + (1 - KEPT_DECAY) * jnp.log(generated / jnp.minimum(source, goal))
        moves = role == SOURCE
        there = slice(len(moves))

        def mean(values: Array) -> Array:
            return source_maps.mean_of_sources(values[there], role)

        accuracy = losses.accuracy(real_scores, fake_scores, both)
        info = {
            "loss": mean(losses.generator_loss(self.objective, fake_scores, own)),
            "critic": mean(value),
            "accuracy": jnp.where(moves, accuracy[there], 0).max(),
            "kept": jnp.exp(jnp.where(moves[:, None], kept[there], jnp.inf).min()),
            "moved": mean(mean_of_observed(jnp.square(fake - z), seen, (1, 2))),
        }
        if self.cycle:
            info["cycle"] = mean(self._cycle_error(maps, z, moved, seen))
        return state.replace(
            critics=state.critics.update(grads, self.training.critic_rate * factor), kept=kept
        ), info

    def _generator_step(
        self,
        state: AdversarialState,
        z: Array,
        target: Array,
        factor: Array | float,
        weight: Weights,
        seen: Array | None,
    ) -> PlayerState:
        """Move the sources to where they look more like the target."""
        critics, role = source_maps.without_target(state.role, (state.critics.params, state.role))

        def loss(params: Any) -> Array:
            params = source_maps.without_target(state.role, params)
            fake = source_maps.apply_each(self._net, params, z)
            own = None if weight is None else weight[0]
            shown = (source_maps.hide(rows, seen) for rows in (target, fake))
            total = losses.generator_loss(self.objective, self._scores(critics, *shown)[1], own)
            if self.identity:
                total += self.identity * mean_of_observed(jnp.square(fake - z), seen, (1, 2))
            if self.cycle:
                total += self.cycle * self._cycle_error(params, z, fake, seen)
            return self._sum(total, role)

        return state.maps.update(jax.grad(loss)(state.maps.params), self.training.map_rate * factor)

    def _cycle_error(self, params: Any, z: Array, fake: Array, seen: Array | None) -> Array:
        """Measure how far from where they came generated rows end, when they go the other way, (ways,)."""
        other = jax.tree.map(lambda leaf: jnp.roll(leaf, len(z) // 2, axis=0), params)
        back = source_maps.apply_each(self._net, other, fake)
        return mean_of_observed(jnp.abs(back - z), seen, (1, 2))

    def _sum(self, values: Array, role: Array) -> Array:
        """Add up one value per way: no source scales the gradient of another."""
        return source_maps.sum_of_sources(values, jnp.tile(role, len(values) // len(role)))

    def _scores(self, params: Any, target: Array, fake: Array) -> tuple[Array, Array]:
        """Score target and generated rows together, (D, m) each."""
        scores = source_maps.apply_each(self._critic, params, jnp.concatenate([target, fake], axis=1))
        return scores[:, : target.shape[1]], scores[:, target.shape[1] :]

    def _gradient_penalty(self, key: Array, params: Any, target: Array, fake: Array) -> Array:
        """Penalise gradients at one point between every pair of rows."""
        mix = noise.fractions(key, target.shape[:2])[..., None]

        def slope(params: Any, row: Array) -> Array:
            return jax.grad(lambda row: self._critic.apply({"params": params}, row))(row)

        between = mix * target + (1 - mix) * fake
        return losses.gradient_penalty(jax.vmap(jax.vmap(slope, in_axes=(None, 0)))(params, between))
