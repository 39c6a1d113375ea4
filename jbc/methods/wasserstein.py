"""Wasserstein alignment: critics over every treatment × pair of domains."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.sampling import Draw, Rows
from jbc.errors import InputError
from jbc.losses import wasserstein as losses
from jbc.methods import wasserstein_pairs as nets
from jbc.methods.base import Info
from jbc.methods.constraints import Count, NonNegative, Positive, Widths
from jbc.methods.pair_alignment import AlignmentState, PairAlignment, PairData, rows_of
from jbc.methods.settings import AdversarialTraining, build_optimiser
from jbc.methods.turns import whose_turn
from jbc.methods.wasserstein_pairs import Batch, Params
from jbc.nets import PlayerState
from jbc.numerics import noise
from jbc.numerics.sharding import shard_axis


@dataclasses.dataclass(frozen=True)
class WassersteinAlignment(PairAlignment):
    r"""Move all domains towards each other until no treatment tells them apart.

    Every domain g has a map :math:`A_g`, and there is no target domain. With :math:`\nu_{tg}` the rows of
    treatment t in domain g, and :math:`D_t` the domains in which t occurs,

    .. math:: \min_A \frac{1}{|T|} \sum_t \frac{2}{|D_t| (|D_t| - 1)} \sum_{i < j \in D_t}
              W\bigl(A_i(\nu_{ti}), A_j(\nu_{tj})\bigr) + \rho\, \overline{\lVert A(x) - x \rVert^2}

    where a critic for every treatment and pair of domains estimates the 1-Wasserstein distance W (see
    :mod:`jbc.losses.wasserstein`). Treatments of a single domain do not enter the loss, and are transformed like all
    others. Where no treatment is given, the controls are aligned; without these, all rows.

    Parameters
    ----------
    maps
        Family of the maps: affine, the identity plus a matrix of low rank, or a residual network.
    width
        Rank of the matrix, or width of the residual network.
    form
        Compare mapped rows of one domain with original ones of every domain, its own included (the barycentre),
        which cannot shrink; or mapped with mapped rows, as in print, which needs early stopping.
    identity
        Weight ρ of the mean squared displacement.
    fan_in_rate
        Divide the rate of the matrices of the maps by their number of rows, since that many entries add up in what
        moves a row; or train everything at one rate, as in print.
    treatments
        Weigh treatments equally, or by their number of rows.
    importance
        Factors of that weight for treatments that are named, such as ``(("DMSO", 5.0),)``.
    inputs
        Logarithm, level of the row, and standardisation of the inputs.
    critic
        Widths of the hidden layers of a critic.
    critic_start
        First weights of a critic: drawn, or the identity cut off.
    gamma
        Weight of the penalty of gradients longer than 1.
    pretrain
        Steps of the critics alone before anything moves.
    map_steps
        Updates of the maps in every turn of theirs.
    reverse
        What the maps descend on: the gap of the critics, or their whole loss with its sign reversed, the gap less
        the penalty, as in print and by gradient reversal.
    skip
        When an update of the maps is left out: never, as in print; where the gap that it would descend on is not
        positive; or where the gap less the penalty of the step before was not, as in the released code.
    training
        Minibatches and turns. A linear decay is that of the maps' rate.

    Notes
    -----
    *Paper, released code and default differ* (:mod:`jbc.presets` has the first two). The paper says that 50
    transform steps follow one critic step, the released code does it the other way round; its critics have a layer
    more. The released code trains ``x @ (W + b)`` and evaluates ``x @ W + b``, and takes the norm of the
    gradient over the whole minibatch: both faults are not copied, so that its preset is what it meant. The default
    compares with original rows, trains both players by Adam at a higher rate, the matrices of the maps at that rate
    divided by the number of features (at one rate they diverge where features are many), and needs no early stop.
    Its maps see the gap of the critics alone: a penalty tells where critics are too steep, and nothing about domains.
    Where the gap is not positive, critics have not caught up, and a step along it would move domains apart.

    *What is shared decides.* One group of rows, such as the controls, does not tell how a domain turns profiles:
    affine maps that make it alike turn the rest at random, unless they take small steps (``fan_in_rate``), which then
    gain nothing over centring. A warning tells of it. Align as many treatments as domains share, or centre on the
    controls (:class:`~jbc.methods.closed_form.standardise.Standardise`).

    *New domains.* :meth:`adapt` needs controls alone. Of the maps that make controls alike it takes the one that
    moves rows least, which does not turn them.

    References
    ----------
    Tabak et al., Correcting nuisance variation using Wasserstein distance, PeerJ 2020.

    Examples
    --------
    >>> import jbc
    >>> x, domain = [[0.0], [1.0], [5.0], [6.0], [7.0]], list("aabbb")
    >>> method = jbc.WassersteinAlignment(training=jbc.AdversarialTraining(updates=2), pretrain=0)
    >>> model = jbc.fit(method, jbc.Cohort.from_arrays(x, domain))
    >>> model.record.steps, model.transform(x, domain).shape
    (12, (5, 1))
    """

    sharded_fields: ClassVar[tuple[str, ...]] = ("critics",)

    critic: Widths = (2,)
    critic_start: Literal["random", "identity"] = "random"
    gamma: NonNegative = 10.0
    pretrain: Count = 1000
    map_steps: Positive = 1
    reverse: Literal["gap", "loss"] = "gap"
    skip: Literal["never", "gap", "last-loss"] = "gap"
    training: AdversarialTraining = AdversarialTraining(
        rows=100, updates=1600, critic_steps=5, optimiser="adam", map_rate=5e-3, critic_rate=2e-3,
        linear_decay=True, ema_decay=0.0,
    )  # fmt: skip

    @property
    def draw(self) -> Draw:
        """The same number of rows from every cell of a shared treatment."""
        return Draw(by="shared", rows=self.training.rows)

    def steps(self, cohort: Cohort) -> int:
        """Return the steps of pre-training, and of the turns that hold all updates of the maps."""
        del cohort
        cycles = -(-self.training.updates // self.map_steps)
        return self.pretrain + cycles * (self.training.critic_steps + self.map_steps)

    def check_settings(self) -> None:
        """Refuse critics whose scores would grow without bound."""
        if not self.gamma:
            raise InputError(
                "Critics without a penalty of their gradients",
                which=["gamma=0"],
                why="What they say would grow without bound.",
                fix="Set gamma=10, or use DistanceAlignment, which has no critics.",
                code="bad-setting",
            )

    def init(self, key: Array, cohort: Cohort) -> AlignmentState:
        """Return maps that are the identity, and drawn critics."""
        assert cohort.shared is not None
        how, pairs = self.training, self.n_pairs(cohort.shared.blocks)
        maps = self.init_maps(key, cohort, how.optimiser, how.ema_decay)
        key = jax.random.split(key)[1]
        critics = nets.make_critics(key, pairs, cohort.width, self.critic, self.critic_start)
        return self.start(cohort, maps, PlayerState.of_params(critics, build_optimiser(how.optimiser)))

    def step(self, key: Array, state: AlignmentState, rows: Rows) -> tuple[AlignmentState, Info]:
        """Train the critics, or the maps."""
        x = self.inputs.of_rows(state.tables, rows)
        turns = self.training.critic_steps, self.map_steps
        critics = whose_turn(state.step, turns, before=self.pretrain) == 0
        more = self.weigh_pairs(rows, state.shared)
        state, info = jax.lax.cond(critics, self._critic_step, self._map_step, key, state, x, more)
        last = info["distance"] - info["penalty"]
        return state.replace(step=state.step + 1, last=last), info

    def _critic_step(
        self, key: Array, state: AlignmentState, x: Array, more: PairData
    ) -> tuple[AlignmentState, Info]:
        """Train the critics."""
        assert state.critics is not None

        def loss(params: Params, batch: Batch, x: Array, own: PairData) -> tuple[Array, losses.Terms]:
            terms = self._terms(state.maps.params, own | {"critics": params}, batch, x)
            # Every critic is on its own: weights would only scale its learning rate.
            return (terms.penalty - terms.gap).sum(), terms

        def one(_: None, batch: Batch, x: Array, own: PairData) -> tuple[None, tuple[Params, losses.Terms]]:
            return None, jax.grad(loss, has_aux=True)(own["critics"], batch, x, own)

        own = self._pair_data(key, state, x) | more
        _, (grads, terms) = nets.batchwise(one, None, state.shared, self.form, x, own)
        critics = state.critics.update(grads, self.training.critic_rate)
        return state.replace(critics=critics), self.report(state, terms)

    def _map_step(
        self, key: Array, state: AlignmentState, x: Array, more: PairData
    ) -> tuple[AlignmentState, Info]:
        """Move the domains."""
        rate = self.training.map_rate * self.training.rate_factor(state.maps.step)
        moves = {"never": True, "gap": None, "last-loss": state.last > 0}[self.skip]
        return self.move_maps(
            state, x, self._pair_data(key, state, x) | more, self._terms, rate,
            objective=self._objective, moves=moves,
        )  # fmt: skip

    def _objective(self, terms: losses.Terms) -> Array:
        """Return what the maps descend on, of every pair."""
        return terms.gap if self.reverse == "gap" else terms.gap - terms.penalty

    def _pair_data(self, key: Array, state: AlignmentState, x: Array) -> PairData:
        """Return what every pair has of its own, (pairs, ...)."""
        assert state.critics is not None
        mix = noise.fractions(key, (len(state.weight), x.shape[1]))
        return {"weight": state.weight, "critics": state.critics.params, "mix": mix}

    def _terms(self, maps: Params, own: PairData, batch: Batch, x: Array) -> losses.Terms:
        """Return the estimated distance of every pair, from a minibatch of cells (cells, m, d)."""
        layer, head = own["critics"]["first"], own["critics"]["head"]
        first, second = nets.project(maps, layer, x, batch, self.form, own.get("seen"))
        gram = jnp.einsum("chd,ckd->chk", layer["w"], layer["w"])
        return losses.critic_terms(
            head, gram, shard_axis(first), shard_axis(second), own["mix"], self.gamma, rows_of(own)
        )
