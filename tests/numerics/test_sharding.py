"""One axis over several devices: the same losses, each device a part of the work, nothing compiled twice."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import QUICK, Walk, assert_same_bytes, cohort, run_python

from jbc.numerics.sharding import (
    constrain_sharding,
    mesh_of,
    replicate,
    shard_axis,
    shard_like,
    with_mesh,
)
from jbc.train import fit

# Four domains of six treatments, 96 critics; without one cell it is ragged, and 89 critics are no multiple of 4.
PROGRAM = """
import json
import jax
jax.config.update("jax_num_cpu_devices", 4)
import numpy as np
from problems import no_compilation
from jbc.cohort import Cohort
from jbc.numerics.sharding import mesh_of, replicate, with_mesh
from jbc.methods.prepare import prepare
from jbc.methods.settings import AdversarialTraining
from jbc.methods.wasserstein import WassersteinAlignment
from jbc.train import Stopping, fit, loop

rng = np.random.default_rng(0)
domain, treatment = np.repeat(np.arange(4), 60), np.tile(np.repeat(np.arange(6), 10), 4)
x = rng.normal(size=(240, 8)) + 0.3 * domain[:, None] + 0.2 * treatment[:, None]
method = WassersteinAlignment(pretrain=10, training=AdversarialTraining(rows=8))
key, mesh = jax.random.key(0), mesh_of()
out = {}
for name, keep in {"even": domain >= 0, "ragged": (domain > 0) | (treatment < 5)}.items():
    table = Cohort.from_arrays(x[keep], domain[keep].astype(str), treatment=treatment[keep].astype(str))
    alone = fit(method, table, key, steps=40, chunk=10)
    run = fit(method, table, key, steps=40, chunk=10, mesh=mesh)
    with no_compilation():
        again = fit(method, table, key, steps=40, chunk=10, mesh=mesh)
    halfway = fit(method, table, key, steps=20, chunk=10, mesh=mesh)
    resumed = fit(method, table, key, steps=40, chunk=10, mesh=mesh,
                  resume=lambda tree: (20, {"state": jax.tree.map(np.asarray, halfway.state), "best": None}))
    stopping = Stopping(lambda fitted, _: -np.square(np.asarray(fitted["maps"]["shift"])).sum(), patience=2)
    stopped = fit(method, table, key, steps=40, chunk=10, mesh=mesh, stopping=stopping)
    flops = []
    for use, wrap in ((None, lambda f: f), (mesh, lambda f: with_mesh(mesh, f))):
        where = replicate(prepare(method, table).without_names(), use), replicate(key, use)
        state = wrap(loop._init)(method, where[1], where[0])
        lower = wrap(lambda *a: loop._chunk.lower(*a).compile())
        flops.append(lower(method, 10, where[1], state, where[0], 0, None).cost_analysis()["flops"])
    critics = run.state.critics.params["first"]["w"]
    out[name] = {
        "losses": [[row["loss"].item() for row in each.history] for each in (alone, run, again)],
        "share": flops[1] / flops[0],
        "critics": critics.addressable_shards[0].data.shape[0] / critics.shape[0],
        "maps": run.state.maps.params["matrix"].sharding.is_fully_replicated,
        "fitted": run.fitted["maps"]["matrix"].sharding.is_fully_replicated,
        "resumed": bool((np.asarray(resumed.fitted["maps"]["matrix"])
                         == np.asarray(run.fitted["maps"]["matrix"])).all()),
        "stopped": stopped.step,
    }
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def four():
    return json.loads(run_python(PROGRAM, timeout=300, **QUICK).splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["even", "ragged"])
def test_four_devices_train_as_one_does(four, name):
    alone, mesh, again = four[name]["losses"]
    np.testing.assert_allclose(mesh, alone, atol=1e-5)
    assert mesh == again
    assert four[name]["resumed"]
    assert 10 <= four[name]["stopped"] <= 40


@pytest.mark.slow
def test_every_device_does_its_part(four):
    """Floating-point operations of one device, as the compiler counts them, relative to a device alone."""
    assert four["even"]["share"] < 0.3
    assert four["ragged"]["share"] < 0.4
    assert four["even"]["critics"] == 0.25
    assert four["ragged"]["critics"] == 1.0  # stored whole, for 89 is no multiple of 4
    assert all(four[name][field] for name in four for field in ("maps", "fitted"))


def test_without_a_mesh_nothing_is_divided():
    tree = {"a": jnp.arange(3)}
    assert shard_axis(tree["a"]) is tree["a"]
    assert constrain_sharding(tree, ["a"]) is tree


@pytest.mark.slow
def test_a_method_that_spreads_nothing_trains_on_a_mesh_as_alone():
    alone, run = (
        fit(Walk(noise=0.1), cohort(), jax.random.key(3), steps=8, chunk=4, mesh=m) for m in (None, mesh_of())
    )
    assert_same_bytes(jax.tree.map(np.asarray, run.fitted), jax.tree.map(np.asarray, alone.fitted))


def test_arrays_are_put_as_others_lie():
    mesh = mesh_of()
    tree = replicate({"key": jax.random.key(7), "x": np.arange(4.0, dtype=np.float32), "none": None}, mesh)
    assert tree["x"].sharding.is_fully_replicated
    assert jax.random.key_data(tree["key"]).tolist() == jax.random.key_data(jax.random.key(7)).tolist()
    spread = with_mesh(mesh, jax.jit(lambda tree: constrain_sharding(tree, ["x"])))({"x": tree["x"]})
    again = shard_like({"x": np.full(4, 2.0, np.float32)}, spread)
    assert again["x"].sharding == spread["x"].sharding
    assert again["x"].tolist() == [2.0] * 4
