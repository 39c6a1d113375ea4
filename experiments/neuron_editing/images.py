"""A folder of images, and a table of what is seen on them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from sys import intern
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jbc.data.io.delimited import read_delimited
from jbc.data.io.files import check_file, damaged, missing_package, need_unique
from jbc.errors import InputError, closest

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
VALUES = {"1": True, "0": False, "-1": False}


class Images(NamedTuple):
    """Images as rows, with what is known about them.

    Parameters
    ----------
    x
        Red, green and blue of every pixel, line by line, between 0 and 1: float32, (images, size · size · 3).
    names
        The file names.
    attributes
        All attributes of these images, as booleans, in columns; the index holds the file names.
    """

    x: np.ndarray
    names: tuple[str, ...]
    attributes: pd.DataFrame


def read_images(
    folder: str | os.PathLike[str],
    attributes: str | os.PathLike[str],
    *,
    size: int,
    where: Mapping[str, bool] | None = None,
    limit: int | None = None,
) -> Images:
    r"""Read the images of a folder that have the wanted attributes.

    The largest square in the middle of an image is cut out and brought to the wanted size, with bilinear weights over
    all pixels that make up a new one. Grey images become coloured, and transparency is dropped.

    Parameters
    ----------
    folder
        Where the images lie, such as ``img_align_celeba``.
    attributes
        A table of the file names and the attributes of the images, 1 for yes and -1 or 0 for no: a text file as that
        of CelebA (the number of images, a line of names, and for each image a line of its file name and values), or
        a CSV file with a header, of which the first column holds the file names.
    size
        Height and width of the rows' images, in pixels.
    where
        The attributes that images must have (True) or lack (False); None for all images.
    limit
        The number of images at most: the first ones in the table.

    Returns
    -------
    Images
        In the order of the table.

    Raises
    ------
    InputError
        With code ``missing-package``, ``missing-folder``, ``bad-option``, ``bad-attributes``, ``unknown-attribute``,
        ``duplicate-images``, ``missing-attributes``, ``no-images``, ``missing-image``, ``image-depth`` or
        ``damaged-file``; or when the table cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (20, 30), "red").save(Path(folder, "1.png"))
    ...     Image.new("RGB", (40, 30), "blue").save(Path(folder, "2.png"))
    ...     _ = Path(folder, "attributes.csv").write_text("image,Red\n1.png,1\n2.png,-1\n")
    ...     found = read_images(folder, Path(folder, "attributes.csv"), size=2, where={"Red": False})
    >>> found.names, found.x.tolist()
    (('2.png',), [[0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]])

    References
    ----------
    Liu et al., Deep learning face attributes in the wild, ICCV 2015 (CelebA).
    """
    pillow = _pillow()
    for name, number in (("size", size), ("limit", limit)):
        if number is not None and number < 1:
            raise InputError(
                "A number of pixels or images that is not above 0",
                which=[f"{name}={number}"],
                why="Nothing would be read.",
                fix="Pass 1 or more.",
                code="bad-option",
            )
    folder, table = Path(folder), Path(attributes)
    known = _attributes(table)
    chosen = known.index[_matching(known, where or {}, table)][:limit]
    _check_folder(folder, known.index, chosen)
    x = np.empty((len(chosen), size * size * 3), np.float32)
    for row, name in enumerate(chosen):
        x[row] = _pixels(pillow, folder / name, size)
    return Images(x, tuple(chosen), known.loc[chosen])


def _pillow() -> ModuleType:
    try:
        import PIL.Image
    except ModuleNotFoundError as error:
        raise missing_package("images", "pillow", "images") from error
    return PIL


def _attributes(path: Path) -> pd.DataFrame:
    """Read the attributes of all images, as booleans."""
    import pandas as pd

    if check_file(path, (".txt", ".csv")) == ".csv":
        table = read_delimited(path, ".csv")
        columns, names = table.column_names[1:], table.column(0).to_pylist()
        cells = (column.to_pylist() for column in table.columns[1:])
    else:
        columns, names, rows = _celeba(path)
        cells = zip(*rows, strict=True)
    need_unique(columns, f"attributes in '{path.name}'", "duplicate-columns")
    need_unique(names, f"images in '{path.name}'", "duplicate-images")
    known, index = {}, pd.Index(names, dtype=object)
    for attribute, column in zip(columns, cells, strict=True):
        strange = set(column) - VALUES.keys()
        if strange:
            raise _bad_table(
                f"Values of '{attribute}' in '{path.name}' that are not -1, 0 or 1", sorted(strange)
            )
        known[attribute] = [VALUES[cell] for cell in column]
    return pd.DataFrame(known, index, dtype=bool)


def _celeba(path: Path) -> tuple[list[str], list[str], list[list[str]]]:
    """Read the names of the attributes, those of the images, and the values, one list an image."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise damaged(path, error) from error
    # The 8 million values of CelebA are kept as the two strings that they are.
    lines = [[*map(intern, line.split())] for line in text.splitlines() if line.strip()]
    if len(lines) < 3 or len(lines[0]) != 1 or not lines[0][0].isdecimal():
        raise _bad_table(f"'{path.name}' does not begin with the number of images and a line of names")
    (count,), columns, *rows = lines
    if len(rows) != int(count):
        raise damaged(path, f"it announces {count} images and lists {len(rows)}")
    ragged = [row[0] for row in rows if len(row) != len(columns) + 1]
    if ragged:
        raise _bad_table(f"Images in '{path.name}' without exactly {len(columns)} values", ragged)
    return columns, [row[0] for row in rows], [row[1:] for row in rows]


