"""A simulated experiment with two drugs and their combination, in which the answer is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jbc.data.simulate.cytometry import (
    COFACTOR,
    draw_panel,
    intensity,
    marker_names,
    sigmoid,
    type_names,
)

CONDITIONS = ("basal", "Bez", "Das", "Bez+Das")
STATES = 4
# What each drug does to the pathways PI3K, SRC, STAT and the cell cycle; the largest decides which cells respond.
BEZ, DAS = np.array([1.0, 0.5, 0.0, 0.3]), np.array([0.5, 1.0, 0.0, 0.0])


class Drugs(NamedTuple):
    """Cells under four conditions, on the scale arcsinh(v / 5).

    Parameters
    ----------
    x
        The measurements, float32, (cells, markers); all cells of a condition follow one another.
    condition
        "basal", "Bez", "Das" or "Bez+Das"; no cell is in two of them.
    label
        The type of every cell, "type 1", ….
    truth
        What the cells under Bez, in their order, would measure under Bez+Das, with the same noise.
    features
        The names of the markers; the first are "p4EBP1" and "pSTAT5".

    Examples
    --------
    >>> cells = simulate_drugs(0, cells=(3, 2, 2, 2), markers=4)
    >>> cells.x.shape, cells.condition.tolist().count("basal"), cells.features[:2]
    ((9, 4), 3, ('p4EBP1', 'pSTAT5'))
    """

    x: np.ndarray
    condition: np.ndarray
    label: np.ndarray
    truth: np.ndarray
    features: tuple[str, ...]


def simulate_drugs(
    seed: int = 0,
    *,
    cells: tuple[int, int, int, int] = (19925, 20078, 19843, 19764),
    markers: int = 41,
    types: int = 5,
    effect: float = 1.0,
    interaction: float = 0.0,
) -> Drugs:
    r"""Simulate one population of cells under no drug, under Bez, under Das, and under both.

    The state of a cell is the activity :math:`z \in \mathbb{R}^4` of PI3K, SRC, STAT and the cell cycle, correlated
    and with a mean of its type c. Drug d acts on pathway :math:`j_d` (Bez on PI3K, Das on SRC) of the cells that
    respond, and through it on others:

    .. math::

        D_d(z) &= z - 1.5\, \text{effect} \cdot \rho_d(z)\, q_d, \qquad
                  \rho_d(z) = \sigma\bigl(2 (z_{j_d} - \tau_{cd})\bigr) \\
        z_\text{Bez+Das} &= D_\text{Das}(D_\text{Bez}(z)) - 1.5\, \text{effect} \cdot \text{interaction} \cdot
                  \rho_\text{Bez}(z)\, \rho_\text{Das}(z)\, (q_\text{Bez} + q_\text{Das}) / 2

    with :math:`q_\text{Bez} = (1, 0.5, 0, 0.3)`, :math:`q_\text{Das} = (0.5, 1, 0, 0)`, and for every drug a
    threshold :math:`\tau_{cd}` of each type: 0 in seven of ten types, 2 in those of which only few cells respond.
    What is measured of a state is as in `simulate_spike_in`, without a batch effect. Markers that are always on
    follow STAT and the cell cycle only; those that switch follow all four, in either direction. p4EBP1 follows SRC
    and half as much PI3K, pSTAT5 follows STAT, which no drug changes; all types express both.

    What is easy: all four tables are of one population in one run, many markers hardly change, and changes are small
    beside the differences of the types. Among cells of one type a drug keeps the order of the activity it acts on.

    What is hard: responders are a part of the cells, and between types the order is not kept, so that the change of a
    marker's distribution does not tell which cells changed. Each drug lowers the other one's pathway too, so that
    fewer cells respond to Das after Bez: effects do not add up, not even in the latent state. Markers that switch
    saturate: what Bez has switched off cannot go lower. With an interaction, no table of a single drug shows what
    happens.

    Parameters
    ----------
    seed
        The world; the cells of one seed are the same for every `effect` and `interaction`.
    cells
        Cells under no drug, Bez, Das, Bez+Das, the published numbers by default. Markers, types, their shares and
        responses do not depend on them.
    markers, types
        The size; two markers at least.
    effect
        The strength of both drugs; 0 for drugs that do nothing.
    interaction
        0 where the drugs act on the latent state as if one came after the other; above it they help each other
        (synergy), below it they hinder each other.

    Returns
    -------
    Drugs

    References
    ----------
    Sizes and roles of the experiment with two drugs in "Beyond GANs: transforming without a target distribution",
    section 3.3.

    Examples
    --------
    >>> world = simulate_drugs(seed=1, cells=(30, 20, 30, 30))
    >>> world.x.shape, world.truth.shape
    ((110, 41), (20, 41))
    >>> bez = world.condition == "Bez"
    >>> bool((world.truth[:, 0] <= world.x[bez, 0]).all()), bool((world.truth[:, 1] == world.x[bez, 1]).all())
    (True, True)
    """
    rng = np.random.default_rng(seed)
    panel = draw_panel(rng, types, markers, STATES)
    panel.slope[:2], panel.threshold[:2], panel.level[:, :2] = 2.0, 0.3, 4.5
    panel.direction[:2, panel.slope == 1] = 0.0
    panel.direction[:, :2] = np.array([[0.5, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]).T
    mean = 0.7 * rng.normal(size=(types, STATES))
    mixing = np.eye(STATES) + 0.3 * rng.normal(size=(STATES, STATES))
    share = rng.dirichlet(np.full(types, 5.0))
    threshold = np.where(rng.random((types, 2)) < 0.7, 0.0, 2.0)
    parts, kinds, truth = [], [], np.empty((0, markers))
    for condition, number in zip(CONDITIONS, cells, strict=True):
        kind = rng.choice(types, number, p=share)
        state = mean[kind] + rng.normal(size=(number, STATES)) @ mixing.T
        noise = rng.normal(size=(2, number, markers))
        after = _under(condition, state, threshold[kind], effect, interaction)
        parts.append(intensity(panel, kind, after, noise))
        kinds.append(kind)
        if condition == "Bez":
            both = _under("Bez+Das", state, threshold[kind], effect, interaction)
            truth = intensity(panel, kind, both, noise)
    return Drugs(
        x=np.arcsinh(np.concatenate(parts) / COFACTOR).astype(np.float32),
        condition=np.repeat(CONDITIONS, cells),
        label=type_names(np.concatenate(kinds)),
        truth=np.arcsinh(truth / COFACTOR).astype(np.float32),
        features=marker_names(("p4EBP1", "pSTAT5"), markers),
    )


def _under(
    condition: str, state: np.ndarray, threshold: np.ndarray, effect: float, interaction: float
) -> np.ndarray:
    """Return the states of cells under a condition."""
    if condition == "basal":
        return state
    if condition == "Bez+Das":
        helped = _response(BEZ, state, threshold[:, 0]) * _response(DAS, state, threshold[:, 1])
        after = _drug(DAS, _drug(BEZ, state, threshold[:, 0], effect), threshold[:, 1], effect)
        return after - 1.5 * effect * interaction * helped[:, None] * (BEZ + DAS) / 2
    drug, column = (BEZ, 0) if condition == "Bez" else (DAS, 1)
    return _drug(drug, state, threshold[:, column], effect)


def _drug(drug: np.ndarray, state: np.ndarray, threshold: np.ndarray, effect: float) -> np.ndarray:
    return state - 1.5 * effect * _response(drug, state, threshold)[:, None] * drug


def _response(drug: np.ndarray, state: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Return how far each cell responds, 0 to 1, by the pathway that the drug acts on most."""
    return sigmoid(2 * (state[:, drug.argmax()] - threshold))
