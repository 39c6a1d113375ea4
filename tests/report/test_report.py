"""The page: complete, inert whatever its texts hold, and written whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from importlib.resources import files
from urllib.parse import unquote

import numpy as np
import pytest
from matplotlib.figure import Figure

from jbc.errors import InputError
from jbc.report import Link, Table, write_report
from jbc.report.numbers import column, number

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><style>*{background:url(//evil.example)}",
    "javascript:alert(1)",
    "../../x",
    "/etc/passwd",
    "CON",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;",
    "\U0001f600 emoji \U0001f9ec",
    "a" * 300,
    "=cmd|'/c calc'!A1",
]


class Page(HTMLParser):
    """Collect what a browser would act on, and what it would show."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def attributes(self, name: str) -> list[str]:
        return [value for _, attrs in self.tags for key, value in attrs.items() if key == name and value]

    def rows(self, text: str) -> list[list[str]]:
        lines = re.findall(r"<tr>(.*?)</tr>", text, flags=re.S)
        return [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", line, flags=re.S) for line in lines]


def picture(size=(2.0, 1.0)) -> Figure:
    figure = Figure(figsize=size)
    figure.subplots().plot([0, 1])
    return figure


def write(folder, **content) -> tuple[Page, str]:
    content = {"title": "Title", "summary": "Verdict."} | content
    path = write_report(folder / "page.html", **content)
    text = path.read_text("utf-8")
    return Page(text), text


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    rows = [{name: name, "value": 1.5} for name in HOSTILE]
    return write(
        tmp_path_factory.mktemp("page"),
        title=HOSTILE[0],
        summary="\n".join(HOSTILE),
        highlights=[(name, name, name) for name in HOSTILE],
        tables=[(name, rows) for name in HOSTILE[:2]]
        + [Table("words", rows, {name: name for name in HOSTILE})],
        figures=[(name, picture()) for name in HOSTILE[:3]],
        notes=HOSTILE,
        commands=["\n".join(HOSTILE)],
        links=[Link(name, name) for name in HOSTILE],
        about={name: name for name in HOSTILE},
    )


def test_hostile_texts_are_shown_as_they_are(hostile):
    page, _ = hostile
    shown = [text.strip() for text in page.texts]
    for name in HOSTILE:
        assert shown.count(name) >= 8


def test_hostile_texts_make_no_element_and_no_request(hostile):
    page, _ = hostile
    expected = (
        "html head meta title style body main h1 section p dl div dt dd h2 table thead tbody tr th td"
        " figure img figcaption ul li pre a footer"
    )
    assert {tag for tag, _ in page.tags} == set(expected.split())
    names = {name for _, attrs in page.tags for name in attrs}
    known = "lang charset http-equiv content name class tabindex scope src width height alt colspan href"
    assert names == set(known.split())
    assert all(source.startswith("data:image/png;base64,") for source in page.attributes("src"))
    assert len(page.attributes("src")) == 3
    # Whatever a file is called, its link stays beside the page.
    assert all(re.fullmatch(r"\./[\w./~%-]+", target) for target in page.attributes("href"))
    assert [unquote(target) for target in page.attributes("href")] == [f"./{name}" for name in HOSTILE]
    assert sum(tag == "style" for tag, _ in page.tags) == 1


def test_the_policy_allows_embedded_pictures_and_our_own_style_only(hostile):
    page, text = hostile
    (policy,) = [attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv")]
    style = re.search(r"<style>(.*?)</style>", text, flags=re.S)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert not re.search(r"url\(|@import|expression", style[1])
    assert "prefers-color-scheme: dark" in style[1]


def test_characters_that_vanish_or_mislead_are_made_visible(tmp_path):
    page, text = write(tmp_path, title="a\x00b\u202ec\ud800d\x1be", summary="line\nline\ttab")
    assert "a\ufffdb\ufffdc\ufffdd\ufffde" in page.texts
    assert "line\nline\ttab" in page.texts
    assert not re.search("[\x00\x1b\u202e]", text)


def test_tables_keep_their_order_and_align_their_numbers(tmp_path):
    rows = [
        {"method": "raw", "accuracy": 0.5, "empty": None, "rows": 12, "p": 1e-9, "seconds": None},
        {
            "method": "ours",
            "accuracy": np.float32(0.12345),
            "rows": np.int64(1200),
            "p": -0.25,
            "seconds": 3.0,
        },
    ]
    page, text = write(tmp_path, tables=[("Caption & more", rows)])
    assert page.rows(text) == [
        ["method", "accuracy", "rows", "p", "seconds"],
        ["raw", "0.500", "12", "1e-09", ""],
        ["ours", "0.123", "1200", "−0.25", "3.000"],
    ]
    classes = [attrs["class"] for tag, attrs in page.tags if tag == "th"]
    assert classes == ["short", "number", "number", "number", "number"]
    assert "<h2>Caption &amp; more</h2>" in text


def test_long_tables_are_folded_and_empty_ones_are_harmless(tmp_path):
    page, text = write(tmp_path, tables=[("long", [{"k": k} for k in range(31)]), ("empty", [])])
    assert [tag for tag, _ in page.tags].count("details") == 1
    assert "31 rows" in page.texts
    assert len(page.rows(text)) == 33


def test_words_stand_below_the_row_that_they_are_about(tmp_path):
    rows = [{"score": "AUC", "raw": 0.5, "ours": 0.9}, {"score": "other", "raw": 1.0, "ours": 2.0}]
    page, text = write(tmp_path, tables=[Table("Scores", rows, {"AUC": "Chance that ..."}, folded=True)])
    assert page.rows(text.replace(' class="said"', "").replace(' class="meaning"', "")) == [
        ["score", "raw", "ours"],
        ["AUC", "0.500", "0.900"],
        ["<div>Chance that ...</div>"],
        ["other", "1.000", "2.000"],
    ]
    assert "2 rows" in page.texts


def test_wide_tables_say_that_they_scroll(tmp_path):
    wide, narrow = ({f"column {k}": k for k in range(n)} for n in (5, 4))
    hint = "Wider than a small screen: scroll sideways."
    assert hint in write(tmp_path, tables=[("wide", [wide])])[0].texts
    assert hint not in write(tmp_path, tables=[("narrow", [narrow])])[0].texts


@pytest.mark.parametrize(
    ("values", "cells", "numeric"),
    [
        ([1, 20], ["1", "20"], True),
        ([0.0, 1.0], ["0.000", "1.000"], True),
        ([2e6, 1.5], ["2e+06", "1.5"], True),
        ([float("nan"), float("inf"), -1.0], ["n/a", "inf", "−1.000"], True),
        ([True, None], ["yes", ""], False),
        (["-1", 2], ["-1", "2"], False),
        ([None], [""], False),
    ],
)
def test_columns(values, cells, numeric):
    assert column(values) == (cells, numeric)


def test_numbers():
    found = [number(value) for value in (np.float64(0.9375), -3, False, "text")]
    assert found == ["0.938", "−3", "no", "text"]


def test_figures_are_embedded_in_their_size(tmp_path):
    page, _ = write(tmp_path, figures=[("caption", picture((2.0, 1.0)))])
    ((_, attrs),) = [tag for tag in page.tags if tag[0] == "img"]
    assert (attrs["width"], attrs["height"], attrs["alt"]) == ("192", "96", "caption")
    assert attrs["class"] == "small"
    wide, _ = write(tmp_path, figures=[("caption", picture((7.0, 1.0)))])
    assert next(attrs["class"] for tag, attrs in wide.tags if tag == "img") == "wide"
    data = base64.b64decode((attrs["src"] or "").removeprefix("data:image/png;base64,"))
    again, _ = write(tmp_path, figures=[("caption", data)])
    assert again.attributes("src") == page.attributes("src")


def test_a_name_without_glyphs_does_not_warn(tmp_path):
    figure = Figure()
    figure.subplots().set_title("\U0001f600 \u4e2d")
    write(tmp_path, figures=[("caption", figure)])


def test_the_same_page_every_time(tmp_path):
    content = {"figures": [("caption", picture())], "tables": [("t", [{"a": 1}])], "notes": ["n"]}
    assert write(tmp_path, **content)[1] == write(tmp_path, **content)[1]


def test_bad_pictures_leave_the_old_page(tmp_path):
    write(tmp_path)
    old = (tmp_path / "page.html").read_bytes()
    for bad in (b"", b"GIF89a", b"<svg onload=alert(1)>" * 9):
        with pytest.raises(InputError, match="not a PNG file: 'caption'"):
            write(tmp_path, figures=[("caption", bad)])
    assert (tmp_path / "page.html").read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(InputError) as error:
        write(tmp_path / "nowhere")
    assert error.value.code == "unwritable"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["page.html", "page.css"])
def test_the_template_loads_nothing(name):
    text = files("jbc.report").joinpath(name).read_text("utf-8")
    assert not re.search(r"https?:|//[a-z]|<script|<link|<iframe|\bon[a-z]+=|style=", text)
