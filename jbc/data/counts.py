"""Counts of single cells, prepared for methods that compare domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jbc.errors import InputError
from jbc.validation.dense import densify

if TYPE_CHECKING:
    from anndata import AnnData

PER_CELL = 1e4
MAD = 1.4826  # times the median absolute deviation is the standard deviation of a normal distribution


def prepare_counts(
    adata: AnnData, *, genes: int = 325, domain_key: str | None = "domain", deviations: float | None = 3.0
) -> AnnData:
    r"""Normalise counts of single cells, without cells of low quality, and keep the genes that vary most.

    1. Genes are kept that are detected in every domain.
    2. Cells are left out whose number of counts, or of detected genes, is less than half of the median of its domain,
       and so low that its logarithm is more than ``deviations`` robust standard deviations below.
    3. Counts :math:`c` of a cell become :math:`10^4\, c / \sum c`, of these genes.
    4. The ``genes`` are kept with the largest variance of :math:`\log(1 + x)`, as a mean over the domains: what
       differs between domains alone makes no gene important. They keep their order.

    No label is looked at.

    Parameters
    ----------
    adata
        Cells with raw counts in X.
    genes
        Number of genes to keep.
    domain_key
        Column of ``obs`` that names the domains; None to take all cells as one domain.
    deviations
        Where a cell is of low quality; None to keep all cells that have any count.

    Returns
    -------
    anndata.AnnData
        Counts per 10,000 in X, float32. Take the logarithm, or leave that to a method's ``inputs``.

    Raises
    ------
    InputError
        With code ``not-counts`` for negative or missing values, ``no-column`` without the column of the domains, and
        ``too-few-genes`` where fewer genes are left than are asked for.

    Notes
    -----
    These are the steps by which Niu et al. 2021 prepared three data sets of the pancreas (``"pancreas"`` of
    :mod:`jbc.datasets`), which left 4036 cells and 325 genes. They used the R package scran, and told neither their
    thresholds nor how sizes of cells were estimated: the robust standard deviations and the sums of counts are ours.

    References
    ----------
    Niu et al., Deep learning based multi-batch calibration for classification in various omics, 2021.

    Examples
    --------
    >>> from anndata import AnnData
    >>> counts = np.array([[5, 1, 0, 4], [0, 1, 3, 6], [2, 2, 0, 6], [0, 2, 1, 7]], dtype=np.float32)
    >>> cells = AnnData(counts, obs={"domain": ["a", "a", "b", "b"]})
    >>> prepared = prepare_counts(cells, genes=2)
    >>> prepared.var_names.tolist(), prepared.X[0].tolist()
    (['0', '2'], [5000.0, 0.0])
    """
    counts = _counts(adata)
    domain = _domains(adata, domain_key)
    rows = {name: domain == name for name in np.unique(domain)}
    detected = np.logical_and.reduce([(counts[own] > 0).any(axis=0) for own in rows.values()])
    counts = counts[:, detected]
    kept = np.asarray(counts.any(axis=1))
    if deviations is not None:
        for own in rows.values():
            for each in (counts.sum(axis=1), (counts > 0).sum(axis=1)):
                kept[own] &= _not_low(each[own], deviations)
    counts, domain = counts[kept], domain[kept]
    if genes > counts.shape[1] or not len(counts):
        raise InputError(
            f"{genes} genes are asked for, and {counts.shape[1] if len(counts) else 0} are detected in every domain",
            which=[f"genes={genes}"],
            why="A gene without a count in a domain says nothing about what differs between domains.",
            fix="Ask for fewer genes, or leave out domains that detect few.",
            code="too-few-genes",
        )
    x = PER_CELL * counts / counts.sum(axis=1, keepdims=True)
    logs = np.log1p(x)
    varies = np.mean([logs[domain == name].var(axis=0) for name in np.unique(domain)], axis=0)
    chosen = np.sort(np.argsort(-varies, kind="stable")[:genes])
    prepared = adata[kept, np.flatnonzero(detected)[chosen]].copy()
    prepared.X = x[:, chosen].astype(np.float32)
    return prepared


def _counts(adata: AnnData) -> np.ndarray:
    """Return X as an array, or refuse what no counts can be."""
    counts = np.asarray(densify(adata.X))
    wrong = ~(np.isfinite(counts) & (counts >= 0))
    if wrong.any():
        names = adata.var_names[np.flatnonzero(wrong.any(axis=0))]
        raise InputError(
            "Counts are negative or missing",
            which=list(names),
            why="They are divided by their sum in a cell, and logarithms are taken.",
            fix="Pass raw counts in X, with 0 where a gene was not detected.",
            code="not-counts",
        )
    return counts


def _domains(adata: AnnData, key: str | None) -> np.ndarray:
    """Return the domain of every cell, or one for all."""
    if key is None:
        return np.zeros(adata.n_obs, dtype=int)
    if key not in adata.obs:
        raise InputError(
            "There is no such column in obs",
            which=[key],
            why="Genes are chosen, and cells judged, by domain.",
            fix="Name the column of the domains in domain_key, or pass domain_key=None for a single domain.",
            code="no-column",
        )
    return adata.obs[key].astype(str).to_numpy()


def _not_low(sizes: np.ndarray, deviations: float) -> np.ndarray:
    """Return which sizes are at least half of their median, or not far below it by robust standard deviations."""
    logs = np.log1p(sizes)
    middle = np.median(logs)
    return logs >= middle - max(deviations * MAD * np.median(np.abs(logs - middle)), np.log(2))
