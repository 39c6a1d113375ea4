"""Worlds and the real data that they are made of: what is measured, in which domain, and what every row is."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

import jbc

GENES = 500
POSITIONS = ("Location", "Center")
Shares = dict[str, dict[str, float]]
"""By domain and line, the share of its rows that is kept; lines that are not named are left out."""


@dataclass(frozen=True, eq=False)
class World:
    """Rows, their domains, what they are, and what a fit may see of that.

    ``line`` is the true population of every row (cell line, type, class), ``label`` the same where a fit may know
    it and "" elsewhere; ``target`` is the domain whose labels are hidden. In a ``null`` world domains differ by
    chance alone. ``unit`` tells replicates of one subject, where there are any.
    """

    name: str
    x: np.ndarray
    domain: np.ndarray
    line: np.ndarray
    label: np.ndarray
    target: str = ""
    null: bool = False
    unit: np.ndarray | None = None


class Rows(NamedTuple):
    """A whole data set."""

    x: np.ndarray
    domain: np.ndarray
    line: np.ndarray
    unit: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Rows:
        """Return some of the rows."""
        return Rows(*(None if part is None else part[rows] for part in self))


def world_of(name: str, rows: Rows, target: str = "", *, null: bool = False) -> World:
    """Return a world in which the labels of one domain are hidden."""
    domain, line = rows.domain.astype(str), rows.line.astype(str)
    label = np.where(domain == target, "", line)
    return World(name, rows.x.astype(np.float32), domain, line, label, target, null, rows.unit)


def keep(rows: Rows, shares: Shares, rng: np.random.Generator) -> Rows:
    """Keep a share of every line of every domain, at random, and at least one row of what is named."""
    kept = []
    for domain, lines in shares.items():
        for line, share in lines.items():
            there = np.flatnonzero((rows.domain == domain) & (rows.line == line))
            some = min(len(there), max(1, round(share * len(there)))) if share > 0 else 0
            kept.append(rng.permutation(there)[:some])
    return rows.take(np.sort(np.concatenate(kept)))


@functools.cache
def cells() -> Rows:
    """Return the counts of single cells of known lines, without doublets; all genes."""
    adata = jbc.datasets.load("sc-mixology")
    adata = adata[~adata.obs["doublet"] & ~adata.obs["two_cells"]]
    names = [adata.obs[name].astype(str).to_numpy() for name in ("domain", "label")]
    return Rows(np.asarray(adata.X), *names)


def logarithms(rows: Rows) -> Rows:
    """Return logarithms of counts per 10,000 of the genes that vary most within domains, whatever the lines."""
    x = np.log1p(1e4 * rows.x / rows.x.sum(axis=1, keepdims=True))
    within = [x[rows.domain == domain].var(axis=0) for domain in np.unique(rows.domain)]
    genes = np.argsort(-np.mean(within, axis=0), kind="stable")[:GENES]
    return rows._replace(x=x[:, np.sort(genes)])


@functools.cache
def days(person: int) -> Rows:
    """Return the cells of both days of one person."""
    adata = jbc.datasets.load(f"cytof-person{person}")
    line = np.where(adata.obs["label"].astype(str) == "1", "CD8", "other")
    return Rows(np.arcsinh(np.asarray(adata.X) / 5), adata.obs["domain"].astype(str).to_numpy(), line)


def one_domain(dataset: str) -> Rows:
    """Return one domain of a data set: no batch effect."""
    if dataset == "cytof":
        return days(1).take(days(1).domain == "day 1")
    if dataset == "cell-lines":
        return logarithms(cells().take(cells().domain == "CEL-seq2"))
    domain = {"mi": "plate 1", "bbbc021": "Week3", "cytonorm": "PTLG021"}[dataset]
    adata = jbc.datasets.load(dataset)
    adata = adata[adata.obs["domain"] == domain]
    x, obs, unit = np.asarray(adata.X, np.float64), adata.obs, None
    line = obs["treatment" if dataset == "cytonorm" else "label"].astype(str).to_numpy()
    if dataset == "mi":
        x, unit = np.log1p(np.maximum(x, 0)), obs["unit"].astype(str).to_numpy()
    if dataset == "bbbc021":
        line = np.where(line == "", "DMSO", line)
        biology = [not any(word in name for word in POSITIONS) for name in adata.var_names]
        x = x[:, np.array(biology) & (x.std(axis=0) > 1e-9 * np.abs(x).max(axis=0))]
        x = (x - x.mean(axis=0)) / x.std(axis=0)
    return Rows(x, np.repeat(domain, len(x)), line, unit)
