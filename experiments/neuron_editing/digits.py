"""Images of digits with a known transform."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

SIDE = 8


class DigitEdits(NamedTuple):
    """Images of digits, 8 × 8 pixels as rows of 64 between 0 (paper) and 1 (ink).

    Parameters
    ----------
    x
        The images, float32; those of the target are transformed.
    truth
        Every image transformed; in the target, ``truth == x``.
    label
        The digit.
    role
        "source", "target" or "extrapolation".
    """

    x: np.ndarray
    truth: np.ndarray
    label: np.ndarray
    role: np.ndarray


def digit_edits(kind: Literal["bold", "slanted"], seed: int = 0) -> DigitEdits:
    r"""Give handwritten digits of which some are transformed, for learning a transform without pairs.

    Of the digits 0 to 4, one half of the images is the source, as they are, and the other half is the target,
    transformed. The digits 5 to 9 are what to extrapolate to. An image f with row r and column c, counted from 0,
    becomes

    .. math::

        \text{bold:} &\quad \max\bigl(f(r, c),\; \max_{|r' - r| + |c' - c| = 1} f(r', c') - 0.3\bigr) \\
        \text{slanted:} &\quad f(r, c - 0.4\,(3.5 - r))

    which is a grey dilation, and a shear with linear interpolation along the rows. There is no ink outside the image.

    What is easy: the images are of one scale and centred, and the transform is the same for all digits. What is hard:
    no image is in both groups, the digits of the extrapolation are in neither, and what a pixel becomes depends on
    where there is ink around it, hardly on its own value. Bold saturates and cannot be undone; slanted images lose
    what leaves the frame.

    Parameters
    ----------
    kind
        "bold" or "slanted".
    seed
        Which images are the source and which are the target.

    Returns
    -------
    DigitEdits
        The 1797 images of `sklearn.datasets.load_digits`, in its order.

    Examples
    --------
    >>> digits = digit_edits("bold")
    >>> digits.x.shape, [int((digits.role == role).sum()) for role in ("source", "target", "extrapolation")]
    ((1797, 64), [452, 449, 896])

    References
    ----------
    Alpaydin and Kaynak, Optical recognition of handwritten digits, UCI Machine Learning Repository 1998,
    doi:10.24432/C50P49.
    """
    from sklearn.datasets import load_digits

    images, label = (np.asarray(part) for part in load_digits(return_X_y=True))
    plain = images.reshape(-1, SIDE, SIDE) / 16
    transform = {"bold": _bold, "slanted": _slanted}[kind]
    truth = transform(plain).reshape(len(plain), -1).astype(np.float32)
    rng = np.random.default_rng(seed)
    role = np.full(len(plain), "extrapolation")
    for digit in range(5):
        rows = rng.permutation(np.flatnonzero(label == digit))
        role[rows[::2]], role[rows[1::2]] = "source", "target"
    x = np.where((role == "target")[:, None], truth, plain.reshape(truth.shape).astype(np.float32))
    return DigitEdits(x, truth, label, role)


def _bold(images: np.ndarray) -> np.ndarray:
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    beside = np.maximum(padded[:, 1:-1, :-2], padded[:, 1:-1, 2:])
    above = np.maximum(padded[:, :-2, 1:-1], padded[:, 2:, 1:-1])
    return np.maximum(images, np.maximum(beside, above) - 0.3)


def _slanted(images: np.ndarray) -> np.ndarray:
    """Shear images; each pixel takes from the two that lie around its place in the original."""
    pixel = np.arange(SIDE)
    place = pixel - 0.4 * (3.5 - pixel[:, None])  # (row, column), in columns of the original
    weight = np.maximum(0, 1 - np.abs(place[:, :, None] - pixel))
    return np.einsum("nrk,rck->nrc", images, weight)
