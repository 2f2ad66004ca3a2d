"""One translation, many arithmetics.

A traced function (a jaxpr, its dimensions symbolic or not) is translated once into the Python source of
`program(dims, inputs)`: one line per equation, dimensions as variables. The names it calls (`add`,
`dot_general`, `exp`) mean nothing yet: `Program.link` looks them up in an arithmetic, so the same text runs
in float32, in bfloat16, in a wide floating type or in ball arithmetic. Each fresh shape then costs no tracing
and no compilation.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import CodeType
from typing import Any

import numpy as np
from jax.extend import core

from verify.programs import reductions as _reductions  # noqa: F401  (registers its rules)
from verify.programs import structural
from verify.programs.arithmetic import Arithmetic, Undecided, Untranslatable, native
from verify.programs.elementwise import dtype_name, kind_of
from verify.programs.primitives import IDENTITY, INLINED, operation_of
from verify.programs.site import RULES, Site, foreign

__all__ = ["Program", "Undecided", "Untranslatable", "translate"]

Linked = Callable[[Mapping[str, int], Sequence[Any]], tuple[Any, ...]]
_LOCAL = re.compile(r"\b[vf]\d+\b")
_COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne", "is_finite")
_WORD = re.compile(r"\b[A-Za-z_]\w*\b")
_NATIVE = native()
_DIMENSION_FUNCTIONS = {"floordiv", "mod", "max", "min"}


@dataclass(frozen=True)
class Constant:
    """A number or array in the program: a literal of the source, or data that the function closed over."""

    value: Any
    dtype: str
    noisy: bool  # a literal used in arithmetic: its own rounding is an error of the formula as printed


@dataclass(frozen=True)
class Program:
    source: str
    dims: tuple[str, ...]
    operations: Mapping[str, tuple] = field(repr=False)
    constants: Mapping[str, Constant] = field(repr=False)
    statics: Mapping[str, Any] = field(repr=False)

    @cached_property
    def numbers(self) -> frozenset[float]:
        """The single numbers that it is written with, without their signs: where a formula branches, it branches at
        one of them."""
        single = (c.value for c in self.constants.values() if np.ndim(c.value) == 0 and kind_of(c.dtype) != "key")
        sizes = (abs(float(np.asarray(value).astype(np.complex128).real)) for value in single)
        return frozenset(x for x in sizes if 0 < x < np.inf)

    @cached_property
    def repeats_until(self) -> bool:
        """Whether it repeats something, for which floating-point numbers may say when to stop."""
        compares = any(key[0] in _COMPARISONS and "float" in key[1:] for key in self.operations.values())
        return compares and "while_loop(" in self.source

    @cached_property
    def code(self) -> CodeType:
        return compile(self.source, "<program>", "exec")

    def link(self, arithmetic: Arithmetic, guarded: bool = True) -> Linked:
        """The program in one arithmetic: `linked(dims, inputs) -> outputs`, all flat.

        What an arithmetic needs while it runs is set up at every call, unless the caller has done so (`guarded` False).
        """
        namespace: dict[str, Any] = dict(structural.NAMES)
        if arithmetic.most_turns is not None:
            namespace["while_loop"] = partial(structural.while_loop, most=arithmetic.most_turns)
        namespace.update(self.statics)
        for name, key in self.operations.items():
            namespace[name] = arithmetic.operation(*key)
        with arithmetic.active():
            for name, constant in self.constants.items():
                namespace[name] = arithmetic.constant(constant.value, constant.dtype, constant.noisy)
        exec(self.code, namespace)
        return arithmetic.guard(namespace["program"]) if guarded else namespace["program"]


def translate(*closed_jaxprs: Any) -> Program:
    """The Program of a ClosedJaxpr; raises `Untranslatable` for a primitive that no rule covers.

    Several ClosedJaxprs of the same inputs become one program that gives all their outputs, one function's after the
    other's, and computes common subexpressions once.
    """
    return Translator(closed_jaxprs).program()


@dataclass(frozen=True)
class Operand:
    """A value as the translated program names it.

    `narrow` is the value before NumPy-style broadcasting to `shape`: elementwise operations take it as it is,
    so that most broadcasts never happen.
    """

    text: str
    shape: tuple
    narrow: Operand | None = None
    literal: Any = None  # the core.Literal, if it is one


@dataclass
class _Statement:
    targets: tuple[str, ...]
    lines: list[str]

    @property
    def uses(self) -> set[str]:
        return {name for line in self.lines for name in _LOCAL.findall(line)}


class Translator:
    def __init__(self, closed_jaxprs: Sequence[Any]):
        self.jaxprs = closed_jaxprs
        self.operations: dict[str, tuple] = {}
        self.constants: dict[str, Constant] = {}
        self.statics: dict[str, Any] = {}
        self._constant_names: dict[Any, str] = {}
        self._static_names: dict[Any, str] = {}
        self._block: list[_Statement] = []
        self._known: dict[str, str] = {}  # expression -> the local (or constant) that already holds it
        self._known_tuples: dict[str, list[str]] = {}
        self.bits_of: dict[str, Operand] = {}  # a bitcast -> the number that it takes apart
        self._count = 0
        self.dims: dict[str, str] = {}  # dimension name -> the variable that holds it

    # -- names -------------------------------------------------------------------------------------
    def fresh(self, letter: str = "v") -> str:
        self._count += 1
        return f"{letter}{self._count}"

    def dimension(self, size: Any) -> str:
        """Python source of a size: an integer or a symbolic expression."""
        if isinstance(size, (int, np.integer)):
            return str(int(size))

        def word(match: re.Match[str]) -> str:
            name = match.group()
            if name in _DIMENSION_FUNCTIONS:
                return f"dim_{name}"
            return self.dims.setdefault(name, f"{name}_" if _reserved(name) else name)

        text = _WORD.sub(word, str(size)).replace("^", "**")
        return text if text.isidentifier() else f"({text})"

    def operation(self, name: str, key: tuple) -> str:
        self.operations[name] = key
        return name

    def static(self, value: Any) -> str:
        try:
            key = (type(value), value)
            hash(key)
        except TypeError:
            key = id(value)
        if key not in self._static_names:
            self._static_names[key] = name = f"k{len(self.statics)}"
            self.statics[name] = value
        return self._static_names[key]

    def constant(self, value: Any, dtype: str, noisy: bool) -> str:
        scalar = not isinstance(value, np.ndarray) or value.ndim == 0
        if not dtype.startswith("key"):
            value = np.asarray(value)
        key = (dtype, value.tobytes(), noisy) if scalar and isinstance(value, np.ndarray) else id(value)
        if key not in self._constant_names:
            self._constant_names[key] = name = f"c{len(self.constants)}"
            self.constants[name] = Constant(value, dtype, noisy)
        return self._constant_names[key]

    # -- statements --------------------------------------------------------------------------------
    def assign(self, expression: str) -> str:
        """The local that holds `expression`; an expression already computed in this block is reused."""
        if expression.isidentifier():
            return expression
        if expression not in self._known:
            folded = self._folded(expression)
            if folded is not None:
                self._known[expression] = self.constant(folded, folded.dtype.name, noisy=False)
            else:
                self._known[expression] = target = self.fresh()
                self._block.append(_Statement((target,), [f"{target} = {expression}"]))
        return self._known[expression]

    def _folded(self, expression: str) -> np.ndarray | None:
        """The value of an expression of integer constants: the arithmetic of indices is done here, once."""
        words = set(_WORD.findall(expression))
        constants = [w for w in words if w in self.constants]
        variable = not words.isdisjoint(self.dims.values()) or any(_LOCAL.fullmatch(w) for w in words)
        if variable or not constants:
            return None
        if not {kind_of(self.constants[c].dtype) for c in constants} <= {"int", "bool"}:
            return None
        namespace = structural.NAMES | self.statics | {c: self.constants[c].value for c in constants}
        namespace |= {w: _NATIVE.operation(*self.operations[w]) for w in words if w in self.operations}
        value = eval(expression, namespace)
        integers = isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "iub"
        return np.asarray(value) if integers else None

    def expression(self, local: str) -> str | None:
        """What a local of this block was assigned."""
        return next((e for e, name in self._known.items() if name == local), None)

    def unpack(self, expression: str, count: int) -> list[str]:
        """The locals that hold the entries of a tuple."""
        if count and expression not in self._known_tuples:
            self._known_tuples[expression] = targets = [self.fresh() for _ in range(count)]
            self._block.append(_Statement(tuple(targets), [f"{', '.join(targets)}, = {expression}"]))
        return self._known_tuples[expression] if count else []

    def function(self, jaxpr: Any, shapes: Sequence[tuple] | None = None) -> str:
        """A nested function for a sub-jaxpr (closed or open), returning a tuple."""
        outer = self._block, self._known, self._known_tuples
        self._block, self._known, self._known_tuples = [], {}, {}
        jaxpr, consts = _open(jaxpr)
        parameters = [Operand(self.fresh(), v.aval.shape) for v in jaxpr.invars]
        results = [self.full(out) for out in self.inline(jaxpr, consts, parameters)]
        body = self._finish(results)
        self._block, self._known, self._known_tuples = outer
        name = self.fresh("f")
        head = f"def {name}({', '.join(p.text for p in parameters)}):"
        self._block.append(_Statement((name,), [head, *(f"    {line}" for line in body)]))
        return name

    def _finish(self, results: list[str], wrap: str = "({})") -> list[str]:
        """The live statements of the current block, and its return."""
        returned = wrap.format("".join(f"{r}, " for r in results))
        live, kept = set(_LOCAL.findall(returned)), []
        for statement in reversed(self._block):
            if not live.isdisjoint(statement.targets):
                kept.append(statement)
                live |= statement.uses
        return [line for s in reversed(kept) for line in s.lines] + [f"return {returned}"]

    # -- equations ---------------------------------------------------------------------------------
    def full(self, operand: Operand, exact: bool = False) -> str:
        """The name of the operand in its full shape."""
        if operand.literal is not None:
            value = operand.literal.val
            return self.constant(value, dtype_name(operand.literal.aval.dtype), noisy=not exact)
        if operand.narrow is not None and not operand.text:
            return self.assign(f"broadcast({self.full(operand.narrow, exact)}, {self.shape(operand.shape)})")
        return operand.text

    def shape(self, sizes: Sequence[Any]) -> str:
        return "(" + "".join(f"{self.dimension(s)}, " for s in sizes).rstrip(" ") + ")" if sizes else "()"

    def scalar(self, text: str, shape: tuple) -> Operand:
        """A scalar, broadcast."""
        return Operand("", shape, narrow=Operand(text, ())) if shape else Operand(text, ())

    def inline(self, jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Operand],
               wanted: Sequence[bool] | None = None) -> list[Operand]:
        """Translates the equations of an open jaxpr that its (wanted) results need into the current block."""
        known: dict[Any, Operand] = dict(zip(jaxpr.invars, arguments, strict=True))
        for var, value in zip(jaxpr.constvars, consts, strict=True):
            known[var] = value if isinstance(value, Operand) else self.closed_over(value, var.aval)

        def read(atom: Any) -> Operand:
            if isinstance(atom, core.Literal):
                return Operand("", np.shape(atom.val), literal=atom)
            return known[atom]

        for eqn, needed in _live(jaxpr, wanted):
            operands = [read(atom) for atom in eqn.invars]
            known.update(zip(eqn.outvars, self.equation(eqn, operands, needed), strict=True))
        unwanted = Operand("None", ())
        return [unwanted if wanted and not w else read(atom)
                for atom, w in zip(jaxpr.outvars, wanted or [True] * len(jaxpr.outvars), strict=True)]

    def closed_over(self, value: Any, aval: Any) -> Operand:
        return Operand(self.constant(value, dtype_name(aval.dtype), noisy=False), aval.shape)

    def decided(self, index: int) -> Operand:
        """An integer known while translating."""
        return Operand(str(index), ())

    def equation(self, eqn: Any, operands: list[Operand], needed: list[bool]) -> list[Operand]:
        name = operation_of(eqn)
        if name in INLINED:
            jaxpr, consts = _open(INLINED[name](eqn.params))
            return self.inline(jaxpr, consts, operands, needed)
        site = Site(self, eqn, operands)
        rule = RULES.get(name)
        if rule is None:
            raise Untranslatable(name)
        if name not in _KEYS_PASS and any(d.startswith("key") for d in [*site.dtypes, site.out_dtype]):
            rule = foreign  # arrays of keys stay JAX's
        result = rule(site)
        if isinstance(result, Operand):
            return [result]
        shapes = [v.aval.shape for v in eqn.outvars]
        if isinstance(result, list):
            return [r if isinstance(r, Operand) else Operand(self.assign(r), s)
                    for r, s in zip(result, shapes, strict=True)]
        if eqn.primitive.multiple_results:
            return [Operand(t, s) for t, s in zip(self.unpack(result, len(shapes)), shapes, strict=True)]
        return [Operand(self.assign(result), shapes[0])]

    def elementwise(self, operands: list[Operand], shape: tuple, emit: Callable[[list[str]], str],
                    exact: bool = False) -> Operand:
        """An operation entry by entry, on operands as narrow as NumPy's broadcasting allows."""
        chosen = [o.narrow or o for o in operands]
        narrow_shape = _broadcast([o.shape for o in chosen])
        text = self.assign(emit([self.full(o, exact) for o in chosen]))
        if narrow_shape == shape:
            return Operand(text, shape)
        return Operand("", shape, narrow=Operand(text, narrow_shape))

    # -- the whole ---------------------------------------------------------------------------------
    def program(self) -> Program:
        jaxpr, _ = _open(self.jaxprs[0])
        for var in jaxpr.invars:  # so that `dims` lists every dimension, in order of appearance
            for size in var.aval.shape:
                self.dimension(size)
        inputs = [Operand(self.fresh(), v.aval.shape) for v in jaxpr.invars]
        names = [o.text for o in inputs]
        entered = []
        for operand, var in zip(inputs, jaxpr.invars, strict=True):
            dtype = dtype_name(var.aval.dtype)
            enter = self.operation(f"input_{_identifier(dtype)}", ("input", dtype))
            entered.append(replace(operand, text=self.assign(f"{enter}({operand.text})")))
        outputs = []
        for jaxpr, consts in map(_open, self.jaxprs):
            for out, var in zip(self.inline(jaxpr, consts, entered), jaxpr.outvars, strict=True):
                dtype = dtype_name(var.aval.dtype)
                leave = self.operation(f"output_{_identifier(dtype)}", ("output", dtype))
                outputs.append(f"{leave}({self.full(out)})")
        body = self._finish(outputs)
        used = {w for line in body for w in _WORD.findall(line)}
        head = [f"{v} = dims[{n!r}]" for n, v in self.dims.items() if v in used]
        if names:
            head.append(f"{', '.join(names)}, = inputs")
        notes = [f"# {n} = {c.value} : {c.dtype}" for n, c in self.constants.items() if np.ndim(c.value) == 0]
        lines = [*notes, "def program(dims, inputs):", *(f"    {line}" for line in head + body)]
        self.operations = {n: k for n, k in self.operations.items() if n in used}
        self.constants = {n: c for n, c in self.constants.items() if n in used}
        return Program("\n".join(lines) + "\n", tuple(self.dims), self.operations, self.constants,
                       self.statics)


