"""What data sets there are, where they lie, what they are worth citing for, and their checksums."""

from __future__ import annotations

from dataclasses import dataclass

from jbc.data.datasets.sources import (
    BBBC021,
    BBBC021_SELECTED,
    CHD,
    CYTONORM_CONTROLS,
    MI,
    MIXOLOGY,
    PANCREAS,
    PERSON_1,
    PERSON_1_LATER,
    PERSON_2,
    PERSON_2_LATER,
    Remote,
)
from jbc.errors import InputError

BLOOD_SAMPLES = (
    "No sample id was published; rows come in runs of about 5 near-identical spectra of one blood sample. "
    "obs['unit'] numbers runs of 5 consecutive rows of one plate, broken where the label changes. Split folds "
    "by unit, never by row, or the same blood is on both sides. A few intensities are negative: clip before a "
    "logarithm."
)
CELLS = (
    "Raw intensities, 18 to 42 % zeros; the 25 markers were published without names. Every cell is its own "
    "unit; obs['person'] and obs['day'] tell where it comes from. The label is 1 for CD8 cells."
)
CONTROLS = (
    "1000 unstimulated cells of each of two reference samples in each of 3 runs, on the scale arcsinh(x / 5) "
    "(uns['arcsinh_cofactor']). obs['domain'] is the run, obs['treatment'] the reference sample; the cells have no "
    "labels, and every cell is its own unit. Only the 37 markers are kept, with their channels in var['channel']; "
    "left out are Time, Event_length, 7 channels without a marker, 6 barcodes, 2 of DNA, and beadDist. Needs "
    "jbc[fcs]."
)
CELL_LINES = (
    "Raw counts of the 11533 genes that all 5 files name (95 to 97 % of the molecules of each; no spike-ins), "
    "in the order of their Ensembl ids. CEL-seq2 and Drop-seq hold 3 lines, CEL-seq2 plate 1 to 3 the same and 2 "
    "more. obs['label'] is the line that fits a cell's SNPs best, by demuxlet; an older call, cell_line, parts "
    "from it in 8 doublets and is left out, as are the columns of quality control. No cell is left out: "
    "obs['doublet'] marks what demuxlet takes for two lines in one, 7 to 47 % of a domain, and obs['two_cells'] "
    "the 116 wells of the plates that were filled with two cells. Only cells with neither mark have a label "
    "beyond doubt. Every cell is its own unit."
)
ISLETS = (
    "Raw counts of the genes that all three tables name. No checksum of tables with counts and cell types is known, "
    "so that nothing is downloaded and nothing compared: get what was published with each accession, and put it "
    "below the folder that JBC_DATA names, two tables an accession. pancreas/ACCESSION.count.csv.gz has a gene in "
    "every row, named in the first column, and a cell in every other column; pancreas/ACCESSION.metadata.csv.gz has "
    "a cell in every row, named in the first column, and its type in the column label. The paper has 13 types: "
    "acinar, activated stellate, alpha, beta, delta, ductal, endothelial, epsilon, gamma, macrophage, mast, "
    "quiescent stellate, schwann. jbc.data.prepare_counts is its preparation, as far as it is told, which left 4036 "
    "cells and 325 genes."
)
SCREEN = (
    "Means over the cells of a well; 632 wells of 55 plates that were imaged in 10 weeks: 330 wells of DMSO, 6 on "
    "every plate, and 103 treatments (38 compounds, in µM) with 12 mechanisms, each on 2 or 3 plates. "
    "obs['label'] is the mechanism and empty for DMSO, which obs['control'] marks. Only DMSO repeats over weeks: "
    "every compound sits in a single week with all its concentrations, and all compounds of two mechanisms "
    "(cholesterol-lowering, kinase inhibitors) in the same one, so that their 11 treatments have no neighbour of "
    "their mechanism in another week. "
)
POSITIONS = (
    "40 features, those with Location or Center in their names, are positions of cells in the image: no biology, "
    "kept as published, and better left out of a comparison of mechanisms. No feature is scaled: their standard "
    "deviations go from 0.0004 to 1400."
)
SELECTED = (
    "The publishers scaled every feature by median and median absolute deviation over all wells, not per plate or "
    "week, and dropped those that are redundant or hardly vary. Two positions in the image are left, named "
    "Location. The rows are the wells of bbbc021 in another order; match them by obs['unit']."
)
NIU = (
    "Niu et al., Deep learning based multi-batch calibration for classification in various omics, 2021, "
    "doi:10.21203/rs.3.rs-1017151/v1"
)
SHAHAM = (
    "Shaham et al., Removal of batch effects using distribution-matching residual networks, Bioinformatics "
    "33(16), 2017, doi:10.1093/bioinformatics/btx196"
)
VAN_GASSEN = (
    "Van Gassen et al., CytoNorm: a normalization algorithm for cytometry data, Cytometry Part A 97(3), 2020, "
    "doi:10.1002/cyto.a.23904"
)
LJOSA = (
    "Image set BBBC021v1 (Caie et al., High-content phenotypic profiling of drug response signatures across "
    "distinct cancer cells, Molecular Cancer Therapeutics 9(6), 2010, doi:10.1158/1535-7163.MCT-09-1148), from the "
    "Broad Bioimage Benchmark Collection (Ljosa et al., Nature Methods 9(7), 2012, doi:10.1038/nmeth.2083); "
    "profiles of Ljosa et al., Comparison of methods for image-based profiling of cellular morphological responses "
    "to small-molecule treatment, Journal of Biomolecular Screening 18(10), 2013, doi:10.1177/1087057113503553"
)
TIAN = (
    "Tian et al., Benchmarking single cell RNA-sequencing analysis pipelines using mixture control experiments, "
    "Nature Methods 16(6), 2019, doi:10.1038/s41592-019-0425-8"
)


