"""Trees of arrays on the disk, whole or not at all: training checkpoints and saved models.

One folder is the unit: ``MANIFEST.json`` and ``MANIFEST.sha256`` (see `jbc.train.manifest`), ``leaves.json``
(path, dtype and shape of every leaf) and ``arrays`` (Orbax), one vector with the bytes of all leaves in the
same order; or, where several processes train, ``arrays.npy`` with the same bytes: Orbax would want them all to take
part in saving. So Orbax never sees the structure, saving 1 MB takes 25 ms whether in 4 leaves or in 300 (300
arrays take 200 ms), and a full disk meets one writer instead of many. Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path, tree_unflatten

from jbc.errors import InputError
from jbc.train.manifest import REPLACED, discard, fill, steady, tidy, unwritable, verify

__all__ = ["latest", "read", "read_step", "save_step", "write"]

STEP = r"step_\d{8,}"
LEAVES, ARRAYS, BYTES, PLAIN = "leaves.json", "arrays", "bytes", "arrays.npy"
NONE, EMPTY = "none", "empty"
LONGEST = 300  # characters of a foreign error message


def write(folder: str | os.PathLike, tree: Any, meta: dict, *, overwrite: bool = False) -> None:
    """Save a tree of arrays, atomically and with checksums.

    Parameters
    ----------
    folder
        The folder to make; it may exist if it is empty.
    tree
        Any pytree of JAX or NumPy arrays, Python numbers, PRNG keys, and None.
    meta
        What belongs to it, as JSON can tell it: configuration, names, step.
    overwrite
        Replace an existing checkpoint; it survives until the new one is whole.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as runs:
    ...     model = pathlib.Path(runs, "model")
    ...     write(model, {"weights": np.eye(2), "bias": None}, {"method": "mean"})
    ...     tree, meta = read(model)
    >>> tree["weights"].tolist(), tree["bias"], meta
    ([[1.0, 0.0], [0.0, 1.0]], None, {'method': 'mean'})
    """
    records, vector = _pack(tree)
    with fill(Path(folder).resolve(), meta, overwrite=overwrite) as temporary:
        (temporary / LEAVES).write_text(json.dumps(records))
        if jax.process_count() > 1:
            np.save(temporary / PLAIN, vector)
        elif vector.size:  # Orbax refuses length 0
            _save_vector(temporary / ARRAYS, vector)


def read(folder: str | os.PathLike, like: Any = None) -> tuple[Any, dict]:
    """Read what `write` saved, after every checksum was found right.

    Parameters
    ----------
    folder
        The folder given to `write`.
    like
        A tree of the structure to restore, of arrays or of ``jax.ShapeDtypeStruct`` (``jax.eval_shape``
        makes one). Where it holds a NumPy array the result does too; elsewhere the result holds JAX arrays.
        Without it, nested dictionaries of NumPy arrays come back (a tuple as a dictionary of "0", "1" …).

    Returns
    -------
    tuple
        The tree and the `meta` it was saved with.

    Raises
    ------
    InputError
        ``wrong-structure``: `like` has other leaves, shapes or dtypes, named in the message; and what
        `jbc.train.manifest.verify` raises.
    """
    meta, saved = steady(Path(folder).resolve(), lambda place: (verify(place), _load(place)))
    return (_nested(saved) if like is None else _fitted(saved, like)), meta


def save_step(folder: str | os.PathLike, step: int, tree: Any, meta: dict, keep: int = 2) -> None:
    """Save one step of a training run, and delete the oldest steps once it is whole.

    Parameters
    ----------
    folder
        The run's folder; the step becomes ``step_00000120`` in it.
    step
        Number of the step. A checkpoint of the same step is replaced.
    tree, meta
        As for `write`; ``step`` is added to the meta, since names of folders are easily changed.
    keep
        How many steps stay, this one included. Steps after this one are never touched.
    """
    folder = Path(folder).resolve()
    with unwritable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tidy(folder, STEP)
    write(_step_folder(folder, step), tree, meta | {"step": step}, overwrite=True)
    with unwritable(folder):
        for old in sorted(number for number in _steps(folder) if number <= step)[:-keep]:
            discard(_step_folder(folder, old))


def latest(folder: str | os.PathLike) -> int | None:
    """Return the newest step of a training run, or None.

    Steps are known by their names alone, since nothing incomplete ever has such a name. So a damaged
    newest step is not passed over in silence: `read_step` names what is wrong with it.
    """
    return max(_steps(Path(folder)), default=None)


def read_step(folder: str | os.PathLike, step: int, like: Any = None) -> tuple[Any, dict]:
    """Read one step of a training run; see `read`.

    Raises
    ------
    InputError
        ``wrong-step``: the folder was renamed, and holds another step.
    """
    place = _step_folder(Path(folder), step)
    tree, meta = read(place, like)
    if meta.get("step") != step:
        raise InputError(
            f"A checkpoint whose folder is named after step {step} holds step {meta.get('step', 'unknown')}",
            which=[str(place)],
            why="A run that goes on from it would leave out steps, or repeat them.",
            fix="Give the folder its old name again, or delete it to go on from the step before.",
            code="wrong-step",
        )
    return tree, meta


def _step_folder(folder: Path, step: int) -> Path:
    return folder / f"step_{step:08d}"


def _steps(folder: Path) -> set[int]:
    """Numbers of the whole steps, one that a killed save has left aside included."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    found = (re.fullmatch(rf"({STEP})(\.{REPLACED})?", name) for name in names)
    return {int(match[1].removeprefix("step_")) for match in found if match}


# Leaves: the tree as a list of records and one vector of bytes.


