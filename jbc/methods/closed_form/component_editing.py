"""Component editing: neuron editing with principal components in the place of neurons."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp

from jbc.cohort import Cohort
from jbc.methods import preconditions
from jbc.methods.autoencoders import build
from jbc.methods.base import ClosedForm, Fitted
from jbc.methods.constraints import Positive
from jbc.methods.editing import EDITED_SCALES, EDITING, Editing, EditsLayers
from jbc.methods.inputs import Inputs
from jbc.methods.settings import ROUTE, Route
from jbc.nets import Autoencoder
from jbc.numerics.linalg import principal


@dataclasses.dataclass(frozen=True)
class ComponentEditing(EditsLayers, ClosedForm):
    """Edit principal components from where they lie in a source to where they lie in the target.

    What :class:`~jbc.methods.neuron_editing.NeuronEditing` does to neurons, of which its paper makes a comparison:
    the encoder gives the first principal components of the rows of all domains, and the decoder what they stand for.

    Parameters
    ----------
    route
        Which domains move where, and which are extrapolated; by default all others move to the largest one.
    inputs
        Logarithm, level of the row, and standardisation of the inputs, over all rows (``scale="pooled"``) or none.
    components
        Number of components, at most as many as there are features.
    editing
        Which layers are edited, and how: 0 are the measurements, 1 the components, 2 the measurements after them.

    References
    ----------
    "Beyond GANs: transforming without a target distribution" (neuron editing).

    Examples
    --------
    >>> cohort = Cohort.from_arrays([[0.0], [1.0], [2.0], [5.0], [6.0], [7.0], [8.0]], list("aaabbbb"))
    >>> method = ComponentEditing(route=Route(target="b"), editing=Editing(cautious=False))
    >>> fitted = method.finish(None, method.resolve(cohort))
    >>> method.transform(fitted, jnp.array([[1.0], [6.0]]), jnp.array([0, 1])).round(1).tolist()
    [[6.5], [6.0]]
    """

    route: Route = ROUTE
    inputs: Inputs = Inputs(log=False, level="keep", scale="pooled", subspace="auto")
    components: Positive = 10
    editing: Editing = EDITING

    def check(self, cohort: Cohort) -> None:
        """Refuse sources without a measured counterpart in the target, and settings that contradict each other."""
        preconditions.scale_is_one_of(self.inputs.scale, *EDITED_SCALES)
        self.editing.check(cohort, 2, [])

    def finish(self, state: None, cohort: Cohort) -> Fitted:
        """Return the components, and the edits of every domain."""
        del state
        return _finish(self, cohort.without_names())

    def net(self, d: int) -> Autoencoder:
        """Return the autoencoder of rows with ``d`` values."""
        return build((min(self.components, d),), d, linear=True)


@partial(jax.jit, static_argnums=0)
def _finish(method: ComponentEditing, cohort: Cohort) -> Fitted:
    tables, net = method.tables(cohort), method.net(cohort.width)
    z = method.inputs.apply(tables, jnp.asarray(cohort.x), jnp.asarray(cohort.domain))
    weight = jnp.asarray(cohort.counts)
    if weight.ndim == 1:
        mean = weight @ z / weight.sum()
    else:
        mean = (weight * z).sum(axis=0) / jnp.maximum(weight.sum(axis=0), 1)
    basis = principal(z - mean, weight, net.size(1))
    params = {
        "layers_0": {"kernel": basis, "bias": -mean @ basis},
        "layers_1": {"kernel": basis.T, "bias": mean},
    }
    return method.editing.finish(net, params, method.inputs, tables, cohort)
