"""The layers of DESIGN.md, read from the imports themselves; what `import jbc` may load; file lengths."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from problems import run_python

import jbc

HOME = Path(jbc.__file__).parent
FILES = sorted(path.relative_to(HOME).as_posix() for path in HOME.rglob("*.py"))

# A file imports only from layers before its own; inside one layer, only as FRIENDS says. The longest matching
# prefix counts.
LAYERS = {
    "errors": 0, "names": 0, "cache": 0, "memory": 0, "checks": 1, "linalg": 1, "mesh": 1, "noise": 1, "groups": 1,
    "centring": 1, "row_order": 1, "cohort": 2,
    "draws": 3, "direction": 3, "audit": 4, "losses": 4, "edits": 4, "nets": 5, "methods/base": 6,
    "methods/constraints": 6, "methods": 7, "baselines": 7, "presets": 8, "methods/registry": 8, "methods/prepare": 8,
    "train": 9, "metrics": 9, "plots": 9,
    "data": 9, "datasets": 10, "expression": 10, "adaptation": 10, "stopping": 10, "saved": 11, "estimator": 12,
    "anndata_face": 13, "report": 13, "demo": 14, "doctor": 14, "commands": 15, "cli": 16, "__main__": 17,
    "__init__": 17,
}  # fmt: skip

# What DESIGN.md sets beside each other does not see each other: a loop that knows no method, metrics and plots of
# plain arrays, readers of files. The contract itself is what train may know of the methods.
FORBIDDEN = {
    "train": ("methods", "baselines", "presets", "metrics", "plots", "data", "losses", "edits", "nets"),
    "metrics": ("methods", "baselines", "presets", "train", "plots", "data", "nets", "draws"),
    "plots": ("methods", "baselines", "presets", "train", "metrics", "data", "nets", "draws"),
    "data": (
        "methods",
        "baselines",
        "presets",
        "train",
        "metrics",
        "plots",
        "losses",
        "edits",
        "nets",
        "draws",
    ),
}
ALLOWED = {("train", "methods/base"), ("train", "methods/prepare")}

# Packages that are slow to import or tied to one purpose, and the only files that import them at all, or (True)
# that may import them at module level. Everything else imports them inside functions, if at all.
HOMES_ANYWHERE = {
    "flax.linen": ("nets",),
    "flowio": ("data/fcs",),
    "PIL": ("data/images",),
    "orbax": ("train/checkpoint",),
    "matplotlib": ("plots",),
}
HOMES_AT_TOP = {
    "sklearn": ("estimator",),
    "matplotlib": ("plots",),
    "pandas": (),
    "anndata": (),
    "orbax": (),
    "flowio": (),
    "PIL": (),
    "pooch": (),
    "jinja2": (),
    "pyarrow": (),
    "h5py": (),
    "rich": (),
}
LIGHT = ("anndata", "matplotlib", "sklearn", "orbax", "pandas", "scipy", "pooch", "jinja2", "rich", "tyro",
         "pyarrow", "h5py", "PIL", "flax", "optax", "jax")  # fmt: skip


def imports(file: str) -> Iterator[tuple[str, bool]]:
    """Yield the full name of everything a file imports, and whether that happens at module level.

    What only the type checker sees does not count.
    """

    def walk(node: ast.AST, top: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{file}: write imports in full"
                yield from ((f"{child.module}.{alias.name}", top) for alias in child.names)
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, top and not inside)

    yield from walk(ast.parse((HOME / file).read_text()), True)


def module(name: str) -> str | None:
    """Return the file or folder of jbc, without its ending, that an imported name lives in."""
    if name != "jbc" and not name.startswith("jbc."):
        return None
    parts = name.split(".")[1:]
    while parts and not (HOME.joinpath(*parts).with_suffix(".py").exists() or HOME.joinpath(*parts).is_dir()):
        parts.pop()
    return "/".join(parts) or "__init__"


def within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def layer(path: str) -> int:
    """Return the layer of a file."""
    matches = [name for name in LAYERS if within(path, name)]
    assert matches, f"{path} belongs to no layer: name it in LAYERS"
    return LAYERS[max(matches, key=len)]


def package(path: str) -> str:
    return path.split("/")[0]


@pytest.mark.parametrize("file", FILES)
def test_imports_follow_the_layers(file):
    here = file.removesuffix(".py").removesuffix("/__init__")
    for name, _ in imports(file):
        there = module(name)
        if there is None or there == here:
            continue
        said = f"jbc/{file} imports {name}"
        assert there != "__init__" or layer(here) > layer("report"), f"{said}: the package itself lies above"
        if there == "__init__":
            continue
        siblings = package(there) == package(here)
        # Below one folder, files see each other; folders of one layer do not.
        assert siblings or layer(there) < layer(here), f"{said}, which is no layer below"
        for folder, banned in FORBIDDEN.items():
            if within(here, folder) and (folder, there) not in ALLOWED:
                assert not any(within(there, ban) for ban in banned), f"{said}: {folder} knows none of these"


def test_no_files_import_each_other_in_a_circle():
    edges = {}
    for file in FILES:
        here = file.removesuffix(".py").removesuffix("/__init__")
        names = {module(name) for name, top in imports(file) if top} - {None, here}
        edges[here] = edges.get(here, set()) | names
    done: set[str] = set()

    def visit(node: str, path: tuple[str, ...]) -> None:
        assert node not in path, f"circle: {' → '.join([*path, node])}"
        if node not in done:
            for other in edges.get(node, ()):
                visit(other, (*path, node))
            done.add(node)

    for node in sorted(edges):
        visit(node, ())


@pytest.mark.parametrize("file", FILES)
def test_packages_are_imported_in_their_homes_only(file):
    here = file.removesuffix(".py")
    for name, top in imports(file):
        for owned, homes in HOMES_ANYWHERE.items():
            if within(name.replace(".", "/"), owned.replace(".", "/")):
                assert any(within(here, home) for home in homes), (
                    f"jbc/{file} imports {name}: only {homes} may"
                )
        for late, homes in HOMES_AT_TOP.items():
            if top and name.split(".")[0] == late:
                assert any(within(here, home) for home in homes), f"jbc/{file}: import {name} in the function"


@pytest.mark.parametrize("file", FILES)
def test_files_are_short(file):
    lines = (HOME / file).read_text().count("\n")
    assert lines <= 400, f"jbc/{file} has {lines} lines: 300 are meant, 400 the most"
    if file.endswith("__init__.py"):
        assert lines < 80, f"jbc/{file} has {lines} lines"


def test_importing_jbc_loads_nothing_heavy():
    code = "import sys, json; before = set(sys.modules); import jbc; print(json.dumps(sorted(sys.modules)))"
    loaded = {name.split(".")[0] for name in json.loads(run_python(code, timeout=60))}
    assert not loaded & set(LIGHT)


def test_every_public_name_exists():
    code = "import jbc, json; print(json.dumps({n: str(type(getattr(jbc, n))) for n in jbc.__all__}))"
    assert set(json.loads(run_python(code, timeout=120))) == set(jbc.__all__)
    assert set(jbc.__all__) <= set(dir(jbc))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = jbc.nothing


def test_the_parser_sees_what_it_should():
    found = dict(imports("train/checkpoint.py"))
    assert found["orbax.checkpoint.v1"] is False
    assert found["jax"] is True
    assert module("jbc.methods.base.Method") == "methods/base"
    assert module("jbc.losses.mmd2_matrix") == "losses"
    assert module("json") is None
    assert "jax" in sys.modules
