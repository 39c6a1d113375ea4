"""jbc.correct: what it writes, where, and what it refuses."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pytest
import scipy.sparse

import jbc
from jbc import model
from jbc.data import simulate_screen, simulate_shift
from jbc.methods.registry import from_json
from jbc.methods.settings import Training

SMALL = jbc.JointCalibration(training=Training(rows=16))


@pytest.fixture
def adata():
    world = simulate_shift(0, n_per_domain=60)
    adata = world.to_anndata()
    adata.obs["given"] = np.where(world.domain == np.unique(world.domain)[1], "", world.label)
    adata.obs_names = [f"{i:03d}" for i in range(adata.n_obs)]
    return adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()


@pytest.mark.slow
def test_fields(adata):
    names, x = list(adata.obs_names), adata.X.copy()
    assert jbc.correct(adata, SMALL, batch_key="domain", labels_key="given", steps=20, metrics=True) is None
    assert list(adata.obs_names) == names
    np.testing.assert_array_equal(adata.X, x)
    model = jbc.Corrector(SMALL, steps=20)
    label = adata.obs["given"].to_numpy(object)
    domain = adata.obs["domain"].to_numpy(object)
    model.fit(x, label, domain=domain)
    np.testing.assert_array_equal(adata.obsm["X_jbc"], model.encode(x, domain=domain))
    np.testing.assert_array_equal(adata.layers["jbc"], model.transform(x, domain=domain))
    assert (adata.obs["jbc_label"].astype(str) == model.predict(x, domain=domain)).all()
    probability = model.predict_proba(x, domain=domain).max(axis=1)
    np.testing.assert_array_equal(adata.obs["jbc_probability"], probability)
    receipt = adata.uns["jbc"]
    assert from_json(json.loads(receipt["method"])) == SMALL
    assert receipt["steps"] == 20
    table = (
        receipt["metrics"].query("metric == 'domain_accuracy' and label == ''").set_index("table")["value"]
    )
    assert table["after"] < table["before"]


def test_copy_layer_and_file(adata, tmp_path):
    adata.layers["counts"] = scipy.sparse.csr_matrix(adata.X)
    del adata.X
    out = jbc.correct(
        adata,
        SMALL,
        batch_key="domain",
        layer="counts",
        key_added="X_new",
        metrics=True,
        copy=True,
        steps=5,
        composition="assume-equal",
    )
    assert "X_new" not in adata.obsm
    assert out is not None
    assert {"X_new"} <= set(out.obsm)
    assert out.layers["new"].shape == out.shape
    assert not [name for name in out.obs if name.startswith("new_")]  # no labels, no predictions
    out.write_h5ad(tmp_path / "a.h5ad")
    again = anndata.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(again.obsm["X_new"], out.obsm["X_new"])
    assert list(again.uns["new"]["metrics"]["metric"]) == list(out.uns["new"]["metrics"]["metric"])


def test_representation_without_codes(adata):
    adata.obsm["X_pca"] = adata.X[:, :3].copy()
    jbc.correct(adata, jbc.Standardise(), batch_key="domain", use_rep="X_pca", composition="assume-equal")
    assert adata.obsm["X_jbc"].shape == (adata.n_obs, 3)
    np.testing.assert_array_equal(adata.obsm["X_jbc"], adata.obsm["X_jbc_features"])
    assert "jbc" not in adata.layers
    assert "jbc_label" not in adata.obs


def test_control_expression_equals_mask(adata):
    method = jbc.Standardise(on="controls")
    mask = (adata.obs["label"] == adata.obs["label"].iloc[0]).to_numpy()
    text = f"label == '{adata.obs['label'].iloc[0]}'"
    by_text = jbc.correct(adata, method, batch_key="domain", control=text, copy=True)
    by_mask = jbc.correct(adata, method, batch_key="domain", control=mask, copy=True)
    np.testing.assert_array_equal(by_text.layers["jbc"], by_mask.layers["jbc"])


@pytest.mark.slow
def test_treatments_and_controls_reach_the_method(monkeypatch):
    """The cohort is the one that the columns of the world say, in whatever order the rows came."""
    cohorts = []
    fit = model.fit

    def kept(method, cohort, **options):
        cohorts.append(cohort)
        return fit(method, cohort, **options)

    monkeypatch.setattr(model, "fit", kept)
    world = simulate_screen(n_replicates=2, n_controls=3, shared=0.25)
    adata = world.to_anndata()
    adata.obs["Metadata Compound"] = world.compound
    for control in ("`Metadata Compound` == 'DMSO'", "control == True", adata.obs["control"], world.control):
        jbc.correct(adata, jbc.Standardise(), batch_key="domain", treatment_key="treatment", control=control)
    for cohort in cohorts:
        row = np.asarray(cohort.row)
        assert np.array(cohort.names.treatments)[cohort.treatment].tolist() == world.treatment[row].tolist()
        assert np.array(cohort.names.domains)[cohort.domain].tolist() == world.domain[row].tolist()
        np.testing.assert_array_equal(cohort.control, world.control[row])
        assert len(cohort.cells.count) == len({*zip(world.domain, world.treatment, strict=True)})
    assert len(cohorts) == 4


def test_columns_of_metadata_are_no_measurements(adata):
    adata.var_names = [*adata.var_names[:-1], "Metadata_Site"]
    with pytest.raises(jbc.InputError, match=r"'Metadata_Site'.*\.obs") as caught:
        jbc.correct(adata, jbc.Standardise(), batch_key="domain")
    assert caught.value.code == "metadata-in-x"
    assert "jbc" not in adata.layers


def test_a_design_that_cannot_be_judged_is_still_corrected(adata):
    adata.obs["donor"] = adata.obs["domain"].astype(str)  # one subject per domain: no split is fair
    keys = {"batch_key": "domain", "unit_key": "donor"}
    jbc.correct(adata, jbc.Standardise(), **keys, metrics=True, composition="assume-equal")
    assert "jbc" in adata.layers
    assert "unit" in adata.uns["jbc"]["unjudged"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"batch_key": "domian"}, "missing-column"),
        ({"batch_key": "domain", "labels_key": "lable"}, "missing-column"),
        ({"batch_key": "domain", "layer": "counts"}, "missing-field"),
        ({"batch_key": "domain", "use_rep": "X_umap"}, "missing-field"),
        ({"batch_key": "domain", "layer": "clean", "use_rep": "X_umap"}, "layer-and-rep"),
        ({"batch_key": "domain", "control": "label.upper() == 'A'"}, "bad-expression"),
        ({"batch_key": "domain", "control": "drug == 'DMSO'"}, "unknown-column"),
        ({"batch_key": "domain", "control": "label == 'dmso'"}, "no-controls"),
        ({"batch_key": "domain", "control": "label != 'dmso'"}, "all-controls"),
    ],
)
def test_refusals_change_nothing(adata, arguments, code):
    before = adata.copy()
    with pytest.raises(jbc.InputError) as caught:
        jbc.correct(adata, SMALL, steps=2, **arguments)
    assert caught.value.code == code
    assert set(adata.obsm) == set(before.obsm)
    assert set(adata.layers) == set(before.layers)
    assert list(adata.obs) == list(before.obs)
