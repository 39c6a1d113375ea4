"""Wasserstein alignment as published, on a screen: what is trained and kept, printed numbers, tables, figures."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from problems import experiment

from jbc.data.simulate.screen import simulate_screen
from jbc.methods.settings import AdversarialTraining
from jbc.methods.wasserstein import WassersteinAlignment

SHORT = {"pretrain": 3}


@pytest.fixture(scope="module")
def program():
    return experiment("wasserstein.published")


@pytest.fixture(scope="module")
def training():
    return experiment("wasserstein.training")


@pytest.fixture(scope="module")
def page():
    return experiment("wasserstein.published_page")


@pytest.fixture(scope="module")
def screen():
    world = simulate_screen(
        0, n_domains=3, n_treatments=24, n_replicates=3, n_controls=8, n_mechanisms=4, n_features=8
    )
    about = world.domain, world.treatment, world.compound, world.label, world.control
    return experiment("wasserstein.screens").Screen(world.x.astype(np.float64), *about)


@pytest.mark.slow
def test_maps_are_kept_after_these_turns_and_read_again(training, screen, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "TURNS", {"paper": (1, 3)})
    file = tmp_path / "new" / "maps.npz"
    taken = training.train("paper", screen, 3, file, **SHORT)
    assert list(taken) == [3 + 51, 3 + 3 * 51]
    assert all(len(leaf) == 3 for leaf in jax.tree.leaves(taken))
    alone = training.train("paper", screen, 1, **SHORT)
    for step, fitted in taken.items():
        np.testing.assert_allclose(fitted["maps"]["matrix"][:1], alone[step]["maps"]["matrix"], atol=1e-5)
    monkeypatch.setattr(training, "_train", None)  # a file is read
    again = training.train("paper", screen, 3, file, **SHORT)
    jax.tree.map(np.testing.assert_array_equal, again, taken)
    versions = training.corrected("paper", screen, taken, 1)
    np.testing.assert_allclose(versions[0], screen.x, atol=1e-5)
    assert 0 < np.abs(versions[1] - versions[0]).max() < np.abs(versions[2] - versions[0]).max()


def test_printed_numbers_have_our_names_and_scale(program, data, monkeypatch):
    monkeypatch.setenv("JBC_DATA", str(data))
    if not experiment("_lib.published").table().is_file():
        pytest.skip("The printed numbers are not beside the data")
    rows = [row for table in program.PREPARED for row in program.printed(table)]
    numbers = [row[name] for row in rows for name in ("published", "published_mean", "published_sd")]
    assert sum(number is not None for number in numbers) == 234
    assert {row["printed_in"] for row in rows} == set("123456")
    found = {(row["table"], row["method"], row["metric"]): row for row in rows}
    one = found["bbbc021", "CORAL", "NSCB 4, possible"]
    assert (one["published"], one["published_mean"], one["published_sd"]) == (0.685, 0.678, 0.008)
    assert found["bbbc021-189", "TVN", "domain, random forest"]["published_mean"] == 0.459


@pytest.mark.slow
def test_rows_tables_and_figures_of_a_screen(program, training, page, screen, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "TURNS", {"paper": (1, 2), "reference": (1, 4)})
    train = training.train
    monkeypatch.setattr(training, "train", lambda *given: train(*given, **SHORT))
    brief = WassersteinAlignment(pretrain=1, training=AdversarialTraining(updates=2))
    monkeypatch.setattr(program.jbc, "WassersteinAlignment", lambda: brief)
    seen = {f"domain, {name}": np.array([0.5]) for name in ("logistic regression", "random forest", "floor")}
    monkeypatch.setattr(program.screens, "domain_visibility", lambda *given: dict(seen))
    options = program.Options(seeds=2, slow_seeds=1, draws=3, forests=1, forests_by_step=1)
    rows, shown = program.run("bbbc021", screen, options)
    rules = [f"{name}, {rule}" for name in training.TURNS for rule in ("by neighbours", "by silhouette")]
    methods = ["percentiles, factors", "CORAL", *rules, "default"]
    assert list(dict.fromkeys(row["method"] for row in rows))[:7] == methods
    seeds = {row["method"]: row["seeds"] for row in rows if "seeds" in row}
    assert seeds == {"percentiles, factors": 1, "CORAL": 1, **dict.fromkeys(rules[:2], 2),
                     **dict.fromkeys(rules[2:], 1), "default": 2}  # fmt: skip
    steps = [row["step"] for row in rows if row["method"] == "paper, by step" and row["metric"] == "NSC 1"]
    assert len(steps) == 3
    drawn, seen = ({name: each for name, each in all_of.items() if name != "reference"}
                   for all_of in (shown.drawn, shown.seen))  # fmt: skip
    both = {"percentiles, factors": shown, "TVN": shown._replace(drawn=drawn, seen=seen)}
    experiment("wasserstein.figures").draw(tmp_path / "new", both)
    names = {f"wasserstein_{name}.png" for name in ("knn", "bootstrap", "silhouette", "domain", "pca")}
    assert {path.name for path in (tmp_path / "new").iterdir()} == names
    printed = {"table": "bbbc021", "method": "CORAL", "metric": "NSC 1, possible", "printed_in": "1",
               "published": 0.9, "published_mean": 0.8, "published_sd": 0.01}  # fmt: skip
    told = "\n".join(page.tables([printed, *(row for row in rows if "by step" not in row["method"])]))
    assert "| *CORAL, in print* | *0.900* |  |" in told
    assert "| *CORAL, in print* | *0.800 ± 0.010* |  |" in told
    assert told.count("| CORAL |") == 5


def test_a_run_leaves_tables_alone_that_are_not_asked_for(program, tmp_path, monkeypatch, screen):
    results = experiment("_lib.results")
    out, old = tmp_path / "rows.json", {"table": "bbbc021-189", "value": 1}
    results.write(out, {}, [old, {"table": "bbbc021", "value": 2}])
    monkeypatch.setattr(program.tyro, "cli", lambda kind: kind(tables=("bbbc021",), out=out, seeds=1))
    monkeypatch.setattr(program.jax.config, "update", lambda *given: None)
    monkeypatch.setattr(program.screens, "load_wells", lambda table: (screen, screen.domain))
    monkeypatch.setattr(program.screens, "prepare", lambda *given: {"percentiles, factors": screen})
    monkeypatch.setattr(program, "run", lambda *given: ([{"table": "bbbc021", "value": 3}], None))
    monkeypatch.setattr(program, "printed", lambda table: [])
    monkeypatch.setattr(program.figures, "draw", lambda *given: None)
    program.main()
    assert results.read_from(out) == [old, {"table": "bbbc021", "value": 3}]
