"""Trees of arrays on the disk, whole or not at all: training checkpoints and saved models.

One folder is the unit: ``MANIFEST.json`` and ``MANIFEST.sha256`` (see `jbc.train.manifest`), ``arrays`` and
``leaves.json``. ``arrays`` is an ordinary Orbax checkpoint of the tree under its own names, which
``orbax.checkpoint.StandardCheckpointer().restore`` opens as NumPy arrays on any device. A PRNG key is there as the
array of its bits, and an array without elements as None, since Orbax holds neither; a tree without numbers has no
``arrays``. ``leaves.json`` tells path, dtype and shape of every leaf, and of what kind the keys are. Nothing is
ever unpickled.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jbc.errors import InputError
from jbc.train import leaves, processes
from jbc.train.manifest import REPLACED, clean_up, discard, read_stable, unwritable, verify, write_folder

__all__ = ["latest", "read", "read_step", "save_step", "write"]

STEP = r"step_\d{8,}"
LEAVES, ARRAYS = "leaves.json", "arrays"
LONGEST = 300  # characters of a foreign error message


def write(folder: str | os.PathLike, tree: Any, meta: dict, *, overwrite: bool = False) -> None:
    """Save a tree of arrays, atomically and with checksums, in one process: of several, in the first.

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

    Raises
    ------
    InputError
        ``not-first``: another process than the first calls it; and what `jbc.train.leaves.pack` and
        `jbc.train.manifest.write_folder` raise.

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
    if not processes.is_first():
        raise InputError(
            "Not the first process of the run",
            which=[f"rank {jax.process_index()}"],
            why="Only the first one writes a folder alone.",
            fix="Call this where jax.process_index() is 0.",
            code="not-first",
        )
    _write(Path(folder).resolve(), tree, meta, overwrite=overwrite, together=False)


def read(folder: str | os.PathLike, like: Any = None) -> tuple[Any, dict]:
    """Read what `write` saved, after every checksum was found right.

    Parameters
    ----------
    folder
        The folder given to `write`.
    like
        A tree of the structure to restore, of arrays or of ``jax.ShapeDtypeStruct`` (``jax.eval_shape``
        makes one). Where it holds a NumPy array the result does too; elsewhere the result holds JAX arrays.
        Of an array that is sharded over processes, each reads its own shards.
        Without it, nested dictionaries of NumPy arrays come back (a tuple as a dictionary of "0", "1" …).

    Returns
    -------
    tuple
        The tree and the `meta` it was saved with.

    Raises
    ------
    InputError
        ``wrong-structure``: `like` has other leaves, shapes or dtypes, named in the message.
        ``unreadable-checkpoint``: the arrays are not what ``leaves.json`` tells; and what
        `jbc.train.manifest.verify` raises.
    """
    meta, saved = read_stable(Path(folder).resolve(), lambda place: (verify(place), _load(place, like)))
    return (leaves.nest(saved) if like is None else leaves.fit(saved, like)), meta


