"""A simulated screen: mechanisms, compounds and doses in several domains, in which the answer is known."""

from __future__ import annotations

import numpy as np

from jbc.data.simulate.plates import World


def simulate_screen(
    seed: int = 0,
    *,
    n_domains: int = 5,
    n_treatments: int = 48,
    n_replicates: int = 6,
    n_controls: int = 24,
    n_mechanisms: int = 8,
    n_doses: int = 2,
    n_features: int = 32,
    shared: float = 0.5,
    effect: float = 1.0,
    batch: float = 1.0,
) -> World:
    r"""Simulate a screen of which some treatments are replicated in every domain, the others in one only.

    Treatment :math:`t` is dose :math:`s \in 1, \dots, S` of a compound :math:`k` that works by a mechanism
    :math:`m`. A well i of it in domain g has the clean profile and the measured one

    .. math::

        z_i &= \text{effect}\, \frac{s}{S}\, (0.9\, v_m + 0.5\, a_k) + \varepsilon_i \\
        x_i &= z_i + \text{batch}\, (A_g z_i + o_g + n_g \odot \tanh z_i)

    with standard normal :math:`v`, :math:`a` and :math:`\varepsilon`, and of every domain the matrix
    :math:`A_g \sim N(0, 0.7^2 / d)`, the offset :math:`o_g \sim N(0, 1)` and the bend
    :math:`n_g \sim N(0, 0.6^2)`. Controls have :math:`z_i = \varepsilon_i`.

    What is hard about it: controls show the offset, but of :math:`A_g` only what changes their covariance, not
    how it turns the profiles, and of the bend only its slope at zero. Shared treatments show all three where
    the profiles lie.

    Compounds are dealt to the mechanisms in turn, and the first ones are shared; those of one mechanism that
    are not shared go to one domain after the other, with all their doses.

    Parameters
    ----------
    seed
        The world; the clean rows of one seed are the same for every `batch`.
    n_domains, n_treatments, n_mechanisms, n_doses, n_features
        The size; a compound has `n_doses` treatments.
    n_replicates, n_controls
        Wells of a treatment, and of the control, in every domain that has it.
    shared
        The share of compounds, and hence of treatments, that occur in every domain.
    effect
        The strength of the mechanisms; 0 for treatments that do nothing.
    batch
        The strength of the domain's effect; 0 gives ``x == clean``.

    Returns
    -------
    World
        Domains "domain 1", …; labels "mechanism 1", …, empty for the control "DMSO"; treatments
        "compound 1 @ 1", …; every well is a unit of its own.

    Examples
    --------
    >>> world = simulate_screen(seed=1, n_replicates=2, n_controls=4, shared=0.25)
    >>> in_first = np.unique(world.treatment[world.domain == "domain 1"])
    >>> world.x.shape, len(in_first), len(np.unique(world.treatment))
    ((212, 32), 21, 49)
    """
    rng = np.random.default_rng(seed)
    compound, dose = np.arange(n_treatments) // n_doses, np.arange(n_treatments) % n_doses + 1
    mechanism, n_compounds = compound % n_mechanisms, compound[-1] + 1
    profile = 0.9 * rng.normal(size=(n_mechanisms, n_features))[mechanism]
    profile += 0.5 * rng.normal(size=(n_compounds, n_features))[compound]
    profile *= effect * (dose / n_doses)[:, None]
    home = (rng.integers(n_domains, size=n_mechanisms)[mechanism] + compound // n_mechanisms) % n_domains
    everywhere = compound < round(shared * n_compounds)
    wells = [
        np.append(
            np.repeat(np.flatnonzero(everywhere | (home == domain)), n_replicates),
            [n_treatments] * n_controls,
        )
        for domain in range(n_domains)
    ]
    domain = np.repeat(np.arange(n_domains), [len(each) for each in wells])
    of = np.concatenate(wells)  # the treatment of every well; the control comes after all others
    clean = np.append(profile, np.zeros((1, n_features)), axis=0)[of] + rng.normal(size=(len(of), n_features))
    names = [f"compound {number + 1}" for number in compound]
    doses = [f"{name} @ {level}" for name, level in zip(names, dose, strict=True)]
    return World(
        x=(clean + batch * _nuisance(rng, clean, domain)).astype(np.float32),
        clean=clean.astype(np.float32),
        domain=np.array([f"domain {number + 1}" for number in domain]),
        label=np.array([f"mechanism {number + 1}" for number in mechanism] + [""])[of],
        unit=np.array([f"well {number + 1}" for number in range(len(of))]),
        features=tuple(f"feature {number}" for number in range(1, n_features + 1)),
        compound=np.array([*names, "DMSO"])[of],
        treatment=np.array([*doses, "DMSO"])[of],
        control=of == n_treatments,
    )


def _nuisance(rng: np.random.Generator, z: np.ndarray, domain: np.ndarray) -> np.ndarray:
    """Return what every domain adds to its clean rows."""
    n_features, added = z.shape[1], np.empty_like(z)
    for each in np.unique(domain):
        rows = domain == each
        turn = rng.normal(0.0, 0.7 / np.sqrt(n_features), (n_features, n_features))
        offset, bend = rng.normal(0.0, [[1.0], [0.6]], (2, n_features))
        added[rows] = z[rows] @ turn.T + offset + bend * np.tanh(z[rows])
    return added
