"""One edit of the reference's own derivative: a term left out, a matrix transposed, a conj forgotten.

A derivative derived by hand goes through steps that the traced reference goes through too. So a mistake in one
step is often an edit of one line of its program, and the edited program tells which step it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from verify.cells.comparison import as_wide
from verify.drawing.cases import Case
from verify.hypotheses.evidence import Edit, Sample
from verify.hypotheses.intermediates import local_names, split
from verify.programs.arithmetic import wide
from verify.programs.program import Program
from verify.tracing.engine import Arrays, Engine

MOST_EDITS, _MOST_LINES, _OF_EACH_SHAPE = 160, 6000, 6
"""How many edits are tried, and how many lines all edited programs may have together."""
_STATEMENT = re.compile(r"^(\s+)(v\d+(?:, v\d+)*,?) = (\w+)\((.*)\)$")
_LOCAL = re.compile(r"^v\d+(\.T)?$")
_BARE = re.compile(r"\bv\d+\b")
_FLAGS = ("cumsum", "cumprod", "cummax", "cumlogsumexp", "scan")
_FUNCTIONS = (
    "exp", "log", "log1p", "expm1", "tanh", "sin", "cos", "logistic", "sqrt", "rsqrt", "square", "integer_pow", "abs",
    "max", "erf",
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """The line of a program, the operation that must stand there, and its new right-hand side made of the operands."""

    line: int
    operation: str
    kind: str
    text: str
    additive: bool
    write: Callable[[list[str]], str]


def edits_of(engine: Engine, cases: Sequence[Case]) -> dict[str, Edit]:
    """The edits of the reference's program at the first case, to be evaluated at any of the cases."""
    traced = engine.formula(cases[0])
    program = traced.reference
    if not isinstance(program, Program):
        return {}
    most = min(MOST_EDITS, _MOST_LINES // program.source.count("\n"))
    if traced.engine != "symbolic":  # every shape has its own program, to be linked for every edit
        most = min(most, _OF_EACH_SHAPE)
    labels = [*(leaf.label for leaf in cases[0].structure.leaves), *traced.extra_labels]
    by_id = {case.id: case for case in cases}
    found: dict[str, Edit] = {}
    ordered = sorted(changes(program, local_names(program, labels)), key=lambda change: not change.additive)
    for change in ordered[:most]:
        text = change.text
        found[f"{change.line}: {text}"] = Edit(change.kind, text, change.additive, _edited(engine, by_id, change))
    return found


def _edited(engine: Engine, by_id: Mapping[str, Case], change: Change) -> Callable[[Sample], Arrays]:
    linked: dict[int, Any] = {}

    def evaluate(sample: Sample) -> Arrays:
        case = by_id[sample.case_id]
        program = engine.formula(case).reference
        if not isinstance(program, Program):
            raise ValueError("not a program")
        if id(program) not in linked:
            linked[id(program)] = apply(program, change).link(wide(np.float64))
        inputs = [v if v.dtype.kind in "iub" else as_wide(v) for v in (*case.values, *case.extra)]
        return tuple(as_wide(x) for x in linked[id(program)](case.dims, inputs))

    return evaluate


def apply(program: Program, change: Change) -> Program:
    """The program with one line written anew; ValueError where another operation stands there."""
    lines = program.source.split("\n")
    match = _STATEMENT.match(lines[change.line]) if change.line < len(lines) else None
    if match is None or match.group(3) != change.operation:
        raise ValueError("another program")
    lines[change.line] = f"{match.group(1)}{match.group(2)} = {change.write(split(match.group(4)))}"
    helpers = {"_kept": _kept, "_turned": _turned, "_averaged": _averaged, "_conj": np.conj}
    return replace(program, source="\n".join(lines), statics={**program.statics, **helpers})


def _kept(value: Any, *others: Any) -> np.ndarray:
    """The value alone, in the shape that it has together with the others."""
    return np.broadcast_to(value, np.broadcast_shapes(*(np.shape(other) for other in (value, *others))))


def _turned(matrix: np.ndarray) -> np.ndarray:
    return np.swapaxes(matrix, -1, -2)


def _averaged(total: np.ndarray, summed: np.ndarray) -> np.ndarray:
    return total * (np.size(total) / np.size(summed))


def changes(program: Program, names: Mapping[str, str]) -> Iterator[Change]:
    """Every edit of every line."""
    made_by: dict[str, str] = {}
    parts_of: dict[str, tuple[str, ...]] = {}
    shared = Counter(_BARE.findall(program.source.split("inputs", 2)[-1]))
    for number, line in enumerate(program.source.split("\n")):
        match = _STATEMENT.match(line)
        if match is None:
            continue
        targets, operation, operands = match.group(2), match.group(3), split(match.group(4))
        made_by[targets] = operation
        plain = operation.removesuffix("_complex").split("_float")[0].split("_complex")[0]

        def named(position: int, operands=operands) -> str:
            bare, turned, _ = operands[position].partition(".T")
            name = names.get(bare, bare)
            return f"({name}).T" if turned and " " in name else name + turned

        def change(kind, text, write, additive=False, number=number, operation=operation) -> Change:
            return Change(number, operation, kind, text, additive, write)

        both = len(operands) == 2 and all(_LOCAL.match(part) for part in operands)
        for at, operand in enumerate(operands):
            bare = operand.removesuffix(".T")
            for inner in parts_of.get(bare, ()) if shared[bare] > 2 else ():
                turn = ".T" if bare != operand else ""
                place = _place(plain, named, operands)
                text = f"has {named_as(inner, names)} where the {{noun}} has {named(at)} (in {place})"
                yield change("wrong_argument", text,
                             lambda o, at=at, new=f"_kept({inner}, {bare}){turn}", f=operation:
                             _call(f, [*o[:at], new, *o[at + 1 :]]))  # fmt: skip
        if plain in ("mul", "div") and both:
            parts_of[targets] = (operands[0],) if plain == "div" else tuple(operands)
        elif plain in _FUNCTIONS and _LOCAL.match(operands[0]):
            parts_of[targets] = (operands[0],)
        match plain:
            case "add" | "add_any" | "sub" if both:
                yield from _sums(change, named, operation, plain)
            case "mul" if both:
                for gone, kept in ((0, 1), (1, 0)):
                    yield change("factor", f"lacks the factor {named(gone)} (on {named(kept)})",
                                 lambda o, gone=gone, kept=kept: f"_kept({o[kept]}, {o[gone]})")  # fmt: skip
            case "matmul":
                for at in (0, 1):
                    yield from _turns(change, named, operation, at, "complex" in operation)
            case "triangular_solve":
                for flag, kind, word in ((4, "transpose", "transpose"), (5, "conjugate", "complex conjugate")):
                    if kind == "transpose" or "complex" in operation:
                        yield change(kind, f"solves with {named(0)} where the {{noun}} has its {word} (or the reverse)",
                                     lambda o, flag=flag, f=operation: _call(f, _flipped(o, flag)))  # fmt: skip
            case "conj":
                yield change("conjugate", f"does not conjugate {named(0)}", lambda o: o[0])
            case "neg":
                yield change("sign", f"has the wrong sign on {named(0)}", lambda o: o[0])
            case "reduce_sum":
                yield change("reduction", f"averages {named(0)} where the reference sums it",
                             lambda o, f=operation: f"_averaged({_call(f, o)}, {o[0]})")  # fmt: skip
            case "where" if len(operands) == 3:
                yield from _selections(change, named, made_by.get(operands[0], ""))
            case _ if plain in _FLAGS:
                for at, part in enumerate(operands):
                    if part in ("True", "False"):
                        yield change("transpose", f"goes through {named(0)} the wrong way: reverse its direction",
                                     lambda o, at=at, f=operation: _call(f, _flipped(o, at)))  # fmt: skip


def named_as(local: str, names: Mapping[str, str]) -> str:
    bare, turned, _ = local.partition(".T")
    return f"({names.get(bare, bare)}){turned}" if turned else names.get(bare, bare)


def _place(plain: str, named: Callable[[int], str], operands: Sequence[str]) -> str:
    """The operation and its other operand, so that a reader finds the place."""
    others = [named(at) for at, operand in enumerate(operands) if _LOCAL.match(operand)]
    return f"`{plain}` of {' and '.join(others)}"


def _call(operation: str, operands: Sequence[str]) -> str:
    return f"{operation}({', '.join(operands)})"


def _flipped(operands: list[str], at: int) -> list[str]:
    """The operands with one of them, True or False, the other way round."""
    return [*operands[:at], str(operands[at] != "True"), *operands[at + 1 :]]


def _sums(change, named, operation: str, plain: str) -> Iterator[Change]:
    first, second = named(0), named(1)
    yield change("missing_term", second, lambda o: f"_kept({o[0]}, {o[1]})", additive=True)
    if plain == "sub":
        yield change("missing_term", first, lambda o: f"-_kept({o[1]}, {o[0]})", additive=True)
    else:
        yield change("missing_term", first, lambda o: f"_kept({o[1]}, {o[0]})", additive=True)


def _turns(change, named, operation: str, at: int, is_complex: bool) -> Iterator[Change]:
    def replaced(operands: list[str], pattern: str) -> str:
        return _call(operation, [*operands[:at], pattern.format(operands[at]), *operands[at + 1 :]])

    name = named(at)
    other = name[:-2] if name.endswith(".T") else f"({name}).T" if " " in name else f"{name}.T"
    yield change("transpose", f"has {other} where the {{noun}} has {name}", lambda o: replaced(o, "_turned({})"))
    if is_complex:
        yield change("conjugate", f"has conj({name}) where the {{noun}} has {name}", lambda o: replaced(o, "_conj({})"))
        yield change("conjugate", f"has conj({other}) where the {{noun}} has {name}",
                     lambda o: replaced(o, "_conj(_turned({}))"))  # fmt: skip


def _selections(change, named, condition: str) -> Iterator[Change]:
    """The condition of a selection ignored."""
    compares = condition.split("_")[0] in ("gt", "lt", "ge", "le", "eq", "ne")
    kind = "region" if compares and "int" not in condition else "entries"
    for kept in (1, 2):
        yield change(kind, f"ignores a condition ({named(0)}): it takes {named(kept)} everywhere",
                     lambda o, kept=kept: f"_kept({o[kept]}, {o[0]}, {o[3 - kept]})")  # fmt: skip
