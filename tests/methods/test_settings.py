"""What the settings of methods may be, and that every other value is refused by name, before anything is trained."""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Iterator
from typing import Annotated, Any

import jax
import numpy as np
import optax
import pytest
import tyro
from problems import JOINT, cohort, refusal, world

import jbc
from jbc.cli.fit import CHOICES, Choice
from jbc.cli.methods import written_out
from jbc.methods import presets, rules
from jbc.methods.adversarial import AdversarialCorrection
from jbc.methods.base import Method, Trainable
from jbc.methods.closed_form import Coral, Percentiles, QuantileMap
from jbc.methods.constraints import FILLED, Limit
from jbc.methods.denoising_autoencoder import DenoisingAutoencoder
from jbc.methods.distance_alignment import DistanceAlignment
from jbc.methods.editing import Editing
from jbc.methods.inputs import Inputs
from jbc.methods.mmd_resnet import MMDResNet
from jbc.methods.neuron_editing import NeuronEditing
from jbc.methods.pairwise import PairwiseCalibration
from jbc.methods.prepare import prepare
from jbc.methods.registry import METHODS, from_json, to_json
from jbc.methods.regularised_autoencoder import RegularisedAutoencoder
from jbc.methods.settings import (
    TRAINING,
    AdversarialTraining,
    Kernel,
    Route,
    Settings,
    Training,
    linear_factor,
)
from jbc.methods.wasserstein import WassersteinAlignment
from jbc.train import fit, fit_lanes

every_method = pytest.mark.parametrize("name", METHODS)


def annotated(cls: type) -> Iterator[tuple[str, Any]]:
    """Give every setting of a class and of what is nested in it, with its annotation."""
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        yield field.name, hints[field.name]
        if dataclasses.is_dataclass(hints[field.name]):
            yield from annotated(hints[field.name])


def parts(hint: Any) -> Iterator[Any]:
    """Give an annotation, and those that it is made of."""
    yield hint
    if typing.get_origin(hint) is not typing.Literal:
        for part in typing.get_args(hint):
            if part is not ... and not isinstance(part, Limit):
                yield from parts(part)


def refused(method: Method, *said: str, steps: Any = None) -> None:
    with refusal("bad-setting") as caught:
        rules.check(method, steps)
    for part in said:
        assert part in str(caught.value)


@every_method
def test_every_annotation_has_a_rule_that_the_default_keeps(name):
    for field, hint in annotated(METHODS[name]):
        rules.rule(hint)
        limited = [typing.get_args(part)[0] for part in parts(hint) if typing.get_origin(part) is Annotated]
        bare = [part for part in parts(hint) if part in (int, float)]
        assert len(bare) == len([part for part in limited if part in (int, float)]), f"{field} has no limits"
    rules.check(METHODS[name]())


def test_an_annotation_without_a_rule_is_an_error():
    for hint in (dict[str, int], list[int], complex, tuple, Any):
        with pytest.raises(TypeError, match="has no rule for it"):
            rules.rule(hint)


def test_published_settings_are_kept():
    for choice in CHOICES.values():
        rules.check(written_out(choice))


BAD: dict[Any, tuple[Any, ...]] = {
    bool: (0, 1, "no", "yes", None, 1.0, [True], np.int8(1)),
    int: (True, 1.5, "3", None, -1, math.nan, 2**31, np.float64(2), np.bool_(True), [3]),
    float: (
        True,
        "0.5",
        None,
        -1.0,
        math.nan,
        math.inf,
        1e39,
        10**400,
        1j,
        np.bool_(False),
        np.ones(1),
        1e-50,
    ),
    str: (0, None, ("a",), b"a"),
    tuple: ([1], "12", 1, None, np.ones(2), (True,), ("x", 1), (-1,), (0.5, "y"), {1: 2}),
    # A word, or a number of components.
    typing.Union: ("nonsense", "", 0, -1, True, 2.0, "3", ("all",), ["all"], np.ones(1)),
}


def kind_of(hint: Any) -> Any:
    """Return the plain type that an annotation limits."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return kind_of(typing.get_args(hint)[0])
    return hint if hint in BAD else origin


def nested(value: Any, within: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Give dotted name, annotation and value of every setting, groups and what is in them."""
    for name, hint, setting in rules.fields_of(value):
        yield within + name, hint, setting
        if dataclasses.is_dataclass(setting):
            yield from nested(setting, f"{within}{name}.")


