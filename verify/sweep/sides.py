"""The two sides of an element-wise claim, and its primal, as functions of one array of numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from handgrad.claims import Claim
from verify.drawing.signature import ArraySpec, SignatureError, signature_of
from verify.options import BadUsage
from verify.tracing.relations import Sides, call_of
from verify.tracing.survey import precision_of

RELATIONS = ("jvp", "vjp", "gradient", "value_and_gradient", "equal_to", "custom_jvp", "custom_vjp")
Function = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class ElementWise:
    """A claim about a function of one number. Each function takes a vector and works entry by entry.

    ``hand`` and ``reference`` give the derivative (for ``equal_to`` the value), ``primal`` the value.
    """

    claim: Claim
    hand: Function
    reference: Function
    primal: Function
    dtypes: tuple[str, ...]

    @property
    def differentiates(self) -> bool:
        return self.claim.relation != "equal_to"

    @cached_property
    def compiled(self) -> tuple[Function, Function]:
        return jax.jit(self.hand), jax.jit(self.reference)

    def evaluate(self, which: int, z: np.ndarray) -> np.ndarray:
        """Hand (0) or reference (1) at ``z``, in its dtype, as users run it: compiled, without 64-bit types."""
        with precision_of(z.dtype.name):
            return np.asarray(self.compiled[which](jnp.asarray(padded(z))))[: len(z)]


def padded(z: np.ndarray) -> np.ndarray:
    """To a power of two: few sizes, few compilations."""
    size = 1 << max(len(z) - 1, 1).bit_length()
    return z if size == len(z) else np.concatenate([z, np.broadcast_to(z[-1:], (size - len(z),))])


def element_wise(claim: Claim) -> ElementWise:
    """Reads a claim; raises ``BadUsage`` for one that is not about a function of one number."""
    argument, scalar, dtypes = _argument(claim)
    sides, call = Sides(claim), call_of(claim.reference)

    def primal(z: Any) -> Any:
        return call({argument: z})

    def hand(z: Any) -> Any:
        extra: dict[str, Any] = {}
        if claim.relation in ("jvp", "custom_jvp"):
            extra = {f"d{argument}": jnp.ones_like(z)}
        elif claim.relation in ("vjp", "custom_vjp"):
            extra = {"cotangent": jnp.ones_like(z)}
        return sides.hand({argument: z}, extra).leaves[-1]

    def reference(z: Any) -> Any:
        value, pull = jax.vjp(primal, z)
        return pull(jnp.ones_like(value))[0]

    each: Callable[[Function], Function] = jax.vmap if scalar else lambda f: f
    derived = primal if claim.relation == "equal_to" else reference
    found = ElementWise(claim, each(hand), each(derived), each(primal), dtypes)
    _check(found)
    return found


def _argument(claim: Claim) -> tuple[str, bool, tuple[str, ...]]:
    if claim.relation not in RELATIONS:
        raise BadUsage(f"{claim.name}: a sweep cannot judge {claim.relation!r}; it takes {', '.join(RELATIONS)}")
    try:
        arguments = signature_of(claim).arguments
    except SignatureError as error:
        raise BadUsage(str(error)) from None
    wanted = 'wanted one argument, such as z: Float[Array, "..."]'
    if len(arguments) != 1:
        raise BadUsage(f"{claim.name}: is no function of one number: it takes {', '.join(arguments)}; {wanted}")
    ((name, spec),) = arguments.items()
    if not isinstance(spec, ArraySpec) or spec.kind != "float" or len(spec.axes) > 1:
        raise BadUsage(f"{claim.name}: is no function of one number: {name} is {spec}; {wanted}")
    own = (spec.dtype,) if spec.dtype else ("float64", "float32", "bfloat16", "float16")
    return name, not spec.axes, tuple(d for d in own if claim.dtypes is None or d in claim.dtypes)


def _check(found: ElementWise) -> None:
    """Whether an entry of the result depends on the entry at its place alone."""
    z = np.asarray([0.25, -1.5, 3.0, -0.125, 0.75, 2.5]).astype(jnp.dtype(found.dtypes[0]))
    for which in range(2):
        with precision_of(found.dtypes[0]):
            function = (found.hand, found.reference)[which]
            whole, part = np.asarray(function(jnp.asarray(z))), np.asarray(function(jnp.asarray(z[::-1][:4])))
        same = whole.shape == z.shape and part.shape == (4,)
        if same:
            a, b = (np.asarray(x).astype(np.float64) for x in (whole[::-1][:4], part))
            same = bool(np.all((np.abs(a - b) <= 0.1 * np.abs(b)) | (np.isnan(a) & np.isnan(b))))
        if not same:
            side = ("hand-written function", "reference")[which]
            raise BadUsage(f"{found.claim.name}: the {side} is not element-wise: entries depend on others")
