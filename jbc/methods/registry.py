"""Methods by name, and their configurations as JSON."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import numpy as np

from jbc.errors import InputError, closest
from jbc.methods import rules
from jbc.methods.adversarial import AdversarialCorrection
from jbc.methods.base import Method
from jbc.methods.chain import Chain
from jbc.methods.closed_form.cca import CCA
from jbc.methods.closed_form.combat import ComBat
from jbc.methods.closed_form.component_editing import ComponentEditing
from jbc.methods.closed_form.coral import Coral
from jbc.methods.closed_form.drift import Drift
from jbc.methods.closed_form.harmony import Harmony
from jbc.methods.closed_form.limma import LimmaRemoveBatch
from jbc.methods.closed_form.mnn import MNN
from jbc.methods.closed_form.percentiles import Percentiles
from jbc.methods.closed_form.quantile_map import QuantileMap
from jbc.methods.closed_form.ratio_g import RatioG
from jbc.methods.closed_form.standardise import Standardise
from jbc.methods.closed_form.surrogates import SVA, FrozenSVA
from jbc.methods.closed_form.typical_variation import TypicalVariation
from jbc.methods.denoising_autoencoder import DenoisingAutoencoder
from jbc.methods.distance_alignment import DistanceAlignment
from jbc.methods.joint import JointCalibration
from jbc.methods.mmd_resnet import MMDResNet
from jbc.methods.neuron_editing import NeuronEditing
from jbc.methods.pairwise import PairwiseCalibration
from jbc.methods.regularised_autoencoder import RegularisedAutoencoder
from jbc.methods.wasserstein import WassersteinAlignment

# The one list of all methods: the package, the command line and the conformance suite read it.
METHODS: dict[str, type[Method]] = {
    "joint-calibration": JointCalibration,
    "pairwise-calibration": PairwiseCalibration,
    "wasserstein-alignment": WassersteinAlignment,
    "distance-alignment": DistanceAlignment,
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
    "component-editing": ComponentEditing,
    "drift": Drift,
    "combat": ComBat,
    "limma-remove-batch": LimmaRemoveBatch,
    "ratio-g": RatioG,
    "sva": SVA,
    "frozen-sva": FrozenSVA,
    "cca": CCA,
    "harmony": Harmony,
    "mnn": MNN,
    "chain": Chain,
}


def with_capability(capability: type) -> list[str]:
    """Return the names of the classes of all methods that have a capability.

    Examples
    --------
    >>> from jbc.methods.base import Adapts
    >>> with_capability(Adapts)
    ['WassersteinAlignment', 'DistanceAlignment', 'Standardise', 'QuantileMap', 'ComBat', 'RatioG']
    """
    return [cls.__name__ for cls in METHODS.values() if issubclass(cls, capability)]


def name_of(method: Method) -> str:
    """Return the name of a method, as at the command line.

    Examples
    --------
    >>> name_of(JointCalibration())
    'joint-calibration'
    """
    return next(name for name, cls in METHODS.items() if cls is type(method))


def to_json(method: Method) -> dict[str, Any]:
    """Return a configuration as plain JSON values.

    Examples
    --------
    >>> to_json(Standardise())
    {'name': 'standardise', 'fields': {'scale': True, 'on': 'all', 'shrink': False}}
    """
    return {"name": name_of(method), "fields": _fields(method)}


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}


def _plain(value: Any) -> Any:
    """Return settings as plain values: NumPy's scalars as Python's, which JSON knows, and linked methods by name."""
    if dataclasses.is_dataclass(value):
        return _fields(value)
    if isinstance(value, tuple):
        return tuple(to_json(each) if isinstance(each, Method) else _plain(each) for each in value)
    return value.item() if isinstance(value, np.generic) else value


def from_json(record: dict[str, Any]) -> Method:
    """Return the method that :func:`to_json` wrote; unknown and missing fields are refused by name.

    Examples
    --------
    >>> from_json(to_json(JointCalibration(members=2))).members
    2
    """
    parts = record if isinstance(record, dict) else {}
    name, fields = parts.get("name"), parts.get("fields")
    if not isinstance(name, str) or not isinstance(fields, dict):
        raise InputError(
            "Not the description of a method",
            which=[record],
            why="A method is described by its name and a table of its settings (fields).",
            fix="Use what jbc.methods.registry.to_json has written.",
            code="not-a-method",
        )
    if name not in METHODS:
        close = closest(name, METHODS)
        raise InputError(
            "Unknown method",
            which=[name],
            why="Only methods of this version can be run.",
            fix=f"Use {close if close else ' or '.join(METHODS)}, or another version of jbc.",
            code="unknown-method",
        )
    method = _build(METHODS[name], fields)
    rules.check(method)
    return method


def _build(cls: type[Any], record: dict[str, Any]) -> Any:
    """Return a dataclass, its nested ones, and tuples from JSON's objects and lists."""
    hints = typing.get_type_hints(cls)
    types = {field.name: hints[field.name] for field in dataclasses.fields(cls)}
    for names, others, what in ((record, types, "unknown"), (types, record, "missing")):
        if lost := [name for name in names if name not in others]:
            raise InputError(
                f"{what.capitalize()} settings of {cls.__name__}",
                which=lost,
                why="The model was made by another version of jbc, and might behave differently in this one.",
                fix="Load it with the version that made it.",
                code=f"{what}-setting",
            )

    def value(name: str, given: Any) -> Any:
        if dataclasses.is_dataclass(types[name]) and isinstance(given, dict):
            return _build(typing.cast("type[Any]", types[name]), given)
        return _tuples(given)

    return cls(**{name: value(name, given) for name, given in record.items()})


def _tuples(value: Any) -> Any:
    """Return JSON's lists as tuples, however nested, and the methods of a chain."""
    if isinstance(value, dict) and value.keys() == {"name", "fields"}:
        return from_json(value)
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