@every_method
def test_other_values_are_refused_by_name(name):
    default = METHODS[name]()
    for path, hint, _ in nested(default):
        # None is a setting of its own, or what leaves a setting of a group to the method.
        optional = type(None) in typing.get_args(hint) or "." in path.removeprefix("pair.")
        (plain,) = (
            set(typing.get_args(hint)) - {type(None)} if type(None) in typing.get_args(hint) else (hint,)
        )
        kind = kind_of(plain)
        for value in (*BAD.get(kind, (None, "nonsense", 3, True, ("all",), ["all"])), Coral(), Kernel):
            if (optional and value is None) or (kind is tuple and hint is tuple[str, ...] and value == "12"):
                continue
            refused(rules.changed(default, {path: value}), f"{path}=")
        if FILLED in typing.get_args(hint):
            refused(rules.changed(default, {path: ()}), f"{path}=()")


NUMPY = {bool: np.bool_, int: np.int64, float: np.float32, str: np.str_}


@every_method
def test_scalars_of_numpy_are_settings_that_can_be_written(name):
    """Also where JSON does not know them; the model is saved with its method."""
    plain = METHODS[name]()
    same = {path: NUMPY[type(value)](value) for path, _, value in nested(plain) if type(value) in NUMPY}
    method = rules.changed(plain, same)
    rules.check(method)
    back = from_json(json.loads(json.dumps(to_json(method))))
    assert back == method
    assert all(type(rules.flattened(back)[path]) in NUMPY for path in same)


@pytest.mark.parametrize("steps", [0, -1, True, 1.5, "3", math.nan, 2**40, np.bool_(True)])
def test_steps_are_a_whole_number_from_1(steps):
    drawn, key = world(), jax.random.key(0)
    refused(jbc.Standardise(), f"steps={steps!r}", steps=steps)
    for call in (
        lambda: jbc.Corrector(JOINT, steps=steps).fit(drawn.x, domain=drawn.domain),
        lambda: fit(JOINT, cohort(), key, steps=steps),
        lambda: fit_lanes(JOINT, cohort(), jax.random.split(key, 2), steps=steps),
    ):
        with refusal("bad-setting") as caught:
            call()
        assert f"steps={steps!r}" in str(caught.value)
    rules.check(jbc.Standardise(), np.int64(3))


SENSELESS = [
    (jbc.JointCalibration(members=0), "members=0 is not a whole number from 1"),
    (jbc.JointCalibration(inputs=Inputs(log="x")), "log='x' is not True or False"),
    (jbc.JointCalibration(training=Training(rows=True)), "rows=True is not a whole number from 1"),
    (jbc.JointCalibration(dropout=1), "dropout=1 is not a number from 0 to below 1"),
    (jbc.JointCalibration(smoothing=1.0), "smoothing=1.0 is not a number from 0 to below 1"),
    (jbc.JointCalibration(training=Training(ema_decay=1.0)), "ema_decay=1.0"),
    (jbc.JointCalibration(training=Training(learning_rate=0.0)), "learning_rate=0.0 is not a number above 0"),
    (jbc.JointCalibration(training=Training(learning_rate=1e-60)), "learning_rate=1e-60 is no number of 32 bits"),
    (jbc.JointCalibration(training=Training(decay=0.0)), "decay=0.0 is not a number above 0, and at most 1"),
    (jbc.JointCalibration(training=Training(decay=1.1)), "decay=1.1"),
    (jbc.JointCalibration(kernel=Kernel(bandwidths=())), "is not a tuple of numbers above 0 that is not empty"),
    (jbc.JointCalibration(kernel=Kernel(bandwidths=(1.0, 0.0))), "bandwidths=(1.0, 0.0)"),
    (jbc.JointCalibration(kernel=Kernel(bandwidths=(-1.0,))), "bandwidths=(-1.0,)"),
    (PairwiseCalibration(jbc.JointCalibration(training=Training(rows=0))), "pair.training.rows=0"),
    (PairwiseCalibration(jbc.Standardise()), "is not a JointCalibration"),  # pyright: ignore
    (PairwiseCalibration(jbc.JointCalibration), "is not a JointCalibration"),  # pyright: ignore
    (AdversarialCorrection(residual="no"), "residual='no'"),
    (AdversarialCorrection(gamma=-1.0), "gamma=-1.0 is not a number from 0"),
    (AdversarialCorrection(critic=()), "critic=()"),
    (AdversarialCorrection(widths=(8, 0)), "widths=(8, 0)"),
    (WassersteinAlignment(critic=(0.5,)), "critic=(0.5,)"),
    (WassersteinAlignment(pretrain=-1), "pretrain=-1 is not a whole number from 0"),
    (WassersteinAlignment(training=AdversarialTraining(map_rate=0.0)), "map_rate=0.0"),
    (MMDResNet(training=Training(decay_epochs=0)), "decay_epochs=0"),
    (NeuronEditing(image="nonsense"), "is not a tuple of 3 whole numbers from 1, or None"),
    (NeuronEditing(image=(2, 2)), "image=(2, 2)"),
    (NeuronEditing(image=(2, 2, 0)), "image=(2, 2, 0)"),
    (NeuronEditing(editing=Editing(layers=(-1,))), "layers=(-1,) is not a tuple of whole numbers from 0, or None"),
    (NeuronEditing(editing=Editing(layers=(True,))), "layers=(True,)"),
    (NeuronEditing(editing=Editing(beyond="far")), "is not one of shift, clip, linear, refuse"),
    (NeuronEditing(editing=Editing(percentiles=1)), "percentiles=1 is not a whole number from 2"),
    (NeuronEditing(editing=Editing(pull=1.5)), "pull=1.5 is not a number from 0 to 1"),
    (QuantileMap(percentiles=1), "percentiles=1"),
    (DenoisingAutoencoder(dropout=0.999), "dropout=0.999 is not a number from 0 to 255/256"),
    (RegularisedAutoencoder(weight=-1.0), "weight=-1.0"),
    (Coral(ridge=-1.0), "ridge=-1.0"),
    (Percentiles(factors=0), "factors=0"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "said"), SENSELESS, ids=[said for _, said in SENSELESS])
