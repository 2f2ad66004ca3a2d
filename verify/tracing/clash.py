"""The dimension checker: which operation of a hand-written formula has sizes that cannot match, and which sizes.

Python tells the exact expression that raised. Its operands are evaluated once more, for their shapes alone, with the
dimension names as sizes: in ``W.T @ delta`` the left side is ``n2 × n1``, the right side ``n1 × 1``.
"""

from __future__ import annotations

import ast
import linecache
import os
from collections.abc import Iterator
from itertools import chain
from types import FrameType, TracebackType
from typing import Any

import jax

from verify.drawing.cases import Case
from verify.tracing.engine import Engine
from verify.tracing.survey import precision_of
from verify.tracing.trace import HandRaised, trace_of_sizes

FEW = 12
"""Cases whose sizes are tried where the symbolic ones raise nothing to tell."""


def sizes_that_clash(engine: Engine) -> str | None:
    """The expression whose sizes do not fit together and the shapes of its operands; None where it cannot be told."""
    dtype = engine.formula_dtype
    cases = [engine.draws.case(i, dtype) for i in range(FEW)]
    named = (_told(engine, case, None) for case in _one_of_each(cases))
    numbered = (_told(engine, case, case.dims) for case in cases)
    return next(filter(None, chain(named, numbered)), None)


def _one_of_each(cases: list[Case]) -> list[Case]:
    return list({case.structure.key: case for case in cases}.values())


def _told(engine: Engine, case: Case, dims: Any) -> str | None:
    try:
        trace_of_sizes(engine.sides, case.structure, case.dtype, dims)
    except HandRaised as error:
        cause = error.__cause__
        if not isinstance(cause, TypeError | ValueError):
            return None
        with precision_of(case.dtype):
            text = describe(cause, engine.claim.file)
        sizes = f" (with {', '.join(f'{k} = {v}' for k, v in dims.items())})" if dims else ""
        return f"{text}{sizes}" if text else None
    except Exception:  # the reference raises: told elsewhere
        return None
    return None


def describe(error: BaseException, file: str) -> str | None:
    """What raised ``error`` in ``file``: the expression, and the shapes of what it combines."""
    found = None
    for frame, position in _frames(error.__traceback__):
        if frame.f_code.co_filename == file:
            found = frame, position
    if found is None or (node := _expression(file, found[1])) is None:
        return None
    frame, source = found[0], ast.unparse(node)
    if isinstance(node, ast.BinOp):
        left, right = (_shape(frame, side) for side in (node.left, node.right))
        if left and right:
            return f"in `{source}` the left side is {left}, the right side {right}"
    return f"in `{source}`: {str(error).strip().splitlines()[0]}"


def _frames(traceback: TracebackType | None) -> Iterator[tuple[FrameType, tuple[int | None, ...]]]:
    while traceback is not None:
        positions = list(traceback.tb_frame.f_code.co_positions())
        yield traceback.tb_frame, positions[traceback.tb_lasti // 2]
        traceback = traceback.tb_next


def _expression(file: str, position: tuple[int | None, ...]) -> ast.BinOp | ast.Call | None:
    """The product, sum or call at exactly this place of a file."""
    if not os.path.exists(file):
        return None
    wanted = position[0], position[2], position[1], position[3]
    for node in ast.walk(ast.parse("".join(linecache.getlines(file)))):
        if isinstance(node, ast.BinOp | ast.Call):
            at = node.lineno, node.col_offset, node.end_lineno, node.end_col_offset
            if at == wanted:
                return node
    return None


def _shape(frame: FrameType, node: ast.expr) -> str | None:
    """The shape of an expression in a frame. Values there belong to a trace that has ended: they are traced anew."""
    leaves, treedef = jax.tree.flatten(dict(frame.f_locals))
    arrays = [leaf for leaf in leaves if hasattr(leaf, "shape") and hasattr(leaf, "dtype")]
    code = compile(ast.Expression(node), "<operand>", "eval")

    def evaluated(fresh: list[Any]) -> Any:
        new = iter(fresh)
        full = [next(new) if hasattr(leaf, "shape") and hasattr(leaf, "dtype") else leaf for leaf in leaves]
        return eval(code, frame.f_globals, jax.tree.unflatten(treedef, full))

    try:
        shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays]
        shape = jax.eval_shape(evaluated, shapes).shape
    except Exception:  # an operand that needs more than its shape
        return None
    sizes = (str(size) for size in shape)
    return " × ".join(size if size.isalnum() else f"({size})" for size in sizes) or "a number"
