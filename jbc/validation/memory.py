"""How much memory this process may still take, before something ends it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
# What the two versions of control groups call the same: limit, usage, and pages of files in memory.stat.
NAMES = (
    ("memory.max", "memory.current", ("inactive_file", "active_file")),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
)


def available() -> int:
    """Return the bytes that can be had without swapping: the least of all limits that can be read.

    These are what the machine has left, what the control groups of this process (those of a container or of a
    scheduler's job) allow, and its own limit of address space. ``sys.maxsize`` where the system tells none of them.

    Examples
    --------
    >>> 0 < available() <= sys.maxsize
    True
    """
    return max(0, min([*_machine(), *_groups(), *_address_space()], default=sys.maxsize))


def size(number: int) -> str:
    """Write a number of bytes as people read it.

    Examples
    --------
    >>> size(3 * 2**29), size(5000), size(0)
    ('1.5 GiB', '4.9 KiB', '0 B')
    """
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= unit:
            return f"{number / unit:,.1f} {name}"
    return f"{number} B"


def _machine() -> Iterator[int]:
    """Return what the kernel says is available, memory that it would take back from its caches included."""
    with contextlib.suppress(OSError, ValueError):
        for name, number in _table(PROC / "meminfo"):
            if name == "MemAvailable:":
                yield 1024 * number


def _groups() -> Iterator[int]:
    """Return what is left in every control group of this process, and in those around it."""
    for folder in _folders():
        for limit, usage, files in NAMES:
            # Missing, or "max", where nothing is limited; a process cannot read what lies outside of its container.
            with contextlib.suppress(OSError, ValueError):
                left = int((folder / limit).read_text()) - int((folder / usage).read_text())
                # Pages of files that were read count as used, but are given up as soon as memory is short.
                yield left + sum(number for name, number in _table(folder / "memory.stat") if name in files)


def _folders() -> list[Path]:
    """Return the folders that may describe the control groups of this process, once each."""
    found: dict[Path, None] = {}
    with contextlib.suppress(OSError, ValueError):
        for line in (PROC / "self" / "cgroup").read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            for top in (GROUPS / "memory",) if controllers else (GROUPS, GROUPS / "unified"):
                # Inside a container the name may be one that only the host knows; its own group is the top then.
                place = top / name.lstrip("/")
                found |= dict.fromkeys([place, *(each for each in place.parents if each.is_relative_to(top))])
    return list(found)


def _address_space() -> Iterator[int]:
    """Return what is left of the address space, where it is limited (``ulimit -v``)."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            pages = int((PROC / "self" / "statm").read_text().split()[0])
            yield limit - pages * os.sysconf("SC_PAGE_SIZE")


def _table(path: Path) -> list[tuple[str, int]]:
    """Read lines of a name and a number, and what may follow."""
    return [(name, int(number)) for name, number, *_ in map(str.split, path.read_text().splitlines())]
