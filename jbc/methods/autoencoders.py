"""Autoencoders, as several methods have them."""

from __future__ import annotations

import functools
import math

import flax.struct
import jax.numpy as jnp
from jax import Array

from jbc.cohort.roles import EXTRAPOLATE, SOURCE
from jbc.methods.base import Fitted
from jbc.methods.inputs import Tables
from jbc.nets import Autoencoder, PlayerState


class AutoencoderState(flax.struct.PyTreeNode):
    """The autoencoder, what it looks at, the domains that move, and the steps of an epoch and of training."""

    autoencoder: PlayerState
    tables: Tables
    role: Array
    epoch: Array
    step: Array


@functools.cache
def build(
    widths: tuple[int, ...], d: int, image: tuple[int, int, int] | None = None, *, linear: bool = False
) -> Autoencoder:
    """Build the network once per configuration: programs compare it by identity."""
    return Autoencoder(widths, d, image, linear)


def image_mismatch(image: tuple[int, int, int] | None, d: int) -> list[str]:
    """Return what is wrong with the shape of images whose rows have ``d`` values.

    Examples
    --------
    >>> image_mismatch((2, 2, 3), 12), image_mismatch((2, 2, 1), 12)
    ([], ['image=(2, 2, 1): rows have 12 values'])
    """
    wrong = image is not None and (min(image) < 1 or math.prod(image) != d)
    return [f"image={image}: rows have {d} values"] if wrong else []


def moves(fitted: Fitted, domain: Array) -> Array:
    """Return which rows are of a source, or of a domain to extrapolate."""
    role = jnp.asarray(fitted["role"])[domain]
    return (role == SOURCE) | (role == EXTRAPOLATE)


def average_for_new(tables: Array, role: Array, known: Array | bool = True) -> Array:
    """Return tables (D, ...) in which domains to extrapolate have the average of what the sources have.

    Where not all is ``known``, it is the average of the sources that know it, and as it is where none does.

    Examples
    --------
    >>> average_for_new(jnp.array([1.0, 3.0, 5.0, 7.0]), jnp.array([SOURCE, SOURCE, EXTRAPOLATE, 2])).tolist()
    [1.0, 3.0, 2.0, 7.0]
    """
    role = role.reshape(-1, *[1] * (tables.ndim - 1))
    has = (role == SOURCE) & known
    count = has.sum(axis=0)
    mean = jnp.where(has, tables, 0).sum(axis=0) / jnp.maximum(count, 1)
    return jnp.where((role == EXTRAPOLATE) & (count > 0), mean, tables)
