"""Pages about corrections: of scores before and after, and of what was fitted. Plain values come in."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jbc.report import words
from jbc.report.page import Link, Table, write_report
from jbc.report.settings import changed_settings
from jbc.report.verdict import AFTER, BEFORE, Score, Verdict, scores, verdict


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of a table, or of the same rows before and after a correction.

    Attributes
    ----------
    rows
        Of :func:`jbc.metrics.evaluate`; of several tables, each row says under ``"table"`` which it is about.
    tables
        What is drawn: "" → the table, or "before" and "after" → its rows (n, d).
    domain, label
        Of the rows.
    replicates
        Rows of one unit, on average.
    domain_name, label_name
        What domains and classes are called.

    Examples
    --------
    >>> from jbc.metrics import evaluate
    >>> x, domain = np.random.default_rng(0).normal(size=(60, 3)), np.repeat(["a", "b"], 30)
    >>> Evaluation(evaluate(x, domain), {"": x}, domain, domain_name="plate").verdict().text.partition(":")[0]
    'Plates are not told apart'
    """

    rows: Sequence[Mapping[str, Any]]
    tables: Mapping[str, Any]
    domain: Any
    label: Any = None
    replicates: float = 1.0
    domain_name: str = "batch"
    label_name: str = "class"

    def verdict(self) -> Verdict:
        """Return what the scores say."""
        return verdict(self.rows, domain_name=self.domain_name, replicates=self.replicates)

    def highlights(self) -> list[tuple[str, Any, str]]:
        """Return the few numbers that the verdict rests on."""
        chosen = [each for each in scores(self.rows) if each.metric in _HIGHLIGHTS and not each.label]
        return [self._highlight(each) for each in chosen]

    def score_tables(self) -> list[Table]:
        """Return the scores with what they mean, and all of them as they are."""
        found = scores(self.rows)
        described, meaning = [], {}
        for score in found:
            name = words.named(score.metric, self.domain_name) + (f": {score.label}" if score.label else "")
            reference = next(reversed(score.reference.values()))
            described.append({"score": name} | _titled(score.values) | {"for comparison": reference})
            key = f"{score.metric} within" if score.label else score.metric
            meaning[name] = words.described(key, self.domain_name)
        tables = [Table("Scores, and what they mean", described, meaning)]
        if len(self.rows) > len(found) * len(found[0].values):
            tables.append(Table("Every score", self.rows, folded=True))
        return tables

    def figures(self) -> list[tuple[str, Any]]:
        """Return the picture of the rows."""
        from jbc import plots

        names: Any = {"domain_name": self.domain_name, "label_name": self.label_name}
        by, wanted = (
            f"coloured by {self.domain_name}",
            f"Colours of {words.several(self.domain_name)} should mix.",
        )
        if self.label is not None:
            by, wanted = f"{by}, and by {self.label_name}", f"{wanted[:-1]}; those of classes should not."
        if BEFORE not in self.tables:
            axes = plots.overview(self.tables[""], self.domain, self.label, **names)
            return [(f"The rows, {by}. {wanted}", axes[0].figure)]
        before, after = self.tables[BEFORE], self.tables[AFTER]
        axes = plots.before_after(
            before, after, self.domain, self.label, common=np.shape(before) == np.shape(after), **names
        )
        return [(f"The rows before and after the correction, {by}. {wanted}", axes[0, 0].figure)]

    def _highlight(self, score: Score) -> tuple[str, Any, str]:
        name = words.named(score.metric, self.domain_name)
        value = next(iter(score.values.values())) if AFTER not in score.values else score.values[AFTER]
        reference = next(reversed(score.reference.values()))
        beside = [f"{words.figure(score.values[BEFORE])} before"] if BEFORE in score.values else []
        if reference is not None:
            where = f"within one {self.domain_name}" if score.metric == "mmd" else "by chance"
            beside.append(f"{words.figure(reference)} {where}")
        return name[:1].upper() + name[1:], float(value), ", ".join(beside)


_HIGHLIGHTS = ("domain_accuracy", "label_accuracy", "mmd", "accuracy")


