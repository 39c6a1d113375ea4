"""Sources and targets by name: roles, refusals, and what they are to lanes and to the command line."""

from __future__ import annotations

import json

import jax
import numpy as np
import pandas as pd
import pytest
from problems import assert_close, cohort, refusal, world

import jbc
from jbc.cli.main import main
from jbc.cohort import Cohort
from jbc.cohort.roles import EXTRAPOLATE, SOURCE, STAYS, TARGET, assign_roles
from jbc.methods.mmd_resnet import MMDResNet
from jbc.methods.settings import Route, Training
from jbc.train import fit, fit_lanes

TINY = MMDResNet(blocks=1, width=2, training=Training(rows=8))


def four() -> Cohort:
    domain = list("aabbbccd")
    return Cohort.from_arrays(np.arange(8.0)[:, None], domain)


def test_roles():
    assert assign_roles(four()).role.tolist() == [SOURCE, TARGET, SOURCE, SOURCE]
    assert assign_roles(four(), target="d").role.tolist() == [SOURCE, SOURCE, SOURCE, TARGET]
    named = assign_roles(four(), target="a", source=["c"], extrapolate=["d"])
    assert named.role.tolist() == [TARGET, STAYS, SOURCE, EXTRAPOLATE]
    # The largest domain is a source here, so the largest of the others is the target.
    assert assign_roles(four(), source=["b"]).role.tolist() == [TARGET, SOURCE, STAYS, STAYS]
    assert assign_roles(four().without_names()).role.tolist() == assign_roles(four()).role.tolist()
    assert four().role is None


def test_roles_are_data():
    """Another direction is no other program."""
    one, other = (assign_roles(four(), target=name).without_names() for name in "ab")
    assert jax.tree.structure(one) == jax.tree.structure(other)


@pytest.mark.parametrize(
    ("names", "code", "told"),
    [
        ({"target": "e"}, "unknown-domain", "'e'"),
        ({"source": ["a", "aa"]}, "unknown-domain", "did you mean 'a'"),
        ({"target": "a", "source": ["b", "a"]}, "two-roles", "'a'"),
        ({"source": ["b", "b"]}, "two-roles", "'b'"),
        ({"target": "a", "extrapolate": ["b", "c", "d"]}, "no-source", "'b'"),
    ],
    ids=str,
)
def test_names_that_make_no_direction_are_refused(names, code, told):
    with refusal(code) as caught:
        assign_roles(four(), **names)
    assert told in str(caught.value)


def test_nothing_is_left_to_move():
    with refusal("no-source"):
        assign_roles(Cohort.from_arrays([[1.0], [2.0]]))
    with refusal("no-source"):
        assign_roles(four(), source=["a", "b", "c", "d"])


def test_a_fit_refuses_names_before_anything_is_computed():
    drawn, model = world(), jbc.Corrector(MMDResNet(route=Route(target="domain 9")))
    with refusal("unknown-domain"):
        model.fit(drawn.x, domain=drawn.domain)
    with refusal("bad-setting") as caught:
        jbc.Corrector(MMDResNet(route=Route(target=3))).fit(drawn.x, domain=drawn.domain)
    assert "target=3 is not a string" in str(caught.value)
    with refusal("bad-setting") as caught:
        jbc.Corrector(MMDResNet(route=Route(source="domain 1"))).fit(drawn.x, domain=drawn.domain)
    assert "is not a tuple of strings" in str(caught.value)


@pytest.mark.slow
def test_tasks_with_a_direction_are_lanes():
    method, keys = (
        MMDResNet(blocks=1, width=2, route=Route(target="domain 2"), training=Training(rows=8)),
        jax.random.split(jax.random.key(0), 2),
    )
    tasks = [cohort().mask_labels(name) for name in ("domain 1", "domain 2")]
    lanes = fit_lanes(method, tasks, keys, steps=4, chunk=4)
    assert lanes.fitted["role"].tolist() == [[1, 2, 1]] * 2
    alone = fit(method, tasks[1], keys[1], steps=4, chunk=4)
    assert_close(jax.tree.map(lambda leaf: leaf[1], lanes.fitted), alone.fitted, rtol=3e-4, floor=0.1)


@pytest.mark.slow
def test_names_come_from_the_command_line(tmp_path):
    drawn = world()
    frame = pd.DataFrame(drawn.x, columns=list(drawn.features)).assign(day=drawn.domain)
    data, out = tmp_path / "table.csv", tmp_path / "run"
    frame.to_csv(data, index=False)
    fixed = ["fit", "--data", str(data), "--batch-key", "day", "--steps", "2"]
    given = ["--target", "domain 2", "--source", "domain 1", "--blocks", "1", "--width", "2", "--rows", "8"]
    assert main([*fixed, "--out", str(out), "mmd-resnet", *given]) == 0
    fields = json.loads((out / "run.json").read_text())["method"]["fields"]
    assert (fields["route"]["target"], fields["route"]["source"]) == ("domain 2", ["domain 1"])
    model = jbc.load(out / "model")
    moved = (model.transform(frame[list(drawn.features)], domain=drawn.domain) != drawn.x).any(axis=1)
    assert set(drawn.domain[moved]) == {"domain 1"}
    assert main([*fixed, "--out", str(tmp_path / "no"), "mmd-resnet", "--target", "domain 9"]) == 2
    assert not (tmp_path / "no").exists()
