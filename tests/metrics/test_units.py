"""Scores, losses and pictures do not depend on the unit of the measurements, nor on where its zero lies.

With x → a x + b, nothing changes but what is itself in the unit of the measurements, and that by the factor a.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from jbc import metrics, plots
from jbc.losses.mmd import median_distance, mmd2_to
from jbc.metrics import _points
from jbc.plots.embedding import _frame

N, D = 72, 5
SCALES = (1e-9, 7.3, 1e9)
MOVES = ((1.0, 1e2), (1e-9, 1e8), (1e5, 1e8))  # the factor, and the offset in units of the spread


def table(d: int = D) -> np.ndarray:
    """Measurements in which domains, treatments and classes can be seen, but not without errors; 32 bits each."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(N, d)) + 0.7 * rng.normal(size=(3, d))[DOMAIN] + rng.normal(size=(6, d))[KIND]
    return np.exp(0.4 * x).astype(np.float32).astype(np.float64)


DOMAIN, KIND = np.arange(N) % 3, np.arange(N) // 3 % 6
NAMES = {
    "treatment": np.array([f"t{k}" for k in KIND]),
    "compound": np.array([f"t{k}" for k in KIND]),
    "mechanism": np.array([f"m{k % 3}" for k in KIND]),
    "domain": np.array([f"d{g}" for g in DOMAIN]),
}
AGE = np.random.default_rng(4).normal(size=N)
ALL = 10 * N  # rows, so that none is left to chance


class Score(NamedTuple):
    """A score of rows and their names, and the power of the unit that it has.

    ``chance``: which rows are drawn, or held out together, is decided by their order. ``angles``: the origin matters.
    """

    call: Callable[[np.ndarray, dict[str, np.ndarray]], Any]
    power: int = 0
    chance: bool = False
    angles: bool = False
    columns: bool = False


def two(call: Callable[[np.ndarray, np.ndarray], Any]) -> Callable[[np.ndarray, dict[str, np.ndarray]], Any]:
    return lambda x, names: call(x[names["domain"] == "d0"], x[names["domain"] == "d1"])


def compared(x: np.ndarray, names: dict[str, np.ndarray], **options: Any) -> metrics.DifferentialFeatures:
    return metrics.differential_features(x, names["mechanism"], names["domain"], positive="m0", **options)


