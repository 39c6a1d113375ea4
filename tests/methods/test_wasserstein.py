"""Wasserstein alignment: its objective against double differentiation pair by pair, its schedule, its promises."""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from problems import OPTIMISED, assert_close, assert_same_bytes, refusal, vary

from jbc.cohort import Cohort
from jbc.cohort.sampling import take
from jbc.errors import InputWarning
from jbc.losses.mmd import median_distance, mmd2_matrix
from jbc.losses.wasserstein import critic_terms, gaussian_terms, kernel_terms, sliced_terms
from jbc.methods import presets
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
        given = KEY, state, x_seen, method.weigh_pairs(rows)
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


@pytest.mark.slow
def test_golden_objective(data):
    path = data.parent / "goldens" / "wasserstein_objective.npz"
    if not path.is_file():
        pytest.skip("The goldens are not here: they lie beside the data")
    golden = np.load(path)
    cohort = SMALL.resolve(Cohort.from_arrays(golden["x"].reshape(60, 12), np.repeat(["0", "1", "2"], 20)))
    shared = jax.tree.map(jnp.asarray, cohort.shared)
    first = {"w": golden["W1"].swapaxes(1, 2), "b": golden["b1"]}
    head = [
        {"w": golden["W2"], "b": golden["b2"]},
        {"w": golden["w3"][..., None], "b": golden["b3"][:, None]},
    ]

    (block,) = nets.blocks(shared, "pairs")
    batch = nets.Batch(1, 3, 3, block.domain[0], block.members[0], block.slot[0])

    def terms(maps, first, head):
        a, b = nets.project(maps, first, golden["x"], batch, "pairs")
        gram = jnp.einsum("chd,ckd->chk", first["w"], first["w"])
        return critic_terms(head, gram, a, b, golden["eps"][..., 0], 10.0)

    def objective(*given):
        found = terms(*given)
        return (found.gap - found.penalty).mean()

    given = jax.tree.map(jnp.asarray, ({"matrix": golden["M"], "shift": golden["b"]}, first, head))
    found = terms(*given)
    for number in range(3):
        np.testing.assert_allclose(found.gap[number], golden[f"gap/{number}"], rtol=1e-5)
        np.testing.assert_allclose(found.penalty[number], golden[f"penalty/{number}"], rtol=1e-5)
    value, (maps, first, head) = jax.value_and_grad(objective, (0, 1, 2))(*given)
    np.testing.assert_allclose(value, golden["objective_mean_over_pairs"], rtol=1e-5)
    slopes = {
        "M": maps["matrix"], "b": maps["shift"], "W1": first["w"].swapaxes(1, 2), "b1": first["b"],
        "W2": head[0]["w"], "b2": head[0]["b"], "w3": head[1]["w"][..., 0], "b3": head[1]["b"][:, 0],
    }  # fmt: skip
    for name, slope in slopes.items():
        scale = np.abs(golden[f"grad/{name}"]).max()
        np.testing.assert_allclose(slope, golden[f"grad/{name}"], atol=1e-5 * max(scale, 1e-2), err_msg=name)


@pytest.mark.slow
def test_gaussian_distance_is_that_of_sample_moments():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(30, 4)), rng.normal(size=(30, 4)) @ rng.normal(size=(4, 4)) + 1
    a, b = (np.cov(x.T, bias=True) for x in (first, second))
    root = scipy.linalg.sqrtm(a)
    cross = np.trace(np.real(scipy.linalg.sqrtm(root @ b @ root)))
    expected = (
        np.square(first.mean(axis=0) - second.mean(axis=0)).sum() + np.trace(a) + np.trace(b) - 2 * cross
    )
    given = jnp.asarray(first[None], jnp.float32), jnp.asarray(second[None], jnp.float32)
    np.testing.assert_allclose(gaussian_terms(*given)[0], expected, rtol=1e-4)
    # Its slope, by differences in double precision.
    slope = jax.grad(lambda x: gaussian_terms(x, given[1])[0])(given[0])[0]
    shift = np.zeros_like(first)
    shift[3, 1] = 1e-2
    with jax.enable_x64(True):
        wide = jnp.asarray(second[None])
        up, down = (float(gaussian_terms(jnp.asarray((first + s)[None]), wide)[0]) for s in (shift, -shift))
    np.testing.assert_allclose(slope[3, 1], (up - down) / 2e-2, rtol=2e-3)


