"""Wasserstein alignment: its objective against double differentiation pair by pair, its schedule, its promises."""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import assert_close, assert_same_bytes, refusal, vary

from jbc.cohort import Cohort
from jbc.cohort.sampling import take
from jbc.errors import InputWarning
from jbc.losses.wasserstein import gaussian_terms, kernel_terms, sliced_terms
from jbc.methods import wasserstein_pairs as nets
from jbc.methods.distance_alignment import DistanceAlignment
from jbc.methods.prepare import prepare
from jbc.methods.settings import AdversarialTraining, Kernel
from jbc.methods.wasserstein import WassersteinAlignment
from jbc.numerics.noise import fractions
from jbc.train import fit

KEY = jax.random.key(0)
D, M = 5, 6
SMALL = WassersteinAlignment(
    form="pairs", critic=(2, 3), width=2, training=AdversarialTraining(rows=M, updates=500)
)
# Treatment 0 is in all domains, 1 in three, 2 and 3 in two, 4 in one.
DESIGN = {0: (0, 1, 2, 3), 1: (0, 2, 3), 2: (1, 2), 3: (0, 3), 4: (1,)}


def screen(seed: int = 0, rows: int = 8) -> Cohort:
    """A ragged screen whose domains are shifted."""
    rng = np.random.default_rng(seed)
    cells = [(t, g) for t, domains in DESIGN.items() for g in domains]
    treatment, domain = np.repeat(np.array(cells), rows, axis=0).T
    x = (
        rng.normal(size=(len(domain), D))
        + rng.normal(size=(4, D))[domain]
        + rng.normal(size=(5, D))[treatment]
    )
    return Cohort.from_arrays(x, domain.astype(str), treatment=treatment.astype(str))


