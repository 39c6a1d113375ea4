"""Write the page: text, numbers and pictures in, one file out."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import struct
import warnings
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import quote

from jbc.data.io.atomic import atomic_path
from jbc.errors import InputError
from jbc.report.numbers import Column, column, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Tables of more rows are folded away; columns of longer texts break them anywhere.
FOLDED = 30
LONG = 40
# Twice the pixels of a common screen, so that figures are sharp on a fine one.
DENSITY = 2
# Figures at least so wide, in units of the page, fill it; tables of more columns are said to scroll on a phone.
WIDE, COLUMNS = 480, 4
PNG = b"\x89PNG\r\n\x1a\n"
# Control characters (tab and line feed are blanks), overrides of the writing direction, lone surrogates.
HOSTILE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


Tone = Literal["plain", "good", "caution"]


class Table(NamedTuple):
    """A table of the page.

    Attributes
    ----------
    caption
        What it is about.
    rows
        One mapping per row. Columns are the keys in order of appearance; those without any value are left out, and
        numbers of one column have the same decimals.
    words
        What the cells of the first column mean, in words that stand below their rows.
    folded
        Show the number of rows until it is opened; always so for more than 30 rows.

    Examples
    --------
    >>> table = Table("Accuracy", [{"method": "raw", "accuracy": 0.61}], {"raw": "as measured"})
    >>> table.caption, table.folded
    ('Accuracy', False)
    """

    caption: str
    rows: Sequence[Mapping[str, Any]]
    words: Mapping[str, str] = {}
    folded: bool = False


class Link(NamedTuple):
    """A file beside the page: its name, relative to the page, and what it holds.

    Examples
    --------
    >>> Link("scores.json", "the numbers").name
    'scores.json'
    """

    name: str
    text: str


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    summary: str,
    highlights: Sequence[tuple[str, Any, str]] = (),
    tone: Tone = "plain",
    tables: Sequence[Table | tuple[str, Sequence[Mapping[str, Any]]]] = (),
    figures: Sequence[tuple[str, Figure | bytes]] = (),
    notes: Sequence[str] = (),
    commands: Sequence[str] = (),
    links: Sequence[Link] = (),
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write one self-contained HTML page.

    Every text is escaped, whatever it holds; figures are embedded; the page runs no scripts and may load
    nothing (its content security policy says so to the browser). It is written whole or not at all.

    Parameters
    ----------
    path
        The file to write, in a folder that exists.
    title
        Of the page.
    summary
        The verdict, in the box at the top: what was found, in a sentence or two.
    highlights
        Name, value and remark of the few numbers that the verdict rests on, such as
        ``("Accuracy on plate 3", 0.94, "0.61 before")``.
    tone
        Colour of the verdict.
    tables
        Caption and rows of each :class:`Table`, and what its rows mean.
    figures
        Caption and picture of each figure: a matplotlib ``Figure``, or the bytes of a PNG file.
    notes
        What the reader should know.
    commands
        What to do next, as lines for a terminal.
    links
        Files beside the page.
    about
        Name and value of what tells where the page comes from: data, settings, seed, version, date, duration.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    InputError
        When a picture is no PNG, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> rows = [{"method": "raw", "accuracy": 0.61}, {"method": "corrected", "accuracy": 0.94}]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_report(
    ...         Path(folder, "report.html"), title="Three plates", summary="It works.", tables=[("Accuracy", rows)]
    ...     )
    ...     "0.940" in page.read_text("utf-8")
    True
    """
    text = _render(
        title=title,
        summary=summary,
        tone=tone,
        highlights=[
            {"name": name, "value": number(value), "remark": remark} for name, value, remark in highlights
        ],
        tables=[_table(table if isinstance(table, Table) else Table(*table)) for table in tables],
        figures=[_figure(caption, picture) for caption, picture in figures],
        notes=list(notes),
        commands=list(commands),
        links=[{"name": each.name, "target": f"./{quote(each.name)}", "text": each.text} for each in links],
        about=[(name, number(value)) for name, value in (about or {}).items()],
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def _render(**content: Any) -> str:
    """Fill the template. Escaping and cleaning are the environment's work, so no text can miss them."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = files("jbc.report")
    style = folder.joinpath("page.css").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_clean)
    return environment.from_string(folder.joinpath("page.html").read_text("utf-8")).render(
        style=Markup(style),  # our own file
        digest=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        **content,
    )


def _clean(text: Any) -> Any:
    """Make characters visible that would vanish, turn the text around, or break the file."""
    return HOSTILE.sub("\ufffd", text) if type(text) is str else text


def _table(table: Table) -> dict[str, Any]:
    """Format the columns of a table."""
    names = list(dict.fromkeys(name for row in table.rows for name in row))
    columns = {name: column([row.get(name) for row in table.rows]) for name in names}
    shown = {name: each for name, each in columns.items() if any(each.cells)}
    return {
        "caption": table.caption,
        "columns": [{"name": str(name), "kind": _kind(name, each)} for name, each in shown.items()],
        "rows": list(zip(*(each.cells for each in shown.values()), strict=True)),
        "folded": table.folded or len(table.rows) > FOLDED,
        "wide": len(shown) > COLUMNS,
        "words": table.words,
    }


def _kind(name: object, each: Column) -> str:
    """Return the style of a column."""
    if max(map(len, [str(name), *each.cells])) > LONG:
        return "long"
    return "number" if each.numeric else "short"


def _figure(caption: str, picture: Figure | bytes) -> dict[str, Any]:
    """Encode a picture, with its size in the units of the page."""
    data = picture if isinstance(picture, bytes) else _png(picture)
    if data[:8] != PNG or len(data) < 24:
        raise InputError(
            "A picture that is not a PNG file",
            which=[caption],
            why="The page embeds PNG only.",
            fix="Pass a matplotlib Figure or the bytes of a PNG file.",
            code="not-png",
        )
    width, height = struct.unpack(">II", data[16:24])
    return {
        "caption": caption,
        "data": base64.b64encode(data).decode(),
        "width": width // DENSITY,
        "height": height // DENSITY,
        "wide": width // DENSITY >= WIDE,
    }


def _png(figure: Figure) -> bytes:
    """Draw a figure, the same bytes every time."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names can hold characters that the font lacks; a box in their place is all that is needed.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="png", dpi=96 * DENSITY, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
