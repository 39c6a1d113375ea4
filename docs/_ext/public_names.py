"""Cross references by the names that objects have inside the package lead to their public names.

Docstrings and annotations say ``jbc.methods.joint.JointCalibration``; the pages document ``jbc.JointCalibration``. A
member that has no entry of its own leads to its class. What is in the package and on no page is shown without a link;
what is in neither fails the build.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


@functools.cache
def find(path: str) -> Any:
    """Return the object of a dotted path, the class of a field of a dataclass, or None."""
    parts = path.split(".")
    if parts[0] != "jbc":
        return None
    found = _attribute(importlib.import_module("jbc"), parts[1:])
    # A function may have the name of its module.
    for end in range(len(parts), 1, -1) if found is None else ():
        with contextlib.suppress(ImportError):
            return _attribute(importlib.import_module(".".join(parts[:end])), parts[end:])
    return found


def _attribute(found: Any, parts: list[str]) -> Any:
    """Return what a chain of attributes leads to, or None."""
    for part in parts:
        if part not in getattr(found, "__dataclass_fields__", ()):
            found = getattr(found, part, None)
    return found


@functools.cache
def documented(env: BuildEnvironment) -> dict[int, str]:
    """Return the documented names of objects, once all pages are read."""
    objects = env.get_domain("py").objects  # pyright: ignore[reportAttributeAccessIssue]
    return {id(found): name for name in objects if (found := find(name)) is not None}


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: nodes.Element) -> Any:
    """Return a link to the public name of what a reference is about, or its plain text."""
    target = node["reftarget"]
    if node.get("refdomain") != "py":
        return None
    known = documented(env)
    module, cls = node.get("py:module"), node.get("py:class")
    scopes = [".".join(filter(None, (module, cls))), module, cls, "jbc"]
    paths = [target, *(f"{scope}.{target}" for scope in scopes if scope)]
    paths = [path for path in paths if find(path) is not None]
    names = [known.get(id(find(path))) for path in [*paths, *(path.rpartition(".")[0] for path in paths)]]
    # Summaries in tables are out of their context.
    names += sorted(name for name in known.values() if name.endswith(f".{target}"))
    for name in names:
        if name and name != target:
            domain = env.get_domain("py")
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, shown)
    return shown if paths else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Look where Sphinx finds nothing."""
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
