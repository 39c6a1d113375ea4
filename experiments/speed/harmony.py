"""How fast Harmony is fitted, beside harmonypy.

python experiments/speed/harmony.py [--rounds 5] writes experiments/results/bench_harmony.json and prints a table.
Every side has its turn in a process of its own. harmonypy comes with `pip install "jbc[bench]"`; without it only jbc
is measured.
"""

from __future__ import annotations

import dataclasses
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from experiments._lib import program
from experiments._lib.bench import interleave, main, pin_cpus, ratio_row, run_in_subprocess, speed_row, timed
from experiments._lib.results import RESULTS

# What both are told: as published, and as harmonypy 2 has it by default.
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as published": (
        {"theta": 2, "lamb": 1, "max_iter_kmeans": 20, "epsilon_cluster": 1e-5, "epsilon_harmony": 1e-4},
        {},
    ),
    "harmonypy 2": (
        {},
        {"ridge": 0.2, "ridge_unit": "expected", "sweeps": 4, "tolerance": 1e-2, "sweep_tolerance": 1e-3},
    ),
}
KINDS = 12
BACKEND = "cpu"


@dataclasses.dataclass(frozen=True)
class Options:
    """Compare the speed of Harmony in jbc and in harmonypy."""

    rounds: int = 3  # times that every side has its turn
    rows: int = 50_000  # of all domains
    components: int = 50  # of the embedding
    domains: int = 10  # of about equal size
    cores: int = 2  # cores that either side may use
    quick: bool = False  # see whether everything runs; the numbers mean nothing
    out: Path = RESULTS / "bench_harmony.json"  # where the rows go


QUICK: dict[str, Any] = {"rounds": 1, "rows": 600, "components": 5, "domains": 2, "cores": 1}


class Side(NamedTuple):
    """What is measured: a program, and what it is told."""

    program: Literal["harmonypy", "jbc"]
    configuration: str
    lanes: int = 1


def draw(options: Options) -> tuple[Any, Any]:
    """Return an embedding of a dozen populations, of which later components tell less, and the domains of rows."""
    import numpy as np

    rng, n, d = np.random.default_rng(0), options.rows, options.components
    size = np.linspace(1, 0.2, d)
    kind, domain = rng.integers(KINDS, size=n), rng.integers(options.domains, size=n)
    centres, effects = 3 * size * rng.normal(size=(KINDS, d)), size * rng.normal(size=(options.domains, d))
    return centres[kind] + effects[domain] + size * rng.normal(size=(n, d)), domain


def measure_harmonypy(side: Side, options: Options) -> dict[str, float]:
    """Fit once before, on a few rows: seconds."""
    from harmonypy import run_harmony

    x, domain = draw(options)
    given = SETTINGS[side.configuration][0] | {"verbose": False, "ncores": options.cores}
    run_harmony(x[:500], {"domain": domain[:500]}, ["domain"], **given)
    return {"s": timed(lambda: run_harmony(x, {"domain": domain}, ["domain"], **given))[0]}


def measure_jbc(side: Side, options: Options) -> dict[str, float]:
    """Fit and encode twice, from a cohort: what the first takes more than the second is compilation."""
    import jax
    import numpy as np

    import jbc
    from jbc.methods.inference import apply_in_blocks

    jax.config.update("jax_enable_compilation_cache", False)
    x, domain = draw(options)
    cohort = jbc.Cohort.from_arrays(x, domain)
    method = jbc.Harmony(components=None, **SETTINGS[side.configuration][1])

    def encode(fitted: Any) -> Any:
        rows = np.asarray(cohort.x), np.asarray(cohort.domain)
        return apply_in_blocks(method, "encode", fitted, rows)

    def run() -> tuple[float, float]:
        fit, fitted = timed(lambda: method.finish(None, cohort))
        seconds, codes = timed(lambda: encode(fitted))
        assert np.isfinite(codes).all()
        return fit, seconds

    first, (fit, seconds) = run(), run()
    return {"s": fit, "encode": seconds, "compilation": sum(first) - fit - seconds}


def measure(side: Side, options: Options) -> dict[str, float]:
    """Return what is measured of one side, in this process."""
    pin_cpus(options.cores)
    return (measure_jbc if side.program == "jbc" else measure_harmonypy)(side, options)


def summary_rows(turns: dict[Side, list[dict[str, float]]]) -> list[dict]:
    """Return rows of what every side took, and of how many times faster jbc is."""
    rows = []
    for side, told in turns.items():
        rows.append(speed_row(side.program, side, BACKEND, [one["s"] for one in told], "s"))
        if side.program == "jbc":
            for name in ("encode", "compilation"):
                rows.append(speed_row(f"jbc, {name}", side, BACKEND, [one[name] for one in told], "s"))
            if theirs := turns.get(side._replace(program="harmonypy")):
                slow = [one["s"] for one in theirs]
                fit, both = ([one["s"] + k * one["encode"] for one in told] for k in (0, 1))
                rows.append(ratio_row("jbc against harmonypy", side, BACKEND, slow, fit))
                rows.append(ratio_row("jbc, fit and encode, against harmonypy", side, BACKEND, slow, both))
    return rows


def measure_all(options: Options) -> list[dict]:
    """Measure everything, and return the rows."""
    programs: list[Literal["harmonypy", "jbc"]] = ["jbc"]
    if find_spec("harmonypy"):
        programs.insert(0, "harmonypy")
    else:
        print("harmonypy is not installed (the extra `bench` has it): only jbc is measured.")
    sides = [Side(each, name) for name in SETTINGS for each in programs]
    return summary_rows(
        interleave(sides, options.rounds, lambda side: run_in_subprocess(__file__, side, options))
    )


if __name__ == "__main__":
    program.run(main, Options, Side, measure, measure_all, QUICK)
