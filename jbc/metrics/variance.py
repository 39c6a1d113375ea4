"""Which part of the variance is due to domains."""

from __future__ import annotations

from typing import Any

import numpy as np

from jbc.errors import InputError
from jbc.metrics._inputs import measurements, moved
from jbc.validation import checks


def domain_share(x: Any, domain: Any, treatment: Any) -> float:
    r"""Return the share of the variance that domains explain among rows of the same treatment.

    .. math:: \frac{1}{|T|} \sum_{t \in T} \frac{V_t}{V}, \qquad
              V_t = \frac{1}{|D_t|} \sum_{g \in D_t} \Bigl( \lVert \mu_{tg} - \mu_t \rVert^2
                    - \bigl(1 - \tfrac{1}{|D_t|}\bigr) \frac{s^2_{tg}}{n_{tg}} \Bigr)

    with the means of a treatment in its domains, about their own mean; what chance adds to their variance, from the
    variance :math:`s^2_{tg}` of the :math:`n_{tg}` rows, is taken out. V is the variance of all rows, so that a
    correction that only shrinks them is no better. No biology has to be known.

    Parameters
    ----------
    x
        Measurements, corrected or not, (n, d).
    domain
        Name of each row's domain.
    treatment
        Name of each row's treatment; rows where it is unknown (-1, None, NaN or ``""``) enter V alone. T are the
        treatments with two domains of two rows each.

    Returns
    -------
    float
        0 when domains cannot be seen, on average; a little below it by chance. 0 as well where nothing varies.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(400, 3))
    >>> domain, treatment = ["a", "b"] * 200, ["u"] * 200 + ["v"] * 200
    >>> moved = x + np.where(np.array(domain) == "a", 2.0, 0.0)[:, None]  # the variance within is 1, that between too
    >>> round(domain_share(moved, domain, treatment), 1), abs(round(domain_share(x, domain, treatment), 1))
    (0.5, 0.0)
    """
    (x,) = moved(measurements(x, "The share of the variance"))
    _, place = checks.domains(domain, len(x))
    _, kind = checks.labels(treatment, len(x))
    between = []
    for code in np.unique(kind[kind >= 0]):
        cells = [x[(kind == code) & (place == g)] for g in np.unique(place[kind == code])]
        cells = [rows for rows in cells if len(rows) > 1]
        if len(cells) > 1:
            means = np.stack([rows.mean(axis=0) for rows in cells])
            chance = np.mean([rows.var(axis=0, ddof=1).sum() / len(rows) for rows in cells])
            between.append(means.var(axis=0).sum() - (1 - 1 / len(cells)) * chance)
    if not between:
        raise InputError(
            "No treatment has two rows in each of two domains",
            why="Domains are compared within treatments.",
            fix="Pass treatments that several domains have in common, such as the controls.",
            code="nothing-to-evaluate",
        )
    total = x.var(axis=0).sum()
    return float(np.mean(between) / total) if total > 0 else 0.0
