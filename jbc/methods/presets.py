"""Named configurations: what the papers print, and what the released programs do where that differs.

``paper`` follows the publication, ``reference`` the authors' code. The defaults of the methods are neither:
they are what we believe in.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypeVar, get_args

from jbc.errors import InputError, closest, listing
from jbc.methods.adversarial import AdversarialCorrection
from jbc.methods.base import Method
from jbc.methods.editing import Editing
from jbc.methods.inputs import Inputs
from jbc.methods.joint import JointCalibration
from jbc.methods.mmd_resnet import MMDResNet
from jbc.methods.neuron_editing import NeuronEditing
from jbc.methods.regularised_autoencoder import RegularisedAutoencoder
from jbc.methods.settings import AdversarialTraining, Kernel, Settings, Training
from jbc.methods.wasserstein import WassersteinAlignment

M = TypeVar("M", bound=Method)
Changes = dict[str, Any]
Truth = Literal["paper", "reference"]
Kind = Literal["paper", "gan", "resnet-gan", "cycle-gan"]
Comparison = Literal["saucie", "neuron-editing"]

# Kernels of width 1 to 16 on codes as they are, raw inputs, running statistics, the last weights: common to
# both truths.
_RAW = Inputs(log=False, level="keep", scale="none", subspace="none")
_ANY_LENGTH = Training(min_steps=1, max_steps=2**31 - 1, ema_decay=0.0)
_PUBLISHED: Changes = {
    "inputs": _RAW,
    "members": 1,
    "coupled": True,
    "noise": 0.0,
    "smoothing": 0.0,
    "statistics": "running",
    "kernel": Kernel((1.0, 2.0, 4.0, 8.0, 16.0), "fixed", unbiased=False),
}
_SLOW_DECAY = Training(decay=0.9 ** (1 / 10_000), weight_decay=5e-5).over(_ANY_LENGTH)
_MANY: Changes = _PUBLISHED | {
    "family": "multibatch",
    "rebuild": "sources",
    "align": 10.0,
    "classify": 10.0,
    "reconstruct": 0.01,
    "alternate": True,
}
# The equations: means over pairs (1), mean squared errors (2), sums over rows (3), means over sources (2, 3).
_EQUATIONS: Changes = {
    "pairs": "mean",
    "rows_reduced": "sum",
    "features_reduced": "mean",
    "domains_reduced": "mean",
}
# The programs: sums over ordered pairs, rows and sources, a mean over features, a new optimiser every epoch.
_PROGRAMS: Changes = {
    "pairs": "sum",
    "rows_reduced": "sum",
    "features_reduced": "mean",
    "domains_reduced": "sum",
    "restart": True,
}
# What a program has of its own: the activated skip of the classifier, one optimiser over all players, and for single
# cells a mean over rows, of the last source alone.
_RELEASED: Changes = {"family": "multibatch-released", "idle_moves": True}
_PROGRAM: dict[str, Changes] = {
    "mi": _RELEASED,
    "chd": _RELEASED,
    "scrna": _RELEASED | {"rows_reduced": "mean", "labelled": "last"},
    "cytof": {},
}

JOINT: dict[str, Changes] = {
    "mi": _MANY | {"training": Training(epochs=100, learning_rate=1e-3).over(_SLOW_DECAY)},
    "chd": _MANY
    | {"training": Training(epochs=50, learning_rate=1e-4).over(_SLOW_DECAY), "classify_rounds": 4},
    "scrna": _MANY
    | {"training": Training(epochs=55, learning_rate=5e-6).over(_SLOW_DECAY), "reconstruct": 0.1},
    "cytof": _PUBLISHED
    | {
        "family": "twobatch",
        "rebuild": "all",
        "dropout": 0.0,
        "align": 1.0,
        "classify": 0.01,
        "reconstruct": 0.01,
        "training": Training(rows=100, epochs=2000, learning_rate=1e-4).over(_SLOW_DECAY),
    },
}


def joint(data: str, truth: Truth = "paper", **changes: Any) -> JointCalibration:
    """Return joint calibration as published for a data set.

    Parameters
    ----------
    data
        ``"mi"``, ``"chd"``, ``"scrna"`` (many batches) or ``"cytof"`` (two batches).
    truth
        ``"paper"`` for the publication, ``"reference"`` for the released program.
    changes
        Settings that differ; of a group such as ``training=Training(rows=32)``, those that are left out stay
        published.

    Examples
    --------
    >>> joint("chd").classify_rounds, joint("mi", "reference").pairs
    (4, 'sum')
    """
    truths = {"paper": _EQUATIONS, "reference": _PROGRAMS}
    # The two-batch paper prints one pair, so its mean and its sum over unordered pairs agree.
    one_pair = {"pairs": "mean"} if data == "cytof" else {}
    own = _PROGRAM[data] if truth == "reference" else {}
    published = _choose("data", JOINT, data) | _choose("truth", truths, truth) | one_pair | own
    return _with(JointCalibration, published, changes)


_ALONE: Changes = _MANY | {
    "rows_reduced": "sum",
    "calibrate": False,
    "align": 0.0,
    "reconstruct": 0.0,
    "rebuild": "none",
    "alternate": False,
}
_BETWEEN = Training(decay=0.9, decay_epochs=10_000, weight_decay=5e-5).over(_ANY_LENGTH)
BASELINES: dict[str, Changes] = {
    "mi": {"training": Training(epochs=100, learning_rate=1e-4).over(_BETWEEN)},
    "chd": {"training": Training(epochs=50, learning_rate=1e-4).over(_BETWEEN)},
    "scrna": {"training": Training(epochs=50, learning_rate=1e-5).over(_BETWEEN)},
    "within": {"training": Training(epochs=10, learning_rate=1e-3, decay_epochs=100).over(_BETWEEN)},
}


def joint_baseline(data: str, **changes: Any) -> JointCalibration:
    """Return the classifier of the many-batch paper on rows that are not calibrated, its baseline.

    Parameters
    ----------
    data
        ``"mi"``, ``"chd"`` or ``"scrna"``, for the classifier that is trained on some batches and tested on others;
        ``"within"`` for the one that the paper cross-validates inside a batch. The paper pools the batches that it
        trains on, so give it these as one domain; it does not tell this of their norms.
    changes
        Settings that differ; of a group such as ``training=Training(rows=32)``, those that are left out stay
        published.

    Examples
    --------
    >>> joint_baseline("within").training.epochs, joint_baseline("mi").calibrate
    (10, False)
    """
    return _with(JointCalibration, _ALONE | _choose("data", BASELINES, data), changes)


_ALIGNMENT: Changes = {
    "form": "pairs",
    "inputs": _RAW,
    "fan_in_rate": False,
    "pretrain": 100_000,
    "reverse": "loss",
}
_ALIGNMENT_TRAINING = AdversarialTraining(
    updates=5100, optimiser="rmsprop-tf", critic_rate=1e-4, map_rate=1e-4, linear_decay=False
)
WASSERSTEIN: dict[str, Changes] = {
    "paper": {
        "critic": (2,),
        "map_steps": 50,
        "skip": "never",
        "training": AdversarialTraining(critic_steps=1).over(_ALIGNMENT_TRAINING),
    },
    "reference": {
        "critic": (2, 2),
        "critic_start": "identity",
        "map_steps": 1,
        "skip": "last-loss",
        "training": AdversarialTraining(critic_steps=49).over(_ALIGNMENT_TRAINING),
    },
}


def wasserstein(truth: Truth = "paper", **changes: Any) -> WassersteinAlignment:
    """Return Wasserstein alignment as published.

    Parameters
    ----------
    truth
        ``"paper"`` for the publication, which does not tell the learning rate or the number of updates of the
        maps; ``"reference"`` for the released program.
    changes
        Settings that differ; of a group such as ``training=Training(rows=32)``, those that are left out stay
        published.

    Examples
    --------
    >>> wasserstein("reference").training.critic_steps
    49
    """
    return _with(WassersteinAlignment, _ALIGNMENT | _choose("truth", WASSERSTEIN, truth), changes)


# The penalty 1e-2 of squared weights has a gradient of 2e-2 times the weights. The program's kernels are exp(-d²/s²):
# its s is ours times the root of 2. Of its 25 neighbours the first is the row itself.
MMD_RESNET: Changes = {
    "inputs": Inputs(log=True, scale="pooled", subspace="none"),
    "start": "small",
    "kernel": Kernel((0.5 / 2**0.5, 1 / 2**0.5, 2 / 2**0.5), unbiased=False),
    "neighbours": 24,
    "objective": "root",
    "identity": 0.0,
    "training": Training(
        rows=1000, epochs=500, optimiser="rmsprop", weight_decay=2e-2, decay=0.1, decay_epochs=150
    ).over(_ANY_LENGTH),
}


def mmd_resnet(**changes: Any) -> MMDResNet:
    """Return MMD-ResNet as published for cytometry, without its denoising autoencoder.

    Parameters
    ----------
    changes
        Settings that differ; of a group such as ``training=Training(rows=32)``, those that are left out stay
        published.

    Examples
    --------
    >>> mmd_resnet().training.rows
    1000
    """
    return _with(MMDResNet, MMD_RESNET, changes)


# Of these, the paper tells widths, activation and rows; it names no norms. All that is not published is our default.
_COMPARED: Changes = {
    "inputs": Inputs(scale="pooled", subspace="none"),
    "widths": (500, 250, 50, 250, 500),
    "map_norm": False,
    "critic": (500, 250, 50),
    "training": AdversarialTraining(rows=100),
    "identity": 0.0,
}
# The weight of the cycle is that of Zhu et al.
ADVERSARIAL: dict[str, Changes] = {
    "paper": {
        "inputs": Inputs(log=True, scale="pooled", subspace="none"),
        "start": "small",
        "norm": True,
        "gamma": 0.0,
        "identity": 0.0,
        "training": AdversarialTraining(critic_steps=1, linear_decay=False, ema_decay=0.0),
    },
    "gan": _COMPARED | {"residual": False},
    "resnet-gan": _COMPARED | {"blocks": 1},
    "cycle-gan": _COMPARED | {"residual": False, "cycle": 10.0},
}


def adversarial(kind: Kind = "paper", **changes: Any) -> AdversarialCorrection:
    """Return adversarial correction as published, with nothing that holds the maps back.

    Parameters
    ----------
    kind
        ``"paper"`` for intensities of cytometry, whose logarithms it takes, as the paper prepares them; zeros are not
        filled in, which :class:`jbc.DenoisingAutoencoder` does. The widths of its layers are not published.
        ``"gan"``, ``"resnet-gan"`` and ``"cycle-gan"`` for what neuron editing compares itself with, of which widths,
        activation and rows are published: how their game is played is our default.
    changes
        Settings that differ; of a group such as ``training=Training(rows=32)``, those that are left out stay
        published.

    Examples
    --------
    >>> adversarial("gan").residual, adversarial("gan").training.rows, adversarial("cycle-gan").cycle
    (False, 100, 10.0)
    """
    return _with(AdversarialCorrection, _choose("kind", ADVERSARIAL, kind), changes)


NEURON_EDITING: Changes = {
    "inputs": Inputs(subspace="none"),
    "widths": (500, 250, 50),
    "editing": Editing(layers=(3,), residual=False, percentiles=101, cautious=False),
    "training": Training(ema_decay=0.0),
}


def neuron_editing(**changes: Any) -> NeuronEditing:
    """Return neuron editing as published: the inner layer is edited, and what the decoder makes of it is the output.

    The paper has minibatches of 100 rows; here they have 100 of every domain. It tells neither how inputs are scaled,
    here over all rows, nor how long it trains, here 100 epochs within 1000 to 4000 steps.

    Parameters
    ----------
    changes
        Settings that differ, such as ``editing=Editing(constant_shift=True)``, which the paper compares with; of a
        group, those that are left out stay published.

    Examples
    --------
    >>> neuron_editing().editing.layers, neuron_editing().widths
    ((3,), (500, 250, 50))
    """
    return _with(NeuronEditing, NEURON_EDITING, changes)


# The weight, the rows and the steps are those of SAUCIE's released program, which takes two files.
_REGULARISED: Changes = {"weight": 0.1, "kernel": Kernel(unbiased=False)}
REGULARISED: dict[str, Changes] = {
    "saucie": _REGULARISED
    | {
        "widths": (512, 256, 128, 2),
        "inputs": Inputs(scale="none", subspace="none"),
        "training": Training(rows=50, max_steps=1000, ema_decay=0.0),
    },
    "neuron-editing": _REGULARISED
    | {
        "widths": (500, 250, 50),
        "inputs": Inputs(scale="pooled", subspace="none"),
        "training": Training(rows=100, ema_decay=0.0),
    },
}


def regularised_autoencoder(kind: Comparison = "saucie", **changes: Any) -> RegularisedAutoencoder:
    """Return the regularised autoencoder as published.

    Parameters
    ----------
    kind
        ``"saucie"`` for its own paper, on values such as arcsinh(v / 5) makes of cytometry; ``"neuron-editing"`` for
        what neuron editing compares itself with.
    changes
        Settings that differ; of a group such as ``training=Training(rows=32)``, those that are left out stay
        published.

    Examples
    --------
    >>> regularised_autoencoder().widths, regularised_autoencoder("neuron-editing").weight
    ((512, 256, 128, 2), 0.1)
    """
    return _with(RegularisedAutoencoder, _choose("kind", REGULARISED, kind), changes)


def _choose(what: str, table: dict[str, Changes], key: str) -> Changes:
    """Return the entry of a table, or refuse a key that it does not have."""
    if key not in table:
        close = closest(str(key), table)
        raise InputError(
            f"No configuration was published as {what}={key!r}",
            why="A preset is what a publication or its program says, and nothing else.",
            fix=f"Did you mean {close!r}?" if close else f"It is {listing(table)}.",
            code="unknown-preset",
        )
    return table[key]


def _with(cls: type[M], published: Changes, changes: Changes) -> M:
    """Return a method as published, with changes; groups of settings keep what the changes leave out."""
    known = [field.name for field in dataclasses.fields(cls)]  # pyright: ignore[reportArgumentType]
    if lost := [name for name in changes if name not in known]:
        raise InputError(
            f"Unknown settings of {cls.__name__}",
            which=lost,
            why="They would change nothing.",
            fix=f"Its settings are {listing(known)}.",
            code="unknown-setting",
        )
    merged = {
        name: value.over(published[name]) if isinstance(value, Settings) and name in published else value
        for name, value in changes.items()
    }
    return cls(**(published | merged))


PUBLISHED: dict[str, Method] = {
    **{
        f"joint-calibration-{data}-{truth}": joint(data, truth) for data in JOINT for truth in get_args(Truth)
    },
    **{f"wasserstein-alignment-{truth}": wasserstein(truth) for truth in get_args(Truth)},
    "mmd-resnet-paper": mmd_resnet(),
    **{f"adversarial-correction-{kind}": adversarial(kind) for kind in get_args(Kind)},
    "neuron-editing-paper": neuron_editing(),
    **{f"regularised-autoencoder-{kind}": regularised_autoencoder(kind) for kind in get_args(Comparison)},
}
"""All of them, by the names that the command line knows."""
