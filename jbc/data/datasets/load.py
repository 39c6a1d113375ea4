"""Data sets by name, from a local folder, the cache, or their pinned address."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jbc.data import cache
from jbc.data.datasets.catalogue import Entry, describe, find
from jbc.data.datasets.sources import Remote
from jbc.data.io.fcs import read_fcs
from jbc.data.io.tables import read_table
from jbc.data.simulate.plates import simulate_plates
from jbc.data.simulate.screen import simulate_screen
from jbc.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from requests.exceptions import RequestException

ROWS_PER_UNIT = 5
COFACTOR = 5
NO_MARKER = re.compile(r"BC\d+|DNA\d+")
MIXOLOGY_DOMAINS = {
    "sc_celseq2": "CEL-seq2",
    "sc_dropseq": "Drop-seq",
    "sc_celseq2_5cl_p1": "CEL-seq2 plate 1",
    "sc_celseq2_5cl_p2": "CEL-seq2 plate 2",
    "sc_celseq2_5cl_p3": "CEL-seq2 plate 3",
}


def load(name: str) -> AnnData:
    """Load a data set, downloading it on first use.

    Parameters
    ----------
    name
        One of `jbc.datasets.names`.

    Returns
    -------
    anndata.AnnData
        Published values in X, float32; ``obs["domain"]``, ``obs["label"]`` and ``obs["unit"]`` as categories
        of text, ``obs["treatment"]`` and ``obs["control"]`` for screens; licence, citation and caveats in
        ``uns["jbc_dataset"]``, which is what `describe` gives.

    Raises
    ------
    InputError
        With code ``unknown-dataset``, ``offline``, ``download-failed``, ``checksum`` or ``unwritable``.

    Examples
    --------
    >>> adata = load("simulated-plates")
    >>> list(adata.obs["domain"].cat.categories)
    ['plate 1', 'plate 2', 'plate 3']
    """
    entry = find(name)
    adata = READERS[entry.kind](entry)
    adata.uns["jbc_dataset"] = describe(name)
    return adata


def fetch(name: str) -> list[Path]:
    """Make the files of a data set available and give their paths.

    A file is looked for below the folder that the environment variable ``JBC_DATA`` names, then in the cache
    (``JBC_CACHE``, else the user's cache folder), and downloaded at last. Whatever its origin, its SHA-256 is
    compared with the catalogue's.

    Parameters
    ----------
    name
        One of `jbc.datasets.names`.

    Returns
    -------
    list of Path
        In the order of the catalogue; empty for a simulated world.

    Raises
    ------
    InputError
        As for `load`.

    Examples
    --------
    >>> fetch("simulated-plates")
    []
    """
    return [_local(file) or _cached(file) for file in find(name).files]


def _local(file: Remote) -> Path | None:
    """Find a file below JBC_DATA."""
    folder = os.environ.get("JBC_DATA")
    path = Path(folder, file.path) if folder else None
    if path is None or not path.is_file():
        return None
    with path.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != file.sha256:
        raise _checksum(path, f"expected {file.sha256}, found {found}", "JBC_DATA")
    return path


def _cached(file: Remote) -> Path:
    """Find a file in the cache or download it; pooch compares the checksum in either case."""
    import pooch
    from requests.exceptions import RequestException

    target = cache.folder() / "data" / file.path
    try:
        # Not streamed, because pooch leaves the connection of a refused stream open; the files are small.
        downloader: Any = pooch.HTTPDownloader(stream=False)
        pooch.retrieve(file.url, f"sha256:{file.sha256}", target.name, target.parent, downloader=downloader)
    except RequestException as error:
        raise _not_downloaded(file, target, error) from error
    except ValueError as error:
        raise _checksum(file.url, f"expected {file.sha256}; {error}", "the address") from error
    except OSError as error:
        raise InputError(
            f"Cannot write to the cache folder ({error.strerror or error})",
            which=[str(target.parent)],
            why="Downloaded files are kept there.",
            fix="Free some space, or name another folder in the environment variable JBC_CACHE.",
            code="unwritable",
        ) from error
    return target


def _not_downloaded(file: Remote, target: Path, error: RequestException) -> InputError:
    """Distinguish a server that refuses from one that cannot be reached."""
    why = "The file is neither in the cache nor below the folder that JBC_DATA names."
    if error.response is not None:
        return InputError(
            f"The download of a data set failed (HTTP status {error.response.status_code})",
            which=[file.url],
            why=why,
            fix="Try again later; should the file have moved, tell the authors of jbc.",
            code="download-failed",
        )
    return InputError(
        "A data set cannot be downloaded, because its address cannot be reached",
        which=[file.url],
        why=why,
        fix=f"Connect to the internet once, or put the file at '{target}'.",
        code="offline",
    )


def _checksum(where: object, detail: str, origin: str) -> InputError:
    return InputError(
        f"A data file is not the published one ({detail})",
        which=[str(where)],
        why="Results from other data cannot be compared.",
        fix=f"Remove the file from {origin} and get it again.",
        code="checksum",
    )


def _spectra(entry: Entry) -> AnnData:
    """Read plates of spectra with the columns label, board and one per m/z."""
    table = read_table(fetch(entry.name), keys=["label", "board"])
    plate, label = table.obs["board"].to_numpy(), table.obs["label"].to_numpy()
    unit = np.concatenate([_runs(label[plate == board]) for board in dict.fromkeys(plate)])
    obs = {
        "domain": [f"plate {board}" for board in plate],
        "label": label,
        "unit": [f"plate {board}-{number}" for board, number in zip(plate, unit, strict=True)],
    }
    return _anndata(table.x, table.features, obs)


def _runs(label: np.ndarray) -> np.ndarray:
    """Return for every row the number of its run of five; counting starts anew where the label changes."""
    changes = np.append(True, label[1:] != label[:-1])
    row = np.arange(len(label))
    since = row - np.maximum.accumulate(np.where(changes, row, 0))
    return np.cumsum(since % ROWS_PER_UNIT == 0) - 1


def _cells(entry: Entry) -> AnnData:
    """Read cells of one or two persons: for each day a file of values and one of labels, without headers."""
    paths = fetch(entry.name)
    blocks, obs = [], {"domain": [], "label": [], "unit": [], "person": [], "day": []}
    for values, labels in zip(paths[::2], paths[1::2], strict=True):
        blocks.append(np.loadtxt(values, delimiter=",", dtype=np.float64))
        person, day = values.name[len("Person")], values.name[len("Person1Day")]
        cells = len(blocks[-1])
        obs["domain"] += [f"day {day}"] * cells
        obs["label"] += labels.read_text().split()
        obs["unit"] += [f"person {person} day {day}-{cell}" for cell in range(cells)]
        obs["person"] += [f"person {person}"] * cells
        obs["day"] += [f"day {day}"] * cells
    x = np.concatenate(blocks)
    return _anndata(x, tuple(f"marker {number}" for number in range(1, x.shape[1] + 1)), obs)


def _events(entry: Entry) -> AnnData:
    """Read FCS files named Gates_RUN_STIMULATION_Control_NUMBER, and keep the markers."""
    paths = fetch(entry.name)
    files = [read_fcs(path) for path in paths]
    first = files[0]
    named = zip(first.names, first.channels, strict=True)
    # A channel without a marker bears its own name; beadDist is named twice.
    markers = [
        i for i, (name, channel) in enumerate(named) if name != channel and not NO_MARKER.fullmatch(name)
    ]
    obs = {name: [] for name in ("domain", "label", "unit", "treatment", "stimulation", "sample")}
    for path, file in zip(paths, files, strict=True):
        cells = len(file.x)
        _, run, stimulation, _, number = path.stem.split("_")
        obs["domain"] += [run] * cells
        obs["label"] += [""] * cells
        obs["unit"] += [f"{path.stem}-{cell}" for cell in range(cells)]
        obs["treatment"] += [f"Control {number}"] * cells
        obs["stimulation"] += [stimulation] * cells
        obs["sample"] += [path.stem] * cells
    x = np.concatenate([file.x[:, markers] for file in files])
    adata = _anndata(np.arcsinh(x / COFACTOR), tuple(first.names[i] for i in markers), obs)
    adata.var["channel"] = [first.channels[i] for i in markers]
    adata.uns["arcsinh_cofactor"] = COFACTOR
    return adata


def _counts(entry: Entry) -> AnnData:
    """Read counts of genes × cells, one file a domain, each beside a file that tells about the same cells."""
    import pandas as pd

    paths = fetch(entry.name)
    counts, about = {}, []
    for values, metadata in zip(paths[::2], paths[1::2], strict=True):
        domain = MIXOLOGY_DOMAINS[values.name.removesuffix(".count.csv.gz")]
        counts[domain] = pd.read_csv(values, index_col=0).astype(np.float32)
        # By name: nothing promises that two files list their cells in one order.
        about.append(pd.read_csv(metadata, index_col=0).loc[list(counts[domain].columns)])
    shared = pd.concat(counts, axis="columns", join="inner").sort_index()
    known = pd.concat(about)
    # Plates give their cells the same names, so that only domain and name together tell cells apart.
    domains = [domain for domain, _ in shared.columns]
    obs = {
        "domain": domains,
        "label": known["cell_line_demuxlet"].to_numpy(),
        "unit": [f"{domain}-{cell}" for domain, cell in shared.columns],
        "protocol": [domain.partition(" plate ")[0] for domain in domains],
    }
    adata = _anndata(shared.to_numpy().T, tuple(shared.index), obs)
    adata.obs["doublet"] = (known["demuxlet_cls"] == "DBL").to_numpy()
    adata.obs["two_cells"] = (known["cell_number"] == 2).to_numpy()
    return adata


def _wells(entry: Entry) -> AnnData:
    """Read means of wells, and join what the wells hold and by which mechanism that works."""
    import pandas as pd

    means, images, mechanisms = fetch(entry.name)
    table = read_table(means, keys=["Image_Metadata_Plate", "Image_Metadata_Well"])
    image = pd.read_csv(images, usecols=lambda name: "_Metadata_" in name).rename(columns=_plain)
    wells = (
        table.obs.rename(columns=_plain)
        .merge(image.drop_duplicates(), how="left", on=["plate", "well"], validate="many_to_one")
        .merge(pd.read_csv(mechanisms), how="left", on=["compound", "concentration"], validate="many_to_one")
    )
    return _screen(table.x, table.features, wells)


def _profiles(entry: Entry) -> AnnData:
    """Read profiles in the style of pycytominer, of which the columns named Metadata_… tell everything else."""
    table = read_table(fetch(entry.name))
    wells = table.obs.rename(columns=_plain).astype({"concentration": float})
    return _screen(table.x, table.features, wells)


def _plain(name: str) -> str:
    """Reduce the names that CellProfiler and pycytominer give to what they tell: plate, well, compound, …."""
    return name.removeprefix("Image_").removeprefix("Metadata_").removesuffix("_DAPI").lower()


def _screen(x: np.ndarray, features: tuple[str, ...], wells: pd.DataFrame) -> AnnData:
    """Name domains, treatments and controls of wells, of which plate, compound, concentration and moa are known."""
    control = (wells["compound"] == "DMSO").to_numpy()
    doses = zip(wells["compound"], wells["concentration"], strict=True)
    treatment = [f"{compound} @ {concentration:g}" for compound, concentration in doses]
    obs = {
        "domain": [plate.partition("_")[0] for plate in wells["plate"]],
        "label": np.where(control, "", wells["moa"]),
        "unit": [f"{plate}-{well}" for plate, well in zip(wells["plate"], wells["well"], strict=True)],
        **{name: wells[name].to_numpy() for name in ("plate", "well", "compound")},
        "treatment": np.where(control, "DMSO", treatment),
    }
    adata = _anndata(x, features, obs)
    adata.obs["concentration"] = wells["concentration"].to_numpy()
    adata.obs["control"] = control
    return adata


def _simulated(entry: Entry) -> AnnData:
    simulate = simulate_screen if entry.name == "simulated-screen" else simulate_plates
    return simulate(seed=0).to_anndata()


def _anndata(
    x: np.ndarray, features: tuple[str, ...], columns: Mapping[str, Sequence[str] | np.ndarray]
) -> AnnData:
    import pandas as pd
    from anndata import AnnData

    index = pd.Index([str(row) for row in range(len(x))], dtype=object)
    obs: pd.DataFrame = pd.DataFrame(columns, index=index, dtype=object).astype("category")
    return AnnData(x.astype(np.float32), obs, pd.DataFrame(index=pd.Index(features, dtype=object)))


READERS: dict[str, Callable[[Entry], AnnData]] = {
    "spectra": _spectra,
    "cells": _cells,
    "counts": _counts,
    "events": _events,
    "wells": _wells,
    "profiles": _profiles,
    "simulated": _simulated,
}
