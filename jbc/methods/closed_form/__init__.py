"""Closed-form methods: no training, all work at the end."""

from jbc.methods.closed_form.component_editing import ComponentEditing
from jbc.methods.closed_form.coral import Coral
from jbc.methods.closed_form.drift import Drift
from jbc.methods.closed_form.percentiles import Percentiles
from jbc.methods.closed_form.quantile_map import QuantileMap
from jbc.methods.closed_form.standardise import Standardise
from jbc.methods.closed_form.typical_variation import TypicalVariation

__all__ = [
    "ComponentEditing",
    "Coral",
    "Drift",
    "Percentiles",
    "QuantileMap",
    "Standardise",
    "TypicalVariation",
]
