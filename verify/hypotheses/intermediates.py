"""The values inside the reference's own program at a case, named as a reader would write them.

Candidate terms for the diagnosis: a missing term is often one that the derivative computes on its way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from verify.cells.comparison import as_wide
from verify.drawing.cases import Case
from verify.programs.arithmetic import Arithmetic, wide
from verify.programs.program import Program
from verify.tracing.engine import Engine

_MOST, _LONGEST, _BRIEF = 60, 40, 16
_OPAQUE = "an intermediate value"
_ASSIGNED = re.compile(r"^ +(v\d+) = (.+)$", re.MULTILINE)
_LOCAL, _LOOP = re.compile(r"\bv\d+\b"), re.compile(r"^ +def f\d+\((.*)\):$", re.MULTILINE)
_CALL = re.compile(r"^(\w+)\((.*)\)$")
_IDENTITY = re.compile(r"iota\((\(\w+, \w+,\)), 0\)(?: \+ 0)?, iota\(\1, 1\)")
"""How ``jnp.eye`` is compiled: 1 where the row is the column."""
_INFIX = {"mul": "*", "div": "/", "add": "+", "add_any": "+", "sub": "-", "matmul": "@"}
_SILENT = ("input_", "output_", "convert_", "copy", "stop", "reshape", "reduce_precision")
_CALLED = {
    "mul": "a product", "matmul": "a matrix product", "add": "a sum", "add_any": "a sum", "sub": "a difference",
    "div": "a quotient",
}  # fmt: skip
_WORDS = {"logistic": "sigmoid", "triangular_solve": "solve"}


def intermediates_of(engine: Engine, case: Case) -> dict[str, np.ndarray]:
    """The intermediate values of a case's reference in wide precision, by name."""
    traced = engine.formula(case)
    if not isinstance(traced.reference, Program):
        return {}
    labels = [*(leaf.label for leaf in case.structure.leaves), *traced.extra_labels]
    inputs = [v if v.dtype.kind in "iub" else as_wide(v) for v in (*case.values, *case.extra)]
    return intermediates(traced.reference, wide(np.float64), labels, case.dims, inputs)


def intermediates(
    program: Program,
    arithmetic: Arithmetic,
    labels: Sequence[str],
    dims: Mapping[str, int],
    inputs: Sequence[Any],
) -> dict[str, np.ndarray]:
    """The floating-point arrays that the program computes, by name; empty where it cannot be looked into."""
    if "\n    return " not in program.source:
        return {}
    seen: list[Mapping[str, Any]] = []
    head, _, last = program.source.rpartition("\n    return ")
    watched = replace(
        program,
        source=f"{head}\n    _watch(locals())\n    return {last}",
        statics={**program.statics, "_watch": seen.append},
    )
    watched.link(arithmetic)(dims, inputs)
    names = local_names(program, labels)
    found: dict[str, np.ndarray] = {}
    for local, value in seen[-1].items():
        if local in names and isinstance(value, np.ndarray) and value.dtype.kind in "fc" and value.size:
            if names[local] not in labels:
                found.setdefault(names[local], np.asarray(value))
            if len(found) == _MOST:
                break
    return found


def local_names(program: Program, labels: Sequence[str]) -> dict[str, str]:
    """How each local variable is written in terms of the arguments; what would be long, by its last operation."""
    names: dict[str, str] = {
        name: _number(constant.value)
        for name, constant in program.constants.items()
        if np.ndim(constant.value) == 0
    }
    entered = re.search(r"^    (.*), = inputs$", program.source, re.MULTILINE)
    if entered is not None:
        names.update(zip(entered.group(1).split(", "), labels, strict=False))
    for parameters in _LOOP.findall(program.source):
        names.update({parameter.strip(): "a value in the loop" for parameter in parameters.split(",")})
    used: dict[str, int] = {}
    for local, expression in _ASSIGNED.findall(program.source):
        name = _written(expression, names)
        if len(name) <= _LONGEST and _OPAQUE not in name and "in the loop" not in name and not _LOCAL.search(name):
            names[local] = name
            continue
        inner = names.get(_first_local(expression), "")
        if inner.startswith(_OPAQUE) and _passes_on(expression):
            names[local] = inner
            continue
        name = f"{_OPAQUE} ({_brief(expression, names)})"
        used[name] = used.get(name, 0) + 1
        names[local] = f"{name} no. {used[name]}" if used[name] > 1 else name
    return names


