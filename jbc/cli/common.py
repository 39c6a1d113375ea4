"""What several commands share: options, tables with roles, and the way back from a run to its model."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import numpy as np
import tyro

from jbc.cli.folders import refuse_inside
from jbc.data import cache
from jbc.data.io.files import is_number
from jbc.data.io.tables import Table, read_table
from jbc.errors import InputError
from jbc.interfaces import expression

if TYPE_CHECKING:
    from jbc.model import Model

T = TypeVar("T")
Files = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE...")]
Column = Annotated[str | None, tyro.conf.arg(metavar="COLUMN")]
Cofactor = Annotated[float | None, tyro.conf.arg(metavar="COFACTOR")]
Mark = Annotated[str | None, tyro.conf.arg(metavar="CHARACTER")]
Missing = Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="VALUE...")]
Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


def parse(
    options: Callable[..., T] | type[T],
    name: str,
    arguments: Sequence[str],
    order: Callable[[Sequence[str]], Sequence[str]] = list,
) -> T:
    """Read the options of a command from the command line, after putting them in order."""
    _refuse_nothing(arguments)
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
    return tyro.cli(options, prog=f"jbc {name}", args=list(order(arguments)), config=config)


def _refuse_nothing(arguments: Sequence[str]) -> None:
    """Refuse an output without a name, which would stand for the folder that the command runs in."""
    if "--out=" in arguments or ("--out", "") in itertools.pairwise(arguments):
        raise InputError(
            "--out names nothing",
            why="It says what to write; an empty one may come from a variable that is not set.",
            fix="Pass the path of a file or folder.",
            code="bad-option",
        )


@dataclasses.dataclass(frozen=True)
class Reading:
    """How text files are written, and the scale of the measurements; as in the fit by default."""

    sep: Mark = None
    """What parts columns, such as ';'; by default a comma in .csv and a tab in .tsv."""
    decimal: Mark = None
    """Decimal mark: '.' by default, or ','."""
    arcsinh: Cofactor = None
    """Take arcsinh(value / COFACTOR) of the measurements: 5 for mass cytometry, about 150 for fluorescence."""
    missing: Missing = None
    """What stands for a missing value, besides empty cells, NA and NaN: numbers, such as 0, or words."""
    below_detection: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Cells that begin with "<", such as <LOD and <0.5, are missing values."""

    def over(self, notes: dict[str, Any]) -> Reading:
        """Return this, with what is left out as in the notes of a model."""
        given = {
            name: value for name, value in vars(self).items() if value is not None and value is not False
        }
        kept = {name: notes[name] for name in READING if name in notes}
        if isinstance(kept.get("missing"), list):
            kept["missing"] = tuple(kept["missing"])
        return Reading(**kept | given)

    def options(self) -> dict[str, Any]:
        """Return the arguments of :func:`jbc.data.io.tables.read_table`."""
        return {
            "sep": self.sep,
            "decimal": self.decimal or ".",
            "arcsinh": self.arcsinh,
            "missing": self.missing or (),
            "below_detection": self.below_detection,
        }


READING = tuple(field.name for field in dataclasses.fields(Reading))


@dataclasses.dataclass(frozen=True)
class Columns:
    """Names of the columns that are no measurements."""

    batch: str
    labels: str | None = None
    treatment: str | None = None
    unit: str | None = None
    order: str | None = None
    covariates: Sequence[str] = ()

    def given(self) -> list[str]:
        """Return the names that were given."""
        single = (self.batch, self.labels, self.treatment, self.unit, self.order)
        return [*(name for name in single if name is not None), *map(_bare, self.covariates)]


def role_columns(table: Table, columns: Columns, control: str | None = None) -> dict[str, Any]:
    """Return the groups of the rows as the arguments of :meth:`jbc.Cohort.from_arrays`."""

    def column(name: str | None) -> np.ndarray | None:
        return None if name is None else table.obs[name].to_numpy(dtype=object)

    marked = None
    if control is not None:
        marked = expression.controls(control, {name: table.obs[name] for name in table.obs.columns})
    return {
        "domain": column(columns.batch),
        "label": column(columns.labels),
        "treatment": column(columns.treatment),
        "unit": column(columns.unit),
        "control": marked,
        "covariates": covariate_columns(table, columns.covariates),
        "order": column(columns.order),
    }


def covariate_columns(table: Table, names: Sequence[str]) -> dict[str, np.ndarray] | None:
    """Return columns of covariates by name: numbers where all cells are, but not of those written as C(name).

    Examples
    --------
    >>> import pandas as pd
    >>> obs = pd.DataFrame({"age": ["30", "41"], "site": ["1", "2"]}, dtype=object)
    >>> found = covariate_columns(Table(np.zeros((2, 1)), ("x",), obs), ["age", "C(site)"])
    >>> found["age"].tolist(), found["site"].tolist()
    ([30.0, 41.0], ['1', '2'])
    """
    if not names:
        return None
    found = {}
    for name in names:
        cells = table.obs[_bare(name)].to_numpy(dtype=object)
        if name == _bare(name) and all(is_number(cell) for cell in cells):
            cells = cells.astype(np.float64)
        found[_bare(name)] = cells
    return found


