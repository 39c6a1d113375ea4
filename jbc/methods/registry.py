"""Methods by name, and their configurations as JSON."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from jbc.baselines.coral import Coral
from jbc.baselines.percentiles import Percentiles
from jbc.baselines.quantiles import QuantileMap
from jbc.baselines.standardise import Standardise
from jbc.baselines.tvn import TypicalVariation
from jbc.errors import InputError, closest
from jbc.methods import settings
from jbc.methods.adversarial import AdversarialCorrection
from jbc.methods.base import Method
from jbc.methods.denoising_autoencoder import DenoisingAutoencoder
from jbc.methods.joint import JointCalibration
from jbc.methods.mmd_resnet import MMDResNet
from jbc.methods.neuron_editing import NeuronEditing
from jbc.methods.pairwise import PairwiseCalibration
from jbc.methods.regularised_autoencoder import RegularisedAutoencoder
from jbc.methods.wasserstein import WassersteinAlignment

METHODS: dict[str, type[Method]] = {
    "joint-calibration": JointCalibration,
    "pairwise-calibration": PairwiseCalibration,
    "wasserstein-alignment": WassersteinAlignment,
    "mmd-resnet": MMDResNet,
    "adversarial-correction": AdversarialCorrection,
    "neuron-editing": NeuronEditing,
    "regularised-autoencoder": RegularisedAutoencoder,
    "denoising-autoencoder": DenoisingAutoencoder,
    "standardise": Standardise,
    "quantile-map": QuantileMap,
    "coral": Coral,
    "typical-variation": TypicalVariation,
    "percentiles": Percentiles,
}


def to_json(method: Method) -> dict[str, Any]:
    """Write a configuration as plain JSON values.

    Examples
    --------
    >>> to_json(Standardise())
    {'name': 'standardise', 'fields': {'scale': True, 'on': 'all'}}
    """
    name = next(name for name, cls in METHODS.items() if cls is type(method))
    return {"name": name, "fields": dataclasses.asdict(method)}


def from_json(record: dict[str, Any]) -> Method:
    """Read what :func:`to_json` wrote; fields that this version does not know are refused by name.

    Examples
    --------
    >>> from_json(to_json(JointCalibration(rows=64))).rows
    64
    """
    if record["name"] not in METHODS:
        close = closest(record["name"], METHODS)
        raise InputError(
            "Unknown method",
            which=[record["name"]],
            why="Only methods of this version can be run.",
            fix=f"Use {close if close else ' or '.join(METHODS)}, or another version of jbc.",
            code="unknown-method",
        )
    method = _build(METHODS[record["name"]], record["fields"])
    settings.check(method)
    return method


def _build(cls: type[Any], record: dict[str, Any]) -> Any:
    """Make a dataclass, its nested ones, and tuples from JSON's objects and lists."""
    types = typing.get_type_hints(cls)
    lost = [name for name in record if name not in types]
    if lost:
        raise InputError(
            f"Unknown settings of {cls.__name__}",
            which=lost,
            why="The model was made by another version of jbc, and would behave differently without them.",
            fix="Load it with the version that made it.",
            code="unknown-setting",
        )

    def value(name: str, given: Any) -> Any:
        if dataclasses.is_dataclass(types[name]):
            return _build(typing.cast("type[Any]", types[name]), given)
        return tuple(given) if isinstance(given, list) else given

    return cls(**{name: value(name, given) for name, given in record.items()})