def _brief(expression: str, names: Mapping[str, str]) -> str:
    """The last operation, on those of its operands that have short names."""
    brief = _written(expression, _elided(names))
    if len(brief) <= _LONGEST and not _LOCAL.search(brief) and not set(brief) <= set(" .-+*/@()T"):
        return brief
    call = _CALL.match(expression)
    operation = _plain(call.group(1)) if call is not None else "an inner one"
    return _CALLED.get(operation, f"the result of `{operation}`")


def _passes_on(expression: str) -> bool:
    """Whether an operation only transposes, reshapes or converts."""
    call = _CALL.match(expression)
    return call is None or "." in call.group(1) or call.group(1).startswith(_SILENT)


def _number(value: Any) -> str:
    return f"{value.real:g}" if np.imag(value) == 0 else f"{value:g}"


def _elided(names: Mapping[str, str]) -> dict[str, str]:
    return {local: name if len(name) <= _BRIEF else "..." for local, name in names.items()}


def _first_local(expression: str) -> str:
    """The first variable of an expression."""
    found = _LOCAL.search(expression)
    return found.group() if found is not None else expression


def _plain(operation: str) -> str:
    """The operation without the type it works on."""
    plain = re.sub(r"_(float|complex|int|bool|bfloat)\w*$", "", operation)
    return _WORDS.get(plain, plain)


def _written(expression: str, names: Mapping[str, str]) -> str:
    reshaped = re.match(r"^(\w+)\.reshape\(", expression)
    if reshaped:
        return names.get(reshaped.group(1), reshaped.group(1))
    call = _CALL.match(expression)
    if call is None:
        return _operand(expression, names)
    operation, arguments = _plain(call.group(1)), split(call.group(2))
    written = [_operand(part, names) for part in arguments]
    if call.group(1).startswith(_SILENT):
        return written[0]
    if operation == "eq" and _IDENTITY.fullmatch(", ".join(written)):
        return "I"
    if operation == "max" and "-inf" in written[:2] and len(written) == 2:
        return written[written[0] == "-inf"]
    if operation in _INFIX and len(written) >= 2:
        one, two = (_bracketed(part) for part in written[:2])
        return f"{one} {_INFIX[operation]} {two}"
    if operation in ("neg", "square", "integer_pow"):
        whole = _bracketed(written[0])
        return f"-{whole}" if operation == "neg" else f"{whole}**{written[1] if len(written) > 1 else 2}"
    if operation.startswith("reduce_"):
        return f"{operation.removeprefix('reduce_')}({written[0]}, axis={', '.join(arguments[1:])})"
    if operation == "solve":
        written = written[:2]
    return f"{operation}({', '.join(written)})"


def _bracketed(text: str) -> str:
    """In brackets if it has an operator outside of them."""
    outside = text
    while (shorter := re.sub(r"\([^()]*\)", "", outside)) != outside:
        outside = shorter
    return f"({text})" if re.search(r" [-+*/@] |^-", outside) else text


def _operand(text: str, names: Mapping[str, str]) -> str:
    if text.endswith(".T"):
        name = names.get(text[:-2], text[:-2])
        return f"{_bracketed(name)}.T"
    return names.get(text, text)


def split(arguments: str) -> list[str]:
    """The arguments of a call, split at the commas that are in no bracket."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(arguments):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append(arguments[start:at].strip())
            start = at + 1
    last = arguments[start:].strip()
    return [*parts, last] if last else parts
