"""Traces: a claim's hand, reference and primal as programs, with symbolic dimensions where JAX allows.

A structure is traced once per dtype. Where a function branches on a size, or an operation has no symbolic
form, it is traced anew for every shape (``concrete``); where a primitive has no translation, compiled JAX evaluates
it (``jax``). ``Traced.engine`` says which.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verify.cases import Structure
from verify.linear_algebra import OPERATIONS
from verify.program import Program, Untranslatable, translate
from verify.relations import (
    COTANGENTS,
    RULES,
    TANGENTS,
    Labelled,
    Sides,
    StructureMismatch,
    inexact_part,
    is_inexact,
    labelled,
    wrt_of,
)
from verify.sizes import size_of
from verify.values import numpy_dtype


class ReferenceRaised(Exception):
    """The reference, or JAX differentiating it, raised."""


class HandRaised(Exception):
    """The hand-written function raised."""


@dataclass(frozen=True)
class OpaqueProgram:
    """A function that only JAX can evaluate, compiled anew for every shape."""

    function: Callable[..., Any]
    dtype: str

    def link(
        self, arithmetic: Any, guarded: bool = True
    ) -> Callable[[Mapping[str, int], Sequence[Any]], tuple[np.ndarray, ...]]:
        compiled = jax.jit(self.function)

        def call(dims: Mapping[str, int], inputs: Sequence[Any]) -> tuple[np.ndarray, ...]:
            with precision_of(self.dtype):
                return tuple(np.asarray(x) for x in compiled(*inputs))

        return call


@dataclass(frozen=True, eq=False)
class Traced:
    """The programs of one structure in one dtype. Outputs carry labels; ``extra`` are cotangent or tangents."""

    engine: str
    dtype: str
    sides: tuple[Any, Any]
    """Hand and reference: jaxprs where they are translated, else programs that only JAX can evaluate."""
    both: Program | None
    """Hand and reference as one program, which computes once what they have in common."""
    primal: Program | OpaqueProgram
    labels: tuple[str, ...]
    hand_shapes: tuple[tuple[str, ...], ...]
    reference_shapes: tuple[tuple[str, ...], ...]
    hand_dtypes: tuple[str, ...]
    reference_dtypes: tuple[str, ...]
    primal_dtypes: tuple[str, ...]
    primal_shapes: tuple[tuple[str, ...], ...]
    extra_labels: tuple[str, ...]
    extra_shapes: tuple[tuple[tuple[str, ...], str], ...]
    wrt: tuple[int, ...]
    """For every output of a gradient, the index of the input leaf that it belongs to."""
    mismatch: str | None = None
    """Why the outputs cannot be compared at all."""
    reason: str | None = None
    """Why the trace is not symbolic."""
    stops: bool = False
    """Whether the primal holds a stop_gradient."""
    made_with: Callable[[float], Any] | None = None
    """Hand, where the value that a custom rule is made with is larger by a factor; None for other claims."""

    @cached_property
    def factorises(self) -> bool:
        """Whether a side factorises matrices, in LAPACK's hands on a CPU."""
        programs = (self.both, self.primal)
        return any(key[0] in OPERATIONS for p in programs for key in getattr(p, "operations", {}).values())

    @cached_property
    def asks_jax(self) -> bool:
        """Whether JAX evaluates all of it, or an equation of it, which it compiles for every fresh shape."""
        keys = {key[0] for p in (self.both, self.primal) for key in getattr(p, "operations", {}).values()}
        return self.engine == "jax" or "foreign" in keys

    @property
    def calls_back(self) -> bool:
        """Whether Python functions of the user's, or difference quotients, are run at every evaluation."""
        return "pure_callback" in {key[0] for key in getattr(self.both, "operations", {}).values()}

    @cached_property
    def is_dear(self) -> bool:
        """Whether one evaluation takes as long as many: it calls back, or repeats something until it is good enough."""
        return self.calls_back or getattr(self.both, "repeats_until", False)

    @cached_property
    def hand(self) -> Program | OpaqueProgram:
        return self._translated(0)

    @cached_property
    def reference(self) -> Program | OpaqueProgram:
        return self._translated(1)

    def _translated(self, which: int) -> Program | OpaqueProgram:
        side = self.sides[which]
        if isinstance(side, Program | OpaqueProgram):
            return side
        with precision_of(self.dtype):  # translating may trace, too
            return translate(side)


@contextmanager
def precision_of(dtype: str) -> Any:
    """64-bit types for the float64 cells only; everything else is the user's own configuration."""
    with jax.enable_x64(dtype == "float64"):
        yield


def trace(
    sides: Sides, structure: Structure, dtype: str, dims: Mapping[str, int], symbolic: bool = True
) -> Traced:
    """Traces with symbolic dimensions, else for the sizes ``dims``."""
    reason = None
    if structure.dims and symbolic:
        try:
            return trace_of_sizes(sides, structure, dtype, None)
        except Exception as error:  # anything at all: the concrete trace decides whose fault it is
            reason = f"no symbolic sizes: {_first_line(error)}"
    return _trace(sides, structure, dtype, dims, reason)