def test_what_means_nothing_is_refused(method, said):
    refused(method, said)


MEANINGFUL = [
    WassersteinAlignment(pretrain=0),
    NeuronEditing(editing=Editing(layers=(0,))),
    jbc.JointCalibration(align=0, noise=0, dropout=0, training=Training(weight_decay=0)),
    jbc.JointCalibration(training=Training(decay=1, learning_rate=1)),
    AdversarialCorrection(gamma=0, identity=0, cycle=0),
    NeuronEditing(editing=Editing(pull=1)),
]


@pytest.mark.parametrize("method", MEANINGFUL, ids=lambda method: type(method).__name__)
def test_what_means_something_is_not(method):
    prepare(method, cohort())


@pytest.mark.slow
def test_critics_need_no_training_of_their_own_before_the_maps():
    drawn = world()
    model = jbc.Corrector(
        WassersteinAlignment(pretrain=0, training=AdversarialTraining(rows=8, updates=4))
    ).fit(drawn.x, domain=drawn.domain)
    assert model.n_steps_ == 4 * (5 + 1)
    assert model.history_[-1]["transforms"] > 0


CONTRADICTIONS = [
    (jbc.JointCalibration(training=Training(min_steps=9, max_steps=8)), ("min_steps=9", "max_steps=8")),
    (MMDResNet(training=Training(max_steps=10)), ("min_steps=1000", "max_steps=10")),
    (NeuronEditing(training=Training(max_steps=10)), ("max_steps=10",)),
    (RegularisedAutoencoder(training=Training(max_steps=10)), ("max_steps=10",)),
    (DenoisingAutoencoder(training=Training(max_steps=10)), ("max_steps=10",)),
    (PairwiseCalibration(jbc.JointCalibration(training=Training(max_steps=10))), ("max_steps=10",)),
    (jbc.JointCalibration(align=0, classify=0, reconstruct=0), ("align=0", "classify=0", "reconstruct=0")),
    (jbc.JointCalibration(align=0, classify=0, rebuild="none"), ("align=0",)),
    (NeuronEditing(editing=Editing(layers=(7,))), ("layers=(7,)", "the layers are 0 to 6")),
    (NeuronEditing(editing=Editing(layers=())), ("layers=()",)),
    (NeuronEditing(editing=Editing(layers=(3, 3))), ("layers=(3, 3)", "edited once")),
    (WassersteinAlignment(gamma=0), ("gamma=0",)),
    (AdversarialCorrection(objective="wasserstein", gamma=0), ("gamma=0",)),
]  # fmt: skip


@pytest.mark.parametrize(("method", "said"), CONTRADICTIONS, ids=[str(said) for _, said in CONTRADICTIONS])
def test_settings_that_contradict_each_other_are_refused(method, said):
    with refusal("bad-setting") as caught:
        prepare(method, cohort())
    for part in said:
        assert part in str(caught.value)


