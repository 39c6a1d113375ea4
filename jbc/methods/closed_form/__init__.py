"""Closed-form methods: no training, all work at the end."""

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

__all__ = [
    "CCA",
    "MNN",
    "SVA",
    "ComBat",
    "ComponentEditing",
    "Coral",
    "Drift",
    "FrozenSVA",
    "Harmony",
    "LimmaRemoveBatch",
    "Percentiles",
    "QuantileMap",
    "RatioG",
    "Standardise",
    "TypicalVariation",
]
