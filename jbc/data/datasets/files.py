"""The files of data sets: from a local folder, the cache, or their pinned address."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jbc.data import cache
from jbc.data.datasets.catalogue import find
from jbc.data.datasets.sources import Remote
from jbc.errors import InputError, enumeration

if TYPE_CHECKING:
    from requests.exceptions import RequestException


def fetch(name: str) -> list[Path]:
    """Make the files of a data set available and give their paths.

    A file is looked for below the folder that the environment variable ``JBC_DATA`` names, then in the cache
    (``JBC_CACHE``, else the user's cache folder), and downloaded at last. Whatever its origin, its SHA-256 is
    compared with the catalogue's. Files of which no SHA-256 is known are never downloaded.

    Parameters
    ----------
    name
        One of `jbc.datasets.names`.

    Returns
    -------
    list of Path
        In the order of the catalogue; empty for a simulated world.

    Raises
    ------
    InputError
        As for `load`.

    Examples
    --------
    >>> fetch("simulated-plates")
    []
    """
    files = find(name).files
    found = [_local(file) for file in files]
    missing = [file for file, path in zip(files, found, strict=True) if path is None and not file.sha256]
    if missing:
        raise _not_placed(name, missing)
    return [path or _cached(file) for file, path in zip(files, found, strict=True)]


def _local(file: Remote) -> Path | None:
    """Find a file below JBC_DATA."""
    folder = os.environ.get("JBC_DATA")
    path = Path(folder, file.path) if folder else None
    if path is None or not path.is_file():
        return None
    if not file.sha256:
        return path
    with path.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != file.sha256:
        raise _checksum(path, f"expected {file.sha256}, found {found}", "JBC_DATA")
    return path


def _cached(file: Remote) -> Path:
    """Find a file in the cache or download it; pooch compares the checksum in either case."""
    import pooch
    from requests.exceptions import RequestException

    target = cache.folder() / "data" / file.path
    try:
        # Not streamed, because pooch leaves the connection of a refused stream open; the files are small.
        downloader: Any = pooch.HTTPDownloader(stream=False)
        pooch.retrieve(file.url, f"sha256:{file.sha256}", target.name, target.parent, downloader=downloader)
    except RequestException as error:
        raise _not_downloaded(file, target, error) from error
    except ValueError as error:
        raise _checksum(file.url, f"expected {file.sha256}; {error}", "the address") from error
    except OSError as error:
        raise InputError(
            f"Cannot write to the cache folder ({error.strerror or error})",
            which=[str(target.parent)],
            why="Downloaded files are kept there.",
            fix="Free some space, or name another folder in the environment variable JBC_CACHE.",
            code="unwritable",
        ) from error
    return target


def _not_placed(name: str, missing: Sequence[Remote]) -> InputError:
    folder = os.environ.get("JBC_DATA")
    where = f"below '{folder}'" if folder else "below a folder that the environment variable JBC_DATA names"
    return InputError(
        f"Files of the data set {name!r} are not there, and have to be placed by hand",
        which=[file.path for file in missing],
        why="No checksum of such files is known, so that a download could not be told from other data.",
        fix=f"Put them {where}: jbc.datasets.describe({name!r})['notes'] says what is in them. They are made from "
        f"what is published at {enumeration(list(dict.fromkeys(file.url for file in missing)))}.",
        code="not-placed",
    )


def _not_downloaded(file: Remote, target: Path, error: RequestException) -> InputError:
    """Distinguish a server that refuses from one that cannot be reached."""
    why = "The file is neither in the cache nor below the folder that JBC_DATA names."
    if error.response is not None:
        return InputError(
            f"The download of a data set failed (HTTP status {error.response.status_code})",
            which=[file.url],
            why=why,
            fix="Try again later; should the file have moved, tell the authors of jbc.",
            code="download-failed",
        )
    return InputError(
        "A data set cannot be downloaded, because its address cannot be reached",
        which=[file.url],
        why=why,
        fix=f"Connect to the internet once, or put the file at '{target}'.",
        code="offline",
    )


def _checksum(where: object, detail: str, origin: str) -> InputError:
    return InputError(
        f"A data file is not the published one ({detail})",
        which=[str(where)],
        why="Results from other data cannot be compared.",
        fix=f"Remove the file from {origin} and get it again.",
        code="checksum",
    )
