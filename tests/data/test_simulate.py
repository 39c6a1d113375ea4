from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from jbc.data import simulate_plates, simulate_screen, simulate_shift


def classifier(log=True):
    first = [FunctionTransformer(np.log)] if log else []
    return make_pipeline(*first, StandardScaler(), LogisticRegression(max_iter=1000))


def grouped_accuracy(x, y, unit, log=True):
    return cross_val_score(classifier(log), x, y, groups=unit, cv=GroupKFold(4)).mean()


def transfer(x, world, target):
    train = world.domain != target
    return classifier().fit(x[train], world.label[train]).score(x[~train], world.label[~train])


@pytest.mark.parametrize(
    ("simulate", "strength"),
    [(simulate_plates, "batch"), (simulate_shift, "shift"), (simulate_screen, "batch")],
    ids=["plates", "shift", "screen"],
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
@pytest.mark.slow
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


def other_side_accuracy(x, world):
    """Nearest other compound in another domain, by cosine, of treatment means: the share of right mechanisms."""
    cells = {}
    for row in np.flatnonzero(~world.control):
        cells.setdefault((world.treatment[row], world.domain[row]), []).append(row)
    means = np.array([x[rows].mean(axis=0) for rows in cells.values()])
    first = [rows[0] for rows in cells.values()]
    compound, domain, label = world.compound[first], world.domain[first], world.label[first]
    eligible = (compound[:, None] != compound) & (domain[:, None] != domain)
    nearest = np.where(eligible, cosine_similarity(means), -2).argmax(axis=1)
    return (label[nearest] == label).mean()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_screen_hides_its_mechanisms_and_centring_on_controls_does_not_bring_them_back(seed):
    world = simulate_screen(seed)
    centred = world.x.copy()
    for name in np.unique(world.domain):
        rows = world.domain == name
        centred[rows] -= world.x[rows & world.control].mean(axis=0)
    raw, middle, clean = (other_side_accuracy(x, world) for x in (world.x, centred, world.clean))
    assert raw < 0.6 < 0.9 < clean
    assert raw + 0.1 < middle < clean - 0.15
    for x, least, most in ((world.x, 0.95, 1.0), (world.clean, 0.0, 0.35)):
        rows = world.control
        assert least <= grouped_accuracy(x[rows], world.domain[rows], world.unit[rows], log=False) <= most


@pytest.mark.parametrize("shared", [0.0, 0.25, 0.5, 1.0])
def test_a_screen_has_the_design_that_was_asked_for(shared):
    world = simulate_screen(
        2,
        n_domains=4,
        n_treatments=36,
        n_replicates=3,
        n_controls=5,
        n_mechanisms=6,
        n_doses=3,
        shared=shared,
    )
    assert world.treatment is not None
    assert world.control is not None
    homes = {name: set(world.domain[world.treatment == name]) for name in np.unique(world.treatment)}
    assert len(homes.pop("DMSO")) == 4
    assert len(homes) == 36
    assert sorted(map(len, homes.values())) == [1] * round(36 * (1 - shared)) + [4] * round(36 * shared)
    for name, domains in homes.items():
        rows = world.treatment == name
        assert rows.sum() == 3 * len(domains)
        assert len(set(world.compound[rows])) == len(set(world.label[rows])) == 1
    for compound in set(world.compound[~world.control]):
        doses = {name for name in homes if name.startswith(f"{compound} @ ")}
        assert doses == {f"{compound} @ {dose}" for dose in (1, 2, 3)}
        assert len({frozenset(homes[name]) for name in doses}) == 1
    for mechanism in set(world.label) - {""}:
        assert len(set(world.domain[world.label == mechanism])) > 1
    assert set(world.label[world.control]) == {""}
    assert (world.compound[world.control] == "DMSO").all()
    assert world.control.sum() == 4 * 5
    assert len(set(world.unit)) == len(world.x)


def test_the_nuisance_of_a_screen_is_affine_and_bent():
    """Least squares on z, tanh z and 1 explains a domain to the last digit; on z and 1 it does not."""
    world = simulate_screen(0, n_features=6, n_mechanisms=4)
    for name in np.unique(world.domain):
        rows = world.domain == name
        z, x = world.clean[rows].astype(np.float64), world.x[rows].astype(np.float64)
        straight = np.column_stack([z, np.ones(len(z))])
        assert np.abs(x - straight @ np.linalg.lstsq(straight, x)[0]).max() > 0.05
        for column in range(6):
            bent = np.column_stack([straight, np.tanh(z[:, column])])
            fit = np.linalg.lstsq(bent, x[:, column])[0]
            np.testing.assert_allclose(bent @ fit, x[:, column], atol=1e-5)


def test_without_an_effect_the_wells_of_a_screen_are_noise():
    world = simulate_screen(effect=0.0, batch=0.0)
    assert world.x.mean() == pytest.approx(0, abs=0.02)
    assert np.cov(world.x.T) == pytest.approx(np.eye(32), abs=0.2)
    assert other_side_accuracy(world.x, world) < 0.35


def test_a_screen_as_anndata_tells_its_treatments_and_controls():
    world = simulate_screen(n_replicates=2, n_controls=3)
    obs = world.to_anndata().obs
    assert obs["control"].dtype == bool
    assert obs["control"].tolist() == world.control.tolist()
    for column in ("treatment", "compound"):
        assert obs[column].dtype == "category"
        assert obs[column].tolist() == getattr(world, column).tolist()
    assert "treatment" not in simulate_shift().to_anndata().obs
