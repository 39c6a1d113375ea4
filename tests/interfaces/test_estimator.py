"""The scikit-learn face: its own checks, pipelines, names, files and seeds."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
import sklearn.exceptions
from problems import CHUNK, JOINT, TARGET, Walk, assert_same_bytes, hidden, no_compilation, refusal, world
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import jbc
from jbc import Corrector, JointCalibration, Standardise
from jbc.errors import InputWarning
from jbc.methods.settings import Training
from jbc.metrics import unit_medians
from jbc.train import Stopping

NAMES = [f"peak {number}" for number in range(4)]


@pytest.fixture(scope="module")
def drawn():
    return world()


@pytest.fixture(scope="module")
def frame(drawn):
    return pd.DataFrame(drawn.x, columns=NAMES)


@pytest.fixture(scope="module")
def model(drawn):
    return Corrector(JOINT, steps=CHUNK).fit(drawn.x, hidden(drawn), domain=drawn.domain)


@pytest.fixture(scope="module")
def named(drawn, frame):
    return Corrector(JOINT, steps=CHUNK).fit(frame, hidden(drawn), domain=drawn.domain)


def checks_of(estimator: Corrector) -> pytest.MarkDecorator:
    """Give scikit-learn's own parametrisation as a list: its older versions pass what pytest deprecates."""
    mark = parametrize_with_checks([estimator]).mark
    names, cases = mark.args
    return pytest.mark.parametrize(names, list(cases), **mark.kwargs)


ONE_DOMAIN = pytest.mark.filterwarnings("ignore:All rows are of one domain")


# What is skipped is skipped by scikit-learn itself; no failure is expected.
@ONE_DOMAIN
@checks_of(Corrector(Standardise()))
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@ONE_DOMAIN
@checks_of(Corrector(JointCalibration(dropout=0.0, training=Training(rows=8)), steps=1))
def test_scikit_learns_own_checks_of_a_trained_method(estimator, check):
    check(estimator)


@pytest.mark.slow
def test_a_pipeline_routes_the_domain(drawn):
    """Scaler, corrector, classifier: the corrector alone asks for the domain of each row."""
    with sklearn.config_context(enable_metadata_routing=True):
        corrector = Corrector(JOINT, steps=20 * CHUNK).set_fit_request(domain=True)
        corrector = corrector.set_transform_request(domain=True)
        pipeline = make_pipeline(StandardScaler(), corrector, LinearDiscriminantAnalysis())
        pipeline.fit(drawn.x, drawn.label, domain=drawn.domain)
        found = pipeline.predict(drawn.x, domain=drawn.domain)
        scaled = StandardScaler().fit_transform(drawn.x)
        alone = Corrector(JOINT, steps=20 * CHUNK).fit(scaled, drawn.label, domain=drawn.domain)
        corrected = pipeline[:-1].transform(drawn.x, domain=drawn.domain)
    assert_same_bytes(corrected, alone.transform(scaled, domain=drawn.domain))
    assert (found == drawn.label).mean() > 0.95


@pytest.mark.parametrize("output", ["features", "codes"])
@pytest.mark.slow
def test_frames_come_back_as_frames(drawn, frame, named, output):
    frame = frame.set_index(np.arange(len(frame)) + 1000)
    model = pickle.loads(pickle.dumps(named)).set_params(output=output).set_output(transform="pandas")
    found = model.transform(frame, domain=drawn.domain)
    assert isinstance(found, pd.DataFrame)
    assert found.index.equals(frame.index)
    assert list(found.columns) == (NAMES if output == "features" else [f"jbc{i}" for i in range(4)])
    plain = model.set_output(transform="default").transform(frame, domain=drawn.domain)
    np.testing.assert_array_equal(found.to_numpy(), plain)


def test_feature_names_out(model, named):
    assert model.get_feature_names_out().tolist() == ["x0", "x1", "x2", "x3"]
    assert named.get_feature_names_out(NAMES).tolist() == NAMES
    drawn = world()
    factors = jbc.Corrector(jbc.Percentiles(factors=2, on="all"), output="codes").fit(
        drawn.x, domain=drawn.domain
    )
    assert factors.get_feature_names_out().tolist() == ["jbc0", "jbc1"]
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        named.get_feature_names_out(NAMES[::-1])


