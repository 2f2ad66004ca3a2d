"""What a claim's two sides compute: for every relation, hand and reference as functions of the same inputs.

Both take ``arguments`` (a dict in the reference's order) and ``extra`` (a cotangent, or tangents by argument)
and return a flat, labelled tuple of leaves, so that they can be compared leaf by leaf.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from handgrad.claims import Claim
from verify.tracing.symbolic import Symbols
from verify.tracing.undifferentiable import pulled_back, pushed_forward

TANGENTS = ("jvp", "hvp", "custom_jvp")
COTANGENTS = ("vjp", "custom_vjp", "second_order")
RULES = ("custom_vjp", "custom_jvp", "second_order")
"""Relations whose hand function is differentiated by JAX, through its own rule."""


class StructureMismatch(Exception):
    """The hand function's output has other leaves or shapes than the reference's: a `shape` mistake."""


@dataclass(frozen=True)
class Labelled:
    """Leaves with a label each: ``W``, ``params[0].b``, ``value``."""

    labels: tuple[str, ...]
    leaves: tuple[Any, ...]


def is_inexact(x: Any) -> bool:
    """Whether a leaf is an array that a derivative is taken in: a Python number is an option, not data."""
    return hasattr(x, "dtype") and hasattr(x, "shape") and jnp.issubdtype(x.dtype, jnp.inexact)


def labelled(prefix: str, tree: Any) -> Labelled:
    """The leaves of a pytree, labelled from ``prefix``; ``None`` counts as a leaf."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda x: x is None)
    return Labelled(
        tuple(prefix + jax.tree_util.keystr(path) for path, _ in flat), tuple(leaf for _, leaf in flat)
    )


def inexact_part(prefix: str, tree: Any) -> Labelled:
    both = labelled(prefix, tree)
    kept = [
        (k, x)
        for k, x in zip(both.labels, both.leaves, strict=True)
        if is_inexact(x)
    ]
    return Labelled(tuple(k for k, _ in kept), tuple(x for _, x in kept))


