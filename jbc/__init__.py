"""jbc: batch correction in pure JAX.

Names load when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

from jbc.version import __version__ as __version__


def _homes() -> dict[str, tuple[str, str]]:
    """Return the module and the name there of every public name, as the stub and the registry import them."""
    here, found = Path(__file__).parent, {}
    for file, only in (("__init__.pyi", "jbc"), ("methods/registry.py", "jbc.methods.")):
        for node in ast.parse((here / file).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(only):
                found |= {alias.asname or alias.name: (str(node.module), alias.name) for alias in node.names}
    return {name: home for name, home in found.items() if name not in _INTERNAL}


_INTERNAL = ("*", "Method", "rules")
_HOMES = _homes()
__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        from jbc.errors import closest

        close = None if name.startswith("_") else closest(name, __all__)
        raise AttributeError(
            f"module 'jbc' has no attribute {name!r}" + (f"; did you mean {close!r}?" if close else "")
        )
    module, there = _HOMES[name]
    if module == "jbc":
        return importlib.import_module(f"jbc.{there}")
    home = importlib.import_module(module)
    # A submodule is no attribute of its package before it was imported.
    return getattr(home, there) if hasattr(home, there) else importlib.import_module(f"{module}.{there}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
