"""Tables of which it is known what every row is, in domains that hold different shares of it.

Measurements are on a logarithmic scale (log(1 + x) or arcsinh(x / 5)), but for standardised features (BBBC021) and
the Gaussian worlds. Cell lines, CyTOF, mass spectra and images are real; whoever composes a world takes rows away at
random and changes no value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from experiments.composition.tables import (
    Rows,
    Shares,
    World,
    cells,
    days,
    keep,
    logarithms,
    one_domain,
    world_of,
)
from jbc.data import simulate_plates, simulate_screen

LINES = ("H1975", "H2228", "HCC827")
FIVE = (*LINES, "A549", "H838")
PLATES = ("CEL-seq2 plate 1", "CEL-seq2 plate 2", "CEL-seq2 plate 3")
DOMAINS = ("CEL-seq2", "Drop-seq", *PLATES[:2])
CD8 = 0.024  # the share that a rare population is thinned to
WITHIN = 1.0  # standard deviation within a population of the Gaussian worlds
APART = 8.0  # distance between two of their populations


# Cell lines


def all_shared(rng: np.random.Generator) -> Shares:
    """All lines everywhere; the labels of a random domain are hidden."""
    return {domain: dict.fromkeys(LINES, 1.0) for domain in rng.permutation(DOMAINS).tolist()}


def leave_one_out(rng: np.random.Generator) -> Shares:
    """Another line is missing in each of three domains; the fourth is complete."""
    shares = all_shared(rng)
    for lines, line in zip(shares.values(), rng.permutation(LINES).tolist(), strict=False):
        del lines[line]
    return shares


def thinned(rng: np.random.Generator) -> Shares:
    """One line is thinned to a tenth in two domains."""
    shares, line = all_shared(rng), str(rng.choice(LINES))
    for domain in list(shares)[:2]:
        shares[domain][line] = 0.1
    return shares


def bridge(rng: np.random.Generator) -> Shares:
    """One line in each of two domains, all lines in the third."""
    one, two, both = rng.permutation((*DOMAINS[:2], PLATES[0])).tolist()
    first, second = rng.permutation(LINES).tolist()[:2]
    return {one: {first: 1.0}, two: {second: 1.0}, both: dict.fromkeys(LINES, 1.0)}


def bridge_half(rng: np.random.Generator, lines: tuple[str, ...] = LINES) -> Shares:
    """Three plates of one protocol: one line, another one, and as many cells of both."""
    first, second = rng.permutation(lines).tolist()[:2]
    rows = cells()
    found = {line: np.sum((rows.domain == PLATES[2]) & (rows.line == line)) for line in (first, second)}
    equal = {line: float(min(found.values()) / count) for line, count in found.items()}
    return {PLATES[0]: {first: 1.0}, PLATES[1]: {second: 1.0}, PLATES[2]: equal}


def no_bridge(rng: np.random.Generator) -> Shares:
    """One line in each of three domains, and none in two."""
    domains, lines = rng.permutation((*DOMAINS[:2], PLATES[0])).tolist(), rng.permutation(LINES).tolist()
    return {domain: {line: 1.0} for domain, line in zip(domains, lines, strict=True)}


def two_pure(rng: np.random.Generator, domains: tuple[str, ...] = PLATES[:2]) -> Shares:
    """One line in one domain, another line in the other."""
    first, second = rng.permutation(LINES).tolist()[:2]
    return {domains[0]: {first: 1.0}, domains[1]: {second: 1.0}}


def cell_lines(name: str, recipe: Callable[[np.random.Generator], Shares], seed: int) -> World:
    """Return cells by a recipe; the labels of the first domain that it names are hidden."""
    rng = np.random.default_rng(seed)
    shares = recipe(rng)
    return world_of(name, logarithms(keep(cells(), shares, rng)), next(iter(shares)))


# Mass cytometry


def cytof(name: str, person: int, rare_in: str, seed: int) -> World:
    """Return two days, in one of which the CD8 cells are rare; the labels of day 2 are hidden."""
    rows = days(person)
    shares: Shares = {day: {"CD8": 1.0, "other": 1.0} for day in ("day 1", "day 2")}
    if rare_in:
        is_cd8 = rows.line[rows.domain == rare_in] == "CD8"
        shares[rare_in]["CD8"] = float(CD8 / (1 - CD8) * np.sum(~is_cd8) / np.sum(is_cd8))
    return world_of(name, keep(rows, shares, np.random.default_rng(seed)), "day 2")


# One domain, split at random


def null(name: str, dataset: str, parts: int, seed: int) -> World:
    """Return one domain as several, split at random by unit; the labels of the first are hidden."""
    rows = one_domain(dataset)
    _, unit = np.unique(np.arange(len(rows.x)) if rows.unit is None else rows.unit, return_inverse=True)
    part = np.random.default_rng(seed).permutation(unit.max() + 1)[unit] % parts
    domain = np.char.add("part ", (part + 1).astype(str))
    return world_of(name, rows._replace(domain=domain), "part 1", null=True)


# Simulated plates and screens


def plates(
    name: str, shares: Mapping[str, Mapping[str, float]], effect: float, replicates: int, seed: int
) -> World:
    """Return plates of 600 rows with these shares of classes; the labels of plate 3 are hidden."""
    classes = len({line for lines in shares.values() for line in lines})
    drawn = simulate_plates(
        seed, n_per_plate=3000, n_plates=3, n_classes=classes, effect=effect, replicates=replicates
    )
    rows = Rows(np.log1p(drawn.x), drawn.domain, drawn.label, drawn.unit)
    rng, kept = np.random.default_rng(seed), []
    for plate, lines in shares.items():
        for line, share in lines.items():
            units = np.unique(rows.unit[(rows.domain == plate) & (rows.line == line)])
            kept.append(rng.permutation(units)[: round(share * 600 / replicates)])
    return world_of(name, rows.take(np.isin(rows.unit, np.concatenate(kept))), "plate 3")


def of_plates(*shares: tuple[float, ...]) -> dict[str, dict[str, float]]:
    """Name shares of class 0, 1, … in plate 1, 2, …."""
    return {
        f"plate {plate}": {f"class {k}": share for k, share in enumerate(each)}
        for plate, each in enumerate(shares, start=1)
    }


def screen(name: str, share: float, seed: int) -> World:
    """Return a screen whose wells hold a share of mechanisms 1 and 2 in domain 1 and 3, and the rest in domain 2."""
    drawn = simulate_screen(
        seed, n_domains=3, n_treatments=8, n_doses=1, n_mechanisms=4, shared=1.0, n_replicates=50
    )
    line = np.where(drawn.label == "", "DMSO", drawn.label)
    shares = {f"domain {g}": {"DMSO": 1.0} for g in (1, 2, 3)}
    for g, lines in enumerate(shares.values()):
        first = share if g != 1 else 1 - share
        lines |= {f"mechanism {k}": first if k < 3 else 1 - first for k in (1, 2, 3, 4)}
    rows = keep(Rows(drawn.x, drawn.domain, line), shares, np.random.default_rng(seed))
    return world_of(name, rows, "domain 3")


# Gaussian populations

FAR: dict[str, tuple[tuple[float, ...], ...]] = {
    "equal": ((1, 1, 1, 1),) * 3,
    "shifted": ((11, 5, 3, 1), (1, 11, 5, 3), (3, 1, 11, 5)),
    "missing": ((0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1)),
    "bridged": ((1, 0, 0, 0), (0, 1, 0, 0), (1, 1, 1, 1)),
}


def far(name: str, size: float, shares: str, seed: int) -> World:
    """Return three domains of 400 rows, moved by ``size`` distances of populations, and scaled by feature."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(0.0, APART / np.sqrt(60), (4, 30))
    x, domain, line = [], [], []
    for g, weights in enumerate(FAR[shares], start=1):
        kind = np.repeat(np.arange(4), np.round(400 * np.array(weights) / sum(weights)).astype(int))
        towards = rng.normal(size=30)
        scale = np.exp(0.2 * rng.normal(size=30))
        rows = scale * (centre[kind] + rng.normal(0.0, WITHIN, (len(kind), 30)))
        x.append(rows + size * APART * towards / np.linalg.norm(towards))
        domain += [f"domain {g}"] * len(kind)
        line += [f"population {k + 1}" for k in kind]
    return world_of(name, Rows(np.concatenate(x), np.array(domain), np.array(line)), "domain 1")


