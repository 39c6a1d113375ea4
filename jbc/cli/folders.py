"""Where commands write: the folder of a run, in which one process at a time works; and never inside of a model."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jbc.data.io.atomic import atomic_path
from jbc.errors import InputError

# Names of files that jbc writes for a moment: what a killed process leaves of them counts as nothing.
OURS = ".jbc-"
CONFIG, LOG, LOCK = "run.json", "log.jsonl", f"{OURS}lock"


def refuse_inside(out: Path | None, *, run: bool = False) -> None:
    """Refuse an output that would damage a saved model or a run; of a new run, also one inside of another.

    Parameters
    ----------
    out
        What is to be written, a file or a folder, if anything is.
    run
        Whether it is the folder of a new run.

    Raises
    ------
    InputError
        With code ``output-in-model``.
    """
    from jbc.train.manifest import is_sealed

    if out is None:
        return
    place = Path(os.path.realpath(out))
    where, around = "saved model", [folder for folder in (place, *place.parents) if is_sealed(folder)]
    if not around:
        replaced = place.name in (CONFIG, LOG, LOCK)
        runs = place.parents if run else [place.parent] if replaced else []
        where, around = "run", [folder for folder in runs if _is_run(folder)]
    if around:
        raise InputError(
            f"The output would lie in the folder of a {where}",
            which=[f"{out} in {around[0]}"],
            why="What is in this folder belongs together, and anything more would damage it.",
            fix="Choose another --out.",
            code="output-in-model",
        )


def _is_run(folder: Path) -> bool:
    """Return whether jbc fit has made a folder."""
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except OSError:
        return False
    except (ValueError, RecursionError):
        config = None
    # A damaged configuration is known by what lies beside it.
    return (isinstance(config, dict) and "method" in config) or os.path.isdir(folder / "checkpoints")


@contextlib.contextmanager
def run_folder(out: Path, run: dict[str, Any], *, resume: bool) -> Iterator[bool]:
    """Make or reopen the folder of a run, for this process alone; yield whether the run is finished.

    A new run that fails before its first checkpoint leaves no folder.
    """
    if _goes_on(out, run, resume) and (out / "model").exists():
        yield True
        return
    new = not out.exists()
    with _alone(out):
        # Another process may have been here before this one was alone.
        if _goes_on(out, run, resume):
            yield (out / "model").exists()
            return
        try:
            with atomic_path(out / CONFIG) as temporary:
                temporary.write_text(json.dumps(run, indent=1) + "\n")
            yield False
        except (InputError, OSError):
            if new and not any((out / "checkpoints").glob("step_*")):
                shutil.rmtree(out, ignore_errors=True)
            raise


def _goes_on(out: Path, run: dict[str, Any], resume: bool) -> bool:
    """Return whether a folder holds this run; refuse one that holds anything else."""
    from jbc.model.checkpoints import same_run

    config = out / CONFIG
    if resume and config.exists():
        same_run(_read(config), run)
        return True
    if _taken(out):
        raise InputError(
            "The output folder exists already",
            which=[str(out)],
            why="A run never mixes with anything else.",
            fix="Choose another --out" + (", or go on with --resume." if config.exists() else "."),
            code="output-exists",
        )
    return False


def _taken(out: Path) -> bool:
    """Return whether a new run would mix with something; what a kill left of its very first moment is nothing."""
    return out.exists() and not (out.is_dir() and all(path.name.startswith(OURS) for path in out.iterdir()))


def _read(config: Path) -> dict[str, Any]:
    """Read the configuration that a run was begun with."""
    try:
        return dict(json.loads(config.read_bytes()))
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(
            "The configuration of the run cannot be read",
            which=[str(config)],
            why=f"A run goes on only under the options that it was begun with ({error}).",
            fix="Restore the file from a copy, or begin a new run with another --out.",
            code="damaged-run",
        ) from error


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Make the folder if need be, and keep other processes from working in it.

    The system itself holds the lock, by an open file, so that it ends with this process however that ends.
    """
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        out.mkdir(parents=True, exist_ok=True)
        yield
        return
    handle = None
    while handle is None:
        out.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # the folder itself was removed meanwhile
            handle = os.open(out / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(handle)
                raise InputError(
                    "Another process is working in this run folder",
                    which=[str(out)],
                    why="Two at once would write over each other's checkpoints and log.",
                    fix="Wait until it has ended, or end it, and go on with --resume.",
                    code="run-in-use",
                ) from error
            except OSError:  # some file systems of clusters know no locks
                pass
            if not _names(out / LOCK, handle):
                os.close(handle)
                handle = None
    try:
        yield
    finally:
        (out / LOCK).unlink(missing_ok=True)
        os.close(handle)


def _names(path: Path, handle: int) -> bool:
    """Return whether a path leads to an open file: who held the lock before has removed the file with it."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
