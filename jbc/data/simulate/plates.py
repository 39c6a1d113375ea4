"""Simulated worlds, in which the answer is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True, eq=False)
class World:
    """Rows as they were measured, and as they would be without the effect of the domain.

    Parameters
    ----------
    x
        The measurements, float32, shape (rows, features).
    clean
        The same rows without any effect of the domain: the known answer.
    domain, label, unit
        The technical group, the class and the subject of every row, as text.
    features
        The names of the columns.
    compound, treatment, control
        In a screen: what a well holds, also with its dose, as text; and True for the wells of the control.

    Examples
    --------
    >>> world = simulate_shift(0, n_per_domain=3, n_features=2)
    >>> world.domain.tolist(), world.x.shape == world.clean.shape
    (['domain 1', 'domain 1', 'domain 1', 'domain 2', 'domain 2', 'domain 2'], True)
    """

    x: np.ndarray
    clean: np.ndarray
    domain: np.ndarray
    label: np.ndarray
    unit: np.ndarray
    features: tuple[str, ...]
    compound: np.ndarray | None = None
    treatment: np.ndarray | None = None
    control: np.ndarray | None = None

    def to_anndata(self) -> AnnData:
        """Return the world as AnnData: `x` in X, `clean` in a layer, the rest in obs, text as categories.

        Examples
        --------
        >>> simulate_plates(n_per_plate=10).to_anndata().shape
        (30, 40)
        """
        import pandas as pd
        from anndata import AnnData

        names = ("domain", "label", "unit", "compound", "treatment")
        columns = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        rows = [str(row) for row in range(len(self.x))]
        obs = pd.DataFrame(columns, index=pd.Index(rows, dtype=object)).astype("category")
        if self.control is not None:
            obs["control"] = self.control
        var = pd.DataFrame(index=pd.Index(self.features, dtype=object))
        return AnnData(self.x.copy(), obs, var, layers={"clean": self.clean.copy()})


def simulate_plates(
    seed: int = 0,
    *,
    n_per_plate: int = 300,
    n_features: int = 40,
    n_plates: int = 3,
    n_classes: int = 2,
    effect: float = 1.0,
    batch: float = 1.0,
    replicates: int = 5,
) -> World:
    r"""Simulate plates of mass spectra: positive intensities, replicate rows, and a drift over the plates.

    A row i of unit u, class c and plate g (counted from 0, of G) has in feature j the clean intensity and
    the measured one

    .. math::

        z_{ij} &= \exp(\mu_j + \text{effect} \cdot \delta_{cj} + a_{uj} + \varepsilon_{ij}) \\
        x_{ij} &= k_{gj}\, m_j (z_{ij} / m_j)^{p_{gj}} + o_{gj}, \qquad m_j = e^{\mu_j}

    with :math:`\mu \sim N(4, 1)`, subjects :math:`a \sim N(0, 0.35^2)`, replicates
    :math:`\varepsilon \sim N(0, 0.15^2)`. A quarter of the features is informative and belongs to one class
    each: there :math:`\delta` is ±0.35 in this class and ∓0.35 / (classes − 1) in the others. With
    :math:`b` for `batch` and standard normal :math:`\eta`, :math:`\xi`, a plate has

    - gains :math:`\log k_{gj} = b\,(0.4\,\eta_{gj} + 3 (g / (G - 1))^2\, \delta_{Cj})`, where :math:`C` is the
      last class: noise, and a drift that grows from plate to plate and looks like biology, so that a classifier
      trained on the first plates takes most rows of the last one for this class;
    - powers :math:`\log p_{gj} = 0.1\, b\, \xi_{gj}`, a mild non-linear distortion;
    - offsets :math:`o_{gj} \sim U(0, 0.3\, b\, m_j)`, a chemical background.

    Class proportions of a plate follow a Dirichlet distribution of concentration 30 per class.

    Parameters
    ----------
    seed
        The world; the clean rows of one seed are the same for every `batch`.
    n_per_plate, n_features, n_plates, n_classes
        The size.
    effect
        The strength of the classes; 0 for classes without a difference.
    batch
        The strength of the plate effect; 0 gives ``x == clean``.
    replicates
        Rows of one unit, which follow one another.

    Returns
    -------
    World
        Domains "plate 1", …; labels "class 0", …; units "plate 1-0", ….

    Examples
    --------
    >>> world = simulate_plates(seed=1, n_per_plate=100)
    >>> world.x.shape, str(world.unit[5])
    ((300, 40), 'plate 1-1')
    """
    rng = np.random.default_rng(seed)
    log_mean = rng.normal(4.0, 1.0, n_features)
    contrast = _contrasts(rng, n_classes, n_features)
    units = -(-n_per_plate // replicates)
    members = np.repeat(np.arange(units), replicates)[:n_per_plate]
    parts = []
    for plate in range(n_plates):
        labels = _labels(rng, units, n_classes)
        subject = rng.normal(0.0, 0.35, (units, n_features))
        noise = rng.normal(0.0, 0.15, (n_per_plate, n_features))
        clean = np.exp(log_mean + (effect * contrast[labels] + subject)[members] + noise)
        drift = 3 * (plate / max(1, n_plates - 1)) ** 2 * contrast[-1]
        gain = np.exp(batch * (0.4 * rng.normal(size=n_features) + drift))
        power = np.exp(0.1 * batch * rng.normal(size=n_features))
        mean = np.exp(log_mean)
        offset = 0.3 * batch * mean * rng.random(n_features)
        # mean ** (1 - power) is exactly 1 without a plate effect, where (clean / mean) * mean would round.
        parts.append((gain * mean ** (1 - power) * clean**power + offset, clean, labels[members], members))
    return _world(parts, "plate", n_features)


def simulate_shift(
    seed: int = 0,
    *,
    n_per_domain: int = 200,
    n_features: int = 8,
    n_domains: int = 2,
    shift: float = 1.0,
    separation: float = 4.0,
) -> World:
    r"""Simulate the simplest batch effect: two Gaussian classes, shifted and scaled in every domain but the first.

    .. math::

        z_i = \pm \tfrac12 \text{separation} \cdot v + \varepsilon_i, \qquad
        x_{ij} = e^{0.3\, \text{shift}\, \xi_{gj}} z_{ij} + 2\, \text{shift}\, \eta_{gj}

    with a random unit vector :math:`v`, standard normal :math:`\varepsilon, \xi, \eta`, and
    :math:`\xi_0 = \eta_0 = 0`: the first domain is measured without an error.

    Parameters
    ----------
    seed
        The world; the clean rows of one seed are the same for every `shift`.
    n_per_domain, n_features, n_domains
        The size; every row is a unit of its own.
    shift
        The strength of the batch effect; 0 gives ``x == clean``.
    separation
        The distance between the class means, in standard deviations.

    Returns
    -------
    World
        Domains "domain 1", …; labels "class 0" and "class 1", as many of each.

    Examples
    --------
    >>> world = simulate_shift(shift=0.0)
    >>> bool((world.x == world.clean).all())
    True
    """
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=n_features)
    direction *= separation / np.linalg.norm(direction)
    parts = []
    for domain in range(n_domains):
        labels = rng.permutation(np.arange(n_per_domain) % 2)
        clean = (labels - 0.5)[:, None] * direction + rng.normal(size=(n_per_domain, n_features))
        strength = shift if domain else 0.0
        scale = np.exp(0.3 * strength * rng.normal(size=n_features))
        offset = 2.0 * strength * rng.normal(size=n_features)
        parts.append((scale * clean + offset, clean, labels, np.arange(n_per_domain)))
    return _world(parts, "domain", n_features)


def _contrasts(rng: np.random.Generator, n_classes: int, n_features: int) -> np.ndarray:
    """Return the class effects on the logarithm; over the classes they add up to zero."""
    informative = rng.permutation(n_features)[: max(n_classes, n_features // 4)]
    owner = np.arange(len(informative)) % n_classes
    signs = rng.choice([-0.35, 0.35], len(informative))
    mine = np.arange(n_classes)[:, None] == owner
    contrast = np.zeros((n_classes, n_features))
    contrast[:, informative] = np.where(mine, signs, -signs / max(1, n_classes - 1))
    return contrast


def _labels(rng: np.random.Generator, units: int, n_classes: int) -> np.ndarray:
    """Deal classes to units, in proportions that differ mildly from plate to plate."""
    proportions = rng.dirichlet(np.full(n_classes, 30.0))
    # Units at evenly spaced quantiles, so that counts are as close to the proportions as they can be.
    quantiles = (np.arange(units) + 0.5) / units
    dealt = np.searchsorted(np.cumsum(proportions)[:-1], quantiles)
    return rng.permutation(dealt)


def _world(parts: list[tuple[np.ndarray, ...]], noun: str, n_features: int) -> World:
    """Stack the domains and name them."""
    x, clean, labels, units = (np.concatenate(part) for part in zip(*parts, strict=True))
    domain = np.repeat([f"{noun} {number}" for number in range(1, len(parts) + 1)], len(parts[0][0]))
    return World(
        x=x.astype(np.float32),
        clean=clean.astype(np.float32),
        domain=domain,
        label=np.array([f"class {label}" for label in labels]),
        unit=np.array([f"{group}-{unit}" for group, unit in zip(domain, units, strict=True)]),
        features=tuple(f"feature {number}" for number in range(1, n_features + 1)),
    )
