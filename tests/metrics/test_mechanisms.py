"""Mechanisms of treatments: against scikit-learn, by hand, and the numbers known of BBBC021."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import silhouette_samples, silhouette_score
from sklearn.metrics.pairwise import cosine_distances

from jbc.errors import InputError
from jbc.metrics import (
    _lanes,
    bootstrap_weights,
    domain_accuracy_by_treatment,
    mechanism_knn,
    mechanism_silhouette,
)

BOTH = pytest.mark.parametrize("metric", [mechanism_knn, mechanism_silhouette])


def screen(seed=0, offset=0.0):
    """Draw wells of 3 mechanisms × 3 compounds × 2 doses in some of 3 domains, ragged, with controls."""
    rng = np.random.default_rng(seed)
    rows = []
    for mechanism in range(3):
        for compound in range(3):
            for dose in range(2):
                for domain in rng.permutation(3)[: rng.integers(1, 4)]:
                    wells = rng.integers(1, 5)
                    rows += [(f"m{mechanism}", f"c{mechanism}{compound}", dose, f"week {domain}")] * wells
    rows += [(None, "DMSO", 0, f"week {domain}") for domain in range(3)] * 4
    table = pd.DataFrame(rows, columns=["mechanism", "compound", "dose", "domain"])
    table = table.sample(frac=1, random_state=seed, ignore_index=True)
    known = table["mechanism"].notna()
    centre = rng.normal(size=(3, 6))[table["mechanism"].str[1].fillna("0").astype(int)]
    x = (
        offset
        + centre
        + rng.normal(size=centre.shape)
        + 0.5 * (table["domain"] == "week 1").to_numpy()[:, None]
    )
    columns = {name: table[name].to_numpy() for name in ("mechanism", "compound", "domain")}
    treatment = (table["compound"] + "@" + table["dose"].astype(str)).to_numpy()
    return x.astype(np.float32), {**columns, "treatment": treatment, "control": ~known.to_numpy()}


def points(x, names, summary="mean"):
    """Summarise wells with pandas, in float64."""
    keep = ~names["control"]
    by = [names["treatment"][keep], names["domain"][keep]]
    groups = pd.DataFrame(x[keep].astype(np.float64)).groupby(by)
    first = pd.DataFrame({k: names[k][keep] for k in ("compound", "mechanism", "domain")}).groupby(by).first()
    return groups.agg(summary).to_numpy(), first


def nearest_by_hand(x, first, k, across, possible=False):
    """Ask every point with loops and sorting; return shares and how many neighbours count."""
    distance, shares, counted = cosine_distances(x), [], []
    compound, mechanism, domain = (first[name].to_numpy() for name in ("compound", "mechanism", "domain"))
    for i in range(len(x)):
        eligible = [
            j
            for j in np.argsort(distance[i], kind="stable")
            if compound[j] != compound[i] and not (across and domain[j] == domain[i])
        ]
        hits = [mechanism[j] == mechanism[i] for j in eligible]
        most = [min(n, sum(hits) if possible else len(hits)) for n in k]
        shares.append([np.mean(hits[:n]) if any(hits) else np.nan for n in most])
        counted.append([n if any(hits) else 0 for n in most])
    return np.array(shares), np.array(counted)


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("summary", ["mean", "median"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.slow
def test_neighbours_agree_with_scikit_learn(across, summary, seed):
    x, names = screen(seed)
    found = mechanism_knn(x, **names, across_domains=across, summary=summary, k=(1, 3, 4, 99))
    means, first = points(x, names, summary)
    expected, counted = nearest_by_hand(means, first, (1, 3, 4, 99), across)
    assert found.points.treatment.tolist() == first.index.get_level_values(0).tolist()
    assert found.points.domain.tolist() == first["domain"].tolist()
    np.testing.assert_allclose(found.each, expected, rtol=1e-6)
    np.testing.assert_allclose(found.score, np.nanmean(expected, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(found.counted, counted)
    assert found.asked == np.isfinite(expected[:, 0]).sum()


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.slow
def test_only_possible_neighbours_count_and_all_are_pooled(across):
    x, names = screen()
    ks = (1, 2, 4, 99)
    found = mechanism_knn(x, **names, across_domains=across, k=ks, count="possible")
    means, first = points(x, names)
    expected, counted = nearest_by_hand(means, first, ks, across, possible=True)
    np.testing.assert_allclose(found.each, expected, rtol=1e-6)
    np.testing.assert_array_equal(found.counted, counted)
    pooled = np.nansum(expected * counted, axis=0) / counted.sum(axis=0)
    np.testing.assert_allclose(found.score, pooled, rtol=1e-6)
    usual = mechanism_knn(x, **names, across_domains=across, k=ks).score
    assert found.score[0] == pytest.approx(usual[0])
    assert found.score[3] > usual[3] + 0.1
    weight = bootstrap_weights(names["treatment"], names["domain"], draws=2)
    some = {"count": "possible", "leave_out": "compound", "k": ks, "across_domains": across}
    lanes = mechanism_knn(x, **names, weight=weight, **some)
    alone = mechanism_knn(x, **names, weight=weight[1], **some)
    np.testing.assert_allclose(lanes.score[1], alone.score, rtol=1e-6)


def test_an_unknown_rule_of_counting_is_refused():
    x, names = hand()
    with pytest.raises(InputError, match="Unknown rule of counting neighbours: 'all'"):
        mechanism_knn(x, **names, count="all")


@pytest.mark.parametrize("summary", ["mean", "median"])
@pytest.mark.parametrize("offset", [0.0, 3000.0])
def test_silhouette_is_that_of_scikit_learn(summary, offset):
    x, names = screen(offset=offset)
    names["mechanism"] = names["mechanism"].copy()
    alone = names["treatment"] == "c00@0"
    alone &= names["domain"] == names["domain"][alone][0]
    names["treatment"][alone], names["mechanism"][alone] = "c00@9", "nobody else's"
    means, first = points(x, names, summary)
    found = mechanism_silhouette(x, **names, summary=summary)
    label = first["mechanism"].to_numpy()
    # Far from the origin all angles are small: cosines in float32 are wrong by 0.25 here.
    tolerance = 2e-6 if offset == 0 else 1e-3
    expected = np.asarray(silhouette_samples(means, label, metric="cosine"))
    np.testing.assert_allclose(found.each, expected, atol=tolerance)
    assert found.score == pytest.approx(silhouette_score(means, label, metric="cosine"), abs=tolerance)
    assert found.each[label == "nobody else's"].tolist() == [0]
    assert found.asked == len(means)


def hand(**changes):
    """Return six treatments in two weeks: u in both, v in both, w in one week only."""
    angle = np.deg2rad([0, 10, 90, 80, 45, 46])
    names = {
        "treatment": list("abcdef"),
        "compound": list("abcdef"),
        "mechanism": list("uuvvww"),
        "domain": [1, 2, 1, 2, 1, 1],
    }
    return np.stack([np.cos(angle), np.sin(angle)], axis=1), names | changes


def test_who_is_asked_and_whose_neighbours_are_few():
    x, names = hand()
    found = mechanism_knn(x, **names)
    # The second neighbour of a and of b is e or f, and there are five in all.
    np.testing.assert_allclose(found.each[0], [1, 1 / 2, 1 / 3, 1 / 4])
    assert (found.score[0], found.asked) == (1, 6)
    found = mechanism_knn(x, **names, across_domains=True)
    # e and f, in one week, could never be right; a has two eligible neighbours, b and d, however large k is.
    assert np.isnan(found.each[4:]).all()
    np.testing.assert_allclose(found.each[0], [1, 1 / 2, 1 / 2, 1 / 2])
    np.testing.assert_allclose(found.each[1], [1, 1 / 2, 1 / 3, 1 / 4])
    assert found.asked == 4
    # A second dose of a compound is no neighbour of the first.
    x, names = hand(compound=list("aacdef"))
    assert np.isnan(mechanism_knn(x, **names).each[:2]).all()


@pytest.mark.slow
def test_ties_are_shared_and_a_collapsed_table_scores_by_chance():
    x, names = hand()
    for value in (0.0, 3.7):
        found = mechanism_knn(np.full_like(x, value), **names)
        np.testing.assert_allclose(found.each, 1 / 5, rtol=1e-6)
        assert mechanism_silhouette(np.full_like(x, value), **names).score == 0
    # Two neighbours at the same angle on either side of a: one half of the second place each.
    angle = np.deg2rad([0, 0, 5, -5])
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    names = {"treatment": list("abcd"), "compound": list("abcd"), "domain": [1] * 4}
    found = mechanism_knn(x, **names, mechanism=list("uvuv"), k=(1, 2, 3))
    np.testing.assert_allclose(found.each[0], [0, 1 / 4, 1 / 3], rtol=1e-6)


def test_a_point_without_direction_is_as_far_as_a_right_angle():
    x, names = hand()
    x[3] = 0
    distance, label = cosine_distances(x), np.array(names["mechanism"])
    expected = np.asarray(silhouette_samples(distance, label, metric="precomputed"))
    np.testing.assert_allclose(mechanism_silhouette(x, **names).each, expected, atol=1e-6)


@BOTH
def test_order_and_names_change_nothing(metric):
    x, names = screen()
    order = np.random.default_rng(1).permutation(len(x))
    found = metric(x, **names)
    shuffled = metric(x[order], **{name: values[order] for name, values in names.items()})
    np.testing.assert_allclose(found.each, shuffled.each, atol=1e-6)
    assert found.points.treatment.tolist() == shuffled.points.treatment.tolist()
    reverse = {value: f"{100 - k:03}" for k, value in enumerate(np.unique(names["treatment"]))}
    names["treatment"] = np.array([reverse[value] for value in names["treatment"]])
    np.testing.assert_allclose(metric(x, **names).score, found.score, rtol=1e-6)


@BOTH
@pytest.mark.parametrize("summary", ["mean", "median"])
@pytest.mark.slow
def test_draws_are_repeated_rows(metric, summary):
    x, names = screen()
    weight = bootstrap_weights(names["treatment"], names["domain"], draws=2)
    weight[1, (names["compound"] == "c01") | (names["mechanism"] == "m2")] = 0
    found = metric(x, **names, weight=weight, summary=summary)
    for draw, times in enumerate(weight):
        rows = np.repeat(np.arange(len(x)), times)
        alone = metric(x[rows], **{name: values[rows] for name, values in names.items()}, summary=summary)
        present = np.isin(found.points.treatment, alone.points.treatment)
        np.testing.assert_allclose(found.each[draw][present], alone.each, atol=2e-6)
        assert np.isnan(found.each[draw][~present]).all()
        np.testing.assert_allclose(found.score[draw], alone.score, rtol=1e-5)
        assert found.asked[draw] == alone.asked


@BOTH
def test_a_compound_that_is_left_out_is_neither_asked_nor_a_neighbour(metric):
    x, names = screen()
    weight = bootstrap_weights(names["treatment"], names["domain"], draws=2)
    found = metric(x, **names, weight=weight, leave_out="compound")
    compounds = np.unique(found.points.compound)
    assert found.score.shape[:2] == found.asked.shape == (2, 9)
    for k, compound in enumerate(compounds):
        rest = metric(x, **names, weight=weight * (names["compound"] != compound))
        np.testing.assert_allclose(found.score[:, k], rest.score, rtol=1e-5)
        np.testing.assert_array_equal(found.asked[:, k], rest.asked)
        assert np.isnan(found.each[:, k, found.points.compound == compound]).all()
    assert metric(x, **names, leave_out="domain").score.shape[0] == 3


def test_unknown_mechanisms_are_left_out_and_controls_need_no_names():
    x, names = screen()
    rows = ~names["control"]
    few = mechanism_knn(x[rows], **{name: values[rows] for name, values in names.items()})
    names["compound"] = np.where(names["control"], None, names["compound"])
    names["treatment"] = np.where(names["control"], np.nan, names["treatment"])
    np.testing.assert_allclose(mechanism_knn(x, **names).each, few.each, rtol=1e-6)
    del names["control"]
    np.testing.assert_allclose(mechanism_knn(x, **names).each, few.each, rtol=1e-6)


def test_one_program_serves_all_tables_of_one_shape():
    x, names = screen()
    mechanism_knn(x, **names)
    before = _lanes.knn._cache_size()
    mechanism_knn(2 * x + 1, **names)
    assert _lanes.knn._cache_size() == before


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (
            {"mechanism": list("uuvvw?"), "treatment": list("abcdee"), "compound": list("abcdee")},
            "mixed-treatment",
        ),
        ({"treatment": list("abcdee")}, "mixed-treatment"),
        ({"mechanism": list("abcdef")}, "nothing-to-evaluate"),
        ({"mechanism": [None] * 6}, "nothing-to-evaluate"),
        ({"control": [True] * 6}, "nothing-to-evaluate"),
        ({"k": (0, 1)}, "bad-neighbours"),
        ({"k": ()}, "bad-neighbours"),
        ({"weight": np.ones(5)}, "bad-weight"),
        ({"weight": [1, 1, 1, 1, 1, 0.5]}, "bad-weight"),
        ({"weight": [1, 1, 1, 1, 1, np.nan]}, "bad-weight"),
        ({"weight": [1, 1, 1, 1, 1, -1]}, "bad-weight"),
        ({"compound": [None, *"bcdef"]}, "missing-compound"),
        ({"domain": [1, 2, 3]}, "bad-length"),
    ],
)
def test_neighbours_refuse(changes, code):
    x, names = hand()
    with pytest.raises(InputError) as caught:
        mechanism_knn(x, **(names | changes))
    assert caught.value.code == code


def test_silhouette_refuses_a_single_mechanism():
    x, names = hand(mechanism=["u"] * 6)
    with pytest.raises(InputError, match="single mechanism"):
        mechanism_silhouette(x, **names)


def test_bootstrap_draws_within_groups():
    rng = np.random.default_rng(0)
    one, other = rng.integers(3, size=60), rng.integers(4, size=60)
    weight = bootstrap_weights(one, other, draws=4000, seed=1)
    assert weight.shape == (4000, 60)
    cell = one * 4 + other
    for group in np.unique(cell):
        rows = np.flatnonzero(cell == group)
        size = len(rows)
        assert (weight[:, rows].sum(axis=1) == size).all()
        # A multinomial: every row once on average, with the variance 1 - 1/g.
        np.testing.assert_allclose(weight[:, rows].mean(axis=0), 1, atol=0.08)
        np.testing.assert_allclose(weight[:, rows].var(axis=0), 1 - 1 / size, atol=0.13)
    assert np.array_equal(weight, bootstrap_weights(one, other, draws=4000, seed=1))
    assert not np.array_equal(weight[:5], bootstrap_weights(one, other, draws=5, seed=2))
    assert abs(np.corrcoef(weight[:, cell == 0][:, 0], weight[:, cell == 5][:, 0])[0, 1]) < 0.06


@pytest.mark.parametrize(
    ("group", "options", "code"),
    [
        (([1, 2, 3],), {}, "too-few-rows"),
        ((), {}, "bad-draws"),
        (([1, 1],), {"draws": 0}, "bad-draws"),
        (([1, 1], [1]), {}, "bad-length"),
        (([1, None],), {}, "missing-group"),
    ],
)
def test_bootstrap_refuses(group, options, code):
    with pytest.raises(InputError) as caught:
        bootstrap_weights(*group, **options)
    assert caught.value.code == code


@pytest.fixture(scope="module")
def bbbc021(data):
    """Join wells, compounds and mechanisms, z-score them on all controls, and sphere them."""
    folder = data / "BBBC021"
    wells = pd.read_csv(folder / "ljosa_jbiomolscreen_2013_per_well_mean.csv.gz")
    images = pd.read_csv(folder / "BBBC021_v1_image.csv.gz")
    images = images.rename(columns=lambda name: name.removesuffix("_DAPI"))
    keys = ["Image_Metadata_Plate", "Image_Metadata_Well"]
    said = ["Image_Metadata_Compound", "Image_Metadata_Concentration"]
    wells = wells.merge(images[keys + said].drop_duplicates(subset=keys), on=keys)  # pyright: ignore[reportCallIssue]
    moa = pd.read_csv(folder / "BBBC021_v1_moa.csv")
    wells = wells.merge(moa, left_on=said, right_on=["compound", "concentration"])
    features = [c for c in wells if c.startswith(("Cells_", "Cytoplasm_", "Nuclei_")) and "_Center_" not in c]
    control = (wells["compound"] == "DMSO").to_numpy()
    x = wells[features].to_numpy(float)
    z = (x - x[control].mean(axis=0)) / x[control].std(axis=0)
    values, axes = np.linalg.eigh(np.cov(z[control].T) + np.eye(z.shape[1]))
    names = {
        "treatment": wells["compound"] + "@" + wells["concentration"].astype(str),
        "compound": wells["compound"],
        "mechanism": wells["moa"],
        "domain": wells["Image_Metadata_Plate"].str.split("_").str[0],
        "control": control,
    }
    return {"z-score": z, "sphered": (z @ axes / np.sqrt(values)) @ axes.T}, names


@pytest.mark.parametrize(
    ("method", "summary", "same_domain", "across"),
    [("z-score", "mean", 89 / 103, 63 / 92), ("sphered", "median", 96 / 103, 68 / 92)],
)
@pytest.mark.slow
def test_the_known_numbers_of_bbbc021(bbbc021, method, summary, same_domain, across):
    tables, names = bbbc021
    nsc = mechanism_knn(tables[method], **names, summary=summary)
    nscb = mechanism_knn(tables[method], **names, summary=summary, across_domains=True)
    assert (nsc.asked, nscb.asked) == (103, 92)
    assert nsc.score[0] == pytest.approx(same_domain)
    assert nscb.score[0] == pytest.approx(across)


def test_weeks_of_bbbc021_are_visible_in_its_controls(bbbc021):
    tables, names = bbbc021
    rows = names["control"]
    where = names["domain"][rows], names["compound"][rows]
    assert domain_accuracy_by_treatment(tables["z-score"][rows], *where).accuracy > 0.8
    floor = domain_accuracy_by_treatment(tables["z-score"][rows], *where, floor=True)
    assert floor.accuracy < 0.2
    assert floor.chance == pytest.approx(36 / 330)
