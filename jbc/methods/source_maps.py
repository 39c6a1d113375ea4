"""What methods with a direction share: one map for every source, all in one program."""

from __future__ import annotations

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.roles import SOURCE, TARGET
from jbc.methods.base import Fitted
from jbc.methods.inputs import Inputs, Tables
from jbc.nets import Discriminator, Mover, Player, Start
from jbc.numerics.linalg import by_group

Optimiser = Literal["adam", "rmsprop"]


@functools.cache
def build_mover(blocks: int, widths: tuple[int, ...], start: Start, *, residual: bool = True) -> Mover:
    """Build the network of the maps once per configuration: programs compare it by identity."""
    return Mover(blocks, widths, residual, start)


@functools.cache
def build_discriminator(widths: tuple[int, ...], *, normed: bool) -> Discriminator:
    """Build the network of the discriminators once per configuration."""
    return Discriminator(widths, normed)


@functools.cache
def build_optimiser(name: Optimiser, weight_decay: float = 0.0) -> optax.GradientTransformation:
    """Build an optimiser once per configuration; the decay is added to the gradient of matrices."""
    rule = {"adam": optax.scale_by_adam, "rmsprop": optax.scale_by_rms}[name]()
    return optax.chain(optax.add_decayed_weights(weight_decay, _matrices), rule) if weight_decay else rule


def _matrices(params: Any) -> Any:
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def make(
    net: Any, tx: optax.GradientTransformation, key: Array, d: int, copies: int, memory: float = 0.0
) -> Player:
    """Make one copy of a network for every domain, of which those of the sources are used."""
    player = Player.make(net, tx, key, jnp.zeros((1, 2, d)), copies=copies, memory=memory)
    return player.replace(running={})  # statistics are those of a minibatch, and in the end those of all rows


def each(net: Any, params: Any, rows: Array) -> Array:
    """Run every copy of a network, in training, on its own rows, (D, m, d)."""

    def one(params: Any, rows: Array) -> Array:
        return net.apply({"params": params}, rows[None], mutable=["running"])[0][0]

    return jax.vmap(one)(params, rows)


def measure(inputs: Inputs, cohort: Cohort) -> Tables:
    """Measure what standardises the inputs, pooled over the sources or by domain; results are those of the target."""
    role, goal = jnp.asarray(cohort.role), aim_of(jnp.asarray(cohort.role))
    tables = inputs.of_cohort(cohort)
    if inputs.scale == "pooled":
        # What is constant in the sources may vary in the target, and has its scale from there.
        everywhere, moves = tables, (role == SOURCE)[jnp.asarray(cohort.domain)]
        tables = inputs.of_cohort(cohort, moves)
        spread = jnp.where(tables["varies"], tables["spread"], everywhere["spread"])
        tables |= {"spread": spread, "varies": tables["varies"] | everywhere["varies"]}
    return tables | {"to": {name: tables[name][goal] for name in tables["to"]}}


def aim_of(role: Array) -> Array:
    """Return the code of the target."""
    return jnp.argmax(role == TARGET)


def without_target(role: Array, tree: Any) -> Any:
    """Leave the target out of what domains have in a stacked tree, once (D, ...) or several times (k D, ...).

    Examples
    --------
    >>> without_target(jnp.array([SOURCE, TARGET, SOURCE]), jnp.arange(6)).tolist()
    [0, 2, 3, 5]
    """
    goal, count = aim_of(role), len(role)

    def one(leaf: Array) -> Array:
        parts = leaf.reshape(-1, count, *leaf.shape[1:])
        behind = (jnp.arange(count - 1) >= goal).reshape(-1, *[1] * (leaf.ndim - 1))
        return jnp.where(behind, parts[:, 1:], parts[:, :-1]).reshape(-1, *leaf.shape[1:])

    return jax.tree.map(one, tree)


def sum_of_sources(values: Array, role: Array) -> Array:
    """Add up one value per domain, (D,): what maps descend on, so that no source scales the gradient of another."""
    return jnp.where(role == SOURCE, values, 0).sum()


def mean_of_sources(values: Array, role: Array) -> Array:
    """Average one value per domain, (D,), over the sources: what is reported."""
    return sum_of_sources(values, role) / (role == SOURCE).sum()


def settle(net: Any, params: Any, tables: Tables, inputs: Inputs, cohort: Cohort) -> Fitted:
    """Fix the statistics of the norms to those of all rows of a source, and keep what inference needs."""
    domain, weight = jnp.asarray(cohort.domain), jnp.asarray(cohort.weight)
    z = inputs.apply(tables, jnp.asarray(cohort.x), domain)

    def one(at: tuple[Any, Array]) -> Fitted:
        params, g = at
        own = weight * (domain == g)
        _, found = net.apply({"params": params}, z, jnp.zeros_like(domain), own, mutable=["statistics"])
        return {"params": params, "statistics": found["statistics"]}

    role = jnp.asarray(cohort.role)
    return {"maps": jax.lax.map(one, (params, jnp.arange(len(role)))), "inputs": tables, "role": role}


def transform(net: Any, inputs: Inputs, fitted: Fitted, x: Array, domain: Array) -> Array:
    """Move rows of the sources; others come out as they came in."""

    def one(own: Any, z: Array) -> Array:
        return net.apply(own, z, jnp.zeros(len(z), jnp.int32))

    z = inputs.apply(fitted["inputs"], x, domain)
    moved = inputs.restore(fitted["inputs"], by_group(one, fitted["maps"], z, domain), x, domain)
    return jnp.where((fitted["role"][domain] == SOURCE)[:, None], moved, x)
