r"""The percentile edit: every neuron is moved from where it lies in a source to where it lies in a target.

Equation (1) of the paper, for an activation a between two neighbouring percentiles of the source S, every neuron by
itself:

.. math:: e(a) = p^T_j + \frac{a - p^S_j}{p^S_{j+1} - p^S_j}\,(p^T_{j+1} - p^T_j)
               = a + \delta_j + \frac{a - p^S_j}{p^S_{j+1} - p^S_j}\,(\delta_{j+1} - \delta_j),
          \qquad \delta_j = p^T_j - p^S_j.

The equation leaves open, and here it is decided:

- *Which percentiles.* Equally spaced from the least to the largest activation, 101 by default, interpolated as
  ``numpy.percentile`` does. A percentile of the source goes to that of the target exactly.
- *Outside the source*, below its first and above its last percentile: ``"shift"`` adds the difference
  :math:`\delta` of that end, ``"clip"`` gives the end of the target, and ``"linear"`` goes on with the slope of the
  bracket at that end (a shift where it has no width). The slope of a thin bracket is large, and carries far.
  `outside` tells what was extrapolated.
- *Ties.* Where percentiles of the source coincide, the equation divides by zero. Activations there go to the target's
  percentile of their middle rank; the map jumps there, from the first to the last of the target's percentiles.
- *Constant neurons.* A neuron that is constant in the source, up to rounding, is moved by the difference of the
  medians (under ``"clip"``, to the target's median). Where it is constant in the target, the equation makes all rows
  of the source equal: `keep_scale` is for measurements that the target lacks.

The map never decreases. It changes no bit where source and target are equal, except of values that are clipped. The
paper also says that e leaves the target's rows as they are, and that it can be inverted. Neither follows from the
equation: the first fails where source and target differ, the second where the target is constant.

References
----------
"Beyond GANs: transforming without a target distribution", section 2 (neuron editing).
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jbc.numerics.linalg import constant_range, moments

Beyond = Literal["shift", "clip", "linear"]
ROWS = 4096
ENDLESS = 1e18  # what is measured nowhere stays as it is, whatever its value


class Edit(NamedTuple):
    """The percentiles of every neuron, in ascending order, (percentiles, neurons) each."""

    source: Array
    target: Array


def measure(
    source: Array,
    target: Array,
    percentiles: int = 101,
    *,
    source_weight: Array | None = None,
    target_weight: Array | None = None,
    constant_shift: bool = False,
) -> Edit:
    """Measure an edit on rows of activations, (rows, neurons) each.

    Parameters
    ----------
    source, target
        Activations; the numbers of rows may differ.
    percentiles
        How many, at least 2.
    source_weight, target_weight
        How often each row counts, whole numbers: 0 leaves it out, k repeats it. At least one row must count. Or how
        often each value counts, (rows, neurons): a neuron without a value on one of the sides stays as it is.
    constant_shift
        Take the mean instead of percentiles, so that all values of a neuron move by the difference of the means:
        the paper's simplest alternative.

    Examples
    --------
    >>> edit = measure(jnp.array([[0.0], [2.0]]), jnp.array([[10.0], [14.0]]), percentiles=3)
    >>> edit.source[:, 0].tolist(), edit.target[:, 0].tolist()
    ([0.0, 1.0, 2.0], [10.0, 12.0, 14.0])
    """
    knots = _means if constant_shift else partial(weighted_percentiles, number=percentiles)
    edit = Edit(knots(source, source_weight), knots(target, target_weight))
    counts = [weight for weight in (source_weight, target_weight) if weight is not None and weight.ndim == 2]
    if not counts:
        return edit
    unknown = jnp.stack([(weight > 0).sum(axis=0) == 0 for weight in counts]).any(axis=0)
    same = jnp.linspace(-ENDLESS, ENDLESS, len(edit.source))[:, None]
    return Edit(*(jnp.where(unknown, same, side) for side in edit))


def weighted_percentiles(rows: Array, weight: Array | None = None, number: int = 101) -> Array:
    """Return equally spaced percentiles of every column, from the least value to the largest, (number, columns).

    They are those of ``numpy.percentile`` on rows, or values, that are repeated as often as they weigh. The rows are
    sorted once for all weights of a ``vmap`` over weights.

    Examples
    --------
    >>> weighted_percentiles(jnp.array([[3.0], [1.0], [9.0]]), jnp.array([2, 1, 0]), number=3).tolist()
    [[1.0], [3.0], [3.0]]
    """
    rows = jnp.asarray(rows)
    weight = jnp.ones(len(rows), jnp.int32) if weight is None else jnp.asarray(weight, jnp.int32)
    if weight.ndim == 1:
        ranks = _ranks(weight, number)
        return jax.vmap(lambda values: _column(values, weight, *ranks), in_axes=1, out_axes=1)(rows)

    def one(values: Array, weight: Array) -> Array:
        return _column(values, weight, *_ranks(weight, number))

    return jax.vmap(one, in_axes=1, out_axes=1)(rows, weight)


def _ranks(weight: Array, number: int) -> tuple[Array, Array]:
    """Return the ranks of percentiles, and the share of the way to the next one.

    The rank i (total - 1) / (number - 1) in whole numbers: float32 has too few digits, and products outgrow int32.
    """
    i, parts = jnp.arange(number), number - 1
    whole, rest = jnp.divmod(weight.sum() - 1, parts)
    more, share = jnp.divmod(i * rest, parts)
    return i * whole + more, share / parts


def _column(values: Array, weight: Array, rank: Array, share: Array) -> Array:
    """Return the percentiles of one column."""
    order = jnp.argsort(values)
    reached = jnp.cumsum(weight[order])
    low, high = (
        values[order[jnp.searchsorted(reached, r, side="right")]]
        for r in (rank, jnp.minimum(rank + 1, reached[-1] - 1))
    )
    return jnp.clip(low + share * (high - low), low, high)


def keep_scale(edit: Edit) -> Edit:
    """Return an edit that only shifts neurons which are constant in the target, by the difference of the medians.

    Examples
    --------
    >>> edit = keep_scale(Edit(jnp.array([[1.0], [2.0], [5.0]]), jnp.array([[7.0], [7.0], [7.0]])))
    >>> edit.target[:, 0].tolist()
    [6.0, 7.0, 10.0]
    """
    shifted = edit.source + (_middle(edit.target) - _middle(edit.source))
    return edit._replace(target=jnp.where(_constant(edit.target, edit.source), shifted, edit.target))


def certainty(edit: Edit, noise: Array) -> Array:
    r"""Return 0 for an edit that sampling alone makes of equal distributions, and 1 for one of twice its square.

    .. math:: \operatorname{clip}_{0,1}\left(\frac{\sum_k \overline{\delta_k^2}}{2 \sum_k s_k} - 1\right)

    over all neurons k. Between samples of one distribution, whatever its form, the mean square of the differences
    :math:`\delta` of all percentiles but the ends is about twice the squared standard error of the difference of
    their means, :math:`s_k`.

    Parameters
    ----------
    edit
        What :func:`measure` gives.
    noise
        The :math:`s_k`: variance over number of independent rows, of the source and of the target, added up;
        (neurons,).

    Examples
    --------
    >>> edit = Edit(jnp.array([[0.0], [1.0], [2.0]]), jnp.array([[2.0], [3.0], [4.0]]))
    >>> [float(certainty(edit, jnp.array([noise]))) for noise in (0.5, 1.6, 9.0)]
    [1.0, 0.25, 0.0]
    """
    difference = edit.target - edit.source
    inner = difference[1:-1] if len(difference) > 2 else difference
    found = jnp.square(inner).mean(axis=0).sum()
    return jnp.clip(found / jnp.maximum(2 * noise.sum(), jnp.finfo(found.dtype).tiny) - 1, 0, 1)


def _means(rows: Array, weight: Array | None) -> Array:
    """Return the mean of every column twice: the percentiles of a neuron that is constant."""
    weight = jnp.ones(len(rows)) if weight is None else weight
    mean, _ = moments(rows, jnp.zeros(len(rows), jnp.int32), weight, 1)
    return jnp.repeat(mean, 2, axis=0)


def apply(edit: Edit, values: Array, beyond: Beyond = "shift") -> Array:
    """Edit activations, (rows, neurons).

    Parameters
    ----------
    edit
        What `measure` gives.
    values
        The activations to edit.
    beyond
        What happens outside the source's range: ``"shift"``, ``"clip"`` or ``"linear"``.

    Examples
    --------
    >>> edit = Edit(jnp.array([[0.0], [2.0]]), jnp.array([[10.0], [14.0]]))
    >>> apply(edit, jnp.array([[-1.0], [0.5], [3.0]])).tolist()
    [[9.0], [11.0], [15.0]]
    >>> apply(edit, jnp.array([[-1.0], [0.5], [3.0]]), beyond="linear").tolist()
    [[8.0], [11.0], [16.0]]
    """
    table = _table(edit, beyond)
    if len(values) <= ROWS:
        return _edited(table, values)
    # By chunks that stay in the processor's cache: several times as fast, and in little memory.
    return jax.lax.map(lambda row: _edited(table, row[None])[0], values, batch_size=ROWS)


def outside(edit: Edit, values: Array) -> Array:
    """Return which activations lie outside the source's range, (rows, neurons).

    After a constant shift, these are nearly all: a mean has no range.

    Examples
    --------
    >>> edit = Edit(jnp.array([[0.0], [2.0]]), jnp.array([[10.0], [14.0]]))
    >>> outside(edit, jnp.array([[-1.0], [0.0], [3.0]])).any(axis=1).tolist()
    [True, False, True]
    """
    return (values < edit.source[0]) | (values > edit.source[-1])


class _Table(NamedTuple):
    """An edit without ties and constant neurons, and its slopes at both ends.

    `middle` is where the percentiles of the source themselves go.
    """

    source: Array
    target: Array
    middle: Array
    slopes: tuple[Array, Array]


def _table(edit: Edit, beyond: Beyond) -> _Table:
    source, target = jnp.asarray(edit.source), jnp.asarray(edit.target)
    constant = _constant(source, target)
    source, target = (jnp.where(constant, _middle(knots), knots) for knots in (source, target))
    first = (source[:, None] > source).sum(axis=1)
    final = (source[:, None] >= source).sum(axis=1) - 1
    low, high = (jnp.take_along_axis(target, (first + final + up) // 2, axis=0) for up in (0, 1))
    return _Table(source, target, (low + high) / 2, _slopes(source, target, beyond))


def _middle(knots: Array) -> Array:
    """Return the medians."""
    last = len(knots) - 1
    return (knots[last // 2] + knots[(last + 1) // 2]) / 2


def _constant(knots: Array, others: Array) -> Array:
    """Return which neurons vary by no more than rounding, of their values or of what they vary elsewhere."""
    low, high = (jnp.stack([knots[end], others[end]]) for end in (0, -1))
    return constant_range(low, high)[0]


def _slopes(source: Array, target: Array, beyond: Beyond) -> tuple[Array, Array]:
    """Return the slopes below and above the source's range."""
    if beyond != "linear":
        slope = jnp.full(source.shape[1:], {"shift": 1, "clip": 0}[beyond], source.dtype)
        return slope, slope
    low, high = (
        jnp.where((width := source[j + 1] - source[j]) > 0, (target[j + 1] - target[j]) / _nonzero(width), 1)
        for j in (0, len(source) - 2)
    )
    return low, high


