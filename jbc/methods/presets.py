"""Named configurations: what the papers print, and what the released programs do where that differs.

``paper`` follows the publication, ``reference`` the authors' code. The defaults of the methods are neither:
they are what we believe in.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

from jbc.methods.adversarial import AdversarialCorrection
from jbc.methods.base import Method
from jbc.methods.joint import JointCalibration
from jbc.methods.mmd_resnet import MMDResNet
from jbc.methods.neuron_editing import NeuronEditing
from jbc.methods.regularised_autoencoder import RegularisedAutoencoder
from jbc.methods.wasserstein import WassersteinAlignment

Truth = Literal["paper", "reference"]
Kind = Literal["paper", "gan", "resnet-gan", "cycle-gan"]
Comparison = Literal["saucie", "neuron-editing"]

# Kernels of width 1 to 16 on codes as they are, raw inputs, running statistics, the last weights: common to
# both truths.
_PUBLISHED: dict[str, Any] = {
    "log": False,
    "level": "keep",
    "scale": "none",
    "members": 1,
    "coupled": True,
    "noise": 0.0,
    "smoothing": 0.0,
    "average": 0.0,
    "statistics": "running",
    "bandwidths": (1.0, 2.0, 4.0, 8.0, 16.0),
    "bandwidth_unit": "fixed",
    "unbiased": False,
    "decay": 0.9 ** (1 / 10_000),
    "weight_decay": 5e-5,
    "min_steps": 1,
    "max_steps": 2**31 - 1,
}
_MANY: dict[str, Any] = _PUBLISHED | {
    "family": "multibatch",
    "rebuild": "sources",
    "align": 10.0,
    "classify": 10.0,
    "reconstruct": 0.01,
    "alternate": True,
}
# The equations: means over pairs (1), squared norms (2), sums over rows (3), means over sources (2, 3).
_EQUATIONS: dict[str, Any] = {
    "pairs": "mean",
    "rows_reduced": "sum",
    "features_reduced": "sum",
    "domains_reduced": "mean",
}
# The programs: sums over ordered pairs, rows and sources, a mean over features, a new optimiser every epoch.
_PROGRAMS: dict[str, Any] = {
    "pairs": "sum",
    "rows_reduced": "sum",
    "features_reduced": "mean",
    "domains_reduced": "sum",
    "restart": True,
}

JOINT: dict[str, dict[str, Any]] = {
    "mi": _MANY | {"epochs": 100, "learning_rate": 1e-3},
    "chd": _MANY | {"epochs": 50, "learning_rate": 1e-4, "classify_rounds": 4},
    "scrna": _MANY | {"epochs": 55, "learning_rate": 5e-6, "reconstruct": 0.1},
    "cytof": _PUBLISHED
    | {
        "family": "twobatch",
        "rebuild": "all",
        "dropout": 0.0,
        "align": 1.0,
        "classify": 0.01,
        "reconstruct": 0.01,
        "rows": 100,
        "epochs": 2000,
        "learning_rate": 1e-4,
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
        Fields to set differently.

    Examples
    --------
    >>> joint("chd").classify_rounds, joint("mi", "reference").pairs
    (4, 'sum')
    """
    truths = {"paper": _EQUATIONS, "reference": _PROGRAMS}
    # The two-batch paper prints one pair, so its mean and its sum over unordered pairs agree.
    one_pair = {"pairs": "mean"} if data == "cytof" else {}
    return dataclasses.replace(JointCalibration(), **(JOINT[data] | truths[truth] | one_pair | changes))


_ALIGNMENT: dict[str, Any] = {
    "form": "pairs",
    "scale": "none",
    "pretrain": 100_000,
    "updates": 5100,
    "optimiser": "rmsprop",
    "critic_rate": 1e-4,
    "transform_rate": 1e-4,
    "decay": False,
}
WASSERSTEIN: dict[Truth, dict[str, Any]] = {
    "paper": {"critic": (2,), "critic_steps": 1, "transform_steps": 50},
    "reference": {"critic": (2, 2), "start": "identity", "critic_steps": 49, "transform_steps": 1},
}


def wasserstein(truth: Truth = "paper", **changes: Any) -> WassersteinAlignment:
    """Return Wasserstein alignment as published.

    Parameters
    ----------
    truth
        ``"paper"`` for the publication, which does not tell the learning rate or the number of updates of the
        maps; ``"reference"`` for the released program.
    changes
        Fields to set differently.

    Examples
    --------
    >>> wasserstein("reference").critic_steps
    49
    """
    return dataclasses.replace(WassersteinAlignment(), **(_ALIGNMENT | WASSERSTEIN[truth] | changes))


