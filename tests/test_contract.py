"""The conformance suite: what every method promises, whatever it does.

A new method needs one line in METHODS of the registry and one in CONFIGURATIONS here.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import (
    CHUNK,
    JOINT,
    assert_close,
    assert_same_bytes,
    cohort,
    gap_of_means,
    hidden,
    no_compilation,
    refusal,
    vary,
    world,
)
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import cross_val_score

import jbc
from jbc.cohort import Cohort
from jbc.cohort.sampling import take
from jbc.errors import InputWarning
from jbc.methods import presets
from jbc.methods.adversarial import AdversarialCorrection
from jbc.methods.base import Adapts, Bounded, Classifies, Directed, Encodes, Method, Ordered, Trainable
from jbc.methods.chain import Chain
from jbc.methods.closed_form import (
    CCA,
    MNN,
    SVA,
    ComBat,
    ComponentEditing,
    Coral,
    Drift,
    FrozenSVA,
    Harmony,
    LimmaRemoveBatch,
    Percentiles,
    QuantileMap,
    RatioG,
    Standardise,
    TypicalVariation,
)
from jbc.methods.denoising_autoencoder import DenoisingAutoencoder
from jbc.methods.distance_alignment import DistanceAlignment
from jbc.methods.editing import Editing
from jbc.methods.inputs import Inputs
from jbc.methods.joint import JointCalibration
from jbc.methods.mmd_resnet import MMDResNet
from jbc.methods.neuron_editing import NeuronEditing
from jbc.methods.pairwise import PairwiseCalibration
from jbc.methods.prepare import prepare
from jbc.methods.registry import METHODS, from_json, to_json
from jbc.methods.regularised_autoencoder import RegularisedAutoencoder
from jbc.methods.settings import AdversarialTraining, Kernel, Route, Training
from jbc.methods.wasserstein import WassersteinAlignment
from jbc.train import fit, fit_lanes
from jbc.train.checkpoint import read_step, save_step

# Small, so that each compiles in seconds. Every registered method has an entry, and every test below runs on each.
CONFIGURATIONS: dict[str, Method] = {
    "joint-calibration": JOINT,
    "pairwise-calibration": PairwiseCalibration(JOINT),
    "wasserstein-alignment": WassersteinAlignment(
        pretrain=10,
        training=AdversarialTraining(rows=40, updates=100, critic_steps=1, map_rate=0.02, critic_rate=0.02),
    ),
    "distance-alignment": DistanceAlignment(rows=40, updates=200, learning_rate=0.02),
    "mmd-resnet": MMDResNet(blocks=1, width=8, training=Training(rows=40)),
    "neuron-editing": NeuronEditing(
        widths=(64, 4), training=Training(rows=40), editing=Editing(percentiles=11)
    ),
    "adversarial-correction": AdversarialCorrection(
        blocks=1,
        widths=(8,),
        critic=(8,),
        identity=3.0,
        training=AdversarialTraining(rows=40, updates=200, critic_steps=1),
    ),
    "regularised-autoencoder": RegularisedAutoencoder(
        widths=(32, 8), training=Training(rows=30, learning_rate=0.005)
    ),
    "denoising-autoencoder": DenoisingAutoencoder(widths=(8,), training=Training(rows=30)),
    "standardise": Standardise(),
    "quantile-map": QuantileMap(),
    "coral": Coral(on="all"),
    "typical-variation": TypicalVariation(on="all"),
    "percentiles": Percentiles(on="all"),
    "component-editing": ComponentEditing(),
    "drift": Drift(spans=()),  # by levels alone: with places in the run, in tests/methods/test_drift.py
    "combat": ComBat(),
    "limma-remove-batch": LimmaRemoveBatch(),
    "ratio-g": RatioG(on="all"),
    "chain": Chain(Standardise(scale=False), QuantileMap()),
    "sva": SVA(surrogates=1, form="two-step"),
    "frozen-sva": FrozenSVA(surrogates=1),
    "cca": CCA(form="percentiles"),  # warping takes more features: tests/methods/test_cca.py
    # Soft clusters, since the effects of these tests are as large as what the classes differ by.
    "harmony": Harmony(sigma=0.5, ridge=0.1),
    "mnn": MNN(sigma=4.0),
}
# One with other settings than the default wherever possible: what must survive being written and read.
UNUSUAL: dict[str, Method] = {
    "joint-calibration": presets.joint("chd", "reference", kernel=Kernel(bandwidths=(0.1, 1 / 3))),
    "pairwise-calibration": PairwiseCalibration(presets.joint("cytof")),
    "wasserstein-alignment": presets.wasserstein("reference", maps="residual", form="barycentre"),
    "distance-alignment": DistanceAlignment(
        distance="mmd", kernel=Kernel(unit="fixed"), importance=(("DMSO", 5.0), ("taxol", 0.5))
    ),
    "mmd-resnet": presets.mmd_resnet(route=Route(target="day 2", source=("day 1", "day 3"))),
    "adversarial-correction": presets.adversarial(
        "cycle-gan", objective="squares", route=Route(source=("day 1",))
    ),
    "neuron-editing": presets.neuron_editing(
        image=(2, 1, 2), route=Route(extrapolate=("day 3",)), editing=Editing(beyond="refuse")
    ),
    "regularised-autoencoder": presets.regularised_autoencoder(
        "saucie", image=(2, 1, 2), route=Route(extrapolate=("day 3",))
    ),
    "denoising-autoencoder": DenoisingAutoencoder(fill="all", dropout=0.5, inputs=Inputs(log=True)),
    "standardise": Standardise(scale=False, on="controls"),
    "quantile-map": QuantileMap(percentiles=11, beyond="clip", on="controls", target="day 2"),
    "coral": Coral(ridge=0.1, target="identity", centre=False),
    "typical-variation": TypicalVariation(ridge=0, scale=False, basis="components"),
    "percentiles": Percentiles(factors=3),
    "component-editing": ComponentEditing(
        components=2, inputs=Inputs(subspace=7), editing=Editing(layers=(1,), beyond="linear")
    ),
    "drift": Drift(form="ratio", spans=(0.5, 1.0), between=False, beyond="refuse"),
    "combat": ComBat(prior="nonparametric", mean_only=True, reference="day 1", on="controls"),
    "limma-remove-batch": LimmaRemoveBatch(remove=("operator",)),
    "ratio-g": RatioG(form="ratio"),
    "chain": Chain(Standardise(on="controls"), presets.joint("chd", kernel=Kernel(bandwidths=(0.1, 1 / 3)))),
    "sva": SVA(permutations=40, scale=False),
    "frozen-sva": FrozenSVA(surrogates=2, form="released", iterations=3, scale=False),
    "cca": CCA(codes=3, features=2, percentiles=11, cautious=False, route=Route(target="day 2")),
    "harmony": Harmony(components=None, clusters=3, ridge_unit="expected", seed=1),
    "mnn": MNN(cosine=False, scale=False, density=False, route=Route(source=("day 2", "day 1"))),
}
# Of the four features of these tables, none is weighed.
pytestmark = pytest.mark.filterwarnings("ignore:No feature varies with surrogate variables")
# Preparations: other units than those of the input, and domains that are left to what follows.
PREPARATIONS = (DenoisingAutoencoder, TypicalVariation, Percentiles)
# They do not know domains, and remove what many features share beside the classes.
BLIND = (SVA, FrozenSVA)
SIGNATURES = {
    "resolve": ["cohort"],
    "check": ["cohort"],
    "steps": ["cohort"],
    "init": ["key", "cohort"],
    "step": ["key", "state", "rows"],
    "finish": ["state", "cohort"],
    "transform": ["fitted", "x", "domain"],
    "encode": ["fitted", "x", "domain"],
    "predict": ["fitted", "x", "domain"],
    "out_of_range": ["fitted", "x", "domain"],
    "adapt": ["fitted", "controls", "reference"],
    "diagnose": ["info", "apart"],
}
# What a capability is about, and the functions of a model that need it.
CAPABILITIES = {Classifies: "predict", Encodes: "encode", Bounded: "out_of_range", Adapts: "adapt"}
KEY = jax.random.key(0)

# What compiles anew for every method is examined every day for a few that compile in a moment, in CI for all.
LARGE = (
    AdversarialCorrection,
    JointCalibration,
    MMDResNet,
    NeuronEditing,
    PairwiseCalibration,
    RegularisedAutoencoder,
    WassersteinAlignment,
)


def over(methods: dict[str, Method], *, slow: tuple[type, ...] = ()) -> pytest.MarkDecorator:
    """Run a test on each of the methods; on some, which are slow, in CI only."""
    return pytest.mark.parametrize(
        "method",
        [
            pytest.param(method, id=name, marks=[pytest.mark.slow] if isinstance(method, slow) else [])
            for name, method in methods.items()
        ],
    )


every_method, every_method_large_in_ci = over(CONFIGURATIONS), over(CONFIGURATIONS, slow=LARGE)
# Critics need more steps than these tests take, and surrogate variables more features: what they do is examined in
# tests/methods/test_wasserstein.py and test_surrogates.py.
ELSEWHERE = (*PREPARATIONS, *BLIND, WassersteinAlignment)
corrections = {n: method for n, method in CONFIGURATIONS.items() if not isinstance(method, ELSEWHERE)}
every_correction = over(corrections)
# Neighbours are of one population where effects are smaller than what populations differ by (test_mnn.py).
of_large_effects = over({n: method for n, method in corrections.items() if not isinstance(method, MNN)})
trained = {name: method for name, method in CONFIGURATIONS.items() if isinstance(method, Trainable)}
every_trained, every_trained_large_in_ci = over(trained), over(trained, slow=LARGE)


def train(method: Method, table: Cohort, steps: int = CHUNK, key=KEY, **options):
    """Fit, in chunks of one size, so that all tests share one program."""
    if not isinstance(method, Trainable):
        return fit(method, table, key)
    return fit(method, table, key, steps=steps, chunk=CHUNK, **options)


def corrector(method: Method, table: Cohort | None = None, steps: int = CHUNK) -> jbc.Corrector:
    return unfitted(method, steps).fit_cohort(cohort() if table is None else table)


def unfitted(method: Method, steps: int = CHUNK, **options) -> jbc.Corrector:
    """Return an estimator; methods in closed form have no steps."""
    return jbc.Corrector(method, steps=steps if isinstance(method, Trainable) else None, **options)


@pytest.fixture(scope="module")
def fitted():
    """Fit each method once."""
    return {type(method): corrector(method) for method in CONFIGURATIONS.values()}


def test_every_registered_method_is_examined():
    assert {name: type(method) for name, method in CONFIGURATIONS.items()} == METHODS
    assert {name: type(method) for name, method in UNUSUAL.items()} == METHODS


@every_method
def test_methods_follow_the_contract(method):
    cls = type(method)
    assert dataclasses.is_dataclass(cls)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(method, dataclasses.fields(cls)[0].name, None)
    assert hash(method) == hash(vary(method))
    assert method == vary(method)
    assert not [other for other in METHODS.values() if issubclass(other, cls) and other is not cls], "final"
    for name, expected in SIGNATURES.items():
        if hasattr(cls, name):
            more = ["order"] if issubclass(cls, Ordered) and "x" in expected else []
            assert list(inspect.signature(getattr(cls, name)).parameters) == ["self", *expected, *more], name
    for capability, function in (
        CAPABILITIES.items() if cls is not Chain else ()
    ):  # it can do what its last can
        assert isinstance(method, capability) == hasattr(cls, function), (
            "a capability is inherited, not imitated"
        )
    assert inspect.getdoc(cls)
    if isinstance(method, Trainable):
        assert ">>>" in (cls.__doc__ or ""), "an example shows how it is used"
    for field in dataclasses.fields(cls):
        assert field.name in (cls.__doc__ or ""), f"{field.name} is a setting without a word about it"


@pytest.mark.slow
@every_method
def test_compiled_and_uncompiled_agree(method):
    if isinstance(method, PairwiseCalibration):
        pytest.skip("its step is that of joint calibration, which takes as long")
    table = cohort()
    bare, state = prepare(method, table).without_names(), None
    if isinstance(method, Trainable):
        state = jax.jit(method.init)(KEY, bare)
        rows = take(bare, method.draw.plan(KEY, bare, 0, 1)[0], method.draw)
        # Farther apart than the measured tables are: where nothing is left to do, all that Adam sees is rounding.
        rows = dataclasses.replace(rows, x=rows.x + rows.domain[:, None, None])
        compiled, told = jax.jit(method.step)(KEY, state, rows)
        raw, said = method.step(KEY, state, rows)
        assert_close(compiled, raw, rtol=1e-4)  # Adam amplifies the rounding of small gradients
        assert_close(told, said, rtol=1e-5, floor=1)  # a discrepancy is a small difference of means near 1
    model = method.finish(state, bare)
    if isinstance(method, Trainable):
        assert_close(jax.jit(method.finish)(state, bare), model, rtol=1e-5)
    for name in ("transform", "encode", "predict", "out_of_range"):
        if not hasattr(method.last, name):
            continue
        function = getattr(method, name)
        found, expected = jax.jit(function)(model, bare.x, bare.domain), function(model, bare.x, bare.domain)
        assert found.shape[0] == len(table.x)
        assert_close(found, expected, rtol=1e-5)


@every_method_large_in_ci
def test_nothing_recompiles_for_equal_configurations_and_other_data_of_the_same_shape(method):
    drawn = world()
    corrector(method).transform(drawn.x, domain=drawn.domain)
    other = world(seed=1)
    renamed = np.char.replace(other.domain, "domain", "plate")
    kinds = np.char.replace(hidden(other), "class", "kind")
    for seed in (1, 2):
        twin = from_json(json.loads(json.dumps(to_json(method))))
        assert twin is not method
        again = unfitted(twin, random_state=seed)
        with no_compilation():
            again.fit(other.x, kinds, domain=renamed).transform(other.x, domain=renamed)


def test_compilations_are_counted():
    with pytest.raises(AssertionError, match="1 compilations"), no_compilation():
        jax.jit(lambda x: 3 * x + 1)(np.ones(17))


@every_trained_large_in_ci
def test_lanes_equal_single_runs(method):
    keys, table = jax.random.split(KEY, 3), cohort()
    lanes = fit_lanes(method, table, keys, steps=CHUNK, chunk=CHUNK)
    for number, key in enumerate(keys):
        alone = train(method, table, key=key)
        assert_close(
            jax.tree.map(lambda leaf, n=number: leaf[n], lanes.fitted), alone.fitted, rtol=3e-4, floor=0.1
        )


@every_trained_large_in_ci
def test_stopped_and_resumed_from_disk_equals_straight_through(method, tmp_path):
    table = cohort()
    straight = train(method, table, 2 * CHUNK)

    def save_and_stop(event):
        save_step(tmp_path, event.step, event.tree, {})
        return True

    first = train(method, table, 2 * CHUNK, hooks=[save_and_stop])
    assert first.step == CHUNK
    tree, _ = read_step(tmp_path, CHUNK, {"state": first.state, "best": None})
    with no_compilation():
        resumed = train(method, table, 2 * CHUNK, resume=lambda like: (CHUNK, tree))
    assert_same_bytes(resumed.state, straight.state)
    assert_same_bytes(resumed.fitted, straight.fitted)


@every_trained
def test_the_seed_decides(method):
    table = cohort()
    assert_same_bytes(train(method, table).fitted, train(method, table).fitted)
    leaves = zip(
        *(jax.tree.leaves(train(method, table, key=jax.random.key(s)).state) for s in (0, 1)), strict=True
    )
    assert any((np.asarray(a) != b).any() for a, b in leaves if not jnp.issubdtype(a.dtype, jnp.integer))


@pytest.mark.parametrize(
    "method", [*CONFIGURATIONS.values(), *UNUSUAL.values()], ids=lambda m: type(m).__name__
)
def test_configurations_survive_json(method):
    record = json.loads(json.dumps(to_json(method)))
    back = from_json(record)
    assert back == method
    assert hash(back) == hash(method)
    assert repr(back) == repr(method)
    assert pickle.loads(pickle.dumps(method)) == method
    record["fields"]["surprise"] = 1
    with refusal("unknown-setting") as caught:
        from_json(record)
    assert "surprise" in str(caught.value)


@every_method
def test_fitted_models_survive_pickle_and_disk(method, fitted, tmp_path):
    drawn, model = world(), fitted[type(method)]
    expected = model.transform(drawn.x, domain=drawn.domain)
    model.save(tmp_path / "model")
    for copy in (pickle.loads(pickle.dumps(model)), jbc.Corrector.load(tmp_path / "model")):
        assert_same_bytes(copy.transform(drawn.x, domain=drawn.domain), expected)
        assert_same_bytes(jax.tree.leaves(copy.model_.fitted), jax.tree.leaves(model.model_.fitted))
        assert copy.method == method
        assert (copy.domains_, copy.model_.names.features) == (model.domains_, model.model_.names.features)
        assert copy.classes_.tolist() == model.classes_.tolist()
        if isinstance(method, Classifies):
            assert_same_bytes(
                copy.predict_proba(drawn.x, domain=drawn.domain),
                model.predict_proba(drawn.x, domain=drawn.domain),
            )
    fresh = clone(model)
    assert fresh.get_params() == model.get_params()
    assert not hasattr(fresh, "model_")


@every_method
def test_a_fitted_model_is_a_small_tree_of_arrays(method, fitted):
    """No optimiser moments, no functions, nothing but what inference needs."""
    drawn, model = world(), fitted[type(method)]
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(model.model_.fitted))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(model.model_.fitted))
    if isinstance(method, Trainable):
        state = train(method, cohort()).state
        assert sum(leaf.nbytes for leaf in jax.tree.leaves(model.model_.fitted)) < 0.7 * sum(
            leaf.nbytes for leaf in jax.tree.leaves(state)
        )
    out = model.transform(drawn.x, domain=drawn.domain)
    assert (out.shape, out.dtype) == (drawn.x.shape, np.float32)


def accuracy(x: np.ndarray, truth: np.ndarray) -> float:
    """Accuracy of a linear classifier on rows that it has not seen."""
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return cross_val_score(LinearDiscriminantAnalysis(), x, truth, cv=5).mean()


@of_large_effects
@pytest.mark.parametrize("seed", [0, 1])
def test_a_shifted_world_is_corrected(method, seed):
    """The means meet as closely as they do by chance (0.4), nothing tells the domains apart, and classes stay."""
    drawn = world(seed)
    model = corrector(method, cohort(seed), steps=20 * CHUNK)
    corrected = model.transform(drawn.x, domain=drawn.domain)
    assert gap_of_means(drawn.x, drawn.domain) > 2
    assert gap_of_means(corrected, drawn.domain) < 0.3
    assert accuracy(drawn.x, drawn.domain) > 0.6
    assert accuracy(corrected, drawn.domain) < 0.4  # chance is 1/3
    assert accuracy(corrected, drawn.label) > 0.93
    assert accuracy(corrected, drawn.label) > accuracy(drawn.x, drawn.label) - 0.02


@every_correction
@pytest.mark.parametrize("seed", [0, 1])
def test_a_world_without_a_batch_effect_is_left_nearly_alone(method, seed):
    """Of n = 40 rows, a mean is off by 1/√n and a spread by 1/√(2n) of a standard deviation, by chance alone.

    No method can know that such differences mean nothing, so it may move rows by √(1/n + 1/2n) = 0.19 of
    their spread, and not more.
    """
    drawn = world(seed, shift=0.0)
    model = corrector(method, cohort(seed, shift=0.0), steps=20 * CHUNK)
    moved = model.transform(drawn.x, domain=drawn.domain) - drawn.x
    spread = np.linalg.norm(drawn.x - drawn.x.mean(axis=0))
    assert np.linalg.norm(moved) < np.sqrt(1.5 / 40) * spread


@every_method
def test_the_order_of_rows_does_not_matter(method, fitted):
    drawn, model = world(), fitted[type(method)]
    order = np.random.default_rng(0).permutation(len(drawn.x))
    x, domain, label = drawn.x[order], drawn.domain[order], hidden(drawn)[order]
    shuffled = unfitted(method).fit(x, label, domain=domain)
    assert_same_bytes(shuffled.model_.fitted, model.model_.fitted)
    assert_same_bytes(model.transform(x, domain=domain), model.transform(drawn.x, domain=drawn.domain)[order])


@every_method
def test_a_row_is_corrected_alone(method, fitted):
    """What else is in the table does not matter: not one bit changes."""
    drawn, model = world(), fitted[type(method)]
    whole = model.transform(drawn.x, domain=drawn.domain)
    for rows in (slice(0, 1), slice(50, 60)):
        assert_same_bytes(model.transform(drawn.x[rows], domain=drawn.domain[rows]), whole[rows])
    many = np.tile(drawn.x, (9, 1)), np.tile(drawn.domain, 9)
    np.testing.assert_allclose(model.transform(many[0], domain=many[1])[: len(whole)], whole, atol=1e-5)


@every_method
def test_bad_rows_are_refused_by_name(method, fitted):
    drawn, model = world(), fitted[type(method)]
    x, domain = drawn.x[:5], drawn.domain[:5]
    with refusal("unknown-domain") as caught:
        model.transform(x, domain=["domain 1"] * 4 + ["domain 9"])
    assert "'domain 9'" in str(caught.value)
    with refusal("missing-domain"):
        model.transform(x)
    holed = x.copy()
    holed[2, 1] = np.nan
    if not method.takes_missing:
        with refusal("missing-values") as caught:
            model.transform(holed, domain=domain)
        assert all(word in str(caught.value) for word in ("NaN", "'x1'", type(method).__name__))
        with refusal("missing-values"):
            model.transform(holed[2:3], domain=domain[2:3])
    with refusal("not-finite"):
        model.transform(np.where(np.isnan(holed), np.inf, holed), domain=domain)
    with pytest.raises(ValueError, match="X has 3 features, but Corrector is expecting 4"):
        model.transform(x[:, :3], domain=domain)
    with refusal("bad-length"):
        model.transform(x, domain=domain[:3])


@every_method
def test_bad_tables_are_refused_before_anything_is_fitted(method):
    drawn = world()
    holed = drawn.x.copy()
    holed[7] = np.nan
    model = unfitted(method)
    code, words = "empty-row", ("NaN", ": 7.")
    if not method.takes_missing:
        code, words = "missing-values", ("NaN", "'x2'", type(method).__name__)
    with refusal(code) as caught:
        model.fit(holed, hidden(drawn), domain=drawn.domain)
    assert all(word in str(caught.value) for word in words)
    lonely = drawn.domain.copy()
    lonely[0] = "alone"
    with refusal("tiny-domain") as caught:
        model.fit(drawn.x, hidden(drawn), domain=lonely)
    assert "'alone'" in str(caught.value)
    assert not hasattr(model, "model_")


def without_logarithm(method: Method) -> Method:
    """Return the method on measurements as they are."""
    if isinstance(method, PairwiseCalibration):
        return PairwiseCalibration(without_logarithm(method.pair))
    return vary(method, log=False) if hasattr(method, "inputs") else method


@every_method_large_in_ci
def test_the_unit_and_the_zero_of_a_feature_do_not_matter(method):
    """Rows a x + b, with numbers a and b of every feature's own, come out as a x' + b."""
    method, drawn = without_logarithm(method), world()
    x = drawn.x.astype(np.float64)
    expected = corrector(method, Cohort.from_arrays(x, drawn.domain, label=hidden(drawn))).transform(
        x, domain=drawn.domain
    )
    unit = np.array([1e-9, 1e-3, 1e4, 1e9])
    for offset in (0.0, unit * [3, -50, 1e5, 1e8]):
        table = unit * x + offset
        model = corrector(method, Cohort.from_arrays(table, drawn.domain, label=hidden(drawn)))
        found = model.transform(table, domain=drawn.domain)
        if method.keeps_units:
            found = (found - offset) / unit
        np.testing.assert_allclose(found, expected, atol=1e-4 * expected.std(axis=0).max())


@every_method
@pytest.mark.slow
def test_repeated_rows_are_rows_of_more_weight(method):
    if isinstance(method, Trainable):
        pytest.skip("minibatches of other rows are drawn")
    if isinstance(method, Directed):
        method = vary(method, target="domain 1")  # the largest domain is another one when rows are repeated
    drawn = world()
    times = np.random.default_rng(0).integers(1, 4, len(drawn.x))
    rows = drawn.x, drawn.domain, hidden(drawn)
    x, domain, label = (np.repeat(part, times, axis=0) for part in rows)
    repeated = Cohort.from_arrays(x, domain, label=label)
    alone = Cohort.from_arrays(drawn.x, drawn.domain, label=hidden(drawn))
    # No group may weigh more than the largest one has rows, so the weights are checked without that.
    weighted = dataclasses.replace(alone, weight=times[np.asarray(alone.row)].astype(np.int32))
    models = [jbc.Corrector(method).fit_cohort(table) for table in (repeated, weighted)]
    found, expected = (model.transform(drawn.x, domain=drawn.domain) for model in models)
    np.testing.assert_allclose(found, expected, atol=3e-4 * np.abs(expected).max())


@every_method
@pytest.mark.slow
def test_the_order_of_columns_does_not_matter_where_nothing_is_drawn(method):
    if isinstance(method, Trainable):
        pytest.skip("its networks begin with other weights for other columns")
    drawn, order = world(), np.array([2, 0, 3, 1])
    found, expected = (
        jbc.Corrector(method).fit(x, hidden(drawn), domain=drawn.domain).transform(x, domain=drawn.domain)
        for x in (drawn.x[:, order], drawn.x)
    )
    np.testing.assert_allclose(found, expected[:, order], atol=1e-4 * np.abs(expected).max())


@every_method
@pytest.mark.parametrize("where", ["everywhere", "in one domain"])
@pytest.mark.parametrize("value", [0.0, 5.0, 1234.567])
def test_constant_features_stay_in_place(method, where, value):
    """Dividing by their spread would blow rounding up into a signal, or into NaN."""
    drawn = world()
    x = drawn.x.copy()
    rows = slice(None) if where == "everywhere" else drawn.domain == "domain 2"
    x[rows, 0] = value
    with warnings.catch_warnings():
        # What warns, and of what, is in test_units.
        warnings.simplefilter("ignore", InputWarning)
        model = corrector(method, Cohort.from_arrays(x, drawn.domain, label=hidden(drawn)))
    corrected = model.transform(x, domain=drawn.domain)
    assert np.isfinite(corrected).all()
    assert corrected[:, 1:].std() < 2 * x[:, 1:].std()
    if where == "in one domain" and method.keeps_units and value < 100:
        # Where one domain lies a thousand spreads away, ten steps of a map for all features leave anything.
        others = drawn.domain != "domain 2"
        assert corrected[others, 0].std() < 2 * x[others, 0].std()
    if where == "everywhere" and not isinstance(method, PREPARATIONS):
        assert np.abs(corrected[:, 0] - value).max() <= 0.2 * (1 + value)