def _pack(tree: Any) -> tuple[list[dict], np.ndarray]:
    records, parts, refused = [], [], []
    for path, leaf in _leaves(tree)[0].items():
        record: dict[str, Any] = {"path": path}
        records.append(record)
        if leaf is None or isinstance(leaf, Mapping):
            record["dtype"] = NONE if leaf is None else EMPTY
            continue
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            record["key"], leaf = str(jax.random.key_impl(leaf)), jax.random.key_data(leaf)
        array = _array(leaf)
        if not (array.dtype == bool or jnp.issubdtype(array.dtype, np.number)):
            refused.append(f"{_name(path)} ({type(leaf).__name__})")
            continue
        record |= {"dtype": array.dtype.name, "shape": array.shape}
        parts.append(array.tobytes())
    if refused:
        raise InputError(
            "Leaves that are not arrays of numbers",
            which=refused,
            why="Anything else could only be stored by pickling it, and a pickle runs code when it is read.",
            fix="Put text and settings into meta.",
            code="not-an-array",
        )
    return records, np.frombuffer(b"".join(parts), np.uint8)


def _unpack(records: list[dict], vector: np.ndarray) -> dict[tuple[str, ...], Any]:
    """Part the bytes again; a `ValueError` tells of records that `_pack` would never have made."""
    leaves, start = {}, 0
    for record in records:
        leaf = None if record["dtype"] == NONE else {}
        if record["dtype"] not in (NONE, EMPTY):
            dtype, shape = np.dtype(record["dtype"]), record["shape"]
            if not all(isinstance(length, int) and length >= 0 for length in shape):
                raise ValueError(f"shape {shape} of {record['path']}")
            end = start + math.prod(shape) * dtype.itemsize
            leaf = vector[start:end].copy().view(dtype).reshape(shape)
            start = end
            if "key" in record:
                leaf = jax.random.wrap_key_data(jnp.array(leaf), impl=record["key"])
        leaves[tuple(record["path"])] = leaf
    if vector.dtype != np.uint8 or vector.shape != (start,):
        raise ValueError(f"{start} bytes are described, and {vector.dtype}{list(vector.shape)} is there")
    if len(leaves) != len(records) or not all(isinstance(key, str) for path in leaves for key in path):
        raise ValueError("paths that occur twice, or are no lists of names")
    if any(path[:length] in leaves for path in leaves for length in range(len(path))):
        raise ValueError("paths that lead through an array")
    return leaves


def _nested(leaves: dict[tuple[str, ...], Any]) -> Any:
    root: dict = {}
    for path, leaf in leaves.items():
        if not path:
            return leaf
        node = root
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = leaf
    return root


def _fitted(saved: dict[tuple[str, ...], Any], like: Any) -> Any:
    wanted, structure = _leaves(like)
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
    leaves = [_as(leaf, saved[path]) for path, leaf in wanted.items()]
    return tree_unflatten(structure, leaves)


def _as(like: Any, leaf: Any) -> Any:
    """Give a restored leaf the type of `like`: NumPy stays NumPy, an empty mapping is what it was."""
    if isinstance(like, Mapping):
        return like
    if isinstance(like, np.ndarray | np.generic) or not isinstance(leaf, np.ndarray):
        return leaf
    cut = jnp.result_type(leaf) != leaf.dtype  # JAX would cut 64 bits to 32
    return leaf if cut else jnp.array(leaf)  # a copy: memory shared with NumPy could not be donated


def _leaves(tree: Any) -> tuple[dict[tuple[str, ...], Any], Any]:
    """Leaves by path, and the structure; None and an empty dictionary are leaves too."""
    leaves, structure = tree_flatten_with_path(
        tree, is_leaf=lambda node: node is None or (isinstance(node, Mapping) and not node)
    )
    return {tuple(keystr((key,), simple=True) for key in path): leaf for path, leaf in leaves}, structure


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


def _name(path: tuple[str, ...]) -> str:
    return "/".join(path) or "the tree itself"


# Orbax: imported here and nowhere else in jbc, and late, because the import is slow.


def _save_vector(folder: Path, vector: np.ndarray) -> None:
    from orbax.checkpoint import v1 as ocp

    context = ocp.Context()
    # Else a folder that cannot be made leaves threads that wait for it for five minutes.
    context.asynchronous.create_directories_asynchronously = False
    try:
        with _quiet(), context:
            ocp.save(str(folder), {BYTES: vector})
    except Exception as error:
        if found := re.search(r"os_error_code='(\d+)'", str(error)):
            raise OSError(int(found[1]), os.strerror(int(found[1]))) from error
        raise OSError(None, str(error)[:LONGEST]) from error


def _load(folder: Path) -> dict[tuple[str, ...], Any]:
    from orbax.checkpoint import v1 as ocp

    arrays, vector = folder / ARRAYS, np.empty(0, np.uint8)
    try:
        records = json.loads((folder / LEAVES).read_bytes())
        if (folder / PLAIN).exists():
            vector = np.load(folder / PLAIN)
        elif arrays.exists():
            with _quiet():
                vector = ocp.load(str(arrays))[BYTES]
        return _unpack(records, vector)
    except Exception as error:
        raise InputError(
            "A checkpoint that cannot be understood, though its checksums are right",
            which=[str(folder)],
            why=f"{type(error).__name__}: {str(error)[:LONGEST]}.",
            fix="Install the versions named in its MANIFEST.json.",
            code="unreadable-checkpoint",
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Orbax's threads from printing a trace each of the one error that is raised anyway."""
    log = logging.getLogger("absl")
    was, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = was
