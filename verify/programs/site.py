"""One equation as the rules see it, and the registry of rules.

A rule takes a `Site` and returns an expression, or a list of expressions for an equation with several
results, or an expression that evaluates to their tuple. Names in an expression are operations of an
arithmetic (`site.op`), helpers of `structural` (pure movement of entries), or static parameters
(`site.t.static`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from verify.programs.elementwise import dtype_name, kind_of
from verify.programs.foreign import Foreign

if TYPE_CHECKING:
    from verify.programs.program import Operand, Translator

# Where a literal is compared or chosen rather than computed with, its rounding is no error of a formula.
EXACT_USE = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "max", "min", "clamp", "select_n", "is_finite"})


class Site:
    """One equation, as a rule sees it."""

    def __init__(self, translator: Translator, eqn: Any, operands: list[Operand]):
        self.t, self.eqn, self.operands = translator, eqn, operands
        self.name: str = eqn.primitive.name
        self.params: dict[str, Any] = eqn.params
        self.shapes = [o.shape for o in operands]
        self.dtypes = [dtype_name(v.aval.dtype) for v in eqn.invars]
        self.out_shape: tuple = eqn.outvars[0].aval.shape if eqn.outvars else ()
        self.out_dtype = dtype_name(eqn.outvars[0].aval.dtype) if eqn.outvars else ""

    def __getitem__(self, index: int) -> str:
        return self.t.full(self.operands[index], self.name in EXACT_USE)

    @property
    def all(self) -> list[str]:
        return [self[i] for i in range(len(self.operands))]

    def op(self, name: str, dtype: str | None = None) -> str:
        """The name of an operation on entries of `dtype` (default: of the first operand)."""
        kind = kind_of(dtype or self.dtypes[0])
        return self.t.operation(name if kind == "float" else f"{name}_{kind}", (name, kind))

    def typed(self, name: str, *statics: str) -> str:
        """The name of an operation that depends on exact dtypes."""
        return self.t.operation("_".join([name, *(re.sub(r"\W", "_", s) for s in statics)]), (name, *statics))

    def call(self, name: str, *arguments: Any) -> str:
        return f"{self.op(name)}({', '.join(map(str, arguments))})"

    def src(self, value: Any) -> str:
        """Source of a parameter: nested tuples of sizes, None, booleans."""
        if isinstance(value, (tuple, list)):
            return "(" + "".join(f"{self.src(v)}, " for v in value).rstrip(" ") + ")" if value else "()"
        return str(value) if value is None or isinstance(value, bool) else self.t.dimension(value)

    def reshape(self, text: str, shape: Sequence[Any], rank: int) -> str:
        return f"{text}.reshape({self.src(shape)})" if rank else f"reshape({text}, {self.src(shape)})"

    def map(self, emit: Callable[[list[str]], str], operands: list[Operand] | None = None) -> Operand:
        return self.t.elementwise(operands or self.operands, self.out_shape, emit, self.name in EXACT_USE)

    def moved(self, emit: Callable[[], str], scalar: bool = True) -> Operand | str:
        """A movement of entries: that of a broadcast scalar is the scalar broadcast again."""
        narrow = self.operands[0].narrow
        if scalar and narrow is not None and narrow.shape == ():
            return type(narrow)("", self.out_shape, narrow=narrow)
        return emit()

    def function(self, jaxpr: Any) -> str:
        return self.t.function(jaxpr)


Rule = Callable[[Site], Any]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function
    return register


def foreign(s: Site) -> str:
    """An equation evaluated by JAX itself, for primitives that no arithmetic of ours needs to know."""
    symbolic = {k: v for k, v in s.params.items() if _has_dimension(v)}
    static = {k: v for k, v in s.params.items() if k not in symbolic}
    bind = s.t.static(Foreign(s.eqn.primitive, static))
    call = s.typed("foreign", s.name, *(kind_of(d) for d in [*s.dtypes, *(dtype_name(v.aval.dtype)
                                                                  for v in s.eqn.outvars)]))
    sizes = "{" + ", ".join(f"{k!r}: {s.src(v)}" for k, v in symbolic.items()) + "}"
    return f"{call}({bind}, ({''.join(f'{a}, ' for a in s.all)}), {sizes})"


def _has_dimension(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return any(map(_has_dimension, value))
    return type(value).__name__ == "_DimExpr"
