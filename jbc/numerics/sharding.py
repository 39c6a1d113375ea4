"""One array axis over several devices, and of several processes.

A program is written for whole arrays. Where it says :func:`shard_axis`, an axis of an array is divided over the
devices of the mesh in use, and the compiler divides what is computed from it; everything else is on all devices
alike. Without a mesh in use nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

T = TypeVar("T")
AXIS = "part"


def mesh_of(devices: Sequence[Any] | None = None, axis: str = AXIS) -> Mesh:
    """Return a mesh of one axis over devices, by default all devices of all processes.

    The axis is Auto: with Explicit axes, gathers inside a program would have to name their sharding.

    Examples
    --------
    >>> mesh_of().axis_names
    ('part',)
    """
    return Mesh(np.array(jax.devices() if devices is None else devices), (axis,), axis_types=(AxisType.Auto,))


def with_mesh(mesh: Mesh, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is called with the mesh in use."""

    def call(*arguments: Any) -> Any:
        with jax.set_mesh(mesh):
            return function(*arguments)

    return call


def shard_axis(x: Array, axis: int = 0) -> Array:
    """Return an array with an axis divided over the mesh in use; its length need not be a multiple of the devices.

    Examples
    --------
    >>> program = with_mesh(mesh_of(), jax.jit(shard_axis))
    >>> program(np.arange(3)).tolist()
    [0, 1, 2]
    """
    if AXIS not in jax.sharding.get_abstract_mesh().axis_names:
        return x
    return jax.lax.with_sharding_constraint(x, PartitionSpec(*[None] * axis, AXIS))


def constrain_sharding(tree: T, sharded: Sequence[str] = ()) -> T:
    """Return the results of a compiled program, laid out on the mesh in use in a fixed way.

    Below the fields named in ``sharded``, arrays are divided by their first axis where the devices divide its length;
    an array that they do not divide, and all others, are whole on every device.

    Examples
    --------
    >>> program = with_mesh(mesh_of(), jax.jit(lambda tree: constrain_sharding(tree, ["wide"])))
    >>> out = program({"wide": np.zeros(jax.device_count()), "other": np.zeros(4)})
    >>> out["wide"].addressable_shards[0].data.shape, out["other"].addressable_shards[0].data.shape
    ((1,), (4,))
    """
    mesh = jax.sharding.get_abstract_mesh()
    if AXIS not in mesh.axis_names:
        return tree

    def fixed(path: Any, leaf: Array) -> Array:
        wide = jax.tree_util.keystr(path[:1], simple=True) in sharded
        even = wide and leaf.ndim > 0 and leaf.shape[0] % mesh.size == 0
        return jax.lax.with_sharding_constraint(leaf, PartitionSpec(AXIS) if even else PartitionSpec())

    return jax.tree_util.tree_map_with_path(fixed, tree)


def replicate(tree: T, mesh: Mesh | None) -> T:
    """Return arrays, which all processes hold alike, whole on every device of a mesh; without one, on the device."""
    if mesh is None:
        return jax.device_put(tree)
    whole = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda leaf: _put(leaf, whole), tree)


def shard_like(tree: T, other: T) -> T:
    """Return arrays, which all processes hold alike or which lie so already, laid out as those of another tree."""

    def placed(leaf: Any, as_: Any) -> Any:
        there = isinstance(leaf, Array) and isinstance(as_, Array) and leaf.sharding == as_.sharding
        return _put(leaf, as_.sharding) if isinstance(as_, Array) and not there else leaf

    return jax.tree.map(placed, tree, other)


def _put(leaf: Any, sharding: Any) -> Array:
    """Put a whole array on devices; ``device_put`` would compare it between processes, bit by bit."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = _put(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
