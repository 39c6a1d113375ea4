from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from jbc.data import simulate_plates, simulate_shift


def classifier(log=True):
    first = [FunctionTransformer(np.log)] if log else []
    return make_pipeline(*first, StandardScaler(), LogisticRegression(max_iter=1000))


def grouped_accuracy(x, y, unit, log=True):
    return cross_val_score(classifier(log), x, y, groups=unit, cv=GroupKFold(4)).mean()


def transfer(x, world, target):
    train = world.domain != target
    return classifier().fit(x[train], world.label[train]).score(x[~train], world.label[~train])


@pytest.mark.parametrize(
    ("simulate", "strength"), [(simulate_plates, "batch"), (simulate_shift, "shift")], ids=["plates", "shift"]
)
def test_what_is_measured_without_a_batch_effect_is_the_clean_truth(simulate, strength):
    without, with_effect = simulate(3, **{strength: 0.0}), simulate(3, **{strength: 1.0})
    np.testing.assert_array_equal(without.x, without.clean)
    np.testing.assert_array_equal(with_effect.clean, without.clean)
    assert (with_effect.x != with_effect.clean).mean() > 0.4
    again = simulate(3, **{strength: 1.0})
    np.testing.assert_array_equal(again.x, with_effect.x)
    assert (simulate(4).clean != without.clean).all()
    np.testing.assert_array_equal(simulate(3, **{strength: 1.0}).label, without.label)


def test_plates_have_the_promised_shape():
    world = simulate_plates(1, n_per_plate=52, n_features=9, n_plates=4, n_classes=3, replicates=5)
    assert world.x.shape == world.clean.shape == (208, 9)
    assert world.x.dtype == np.float32
    assert world.x.min() > 0
    assert list(dict.fromkeys(world.domain)) == ["plate 1", "plate 2", "plate 3", "plate 4"]
    assert set(world.label) == {"class 0", "class 1", "class 2"}
    units, sizes = np.unique(world.unit, return_counts=True)
    assert len(units) == 4 * 11
    assert np.bincount(sizes).tolist() == [0, 0, 4, 0, 0, 40]
    for unit in units:
        rows = np.flatnonzero(world.unit == unit)
        assert len(set(world.label[rows])) == len(set(world.domain[rows])) == 1
        assert np.ptp(rows) == len(rows) - 1


def test_rows_of_one_unit_resemble_one_another():
    world = simulate_plates(effect=0.0, batch=0.0)
    x = np.log(world.clean).reshape(-1, 5, 40)
    assert np.sqrt(x.var(axis=1, ddof=1).mean()) == pytest.approx(0.15, rel=0.05)
    assert np.sqrt(x.mean(axis=1).var(axis=0, ddof=1).mean()) == pytest.approx(0.35, rel=0.05)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_plate_effect_is_seen_and_hurts_and_its_absence_is_neither(seed):
    world = simulate_plates(seed)
    assert grouped_accuracy(world.x, world.domain, world.unit) > 0.95
    assert grouped_accuracy(world.clean, world.domain, world.unit) < 0.45
    assert transfer(world.clean, world, "plate 3") >= 0.9
    assert transfer(world.x, world, "plate 3") <= 0.75
    for plate in ("plate 1", "plate 2", "plate 3"):
        rows = world.domain == plate
        assert grouped_accuracy(world.x[rows], world.label[rows], world.unit[rows]) >= 0.9


def test_without_an_effect_the_classes_are_alike():
    world = simulate_plates(effect=0.0)
    assert 0.35 < grouped_accuracy(world.clean, world.label, world.unit) < 0.65


def test_shift_is_affine_in_every_domain_but_the_first():
    world = simulate_shift(n_domains=3)
    for number in (1, 2, 3):
        rows = world.domain == f"domain {number}"
        for column in range(world.x.shape[1]):
            slope, offset = np.polyfit(world.clean[rows, column], world.x[rows, column], 1)
            fitted = slope * world.clean[rows, column] + offset
            np.testing.assert_allclose(world.x[rows, column], fitted, atol=1e-4)
            assert ((slope, offset) == pytest.approx((1, 0), abs=1e-5)) == (number == 1)
    assert grouped_accuracy(world.x, world.domain, world.unit, log=False) > 0.8
    assert grouped_accuracy(world.clean, world.label, world.unit, log=False) > 0.9
    _, counts = np.unique(world.domain + world.label, return_counts=True)
    assert set(counts) == {100}


def test_anndata_carries_the_answer(tmp_path):
    world = simulate_plates(n_per_plate=20)
    adata = world.to_anndata()
    np.testing.assert_array_equal(adata.X, world.x)
    np.testing.assert_array_equal(adata.layers["clean"], world.clean)
    for column in ("domain", "label", "unit"):
        assert adata.obs[column].tolist() == getattr(world, column).tolist()
        assert adata.obs[column].dtype == "category"
    assert tuple(adata.var_names) == world.features
    adata.write_h5ad(tmp_path / "world.h5ad")
