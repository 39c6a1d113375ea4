"""Pairs of days, and what they are called."""

from __future__ import annotations

PAIRS = ("cytof-person1", "cytof-person2", "cytof-person1-3month", "cytof-person2-3month")


def pair(name: str) -> str:
    """Return what a pair of days is called.

    Examples
    --------
    >>> pair("cytof-person1"), pair("cytof-person2-3month")
    ('Person 1', 'Person 2, 3 months later')
    """
    return name.replace("cytof-person", "Person ").replace("-3month", ", 3 months later")
