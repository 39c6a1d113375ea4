"""The layers of jbc and of experiments, read from their imports; what `import jbc` may load; file lengths."""

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
EXPERIMENTS = Path(__file__).parent.parent / "experiments"  # beside the tests, also where jbc is installed
PROGRAMS = sorted(path.relative_to(EXPERIMENTS).as_posix() for path in EXPERIMENTS.rglob("*.py"))

# The rooms of the house, from the ground up: a file imports only from rooms below its own, and inside its room.
LAYERS = (
    ("errors", "version"), ("validation", "numerics"), ("cohort",), ("losses", "nets"), ("methods",),
    ("train", "metrics", "plots", "data"), ("report", "model"), ("interfaces",), ("cli",), ("__init__", "__main__"),
)  # fmt: skip

# What rooms do not know though it lies below: the loop knows no method but the contract and its door, metrics and
# plots take plain arrays, and readers give plain tables.
FORBIDDEN = {
    "train": ("methods", "losses", "nets"),
    "metrics": ("methods", "nets", "losses"),
    "plots": ("methods", "nets", "losses"),
    "data": ("methods", "train", "metrics", "plots", "losses", "nets"),
}
ALLOWED = {("train", "methods/base"), ("train", "methods/prepare")}

# Packages that are slow to import or tied to one purpose, and the only files that import them at all, or (True)
# that may import them at module level. Everything else imports them inside functions, if at all.
HOMES_ANYWHERE = {
    "flax.linen": ("nets",),
    "flowio": ("data/io/fcs",),
    "PIL": (),
    "orbax": ("train/checkpoint",),
    "matplotlib": ("plots",),
}
HOMES_AT_TOP = {
    "sklearn": ("interfaces/estimator", "interfaces/model_selection"),
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


def imports(file: str, home: Path = HOME) -> Iterator[tuple[str, bool]]:
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

    yield from walk(ast.parse((home / file).read_text()), True)


def module(name: str, home: Path = HOME) -> str | None:
    """Return the file or folder of jbc (or of another home), without its ending, that an imported name lives in."""
    first, *parts = name.split(".")
    if first != home.name:
        return None
    while parts and not (home.joinpath(*parts).with_suffix(".py").exists() or home.joinpath(*parts).is_dir()):
        parts.pop()
    return "/".join(parts) or "__init__"


def within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def room(path: str) -> str:
    return path.split("/")[0]


def layer(path: str) -> int:
    """Return how high a file lies."""
    found = [height for height, rooms in enumerate(LAYERS) if room(path) in rooms]
    assert found, f"{path} belongs to no room: name it in LAYERS"
    return found[0]


@pytest.mark.parametrize("file", FILES)
def test_imports_follow_the_layers(file):
    here = file.removesuffix(".py").removesuffix("/__init__")
    for name, _ in imports(file):
        there = module(name)
        if there is None or there == here:
            continue
        said = f"jbc/{file} imports {name}"
        assert there != "__init__" or room(here) in ("cli", "__main__"), (
            f"{said}: the package itself lies above"
        )
        if there == "__init__":
            continue
        assert room(there) == room(here) or layer(there) < layer(here), f"{said}, which lies no layer below"
        for folder, banned in FORBIDDEN.items():
            if within(here, folder) and (folder, there) not in ALLOWED:
                assert not any(within(there, ban) for ban in banned), f"{said}: {folder} knows none of these"


@pytest.mark.parametrize("file", PROGRAMS)
def test_experiments_import_their_own_folder_and_the_shared_helpers(file):
    here = file.removesuffix(".py")
    for name, _ in imports(file, EXPERIMENTS):
        there = module(name, EXPERIMENTS)
        if there is None or room(there) in ("_lib", room(here)):
            continue
        said = f"experiments/{file} imports {name}"
        assert here == "build_pages" or room(here) == "speed", f"{said}, of another paper"
        assert here == "build_pages" or "/" in there, f"{said}, which lies above"


@pytest.mark.parametrize(
    ("home", "files"), [(HOME, FILES), (EXPERIMENTS, PROGRAMS)], ids=["jbc", "experiments"]
)
def test_no_files_import_each_other_in_a_circle(home, files):
    edges = {}
    for file in files:
        here = file.removesuffix(".py").removesuffix("/__init__")
        names = {module(name, home) for name, top in imports(file, home) if top} - {None, here}
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


@pytest.mark.parametrize("file", PROGRAMS)
def test_programs_are_short(file):
    lines = (EXPERIMENTS / file).read_text().count("\n")
    assert lines <= 300, f"experiments/{file} has {lines} lines: 300 are the most"


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
    assert found["orbax.checkpoint"] is False
    assert found["jax"] is True
    assert module("jbc.methods.base.Method") == "methods/base"
    assert module("jbc.losses.mmd2_matrix") == "losses"
    assert module("json") is None
    assert module("experiments.joint.tasks.Task", EXPERIMENTS) == "joint/tasks"
    assert "jax" in sys.modules