SCORES = {
    "mmd": Score(two(lambda a, b: metrics.mmd(a, b, rows=ALL, draws=1))),
    "mmd of few rows": Score(two(lambda a, b: metrics.mmd(a, b, rows=9, draws=3)), chance=True),
    "mmd_within": Score(lambda x, _: metrics.mmd_within(x, rows=ALL, draws=3), chance=True),
    "median_bandwidth": Score(lambda x, _: metrics.median_bandwidth(x), power=1),
    "bandwidth_ladder": Score(lambda x, _: metrics.bandwidth_ladder(x), power=1),
    "energy_distance": Score(two(metrics.energy_distance), power=1),
    "frechet_distance": Score(two(metrics.frechet_distance), power=2),
    "domain_share": Score(lambda x, names: metrics.domain_share(x, names["domain"], names["treatment"])),
    "domain_accuracy": Score(
        lambda x, names: metrics.domain_accuracy(x, names["domain"]).accuracy, chance=True
    ),
    "label_accuracy": Score(
        lambda x, names: metrics.label_accuracy(x, names["mechanism"]).accuracy, chance=True
    ),
    "domain_accuracy_by_treatment": Score(
        lambda x, names: metrics.domain_accuracy_by_treatment(x, names["domain"], names["treatment"]).each,
        chance=True,
    ),
    "domain_accuracy_by_treatment, forest": Score(
        lambda x, names: (
            metrics.domain_accuracy_by_treatment(
                x[KIND < 2], names["domain"][KIND < 2], names["treatment"][KIND < 2], model="forest"
            ).each
        ),
        chance=True,
        columns=True,
    ),
    "evaluate": Score(
        lambda x, names: [
            [row["value"], row["reference"]]
            for row in metrics.evaluate(x, names["domain"], names["mechanism"], draws=2)
        ],
        chance=True,
    ),
    "mechanism_knn": Score(lambda x, names: metrics.mechanism_knn(x, **names).score, angles=True),
    "mechanism_silhouette": Score(
        lambda x, names: metrics.mechanism_silhouette(x, **names).score, angles=True
    ),
    "mechanism_silhouette, medians": Score(
        lambda x, names: metrics.mechanism_silhouette(x, **names, summary="median").score, angles=True
    ),
    "differential_features": Score(lambda x, names: 1 - compared(x, names).p, columns=True),
    "differential_features, q": Score(lambda x, names: 1 - compared(x, names, test="welch").q, columns=True),
    "differential_features, difference": Score(
        lambda x, names: compared(x, names).difference, power=1, columns=True
    ),
    "biomarkers": Score(
        lambda x, names: metrics.biomarkers(x, names["mechanism"], positive="m0", draws=5).frequency,
        chance=True,
        columns=True,
    ),
    "rank_variables": Score(
        lambda x, names: [
            [each.share, each.p, *each.components]
            for each in metrics.rank_variables(x, names | {"age": AGE}, shuffles=9, components=1).variables
        ],
        chance=True,
    ),
}
every_score = pytest.mark.parametrize("name", SCORES)
wherever_it_lies = pytest.mark.parametrize("name", [name for name, each in SCORES.items() if not each.angles])
in_any_order = pytest.mark.parametrize("name", [name for name, each in SCORES.items() if not each.chance])
of_any_column = pytest.mark.parametrize("name", [name for name, each in SCORES.items() if not each.columns])
NOT_ABOUT_MEASUREMENTS = {
    "accuracy", "auc", "auc_hard", "bootstrap_weights", "classification_report", "f_score", "mcc", "unit_medians",
    "confusion_matrix", "overlap", "permutation_test", "shuffle_labels",
    "ByTreatment", "MechanismScore", "CrossValidated", "Biomarkers", "ConfusionMatrix", "DifferentialFeatures",
    "Overlap", "PermutationTest", "Ranking", "Variable",
}  # fmt: skip
OF_CONTROLS = {"rsd", "d_ratio"}  # a part of the mean, or of nothing: tests/metrics/test_controls.py


def close(found: Any, expected: Any, rtol: float = 1e-6) -> None:
    np.testing.assert_allclose(
        np.asarray(found), np.asarray(expected), rtol=rtol, atol=1e-9 * np.max(expected)
    )


def test_every_metric_is_examined():
    named = {name.split(",")[0].split(" of ")[0] for name in SCORES}
    assert named | NOT_ABOUT_MEASUREMENTS | OF_CONTROLS == set(metrics.__all__)


@functools.cache
def usual(name: str, d: int = D) -> Any:
    """Return the score of the table as it is."""
    return SCORES[name].call(table(d), NAMES)


@every_score
@pytest.mark.parametrize("a", SCALES)
@pytest.mark.slow
def test_the_unit_does_not_matter(name, a):
    score = SCORES[name]
    close(np.asarray(score.call(a * table(), NAMES)) / a**score.power, usual(name), rtol=2e-6)


@wherever_it_lies
@pytest.mark.parametrize(("a", "b"), MOVES)
@pytest.mark.slow
def test_the_zero_does_not_matter(name, a, b):
    score = SCORES[name]
    far = a * table() + a * b * np.array([1.0, -1.0, 0.5, 0.0, -3.0])
    close(np.asarray(score.call(far, NAMES)) / a**score.power, usual(name), rtol=1e-5)


@every_score
@pytest.mark.slow
def test_tables_of_a_single_feature(name):
    score = SCORES[name]
    far = 1e-9 * (table(1) + (0.0 if score.angles else 1e8))
    close(np.asarray(score.call(far, NAMES)) / 1e-9**score.power, usual(name, 1), rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in SCORES if "_accuracy" in name])
