"""Many steps of an optimiser as one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

__all__ = ["Step", "TrainState", "train_step"]

ValueAndGradient: TypeAlias = Callable[..., tuple[Array, Any]]
"""From the parameters and the arrays of a batch to the loss and its gradient in the parameters."""


class Optimiser(Protocol):
    """What is asked of an ``optax.GradientTransformation``."""

    @property
    def init(self) -> Callable[[Any], Any]: ...

    @property
    def update(self) -> Callable[..., tuple[Any, Any]]: ...


class TrainState(NamedTuple):
    """Everything that a step changes: a pytree."""

    params: Any
    optimiser: Any
    step: Int[Array, ""]


class Step(NamedTuple):
    """``init`` makes a state of parameters; ``run`` takes it through a stack of batches, and returns it with the loss
    before each step."""

    init: Callable[[Any], TrainState]
    run: Callable[[TrainState, Any], tuple[TrainState, Float[Array, "steps"]]]


def train_step(
    value_and_gradient: ValueAndGradient,
    optimiser: Optimiser,
    *,
    dtype: Any = None,
    mesh: Mesh | None = None,
    axis: str | None = None,
) -> Step:
    """Steps with a gradient, hand-written or not: ``value_and_gradient(params, *batch)``.

    ``run(state, batches)`` takes tuples of arrays with one more axis, in front: a batch for each step. All steps are
    one jitted ``lax.scan``. The state is donated: its buffers become those of the next, and the old one is gone.

    ``dtype`` is that in which the gradient is computed; parameters and optimiser keep their own, so that small
    updates are not lost (None: that of the parameters). On a ``mesh`` the parameters are on every device, and the
    last axis of every array of a batch, its columns, lies along ``axis`` (default: the mesh's first). Auto and
    Explicit axes will do; with Explicit ones the gradient must say how products over columns lie, as
    ``handgrad.matrices.matmul`` does.

    Raises ``ValueError`` for an axis that the mesh does not have.
    """
    if mesh is not None:
        axis = axis or mesh.axis_names[0]
        if axis not in mesh.axis_names:
            raise ValueError(f"train_step: the mesh has no axis {axis!r}; it has {', '.join(mesh.axis_names)}")

    def everywhere(tree: Any) -> Any:
        return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))

    def by_columns(array: Array) -> Array:
        spec = PartitionSpec(*(None,) * (array.ndim - 1), axis)
        return jax.device_put(array, NamedSharding(mesh, spec)) if mesh is not None else jnp.asarray(array)

    def one(state: TrainState, batch: Any) -> tuple[TrainState, Array]:
        value, gradient = value_and_gradient(*_cast((state.params, *batch), dtype))
        gradient = jax.tree.map(lambda g, p: g.astype(p.dtype), gradient, state.params)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # optax relies on these
            updates, rest = optimiser.update(gradient, state.optimiser, state.params)
        params = jax.tree.map(lambda p, u: p + u.astype(p.dtype), state.params, updates)
        return TrainState(params, rest, state.step + 1), value

    program = jax.jit(lambda state, batches: jax.lax.scan(one, state, batches), donate_argnums=0)

    def init(params: Any) -> TrainState:
        params = jax.tree.map(jnp.array, params)  # copies, here and below: the first run donates them
        start = jax.tree.map(jnp.array, optimiser.init(params))
        return everywhere(TrainState(params, start, jnp.zeros((), jnp.int32)))

    def run(state: TrainState, batches: Any) -> tuple[TrainState, Array]:
        with jax.set_mesh(mesh) if mesh is not None else nullcontext():
            return program(everywhere(state), jax.tree.map(by_columns, batches))

    return Step(init, run)


def _cast(tree: Any, dtype: Any) -> Any:
    if dtype is None:
        return tree
    return jax.tree.map(lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)
