"""Files that are either wholly written or not touched at all."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jbc.errors import InputError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which takes its place when the block ends well.

    The temporary file has the suffixes of `path` and lies in the same folder, so that the final rename
    stays on one file system. File and folder are synced, hence a power cut leaves the old file or the new
    one. When the block raises, the temporary file is removed and the old file keeps every byte. A symbolic
    link stays a link: the file that it points to is replaced.

    Parameters
    ----------
    path
        The file to write.

    Yields
    ------
    Path
        An empty file to write to or to replace.

    Raises
    ------
    InputError
        With code ``unwritable``, for every `OSError` in the block: no such folder, no permission, disk full.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder, "a.txt")) as temporary:
    ...         _ = temporary.write_text("whole")
    ...     Path(folder, "a.txt").read_text()
    'whole'
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".jbc-{secrets.token_hex(8)}{''.join(target.suffixes[-2:])}")
    try:
        _create(temporary, like=target)
        yield temporary
        _sync(temporary)
        os.replace(temporary, target)
        _sync(target.parent)
    except OSError as error:
        raise _unwritable(Path(path), error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _create(temporary: Path, like: Path) -> None:
    """Make the file with the mode of the one it replaces, else with what the umask allows.

    A rename would pass over the write protection of the old file, and would put a file in the place of a
    device such as ``/dev/null``, so both are refused here.
    """
    if like.exists() and not like.is_file():
        raise OSError(None, "it is not a regular file")
    if like.exists() and not os.access(like, os.W_OK):
        raise PermissionError(None, "it is write-protected")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    if like.exists():
        temporary.chmod(stat.S_IMODE(like.stat().st_mode))


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"Cannot write the file ({error.strerror or error})",
        which=[str(path)],
        why="Nothing was written, and a file that was there before is unchanged.",
        fix="Choose an existing folder that you may write to and that has space left.",
        code="unwritable",
    )
