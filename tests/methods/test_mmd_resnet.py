"""MMD-ResNet: its objective against NumPy, where it begins, what it corrects, and what it leaves alone."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial.distance
from problems import OPTIMISED, assert_same_bytes, vary
from sklearn.neighbors import NearestNeighbors

from jbc.cohort import Cohort
from jbc.cohort.sampling import take
from jbc.data.simulate.plates import World, simulate_shift
from jbc.losses.mmd import median_distance, mmd2_matrix
from jbc.methods import presets
from jbc.methods.inputs import Inputs
from jbc.methods.mmd_resnet import MMDResNet, neighbour_distance
from jbc.methods.settings import Route, Training
from jbc.train import fit

KEY = jax.random.key(0)
SMALL = MMDResNet(
    blocks=2,
    width=3,
    training=Training(rows=12),
    inputs=Inputs(scale="pooled"),
    route=Route(target="domain 1"),
)


def shifted(shift: float = 1.0, n: int = 12) -> tuple[World, Cohort]:
    drawn = simulate_shift(0, n_per_domain=n, n_features=4, n_domains=3, shift=shift)
    return drawn, Cohort.from_arrays(drawn.x, drawn.domain)


def shaken(tree, spread=0.3):
    """Parameters away from their start, where every layer is at work."""
    leaves, shape = jax.tree.flatten(tree)
    keys = jax.random.split(KEY, len(leaves))
    return jax.tree.unflatten(
        shape,
        [leaf + spread * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)],
    )


def network(params, x, blocks):
    """The map in training, in NumPy: a norm by the minibatch, ReLU and a dense layer, twice a block."""

    def layer(x, number):
        norm, dense = params[f"DomainNorm_{number}"], params[f"Dense_{number}"]
        x = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5) * norm["scale"] + norm["bias"]
        return np.maximum(x, 0) @ dense["kernel"] + dense.get("bias", 0)

    for block in range(blocks):
        x = x + layer(layer(x, 2 * block), 2 * block + 1)
    return x


def discrepancy(moved, target, method):
    both = np.concatenate([moved, target])
    squared = scipy.spatial.distance.squareform(scipy.spatial.distance.pdist(both)) ** 2
    unit, m = np.sqrt(np.median(squared[np.triu_indices(len(both), 1)])), len(moved)
    gram = sum(np.exp(-squared / (2 * (b * unit) ** 2)) for b in method.kernel.bandwidths)
    pairs = m * m
    if method.kernel.unbiased:
        np.fill_diagonal(gram, 0)
        pairs = m * (m - 1)
    mmd2 = (gram[:m, :m].sum() + gram[m:, m:].sum()) / pairs - 2 * gram[:m, m:].mean()
    return np.sqrt(mmd2) if method.objective == "root" else mmd2


@pytest.mark.parametrize(
    ("objective", "unbiased"), [("squared", True), ("squared", False), ("root", False), ("root", True)]
)
@pytest.mark.slow
def test_the_objective_is_that_of_numpy(objective, unbiased):
    """What every map descends on, and which estimate of the MMD that is, are settings of their own."""
    method = vary(SMALL, objective=objective, unbiased=unbiased, identity=0.5, log=True)
    drawn, cohort = shifted()
    aimed = method.resolve(cohort).without_names()
    state = jax.jit(method.init)(KEY, aimed)
    state = state.replace(maps=state.maps.replace(params=shaken(state.maps.params)))
    rows = take(aimed, method.draw.plan(KEY, aimed, 0, 1)[0], method.draw)
    _, info = jax.jit(method.step, compiler_options=OPTIMISED)(KEY, state, rows)
    x = np.sign(np.asarray(rows.x)) * np.log1p(np.abs(np.asarray(rows.x, np.float64)))
    of_sources = x[1:].reshape(-1, 4)  # a minibatch is a whole domain here
    z, expected = (x - of_sources.mean(axis=0)) / of_sources.std(axis=0), []
    for g in (1, 2):
        own = jax.tree.map(lambda leaf, g=g: np.asarray(leaf[g], np.float64), state.maps.params)
        moved = network(own, z[g], method.blocks)
        pull = discrepancy(moved, z[0], method)
        expected.append(max(pull, 0) + 0.5 * np.square(moved - z[g]).mean())
    np.testing.assert_allclose(info["loss"], np.mean(expected), rtol=2e-5)
    assert drawn.x.shape == (36, 4)


@pytest.mark.slow
def test_maps_begin_as_the_identity_or_as_shift_and_scale():
    _, cohort = shifted()
    x, domain = jnp.asarray(cohort.x), jnp.asarray(cohort.domain)
    for scale in ("pooled", "domain"):
        method = vary(SMALL, scale=scale, learning_rate=1e-30)
        out = np.asarray(method.transform(fit(method, cohort, KEY, steps=1).fitted, x, domain))
        if scale == "pooled":
            np.testing.assert_allclose(out, x, atol=1e-5)
        else:
            halves = [out[np.asarray(domain) == g] for g in range(3)]
            for half in halves[1:]:
                np.testing.assert_allclose(half.mean(axis=0), halves[0].mean(axis=0), atol=1e-4)
                np.testing.assert_allclose(half.std(axis=0), halves[0].std(axis=0), rtol=1e-4)


@pytest.mark.parametrize("scale", ["pooled", "domain"])
@pytest.mark.slow
def test_a_known_shift_is_undone(scale):
    drawn, cohort = shifted(n=300)
    method = MMDResNet(
        blocks=2,
        width=16,
        identity=0.01,
        training=Training(rows=100, learning_rate=3e-3),
        inputs=Inputs(scale=scale),
        route=Route(target="domain 1", source=("domain 2",)),
    )
    fitted = fit(method, cohort, KEY, steps=400).fitted
    x, domain = jnp.asarray(cohort.x), jnp.asarray(cohort.domain)
    out = np.asarray(method.transform(fitted, x, domain))
    parts = {g: np.asarray(cohort.domain) == g for g in range(3)}
    clean = drawn.clean[np.asarray(cohort.row)]

    def apart(rows):
        both = jnp.asarray(np.stack([rows, np.asarray(x)[parts[0]]]))
        mmd2, _ = mmd2_matrix(both, (1.0,), median_distance(both[1:], 256), unbiased=True)
        return float(mmd2[0, 1])

    assert apart(np.asarray(x)[parts[1]]) > 0.1
    assert apart(out[parts[1]]) < max(apart(clean[parts[1]]), 0) + 0.004
    assert_same_bytes(out[~parts[1]], np.asarray(x)[~parts[1]])  # the target, and what is not named
    error, before = (np.square(rows - clean)[parts[1]].mean() for rows in (out, np.asarray(x)))
    assert error < 0.2 * before


@pytest.mark.slow
def test_rows_without_a_batch_effect_stay():
    _, cohort = shifted(shift=0.0, n=100)
    method = vary(SMALL, rows=50, learning_rate=3e-3)
    fitted = fit(method, cohort, KEY, steps=200).fitted
    x = jnp.asarray(cohort.x)
    out = method.transform(fitted, x, jnp.asarray(cohort.domain))
    assert np.linalg.norm(out - x) < 0.1 * np.linalg.norm(x - x.mean(axis=0))


@pytest.mark.slow
def test_a_source_is_corrected_as_if_it_were_the_only_one():
    _, cohort = shifted(n=20)
    method = vary(SMALL, scale="domain")
    x, domain = jnp.asarray(cohort.x), jnp.asarray(cohort.domain)
    outs = []
    for source in (("domain 2", "domain 3"), ("domain 2",)):
        each = vary(method, source=source)
        outs.append(np.asarray(each.transform(fit(each, cohort, KEY, steps=20).fitted, x, domain)))
    np.testing.assert_allclose(outs[0][domain == 1], outs[1][domain == 1], atol=1e-4)
    assert (outs[0][domain == 2] != outs[1][domain == 2]).any()


@pytest.mark.slow
def test_the_rate_falls_by_epochs():
    _, cohort = shifted()
    method = vary(SMALL, rows=6, decay=1e-30, decay_epochs=2)  # an epoch has two steps here
    runs = [fit(method, cohort, KEY, steps=steps, chunk=1).state.maps.params for steps in (4, 9)]
    assert_same_bytes(*runs)
    assert (jax.tree.leaves(fit(method, cohort, KEY, steps=3, chunk=1).state.maps.params)[0] !=
            jax.tree.leaves(runs[0])[0]).any()  # fmt: skip


def test_the_unit_of_neighbours_is_that_of_scikit_learn():
    """The released program asks for 25 neighbours of every row, and drops the first, which is the row itself."""
    z = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    distances, _ = NearestNeighbors(n_neighbors=25).fit(z).kneighbors(z)
    expected = np.median(distances[:, 1:25])
    np.testing.assert_allclose(neighbour_distance(jnp.asarray(z), 24), expected, rtol=1e-5)
    # Where rows coincide with their neighbours, as where every row is drawn many times, there is a scale still.
    assert float(neighbour_distance(jnp.array([[0.0], [0.0], [3.0], [3.0]]), 1)) == 3.0


@pytest.mark.slow
def test_the_unit_is_measured_once_on_rows_of_the_target():
    _, cohort = shifted(n=400)
    method = vary(SMALL, neighbours=24)
    near = method.resolve(cohort).without_names()
    unit = jax.jit(method.init)(KEY, near).unit
    x = np.asarray(near.x, np.float64)
    sources = np.asarray(near.domain) > 0
    z = ((x - x[sources].mean(axis=0)) / x[sources].std(axis=0))[~sources]
    drawn = z[np.random.default_rng(0).integers(len(z), size=1000)]
    distances, _ = NearestNeighbors(n_neighbors=25).fit(drawn).kneighbors(drawn)
    assert float(unit) == pytest.approx(np.median(distances[:, 1:]), rel=0.05)
    far = dataclasses.replace(near, x=jnp.where(sources[:, None], near.x * 3, near.x))
    assert float(jax.jit(method.init)(KEY, far).unit) < 0.6 * float(unit)  # in units of the sources
    _, one = jax.jit(method.step)(KEY, jax.jit(method.init)(KEY, near), first_rows(method, near))
    _, two = jax.jit(method.step)(
        KEY, jax.jit(vary(method, neighbours=0).init)(KEY, near), first_rows(method, near)
    )
    assert float(one["kernel"]) < float(two["kernel"])  # narrower kernels than a unit of 1


def first_rows(method, cohort):
    return take(cohort, method.draw.plan(KEY, cohort, 0, 1)[0], method.draw)


@pytest.mark.slow
def test_the_preset_is_the_paper():
    paper, (_, cohort) = presets.mmd_resnet(), shifted(n=2000)
    training = paper.training
    assert (paper.blocks, paper.width, training.rows, training.learning_rate) == (3, 25, 1000, 1e-3)
    assert (training.decay, training.decay_epochs, paper.steps(cohort)) == (0.1, 150, 1000)
    assert (paper.objective, paper.kernel.unbiased, paper.neighbours) == ("root", False, 24)
    assert paper.inputs.log
    # The released kernel of scale s is exp(-d²/s²), ours exp(-d²/2σ²).
    np.testing.assert_allclose(2 * np.square(paper.kernel.bandwidths), np.square([0.5, 1.0, 2.0]))
    params = jax.eval_shape(paper.init, KEY, paper.resolve(cohort).without_names()).maps.params
    assert params["Dense_4"]["kernel"].shape == (3, 4, 25)
    small = vary(SMALL, start="small")
    kernels = small.init(KEY, small.resolve(cohort)).maps.params["Dense_3"]["kernel"]
    assert 5e-5 < float(kernels.std()) < 2e-4