# The penalty 1e-2 of squared weights has a gradient of 2e-2 times the weights.
MMD_RESNET: dict[str, Any] = {
    "log": True,
    "scale": "pooled",
    "start": "small",
    "bandwidths": (0.5, 1.0, 2.0),
    "objective": "root",
    "identity": 0.0,
    "rows": 1000,
    "epochs": 500,
    "min_steps": 1,
    "max_steps": 2**31 - 1,
    "optimiser": "rmsprop",
    "weight_decay": 2e-2,
    "decay": 0.1,
    "average": 0.0,
}


def mmd_resnet(**changes: Any) -> MMDResNet:
    """Return MMD-ResNet as published for cytometry, without its denoising autoencoder.

    Parameters
    ----------
    changes
        Fields to set differently.

    Examples
    --------
    >>> mmd_resnet().rows
    1000
    """
    return dataclasses.replace(MMDResNet(), **(MMD_RESNET | changes))


# Of these, the paper tells widths and rows. With norms in the discriminator, and nothing that bounds its slopes,
# they diverge on rows that they were not trained on; so all that is not told is our default.
_COMPARED: dict[str, Any] = {
    "scale": "pooled",
    "widths": (500, 250, 50, 250, 500),
    "critic": (500, 250, 50),
    "rows": 100,
    "identity": 0.0,
}
# The weight of the cycle is that of Zhu et al.
ADVERSARIAL: dict[Kind, dict[str, Any]] = {
    "paper": {
        "scale": "pooled",
        "start": "small",
        "norm": True,
        "gamma": 0.0,
        "identity": 0.0,
        "critic_steps": 1,
        "decay": False,
        "average": 0.0,
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
        ``"paper"`` for batches of cytometry, where the widths of the layers are not told; ``"gan"``,
        ``"resnet-gan"`` and ``"cycle-gan"`` for what neuron editing compares itself with, of which only the widths
        and the rows are told: how their game is played is our default.
    changes
        Fields to set differently.

    Examples
    --------
    >>> adversarial("gan").residual, adversarial("gan").rows, adversarial("cycle-gan").cycle
    (False, 100, 10.0)
    """
    return dataclasses.replace(AdversarialCorrection(), **(ADVERSARIAL[kind] | changes))


# 1000 steps are a guess: the paper does not tell.
NEURON_EDITING: dict[str, Any] = {
    "widths": (500, 250, 50),
    "edit_layers": (3,),
    "residual": False,
    "percentiles": 101,
    "cautious": False,
    "average": 0.0,
}


def neuron_editing(**changes: Any) -> NeuronEditing:
    """Return neuron editing as published: the inner layer is edited, and what the decoder makes of it given out.

    Parameters
    ----------
    changes
        Fields to set differently, such as ``constant_shift=True``, which the paper compares with.

    Examples
    --------
    >>> neuron_editing().layers, NeuronEditing().layers
    ((3,), (0, 3, 6))
    """
    return dataclasses.replace(NeuronEditing(), **(NEURON_EDITING | changes))


# The weight, the rows and the steps are those of SAUCIE's released program, which takes two files.
REGULARISED: dict[Comparison, dict[str, Any]] = {
    "saucie": {"widths": (512, 256, 128, 2), "scale": "none", "rows": 50, "max_steps": 1000},
    "neuron-editing": {"widths": (500, 250, 50), "scale": "pooled", "rows": 100},
}


def regularised_autoencoder(kind: Comparison = "saucie", **changes: Any) -> RegularisedAutoencoder:
    """Return the regularised autoencoder as published.

    Parameters
    ----------
    kind
        ``"saucie"`` for its own paper, on values such as arcsinh(v / 5) makes of cytometry; ``"neuron-editing"`` for
        what neuron editing compares itself with.
    changes
        Fields to set differently.

    Examples
    --------
    >>> regularised_autoencoder().widths, regularised_autoencoder("neuron-editing").weight
    ((512, 256, 128, 2), 0.1)
    """
    published = {"weight": 0.1, "unbiased": False, "average": 0.0} | REGULARISED[kind] | changes
    return dataclasses.replace(RegularisedAutoencoder(), **published)


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
