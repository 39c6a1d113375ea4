"""Where the files of the data sets lie: pinned addresses and checksums."""

from __future__ import annotations

from dataclasses import dataclass

NWCQ = ("n778509775/NWCQ", "80b54d3b122b149dfbc3fd41b520a09600b33410")
BATCH_EFFECT_REMOVAL = ("ushaham/BatchEffectRemoval", "89d13ab74076e10e1c99a31d9fe24572a983a850")
SC_MIXOLOGY = ("LuyiTian/sc_mixology", "7d00ffb0bd043467f365a9358d7312f294f13c9f")
CYTOMINER = ("cytomining/cytominergallery", "05d496f1e0bb80a9f887ae8ea0e47181ade179ff")
CYTONORM = ("saeyslab/CytoNorm", "b1046ac76d4873acdcc82e92003e8eb919ebdd01")
MORPHEUS = ("broadinstitute/BBBC021_Morpheus_Exercise", "a7f514772bbe6ee5aae6c02d96551c19ae5b28e6")


@dataclass(frozen=True)
class Remote:
    """One published file: where it lies below a data folder, its pinned address, and its SHA-256.

    A file without a SHA-256 is placed by the user: its address tells where it comes from, and is never opened.
    """

    path: str
    url: str
    sha256: str


def _remote(path: str, upstream: str, source: tuple[str, str], sha256: str) -> Remote:
    repository, commit = source
    return Remote(path, f"https://raw.githubusercontent.com/{repository}/{commit}/{upstream}", sha256)


def _plates(folder: str, sums: tuple[str, ...]) -> tuple[Remote, ...]:
    return tuple(
        _remote(f"{folder}/{folder}_{number}.csv", f"{folder}/data/{number}.csv", NWCQ, sha256)
        for number, sha256 in enumerate(sums, start=1)
    )


def _cells(person: int, visit: str, folder: str, sums: tuple[str, ...]) -> tuple[Remote, ...]:
    names = [f"Person{person}Day{day}_{visit}{part}.csv" for day in (1, 2) for part in ("", "_label")]
    return tuple(
        _remote(f"{folder}/{name}", f"Data/{name}", BATCH_EFFECT_REMOVAL, sha256)
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
    "baseline",
    "CyTOF",
    (
        "6420db8fba69b62774c6e7a2669d9b7cbe8dd12553b752a6798bc2faa45b5d8c",
        "c891ddf3e57e4222ea92ccb2e4255dd5705ce7b9cf2c0138e8c3f4223e9881fc",
        "a9710f0a9a0e3c996e1a741d7f7a35dafcfa805ab630c3259c06dfae73c50f96",
        "f6ba066bba6c1b934f0ac60475e1da8802b699994592aef200de66d751150df7",
    ),
)
PERSON_2 = _cells(
    2,
    "baseline",
    "CyTOF",
    (
        "f24f6e9d910b5c0145712c5e03fc9c45908a846b265ccc97c424cf6743fe3d0b",
        "a7e2db04ad0544af72b8d6ef753a7aac01d64788321146fa3ca98f37e4299ce8",
        "3363fb4cb8fe03ab9e36b8fcff305e13ae9a6e5baff55664b9e50778a3d01092",
        "2508fa38908dcf22b80f5f93a41dec58620ff1b54aa34e4e78e32130c7d3ca42",
    ),
)
PERSON_1_LATER = _cells(
    1,
    "3month",
    "CyTOF_3month",
    (
        "671a161efe364a9532e19e0db39afa94c37d969a7825b39379a1c85227fcc838",
        "b7d5a40863393e27031c011be3eb0c6c6ee085f487e7d34ebda27f5e5a51b176",
        "46005dcc046963172fd567ef2dd7e170898c62efc6209fc19c890aafb983ddf9",
        "75a11a25918c21607fecdac3cbc840234c8f52b8893b22d805da66c6bb29388d",
    ),
)
PERSON_2_LATER = _cells(
    2,
    "3month",
    "CyTOF_3month",
    (
        "295dc5789b4f11cd68373a6869db7377d57c7204da41c433f2063b4ecc1d590c",
        "6baced69fd341e6dd8b90132087b33773ad18f0d104e0d3968a7cc314d78a522",
        "3bb7fce48fd7e32e4295661eb9351295ce5cafcc02078adaf9e7e82701e0fe49",
        "9b4ef616e8fc1b6ec795f5173924253f022c45ab7a619ad1e56a53aa712a5883",
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
BBBC021 = tuple(
    _remote(f"BBBC021/{name}", f"inst/extdata/{name}", CYTOMINER, sha256)
    for name, sha256 in (
        (
            "ljosa_jbiomolscreen_2013_per_well_mean.csv.gz",
            "f723a6f78bf66ce7713226c890eb499a2687f22bc095968d5043f6a40e7847ee",
        ),
        ("BBBC021_v1_image.csv.gz", "28df679a0979aa98b9369473d9c8248de2524d64f8ed5fabfd4a8540bcaef034"),
        ("BBBC021_v1_moa.csv", "cddb6c6b72c043fd25f3a41d84624d4817927a1d76fe87dc829674181dd62719"),
    )
)
BBBC021_SELECTED = (
    _remote(
        "BBBC021/Morpheus_BBBC021_feature_selected_mad_robustize.csv",
        "csvs/BBBC021_feature_selected_mad_robustize.csv",
        MORPHEUS,
        "6d183fafd9623064a2e79c591834978e5aa7042d7c9ee02b310c68570155c280",
    ),
)
CYTONORM_CONTROLS = tuple(
    _remote(f"CytoNorm_FCS/{name}", f"inst/extdata/{name}", CYTONORM, sha256)
    for name, sha256 in (
        (
            "Gates_PTLG021_Unstim_Control_1.fcs",
            "852c6c346168e4e39e7d990729d41aa6cd53d0794debeb73bc396292678f58b8",
        ),
        (
            "Gates_PTLG021_Unstim_Control_2.fcs",
            "53e2e57ef6a2c376ab43ce18b096e16d3043b1ea48c6a990b4fb2d08b6166bcd",
        ),
        (
            "Gates_PTLG028_Unstim_Control_1.fcs",
            "78b8d9afab4e79e72b6efe8c4f4e50e452ec82936481de1b7056b2f11d88dcb1",
        ),
        (
            "Gates_PTLG028_Unstim_Control_2.fcs",
            "d299ad706a5d643b2bc3ac4b49899a76b7cd2f6bc214a1fe6c1f4aada14b04f4",
        ),
        (
            "Gates_PTLG034_Unstim_Control_1.fcs",
            "413a942f6fd62a0743c65fd3b3cbe5f5952771bfefcfa898f6a5dfa54ca59d43",
        ),
        (
            "Gates_PTLG034_Unstim_Control_2.fcs",
            "2b7c0a98b1ac11f9198a1e04f6193383226c92e9ac396fc393a6bf36b9a185cd",
        ),
    )
)
ARCHIVES = {
    "GSE81076": "https://identifiers.org/geo:GSE81076",
    "GSE86469": "https://identifiers.org/geo:GSE86469",
    "E-MTAB-5061": "https://identifiers.org/arrayexpress:E-MTAB-5061",
}
PANCREAS = tuple(
    Remote(f"pancreas/{accession}.{part}.csv.gz", url, "")
    for accession, url in ARCHIVES.items()
    for part in ("count", "metadata")
)
