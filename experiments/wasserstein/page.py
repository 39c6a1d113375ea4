"""The page on Wasserstein alignment, docs/benchmarks/wasserstein.md: its tables and text, made from stored rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from experiments._lib import pages, results
from experiments._lib.pages import Line, Source
from experiments.wasserstein import published_page

HEAD = """# Wasserstein alignment

Screens of compounds, corrected as in Tabak et al. 2020 [1]. Made by `python experiments/build_pages.py` from the
rows in `experiments/results/`.

- A *domain* is what the paper calls a batch: a week, or a plate. A *treatment* is a compound at a concentration,
  and *controls* are wells with DMSO alone.
- *NSC k* (not same compound) is the share of the k nearest neighbours of a treatment that have its mechanism, by
  cosine between means of treatments, with the mean control at the origin. Treatments of the same compound are left
  out. *NSCB k* (not same compound or batch) also leaves out treatments of the same domain.
- There are two rules of counting, which agree for k = 1. By the *text* of the paper, the share of k neighbours is
  averaged over treatments. By the *program* behind the printed numbers, no more neighbours count than there are of
  the same mechanism, and all neighbours are pooled (`mechanism_knn(..., count="possible")`). Where no rule is named,
  the text is followed; so it is in early stopping.
- *Silhouette* is that of the mechanisms, by the same cosine.
- *Domain, logistic* and *domain, forest* are the accuracies with which a logistic regression and a random forest
  name the domain of a well, within a treatment (mean ± standard deviation over seeds of its folds). Lower is
  better; the floor is the accuracy on noise.
- *TVN* is `TypicalVariation` (whitened controls), *percentiles, factors* is `Percentiles`. After them come `Coral`,
  `Standardise` on the controls with scale (*z-score*) and without (*centred*), or *ours*, `WassersteinAlignment`.
- *paper* and *reference* are `jbc.presets.wasserstein`: what is in print, and the released program. *default* is
  `jbc.WassersteinAlignment()`, at its end. Of these, scores of the wells as they are come as means ± standard
  deviations over seeds, and bootstraps are those of the first seed. Lines in italics are numbers in print.
- *Ours* has the maps and the loss over pairs of the paper, by *critics* or by the *Gaussian* distance, with other
  settings: Adam, 1000 steps of pre-training, 400 updates of the maps (*critics*) or 200 (*Gaussian*).

[1] Tabak et al., Correcting nuisance variation using Wasserstein distance, PeerJ, 2020."""
SECTIONS = {
    "bbbc021": """## BBBC021 by week, with settings of ours

The same wells, with 476 features in both preparations.

Ours stops early, each compound at the step that is best for the others, *by neighbours* (NSC and NSCB) or *by
silhouette*. *Step* is that of the median compound: 0 is no correction at all, and up to step 1000 only critics are
trained.""",
    "bbbc021-189": """## BBBC021 by week, 187 selected features

The features that the publishers selected and scaled, without positions.""",
    "bbbc021-plates": """## BBBC021 by plate

Each of 55 plates has a map, from six wells of the control, and under *all shared* also from the treatments, which
have one well on each of two or three plates of a week. Scores are by week, as above. Ours uses the Gaussian
distance.

Shared treatments help, by a few of the treatments, and not by both stopping rules. The maps have drawn their wells
together, which makes their bootstrap narrower and higher than those of other methods: compare the wells as they
are.""",
    "diagnosis": """## Why the controls of BBBC021 do not help its treatments

Maps are fitted on one half of the wells of every treatment and domain. *Between domains* is the share of the
variance of controls that lies between domains (unbiased), of the wells that the maps saw and of those held out.
*Moved* is the length of the displacement of all treatments, relative to their profiles. *Halves agree* is the
cosine between the displacements by the maps of both halves: 0 is noise. Ours is trained at one rate, as in print,
for 100 updates, and on the simulated screen for 800. Numbers are means ± standard deviation over splits and halves.

After percentiles hardly any variance lies between weeks. After TVN a shift removes most of what does, and
mechanisms are found no better. Affine maps move the treatments far, and the maps of the other half of the controls
move them elsewhere.""",
    "screen": """## Simulated screens whose treatments are repeated over domains

