"""Edits of the layers of an autoencoder: what neuron editing does, whatever the autoencoder is."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.errors import InputError
from jbc.methods import preconditions
from jbc.methods.autoencoders import average_for_new, moves
from jbc.methods.base import Bounded, Directed, Encodes, Fitted
from jbc.methods.constraints import Count, Several, Share
from jbc.methods.edited_layers import (
    EditedAutoencoder,
    Weighted,
    balance,
    by_domain,
    count_outside,
    partners,
    shared_rows,
)
from jbc.methods.inputs import Inputs, Tables
from jbc.methods.settings import LEFT, On, Settings
from jbc.methods.source_maps import target_index
from jbc.methods.subspace import Projects
from jbc.nets import Autoencoder
from jbc.numerics import edits
from jbc.numerics.edits import Beyond, Edit


@dataclasses.dataclass(frozen=True)
class Editing(Settings):
    """Which layers are edited, and how.

    Attributes
    ----------
    on
        Measure edits on all rows of a source and the target, or on their controls only; all their rows are edited.
        Control treatments (a pool of pairs) count alike, those of the other side too.
    layers
        Which layers are edited, one after the other: 0 are the measurements before the network, the last, at twice
        the number of layers of the encoder, are those after it. By default these two and the inner one.
    residual
        Add what the edits of neurons change to the rows, or (False) return what the network makes of them.
    percentiles
        How many percentiles an edit maps, of source onto target.
    constant_shift
        Edit by the difference of the means instead of percentiles.
    beyond
        What happens outside the source's range; "refuse" makes such rows an error.
    cautious
        Leave rows alone where sampling alone would make as much of equal distributions. Replicate rows of one unit
        count as one row.
    pull
        How much of the difference between the edited rows of a domain to extrapolate and the target is taken for a
        technical one, from 0 (none: what the sources do not show stays) to 1 (all of it).

    Examples
    --------
    >>> import jbc
    >>> editing = jbc.NeuronEditing(editing=Editing(on="controls", layers=(0,))).editing
    >>> editing.layers, editing.percentiles  # what is left out is left to the method
    ((0,), 21)
    """

    on: On = LEFT
    layers: tuple[Count, ...] | None = LEFT
    residual: bool = LEFT
    percentiles: Several = LEFT
    constant_shift: bool = LEFT
    beyond: Beyond | Literal["refuse"] = LEFT
    cautious: bool = LEFT
    pull: Share = LEFT

    @property
    def rule(self) -> Beyond:
        """What happens to values outside the range of a source."""
        return "shift" if self.beyond == "refuse" else self.beyond

    def edited_layers(self, depth: int) -> tuple[int, ...]:
        """Return the layers that are edited, in their order, of an autoencoder with ``depth`` layers."""
        return (0, depth // 2, depth) if self.layers is None else tuple(sorted(self.layers))

    def check(self, cohort: Cohort, depth: int, mismatch: list[str]) -> None:
        """Refuse sources without a measured counterpart in the target, and settings that contradict each other."""
        layers, bad = self.edited_layers(depth), []
        if not layers or max(layers) > depth:
            bad.append(f"layers={self.layers}: the layers are 0 to {depth}")
        elif len(set(layers)) < len(layers):
            bad.append(f"layers={self.layers}: a layer is edited once")
        if self.constant_shift and self.beyond != "shift":
            bad.append(f"constant_shift, and beyond={self.beyond!r}: a mean has no range")
        if bad := [*bad, *mismatch]:
            raise InputError(
                "Settings that contradict each other, or the rows",
                which=bad,
                why="There would be nothing to edit, or something else than was meant.",
                fix="Leave them out for the defaults.",
                code="bad-setting",
            )
        preconditions.enough_rows(cohort)
        if self.on == "controls":
            preconditions.paired_controls(cohort)
        preconditions.warn_constant(cohort, controls=self.on == "controls")

    def finish(self, net: Autoencoder, params: Any, inputs: Inputs, tables: Tables, cohort: Cohort) -> Fitted:
        """Return the autoencoder, and the edits of every domain."""
        z = inputs.apply(tables, jnp.asarray(cohort.x), jnp.asarray(cohort.domain))
        weight = jnp.asarray(cohort.weight) * (jnp.asarray(cohort.control) if self.on == "controls" else 1)
        treatment, kinds = jnp.asarray(cohort.treatment), cohort.n_treatments
        offset, count = jnp.asarray(cohort.domains.offset), jnp.asarray(cohort.domains.count)
        autoencoder, role = self.autoencoder(net, params), jnp.asarray(cohort.role)
        target = target_index(role)

        unit = jnp.asarray(cohort.unit)

        at = jnp.arange(cohort.domains.capacity)

        def place(g: Array) -> Array:
            return jnp.minimum(offset[g] + at, len(z) - 1)

        def rows_of(g: Array) -> tuple[Array, Array, Array, Array]:
            index = place(g)
            return z[index], weight[index] * (at < count[g]), treatment[index], unit[index]

        def weighted(g: Array, rows: Array, own: Array, other: Array) -> Weighted:
            if cohort.observed is None or cohort.subspace is not None:
                return Weighted(rows, own)
            seen = jnp.asarray(cohort.observed)
            return Weighted(
                rows, own, seen[place(g)], seen[place(g)] & seen[partners(offset, count, other, len(at))]
            )

        def one(g: Array) -> tuple[dict[str, Edit], Array]:
            rows, own, kind, of = rows_of(g)
            other_rows, other, other_kind, other_of = rows_of(target)
            if self.on == "controls" and kinds > 1:
                own, other = balance(own, kind, other, other_kind, kinds)
            own, other, nothing = shared_rows(cohort, (g, own), (target, other))
            pair = weighted(g, rows, own, target), weighted(target, other_rows, other, g)
            noise = pair[0].noise(of, len(z)) + pair[1].noise(other_of, len(z))
            share = jnp.where(nothing, 0, edits.certainty(self._measure(*pair), noise))
            return autoencoder.measure(*pair, self._measure, self.rule), share

        found, share = jax.lax.map(one, jnp.arange(len(role)))
        found = {layer: self._extrapolate(edit, role)._asdict() for layer, edit in found.items()}
        share = average_for_new(share, role) if self.cautious else jnp.ones_like(share)
        return {"autoencoder": params, "edits": found, "share": share, "inputs": tables, "role": role}

    def autoencoder(self, net: Autoencoder, params: Any) -> EditedAutoencoder:
        """Return an autoencoder whose layers can be edited as these settings say."""
        return EditedAutoencoder(net, params, self.edited_layers(net.depth), self.residual)

    def _measure(self, source: Weighted, target: Weighted) -> Edit:
        return edits.measure(
            source.rows,
            target.rows,
            self.percentiles,
            source_weight=source.counts,
            target_weight=target.counts,
            constant_shift=self.constant_shift,
        )

    def _extrapolate(self, edit: Edit, role: Array) -> Edit:
        """Return edits in which domains to extrapolate have the average of the sources, pulled towards their own.

        Of the sources that have a feature, where some lack it.
        """
        measured = jnp.abs(edit.source[:, :1]) < edits.ENDLESS / 2
        source, target = (average_for_new(tables, role, measured) for tables in edit)
        return Edit(source + self.pull * (edit.source - source), target)


class EditsLayers(Projects, Directed, Encodes, Bounded):
    """A method that edits the layers of an autoencoder, as its settings ``inputs`` and ``editing`` say."""

    takes_missing: ClassVar[bool] = True

    inputs: Inputs
    editing: Editing

    def compares_mixtures(self, cohort: Cohort) -> bool:
        """Return whether all rows are measured, and not the controls alone."""
        del cohort
        return self.editing.on == "all"

    @abc.abstractmethod
    def net(self, d: int) -> Autoencoder:
        """Return the autoencoder of rows with ``d`` values."""

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return edited rows of the sources, and of the domains to extrapolate."""
        autoencoder, z, change = self._read(fitted, x, domain)
        edited = z + fitted["share"][domain][:, None] * (autoencoder.edited(z, change) - z)
        new, old = (self.inputs.restore(fitted["inputs"], each, x, domain) for each in (edited, z))
        return jnp.where(moves(fitted, domain)[:, None], x + (new - old), x)

    def encode(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return the activations of the inner layer, after the edits before it and its own."""
        autoencoder, z, change = self._read(fitted, x, domain)
        return autoencoder.reach(autoencoder.before(z, change), change, autoencoder.net.depth // 2)

    def out_of_range(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return how many values of every row lie outside the range that its edits were measured on, (n,)."""
        autoencoder, z, _ = self._read(fitted, x, domain)
        found = count_outside(autoencoder, fitted["edits"], z, domain, self.editing.rule)
        return jnp.where(moves(fitted, domain), found, 0)

    @property
    def refuses_out_of_range(self) -> bool:
        """Whether rows with such values are refused."""
        return self.editing.beyond == "refuse"

    def _read(self, fitted: Fitted, x: Array, domain: Array) -> tuple[EditedAutoencoder, Array, Any]:
        """Return the autoencoder, the rows as it reads them, and the edits of their domains."""
        z = self.inputs.apply(fitted["inputs"], x, domain)
        autoencoder = self.editing.autoencoder(self.net(z.shape[1]), fitted["autoencoder"])
        return autoencoder, z, by_domain(fitted["edits"], domain, self.editing.rule)


EDITING = Editing("all", None, True, 21, False, "shift", True, 0.0)
EDITED_SCALES = ("pooled", "none"), "One edit leads from a source to the target, on a scale that both have."