TRIALS = "number_of_trials"
"""The name of the dimension along which trials are stacked."""


def stacked(sides: Sides, structure: Structure, dtype: str) -> Program | None:
    """Hand and reference under ``jax.vmap`` over trials, as one program; hand's outputs come first.

    None if there is no such form.
    """
    if TRIALS in structure.dims:
        return None
    try:
        with precision_of(dtype), undecided_sizes_raise():
            symbols = jax.export.symbolic_shape(", ".join((*structure.dims, TRIALS)))
            known = survey(sides, structure, dtype, dict(zip(structure.dims, symbols, strict=False)))
            count = len(known.avals)

            def both(*flat: Any) -> tuple[Any, ...]:
                arguments = structure.build(flat[:count])
                extra = known.build_extra(arguments, flat[count:])
                sides_of = sides.hand(arguments, extra).leaves, sides.reference(arguments, extra).leaves
                kept = [i for i, x in enumerate(sides_of[1]) if jnp.result_type(x) != jax.dtypes.float0]
                return tuple(jnp.asarray(leaves[i]) for leaves in sides_of for i in kept)

            avals = [
                jax.ShapeDtypeStruct((symbols[-1], *a.shape), a.dtype) for a in (*known.avals, *known.extra_avals)
            ]
            return translate(jax.make_jaxpr(jax.vmap(both))(*avals))
    except Exception:  # anything at all: the trials are then evaluated one by one
        return None


def trace_of_sizes(
    sides: Sides, structure: Structure, dtype: str, dims: Mapping[str, int] | None
) -> Traced:
    """Traces for the sizes ``dims`` alone; with symbolic dimensions, and nothing else, where ``dims`` is None."""
    if dims is not None:
        return _trace(sides, structure, dtype, dims)
    with undecided_sizes_raise():
        return _trace(sides, structure, dtype, None)


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
        raise ReferenceRaised(_first_line(error)) from error
    return Survey(avals, primal, jaxpr, seen["moving"], *_extra(sides, seen, avals))


def extra_builder(sides: Sides, structure: Structure, dims: Mapping[str, int], dtype: str) -> Any:
    """How to turn flat cotangents or tangents into what hand and reference take."""
    with precision_of(dtype):
        return survey(sides, structure, dtype, dims).build_extra


BRANCHING = (os.path.join("numpy", "linalg.py"),)
"""Files of JAX that choose a formula by the size."""


class SizeDecided(Exception):
    """The user's code asks whether a symbolic size equals something: it must be traced size by size."""


@contextmanager
def undecided_sizes_raise() -> Any:
    """JAX answers ``n == 1`` with False for a symbolic n, and a branch would be lost without a word.

    So in the user's code such a question raises instead. JAX's own may ask, where it only wants to know what
    to broadcast; but its determinant of size 1, 2 or 3 is another formula.
    """
    expression = type(jax.export.symbolic_shape("n")[0])
    original = expression.__eq__
    library = (os.path.dirname(jax.__file__), os.path.dirname(__file__))

    def equal(self: Any, other: Any) -> bool:
        answer = original(self, other)
        if not answer and isinstance(other, int | expression):
            asking = sys._getframe(1)
            if asking.f_code.co_name == "__ne__":
                asking = asking.f_back or asking
            place = asking.f_code.co_filename
            may_ask = place.startswith(library) and not place.endswith(BRANCHING)
            if not may_ask and not _differ_for_sure(self, other):
                raise SizeDecided(f"a branch on whether {self} is {other}")
        return answer

    def power(self: Any, exponent: Any) -> Any:
        """``n ** 0.5``: a root of a size is a number of the program, weakly typed as Python's is."""
        if isinstance(exponent, float):
            return (self.__jax_array__() * 1.0) ** exponent
        return original_power(self, exponent)

    original_power = expression.__pow__
    expression.__eq__, expression.__pow__ = equal, power  # type: ignore[method-assign]
    try:
        yield
    finally:
        expression.__eq__, expression.__pow__ = original, original_power  # type: ignore[method-assign]


def _differ_for_sure(a: Any, b: Any) -> bool:
    try:
        return bool(a > b) or bool(b > a)
    except Exception:  # inconclusive
        return False