def _bad_table(what: str, which: Sequence[str] | None = None) -> InputError:
    return InputError(
        what,
        which=which,
        why="It would be open which attributes an image has.",
        fix="Give every image a file name and 1, 0 or -1 for every attribute, below a line that names them.",
        code="bad-attributes",
    )


def _matching(known: pd.DataFrame, where: Mapping[str, bool], path: Path) -> np.ndarray:
    """Tell which images have the wanted attributes."""
    unknown = [name for name in where if name not in known.columns]
    if unknown:
        near = closest(unknown[0], known.columns)
        raise InputError(
            f"'{path.name}' has no such attributes",
            which=unknown,
            why="Images are chosen by their attributes.",
            fix=f"Did you mean '{near}'?"
            if near
            else f"There are {', '.join(known.columns[:5])} and others.",
            code="unknown-attribute",
        )
    found = np.ones(len(known), bool)
    for name, wanted in where.items():
        found &= known[name].to_numpy() == wanted
    if not found.any():
        raise InputError(
            "No image has all of the wanted attributes",
            which=[f"{name}={wanted}" for name, wanted in where.items()] or None,
            why="There would be nothing to read.",
            fix="Ask for fewer attributes, and check the table.",
            code="no-images",
        )
    return found


def _check_folder(folder: Path, known: pd.Index, chosen: pd.Index) -> None:
    """Refuse a folder whose images the table does not know, or which lacks chosen ones."""
    if not folder.is_dir():
        raise InputError(
            "There is no such folder",
            which=[str(folder)],
            why="The images are read from there.",
            fix="Check its name, and that it is unpacked.",
            code="missing-folder",
        )
    present = set(os.listdir(folder))
    foreign = sorted(name for name in present - set(known) if name.lower().endswith(ENDINGS))
    if foreign:
        raise InputError(
            f"Images in '{folder.name}' without attributes",
            which=foreign,
            why="They can be neither chosen nor left out.",
            fix="Add them to the table, or move them to another folder.",
            code="missing-attributes",
        )
    missing = [name for name in chosen if name not in present]
    if missing:
        raise InputError(
            f"Images that '{folder.name}' lacks",
            which=missing,
            why="The table lists them, with the wanted attributes.",
            fix="Complete the folder, or remove them from the table.",
            code="missing-image",
        )


def _pixels(pillow: Any, path: Path, size: int) -> np.ndarray:
    """Read one image, cut to a square of the wanted size, as numbers between 0 and 1."""
    try:
        with pillow.Image.open(path) as image:
            if image.mode not in EIGHT_BITS:
                raise _deep(path, image.mode)
            side = min(image.size)
            left, top = ((length - side) // 2 for length in image.size)
            square = image.convert("RGB").crop((left, top, left + side, top + side))
            x = np.asarray(square.resize((size, size), pillow.Image.Resampling.BILINEAR), np.float32)
    except InputError:
        raise
    except Exception as error:  # Pillow raises errors of many kinds about a damaged file
        raise damaged(path, error or type(error).__name__) from error
    return x.ravel() / 255


def _deep(path: Path, mode: str) -> InputError:
    return InputError(
        f"An image with more than 8 bits a channel (Pillow's mode {mode})",
        which=[str(path)],
        why="Its bright parts would be cut off at 255.",
        fix="Save it with 8 bits, scaled as it should be.",
        code="image-depth",
    )
