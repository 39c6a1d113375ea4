"""What all losses promise: the same numbers with jit and without, and wrong shapes refused while tracing."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from jbc.losses import adversarial, alignment, cross_entropy, mmd2_matrix, squared_error
from jbc.losses.mmd import mmd2_between, mmd2_to
from jbc.losses.wasserstein import critic_terms, gaussian_terms, kernel_terms, sliced_terms

KEY = jax.random.key(0)
Z = jax.random.normal(KEY, (2, 6, 3))
LABEL = jnp.array([[0, 1, -1, 1, 0, 1]] * 2)
HEAD = [{"w": jnp.ones((2, 6, 1)), "b": jnp.zeros((2, 1))}]
ROWS = jnp.array([[1.0, 0.0, 2.0, 1.0, 3.0, 0.5]] * 2)
PAIRS = jnp.stack([ROWS, ROWS + 1])
GRAM, MIX = jnp.stack([jnp.eye(6)] * 2), jnp.full((2, 3), 0.3)

LOSSES = {
    "mmd of all pairs": (lambda z: mmd2_matrix(z, (1.0, 2.0))[0], (Z,)),
    "mmd to a target": (lambda z, y: mmd2_to(z, y, (1.0,))[0], (Z, Z[0])),
    "alignment": (alignment, (jnp.ones((3, 3)),)),
    "weighted MMD of all pairs": (
        lambda z, w: mmd2_matrix(z, (1.0, 2.0), unbiased=True, weight=w),
        (Z, PAIRS),
    ),
    "weighted MMD to a target": (lambda z, y, w: mmd2_to(z, y, (1.0,), 1.3, weight=(w, w)), (Z, Z[0], ROWS)),
    "weighted alignment": (lambda a, s: alignment(a, share=s), (jnp.ones((3, 3)), jnp.ones((3, 3)))),
    "cross-entropy": (cross_entropy, (Z, LABEL)),
    "squared error": (squared_error, (Z, Z + 1)),
    "discriminator": (lambda a, b: adversarial.discriminator_loss("hinge", a, b), (Z[0], Z[1])),
    "generator": (lambda a: adversarial.generator_loss("squares", a), (Z,)),
    "gradient penalty": (adversarial.gradient_penalty, (Z,)),
    "critics": (lambda a, b: critic_terms(HEAD, GRAM, a, b, MIX, 1.0), (Z, Z + 1)),
    "Gaussian": (gaussian_terms, (Z, Z + 1)),
    "sliced": (lambda a, b: sliced_terms(KEY, a, b, slices=5), (Z, Z + 1)),
    "kernels": (lambda a, b: kernel_terms(a, b, (1.0,)), (Z, Z + 1)),
    "weighted discriminator": (
        lambda a, b, w: adversarial.discriminator_loss("logistic", a, b, weight=(w, w)),
        (Z[..., 0], Z[..., 1], ROWS),
    ),
    "weighted generator": (lambda a, w: adversarial.generator_loss("hinge", a, w), (Z[..., 0], ROWS)),
    "weighted gradient penalty": (adversarial.gradient_penalty, (9 * Z, ROWS)),
    "weighted accuracy": (lambda a, b, w: adversarial.accuracy(a, b, (w, w)), (Z[..., 0], Z[..., 1], ROWS)),
    "weighted critics": (
        lambda a, b, w: critic_terms(HEAD, GRAM, a, b, MIX, 1.0, (w, w)),
        (Z, Z + 1, ROWS[:, :3]),
    ),
    "weighted Gaussian": (lambda a, b, w: gaussian_terms(a, b, (w, w)), (Z, Z + 1, ROWS)),
    "weighted sliced": (lambda a, b, w: sliced_terms(KEY, a, b, slices=5, weight=(w, w)), (Z, Z + 1, ROWS)),
    "weighted kernels": (lambda a, b, w: kernel_terms(a, b, (1.0,), 1.3, weight=(w, w)), (Z, Z + 1, ROWS)),
}
WRONG = {
    "fewer rows on one side": (lambda: mmd2_between(Z[0], Z[1, :4], (1.0,)), "different shapes"),
    "no axis of domains": (lambda: mmd2_matrix(Z[0], (1.0,)), "rank"),
    "a matrix of pairs that is not square": (lambda: alignment(jnp.ones((2, 3))), "shape"),
    "labels of other rows": (lambda: cross_entropy(Z, LABEL[:, :1]), "shape"),  # would broadcast in silence
    "reconstructions of one domain": (lambda: squared_error(Z, Z[:1]), "different shapes"),
    "scores that broadcast": (lambda: adversarial.discriminator_loss("hinge", Z, Z[:1]), "different shapes"),
    "one mix for all critics": (lambda: critic_terms(HEAD, GRAM, Z, Z, MIX[:1], 1.0), "shape"),
    "groups of one critic": (lambda: gaussian_terms(Z, Z[:1]), "different shapes"),
    "weights of a domain": (lambda: mmd2_matrix(Z, (1.0,), weight=ROWS), "shape"),
    "weights of one target": (lambda: mmd2_to(Z, Z[0], (1.0,), weight=(ROWS, ROWS[0])), "shape"),
    "weights of other rows": (lambda: kernel_terms(Z, Z, (1.0,), weight=(ROWS, ROWS[:, :1])), "shape"),
    "Gaussians with weights of one pair": (lambda: gaussian_terms(Z, Z, (ROWS, ROWS[:1])), "shape"),
    "slices with weights of one pair": (lambda: sliced_terms(KEY, Z, Z, weight=(ROWS, ROWS[:1])), "shape"),
    "critics with weights of one pair": (
        lambda: critic_terms(HEAD, GRAM, Z, Z, MIX, 1.0, (MIX, MIX[:1])),
        "shape",
    ),
    "scores with weights that broadcast": (
        lambda: adversarial.discriminator_loss("hinge", Z[0], Z[1], weight=(Z[0], Z[0, :1])),
        "different shapes",
    ),
    "generated rows with weights that broadcast": (
        lambda: adversarial.generator_loss("hinge", Z[0], Z[0, :1]),
        "different shapes",
    ),
    "shares of other pairs": (
        lambda: alignment(jnp.ones((3, 3)), share=jnp.ones((3, 1))),
        "different shapes",
    ),
}


class LossTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)  # pyright: ignore[reportCallIssue]
    @parameterized.parameters(*LOSSES)
    def test_jit_changes_no_loss(self, name):
        loss, arrays = LOSSES[name]
        found = self.variant(loss)(*arrays)
        chex.assert_tree_all_finite(found)
        chex.assert_trees_all_close(found, loss(*arrays), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", WRONG)
def test_arrays_of_the_wrong_shape_are_refused_while_tracing(name):
    call, words = WRONG[name]
    with pytest.raises(AssertionError, match=words):
        jax.eval_shape(call)


def test_a_loss_is_traced_once_for_equal_shapes():
    loss = jax.jit(chex.assert_max_traces(lambda z: mmd2_matrix(z, (1.0, 2.0))[0], n=1))
    first, second = loss(Z), loss(Z + 1)
    np.testing.assert_allclose(first, second, atol=1e-5)
