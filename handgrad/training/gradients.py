r"""Hand-written gradients at work: a reference whose ``jax.grad`` is computed by the hand-written
function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

__all__ = ["with_gradient"]


def with_gradient(
    reference: Callable[..., Any], hand: Callable[..., Any], *, wrt: str | tuple[str, ...] | None = None
) -> Callable[..., Any]:
    """``reference`` as a function whose ``jax.grad`` is ``hand``.

    ``hand`` takes the arguments of the scalar-valued ``reference`` and returns its gradient with respect to
    ``wrt`` (the first argument unless named; a tuple of gradients for a tuple of names), or
    ``(value, gradient)``, as ``jax.value_and_grad`` does: the structure tells which. In its other arguments the
    function is differentiated by JAX, as before, and only if somebody asks for that.

    Static arguments (strings, flags, whole numbers, functions) pass through. The result works under
    ``jit``, ``vmap``, optax and sharding; in reverse mode only, as any ``jax.custom_vjp``, though
    ``jax.jvp`` of its gradient is fine.

    Raises ``TypeError`` if ``wrt`` is not an argument of ``reference``, or if the gradient does not have
    the structure of what it is the gradient of.
    """
    signature = inspect.signature(reference)
    names = (wrt,) if isinstance(wrt, str) else wrt or (next(iter(signature.parameters)),)
    bare = not isinstance(wrt, tuple)
    for name in names:
        if name not in signature.parameters:
            known = ", ".join(signature.parameters)
            raise TypeError(f"with_gradient: {_name(reference)} has no argument {name!r}; it has {known}")

    @wraps(reference)
    def function(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        active = {k: bound.arguments[k] for k in names}
        passive = {k: v for k, v in bound.arguments.items() if k not in active and _is_differentiable(v)}
        target = jax.tree.structure(active[names[0]] if bare else tuple(active.values()))

        def call(f: Callable[..., Any], arguments: dict[str, Any]) -> Any:
            full = inspect.BoundArguments(signature, bound.arguments | arguments)  # type: ignore[arg-type]
            return f(*full.args, **full.kwargs)

        @jax.custom_vjp
        def value(active: dict[str, Any], passive: dict[str, Any]) -> Any:
            return call(reference, active | passive)

        def forward(active: Any, passive: Any) -> Any:
            others_wanted = any(leaf.perturbed for leaf in jax.tree.leaves(passive, is_leaf=_is_primal))
            active, passive = _values(active), _values(passive)
            result = call(hand, active | passive)
            if jax.tree.structure(result) == jax.tree.structure(
                (0, jax.tree.unflatten(target, target_leaves))
            ):
                out, gradient = result
            else:
                out, gradient = call(reference, active | passive), result
            if jax.tree.structure(gradient) != target:
                raise TypeError(
                    f"with_gradient: {_name(hand)} returns {jax.tree.structure(gradient)}; wanted the "
                    f"structure of {', '.join(names)}, which is {target}, or the pair (value, that)"
                )
            parts = dict(zip(names, (gradient,) if bare else gradient, strict=True))
            return out, (parts, (active, passive) if others_wanted else None)

        def backward(residuals: Any, cotangent: Any) -> Any:
            parts, point = residuals
            if isinstance(cotangent, SymbolicZero):
                cotangent = jnp.zeros((), cotangent.dtype)  # type: ignore[arg-type]
            others = None
            if point is not None:
                active, passive = point
                others = jax.grad(lambda p: call(reference, active | p), allow_int=True)(passive)
            return _scaled(cotangent, parts), _scaled(cotangent, others)

        target_leaves = [0] * target.num_leaves
        value.defvjp(forward, backward, symbolic_zeros=True)
        return value(active, passive)

    return function


def _is_differentiable(argument: Any) -> bool:
    """Arrays and floats, and pytrees of them; a Python int, a flag or a string is a static option."""
    leaves = jax.tree.leaves(argument)
    return bool(leaves) and all(
        isinstance(leaf, (jax.Array, np.ndarray, np.generic, float, complex)) for leaf in leaves
    )


def _is_primal(leaf: Any) -> bool:
    return hasattr(leaf, "perturbed")


def _values(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.value, tree, is_leaf=_is_primal)


def _scaled(cotangent: Any, tree: Any) -> Any:
    """``cotangent`` times every leaf, in the leaf's own dtype; the float0 gradients of integers stay as
    they are."""

    def scale(leaf: Any) -> Any:
        if leaf.dtype == jax.dtypes.float0:
            return leaf
        return cotangent.astype(leaf.dtype) * leaf

    return jax.tree.map(scale, tree)


def _name(f: Callable[..., Any]) -> str:
    return getattr(f, "__name__", repr(f))
