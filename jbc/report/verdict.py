"""What the scores of :func:`jbc.metrics.evaluate` say, in sentences."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jbc.report import words
from jbc.report.page import Tone

BEFORE, AFTER, STANDARDISED = "before", "after", "standardised"
# Standard errors that make a difference.
NOISE = 2.0


class Score(NamedTuple):
    """One score of one table, or of several.

    Attributes
    ----------
    metric
        As :func:`jbc.metrics.evaluate` calls it.
    label
        The class within which it was measured, or "".
    values
        Table → value; the name of a single table is "".
    reference
        Table → what the value would be without information, or None.
    rows
        Rows that were scored.
    """

    metric: str
    label: str
    values: dict[str, float]
    reference: dict[str, float | None]
    rows: int


class Verdict(NamedTuple):
    """Sentences, and the tone that they are said in.

    Examples
    --------
    >>> Verdict("Only predictions were scored.", "plain").tone
    'plain'
    """

    text: str
    tone: Tone


def scores(rows: Sequence[Mapping[str, Any]]) -> list[Score]:
    """Return the scores of all domains together; of MMDs, the mean over pairs of domains.

    Parameters
    ----------
    rows
        Of :func:`jbc.metrics.evaluate`; with several tables, each row says under ``"table"`` which it is about.

    Examples
    --------
    >>> row = {"metric": "mmd", "domain": "a", "other": "b", "label": None, "reference": 0.1, "rows": 9}
    >>> scores([row | {"value": 0.2}, row | {"value": 0.4}])[0].values
    {'': 0.30000000000000004}
    """
    groups: dict[tuple[str, str], dict[str, list[Mapping[str, Any]]]] = {}
    single = len({row["domain"] for row in rows}) == 1
    for row in rows:
        if row["metric"] != "mmd" and row["domain"] != "all" and not single:
            continue
        key = row["metric"], "" if row["label"] is None else str(row["label"])
        groups.setdefault(key, {}).setdefault(str(row.get("table", "")), []).append(row)
    return [
        Score(
            metric,
            label,
            {name: float(np.mean([row["value"] for row in each])) for name, each in tables.items()},
            {name: _mean([row["reference"] for row in each]) for name, each in tables.items()},
            min(row["rows"] for each in tables.values() for row in each),
        )
        for (metric, label), tables in groups.items()
    ]


def verdict(
    rows: Sequence[Mapping[str, Any]], *, domain_name: str = "batch", replicates: float = 1.0
) -> Verdict:
    """Say whether domains and classes are told apart, and whether standardising every domain does as well.

    A difference is called one where it is larger than two standard errors of accuracies on so many units.

    Parameters
    ----------
    rows
        Of :func:`jbc.metrics.evaluate`, of one table, or of tables "before" and "after", and perhaps "standardised".
    domain_name
        What domains are called.
    replicates
        Rows of one unit, on average.

    Examples
    --------
    >>> one = {"metric": "domain_accuracy", "domain": "all", "label": None, "reference": 0.5, "rows": 200}
    >>> found = verdict([one | {"table": "before", "value": 1.0}, one | {"table": "after", "value": 0.51}])
    >>> print(found.text)
    Batches were told apart before and no longer are: a classifier names the right batch for 0.510 of the rows left \
