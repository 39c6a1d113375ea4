"""What numbers in the settings of methods may be, as annotations: :mod:`jbc.methods.rules` reads them.

To everything else, the command line and type checkers included, they are the plain types that they limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple


class Limit(NamedTuple):
    """A limit of values: how it is said, behind "a number", and whether a value of the right type keeps it."""

    said: str
    kept: Callable[[Any], bool]


Positive = Annotated[int, Limit("from 1", lambda n: n >= 1)]
Count = Annotated[int, Limit("from 0", lambda n: n >= 0)]
Several = Annotated[int, Limit("from 2", lambda n: n >= 2)]

NonNegative = Annotated[float, Limit("from 0", lambda x: x >= 0)]
PositiveFloat = Annotated[float, Limit("above 0", lambda x: x > 0)]
Fraction = Annotated[float, Limit("from 0 to below 1", lambda x: 0 <= x < 1)]
# A mask has 256 levels (:mod:`jbc.numerics.noise`): a larger share would hide everything.
Masked = Annotated[float, Limit("from 0 to 255/256", lambda x: 0 <= x <= 255 / 256)]
Share = Annotated[float, Limit("from 0 to 1", lambda x: 0 <= x <= 1)]
Factor = Annotated[float, Limit("above 0, and at most 1", lambda x: 0 < x <= 1)]

FILLED = Limit("that is not empty", bool)
Widths = Annotated[tuple[Positive, ...], FILLED]
Bandwidths = Annotated[tuple[PositiveFloat, ...], FILLED]
