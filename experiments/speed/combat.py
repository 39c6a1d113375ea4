"""How fast ComBat corrects a wide table, beside inmoose.

python experiments/speed/combat.py [--rounds 5] writes experiments/results/bench_combat.json and prints a table.
Every side has its turn in a process of its own. inmoose comes with `pip install "jbc[bench]"`; without it only jbc is
measured.

What is timed is the way from the table in memory to the corrected one. Of jbc that is the cohort, :func:`jbc.fit`
with its checks, the record of where rows lie, and :meth:`jbc.Model.transform`; domains are taken for the same
mixture, as ComBat takes them elsewhere.
"""

from __future__ import annotations

import dataclasses
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from experiments._lib import program
from experiments._lib.bench import (
    interleave,
    main,
    peak_memory,
    pin_cpus,
    ratio_row,
    run_in_subprocess,
    speed_row,
    timed,
)
from experiments._lib.results import RESULTS

BACKEND = "cpu"


@dataclasses.dataclass(frozen=True)
class Options:
    """Compare the speed of ComBat in jbc and in inmoose."""

    rounds: int = 3  # times that every side has its turn
    rows: int = 1000  # of all domains
    features: int = 20_000
    domains: int = 10  # of equal size
    cores: int = 2  # cores that either side may use
    quick: bool = False  # see whether everything runs; the numbers mean nothing
    out: Path = RESULTS / "bench_combat.json"  # where the rows go


QUICK: dict[str, Any] = {"rounds": 1, "rows": 60, "features": 30, "domains": 3, "cores": 1}


class Side(NamedTuple):
    """What is measured: a program."""

    program: Literal["inmoose", "jbc"]
    configuration: str
    lanes: int = 1


def draw(options: Options) -> tuple[Any, Any]:
    """Return rows whose domains differ by location and scale, and these domains."""
    import numpy as np

    rng, shape = np.random.default_rng(0), (options.domains, options.features)
    domain = np.arange(options.rows) % options.domains
    shift, scale = rng.normal(size=shape), rng.uniform(0.8, 1.25, shape)
    x = rng.normal(size=(options.rows, options.features))
    return (x * scale[domain] + shift[domain]).astype(np.float32), domain


def correction(side: Side, options: Options):
    """Return a function that corrects the table."""
    x, domain = draw(options)
    if side.program == "inmoose":
        import pandas as pd
        from inmoose.pycombat import pycombat_norm  # pyright: ignore[reportMissingImports]

        table = pd.DataFrame(x.T)  # features × rows
        return lambda: pycombat_norm(table, domain.tolist()).to_numpy().T
    import jbc

    def ours():
        cohort = jbc.Cohort.from_arrays(x, domain)
        return jbc.fit(jbc.ComBat(), cohort, composition="assume-equal").transform(x, domain)

    return ours


def measure(side: Side, options: Options) -> dict[str, float]:
    """Correct twice: what the first takes more than the second is paid once by a process."""
    import numpy as np

    pin_cpus(options.cores)
    run = correction(side, options)
    first, _ = timed(run)
    seconds, corrected = timed(run)
    assert np.isfinite(corrected).all()
    return {"s": seconds, "first": first, "peak": peak_memory()}


def measure_all(options: Options) -> list[dict]:
    """Measure everything, and return the rows."""
    name = f"{options.rows:,} × {options.features:,}"
    sides = [Side("jbc", name)]
    if find_spec("inmoose"):
        sides.insert(0, Side("inmoose", name))
    else:
        print("inmoose is not installed (the extra `bench` has it): only jbc is measured.")
    turns = interleave(sides, options.rounds, lambda side: run_in_subprocess(__file__, side, options))
    rows = []
    for side, told in turns.items():
        for what, part, unit in (
            ("", "s", "s"),
            (", first run", "first", "s"),
            (", peak memory", "peak", "GB"),
        ):
            rows.append(speed_row(side.program + what, side, BACKEND, [one[part] for one in told], unit))
    if len(sides) == 2:
        slow, fast = ([one["s"] for one in turns[side]] for side in sides)
        rows.append(ratio_row("jbc against inmoose", sides[1], BACKEND, slow, fast))
    return rows


if __name__ == "__main__":
    program.run(main, Options, Side, measure, measure_all, QUICK)