out (1.000 before, 0.500 by chance).
    >>> found.tone
    'good'
    """
    found = {(score.metric, score.label): score for score in scores(rows)}
    domains = found.get(("domain_accuracy", ""))
    if domains is None:
        return Verdict("Only predictions were scored.", "plain")
    within = [each for (metric, label), each in found.items() if metric == "domain_accuracy" and label]
    judge = _Judge(domains, within, found.get(("label_accuracy", "")), domain_name, replicates)
    return judge.after_a_correction() if AFTER in domains.values else judge.as_it_is()


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


@dataclasses.dataclass(frozen=True)
class _Judge:
    """Sentences on scores: how well domains are told apart (also ``within`` classes), and classes (``labels``)."""

    domains: Score
    within: list[Score]
    labels: Score | None
    one: str
    replicates: float

    def as_it_is(self) -> Verdict:
        """Judge a single table."""
        seen = self._visible("")
        said = f"are {'' if seen else 'not '}told apart"
        sentences = [self._of_domains(said, ""), self._of_mixtures(""), self._of_chance("")]
        return Verdict(_text(sentences), "caution" if seen else "plain")

    def after_a_correction(self) -> Verdict:
        """Judge a table beside the one before."""
        before, after = self._visible(BEFORE), self._visible(AFTER)
        change = self._compare(self.domains, AFTER, BEFORE, least=self.domains.reference[AFTER] or 0.0)
        how = {-1: "less than before, but still are", 0: "as well as before", 1: "better than before"}[change]
        said = {
            (True, False): "were told apart before and no longer are",
            (True, True): f"are told apart {how}",
            (False, True): "were not told apart before, but are now",
            (False, False): "were not told apart before, and are not now",
        }[before, after]
        standard = self._against_standard()
        sentences = [
            self._of_domains(said, AFTER),
            self._of_mixtures(AFTER),
            self._of_classes(),
            self._of_chance(AFTER),
            self._of_standard(standard),
        ]
        lost = self.labels is not None and self._compare(self.labels, AFTER, BEFORE) < 0
        good = "good" if before else "plain"
        return Verdict(_text(sentences), "caution" if after or lost or standard == -1 else good)

    def _visible(self, table: str) -> bool:
        """Whether domains are told apart: within classes where these are known, which mixtures leave alone."""
        return any(self._above_chance(each, table) for each in self.within or [self.domains])

    def _above_chance(self, score: Score, table: str) -> bool:
        chance = score.reference[table] or 0.0
        return score.values[table] > chance + NOISE * self._error(score, chance)

    def _error(self, score: Score, *shares: float) -> float:
        """Return the standard error of a share, or of the difference of two."""
        n = score.rows / self.replicates
        return math.sqrt(sum(max(share * (1 - share), 0.25 / n) for share in shares) / n)

    def _compare(self, score: Score, one: str, other: str, *, least: float = 0.0) -> int:
        """Return 1 where a table has the larger value, -1, or 0 where that is noise; below ``least`` all is alike."""
        a, b = max(score.values[one], least), max(score.values[other], least)
        return int(np.sign(a - b)) if abs(a - b) > NOISE * self._error(score, a, b) else 0

    def _of_domains(self, said: str, table: str) -> str:
        """Say it with the number that it rests on: that of a class, where domains are told apart only in there."""
        score, where = self.domains, ""
        if self._visible(table) and not self._above_chance(score, table):
            score = max(self.within, key=lambda each: each.values[table] - (each.reference[table] or 0.0))
            where = f"among rows of class {score.label!r}, "
        return (
            f"{words.several(self.one).capitalize()} {said}: {where}a classifier names the right {self.one} for "
            f"{_shown(score, table, 'of the rows left out ')}."
        )

    def _of_mixtures(self, table: str) -> str:
        """Say that domains differ in nothing but their mixture of classes, where that is so."""
        if self.within and self._above_chance(self.domains, table) and not self._visible(table):
            return f"Within classes they are not: {words.several(self.one)} hold classes in other shares, no more."
        return ""

    def _of_classes(self) -> str:
        """Say whether classes are told apart as before."""
        if self.labels is None:
            return ""
        shown = _shown(self.labels, AFTER)
        if not self._above_chance(self.labels, BEFORE) and not self._above_chance(self.labels, AFTER):
            return f"Classes are not told apart, before or after: {shown}."
        how = {1: "better than before", 0: "as well as before", -1: "worse than before"}
        return f"Classes are told apart {how[self._compare(self.labels, AFTER, BEFORE)]}: {shown}."

    def _of_chance(self, table: str) -> str:
        """Say what a value far below chance is."""
        chance = self.domains.reference[table] or 0.0
        error = NOISE * self._error(self.domains, chance)
        if self._visible(table) or self.domains.values[table] >= chance - error:
            return ""
        many = words.several(self.one)
        return f"A value below chance counts as chance: it comes of giving all {many} the same mean."

    def _against_standard(self) -> int | None:
        """Return 1 where the correction is better than standardising every domain, -1 where it is worse, or 0."""
        if STANDARDISED not in self.domains.values:
            return None
        least = self.domains.reference[AFTER] or 0.0
        mixed = -self._compare(self.domains, AFTER, STANDARDISED, least=least)
        kept = 0 if self.labels is None else self._compare(self.labels, AFTER, STANDARDISED)
        return int(np.sign(mixed + kept))

    def _of_standard(self, how: int | None) -> str:
        if how is None:
            return ""
        numbers = f"{words.several(self.one)} {words.figure(self.domains.values[STANDARDISED])}"
        if self.labels is not None:
            numbers += f", classes {words.figure(self.labels.values[STANDARDISED])}"
        said = {1: "better than", 0: "no better than", -1: "worse than"}[how]
        return f"The correction is {said} standardising every {self.one} ({numbers})."


def _shown(score: Score, table: str, of: str = "") -> str:
    """Write a value with what it is compared with."""
    value, chance = words.figure(score.values[table]), words.figure(score.reference[table] or 0.0)
    beside = f"{words.figure(score.values[BEFORE])} before, " if table == AFTER else ""
    return f"{value} {of}({beside}{chance} by chance)"


def _text(sentences: Sequence[str]) -> str:
    return " ".join(filter(None, sentences))
