"""Checkpoints: every bit comes back, every damage is named, and no moment to die is a bad one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint
import pytest
from flax.training.train_state import TrainState

import jbc
from jbc.errors import InputError
from jbc.train import checkpoint, processes
from jbc.train.checkpoint import latest, read, read_step, save_step, write
from jbc.train.manifest import write_manifest

MUTATIONS = ("flip", "truncate", "delete", "zero", "swap", "add", "manifest")
FILES_AT_MOST = 20


ADAM = optax.adam(1e-3)  # one object: a TrainState is compared by its identity


class Pair(NamedTuple):
    mean: Any
    spread: Any


@flax.struct.dataclass
class Player:
    state: TrainState
    statistics: Any
    name: str = flax.struct.field(pytree_node=False, default="critic")


def player(seed: int = 0) -> Player:
    """A state like those of training: Adam after one step, batch statistics, a key, odd leaves."""
    rng = np.random.default_rng(seed)
    params = {"dense": {"kernel": jnp.asarray(rng.normal(size=(7, 3)), jnp.float32), "bias": jnp.zeros(3)}}
    state = TrainState.create(apply_fn=None, params=params, tx=ADAM)
    state = state.replace(step=jnp.int32(0)).apply_gradients(
        grads=jax.tree.map(lambda p: p * 0.1 + 1, params)
    )
    statistics = {
        "pair": Pair(jnp.float32(2.5), None),
        "mask": jnp.array([True, False, True]),
        "empty": jnp.zeros((0, 4)),
        "nothing": {},
        "weak": jnp.asarray(1.5),
        "key": jax.random.key(seed),
        "half": jnp.arange(5, dtype=jnp.bfloat16),
        "list": [np.arange(3), np.float64(0.1)],
        "a/b": {"c.d": np.array([np.nan, -0.0, np.inf], np.float32)},
    }
    return Player(state, statistics)


def bits(leaf: Any) -> tuple:
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return str(leaf.dtype), *bits(jax.random.key_data(leaf))
    return str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes()


def assert_same(left: Any, right: Any) -> None:
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert bits(a) == bits(b)


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def sealed(tmp_path_factory) -> Path:
    """Two checkpoints of the same structure with other numbers; tests work on copies."""
    folder = tmp_path_factory.mktemp("sealed")
    write(folder / "one", player(1), {"seed": 1})
    write(folder / "two", player(2), {"seed": 2})
    return folder


@pytest.fixture
def copy(sealed, tmp_path) -> Path:
    return Path(shutil.copytree(sealed / "one", tmp_path / "one"))


# What is written comes back.


@pytest.mark.parametrize("abstract", [False, True])
@pytest.mark.slow
def test_training_state_comes_back_bit_by_bit(tmp_path, abstract):
    tree = player()
    write(tmp_path / "state", tree, {"step": 1, "name": "é"})
    like = player(3)
    if abstract:
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), like)
    back, meta = read(tmp_path / "state", like)
    assert_same(back, tree)
    assert meta == {"step": 1, "name": "é"}
    arrays = [leaf for leaf in jax.tree.leaves(back) if isinstance(leaf, jax.Array)]
    assert len(arrays) == (15 if abstract else 14)
    assert not any(getattr(leaf, "weak_type", False) for leaf in arrays)
    again = back.state.apply_gradients(grads=back.state.params)
    assert_same(again, tree.state.apply_gradients(grads=tree.state.params))


def test_without_like_nested_dictionaries_come_back(tmp_path):
    fitted = {
        "nets": {"a/b": np.ones((2, 3), np.float32), "": np.zeros((0, 2)), "off": None, "none": {}},
        "step": 3,
        "rate": 0.5,
        "on": True,
        "wide": np.arange(3, dtype=np.int64),
        "big-endian": np.arange(3, dtype=">f4"),
    }
    write(tmp_path / "model", fitted, {})
    back, _ = read(tmp_path / "model")
    assert back["nets"].keys() == fitted["nets"].keys()
    assert back["nets"]["off"] is None
    assert back["nets"]["none"] == {}
    assert isinstance(back["nets"]["a/b"], np.ndarray)
    assert back["nets"][""].shape == (0, 2)
    assert [back[name].dtype for name in ("step", "rate", "on", "wide")] == [
        "int32",
        "float32",
        "bool",
        "int64",
    ]
    assert back["big-endian"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("tree", [np.arange(4), None, {}, {"a": np.zeros(0)}, {"a": None}], ids=repr)
def test_small_trees(tmp_path, tree):
    write(tmp_path / "tree", tree, {})
    assert repr(read(tmp_path / "tree")[0]) == repr(tree)
    assert repr(read(tmp_path / "tree", tree)[0]) == repr(tree)


@pytest.mark.parametrize(
    "leaf", ["text", np.array(["a"]), np.array([{}], object), np.datetime64("2020-01-01")]
)
def test_only_numbers_are_saved(tmp_path, leaf):
    with pytest.raises(InputError, match="nets/odd") as caught:
        write(tmp_path / "tree", {"nets": {"odd": leaf}}, {})
    assert caught.value.code == "not-an-array"
    assert os.listdir(tmp_path) == []


def test_names_that_orbax_would_confuse_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"'a/b\.c and a\.b/c'") as caught:
        write(tmp_path / "tree", {"a": {"b.c": np.ones(2)}, "a.b": {"c": np.zeros(2)}}, {})
    assert caught.value.code == "ambiguous-names"
    assert os.listdir(tmp_path) == []


def test_meta_that_json_cannot_tell_leaves_nothing(tmp_path):
    with pytest.raises(TypeError, match="JSON"):
        write(tmp_path / "tree", {"a": np.ones(2)}, {"seen": {1, 2}})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda tree: tree | {"w": jnp.ones((3, 2))}, "w (float32[2, 3] saved, float32[3, 2] wanted)"),
        (
            lambda tree: tree | {"w": jnp.ones((2, 3), jnp.int32)},
            "w (float32[2, 3] saved, int32[2, 3] wanted)",
        ),
        (lambda tree: tree | {"w": None}, "w (float32[2, 3] saved, None wanted)"),
        (lambda tree: tree | {"w": {}}, "w (float32[2, 3] saved, an empty dictionary wanted)"),
        (lambda tree: {"w": tree["w"]}, "pair/mean (float32[] saved, nothing wanted)"),
        (lambda tree: tree | {"extra": {"x": jnp.ones(1)}}, "extra/x (nothing saved, float32[1] wanted)"),
        (lambda tree: tree | {"key": jnp.zeros(2, jnp.uint32)}, "key (key<fry>[] saved, uint32[2] wanted)"),
        (lambda tree: tree["w"], "the tree itself (nothing saved, float32[2, 3] wanted)"),
    ],
)
def test_wrong_like_is_refused_by_name(tmp_path, change, named):
    tree = {"w": jnp.ones((2, 3)), "pair": Pair(jnp.float32(1), None), "key": jax.random.key(0)}
    write(tmp_path / "tree", tree, {})
    with pytest.raises(InputError) as caught:
        read(tmp_path / "tree", change(tree))
    assert caught.value.code == "wrong-structure"
    assert named in str(caught.value)


# Orbax opens it without jbc.


def opened(folder: Path) -> dict:
    with orbax.checkpoint.StandardCheckpointer() as alone:
        return alone.restore(folder / "arrays")


def test_orbax_alone_opens_a_training_checkpoint(tmp_path):
    tree = player()
    save_step(tmp_path, 10, tree, {})
    found = opened(tmp_path / "step_00000010")
    state, statistics = found["state"], found["statistics"]
    assert bits(state["step"]) == bits(tree.state.step)
    assert state["params"].keys() == tree.state.params.keys()
    assert_same(state["params"]["dense"], tree.state.params["dense"])
    assert_same(state["opt_state"][0], tree.state.opt_state[0]._asdict())
    assert statistics.keys() == tree.statistics.keys()
    for name in ("mask", "weak", "half", "list", "a/b"):
        assert_same(statistics[name], tree.statistics[name])
    assert_same(statistics["key"], jax.random.key_data(tree.statistics["key"]))
    assert_same(statistics["pair"], tree.statistics["pair"]._asdict())
    assert statistics["nothing"] == {}
    assert statistics["empty"] is None  # an array of no elements


def test_orbax_alone_opens_a_saved_model(tmp_path):
    x, domain = np.random.default_rng(0).normal(size=(40, 3)), np.repeat(["d1", "d2"], 20)
    model = jbc.Corrector(jbc.Standardise()).fit(x, domain=domain)
    found = opened(model.save(tmp_path / "model"))
    assert_same(found["fitted"], model.model_.fitted)
    assert_same(found["support"], model.model_.support._asdict())
    assert found["controls"].keys() == model.model_.controls._asdict().keys()


# Whatever is damaged is named.


def mutate(folder: Path, other: Path, number: int) -> list[str]:
    """Damage the folder in one way that `number` determines, and return the names of what was damaged."""
    rng = np.random.default_rng(number)
    kind, files = MUTATIONS[number % len(MUTATIONS)], files_of(folder)
    assert len(files) <= FILES_AT_MOST  # so that every kind meets every file
    name = files[number // len(MUTATIONS) % len(files)]
    path = folder / name
    data = bytearray(path.read_bytes())
    at = int(rng.integers(max(len(data), 1)))
    if kind in ("flip", "truncate", "zero") and not data:
        data.append(0)
    elif kind == "flip":
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == "truncate":
        del data[at:]
    elif kind == "zero":
        at = int(rng.choice(np.flatnonzero(data)))
        data[at : at + 64] = bytes(len(data[at : at + 64]))
    elif kind == "delete":
        path.unlink()
        return [name]
    elif kind == "swap":
        partner = str(rng.choice([one for one in files if (folder / one).read_bytes() != data]))
        path.write_bytes((folder / partner).read_bytes())
        (folder / partner).write_bytes(data)
        return [name, partner]
    elif kind == "add":
        extra = path.with_name(f"extra-{number}")
        extra.write_bytes(data)
        return [extra.relative_to(folder).as_posix()]
    elif kind == "manifest":
        which = [("MANIFEST.json",), ("MANIFEST.sha256",), ("MANIFEST.json", "MANIFEST.sha256")][
            rng.integers(3)
        ]
        for one in which:
            shutil.copy(other / one, folder / one)
        return list(which) if len(which) == 1 else ["leaves.json", "arrays/"]
    assert data != path.read_bytes()
    path.write_bytes(data)
    return [name]


@pytest.mark.parametrize("number", range(len(MUTATIONS) * FILES_AT_MOST))
def test_every_damage_is_found_and_named(sealed, copy, number):
    names = mutate(copy, sealed / "two", number)
    with pytest.raises(InputError) as caught:
        read(copy, player())
    assert caught.value.code == "corrupt-checkpoint"
    assert any(name in str(caught.value) for name in names)


def test_the_sums_are_what_sha256_says(copy):
    listed = json.loads((copy / "MANIFEST.json").read_text())
    assert set(listed["files"]) | {"MANIFEST.json", "MANIFEST.sha256"} == set(files_of(copy))
    for name, entry in listed["files"].items():
        data = (copy / name).read_bytes()
        assert entry == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    digest = hashlib.sha256((copy / "MANIFEST.json").read_bytes()).hexdigest()
    assert (copy / "MANIFEST.sha256").read_text() == f"{digest}  MANIFEST.json\n"
    assert listed["versions"]["jax"] == jax.__version__
    assert listed["meta"] == {"seed": 1}


def test_the_message_shows_both_sums(copy):
    path = copy / "leaves.json"
    before = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    path.write_bytes(path.read_bytes().replace(b"kernel", b"colonel"))
    after = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    with pytest.raises(InputError, match=rf"leaves\.json \(.*{before} expected, .*{after} found\)"):
        read(copy)


@pytest.mark.parametrize(
    "make", [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo], ids=["link", "pipe"]
)
@pytest.mark.parametrize("instead", [True, False])
def test_links_and_pipes_are_refused(copy, make, instead):
    path = copy / ("leaves.json" if instead else "extra")
    path.unlink(missing_ok=True)
    make(path)
    with pytest.raises(InputError, match="not a plain file") as caught:
        read(copy)
    assert caught.value.code == "corrupt-checkpoint"


def test_a_linked_folder_is_refused(copy, tmp_path):
    shutil.move(copy / "arrays", tmp_path / "elsewhere")
    (copy / "arrays").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"arrays \(not a plain file"):
        read(copy)


def test_a_missing_folder_is_said_to_be_missing(tmp_path):
    with pytest.raises(InputError) as caught:
        read(tmp_path / "none")
    assert caught.value.code == "no-checkpoint"


def stamp(folder: Path, content: bytes) -> None:
    """Put a manifest into the folder, with the right sum beside it."""
    (folder / "MANIFEST.json").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    (folder / "MANIFEST.sha256").write_text(f"{digest}  MANIFEST.json\n")


def test_a_newer_schema_is_refused(copy):
    content = json.loads((copy / "MANIFEST.json").read_text())
    stamp(copy, json.dumps(content | {"schema": content["schema"] + 1, "files": "told otherwise"}).encode())
    with pytest.raises(InputError, match="newer jbc, in schema 2") as caught:
        read(copy)
    assert caught.value.code == "newer-schema"


# Hostile folders with right sums: an error or the numbers, and nothing is run.


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self):
        return Path.touch, (Path(self.marker),)


def test_pickles_are_never_run(sealed, tmp_path):
    marker = tmp_path / "exploded"
    np.save(tmp_path / "bomb.npy", np.array([Bomb(marker)], object), allow_pickle=True)
    loads = [pickle.dumps(Bomb(marker)), (tmp_path / "bomb.npy").read_bytes()]
    pickle.loads(loads[0])
    assert marker.exists()  # the bomb works where something unpickles it
    marker.unlink()
    survived = number = 0
    for number, name in enumerate(files_of(sealed / "one")):
        folder = shutil.copytree(sealed / "one", tmp_path / f"hostile-{number}")
        (folder / name).write_bytes(loads[number % 2])
        write_manifest(folder, {})
        with contextlib.suppress(InputError):
            read(folder, player())
            survived += 1
        assert not marker.exists()
    assert survived < number


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04.",
        b"[]",
        b"{}",
        b'{"schema": "1", "meta": {}, "files": {}}',
        b'{"schema": 1, "meta": {}, "files": []}',
        b'{"schema": 1, "meta": 3, "files": {}}',
        b'{"schema": 1, "meta": {}, "files": {"a": {"size": null, "sha256": ""}}}',
        b'{"schema": 1, "meta": {}, "files": {"a": {"size": 1e999, "sha256": ""}}}',
        b'{"schema": 1, "meta": [], "files": {}}',
        b'{"schema": 1, "meta": [["kind", "model"]], "files": {}}',
        b'{"schema": NaN, "meta": {}, "files": {}}',
        b'{"schema": 1, "meta": {}, "files": {"../../etc/passwd": {"size": 1, "sha256": ""}}}',
        b"[" * 100_000,
    ],
    ids=lambda content: content[:60].decode("latin-1"),
)
def test_malformed_manifests_are_refused(tmp_path, content):
    stamp(tmp_path, content)
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert caught.value.code == "corrupt-checkpoint"


def record(**changes: Any) -> dict:
    return {"path": ["w"], "dtype": "float32", "shape": [2, 3]} | changes


@pytest.mark.parametrize(
    "records",
    [
        [],
        {},
        3,
        ["w"],
        [{}],
        [record(), record()],
        [record(path="w"), record(path=["w", "x"], dtype="none")],
        [record(path=[]), record(path=["w"], dtype="none")],
        [record(path=[1])],
        [record(path=[["w"]])],
        [record(path=None)],
        [record(shape=[2, 4])],
        [record(shape=[2, 2])],
        [record(shape=[-2, -3])],
        [record(shape=[-1])],
        [record(shape=[6.0])],
        [record(shape=6)],
        [record(shape=None)],
        [record(dtype="float64")],
        [record(dtype="object")],
        [record(dtype="gone")],
        [record(dtype=None)],
        [record(dtype="none")],
        [record(dtype="uint32", key="gone")],
        [record(dtype=["none"])],
        [record(), record(path=["x"])],
        [record(), record(path=["x"], shape=[0, -1])],
        [record(), record(path=["x"], shape=[0], dtype="object")],
        [record(), record(path=["x"], shape=[0], key="fry")],
    ],
    ids=str,
)
def test_forged_descriptions_of_the_arrays_are_refused(tmp_path, records):
    write(tmp_path / "model", {"w": np.ones((2, 3), np.float32)}, {})
    (tmp_path / "model" / "leaves.json").write_text(json.dumps(records))
    write_manifest(tmp_path / "model", {})
    for like in (None, {"w": np.ones((2, 3), np.float32)}):
        with pytest.raises(InputError, match="model") as caught:
            read(tmp_path / "model", like)
        assert caught.value.code == "unreadable-checkpoint"


def test_arrays_that_are_gone_are_refused_though_the_sums_are_right(copy):
    shutil.rmtree(copy / "arrays")
    write_manifest(copy, {})
    with pytest.raises(InputError) as caught:
        read(copy)
    assert caught.value.code == "unreadable-checkpoint"


# Folders are whole at every moment.


def test_what_exists_is_not_lost(tmp_path):
    write(tmp_path / "model", {"a": np.zeros(2)}, {})
    with pytest.raises(InputError) as caught:
        write(tmp_path / "model", {"a": np.ones(2)}, {})
    assert caught.value.code == "exists"
    assert read(tmp_path / "model")[0]["a"].tolist() == [0, 0]
    write(tmp_path / "model", {"a": np.ones(2)}, {}, overwrite=True)
    assert read(tmp_path / "model")[0]["a"].tolist() == [1, 1]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").touch()
    with pytest.raises(InputError) as caught:
        write(tmp_path / "thesis", {"a": np.ones(2)}, {}, overwrite=True)
    assert caught.value.code == "exists"
    (tmp_path / "new").mkdir()
    write(tmp_path / "new", {"a": np.ones(2)}, {})
    assert sorted(os.listdir(tmp_path)) == ["model", "new", "thesis"]


def test_relative_paths_and_links_to_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("models/one")
    for value in (1, 2):
        write("link", {"a": np.full(2, value)}, {}, overwrite=True)
        assert read("models/one")[0]["a"].tolist() == read("link")[0]["a"].tolist() == [value, value]
    assert os.listdir("models") == ["one"]


class Killed(BaseException):
    """Stands for SIGKILL: from here on the process changes nothing more on the disk."""


def dying(monkeypatch, moment: int, failure: BaseException) -> list[str]:
    """Let the given call out of all that change the disk fail; if killed, every later one as well."""
    calls: list[str] = []
    places = [(os, "rename"), (os, "replace"), (os, "mkdir"), (os, "fsync"), (shutil, "rmtree")]
    for module, name in places:
        original = getattr(module, name)

        def changed(*args, name=name, original=original, **options):
            calls.append(name)
            fails = len(calls) > moment if isinstance(failure, Killed) else len(calls) == moment + 1
            if fails and name != "rmtree":
                raise failure
            return None if fails else original(*args, **options)

        monkeypatch.setattr(module, name, changed)
    return calls


def overwrite_calls(tmp_path, monkeypatch) -> list[str]:
    write(tmp_path / "clean", {"a": np.zeros(2)}, {})
    with monkeypatch.context() as patch:
        calls = dying(patch, 10**6, Killed())
        write(tmp_path / "clean", {"a": np.ones(2)}, {}, overwrite=True)
    shutil.rmtree(tmp_path / "clean")
    return calls


@pytest.mark.parametrize("failure", [Killed(), OSError(28, "No space left on device")], ids=["kill", "error"])
@pytest.mark.slow
def test_old_or_new_whenever_an_overwrite_dies(tmp_path, monkeypatch, failure):
    calls = overwrite_calls(tmp_path, monkeypatch)
    renames = [number for number, name in enumerate(calls) if name == "rename"]
    # Around the renames every moment counts; of the many equal ones before, some do.
    moments = sorted({0, 1, 2, 5, *range(renames[-2] - 2, len(calls))})
    seen = set()
    folder = tmp_path / "models" / "one"
    for value, moment in enumerate(moments):
        write(folder, {"a": np.full(2, value)}, {}, overwrite=True)
        with monkeypatch.context() as patch:
            dying(patch, moment, failure)
            with contextlib.suppress(Killed, InputError):
                write(folder, {"a": np.full(2, value + 1000)}, {}, overwrite=True)
        found = read(folder)[0]["a"].tolist()
        assert found in ([value] * 2, [value + 1000] * 2)
        seen.add("old" if found[0] < 1000 else "new")
        if not folder.exists():
            seen.add("aside")
        elif isinstance(failure, OSError) and found[0] < 1000:
            assert os.listdir(folder.parent) == ["one"]
    write(folder, {"a": np.zeros(2)}, {}, overwrite=True)
    assert os.listdir(folder.parent) == ["one"]
    assert {"old", "new"} <= seen
    assert ("aside" in seen) == isinstance(failure, Killed)


@pytest.mark.slow
def test_readers_find_old_or_new_while_it_is_replaced(tmp_path):
    folder = tmp_path / "model"
    write(folder, {"a": np.zeros(100)}, {"value": 0})

    def replace() -> None:
        for value in range(1, 21):
            write(folder, {"a": np.full(100, float(value))}, {"value": value}, overwrite=True)

    writer = threading.Thread(target=replace)
    writer.start()
    values = []
    while writer.is_alive():
        tree, meta = read(folder)
        assert set(tree["a"]) == {meta["value"]}
        values.append(meta["value"])
    writer.join()
    assert values == sorted(values)
    assert len(set(values)) > 2


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from jbc.errors import InputError
from jbc.train.checkpoint import read, write
assert not any(name.startswith("orbax") for name in sys.modules)
folder = Path(sys.argv[1]) / "model"
rng = np.random.default_rng(0)
tree = {"a": rng.normal(size=50_000)} | {f"b{i}": rng.normal(size=500) for i in range(60)}
write(folder, tree, {"kept": True})
codes = []
for limit in (0, 100, 300, 3_000, 100_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write(folder, tree, {"kept": False}, overwrite=True)
    except InputError as error:
        codes.append((error.code, "File too large" in str(error)))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(codes, read(folder)[1], [path.name for path in folder.parent.iterdir()])
"""


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_and_nothing_else(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(Path(checkpoint.__file__).parents[2]), "JAX_PLATFORMS": "cpu"},
    )
    assert done.stdout.strip() == f"{[('unwritable', True)] * 5} {{'kept': True}} ['model']", done.stderr
    assert "Traceback" not in done.stderr


