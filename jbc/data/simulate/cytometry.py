"""A simulated spike-in experiment of cytometry, in which the answer is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

COFACTOR = 5.0
STATES = 3


class SpikeIn(NamedTuple):
    """Cells of a control and a sample in two runs, on the scale arcsinh(v / 5).

    Parameters
    ----------
    x
        The measurements, float32, (cells, markers).
    truth
        What the same cells would have measured in the target run, with the same noise.
    domain
        The run, "source" or "target".
    material
        "control" (the spike-in) or "sample".
    control
        True for the control.
    label
        The type of every cell, "type 1", ….
    features
        The names of the markers; the first are "IFNg" and "CCR6".

    Examples
    --------
    >>> cells = simulate_spike_in(0, control_cells=(3, 2), sample_cells=(4, 1), markers=4)
    >>> cells.domain.tolist().count("source"), int(cells.control.sum()), cells.features[:2]
    (7, 5, ('IFNg', 'CCR6'))
    """

    x: np.ndarray
    truth: np.ndarray
    domain: np.ndarray
    material: np.ndarray
    control: np.ndarray
    label: np.ndarray
    features: tuple[str, ...]


class Panel(NamedTuple):
    """How types and states of cells show in the markers."""

    level: np.ndarray  # (types, markers), about 0 where a type does not express a marker
    direction: np.ndarray  # (states, markers), of length 1
    slope: np.ndarray
    threshold: np.ndarray


def simulate_spike_in(
    seed: int = 0,
    *,
    control_cells: tuple[int, int] = (18919, 22802),
    sample_cells: tuple[int, int] = (94556, 55594),
    markers: int = 35,
    types: int = 10,
    gain: float = 1.0,
    offset: float = 1.0,
    saturation: float = 1.0,
    dimming: float = 1.0,
    spillover: float = 1.0,
    staining: float = 1.0,
) -> SpikeIn:
    r"""Simulate one control and two samples, measured in two runs of which the source has a batch effect.

    A cell i of type c and state :math:`s_i \sim N(m, I_3)` emits in marker j the intensity

    .. math::

        v_{ij} = \max\bigl(0,\; 5 \sinh(a_{ij})\, e^{0.3\, \varepsilon_{ij}} + 2\, \xi_{ij}\bigr), \qquad
        a_{ij} = E_{cj}\, \sigma\bigl(\alpha_j (\beta_j + w_j \cdot s_i)\bigr)

    with standard normal :math:`\varepsilon, \xi` and unit vectors :math:`w_j`. A marker is expressed (:math:`E_{cj}`
    about 2 to 6) by one type or by many, and about 0 in the others. Six in ten are always on in their types
    (:math:`\alpha = 1, \beta = 2`), the others switch with the state (:math:`\alpha = 4, \beta \sim N(0, 0.7^2)`).
    The target run gives :math:`\text{arcsinh}(v_{ij} / 5)`, which is the truth of every cell. The source run gives
    :math:`\text{arcsinh}(r_{ij} / 5)`, a smooth function of all intensities of the cell:

    .. math::

        h_{ij} &= v_{ij} \exp\bigl(-\text{staining} \cdot {\textstyle\sum_k} H_{jk}\,
                  \sigma(2\, \text{arcsinh}(v_{ik} / 5) - 5)\bigr) \\
        p_{ij} &= h_{ij} + \text{spillover} \cdot {\textstyle\sum_k} S_{jk} h_{ik} \\
        u_{ij} &= k_j^\text{gain}\, p_{ij} \,/\, (1 + \text{saturation} \cdot k_j^\text{gain} p_{ij} / V_j) \\
        r_{ij} &= u_{ij} - (1 - e^{-\text{dimming}})\, \theta_j (1 - e^{-u_{ij} / \theta_j})
                  + \text{offset} \cdot o_j

    - Staining: half of the markers lose signal (:math:`H_{jk} \sim U(0.5, 1.5)`) in cells that are bright in one
      other marker k, and hence in some types only.
    - Spillover: a quarter of the markers receives shares :math:`S_{jk} \sim U(0.02, 0.1)` of two others.
    - Gains :math:`\log k_j \sim N(-0.2, 0.4^2)`, saturation at :math:`V_j` about 1500, dimming below
      :math:`\theta_j \sim U(2, 15)`, offsets :math:`o_j \sim U(0, 3)`: increasing functions of one marker.

    IFNg is measured too low in the source run (:math:`\log k = -1.2`), CCR6 without any error. The first six in ten
    of the types make up the control, in the same shares in both runs; both samples have all types, each in shares of
    its own. The mean state m is 0 in the control, of length 1 in the sample of the target run, and moved on by 0.7 in
    that of the source run, along the direction of CCR6: it is higher there, which a correction has to keep.

    What is easy: what one increasing function per marker can undo is the larger part of the batch effect, and all of
    it without staining and spillover; the controls show these functions wherever their values reach. Cells are
    plenty, both runs see the same control, and the target run has no error.

    What is hard: controls have few values where only the sample is bright; a quarter of the values is 0 and so tied,
    and an offset moves them together; the samples' means are no guide to the batch effect. Staining and spillover
    depend on other markers, so that no function per marker undoes them, and what is learned of them on the controls
    is untested on types that only the samples have. They lose little information, though: a function of all markers
    could undo most of them.

    Parameters
    ----------
    seed
        The world; the truth of one seed is the same for all strengths.
    control_cells, sample_cells
        Cells in the source and in the target run, the published numbers by default. Markers, types, their shares and
        the batch effect do not depend on them.
    markers, types
        The size; two markers and two types at least.
    gain, offset, saturation, dimming
        The strength of what a function per marker can undo; 0 for none.
    spillover, staining
        The strength of what it cannot; 0 for none. With all six 0, ``x == truth``.

    Returns
    -------
    SpikeIn
        The cells of the source run first, in either run those of the control first.

    References
    ----------
    Sizes and roles of the spike-in experiment in "Beyond GANs: transforming without a target distribution",
    section 3.2.

    Examples
    --------
    >>> world = simulate_spike_in(seed=1, control_cells=(20, 30), sample_cells=(40, 10))
    >>> world.x.shape, world.control.sum(), world.domain[59], world.domain[60]
    ((100, 35), np.int64(50), np.str_('source'), np.str_('target'))
    >>> target = world.domain == "target"
    >>> bool((world.x[target] == world.truth[target]).all()), bool((world.x == world.truth).all())
    (True, False)
    """
    rng = np.random.default_rng(seed)
    panel = draw_panel(rng, types, markers, STATES)
    panel.level[:, :2], panel.slope[:2], panel.threshold[:2] = 4.5, 4.0, 0.0
    moved = rng.normal(size=(2, STATES))
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    panel.direction[:, 1] = moved[1]
    in_control = max(1, round(0.6 * types))
    share = np.append(rng.dirichlet(np.full(in_control, 3.0)), np.zeros(types - in_control))
    shares = rng.dirichlet(np.full(types, 3.0), 2)
    groups = (
        (control_cells[0], share, np.zeros(STATES)),
        (sample_cells[0], shares[0], moved[0] + 0.7 * moved[1]),
        (control_cells[1], share, np.zeros(STATES)),
        (sample_cells[1], shares[1], moved[0]),
    )
    kinds, parts = [], []
    for cells, types_of, mean in groups:
        kinds.append(rng.choice(types, cells, p=types_of))
        state = mean + rng.normal(size=(cells, STATES))
        parts.append(intensity(panel, kinds[-1], state, rng.normal(size=(2, cells, markers))))
    measured = _source_run(
        np.random.default_rng([seed, 1]),  # so that the numbers of cells do not change the run
        np.concatenate(parts[:2]),
        gain=gain,
        offset=offset,
        saturation=saturation,
        dimming=dimming,
        spillover=spillover,
        staining=staining,
    )
    truth = np.arcsinh(np.concatenate(parts) / COFACTOR)
    x = np.append(np.arcsinh(measured / COFACTOR), truth[len(measured) :], axis=0)
    x[:, 1] = truth[:, 1]  # CCR6
    sizes = [len(kind) for kind in kinds]
    return SpikeIn(
        x=x.astype(np.float32),
        truth=truth.astype(np.float32),
        domain=np.repeat(["source", "source", "target", "target"], sizes),
        material=np.repeat(["control", "sample"] * 2, sizes),
        control=np.repeat([True, False] * 2, sizes),
        label=type_names(np.concatenate(kinds)),
        features=marker_names(("IFNg", "CCR6"), markers),
    )


def draw_panel(rng: np.random.Generator, types: int, markers: int, states: int) -> Panel:
    """Draw a panel; a marker is expressed by one type, by about half of them, or by nearly all."""
    share = rng.choice([0.0, 0.4, 0.9], markers, p=[0.35, 0.4, 0.25])
    expressed = rng.random((types, markers)) < share
    expressed[rng.integers(types, size=markers), np.arange(markers)] = True
    level = rng.uniform(2.5, 5.5, markers) + 0.4 * rng.normal(size=(types, markers))
    direction = rng.normal(size=(states, markers))
    switches = rng.random(markers) < 0.4
    return Panel(
        level=np.where(expressed, level, 0.1),
        direction=direction / np.linalg.norm(direction, axis=0),
        slope=np.where(switches, 4.0, 1.0),
        threshold=np.where(switches, 0.7 * rng.normal(size=markers), 2.0),
    )


def intensity(panel: Panel, kind: np.ndarray, state: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return what cells emit, on a linear scale."""
    a = panel.level[kind] * sigmoid(panel.slope * (panel.threshold + state @ panel.direction))
    return np.maximum(COFACTOR * np.sinh(a) * np.exp(0.3 * noise[0]) + 2.0 * noise[1], 0.0)


