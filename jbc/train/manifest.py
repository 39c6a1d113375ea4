"""Sealed folders: whole or not there at all, and checked by SHA-256 before anything is believed.

A folder appears under its name only when it is whole: `write_folder` makes it as ``NAME.tmp-xxxxxxxx`` beside the
name, seals it and renames it. To replace a folder, the old one is first renamed to ``NAME.tmp-replaced``,
then the new one to ``NAME``, and then the old one is deleted. Who finds no ``NAME`` between the renames, or
for ever after a kill, reads ``NAME.tmp-replaced`` (see `read_stable`), and the next save renames that back. One
process at a time makes, seals and renames a folder, whoever fills it; any number may read it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from jbc.errors import InputError

__all__ = [
    "clean_up",
    "discard",
    "is_sealed",
    "read_stable",
    "unwritable",
    "verify",
    "write_folder",
    "write_manifest",
]

SCHEMA = 1
MANIFEST, COMPANION = "MANIFEST.json", "MANIFEST.sha256"
REPLACED = "tmp-replaced"
PACKAGES = ("jbc", "jax", "flax", "optax", "orbax-checkpoint", "numpy")
SHOWN_DIGITS = 12


def write_manifest(folder: str | os.PathLike, meta: dict) -> None:
    """Write the manifest of a folder, and bring the folder to the disk.

    ``MANIFEST.json`` holds the schema number, `meta`, the versions of what wrote it, and path, size and
    SHA-256 of every file below; ``MANIFEST.sha256`` holds its own sum, as ``sha256sum`` would print it.

    Parameters
    ----------
    folder
        The folder, which must not change afterwards.
    meta
        What JSON can tell: a tuple comes back as a list.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "genes.txt").write_text("TP53")
    ...     write_manifest(folder, {"step": 3})
    ...     verify(folder)
    {'step': 3}
    """
    folder = Path(folder)
    files = {}
    for name, path in _files(folder).items():
        _fsync(path)
        files[name] = {"size": path.stat().st_size, "sha256": _digest(path)}
    content = {"schema": SCHEMA, "meta": meta, "versions": _versions(), "files": files}
    manifest = (json.dumps(content, indent=1) + "\n").encode()
    for name, data in ((MANIFEST, manifest), (COMPANION, _companion(manifest))):
        (folder / name).write_bytes(data)
        _fsync(folder / name)
    for top, _, _ in os.walk(folder):
        _fsync(top)


def verify(folder: str | os.PathLike) -> dict:
    """Check every file of a sealed folder, and return the `meta` it was sealed with.

    Raises
    ------
    InputError
        ``no-checkpoint``: there is no such folder. ``newer-schema``: a newer jbc wrote it.
        ``corrupt-checkpoint``: a file, which the message names, was changed, lost, added, or is a link.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            "There is no checkpoint or saved model here",
            which=[str(folder)],
            why="Nothing could be read.",
            fix="Check the path, or train and save first.",
            code="no-checkpoint",
        )
    meta, listed = _manifest(folder)
    found = _files(folder)
    faults = {name: _fault(listed.get(name), found.get(name)) for name in listed | found}
    if wrong := sorted(f"{name} ({fault})" for name, fault in faults.items() if fault):
        raise _corrupt(folder, wrong)
    return meta


def is_sealed(folder: str | os.PathLike) -> bool:
    """Return whether a folder has the manifest of a sealed one."""
    return all(os.path.isfile(os.path.join(folder, name)) for name in (MANIFEST, COMPANION))