# Several processes; tests/cli/test_launch.py starts some.


def test_another_process_than_the_first_does_not_write_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "is_first", lambda: False)
    with pytest.raises(InputError) as caught:
        write(tmp_path / "model", {"a": np.ones(2)}, {})
    assert caught.value.code == "not-first"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("rank", [0, 1])
def test_all_processes_fail_with_the_first(monkeypatch, rank):
    """Rank 0 tells its error before it is raised, rank 1 hears of it."""
    told = json.dumps(["no room.", None]).encode()
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(processes, "is_first", lambda: rank == 0)
    monkeypatch.setattr(processes, "all_max", lambda number: len(told))
    monkeypatch.setattr(
        processes, "_gathered", lambda value: np.stack([np.frombuffer(told, np.uint8), value])
    )

    def action() -> None:
        raise OSError("no room.")

    with pytest.raises(OSError if rank == 0 else InputError, match="no room") as caught:
        processes.in_first(action)
    assert getattr(caught.value, "code", None) == (None if rank == 0 else "failed-first")


# Runs.


def state(step: int) -> dict:
    return {"w": jnp.full(3, step, jnp.float32), "step": jnp.int32(step)}


def test_a_run_keeps_the_newest_steps(tmp_path):
    run = tmp_path / "run"
    assert latest(run) is None
    for step in (10, 20, 30):
        save_step(run, step, state(step), {"step": step})
        assert latest(run) == step
    assert sorted(os.listdir(run)) == ["step_00000020", "step_00000030"]
    tree, meta = read_step(run, 30, state(0))
    assert_same(tree, state(30))
    assert meta == {"step": 30}
    save_step(run, 30, state(31), {}, keep=1)
    assert os.listdir(run) == ["step_00000030"]
    assert_same(read_step(run, 30, state(0))[0], state(31))
    save_step(run, 25, state(25), {}, keep=1)
    assert sorted(os.listdir(run)) == ["step_00000025", "step_00000030"]


