"""The programs about neuron editing: what they compare, how they judge, and what they choose without the truth."""

from __future__ import annotations

import numpy as np
import pytest
from problems import experiment

import jbc

methods, cells, images, page, names, figures = (
    experiment(f"neuron_editing.{name}")
    for name in ("methods", "run", "run_images", "page", "names", "figures")
)


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    source, target, new = (rng.normal(size=(101, 4)).astype(np.float32) for _ in range(3))
    return methods.Task(source, target + 2, new + 0.5, new + 2.5, paired=True)


@pytest.mark.slow
def test_editing_and_its_ablations_share_a_training(task):
    version = methods.edit_neurons(
        (0.5,), widths=(8, 3), training=jbc.Training(rows=10, min_steps=2, max_steps=2)
    )
    found = dict(version(task, 0))
    assert len(found) == 8
    assert all(x.shape == task.new.shape and np.isfinite(x).all() for x in found.values())
    knots = [np.percentile(side, np.linspace(0, 100, 21), axis=0) for side in (task.source, task.target)]
    inside = (task.new > knots[0][0]) & (task.new < knots[0][-1])
    said = np.stack([np.interp(task.new[:, j], knots[0][:, j], knots[1][:, j]) for j in range(4)], axis=1)
    np.testing.assert_allclose(found[names.ALONE][inside], said[inside], atol=1e-3)
    own = np.percentile(found[f"{names.ALONE}, pulled by 0.5"], 50, axis=0)
    middle = np.percentile(found[names.ALONE], 50, axis=0)
    assert (
        np.abs(own - np.percentile(task.target, 50, axis=0)).mean()
        < 0.8 * np.abs(middle - np.percentile(task.target, 50, axis=0)).mean()
    )


@pytest.mark.slow
def test_nothing_sees_the_truth(task):
    other = task._replace(truth=task.truth + 9)
    version = methods.edit_neurons(widths=(8, 3), training=jbc.Training(rows=10, min_steps=2, max_steps=2))
    for (name, x), (_, again) in zip(version(task, 0), version(other, 0), strict=True):
        np.testing.assert_array_equal(x, again, err_msg=name)


def test_the_truth_is_judged_perfect_and_a_shift_is_what_it_is(task):
    found = cells.score(task, task.truth)
    assert found["w1"] == found["cell"] == 0
    assert found["mmd2"] < 1e-9
    assert found["r means"] == pytest.approx(1)
    off = cells.score(task, task.truth + 0.25)
    assert (off["w1"], off["cell"]) == pytest.approx((0.25, 0.25), rel=1e-5)
    assert images.score(task, task.truth + 0.25, 50)["rmse"] == pytest.approx(0.25, rel=1e-5)


def test_pulls_are_chosen_on_the_way_to_the_third_run():
    base, pulled = names.ALONE, f"{names.ALONE}, pulled by 0.5"
    value = {}
    for a, b in (("A", "B"), ("A", "C"), ("B", "A"), ("B", "C"), ("C", "A"), ("C", "B")):
        for method in (base, pulled, names.DEFAULT):
            value[method, f"{a}, {b}, known", 0] = {"w1": 1.0, "mmd2": 1.0}
    value[pulled, "A, C, known", 0] = {"w1": 0.5, "mmd2": 1.0}
    value[pulled, "A, B, known", 0] = {"w1": 7.0, "mmd2": 1.0}
    chosen = page.with_choice(value)
    assert chosen[f"{base}, {page.CHOSEN}", "A, B, known", 0]["w1"] == 7.0  # on the way to C it was better
    assert chosen[f"{base}, {page.CHOSEN}", "A, C, known", 0]["w1"] == 1.0


def test_tasks_are_what_the_paper_asks_for():
    spike, drug = cells.spike_in(0, 0.01), cells.drugs(0, 0.01, 0.0)
    assert [len(x) for x in spike[:4]] == [189, 228, 945, 945]
    assert (spike.source.shape[1], drug.source.shape[1]) == (35, 41)
    assert spike.truth.shape == spike.new.shape
    bold = images.digits("bold", 0)
    assert bold.shape == (8, 8, 1)
    assert bold.task.truth.sum() > bold.task.new.sum()


def test_pages_are_tables():
    rows = [
        {"task": "bold", "seed": seed, "method": method, "frechet": 1.0 + seed, "rmse": 0.5}
        for seed in (0, 1)
        for method in ("as measured", names.DEFAULT)
    ]
    assert "| **neuron editing, ours** | 1.500 ± 0.707 | 0.500 |" in page.image_table(rows)
    rows = [
        {"task": "spike-in", "seed": 0, "method": method} | dict.fromkeys(page.COLUMNS["spike-in"], 0.25)
        for method in ("as measured", names.ALONE)
    ]
    assert page.markdown("spike-in", rows).count("0.250") == 8


def test_the_features_that_are_drawn_are_chosen_without_the_truth(task):
    """The first changes most from source to target; the second hardly does, and differs between the samples."""
    source, target, new = (np.zeros((9, 4), np.float32) for _ in range(3))
    target[:, 2], target[:, 3], new[:, 3], new[:, 1] = 3, 2, 5, 1
    told = methods.Task(source, target, new, np.full((9, 4), np.nan, np.float32), paired=True)
    assert figures.chosen(told) == (2, 1)


def test_figures_are_small_and_complete(task, tmp_path):
    edited = dict.fromkeys(figures.EDITED, task.truth)
    groups = {name: name for name in ("source", "target", "new", "truth")}
    world = figures.World(task, groups, tuple("abcd"), (0, 1), edited)
    for draw in (figures.biaxial, figures.components, figures.medians):
        draw(tmp_path, {"CytoNorm": world, "drugs": world})
    images.draw(tmp_path, {"bold": {"as measured": np.eye(16, 64)}}, (8, 8, 1))
    written = {path.name: path for path in tmp_path.iterdir()}
    assert set(written) == {f"neuron_editing_{name}.png" for name in ("biaxial", "pca", "medians", "digits")}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written.values())
    assert all(path.stat().st_size < 60_000 for path in written.values())


def test_only_gans_replace_their_rows_and_keep_all_others(task, monkeypatch, tmp_path):
    results = cells.results
    held = [{"method": method, "task": "t", "seed": 0, "w1": 1.0} for method in ("as measured", "GAN")]
    results.write(tmp_path / "some.json", {"date": "then"}, held)
    run, rows = results.with_new(tmp_path / "some.json", [{**held[1], "w1": 0.5}], "method", "task", "seed")
    assert run == {"date": "then"}
    assert [row["w1"] for row in rows] == [1.0, 0.5]
    options = cells.Options(only="gans", slow_seeds=1)
    assert cells.versions(options, "drugs", 0) == [methods.train_gans]
    assert cells.versions(options, "drugs", 1) == []