def write_evaluation(
    path: str | os.PathLike[str],
    evaluation: Evaluation,
    *,
    title: str,
    caveat: str = "",
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page of an evaluation.

    Parameters
    ----------
    path
        The file to write.
    evaluation
        Scores and tables.
    title, about
        As in :func:`~jbc.report.page.write_report`.
    caveat
        What the reader should know of the verdict; it stands below it.

    Examples
    --------
    >>> import tempfile
    >>> from jbc.metrics import evaluate
    >>> x, domain = np.random.default_rng(0).normal(size=(60, 3)), np.repeat(["a", "b"], 30)
    >>> evaluation = Evaluation(evaluate(x, domain), {"": x}, domain, domain_name="plate")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_evaluation(Path(folder, "page.html"), evaluation, title="Two plates")
    ...     "Plates are not told apart" in page.read_text("utf-8")
    True
    """
    found = evaluation.verdict()
    return write_report(
        path,
        title=title,
        summary=f"{found.text}\n\n{caveat}".strip(),
        tone=found.tone,
        highlights=evaluation.highlights(),
        tables=evaluation.score_tables(),
        figures=evaluation.figures(),
        about=about,
    )


def write_run(
    path: str | os.PathLike[str],
    *,
    title: str,
    method: Any,
    composition: str,
    domains: Sequence[Mapping[str, Any]],
    history: Sequence[Mapping[str, Any]] = (),
    evaluation: Evaluation | None = None,
    notes: Sequence[str] = (),
    links: Sequence[Link] = (),
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page of a fitted run.

    Parameters
    ----------
    path
        The file to write.
    title, notes, links, about
        As in :func:`~jbc.report.page.write_report`.
    method
        The method: a dataclass of settings.
    composition
        What was found about the composition, in words.
    domains
        One mapping per domain: its name, rows, whether it moves.
    history
        What training reported, chunk by chunk.
    evaluation
        Scores of tables before and after the correction, if there are any.

    Examples
    --------
    >>> import tempfile
    >>> from jbc.methods.closed_form.standardise import Standardise
    >>> domains = [{"batch": "a", "rows": 3}, {"batch": "b", "rows": 4}]
    >>> words = "batches hold the same mixture"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "run.html")
    ...     page = write_run(file, title="Run", method=Standardise(), composition=words, domains=domains)
    ...     "All settings are the defaults" in page.read_text("utf-8")
    True
    """
    name = type(method).__name__
    said = f"{name} was fitted to {len(domains)} {words.several('batch') if len(domains) > 1 else 'batch'}."
    found = Verdict("", "plain") if evaluation is None else evaluation.verdict()
    changed = changed_settings(method)
    if not changed:
        notes = [f"All settings are the defaults of {name}.", *notes]
    return write_report(
        path,
        title=title,
        summary=f"{said} Composition: {composition}. {found.text}".strip(),
        tone=found.tone,
        highlights=[] if evaluation is None else evaluation.highlights(),
        tables=[
            *([] if evaluation is None else evaluation.score_tables()),
            Table("What it was fitted to", domains),
            *([Table("Settings that differ from the defaults", changed)] if changed else []),
        ],
        figures=[*([] if evaluation is None else evaluation.figures()), *loss_figures(history)],
        notes=notes,
        links=links,
        about=about,
    )


def loss_figures(history: Sequence[Mapping[str, Any]], remark: str = "") -> list[tuple[str, Any]]:
    """Return the picture of the losses of a training, each on a scale of its own, if there was one.

    Parameters
    ----------
    history
        What training reported, chunk by chunk.
    remark
        What else the caption says.

    Examples
    --------
    >>> ((caption, _),) = loss_figures([{"step": 1, "align": 0.5, "kernel": 0.1}, {"step": 2, "align": 0.4}])
    >>> caption
    'Losses of the training, means over chunks of steps. align: how far apart domains are in the latent space.'
    """
    from jbc import plots

    known = [name for name in words.LOSSES if any(name in row for row in history)]
    # Where the parts of a sum are reported, the sum says nothing more.
    parts = not words.PARTS.isdisjoint(known)
    names = [name for name in known if name != "loss" or not parts]
    if not names:
        return []
    meaning = "; ".join(f"{name}: {words.LOSSES[name]}" for name in names)
    caption = f"Losses of the training, means over chunks of steps. {meaning}. {remark}".strip()
    return [(caption, plots.loss_panels(history, names=names)[0].figure)]


def _titled(values: Mapping[str, float]) -> dict[str, float]:
    """Return the columns of a table of scores: a single one is called "value"."""
    return {name or "value": value for name, value in values.items()}
