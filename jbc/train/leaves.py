"""A tree as a checkpoint holds it: arrays under their names, and a record of every leaf.

The path of a leaf is the tuple of the names that lead to it. Its record is what JSON can tell: path, dtype and shape,
and of PRNG keys the kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path, tree_unflatten

from jbc.errors import InputError

__all__ = ["by_path", "fit", "is_sharded", "key_bits", "nest", "pack", "path_of", "unpack"]

Path = tuple[str, ...]
NONE, EMPTY = "none", "empty"


def pack(tree: Any, *, shards: bool) -> tuple[list[dict[str, Any]], Any]:
    """Return the records of a tree, and the tree as Orbax can hold it.

    In that tree all leaves are NumPy arrays: a PRNG key is the array of its bits, an array without elements is None.
    With ``shards``, arrays of which other processes hold shards stay as they are.

    Raises
    ------
    InputError
        ``not-an-array``: a leaf is no array of numbers. ``ambiguous-names``: Orbax would confuse two leaves.
    """
    leaves, structure = by_path(tree)
    records, held, refused = [], [], []
    names: dict[str, list[str]] = {}
    for path, leaf in leaves.items():
        record: dict[str, Any] = {"path": path}
        records.append(record)
        if leaf is None or isinstance(leaf, Mapping):
            record["dtype"] = NONE if leaf is None else EMPTY
            held.append(leaf)
            continue
        if _is_key(leaf):
            record["key"] = str(jax.random.key_impl(leaf))
        array = key_bits(leaf)
        array = array if shards and is_sharded(array) else _array(array)
        if not _numeric(array.dtype):
            refused.append(f"{_name(path)} ({type(leaf).__name__})")
        record |= {"dtype": array.dtype.name, "shape": array.shape}
        held.append(array if array.size else None)
        names.setdefault(".".join(path), []).append(_name(path))
    if refused:
        raise InputError(
            "Leaves that are not arrays of numbers",
            which=refused,
            why="Anything else could only be stored by pickling it, and a pickle runs code when it is read.",
            fix="Put text and settings into meta.",
            code="not-an-array",
        )
    if same := [" and ".join(those) for those in names.values() if len(those) > 1]:
        raise InputError(
            "Leaves that Orbax cannot tell apart",
            which=same,
            why="It joins the names on the way to a leaf with dots.",
            fix="Use names without dots.",
            code="ambiguous-names",
        )
    return records, tree_unflatten(structure, held)


def unpack(records: list[dict[str, Any]], held: dict[Path, Any]) -> dict[Path, Any]:
    """Return all leaves by path, given the records and what Orbax held.

    A `ValueError` or `TypeError` tells that `pack` would never have made such records for these arrays.
    """
    arrays = {path: leaf for path, leaf in held.items() if isinstance(leaf, np.ndarray | jax.Array)}
    leaves = {}
    for record in records:
        path = tuple(record["path"])
        if record["dtype"] in (NONE, EMPTY):
            leaves[path] = None if record["dtype"] == NONE else {}
            continue
        dtype, shape = np.dtype(record["dtype"]), tuple(record["shape"])
        leaf = arrays.pop(path) if path in arrays else np.zeros(shape if 0 in shape else 0, dtype)
        if (leaf.dtype, leaf.shape) != (dtype, shape) or not _numeric(dtype):
            raise ValueError(f"{path} should be {dtype}{list(shape)}, and {_description(leaf)} is there")
        if "key" in record:
            leaf = leaf if isinstance(leaf, jax.Array) else jnp.array(leaf)
            leaf = jax.random.wrap_key_data(leaf, impl=record["key"])
        leaves[path] = leaf
    if arrays:
        raise ValueError(f"arrays without a record: {', '.join(map(_name, arrays))}")
    if len(leaves) != len(records) or not all(isinstance(key, str) for path in leaves for key in path):
        raise ValueError("paths that occur twice, or are no lists of names")
    if any(path[:length] in leaves for path in leaves for length in range(len(path))):
        raise ValueError("paths that lead through an array")
    return leaves


def nest(leaves: dict[Path, Any]) -> Any:
    """Return nested dictionaries of leaves.

    Examples
    --------
    >>> nest({("a", "b"): 1, ("c",): None})
    {'a': {'b': 1}, 'c': None}
    """
    root: dict = {}
    for path, leaf in leaves.items():
        if not path:
            return leaf
        node = root
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = leaf
    return root


def fit(saved: dict[Path, Any], like: Any) -> Any:
    """Return the leaves in the structure of `like`, each of the type of its leaf.

    Raises
    ------
    InputError
        ``wrong-structure``: `like` has other leaves, shapes or dtypes.
    """
    wanted, structure = by_path(like)
    has, wants = ({path: _description(leaf) for path, leaf in side.items()} for side in (saved, wanted))
    differ = [path for path in has | wants if has.get(path) != wants.get(path)]
    if differ:
        said = ((_name(path), has.get(path, "nothing"), wants.get(path, "nothing")) for path in differ)
        raise InputError(
            "The checkpoint does not fit what shall be restored",
            which=[f"{name} ({a} saved, {b} wanted)" for name, a, b in said],
            why="It was written with another configuration or for data of another shape.",
            fix="Use the configuration in its MANIFEST.json, or start in a new folder.",
            code="wrong-structure",
        )
    return tree_unflatten(structure, [_as(leaf, saved[path]) for path, leaf in wanted.items()])


def by_path(tree: Any) -> tuple[dict[Path, Any], Any]:
    """Return the leaves by path, and the structure; None and an empty dictionary are leaves too."""
    leaves, structure = tree_flatten_with_path(
        tree, is_leaf=lambda node: node is None or (isinstance(node, Mapping) and not node)
    )
    return {path_of(keys): leaf for keys, leaf in leaves}, structure


def path_of(keys: Any) -> Path:
    """Return the names of JAX's keys: of a field, in a dictionary, or the number in a sequence."""
    return tuple(keystr((key,), simple=True) for key in keys)


def is_sharded(leaf: Any) -> bool:
    """Return whether a leaf is an array of which other processes hold shards."""
    return isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated)


def key_bits(leaf: Any) -> Any:
    """Return the array of bits of a PRNG key, and every other leaf as it is."""
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _numeric(dtype: np.dtype) -> bool:
    return dtype.kind == "b" or jnp.issubdtype(dtype, np.number)


def _as(like: Any, leaf: Any) -> Any:
    """Return a restored leaf in the type of `like`: NumPy stays NumPy, an empty mapping is what it was."""
    if isinstance(like, Mapping):
        return like
    if isinstance(like, np.ndarray | np.generic) or not isinstance(leaf, np.ndarray):
        return leaf
    cut = jnp.result_type(leaf) != leaf.dtype  # JAX would cut 64 bits to 32
    return leaf if cut else jnp.array(leaf)  # a copy: memory shared with NumPy could not be donated


def _array(leaf: Any) -> np.ndarray:
    """Bring a leaf to the host; a Python number gets the dtype that JAX would give it."""
    plain = type(leaf) in (bool, int, float, complex)
    array = np.asarray(leaf, jnp.result_type(leaf) if plain else None)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _description(leaf: Any) -> str:
    if leaf is None or isinstance(leaf, Mapping):
        return "None" if leaf is None else "an empty dictionary"
    leaf = leaf if hasattr(leaf, "dtype") else _array(leaf)
    return f"{leaf.dtype}{list(leaf.shape)}"


def _name(path: Path) -> str:
    return "/".join(path) or "the tree itself"
