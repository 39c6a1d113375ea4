"""The page on speed, docs/benchmarks/speed.md: its tables and text, made from stored rows."""

from __future__ import annotations

from experiments._lib import pages, results
from experiments._lib.bench import speed_table
from experiments._lib.pages import Source

HEAD = """# Speed

How fast jbc trains, beside plain programs that do the same. Made by `python experiments/build_pages.py` from the
rows in `experiments/results/`. Each program under test runs in a process of its own, and they take turns. *Lanes*
are models that jbc trains at once in one program. Numbers are medians over rounds, with their range; a ratio is
that of the medians, with the range of the ratios of single rounds. All rows are of one 2-core CPU: no accelerator
was measured."""
SECTIONS = {
    "bench_joint": """## Joint calibration

jbc beside a plain PyTorch program with the same networks and the same run. *PyTorch as released* takes the
cross-entropy row by row and every pair of domains by itself, as the authors do. *Cross-entropy in one call* sums it
at once. *Tuned* also has one Gram matrix for all pairs, rows drawn by index, and fused Adam. *Reference* is the
preset after the released program, *default* is `JointCalibration()`. The whole table is that of three plates of
mass spectra (MI): three targets, ten seeds.""",
    "bench_adversarial": """## Adversarial correction and neuron editing

The printed GAN at the size of the cytometry of the [page on adversarial correction](gan.md): two days, 25 markers,
256 cells of each; a step is an update of the discriminator and one of the generator. And the autoencoder of neuron
editing as printed: widths 500, 250, 50, 250, 500; three samples of 20,000 rows, 35 markers, 100 rows of each. All
on random rows. *PyTorch* has the same layers, losses and minibatches, with a `DataLoader` for each domain, and
takes as many threads as are fastest; *tuned*, rows are gathered by index and Adam is fused. *Products alone* is
what the matrix products of a step, or of editing a row, take by themselves, at the speed of products of 2048 × 500
and 500 × 250 numbers; the default's network has a fifth of the widths, and decodes twice.

*Editing* sends a million rows of 35 markers through `Corrector.transform`, checks included, by a program that was
compiled before. *Memory* is the peak of the process, less the table: Python, JAX, the compiler, the result (as
large as the table), and the blocks of rows.""",
    "bench_wasserstein": """## Critics of Wasserstein alignment

A step trains all critics, one for every treatment and pair of ten domains (the number of *lanes* here), on 100 rows
of every treatment and domain. *Configuration* is treatments × domains and the number of features d. *Double
differentiation* takes the penalty as a gradient of gradients in JAX, *PyTorch loop* trains one critic after the
other. Neither of them maps the rows, as ours does. *Memory beside the screen* is what the compiler reports.""",
    "bench_harmony": """## Harmony

`Harmony(components=None)` beside harmonypy, on a random embedding of a dozen populations in ten domains, with the
settings of the publication's program and with those of harmonypy 2. harmonypy corrects the rows that it is fitted to;
jbc is fitted, and encodes rows afterwards.""",
    "bench_combat": """## ComBat

From a table in memory to the corrected one: `Cohort.from_arrays`, `jbc.fit(ComBat())` and `transform`, checks and the
record of where rows lie included, beside `pycombat_norm` of inmoose. The first run of a process compiles.""",
}
SCRIPTS = {
    "bench_joint": "joint",
    "bench_adversarial": "adversarial",
    "bench_wasserstein": "wasserstein",
    "bench_harmony": "harmony",
    "bench_combat": "combat",
}
SOURCES = [Source(name, f"speed/{script}.py") for name, script in SCRIPTS.items()]


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for name, text in SECTIONS.items():
        if results.stored(name):
            parts += [text, speed_table(results.read(name)["rows"])]
    return pages.page(parts, SOURCES)


def headline() -> str:
    """Return the lines of BENCHMARKS.md: how many times faster jbc is."""
    lines = []
    for name, what, configuration, lanes, text in (
        ("bench_joint", "PyTorch as released", "reference", 8, "Joint calibration, 8 models at once"),
        ("bench_joint", "PyTorch, tuned", "reference", 8, "Joint calibration, 8 models at once"),
        ("bench_wasserstein", "double differentiation", "20 × 10, d = 192", 900, "900 critics"),
        ("bench_wasserstein", "PyTorch loop", "1 × 10, d = 192", 45, "45 critics"),
        ("bench_adversarial", "PyTorch, tuned", "GAN", 16, "GAN, 16 models at once"),
        ("bench_adversarial", "PyTorch, tuned", "autoencoder", 1, "Autoencoder of neuron editing, 1 model"),
    ):
        wanted = {"what": f"jbc against {what}", "configuration": configuration, "lanes": lanes}
        (row,) = (row for row in results.read(name)["rows"] if wanted.items() <= row.items())
        spread = f"{row['low']:.3g}–{row['high']:.3g}"
        lines.append([text, what, f"{row['value']:.3g}", spread])
    return pages.table(["training", "beside", "times faster", "range"], lines)
