"""Neuron editing: what is edited, by what, and where nothing may change."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import assert_same_bytes, refusal, vary

import jbc
from jbc.cohort import Cohort
from jbc.methods import presets
from jbc.methods.closed_form import ComponentEditing
from jbc.methods.editing import Editing
from jbc.methods.neuron_editing import NeuronEditing
from jbc.methods.prepare import prepare
from jbc.methods.settings import Route, Training
from jbc.nets.autoencoder import Downsample, Upsample
from jbc.numerics import edits
from jbc.train import fit

D, N, STEPS = 6, 61, 20  # every sixth of 61 sorted values is a percentile, and no mean of two
SMALL = NeuronEditing(
    widths=(12, 5),
    route=Route(target="new", source=("old",), extrapolate=("other",)),
    training=Training(rows=20),
    editing=Editing(percentiles=11),
)
PAPER = vary(SMALL, residual=False, layers=(2,), ema_decay=0.0)
COMPONENTS = ComponentEditing(
    route=SMALL.route, components=5, editing=Editing(layers=(1,), residual=False, percentiles=11)
)


def rows(seed: int = 0, shift: float = 2.0, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """Rows before and after a shift of three features, and rows of other means that nothing is known of."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(D, D))
    drawn = rng.normal(size=(4, n, D)) @ mixing + rng.normal(size=(4, 1, D))
    drawn[1] += drawn[0].mean(axis=0) - drawn[1].mean(axis=0) + shift * (np.arange(D) < 3)
    names = np.repeat(["old", "new", "other", "bystander"], n)
    return drawn.reshape(-1, D).astype(np.float32), names


def fitted(
    method: NeuronEditing | ComponentEditing, x: np.ndarray, domain: np.ndarray, steps: int = STEPS, **codes
) -> jbc.Corrector:
    trained = isinstance(method, NeuronEditing)
    corrector = jbc.Corrector(method, steps=steps if trained else None, composition="assume-equal")
    return corrector.fit(x, domain=domain, **codes)


def leaky(h: np.ndarray) -> np.ndarray:
    return np.where(h > 0, h, 0.2 * h)


def through(params: dict, h: np.ndarray, first: int, last: int) -> np.ndarray:
    """Run the layers with NumPy."""
    for number in range(first, last):
        layer = params[f"layers_{number}"]
        h = h @ layer["kernel"] + layer["bias"]
        h = leaky(h) if number < len(params) - 1 else h
    return h


def knots(h: np.ndarray) -> np.ndarray:
    return np.percentile(h, np.linspace(0, 100, 11), axis=0)


