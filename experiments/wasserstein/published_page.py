"""The tables of the configurations as published, beside the printed numbers."""

from __future__ import annotations

from collections.abc import Sequence

from experiments._lib import pages, results
from experiments._lib.pages import Source

NAME = "wasserstein_published"
SOURCE = Source(NAME, "wasserstein/published.py")
SECTIONS = {
    "bbbc021": """## Tables 1 to 3: BBBC021 by hand-engineered features

As in print: percentiles 1 and 99 of the controls of every plate, then 50 factors; ten weeks are the domains, only
the control occurs in several of them, and 103 treatments are scored (92 under NSCB). *Not* as in print: rows are 632
wells, as means of 476 features without positions, where the authors have single cells of 453 features. So a
minibatch of 100 rows repeats the wells of a control, percentiles, factors and bootstraps are those of wells, and the
domain is named of a well.""",
    "bbbc021-189": """## Tables 4 to 6: BBBC021 by other features, after TVN

The paper has embeddings of a deep network, which are not public. In their place are the 187 features that the
publishers of the wells selected and scaled, after TVN with a ridge of 1 (in print without). So lines in print are of
other data, and only their differences compare.""",
}
NOTES = """Each of *paper* and *reference* stops early, each compound at the step that is best for the others, *by
neighbours* (the mean of NSC and NSCB over k = 1 to 4) or *by silhouette*; *step* is that of the median compound, of
the first seed, and 0 is no correction at all. Before step 100,000 only critics are trained."""
FIGURES = """## Figures 4 to 8

Along the training, the neighbours of mechanisms (Figure 4, program's rule; bands are the deviation over bootstraps):

![NSC and NSCB of 1 to 4 neighbours by updates of the maps](figures/wasserstein_knn.png)

The bootstrap of neighbours by method (Figure 5, program's rule; dots are the wells as they are):

![Violins of NSC and NSCB of 1 to 4 neighbours by method](figures/wasserstein_bootstrap.png)

Along the training, the silhouette of mechanisms beside methods without steps (Figure 6):

![Silhouette by updates of the maps](figures/wasserstein_silhouette.png)

Along the training, how well two classifiers name the week of a control (Figure 7; the floor is N(0, 1) noise):

![Accuracy of logistic regression and random forest by updates of the maps](figures/wasserstein_domain.png)

The first two principal components of the controls by week, at the end of every training (Figure 8):

![Principal components of the controls after every method](figures/wasserstein_pca.png)"""
# What print calls a method, and the methods of ours that it is to be compared with.
WDN = ("WDN, by neighbours", "WDN, by silhouette")
FLOOR = "domain, floor"
K = {kind: {f"{kind} 1": "k = 1"} | {f"{kind} {k}": f"{k}, text" for k in (2, 3, 4)}
     | {f"{kind} {k}, possible": f"{k}, program" for k in (2, 3, 4)} for kind in ("NSC", "NSCB")}  # fmt: skip
DOMAINS = {"domain, logistic regression": "logistic", "domain, random forest": "forest"}
ORDER = {"NSC": "Table 1", "NSCB": "Table 2"}


def sections() -> list[str]:
    """Return the parts of the page."""
    if not results.stored(NAME):
        return []
    rows, parts = results.read(NAME)["rows"], []
    for table, text in SECTIONS.items():
        if own := [row for row in rows if row["table"] == table and "by step" not in row["method"]]:
            parts += [text, *tables(own)]
            parts += [NOTES] if table == "bbbc021" else []
    return [*parts, FIGURES]


def tables(rows: Sequence[dict]) -> list[str]:
    """Return the tables of one preparation."""
    parts, names = [], lines_of(rows)
    found = {(row["method"], "published" in row, row["metric"]): row for row in rows}
    # In print, one neighbour is counted by the rule that holds for more of them.
    for (method, known, metric), row in list(found.items()):
        if known and metric in ("NSC 1, possible", "NSCB 1, possible"):
            found[method, known, metric.removesuffix(", possible")] = row
    for boot in (False, True):
        for kind, columns in K.items():
            what = "mean ± standard deviation over bootstraps" if boot else "the wells as they are"
            parts += [f"{kind}, {what}:", table_of(found, names, columns, boot=boot)]
    parts += ["Silhouette of mechanisms, and accuracy of classifiers that name the domain of a control:"]
    parts += [last_table(found, names), floor(rows)]
    return parts


def lines_of(rows: Sequence[dict]) -> list[tuple[str, bool]]:
    """Return methods and whether they are in print: those in print above ours of the same name."""
    printed = list(dict.fromkeys(row["method"] for row in rows if "published" in row))
    ours = list(dict.fromkeys(row["method"] for row in rows if "published" not in row))
    out = []
    for name in dict.fromkeys([*ours[:2], *WDN, *ours[2:]]):
        out += [(name, True)] * (name in printed) + [(name, False)] * (name in ours)
    return out


def label(name: str, step: int | None, *, known: bool) -> str:
    """Return the first cell of a line."""
    if known:
        return f"*{name}, in print*"
    return f"{name}, step {step}" if step else name


def cell(row: dict | None, *, boot: bool) -> str:
    """Return one number: over the seeds, or over bootstraps; in italics, in print."""
    if row is None:
        return ""
    if "published" in row:
        mean, sd = (row["published_mean"], row["published_sd"]) if boot else (row["published"], None)
    else:
        mean, sd = (row["mean"], row["sd"]) if boot else (row["value"], row["seed_sd"] or None)
    told = pages.number(mean, sd)
    return f"*{told}*" if told and "published" in row else told


def table_of(found: dict, names: Sequence[tuple[str, bool]], columns: dict[str, str], *, boot: bool) -> str:
    """Return neighbours by both rules of counting."""
    lines = []
    for name, known in names:
        row = found.get((name, known, next(iter(columns))))
        cells = [cell(found.get((name, known, metric)), boot=boot) for metric in columns]
        if any(cells):
            step = None if known or row is None else row["step"]
            lines.append([label(name, step, known=known), *cells])
    return pages.table(["", *columns.values()], lines)


def last_table(found: dict, names: Sequence[tuple[str, bool]]) -> str:
    """Return silhouettes, of the wells as they are and of bootstraps, and the accuracies of both classifiers."""
    lines = []
    for name, known in names:
        row = found.get((name, known, "silhouette"))
        cells = [cell(row, boot=False), cell(row, boot=True)]
        # Printed accuracies are means over bootstraps, ours over seeds of the folds.
        cells += [cell(found.get((name, known, metric)), boot=True) for metric in DOMAINS]
        if any(cells):
            lines.append([label(name, None, known=known), *cells])
    return pages.table(["", "silhouette", "bootstraps", *DOMAINS.values()], lines)


def floor(rows: Sequence[dict]) -> str:
    """Return a sentence with the floor of the classifiers."""
    mean = [row["mean"] for row in rows if row["metric"] == FLOOR]
    return f"The floor of the logistic regression, on N(0, 1) noise, is {mean[0]:.3f}." if mean else ""
