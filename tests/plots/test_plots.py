"""Figures: what is drawn is the data, axes are common, nothing global changes, any name is harmless."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
import time
import types
import warnings

import numpy as np
import pytest
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from jbc import plots
from jbc.errors import InputError
from jbc.plots import coordinates
from jbc.plots._style import PALETTES, TWELVE, UNKNOWN

NAMES = ["plain", "$\\frac", "_hidden", "a" * 300, "nul\x00", "<script>", "\U0001f600", "", "-1 %"]


def axes():
    return Figure(layout="constrained").subplots()


def png(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=40)
    return buffer.getvalue()


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_pca_agrees_with_scikit_learn_but_for_the_sign():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 6)) * np.arange(1, 7) + 100
    found, expected = plots.pca(x, components=3), PCA(3, svd_solver="full").fit_transform(x)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(plots.pca(-x, components=3), -found, atol=1e-9)
    loadings = (x - x.mean(axis=0)).T @ found
    assert (loadings[np.abs(loadings).argmax(axis=0), np.arange(3)] > 0).all()


@pytest.mark.parametrize("x", [np.zeros((4, 3)), np.ones((1, 3)), np.arange(5.0)[:, None]])
def test_pca_of_too_few_dimensions_is_padded(x):
    found = plots.pca(x)
    assert found.shape == (len(x), 2)
    assert np.isfinite(found).all()
    assert not found[:, 1].any()


def test_tsne_keeps_clusters_and_repeats_itself():
    rng = np.random.default_rng(0)
    cluster = np.repeat([0, 1], 30)
    x = rng.normal(size=(60, 5)) + 20 * cluster[:, None]
    z = plots.tsne(x)
    assert np.array_equal(z, plots.tsne(x))
    distance = np.linalg.norm(z[:, None] - z, axis=2) + np.diag(np.full(60, np.inf))
    assert (cluster[distance.argmin(axis=1)] == cluster).all()
    assert np.isfinite(plots.tsne(np.ones((10, 3)))).all()


def test_scatter_draws_every_point_in_its_colour():
    rng = np.random.default_rng(0)
    coords, codes = rng.normal(size=(40, 2)), rng.integers(-1, 3, size=40)
    ax = axes()
    assert plots.scatter(ax, coords, codes, ["a", "b", "c"]) is ax
    points = ax.collections[0]
    drawn = {tuple(xy): tuple(colour) for xy, colour in zip(*drawn_points(points), strict=True)}
    table = [to_rgba(colour, 0.8) for colour in [*PALETTES["domain"][:3], UNKNOWN]]
    assert drawn == {tuple(xy): table[code] for xy, code in zip(coords, codes, strict=True)}
    assert legend(ax) == ["a", "b", "c", "unknown"]
    # Unknown points first, hence below; the others mixed.
    order = [table.index(tuple(colour)) for colour in points.get_facecolors()]
    known = [k for k in order if k != 3]
    assert order[: len(order) - len(known)] == [3] * (codes < 0).sum()
    assert known != sorted(known)


def drawn_points(points):
    return np.asarray(points.get_offsets()), points.get_facecolors()


def test_a_legend_holds_25_batches():
    names = [f"week {k}" for k in range(25)]
    ax = plots.scatter(axes(), np.zeros((25, 2)), np.arange(25), names, title="week")
    assert legend(ax) == names
    assert ax.get_legend().get_title().get_text() == "week"
    assert len({tuple(c) for c in ax.collections[0].get_facecolors()}) == 25


def test_a_legend_of_more_groups_names_some_and_says_so():
    ax = plots.scatter(
        axes(), np.zeros((70, 2)), np.arange(70), [f"week {k}" for k in range(70)], title="week"
    )
    found = legend(ax)
    assert len(found) == 30
    assert (found[0], found[-1]) == ("week 0", "week 69")
    assert ax.get_legend().get_title().get_text() == "week\n30 of 70 named"
    assert len({tuple(c) for c in ax.collections[0].get_facecolors()}) == 70
    assert plots.scatter(axes(), [[0, 0]], [0], ["a"], legend=None).get_legend() is None


@pytest.mark.parametrize("palette", [*PALETTES.values(), TWELVE], ids=[*PALETTES, "twelve"])
def test_palettes_survive_colour_blindness(palette):
    # Machado et al. (2009), severity 1, on linear RGB; distances in CIELAB, where 2.3 is just noticeable.
    seen = {
        "all cones": np.eye(3),
        "no L": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        "no M": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        "no S": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    }
    for matrix in seen.values():
        places = [lab(np.asarray(matrix) @ linear(colour)) for colour in [*palette, UNKNOWN]]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(places, 2)) > 12


def linear(colour):
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    to_xyz = [[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]]
    xyz = to_xyz @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.0888]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def world(n=60):
    rng = np.random.default_rng(0)
    domain = np.array(["day 1", "day 2"] * (n // 2))
    after = rng.normal(size=(n, 4))
    before = after + 10 * (domain == "day 2")[:, None] * np.array([1, 0, 0, 0])
    return before, after, domain, np.array(["case", "control", None] * (n // 3), dtype=object)


def test_before_after_has_common_axes_and_one_map():
    before, after, domain, label = world()
    panels = plots.before_after(before, after, domain, label, domain_name="day")
    assert panels.shape == (2, 2)
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in panels.flat}) == 1
    points = [np.asarray(ax.collections[0].get_offsets()) for ax in panels.flat]
    both = plots.pca(np.vstack([before, after]).astype(np.float32))
    for drawn, expected in zip(points, (both[:60], both[60:], both[:60], both[60:]), strict=True):
        np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(expected, axis=0), atol=1e-4)
    assert legend(panels[0, 1]) == ["day 1", "day 2"]
    assert legend(panels[1, 1]) == ["case", "control", "unknown"]
    assert [ax.get_legend().get_title().get_text() for ax in panels[:, 1]] == ["day", "class"]
    assert [ax.get_title(loc="left") for ax in panels.flat] == ["before", "after", "", ""]


def test_before_after_says_what_it_shows():
    before, after, domain, label = world()
    panels = plots.before_after(before, after, domain, label, rows=40)
    assert suptitle(panels) == "Principal components of both tables together; 40 of 60 rows, drawn at random"
    share = PCA(2).fit(np.vstack([before, after])).explained_variance_ratio_
    whole = plots.before_after(before, after, domain)
    assert whole[0, 0].get_xlabel() == f"PC 1 ({share[0]:.0%} of variance)".replace("%", " %", 1)
    assert whole[0, 0].get_ylabel() == f"PC 2 ({share[1]:.0%})".replace("%", " %")
    assert suptitle(whole) == "Principal components of both tables together; 60 rows"
    apart = plots.before_after(before, after, domain, kind="tsne", common=False, rows=30)
    assert suptitle(apart) == "t-SNE of each table; 30 of 60 rows, drawn at random"
    assert [ax.get_ylabel() for ax in apart[0]] == ["t-SNE 2", "t-SNE 2"]


def suptitle(panels) -> str:
    return panels.flat[0].figure.get_suptitle()


def test_many_rows_are_drawn_within_seconds():
    rng = np.random.default_rng(0)
    x, domain = rng.normal(size=(50_000, 30)).astype(np.float32), rng.integers(0, 25, 50_000)
    begun = time.process_time()
    panels = plots.before_after(x, x, domain, domain)
    assert png(panels[0, 0].figure).startswith(b"\x89PNG")
    assert time.process_time() - begun < 5
    assert len(np.asarray(panels[0, 0].collections[0].get_offsets())) == 1500
    assert "1,500 of 50,000 rows" in suptitle(panels)


def test_overview_draws_one_table():
    before, _, domain, label = world()
    panels = plots.overview(before, domain, label, domain_name="day", label_name="diagnosis")
    assert [ax.get_title(loc="left") for ax in panels] == ["by day", "by diagnosis"]
    assert suptitle(panels) == "Principal components; 60 rows"
    drawn = np.asarray(panels[0].collections[0].get_offsets())
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(plots.pca(before), axis=0), atol=1e-4)
    assert len(plots.overview(before, domain)) == 1


@pytest.mark.parametrize(
    ("kind", "package", "name"), [("opentsne", "openTSNE", "TSNE"), ("umap", "umap", "UMAP")]
)
def test_maps_of_other_packages(kind, package, name, monkeypatch):
    """What is passed to packages that jbc does not depend on; stand-ins tell whether they are called as they are."""
    seen = {}

    class Stand:
        def __init__(self, **settings):
            seen.update(settings)

        def fit(self, x):
            return x[:, :2]

        fit_transform = fit

    monkeypatch.setitem(sys.modules, package, types.SimpleNamespace(**{name: Stand}))
    before, after, domain, _ = world()
    panels = plots.before_after(before, after, domain, kind=kind, seed=5)
    assert seen["random_state"] == 5
    assert suptitle(panels).startswith(coordinates.IN_WORDS[kind])
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match="is not installed") as error:
        plots.before_after(before, after, domain, kind=kind)
    assert f"pip install {coordinates.PACKAGES[package]}" in str(error.value)


def test_points_far_out_are_drawn_on_the_frame_and_counted():
    before, after, domain, _ = world()
    before[7] = 1e6
    panels = plots.before_after(before, after, domain).ravel()
    (left, right), points = panels[0].get_xlim(), np.asarray(panels[0].collections[0].get_offsets())
    assert right - left < 1000
    assert ((points[:, 0] == left) | (points[:, 0] == right)).sum() == 1
    assert [ax.get_title(loc="right") for ax in panels] == ["1 of 60 beyond the frame", ""]


def test_before_after_of_two_feature_spaces():
    before, after, domain, _ = world()
    with pytest.raises(InputError, match="common=False"):
        plots.before_after(before, after[:, :2], domain)
    panels = plots.before_after(before, after[:, :2], domain, common=False, rows=20).ravel()
    assert len(panels) == 2
    assert panels[0].get_xlim() != panels[1].get_xlim()
    assert [len(np.asarray(ax.collections[0].get_offsets())) for ax in panels] == [20, 20]


def test_before_after_refuses_other_rows_and_missing_values():
    before, after, domain, _ = world()
    with pytest.raises(InputError, match="shape"):
        plots.before_after(before, after[:-1], domain)
    after[3, 2] = np.nan
    with pytest.raises(InputError, match="The picture after"):
        plots.before_after(before, after, domain)


def test_tsne_panels_share_their_axes():
    before, after, domain, label = world(30)
    panels = plots.before_after(before, after, domain, label, kind="tsne").ravel()
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in panels}) == 1


def test_boxes_show_the_quartiles():
    rng = np.random.default_rng(0)
    groups = {name: rng.gamma(2, size=31) for name in ("raw", "ComBat")}
    ax = plots.mmd_boxes(axes(), groups, floor=[0.1, 0.2, 0.9])
    assert [text.get_text() for text in ax.texts[:2]] == [f"{np.median(v):.3f}" for v in groups.values()]
    assert ax.texts[2].get_text() == "halves of\none domain"
    heights = {round(float(y), 9) for line in ax.lines for y in np.atleast_1d(line.get_ydata())}
    for values in groups.values():
        assert round(float(np.median(values)), 9) in heights
    edges = [np.asarray(box.get_path().vertices)[:, 1] for box in ax.patches]
    for box, values in zip(edges, groups.values(), strict=True):
        assert (box.min(), box.max()) == pytest.approx(tuple(np.quantile(values, [0.25, 0.75])))
    assert 0.2 in heights
    assert ax.get_ylim()[0] == 0


def test_metric_curves_are_means_with_bands():
    rng = np.random.default_rng(0)
    step, draws, tvn = np.array([0, 100, 300]), rng.normal(size=(3, 50)), rng.normal(size=20)
    curves = {"ours": draws, "vanilla": [0.1, 0.2, 0.3]}
    ax = plots.metric_curve(axes(), step, curves, references={"TVN": tvn, "floor": 0.4}, ylabel="1-NN")
    mean, sd = draws.mean(axis=1), draws.std(axis=1, ddof=1)
    np.testing.assert_allclose(np.stack([line.get_ydata() for line in ax.lines[:2]]), [mean, [0.1, 0.2, 0.3]])
    assert [line.get_ydata()[0] for line in ax.lines[2:]] == pytest.approx([tvn.mean(), 0.4])
    (band,) = ax.collections
    outline = np.asarray(band.get_paths()[0].vertices)
    for x, low, high in zip(step, mean - sd, mean + sd, strict=True):
        assert {low, high} <= set(outline[outline[:, 0] == x, 1])
    (flat,) = ax.patches
    low, high = flat.get_extents().transformed(ax.transData.inverted()).intervaly
    assert (low, high) == pytest.approx((tvn.mean() - tvn.std(ddof=1), tvn.mean() + tvn.std(ddof=1)))
    assert legend(ax) == ["ours", "vanilla", "TVN", "floor"]
    assert len({line.get_color() for line in ax.lines}) == 4


def test_violins_hold_their_quartiles():
    rng = np.random.default_rng(0)
    groups = {"TVN": rng.gamma(2, size=(60, 2)), "ours": rng.gamma(3, size=(60, 2))}
    ax = plots.violins(axes(), groups, names=("1-NN", "4-NN"), vanilla={"ours": [1.0, 2.0]})
    lines = [part for part in ax.collections if type(part).__name__ == "LineCollection"]
    heights = [line.get_segments()[0][0, 1] for line in lines]
    expected = [np.quantile(values[:, k], (0.25, 0.5, 0.75)) for values in groups.values() for k in (0, 1)]
    np.testing.assert_allclose(heights, np.concatenate(expected))
    fills = [part for part in ax.collections if "FillBetween" in type(part).__name__]
    bodies = [np.asarray(part.get_paths()[0].vertices) for part in fills]
    assert len(bodies) == 4
    for k, line in enumerate(lines):
        # From edge to edge: at its own height, the violin is as wide as the line is long.
        (left, y), (right, _) = line.get_segments()[0]
        body = bodies[k // 3]
        near = body[np.abs(body[:, 1] - y) < 0.03 * np.ptp(body[:, 1])][:, 0]
        assert (near.min(), near.max()) == pytest.approx((left, right), abs=0.03)
    (dots,) = (part for part in ax.collections if type(part).__name__ == "PathCollection")
    assert np.asarray(dots.get_offsets())[:, 1].tolist() == [1, 2]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1-NN", "4-NN"]
    assert legend(ax) == ["TVN", "ours"]
    assert (
        len(plots.violins(axes(), {"a": rng.gamma(2, size=60)}).get_xticks()) == 0
    )  # no tick without a name
    # Draws that are all equal have no width to estimate.
    assert png(plots.violins(axes(), {"a": np.ones(5)}).figure).startswith(b"\x89PNG")


def test_controls_are_drawn_by_their_own_components():
    before, after, domain, _ = world()
    control = np.arange(60) % 3 == 0
    before[~control] += 1e3
    ax = plots.controls_pca(axes(), before, domain, control=control, title="raw")
    drawn = np.asarray(ax.collections[0].get_offsets())
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(plots.pca(before[control]), axis=0), atol=1e-6)
    fitted = PCA(2).fit(before[control])
    share = f"{100 * fitted.explained_variance_ratio_[0]:.0f}"
    assert ax.get_xlabel() == f"PC 1 ({share} % of variance)"
    assert ax.get_legend().get_title().get_text() == "domain"
    assert ax.get_title(loc="left") == "raw"
    assert legend(ax) == ["day 1", "day 2"]
    after[0] = 1e6
    note = plots.controls_pca(axes(), after, domain, legend=False)
    assert note.get_title(loc="right") == "1 of 60 beyond the frame"
    assert note.get_legend() is None


@pytest.mark.slow
def test_any_name_can_be_drawn():
    ax = plots.scatter(axes(), np.zeros((9, 2)), np.arange(9), NAMES)
    assert legend(ax)[:3] == NAMES[:3]
    assert max(map(len, legend(ax))) <= 26
    boxes = plots.mmd_boxes(axes(), {name: [0.1, 0.2] for name in NAMES})
    curves = plots.losses(axes(), {name: [1, 2] for name in NAMES})
    metric = plots.metric_curve(
        axes(), [1, 2], {name: [1, 2] for name in NAMES}, references={"$\\frac": 1}, ylabel="$_"
    )
    shapes = plots.violins(axes(), {name: [0.1, 0.2] for name in NAMES}, names=["$\\frac"], ylabel="$_")
    panel = plots.controls_pca(axes(), np.eye(9), [*NAMES[:7], "u", "v"], title="$\\frac")
    for each in (ax, boxes, curves, metric, shapes, panel):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")
            assert png(each.figure).startswith(b"\x89PNG")


@pytest.mark.slow
def test_figures_are_the_same_every_time_and_change_nothing_global():
    code = """
import io, sys
import numpy as np
from jbc import plots
assert "matplotlib" not in sys.modules and "sklearn" not in sys.modules
x = np.random.default_rng(0).normal(size=(30, 3))
draw = lambda: plots.before_after(x, 2 * x, ["a", "b"] * 15, ["u", "v", ""] * 10)
def png():
    buffer = io.BytesIO()
    draw()[0, 0].figure.savefig(buffer, format="png", dpi=40)
    return buffer.getvalue()
import matplotlib
before = matplotlib.rcParams.copy()
assert png() == png()
assert matplotlib.rcParams.copy() == before
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