def test_leftovers_of_killed_saves_are_ignored_and_cleared(tmp_path):
    for step in (5, 10):
        save_step(tmp_path, step, state(step), {})
    shutil.copytree(tmp_path / "step_00000010", tmp_path / "step_00000020.tmp-0123abcd")
    (tmp_path / "step_00000030.tmp-00000000").mkdir()
    (tmp_path / "step_00000040.tmp-notes").mkdir()
    (tmp_path / "step_00000005").rename(tmp_path / "step_00000005.tmp-replaced")
    assert latest(tmp_path) == 10
    assert_same(read_step(tmp_path, 5, state(0))[0], state(5))
    save_step(tmp_path, 50, state(50), {}, keep=3)
    left = ["step_00000005", "step_00000010", "step_00000040.tmp-notes", "step_00000050"]
    assert sorted(os.listdir(tmp_path)) == left


@pytest.mark.parametrize("victim", ["MANIFEST.json", "MANIFEST.sha256", "leaves.json"])
def test_a_damaged_newest_step_is_never_passed_over(tmp_path, victim):
    for step in (10, 20):
        save_step(tmp_path, step, state(step), {})
    (tmp_path / "step_00000020" / victim).unlink()
    assert latest(tmp_path) == 20
    with pytest.raises(InputError, match="step_00000020") as caught:
        read_step(tmp_path, 20, state(0))
    assert victim in str(caught.value)
    assert "delete it to go on from the step before" in str(caught.value)
    shutil.rmtree(tmp_path / "step_00000020")
    assert latest(tmp_path) == 10
    assert_same(read_step(tmp_path, 10, state(0))[0], state(10))


