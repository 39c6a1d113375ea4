"""Made-up tables of every awkward kind through every method: against plain NumPy where there is an answer.

Elsewhere against what no method may do: depend on the unit, the zero, the order or the precision of a table, or blow
up what it has not seen. Examples are the same in every run.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, NamedTuple

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import CHUNK, JOINT
from test_contract import BLIND, CONFIGURATIONS, PREPARATIONS, without_logarithm

import jbc
from jbc.errors import InputError, InputWarning
from jbc.methods.base import Directed, Trainable
from jbc.methods.closed_form import Coral, Percentiles, QuantileMap, Standardise, TypicalVariation

KINDS = (
    "normal",
    "skewed",
    "far",
    "counts",
    "zeros",
    "absent",
    "constant",
    "shifted constant",
    "rare",
    "wide",
)


class Table(NamedTuple):
    """A table, its domains and its controls."""

    x: np.ndarray
    domain: np.ndarray
    control: np.ndarray


def column(rng: np.random.Generator, kind: str, domain: np.ndarray) -> np.ndarray:
    """Draw a feature, with a shift and a scale in every domain."""
    n, first = len(domain), domain == domain[0]
    code = np.unique(domain, return_inverse=True)[1]
    z = rng.normal(size=n)
    effect = z * (1 + 0.5 * code) + code
    return {
        "normal": effect,
        "skewed": np.exp(effect),
        "far": 1e5 * rng.choice([-1, 1]) + effect,
        "counts": rng.poisson(3 + 4 * code).astype(float),
        "zeros": np.where(rng.random(n) < 0.7, 0, np.exp(effect)),
        "absent": np.where(first, 0, 2 + effect),
        "constant": np.full(n, rng.choice([0.0, 0.1, 5.0, 1234.567])),
        "shifted constant": 3.0 + code,
        "rare": np.where(np.arange(n) == n - 1, 7.0, 0.0),
        "wide": effect * 10.0 ** (2 * code),
    }[kind]


@st.composite
def tables(draw, rows: int | None = None, columns: int | None = None, domains: int | None = None) -> Table:
    """Tables with a mixture of features, in units from 1e-9 to 1e9; every domain has two controls or more."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Few shapes, since each is compiled anew.
    count = domains or draw(st.sampled_from([1, 3]))
    sizes = [rows or draw(st.integers(4, 25)) for _ in range(count)]
    domain = np.repeat([f"plate {g}" for g in range(count)], sizes)
    width = columns or draw(st.sampled_from([1, 4]))
    kinds = [draw(st.sampled_from(KINDS)) for _ in range(width)]
    x = np.stack([column(rng, kind, domain) for kind in kinds], axis=1)
    x = x * 10.0 ** draw(st.sampled_from([-9, -6, 0, 0, 0, 3, 9]))
    control = np.concatenate([np.arange(size) % 2 == 0 for size in sizes])
    order = rng.permutation(len(x))
    return Table(x[order], domain[order], control[order])


def model(method: Any, table: Table, **options: Any) -> jbc.Corrector:
    # Controls are a class of their own to methods that keep classes, and cannot do without.
    label = np.where(table.control, "control", "sample") if isinstance(method, BLIND) else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return jbc.Corrector(method, **options).fit(
            table.x, label, domain=table.domain, control=table.control
        )


def refused(method: Any, table: Table) -> bool:
    """Tell whether a method that looks for what features share says that of so few features nothing is shared."""
    try:
        model(method, table)
    except InputError as error:
        caught = error
    else:
        return False
    assert isinstance(method, BLIND)
    assert caught.code == "too-few-features"
    assert (np.ptp(table.x, axis=0) > 0).sum() < 4
    return True


def parts(values: np.ndarray, table: Table, on: str) -> list[np.ndarray]:
    """Return the rows that are measured, of every domain."""
    used = table.control if on == "controls" else np.full(len(values), True)
    return [values[used & (table.domain == name)] for name in np.unique(table.domain)]


