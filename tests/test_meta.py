"""Descriptions of saved models that were changed and sealed again: refused by name, or loaded and still right."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_inputs import resealed

import jbc
from jbc.cli.main import main
from jbc.data import cache
from jbc.errors import InputError
from jbc.methods.base import Classifies
from jbc.methods.settings import Training
from jbc.model.adaptation import Adaptation, Controls, Expected
from jbc.model.gaps import Gaps
from jbc.model.saved import ARRAYS, RULES
from jbc.model.support import Support
from jbc.train import checkpoint

DOMAINS, FEATURES, GONE = ("d1", "d2", "d3", "d4"), ("a", "b", "c", "d", "e"), object()
ROWS = 48
# Values of every type that JSON knows, and what numbers should not be.
VALUES = (
    GONE,
    None,
    "nonsense",
    "",
    True,
    -1,
    7,
    1.5,
    float("nan"),
    10**400,
    [],
    [None],
    [[]],
    {},
    {"a": None},
)


def measured(seed: int = 0, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    domain = np.resize(DOMAINS[:3], rows)
    x = rng.normal(size=(rows, len(FEATURES))) + np.unique(domain, return_inverse=True)[1][:, None]
    return x.astype(np.float32), domain, np.where(np.arange(rows) % 6 < 3, "A", "B")


def adapted() -> jbc.Corrector:
    """A model in closed form that has taken in one more domain by its controls."""
    x, domain, _ = measured(rows=240)
    model = jbc.Corrector(jbc.Standardise(on="controls"), random_state=0)
    model.fit(3 * x, domain=domain, control=np.full(len(x), True))
    return model.adapt(3 * x[:80] + 30, domain=["d4"] * 80)


def trained() -> jbc.Corrector:
    x, domain, label = measured()
    method = jbc.JointCalibration(training=Training(rows=4))
    return jbc.Corrector(method, steps=2, random_state=0).fit(x, label, domain=domain)


MODELS = {"standardise": adapted, "joint-calibration": trained}


class Saved:
    """What is in the folder of a model, and what the model gives."""

    def __init__(self, folder: Path, model: jbc.Corrector):
        self.folder, self.model = folder, model
        self.tree, self.meta = checkpoint.read(folder)

    def answers(self, model: jbc.Corrector) -> list[np.ndarray]:
        x, _, _ = measured(1)
        domain = np.resize(model.domains_, ROWS)
        found = [model.transform(x, domain=domain), model.out_of_support(x, domain=domain)]
        return [*found, model.predict_proba(x, domain=domain)] if hasattr(model, "predict_proba") else found

    def refused(self, monkeypatch, tree: Any, meta: Any, where: str, named: str = "") -> bool:
        """Load what is changed; tell whether it is refused, by name, or check that it is right nevertheless."""
        monkeypatch.setattr(checkpoint, "read", lambda folder: (tree, meta))
        model = loaded(self.folder)
        if isinstance(model, InputError):
            assert str(self.folder) in str(model), f"{where}: {model}"
            assert model.code in ("damaged-model", "not-a-model", *SETTINGS), f"{where}: {model}"
            assert named in str(model), f"{where}: {model}"
            return True
        assert (model.domains_, model.model_.names.features) == (
            self.model.domains_,
            self.model.model_.names.features,
        ), where
        if isinstance(model.resolved, Classifies):
            assert model.classes_.tolist() == self.model.classes_.tolist(), where
        assert all((json.dumps(model.history_), model.get_params(), repr(model)))
        for one, other in zip(self.answers(model), self.answers(self.model), strict=True):
            # Not the same bits: an array with one axis more may be added in another order.
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, err_msg=where)
        return False


def loaded(folder: Path) -> jbc.Corrector | InputError:
    try:
        return jbc.Corrector.load(folder)
    except InputError as error:
        return error


SETTINGS = ("not-a-method", "unknown-method", "unknown-setting", "missing-setting", "bad-setting")


@pytest.fixture(scope="module", params=MODELS)
def saved(request, tmp_path_factory) -> Saved:
    model = MODELS[request.param]()
    return Saved(model.save(tmp_path_factory.mktemp("models") / request.param), model)


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Yield the path of every part of a description; of long lists, only that of the first and the last."""
    if path:
        yield path
    if isinstance(value, dict):
        for name in value:
            yield from places(value[name], (*path, name))
    elif isinstance(value, list) and value:
        for index in sorted({0, len(value) - 1}):
            yield from places(value[index], (*path, index))