def _identifier(dtype: str) -> str:
    return re.sub(r"\W", "_", dtype)


def _open(jaxpr: Any) -> tuple[Any, Sequence[Any]]:
    return (jaxpr.jaxpr, jaxpr.consts) if isinstance(jaxpr, core.ClosedJaxpr) else (jaxpr, ())


def _live(jaxpr: Any, wanted: Sequence[bool] | None) -> list[tuple[Any, list[bool]]]:
    """The equations that the wanted results need, each with which of its results are."""
    outvars = [v for i, v in enumerate(jaxpr.outvars) if not wanted or wanted[i]]
    live = {v for v in outvars if not isinstance(v, core.Literal)}
    kept = []
    for eqn in reversed(jaxpr.eqns):
        needed = [v in live for v in eqn.outvars]
        if any(needed):
            kept.append((eqn, needed))
            live.update(v for v in eqn.invars if not isinstance(v, core.Literal))
    return kept[::-1]


def _broadcast(shapes: Sequence[tuple]) -> tuple:
    """NumPy's broadcast of shapes that are known to be compatible, symbolic sizes included."""
    rank = max((len(s) for s in shapes), default=0)
    padded = [(1,) * (rank - len(s)) + tuple(s) for s in shapes]
    return tuple(next((d for d in column if not _is_one(d)), 1) for column in zip(*padded, strict=True))


def _is_one(size: Any) -> bool:
    return isinstance(size, (int, np.integer)) and size == 1


def _reserved(name: str) -> bool:
    """Whether a dimension of this name would hide something that a program needs."""
    return (name in _TAKEN or name in RULES or name in structural.NAMES or keyword.iskeyword(name)
            or re.fullmatch(r"[vfkc]\d+|(input|output)_.*", name) is not None)


_KEYS_PASS = {"scan", "while", "cond", *IDENTITY}
_TAKEN = {"dims", "inputs", "program", "self", "matmul", "convert"}
