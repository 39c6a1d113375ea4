"""A folder of images with a table of attributes: what is read, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from problems import experiment, run_python

from jbc.errors import InputError

read_images = experiment("neuron_editing.images").read_images

NAMES = ("Male", "Black_Hair", "Blond_Hair")
VALUES = {
    "000001.jpg": (1, 1, -1),
    "000002.jpg": (1, -1, 1),
    "000003.jpg": (-1, 1, -1),
    "000004.jpg": (1, 1, -1),
}


def celeba(names=NAMES, values=VALUES, count=None) -> str:
    """The layout of list_attr_celeba.txt: right-aligned values, and a blank at the end of the names."""
    lines = [f"{name} " + " ".join(f"{value:2d}" for value in row) for name, row in values.items()]
    return "\n".join([str(len(values) if count is None else count), " ".join(names) + " ", *lines]) + "\n"


@pytest.fixture
def faces(tmp_path) -> tuple[Path, Path]:
    folder, table = tmp_path / "img_align_celeba", tmp_path / "list_attr_celeba.txt"
    folder.mkdir()
    for number, name in enumerate(VALUES):
        Image.new("RGB", (18, 22), (50 * number, 100, 0)).save(folder / name, quality=95)
    table.write_text(celeba())
    return folder, table


def refused(*args, **options) -> InputError:
    options = {"size": 4, **options}
    with pytest.raises(InputError) as caught:
        read_images(*args, **options)
    return caught.value


def test_images_are_chosen_by_their_attributes_in_the_order_of_the_table(faces):
    found = read_images(*faces, size=4, where={"Male": True, "Black_Hair": True})
    assert found.names == ("000001.jpg", "000004.jpg")
    assert found.x.shape == (2, 48)
    assert found.x.dtype == np.float32
    np.testing.assert_allclose(
        found.x.reshape(2, 16, 3), [[[0, 100 / 255, 0]] * 16, [[150 / 255, 100 / 255, 0]] * 16], atol=0.02
    )
    assert found.attributes.loc["000001.jpg"].to_dict() == dict(zip(NAMES, (True, True, False), strict=True))
    assert set(map(str, found.attributes.dtypes)) == {"bool"}
    assert read_images(*faces, size=2, where={"Male": False}).names == ("000003.jpg",)
    assert read_images(*faces, size=2, where={"Male": True}, limit=2).names == ("000001.jpg", "000002.jpg")
    everything = read_images(*faces, size=2)
    assert everything.names == tuple(everything.attributes.index) == tuple(VALUES)


def test_a_csv_says_the_same_also_with_zeros(faces):
    folder, table = faces
    expected = read_images(folder, table, size=3, where={"Blond_Hair": False})
    for no in (-1, 0):
        csv = table.with_name("list_attr_celeba.csv")
        rows = [f"{name}," + ",".join(str(v if v > 0 else no) for v in row) for name, row in VALUES.items()]
        csv.write_text("\n".join([",".join(["image_id", *NAMES]), *rows]) + "\n")
        found = read_images(folder, csv, size=3, where={"Blond_Hair": False})
        np.testing.assert_array_equal(found.x, expected.x)
        assert found.attributes.equals(expected.attributes)


def test_the_middle_is_cut_out_and_then_resized(tmp_path):
    wide = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    Image.fromarray(wide).save(tmp_path / "a.png")
    Image.fromarray(np.ascontiguousarray(wide.transpose(1, 0, 2))).save(tmp_path / "b.png")
    Image.fromarray(wide[..., 0]).save(tmp_path / "grey.png")
    table = tmp_path / "table.csv"
    table.write_text("file\na.png\nb.png\ngrey.png\n")
    x = read_images(tmp_path, table, size=6).x.reshape(3, 6, 6, 3)
    np.testing.assert_array_equal(x[0], wide[:, 2:8] / np.float32(255))
    np.testing.assert_array_equal(x[1], x[0].transpose(1, 0, 2))
    np.testing.assert_array_equal(x[2], np.repeat(x[0][..., :1], 3, axis=-1))
    # Smaller ones are averages: of all pixels, with weights that fall towards the edges.
    small = read_images(tmp_path, table, size=1).x[0]
    weight = 1 - np.abs(np.arange(6) - 2.5) / 6
    expected = np.einsum("rck,r,c->k", wide[:, 2:8], weight, weight) / weight.sum() ** 2 / 255
    np.testing.assert_allclose(small, expected, atol=0.005)


def test_what_is_missing_or_unknown_is_named(faces):
    folder, table = faces
    error = refused(folder, table, where={"male": True, "Smiling": True})
    assert error.code == "unknown-attribute"
    assert "'male', 'Smiling'" in str(error)
    assert "Did you mean 'Male'?" in str(error)
    error = refused(folder, table, where={"Black_Hair": True, "Blond_Hair": True})
    assert error.code == "no-images"
    assert "Black_Hair=True" in str(error)
    for bad in ({"size": 0}, {"limit": 0}):
        assert refused(folder, table, **bad).code == "bad-option"
    assert refused(folder / "nothing", table).code == "missing-folder"
    assert refused(folder, table.with_name("list_attr.txt")).code == "missing-file"
    assert refused(folder, folder / "000001.jpg").code == "unknown-format"
    os.rename(folder / "000001.jpg", folder / "another.JPG")
    error = refused(folder, table)
    assert error.code == "missing-attributes"
    assert "another.JPG" in str(error)
    (folder / "another.JPG").unlink()
    (folder / "Thumbs.db").write_bytes(b"")
    error = refused(folder, table, where={"Male": True})
    assert error.code == "missing-image"
    assert "'000001.jpg'" in str(error)
    assert len(read_images(folder, table, size=2, where={"Male": False}).x) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty-file"),
        ("Male\n000001.jpg 1\n", "bad-attributes"),
        ("0\nMale\n", "bad-attributes"),
        (celeba(count=5), "damaged-file"),
        (celeba(values={**VALUES, "000004.jpg": (1, 1)}), "bad-attributes"),
        (celeba(values={**VALUES, "000004.jpg": (1, 1, 2)}), "bad-attributes"),
        (celeba(names=("Male", "Male", "Bald")), "duplicate-columns"),
        (celeba().replace("000004", "000001"), "duplicate-images"),
        (celeba().replace("Male", "M\xe4le").encode("latin-1"), "damaged-file"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(faces, text, code):
    folder, table = faces
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert refused(folder, table).code == code


def test_damaged_images_are_refused_by_name(faces):
    folder, table = faces
    path = folder / "000003.jpg"
    whole = path.read_bytes()
    for stop in (0, 1, 10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:stop])
        error = refused(folder, table)
        assert error.code == "damaged-file"
        assert "000003.jpg" in str(error)
    Image.fromarray(np.full((5, 5), 3000, np.uint16)).save(path, format="png")
    assert refused(folder, table).code == "image-depth"


def test_without_pillow_the_extra_is_named():
    code = (
        "import sys; sys.modules['PIL'] = None\n"
        "from experiments.neuron_editing.images import read_images\n"
        "try: read_images('.', 'table.csv', size=2)\n"
        "except Exception as error: print(error.code, error)"
    )
    said = run_python(code, timeout=60)
    assert said.startswith("missing-package")
    assert "pip install 'jbc[images]'" in said