def test_sliced_distance_in_one_dimension_is_exact():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=40), 2 * rng.normal(size=40) + 1
    expected = np.square(np.sort(first) - np.sort(second)).mean()
    given = (jnp.asarray(x[None, :, None], jnp.float32) for x in (first, second))
    np.testing.assert_allclose(sliced_terms(KEY, *given, slices=3)[0], expected, rtol=1e-5)
    assert scipy.stats.wasserstein_distance(first, second) ** 2 <= expected


@pytest.mark.slow
def test_kernel_distance_is_the_mmd_of_each_pair():
    z = jax.random.normal(KEY, (2, 3, 10, 4))
    found = kernel_terms(z[0], z[1], (0.5, 1.0))
    for c in range(3):
        both = z[:, c]
        expected = mmd2_matrix(both, (0.5, 1.0), median_distance(both), unbiased=True)[0][0, 1]
        np.testing.assert_allclose(found[c], expected, atol=1e-6)


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


def test_presets():
    paper, reference = presets.wasserstein("paper"), presets.wasserstein("reference")
    assert (paper.training.critic_steps, paper.map_steps, paper.critic) == (1, 50, (2,))
    assert (reference.training.critic_steps, reference.map_steps, reference.critic) == (49, 1, (2, 2))
    for method in (paper, reference):
        assert (method.training.optimiser, method.training.linear_decay) == ("rmsprop", False)
    assert reference.steps(screen()) == 355_000


@pytest.mark.parametrize(
    ("critics", "h", "widths"), [(45, 2, ()), (45, 2, (2,)), (3, 8, (16,)), (900, 1, ())]
)
@pytest.mark.slow
def test_optimised_programs_say_the_same(critics, h, widths):
    """At the sizes of the paper, and fully optimised: jaxlib 0.10.2 has turned such sums into garbage."""
    rng, sizes = np.random.default_rng(0), (h, *widths, 1)
    head = [
        {"w": rng.normal(size=(critics, a, b)), "b": rng.normal(size=(critics, b))}
        for a, b in itertools.pairwise(sizes)
    ]
    first, second = rng.normal(size=(2, critics, h, 100))
    mix, basis = rng.random((critics, 100)), rng.normal(size=(critics, 20, h))
    gram = basis.swapaxes(1, 2) @ basis
    given = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (head, gram, first, second, mix))

    def terms(head, gram, first, second, mix):
        return tuple(critic_terms(head, gram, first, second, mix, 10.0))

    compiled = jax.jit(terms, compiler_options=OPTIMISED)(*given)

    def value(a):
        slopes = []
        for layer in head:
            slopes.append((1 / (1 + np.exp(-a)), layer["w"]))
            a = layer["w"].swapaxes(1, 2) @ np.logaddexp(0, a) + layer["b"][..., None]
        back = np.ones_like(a)
        for slope, w in reversed(slopes):
            back = (w @ back) * slope
        return a[:, 0], back

    mixed = mix[:, None] * first + (1 - mix[:, None]) * second
    slope = value(mixed)[1]
    length = np.sqrt(np.einsum("chm,chk,ckm->cm", slope, gram, slope))
    gap = (value(first)[0] - value(second)[0]).mean(axis=1)
    np.testing.assert_allclose(compiled[0], gap, atol=2e-5 * max(1, np.abs(gap).max()))
    penalty = 10 * np.square(np.maximum(length - 1, 0)).mean(axis=1)
    np.testing.assert_allclose(compiled[1], penalty, rtol=1e-4, atol=1e-4)
