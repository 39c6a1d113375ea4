"""Write BENCHMARKS.md and docs/benchmarks/*.md from the rows in experiments/results, and print the README's table.

python experiments/build_pages.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import tyro

from experiments import published
from experiments._lib import program
from experiments.composition import page as composition
from experiments.drift import page as drift
from experiments.gan import page as gan
from experiments.joint import page as joint
from experiments.missing import page as missing
from experiments.neuron_editing import page as neuron_editing
from experiments.speed import page as speed
from experiments.wasserstein import page as wasserstein

ROOT = Path(__file__).parents[1]
DETAILS = {
    "composition": composition,
    "joint": joint,
    "wasserstein": wasserstein,
    "gan": gan,
    "neuron_editing": neuron_editing,
    "drift": drift,
    "missing_values": missing,
    "speed": speed,
}
OVERVIEW = """# Benchmarks

What was measured, on what data, what came out best (in bold), and by how much; baselines that win are shown as such.
Sections link to pages with all tables; [drift](docs/benchmarks/drift.md) and [missing
values](docs/benchmarks/missing_values.md) have one each. Made by programs in [experiments/](experiments/README.md).

## [What domains do not share](docs/benchmarks/composition.md)
The share of rows whose nearest row of another domain is of the same population, where domains hold different things.

{composition}

## [Joint calibration](docs/benchmarks/joint.md)
Average accuracy on target domains whose labels are hidden. The simple pipeline is the best of six (three kinds of
inputs, two classifiers) by these very numbers.

{joint}

## [Wasserstein alignment](docs/benchmarks/wasserstein.md)
NSCB 1: has the nearest treatment of another compound and domain the same mechanism? BBBC021 is prepared by
`TypicalVariation`. Closed forms are `Coral` and `Standardise` on controls. Ours stops early, by week at step 0.

{wasserstein}

## [Adversarial correction](docs/benchmarks/gan.md)
The distance that is left, and whether CD8 cells of day 2 are told by labels of corrected day 1, on held-out cells.

{gan}

## [Neuron editing](docs/benchmarks/neuron_editing.md)
Edits of rows whose target is not seen, as distances from the truth. *Single features* is the percentile edit
without any network, *as printed* the published form. *ResnetGAN* is the GAN that comes nearest on CytoNorm.

{neuron_editing}

## [Speed](docs/benchmarks/speed.md)
Times faster than a plain program that trains the same networks, on a 2-core CPU. No accelerator was measured.

{speed}

## Not run
{missing}
"""
NOT_RUN = """\
Two of four pairs of days of the GAN paper, the deep features of the Wasserstein paper, and any GPU or TPU.
[All numbers in print](docs/benchmarks/published.md): which stand beside ours, and why the others do not."""


def documents() -> dict[Path, str]:
    """Return the text of every generated file, by its path."""
    headlines = {name: page.headline() for name, page in DETAILS.items()}
    texts = {ROOT / "BENCHMARKS.md": OVERVIEW.format(**headlines, missing=NOT_RUN)}
    texts[ROOT / "docs/benchmarks/published.md"] = published.page()
    return texts | {ROOT / f"docs/benchmarks/{name}.md": page.page() for name, page in DETAILS.items()}


def main() -> None:
    """Write all pages, and print the table of the README."""
    for path, text in documents().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(joint.readme_table())


if __name__ == "__main__":
    program.run(tyro.cli, main)
