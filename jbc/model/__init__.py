"""The fitted model, and what can be done with it."""

from jbc.model.fitting import fit
from jbc.model.model import Model, Record, load

__all__ = ["Model", "Record", "fit", "load"]