def _nonzero(width: Array) -> Array:
    return jnp.where(width > 0, width, 1)


def _edited(table: _Table, a: Array) -> Array:
    """Edit some rows.

    Written with the share of the bracket, as in the first form of the equation, rounding keeps percentiles exact and
    values in order; the second form, with differences added to a, keeps neither.
    """
    last = len(table.source) - 1
    low = jnp.clip(_reached(table.source, a) - 1, 0, last)
    high = jnp.minimum(low + 1, last)
    (s0, s1), (t0, t1) = ([_at(knots, j) for j in (low, high)] for knots in (table.source, table.target))
    middle = _at(table.middle, low)
    share = (jnp.clip(a, s0, s1) - s0) / _nonzero(s1 - s0)
    inside = jnp.where((s0 == t0) & (s1 == t1), a, jnp.minimum(t0 + share * (t1 - t0), t1))
    inside = jnp.where(a == s0, jnp.where(middle == a, a, middle), inside)
    below = a < table.source[0]
    slope = jnp.where(below, *table.slopes)
    beyond = jnp.where((s0 == t0) & (slope == 1), a, t0 + slope * (a - s0))
    return jnp.where(below | (a > table.source[-1]), beyond, inside)


def _reached(source: Array, a: Array) -> Array:
    """Count the percentiles that are not above a, by bisection."""
    bits = len(source).bit_length()
    table = jnp.pad(source, ((0, 2**bits - 1 - len(source)), (0, 0)), constant_values=jnp.inf)
    count = jnp.zeros(a.shape, jnp.int32)
    for bit in reversed(range(bits)):
        count = jnp.where(a >= _at(table, count + (2**bit - 1)), count + 2**bit, count)
    return count


def _at(knots: Array, j: Array) -> Array:
    """Return the knot j of every neuron."""
    return knots.at[j, jnp.arange(knots.shape[1])].get(mode="promise_in_bounds")
