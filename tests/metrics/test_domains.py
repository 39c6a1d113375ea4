"""How visible domains are within treatments: against scikit-learn, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jbc.errors import InputError
from jbc.metrics import bootstrap_weights, domain_accuracy_by_treatment
from jbc.metrics.domains import _folds


def replicates(seed=0, n=24):
    """Draw three treatments in two domains, which show in the first column of A and in the spread of B."""
    rng = np.random.default_rng(seed)
    domain = np.tile(["u", "v"], 3 * n)
    treatment = np.repeat(["A", "B", "C"], 2 * n)
    x = rng.normal(size=(6 * n, 4))
    x[:, 0] += 8 * ((treatment == "A") & (domain == "v"))
    x[:, 1] = np.where(treatment == "B", np.sign(x[:, 1]) * (1 + 2 * (domain == "v")), x[:, 1])
    return x, domain, treatment


@pytest.mark.slow
def test_domains_within_treatments():
    x, domain, treatment = replicates()
    linear = domain_accuracy_by_treatment(x, domain, treatment)
    forest = domain_accuracy_by_treatment(x, domain, treatment, model="forest")
    assert linear.treatments == forest.treatments == ("A", "B", "C")
    assert linear.each[0] == forest.each[0] == 1
    assert linear.each[1] < 0.75 < 0.85 < forest.each[1]
    assert max(linear.each[2], forest.each[2]) < 0.75
    assert linear.accuracy == pytest.approx(linear.each.mean())
    assert linear.chance == 0.5
    floor = domain_accuracy_by_treatment(x, domain, treatment, floor=True)
    assert floor.each.max() < 0.75
    assert 0.35 < floor.accuracy < 0.65
    assert floor.chance == 0.5


def test_domains_by_scikit_learn_on_the_same_folds():
    x, domain, treatment = replicates()
    keep = treatment == "B"
    found = domain_accuracy_by_treatment(x[keep], domain[keep], treatment[keep], seed=3)
    rng = np.random.default_rng(3)
    rows = np.concatenate([rng.permutation(np.flatnonzero(domain[keep] == name)) for name in ("u", "v")])
    x, y = x[keep][rows].astype(np.float32), (domain[keep][rows] == "v").astype(int)
    fold = _folds(y, np.arange(len(x))[rows], 3, rng)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, tol=1e-3))
    expected = (cross_val_predict(model, x, y, cv=PredefinedSplit(fold)) == y).mean()
    assert found.accuracy == pytest.approx(expected)
    assert len(np.unique(fold)) == 3


def test_treatments_that_cannot_be_judged_are_left_out():
    x, domain, treatment = replicates()
    only = (treatment != "C") | (domain == "u")
    assert domain_accuracy_by_treatment(x[only], domain[only], treatment[only]).treatments == ("A", "B")
    # A single well of C in the other domain could not be learned from while it is held out.
    only[np.flatnonzero(~only)[0]] = True
    assert domain_accuracy_by_treatment(x[only], domain[only], treatment[only]).treatments == ("A", "B")
    with pytest.raises(InputError, match="No treatment has two domains"):
        domain_accuracy_by_treatment(x, treatment, treatment)
    unit = np.where(domain == "u", "one", np.arange(len(x)).astype(str))
    with pytest.raises(InputError, match="No treatment has two domains"):
        domain_accuracy_by_treatment(x, domain, treatment, unit=unit)


@pytest.mark.parametrize("copies", ["units", "draws"])
@pytest.mark.slow
def test_copies_never_help_to_name_their_own_domain(copies):
    rng = np.random.default_rng(0)
    x, domain = rng.normal(size=(40, 30)), np.tile(["u", "v"], 20)
    if copies == "units":
        rows = np.repeat(np.arange(40), 3)
        found = domain_accuracy_by_treatment(x[rows], domain[rows], ["t"] * 120, unit=rows, model="forest")
    else:
        weight = bootstrap_weights(domain, draws=3)
        found = domain_accuracy_by_treatment(x, domain, ["t"] * 40, weight=weight, model="forest")
        assert found.each.shape == (3, 1)
    assert np.mean(found.accuracy) < 0.7


def test_draws_of_domains_count_rows():
    x, domain, treatment = replicates()
    once = domain_accuracy_by_treatment(x, domain, treatment)
    ones = domain_accuracy_by_treatment(x, domain, treatment, weight=np.ones((2, len(x)), int))
    assert ones.accuracy.tolist() == [once.accuracy] * 2
    # Rows that count 0 times are neither learned from nor judged, and a fold without any learns nothing.
    weight = ((treatment == "A") | (domain == "u")).astype(int)
    seen = domain_accuracy_by_treatment(x, domain, treatment, weight=weight)
    assert seen.each.tolist() == [1, 1, 1]
