"""Maps from sources to one target: one network for every source, all in one program."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.roles import SOURCE, TARGET
from jbc.methods.base import Fitted
from jbc.methods.inputs import Inputs, Tables
from jbc.nets import Discriminator, PlayerState, ResidualMap, Start
from jbc.numerics.linalg import by_group


@functools.cache
def build_map(
    blocks: int, widths: tuple[int, ...], start: Start, *, residual: bool = True, normed: bool = True
) -> ResidualMap:
    """Build the network of the maps once per configuration: programs compare it by identity."""
    return ResidualMap(blocks, widths, residual, start, normed)


@functools.cache
def build_discriminator(widths: tuple[int, ...], *, normed: bool) -> Discriminator:
    """Build the network of the discriminators once per configuration."""
    return Discriminator(widths, normed)


def init_players(
    net: Any, tx: optax.GradientTransformation, key: Array, d: int, copies: int, ema_decay: float = 0.0
) -> PlayerState:
    """Return one copy of a network for every domain, of which those of the sources are used."""
    player = PlayerState.of_net(net, tx, key, jnp.zeros((1, 2, d)), copies=copies, ema_decay=ema_decay)
    return player.replace(running={})  # statistics are those of a minibatch, and in the end those of all rows


def apply_each(net: Any, params: Any, rows: Array) -> Array:
    """Return what every copy of a network makes, in training, of its own rows, (D, m, d)."""

    def one(params: Any, rows: Array) -> Array:
        return net.apply({"params": params}, rows[None], mutable=["running"])[0][0]

    return jax.vmap(one)(params, rows)


def measure_inputs(inputs: Inputs, cohort: Cohort) -> Tables:
    """Return what standardises the inputs, of all sources or by domain; results are in the target's units."""
    role = jnp.asarray(cohort.role)
    target = target_index(role)
    tables = inputs.of_cohort(cohort)
    if inputs.scale == "pooled":
        # What is constant in the sources may vary in the target, and has its scale from there.
        everywhere, moves = tables, (role == SOURCE)[jnp.asarray(cohort.domain)]
        tables = inputs.of_cohort(cohort, moves)
        scale = jnp.where(tables["varies"], tables["scale"], everywhere["scale"])
        tables |= {"scale": scale, "varies": tables["varies"] | everywhere["varies"]}
    return tables | {"to": {name: tables[name][target] for name in tables["to"]}}


def target_index(role: Array) -> Array:
    """Return the code of the target."""
    return jnp.argmax(role == TARGET)


def without_target(role: Array, tree: Any) -> Any:
    """Return a stacked tree without what the target has in it, once (D, ...) or several times (k D, ...).

    Examples
    --------
    >>> without_target(jnp.array([SOURCE, TARGET, SOURCE]), jnp.arange(6)).tolist()
    [0, 2, 3, 5]
    """
    target, count = target_index(role), len(role)

    def one(leaf: Array) -> Array:
        parts = leaf.reshape(-1, count, *leaf.shape[1:])
        behind = (jnp.arange(count - 1) >= target).reshape(-1, *[1] * (leaf.ndim - 1))
        return jnp.where(behind, parts[:, 1:], parts[:, :-1]).reshape(-1, *leaf.shape[1:])

    return jax.tree.map(one, tree)


def pair_weights(role: Array, weight: Array | None) -> tuple[Array, Array] | None:
    """Return what rows of every domain count beside the target, and what the target's rows then count, (D, m) each.

    From the weights of a minibatch, (D, D, m); None where all rows count alike.
    """
    target = target_index(role)
    return None if weight is None else (weight[:, target], weight[target])


def both_observed(role: Array, observed: Array | None) -> Array | None:
    """Return where rows of every domain and rows of the target, in the same places, both have values, (D, m, d).

    What compares the two looks at these values, and at 0 elsewhere: both have the same holes then, and what was
    filled in is no difference. None where no value is missing.
    """
    return None if observed is None else observed & observed[target_index(role)]


def hide(rows: Array, seen: Array | None) -> Array:
    """Return rows with 0 where they are not seen.

    Examples
    --------
    >>> hide(jnp.array([1.0, 2.0]), jnp.array([True, False])).tolist(), hide(jnp.array([1.0]), None).tolist()
    ([1.0, 0.0], [1.0])
    """
    return rows if seen is None else jnp.where(seen, rows, 0)


def sum_of_sources(values: Array, role: Array) -> Array:
    """Return the sum over the sources of one value per domain, (D,): no source scales the gradient of another."""
    return jnp.where(role == SOURCE, values, 0).sum()


def mean_of_sources(values: Array, role: Array) -> Array:
    """Return the mean over the sources of one value per domain, (D,): what is reported."""
    return sum_of_sources(values, role) / (role == SOURCE).sum()


def freeze_statistics(net: Any, params: Any, tables: Tables, inputs: Inputs, cohort: Cohort) -> Fitted:
    """Return what inference needs: the maps, whose norms have the statistics of all rows of a source."""
    domain, weight = jnp.asarray(cohort.domain), jnp.asarray(cohort.weight)
    z = inputs.apply(tables, jnp.asarray(cohort.x), domain)

    def one(at: tuple[Any, Array]) -> Fitted:
        params, g = at
        own = weight * (domain == g)
        _, found = net.apply({"params": params}, z, jnp.zeros_like(domain), own, mutable=["statistics"])
        return {"params": params, "statistics": found.get("statistics", {})}

    role = jnp.asarray(cohort.role)
    return {"maps": jax.lax.map(one, (params, jnp.arange(len(role)))), "inputs": tables, "role": role}


def transform(net: Any, inputs: Inputs, fitted: Fitted, x: Array, domain: Array) -> Array:
    """Return rows of the sources moved, and others as they came in."""

    def one(own: Any, z: Array) -> Array:
        return net.apply(own, z, jnp.zeros(len(z), jnp.int32))

    z = inputs.apply(fitted["inputs"], x, domain)
    moved = inputs.restore(fitted["inputs"], by_group(one, fitted["maps"], z, domain), x, domain)
    return jnp.where((fitted["role"][domain] == SOURCE)[:, None], moved, x)
