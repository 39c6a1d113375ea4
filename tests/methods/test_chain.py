"""Methods one after the other, as one method."""

from __future__ import annotations

import dataclasses
import json

import jax
import numpy as np
import pytest
from problems import CHUNK, JOINT, cohort, gap_of_means, hidden, refusal, world

import jbc
from jbc.cohort import Cohort
from jbc.methods.registry import from_json, to_json
from jbc.train import fit_lanes

DRAWN = world()
CENTRE, MAP = jbc.Standardise(scale=False), jbc.QuantileMap()


def labelled() -> Cohort:
    return Cohort.from_arrays(DRAWN.x, DRAWN.domain, label=hidden(DRAWN))


def test_rows_go_through_all_methods():
    first = jbc.fit(CENTRE, cohort())
    centred = first.transform(DRAWN.x, DRAWN.domain)
    second = jbc.fit(MAP, Cohort.from_arrays(centred, DRAWN.domain), composition="assume-equal")
    chain = jbc.fit(jbc.Chain(CENTRE, MAP), cohort())
    expected = second.transform(centred, DRAWN.domain)
    np.testing.assert_allclose(chain.transform(DRAWN.x, DRAWN.domain), expected, atol=1e-5)
    assert gap_of_means(expected, DRAWN.domain) < 0.3


def test_one_method_alone_is_that_method():
    one, alone = (jbc.fit(method, cohort()) for method in (jbc.Chain(MAP), MAP))
    np.testing.assert_array_equal(
        one.transform(DRAWN.x, DRAWN.domain), alone.transform(DRAWN.x, DRAWN.domain)
    )


def test_the_last_one_is_trained_and_the_chain_can_do_what_it_can(tmp_path):
    method = jbc.Chain(CENTRE, JOINT)
    model = jbc.fit(method, labelled(), steps=CHUNK)
    assert model.record.steps == CHUNK
    led = jbc.fit(CENTRE, labelled()).transform(DRAWN.x, DRAWN.domain)
    alone = jbc.fit(
        JOINT,
        Cohort.from_arrays(led, DRAWN.domain, label=hidden(DRAWN)),
        steps=CHUNK,
        composition="assume-equal",
    )
    for name in ("transform", "encode", "predict_proba"):
        through = getattr(model, name)(DRAWN.x, DRAWN.domain)
        np.testing.assert_allclose(through, getattr(alone, name)(led, DRAWN.domain), atol=2e-3)
    loaded = jbc.load(model.save(tmp_path / "model"))
    assert loaded.method == method
    assert loaded.code_names() == alone.code_names()
    for name in ("transform", "encode", "predict_proba"):
        one, other = (getattr(each, name)(DRAWN.x, DRAWN.domain) for each in (loaded, model))
        np.testing.assert_array_equal(one, other)
    corrector = jbc.Corrector(method, steps=CHUNK).fit(DRAWN.x, hidden(DRAWN), domain=DRAWN.domain)
    assert corrector.predict(DRAWN.x, domain=DRAWN.domain).shape == (len(DRAWN.x),)
    assert not hasattr(jbc.Corrector(jbc.Chain(JOINT, CENTRE)), "predict")


def test_an_interrupted_chain_goes_on(tmp_path):
    method, folder = jbc.Chain(CENTRE, JOINT), tmp_path / "checkpoints"

    def stop(event) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jbc.fit(method, labelled(), steps=2 * CHUNK, chunk=CHUNK, checkpoints=folder, hooks=[stop])
    resumed = jbc.fit(method, labelled(), steps=2 * CHUNK, chunk=CHUNK, checkpoints=folder)
    through = jbc.fit(method, labelled(), steps=2 * CHUNK, chunk=CHUNK)
    one, other = (model.transform(DRAWN.x, DRAWN.domain) for model in (resumed, through))
    np.testing.assert_array_equal(one, other)


def test_populations_are_estimated_once_and_domains_stay_where_nothing_moves():
    """A world without effects of domains comes out as it went in, through all methods."""
    rng = np.random.default_rng(3)
    x, domain = rng.normal(size=(400, 5)), np.repeat(["a", "b"], 200)
    model = jbc.fit(jbc.Chain(CENTRE, MAP), Cohort.from_arrays(x, domain))
    if model.composition.verdict == "none":
        np.testing.assert_array_equal(model.transform(x, domain), x.astype(np.float32))
    given = Cohort.from_arrays(x, domain).with_populations(np.tile(["p", "q"], 200))
    assert jbc.fit(jbc.Chain(CENTRE, MAP), given).composition.verdict == "given"


def test_settings_are_written_by_name():
    method = jbc.Chain(jbc.Standardise(on="controls"), jbc.PairwiseCalibration(JOINT))
    record = json.loads(json.dumps(to_json(method)))
    assert [link["name"] for link in record["fields"]["methods"]] == ["standardise", "pairwise-calibration"]
    assert from_json(record) == method
    assert dataclasses.replace(method, methods=(CENTRE,)) == jbc.Chain(CENTRE)
    assert method.leading == (jbc.Standardise(on="controls"),)


@pytest.mark.parametrize(
    ("method", "code"),
    [
        (jbc.Chain(JOINT, CENTRE), "bad-chain"),  # a trained one first
        (jbc.Chain(jbc.Percentiles(on="all"), CENTRE), "bad-chain"),  # no measurements any more
        (jbc.Chain(CENTRE, jbc.Chain(CENTRE, MAP)), "bad-chain"),
        (jbc.Chain(CENTRE, jbc.Standardise(on="wells")), "bad-setting"),  # pyright: ignore[reportArgumentType]
        (jbc.Chain(CENTRE, "standardise"), "bad-setting"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_what_is_no_chain_is_refused(method, code):
    with refusal(code):
        jbc.fit(method, cohort())


def test_a_chain_of_nothing_and_other_arguments_are_errors():
    for methods, named in (
        ((), {"methods": ()}),
        ((CENTRE,), {"links": 1}),
        ((CENTRE,), {"methods": (MAP,)}),
    ):
        with pytest.raises(TypeError, match="Chain takes"):
            jbc.Chain(*methods, **named)


def test_chains_have_no_lanes_and_do_not_adapt():
    keys = jax.random.split(jax.random.key(0), 2)
    with refusal("not-trained"):
        fit_lanes(jbc.Chain(CENTRE, JOINT), labelled(), keys, steps=2)  # pyright: ignore[reportArgumentType]
    control = np.arange(len(DRAWN.x)) % 3 == 0
    table = Cohort.from_arrays(DRAWN.x, DRAWN.domain, control=control)
    model = jbc.fit(jbc.Chain(CENTRE, jbc.Standardise(on="controls")), table)
    with refusal("cannot-adapt"):
        model.adapt(DRAWN.x[:20], np.full(20, "new"))


def test_rows_of_the_fit_lie_inside_the_support_of_a_chain():
    model = jbc.fit(jbc.Chain(CENTRE, MAP), cohort())
    assert np.mean(model.out_of_support(DRAWN.x, DRAWN.domain) > 1) < 0.1
    assert (model.out_of_support(DRAWN.x + 100, DRAWN.domain) > 1).all()
