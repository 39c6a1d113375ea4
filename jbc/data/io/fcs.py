"""FCS files of cytometers: events of one sample."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from jbc.data.io.files import damaged, missing_package, need_unique
from jbc.errors import InputError


class Events(NamedTuple):
    """Events × channels, with both names of every channel."""

    x: np.ndarray
    names: list[str]
    channels: list[str]


def read_fcs(path: Path) -> Events:
    r"""Read all channels of an FCS file of version 2.0, 3.0 or 3.1.

    A channel is named by what it measures, its marker (``$PnS``); where it has none, or shares it with another
    channel, by the channel of the instrument (``$PnN``). Values are on a linear scale: amplification (``$PnE``), gain
    (``$PnG``) and time step are taken out. Nothing is compensated.

    Raises
    ------
    InputError
        With code ``missing-package``, ``damaged-file``, ``several-samples``, ``unnamed-column`` or
        ``duplicate-columns``.

    Examples
    --------
    >>> import io, tempfile
    >>> import flowio
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "day1.fcs")
    ...     with file.open("wb") as handle:
    ...         _ = flowio.create_fcs(handle, [0.5, 1, 2, 3], ["Time", "Nd142Di"], ["", "CD19"])
    ...     events = read_fcs(file)
    >>> events.names, events.x.tolist()
    (['Time', 'CD19'], [[0.5, 1.0], [2.0, 3.0]])
    """
    flowio: Any = _flowio()
    try:
        with path.open("rb") as handle, warnings.catch_warnings():
            # FlowIO warns of what it only guesses: byte orders, and widths of integers.
            warnings.simplefilter("error", UserWarning)
            data = flowio.FlowData(handle)
            x = data.as_array()
    except flowio.exceptions.MultipleDataSetsError as error:
        raise InputError(
            "The file holds several data sets",
            which=[str(path)],
            why="One file is read as one sample.",
            fix="Write each to a file of its own; flowio.read_multiple_data_sets reads them.",
            code="several-samples",
        ) from error
    except KeyError as error:
        raise damaged(path, f"it lacks the keyword ${str(error.args[0]).upper()}") from error
    except MemoryError:
        raise
    except Exception as error:  # FlowIO raises errors of many kinds about a damaged file
        raise damaged(path, error or type(error).__name__) from error
    if data.text["mode"].upper() != "L":
        raise damaged(path, f"its $MODE is {data.text['mode']}, and only lists of events can be read")
    if len(x) != data.event_count:
        raise damaged(path, f"it announces {data.event_count} events and holds {len(x)}")
    if len(data.channels) != data.channel_count:
        raise damaged(path, f"it announces {data.channel_count} channels and names {len(data.channels)}")
    names, channels = _names(data.text, data.channel_count, path)
    return Events(x.astype(np.float32) if data.text["datatype"].upper() == "F" else x, names, channels)


def _flowio() -> ModuleType:
    try:
        import flowio
    except ModuleNotFoundError as error:
        raise missing_package("FCS files", "flowio", "fcs") from error
    return flowio


def _names(text: dict[str, str], count: int, path: Path) -> tuple[list[str], list[str]]:
    """Return the names of the channels: by marker where there is one, and those of the instrument."""
    channels = [text.get(f"p{n}n", "").strip() for n in range(1, count + 1)]
    markers = [text.get(f"p{n}s", "").strip() for n in range(1, count + 1)]
    times = Counter(markers)
    names = [
        marker if marker and times[marker] == 1 else channel
        for marker, channel in zip(markers, channels, strict=True)
    ]
    if not all(names):
        raise InputError(
            f"Channels of '{path.name}' have no name",
            which=[f"channel {n}" for n, name in enumerate(names, start=1) if not name],
            why="Channels are recognised by their names in every file.",
            fix="Name them in $PnS or $PnN.",
            code="unnamed-column",
        )
    need_unique(names, f"channels in '{path.name}'", "duplicate-columns")
    return names, channels