def _trace(
    sides: Sides,
    structure: Structure,
    dtype: str,
    dims: Mapping[str, int] | None,
    reason: str | None = None,
) -> Traced:
    with precision_of(dtype):
        if dims is None:
            symbols = jax.export.symbolic_shape(", ".join(structure.dims))
            sizes: Mapping[str, Any] = dict(zip(structure.dims, symbols, strict=True))
        else:
            sizes = dims
        known = survey(sides, structure, dtype, sizes)
        avals, extra_avals, build_extra = known.avals, known.extra_avals, known.build_extra
        primal, primal_jaxpr = known.primal, known.jaxpr
        count, seen = len(avals), {}

        def side(which: str) -> Callable[..., tuple[Any, ...]]:
            function = getattr(sides, which)

            def run(*flat: Any) -> tuple[Any, ...]:
                arguments = structure.build(flat[:count])
                out: Labelled = function(arguments, build_extra(arguments, flat[count:]))
                if which == "hand" and any(x is None for x in out.leaves):
                    raise StructureMismatch("returns None where an array was wanted: does it lack a return?")
                leaves = tuple(jnp.asarray(x) for x in out.leaves)
                if sides.claim.relation in ("jvp", "equal_to", "at_most", *RULES):
                    kept = [i for i, x in enumerate(leaves) if x.dtype != jax.dtypes.float0]
                    out = Labelled(tuple(out.labels[i] for i in kept), tuple(leaves[i] for i in kept))
                    leaves = out.leaves
                seen[which] = out.labels
                return leaves

            return run

        @cache
        def made_with(factor: float) -> Any:
            with precision_of(dtype), multiplied(sides.claim.hand, factor):
                return translate(jax.make_jaxpr(side("hand"))(*avals, *extra_avals))

        try:
            reference_jaxpr = jax.make_jaxpr(side("reference"))(*avals, *extra_avals)
        except Exception as error:
            raise ReferenceRaised(_first_line(error)) from error
        mismatch = None
        try:
            hand_jaxpr = jax.make_jaxpr(side("hand"))(*avals, *extra_avals)
        except StructureMismatch as error:
            mismatch, hand_jaxpr = str(error), reference_jaxpr
            seen["hand"] = seen["reference"]
        except Exception as error:
            raise HandRaised(_first_line(error)) from error
    if (wrong_kind := _no_numbers(hand_jaxpr, reference_jaxpr)) is not None:
        raise HandRaised(f"WrongDtype: {wrong_kind}")
    if mismatch is None and len(hand_jaxpr.out_avals) != len(reference_jaxpr.out_avals):
        mismatch = (
            f"returns {len(hand_jaxpr.out_avals)} arrays ({', '.join(seen['hand'])}), "
            f"wanted {len(reference_jaxpr.out_avals)} ({', '.join(seen['reference'])})"
        )
    programs: list[Any] = [hand_jaxpr, reference_jaxpr, primal_jaxpr]
    opaque, both = None, None
    try:
        with precision_of(dtype):
            both, programs[2] = translate(hand_jaxpr, reference_jaxpr), translate(primal_jaxpr)
    except Untranslatable:
        for i, which in enumerate(("hand", "reference", "primal")):
            try:
                with precision_of(dtype):
                    programs[i] = translate((hand_jaxpr, reference_jaxpr, primal_jaxpr)[i])
            except Untranslatable as error:
                opaque = f"no NumPy form of {error}"
                programs[i] = OpaqueProgram(primal if which == "primal" else side(which), dtype)
    labels = [leaf.label for leaf in structure.leaves]
    return Traced(
        engine="jax" if opaque else "symbolic" if dims is None or not structure.dims else "concrete",
        dtype=dtype,
        sides=(programs[0], programs[1]),
        both=both if opaque is None else None,
        primal=programs[2],
        labels=seen["reference"],
        hand_shapes=tuple(_shape(a) for a in hand_jaxpr.out_avals),
        reference_shapes=tuple(_shape(a) for a in reference_jaxpr.out_avals),
        hand_dtypes=tuple(str(a.dtype) for a in hand_jaxpr.out_avals),
        reference_dtypes=tuple(str(a.dtype) for a in reference_jaxpr.out_avals),
        primal_dtypes=tuple(str(a.dtype) for a in primal_jaxpr.out_avals),
        primal_shapes=tuple(_shape(a) for a in primal_jaxpr.out_avals),
        extra_labels=known.extra_labels,
        extra_shapes=tuple((_shape(a), str(a.dtype)) for a in extra_avals),
        wrt=tuple(labels.index(k) for part in known.moving.values() for k in part.labels),
        mismatch=mismatch,
        reason=opaque or reason,
        stops=any(key[0] == "stop" for key in getattr(programs[2], "operations", {}).values()),
        made_with=made_with if isinstance(sides.claim.hand, jax.custom_jvp | jax.custom_vjp) else None,
    )


@contextmanager
def multiplied(rule: Any, factor: float) -> Iterator[None]:
    """While it lasts, a custom rule's function gives its value times ``factor``, also to the rule itself."""
    plain = rule.fun

    @wraps(plain)
    def larger(*arguments: Any, **options: Any) -> Any:
        out = plain(*arguments, **options)
        return jax.tree_util.tree_map(lambda x: x * factor if is_inexact(x) else x, out)

    rule.fun = larger
    try:
        yield
    finally:
        rule.fun = plain


def _no_numbers(hand: Any, reference: Any) -> str | None:
    """Outputs that are not even of the kind of dtype wanted: whole numbers where floats are."""
    for got, wanted in zip(hand.out_avals, reference.out_avals, strict=False):
        if jnp.issubdtype(wanted.dtype, jnp.inexact) and not jnp.issubdtype(got.dtype, jnp.inexact):
            return f"returns {got.dtype} where {wanted.dtype} is wanted: return floating-point numbers"
    return None


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


def _shape(aval: Any) -> tuple[str, ...]:
    return tuple(str(s) for s in aval.shape)


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"
