"""Traces: a claim's hand, reference and primal as programs, with symbolic dimensions where JAX allows.

A structure is traced once per dtype. Where a function branches on a size, or an operation has no symbolic
form, it is traced anew for every shape (``concrete``); where a primitive has no translation, compiled JAX evaluates
it (``jax``). ``Traced.engine`` says which.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, cached_property, wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verify.drawing.cases import Structure
from verify.drawing.sizes import size_of
from verify.programs.linear_algebra import OPERATIONS
from verify.programs.program import Program, Untranslatable, translate
from verify.tracing.relations import RULES, Labelled, Sides, StructureMismatch, is_inexact
from verify.tracing.survey import ReferenceRaised, Survey, first_line, precision_of, survey


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
    survey: Survey | None = None

    @cached_property
    def factorises(self) -> bool:
        """Whether a side factorises matrices, in LAPACK's hands on a CPU."""
        programs = (self.both, self.primal)
        return any(key[0] in OPERATIONS for p in programs for key in getattr(p, "operations", {}).values())

    def largest(self, dims: Mapping[str, int]) -> int:
        """Entries of the largest array that a side computes at these sizes, as far as its jaxpr tells."""
        return max((math.prod(size_of(a, dims) for a in shape) for shape in self._shapes), default=1)

    @cached_property
    def _shapes(self) -> frozenset[tuple[str, ...]]:
        return frozenset(s for side in self.sides if hasattr(side, "jaxpr") for s in _shapes_in(side.jaxpr))

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


def trace(
    sides: Sides, structure: Structure, dtype: str, dims: Mapping[str, int], symbolic: bool = True
) -> Traced:
    """Traces with symbolic dimensions, else for the sizes ``dims``."""
    reason = None
    if structure.dims and symbolic:
        try:
            return trace_of_sizes(sides, structure, dtype, None)
        except Exception as error:  # anything at all: the concrete trace decides whose fault it is
            reason = f"no symbolic sizes: {first_line(error)}"
    return _trace(sides, structure, dtype, dims, reason)


def trace_of_sizes(
    sides: Sides, structure: Structure, dtype: str, dims: Mapping[str, int] | None
) -> Traced:
    """Traces for the sizes ``dims`` alone; with symbolic dimensions, and nothing else, where ``dims`` is None."""
    if dims is not None:
        return _trace(sides, structure, dtype, dims)
    with sides.symbols.asked():
        return _trace(sides, structure, dtype, None)


def _trace(
    sides: Sides,
    structure: Structure,
    dtype: str,
    dims: Mapping[str, int] | None,
    reason: str | None = None,
) -> Traced:
    with precision_of(dtype):
        if dims is None:
            symbols = sides.symbols.named(structure.dims)
            sizes: Mapping[str, Any] = dict(zip(structure.dims, symbols, strict=True))
        else:
            sizes = dims
        known = survey(sides, structure, dtype, sizes)
        avals, extra_avals = known.avals, known.extra_avals
        seen: dict[str, tuple[str, ...]] = {}

        def side(which: str) -> Callable[..., tuple[Any, ...]]:
            return _side(sides, structure, known, which, seen)

        @cache
        def made_with(factor: float) -> Any:
            with precision_of(dtype), multiplied(sides.claim.hand, factor):
                return translate(jax.make_jaxpr(side("hand"))(*avals, *extra_avals))

        try:
            reference_jaxpr = jax.make_jaxpr(side("reference"))(*avals, *extra_avals)
        except Exception as error:
            raise ReferenceRaised(first_line(error)) from error
        mismatch = None
        try:
            hand_jaxpr = jax.make_jaxpr(side("hand"))(*avals, *extra_avals)
        except StructureMismatch as error:
            mismatch, hand_jaxpr = str(error), reference_jaxpr
            seen["hand"] = seen["reference"]
        except Exception as error:
            raise HandRaised(first_line(error)) from error
    if (wrong_kind := _no_numbers(hand_jaxpr, reference_jaxpr)) is not None:
        raise HandRaised(f"WrongDtype: {wrong_kind}")
    if mismatch is None and len(hand_jaxpr.out_avals) != len(reference_jaxpr.out_avals):
        mismatch = (
            f"returns {len(hand_jaxpr.out_avals)} arrays ({', '.join(seen['hand'])}), "
            f"wanted {len(reference_jaxpr.out_avals)} ({', '.join(seen['reference'])})"
        )
    primal_jaxpr = known.jaxpr
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
                programs[i] = OpaqueProgram(known.primal if which == "primal" else side(which), dtype)
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
        survey=known,
    )


def hand_again(sides: Sides, structure: Structure, traced: Traced) -> Program | OpaqueProgram:
    """The hand-written function traced once more, alone: a source of randomness gives another program."""
    assert traced.survey is not None
    function = _side(sides, structure, traced.survey, "hand", {})
    with precision_of(traced.dtype):
        if isinstance(traced.hand, OpaqueProgram):
            return OpaqueProgram(function, traced.dtype)
        guard = sides.symbols.asked() if traced.engine == "symbolic" and structure.dims else nullcontext()
        with guard:
            return translate(jax.make_jaxpr(function)(*traced.survey.avals, *traced.survey.extra_avals))


def _side(
    sides: Sides, structure: Structure, known: Survey, which: str, seen: dict[str, tuple[str, ...]]
) -> Callable[..., tuple[Any, ...]]:
    """Hand or reference as a function of flat arrays; the labels of its outputs are noted in ``seen``."""
    function, count = getattr(sides, which), len(known.avals)

    def run(*flat: Any) -> tuple[Any, ...]:
        arguments = structure.build(flat[:count])
        out: Labelled = function(arguments, known.build_extra(arguments, flat[count:]))
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


def _shapes_in(jaxpr: Any) -> Iterator[tuple[str, ...]]:
    """Of all that is computed, in what it calls, too."""
    for eqn in jaxpr.eqns:
        yield from (_shape(v.aval) for v in eqn.outvars if hasattr(v.aval, "shape"))
        for value in eqn.params.values():
            for part in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    yield from _shapes_in(inner)


def _shape(aval: Any) -> tuple[str, ...]:
    return tuple(str(s) for s in aval.shape)