def save_step(folder: str | os.PathLike, step: int, tree: Any, meta: dict, keep: int = 2) -> None:
    """Save one step of a training run, and delete the oldest steps once it is whole.

    All processes of a run call this together. Each writes its shards of sharded arrays, the first one writes the
    rest and seals the folder, and none returns before that is done.

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

    def begin() -> None:
        with unwritable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            clean_up(folder, STEP)

    def end() -> None:
        with unwritable(folder):
            for old in sorted(number for number in _steps(folder) if number <= step)[:-keep]:
                discard(_step_folder(folder, old))

    processes.in_first(begin)
    _write(_step_folder(folder, step), tree, meta | {"step": step}, overwrite=True, together=True)
    processes.in_first(end)


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


def _write(folder: Path, tree: Any, meta: dict, *, overwrite: bool, together: bool) -> None:
    """Save in all processes together, or in this one alone."""
    in_first = processes.in_first if together else _call
    records, held = leaves.pack(tree, shards=together)
    # The first process makes the folder, and puts it in its place or clears it away; the stack of others is empty.
    with contextlib.ExitStack() as stack:
        place = Path(
            in_first(lambda: str(stack.enter_context(write_folder(folder, meta, overwrite=overwrite))))
        )
        if jax.tree.leaves(held):  # Orbax refuses a tree without
            with unwritable(folder):
                _save(place / ARRAYS, held, together)

        def finish() -> None:
            (place / LEAVES).write_text(json.dumps(records))
            stack.close()

        in_first(finish)


def _call(action: Callable[[], Any]) -> Any:
    return action()


def _load(folder: Path, like: Any) -> dict[tuple[str, ...], Any]:
    try:
        records = json.loads((folder / LEAVES).read_bytes())
        held = _restore(folder / ARRAYS, like) if (folder / ARRAYS).exists() else {}
        return leaves.unpack(records, held)
    except Exception as error:
        raise InputError(
            "A checkpoint that cannot be understood, though its checksums are right",
            which=[str(folder)],
            why=f"{type(error).__name__}: {str(error)[:LONGEST]}.",
            fix="Install the versions named in its MANIFEST.json.",
            code="unreadable-checkpoint",
        ) from error


# Orbax: imported here and nowhere else in jbc, and late, because the import is slow. Its interface v1 is not used:
# there one process of several cannot save alone.


def _save(folder: Path, tree: Any, together: bool) -> None:
    from orbax.checkpoint.args import PyTreeSave

    try:
        with _quiet(), _checkpointer(together) as orbax:
            orbax.save(folder, args=PyTreeSave(tree))
    except (OSError, jax.errors.JaxRuntimeError):  # the latter where another process is gone
        raise
    except Exception as error:
        if found := re.search(r"os_error_code='(\d+)'", str(error)):
            raise OSError(int(found[1]), os.strerror(int(found[1]))) from error
        raise OSError(None, str(error)[:LONGEST]) from error


def _restore(folder: Path, like: Any) -> dict[tuple[str, ...], Any]:
    """Return what Orbax holds, by path: NumPy arrays, and sharded ones where `like` has sharded ones."""
    from orbax.checkpoint import ArrayRestoreArgs, RestoreArgs
    from orbax.checkpoint.args import PyTreeRestore

    wanted = leaves.by_path(like)[0].items()
    sharded = {path: leaves.key_bits(leaf) for path, leaf in wanted if leaves.is_sharded(leaf)}

    def how(keys: Any, saved: Any) -> Any:
        leaf = sharded.get(leaves.path_of(keys))
        if leaf is not None and leaf.shape == saved.shape:
            return ArrayRestoreArgs(sharding=leaf.sharding)
        return RestoreArgs()

    with _quiet(), _checkpointer(together=False) as orbax:
        args = PyTreeRestore()
        if sharded:
            saved = orbax.metadata(folder).item_metadata.tree
            args = PyTreeRestore(restore_args=jax.tree_util.tree_map_with_path(how, saved))
        return leaves.by_path(orbax.restore(folder, args=args))[0]


def _checkpointer(together: bool) -> Any:
    """Return an Orbax checkpointer for arrays alone, of all processes or of this one."""
    import orbax.checkpoint as ocp

    class Plain(ocp.type_handlers.NumpyHandler):
        """Arrays that are whole on the host; after an error, nothing of them is still being written or read."""

        async def _background_serialize(self, *args: Any, **options: Any) -> Any:
            return await _to_the_end(super()._background_serialize(*args, **options))

        async def deserialize(self, *args: Any, **options: Any) -> Any:
            return await _to_the_end(super().deserialize(*args, **options))

    class Shards(ocp.type_handlers.ArrayHandler):
        """Arrays that are sharded over processes; in the files they are called NumPy arrays.

        JAX arrays would open only where the devices are the same as where they were saved.
        """

        def typestr(self) -> str:
            return plain.typestr()

    plain, rank = Plain(), jax.process_index()
    options = ocp.options.MultiprocessingOptions(
        primary_host=0 if together else rank, active_processes=None if together else {rank}
    )
    registry = ocp.type_handlers.create_type_handler_registry(
        (jax.Array, Shards(enable_write_sharding_file=False)),
        (np.ndarray, plain),  # last, and so the one that reads what is called a NumPy array
    )
    handler = ocp.PyTreeCheckpointHandler(type_handler_registry=registry, multiprocessing_options=options)
    return ocp.Checkpointer(handler, multiprocessing_options=options)


async def _to_the_end(work: Awaitable[Any]) -> Any:
    """Await work, and then all that it has begun: after an error, that would write into a folder being deleted."""
    before = asyncio.all_tasks()
    try:
        return await work
    finally:
        await asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Orbax's threads from printing a trace each of the one error that is raised anyway."""
    log = logging.getLogger("absl")
    was, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = was
