"""Digits with a known transform, against one written pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from problems import experiment
from sklearn.datasets import load_digits

digit_edits = experiment("neuron_editing.digits").digit_edits
IMAGES = load_digits().images / 16


def pixel(image, row, column):
    return image[row, column] if 0 <= row < 8 and 0 <= column < 8 else 0.0


def bold(image, row, column):
    beside = [(row, column - 1), (row, column + 1), (row - 1, column), (row + 1, column)]
    return max(image[row, column], max(pixel(image, *place) for place in beside) - 0.3)


def slanted(image, row, column):
    place = column - 0.4 * (3.5 - row)
    left = int(np.floor(place))
    return (left + 1 - place) * pixel(image, row, left) + (place - left) * pixel(image, row, left + 1)


@pytest.mark.parametrize(("kind", "transform"), [("bold", bold), ("slanted", slanted)])
def test_images_are_transformed_as_the_equations_say(kind, transform):
    digits = digit_edits(kind)
    for index in (0, 7, 1000):
        expected = [transform(IMAGES[index], row, column) for row in range(8) for column in range(8)]
        np.testing.assert_allclose(digits.truth[index], expected, atol=1e-6)
    given = digits.role != "target"
    np.testing.assert_array_equal(digits.x[given], IMAGES.reshape(-1, 64)[given])
    np.testing.assert_array_equal(digits.x[~given], digits.truth[~given])
    assert digits.x.dtype == digits.truth.dtype == np.float32
    assert digits.truth.min() >= 0
    assert digits.truth.max() <= 1
    ink = digits.truth.sum() / IMAGES.sum()
    assert 1.2 < ink < 1.6 if kind == "bold" else 0.97 < ink < 1


@pytest.mark.parametrize("kind", ["bold", "slanted"])
def test_source_and_target_are_halves_of_the_first_digits(kind):
    digits = digit_edits(kind, seed=1)
    for digit in range(10):
        names, counts = np.unique(digits.role[digits.label == digit], return_counts=True)
        if digit < 5:
            assert names.tolist() == ["source", "target"]
            assert abs(counts[0] - counts[1]) <= 1
        else:
            assert names.tolist() == ["extrapolation"]
    np.testing.assert_array_equal(digit_edits(kind, seed=1).role, digits.role)
    assert (digit_edits(kind, seed=2).role != digits.role).any()
    np.testing.assert_array_equal(digit_edits(kind, seed=2).truth, digits.truth)