def _source_run(
    rng: np.random.Generator,
    v: np.ndarray,
    *,
    gain: float,
    offset: float,
    saturation: float,
    dimming: float,
    spillover: float,
    staining: float,
) -> np.ndarray:
    """Return what the source run measures of what cells emit, both on a linear scale."""
    markers = v.shape[1]
    hinders, spills = np.zeros((2, markers, markers))
    for row in rng.permutation(markers)[: markers // 2]:
        hinders[row, rng.choice(np.delete(np.arange(markers), row))] = rng.uniform(0.5, 1.5)
    for row in rng.permutation(markers)[: max(1, markers // 4)]:
        others = rng.permutation(np.delete(np.arange(markers), row))[:2]
        spills[row, others] = rng.uniform(0.02, 0.1, len(others))
    log_gain = rng.normal(-0.2, 0.4, markers)
    log_gain[0] = -1.2  # IFNg
    ceiling = 1500.0 * np.exp(0.3 * rng.normal(size=markers))
    dim, background = rng.uniform([[2.0], [0.0]], [[15.0], [3.0]], (2, markers))
    v = v * np.exp(-staining * (sigmoid(2 * np.arcsinh(v / COFACTOR) - 5) @ hinders.T))
    v = np.exp(gain * log_gain) * (v + spillover * (v @ spills.T))
    v = v / (1 + saturation * v / ceiling)
    return v + np.expm1(-dimming) * dim * -np.expm1(-v / dim) + offset * background


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)), which overflows nowhere."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def type_names(kind: np.ndarray) -> np.ndarray:
    """Name the types of cells: type 1, …."""
    return np.char.add("type ", (kind + 1).astype(str))


def marker_names(first: tuple[str, str], markers: int) -> tuple[str, ...]:
    """Name the first two markers, and number the others."""
    return (*first, *(f"marker {number}" for number in range(3, markers + 1)))