def test_columns_are_recognised_by_their_names(drawn, frame, named):
    expected = named.transform(frame, domain=drawn.domain)
    for bad in (
        frame[NAMES[::-1]],
        frame[NAMES[:3]],
        frame.assign(more=1.0),
        frame.rename(columns={NAMES[0]: "m"}),
    ):
        with pytest.raises(ValueError, match="feature names should match"):
            named.transform(bad, domain=drawn.domain)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert_same_bytes(named.transform(frame.to_numpy(), domain=drawn.domain), expected)


def test_names_change_nothing(drawn, model, named, frame):
    assert_same_bytes(named.model_.fitted, model.model_.fitted)
    labels, domains = pd.Series(hidden(drawn), dtype="category"), pd.Categorical(drawn.domain)
    with no_compilation():
        again = Corrector(JOINT, steps=CHUNK).fit(frame, labels, domain=domains)
    assert_same_bytes(again.model_.fitted, model.model_.fitted)


def test_fit_transform_is_fit_then_transform(drawn, model):
    found = Corrector(JOINT, steps=CHUNK).fit_transform(drawn.x, hidden(drawn), domain=drawn.domain)
    assert_same_bytes(found, model.transform(drawn.x, domain=drawn.domain))


def test_the_domain_may_be_left_out_when_there_is_one():
    x = world().x
    with pytest.warns(InputWarning, match="All rows are of one domain"):
        model = Corrector(Standardise()).fit(x)
    np.testing.assert_allclose(model.transform(x), x, atol=1e-5)
    assert_same_bytes(model.transform(x), model.transform(x, domain=["all"] * len(x)))


# Predictions


def test_probabilities_and_classes(drawn, model):
    probability = model.predict_proba(drawn.x, domain=drawn.domain)
    assert probability.shape == (len(drawn.x), 2)
    assert probability.min() >= 0
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-6)
    found = model.predict(drawn.x, domain=drawn.domain)
    np.testing.assert_array_equal(found, model.classes_[probability.argmax(axis=1)])
    assert set(found) <= {"class 0", "class 1"}


def test_a_unit_gets_the_median_over_its_rows(drawn, model):
    unit = np.array([f"{domain}-{row // 7}" for row, domain in enumerate(drawn.domain)])
    rows = model.predict_proba(drawn.x, domain=drawn.domain)
    medians = pd.DataFrame(rows).groupby(unit).transform("median").to_numpy()
    expected = medians / medians.sum(axis=1, keepdims=True)
    found = model.predict_proba(drawn.x, domain=drawn.domain, unit=unit)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    told = pd.Series(model.predict(drawn.x, domain=drawn.domain, unit=unit))
    assert set(told.groupby(unit).nunique()) == {1}
    with refusal("bad-length"):
        model.predict_proba(drawn.x, domain=drawn.domain, unit=unit[1:])


def test_medians_of_many_classes_sum_to_one():
    probability = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.2, 0.3, 0.5]])
    found = unit_medians(probability, ["a", "a", "a", "b"])
    np.testing.assert_allclose(found, [[1 / 3] * 3] * 3 + [[0.2, 0.3, 0.5]])


def test_methods_without_a_classifier_have_no_predict(drawn):
    model = Corrector(Standardise()).fit(drawn.x, drawn.label, domain=drawn.domain)
    assert not hasattr(model, "predict")
    assert not hasattr(model, "predict_proba")
    assert hasattr(Corrector(JOINT), "predict")


@pytest.mark.parametrize("kind", [int, float, bool])
def test_classes_keep_their_type(drawn, kind):
    label = np.array([kind(each == "class 1") for each in drawn.label], dtype=object)
    label[drawn.domain == TARGET] = None
    model = Corrector(JOINT, steps=CHUNK).fit(drawn.x, label, domain=drawn.domain)
    assert model.classes_.dtype == np.array([kind(0)]).dtype
    assert model.predict(drawn.x, domain=drawn.domain).dtype == model.classes_.dtype


# Settings


