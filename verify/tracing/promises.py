"""Return annotations: a promise about a shape, held against the shapes that the functions return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from verify.drawing.sizes import SizeError, size_of
from verify.drawing.specification import ArraySpec, TreeSpec
from verify.tracing.engine import Engine

TRIED = 6
"""Cases looked at: a promise may be kept by accident where two sizes are equal."""


def broken_promise(engine: Engine) -> str | None:
    """What a return annotation says and the function does not do; None if all is kept or nothing was promised."""
    signature = getattr(engine.draws, "signature", None)  # a call needs none
    if signature is None or (signature.output is None and signature.promised is None):
        return None
    if engine.draws.given:  # a strategy draws its own sizes, whatever the names say
        return None
    for index in range(TRIED):
        case = engine.case(index, engine.formula_dtype)
        traced = engine.formula(case)
        for who, spec, shapes in (
            ("reference", signature.output, traced.primal_shapes),
            ("hand-written function", signature.promised, traced.hand_shapes),
        ):
            arrays = _arrays(spec)
            if len(arrays) != len(shapes):  # integer outputs are not among the shapes
                continue
            for array, shape in zip(arrays, shapes, strict=True):
                sizes = [size_of(a, case.dims) for a in shape]
                if not _keeps(array, sizes, case.dims):
                    at = ", ".join(f"{k} = {v}" for k, v in case.dims.items())
                    return (
                        f"the {who} is annotated to return {array}, and returns shape {tuple(sizes)} at {at}: "
                        f"correct the annotation or the function"
                    )
    return None


def _arrays(spec: ArraySpec | TreeSpec | object) -> list[ArraySpec]:
    if isinstance(spec, ArraySpec):
        return [spec]
    return [a for c in spec.children for a in _arrays(c)] if isinstance(spec, TreeSpec) else []


def _keeps(array: ArraySpec, sizes: Sequence[int], dims: Mapping[str, int]) -> bool:
    if any(a.variadic for a in array.axes):
        return True
    if len(array.axes) != len(sizes):
        return False
    for axis, size in zip(array.axes, sizes, strict=True):
        if axis.text == "anonymous" or axis.text.startswith("_") or not set(axis.names) <= set(dims):
            continue
        try:
            if size_of(axis.text, dims) != size:
                return False
        except SizeError:
            continue
    return True
