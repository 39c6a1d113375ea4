"""What tells about rows, declared in one place: every face takes it under the names given here."""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """Something that tells about rows, and what it is called where.

    Attributes
    ----------
    cohort
        Argument of :meth:`jbc.Cohort.from_arrays`, and of :meth:`jbc.Corrector.fit` (where ``label`` is ``y``).
    key
        Argument of :func:`jbc.correct`, and with dashes the option of ``jbc fit``.
    option
        The option of ``jbc fit``, where it is another one.
    new_rows
        Whether a fitted model asks for it.
    """

    cohort: str
    key: str
    option: str = ""
    new_rows: bool = False

    @property
    def flag(self) -> str:
        """The option at the command line."""
        return "--" + (self.option or self.key).replace("_", "-")


COLUMNS = (
    Column("domain", "batch_key", new_rows=True),
    Column("label", "labels_key"),
    Column("treatment", "treatment_key"),
    Column("control", "control"),
    Column("unit", "unit_key"),
    Column("covariates", "covariate_keys", option="covariates", new_rows=True),
    Column("order", "order_key", new_rows=True),
)