@pytest.mark.slow
def test_classifiers_know_no_unit_of_any_feature(name):
    units, zeros = np.array([1e-9, 1e6, 1.0, 1e-3, 1e2]), np.array([1.0, -1e9, 1e8, 0.0, 1e5])
    close(SCORES[name].call(units * table() + zeros, NAMES), usual(name))


@in_any_order
def test_the_order_of_rows_does_not_matter(name):
    order = np.random.default_rng(0).permutation(N)
    names = {what: each[order] for what, each in NAMES.items()}
    for b in (0.0,) if SCORES[name].angles else (0.0, 1e8):
        close(SCORES[name].call((table() + b)[order], names), usual(name), rtol=1e-5)


@of_any_column
def test_the_order_of_columns_does_not_matter(name):
    close(SCORES[name].call(table()[:, [4, 2, 0, 1, 3]], NAMES), usual(name), rtol=1e-5)


@of_any_column
@pytest.mark.slow
def test_a_constant_feature_does_not_matter(name):
    for constant in (0.0,) if SCORES[name].angles else (0.0, 0.1, -7e5, 1e12):
        close(SCORES[name].call(np.insert(table(), 2, constant, axis=1), NAMES), usual(name))


@every_score
@pytest.mark.parametrize("constant", [0.1, -7e5])
@pytest.mark.slow
def test_tables_without_any_difference(name, constant):
    """Nothing can be told apart, whatever the rounding of sums."""
    score = SCORES[name]
    found = np.asarray(score.call(np.full((N, 3), constant), NAMES))
    assert np.isfinite(found).all()
    if name == "median_bandwidth":
        assert found == 1
    elif name == "bandwidth_ladder":
        assert found.tolist() == [0.25, 0.5, 1.0, 2.0, 4.0]
    elif not score.chance and not score.angles:
        assert abs(found).max() == 0


@every_score
@pytest.mark.slow
def test_a_feature_that_is_absent_in_one_domain(name):
    x, score = table(), SCORES[name]
    x[DOMAIN == 1, 3] = 0
    found = np.asarray(score.call(1e-9 * x, NAMES))
    assert np.isfinite(found).all()
    close(found / 1e-9**score.power, score.call(x, NAMES))


@pytest.mark.slow
def test_a_feature_that_is_absent_in_one_domain_gives_it_away():
    x, domain = np.random.default_rng(0).normal(size=(N, 3)) + 5, NAMES["domain"]
    x[DOMAIN == 1, 0] = 0
    for a in SCALES:
        seen = metrics.domain_accuracy_by_treatment(a * x, domain == "d1", None, model="forest")
        assert seen.accuracy == 1
        assert metrics.domain_accuracy(a * x, domain == "d1").accuracy == 1
        assert metrics.domain_share(a * x, domain, ["all"] * N) > 0.5