def shaken(tree, seed: int = 0, spread: float = 0.3):
    """Parameters away from their start, where all derivatives are at work."""
    leaves, shape = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    noisy = [
        leaf + spread * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(shape, noisy)


def pairs_in_order(cohort: Cohort, form: str):
    """Cells of every pair, written as loops: blocks by number of domains, then treatments, then pairs."""
    for treatment in sorted(DESIGN, key=lambda t: (len(DESIGN[t]), t)):
        if len(DESIGN[treatment]) > 1:
            among = DESIGN[treatment]
            both = (
                itertools.product(among, among) if form == "barycentre" else itertools.combinations(among, 2)
            )
            yield from ((treatment, i, j) for i, j in both)


def mapped(maps, x, g):
    own = jax.tree.map(lambda leaf: leaf[g], maps)
    if "matrix" in own:
        return x @ own["matrix"] + own["shift"]
    inner = x @ own["down"]
    if "bias" in own:
        inner = jnp.log1p(jnp.exp(inner + own["bias"])) - jnp.log(2.0)
    return x + inner @ own["up"] + own["shift"]


def naive(maps, critics, cells, mix, cohort, form, gamma):
    """Gap and penalty of every pair by two nested derivatives, one pair and one row at a time."""
    gaps, penalties = [], []
    for number, (treatment, i, j) in enumerate(pairs_in_order(cohort, form)):
        own = jax.tree.map(lambda leaf, n=number: leaf[n], critics)

        def critic(row, own=own):
            a = own["first"]["w"] @ row + own["first"]["b"]
            for layer in own["head"]:
                a = jnp.log1p(jnp.exp(a)) @ layer["w"] + layer["b"]
            return a[0]

        first = cells[treatment, i] if form == "barycentre" else mapped(maps, cells[treatment, i], i)
        second = mapped(maps, cells[treatment, j], j)
        gaps.append(jax.vmap(critic)(first).mean() - jax.vmap(critic)(second).mean())
        between = mix[number][:, None] * first + (1 - mix[number][:, None]) * second
        length = jnp.linalg.norm(jax.vmap(jax.grad(critic))(between), axis=1)
        penalties.append(gamma * jnp.square(jnp.maximum(length - 1, 0)).mean())
    return jnp.stack(gaps), jnp.stack(penalties)


def terms_of(method, state, maps, critics, x):
    """Estimate all distances, by batches of treatments."""
    own = method._pair_data(KEY, state, x) | {"critics": critics}

    def one(_, batch, x, own):
        return None, method._terms(maps, own, batch, x)

    return nets.batchwise(one, None, state.shared, method.form, x, own)[1]


@pytest.mark.parametrize(
    ("family", "form"), [("affine", "pairs"), ("low-rank", "pairs"), ("residual", "barycentre")]
)
@pytest.mark.slow
def test_the_objective_of_a_ragged_screen(family, form):
    method = vary(SMALL, maps=family, form=form, scale="none", gamma=3.0)
    cohort = method.resolve(screen())
    state = jax.jit(method.init)(KEY, cohort.without_names())
    plan = method.draw.plan(KEY, cohort, 0, 1)[0]
    rows = take(cohort, plan, method.draw)
    codes = list(zip(cohort.shared.cells.treatment.tolist(), rows.domain.tolist(), strict=True))
    assert codes == [(t, g) for t in (2, 3, 1, 0) for g in DESIGN[t]]
    cells = dict(zip(codes, rows.x, strict=True))
    maps, critics = shaken(state.maps.params), shaken(state.critics.params, 1, spread=1.0)
    mix = fractions(KEY, (len(state.weight), M))

    def ours(maps, critics):
        terms = terms_of(method, state, maps, critics, rows.x)
        return (state.weight * (terms.gap - terms.penalty)).sum(), terms

    def theirs(maps, critics):
        gap, penalty = naive(maps, critics, cells, mix, cohort, form, 3.0)
        return (state.weight * (gap - penalty)).sum(), (gap, penalty)

    (_, terms), grads = jax.jit(jax.value_and_grad(ours, (0, 1), has_aux=True))(maps, critics)
    with jax.enable_x64(True):  # nested derivatives lose digits, ours do not
        maps, critics, cells = jax.tree.map(
            lambda x: jnp.asarray(np.asarray(x), float), (maps, critics, cells)
        )
        (_, expected), slopes = jax.jit(jax.value_and_grad(theirs, (0, 1), has_aux=True))(maps, critics)
    assert float(terms.penalty.max()) > 0.1
    assert_close(tuple(terms), expected, rtol=1e-5)
    assert_close(grads, slopes, rtol=1e-5)


@pytest.mark.slow
def test_narrow_and_wide_critics_fold_or_move_alike():
    """With few rows it is cheaper to move them than to fold the map into the critics: the results agree."""
    cohort = SMALL.resolve(screen())
    for critic in ((1,), (M,)):
        method = vary(SMALL, critic=critic, scale="none")
        state = jax.jit(method.init)(KEY, cohort.without_names())
        maps, x = (
            shaken(state.maps.params),
            take(cohort, method.draw.plan(KEY, cohort, 0, 1)[0], method.draw).x,
        )
        codes = state.shared.cells.domain
        moved = jnp.stack([mapped(maps, rows, int(g)) for rows, g in zip(x, codes, strict=True)])
        identity = nets.make_maps(KEY, "affine", 4, D, 1)
        expected = terms_of(method, state, identity, state.critics.params, moved)
        found = terms_of(method, state, maps, state.critics.params, x)
        assert_close(tuple(found), tuple(expected), rtol=2e-5)


@pytest.mark.slow
def test_batches_of_treatments_change_nothing(monkeypatch):
    """Treatments one at a time, two at a time with one left over, or all at once: the same step."""
    rng, steps = np.random.default_rng(0), {}
    domain, treatment = (code.ravel().astype(str) for code in np.indices((2, 5)).repeat(4, axis=2))
    x = rng.normal(size=(len(domain), D)) + (domain == "1")[:, None]
    method = vary(SMALL, identity=0.3, critic=(2,))
    for pairs, batches in ((1, [5]), (4, [2, 1]), (1024, [1])):
        monkeypatch.setattr("jbc.cohort.groups.PAIRS", pairs)
        cohort = method.resolve(Cohort.from_arrays(x, domain, treatment=treatment))
        assert [len(members) for members in cohort.shared.members] == batches
        state = jax.jit(method.init)(KEY, cohort.without_names())
        rows = take(cohort, method.draw.plan(KEY, cohort, 0, 1)[0], method.draw)
        x_seen = method.inputs.apply(state.tables, rows.x, rows.domain[:, None])
        given = KEY, state, x_seen, method.weigh_pairs(rows, state.shared)
        after = [jax.jit(part)(*given) for part in (method._critic_step, method._map_step)]
        steps[pairs] = [(new.maps.params, new.critics.params, info) for new, info in after]
    assert_close(steps[1], steps[1024], rtol=2e-5)
    assert_close(steps[4], steps[1024], rtol=2e-5)


@pytest.mark.slow
def test_a_rate_that_has_fallen_to_nothing_stays_there():
    method = DistanceAlignment(form="pairs", rows=M, updates=10)
    short, long = (fit(method, screen(), KEY, steps=steps, chunk=10).fitted for steps in (10, 20))
    assert_same_bytes(short, long)


def test_controls_alone_are_warned_of():
    cohort = screen()
    control = np.asarray(cohort.treatment) == 0
    given = Cohort.from_arrays(cohort.x, cohort.domain, control=control)
    with pytest.warns(InputWarning, match="Only controls are shared"):
        prepare(SMALL, given)
    for more in ({"treatment": cohort.treatment, "control": control}, {}):
        prepare(SMALL, Cohort.from_arrays(cohort.x, cohort.domain, **more))


def weights_of(**settings):
    method = vary(SMALL, **settings)
    return method.init(KEY, method.resolve(screen())).weight


@pytest.mark.slow
def test_weights_are_means_over_treatments_of_means_over_pairs():
    np.testing.assert_allclose(weights_of(), [1 / 4] * 2 + [1 / 12] * 3 + [1 / 24] * 6, rtol=1e-6)
    by_rows = [2 / 11] * 2 + [1 / 11] * 3 + [4 / 66] * 6
    np.testing.assert_allclose(weights_of(treatments="rows"), by_rows, rtol=1e-6)


@pytest.mark.slow
def test_treatments_can_be_weighed_by_name():
    """Treatment 0 comes last, for it is in most domains."""
    found = weights_of(importance=(("0", 3.0),))
    np.testing.assert_allclose(found, [1 / 6] * 2 + [1 / 18] * 3 + [3 / 36] * 6, rtol=1e-6)
    # They have 16, 16, 24 and 32 rows, of which the last count three times; what one domain has does not matter.
    found = weights_of(importance=(("4", 9.0), ("0", 3.0)), treatments="rows")
    np.testing.assert_allclose(found, [2 / 19] * 2 + [1 / 19] * 3 + [2 / 19] * 6, rtol=1e-6)
    cohort = DistanceAlignment(importance=(("2", 2.0),)).resolve(screen())
    told = dict(zip(cohort.shared.cells.treatment.tolist(), cohort.shared.importance.tolist(), strict=True))
    assert told == {0: 1, 1: 1, 2: 2, 3: 1}


def test_importance_of_a_treatment_that_there_is_not_is_refused():
    with refusal("unknown-treatment") as caught:
        prepare(vary(SMALL, importance=(("0", 2.0), ("nothing", 2.0))), screen())
    assert "the cohort does not have: 'nothing'" in str(caught.value)
    assert "Its treatments are '0', '1', '2', '3', '4'" in str(caught.value)
    with refusal("bad-setting") as caught:
        prepare(vary(SMALL, importance=(("0", -1.0),)), screen())
    assert "importance=(('0', -1.0),) is not" in str(caught.value)
    with refusal("unknown-treatment"):
        prepare(vary(SMALL, importance=(("0", 2.0),)), Cohort.from_arrays(np.eye(4), list("aabb")))


MEASURED = {
    "gaussian": (DistanceAlignment(), gaussian_terms),
    "sliced": (DistanceAlignment(distance="sliced"), lambda a, b: sliced_terms(KEY, a, b)),
    "mmd": (
        DistanceAlignment(distance="mmd", kernel=Kernel((0.5, 1.0))),
        lambda a, b: kernel_terms(a, b, (0.5, 1.0)),
    ),
    "mmd, as in print": (
        DistanceAlignment(distance="mmd", kernel=Kernel((2.0, 4.0), "fixed", unbiased=False)),
        lambda a, b: kernel_terms(a, b, (2.0, 4.0), 1.0, unbiased=False),
    ),
}


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.slow
def test_distances_are_measured_in_every_minibatch_and_need_no_critics(name):
    """A method of its own: no critics, no turns, and what it descends on is the mean distance of pairs."""
    method, distance = MEASURED[name]
    method = vary(method, form="pairs", scale="none", rows=M)
    cohort = method.resolve(screen())
    assert method.steps(cohort) == method.updates == 800
    state = method.init(KEY, cohort.without_names())
    assert state.critics is None
    rows = take(cohort, method.draw.plan(KEY, cohort, 0, 1)[0], method.draw)
    cells = dict(
        zip(
            zip(cohort.shared.cells.treatment.tolist(), rows.domain.tolist(), strict=True),
            rows.x,
            strict=True,
        )
    )
    # The maps begin as the identity.
    each = [distance(cells[t, i][None], cells[t, j][None])[0] for t, i, j in pairs_in_order(cohort, "pairs")]
    after, info = jax.jit(method.step)(KEY, state, rows)
    np.testing.assert_allclose(info["distance"], (state.weight * jnp.stack(each)).sum(), rtol=1e-4, atol=1e-6)
    assert (float(info["moved"]), float(info["transforms"]), float(info["penalty"])) == (1, 1, 0)
    assert not np.array_equal(after.maps.params["matrix"], state.maps.params["matrix"])
    assert not hasattr(method, "gamma")
    assert not isinstance(method, WassersteinAlignment)


def gaps(cohort, moved) -> float:
    """Largest distance between the domain means of a shared treatment, in units of the spread."""
    found = []
    for treatment in (0, 1, 2, 3):
        rows = cohort.treatment == treatment
        means = [moved[rows & (cohort.domain == g)].mean(axis=0) for g in DESIGN[treatment]]
        found.append(max(np.linalg.norm(a - b) for a, b in itertools.combinations(means, 2)))
    return max(found) / moved.std(axis=0).mean()


CRITICS = WassersteinAlignment(
    pretrain=300, training=AdversarialTraining(rows=20, updates=200, map_rate=1e-2, critic_rate=3e-3)
)
DISTANCE = DistanceAlignment(rows=20, updates=200, learning_rate=1e-2)


@pytest.mark.parametrize(
    ("method", "changes"),
    [(CRITICS, {}), (CRITICS, {"maps": "residual", "width": 8}), (CRITICS, {"form": "pairs"}), (DISTANCE, {}),
     (DISTANCE, {"distance": "sliced"}), (DISTANCE, {"distance": "mmd", "form": "pairs"})],
    ids=lambda part: str(part) if isinstance(part, dict) else type(part).__name__,
)  # fmt: skip
@pytest.mark.slow
def test_training_brings_domains_together(method, changes):
    cohort, method = screen(rows=40), vary(method, **changes)
    before = gaps(cohort, cohort.x)
    fitted = fit(method, cohort, KEY).fitted
    moved = method.transform(fitted, jnp.asarray(cohort.x), jnp.asarray(cohort.domain))
    assert gaps(cohort, np.asarray(moved)) < 0.7 * before


@pytest.mark.slow
def test_maps_begin_as_the_identity_and_wait_for_the_critics():
    cohort, method = screen(), vary(SMALL, pretrain=20, critic_steps=3, map_steps=2)
    assert method.steps(cohort) == 20 + 250 * 5
    x, domain = jnp.asarray(cohort.x), jnp.asarray(cohort.domain)
    run = fit(method, cohort, KEY, steps=20, chunk=20)
    np.testing.assert_allclose(method.transform(run.fitted, x, domain), x, atol=1e-5)
    assert run.history[-1]["transforms"] == 0
    run = fit(method, cohort, KEY, steps=30, chunk=5)
    assert [row["transforms"] for row in run.history[4:]] == [pytest.approx(0.4)] * 2
    assert int(run.state.critics.step) == 26


@pytest.mark.slow
def test_maps_stand_still_while_no_distance_is_seen():
    method = vary(SMALL, pretrain=1, critic_steps=1)
    cohort = method.resolve(screen())
    state = method.init(KEY, cohort)
    blind = jax.tree.map(jnp.zeros_like, state.critics.params)
    state = state.replace(critics=state.critics.replace(params=blind), step=jnp.int32(2))
    rows = take(cohort, method.draw.plan(KEY, cohort, 0, 1)[0], method.draw)
    after, info = jax.jit(method.step)(KEY, state, rows)
    assert (float(info["transforms"]), float(info["moved"])) == (1, 0)
    assert_same_bytes(after.maps, state.maps)


@pytest.mark.slow
def test_rows_of_unshared_treatments_have_no_influence():
    cohort = screen()
    alone = np.asarray(cohort.treatment) == 4
    assert alone.sum() == 8
    other = dataclasses.replace(cohort, x=np.where(alone[:, None], 99, cohort.x).astype(np.float32))
    fits = [fit(SMALL, each, KEY, steps=30, chunk=10).fitted for each in (cohort, other)]
    assert_same_bytes(*fits)


def test_controls_are_aligned_where_no_treatment_is_given():
    cohort = screen()
    control = np.asarray(cohort.treatment) == 1
    names = np.array(cohort.names.domains)[cohort.domain]
    given = SMALL.resolve(Cohort.from_arrays(cohort.x, names, control=control))
    assert given.shared.blocks == ((1, 3),)
    assert given.shared.cells.domain.tolist() == [0, 2, 3]
    assert SMALL.resolve(Cohort.from_arrays(cohort.x, names)).shared.blocks == ((1, 4),)


def test_nothing_shared_is_refused():
    lonely = Cohort.from_arrays(np.ones((4, 2)) * np.arange(4)[:, None], list("aabb"), treatment=list("xyzw"))
    with refusal("nothing-shared"):
        prepare(SMALL, lonely)