def edited(h: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.asarray(
        edits.apply(edits.Edit(*(jnp.float32(knots(side)) for side in (source, target))), jnp.float32(h))
    )


@pytest.mark.parametrize("method", [PAPER, SMALL], ids=["paper", "default"])
@pytest.mark.slow
def test_rows_are_edited_as_the_equations_say(method):
    x, domain = rows()
    model = fitted(method, x, domain)
    tables, params = model.model_.fitted["inputs"], model.model_.fitted["autoencoder"]
    location, spread = tables["to"]["location"], tables["to"]["scale"]
    z = {name: (x[domain == name] - location) / spread for name in ("old", "new", "other")}
    first = {
        name: edited(z[name], z["old"], z["new"]) if method.editing.residual else z[name]
        for name in ("old", "other")
    }
    inner = {name: through(params, side, 0, 2) for name, side in first.items()}
    goal, said = through(params, z["new"], 0, 2), {}
    for name in ("old", "other"):
        out = through(params, edited(inner[name], inner["old"], goal), 2, 4)
        said[name] = (
            first[name] + out - through(params, first[name], 0, 4) if method.editing.residual else out
        )
    if method.editing.residual:
        said = {name: edited(side, said["old"], z["new"]) for name, side in said.items()}
    for name, side in said.items():
        found = model.transform(x[domain == name], domain=[name] * N)
        np.testing.assert_allclose(found, side * spread + location, atol=2e-3)


@pytest.mark.slow
def test_where_source_and_target_are_equal_not_one_bit_changes():
    x, domain = rows()
    x[domain == "new"] = x[domain == "old"]
    model = fitted(SMALL, x, domain)
    assert_same_bytes(model.transform(x, domain=domain), x)


def test_targets_and_bystanders_stay_and_sources_arrive():
    x, domain = rows()
    model = fitted(SMALL, x, domain)
    moved = model.transform(x, domain=domain)
    for name in ("new", "bystander"):
        assert_same_bytes(moved[domain == name], x[domain == name])
    np.testing.assert_allclose(knots(moved[domain == "old"]), knots(x[domain == "new"]), atol=2e-3)


@pytest.mark.slow
def test_a_shift_is_carried_to_rows_of_another_distribution():
    x, domain = rows(n=400)
    model = fitted(vary(SMALL, widths=(32, 6)), x, domain, steps=400)
    other = x[domain == "other"]
    change = model.transform(other, domain=["other"] * 400) - other
    np.testing.assert_allclose(change.mean(axis=0), 2.0 * (np.arange(D) < 3), atol=0.6)
    everywhere = fitted(vary(SMALL, widths=(32, 6), constant_shift=True), x, domain, steps=400)
    change = everywhere.transform(other, domain=["other"] * 400) - other
    np.testing.assert_allclose(change.mean(axis=0), 2.0 * (np.arange(D) < 3), atol=0.3)


@pytest.mark.slow
def test_domains_to_extrapolate_get_the_average_edit_pulled_towards_their_own():
    x, domain = rows()
    method = vary(SMALL, source=("old", "bystander"), layers=(4,))
    whole, none, half = (fitted(vary(method, pull=pull), x, domain) for pull in (1.0, 0.0, 0.5))
    code = {name: number for number, name in enumerate(whole.domains_)}
    table = {pull: model.model_.fitted["edits"]["4"] for pull, model in ((1, whole), (0, none), (0.5, half))}
    sources = np.mean([table[0]["source"][code[name]] for name in method.route.source], axis=0)
    np.testing.assert_allclose(table[0]["source"][code["other"]], sources, atol=1e-6)
    tables = whole.model_.fitted["inputs"]["to"]
    own = knots((x[domain == "other"] - tables["location"]) / tables["scale"])
    np.testing.assert_allclose(table[1]["source"][code["other"]], own, atol=1e-5)
    np.testing.assert_allclose(table[0.5]["source"][code["other"]], (sources + own) / 2, atol=1e-5)
    np.testing.assert_allclose(
        knots(whole.transform(x[domain == "other"], domain=["other"] * N)),
        knots(x[domain == "new"]),
        atol=2e-3,
    )


@pytest.mark.slow
def test_edits_are_measured_on_pairs_of_controls():
    """Two control materials in both, of unequal numbers; a third in the source alone; samples with anything."""
    x, _ = rows()
    x = x[: 3 * N]
    domain = np.repeat(["old", "new"], [2 * N, N])
    kind = np.repeat(["a", "b", "c", "sample", "a", "b", "sample"], [30, 30, 30, 32, 20, 30, 11])
    method = NeuronEditing(
        widths=(12, 5),
        route=Route(target="new"),
        training=Training(rows=20),
        editing=Editing(percentiles=11, on="controls", layers=(4,)),
    )
    model = fitted(method, x, domain, treatment=kind, control=kind != "sample")
    tables = model.model_.fitted["inputs"]["to"]
    z = (x - tables["location"]) / tables["scale"]

    def pool(name: str) -> np.ndarray:
        parts = [z[(domain == name) & (kind == each)] for each in "ab"]
        return np.concatenate([np.repeat(part, 600 // len(part), axis=0) for part in parts])

    old = list(model.domains_).index("old")
    for side, name in (("source", "old"), ("target", "new")):
        np.testing.assert_allclose(model.model_.fitted["edits"]["4"][side][old], knots(pool(name)), atol=0.02)
    moved = model.transform(x, domain=domain)
    assert (moved != x)[domain == "old"].all(axis=1).mean() > 0.9


@pytest.mark.slow
def test_principal_components_are_edited_instead():
    x, domain = rows()
    model = fitted(COMPONENTS, x, domain)
    tables, params = model.model_.fitted["inputs"]["to"], model.model_.fitted["autoencoder"]
    z = (x - tables["location"]) / tables["scale"]
    _, vectors = np.linalg.eigh(np.cov(z.T))
    overlap = np.abs(vectors[:, ::-1][:, :5].T @ params["layers_0"]["kernel"])
    np.testing.assert_allclose(overlap, np.eye(5), atol=0.02)
    codes = model.encode(x[domain == "old"], domain=["old"] * N)
    kernel, mean = params["layers_0"]["kernel"], params["layers_1"]["bias"]
    np.testing.assert_allclose(mean, z.mean(axis=0), atol=1e-5)
    inner = {name: (z[domain == name] - mean) @ kernel for name in ("old", "new", "other")}
    np.testing.assert_allclose(knots(codes), knots(inner["new"]), atol=1e-3)
    for name in ("old", "other"):
        said = (edited(inner[name], inner["old"], inner["new"]) @ kernel.T + mean) * tables["scale"]
        found = model.transform(x[domain == name], domain=[name] * N)
        np.testing.assert_allclose(found, said + tables["location"], atol=2e-3)


@pytest.mark.slow
def test_editing_components_is_a_method_without_training():
    """One of its own: nothing is drawn, no step is counted, and the settings of edits are those of neuron editing."""
    x, domain = rows()
    cohort = Cohort.from_arrays(x, domain)
    models = [jbc.fit(COMPONENTS, cohort, seed=seed) for seed in (0, 1)]
    assert_same_bytes(models[0].fitted, models[1].fitted)
    assert (models[0].record.steps, models[0].record.history) == (0, [])
    with refusal("not-trained"):
        jbc.fit(COMPONENTS, cohort, steps=1)
    few = dataclasses.replace(COMPONENTS, components=50)
    assert jbc.fit(few, cohort).encode(x, domain).shape == (len(x), D)  # there are no more than features
    for changes, said in (({"layers": (3,)}, "the layers are 0 to 2"), ({"components": 0}, "components=0")):
        with refusal("bad-setting") as caught:
            prepare(vary(COMPONENTS, **changes), cohort)
        assert said in str(caught.value)
    far = jbc.fit(vary(COMPONENTS, layers=(0,), beyond="refuse"), cohort)
    assert far.out_of_range(x[domain == "old"][:1] + 1e3, ["old"]).tolist() == [D]
    with refusal("outside-range"):
        far.transform(x[domain == "old"][:1] + 1e3, ["old"])


@pytest.mark.slow
def test_layers_of_images_are_convolutions():
    rng = np.random.default_rng(0)
    x = jnp.float32(rng.normal(size=(2, 6, 4, 3)))
    halve, double = Downsample(5, nn.initializers.lecun_normal()), Upsample(5, nn.initializers.lecun_normal())
    params = halve.init(jax.random.key(0), x)
    kernel = params["params"]["Dense_0"]["kernel"].reshape(
        2, 2, 2, 2, 3, 5
    )  # block and pixel, of rows and columns
    kernel = jnp.transpose(kernel, (0, 2, 1, 3, 4, 5)).reshape(4, 4, 3, 5)
    names = ("NHWC", "HWIO", "NHWC")
    said = jax.lax.conv_general_dilated(x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=names)
    np.testing.assert_allclose(np.asarray(halve.apply(params, x)), said, atol=1e-5)
    params = double.init(jax.random.key(0), x)
    kernel = params["params"]["Dense_0"]["kernel"].reshape(3, 2, 2, 2, 2, 5)
    kernel = jnp.transpose(kernel, (1, 3, 2, 4, 0, 5)).reshape(4, 4, 3, 5)
    said = jax.lax.conv_transpose(x, kernel[::-1, ::-1], (2, 2), ((2, 2), (2, 2)), dimension_numbers=names)
    np.testing.assert_allclose(np.asarray(double.apply(params, x)), said, atol=1e-5)


@pytest.mark.slow
def test_images_have_convolutions_of_any_size():
    rng = np.random.default_rng(0)
    x = np.float32(rng.uniform(size=(90, 5 * 3 * 2)))
    domain = np.repeat(["new", "old", "other"], 30)
    model = fitted(vary(SMALL, image=(5, 3, 2), widths=(4, 8)), x, domain)
    assert model.encode(x, domain=domain).shape == (90, 2 * 1 * 8)
    assert model.transform(x, domain=domain).shape == x.shape
    longer = jbc.Corrector(model.method, steps=200).fit(x, domain=domain)
    assert longer.history_[-1]["loss"] < 0.8 * longer.history_[0]["loss"]


@pytest.mark.slow
def test_what_sampling_makes_is_not_edited():
    """Rows of one distribution stay; a shift of five standard errors is edited whole."""
    x = np.float32(np.random.default_rng(0).normal(size=(2 * N, D)))
    domain = np.repeat(["new", "old"], N)
    method = NeuronEditing(widths=(12, 5), route=Route(target="new"), training=Training(rows=20))
    still = fitted(method, x, domain)
    assert still.model_.fitted["share"][1] < 0.5
    bold = fitted(vary(method, cautious=False), x, domain)
    moved = [np.linalg.norm(model.transform(x, domain=domain) - x) for model in (still, bold)]
    assert moved[0] < 0.5 * moved[1]
    x[domain == "old"] += 5 * np.sqrt(2 / N)
    assert fitted(method, x, domain).model_.fitted["share"][1] == 1


def test_caution_counts_units_not_rows():
    """Replicates of a subject are no evidence: rows k times are the rows once, and rows are units without units."""
    x = np.random.default_rng(0).normal(size=(2 * N, D)).astype(np.float32)
    domain, subject = np.repeat(["new", "old"], N), np.arange(2 * N)
    x[domain == "old", 0] += 0.8
    method = vary(COMPONENTS, source=("old",), extrapolate=(), constant_shift=True)

    def share(times: int, **codes) -> float:
        model = fitted(method, np.repeat(x, times, axis=0), np.repeat(domain, times), **codes)
        return float(model.model_.fitted["share"][1])

    once = share(1)
    assert 0.1 < once < 0.5
    assert share(1, unit=subject) == pytest.approx(once, rel=1e-5)
    assert share(4, unit=np.repeat(subject, 4)) == pytest.approx(once, rel=1e-4)
    assert share(4) == 1  # the copies taken for rows of their own


def test_the_preset_is_the_paper():
    method = presets.neuron_editing()
    training, editing = method.training, method.editing
    assert (method.widths, training.rows, training.learning_rate) == ((500, 250, 50), 100, 1e-3)
    assert (editing.layers, editing.residual, editing.percentiles) == ((3,), False, 101)
    x, domain = rows()
    state = jax.eval_shape(
        method.init, jax.random.key(0), method.resolve(Cohort.from_arrays(x, domain)).without_names()
    )
    sizes = [state.autoencoder.params[f"layers_{number}"]["kernel"].shape[1] for number in range(6)]
    assert sizes == [500, 250, 50, 250, 500, D]


@pytest.mark.slow
def test_values_beyond_are_counted_and_refused():
    x, domain = rows()
    model = fitted(vary(SMALL, layers=(4,), beyond="refuse"), x, domain)
    inside, far = x[domain == "old"][:2], x[domain == "old"][:1].copy()
    far[0, :2] = 1e3
    assert model.out_of_range(np.concatenate([inside, far]), domain=["old"] * 3).tolist() == [0, 0, 2]
    assert model.out_of_range(far, domain=["new"]).tolist() == [0]
    assert model.transform(inside, domain=["old"] * 2).shape == (2, D)
    with refusal("outside-range") as caught:
        model.transform(np.concatenate([inside, far]), domain=["old"] * 3)
    assert "1 of 3 rows" in str(caught.value)
    assert "2" in str(caught.value)
    shifting = fitted(vary(SMALL, layers=(4,)), x, domain)
    assert np.isfinite(shifting.transform(far, domain=["old"])).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"percentiles": 1}, "percentiles=1"),
        ({"layers": (5,)}, "the layers are 0 to 4"),
        ({"layers": ()}, "layers=()"),
        ({"constant_shift": True, "beyond": "clip"}, "a mean has no range"),
        ({"pull": 1.5}, "pull=1.5"),
        ({"image": (2, 2, 1)}, "rows have 6 values"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, said):
    with refusal("bad-setting") as caught:
        fitted(vary(SMALL, **changes), *rows())
    assert said in str(caught.value)


def test_sources_without_controls_of_the_target_are_refused():
    x, domain = rows()
    method = vary(SMALL, on="controls")
    kind = np.where(domain == "old", "a", "b")
    with refusal("few-controls") as caught:
        fitted(method, x, domain, treatment=kind, control=np.isin(domain, ["old", "new"]))
    assert "'old'" in str(caught.value)
    cohort = Cohort.from_arrays(x, domain, treatment=["a"] * len(x), control=np.isin(domain, ["old", "new"]))
    prepare(method, cohort)  # what is extrapolated needs none


@pytest.mark.slow
def test_more_rows_than_fit_through_at_once_change_nothing(monkeypatch):
    x, domain = rows()
    cohort = Cohort.from_arrays(x, domain)
    whole = fit(SMALL, cohort, jax.random.key(0), steps=3).fitted
    monkeypatch.setattr("jbc.methods.edited_layers.BLOCK", 16)
    jax.clear_caches()
    blocks = fit(SMALL, cohort, jax.random.key(0), steps=3).fitted
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(blocks), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
