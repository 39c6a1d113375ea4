"""Self-contained HTML pages: of scores, and of what was fitted."""

from jbc.report.compose import Evaluation, loss_figures, write_evaluation, write_run
from jbc.report.page import Link, Table, write_report
from jbc.report.verdict import Verdict, scores, verdict

__all__ = [
    "Evaluation",
    "Link",
    "Table",
    "Verdict",
    "loss_figures",
    "scores",
    "verdict",
    "write_evaluation",
    "write_report",
    "write_run",
]