@pytest.mark.parametrize(("method", "output"), [(JOINT, "latent"), (Standardise(), "codes")])
def test_outputs_that_a_method_does_not_have_are_refused(drawn, method, output):
    with refusal("bad-output"):
        Corrector(method, output=output).fit(drawn.x, domain=drawn.domain)
    model = Corrector(Standardise()).fit(drawn.x, domain=drawn.domain)
    with refusal("bad-output"):
        model.set_params(method=method, output=output).transform(drawn.x, domain=drawn.domain)


def test_random_state(drawn):
    def fit(random_state):
        return Corrector(Walk(), random_state=random_state).fit(drawn.x, domain=drawn.domain)

    def at(model):
        return model.model_.fitted["at"].tolist()

    assert at(fit(3)) == at(fit(3))
    assert at(fit(np.random.RandomState(3))) == at(fit(np.random.RandomState(3)))
    assert fit(3).seed_ == fit(3).seed_ != fit(4).seed_
    assert at(fit(3)) != at(fit(4))
    assert len({fit(None).seed_ for _ in range(4)}) > 1


def test_default_steps_hooks_and_stopping_reach_the_loop(drawn):
    told = []
    model = Corrector(Walk(), hooks=[lambda event: told.append(event.step)]).fit(drawn.x, domain=drawn.domain)
    assert model.n_steps_ == told[-1] == 12
    assert [row["step"] for row in model.history_] == told
    assert all(type(row["loss"]) is float for row in model.history_)
    stopping = Stopping(lambda fitted, validation: 0.0, patience=1)
    model = Corrector(Walk(), steps=400, stopping=stopping).fit(drawn.x, domain=drawn.domain)
    assert model.n_steps_ < 400
    assert model.stopped_


def test_fitting_prints_nothing_when_told_so(drawn, capsys):
    Corrector(JOINT, steps=CHUNK, verbose=False).fit(drawn.x, hidden(drawn), domain=drawn.domain)
    told = capsys.readouterr()
    assert told.out == told.err == ""


def test_a_failed_fit_leaves_the_old_model(drawn, model):
    model = pickle.loads(pickle.dumps(model))
    expected = model.transform(drawn.x, domain=drawn.domain)
    with refusal("not-finite"):
        model.fit(np.where(drawn.x == drawn.x[3, 2], np.inf, drawn.x), hidden(drawn), domain=drawn.domain)
    assert_same_bytes(model.transform(drawn.x, domain=drawn.domain), expected)


# Files


def test_a_loaded_model_is_the_saved_one(drawn, frame, named, tmp_path):
    folder = named.save(tmp_path / "runs" / "model")
    loaded = Corrector.load(folder)
    for name in ("seed_", "n_steps_", "history_", "domains_", "stopped_", "output"):
        assert getattr(loaded, name) == getattr(named, name), name
    assert loaded.feature_names_in_.tolist() == NAMES
    assert_same_bytes(
        loaded.predict_proba(frame, domain=drawn.domain), named.predict_proba(frame, domain=drawn.domain)
    )
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.transform(frame[NAMES[::-1]], domain=drawn.domain)
    with refusal("exists"):
        named.save(folder)
    named.save(folder, overwrite=True)
    assert_same_bytes(jbc.load(folder).fitted, loaded.model_.fitted)


def test_what_is_no_model_is_refused(drawn, tmp_path):
    from jbc.train.checkpoint import write

    with pytest.raises(sklearn.exceptions.NotFittedError):
        Corrector(Standardise()).save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    with refusal("no-checkpoint"):
        jbc.load(tmp_path / "nowhere")
    write(tmp_path / "step", {"x": np.ones(2)}, {"kind": "checkpoint"})
    with refusal("not-a-model"):
        jbc.load(tmp_path / "step")
    model = Corrector(Standardise()).fit(drawn.x, domain=drawn.domain)
    model.save(tmp_path / "model")
    leaf = next(path for path in (tmp_path / "model" / "arrays").rglob("*") if path.is_file())
    leaf.write_bytes(leaf.read_bytes()[:-1])
    with refusal("corrupt-checkpoint") as caught:
        jbc.load(tmp_path / "model")
    assert leaf.name in str(caught.value)
