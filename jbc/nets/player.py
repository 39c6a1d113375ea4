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


class PlayerState(TrainState):
    """A Flax TrainState with the running statistics of its norms, trained at a rate given at each update.

    With an ``ema_decay`` above 0, ``ema_params`` is the exponential moving average of the parameters, which inference
    takes.

    Examples
    --------
    >>> state = PlayerState.of_params({"w": jnp.array(1.0)}, optax.identity())
    >>> float(state.update({"w": jnp.array(2.0)}, rate=0.25).params["w"])  # 1 - 0.25 · 2
    0.5
    """

    running: Any = None
    ema_params: Any = None
    ema_decay: float = struct.field(pytree_node=False, default=0.0)

    @classmethod
    def of_params(
        cls,
        params: Any,
        tx: optax.GradientTransformation,
        *,
        apply_fn: Any = None,
        running: Any = None,
        ema_decay: float = 0.0,
    ) -> PlayerState:
        """Return a state that starts from these parameters."""
        state = cls.create(apply_fn=apply_fn, params=params, tx=tx, running=running)
        # A step that is a Python int would recompile every program that takes it, and one array under two
        # names cannot be donated.
        ema_params = jax.tree.map(jnp.copy, params) if ema_decay else None
        return state.replace(step=jnp.int32(0), ema_params=ema_params, ema_decay=ema_decay)

    @classmethod
    def of_net(
        cls,
        net: nn.Module,
        tx: optax.GradientTransformation,
        key: Array,
        x: Array,
        *,
        copies: int | None = None,
        ema_decay: float = 0.0,
    ) -> PlayerState:
        """Initialise a network on an example input, or several copies of it, stacked.

        ``net`` and ``tx`` are compared by identity inside compiled programs: build them once a configuration.
        """
        keys = key if copies is None else jax.random.split(key, copies)
        init = net.init if copies is None else jax.vmap(net.init, in_axes=(0, None))
        variables = init(keys, x)
        running = variables.get("running", {})
        return cls.of_params(
            variables.get("params", {}), tx, apply_fn=net.apply, running=running, ema_decay=ema_decay
        )

    @property
    def inference_params(self) -> Any:
        """The parameters that inference takes, which are the moving average where there is one."""
        return self.ema_params if self.ema_decay else self.params

    def update(self, grads: Any, rate: Array | float, running: Any = None) -> PlayerState:
        """Return the state after one update of the optimiser, scaled by ``-rate``; the average follows."""
        updates, opt_state = self.tx.update(grads, self.opt_state, self.params)
        params = optax.apply_updates(self.params, jax.tree.map(lambda u: -rate * u, updates))
        kept, ema_params, step = self.running if running is None else running, self.ema_params, self.step + 1
        if self.ema_decay:
            # A young average forgets faster, or it would remember the start of a short training.
            decay = jnp.minimum(self.ema_decay, step / (step + 10.0))
            ema_params = optax.incremental_update(params, ema_params, 1 - decay)
        return self.replace(
            step=step, params=params, opt_state=opt_state, running=kept, ema_params=ema_params
        )

    def restart(self, when: Array) -> PlayerState:
        """Return the state with the optimiser's moments forgotten where ``when`` is true."""
        fresh = self.tx.init(self.params)
        return self.replace(
            opt_state=jax.tree.map(lambda new, old: jnp.where(when, new, old), fresh, self.opt_state)
        )
