r"""How well treatments of one mechanism of action lie together, and how much of it the domains explain.

A *point* is the mean of the rows of one treatment in one domain. Controls and rows of unknown mechanism are left
out. Points are compared by the cosine distance :math:`1 - \cos(x, y)`, so the origin matters: centre the table on
its controls first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from jbc.errors import InputError
from jbc.metrics._points import Points, gather, left_out


class MechanismScore(NamedTuple):
    """A score over all points that are asked, and that of each.

    Attributes
    ----------
    score : (draws, groups, K) float64
        The mean over the points that are asked. There are axes only for what was passed: ``draws`` of a weight
        with two axes, ``groups`` to leave out in turn, and the ``k`` of nearest neighbours.
    asked : (draws, groups) int64
        How many points that are.
    each : (draws, groups, p, K) float64
        The score of each point, NaN where it is not asked.
    points : Points
        Treatment, compound, mechanism and domain of each point, (p,) each.
    counted : (draws, groups, p, K) float64
        How many neighbours of each point count; of a silhouette, 1 for every point that is asked.

    Examples
    --------
    >>> about = {"treatment": list("abc"), "compound": list("abc"), "mechanism": list("uuv"), "domain": [1, 1, 1]}
    >>> found = mechanism_knn([[1, 0], [1, 0.1], [0, 1]], **about, k=(1,))
    >>> found.score.tolist(), int(found.asked), found.each.tolist()
    ([1.0], 2, [[1.0], [1.0], [nan]])
    """

    score: Any
    asked: Any
    each: np.ndarray
    points: Points
    counted: np.ndarray


def mechanism_knn(
    x: Any,
    *,
    treatment: Any,
    compound: Any,
    mechanism: Any,
    domain: Any,
    control: Any = None,
    k: Sequence[int] = (1, 2, 3, 4),
    across_domains: bool = False,
    count: Literal["k", "possible"] = "k",
    weight: Any = None,
    leave_out: Literal["compound", "domain"] | None = None,
    summary: Literal["mean", "median"] = "mean",
) -> MechanismScore:
    r"""Return the share of nearest neighbours that have the same mechanism.

    .. math::

        \frac{1}{|A|} \sum_{i \in A} \frac{1}{k_i} \sum_{j \in N_i} [m_j = m_i], \qquad k_i = \min(k, |E_i|),

    where :math:`E_i` are the points that are eligible as neighbours of point i: those of another compound ("not
    same compound", NSC), with ``across_domains`` those of another compound *and* another domain (NSCB);
    :math:`N_i` are the :math:`k_i` nearest of them. *Asked*, in :math:`A`, are the points with an eligible
    neighbour of their own mechanism: the others could never be right, and published numbers leave them out of
    the denominator. Among neighbours at exactly the same distance the expected share counts, so that no order of
    names or rows matters, and a table that is collapsed to one point scores by chance.

    A point whose mechanism has fewer than k eligible points cannot reach 1. ``count="possible"`` takes
    :math:`k_i = \min(k, |\{j \in E_i : m_j = m_i\}|)` instead, and pools the neighbours of all points:
    :math:`\sum_i \sum_{j \in N_i} [m_j = m_i] / \sum_i k_i`. For k = 1 both rules agree.

    Parameters
    ----------
    x
        Measurements, corrected or not, (n, d).
    treatment, compound, mechanism, domain
        Names, one per row. A treatment (compound @ concentration) has one compound and one mechanism. Rows with
        an unknown mechanism (-1, None, NaN or ``""``) are left out.
    control
        True for rows to leave out as controls.
    k
        Numbers of neighbours.
    across_domains
        Accept neighbours from other domains only, so that what a domain shares does not count.
    count
        Count the ``"k"`` nearest neighbours of every point, as the text of Tabak et al. says; or only as many as
        are ``"possible"``, as the program behind their printed numbers does.
    weight
        How often each row counts, (n,), or (draws, n) from :func:`~jbc.metrics.bootstrap_weights`.
    leave_out
        Leave out each compound (or domain) in turn, in sorted order, neither asked nor a neighbour: what early
        stopping may see while one compound is held out.
    summary
        Mean or median of the rows, feature by feature.

    Returns
    -------
    MechanismScore

    Examples
    --------
    >>> x = [[1, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 0.9]]
    >>> found = mechanism_knn(x, treatment=list("abcde"), compound=list("abcde"), mechanism=list("uuvvu"),
    ...                       domain=[1, 2, 1, 2, 2], k=(1, 2))
    >>> found.score.tolist(), int(found.asked), found.each[:, 1].tolist()
    ([1.0, 0.8], 5, [1.0, 1.0, 0.5, 0.5, 1.0])

    Two of the five points have a single other point of their mechanism, and only it counts:

    >>> found = mechanism_knn(x, treatment=list("abcde"), compound=list("abcde"), mechanism=list("uuvvu"),
    ...                       domain=[1, 2, 1, 2, 2], k=(1, 2), count="possible")
    >>> found.score.tolist(), found.counted[:, 1].tolist()
    ([1.0, 1.0], [2.0, 2.0, 1.0, 1.0, 2.0])

    References
    ----------
    Ljosa et al. (2013), Comparison of methods for image-based profiling (NSC); Ando et al. (2017), Improving
    phenotypic measurements in high-content imaging screens (NSCB); Tabak et al. (2020), Correcting nuisance
    variation using Wasserstein distance (k neighbours).
    """
    # jax takes a second to import, and most metrics do without.
    from jbc.metrics import _lanes

    if not len(k) or any(each != int(each) or each < 1 for each in k):
        raise InputError(
            "Numbers of neighbours must be 1, 2, 3 and so on, got",
            which=list(k),
            why="A share is taken of that many.",
            fix="Pass k=(1, 2, 3, 4), as in the publication.",
            code="bad-neighbours",
        )
    table, points = gather(x, treatment, compound, mechanism, domain, control, weight)
    if count not in ("k", "possible"):
        raise InputError(
            f"Unknown rule of counting neighbours: {count!r}",
            why="The share of neighbours depends on how many of them count.",
            fix='Pass "k" or "possible".',
            code="bad-setting",
        )
    told = _lanes.knn(
        *table[:3],
        left_out(points, leave_out),
        *table[3:],
        k=tuple(int(each) for each in k),
        across_domains=bool(across_domains),
        possible=count == "possible",
        members=_members(table.point) if summary == "median" else None,
    )
    found = _averaged(told[..., 0, :], told[..., 1, :], points, weight, leave_out, pooled=count == "possible")
    if not found.asked.any():
        raise InputError(
            "No point has an eligible neighbour of its own mechanism",
            which=np.unique(points.mechanism).tolist(),
            why=f"Only other compounds{' in other domains' if across_domains else ''} count as neighbours.",
            fix="Pass mechanisms that several compounds share.",
            code="nothing-to-evaluate",
        )
    return found


def mechanism_silhouette(
    x: Any,
    *,
    treatment: Any,
    compound: Any,
    mechanism: Any,
    domain: Any,
    control: Any = None,
    weight: Any = None,
    leave_out: Literal["compound", "domain"] | None = None,
    summary: Literal["mean", "median"] = "mean",
) -> MechanismScore:
    r"""Return the silhouette of the mechanisms.

    .. math:: s_i = \frac{b_i - a_i}{\max(a_i, b_i)}

    with the mean distance :math:`a_i` of point i from the other points of its mechanism, and the smallest mean
    distance :math:`b_i` from those of another. A point that is alone in its mechanism scores 0.

    Parameters
    ----------
    x, treatment, compound, mechanism, domain, control, weight, leave_out, summary
        As in :func:`mechanism_knn`.

    Returns
    -------
    MechanismScore
        Every point is asked.

    Examples
    --------
    >>> x = [[1, 0], [1, 0.1], [0, 1], [0.1, 1]]
    >>> found = mechanism_silhouette(x, treatment=list("abcd"), compound=list("abcd"), mechanism=list("uuvv"),
    ...                              domain=[1, 2, 1, 2])
    >>> round(float(found.score), 4)
    0.9945

    References
    ----------
    Rousseeuw (1987), Silhouettes: a graphical aid to the interpretation and validation of cluster analysis.
    """
    from jbc.metrics import _lanes

    table, points = gather(x, treatment, compound, mechanism, domain, control, weight)
    names = np.unique(points.mechanism)
    if len(names) < 2:
        raise InputError(
            "A single mechanism",
            which=names.tolist(),
            why="A silhouette compares the distances within a mechanism with those between mechanisms.",
            fix="Pass treatments of several mechanisms.",
            code="nothing-to-evaluate",
        )
    each = _lanes.silhouette(
        *table[:3],
        left_out(points, leave_out),
        table.mechanism,
        table.origin,
        mechanisms=len(names),
        members=_members(table.point) if summary == "median" else None,
    )
    each = np.asarray(each)[..., None]
    found = _averaged(each, np.isfinite(each), points, weight, leave_out)
    return found._replace(score=found.score[..., 0], each=found.each[..., 0], counted=found.counted[..., 0])


def _averaged(
    each: Any, counted: Any, points: Points, weight: Any, leave_out: str | None, *, pooled: bool = False
) -> MechanismScore:
    """Average over the points that are asked, or over all that counts; drop the axes of what was not passed."""
    each, counted = (np.asarray(one, dtype=np.float64) for one in (each, counted))
    each, counted = (one if leave_out else one[:, 0] for one in (each, counted))
    each, counted = (one if np.ndim(weight) == 2 else one[0] for one in (each, counted))
    asked = np.isfinite(each)
    times = counted if pooled else asked
    with np.errstate(invalid="ignore"):
        score = np.where(asked, each * times, 0).sum(axis=-2) / times.sum(axis=-2)
    return MechanismScore(score, asked[..., 0].sum(axis=-1), each, points, counted)


def _members(point: np.ndarray) -> np.ndarray:
    """Return the rows of each point, (p, capacity), filled up with a place beyond the last row."""
    size = np.bincount(point)
    order = np.argsort(point, kind="stable")
    place = np.arange(len(point)) - np.repeat(np.cumsum(size) - size, size)
    members = np.full((len(size), size.max()), len(point))
    members[point[order], place] = order
    return members
