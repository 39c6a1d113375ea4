"""The players of joint calibration, and how they are run."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array

from jbc.cohort.sampling import Rows
from jbc.losses import l1_matrix, median_distance, mmd2_matrix
from jbc.methods.base import Fitted
from jbc.methods.inputs import Tables
from jbc.methods.settings import Kernel
from jbc.nets import Calibrator, Classifier, Family, Identity, PlayerState, Reconstructor


class JointState(flax.struct.PyTreeNode):
    """The three players and what they look at.

    ``sources`` are the positions in a minibatch of the labelled domains, ``rebuilt`` of those that have a
    reconstructor (one network each, stacked); ``epoch`` is the number of steps in one pass over the largest domain.
    """

    calibrator: PlayerState
    classifier: PlayerState | None
    reconstructors: PlayerState | None
    tables: Tables
    sources: Array
    rebuilt: Array
    epoch: Array
    step: Array


@dataclasses.dataclass(frozen=True)
class Nets:
    """Networks of one configuration."""

    calibrator: Calibrator | Identity
    reconstructor: Reconstructor
    classifier: Classifier | None


@functools.cache
def build(family: Family, dropout: float, domains: int, outputs: int, *, calibrate: bool = True) -> Nets:
    """Build the networks once per configuration: programs compare them by identity."""
    return Nets(
        Calibrator(family, dropout, domains) if calibrate else Identity(),
        Reconstructor(family, dropout),
        Classifier(family, dropout, domains, outputs) if outputs else None,
    )


def compare(
    z: Array, rows: Rows, kernel: Kernel, discrepancy: Literal["mmd", "l1"]
) -> tuple[Array, dict[str, Array]]:
    """Return how far the codes of every pair of domains are apart, (G, G), and what training reports of it.

    Where values are missing, the codes of these features are left out in both rows of one place in the minibatch:
    both domains then have as many holes, in the same features.
    """
    if rows.observed is not None:
        return _compare_observed(z, rows, kernel, discrepancy)
    if discrepancy == "l1":
        return l1_matrix(z, weight=rows.weight), {}
    unit = median_distance(z) if kernel.unit == "median" else 1.0
    mmd2, seen = mmd2_matrix(z, kernel.bandwidths, unit, unbiased=kernel.unbiased, weight=rows.weight)
    return mmd2, {"kernel": seen}


def _compare_observed(
    z: Array, rows: Rows, kernel: Kernel, discrepancy: Literal["mmd", "l1"]
) -> tuple[Array, dict[str, Array]]:
    """Return what :func:`compare` does, pair by pair, each with the holes of both."""
    unit = median_distance(z) if kernel.unit == "median" else 1.0
    first, second = jnp.triu_indices(len(z), k=1)

    def one(i: Array, j: Array) -> tuple[Array, Array]:
        pair = rows.of(jnp.stack([i, j]))
        assert pair.observed is not None
        own = z[jnp.stack([i, j])] * pair.observed.all(axis=0)
        if discrepancy == "l1":
            return l1_matrix(own, weight=pair.weight)[0, 1], jnp.zeros(())
        mmd2, seen = mmd2_matrix(own, kernel.bandwidths, unit, unbiased=kernel.unbiased, weight=pair.weight)
        return mmd2[0, 1], seen

    found, seen = jax.vmap(one)(first, second)
    apart = jnp.zeros((len(z), len(z))).at[first, second].set(found).at[second, first].set(found)
    return apart, {} if discrepancy == "l1" else {"kernel": seen.mean()}


def outputs(classes: int) -> int:
    """Return the number of logits: none without labels, one for two classes."""
    return {0: 0, 2: 1}.get(classes, classes)


def width(variables: Fitted) -> int:
    """Return the number of logits of a fitted classifier, from its last layer."""
    layers = variables["params"]
    last = max((name for name in layers if name.startswith("Dense")), key=lambda name: int(name[6:]))
    return layers[last]["bias"].shape[-1]


def forward(
    player: PlayerState, params: Any, x: Array, key: Array, *, pooled: bool = False
) -> tuple[Array, Any]:
    """Run a network in training; return its output and its running statistics.

    Its norms see every domain for itself, or (``pooled``) the rows (D, m, d) of all domains together.
    """
    y, moved = player.apply_fn(
        {"params": params, "running": player.running},
        x.reshape(1, -1, x.shape[-1]) if pooled else x,
        train=True,
        rngs={"dropout": key},
        mutable=["running"],
    )
    return y.reshape(*x.shape[:-1], y.shape[-1]), moved.get("running", player.running)


def forward_each(
    player: PlayerState, params: Any, x: Array, keys: Array, *, shared: bool = False, pooled: bool = False
) -> tuple[Array, Any]:
    """Run every copy of a stacked network in training, each on its own part of ``x``, or all on the same rows."""

    def one(params: Any, running: Any, x: Array, key: Array) -> tuple[Array, Any]:
        return forward(player.replace(running=running), params, x, key, pooled=pooled)

    return jax.vmap(one, in_axes=(0, 0, None if shared else 0, 0))(params, player.running, x, keys)


def infer(net: Any, variables: Fitted, *inputs: Array) -> Array:
    """Run a network at inference."""
    return net.apply(variables, *inputs)


def infer_mean(net: Any, variables: Fitted, *inputs: Array) -> Array:
    """Run every copy of a stacked network at inference, and average."""
    return jax.vmap(lambda one: infer(net, one, *inputs))(variables).mean(axis=0)


def freeze_statistics(
    net: Any,
    params: Any,
    running: Any,
    x: Array,
    *,
    domain: Array,
    weight: Array,
    domains: int,
    own: bool,
    pooled: bool = False,
) -> tuple[Array, Fitted]:
    """Return the output of a network on the given rows, and its variables for inference.

    Their statistics are every domain's own, those of all rows (``pooled``), or the running ones for all.
    """
    if own and pooled:
        y, found = net.apply({"params": params}, x, jnp.zeros_like(domain), weight, mutable=["statistics"])
        table = jax.tree.map(lambda row: jnp.broadcast_to(row[:1], row.shape), found.get("statistics", {}))
        return y, {"params": params, "statistics": table}
    if own:
        y, found = net.apply({"params": params}, x, domain, weight, mutable=["statistics"])
        return y, {"params": params, "statistics": found.get("statistics", {})}
    table = jax.tree.map(lambda row: jnp.broadcast_to(row, (domains, *row.shape)), running)
    variables = {"params": params, "statistics": table}
    return infer(net, variables, x, domain), variables
