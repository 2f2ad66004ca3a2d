"""What each argument of a claim is: a specification, from ``given=`` or from an annotation.

Nothing is drawn here and JAX is not imported.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_origin

from handgrad.claims import Claim
from verify.drawing.annotations import array_of, hints_of, parameters_of, read, title_of
from verify.drawing.claim_options import check_names, check_options
from verify.drawing.specification import (
    ArraySpec,
    Axis,
    GivenSpec,
    SignatureError,
    Spec,
    StaticSpec,
    TreeSpec,
    arrays_of,
    axes_of,
)

Parameter = tuple[Any, Any]
"""Annotation and default of a parameter."""


@dataclass(frozen=True)
class Signature:
    """The arguments of a claim in order, and its dimension names."""

    arguments: Mapping[str, Spec]
    dims: tuple[str, ...]
    variadics: tuple[str, ...]
    output: ArraySpec | TreeSpec | None
    promised: ArraySpec | TreeSpec | None = None
    """The hand function's own return annotation, checked when present."""


def signature_of(claim: Claim) -> Signature:
    """Reads the signature of a claim: ``given=``, then the hand function's annotation, then the reference's."""
    check_options(claim)
    reference = parameters_of(claim.reference)
    hand = parameters_of(claim.hand)
    check_names(claim, reference)
    joint: dict[str, GivenSpec] = {}
    for key, source in claim.given.items():
        names = (key,) if isinstance(key, str) else tuple(key)
        joint |= dict.fromkeys(names, GivenSpec(names, source))
    static = {list(reference)[i] for i in getattr(claim.hand, "nondiff_argnums", ()) if i < len(reference)}
    arguments: dict[str, Spec] = {}
    for name, parameter in reference.items():
        if name in joint:
            arguments[name] = _given(joint[name], f"{claim.name}: given={{{name!r}: ...}}")
            continue
        spec = _annotated(claim, name, hand, parameter)
        arguments[name] = _untraced(spec, parameter[1]) if name in static else spec
    drawn = [n for n in joint if isinstance(arguments[n], GivenSpec)]
    axes = [a for spec in arguments.values() for a in axes_of(spec)] + _given_axes(drawn, hand, reference)
    dims = tuple(dict.fromkeys(n for a in axes for n in a.names))
    sizes = [d.domain.size for spec in arguments.values() for d in arrays_of(spec)]
    dims += tuple(s for s in dict.fromkeys(sizes) if isinstance(s, str) and s not in dims)
    variadics = tuple(dict.fromkeys(a.text for a in axes if a.variadic))
    promised = _promise(claim.hand, claim) if claim.relation in ("gradient", "equal_to", "at_most") else None
    output = _promise(claim.reference, claim) if claim.relation != "second_order" else None
    return Signature(arguments, dims, variadics, output, promised)


def _given(drawn: GivenSpec, where: str) -> Spec:
    """What ``given=`` says of an argument: a strategy, or in its place a specification or an annotation."""
    value = drawn.source
    if isinstance(value, ArraySpec | StaticSpec | TreeSpec):
        return value
    if hasattr(value, "dim_str") or get_origin(value) in (Annotated, Literal):
        return read(value, where)
    return drawn


def _annotated(claim: Claim, name: str, hand: Mapping[str, Parameter], parameter: Parameter) -> Spec:
    """What the annotations of an argument say: the hand function's own, or the reference's ``parameter``."""
    annotation, default = parameter
    own = hand.get(name, (inspect.Parameter.empty, None))[0]
    chosen = own if own not in (inspect.Parameter.empty, Any) else annotation
    if chosen is own and hasattr(annotation, "dim_str") and not _readable(own):
        chosen = annotation  # `x: jax.Array` says less than the reference does
    if chosen is not inspect.Parameter.empty:
        return read(chosen, f"{claim.name}: argument {name!r}")
    if default is not inspect.Parameter.empty:
        return StaticSpec((default,))
    raise SignatureError(
        f"{claim.name}: argument {name!r} has no annotation and no given=; wanted a shape: "
        f'write {name}: Float[Array, "m n"] in {title_of(claim.hand)} or {title_of(claim.reference)}, '
        f"or given={{{name!r}: strategy}}"
    )


def _untraced(spec: Spec, default: Any) -> Spec:
    """A plain number among a rule's ``nondiff_argnums`` is an option: JAX will not trace it there."""
    if not isinstance(spec, ArraySpec) or spec.axes or spec.kind not in ("int", "float"):
        return spec
    if default is not inspect.Parameter.empty:
        return StaticSpec((default,))
    return StaticSpec((1, 2, 3) if spec.kind == "int" else (0.5, 1.0, 2.0))


def _readable(annotation: Any) -> bool:
    try:
        read(annotation, "")
    except SignatureError:
        return hasattr(annotation, "dim_str")  # a mistake in a shape is to be told, not passed over
    return True


def _given_axes(
    drawn: Sequence[str], hand: Mapping[str, Parameter], reference: Mapping[str, Parameter]
) -> list[Axis]:
    """The dimensions that annotations of given arguments name: a function of the sizes is called with them."""
    found: list[Axis] = []
    for name in drawn:
        for annotation, _ in (hand.get(name, (None, None)), reference[name]):
            if hasattr(annotation, "dim_str"):
                found += [a for a in array_of(annotation, name).axes if not a.variadic]
    return found


def _promise(function: Callable[..., Any], claim: Claim) -> ArraySpec | TreeSpec | None:
    annotation = hints_of(function).get("return", inspect.Parameter.empty)
    if annotation in (inspect.Parameter.empty, None, Any):
        return None
    try:
        spec = read(annotation, f"{claim.name}: the return annotation")
    except SignatureError:
        return None
    return spec if isinstance(spec, ArraySpec | TreeSpec) else None
