"""How wide tables are brought into the subspace that networks see: one place for all methods with ``inputs``."""

from __future__ import annotations

import abc
import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.subspace import Subspace, find_basis, sample
from jbc.errors import warn
from jbc.methods.inputs import Inputs, Tables

BLOCK = 1024  # rows that are standardised at a time


class Projects(abc.ABC):
    """A method whose networks see rows as its ``inputs`` say: features, or principal components of wide tables."""

    inputs: Inputs

    def tables(self, cohort: Cohort) -> Tables:
        """Return what standardises the inputs."""
        return self.inputs.of_cohort(cohort)


def project(method: Projects, cohort: Cohort) -> Cohort:
    """Return the cohort with the subspace that a method wants, or as it is where networks see the features.

    Rows are standardised as the method does it, block by block, and the directions found on the host
    (:mod:`jbc.cohort.subspace`).

    Examples
    --------
    >>> from jbc.methods.mmd_resnet import MMDResNet
    >>> x = np.random.default_rng(0).normal(size=(40, 100)).astype(np.float32)
    >>> method = MMDResNet(inputs=Inputs(subspace=3))
    >>> cohort = method.resolve(Cohort.from_arrays(x, np.repeat(["a", "b"], 20)))
    >>> project(method, cohort).subspace.codes.shape, project(MMDResNet(), cohort).subspace
    ((40, 3), None)
    """
    inputs, (n, d), domains = method.inputs, cohort.x.shape, len(cohort.domains.count)
    components = inputs.components(d)
    if components is None or getattr(method, "image", None) is not None:
        return cohort
    # By domain, every mean is 0 already.
    shifts = 0 if inputs.scale == "domain" else domains - 1
    width = min(components + shifts, n)
    if width >= d:
        return cohort
    shifts = min(shifts, width)
    if inputs.subspace == "auto":
        _tell(type(method).__name__, d, width)
    tables = _tables(method, cohort.without_names())
    blocks = [slice(start, start + BLOCK) for start in range(0, n, BLOCK)]
    x, domain, weight = (np.asarray(part) for part in (cohort.x, cohort.domain, cohort.weight))

    def seen(rows: Any) -> np.ndarray:
        return np.asarray(_features(inputs, tables, x[rows], domain[rows]))

    of = np.eye(domains)[domain] * weight[:, None]
    means = sum(of[block].T @ seen(block) for block in blocks) / np.maximum(of.sum(axis=0), 1)[:, None]
    some = sample(weight, d)
    basis = find_basis(seen(some), domain[some], weight[some], means, width - shifts, shifts)
    codes = np.concatenate([seen(block) @ basis for block in blocks])
    size = np.float32(1 if inputs.scale == "none" else _typical(codes, weight))
    return dataclasses.replace(cohort, subspace=Subspace(basis, size, codes / size))  # pyright: ignore[reportArgumentType]


def _typical(codes: np.ndarray, weight: np.ndarray) -> float:
    """Return the root of the mean variance of codes, of those that vary; 1 where none does."""
    codes = codes.astype(np.float64)
    away = codes - np.average(codes, axis=0, weights=weight)
    variance = np.average(np.square(away), axis=0, weights=weight)
    return float(np.sqrt(variance[variance > 0].mean())) if variance.any() else 1.0


def _tell(name: str, d: int, width: int) -> None:
    warn(
        f"{d:,} features: the networks of {name} see {width} principal components of them, and what lies outside "
        "of these is standardised and no more. "
        f'Inputs(subspace={width}) says so without this warning, and subspace="none" takes all features.'
    )


@partial(jax.jit, static_argnums=0)
def _tables(method: Any, cohort: Cohort) -> Tables:
    return method.tables(cohort)


@partial(jax.jit, static_argnums=0)
def _features(inputs: Inputs, tables: Tables, x: Array, domain: Array) -> Array:
    return inputs.features(tables, jnp.asarray(x), domain)
