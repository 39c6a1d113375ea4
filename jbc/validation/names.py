"""How names and labels are read: which of them mean unknown, and which are one name written in two ways."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from itertools import filterfalse, product
from typing import Any

import numpy as np

# As tables write a value that is missing; case matters, because "Na" is sodium and "none" an answer.
WORDS = frozenset({"NA", "N/A", "n/a", "#N/A", "<NA>", "None", "NULL", "null", "NaT"})
NANS = frozenset(sign + "".join(case) for sign in ("", "+", "-") for case in product("nN", "aA", "nN"))
UNKNOWN = WORDS | NANS | {"", "-1"}

NUMBER = re.compile(r"([+-]?)(?=\.?\d)(\d*)\.?(\d*)(?:[eE]([+-]?\d{1,9}))?", re.ASCII)
# Letters of other scripts that Unicode writes in a single way.
LETTERS = "À-ÖØ-öø-ÿА-яぁ-ゖァ-ヺ一-鿿가-힣"
# Names that are written in the one way that `essence` returns: a whole number, or a text that can be no number, with
# single blanks. Nearly all names are, and in a million of them only the others are looked at one by one.
PLAIN = re.compile(
    rf"[1-9]\d{{0,17}}|(?:[!-*,/:-~{LETTERS}]|\d+-|[\d.+-][\d.eE+-]*[!-*,/:-DF-df-~{LETTERS}])"
    rf"[!-~{LETTERS}]*(?: [!-~{LETTERS}]+)*",
    re.ASCII,
)
# All the others, one a line: a search through a million lines takes half as long as a million searches.
ODD = re.compile(rf"^(?!(?:{PLAIN.pattern})$).*$", re.ASCII | re.MULTILINE)
# What Unicode has no ink for, beside the categories of control and format characters: joiners, fillers, selectors.
INKLESS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def unknown(value: Any) -> bool:
    """Return whether a value means unknown: the one rule for all names, in arrays and files.

    Unknown are None, NaN, NaT, what pandas takes for missing or a masked array hides, the number -1 (of any type,
    but a bool is none), and text that, without outer blanks, is empty, or one of NA, N/A, n/a, #N/A, <NA>, None,
    NULL, null and NaT, or reads as the number -1 or as NaN, such as -1.0 and nan. Otherwise case matters: ``"Na"``
    and ``"none"`` are names.

    Examples
    --------
    >>> [unknown(value) for value in (None, float("nan"), -1, "", " NA ", "-1.0")]
    [True, True, True, True, True, True]
    >>> [unknown(value) for value in (0, False, "Na", "none", "None of these")]
    [False, False, False, False, False]
    """
    if isinstance(value, str):
        return (value if PLAIN.fullmatch(value) else essence(value)) in UNKNOWN
    if isinstance(value, (bool, np.bool_)):
        return False
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return bool(value != value or value == -1)


def name(value: Any) -> str:
    """Write a group's name; whole floats lose their ``.0``, which only a missing neighbour gave them."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def essence(text: str) -> str:
    """Reduce a name to what a person reads: a number to its value, and text to its letters.

    Outer and repeated blanks, invisible characters and the form of Unicode (NFC, NFD, and the compatible NFKC) make
    no difference. Case does, and so does every digit of a number.

    Examples
    --------
    >>> essence(" a  b"), essence("01.50"), essence("1e3"), essence("9007199254740993"), essence("1_0")
    ('a b', '1.5', '1000', '9007199254740993', '1_0')
    """
    whole = text.removesuffix(".0")
    if whole.isascii() and whole.isdigit():  # such as 007 or 1.0, of which there can be many
        return whole.lstrip("0") or "0"
    if not text.isprintable() or INKLESS.search(text):
        text = "".join(filter(_seen, text))
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    text = " ".join(text.split())
    return text if text[:1].isalpha() else _number(text) or text


def _seen(letter: str) -> bool:
    """Return whether a character leaves ink or a gap on paper."""
    if letter.isspace():
        return True
    return unicodedata.category(letter) not in ("Cc", "Cf") and not INKLESS.match(letter)


def _number(text: str) -> str | None:
    """Write a number in one way, by its digits: as a float, 2^53 and 2^53 + 1 would be the same."""
    if not text.isascii():
        text = "".join(str(unicodedata.decimal(each, each)) for each in text.replace("\N{MINUS SIGN}", "-"))
    found = NUMBER.fullmatch(text)
    if found is None:
        return None
    sign, whole, part, power = found.groups()
    digits = (whole + part).lstrip("0")
    if not digits:
        return "0"
    sign, exponent = sign.strip("+"), int(power or 0) - len(part)
    shortest = digits.rstrip("0")
    exponent += len(digits) - len(shortest)
    if 0 <= exponent < 20:
        return sign + shortest + "0" * exponent
    if -20 < exponent < 0:
        shortest = shortest.rjust(1 - exponent, "0")
        return f"{sign}{shortest[:exponent]}.{shortest[exponent:]}"
    return f"{sign}{shortest}e{exponent}"


def read(names: Collection[str]) -> tuple[set[str], list[str]]:
    """Return which of these different names mean "unknown", and which are one name written in two ways.

    Examples
    --------
    >>> read(["a", "b", "NA", "a ", "1", "1.0"])
    ({'NA'}, ['1', '1.0', 'a', 'a '])
    """
    if len(set(map(len, names))) == 1 and (digits := "".join(names)).isdigit() and digits.isascii():
        return set(), []  # numbers of one width, such as 0001
    lines = "\n".join(names)
    odd = ODD.findall(lines) if lines.count("\n") < len(names) else list(filterfalse(PLAIN.fullmatch, names))
    lost, essences = set(UNKNOWN.intersection(names)), list(map(essence, odd))
    found, plain = set(essences), set(names).difference(odd) if odd else set()
    if not found.isdisjoint(UNKNOWN):
        lost |= {each for each, seen in zip(odd, essences, strict=True) if seen in UNKNOWN}
    if len(found) == len(odd) and found.isdisjoint(plain):
        return lost, []
    groups: dict[str, list[str]] = {}
    for each, seen in zip(odd, essences, strict=True):
        groups.setdefault(seen, [seen] if seen in plain else []).append(each)
    twins = (sorted(group) for _, group in sorted(groups.items()) if len(group) > 1)
    return lost, [each for group in twins for each in group if each not in lost]