def _bare(name: str) -> str:
    """Return the column of a covariate whose levels are meant, C(name)."""
    return name[2:-1] if name.startswith("C(") and name.endswith(")") else name


def refuse_overwrite(data: Sequence[Path], out: Path | None) -> None:
    """Refuse to replace an input by the output, or to damage a model by it."""
    refuse_inside(out)
    if out is not None and os.path.realpath(out) in map(os.path.realpath, data):
        raise InputError(
            "The output would replace an input",
            which=[str(out)],
            why="What was measured would be lost.",
            fix="Choose another --out.",
            code="output-is-input",
        )


def init_jax() -> list[Any]:
    """Let JAX keep compiled programs, and return its devices, or refuse to go on without any."""
    import jax

    cache.keep_compiled()
    try:
        return jax.devices()
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            "JAX finds no device to compute on",
            which=[f"JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')}"],
            why=f"It said: {str(error).strip() or 'nothing'}.",
            fix="Unset JAX_PLATFORMS, or install the jax that the device needs.",
            code="no-device",
        ) from error


def open_run(run: Path) -> Model:
    """Load the model of a run, or a model's own folder."""
    from jbc.model import load

    init_jax()
    inside = run / "model"
    if not inside.exists() and (run / "run.json").exists():
        raise InputError(
            "This run holds no model yet",
            which=[str(run)],
            why="Its training has not come to an end.",
            fix="Finish it: the same jbc fit command with --resume.",
            code="unfinished-run",
        )
    model = load(inside if inside.exists() else run)
    _check_notes(run, model.record.notes)
    return model


def _check_notes(run: Path, notes: dict[str, Any]) -> None:
    """Refuse notes under our names that are not ours: in Python, a model can be saved with any."""
    columns, control, cofactor = notes.get("columns", {}), notes.get("control"), notes.get("arcsinh")
    marks = {name: notes.get(name) for name in ("sep", "decimal")}
    words, below = notes.get("missing"), notes.get("below_detection", False)
    named = isinstance(columns, dict) and all(
        isinstance(each, str | None) or (name == "covariates" and _texts(each))
        for name, each in columns.items()
    )
    number = isinstance(cofactor, int | float) and not isinstance(cofactor, bool) and 0 < cofactor < np.inf
    faults = {
        "columns": not named,
        "control": not isinstance(control, str | None),
        "arcsinh": cofactor is not None and not number,
        **{name: not isinstance(mark, str | None) for name, mark in marks.items()},
        "missing": words is not None and not _texts(words),
        "below_detection": not isinstance(below, bool),
    }
    if any(faults.values()):
        raise InputError(
            f"Notes of the model in '{run}' are not what jbc fit writes",
            which=[f"{name}: {notes[name]!r}" for name, wrong in faults.items() if wrong],
            why="They tell which columns and what scale the model was fitted to.",
            fix="Restore the model from a copy, or save it again with notes of other names.",
            code="damaged-model",
        )


def _texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def rows_for(
    model: Model,
    data: Sequence[Path],
    batch_key: str | None,
    reading: Reading,
    keys: Sequence[str] = (),
) -> tuple[Table, dict[str, Any]]:
    """Read tables with the features and on the scale of a model, and what a model asks of its rows, by name."""
    noted = model.record.notes.get("columns", {})
    key, order, covariates = (
        batch_key or noted.get("batch"),
        noted.get("order"),
        noted.get("covariates") or (),
    )
    if key is None and len(model.names.domains) > 1:
        raise InputError(
            "It is not known which column names the batch",
            why="The correction of a row depends on its batch, and the model was not fitted at the command line.",
            fix="Pass --batch-key COLUMN.",
            code="missing-batch-key",
        )
    options = reading.over(model.record.notes).options()
    beside = [*filter(None, (key, order)), *map(_bare, covariates)]
    table = read_table(data, keys=[*beside, *keys], features=model.names.features, **options)
    single = {"domain": key, "order": order}
    roles = {
        name: None if by is None else table.obs[by].to_numpy(dtype=object) for name, by in single.items()
    }
    return table, roles | {"covariates": covariate_columns(table, covariates)}


def print_table(rows: Sequence[dict[str, Any]], title: str) -> None:
    """Print a table; columns without any value are left out."""
    from rich.console import Console
    from rich.table import Table as Grid

    names = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    grid = Grid(title=title, title_justify="left", box=None, pad_edge=False)
    for name in names:
        number = any(isinstance(row[name], (int, float)) for row in rows)
        # Where there is no room for all, long texts are folded; numbers and what a row is about stay whole.
        whole = number or name == names[0]
        grid.add_column(name, justify="right" if number else "left", no_wrap=whole, overflow="fold")
    for row in rows:
        grid.add_row(*(_cell(row[name]) for name in names))
    Console(width=120, soft_wrap=True).print(grid)


def _cell(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else escape(str(value))
