"""The values inside the reference's own program at a case, named as a reader would write them.

Candidate terms for the diagnosis: a missing term is often one that the derivative computes on its way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from verify.arithmetic import Arithmetic, wide
from verify.cases import Case
from verify.comparison import as_wide
from verify.engine import Engine
from verify.program import Program

_MOST, _LONGEST = 60, 48
_ASSIGNED = re.compile(r"^    (v\d+) = (.+)$", re.MULTILINE)
_CALL = re.compile(r"^(\w+)\((.*)\)$")
_INFIX = {"mul": "*", "div": "/", "add": "+", "add_any": "+", "sub": "-", "matmul": "@"}
_SILENT = ("input_", "convert_", "copy", "stop_")


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
    names = _names(program, labels)
    found: dict[str, np.ndarray] = {}
    for local, value in seen[-1].items():
        if local in names and isinstance(value, np.ndarray) and value.dtype.kind in "fc" and value.size:
            if names[local] not in labels:
                found.setdefault(names[local], np.asarray(value))
            if len(found) == _MOST:
                break
    return found


def _names(program: Program, labels: Sequence[str]) -> dict[str, str]:
    """How each local variable is written in terms of the arguments."""
    names: dict[str, str] = {
        name: f"{constant.value:g}"
        for name, constant in program.constants.items()
        if np.ndim(constant.value) == 0
    }
    entered = re.search(r"^    (.*), = inputs$", program.source, re.MULTILINE)
    if entered is not None:
        names.update(zip(entered.group(1).split(", "), labels, strict=False))
    for local, expression in _ASSIGNED.findall(program.source):
        name = _written(expression, names)
        names[local] = name if len(name) <= _LONGEST else f"{local} of the reference"
    return names


def _written(expression: str, names: Mapping[str, str]) -> str:
    reshaped = re.match(r"^(\w+)\.reshape\(", expression)
    if reshaped:
        return names.get(reshaped.group(1), reshaped.group(1))
    call = _CALL.match(expression)
    if call is None:
        return _operand(expression, names)
    operation, arguments = call.group(1), [part.strip() for part in call.group(2).split(",") if part.strip()]
    written = [_operand(part, names) for part in arguments]
    if operation.startswith(_SILENT):
        return written[0]
    if operation.startswith("matmul_"):
        operation = "matmul"
    if operation in _INFIX and len(written) >= 2:
        one, two = (f"({part})" if re.search(r" [-+*/@] ", part) else part for part in written[:2])
        return f"{one} {_INFIX[operation]} {two}"
    if operation == "neg":
        return f"-({written[0]})"
    if operation == "square":
        return f"({written[0]})**2"
    if operation == "reduce_sum":
        return f"sum({written[0]}, axis={', '.join(arguments[1:])})"
    return f"{operation}({', '.join(written)})"


def _operand(text: str, names: Mapping[str, str]) -> str:
    if text.endswith(".T"):
        name = names.get(text[:-2], text[:-2])
        return f"({name}).T" if re.search(r" [-+*/@] ", name) else f"{name}.T"
    return names.get(text, text)
