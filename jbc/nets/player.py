"""The train state that carries a network."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from flax.training.train_state import TrainState
from jax import Array


class Player(TrainState):
    """A Flax TrainState with the running statistics of its norms, trained at a rate given at each update.

    With a ``memory`` above 0, ``slow`` is the moving average of the parameters, which inference takes.
    """

    running: Any = None
    slow: Any = None
    memory: float = struct.field(pytree_node=False, default=0.0)

    @classmethod
    def make(
        cls,
        net: nn.Module,
        tx: optax.GradientTransformation,
        key: Array,
        x: Array,
        *,
        copies: int | None = None,
        memory: float = 0.0,
    ) -> Player:
        """Initialise a network on an example input, or several copies of it, stacked.

        ``net`` and ``tx`` are compared by identity inside compiled programs: build them once a configuration.
        """
        keys = key if copies is None else jax.random.split(key, copies)
        init = net.init if copies is None else jax.vmap(net.init, in_axes=(0, None))
        variables = init(keys, x)
        state = cls.create(
            apply_fn=net.apply, params=variables["params"], tx=tx, running=variables.get("running", {})
        )
        # A step that is a Python int would recompile every program that takes it, and one array under two
        # names cannot be donated.
        slow = jax.tree.map(jnp.copy, state.params) if memory else None
        return state.replace(step=jnp.int32(0), slow=slow, memory=memory)

    @property
    def settled(self) -> tuple[Any, Any]:
        """The parameters for inference, and the running statistics."""
        return (self.slow if self.memory else self.params), self.running

    def update(self, grads: Any, rate: Array | float, running: Any = None) -> Player:
        """Apply one update of the optimiser, scaled by ``-rate``; the average follows."""
        updates, opt_state = self.tx.update(grads, self.opt_state, self.params)
        params = optax.apply_updates(self.params, jax.tree.map(lambda u: -rate * u, updates))
        kept, slow, step = self.running if running is None else running, self.slow, self.step + 1
        if self.memory:
            # A young average forgets faster, or it would remember the start of a short training.
            memory = jnp.minimum(self.memory, step / (step + 10.0))
            slow = jax.tree.map(lambda old, new: memory * old + (1 - memory) * new, slow, params)
        return self.replace(step=step, params=params, opt_state=opt_state, running=kept, slow=slow)

    def restart(self, when: Array) -> Player:
        """Forget the optimiser's moments where ``when`` is true."""
        fresh = self.tx.init(self.params)
        return self.replace(
            opt_state=jax.tree.map(lambda new, old: jnp.where(when, new, old), fresh, self.opt_state)
        )