@contextlib.contextmanager
def write_folder(folder: Path, meta: dict, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder to fill, then write its manifest and put it in the place of `folder`.

    If anything fails, the temporary is removed and `folder` stays as it was. An empty folder counts as
    none; another one is replaced if `overwrite` says so and jbc made it, else refused (``exists``).
    """
    with unwritable(folder):
        if around := [parent for parent in folder.parents if is_sealed(parent)]:
            raise InputError(
                "The folder would lie inside of a saved model or checkpoint",
                which=[f"{folder} in {around[0]}"],
                why="That would not be found whole any more.",
                fix="Choose another place.",
                code="output-in-model",
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        clean_up(folder.parent, re.escape(folder.name))
        if _taken(folder) and not (overwrite and (folder / MANIFEST).is_file()):
            raise InputError(
                "The folder exists",
                which=[str(folder)],
                why="What it holds would be lost.",
                fix="Choose another name, or ask to overwrite it, which is done only to what jbc has saved.",
                code="exists",
            )
        temporary = _temporary(folder)
        try:
            temporary.mkdir()
            yield temporary
            write_manifest(temporary, meta)
            _put(temporary, folder, overwrite)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def read_stable(folder: Path, action: Callable[[Path], Any]) -> Any:
    """Return ``action(place)`` for the whole folder, repeated if a writer replaces it meanwhile."""
    while True:
        before = _place(folder)
        try:
            result = action(before[0])
        except Exception:
            if _place(folder) == before:
                raise
            continue
        if _place(folder) == before:
            return result


def clean_up(parent: Path, name: str) -> None:
    """Clear up in `parent` after killed saves of folders whose name matches the pattern `name`."""
    for path in list(parent.iterdir()):
        if left := re.fullmatch(rf"({name})\.(tmp-[0-9a-f]{{8}}|{REPLACED})", path.name):
            if left[2] == REPLACED and not (parent / left[1]).exists():
                path.rename(parent / left[1])
            else:
                shutil.rmtree(path, ignore_errors=True)


def discard(folder: Path) -> None:
    """Delete a folder; renamed first, so that a kill never leaves half of it under its name."""
    doomed = _temporary(folder)
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


@contextlib.contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Turn errors of the file system into one that says where, why, and how much room is left."""
    try:
        yield
    except OSError as error:
        parent = next(path for path in (folder, *folder.parents) if path.exists())
        room = shutil.disk_usage(parent).free / 1e6
        raise InputError(
            "Cannot write the folder",
            which=[str(folder)],
            why=f"{error.strerror or error}; {room:.0f} MB are free. What was there before is unchanged.",
            fix="Make room, or choose a folder that you may write to.",
            code="unwritable",
        ) from error


def _taken(folder: Path) -> bool:
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def _temporary(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.tmp-{secrets.token_hex(4)}")


def _put(temporary: Path, folder: Path, overwrite: bool) -> None:
    aside = folder.with_name(f"{folder.name}.{REPLACED}")
    if overwrite and _taken(folder):
        folder.rename(aside)
    try:
        temporary.rename(folder)
    except BaseException:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        raise
    _fsync(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _place(folder: Path) -> tuple[Path, int, int]:
    """Where to read, and two numbers that change when another folder takes that place."""
    for path in (folder, folder.with_name(f"{folder.name}.{REPLACED}")):
        with contextlib.suppress(FileNotFoundError):
            at = path.stat()
            return path, at.st_ino, at.st_mtime_ns
    return folder, 0, 0


def _files(folder: Path) -> dict[str, Path]:
    """Path of every file below the folder by its relative name, the manifest's own two excepted."""
    files, odd = {}, []
    for top, folders, names in os.walk(folder):
        for path in (Path(top, name) for name in folders + names):
            name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
            if stat.S_ISREG(mode):
                files[name] = path
            elif not stat.S_ISDIR(mode):
                # A link may lead out of the folder, and reading a pipe waits for ever.
                odd.append(f"{name} (not a plain file)")
    if odd:
        raise _corrupt(folder, sorted(odd))
    return {name: path for name, path in files.items() if name not in (MANIFEST, COMPANION)}


def _manifest(folder: Path) -> tuple[dict, dict[str, tuple[int, str]]]:
    """Read meta and the sums, believed only if the companion is right, byte for byte."""
    try:
        data, companion = (folder / MANIFEST).read_bytes(), (folder / COMPANION).read_bytes()
    except OSError as error:
        raise _corrupt(folder, [f"{Path(error.filename).name} ({error.strerror})"]) from error
    if companion != _companion(data):
        first = [text[:SHOWN_DIGITS].decode("ascii", "replace") for text in (companion, _companion(data))]
        raise _corrupt(folder, [f"{MANIFEST} (sum {first[0]} expected by {COMPANION}, {first[1]} found)"])
    try:
        content = json.loads(data)
        if not isinstance(content["schema"], int):
            raise TypeError("schema")
        if content["schema"] <= SCHEMA:
            if not isinstance(content["meta"], dict):
                raise TypeError("meta")
            files = {name: (int(at["size"]), str(at["sha256"])) for name, at in content["files"].items()}
            return content["meta"], files
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise _corrupt(folder, [f"{MANIFEST} (not a manifest)"]) from error
    raise InputError(
        f"Written by a newer jbc, in schema {content['schema']}; this one reads schemas up to {SCHEMA}",
        which=[str(folder)],
        why="What an old version does not know it would read wrongly.",
        fix="Install a newer jbc.",
        code="newer-schema",
    )


def _fault(listed: tuple[int, str] | None, path: Path | None) -> str | None:
    """Return what is wrong with one file, or None."""
    if path is None:
        return "missing"
    if listed is None:
        return "not in the manifest"
    try:
        found = path.stat().st_size, _digest(path)
    except OSError as error:
        return f"unreadable: {error.strerror}"
    if found == listed:
        return None
    expected, got = (f"{size} bytes of sum {digest[:SHOWN_DIGITS]}" for size, digest in (listed, found))
    return f"{expected} expected, {got} found"


def _corrupt(folder: Path, files: list[str]) -> InputError:
    return InputError(
        f"Damaged files in {str(folder)!r}",
        which=files,
        why="Nothing was read, for what they hold may be wrong.",
        fix="Restore the folder from a copy. If it is a step of a training run, delete it to go on from the "
        "step before; a saved model has to be saved again.",
        code="corrupt-checkpoint",
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _companion(manifest: bytes) -> bytes:
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()


def _fsync(path: str | os.PathLike) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@functools.cache
def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # jbc itself may run from its source tree
            versions[package] = "not installed"
    return versions