def wrt_of(claim: Claim, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The arguments differentiated: those claimed, or every inexact one for a custom rule."""
    if claim.wrt or claim.relation not in RULES:
        return claim.wrt
    static = static_names(claim.hand, claim.reference)
    return tuple(k for k, v in arguments.items() if k not in static and inexact_part(k, v).leaves)


def static_names(rule: Any, primal: Callable[..., Any]) -> frozenset[str]:
    """The arguments in which a rule says that it is not differentiated."""
    names = list(inspect.signature(primal).parameters)
    return frozenset(names[i] for i in getattr(rule, "nondiff_argnums", ()) if i < len(names))


def _pushed(function: Callable[..., Any], point: Any, tangent: Any) -> tuple[Any, Any]:
    return jax.jvp(function, (point,), (tangent,))


def _pulled(function: Callable[..., Any], point: Any, cotangent: Any) -> tuple[Any, Any]:
    value, pull = jax.vjp(function, point)
    return value, pull(cotangent)[0]


class Sides:
    """The two sides of one claim, its primal, and the symbols for its sizes."""

    def __init__(self, claim: Claim):
        self.claim = claim
        self.symbols = Symbols()
        self.hand_call = call_of(claim.hand)
        self.reference_call = call_of(claim.reference)

    def primal(self, arguments: Mapping[str, Any]) -> Labelled:
        """The reference's own value: what is differentiated."""
        return labelled("value", self.reference_call(arguments))

    def reference(self, arguments: Mapping[str, Any], extra: Mapping[str, Any]) -> Labelled:
        """What the hand function must equal, by automatic differentiation of the reference."""
        claim, call = self.claim, self.reference_call
        if claim.relation in ("equal_to", "at_most"):
            return labelled("value", call(arguments))
        names = wrt_of(claim, arguments)
        if claim.relation in RULES:
            return self._derivative(call, arguments, extra, names, pushed_forward, pulled_back)
        return self._derivative(call, arguments, extra, names)

    def hand(self, arguments: Mapping[str, Any], extra: Mapping[str, Any]) -> Labelled:
        claim, call = self.claim, self.hand_call
        names = wrt_of(claim, arguments)
        if claim.relation in RULES:
            return self._derivative(call, arguments, extra, names)
        if claim.relation in ("equal_to", "at_most"):
            return labelled("value", call(arguments))
        if claim.relation in ("jvp", "hvp"):
            out = call(arguments, {f"d{k}": extra[f"d{k}"] for k in names})
        elif claim.relation == "vjp":
            out = call(arguments, {"cotangent": extra["cotangent"]})
        else:
            out = call(arguments)
        return self._label_hand(out, names, arguments)

    def _label_hand(self, out: Any, names: tuple[str, ...], arguments: Mapping[str, Any]) -> Labelled:
        relation = self.claim.relation
        if relation == "jvp":
            return labelled("tangent", out)
        value: tuple[Labelled, ...] = ()
        if relation == "value_and_gradient":
            if not isinstance(out, tuple | list) or len(out) != 2:
                raise StructureMismatch(
                    f"returns {_describe(out)}; value_and_gradient_of wants the pair (value, gradient)"
                )
            value, out = (labelled("value", out[0]),), out[1]
        if self.claim.wrt_is_tuple:
            if not isinstance(out, tuple | list) or len(out) != len(names):
                raise StructureMismatch(
                    f"returns {_describe(out)}; wrt={names!r} wants a tuple of {len(names)}, one for each name"
                )
            parts = tuple(_filled(k, o, arguments[k]) for k, o in zip(names, out, strict=True))
        else:
            parts = (_filled(names[0], out, arguments[names[0]]),)
        return _joined(*value, *parts)

    def _derivative(
        self,
        call: Callable[..., Any],
        arguments: Mapping[str, Any],
        extra: Mapping[str, Any],
        names: Any,
        push: Callable[..., Any] = _pushed,
        pull: Callable[..., Any] = _pulled,
    ) -> Labelled:
        relation = self.claim.relation
        moving = {k: arguments[k] for k in names}
        split = {k: partition(v) for k, v in moving.items()}
        point = {k: leaves for k, (leaves, _) in split.items()}

        def function(point: Mapping[str, Any]) -> Any:
            return call({**arguments, **{k: split[k][1](point[k]) for k in names}})

        def scalar(point: Mapping[str, Any]) -> Any:
            out = function(point)
            value = jnp.asarray(out)
            if value.shape != ():
                raise TypeError(
                    f"the reference returns shape {value.shape}; {relation}_of wants a scalar: use vjp_of"
                )
            return value

        def by_name(gradient: Mapping[str, Any]) -> Labelled:
            return _joined(*(Labelled(inexact_part(k, moving[k]).labels, tuple(gradient[k])) for k in names))

        tangent = {k: _inexact_leaves(extra[f"d{k}"]) for k in names} if relation in TANGENTS else {}
        if relation == "gradient":
            return by_name(jax.grad(scalar)(point))
        if relation == "value_and_gradient":
            value, gradient = jax.value_and_grad(scalar)(point)
            return _joined(Labelled(("value",), (value,)), by_name(gradient))
        if relation == "hvp":
            return by_name(jax.jvp(jax.grad(scalar), (point,), (tangent,))[1])
        if relation == "jvp":
            return labelled("tangent", jax.jvp(function, (point,), (tangent,))[1])
        if relation == "custom_jvp":
            value, moved = push(function, point, tangent)
            return _joined(inexact_part("value", value), labelled("tangent", moved))
        value, pulled = pull(function, point, extra["cotangent"])
        gradient = by_name(pulled)
        return gradient if relation in ("vjp", "second_order") else _joined(inexact_part("value", value), gradient)


def partition(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The inexact leaves of a pytree, and how to put others in their place."""
    leaves, treedef = jax.tree_util.tree_flatten(tree)
    moving = [is_inexact(x) for x in leaves]

    def rebuild(new: list[Any]) -> Any:
        replacing = iter(new)
        return treedef.unflatten(
            [next(replacing) if m else x for m, x in zip(moving, leaves, strict=True)]
        )

    return [x for m, x in zip(moving, leaves, strict=True) if m], rebuild


def _inexact_leaves(tree: Any) -> list[Any]:
    return [x for x in jax.tree_util.tree_leaves(tree) if x.dtype != jax.dtypes.float0]


def _filled(name: str, out: Any, argument: Any) -> Labelled:
    """The gradient of one argument; a missing one (None) stands for zeros, as in a custom rule of JAX."""
    target = labelled(name, argument)
    wanted = inexact_part(name, argument)
    if out is None:
        return Labelled(wanted.labels, tuple(jnp.zeros_like(x) for x in wanted.leaves))
    got = labelled(name, out)
    if got.labels == target.labels and target.labels != wanted.labels:
        pairs = dict(zip(got.labels, got.leaves, strict=True))
        got = Labelled(wanted.labels, tuple(pairs[k] for k in wanted.labels))
    if len(got.leaves) != len(wanted.leaves):
        raise StructureMismatch(
            f"returns {len(got.leaves)} arrays ({', '.join(got.labels)}) as the derivative of {name!r}, "
            f"which has {len(wanted.leaves)} ({', '.join(wanted.labels)})"
        )
    leaves = tuple(
        jnp.zeros_like(like) if x is None else x for x, like in zip(got.leaves, wanted.leaves, strict=True)
    )
    return Labelled(wanted.labels, leaves)


def _joined(*parts: Labelled) -> Labelled:
    return Labelled(sum((p.labels for p in parts), ()), sum((p.leaves for p in parts), ()))


def call_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """Calls with a dict of arguments: by name, or in order where the function names them otherwise."""
    parameters = inspect.signature(function).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    by_position = any(p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL) for p in parameters.values())
    in_order = [k for k, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]

    def call(arguments: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> Any:
        extra = extra or {}
        ordered = in_order[: len(arguments)] == list(arguments)  # what jax.grad returns takes no names
        if ordered or by_position or not (takes_any or set(arguments) <= set(parameters)):
            return function(*arguments.values(), **extra)
        return function(**arguments, **extra)

    return call


def _describe(out: Any) -> str:
    if isinstance(out, tuple | list):
        return f"a {type(out).__name__} of {len(out)}"
    return f"one {type(out).__name__} of shape {np.shape(out)}" if hasattr(out, "shape") else repr(out)
