"""The preparation of counts: which genes and cells are kept, and what becomes of their counts."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData
from problems import refusal
from scipy.sparse import csr_matrix

from jbc.data import prepare_counts

GENES = 60
MARKERS = np.arange(10)  # of the two types
BATCH = np.arange(10, 20)  # differ between domains, and not between types


@pytest.fixture(scope="module")
def cells() -> AnnData:
    """Two types in three domains; one gene is undetected in the last domain, and two cells nearly empty."""
    rng = np.random.default_rng(0)
    domain, kind = np.repeat(["a", "b", "c"], 80), np.tile([0, 1], 120)
    rate = np.full((240, GENES), 20.0)
    rate[np.ix_(kind == 1, MARKERS)] *= 6
    rate[np.ix_(domain == "b", BATCH)] *= 8
    depth = rng.uniform(0.7, 1.5, size=(240, 1)) * np.where(domain == "c", 3, 1)[:, None]
    counts = rng.poisson(rate * depth).astype(np.float32)
    counts[domain == "c", 30] = 0
    counts[[5, 200]] = 0
    counts[[5, 200], :2] = 1
    return AnnData(counts, obs={"domain": domain, "label": kind.astype(str)})


def test_genes_vary_inside_domains_and_are_detected_in_all(cells):
    prepared = prepare_counts(cells, genes=len(MARKERS))
    assert prepared.var_names.tolist() == [str(gene) for gene in MARKERS]
    every = prepare_counts(cells, genes=GENES - 1)
    assert "30" not in every.var_names
    pooled = prepare_counts(cells, genes=len(MARKERS) + len(BATCH), domain_key=None)
    inside = prepare_counts(cells, genes=len(MARKERS) + len(BATCH))
    effect = {str(gene) for gene in BATCH}
    assert len(effect & set(pooled.var_names)) >= 8 > 5 > len(effect & set(inside.var_names))


def test_cells_of_low_quality_go_and_the_others_sum_to_ten_thousand(cells):
    prepared = prepare_counts(cells, genes=GENES - 1)
    assert set(cells.obs_names) - set(prepared.obs_names) == {"5", "200"}
    np.testing.assert_allclose(prepared.X.sum(axis=1), 1e4, rtol=1e-5)
    found, own = (np.asarray(part.X) for part in (prepared, cells[prepared.obs_names, prepared.var_names]))
    np.testing.assert_allclose(found, 1e4 * own / own.sum(axis=1, keepdims=True), rtol=1e-5)
    assert prepared.obs["label"].tolist() == cells.obs.loc[prepared.obs_names, "label"].tolist()
    assert prepare_counts(cells, genes=5, deviations=None).n_obs == cells.n_obs


def test_labels_and_the_kind_of_matrix_change_nothing(cells):
    expected = prepare_counts(cells, genes=20)
    other = AnnData(csr_matrix(cells.X), cells.obs.assign(label="x"), cells.var)
    found = prepare_counts(other, genes=20)
    np.testing.assert_array_equal(found.X, expected.X)
    assert found.var_names.tolist() == expected.var_names.tolist()
    assert cells.X.max() < 1e3  # the counts that came in are as they were


@pytest.mark.parametrize(
    ("change", "code", "which"),
    [
        (lambda cells: prepare_counts(cells, domain_key="batch"), "no-column", "'batch'"),
        (lambda cells: prepare_counts(cells, genes=60), "too-few-genes", "59 are detected in every domain"),
        (
            lambda cells: prepare_counts(AnnData(cells.X - 1, cells.obs)),
            "not-counts",
            "'2', '3', '4', '5', '6' and 53 more",
        ),
    ],
)
def test_what_is_refused(cells, change, code, which):
    with refusal(code) as caught:
        change(cells)
    assert which in str(caught.value)
