"""The page on drift along a run, docs/benchmarks/drift.md: its tables and text, made from stored rows."""

from __future__ import annotations

from collections.abc import Sequence

from experiments._lib import pages, results
from experiments._lib.pages import Line, Source

# By metric: heading and number of decimals.
METRICS = {
    "RSD": ("RSD, %", 2),
    "RSD < 20 %": ("below 20 %, %", 1),
    "D-ratio": ("D-ratio, %", 1),
    "error": ("error of samples", 3),
}
DATASETS = {"mtbls79": "MTBLS79", "simulated": "simulated"}
HEAD = """# Drift along a run

What a mass spectrometer measures of the same material changes while it runs, feature by feature, and differs between
batches. Pooled controls (QC), injected every few samples, tell how. Made by `python experiments/build_pages.py` from
the rows in `experiments/results/`.

A fifth of the controls of every batch is left out at a time; a method is fitted to all other injections, and corrects
the ones that were left out. All numbers but those of samples are of such controls: controls that a curve was drawn
through lie on it, and praise any method.

## Data

- *MTBLS79* [1]: 172 injections of cardiac tissue and of pools in 8 batches, with 4 to 7 controls each; the 1174 of
  its 2488 features that no injection lacks. Four of the batches begin with four or five samples before their first
  control. Some constants of `Drift` were settled with its numbers in sight.
- *Simulated* (`jbc.data.simulate_run`): 3 batches of 100 injections, of which every seventh is a pool, and 100
  features, with drift that multiplies, noise of 10 %, and one value in a hundred wrong by a factor of 2.7. The truth
  is known.

## Methods

- *QC median* and *QC-LOESS, plain* are what laboratories do, written in `experiments/drift/methods.py`: ratios to the
  median of a batch's controls, or to a local line through three quarters of them, at least four.
- *Drift* is `Drift(form="ratio")`, *levels alone* is without curves, *differences* is `Drift()`. *Then* others: a
  `Chain` of `Drift(between=False)` and the method, on logarithms. *No controls*: no injection is marked as a control,
  controls are not even among the rows of the fit, and the samples, in the order of the run, take their place.
- *ComBat* is measured on all rows, *Standardise* shifts by the controls; both on logarithms."""
TEXT = """## What is left

*RSD* is the relative standard deviation of held-out controls, the median over features; 20 % is what laboratories ask
for. *D-ratio* is the deviation of held-out controls in parts of that of samples, robust, the median over features
[2]: it does not fall where a method shrinks all that it meets. *Error of samples* is how far the logarithms of
corrected samples are from the truth, up to a constant: the root of the median square, the mean over features."""
REFERENCES = """\
[1] Kirwan et al., Direct infusion mass spectrometry metabolomics dataset: a benchmark for data processing and quality
control, Scientific Data 2014. [2] Broadhurst et al., Guidelines and considerations for the use of system suitability
and quality control samples in mass spectrometry assays, Metabolomics 2018."""
SOURCES = [Source("drift", "drift/run.py")]


def conclusions(rows: Sequence[dict]) -> str:
    """Return what follows from the numbers."""
    real, simulated = (_of(rows, dataset) for dataset in DATASETS)

    def rsd(found: dict, method: str) -> str:
        return f"{found[method, 'RSD']['mean']:.1f} %"

    def error(method: str) -> str:
        return f"{simulated[method, 'error']['mean']:.3f}"

    return f"""## What follows

- Few controls draw poor curves. With 4 to 7 a batch, on MTBLS79, a plain LOESS ({rsd(real, "QC-LOESS, plain")}) is
  worse than the median of controls ({rsd(real, "QC median")}). `Drift` believes of a curve what predicts other
  controls, and shrinks levels too: {rsd(real, "Drift")}, and {rsd(real, "Drift, differences")} as differences. Most
  of that is gained by levels: `Standardise`, which shrinks them, is as near. The curves show in the D-ratio.
- Where controls are many, curves are worth more than levels: {rsd(simulated, "Drift")} on simulated runs, of which
  10 % is noise, beside {rsd(simulated, "QC median")} for the median. A plain LOESS, which follows every outlier, has
  {rsd(simulated, "QC-LOESS, plain")}.
- What multiplies is to be divided by. Samples have other values than the pool, and of these differences leave an
  error of {error("Drift, differences")}, ratios of {error("Drift")}. The RSD of controls hardly shows it.
- ComBat knows no order. After `Drift` it does what `Drift` does alone, or less: on MTBLS79 it also takes for an
  effect of the batch which samples a batch happens to have.
- Without controls, samples in random order can take their place, if there are many: {error("Drift, no controls")} on
  simulated runs of 84 samples a batch. The 12 to 20 of a batch of MTBLS79 are too few
  ({rsd(real, "Drift, no controls")})."""


def _of(rows: Sequence[dict], dataset: str) -> dict[tuple[str, str], dict]:
    """Return the rows of a data set, by method and metric."""
    return {(row["method"], row["metric"]): row for row in rows if row["dataset"] == dataset}


def page() -> str:
    """Return the page."""
    rows = results.read("drift")["rows"]
    return pages.page(
        [HEAD, f"## In short\n\n{headline()}", TEXT, markdown(rows), conclusions(rows), REFERENCES], SOURCES
    )


def headline() -> str:
    """Return the best of every data set, in a few lines."""
    methods = {"as measured": "measured", "QC median": "QC median", "QC-LOESS": "QC-LOESS, plain",
               "`ComBat`": "ComBat", "`Standardise`": "Standardise, controls", "`Drift`": "Drift"}  # fmt: skip
    rows, lines = results.read("drift")["rows"], []
    for dataset, metric, text, digits in (
        ("mtbls79", "RSD", "MTBLS79, RSD of held-out controls, %", 2),
        ("simulated", "RSD", "simulated, RSD of held-out controls, %", 2),
        ("simulated", "error", "simulated, error of samples", 3),
    ):
        found = _of(rows, dataset)
        scores = {family: found[method, metric]["mean"] for family, method in methods.items()}
        lines.append(Line(text, scores, True, digits))
    return pages.overview("less is better", lines)


def markdown(rows: Sequence[dict]) -> str:
    """Return a table for every data set."""
    parts = []
    for dataset, title in DATASETS.items():
        if found := _of(rows, dataset):
            metrics = [metric for metric in METRICS if any(key[1] == metric for key in found)]
            lines = []
            for method in dict.fromkeys(key[0] for key in found):
                told = (found[method, metric] for metric in metrics)
                cells = [
                    pages.number(row["mean"], row["sd"], METRICS[metric][1])
                    for metric, row in zip(metrics, told, strict=True)
                ]
                lines.append([method, *cells])
            parts += [f"**{title}**", pages.table(["", *(METRICS[metric][0] for metric in metrics)], lines)]
    return "\n\n".join(parts)
