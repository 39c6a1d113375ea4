"""Data sets by name, as AnnData."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jbc.data.datasets.catalogue import Entry, describe, find
from jbc.data.datasets.files import fetch
from jbc.data.io.fcs import read_fcs
from jbc.data.io.tables import read_table
from jbc.data.simulate.plates import simulate_plates
from jbc.data.simulate.screen import simulate_screen
from jbc.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

ROWS_PER_UNIT = 5
COFACTOR = 5
NO_MARKER = re.compile(r"BC\d+|DNA\d+")
PROTOCOLS = {
    "sc_celseq2": "CEL-seq2",
    "sc_dropseq": "Drop-seq",
    "sc_celseq2_5cl_p1": "CEL-seq2 plate 1",
    "sc_celseq2_5cl_p2": "CEL-seq2 plate 2",
    "sc_celseq2_5cl_p3": "CEL-seq2 plate 3",
    "GSE81076": "CEL-seq",
    "GSE86469": "Fluidigm C1",
    "E-MTAB-5061": "Smart-seq2",
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
        With code ``unknown-dataset``, ``not-placed``, ``offline``, ``download-failed``, ``checksum`` or
        ``unwritable``.

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
    """Read counts of cell lines, of which demuxlet says which cell is which."""
    shared, known, obs = _read_counts(fetch(entry.name), "cell_line_demuxlet")
    adata = _anndata(shared.to_numpy().T, tuple(shared.index), obs)
    adata.obs["doublet"] = (known["demuxlet_cls"] == "DBL").to_numpy()
    adata.obs["two_cells"] = (known["cell_number"] == 2).to_numpy()
    return adata


def _cell_types(entry: Entry) -> AnnData:
    """Read counts that the user has placed, and the types of their cells."""
    shared, _, obs = _read_counts(fetch(entry.name), "label")
    return _anndata(shared.to_numpy().T, tuple(shared.index), obs)


def _read_counts(
    paths: Sequence[Path], label: str
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Sequence[str]]]:
    """Read counts of genes × cells, one file a domain, each beside a file that tells about the same cells.

    Returns the counts of the genes that all files name, what is told of their cells, and the columns of `obs`.
    """
    import pandas as pd

    counts, about = {}, []
    for values, metadata in zip(paths[::2], paths[1::2], strict=True):
        domain = PROTOCOLS[values.name.removesuffix(".count.csv.gz")]
        counts[domain] = pd.read_csv(values, index_col=0).astype(np.float32)
        told, cells = pd.read_csv(metadata, index_col=0), list(counts[domain].columns)
        if label not in told or (unknown := [cell for cell in cells if cell not in told.index]):
            raise InputError(
                f"'{metadata.name}' does not tell the {label} of every cell",
                which=[f"column {label}"] if label not in told else unknown,
                why=f"The columns of '{values.name}' are cells, and each is looked up by its name.",
                fix=f"Write a row for every cell, named in the first column, and its type in the column {label}.",
                code="cells-unknown",
            )
        # By name: nothing promises that two files list their cells in one order.
        about.append(told.loc[cells])
    shared, known = pd.concat(counts, axis="columns", join="inner").sort_index(), pd.concat(about)
    # Plates give their cells the same names, so that only domain and name together tell cells apart.
    domains = [domain for domain, _ in shared.columns]
    obs = {
        "domain": domains,
        "label": known[label].astype(str).tolist(),
        "unit": [f"{domain}-{cell}" for domain, cell in shared.columns],
        "protocol": [domain.partition(" plate ")[0] for domain in domains],
    }
    return shared, known, obs


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
    "cell types": _cell_types,
    "events": _events,
    "wells": _wells,
    "profiles": _profiles,
    "simulated": _simulated,
}