@pytest.mark.parametrize("cls", [MMDResNet, AdversarialCorrection, RegularisedAutoencoder, NeuronEditing])
def test_a_target_is_no_source(cls):
    with refusal("two-roles") as caught:
        prepare(cls(route=Route(target="domain 1", source=("domain 1",))), cohort())
    assert "'domain 1'" in str(caught.value)


# Losses and norms that compare rows of a domain need two; others learn from one row of every domain at a time.
ALONE: dict[str, list[Method]] = {
    "joint-calibration": [jbc.JointCalibration(align=0.0, training=Training(rows=1))],
    "pairwise-calibration": [PairwiseCalibration(jbc.JointCalibration(align=0.0, training=Training(rows=1)))],
    "wasserstein-alignment": [
        WassersteinAlignment(pretrain=2, training=AdversarialTraining(rows=1, critic_steps=1))
    ],
    "neuron-editing": [NeuronEditing(widths=(4,), training=Training(rows=1))],
    "denoising-autoencoder": [DenoisingAutoencoder(widths=(4,), training=Training(rows=1))],
}
TOGETHER: dict[str, list[Method]] = {
    "joint-calibration": [
        jbc.JointCalibration(training=Training(rows=1)),
        jbc.JointCalibration(training=Training(rows=1), kernel=Kernel(unbiased=False)),
        jbc.JointCalibration(align=0.0, family="multibatch", training=Training(rows=1)),
        jbc.JointCalibration(align=0.0, family="twobatch", training=Training(rows=1)),
    ],
    "pairwise-calibration": [PairwiseCalibration(jbc.JointCalibration(training=Training(rows=1)))],
    "distance-alignment": [DistanceAlignment(rows=1, distance=d) for d in ("gaussian", "sliced", "mmd")],
    "mmd-resnet": [
        MMDResNet(training=Training(rows=1)),
        MMDResNet(objective="root", training=Training(rows=1), kernel=Kernel(unbiased=False)),
    ],
    "adversarial-correction": [
        AdversarialCorrection(training=AdversarialTraining(rows=1)),
        AdversarialCorrection(residual=False, training=AdversarialTraining(rows=1)),
    ],
    "regularised-autoencoder": [
        RegularisedAutoencoder(training=Training(rows=1)),
        RegularisedAutoencoder(training=Training(rows=1), kernel=Kernel(unbiased=False)),
    ],
}  # fmt: skip


def test_every_trained_method_is_asked_about_single_rows():
    assert ALONE.keys() | TOGETHER.keys() == {n for n, cls in METHODS.items() if issubclass(cls, Trainable)}


@pytest.mark.parametrize("method", [each for some in TOGETHER.values() for each in some], ids=str)
def test_a_single_row_of_a_domain_is_refused_where_rows_are_compared(method):
    with refusal("bad-setting") as caught:
        prepare(method, cohort())
    assert "rows=1" in str(caught.value)
    assert "Set rows=2 or more" in str(caught.value)


@pytest.mark.parametrize("method", [each for some in ALONE.values() for each in some], ids=str)
@pytest.mark.slow
def test_a_single_row_of_a_domain_is_enough_elsewhere(method):
    drawn = world()
    model = jbc.Corrector(method, steps=6).fit(drawn.x, domain=drawn.domain)
    assert np.isfinite(model.history_[-1]["loss"])
    assert np.isfinite(model.transform(drawn.x, domain=drawn.domain)).all()


# Groups of settings, and configurations that were published.


@every_method
def test_what_a_group_leaves_out_is_the_methods_default(name):
    default = METHODS[name]()
    for field in dataclasses.fields(default):
        group = getattr(default, field.name)
        if not isinstance(group, Settings):
            continue
        empty = type(group)()
        assert all(value is None for value in rules.flattened(empty).values())
        assert dataclasses.replace(default, **{field.name: empty}) == default
        for one, value in rules.flattened(group).items():
            left = dataclasses.replace(group, **{one: None})
            assert dataclasses.replace(default, **{field.name: left}) == default, one
            given = dataclasses.replace(empty, **{one: value})
            assert getattr(dataclasses.replace(default, **{field.name: given}), field.name) == group