RECIPES: dict[str, Callable[[np.random.Generator], Shares]] = {
    "all-shared": all_shared,
    "leave-one-out": leave_one_out,
    "thinned": thinned,
    "bridge": bridge,
    "bridge-half": bridge_half,
    "bridge-half-5": partial(bridge_half, lines=FIVE),
    "no-bridge": no_bridge,
    "two-pure": two_pure,
    "two-pure-protocols": partial(two_pure, domains=DOMAINS[:2]),
}
CYTOF = {
    "thinned-cd8": (1, "day 1"),
    "thinned-cd8-day-2": (1, "day 2"),
    "thinned-cd8-person-2": (2, "day 1"),
    "thinned-cd8-person-2-day-2": (2, "day 2"),
    "as-is": (1, ""),
    "as-is-person-2": (2, ""),
}
NULL = {"mi": 3, "cytof": 2, "cell-lines": 3, "bbbc021": 3, "cytonorm": 2}
RARE = of_plates((0.01, 0.495, 0.495), (0.01, 0.495, 0.495), (0.01, 0.495, 0.495))
ONE = of_plates((0.01, 0.495, 0.495), (0.0, 0.5, 0.5), (0.0, 0.5, 0.5))
SIMULATED = {
    "as-is": (of_plates((0.5, 0.5), (0.5, 0.5), (0.5, 0.5)), 1.0, 5),
    "shifted": (of_plates((0.8, 0.2), (0.2, 0.8), (0.8, 0.2)), 1.0, 5),
    "shifted-target": (of_plates((0.8, 0.2), (0.8, 0.2), (0.2, 0.8)), 1.0, 5),
    "rare": (RARE, 3.0, 1),
    "rare-in-one": (ONE, 3.0, 1),
}


def _named(
    group: str, build: Callable[..., World], table: Mapping[str, tuple]
) -> dict[str, Callable[[int], World]]:
    return {f"{group}/{name}": partial(build, f"{group}/{name}", *given) for name, given in table.items()}


WORLDS: dict[str, Callable[[int], World]] = {
    **_named("cell-lines", cell_lines, {name: (recipe,) for name, recipe in RECIPES.items()}),
    **_named("cytof", cytof, CYTOF),
    **_named("null", null, {name: (name, parts) for name, parts in NULL.items()}),
    **_named("plates", plates, SIMULATED),
    **_named("plates", screen, {"screen-as-is": (0.5,), "screen-shifted": (0.8,)}),
    **_named(
        "far", far, {f"{size:g}-{shares}": (size, shares) for size in (0.3, 1.0, 3.0) for shares in FAR}
    ),
}
"""All worlds, by names such as "cell-lines/bridge"; each is built from a seed."""
