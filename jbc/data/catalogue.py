"""What data sets there are, where they lie, what they are worth citing for, and their checksums."""

from __future__ import annotations

from dataclasses import dataclass

from jbc.errors import InputError

BLOOD_SAMPLES = (
    "No sample id was published; rows come in runs of about 5 near-identical spectra of one blood sample. "
    "obs['unit'] numbers runs of 5 consecutive rows of one plate, broken where the label changes. Split folds "
    "by unit, never by row, or the same blood is on both sides. A few intensities are negative: clip before a "
    "logarithm."
)
CELLS = (
    "Raw intensities, 18 to 42 % zeros; the 25 markers were published without names. Every cell is its own "
    "unit; obs['person'] and obs['day'] tell where it comes from."
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
NIU = (
    "Niu et al., Deep learning based multi-batch calibration for classification in various omics, 2021, "
    "doi:10.21203/rs.3.rs-1017151/v1"
)
SHAHAM = (
    "Shaham et al., Removal of batch effects using distribution-matching residual networks, Bioinformatics "
    "33(16), 2017, doi:10.1093/bioinformatics/btx196"
)
TIAN = (
    "Tian et al., Benchmarking single cell RNA-sequencing analysis pipelines using mixture control experiments, "
    "Nature Methods 16(6), 2019, doi:10.1038/s41592-019-0425-8"
)
NWCQ = ("n778509775/NWCQ", "80b54d3b122b149dfbc3fd41b520a09600b33410")
BATCH_EFFECT_REMOVAL = ("ushaham/BatchEffectRemoval", "89d13ab74076e10e1c99a31d9fe24572a983a850")
SC_MIXOLOGY = ("LuyiTian/sc_mixology", "7d00ffb0bd043467f365a9358d7312f294f13c9f")


@dataclass(frozen=True)
class Remote:
    """One published file: where it lies below a data folder, its pinned address, and its SHA-256."""

    path: str
    url: str
    sha256: str


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


def _remote(path: str, upstream: str, source: tuple[str, str], sha256: str) -> Remote:
    repository, commit = source
    return Remote(path, f"https://raw.githubusercontent.com/{repository}/{commit}/{upstream}", sha256)


def _plates(folder: str, sums: tuple[str, ...]) -> tuple[Remote, ...]:
    return tuple(
        _remote(f"{folder}/{folder}_{number}.csv", f"{folder}/data/{number}.csv", NWCQ, sha256)
        for number, sha256 in enumerate(sums, start=1)
    )


def _cells(person: int, sums: tuple[str, ...]) -> tuple[Remote, ...]:
    names = [f"Person{person}Day{day}_baseline{part}.csv" for day in (1, 2) for part in ("", "_label")]
    return tuple(
        _remote(f"CyTOF/{name}", f"Data/{name}", BATCH_EFFECT_REMOVAL, sha256)
        for name, sha256 in zip(names, sums, strict=True)
    )


def _counts(stem: str, *sums: str) -> tuple[Remote, ...]:
    names = [f"{stem}.{part}.csv.gz" for part in ("count", "metadata")]
    return tuple(
        _remote(f"sc_mixology/{name}", f"data/csv/{name}", SC_MIXOLOGY, sha256)
        for name, sha256 in zip(names, sums, strict=True)
    )


MI = _plates(
    "MI",
    (
        "f5e590de5a1d7170bded502d19b26bfe30a936e1b0fd729040f9310a6806a04e",
        "02041308aa2ab8c5765390c30a1990c7c52e458d2bd070bfb1f12fe2b09b251e",
        "20f27dde1fd7cd885fefab9e0cc455dbf48ee16b78feee4957c76008b560e5d1",
    ),
)
CHD = _plates(
    "CHD",
    (
        "86a3ec9600cf561157dd15e8ed9c824691b3dcfdb3d2cf12b1bf15dd999d197f",
        "2eb4ca7e9bc7f92b697584cd38ea29b3b563eb4064f38064a36ea96fa8e612b4",
        "3723dbfae8b2200c88e9f43acc3fe5f75c8e84fe2466335c5fb9ca394ce973ed",
        "25a09ed56863a195abab003af961d4b8b357c441ca7562822a4abffff5c35940",
    ),
)
PERSON_1 = _cells(
    1,
    (
        "6420db8fba69b62774c6e7a2669d9b7cbe8dd12553b752a6798bc2faa45b5d8c",
        "c891ddf3e57e4222ea92ccb2e4255dd5705ce7b9cf2c0138e8c3f4223e9881fc",
        "a9710f0a9a0e3c996e1a741d7f7a35dafcfa805ab630c3259c06dfae73c50f96",
        "f6ba066bba6c1b934f0ac60475e1da8802b699994592aef200de66d751150df7",
    ),
)
PERSON_2 = _cells(
    2,
    (
        "f24f6e9d910b5c0145712c5e03fc9c45908a846b265ccc97c424cf6743fe3d0b",
        "a7e2db04ad0544af72b8d6ef753a7aac01d64788321146fa3ca98f37e4299ce8",
        "3363fb4cb8fe03ab9e36b8fcff305e13ae9a6e5baff55664b9e50778a3d01092",
        "2508fa38908dcf22b80f5f93a41dec58620ff1b54aa34e4e78e32130c7d3ca42",
    ),
)
MIXOLOGY = (
    *_counts(
        "sc_celseq2",
        "a82aa89b8995aed412f4260c0adb343967e33a801af6f2e0aa647c1d897a5a21",
        "78429916bac394d92d8c972059a8f195c5479ce578da04f1eb3ba599585ef3d9",
    ),
    *_counts(
        "sc_dropseq",
        "98c0bb6a9fbf4b93967ef82cef9985d7691cf59a31dc5b0b3699f70ed1a0fd08",
        "4c48f3e13778e89192d9861095bc102cc0deb9eba1a7f47a093f5a058ce1aa6a",
    ),
    *_counts(
        "sc_celseq2_5cl_p1",
        "577324d2fd427685144420536489202c68ae98cb22f5825c40c8cf41c5fe0a07",
        "a6f5b206f891113162d2c9af27860c187a04ccd8848f9bc29be97dfa95eeadc4",
    ),
    *_counts(
        "sc_celseq2_5cl_p2",
        "c6ef3df82d9fa44598ee15d8a07113c44a830ee3d2e3205c93590d594240bab5",
        "06d2f3b9fd646b4a3c1e6d1af7205c7eec1017bfab9a4c68853f9a3fc97be836",
    ),
    *_counts(
        "sc_celseq2_5cl_p3",
        "e535abac653a5a3ee44eff88345db2315693732f679156ab20ee924b21bced9a",
        "c373869c9d3bbca9dc7773a8b8ef65e6035c939d45b18cb410fede526770eadb",
    ),
)


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
        "simulated-plates",
        "Simulated mass spectra, 3 plates of 300 rows, 2 classes, 40 features",
        "simulated",
        "simulated: no licence is needed",
        "jbc.data.simulate_plates, seed 0",
        "layers['clean'] holds the answer: the same rows without the plate effect.",
    ),
)


def names() -> tuple[str, ...]:
    """Give the names of all data sets.

    Examples
    --------
    >>> names()
    ('mi', 'chd', 'cytof', 'cytof-person1', 'cytof-person2', 'sc-mixology', 'simulated-plates')
    """
    return tuple(entry.name for entry in ENTRIES)


def find(name: str) -> Entry:
    """Give the entry of a data set.

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
    """Tell what a data set is, its licence, what to cite, and what to know before using it.

    Parameters
    ----------
    name
        One of `names`.

    Returns
    -------
    dict
        With the keys name, title, licence, citation, notes and source (the pinned addresses, one a line).

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
        "source": "\n".join(file.url for file in entry.files),
    }
