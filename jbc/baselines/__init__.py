"""Closed-form methods: no training, all work at the end."""

from jbc.baselines.coral import Coral
from jbc.baselines.percentiles import Percentiles
from jbc.baselines.quantiles import QuantileMap
from jbc.baselines.standardise import Standardise
from jbc.baselines.tvn import TypicalVariation

__all__ = ["Coral", "Percentiles", "QuantileMap", "Standardise", "TypicalVariation"]
