"""Closed-form methods: no training, all work at the end."""

from jbc.baselines.standardise import Standardise

__all__ = ["Standardise"]
