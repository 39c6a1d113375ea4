"""Closed-form methods: no training, all work at the end."""

from jbc.methods.closed_form.component_editing import ComponentEditing
from jbc.methods.closed_form.coral import Coral
from jbc.methods.closed_form.harmony import Harmony
from jbc.methods.closed_form.mnn import MNN
from jbc.methods.closed_form.percentiles import Percentiles
from jbc.methods.closed_form.quantile_map import QuantileMap
from jbc.methods.closed_form.standardise import Standardise
from jbc.methods.closed_form.typical_variation import TypicalVariation

__all__ = [
    "MNN",
    "ComponentEditing",
    "Coral",
    "Harmony",
    "Percentiles",
    "QuantileMap",
    "Standardise",
    "TypicalVariation",
]
