"""Where jbc keeps what it can make again: downloads and compiled programs."""

from __future__ import annotations

import os
from pathlib import Path


def folder() -> Path:
    """Return the cache folder: the environment variable ``JBC_CACHE``, or the user's cache folder."""
    if given := os.environ.get("JBC_CACHE"):
        return Path(given).expanduser()
    import pooch

    return Path(pooch.os_cache("jbc"))


def keep_compiled() -> None:
    """Let JAX keep compiled programs between processes.

    Only for command lines and experiments: a library leaves the configuration of JAX to its user.
    """
    import jax

    try:
        path = folder() / "xla"
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # a cache is a comfort, and an unwritable home no reason to stop
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
