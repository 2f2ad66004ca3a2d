"""A custom rule differentiated once more: may the derivative that it gives be differentiated in its turn?

JAX differentiates a rule's own program, so a rule that is right once can be wrong twice (a residual taken as a
constant). The derivative is contracted with fixed, unequal weights and becomes the function of a further claim:
the rule's derivative against the primal's, both by ``jax.vjp``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from handgrad.claims import Claim
from verify.cells.comparison import as_wide, differ
from verify.drawing.cases import Case
from verify.tracing.engine import Engine
from verify.tracing.relations import call_of, partition, static_names
from verify.tracing.survey import precision_of
from verify.tracing.undifferentiable import pulled_back

DIFFERENTIATED = ", differentiated once more"


def may_be_differentiated(claim: Claim) -> bool:
    """Whether a claim is a custom rule as it stands."""
    return claim.relation in ("custom_vjp", "custom_jvp")


def differentiated(claim: Claim) -> Claim:
    """The claim that the derivative of the rule's derivative is that of the primal's."""
    static = static_names(claim.hand, claim.reference)
    return replace(
        claim,
        name=claim.name + DIFFERENTIATED,
        relation="second_order",
        hand=_slope(claim.hand, static, lambda f, x: jax.grad(f)(x)),
        reference=_slope(claim.reference, static, _gradient),
    )


def slopes_agree(engine: Engine, case: Case) -> bool:
    """Whether both first derivatives are the same at a case: where ``jax.grad`` of the primal is wrong, or another
    convention at a kink, what it is differentiated to says nothing of the rule."""
    with precision_of("float64"):
        values = [jnp.asarray(v if v.dtype.kind in "iub" else as_wide(v)) for v in case.values]
        arguments = case.structure.build(values)
        hand, reference = (
            [as_wide(np.asarray(x)) for x in call(arguments)]
            for call in (engine.sides.hand_call, engine.sides.reference_call)
        )
    return not differ(hand, reference)


def _gradient(function: Callable[..., Any], point: list[Any]) -> Any:
    """As ``jax.grad``, of a primal that need not have a reverse mode."""
    one = jnp.ones((), jax.eval_shape(function, point).dtype)
    return pulled_back(function, point, one, quotients=False)[1]


def _slope(
    function: Callable[..., Any],
    static: frozenset[str],
    differentiate: Callable[[Callable[..., Any], list[Any]], Any],
) -> Callable[..., Any]:
    """The derivative of <weights, function> in every inexact argument, as a function of the same arguments."""
    call, signature = call_of(function), inspect.signature(function)

    def slope(*values: Any, **named: Any) -> tuple[Any, ...]:
        bound = signature.bind(*values, **named)
        bound.apply_defaults()
        fixed = {k: v for k, v in bound.arguments.items() if k in static}
        moving, rebuild = partition({k: v for k, v in bound.arguments.items() if k not in static})

        def weighed(moving: list[Any]) -> Any:
            changed = rebuild(moving)
            outputs, _ = partition(call({k: fixed.get(k, changed.get(k)) for k in bound.arguments}))
            return sum((jnp.real(jnp.vdot(_weights(x), x)) for x in outputs), start=jnp.zeros(()))

        return tuple(differentiate(weighed, moving))

    functools.update_wrapper(slope, inspect.unwrap(function))
    slope.nondiff_argnums = getattr(function, "nondiff_argnums", ())  # type: ignore[attr-defined]
    return slope


def _weights(x: Any) -> Any:
    places = jax.lax.iota(x.dtype, x.size) if x.ndim else jnp.ones((1,), x.dtype)
    return (1.25 + jnp.cos(places)).astype(x.dtype).reshape(x.shape)