def changed(whole: Any, path: tuple, value: Any) -> Any:
    """Return a copy in which a part has another value, or is gone."""
    whole = copy.deepcopy(whole)
    inner = whole
    for key in path[:-1]:
        inner = inner[key]
    if value is GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return whole


def path_text(path: tuple) -> str:
    return "/".join(map(str, path))


@pytest.mark.slow
def test_a_model_comes_back_as_it_was(saved):
    model = jbc.Corrector.load(saved.folder)
    for one, other in zip(saved.answers(model), saved.answers(saved.model), strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.adapted_ == saved.model.adapted_


def test_everything_that_is_saved_has_a_rule(saved):
    assert set(saved.meta) == {"kind", *RULES}
    kept = {
        f"{name}/{field}"
        for name, group in saved.tree.items()
        if name not in ("fitted", "offset")
        for field in group
    }
    assert {*kept, "offset"} == set(ARRAYS)
    fields = {f"controls/{name}" for name in Controls._fields} | {
        f"support/{name}" for name in Support._fields
    }
    fields |= {"composition/shares", "composition/moves"} | {f"gaps/{name}" for name in Gaps._fields}
    assert fields == kept


@pytest.mark.slow
def test_every_part_of_the_description_may_be_of_any_other_type(saved, monkeypatch):
    refused = total = 0
    for path in places(saved.meta):
        part = saved.meta
        for key in path:
            part = part[key]
        for value in VALUES:
            if type(value) is type(part):
                continue  # of the right type, another value is another model
            meta = changed(saved.meta, path, value)
            named = path[0] if path[0] not in ("kind", "method") else ""
            refused += saved.refused(monkeypatch, saved.tree, meta, path_text(path), named)
            total += 1
    assert total > 300
    assert refused > 0.8 * total


@pytest.mark.slow
def test_every_list_of_the_description_may_be_longer_or_shorter(saved, monkeypatch):
    for path in places(saved.meta):
        part = saved.meta
        for key in path:
            part = part[key]
        if isinstance(part, list) and path[0] != "history":
            for value in (part[:-1], part[1:], [*part, *part[-1:]], [*part, "more"], [*part, 3], part * 2):
                if value != part:
                    meta = changed(saved.meta, path, value)
                    saved.refused(monkeypatch, saved.tree, meta, path_text(path))


@pytest.mark.parametrize("names", ["domains", "features", "classes"])
@pytest.mark.parametrize("change", [lambda names: names[:-1], lambda names: [*names, "more"]])
def test_names_that_are_fewer_or_more_than_the_arrays_are_refused(saved, monkeypatch, names, change):
    if not saved.meta[names]:
        pytest.skip("this model has no classes")
    meta = saved.meta | {names: change(saved.meta[names]), "adapted": {}}
    assert saved.refused(monkeypatch, saved.tree, meta, "")


@pytest.mark.slow
def test_every_array_may_be_missing_or_of_another_kind(saved, monkeypatch):
    total = 0
    for path in places(saved.tree):
        part = saved.tree
        for key in path:
            part = part[key]
        values: list[Any] = [GONE, None, {}, {"deeper": np.zeros(3)}]
        if isinstance(part, np.ndarray):
            values.append(np.zeros((0, *part.shape)))
            if path[0] != "fitted":  # there, one axis more may be the right numbers in another form
                values += [part[None], part.astype(bool)]
            # An axis of features that is too short or too long; of some others, no name tells the length.
            for axis in np.flatnonzero(np.array(part.shape) == len(FEATURES)):
                values += [np.delete(part, 0, axis), np.insert(part, 0, 1, axis)]
        if path == ("fitted", "reconstructors"):
            values.remove(GONE)  # without labels, a model has none: nothing tells that one is missing
        for value in values:
            if value is not part:
                tree = changed(saved.tree, path, value)
                saved.refused(monkeypatch, tree, saved.meta, path_text(path), path[0])
                total += 1
    assert total > 40


@pytest.mark.parametrize(
    "tree", [None, {}, np.zeros(3), {"fitted": None}, {"fitted": np.zeros(3)}, {"fitted": {}}]
)
def test_other_trees_are_refused(saved, monkeypatch, tree):
    assert saved.refused(monkeypatch, tree, saved.meta, "tree", "is not there")


@pytest.mark.parametrize("code", [-1, 4, 10**9])
def test_controls_of_domains_that_are_not_there_are_refused(saved, monkeypatch, code):
    tree = copy.deepcopy(saved.tree)
    tree["controls"] = {"x": np.zeros((1, 5), np.float32), "domain": np.array([code], np.int32)}
    assert saved.refused(monkeypatch, tree, saved.meta, "controls/domain")


@pytest.mark.parametrize("extra", ["keeps_units", "predict", "check", "__class__", ""])
def test_settings_are_fields_and_nothing_else(saved, monkeypatch, extra):
    meta = copy.deepcopy(saved.meta)
    meta["method"]["fields"][extra] = True
    assert saved.refused(monkeypatch, saved.tree, meta, "method")


def test_the_rules_of_adaptations_name_their_fields():
    told = Adaptation(8, 4, 1.0, 0.5, 0.4, 0.6, (Expected(4, 1.0, 0.5, 0.4, 0.6),)).to_json()
    assert RULES["adapted"].holds({"d4": json.loads(json.dumps(told))})


# The same through the folder and the command line.


@pytest.fixture
def forged(saved, tmp_path, monkeypatch) -> Path:
    """A folder with a model in closed form that may be forged, and a table."""
    if saved.folder.name != "standardise":
        pytest.skip("one model is enough")
    monkeypatch.setattr(cache, "keep_compiled", lambda: None)
    shutil.copytree(saved.folder, tmp_path / "model")
    (tmp_path / "a.csv").write_text("plate,a,b,c,d,e\nd1,1,2,3,4,5\n")
    return tmp_path


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"features": None}, "features is None"),
        ({"domains": ["d1"]}, "adapted tells of ['d4']"),
        (
            {"domains": ["d1", "d4"]},
            "support/centres has shape (4, 5), where 2 domains and 5 features need (2, 5)",
        ),
        ({"method": "standardise"}, "method is 'standardise'"),
        ({"method": {"name": "combat-seq", "fields": {}}}, "'combat-seq'"),
        ({"method": {"name": "standardise", "fields": {}}}, "'scale', 'on'"),
        ({"steps": "many"}, "steps is 'many'"),
        ({"notes": []}, "notes is []"),
        ({"notes": {"columns": "plate"}}, "columns: 'plate'"),
        ({"notes": {"columns": {"batch": 3}}}, "columns: {'batch': 3}"),
        ({"notes": {"arcsinh": "5"}}, "arcsinh: '5'"),
        ({"notes": {"arcsinh": -5}}, "arcsinh: -5"),
        ({"notes": {"control": 5}}, "control: 5"),
    ],
)
def test_commands_tell_of_forged_models(forged, capsys, parts, named):
    resealed(lambda content: content["meta"].update(parts))(forged / "model")
    commands = ["transform"] if "notes" not in parts else ["transform", "adapt", "predict"]
    for command in commands:
        words = [command, forged / "model", "--data", forged / "a.csv", "--out", forged / "new.csv"]
        assert main([str(word) for word in words]) == 2
        said = capsys.readouterr().err
        assert said.startswith("jbc: error: ")
        assert named in said
        assert str(forged / "model") in said
        assert not (forged / "new.csv").exists()
