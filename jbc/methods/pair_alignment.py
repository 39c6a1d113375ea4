"""Alignment of all domains by their shared treatments: what is common to all distances between pairs."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.groups import Shared, find_shared
from jbc.cohort.sampling import Rows
from jbc.errors import InputError, listing, warn
from jbc.losses.wasserstein import Terms
from jbc.methods import preconditions
from jbc.methods import wasserstein_pairs as nets
from jbc.methods.base import Adapts, Fitted, Info, Resolves, Trainable
from jbc.methods.constraints import NonNegative, Positive, PositiveFloat
from jbc.methods.inputs import Inputs, Tables
from jbc.methods.settings import Optimiser, build_optimiser
from jbc.methods.subspace import Projects
from jbc.methods.wasserstein_pairs import Batch, Family, Form, Params
from jbc.nets import PlayerState
from jbc.numerics.linalg import covariance, deviations, optimal_map

PairData = dict[str, Any]
"""What every pair has of its own: its weight, its critic, and the places between its rows."""

MOST_PAIRS = 1 << 22


class AlignmentState(flax.struct.PyTreeNode):
    """The maps, the critics if there are any, and the cells that they look at.

    ``last`` is what the step before has reported: the estimated distance, less the penalty of its critics.
    """

    maps: PlayerState
    critics: PlayerState | None
    tables: Tables
    shared: Shared
    weight: Array
    step: Array
    last: Array


@dataclasses.dataclass(frozen=True)
class PairAlignment(Projects, Trainable, Adapts, Resolves):
    """One map per domain, trained on a distance between every pair of domains, within every shared treatment.

    Attributes
    ----------
    maps
        Family of the maps: affine, the identity plus a matrix of low rank, or a residual network.
    width
        Rank of the matrix, or width of the residual network.
    form
        Compare mapped rows of one domain with original ones of every domain, its own included (the barycentre),
        which cannot shrink; or mapped with mapped rows, as in print, which needs early stopping.
    identity
        Weight of the mean squared displacement.
    fan_in_rate
        Divide the rate of the matrices of the maps by their number of rows, since that many entries add up in what
        moves a row; or train everything at one rate, as in print.
    treatments
        Weigh treatments equally, or by their number of rows.
    importance
        Factors of that weight for treatments that are named, such as ``(("DMSO", 5.0),)``.
    inputs
        Logarithm, level of the row, and standardisation of the inputs.
    """

    takes_missing: ClassVar[bool] = True

    maps: Family = "affine"
    width: Positive = 16
    form: Form = "barycentre"
    identity: NonNegative = 0.0
    fan_in_rate: bool = True
    treatments: Literal["equal", "rows"] = "equal"
    importance: tuple[tuple[str, PositiveFloat], ...] = ()
    inputs: Inputs = Inputs(log=False, level="keep", scale="pooled", subspace="auto")

    def resolve(self, cohort: Cohort) -> Cohort:
        """Return the cohort with the cells of its shared treatments, and what each treatment counts."""
        names = cohort.names.treatments
        counts = dict(self.importance)
        if lost := [name for name in counts if name not in names]:
            raise InputError(
                "Importance of treatments that the cohort does not have",
                which=lost,
                why="It says what a treatment counts where treatments are averaged.",
                fix=f"Its treatments are {listing(names)}.",
                code="unknown-treatment",
            )
        weight = np.array([counts.get(name, 1.0) for name in names] or [1.0], np.float32)
        shared = find_shared(cohort.cells, len(cohort.domains.count), weight)
        return dataclasses.replace(cohort, shared=shared)

    def compares_mixtures(self, cohort: Cohort) -> bool:
        """Only where no treatment is given are whole domains compared."""
        return cohort.n_treatments == 1 and len(cohort.cells.count) == len(cohort.domains.count)

    def check(self, cohort: Cohort) -> None:
        """Refuse cohorts in which nothing can be aligned, or too much, and settings that contradict each other."""
        preconditions.enough_rows(cohort)
        self.inputs.check(cohort)
        self.check_settings()
        assert cohort.shared is not None
        blocks = cohort.shared.blocks
        if not blocks:
            raise InputError(
                "No treatment occurs in two domains",
                which=cohort.names.treatments,
                why="Domains are aligned by what was measured in several of them.",
                fix="Mark controls, or pass another treatment= (None aligns all rows).",
                code="nothing-shared",
            )
        if self.n_pairs(blocks) > MOST_PAIRS:
            raise InputError(
                f"{self.n_pairs(blocks)} pairs of domains and treatments",
                why="A distance is estimated for each of them.",
                fix="Merge domains, or align fewer treatments.",
                code="too-many-pairs",
            )
        common, control = np.unique(np.asarray(cohort.shared.cells.treatment)), np.asarray(cohort.control)
        if len(common) == 1 and control.any() and control[np.asarray(cohort.treatment) == common[0]].all():
            warn(
                "Only controls are shared by the domains. One group of rows does not tell how a domain turns the "
                "others, and no map is better for them than centring. Pass treatments that domains share, or "
                'centre on the controls by Standardise(scale=False, on="controls").'
            )

    @abc.abstractmethod
    def check_settings(self) -> None:
        """Refuse settings that contradict each other."""

    def finish(self, state: AlignmentState, cohort: Cohort) -> Fitted:
        """Return the maps."""
        del cohort
        return {"maps": state.maps.inference_params, "inputs": state.tables}

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return rows that are mapped as their domains are."""
        z = self.inputs.apply(fitted["inputs"], x, domain)
        moved = nets.move_rows(fitted["maps"], z, domain)
        return self.inputs.restore(fitted["inputs"], moved, x, domain)

    def adapt(self, fitted: Fitted, controls: np.ndarray, reference: np.ndarray) -> Fitted:
        """Return the maps with one more: it gives controls the mean and, if it is affine, the covariance of others.

        Of all such maps, the symmetric one moves rows least. Directions in which controls vary less than features do
        on average are hardly stretched: few rows tell little about them.
        """
        tables = self.inputs.extend(fitted["inputs"])
        if len(controls):
            tables = self.inputs.shift_last(tables, jnp.asarray(controls), jnp.asarray(reference))
        last = np.full(len(controls), -1)
        z = np.asarray(self.inputs.apply(tables, controls, last), np.float64)  # pyright: ignore[reportArgumentType]
        target = np.asarray(self.inputs.retrieve(tables, reference), np.float64)  # pyright: ignore[reportArgumentType]
        matrix, shift = np.eye(z.shape[1]), np.zeros(z.shape[1])
        if len(z) > 1 and self.maps == "affine":
            # Of standardised features, so a constant one counts as one of the usual deviation.
            unit = deviations(target.var(axis=0, ddof=1), 1 + np.abs(target.mean(axis=0)), 1.0)
            matrix = optimal_map(covariance(z / unit), covariance(target / unit), ridge=1.0)
            matrix = matrix * (unit / unit[:, None])
        if len(z):
            shift = target.mean(axis=0) - z.mean(axis=0) @ matrix
        return {"maps": nets.extend(fitted["maps"], matrix, shift), "inputs": tables}

    def tables(self, cohort: Cohort) -> Tables:
        """Return what standardises the inputs, measured on the rows that are aligned."""
        return self.inputs.of_cohort(cohort, _aligned(cohort))

    def init_maps(
        self, key: Array, cohort: Cohort, optimiser: Optimiser, ema_decay: float = 0.0
    ) -> PlayerState:
        """Return one map per domain, each the identity; critics are drawn with the other half of the key."""
        d, (key, _) = cohort.width, jax.random.split(key)
        maps = nets.make_maps(key, self.maps, len(cohort.domains.count), d, min(self.width, d))
        tx = build_optimiser(optimiser, fan_in=self.fan_in_rate)
        return PlayerState.of_params(maps, tx, ema_decay=ema_decay)

    def start(self, cohort: Cohort, maps: PlayerState, critics: PlayerState | None) -> AlignmentState:
        """Return the state to start from."""
        shared = jax.tree.map(jnp.asarray, cohort.shared)
        tables = self.tables(cohort)
        return AlignmentState(
            maps, critics, tables, shared, self._weights(shared), step=jnp.int32(0), last=jnp.zeros(())
        )

    def move_maps(
        self,
        state: AlignmentState,
        x: Array,
        own: PairData,
        terms: Callable[[Params, PairData, Batch, Array], Terms],
        rate: Array | float,
        *,
        objective: Callable[[Terms], Array] = lambda terms: terms.gap,
        moves: Array | bool | None = None,
    ) -> tuple[AlignmentState, Info]:
        """Return the state after an update of the maps, which descend on the ``objective`` of every pair.

        They stay as they are unless it ``moves``: by default, where the estimated distance is positive.
        """

        def loss(maps: Params, batch: Batch, x: Array, own: PairData, share: float) -> tuple[Array, Terms]:
            found = terms(maps, own, batch, x)
            total = (own["weight"] * own.get("share", 1.0) * objective(found)).sum()
            if self.identity:
                moved = nets.move_cells(maps, x, batch)
                total += self.identity * share * jnp.square(moved - x).sum()
            return total, found

        def one(slope: Params, batch: Batch, rows: Array, own: PairData) -> tuple[Params, Terms]:
            share = 1 / (x.shape[0] * x.shape[1])
            more, found = jax.grad(loss, has_aux=True)(state.maps.params, batch, rows, own, share)
            return jax.tree.map(jnp.add, slope, more), found

        slope = jax.tree.map(jnp.zeros_like, state.maps.params)
        grads, found = nets.batchwise(one, slope, state.shared, self.form, x, own)
        info = self.report(state, found)
        moves = jnp.asarray(info["distance"] > 0 if moves is None else moves)
        moved = state.maps.update(grads, rate)
        maps = jax.tree.map(lambda new, old: jnp.where(moves, new, old), moved, state.maps)
        report = {"moved": moves.astype(jnp.float32), "transforms": jnp.ones(())}
        return state.replace(maps=maps), info | report

    def weigh_pairs(self, rows: Rows, shared: Shared) -> PairData:
        """Return what rows of both sides of every pair count, and what domains share; empty where all count alike.

        And where the rows of both sides, in the same places, have values (``seen``), if some are missing.
        """
        seen = {} if rows.observed is None else {"seen": nets.both_observed(rows.observed, shared, self.form)}
        if rows.weight is None:
            return seen
        first, second = nets.sides(len(rows.domain), self.form)
        i, j = first.cell, second.cell
        overlap = rows.overlap
        assert overlap is not None
        return seen | {"first": rows.weight[i, j], "second": rows.weight[j, i], "share": overlap[i, j]}

    def report(self, state: AlignmentState, terms: Terms) -> Info:
        """Return the report of a step that moves nothing."""
        distance, zero = (state.weight * terms.gap).sum(), jnp.zeros(())
        penalty = (state.weight * terms.penalty).sum()
        return {"loss": distance, "distance": distance, "penalty": penalty, "moved": zero, "transforms": zero}

    def n_pairs(self, blocks: tuple[tuple[int, int], ...]) -> int:
        """Return the number of pairs of domains, over all shared treatments."""
        return sum(t * nets.pairs_of(k, self.form) for t, k in blocks)

    def _weights(self, shared: Shared) -> Array:
        """Weigh the pairs of a treatment equally, and treatments as asked for; the sum is 1."""
        parts, count = [], jnp.asarray(shared.cells.count, jnp.float32)
        for block in nets.blocks(shared, self.form):
            rows = count[block.cells].reshape(-1, block.k).sum(axis=1)
            each = shared.importance[block.cells][:: block.k]
            each = each * rows if self.treatments == "rows" else each
            parts.append(jnp.repeat(each / block.pairs, block.pairs))
        weight = jnp.concatenate(parts)
        return weight / weight.sum()


def rows_of(own: PairData) -> tuple[Array, Array] | None:
    """Return what rows of both sides of every pair count, if they do not count alike."""
    return (own["first"], own["second"]) if "first" in own else None


def _aligned(cohort: Cohort) -> Array:
    """Return 1 for rows whose treatment is shared, 0 for others."""
    assert cohort.shared is not None
    cells = cohort.shared.cells
    start = jnp.asarray(cells.offset)
    edges = (
        jnp.zeros(len(cohort.x) + 1, jnp.int32).at[start].add(1).at[start + jnp.asarray(cells.count)].add(-1)
    )
    return jnp.cumsum(edges)[:-1]
