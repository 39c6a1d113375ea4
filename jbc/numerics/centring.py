"""Large offsets are taken off in double precision, before measurements become float32.

float32 holds seven digits. Of values near 1e8 that vary by 1, it would keep nothing of what varies. So a feature that
lies far from 0, in units of its deviation, is measured from near its mean; what a model returns is put back there.
"""

from __future__ import annotations

import numpy as np

from jbc.errors import InputError

# From this ratio of mean and deviation on, float32 would lose more than about a hundred-thousandth of a deviation.
FAR = 100.0
# What smaller numbers vary by, such as a millionth of them, could leave the range of float32.
LEAST = 1e-28
BLOCK = 4096


def find_offset(x: np.ndarray, observed: np.ndarray | None, names: tuple[str, ...]) -> np.ndarray | None:
    """Return what to take off every feature, (d,) float32, or None where no feature lies far from 0.

    The offset is the mean, rounded to the digits that the deviation leaves, so that it does not depend on the order
    of the rows; 0 for features that lie near 0.

    Examples
    --------
    >>> x = np.array([[1e8 - 1, 3.0], [1e8 + 1, 5.0]])
    >>> find_offset(x, None, ("a", "b")).tolist(), find_offset(x[:, 1:], None, ("b",)) is None
    ([100000000.0, 0.0], True)
    """
    total, squares = sums(x, observed)
    count = np.maximum(len(x) if observed is None else observed.sum(axis=0), 1)
    mean, around = total / count, squares / count
    _refuse_tiny(around, names)
    # A difference of large squares is exact enough to be compared with one of them, and no more.
    far = np.flatnonzero(around - mean**2 < (mean / FAR) ** 2)
    offset = np.zeros(x.shape[1], np.float32)
    if len(far):
        of = None if observed is None else observed[:, far]
        shift, squares = sums(x[:, far], of, mean[far])
        count = count if observed is None else count[far]
        shift = shift / count
        # The rounding of a sum of many rows is no deviation.
        mean, deviation = mean[far] + shift, np.sqrt(np.maximum(squares / count - shift**2, 0))
        # Of a constant feature nothing is lost.
        digits = np.exp2(np.floor(np.log2(deviation, out=np.zeros_like(mean), where=deviation > 0)))
        rounded = (np.rint(mean / digits) * digits).astype(np.float32)
        offset[far] = np.where(deviation > 4 * np.finfo(x.dtype).eps * np.abs(mean), rounded, 0)
    return offset if offset.any() else None


def centre(x: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
    """Take offsets off in double precision, and return float32.

    Examples
    --------
    >>> centre(np.array([[1e8 + 0.5]]), np.array([1e8], np.float32)).tolist()
    [[0.5]]
    """
    if offset is None:
        return np.ascontiguousarray(x, dtype=np.float32)
    out = np.empty(x.shape, np.float32)
    for start in range(0, len(x), BLOCK):
        out[start : start + BLOCK] = x[start : start + BLOCK] - offset.astype(np.float64)
    return out


def put_back(x: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
    """Add the offsets to corrected rows: float64 where there are some, which float32 could not hold.

    Examples
    --------
    >>> put_back(np.array([[0.5]], np.float32), np.array([1e8], np.float32)).tolist()
    [[100000000.5]]
    """
    return x if offset is None else x + offset.astype(np.float64)


def logarithm(x: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
    """Return the logarithms of values, less those of their positive offsets; in double precision.

    Of values near a large offset, the logarithm itself has the digits in float32 that differences need.

    Examples
    --------
    >>> logarithm(np.array([[1.0, np.e]]), np.array([1e6, 0.0])).round(9).tolist()
    [[1e-06, 1.0]]
    """
    x = x.astype(np.float64)
    return np.log(x) if offset is None else np.log((x + offset) / np.where(offset > 0, offset, 1))


def sums(
    x: np.ndarray, counts: np.ndarray | None = None, mean: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of differences from a mean, and of their squares, (d,) each, in double precision.

    Never the whole table at once: in blocks of rows. Values count as often as ``counts`` says, (n, d) or (n, 1).

    Examples
    --------
    >>> sums(np.array([[1.0], [4.0]]), np.array([[2], [1]]), mean=2.0)
    (array([0.]), array([6.]))
    """
    total, squares = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for start in range(0, len(x), BLOCK):
        part = x[start : start + BLOCK].astype(np.float64) - mean
        counted = part if counts is None else part * counts[start : start + BLOCK]
        total += counted.sum(axis=0)
        squares += np.einsum("ij,ij->j", counted, part)
    return total, squares


def _refuse_tiny(squares: np.ndarray, names: tuple[str, ...]) -> None:
    """Refuse features that vary by less than float32 can hold, by the means of their squares."""
    tiny = np.flatnonzero((squares > 0) & (squares < LEAST**2))
    if len(tiny):
        raise InputError(
            f"Features whose values are smaller than {LEAST:g} throughout",
            which=[names[i] for i in tiny],
            why="What they vary by would leave the range of float32, and count as nothing.",
            fix="Rescale these columns, to another unit.",
            code="too-small",
        )
