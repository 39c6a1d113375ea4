"""The regularised autoencoder: its loss and gradient against NumPy, what it gives out, what it leaves."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial.distance
from problems import assert_same_bytes, refusal, vary

import jbc
from jbc.cohort import Cohort
from jbc.cohort.sampling import take
from jbc.data.simulate.plates import World, simulate_shift
from jbc.methods import presets
from jbc.methods.prepare import prepare
from jbc.methods.regularised_autoencoder import RegularisedAutoencoder
from jbc.methods.settings import Route, Training
from jbc.train import fit

KEY = jax.random.key(0)
SMALL = RegularisedAutoencoder(
    widths=(7, 3),
    weight=2.0,
    route=Route(target="domain 1", source=("domain 2", "domain 3"), extrapolate=("domain 4",)),
    training=Training(rows=12),
)


def shifted(shift: float = 1.0, n: int = 12, features: int = 4) -> World:
    """Five domains, of which the last has no role."""
    return simulate_shift(0, n_per_domain=n, n_features=features, n_domains=5, shift=shift)


def cohort(**options) -> Cohort:
    drawn = shifted(**options)
    return Cohort.from_arrays(drawn.x, drawn.domain)


def through(params: dict, h: np.ndarray, first: int, last: int) -> np.ndarray:
    """Run the layers with NumPy."""
    for number in range(first, last):
        h = h @ params[f"layers_{number}"]["kernel"] + params[f"layers_{number}"]["bias"]
        h = np.where((h > 0) | (number == len(params) - 1), h, 0.2 * h)
    return h


def squares(codes: np.ndarray, target: np.ndarray) -> np.ndarray:
    both = np.concatenate([codes, target])
    return scipy.spatial.distance.squareform(scipy.spatial.distance.pdist(both)) ** 2


def by_hand(
    params: dict, z: np.ndarray, units: list[float], method: RegularisedAutoencoder
) -> dict[str, float]:
    """Error over the four domains with a role, MMD² over the two sources."""
    error = np.mean([np.square(through(params, rows, 0, 4) - rows).mean() for rows in z[:4]])
    codes, mmd2, m = [through(params, rows, 0, 2) for rows in z], [], z.shape[1]
    for g, unit in zip((1, 2), units, strict=True):
        gram = np.sum(
            [np.exp(-squares(codes[g], codes[0]) / (2 * (b * unit) ** 2)) for b in method.kernel.bandwidths],
            axis=0,
        )
        within, pairs = gram[:m, :m].sum() + gram[m:, m:].sum(), m * m
        if method.kernel.unbiased:
            within, pairs = within - np.trace(gram), m * (m - 1)
        mmd2.append(within / pairs - 2 * gram[:m, m:].mean())
    found = {"error": error, "mmd2": np.mean(mmd2), "loss": error + method.weight * np.mean(mmd2)}
    return {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.slow
def test_a_step_is_that_of_numpy(unbiased):
    """Its loss, and the gradient, which is a tenth of the first moment of Adam after one step."""
    method = vary(SMALL, unbiased=unbiased)
    aimed = method.resolve(cohort()).without_names()
    state = jax.jit(method.init)(KEY, aimed)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: leaf + 0.3 * rng.normal(size=leaf.shape), state.autoencoder.params)
    state = state.replace(autoencoder=state.autoencoder.replace(params=jax.tree.map(jnp.float32, params)))
    rows = take(aimed, method.draw.plan(KEY, aimed, 0, 1)[0], method.draw)
    after, info = jax.jit(method.step)(KEY, state, rows)
    x = np.asarray(rows.x, np.float64)  # a minibatch is a whole domain here
    location, spread = x.mean(axis=1, keepdims=True), x.std(axis=1, keepdims=True)
    location[3], spread[3] = location[1:3].mean(axis=0), spread[1:3].mean(axis=0)
    z = (x - location) / spread
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), state.autoencoder.params)
    codes, upper = [through(params, rows, 0, 2) for rows in z], np.triu_indices(24, 1)
    units = [float(np.sqrt(np.median(squares(codes[g], codes[0])[upper]))) for g in (1, 2)]
    expected = by_hand(params, z, units, method)
    np.testing.assert_allclose(
        [info[name] for name in expected], list(expected.values()), rtol=2e-4, atol=2e-5
    )
    assert 0.2 < float(info["kernel"]) < 0.8
    grads = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) / 0.1, after.autoencoder.opt_state.mu)
    way = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)
    ends = [by_hand(jax.tree.map(lambda p, w, h=h: p + h * w, params, way), z, units, method)["loss"]
            for h in (1e-6, -1e-6)]  # fmt: skip
    slope = sum(jax.tree.leaves(jax.tree.map(lambda g, w: (g * w).sum(), grads, way)))
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-6, rtol=1e-3)


@pytest.mark.parametrize("scale", ["domain", "pooled"])
@pytest.mark.slow
def test_rows_become_what_the_decoder_makes_of_their_codes(scale):
    """Those of sources and of domains to extrapolate, which by domain are read as the sources are on average."""
    drawn, method = shifted(), vary(SMALL, scale=scale, learning_rate=0.03)
    corrector = jbc.Corrector(method, steps=30, composition="assume-equal")
    model = corrector.fit(drawn.x, domain=drawn.domain)
    parts = [drawn.domain == f"domain {g}" for g in range(1, 6)]
    tables = np.stack([[drawn.x[part].mean(axis=0), drawn.x[part].std(axis=0)] for part in parts])
    tables[3] = tables[1:3].mean(axis=0)
    if scale == "pooled":
        sources = drawn.x[parts[1] | parts[2]]
        tables[:] = [sources.mean(axis=0), sources.std(axis=0)]
    params, out = model.model_.fitted["autoencoder"], model.transform(drawn.x, domain=drawn.domain)
    codes = model.encode(drawn.x, domain=drawn.domain)
    for part, (location, spread) in zip(parts, tables, strict=True):
        z = (drawn.x[part] - location) / spread
        np.testing.assert_allclose(codes[part], through(params, z, 0, 2), atol=1e-4)
        if part is parts[0] or part is parts[4]:
            assert_same_bytes(out[part], drawn.x[part])
        else:
            rebuilt = through(params, z, 0, 4) * tables[0, 1] + tables[0, 0]
            np.testing.assert_allclose(out[part], rebuilt, atol=1e-4)


@pytest.mark.slow
def test_what_is_rebuilt_begins_at_the_mean_of_the_target():
    drawn = shifted()
    method = vary(SMALL, learning_rate=1e-30)
    out = (
        jbc.Corrector(method, steps=1, composition="assume-equal")
        .fit(drawn.x, domain=drawn.domain)
        .transform(drawn.x, domain=drawn.domain)
    )
    mean = drawn.x[drawn.domain == "domain 1"].mean(axis=0)
    moving = np.isin(drawn.domain, ["domain 2", "domain 3", "domain 4"])
    np.testing.assert_allclose(out[moving], np.broadcast_to(mean, out[moving].shape), atol=1e-5)


@pytest.mark.slow
def test_domains_without_a_difference_are_rebuilt_alike():
    drawn = shifted(n=40)
    x = np.tile(drawn.x[drawn.domain == "domain 1"], (5, 1))
    method = vary(SMALL, widths=(32, 8), rows=40, learning_rate=0.01)
    model = jbc.Corrector(method, steps=150).fit(x, domain=drawn.domain)
    out = model.transform(x, domain=drawn.domain).reshape(5, 40, 4)
    np.testing.assert_allclose(out[2], out[1], atol=1e-6)
    np.testing.assert_allclose(out[3], out[1], atol=1e-6)
    lost = np.square(out[1] - x[:40]).sum() / np.square(x[:40] - x[:40].mean(axis=0)).sum()
    assert lost < 0.05


@pytest.mark.slow
def test_published_settings_keep_a_shift_that_the_default_takes_away():
    """Rebuilding and alignment want opposite things, unless shift and scale are no matter of the loss."""
    drawn = shifted(n=200, features=6, shift=0.5)
    target, source = drawn.domain == "domain 1", drawn.domain == "domain 2"
    left = {}
    for name, method in {
        "default": SMALL,
        "published": presets.regularised_autoencoder("neuron-editing"),
    }.items():
        method = vary(method, route=SMALL.route, widths=(48, 16), rows=64, learning_rate=3e-3)
        model = jbc.Corrector(method, steps=300).fit(drawn.x, domain=drawn.domain)
        out = model.transform(drawn.x, domain=drawn.domain)
        gaps = [
            np.linalg.norm(rows[source].mean(axis=0) - drawn.x[target].mean(axis=0))
            for rows in (out, drawn.x)
        ]
        left[name] = gaps[0] / gaps[1]
        assert model.history_[-1]["mmd2"] < 0.15
    assert left["default"] < 0.05
    assert left["published"] > 0.8


def test_presets_are_the_papers():
    saucie, compared = (presets.regularised_autoencoder(kind) for kind in ("saucie", "neuron-editing"))
    assert (saucie.widths, saucie.inputs.scale, saucie.training.rows) == ((512, 256, 128, 2), "none", 50)
    assert saucie.steps(cohort()) == 1000
    assert (compared.widths, compared.training.rows) == ((500, 250, 50), 100)
    assert compared.training.learning_rate == 1e-3
    assert (saucie.weight, saucie.kernel.unbiased, saucie.training.ema_decay) == (0.1, False, 0.0)
    params = jax.eval_shape(saucie.init, KEY, saucie.resolve(cohort()).without_names()).autoencoder.params
    sizes = [params[f"layers_{number}"]["kernel"].shape[1] for number in range(8)]
    assert sizes == [512, 256, 128, 2, 128, 256, 512, 4]


@pytest.mark.slow
def test_images_have_convolutions():
    method = vary(SMALL, image=(2, 2, 1))
    run = fit(method, cohort(shift=0.1), KEY, steps=2)
    assert run.fitted["autoencoder"]["layers_0"]["Dense_0"]["kernel"].shape == (4 * 4 * 1, 7)
    with refusal("bad-setting") as caught:
        prepare(vary(SMALL, image=(2, 2, 2)), cohort())
    assert "rows have 4 values" in str(caught.value)
