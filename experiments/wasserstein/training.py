"""Wasserstein alignment as published, trained on BBBC021: the maps of several steps and seeds, kept in a file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.wasserstein.screens import Screen, versions
from jbc.data.io.atomic import atomic_path
from jbc.methods import presets
from jbc.train import fit_lanes, snapshots

# Turns of the maps after which they are kept: of 50 updates each in print, of one in the released program, whose
# checkpoints, every 2000 steps, are 40 turns apart.
TURNS: dict[presets.Truth, tuple[int, ...]] = {
    "paper": (1, 2, 3, 5, 8, 12, 18, 27, 40, 60, 80, 102),
    "reference": tuple(40 * n for n in (1, 2, 3, 4, 6, 9, 15, 25, 40, 60, 90, 127)),
}
LANES = 2  # trained at a time, each by a core of its own


def train(
    truth: presets.Truth, screen: Screen, seeds: int, keep: Path | None = None, **changes: Any
) -> dict[int, Any]:
    """Return what is fitted after some steps, with an axis of seeds; a file that exists is read instead."""
    method, cohort = presets.wasserstein(truth, **changes), screen.cohort()
    like = jax.eval_shape(
        lambda: method.finish(method.init(jax.random.key(0), method.resolve(cohort)), cohort)
    )
    leaves, tree = jax.tree.flatten(like)
    if keep is not None and keep.is_file():
        with np.load(keep) as file:
            steps = file["steps"].tolist()
            return {
                step: jax.tree.unflatten(tree, [file[f"{step}/{n}"] for n in range(len(leaves))])
                for step in steps
            }
    found: list[dict[int, Any]] = []
    for first in range(0, seeds, LANES):
        keys = jax.vmap(jax.random.key)(np.arange(first, min(first + LANES, seeds)))
        found.append(_train(method, cohort, keys, TURNS[truth]))
    taken = {
        step: jax.tree.map(lambda *parts: np.concatenate(parts), *(lanes[step] for lanes in found))
        for step in found[0]
    }
    if keep is not None:
        arrays = {
            f"{step}/{n}": leaf
            for step, each in taken.items()
            for n, leaf in enumerate(jax.tree.leaves(each))
        }
        keep.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(keep) as temporary, temporary.open("wb") as file:
            np.savez(file, steps=np.array(list(taken)), **arrays)
    return taken


def _train(method: Any, cohort: Any, keys: Any, turns: Collection[int]) -> dict[int, Any]:
    """Train the critics alone, then both players, and keep what is fitted after these turns, by step."""
    alone = fit_lanes(method, cohort, keys, steps=method.pretrain, chunk=min(1000, method.pretrain))
    begun, turn = method.pretrain, method.training.critic_steps + method.map_steps
    wanted = {begun + turn * number for number in turns}
    taken: dict[int, Any] = {}
    fit_lanes(
        method, cohort, keys, steps=max(wanted), chunk=turn * int(np.gcd.reduce(list(turns))),
        resume=lambda tree: (begun, tree | {"state": alone.state}),
        hooks=[snapshots(lambda state: _fitted(method, state), taken)],
    )  # fmt: skip
    return {step: each for step, each in taken.items() if step in wanted}


def _fitted(method: Any, state: Any) -> Any:
    return jax.vmap(lambda lane: method.finish(lane, None))(state)


def seeds_of(taken: dict[int, Any]) -> int:
    """Return for how many seeds maps were kept.

    Examples
    --------
    >>> seeds_of({100_051: {"shift": np.zeros((4, 10, 50))}})
    4
    """
    return len(jax.tree.leaves(next(iter(taken.values())))[0])


def updates(truth: presets.Truth, steps: Collection[int]) -> list[int]:
    """Return how often the maps were updated before these steps.

    Examples
    --------
    >>> updates("paper", [0, 100_051]), updates("reference", [102_000])
    ([0, 50], [40])
    """
    method = presets.wasserstein(truth)
    turn = method.training.critic_steps + method.map_steps
    return [max(step - method.pretrain, 0) // turn * method.map_steps for step in steps]


def corrected(truth: presets.Truth, screen: Screen, taken: dict[int, Any], seed: int) -> list[np.ndarray]:
    """Return the rows by the maps of every step of one seed; the first version is not corrected."""
    lane = (jax.tree.map(lambda leaf: leaf[seed], fitted) for fitted in taken.values())
    return versions(presets.wasserstein(truth), screen, screen.cohort(), lane)
