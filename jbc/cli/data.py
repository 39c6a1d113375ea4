"""``jbc data``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import tyro

from jbc.cli.common import parse, print_table


@dataclasses.dataclass(frozen=True)
class List:
    """List the data sets."""


@dataclasses.dataclass(frozen=True)
class Fetch:
    """Download a data set into the cache, and tell where its files are."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Name of the data set."""


@dataclasses.dataclass(frozen=True)
class Options:
    """List and fetch public data sets; JBC_DATA names a folder that is looked at first."""

    action: Annotated[List, tyro.conf.subcommand("list")] | Annotated[Fetch, tyro.conf.subcommand("fetch")]


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "data", arguments)
    from jbc.data import datasets

    if isinstance(options.action, List):
        print_table(
            [{"name": name} | _summary(datasets.describe(name)) for name in datasets.names()], "data sets"
        )
        return 0
    for path in datasets.fetch(options.action.name):
        print(path)
    about = datasets.describe(options.action.name)
    print(f"licence: {about['licence']}\ncite: {about['citation']}")
    return 0


def _summary(about: dict) -> dict:
    return {key: about.get(key) for key in ("title", "licence")}