def test_methods_fill_the_same_group_with_defaults_of_their_own():
    rows = {
        cls: cls(training=Training(epochs=7)).training
        for cls in (jbc.JointCalibration, MMDResNet, NeuronEditing, DenoisingAutoencoder)
    }
    assert [training.rows for training in rows.values()] == [128, 256, 100, 100]
    assert {training.epochs for training in rows.values()} == {7}
    assert MMDResNet(inputs=Inputs(log=True)).inputs == Inputs(True, "keep", "domain", "auto")
    assert NeuronEditing(inputs=Inputs(log=True)).inputs == Inputs(True, "keep", "pooled", "auto")
    critics = WassersteinAlignment(training=AdversarialTraining(rows=3)).training
    assert (critics.critic_steps, critics.map_rate) == (5, 5e-3)
    assert AdversarialCorrection(training=AdversarialTraining(rows=3)).training.critic_steps == 3


def test_settings_are_changed_by_their_dotted_names():
    pairs = PairwiseCalibration()
    found = rules.changed(pairs, {"pair.training.rows": 9, "pair.members": 2, "pair.kernel.unit": "fixed"})
    expected = jbc.JointCalibration(members=2, training=Training(rows=9), kernel=Kernel(unit="fixed"))
    assert found == PairwiseCalibration(expected)
    whole = rules.changed(jbc.JointCalibration(), {"training": Training(epochs=3), "training.rows": 9})
    assert whole == jbc.JointCalibration(
        training=Training(epochs=3, rows=9)
    )  # a group, and one of its settings
    assert rules.changed(pairs, {}) == pairs


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rows": 9}, ("JointCalibration", "'rows'", "training")),
        ({"training.row": 9}, ("Training", "'row'", "rows, epochs")),
        ({"trainings.rows": 9}, ("JointCalibration", "'trainings'")),
        ({"training.rows": 9, "nonsense": 1}, ("JointCalibration", "'nonsense'")),
    ],
    ids=str,
)
def test_unknown_settings_are_refused_by_name(changes, said):
    with refusal("unknown-setting") as caught:
        rules.changed(jbc.JointCalibration(), changes)
    for part in said:
        assert part in str(caught.value)


def four_parts(caught: pytest.ExceptionInfo[jbc.InputError], what: str, which: str, fix: str) -> None:
    error = caught.value
    assert what in error.what
    assert which in str(error)
    assert len(error.why) > 20
    assert fix in error.fix


@pytest.mark.parametrize(
    ("call", "what", "fix"),
    [
        (lambda: presets.joint("scrnaseq"), "data='scrnaseq'", "Did you mean 'scrna'?"),
        (lambda: presets.joint("zebra"), "data='zebra'", "It is 'mi', 'chd', 'scrna', 'cytof'."),
        (lambda: presets.joint("mi", "papers"), "truth='papers'", "Did you mean 'paper'?"),  # pyright: ignore
        (lambda: presets.wasserstein("code"), "truth='code'", "'paper', 'reference'"),  # pyright: ignore
        (lambda: presets.adversarial("cyclegan"), "kind='cyclegan'", "'cycle-gan'"),  # pyright: ignore
        (lambda: presets.regularised_autoencoder("sauce"), "kind='sauce'", "'saucie'"),  # pyright: ignore
    ],
)
def test_configurations_that_nobody_published_are_refused(call, what, fix):
    with refusal("unknown-preset") as caught:
        call()
    four_parts(caught, what, what, fix)


@pytest.mark.parametrize(
    ("call", "which", "fix"),
    [
        (lambda: presets.joint("mi", rows=12), "'rows'", "'inputs', 'family'"),
        (lambda: presets.wasserstein(distance="sliced"), "'distance'", "'maps', 'width'"),
        (lambda: presets.mmd_resnet(bandwidths=(1.0,), log=True), "'bandwidths', 'log'", "'route', 'inputs'"),
        (lambda: presets.adversarial(learning_rate=1e-3), "'learning_rate'", "'route', 'inputs'"),
        (lambda: presets.neuron_editing(edit_layers=(3,)), "'edit_layers'", "'widths'"),
        (lambda: presets.regularised_autoencoder(target="a"), "'target'", "'route'"),
    ],
)
def test_presets_refuse_settings_that_they_do_not_have(call, which, fix):
    with refusal("unknown-setting") as caught:
        call()
    four_parts(caught, "Unknown settings of ", which, fix)