@dataclass(frozen=True)
class Entry:
    """One data set. `kind` says how its files are read."""

    name: str
    title: str
    kind: str
    licence: str
    citation: str
    notes: str
    files: tuple[Remote, ...] = ()


def _spectra(name: str, title: str, files: tuple[Remote, ...]) -> Entry:
    return Entry(name, title, "spectra", "MIT wording, with the sources", NIU, BLOOD_SAMPLES, files)


def _cytof(name: str, title: str, files: tuple[Remote, ...]) -> Entry:
    licence = "none stated; the same values are published under MIT wording in n778509775/JDLBER"
    return Entry(name, title, "cells", licence, SHAHAM, CELLS, files)


ENTRIES = (
    _spectra("mi", "Myocardial infarction, MALDI mass spectra of serum, 3 plates, 204 m/z", MI),
    _spectra("chd", "Coronary heart disease, MALDI mass spectra of serum, 4 plates, 199 m/z", CHD),
    _cytof(
        "cytof", "Mass cytometry of blood cells, 2 persons on 2 days each, 25 markers", PERSON_1 + PERSON_2
    ),
    _cytof("cytof-person1", "Mass cytometry of blood cells, person 1 on 2 days, 25 markers", PERSON_1),
    _cytof("cytof-person2", "Mass cytometry of blood cells, person 2 on 2 days, 25 markers", PERSON_2),
    _cytof(
        "cytof-person1-3month",
        "Mass cytometry of blood cells, person 1 on 2 days, 3 months later, 25 markers",
        PERSON_1_LATER,
    ),
    _cytof(
        "cytof-person2-3month",
        "Mass cytometry of blood cells, person 2 on 2 days, 3 months later, 25 markers",
        PERSON_2_LATER,
    ),
    Entry(
        "cytonorm",
        "Mass cytometry of two reference samples in 3 runs, 6000 cells, 37 markers",
        "events",
        "GPL 2 or later",
        VAN_GASSEN,
        CONTROLS,
        CYTONORM_CONTROLS,
    ),
    Entry(
        "sc-mixology",
        "Single cells of 3 or 5 lung cancer lines, CEL-seq2 (4 plates) and Drop-seq, 11533 genes",
        "counts",
        "MIT",
        TIAN,
        CELL_LINES,
        MIXOLOGY,
    ),
    Entry(
        "pancreas",
        "Single cells of the human pancreas, CEL-seq, Fluidigm C1 and Smart-seq2, 13 types; to be placed by hand",
        "cell types",
        "that of each archive",
        f"{NIU}; GSE81076, GSE86469 (Gene Expression Omnibus), E-MTAB-5061 (ArrayExpress)",
        ISLETS,
        PANCREAS,
    ),
    Entry(
        "bbbc021",
        "Screen of MCF-7 breast cancer cells, 632 wells in 10 weeks, 103 treatments, 516 features of their images",
        "wells",
        "BSD 3-clause",
        LJOSA,
        SCREEN + POSITIONS,
        BBBC021,
    ),
    Entry(
        "bbbc021-189",
        "The same screen of MCF-7 cells, 189 selected and scaled features",
        "profiles",
        "MIT",
        LJOSA,
        SCREEN + SELECTED,
        BBBC021_SELECTED,
    ),
    Entry(
        "simulated-plates",
        "Simulated mass spectra, 3 plates of 300 rows, 2 classes, 40 features",
        "simulated",
        "simulated: no licence is needed",
        "jbc.data.simulate_plates, seed 0",
        "layers['clean'] holds the answer: the same rows without the plate effect.",
    ),
    Entry(
        "simulated-screen",
        "Simulated screen, 984 wells in 5 domains, 48 treatments of which half are in all, 32 features",
        "simulated",
        "simulated: no licence is needed",
        "jbc.data.simulate.screen, seed 0",
        "layers['clean'] holds the answer: the same wells without the effect of the domain. obs['label'] is the "
        "mechanism and empty for DMSO, which is in every domain; 24 treatments are in every domain as well, 24 in "
        "one each.",
    ),
)


def names() -> tuple[str, ...]:
    """Return the names of all data sets.

    Examples
    --------
    >>> names()  # doctest: +ELLIPSIS
    ('mi', 'chd', 'cytof', 'cytof-person1', ..., 'bbbc021-189', 'simulated-plates', 'simulated-screen')
    """
    return tuple(entry.name for entry in ENTRIES)


def find(name: str) -> Entry:
    """Return the entry of a data set.

    Raises
    ------
    InputError
        With code ``unknown-dataset``.
    """
    for entry in ENTRIES:
        if entry.name == name:
            return entry
    raise InputError(
        "There is no data set of this name",
        which=[name],
        why="Data sets are found by their names in the catalogue.",
        fix=f"Choose one of {', '.join(names())}.",
        code="unknown-dataset",
    )


def describe(name: str) -> dict[str, str]:
    """Describe a data set: what it is, its licence, what to cite, and what to know before using it.

    Parameters
    ----------
    name
        One of `names`.

    Returns
    -------
    dict
        With the keys name, title, licence, citation, notes and source (the addresses, one a line).

    Examples
    --------
    >>> describe("mi")["licence"]
    'MIT wording, with the sources'
    """
    entry = find(name)
    return {
        "name": entry.name,
        "title": entry.title,
        "licence": entry.licence,
        "citation": entry.citation,
        "notes": entry.notes,
        "source": "\n".join(dict.fromkeys(file.url for file in entry.files)),
    }
