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
GRAM, MIX = jnp.stack([jnp.eye(6)] * 2), jnp.full((2, 3), 0.3)

LOSSES = {
    "mmd of all pairs": (lambda z: mmd2_matrix(z, (1.0, 2.0))[0], (Z,)),
    "mmd to a target": (lambda z, y: mmd2_to(z, y, (1.0,))[0], (Z, Z[0])),
    "alignment": (alignment, (jnp.ones((3, 3)),)),
    "cross-entropy": (cross_entropy, (Z, LABEL)),
    "squared error": (squared_error, (Z, Z + 1)),
    "discriminator": (lambda a, b: adversarial.discriminator_loss("hinge", a, b), (Z[0], Z[1])),
    "generator": (lambda a: adversarial.generator_loss("squares", a), (Z,)),
    "gradient penalty": (adversarial.gradient_penalty, (Z,)),
    "critics": (lambda a, b: critic_terms(HEAD, GRAM, a, b, MIX, 1.0), (Z, Z + 1)),
    "Gaussian": (gaussian_terms, (Z, Z + 1)),
    "sliced": (lambda a, b: sliced_terms(KEY, a, b, slices=5), (Z, Z + 1)),
    "kernels": (lambda a, b: kernel_terms(a, b, (1.0,)), (Z, Z + 1)),
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