def test_what_a_change_of_a_preset_leaves_out_stays_published():
    published = presets.joint("mi").training
    changed = presets.joint("mi", training=Training(rows=12)).training
    assert changed == dataclasses.replace(published, rows=12)
    assert changed.weight_decay == 5e-5
    assert presets.joint("mi", kernel=Kernel(unbiased=True)).kernel == Kernel(
        (1.0, 2.0, 4.0, 8.0, 16.0), "fixed", unbiased=True
    )
    assert presets.mmd_resnet(inputs=Inputs(scale="domain")).inputs == Inputs(True, "keep", "domain", "none")
    # A group that was not published is filled by the method.
    assert presets.wasserstein(importance=(("DMSO", 2.0),)).importance == (("DMSO", 2.0),)
    assert presets.adversarial("gan", route=Route(target="a")).route == Route("a", (), ())


@pytest.mark.parametrize(("decay", "epochs"), [(0.5, 1), (0.1, 150), (1.0, 1), (0.9 ** (1 / 10_000), 1)])
def test_the_rate_is_that_of_optax(decay, epochs):
    training = Training(learning_rate=3e-3, decay=decay, decay_epochs=epochs).over(TRAINING)
    schedule = optax.exponential_decay(3e-3, transition_steps=epochs, decay_rate=decay, staircase=True)
    for epoch in (0, 1, epochs - 1, epochs, 2 * epochs, 5 * epochs + 1):
        found = [np.asarray(training.rate(epoch)), np.asarray(jax.jit(training.rate)(epoch))]
        np.testing.assert_allclose(found, np.asarray(schedule(epoch)), rtol=1e-6)
        np.testing.assert_allclose(found, 3e-3 * decay ** (epoch // epochs), rtol=1e-5)


@pytest.mark.parametrize("length", [1, 7, 10, 800])
def test_rates_that_fall_linearly_are_those_of_optax_and_end_at_0(length):
    """Compiled too: there, rounding would leave a little of a rate, of either sign."""
    schedule, training = optax.linear_schedule(1.0, 0.0, length), AdversarialTraining(updates=length)
    training = dataclasses.replace(training, linear_decay=True)
    for call in (
        training.rate_factor,
        jax.jit(training.rate_factor),
        jax.jit(lambda n: linear_factor(n, length)),
    ):
        for updates in (0, length // 2, length - 1):
            np.testing.assert_allclose(call(updates), np.asarray(schedule(updates)), atol=1e-6)
        assert [float(call(updates)) for updates in (length, length + 1, 9 * length)] == [0, 0, 0]
    assert dataclasses.replace(training, linear_decay=False).rate_factor(3) == 1


# The command line is made from the annotations, and JSON is read by them.


def parsed(*words: str) -> Method:
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
    return tyro.cli(Choice, args=list(words), config=config)


@pytest.mark.parametrize("name", CHOICES)
def test_every_method_is_read_from_the_command_line(name, capsys):
    assert parsed(name) == CHOICES[name]
    words = [name]
    for path, value in rules.flattened(CHOICES[name]).items():
        option = "--" + path.rpartition(".")[2].replace("_", "-")
        if dataclasses.is_dataclass(value):
            continue  # its fields have options of their own
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        elif value != "" and value != ():
            words += [option, *map(str, value if isinstance(value, tuple) else [value])]
    assert parsed(*words) == CHOICES[name]
    with pytest.raises(SystemExit) as ended:
        parsed(name, "--help")
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "Limit" not in told
    assert "Annotated" not in told
    assert all(word.split("=")[0] in told for word in words if word.startswith("--") and "-no-" not in word)


def test_tuples_are_read_from_the_command_line():
    method = parsed("neuron-editing", "--layers", "0", "3", "--image", "2", "1", "2", "--widths", "4")
    assert method == NeuronEditing(image=(2, 1, 2), widths=(4,), editing=Editing(layers=(0, 3)))
    assert parsed("neuron-editing", "--layers", "None") == NeuronEditing()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("joint-calibration", {"members": "12"}),
        ("joint-calibration", {"coupled": 1}),
        ("joint-calibration", {"members": None}),
        ("pairwise-calibration", {"pair": 3}),
        ("pairwise-calibration", {"pair": to_json(jbc.JointCalibration())["fields"] | {"members": [1]}}),
        ("neuron-editing", {"image": {"a": 1}}),
    ],
)
def test_damaged_settings_of_a_saved_model_are_refused(name, fields):
    record = to_json(METHODS[name]())
    with refusal("bad-setting"):
        from_json(record | {"fields": record["fields"] | fields})
