"""The survey: the primal traced first, for what must be known before hand and reference can be called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verify.drawing.cases import Structure
from verify.drawing.sizes import size_of
from verify.drawing.values import numpy_dtype
from verify.tracing.relations import (
    COTANGENTS,
    TANGENTS,
    Labelled,
    Sides,
    inexact_part,
    is_inexact,
    labelled,
    wrt_of,
)


class ReferenceRaised(Exception):
    """The reference, or JAX differentiating it, raised."""


@contextmanager
def precision_of(dtype: str) -> Any:
    """64-bit types for the float64 cells only; everything else is the user's own configuration."""
    with jax.enable_x64(dtype == "float64"):
        yield


@dataclass(frozen=True)
class Survey:
    """What must be known before hand and reference can be called: inputs, and the cotangent or tangents."""

    avals: list[Any]
    primal: Callable[..., Any]
    jaxpr: Any
    moving: Mapping[str, Labelled]
    extra_labels: tuple[str, ...]
    extra_avals: list[Any]
    build_extra: Callable[[Mapping[str, Any], Sequence[Any]], dict[str, Any]]
    of_any_sizes: bool
    """Whether ``build_extra`` serves at other sizes, too: no output stands still, whose cotangent has its shape."""


def survey(sides: Sides, structure: Structure, dtype: str, sizes: Mapping[str, Any]) -> Survey:
    """Traces the primal at these sizes, symbolic or not."""
    avals = [
        jax.ShapeDtypeStruct(
            tuple(size_of(a, sizes) for a in leaf.shape) + ((2,) if leaf.kind == "key" else ()),
            numpy_dtype(leaf.in_dtype(dtype)),
        )
        for leaf in structure.leaves
    ]
    seen: dict[str, Any] = {}

    def primal(*flat: Any) -> tuple[Any, ...]:
        arguments = structure.build(flat)
        out = sides.reference_call(arguments)
        seen["output"] = [(jnp.shape(x), jnp.result_type(x)) for x in jax.tree_util.tree_leaves(out)]
        seen["output_tree"] = jax.tree_util.tree_structure(out)
        seen["wrt"] = wrt_of(sides.claim, arguments)
        seen["moving"] = {k: inexact_part(k, arguments[k]) for k in seen["wrt"]}
        arrays = jax.tree_util.tree_map(lambda x: jnp.asarray(x) if isinstance(x, float | complex) else x, out)
        return tuple(jnp.asarray(x) for x in inexact_part("value", arrays).leaves)

    try:
        jaxpr = jax.make_jaxpr(primal)(*avals)
    except Exception as error:
        raise ReferenceRaised(first_line(error)) from error
    moves = all(jnp.issubdtype(d, jnp.inexact) for _, d in seen["output"])
    return Survey(avals, primal, jaxpr, seen["moving"], *_extra(sides, seen, avals), moves)


def _extra(
    sides: Sides, seen: Mapping[str, Any], avals: Sequence[Any]
) -> tuple[tuple[str, ...], list[Any], Callable[[Mapping[str, Any], Sequence[Any]], dict[str, Any]]]:
    """The cotangent or tangents of a relation: labels, shapes, and how to hand them to a function."""
    relation = sides.claim.relation
    if relation in COTANGENTS:
        outputs = seen["output"]
        moving = [jnp.issubdtype(d, jnp.inexact) for _, d in outputs]
        treedef = seen["output_tree"]
        names = labelled("cotangent", treedef.unflatten(list(range(len(outputs))))).labels

        def cotangent(_: Mapping[str, Any], flat: Sequence[Any]) -> dict[str, Any]:
            given = iter(flat)
            leaves = [
                next(given) if m else np.zeros(s, jax.dtypes.float0)
                for m, (s, _) in zip(moving, outputs, strict=True)
            ]
            return {"cotangent": treedef.unflatten(leaves)}

        kept = [(n, s, d) for n, m, (s, d) in zip(names, moving, outputs, strict=True) if m]
        return tuple(n for n, _, _ in kept), [jax.ShapeDtypeStruct(s, d) for _, s, d in kept], cotangent
    if relation in TANGENTS:
        labels = [k for part in seen["moving"].values() for k in part.labels]
        shapes = [
            jax.ShapeDtypeStruct(x.shape, x.dtype) for part in seen["moving"].values() for x in part.leaves
        ]

        def tangents(arguments: Mapping[str, Any], flat: Sequence[Any]) -> dict[str, Any]:
            given = iter(flat)

            def tangent_of(x: Any) -> Any:
                if is_inexact(x):
                    return next(given)
                return np.zeros(x.shape, jax.dtypes.float0) if hasattr(x, "shape") else x

            return {f"d{k}": jax.tree_util.tree_map(tangent_of, arguments[k]) for k in seen["wrt"]}

        return tuple(f"d{k}" for k in labels), shapes, tangents
    return (), [], lambda arguments, flat: {}


def first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"