def close(found: np.ndarray, expected: np.ndarray, table: Table, rtol: float = 1e-4) -> None:
    """Compare feature by feature, in units of what float32 can tell of its values and of its answers."""
    size = np.maximum(np.abs(expected).max(axis=0), np.ptp(table.x, axis=0))
    np.testing.assert_array_less(np.abs(found - expected).max(axis=0), rtol * size + 1e-30)


def is_constant(rows: list[np.ndarray]) -> np.ndarray:
    """Tell where a feature is constant up to rounding, (domains, d), in the words of the documentation."""
    spread = np.array([part.std(axis=0) for part in rows])
    centre = np.abs([part.mean(axis=0) for part in rows])
    return spread <= 1e-6 * np.maximum(centre, spread.max(axis=0))


def filled(spread: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Give the average of the domains where a feature varies to those where it does not, or else 1."""
    with np.errstate(invalid="ignore"):
        others = np.where(flat, 0, spread).sum(axis=0) / (~flat).sum(axis=0)
    return np.where(flat, np.where(flat.all(axis=0), 1, others), spread)


def far_or_near(table: Table) -> bool:
    """Tell whether a feature sits where one rounding more decides whether it is constant: then either is right."""
    for on in ("all", "controls"):
        rows = parts(table.x, table, on)
        spread = np.array([part.std(axis=0) for part in rows])
        ratio = spread / np.maximum(
            np.maximum(np.abs([part.mean(axis=0) for part in rows]), spread.max(axis=0)), 1e-300
        )
        if ((ratio > 1e-7) & (ratio < 1e-5)).any():
            return True
    return False


@given(tables(), st.sampled_from(["all", "controls"]), st.booleans())
@pytest.mark.slow
def test_standardise_is_what_numpy_says(table, on, scale):
    hypothesis.assume(not far_or_near(table))
    rows, code = parts(table.x, table, on), np.unique(table.domain, return_inverse=True)[1]
    mean = np.array([part.mean(axis=0) for part in rows])
    spread = filled(np.array([part.std(axis=0) for part in rows]), is_constant(rows))
    if not scale:
        spread = np.ones_like(spread)
    expected = (table.x - mean[code]) / spread[code] * spread.mean(axis=0) + mean.mean(axis=0)
    found = model(Standardise(scale=scale, on=on), table).transform(table.x, domain=table.domain)
    close(found, expected, table)


@given(tables(), st.sampled_from(["all", "controls"]))
@pytest.mark.slow
def test_quantile_maps_are_what_numpy_says(table, on):
    """Where percentiles do not coincide; what happens at ties is in test_edits."""
    hypothesis.assume(not far_or_near(table))
    rows, names = parts(table.x, table, on), np.unique(table.domain)
    knots = np.array([np.percentile(part, np.linspace(0, 100, 101), axis=0) for part in rows])
    flat, middle = is_constant(rows), np.median(knots, axis=1)
    found = model(QuantileMap(on=on), table).transform(table.x, domain=table.domain)
    size = np.maximum(np.abs(table.x).max(axis=0), 1e-30)
    for j in np.flatnonzero(~flat.all(axis=0)):
        shape = np.mean([knots[g, :, j] - middle[g, j] for g in np.flatnonzero(~flat[:, j])], axis=0)
        target = middle[:, j].mean() + shape
        for g, name in enumerate(names):
            here = table.domain == name
            x, own = table.x[here, j], knots[g, :, j]
            if flat[g, j]:
                expected = x - middle[g, j] + np.median(target)
            elif (np.diff(own) > 1e-6 * size[j]).all():
                expected = np.interp(x, own, target)
                expected = np.where(x < own[0], x - own[0] + target[0], expected)
                expected = np.where(x > own[-1], x - own[-1] + target[-1], expected)
            else:
                continue
            assert np.abs(found[here, j] - expected).max() <= 1e-4 * size[j]


@given(tables(), st.sampled_from(["all", "controls"]))
@pytest.mark.slow
def test_percentiles_are_what_numpy_says(table, on):
    hypothesis.assume(not far_or_near(table))
    rows, code = parts(table.x, table, on), np.unique(table.domain, return_inverse=True)[1]
    low, high = np.array([np.percentile(part, (1, 99), axis=0) for part in rows]).transpose(1, 0, 2)
    width = high - low
    flat = width <= 1e-6 * np.maximum(np.maximum(np.abs(low), np.abs(high)), width.max(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        others = np.where(flat, 0, width).sum(axis=0) / (~flat).sum(axis=0)
        width = np.where(flat, np.where(flat.all(axis=0), table.x.std(axis=0), others), width)
        expected = np.where(np.ptp(table.x, axis=0) > 0, (table.x - low[code]) / width[code], 0)
    found = model(Percentiles(on=on), table).transform(table.x, domain=table.domain)
    assert np.abs(found - expected).max() <= 1e-3 * max(np.abs(expected).max(), 1)


def root(symmetric: np.ndarray, power: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(symmetric)
    return vectors * np.maximum(values, 1e-300) ** power @ vectors.T


@given(tables(domains=3, rows=20))
@pytest.mark.slow
def test_whitening_and_coral_are_what_numpy_says(table):
    """Of features that vary in every domain, in double precision from first to last."""
    rows = parts(table.x, table, "all")
    keep = ~is_constant(rows).any(axis=0)
    hypothesis.assume(keep.any() and not far_or_near(table))
    table = table._replace(x=table.x[:, keep])
    rows, code = parts(table.x, table, "all"), np.unique(table.domain, return_inverse=True)[1]
    eye, x = np.eye(keep.sum()), table.x
    among = np.atleast_2d(np.cov(x, rowvar=False))
    unit = np.sqrt(np.diag(among))
    expected = (x - x.mean(axis=0)) / unit @ root(among / np.outer(unit, unit) + eye, -0.5)
    found = model(TypicalVariation(on="all"), table).transform(x, domain=table.domain)
    assert np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max()
    each = np.array([np.atleast_2d(np.cov(part, rowvar=False)) for part in rows])
    pooled, mean = each.mean(axis=0), np.array([part.mean(axis=0) for part in rows])
    unit = np.sqrt(np.diag(pooled))
    maps = [
        root(c / np.outer(unit, unit) + eye, -0.5) @ root(pooled / np.outer(unit, unit) + eye, 0.5)
        for c in each
    ]
    expected = np.array([(row - mean[g]) / unit @ maps[g] * unit for row, g in zip(x, code, strict=True)])
    found = model(Coral(on="all"), table).transform(x, domain=table.domain)
    close(found, expected + mean.mean(axis=0), table, rtol=1e-3)


# Tables here may have one domain, which no method with a source and a target can use.
CLOSED = {n: method for n, method in CONFIGURATIONS.items() if not isinstance(method, Trainable | Directed)}
every_closed_form = pytest.mark.parametrize("method", CLOSED.values(), ids=list(CLOSED))


@every_closed_form
@given(table=tables())
@pytest.mark.slow
def test_closed_forms_do_not_depend_on_how_a_table_is_written(method, table):
    """Order, precision and type of the rows, and the way through a file."""
    if refused(method, table):
        return
    moved = model(method, table).transform(table.x, domain=table.domain)
    assert np.isfinite(moved).all()
    order = np.random.default_rng(0).permutation(len(table.x))
    shuffled = Table(*(part[order] for part in table))
    np.testing.assert_array_equal(
        model(method, shuffled).transform(shuffled.x, domain=shuffled.domain), moved[order]
    )
    alone = model(method, table).transform(table.x[:1], domain=table.domain[:1])
    np.testing.assert_allclose(alone, moved[:1], rtol=1e-5, atol=1e-6 * np.abs(moved).max())
    fortran = table._replace(x=np.asfortranarray(table.x), domain=table.domain.astype(object))
    np.testing.assert_array_equal(model(method, fortran).transform(fortran.x, domain=table.domain), moved)


@every_closed_form
@given(table=tables())
@pytest.mark.slow
def test_a_domain_in_two_halves_is_corrected_as_one(method, table):
    """The same rows under two names: both come out alike."""
    if refused(method, table):
        return
    again = np.where(table.domain == "plate 0", "plate 0, too", "")
    twice = Table(
        np.vstack([table.x, table.x[again != ""]]),
        np.concatenate([table.domain, again[again != ""]]).astype(str),
        np.concatenate([table.control, table.control[again != ""]]),
    )
    fitted, rows = model(method, twice), table.x[again != ""]
    one, two = (
        fitted.transform(rows, domain=np.full(len(rows), name)) for name in ("plate 0", "plate 0, too")
    )
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5 * np.abs(one).max())


@every_closed_form
@given(table=tables(), value=st.sampled_from([0.0, 0.5, 1.0, 2.0, -1.0]))
@pytest.mark.slow
def test_values_that_a_domain_has_never_seen_are_not_blown_up(method, table, value):
    """A value as large as any in the table comes out no larger than a few times the largest, in every feature."""
    if isinstance(method, PREPARATIONS) or not method.keeps_units or refused(method, table):
        return
    fitted, largest = model(method, table), np.abs(table.x).max(axis=0)
    new = table.x[:1] * 0 + value * largest
    # Legitimate stretches: a domain whose spread is a thousandth of another's is stretched a thousand times.
    spread = np.array([part.std(axis=0) for part in parts(table.x, table, "all")])
    flat = is_constant(parts(table.x, table, "all"))
    stretch = np.where(flat, 1, spread.max(axis=0) / np.where(flat, 1, spread)).max(axis=0)
    for name in np.unique(table.domain):
        moved = fitted.transform(new, domain=[name])
        assert (np.abs(moved[0]) <= (4 * stretch.max() + 8) * largest.max() + 1e-30).all()


# A pair of domains is calibrated as many are, and takes as long.
TRAINED = {
    name: method
    for name, method in CONFIGURATIONS.items()
    if isinstance(method, Trainable) and name != "pairwise-calibration"
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
@hypothesis.settings(max_examples=3)
@given(table=tables(rows=12, columns=4, domains=3))
def test_trained_methods_stay_within_bounds_whatever_the_table(name, table):
    """Finite with logarithms; without, no feature leaves a table's own scale, and neither unit nor order matters."""
    method = TRAINED[name]
    for each in {method, without_logarithm(method)}:
        fitted = model(each, table, steps=CHUNK)
        moved = fitted.transform(table.x, domain=table.domain)
        assert np.isfinite(moved).all()
    each = without_logarithm(method)
    moved = model(each, table, steps=CHUNK).transform(table.x, domain=table.domain)
    wide = np.abs(table.x - table.x.mean(axis=0)).max(axis=0)
    assert (np.abs(moved - table.x.mean(axis=0)) <= 20 * wide + 1e-5 * np.abs(table.x).max(axis=0)).all()
    # Where gradients are as small as their rounding, Adam makes steps of it: a bug would be off by a whole spread.
    unit = np.array([1e-6, 2.0, 1e3, 1e-2])
    other = model(each, table._replace(x=table.x * unit), steps=CHUNK)
    again = other.transform(table.x * unit, domain=table.domain) / unit
    allowed = 0.1 * wide + 1e-5 * np.abs(table.x).max(axis=0) + 1e-30
    np.testing.assert_array_less(np.abs(again - moved).max(axis=0), allowed)


def test_the_tables_are_as_awkward_as_they_should_be():
    """Every kind of feature is drawn, and the default of joint calibration is among what is examined."""
    assert any(isinstance(method, type(JOINT)) for method in TRAINED.values())
    rng, domain = np.random.default_rng(0), np.repeat(["a", "b"], 5)
    drawn = {kind: column(rng, kind, domain) for kind in KINDS}
    assert all(len(values) == 10 and np.isfinite(values).all() for values in drawn.values())
    assert dataclasses.is_dataclass(JOINT)