What the paper could only predict: half of the treatments occur in all five domains and take part in the alignment,
by the default of `WassersteinAlignment` with 24 rows a cell, whose form and rates were chosen on the world of seed
0. *Loss over pairs* is the loss in print, with all
other settings of our default. Numbers are means ± standard deviation over the
worlds of seeds 1 to 5. *Distance from the truth* is relative to the norm of the truth.

Alignment by the controls alone is a warning: one group of rows does not tell how a domain turns the profiles, and
nothing is gained over centring on it. The division of the rate of matrices (`fan_in_rate`) and the number of updates
were chosen with the worlds of seeds 1 and 2 in sight.""",
}
ADAPTATION = """## A new domain from its controls alone

Simulated screens as above: methods are fitted to four domains, and the fifth is added by its control wells alone
(`Corrector.adapt`). Scores are NSCB 1 of the treatments of the fifth domain, means ± standard deviation over those
of five worlds in which `adapt` did not refuse; the worlds of the columns differ. *Controls needed* is the number
below which `adapt` refuses, calibrated on the four known domains. Maps are trained at one rate, as in print, for 800
updates: the default, which divides that of matrices, was not run here."""
DOMAIN = {"domain, logistic regression": "domain, logistic", "domain, random forest": "domain, forest"}
BRIEF = {"NSC 1": "NSC 1", "NSCB 1": "NSCB 1", "silhouette": "silhouette"}
FURTHER = {f"{name} {k}": f"{name} {k}" for name in ("NSC", "NSCB") for k in (2, 3, 4)}
FLOOR = "domain, floor"
SEEN, HELD_OUT = "between domains, seen", "between domains, held out"
MOVED, AGREE = "moved", "halves agree"
# About the design of BBBC021, for the sentence below the diagnosis.
SAME_WEEK, OTHER_WEEK = "same mechanism, same week", "same mechanism, other week"
DIAGNOSIS = {name: name for name in (SEEN, HELD_OUT, MOVED, AGREE, "NSC 1", "NSCB 1")}
SCREEN = BRIEF | {
    "domain, logistic regression": "domain, logistic",
    "distance from the truth": "distance from the truth",
}
OURS = "ours, all shared treatments"
SOURCES = [
    published_page.SOURCE,
    *(Source(f"wasserstein_{table}", "wasserstein/run.py", table) for table in SECTIONS),
    Source("adaptation", "wasserstein/adaptation.py"),
]


def markdown(rows: Sequence[dict]) -> str:
    """Return the tables of one kind of screen, the methods one a line."""
    kind = rows[0]["table"]
    if kind == "diagnosis":
        return methods_table(rows, DIAGNOSIS, "mean", spread=DIAGNOSIS)
    if kind == "screen":
        return methods_table(rows, SCREEN, "mean", spread=SCREEN)
    parts = ["The wells as they are:", methods_table(rows, BRIEF | DOMAIN, "value", spread=DOMAIN, step=True)]
    parts += [floors(rows)]
    parts += ["Bootstraps of the wells of every treatment and week, mean ± standard deviation over draws:"]
    parts += [methods_table(rows, BRIEF, "mean", spread=BRIEF)]
    if kind == "bbbc021":
        parts += ["More neighbours, of the wells as they are:", methods_table(rows, FURTHER, "value")]
    return "\n\n".join(filter(None, parts))


def methods_table(
    rows: Sequence[dict],
    metrics: dict[str, str],
    field: str,
    *,
    spread: Collection[str] = (),
    step: bool = False,
) -> str:
    """Return a table of one field of the rows, a method a line; with deviations of some metrics, and the step."""
    found = {(row["method"], row["metric"]): row for row in rows if row["metric"] in metrics}
    steps = {row["method"]: row["step"] for row in found.values()}
    step = step and any(steps.values())
    lines = []
    for method, last in steps.items():
        cells = []
        for metric in metrics:
            row = found.get((method, metric))
            several = row is not None and metric in spread and row["draws"] > 1
            cells.append(pages.number(row[field], row["sd"] if several else None) if row else "")
        lines.append([method, *([str(last) if "ours" in method else ""] if step else []), *cells])
    return pages.table(["", *(["step"] if step else []), *metrics.values()], lines)


def floors(rows: Sequence[dict]) -> str:
    """Return a sentence with the floor of the classifiers, by preparation."""
    found = {row["method"]: row for row in rows if row["metric"] == FLOOR}
    texts = [
        f"{row['mean']:.3f} after *{name}*"
        for name, row in found.items()
        if name in ("percentiles, factors", "TVN")
    ]
    return f"The floor of the classifiers is {' and '.join(texts)}." if texts else ""


def conclusions(rows: Sequence[dict]) -> str:
    """Return what the design of a screen has to do with its scores, or ""."""
    found = {row["metric"]: row["mean"] for row in rows}
    if SAME_WEEK not in found:
        return ""
    return (
        "The design favours weeks that stay apart: two compounds of one week have the same mechanism in "
        f"{found[SAME_WEEK]:.1%} of pairs, those of different weeks in {found[OTHER_WEEK]:.1%}. NSC gains from "
        "what a week leaves in its wells, and NSCB does not."
    )


def adaptation_table(rows: Sequence[dict]) -> str:
    """Return the scores of the new domain, by how it was treated and the number of its controls."""
    found = {(row["table"], row["method"], row["metric"]): row for row in rows}
    controls = list(dict.fromkeys(row["table"] for row in rows))
    worlds = [found[each, "ours", "NSCB 1"]["draws"] for each in controls]
    head = ["", *(f"{each}, {n} world{'s' * (n > 1)}" for each, n in zip(controls, worlds, strict=True))]
    lines = []
    for metric, suffix in (("NSCB 1", ""), ("needed", ": controls needed")):
        for name in dict.fromkeys(row["method"] for row in rows if row["metric"] == metric):
            cells = [found[each, name, metric] for each in controls]
            if metric == "needed":
                lines.append([f"{name}{suffix}", *(f"{row['mean']:.0f}" for row in cells)])
            else:
                lines.append(
                    [
                        name,
                        *(
                            pages.number(row["mean"], row["sd"] if row["draws"] > 1 else None)
                            for row in cells
                        ),
                    ]
                )
    return pages.table(head, lines)


def page() -> str:
    """Return the page."""
    parts = [HEAD, *published_page.sections()]
    for table, text in SECTIONS.items():
        name = f"wasserstein_{table}"
        if results.stored(name):
            rows = results.read(name)["rows"]
            parts += [text, markdown(rows), conclusions(rows)]
    if results.stored("adaptation"):
        parts += [ADAPTATION, adaptation_table(results.read("adaptation")["rows"])]
    return pages.page(parts, SOURCES)


def headline() -> str:
    """Return the lines of BENCHMARKS.md: NSCB 1, of wells as they are or as means over simulated worlds."""
    before, simple = "not aligned", "best closed form"
    alone, shared = "ours, by controls", "ours, by shared treatments"
    lines = []
    by_plate = nearest("wasserstein_bbbc021-plates", "bbbc021-plates")
    silhouette = f"{by_plate['TVN, ours, all shared, by silhouette']:.3f}"
    for table, data, methods in (
        ("bbbc021", "BBBC021 by week, 476 features", {alone: "ours, critics, by neighbours"}),
        ("bbbc021-189", "BBBC021 by week, 187 features", {alone: "ours, critics, by neighbours"}),
        ("bbbc021-plates", f"BBBC021 by plate ({silhouette} if the silhouette chooses the end)",
         {alone: "ours, controls, by neighbours", shared: "ours, all shared, by neighbours"}),
    ):  # fmt: skip
        found = nearest(f"wasserstein_{table}", table)
        scores = {
            before: found["TVN"],
            simple: max(found[f"TVN, {each}"] for each in ("centred", "z-score", "CORAL")),
        }
        lines.append(Line(data, scores | {name: found[f"TVN, {method}"] for name, method in methods.items()}))
    found = nearest("wasserstein_screen", "screen")
    scores = {
        before: found["measured"],
        simple: max(found[f"{each} on controls"] for each in ("centred", "z-score", "CORAL")),
        alone: found["ours, controls alone"],
        shared: found[OURS],
    }
    lines.append(Line("Simulated screens, half of the treatments shared", scores))
    found = nearest("adaptation", "24 controls")
    scores = {before: found["measured"], simple: found["centred on controls"], alone: found["ours"]}
    lines.append(Line("Simulated screens, a new domain by 24 controls", scores))
    return pages.overview("NSCB 1", lines)


def nearest(name: str, table: str) -> dict[str, float]:
    """Return NSCB 1 by method."""
    rows = results.read(name)["rows"]
    return {row["method"]: row["value"] for row in rows if (row["table"], row["metric"]) == (table, "NSCB 1")}
