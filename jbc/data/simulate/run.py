"""A simulated study along a run, with drift that is known."""

from __future__ import annotations

import dataclasses

import numpy as np

from jbc.data.simulate.plates import World


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Run(World):
    """A world that was measured one row after the other.

    Parameters
    ----------
    order
        Place of every row in the run, (n,).
    drift
        What every measurement was multiplied by, beside noise: drift times the gain of the domain, (n, d).

    Examples
    --------
    >>> run = simulate_run(0, n_per_domain=20, n_features=3, n_domains=2)
    >>> run.order[:3].tolist(), int(run.control.sum()), run.drift.shape
    ([0, 1, 2], 8, (40, 3))
    """

    order: np.ndarray
    drift: np.ndarray


def simulate_run(
    seed: int = 0,
    *,
    n_per_domain: int = 100,
    n_features: int = 50,
    n_domains: int = 3,
    every: int = 7,
    drift: float = 0.5,
    batch: float = 0.3,
    noise: float = 0.1,
    outliers: float = 0.01,
) -> Run:
    r"""Simulate intensities of a mass spectrometer that drifts, and pooled controls every few injections.

    A row i of class c at place :math:`t_i` of a domain's run (from 0 to 1) has in feature j the clean intensity and
    the measured one

    .. math::

        z_{ij} &= \exp(\mu_j + \delta_{cj} + a_{ij}) \\
        x_{ij} &= z_{ij}\, \exp(b_{gj} + f_{gj}(t_i) + \varepsilon_{ij})

    with :math:`\mu \sim N(6, 1)`, biology :math:`a \sim N(0, 0.4^2)`, which is 0 for the pool, a difference of two
    classes :math:`\delta = \pm 0.25` in a quarter of the features, gains :math:`b \sim N(0, \text{batch}^2)` and
    noise :math:`\varepsilon \sim N(0, \text{noise}^2)`; a share of the measurements is wrong by a factor of
    :math:`e^{\pm 1}`. Drift is smooth,

    .. math:: f(t) = \text{drift}\,\bigl(\alpha\,(t - 1/2) + \beta \sin(2 \pi t + \phi) / 4\bigr)

    with standard normal :math:`\alpha`, :math:`\beta` of every feature and domain, and any phase :math:`\phi`.

    Parameters
    ----------
    seed
        Seed of everything.
    n_per_domain, n_features, n_domains
        The size of the table.
    every
        The first row of a domain, the last one, and of the others every so many, are the pool.
    drift, batch, noise, outliers
        How large these are, as above; 0 for none.

    Examples
    --------
    >>> world = simulate_run(0, n_per_domain=20, n_features=3, n_domains=2)
    >>> world.label[world.control].tolist()[:2], np.flatnonzero(world.control[:20]).tolist()
    (['pool', 'pool'], [0, 7, 14, 19])
    """
    rng = np.random.default_rng(seed)
    n = n_per_domain * n_domains
    domain, at = np.divmod(np.arange(n), n_per_domain)
    t = at / max(n_per_domain - 1, 1)
    control = (at % every == 0) | (at == n_per_domain - 1)
    kind = rng.integers(2, size=n)
    difference = np.where(rng.random(n_features) < 0.25, 0.25 * rng.choice([-1, 1], n_features), 0)
    biology = rng.normal(0, 0.4, (n, n_features)) + (2 * kind[:, None] - 1) * difference
    clean = rng.normal(6, 1, n_features) + np.where(control[:, None], 0, biology)
    slope, wave = rng.normal(size=(2, n_domains, n_features))
    phase = rng.uniform(0, 2 * np.pi, (n_domains, n_features))
    curve = (
        slope[domain] * (t[:, None] - 0.5) + wave[domain] * np.sin(2 * np.pi * t[:, None] + phase[domain]) / 4
    )
    change = rng.normal(0, batch, (n_domains, n_features))[domain] + drift * curve
    wrong = np.where(rng.random((n, n_features)) < outliers, rng.choice([-1.0, 1.0], (n, n_features)), 0)
    measured = clean + change + rng.normal(0, noise, (n, n_features)) + wrong
    return Run(
        x=np.exp(measured).astype(np.float32),
        clean=np.exp(clean).astype(np.float32),
        domain=np.char.add("batch ", (domain + 1).astype(str)),
        label=np.where(control, "pool", np.char.add("class ", (kind + 1).astype(str))),
        unit=np.where(control, "pool", np.char.add("sample ", np.arange(n).astype(str))),
        features=tuple(f"m{j}" for j in range(n_features)),
        control=control,
        order=np.arange(n),
        drift=np.exp(change),
    )
