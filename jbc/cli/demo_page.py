"""What the demonstration says of itself: its verdict, its page, and what to do next."""

from __future__ import annotations

import datetime
import math
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jbc import __version__
from jbc.cli.demo_world import TARGET
from jbc.data.io.atomic import atomic_path
from jbc.report import Link, Table, Verdict, loss_figures, write_report
from jbc.report.words import described

if TYPE_CHECKING:
    from jbc.cli.demo_world import Outcome
    from jbc.data.simulate.plates import World
    from jbc.model import Model

SUBJECTS = 60  # of a plate
FILES = {
    "measured.csv": "three plates as they were measured, the labels of plate 3 left out (truth has them)",
    "corrected.csv": "the same rows after joint calibration",
    "predictions.csv": "the class that is predicted for every row, with probabilities",
    "metrics.json": "the numbers of the table above",
}


def verdict(rows: Sequence[dict[str, Any]]) -> Verdict:
    """Return what the table says, in sentences.

    Examples
    --------
    >>> row = {"AUC": 1.0, "MCC": 1.0, "plates told apart": 0.1, "agreement with truth": 1.0}
    >>> verdict([row | {"accuracy": share} for share in (0.5, 0.99, 1.0)]).text
    'The labels of plate 3 were hidden. The right class is predicted for 0.500 of its rows as measured, 0.990 after \
standardising every plate, and 1.000 after joint calibration, which is no better than standardising here: \
the plates of this world differ by little more than a shift and a scale of each feature.'
    """
    before, plain, after = (row["accuracy"] for row in rows)
    text = (
        f"The labels of {TARGET} were hidden. The right class is predicted for {before:.3f} of its rows as measured, "
        f"{plain:.3f} after standardising every plate, and {after:.3f} after joint calibration"
    )
    # Two standard errors of a share of the 60 subjects of a plate.
    noise = 2 * math.sqrt(max(plain * (1 - plain), 0.25 / SUBJECTS) / SUBJECTS)
    if after > plain + noise:
        return Verdict(f"{text}.", "good")
    if after < plain - noise:
        return Verdict(f"{text}, which is worse than standardising here.", "caution")
    remark = "the plates of this world differ by little more than a shift and a scale of each feature"
    return Verdict(f"{text}, which is no better than standardising here: {remark}.", "plain")


def next_commands(out: Path) -> list[str]:
    """Return commands that go on with the files of the demonstration.

    Examples
    --------
    >>> next_commands(Path("jbc-demo"))[1]
    'jbc predict jbc-demo/run --data jbc-demo/measured.csv --out jbc-demo/classes.csv'
    """
    data, folder, classes, page = (
        shlex.quote((out / name).as_posix()) for name in ("measured.csv", "run", "classes.csv", "run.html")
    )
    keys = "--batch-key plate --labels-key label --unit-key subject"
    return [
        f"jbc fit joint-calibration --data {data} {keys} --out {folder}",
        f"jbc predict {folder} --data {data} --out {classes}",
        f"jbc report {folder} --data {data} --labels-key truth --out {page}",
    ]


def write(
    out: Path,
    world: World,
    outcomes: Sequence[Outcome],
    model: Model,
    rows: Sequence[dict[str, Any]],
    distances: Mapping[str, Any],
    begun: float,
) -> None:
    """Draw the figures, and put everything on one page."""
    figures = _figures(world, outcomes, model, distances)
    for name, (_, figure) in figures.items():
        with atomic_path(out / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=150)
    found, (before, plain, after) = verdict(rows), rows
    beside = {
        name: f"{before[name]:.3f} as measured, {plain[name]:.3f} standardised" for name in list(after)[1:]
    }
    write_report(
        out / "report.html",
        title="Three plates, corrected",
        summary=found.text,
        tone=found.tone,
        highlights=[
            (f"Accuracy on {TARGET}", after["accuracy"], beside["accuracy"]),
            (
                "Plates told apart",
                after["plates told apart"],
                f"{beside['plates told apart']}, 0.333 by chance",
            ),
            ("Agreement with truth", after["agreement with truth"], beside["agreement with truth"]),
        ],
        tables=[_score_table(rows)],
        figures=list(figures.values()),
        notes=[
            "The plain tables are classified by logistic regression, trained on plates 1 and 2; joint calibration "
            "brings a classifier of its own.",
            f"All settings are the defaults of {type(model.method).__name__}.",
        ],
        commands=next_commands(out),
        links=[Link(name, text) for name, text in FILES.items()],
        about={
            "Data": f"simulated: {len(world.x)} rows of {len(world.features)} features on 3 plates",
            "Training": f"{model.record.steps} steps",
            "Seed": str(model.record.seed),
            "Version": f"jbc {__version__}",
            "Date": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
            "Duration": f"{time.monotonic() - begun:.0f} s",
        },
    )


def _score_table(rows: Sequence[dict[str, Any]]) -> Any:
    """Return the table with a row per score, and with what each of them means."""
    meaning = {
        "accuracy": f"{described('accuracy', 'plate')} Of {TARGET}, whose labels were hidden.",
        "AUC": described("auc", "plate"),
        "MCC": described("mcc", "plate"),
        "plates told apart": described("domain_accuracy", "plate"),
        "MMD 1–3": "Maximum mean discrepancy of plates 1 and 3: 0 where they are distributed alike, at most 1.4.",
        "agreement with truth": described("agreement", "plate"),
    }
    scores = [{"score": name} | {row["table"]: row[name] for row in rows} for name in list(rows[0])[1:]]
    return Table(f"Scores, and what they mean; accuracy, AUC and MCC are of {TARGET}", scores, meaning)


def _figures(
    world: World, outcomes: Sequence[Outcome], model: Model, distances: Mapping[str, Any]
) -> dict[str, tuple[str, Any]]:
    """Return captions and figures by the names of their files."""
    from jbc import metrics, plots

    raw, first = outcomes[0].x, world.domain == "plate 1"
    panels = plots.before_after(raw, outcomes[2].x, world.domain, world.label, domain_name="plate")
    ladder = metrics.bandwidth_ladder(raw)
    floor = metrics.mmd_within(raw[first], rows=150, unit=world.unit[first], bandwidths=ladder)
    boxes = plots.mmd_boxes(plots.axes(7.0, 2.8), distances, floor=floor, floor_name="halves of\nplate 1")
    boxes.set_ylabel("MMD of plates 1 and 3")
    remark = (
        "The method standardises every plate before it trains, so align is at its lowest from the first step: in "
        "this world, training adds the classifier. rebuild is near 0: the latent space holds the measurements."
    )
    return {
        "pca": (
            "The rows before and after joint calibration, coloured by plate, and by true class. Colours of plates "
            "should mix; those of classes should not.",
            panels[0, 0].figure,
        ),
        "mmd": (
            "MMD between plates 1 and 3, 30 draws of 150 rows. The line is the MMD between two halves of plate 1 as "
            "measured, with different subjects. A corrected pair of plates can lie below it: the plates were given a "
            "common mean and scale, and the halves of a plate were not.",
            boxes.figure,
        ),
        "losses": loss_figures(model.record.history, remark)[0],
    }
