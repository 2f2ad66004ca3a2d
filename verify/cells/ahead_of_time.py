"""Compile-only cells: a claim's two sides compiled by the TPU compiler on a machine that has no TPU.

``libtpu`` compiles for a described topology as it would on the device. What comes out is "compiled for", never
"ran on": operations, memory, and what the compiler does in less precision than the program asks for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

import jax
from jax.experimental import topologies
from jax.experimental.compilation_cache import compilation_cache

from verify.cells.compiled import HAND_ALONE, as_function, one_line
from verify.cells.demotions import demotions
from verify.cells.libtpu import SETTINGS, TOPOLOGIES
from verify.cells.matmul import in_precision
from verify.records.record import Cell, CompiledProgram
from verify.tracing.engine import Engine
from verify.tracing.survey import precision_of

Side = Literal["hand", "reference"]
SIZES_OF = 1
"""The case whose sizes are compiled, as under jit: unequal and small."""


def compile_only(
    engine: Engine, target: str, dtype: str, matmul: str | None = None, alive: Callable[[], None] = lambda: None
) -> Cell:
    """The hand-written function and its reference compiled for ``target``; ``skipped`` where it refuses.

    ``alive`` is called between the two. Of float64 the hand-written side alone is compiled.
    """
    case = engine.case(SIZES_OF, dtype)
    try:
        hand = _program(engine, case, target, dtype, matmul, "hand")
    except Exception as error:
        reason = _refused(engine, case, target, dtype, matmul, error)
        return Cell("tpu", dtype, matmul, target, "skipped", reason=reason)
    programs, theirs = (hand,), ""
    alive()
    if dtype != "float64":  # which no TPU has: the compiler takes it apart, slowly, and its operations say nothing
        try:
            reference = _program(engine, case, target, dtype, matmul, "reference")
        except Exception as error:
            theirs = f" (the reference does not compile: {one_line(error)})"
        else:
            programs, theirs = (hand, reference), f" (the reference: {_cost(reference)})"
    reason = "; ".join((f"compiled for {target}, not run: {_cost(hand)}{theirs}", *hand.demotions))
    return Cell("tpu", dtype, matmul, target, "compiled_only", reason=reason, programs=programs)


def _program(engine: Engine, case: Any, target: str, dtype: str, matmul: str | None, side: Side) -> CompiledProgram:
    here = jax.sharding.SingleDeviceSharding(_device(target))
    function = jax.jit(as_function(engine, case, dtype, (side,)), in_shardings=here, out_shardings=here)
    with precision_of(dtype), in_precision(matmul):
        avals = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in (*case.values, *case.extra)]
        with _not_kept():
            compiled = function.lower(*avals).compile()
    memory: Any = compiled.memory_analysis()
    cost: Any = compiled.cost_analysis() or {}
    return CompiledProgram(
        side,
        target,
        cost.get("flops"),
        memory.argument_size_in_bytes,
        memory.temp_size_in_bytes,
        demotions(compiled.as_text() or ""),
    )


@contextmanager
def _not_kept() -> Iterator[None]:
    """Without the compilation cache: JAX writes a program for an absent device there, and cannot read it again."""
    kept = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", kept)
        compilation_cache.reset_cache()


@cache
def _device(target: str) -> Any:
    for name, value in SETTINGS.items():  # a worker was started with them
        os.environ.setdefault(name, value)
    return topologies.get_topology_desc(platform="tpu", topology_name=TOPOLOGIES[target]).devices[0]


def _refused(engine: Engine, case: Any, target: str, dtype: str, matmul: str | None, error: Exception) -> str:
    try:
        _program(engine, case, target, dtype, matmul, "reference")
    except Exception:
        who = "neither the hand-written function nor its reference compiles"
    else:
        who = f"{HAND_ALONE} does not compile"
    return f"for {target} in {dtype} {who}: {one_line(error)}"


def _cost(program: CompiledProgram) -> str:
    flops = "no flops" if not program.flops else f"{program.flops:,.0f} flops"
    return f"{flops}, {program.temporary_bytes:,} bytes of temporary memory"