def test_a_renamed_step_is_not_believed(tmp_path):
    for step in (200, 400):
        save_step(tmp_path, step, state(step), {})
    (tmp_path / "step_00000400").rename(tmp_path / "step_00000800")
    assert latest(tmp_path) == 800
    with pytest.raises(InputError, match="step 800 holds step 400") as caught:
        read_step(tmp_path, 800, state(0))
    assert caught.value.code == "wrong-step"
    assert "step_00000800" in str(caught.value)
    assert_same(read_step(tmp_path, 200, state(0))[0], state(200))


@pytest.mark.parametrize("meta", [{}, {"step": "200"}, {"step": None}, {"step": [200]}, {"step": 201}])
def test_a_step_that_is_not_sealed_as_one_is_not_believed(tmp_path, meta):
    write(tmp_path / "step_00000200", state(200), meta)
    with pytest.raises(InputError) as caught:
        read_step(tmp_path, 200)
    assert caught.value.code == "wrong-step"


def test_old_steps_go_only_when_the_new_one_is_whole(tmp_path, monkeypatch):
    for step in (10, 20):
        save_step(tmp_path, step, state(step), {})
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", lambda *paths: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(InputError, match="Input/output error"):
            save_step(tmp_path, 30, state(30), {}, keep=1)
    assert sorted(os.listdir(tmp_path)) == ["step_00000010", "step_00000020"]