REPEATED = {
    "mmd": lambda x, names: metrics.mmd(x[names == 0], x[names == 1], rows=ALL, draws=1, bandwidths=[0.5, 2.0]),
    "mechanism_knn": lambda x, names: metrics.mechanism_knn(x, **repeated(len(x) // N)).score,
    "mechanism_silhouette": lambda x, names: metrics.mechanism_silhouette(x, **repeated(len(x) // N)).score,
    "accuracy": lambda x, names: metrics.accuracy(names, (x[:, 0] > 1).astype(int)),
    "f_score": lambda x, names: metrics.f_score(names, (x[:, 0] > 1).astype(int)),
    "mcc": lambda x, names: metrics.mcc(names, (x[:, 0] > 1).astype(int)),
    "auc": lambda x, names: metrics.auc(names == 1, x[:, 0] / x[:, 0].max()),
    "auc_hard": lambda x, names: metrics.auc_hard(names == 1, x[:, 0] > 1),
}  # fmt: skip


def repeated(times: int) -> dict[str, np.ndarray]:
    return {what: np.tile(each, times) for what, each in NAMES.items()}


@pytest.mark.parametrize("name", REPEATED)
def test_rows_may_be_repeated(name):
    x = table()
    once = REPEATED[name](x, DOMAIN)
    close(REPEATED[name](np.tile(x, (3, 1)), np.tile(DOMAIN, 3)), once, rtol=1e-5)


@pytest.mark.parametrize("call", [metrics.mechanism_knn, metrics.mechanism_silhouette])
@pytest.mark.slow
def test_rows_that_count_twice_are_rows_that_are_there_twice(call):
    weight = np.random.default_rng(0).integers(1, 3, N)
    names = {what: np.repeat(each, weight) for what, each in NAMES.items()}
    for summary in ("mean", "median"):
        counted = call(table(), **NAMES, weight=weight, summary=summary).score
        close(counted, call(np.repeat(table(), weight, axis=0), **names, summary=summary).score, rtol=1e-5)


def test_angles_far_from_the_origin_keep_their_digits():
    """The origin matters, but float32 is no reason to see nothing: by the definition, in double precision."""
    x, origin = table(), np.array([3.0, -1.0, 0.5, 0.0, 2.0])
    points = np.unique(np.stack([KIND, DOMAIN]), axis=1).T
    mechanism = points[:, 0] % 3
    for b in (0.0, 10.0, 1e3, 1e5, 1e7):
        far = x + b * origin
        centre = np.stack([far[(k == KIND) & (g == DOMAIN)].mean(axis=0) for k, g in points])
        # Of unit vectors u and v, 1 - cos is |u - v|²/2, which has digits where the former has none.
        unit = centre / np.linalg.norm(centre, axis=1)[:, None]
        distance = np.square(unit[:, None] - unit).sum(axis=2) / 2
        mean = np.array([
            [row[(mechanism == m) & (np.arange(len(row)) != i)].mean() for m in range(3)]
            for i, row in enumerate(distance)
        ])  # fmt: skip
        own = mean[np.arange(len(mean)), mechanism]
        other = np.where(np.arange(3) == mechanism[:, None], np.inf, mean).min(axis=1)
        expected = ((other - own) / np.maximum(own, other)).mean()
        found = metrics.mechanism_silhouette(far, **NAMES)
        assert found.points.treatment.tolist() == [f"t{k}" for k, _ in points]
        assert found.score == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_the_origin_of_angles_is_0_for_ordinary_tables():
    rows, origin = _points._near_zero(table())
    assert origin is None
    assert rows.dtype == np.float32
    powers = np.log2(np.abs(table()).max() / np.abs(rows).max())
    assert powers == round(float(powers))
    rows, origin = _points._near_zero(np.array([[0.0, 0.0], [0.0, 0.0]]))
    assert origin is None
    assert not rows.any()


def test_a_point_at_the_origin_of_a_far_table_has_no_direction():
    x = table() + 1e4
    x[(KIND == 0) & (DOMAIN == 0)] = 0
    for call in (metrics.mechanism_knn, metrics.mechanism_silhouette):
        assert np.isfinite(call(x, **NAMES).score).all()


def test_one_row_far_out_does_not_set_the_width_of_kernels():
    """Rows that lie apart were taken for equal ones, in units of the norm of the farthest row."""
    x = np.random.default_rng(0).normal(size=(200, 3))
    plain = metrics.median_bandwidth(x)
    for far in (1e6, 1e9):
        x[0] = far
        assert metrics.median_bandwidth(x) == pytest.approx(plain, rel=0.05)


def test_units_whose_rows_are_certain_of_different_classes_have_a_probability():
    found = metrics.unit_medians(np.eye(3), ["a", "a", "a"])
    np.testing.assert_allclose(found, 1 / 3)


# Losses, in single precision.


@pytest.mark.parametrize("a", SCALES)
@pytest.mark.slow
def test_the_width_of_kernels_has_the_unit_of_the_codes(a):
    z = jnp.asarray(table()[:60].reshape(3, 20, D), jnp.float32)
    mmd2, between = mmd2_to(z, z[0], (0.5, 1.0), unbiased=True)
    found, seen = mmd2_to(a * z, a * z[0], (0.5, 1.0), unbiased=True)
    np.testing.assert_allclose(found, mmd2, atol=1e-5)
    np.testing.assert_allclose(seen, between, rtol=1e-4)
    assert float(median_distance(a * z)) == pytest.approx(a * float(median_distance(z)), rel=1e-5)


@pytest.mark.parametrize("a", SCALES)
@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.slow
def test_codes_of_which_most_coincide_have_a_width_too(a, offset):
    z = np.full((2, 30, 3), offset)
    z[:, :4] += np.random.default_rng(0).normal(size=(2, 4, 3))
    flat = z.reshape(-1, 3)
    distance = np.square(flat[:, None] - flat).sum(axis=2)
    found = float(median_distance(jnp.asarray(a * z, jnp.float32)))
    assert found == pytest.approx(a * math.sqrt(distance[distance > 1e-6].mean()), rel=1e-3)
    assert float(median_distance(jnp.full((2, 5, 3), 7.0))) == 1


# Pictures.


@pytest.mark.parametrize("a", SCALES)
@pytest.mark.parametrize("b", [0.0, 1e6])
def test_pictures_have_no_unit(a, b):
    x, far = table(), a * (table() + b)
    close(plots.pca(far) / a, plots.pca(x), rtol=1e-4)
    shown = [plots.controls_pca(Figure().subplots(), each, NAMES["domain"]) for each in (x, far)]
    for limits in ("get_xlim", "get_ylim"):
        close(np.array(getattr(shown[1], limits)()) / a, getattr(shown[0], limits)(), rtol=1e-4)
    assert shown[0].get_xlabel() == shown[1].get_xlabel()


@pytest.mark.parametrize("a", SCALES)
def test_frames_have_no_unit(a):
    coords = plots.pca(table())
    coords[0] = [400.0, 0.0]
    close(np.array(_frame(a * coords)) / a, _frame(coords))
    flat = coords * [1.0, 0.0]
    low, high = np.array(_frame(a * flat)) / a
    assert low[1] < 0 < high[1]
    assert high[1] - low[1] == pytest.approx(0.1 * np.ptp(coords[:, 0]))


def test_frames_of_points_that_coincide_have_a_width():
    for place in (0.0, 1e-12, 5.0, 1e9):
        low, high = _frame(np.full((4, 2), place))
        assert (low < place).all()
        assert (high > place).all()


@pytest.mark.parametrize("a", SCALES)
def test_maps_of_neighbours_have_no_unit(a):
    x = table()[:40]
    close(plots.tsne(a * x), plots.tsne(x), rtol=1e-3)


def test_a_single_feature_has_a_map():
    found = plots.tsne(table(1)[:20])
    assert found.shape == (20, 2)
    assert np.isfinite(found).all()


def test_before_and_after_are_drawn_with_the_digits_of_the_table():
    x = table()
    pictures = [plots.before_after(x + b, x + b, NAMES["domain"]) for b in (0.0, 1e8)]
    drawn = [axes[0, 0].collections[0].get_offsets().data for axes in pictures]
    close(drawn[1], drawn[0], rtol=1e-4)
    assert np.ptp(drawn[0], axis=0).min() > 1


def test_components_of_rounding_are_not_drawn():
    x = np.full((20, 3), np.float32(1e6))
    x[::2, 1] = np.nextafter(np.float32(1e6), np.float32(np.inf))
    assert not plots.pca(x).any()
    assert plots.pca(x.astype(np.float64)).any()  # where such a difference means something
    line = np.outer(np.arange(9.0), [1.0, 2.0, 3.0]) + 5
    assert not plots.pca(line)[:, 1].any()
