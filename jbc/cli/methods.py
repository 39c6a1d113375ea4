"""``jbc methods``: which method for which table; and what ``jbc fit`` can fit, a line each."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from jbc.cli.arguments import in_order
from jbc.cli.common import parse, print_table
from jbc.cli.wording import at_command_line
from jbc.methods import presets, rules
from jbc.methods.base import Method
from jbc.methods.chain import Chain
from jbc.methods.registry import METHODS, name_of


@dataclasses.dataclass(frozen=True)
class ChainOfWords:
    """A chain as it is written at the command line."""

    methods: Annotated[tuple[str, ...], tyro.conf.arg(metavar='"METHOD [OPTION...]"...')] = (
        "standardise --no-scale",
        "standardise",
    )
    """Methods with their options, the first one first, each in quotes."""


CHOICES: dict[str, Any] = {name: cls() for name, cls in METHODS.items()} | presets.PUBLISHED
CHOICES["chain"] = ChainOfWords()
PRINTED, RELEASED = "-paper", "-reference"

# What the table is like, what to start with, and what to know. README and documentation show the same table.
GUIDE = [
    ("no effect, or you are not sure", ["standardise"], "the verdict says whether anything moves at all"),
    ("the same mixture in every batch", ["standardise"], "then any classifier: hard to beat, and free"),
    (
        "mixtures that differ, shared in part",
        ["standardise", "distance-alignment", "mmd-resnet"],
        "Harmony is as good where effects are small",
    ),
    ("labels in some batches", ["joint-calibration"], "compare with boosting after standardise"),
    (
        "treatments that batches share",
        ["wasserstein-alignment", "distance-alignment"],
        "the more are shared, the better",
    ),
    (
        "only controls are shared",
        ["standardise"],
        "--no-scale --on controls; nothing trained is clearly better",
    ),
    (
        "one day of cytometry onto another",
        ["adversarial-correction", "mmd-resnet"],
        "plain percentiles are close",
    ),
    ("one material in each batch", [], "the verdict is unknown: measure a batch that holds several"),
]


def _in_a_line(name: str, method: Any) -> str:
    """Return what a method does; of a published configuration, whose it is."""
    if name in METHODS:
        return at_command_line((METHODS[name].__doc__ or "").strip().split("\n")[0])
    home = name_of(method)
    if name.endswith((PRINTED, RELEASED)):
        where = "in print" if name.endswith(PRINTED) else "as released"
        data = name.removeprefix(home).removesuffix(PRINTED).removesuffix(RELEASED).strip("-")
        return f"{home} {where}{f', for {data.upper()}' if data else ''}."
    return f"{home} as another paper sets it: {name.removeprefix(home).strip('-')}."


def _options(method: Any) -> list[str]:
    """Return the options of a method's settings."""
    names = [path.rsplit(".", 1)[-1].replace("_", "-") for path in rules.flattened(method)]
    return [f"--{name}" for name in names]


IN_A_LINE = {name: _in_a_line(name, method) for name, method in CHOICES.items()}
SETTINGS = {name: _options(method) for name, method in CHOICES.items()}


def written_out(choice: Any) -> Method:
    """Return the method that was chosen; of a chain, the methods that are written as words.

    Examples
    --------
    >>> written_out(ChainOfWords(("standardise --no-scale", "coral"))).methods
    (Standardise(scale=False, ...), Coral(...))
    """
    if not isinstance(choice, ChainOfWords):
        return choice
    kind = tyro.extras.subcommand_type_from_defaults(CHOICES, prefix_names=False, descriptions=IN_A_LINE)
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
    links = []
    for words in map(shlex.split, choice.methods):
        found: Any = tyro.cli(kind, prog="--methods", args=in_order(words, {}, SETTINGS), config=config)
        links.append(written_out(found))
    return Chain(*links)


@dataclasses.dataclass(frozen=True)
class Options:
    """Tell which method to start with, what every method does, and which configurations are published."""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    parse(Options, "methods", arguments)
    rows = [
        {"your table": table, "start with": ", ".join(names) or "nothing", "and know": remark}
        for table, names, remark in GUIDE
    ]
    print_table(rows, "which method for which table")
    for title, some in (("methods", METHODS), ("as published", presets.PUBLISHED)):
        print()
        print_table([{"METHOD": name, "what it does": IN_A_LINE[name]} for name in some], title)
    print("\njbc fit METHOD --help tells the settings of a method.")
    return 0
